"""YAML files that a person wrote: read safely, and held against their schema with a line for each violation."""

from __future__ import annotations

import difflib
import functools
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from recur.sources import ROOT
from recur.tables import StudyError

DEEPEST, MOST_NODES = 40, 1_000_000  # of a YAML file that a person wrote


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """The JSON Schema `schemas/<name>.schema.yaml`."""
    return yaml.safe_load((ROOT / "schemas" / f"{name}.schema.yaml").read_text())


class OneKeyLoader(yaml.SafeLoader):
    """YAML's safe loader, which keeps the last of two equal keys in silence, made to refuse them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for name in names:
            if name != "<<" and names.count(name) > 1:
                problem = f"{name!r} stands there twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path, what: str = "file") -> Any:
    """What a YAML file of a user holds. Raises StudyError, in a line, for whatever makes it unfit to be walked through.

    Equal keys, tags, nesting beyond DEEPEST (an anchor that holds itself has no end) and, by anchors of anchors, more
    than MOST_NODES values.
    """
    try:
        value = yaml.load(path.read_text(encoding="utf-8"), OneKeyLoader)  # a safe loader
    except FileNotFoundError:
        raise StudyError(f"{path}: no such {what}") from None
    except (OSError, UnicodeError):
        raise StudyError(f"{path}: not a text file (UTF-8) that can be read") from None
    except RecursionError:
        raise StudyError(f"{path}: not valid YAML: brackets or lists are nested without end") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:  # such as a number of 5,000 digits, a list as a key
        raise StudyError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    waiting = [(value, 0)]
    nodes = 0
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if depth > DEEPEST or nodes > MOST_NODES:
            raise StudyError(f"{path}: not valid YAML for a {what}: nested without end (an anchor that holds itself?)")
        parts = list(node.values()) if isinstance(node, dict) else node
        if isinstance(parts, (list, tuple, set)):
            waiting += [(part, depth + 1) for part in parts]
    return value


def twice(names: list[str]) -> list[str]:
    """Names that stand in a list more than once."""
    return sorted({name for name in names if names.count(name) > 1})


def schema_problems(value: Any, rules: dict[str, Any], where: str) -> list[str]:
    """Every violation of a schema, one line each, naming the key and the nearest known key."""
    problems = []
    start = f"{where}: " if where else ""
    for error in sorted(
        Draft202012Validator(rules).iter_errors(value), key=lambda e: [str(p) for p in e.absolute_path]
    ):
        place = ".".join(str(part) for part in error.absolute_path) or "(top)"
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = list(error.schema.get("properties", {}))
            for key in sorted(set(map(str, error.instance)) - set(known)):
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
                problems.append(f"{start}{place}: unknown key {key!r}{hint}")
        else:
            # YAML reads yes, no, true and false as truth values, cells of a table are text
            quotes = "; write it in quotes" if isinstance(error.instance, bool) and error.validator == "type" else ""
            problems.append(f"{start}{place}: {error.message}{quotes}")
    return problems
