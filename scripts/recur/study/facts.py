"""What a resolved study has: its splits, readings, endpoints, candidates and models, said in one place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recur.study.endpoints import is_weighted, outcome_of


def reserved_columns(study: dict[str, Any]) -> dict[str, str]:
    """Columns that predict nothing, as they are an outcome, a date, an id, a centre or the split -> their key."""
    clinical = study["clinical"]
    reserved = {}
    for name, endpoint in study["endpoints"].items():
        for key in ("time", "event", "competing", "competing_time", "column"):
            if key in endpoint:
                reserved[endpoint[key]] = f"endpoints.{name}.{key}"
    no_columns = ("t0_kind", "cutoff", "export")
    dates = clinical.get("dates", {})
    reserved |= {column: f"clinical.dates.{key}" for key, column in dates.items() if key not in no_columns}
    reserved |= {column: f"clinical.recurrence.{key}" for key, column in clinical.get("recurrence", {}).items()}
    reserved |= {split["column"]: "split.column" for split in splits_of(study).values() if "column" in split}
    return reserved | {clinical[key]: f"clinical.{key}" for key in ("id", "centre") if clinical[key]}


def region_names(images: dict[str, Any]) -> list[str]:
    """The regions whose features a study extracts."""
    regions = images["regions"]
    return ["tumour", *(["rim"] if regions["rim_mm"] else []), *regions["more_rims"]]


def is_replicate(name: str, analysis: dict[str, Any]) -> bool:
    """Whether an analysis repeats a published study as it was done: flagged where others are refused."""
    return analysis["preset"] == "ji2020" or name.endswith("_replicate")


def reference_data() -> str | None:
    """The folder of reference data ($REFERENCE_DATA), which is not part of a study and may be missing."""
    return os.environ.get("REFERENCE_DATA")


def split_of(study: dict[str, Any], analysis: str) -> dict[str, Any]:
    """The split an analysis uses: its own, or the study's."""
    return study["analyses"][analysis].get("split", study["split"])


def splits_of(study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Column of cohort/assigned.csv -> split: the study's own, and that of every analysis with another."""
    by_analysis = study.get("splits") or {
        name: a["split"] for name, a in study.get("analyses", {}).items() if "split" in a
    }
    return {"cohort": study["split"]} | {f"cohort_{name}": split for name, split in by_analysis.items()}


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
    first, *further = study["images"]["readers"]
    if is_perturbed(chosen):
        return [first, *(f"{first}-{variant}" for variant in variants(study) if re.fullmatch(r"p\d+", variant))]
    further = further if chosen["stability"]["source"] == "readers" else []
    return [f"{name}-{chosen['control']}" if "control" in chosen else name for name in (first, *further)]


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
        value = list(value.values())
    if not isinstance(value, list):
        yield value
        return
    for item in value:
        yield from words_in(item)


def candidates_of(study: dict[str, Any], analysis: str) -> dict[str, list]:
    """Candidate terms by timing, interactions and strata of the study, less those that are the endpoint itself."""
    outcomes = set(own_variables(study, analysis))
    declared = study["candidates"]
    kept = {key: [name for name in declared.get(key, []) if name not in outcomes] for key in ("pre", "post", "strata")}
    return kept | {
        "interactions": [pair for pair in declared.get("interactions", []) if not outcomes.intersection(pair)]
    }


def model_names(study: dict[str, Any], analysis: str) -> list[str]:
    """The models of an analysis, in the order of the report; `combined` means clinical terms and signature."""
    features, candidates = uses_features(study, analysis), candidates_of(study, analysis)
    names = ["signature"] if features else []
    for timing, terms in (("pre", candidates["pre"]), ("post", candidates["post"])):
        if terms:
            names += [f"clinical_{timing}"] + ([f"combined_{timing}"] if features else [])
    return names


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
    sets = [sorted(analysis.get("phases", everything)) for analysis in used] or [sorted(everything)]
    return [needed for i, needed in enumerate(sets) if needed not in sets[:i]]


def feature_subsets(study: dict[str, Any]) -> list[dict[str, list[str]]]:
    """Phases and regions of a ready feature table that each analysis uses, each once."""
    chosen = [analysis for name, analysis in study["analyses"].items() if uses_features(study, name)]
    subsets = [{key: analysis[key] for key in ("phases", "regions") if key in analysis} for analysis in chosen]
    return [subset for i, subset in enumerate(subsets) if subset not in subsets[:i]]


def known_after(study: dict[str, Any]) -> dict[str, str]:
    """Columns that no feature may be -> the key that says so: those reserved, and what only the operation shows."""
    variables = study["clinical"]["variables"].items()
    late = {v["column"]: f"clinical.variables.{name}" for name, v in variables if v["timing"] == "post"}
    return late | reserved_columns(study)


def made_tables(study: dict[str, Any]) -> list[str]:
    """Input tables that the workflow itself makes; they are checked by the job that first reads them."""
    if "demo" in study or "null_study" in study:
        return [study["clinical"]["table"], study.get("images", {}).get("manifest")]
    return [study["images"]["manifest"]] if "public" in study else []
