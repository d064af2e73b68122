"""The settings of single rules, cut from the study file, so that an edit of it re-runs the rules that it concerns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from recur.study.facts import candidates_of, is_row_a_phase, model_names, own_variables, tumour_columns, used_variables
from recur.tables import write_changed


def analysis_settings(study: dict[str, Any], analysis: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a fit needs: the analysis with the study's variables, candidates, horizons and models; or only some keys."""
    chosen = {key: value for key, value in study["analyses"][analysis].items() if key != "split"}
    outcome_variables = own_variables(study, analysis)
    variables = study["clinical"]["variables"]
    chosen |= {"candidates": candidates_of(study, analysis), "own_variables": outcome_variables}
    chosen["variables"] = {name: variable for name, variable in variables.items() if name not in outcome_variables}
    chosen |= {"horizons_months": study["horizons_months"], "models": model_names(study, analysis)}
    endpoint = study["endpoints"][study["analyses"][analysis]["endpoint"]]
    chosen |= {key: endpoint[key] for key in ("cutpoint_sensitivity", "levels") if key in endpoint}
    if "levels" in endpoint:
        chosen["ordered"] = endpoint["kind"] == "ordinal"
    clinical = study["clinical"]
    chosen["inputs"] = {
        key: clinical[key] for key in ("id", "centre", "missing_values", "tumour_size", "tumour_volume")
    }
    chosen["inputs"] |= tumour_columns(study)
    if "table" in study.get("features", {}):
        features = study["features"]
        chosen["inputs"] |= {"feature_id": features["id"], "feature_missing_values": features.get("missing_values", [])}
        chosen["inputs"] |= {"feature_phase": features["phase"]} if "phase" in features else {}
    return {key: chosen[key] for key in keys if key in chosen} if keys else chosen


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
