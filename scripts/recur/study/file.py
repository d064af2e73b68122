"""The study file: read, checked against its schema, resolved to one dictionary (defaults < preset < study file)."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from recur.sources import ROOT
from recur.study.contradictions import contradictions
from recur.study.facts import has_repeats
from recur.study.yaml_files import read_yaml, schema, schema_problems, twice
from recur.tables import StudyError

KNOTS = 4  # of a spline, unless the study file says otherwise (Harrell, Regression Modeling Strategies, 2.4.6)


def resolve(path: str | Path) -> dict[str, Any]:
    """Read a study file and return it complete: schema defaults < preset < what the file says.

    Paths in the file are relative to it and may hold environment variables.
    Raises StudyError with every problem found, unknown keys with the nearest known key.
    """
    path = Path(path)
    raw = read_yaml(path, "study file")
    rules = schema("study")
    study = raw if isinstance(raw, dict) else {}
    problems = [*schema_problems(raw, rules, str(path)), *not_finite(raw, str(path))]
    if isinstance(raw, dict) and "reported" in raw and not problems:
        problems = reported_problems(raw, str(path))
    elif isinstance(raw, dict) and "clinical" not in raw:
        problems.append(f"{path}: (top): 'clinical' is a required property")
    if problems:
        raise StudyError(problems)
    study = with_defaults(study, rules, rules)
    for variable in study.get("clinical", {}).get("variables", {}).values():
        if variable["transform"] == "rcs":
            variable.setdefault("knots", KNOTS)
    if "images" in study:
        extraction = study["images"]["extraction"]
        extraction.setdefault("bin_width", None if extraction["bin_count"] else 25)
    for name, analysis in study["analyses"].items():
        preset = yaml.safe_load((ROOT / "presets" / f"{analysis['preset']}.yaml").read_text())
        study["analyses"][name] = overlay(preset, analysis)
        one_reader = "images" in study and not has_repeats(study)
        study["analyses"][name]["stability"].setdefault("source", "perturbations" if one_reader else "readers")
    for split in (part["split"] for part in (study, *study["analyses"].values()) if "split" in part):
        split |= {key: [str(cell) for cell in split[key]] for key in ("train", "external", "test") if key in split}
    problems = [f"{path}: {text}" for text in contradictions(study)]
    missing: list[str] = []
    locate(study, path.resolve().parent, missing)
    problems += [f"{path}: {text}" for text in missing]
    if problems:
        raise StudyError(problems)
    return study


def not_finite(value: Any, where: str) -> Iterator[str]:
    """Every .nan and .inf of the file, which no schema refuses."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from not_finite(item, f"{where}: {key}")
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{where}: {value} is not a number that can be used"


def reported_problems(study: dict[str, Any], where: str) -> list[str]:
    """Statements that are not as their schema has them; a study of printed numbers has no data beside them."""
    problems = list(
        schema_problems(study["reported"]["statements"], schema("reported"), f"{where}: reported.statements")
    )
    ids = [] if problems else [item["id"] for item in study["reported"]["statements"]]
    problems += [f"{where}: reported.statements: the id {name!r} stands there twice" for name in twice(ids)]
    misplaced = sorted(set(study) - {"study", "title", "reported"})
    return problems + [
        f"{where}: {key}: has no place beside reported, a study of printed numbers only" for key in misplaced
    ]


def with_defaults(value: Any, rules: dict[str, Any], root: dict[str, Any]) -> Any:
    """A copy of value with the schema's defaults filled in, at every level that exists or has a default."""
    if "$ref" in rules:
        target = functools.reduce(lambda at, key: at[key], rules["$ref"].removeprefix("#/").split("/"), root)
        rules = {**target, **{k: v for k, v in rules.items() if k != "$ref"}}
    if not isinstance(value, dict):
        return deepcopy(value)
    result = dict(value)
    properties = rules.get("properties", {})
    for key, sub in properties.items():
        if key not in result and "default" in sub:
            result[key] = deepcopy(sub["default"])
    extra = rules.get("additionalProperties")
    for key, item in result.items():
        sub = properties.get(key) or (extra if isinstance(extra, dict) else {})
        result[key] = with_defaults(item, sub, root)
    return result


def overlay(base: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """top over base; sections are merged key by key, lists and scalars replaced."""
    result = deepcopy(base)
    for key, value in top.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = overlay(result[key], value) if both else deepcopy(value)
    return result


def locate(study: dict[str, Any], folder: Path, missing: list[str]) -> None:
    """Make every path of the study relative to the working directory, or absolute outside it, in place.

    Unset environment variables are added to missing.
    """
    if "clinical" not in study:
        return
    holders = [(study["clinical"], "table", "clinical")]
    if "lesions" in study.get("diagnostic", {}):
        holders.append((study["diagnostic"]["lesions"], "table", "diagnostic.lesions"))
    if "visits" in study["clinical"]:
        holders.append((study["clinical"]["visits"], "table", "clinical.visits"))
    holders += [(study[key], item, key) for key, item in PATHS if key in study and study[key].get(item)]
    for holder, item, place in holders:
        text = os.path.expandvars(holder[item])
        for name in re.findall(r"\$\{?(\w+)", text):
            missing.append(
                f"{place}.{item}: the environment variable {name} is not set (it stands in {holder[item]!r})"
            )
        located = Path(os.path.normpath(folder / text))
        holder[item] = str(located.relative_to(Path.cwd()) if located.is_relative_to(Path.cwd()) else located)


PATHS = [
    ("images", "manifest"),
    ("images", "root"),
    ("images", "review"),
    ("features", "table"),
    ("features", "repeat"),
    ("null_study", "truth"),
    ("null_study", "clinical"),
]
