"""The study file: read, checked against its schema, resolved to one dictionary (defaults < preset < study file)."""

from __future__ import annotations

import difflib
import functools
import json
import math
import os
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from recur.study.coding import levels_of, one_spelling
from recur.study.endpoints import DAYS_PER_MONTH, LONGEST_MONTHS, NEEDS, WITHOUT_TIME, is_weighted, outcome_of
from recur.tables import StudyError, write_text

ROOT = Path(__file__).resolve().parents[3]
PUBLIC_PHASES = ["NC", "AP", "PVP", "DP"]  # native, arterial, portal venous, delayed: as recur.images.manifest assigns
OWN_NAMES = {  # columns of an analysis's table
    "tumour_size", "tumour_volume", "patient_id", "centre", "cohort", "time", "event", "competing", "level",
    "follow_up",
}  # fmt: skip
KNOTS = 4  # of a spline, unless the study file says otherwise (Harrell, Regression Modeling Strategies, 2.4.6)
SPLIT_NEEDS = {"none": (), "centre": ("train", "external"), "random": (), "column": ("column", "train", "test")}


@functools.cache
def schema(name: str) -> dict[str, Any]:
    """The JSON Schema `schemas/<name>.schema.yaml`."""
    return yaml.safe_load((ROOT / "schemas" / f"{name}.schema.yaml").read_text())


DEEPEST, MOST_NODES = 40, 1_000_000  # of a YAML file that a person wrote


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
    waiting, nodes = [(value, 0)], 0
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if depth > DEEPEST or nodes > MOST_NODES:
            raise StudyError(f"{path}: not valid YAML for a {what}: nested without end (an anchor that holds itself?)")
        parts = list(node.values()) if isinstance(node, dict) else node
        if isinstance(parts, (list, tuple, set)):
            waiting += [(part, depth + 1) for part in parts]
    return value


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
    found = list(schema_problems(study["reported"]["statements"], schema("reported"), f"{where}: reported.statements"))
    ids = [] if found else [item["id"] for item in study["reported"]["statements"]]
    found += [f"{where}: reported.statements: the id {name!r} stands there twice" for name in twice(ids)]
    other = sorted(set(study) - {"study", "title", "reported"})
    return found + [f"{where}: {key}: has no place beside reported, a study of printed numbers only" for key in other]


def twice(names: list[str]) -> list[str]:
    """Names that stand in a list more than once."""
    return sorted({name for name in names if names.count(name) > 1})


def schema_problems(value: Any, rules: dict[str, Any], where: str) -> list[str]:
    """Every violation of a schema, one line each, naming the key and the nearest known key."""
    found, start = [], f"{where}: " if where else ""
    for error in sorted(
        Draft202012Validator(rules).iter_errors(value), key=lambda e: [str(p) for p in e.absolute_path]
    ):
        place = ".".join(str(part) for part in error.absolute_path) or "(top)"
        if error.validator == "additionalProperties" and isinstance(error.instance, dict):
            known = list(error.schema.get("properties", {}))
            for key in sorted(set(map(str, error.instance)) - set(known)):
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}"
                found.append(f"{start}{place}: unknown key {key!r}{hint}")
        else:
            # YAML reads yes, no, true and false as truth values, cells of a table are text
            quotes = "; write it in quotes" if isinstance(error.instance, bool) and error.validator == "type" else ""
            found.append(f"{start}{place}: {error.message}{quotes}")
    return found


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


def contradictions(study: dict[str, Any]) -> list[str]:
    """What a schema cannot say: names that refer to nothing, terms in the wrong model, splits without their keys."""
    if "clinical" not in study:
        return []
    clinical, features = study["clinical"], study.get("features", {})
    found = variable_contradictions(clinical)
    try:
        re.compile(features.get("pattern", ""))
    except re.error as error:
        found.append(f"features.pattern: no regular expression ({error})")
    if "visits" in clinical and not clinical.get("dates"):
        found.append("clinical.visits: intervals count from the index treatment and need clinical.dates.t0")
    found += candidate_contradictions(study) + interaction_contradictions(study) + strata_contradictions(study)
    found += reserved_candidates(study)
    found += horizon_contradictions(study)
    for name, endpoint in study["endpoints"].items():
        found += endpoint_contradictions(study, name, endpoint)
    found += split_contradictions(study)
    if ("phase" in features) != ("phases" in features):
        found.append("features: phase, a column, and phases, what it holds, go together")
    if "diagnostic" in study["analyses"]:
        found.append("analyses.diagnostic: the name is the workflow's own; choose another")
    for name, analysis in study["analyses"].items():
        found += analysis_contradictions(study, name, analysis)
    found += extraction_contradictions(study.get("images", {}).get("extraction"))
    found += scale_contradictions(study.get("images")) + public_contradictions(study)
    if "thresholds" in study and not study["thresholds"][0] < study["thresholds"][1]:
        found.append("thresholds: the first must be below the second")
    if "primary" in study and study["primary"] not in study["analyses"]:
        found.append(f"primary: {study['primary']!r} is no analysis of this study ({', '.join(study['analyses'])})")
    if "null_study" in study and not study["synthetic"]:
        found.append("null_study: outcomes are redrawn for synthetic studies only")
    if "demo" in study and "images" not in study:
        found.append("demo: needs images.manifest, where the generated cohort goes")
    if "images" in study and "features" in study:
        found.append("images and features: give one of the two, not both")
    return found + (diagnostic_contradictions(study) if "diagnostic" in study else [])


def variable_contradictions(clinical: dict[str, Any]) -> list[str]:
    """Of the clinical variables, and of those that are the tumour's size or volume."""
    found: list[str] = []
    variables = clinical["variables"]
    for name, variable in variables.items():
        if variable["kind"] in ("ordinal", "categorical") and "levels" not in variable:
            found.append(f"clinical.variables.{name}: kind {variable['kind']!r} needs levels")
        elif variable["kind"] in ("ordinal", "categorical", "binary") and same_cell(levels_of(variable)):
            found.append(f"clinical.variables.{name}: two levels are the same cell")
        if variable["transform"] != "none" and variable["kind"] != "numeric":
            found.append(f"clinical.variables.{name}: only numeric variables can be transformed")
        if "knots" in variable and variable["transform"] != "rcs":
            found.append(f"clinical.variables.{name}: knots are those of transform: rcs")
        for key in ("range", "median", "floor"):
            if key in variable and variable["kind"] != "numeric":
                found.append(f"clinical.variables.{name}: {key} is for numeric variables only")
    for key in ("tumour_size", "tumour_volume"):
        if clinical[key] and variables.get(clinical[key], {}).get("kind") != "numeric":
            found.append(f"clinical.{key}: {clinical[key]!r} is no numeric clinical variable")
    for key in sorted(variables.keys() & OWN_NAMES):
        found.append(f"clinical.variables: the name {key!r} is the workflow's own; choose another")
    return found


def candidate_contradictions(study: dict[str, Any]) -> list[str]:
    """Candidate terms that are no variable, a list, or known too late."""
    found: list[str] = []
    variables = study["clinical"]["variables"]
    for timing in ("pre", "post"):
        for term in study["candidates"][timing]:
            if term not in variables:
                near = difflib.get_close_matches(term, variables, 1)
                found.append(
                    f"candidates.{timing}: {term!r} is no clinical variable"
                    + (f"; did you mean {near[0]!r}?" if near else "")
                )
            elif variables[term]["kind"] == "list":
                found.append(f"candidates.{timing}: {term!r} is a list of numbers, which no model takes")
            elif timing == "pre" and variables[term]["timing"] == "post":
                found.append(
                    f"candidates.pre: {term!r} is known only after the operation; put it under candidates.post"
                )
    return found


def endpoint_contradictions(study: dict[str, Any], name: str, endpoint: dict[str, Any]) -> list[str]:
    """Keys that an endpoint lacks, codes that are one cell."""
    found: list[str] = []
    clinical, dates = study["clinical"], study["clinical"].get("dates", {})
    if endpoint["kind"] == "recorded":
        found += [
            f"endpoints.{name}: kind 'recorded' needs {key!r}" for key in ("time", "event") if key not in endpoint
        ]
        codes = [endpoint["event_value"], endpoint["censored_value"]]
        codes += [endpoint["competing_value"]] if "competing_value" in endpoint and "competing" not in endpoint else []
        if same_cell(codes):
            found.append(f"endpoints.{name}: two of its codes are the same cell")
        if "competing_time" in endpoint and "competing_value" not in endpoint:
            found.append(f"endpoints.{name}: competing_time needs competing_value, the cell that means the event")
        if "competing" in endpoint and "competing_value" not in endpoint:
            found.append(f"endpoints.{name}: competing needs competing_value, the cell that means the event")
    elif endpoint["kind"] in WITHOUT_TIME:
        found += [f"endpoints.{name}: {text}" for text in outcome_contradictions(study, endpoint)]
    else:
        for key in NEEDS[endpoint["kind"]]:
            if key not in dates:
                found.append(f"endpoints.{name}: kind {endpoint['kind']!r} needs clinical.dates.{key}")
        if endpoint["kind"] == "aggressive_recurrence" and "recurrence" not in clinical:
            found.append(f"endpoints.{name}: kind 'aggressive_recurrence' needs clinical.recurrence")
        if endpoint["detected"] == "midpoint" and "last_imaging" not in dates:
            found.append(f"endpoints.{name}: detected 'midpoint' needs clinical.dates.last_imaging")
    return found


def split_contradictions(study: dict[str, Any]) -> list[str]:
    """Of the split of the study and those of single analyses."""
    found: list[str] = []
    splits = {"split": study["split"]} | {
        f"analyses.{name}.split": analysis["split"]
        for name, analysis in study["analyses"].items()
        if "split" in analysis
    }
    for place, split in splits.items():
        found += [
            f"{place}: kind {split['kind']!r} needs {key!r}" for key in SPLIT_NEEDS[split["kind"]] if key not in split
        ]
        both = set(split.get("train", [])) & {*split.get("external", []), *split.get("test", [])}
        found += [f"{place}: {name!r} is named as training and as held out" for name in sorted(both)]
        if split["kind"] == "centre" and not study["clinical"]["centre"]:
            found.append(f"{place}: a split by centre needs clinical.centre")
    return found


def analysis_contradictions(study: dict[str, Any], name: str, analysis: dict[str, Any]) -> list[str]:
    """Of an analysis: its endpoint, whom it leaves out, its phases."""
    found: list[str] = []
    phases = study.get("images", {}).get("phases")
    phases = phases or [str(phase) for phase in study.get("features", {}).get("phases", [])]
    if analysis["endpoint"] not in study["endpoints"]:
        near = difflib.get_close_matches(analysis["endpoint"], study["endpoints"], 1)
        found.append(
            f"analyses.{name}.endpoint: {analysis['endpoint']!r} is no endpoint of this study"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    if analysis.get("min_follow_up_months") and not is_replicate(name, analysis):
        found.append(
            f"analyses.{name}.min_follow_up_months: leaving out patients by what happened after the operation "
            "conditions on the future; only a replicate (preset ji2020, or a name ending in _replicate) may"
        )
    endpoint = study["endpoints"].get(analysis["endpoint"], {})
    if analysis.get("min_follow_up_months") and endpoint and outcome_of(endpoint) != "survival":
        found.append(
            f"analyses.{name}.min_follow_up_months: {analysis['endpoint']!r} has no time; leave this key out, or "
            "name an endpoint with one"
        )
    if "of" in endpoint and not is_weighted(endpoint) and not is_replicate(name, analysis):
        found.append(
            f"analyses.{name}.endpoint: {analysis['endpoint']!r} leaves out who was censored before its horizon, "
            "which conditions on the future; leave `censored` at weighted, or name the analysis _replicate"
        )
    for phase in analysis.get("phases", []):
        if phases and phase not in phases:
            where = "images" if "images" in study else "features"
            found.append(f"analyses.{name}.phases: {phase!r} is not among {where}.phases ({', '.join(phases)})")
    found += image_contradictions(study, name, analysis)
    return found


def extraction_contradictions(extraction: dict[str, Any] | None) -> list[str]:
    """Of how features are extracted; nothing of a study without images."""
    if not extraction:
        return []
    found: list[str] = []
    if (extraction["bin_width"] is None) == (extraction["bin_count"] is None):
        found.append("images.extraction: give exactly one of bin_width and bin_count")
    if extraction["resegment"] and not extraction["resegment"][0] < extraction["resegment"][1]:
        found.append("images.extraction.resegment: the first number must be below the second")
    if extraction["outlier_sd"] is not None and extraction["mode"] != "ibsi":
        found.append("images.extraction.outlier_sd: known in mode ibsi only")
    return found


def interaction_contradictions(study: dict[str, Any]) -> list[str]:
    """Interactions of what is no candidate, or declared twice."""
    candidates, found = study["candidates"], []
    known = candidates["pre"] + candidates["post"]
    for pair in candidates["interactions"]:
        found += [
            f"candidates.interactions: {name!r} is not among candidates.pre or candidates.post; name it there as well"
            for name in pair
            if name not in known
        ]
    pairs = [" and ".join(sorted(pair)) for pair in candidates["interactions"]]
    return found + [f"candidates.interactions: {pair} stand there twice" for pair in twice(pairs)]


def strata_contradictions(study: dict[str, Any]) -> list[str]:
    """Strata that are no level of a clinical variable known beforehand, or of models that have no baseline hazard."""
    variables, candidates, found = study["clinical"]["variables"], study["candidates"], []
    for name in candidates["strata"]:
        variable = variables.get(name)
        if variable is None:
            near = difflib.get_close_matches(name, variables, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(f"candidates.strata: {name!r} is no clinical variable{hint}")
        elif variable["kind"] not in ("binary", "ordinal", "categorical"):
            found.append(f"candidates.strata: {name!r} is {variable['kind']}; strata are levels of a variable")
        elif variable["timing"] == "post":
            found.append(f"candidates.strata: {name!r} is known only after the operation; preoperative models need it")
        elif name in candidates["pre"] + candidates["post"]:
            found.append(
                f"candidates.strata: {name!r} is a candidate too; a stratum has no coefficient, keep one of the two"
            )
    for name, analysis in study["analyses"].items():
        endpoint = study["endpoints"].get(analysis["endpoint"])
        if candidates["strata"] and endpoint is not None and outcome_of(endpoint) != "survival":
            found.append(
                f"candidates.strata: analysis {name} has an outcome without a time, which has no baseline hazard; "
                "make the variable a candidate, or give this analysis a study file of its own"
            )
    return found


def horizon_contradictions(study: dict[str, Any]) -> list[str]:
    """Horizons beyond any follow-up, such as days where months are meant."""
    horizons = [("horizons_months", months) for months in study["horizons_months"]]
    horizons += [(f"endpoints.{n}.horizon_months", e["horizon_months"]) for n, e in study["endpoints"].items()]
    return [
        f"{place}: {months:g} months are more than {LONGEST_MONTHS / 12:g} years; {months:g} days are "
        f"{months / DAYS_PER_MONTH:.0f} months"
        for place, months in horizons
        if months > LONGEST_MONTHS
    ]


def diagnostic_contradictions(study: dict[str, Any]) -> list[str]:
    """Names of the diagnostic section that refer to nothing, or to a variable of another kind than is needed."""
    plan, found = study["diagnostic"], []
    patients = study["clinical"]["variables"]
    units = plan["lesions"]["variables"] if "lesions" in plan else patients
    used = [("reference", plan["reference"], ("binary",))] if "reference" in plan else []
    used += [(f"tests.{name}", name, ("binary", "ordinal", "numeric")) for name in plan["tests"]]
    used += [
        (f"readers.{reading}", name, ("binary", "ordinal", "categorical", "numeric"))
        for reading, names in plan["readers"].items()
        for name in names
    ]
    held = [(place, name, kinds, units) for place, name, kinds in used]
    groups = plan.get("groups")
    if groups:
        held.append(("groups.by", groups["by"], ("binary", "categorical", "ordinal"), patients))
        kinds = ("binary", "ordinal", "categorical", "numeric")
        held += [(f"groups.{key}", name, kinds, patients) for key in ("variables", "adjust") for name in groups[key]]
        found += [
            f"diagnostic.groups.endpoints: {name!r} is no endpoint of this study"
            for name in groups["endpoints"]
            if name not in study["endpoints"]
        ]
        by = patients.get(groups["by"], {})
        if groups["adjust"] and by.get("kind") != "binary" and len(by.get("levels", [])) != 2:
            found.append("diagnostic.groups.adjust: a propensity score compares two groups")
    for place, name, kinds, known in held:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            found.append(f"diagnostic.{place}: {name!r} is no variable{hint}")
        elif known[name]["kind"] not in kinds:
            found.append(f"diagnostic.{place}: {name!r} is {known[name]['kind']}; needed: {', '.join(kinds)}")
    for name, test in plan["tests"].items():
        found += cutoff_contradictions(name, test, units.get(name, {}))
    for reading, names in plan["readers"].items():
        kinds = {units[name]["kind"] for name in names if name in units}
        levels = {str(units[name].get("levels")) for name in names if name in units}
        if len(kinds) > 1 or len(levels) > 1:
            found.append(
                f"diagnostic.readers.{reading}: the readers' variables are not of one kind with the same levels"
            )
    if (plan["tests"] or plan["combination"]) and "reference" not in plan:
        found.append("diagnostic.reference: tests need a reference standard")
    found += [
        f"diagnostic.combination: {name!r} is not among diagnostic.tests"
        for name in plan["combination"]
        if name not in plan["tests"]
    ]
    return found


def cutoff_contradictions(name: str, test: dict[str, Any], variable: dict[str, Any]) -> list[str]:
    """Cut-points that the variable of a test cannot have."""
    given = test.get("positive_from", [])
    if variable.get("kind") == "binary" and given:
        return [f"diagnostic.tests.{name}.positive_from: a binary test has no cut-point"]
    if variable.get("kind") == "ordinal":
        levels = [str(level) for level in variable.get("levels", [])]
        return [
            f"diagnostic.tests.{name}.positive_from: {level!r} is no level ({', '.join(levels)})"
            for level in given
            if str(level) not in levels
        ]
    return [
        f"diagnostic.tests.{name}.positive_from: {level!r} is no number" for level in given if isinstance(level, str)
    ]


def reserved_columns(study: dict[str, Any]) -> dict[str, str]:
    """Columns that predict nothing, as they are an outcome, a date, an id, a centre or the split -> their key."""
    clinical, found = study["clinical"], {}
    for name, endpoint in study["endpoints"].items():
        for key in ("time", "event", "competing", "competing_time", "column"):
            if key in endpoint:
                found[endpoint[key]] = f"endpoints.{name}.{key}"
    no_columns = ("t0_kind", "cutoff", "export")
    dates = clinical.get("dates", {})
    found |= {column: f"clinical.dates.{key}" for key, column in dates.items() if key not in no_columns}
    found |= {column: f"clinical.recurrence.{key}" for key, column in clinical.get("recurrence", {}).items()}
    found |= {split["column"]: "split.column" for split in splits_of(study).values() if "column" in split}
    return found | {clinical[key]: f"clinical.{key}" for key in ("id", "centre") if clinical[key]}


def reserved_candidates(study: dict[str, Any]) -> list[str]:
    """Candidates and recorded comparators that are an outcome, a date, an id, a centre or the split.

    A finding without a time (kind binary, ordinal, categorical) may predict the others: its own models leave it out.
    """
    variables, reserved = study["clinical"]["variables"], reserved_columns(study)
    findings = {endpoint.get("column") for endpoint in study["endpoints"].values() if endpoint["kind"] in WITHOUT_TIME}
    used = {f"candidates.{timing}": study["candidates"][timing] for timing in ("pre", "post")}
    used["comparators.recorded"] = study.get("comparators", {}).get("recorded", [])
    centre = study["clinical"]["centre"]
    strata = study["candidates"]["strata"]
    used["candidates.strata"] = [name for name in strata if variables.get(name, {}).get("column") != centre]
    found = []
    for place, terms in used.items():
        for term in terms:
            column = variables.get(term, {}).get("column")
            if column in reserved and column not in findings:
                found.append(
                    f"{place}: {term!r} is column {column!r}, which is {reserved[column]}: outcomes, dates, ids and "
                    "centres predict nothing; take it out"
                )
    return found


def outcome_contradictions(study: dict[str, Any], endpoint: dict[str, Any]) -> list[str]:
    """What is wrong with an endpoint without a time."""
    kind, source = endpoint["kind"], endpoint.get("of")
    if kind != "binary" and "levels" not in endpoint:
        return [f"kind {kind!r} needs levels"]
    if (source is None) == ("column" not in endpoint):
        return ["give exactly one of column and of"]
    if source is not None:
        known = study["endpoints"].get(source)
        if kind != "binary" or known is None or known["kind"] in WITHOUT_TIME:
            return [f"of: {source!r} is no endpoint with a time, or kind is not 'binary'"]
    return ["two levels are the same cell"] if same_cell(levels_of(endpoint)) else []


def same_cell(levels: list[Any]) -> bool:
    """Whether two levels are one cell: 1, "1" and 1.0 are."""
    return len({one_spelling(str(level)) for level in levels}) < len(levels)


def image_contradictions(study: dict[str, Any], name: str, analysis: dict[str, Any]) -> list[str]:
    """Regions, controls and readings of an analysis that the study's images do not give."""
    found, images = [], study.get("images")
    known = region_names(images) if images else []
    for region in analysis.get("regions", []) if images else []:
        if region not in known:
            found.append(f"analyses.{name}.regions: {region!r} is no region of images.regions ({', '.join(known)})")
    source = analysis["stability"]["source"]
    for key, wanted in (("control", "control" in analysis), ("stability.source", source == "perturbations")):
        if wanted and not images:
            found.append(f"analyses.{name}.{key}: needs images, this study has none")
    if source == "settings" and not study.get("features", {}).get("repeat"):
        found.append(f"analyses.{name}.stability.source: settings needs features.repeat, made with the other settings")
    return found


def scale_contradictions(images: dict[str, Any] | None) -> list[str]:
    """Rims without width, and grey values that mean nothing from one scan to the next."""
    if not images:
        return []
    found = [
        f"images.regions.more_rims.{name}: the outer width must be above the inner ({inner:g} and {outer:g} mm)"
        for name, (inner, outer) in images["regions"]["more_rims"].items()
        if outer <= inner
    ]
    if images["modality"] == "MR" and images["normalise"] == "none" and images["extraction"].get("bin_width"):
        found.append(
            "images.normalise: MR has no scale of its own, so a fixed bin width means nothing; "
            "set normalise (zscore or liver), or extraction.bin_count"
        )
    if images["n4"] and images["modality"] == "CT":
        found.append("images.n4: bias fields are corrected in MR only; set modality: MR or n4: false")
    return found


def public_contradictions(study: dict[str, Any]) -> list[str]:
    """What a public collection needs to be fetched to, and phases that nothing would be assigned to."""
    if "public" not in study:
        return []
    images = study.get("images", {})
    if "demo" in study or not images.get("root"):
        return ["public: needs images.manifest, which is made, and images.root, where the images are kept; and no demo"]
    stated = study["public"].get("phase")
    known = [stated] if stated else PUBLIC_PHASES
    return [
        f"images.phases: {phase!r} is not among the phases of public images ({', '.join(known)})"
        for phase in images["phases"]
        if phase not in known
    ]


def region_names(images: dict[str, Any]) -> list[str]:
    """The regions whose features a study extracts."""
    regions = images["regions"]
    return ["tumour", *(["rim"] if regions["rim_mm"] else []), *regions["more_rims"]]


def is_replicate(name: str, analysis: dict[str, Any]) -> bool:
    """Whether an analysis repeats a published study as it was done: flagged where others are refused."""
    return analysis["preset"] == "ji2020" or name.endswith("_replicate")


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


def reference_data() -> str | None:
    """The folder of reference data ($REFERENCE_DATA), which is not part of a study and may be missing."""
    return os.environ.get("REFERENCE_DATA")


def split_of(study: dict[str, Any], analysis: str) -> dict[str, Any]:
    """The split an analysis uses: its own, or the study's."""
    return study["analyses"][analysis].get("split", study["split"])


def splits_of(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Column of cohort/assigned.csv -> split: the study's own, and that of every analysis with another."""
    own = study.get("splits") or {name: a["split"] for name, a in study.get("analyses", {}).items() if "split" in a}
    return {"cohort": study["split"]} | {f"cohort_{name}": split for name, split in own.items()}


def uses_features(study: dict[str, Any], analysis: str) -> bool:
    return study["analyses"][analysis]["use_features"] and ("images" in study or "features" in study)


def has_repeats(study: dict[str, Any]) -> bool:
    """Whether the study has a second reading to judge stability by."""
    return len(study.get("images", {}).get("readers", [])) > 1 or bool(study.get("features", {}).get("repeat"))


def variants(study: dict[str, Any]) -> list[str]:
    """Perturbed readings (p1, p2, ...) and negative controls that some analysis of the study needs."""
    if "images" not in study:
        return []
    used = [a for name, a in study["analyses"].items() if uses_features(study, name)]
    perturbed = any(is_perturbed(analysis) for analysis in used)
    readings = [f"p{k + 1}" for k in range(study["images"]["perturbations"]["count"])] if perturbed else []
    return readings + sorted({analysis["control"] for analysis in used if "control" in analysis})


def is_perturbed(analysis: dict[str, Any]) -> bool:
    """Whether perturbed readings feed the stability filter; a control's own are not made, its filter is then off."""
    stability = analysis["stability"]
    return stability["source"] == "perturbations" and stability["rule"] != "none" and "control" not in analysis


def reading_tables(study: dict[str, Any], analysis: str) -> list[str]:
    """Names of the feature tables of an analysis: the one that is analysed, then its further readings."""
    chosen = study["analyses"][analysis]
    if "images" not in study:
        return ["reader1", "reader2"]
    first, *others = study["images"]["readers"]
    if is_perturbed(chosen):
        return [first, *(f"{first}-{variant}" for variant in variants(study) if re.fullmatch(r"p\d+", variant))]
    others = others if chosen["stability"]["source"] == "readers" else []
    return [f"{name}-{chosen['control']}" if "control" in chosen else name for name in (first, *others)]


def endpoint_of(study: dict[str, Any], analysis: str) -> dict[str, Any]:
    """The endpoint of an analysis."""
    return study["endpoints"][study["analyses"][analysis]["endpoint"]]


def timed_endpoint(study: dict[str, Any], analysis: str) -> dict[str, Any] | None:
    """The endpoint with a time that an analysis rests on: its own, or the one whose state at a horizon it weights for
    censoring; None of a finding without a time.
    """
    endpoint = endpoint_of(study, analysis)
    if is_weighted(endpoint):
        return study["endpoints"][endpoint["of"]]
    return endpoint if outcome_of(endpoint) == "survival" else None


def outcome_kind(study: dict[str, Any], analysis: str) -> str:
    """`survival`, `binary` or `categories`: which rules of floors 5 to 7 an analysis has."""
    return outcome_of(endpoint_of(study, analysis))


def own_variables(study: dict[str, Any], analysis: str) -> list[str]:
    """Clinical variables that are the endpoint itself, by its column: nothing may be predicted or grouped by them."""
    column = study["endpoints"][study["analyses"][analysis]["endpoint"]].get("column")
    variables = study["clinical"].get("variables", {})
    return [name for name, variable in variables.items() if column is not None and variable["column"] == column]


def is_row_a_phase(study: dict[str, Any]) -> bool:
    """Whether the clinical table is the feature table, which has a row a patient and phase."""
    features = study.get("features", {})
    same = bool(features.get("phase")) and Path(features["table"]) == Path(study["clinical"]["table"])
    return study.get("row_a_phase", same)  # the settings of single rules hold the answer, not the features


def used_variables(study: dict[str, Any]) -> list[str]:
    """Clinical variables that a model, a score or a diagnostic comparison takes: a bad cell of one excludes a patient.

    The others stand in descriptive tables only, where such a cell counts as missing. A study that says nothing of
    models, as those of single functions, uses all.
    """
    variables = study["clinical"]["variables"]
    if "used" in study or "candidates" not in study:
        return study.get("used", list(variables))
    named = [study["clinical"].get(key) for key in ("tumour_size", "tumour_volume")]
    named += list(words_in([study.get(key) for key in ("candidates", "comparators", "diagnostic")]))
    return [name for name in variables if name in named]


def words_in(value: Any) -> Iterator[Any]:
    """Every key and every single value of nested settings."""
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]:
        if isinstance(item, dict | list):
            yield from words_in(item)
        else:
            yield item


def candidates_of(study: dict[str, Any], analysis: str) -> dict[str, list]:
    """Candidate terms by timing, interactions and strata of the study, less those that are the endpoint itself."""
    own, declared = set(own_variables(study, analysis)), study["candidates"]
    found = {key: [name for name in declared.get(key, []) if name not in own] for key in ("pre", "post", "strata")}
    return found | {"interactions": [pair for pair in declared.get("interactions", []) if not own.intersection(pair)]}


def model_names(study: dict[str, Any], analysis: str) -> list[str]:
    """The models of an analysis, in the order of the report; `combined` means clinical terms and signature."""
    features, candidates = uses_features(study, analysis), candidates_of(study, analysis)
    names = ["signature"] if features else []
    for timing, terms in (("pre", candidates["pre"]), ("post", candidates["post"])):
        if terms:
            names += [f"clinical_{timing}"] + ([f"combined_{timing}"] if features else [])
    return names


def analysis_settings(study: dict[str, Any], analysis: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a fit needs: the analysis with the study's variables, candidates, horizons and models; or only some keys."""
    own = {key: value for key, value in study["analyses"][analysis].items() if key != "split"}
    itself, variables = own_variables(study, analysis), study["clinical"]["variables"]
    own |= {"candidates": candidates_of(study, analysis), "own_variables": itself}
    own["variables"] = {name: variable for name, variable in variables.items() if name not in itself}
    own |= {"horizons_months": study["horizons_months"], "models": model_names(study, analysis)}
    endpoint = study["endpoints"][study["analyses"][analysis]["endpoint"]]
    own |= {key: endpoint[key] for key in ("cutpoint_sensitivity", "levels") if key in endpoint}
    if "levels" in endpoint:
        own["ordered"] = endpoint["kind"] == "ordinal"
    clinical = study["clinical"]
    own["inputs"] = {key: clinical[key] for key in ("id", "centre", "missing_values", "tumour_size", "tumour_volume")}
    own["inputs"] |= tumour_columns(study)
    if "table" in study.get("features", {}):
        features = study["features"]
        own["inputs"] |= {"feature_id": features["id"], "feature_missing_values": features.get("missing_values", [])}
        own["inputs"] |= {"feature_phase": features["phase"]} if "phase" in features else {}
    return {key: own[key] for key in keys if key in own} if keys else own


def tumour_columns(study: dict[str, Any]) -> dict[str, Any]:
    """How the tumour's size and volume are found in a feature table: columns, if named, and the order of phases."""
    features = study.get("features", {})
    named = {f"{key}_column": features[f"tumour_{key}"] for key in ("size", "volume") if features.get(f"tumour_{key}")}
    used = [phase for analysis in study["analyses"].values() for phase in analysis.get("phases", [])]
    phases = [str(phase) for phase in features.get("phases", [])] or list(dict.fromkeys(used))
    return named | {"phases": study.get("images", {}).get("phases", phases)}


def phase_sets(study: dict[str, Any]) -> list[list[str]]:
    """Phases of the images that each analysis of features needs, each set once; all of them where there is none."""
    used = [a for name, a in study["analyses"].items() if uses_features(study, name)]
    everything = study["images"]["phases"]
    found = [sorted(analysis.get("phases", everything)) for analysis in used] or [sorted(everything)]
    return [needed for i, needed in enumerate(found) if needed not in found[:i]]


def feature_subsets(study: dict[str, Any]) -> list[dict[str, list[str]]]:
    """Phases and regions of a ready feature table that each analysis uses, each once."""
    chosen = [analysis for name, analysis in study["analyses"].items() if uses_features(study, name)]
    subsets = [{key: analysis[key] for key in ("phases", "regions") if key in analysis} for analysis in chosen]
    return [subset for i, subset in enumerate(subsets) if subset not in subsets[:i]]


def write_settings(
    study: dict[str, Any],
    folder: str | Path,
    sections: dict[str, tuple[str, ...]],
    of_analysis: dict[str, tuple[str, ...]],
) -> None:
    """Write the resolved study beside `folder`, and into it what single rules need, touching changed files only.

    `<folder>/<name>.json` holds the named sections of the study, `<folder>/<analysis>/<name>.json` the named settings
    of each analysis (no name: all).
    """
    folder = Path(folder)
    study = study | {"splits": {name: a["split"] for name, a in study["analyses"].items() if "split" in a}}
    study["used"] = used_variables(study) if "clinical" in study else []
    study["row_a_phase"] = "clinical" in study and is_row_a_phase(study)
    resolved = {key: value for key, value in study.items() if key not in ("splits", "used", "row_a_phase")}
    write_changed(folder.parent / "study.resolved.yaml", yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True))
    for name, keys in sections.items():
        write_changed(folder / f"{name}.json", as_json({key: study[key] for key in keys if key in study}))
    for analysis in study["analyses"]:
        for name, keys in of_analysis.items():
            write_changed(folder / analysis / f"{name}.json", as_json(analysis_settings(study, analysis, keys)))


def as_json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_text(text, path)
