"""Published scores and staging systems, each a file in scores/, evaluated by one function without `eval`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.sources import ROOT
from recur.study.yaml_files import read_yaml, schema, schema_problems
from recur.tables import StudyError

FOLDER = ROOT / "scores"
COMPARE = {"le": np.less_equal, "lt": np.less, "ge": np.greater_equal, "gt": np.greater, "eq": np.equal}


class Scored(NamedTuple):
    """A score of n patients: value (n,) float (the place of the level for a stage), group (n,) text or None, the
    named steps, and the inputs that were assumed because the study has no such column."""

    value: np.ndarray
    group: np.ndarray
    steps: dict[str, np.ndarray]
    assumed: dict[str, float]


@cache
def read_scores(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Every score by its id; raises StudyError listing all problems of all files."""
    rules = schema("score")
    scores = {}
    problems = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            score = read_yaml(path, "score")
        except StudyError as error:
            problems += error.problems
            continue
        found = schema_problems(score, rules, f"scores/{path.name}")
        if not found and score["id"] != path.stem:
            found.append(f"scores/{path.name}: its id is {score['id']!r}; file and id must have one name")
        problems += found
        scores[path.stem] = score
    if problems:
        raise StudyError(problems)
    return scores


def evaluate(score_id: str, inputs: dict[str, Any], scores: dict[str, dict[str, Any]] | None = None) -> Scored:
    """A score for n patients.

    inputs: name -> (n,) numbers in the unit of the score's file, NaN where missing; an input whose values are lists
    (`diameters`) is an object array of sequences. A missing input makes the score missing, except where the answer
    does not depend on it (three-valued logic: beyond one criterion is beyond). Raises StudyError for an input that
    is not there and has no assumed value.
    """
    scores = read_scores() if scores is None else scores
    score = scores[score_id]
    n = len(next(iter(inputs.values())))
    known: dict[str, np.ndarray] = {}
    assumed = {}
    for name, declared in score["inputs"].items():
        if name in inputs:
            values = np.asarray(inputs[name])
            known[name] = values if values.dtype == object else values.astype(float)
        elif "assumed" in declared:
            assumed[name] = declared["assumed"]
            known[name] = np.full(n, float(declared["assumed"]))
        else:
            raise StudyError(f"score {score_id}: input {name!r} is missing")
    given = known | inputs
    other = cache(lambda wanted: evaluate(wanted, given, scores))
    for name, node in score["steps"].items():
        known[name] = np.broadcast_to(_expression(node, known, other), n)
    value = known["value"]
    if "levels" in score:
        group = value
        codes = {level: float(place) for place, level in enumerate(score["levels"])}
        value = np.array([codes.get(level, np.nan) for level in group])
    else:
        value = value.astype(float)
        group = _groups(value, score.get("groups", []))
    return Scored(value, group, {name: known[name] for name in score["steps"]}, assumed)


def vector_problems(scores: dict[str, dict[str, Any]] | None = None) -> list[str]:
    """What a score's own test patients say against its formula (guard 28); checked before every run."""
    scores = read_scores() if scores is None else scores
    problems = []
    for name, score in scores.items():
        for number, known in enumerate(score["tests"], 1):
            inputs = {}
            for key, value in known["inputs"].items():
                inputs[key] = np.empty(1, dtype=object)
                inputs[key][0] = value
                if not isinstance(value, list):
                    inputs[key] = pd.to_numeric(pd.Series(inputs[key]), errors="coerce").to_numpy(float)
            try:
                found = evaluate(name, inputs, scores)
            except RecursionError:
                problems.append(f"scores/{name}.yaml: its formula needs itself, by score or group")
                break
            except (StudyError, TypeError, ValueError, KeyError) as error:
                problems.append(f"scores/{name}.yaml: test patient {number}: cannot be evaluated: {error}")
                continue
            printed = {"value": (known.get("value"), found.value[0])}
            printed |= {key: (value, found.steps[key][0]) for key, value in known.get("steps", {}).items()}
            for key, (expected, value) in printed.items():
                digits = len(str(expected).partition(".")[2])
                if expected is not None and not abs(value - expected) <= 0.5001 * 10**-digits:
                    problems.append(f"scores/{name}.yaml: test patient {number}: {key} is {value:.6g}, not {expected}")
            if known.get("group", found.group[0]) != found.group[0]:
                group = f"group is {found.group[0]}, not {known['group']}"
                problems.append(f"scores/{name}.yaml: test patient {number}: {group}")
    return problems


def _groups(value: np.ndarray, groups: list[dict[str, Any]]) -> np.ndarray:
    names = np.full(len(value), None, dtype=object)
    for group in reversed(groups):
        names[value <= group.get("upto", np.inf)] = group["name"]
    return names


def _expression(node: Any, known: dict[str, np.ndarray], other: Callable[[str], Scored]) -> np.ndarray:
    """The value of an expression (see schemas/score.schema.yaml) as an array of numbers or levels."""
    if isinstance(node, str):
        return known[node] if node in known else np.array(node, dtype=object)
    if not isinstance(node, dict):
        return np.array(float(node))

    def of(part: Any) -> np.ndarray:
        return _expression(part, known, other)

    operator = next(iter(node))
    part = node[operator]
    with np.errstate(divide="ignore", invalid="ignore"):
        match operator:
            case "sum":
                return reduce(np.add, map(of, part))
            case "product":
                return reduce(np.multiply, map(of, part))
            case "divide":
                return of(part[0]) / of(part[1])
            case "ln" | "log10" | "sqrt":
                found = {"ln": np.log, "log10": np.log10, "sqrt": np.sqrt}[operator](of(part))
                return np.where(np.isfinite(found), found, np.nan)
            case "round":
                return np.round(of(part))
            case "clip":
                return np.clip(of(part[0]), part[1], part[2])
            case "total":
                return np.array([_total(sizes, node["power"]) for sizes in known[part]])
            case "score":
                return other(part).value
            case "group":
                return other(part).group
            case "if":
                return _first([[part, node["then"]]], node["else"], known, other)
            case "first":
                return _first(part, node["otherwise"], known, other)
    raise StudyError(f"scores: unknown operator {operator!r}")


def _total(sizes: Any, power: float) -> float:
    sizes = np.atleast_1d(np.asarray(sizes, dtype=float))
    return float(np.sum(sizes**power)) if len(sizes) else np.nan


def _first(
    branches: list[list[Any]], otherwise: Any, known: dict[str, np.ndarray], other: Callable[[str], Scored]
) -> np.ndarray:
    """The value of the first branch whose condition holds; missing from the first unknown condition on."""
    tested = [(_condition(test, known, other), _expression(value, known, other)) for test, value in branches]
    last = _expression(otherwise, known, other)
    text = any(value.dtype == object for _, value in [*tested, (None, last)])
    shape = np.broadcast_shapes(last.shape, *(part.shape for pair in tested for part in pair))
    result = np.broadcast_to(last, shape).astype(object if text else float)
    for holds, value in reversed(tested):
        result = np.where(holds == 1, value, np.where(np.isnan(holds), None if text else np.nan, result))
    return result


def _condition(node: dict[str, Any], known: dict[str, np.ndarray], other: Callable[[str], Scored]) -> np.ndarray:
    """1 where a condition holds, 0 where not, NaN where a missing input leaves it open (Kleene's logic)."""
    operator = next(iter(node))
    if operator not in ("all", "any", *COMPARE):
        raise StudyError(f"scores: unknown condition {operator!r}")
    if operator in ("all", "any"):
        parts = np.broadcast_arrays(*(_condition(part, known, other) for part in node[operator]))
        decisive = 0.0 if operator == "all" else 1.0
        settled = np.any([part == decisive for part in parts], axis=0)
        unknown = np.any([np.isnan(part) for part in parts], axis=0)
        return np.where(settled, decisive, np.where(unknown, np.nan, 1 - decisive))
    a, b = np.broadcast_arrays(*(_expression(part, known, other) for part in node[operator]))
    return np.where(pd.isna(a) | pd.isna(b), np.nan, COMPARE[operator](a, b))
