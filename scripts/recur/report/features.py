"""What the sentences of the report say of images, regions, features and the signature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from recur.report.analysis import category
from recur.report.parts import by_analysis
from recur.report.results import Run, read
from recur.study.facts import uses_features
from recur.tables import read_json
from recur.vocabulary import study_words

SCALED = {  # how features enter the signature, by signature.transform
    "none": "as they are",
    "signed_log": "as sign(x) ln(1 + |x| / s), s the median of |x| in training",
    "yeo_johnson": "by the transform of Yeo and Johnson",
    "robust": "by median and interquartile range",
}
CONTROLS = {
    "shuffled_inside": "the voxels of each region changed places: shape and histogram are left, texture is not",
    "resampled_inside": "the voxels of each region were drawn anew from it: shape and about its histogram are left",
    "shuffled_outside": "the voxels outside all regions changed places: what the regions themselves hold is left",
    "resampled_outside": "the regions were filled with voxels drawn from around them: only size and shape are left",
}


def section(run: Run) -> Markup:
    """The signature of each analysis, and the figures of how it was made."""
    return by_analysis(run, lambda run, analysis: category(run, analysis, "Signature"))


def feature_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """Where features come from, which were candidates, and how they became the signature."""
    chosen = study["analyses"][analysis]
    features = uses_features(study, analysis)
    icc = read(results, f"signature/{analysis}/icc.csv")
    signature = chosen["signature"]
    known = {
        "features": features,
        "images": features and "images" in study,
        "ready_table": features and "features" in study,
        "control": CONTROLS.get(chosen.get("control")),
        "control_name": chosen.get("control"),
        "stability": stability_text(chosen["stability"], icc),
        "perturbed": features and chosen["stability"].get("source") == "perturbations",
        "other_settings": features and chosen["stability"].get("source") == "settings",
        "no_stability": features and icc.empty,
        "redundancy": chosen["redundancy"]["spearman"],
        "ranked": chosen["ranking"]["kind"] != "none",
        "keep": chosen["ranking"].get("keep"),
        "harmonised": chosen["harmonisation"]["kind"] != "none",
        "harmonisation": chosen["harmonisation"]["kind"],
        "l1_ratio": f"{signature['l1_ratio']:g}",
        "folds": signature["folds"],
        "lambda_rule": signature["lambda_rule"],
        "scaled": SCALED[signature["transform"]],
        "cut_sd": signature["winsorise_sd"],
        "signature_size": len(read(results, f"signature/{analysis}/weights.csv")),
        "candidates": int(icc["stable"].astype(bool).sum()) if len(icc) else "all",
    }
    return known | (image_facts(results, study, analysis) if known["images"] else {})


def image_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """How images became regions and features."""
    chosen = study["analyses"][analysis]
    made = study["images"]
    extraction = made["extraction"]
    unit = " HU" if made["modality"] == "CT" and made["normalise"] == "none" else ""
    width = extraction["bin_width"]
    return {
        "regions": regions_text(made, chosen.get("regions", ["tumour", "rim"]), study_words(study)["organ"]),
        "mode": "IBSI" if extraction["mode"] == "ibsi" else "its own",
        "feature_set": extraction["feature_set"],
        "spacing": " x ".join(f"{v:g}" for v in extraction["spacing_mm"]),
        "bins": f"bins of width {width:g}{unit}" if width else f"{extraction['bin_count']} bins",
        "phases": ", ".join(chosen.get("phases", made["phases"])),
        "columns": read_json(results / "features" / f"{made['readers'][0]}.manifest.json")["columns"],
    }


def stability_text(rule: dict[str, Any], icc: pd.DataFrame) -> str:
    """What the stability filter did."""
    if icc.empty:
        return f"off (no further reading of at least {rule['min_patients']} training patients)"
    kept = f"{icc['stable'].astype(bool).sum()} of {len(icc)} features kept"
    measure = "lower 95 % limit" if rule["rule"] == "lower95" else "point estimate"
    n = icc["n"].iloc[0]
    readings = icc["readings"].iloc[0]
    how = f"read {readings} times"
    if rule.get("source") == "perturbations":
        how = f"read once, with {readings - 1} perturbed images and masks each (no second reader)"
    elif rule.get("source") == "settings":
        how = f"read once and extracted with {readings} settings (no second reader)"
    return f"{measure} of ICC(2,1) >= {rule['threshold']:g} on {n} training patients {how}; {kept}"


def regions_text(images: dict[str, Any], regions: list[str], organ: str) -> str:
    """How scans and masks became regions, for the regions of one analysis."""
    made = images["regions"]
    widths = {"rim": [0, made["rim_mm"]]} | made["more_rims"]
    shells = [f"{name} {widths[name][0]:g} to {widths[name][1]:g} mm" for name in regions if name in widths]
    text = f"{images['modality']}"
    if images["n4"]:
        text += ", N4 bias field correction"
    if images["normalise"] != "none":
        text += f", normalised per scan ({images['normalise']}, SD 100)"
    text += f". Regions: {', '.join(name for name in regions if name not in widths) or 'no tumour'}"
    if shells:
        clip = (
            f"the {organ} mask"
            if made["hu_window"] is None or images["modality"] != "CT"
            else (f"the {organ} mask, or without one to {made['hu_window'][0]:g} to {made['hu_window'][1]:g} HU")
        )
        text += (
            f"; {', '.join(shells)} from the tumour (Euclidean distance), clipped to {clip}, "
            "without other lesions and vessels where masks exist; "
            f"at least {100 * (made['min_shell_fraction'] or 0):.0f} % of a shell must be left"
        )
    lesions = {"together": "as one region", "largest": "the largest only"}.get(images["lesions"])
    lesions = lesions or f"one by one, a patient being their {images['lesion_aggregate'].replace('_', ' ')}"
    return f"{text}. Several lesions: {lesions}."
