"""What the schema of the study file cannot say: names that refer to nothing, keys that exclude each other."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from recur.study.coding import levels_of, one_spelling
from recur.study.endpoints import DAYS_PER_MONTH, LONGEST_MONTHS, NEEDS, WITHOUT_TIME, is_weighted, outcome_of
from recur.study.facts import is_replicate, region_names, reserved_columns
from recur.study.yaml_files import twice

PUBLIC_PHASES = ["NC", "AP", "PVP", "DP"]  # native, arterial, portal venous, delayed: as recur.images.manifest assigns
OWN_NAMES = {  # columns of an analysis's table
    "tumour_size", "tumour_volume", "patient_id", "centre", "cohort", "time", "event", "competing", "level",
    "follow_up",
}  # fmt: skip
LEVELLED = ("binary", "categorical", "ordinal")  # kinds of variables
ANY_KIND = ("binary", "ordinal", "categorical", "numeric")
SPLIT_NEEDS = {"none": (), "centre": ("train", "external"), "random": (), "column": ("column", "train", "test")}


def contradictions(study: dict[str, Any]) -> list[str]:
    """What a schema cannot say: names that refer to nothing, terms in the wrong model, splits without their keys."""
    if "clinical" not in study:
        return []
    clinical = study["clinical"]
    features = study.get("features", {})
    problems = variable_contradictions(clinical)
    try:
        re.compile(features.get("pattern", ""))
    except re.error as error:
        problems.append(f"features.pattern: no regular expression ({error})")
    if "visits" in clinical and not clinical.get("dates"):
        problems.append("clinical.visits: intervals count from the index treatment and need clinical.dates.t0")
    problems += candidate_contradictions(study) + interaction_contradictions(study) + strata_contradictions(study)
    problems += reserved_candidates(study)
    problems += horizon_contradictions(study)
    for name, endpoint in study["endpoints"].items():
        problems += endpoint_contradictions(study, name, endpoint)
    problems += split_contradictions(study)
    if ("phase" in features) != ("phases" in features):
        problems.append("features: phase, a column, and phases, what it holds, go together")
    if "diagnostic" in study["analyses"]:
        problems.append("analyses.diagnostic: the name is the workflow's own; choose another")
    for name, analysis in study["analyses"].items():
        problems += analysis_contradictions(study, name, analysis)
    problems += extraction_contradictions(study.get("images", {}).get("extraction"))
    problems += scale_contradictions(study.get("images")) + public_contradictions(study)
    if "thresholds" in study and not study["thresholds"][0] < study["thresholds"][1]:
        problems.append("thresholds: the first must be below the second")
    if "primary" in study and study["primary"] not in study["analyses"]:
        problems.append(f"primary: {study['primary']!r} is no analysis of this study ({', '.join(study['analyses'])})")
    if "null_study" in study and not study["synthetic"]:
        problems.append("null_study: outcomes are redrawn for synthetic studies only")
    if "demo" in study and "images" not in study:
        problems.append("demo: needs images.manifest, where the generated cohort goes")
    if "images" in study and "features" in study:
        problems.append("images and features: give one of the two, not both")
    return problems + (diagnostic_contradictions(study) if "diagnostic" in study else [])


def variable_contradictions(clinical: dict[str, Any]) -> list[str]:
    """Of the clinical variables, and of those that are the tumour's size or volume."""
    problems: list[str] = []
    variables = clinical["variables"]
    for name, variable in variables.items():
        if variable["kind"] in ("ordinal", "categorical") and "levels" not in variable:
            problems.append(f"clinical.variables.{name}: kind {variable['kind']!r} needs levels")
        elif variable["kind"] in ("ordinal", "categorical", "binary") and same_cell(levels_of(variable)):
            problems.append(f"clinical.variables.{name}: two levels are the same cell")
        if variable["transform"] != "none" and variable["kind"] != "numeric":
            problems.append(f"clinical.variables.{name}: only numeric variables can be transformed")
        if "knots" in variable and variable["transform"] != "rcs":
            problems.append(f"clinical.variables.{name}: knots are those of transform: rcs")
        for key in ("range", "median", "floor"):
            if key in variable and variable["kind"] != "numeric":
                problems.append(f"clinical.variables.{name}: {key} is for numeric variables only")
    for key in ("tumour_size", "tumour_volume"):
        if clinical[key] and variables.get(clinical[key], {}).get("kind") != "numeric":
            problems.append(f"clinical.{key}: {clinical[key]!r} is no numeric clinical variable")
    for key in sorted(variables.keys() & OWN_NAMES):
        problems.append(f"clinical.variables: the name {key!r} is the workflow's own; choose another")
    return problems


def candidate_contradictions(study: dict[str, Any]) -> list[str]:
    """Candidate terms that are no variable, a list, or known too late."""
    problems: list[str] = []
    variables = study["clinical"]["variables"]
    for timing in ("pre", "post"):
        for term in study["candidates"][timing]:
            if term not in variables:
                problems.append(f"candidates.{timing}: {term!r} is no clinical variable{meant(term, variables)}")
            elif variables[term]["kind"] == "list":
                problems.append(f"candidates.{timing}: {term!r} is a list of numbers, which no model takes")
            elif timing == "pre" and variables[term]["timing"] == "post":
                problems.append(
                    f"candidates.pre: {term!r} is known only after the operation; put it under candidates.post"
                )
    return problems


def endpoint_contradictions(study: dict[str, Any], name: str, endpoint: dict[str, Any]) -> list[str]:
    """Keys that an endpoint lacks, codes that are one cell."""
    problems: list[str] = []
    clinical = study["clinical"]
    dates = study["clinical"].get("dates", {})
    if endpoint["kind"] == "recorded":
        problems += [
            f"endpoints.{name}: kind 'recorded' needs {key!r}" for key in ("time", "event") if key not in endpoint
        ]
        codes = [endpoint["event_value"], endpoint["censored_value"]]
        codes += [endpoint["competing_value"]] if "competing_value" in endpoint and "competing" not in endpoint else []
        if same_cell(codes):
            problems.append(f"endpoints.{name}: two of its codes are the same cell")
        if "competing_time" in endpoint and "competing_value" not in endpoint:
            problems.append(f"endpoints.{name}: competing_time needs competing_value, the cell that means the event")
        if "competing" in endpoint and "competing_value" not in endpoint:
            problems.append(f"endpoints.{name}: competing needs competing_value, the cell that means the event")
    elif endpoint["kind"] in WITHOUT_TIME:
        problems += [f"endpoints.{name}: {text}" for text in outcome_contradictions(study, endpoint)]
    else:
        for key in NEEDS[endpoint["kind"]]:
            if key not in dates:
                problems.append(f"endpoints.{name}: kind {endpoint['kind']!r} needs clinical.dates.{key}")
        if endpoint["kind"] == "aggressive_recurrence" and "recurrence" not in clinical:
            problems.append(f"endpoints.{name}: kind 'aggressive_recurrence' needs clinical.recurrence")
        if endpoint["detected"] == "midpoint" and "last_imaging" not in dates:
            problems.append(f"endpoints.{name}: detected 'midpoint' needs clinical.dates.last_imaging")
    return problems


def split_contradictions(study: dict[str, Any]) -> list[str]:
    """Of the split of the study and those of single analyses."""
    problems: list[str] = []
    splits = {"split": study["split"]} | {
        f"analyses.{name}.split": analysis["split"]
        for name, analysis in study["analyses"].items()
        if "split" in analysis
    }
    for place, split in splits.items():
        problems += [
            f"{place}: kind {split['kind']!r} needs {key!r}" for key in SPLIT_NEEDS[split["kind"]] if key not in split
        ]
        both = set(split.get("train", [])) & {*split.get("external", []), *split.get("test", [])}
        problems += [f"{place}: {name!r} is named as training and as held out" for name in sorted(both)]
        if split["kind"] == "centre" and not study["clinical"]["centre"]:
            problems.append(f"{place}: a split by centre needs clinical.centre")
    return problems


def analysis_contradictions(study: dict[str, Any], name: str, analysis: dict[str, Any]) -> list[str]:
    """Of an analysis: its endpoint, whom it leaves out, its phases."""
    problems: list[str] = []
    phases = study.get("images", {}).get("phases")
    phases = phases or [str(phase) for phase in study.get("features", {}).get("phases", [])]
    if analysis["endpoint"] not in study["endpoints"]:
        hint = meant(analysis["endpoint"], study["endpoints"])
        problems.append(f"analyses.{name}.endpoint: {analysis['endpoint']!r} is no endpoint of this study{hint}")
    if analysis.get("min_follow_up_months") and not is_replicate(name, analysis):
        problems.append(
            f"analyses.{name}.min_follow_up_months: leaving out patients by what happened after the operation "
            "conditions on the future; only a replicate (preset ji2020, or a name ending in _replicate) may"
        )
    endpoint = study["endpoints"].get(analysis["endpoint"], {})
    if analysis.get("min_follow_up_months") and endpoint and outcome_of(endpoint) != "survival":
        problems.append(
            f"analyses.{name}.min_follow_up_months: {analysis['endpoint']!r} has no time; leave this key out, or "
            "name an endpoint with one"
        )
    if "of" in endpoint and not is_weighted(endpoint) and not is_replicate(name, analysis):
        problems.append(
            f"analyses.{name}.endpoint: {analysis['endpoint']!r} leaves out who was censored before its horizon, "
            "which conditions on the future; leave `censored` at weighted, or name the analysis _replicate"
        )
    for phase in analysis.get("phases", []):
        if phases and phase not in phases:
            where = "images" if "images" in study else "features"
            problems.append(f"analyses.{name}.phases: {phase!r} is not among {where}.phases ({', '.join(phases)})")
    problems += image_contradictions(study, name, analysis)
    return problems


def extraction_contradictions(extraction: dict[str, Any] | None) -> list[str]:
    """Of how features are extracted; nothing of a study without images."""
    if not extraction:
        return []
    problems: list[str] = []
    if (extraction["bin_width"] is None) == (extraction["bin_count"] is None):
        problems.append("images.extraction: give exactly one of bin_width and bin_count")
    if extraction["resegment"] and not extraction["resegment"][0] < extraction["resegment"][1]:
        problems.append("images.extraction.resegment: the first number must be below the second")
    if extraction["outlier_sd"] is not None and extraction["mode"] != "ibsi":
        problems.append("images.extraction.outlier_sd: known in mode ibsi only")
    return problems


def interaction_contradictions(study: dict[str, Any]) -> list[str]:
    """Interactions of what is no candidate, or declared twice."""
    candidates = study["candidates"]
    problems = []
    known = candidates["pre"] + candidates["post"]
    for pair in candidates["interactions"]:
        problems += [
            f"candidates.interactions: {name!r} is not among candidates.pre or candidates.post; name it there as well"
            for name in pair
            if name not in known
        ]
    pairs = [" and ".join(sorted(pair)) for pair in candidates["interactions"]]
    return problems + [f"candidates.interactions: {pair} stand there twice" for pair in twice(pairs)]


def strata_contradictions(study: dict[str, Any]) -> list[str]:
    """Strata that are no level of a clinical variable known beforehand, or of models that have no baseline hazard."""
    variables = study["clinical"]["variables"]
    candidates = study["candidates"]
    problems = []
    for name in candidates["strata"]:
        variable = variables.get(name)
        if variable is None:
            problems.append(f"candidates.strata: {name!r} is no clinical variable{meant(name, variables)}")
        elif variable["kind"] not in ("binary", "ordinal", "categorical"):
            problems.append(f"candidates.strata: {name!r} is {variable['kind']}; strata are levels of a variable")
        elif variable["timing"] == "post":
            problems.append(
                f"candidates.strata: {name!r} is known only after the operation; preoperative models need it"
            )
        elif name in candidates["pre"] + candidates["post"]:
            problems.append(
                f"candidates.strata: {name!r} is a candidate too; a stratum has no coefficient, keep one of the two"
            )
    for name, analysis in study["analyses"].items():
        endpoint = study["endpoints"].get(analysis["endpoint"])
        if candidates["strata"] and endpoint is not None and outcome_of(endpoint) != "survival":
            problems.append(
                f"candidates.strata: analysis {name} has an outcome without a time, which has no baseline hazard; "
                "make the variable a candidate, or give this analysis a study file of its own"
            )
    return problems


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
    plan = study["diagnostic"]
    patients = study["clinical"]["variables"]
    units = plan["lesions"]["variables"] if "lesions" in plan else patients
    grouped = plan.get("groups")
    problems = group_contradictions(study, grouped) if grouped else []
    problems += unknown_variables(diagnostic_uses(plan), units)
    problems += unknown_variables(group_uses(grouped), patients) if grouped else []
    for name, test in plan["tests"].items():
        problems += cutoff_contradictions(name, test, units.get(name, {}))
    for reading, names in plan["readers"].items():
        read = [units[name] for name in names if name in units]
        kinds = {variable["kind"] for variable in read}
        levels = {str(variable.get("levels")) for variable in read}
        if len(kinds) > 1 or len(levels) > 1:
            problems.append(
                f"diagnostic.readers.{reading}: the readers' variables are not of one kind with the same levels"
            )
    if (plan["tests"] or plan["combination"]) and "reference" not in plan:
        problems.append("diagnostic.reference: tests need a reference standard")
    problems += [
        f"diagnostic.combination: {name!r} is not among diagnostic.tests"
        for name in plan["combination"]
        if name not in plan["tests"]
    ]
    return problems


def diagnostic_uses(plan: dict[str, Any]) -> list[tuple[str, str, tuple[str, ...]]]:
    """(key, variable, kinds that it may be of) of the reference, the tests and the readings."""
    uses = [("reference", plan["reference"], ("binary",))] if "reference" in plan else []
    uses += [(f"tests.{name}", name, ("binary", "ordinal", "numeric")) for name in plan["tests"]]
    for reading, names in plan["readers"].items():
        uses += [(f"readers.{reading}", name, ANY_KIND) for name in names]
    return uses


def group_uses(groups: dict[str, Any]) -> list[tuple[str, str, tuple[str, ...]]]:
    """(key, variable, kinds that it may be of) of the groups of patients that are compared."""
    uses = [("groups.by", groups["by"], LEVELLED)]
    for key in ("variables", "adjust"):
        uses += [(f"groups.{key}", name, ANY_KIND) for name in groups[key]]
    return uses


def unknown_variables(uses: list[tuple[str, str, tuple[str, ...]]], variables: dict[str, Any]) -> list[str]:
    """Used variables that are not declared, or of another kind than may stand there."""
    problems = []
    for place, name, kinds in uses:
        if name not in variables:
            problems.append(f"diagnostic.{place}: {name!r} is no variable{meant(name, variables)}")
        elif variables[name]["kind"] not in kinds:
            problems.append(f"diagnostic.{place}: {name!r} is {variables[name]['kind']}; needed: {', '.join(kinds)}")
    return problems


def group_contradictions(study: dict[str, Any], groups: dict[str, Any]) -> list[str]:
    """Endpoints of compared groups that are not declared, and an adjustment of more than two groups."""
    problems = [
        f"diagnostic.groups.endpoints: {name!r} is no endpoint of this study"
        for name in groups["endpoints"]
        if name not in study["endpoints"]
    ]
    by = study["clinical"]["variables"].get(groups["by"], {})
    if groups["adjust"] and by.get("kind") != "binary" and len(by.get("levels", [])) != 2:
        problems.append("diagnostic.groups.adjust: a propensity score compares two groups")
    return problems


def meant(name: str, known: Iterable[str]) -> str:
    """The known name nearest to one that is not known, as the end of a line; empty where none is near."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else ""


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


def reserved_candidates(study: dict[str, Any]) -> list[str]:
    """Candidates and recorded comparators that are an outcome, a date, an id, a centre or the split.

    A finding without a time (kind binary, ordinal, categorical) may predict the others: its own models leave it out.
    """
    variables = study["clinical"]["variables"]
    reserved = reserved_columns(study)
    findings = {endpoint.get("column") for endpoint in study["endpoints"].values() if endpoint["kind"] in WITHOUT_TIME}
    used = {f"candidates.{timing}": study["candidates"][timing] for timing in ("pre", "post")}
    used["comparators.recorded"] = study.get("comparators", {}).get("recorded", [])
    centre = study["clinical"]["centre"]
    strata = study["candidates"]["strata"]
    used["candidates.strata"] = [name for name in strata if variables.get(name, {}).get("column") != centre]
    problems = []
    for place, terms in used.items():
        for term in terms:
            column = variables.get(term, {}).get("column")
            if column in reserved and column not in findings:
                problems.append(
                    f"{place}: {term!r} is column {column!r}, which is {reserved[column]}: outcomes, dates, ids and "
                    "centres predict nothing; take it out"
                )
    return problems


def outcome_contradictions(study: dict[str, Any], endpoint: dict[str, Any]) -> list[str]:
    """What is wrong with an endpoint without a time."""
    kind = endpoint["kind"]
    source = endpoint.get("of")
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
    problems = []
    images = study.get("images")
    known = region_names(images) if images else []
    for region in analysis.get("regions", []) if images else []:
        if region not in known:
            problems.append(f"analyses.{name}.regions: {region!r} is no region of images.regions ({', '.join(known)})")
    source = analysis["stability"]["source"]
    for key, wanted in (("control", "control" in analysis), ("stability.source", source == "perturbations")):
        if wanted and not images:
            problems.append(f"analyses.{name}.{key}: needs images, this study has none")
    if source == "settings" and not study.get("features", {}).get("repeat"):
        problems.append(
            f"analyses.{name}.stability.source: settings needs features.repeat, made with the other settings"
        )
    return problems


def scale_contradictions(images: dict[str, Any] | None) -> list[str]:
    """Rims without width, and grey values that mean nothing from one scan to the next."""
    if not images:
        return []
    problems = [
        f"images.regions.more_rims.{name}: the outer width must be above the inner ({inner:g} and {outer:g} mm)"
        for name, (inner, outer) in images["regions"]["more_rims"].items()
        if outer <= inner
    ]
    if images["modality"] == "MR" and images["normalise"] == "none" and images["extraction"].get("bin_width"):
        problems.append(
            "images.normalise: MR has no scale of its own, so a fixed bin width means nothing; "
            "set normalise (zscore or liver), or extraction.bin_count"
        )
    if images["n4"] and images["modality"] == "CT":
        problems.append("images.n4: bias fields are corrected in MR only; set modality: MR or n4: false")
    return problems


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
