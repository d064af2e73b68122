"""Which settings of the study file each rule depends on: an edit re-runs the rules whose own settings changed."""

from __future__ import annotations

from typing import Any

from recur.study import facts

SECTIONS = {  # name of a file of settings -> sections of the study that it holds
    "cohort": ("clinical", "endpoints", "split", "splits", "seed", "on_error", "used", "row_a_phase"),
    "clinical": ("clinical",),
    "guards": (
        "analyses", "candidates", "clinical", "comparators", "endpoints", "features", "images", "primary", "split",
        "thresholds", "wording",
    ),
    "comparators": ("clinical", "comparators", "images"),
    "diagnostic": ("clinical", "diagnostic", "seed", "split"),
    "model_card": (
        "analyses", "candidates", "clinical", "endpoints", "features", "horizons_months", "images", "seed", "split",
        "study", "synthetic", "title", "wording",
    ),
}  # fmt: skip
ANALYSIS_SETTINGS = {  # name of a file of an analysis -> its keys of recur.study.settings.analysis_settings; none: all
    "stability": ("stability",),
    "signature": ("stability", "harmonisation", "redundancy", "ranking", "signature", "second_stage"),
    "models": (
        "preset", "second_stage", "missing", "sample_size", "candidates", "variables", "horizons_months", "models",
        "inputs", "cutpoint_sensitivity", "own_variables",
    ),
    "fit": (),
}  # fmt: skip
OF_A_CASE = ("modality", "normalise", "n4", "lesions", "nonuniform", "mask_grid", "orientation", "not_hu")
OF_FEATURES = (  # not_hu changes no feature
    "modality", "normalise", "n4", "nonuniform", "mask_grid", "lesions", "lesion_aggregate", "regions", "orientation",
)  # fmt: skip


def case_settings(study: dict[str, Any]) -> dict[str, Any]:
    """Settings of the regions; pad_mm is how far around them the features floor will resample."""
    images = study["images"]
    extraction = images["extraction"]
    pad_mm = (extraction["pad_distance"] + 1.5) * max(extraction["spacing_mm"])
    scan = {key: images[key] for key in OF_A_CASE}
    return images["regions"] | scan | {"on_error": study["on_error"], "pad_mm": pad_mm}


def feature_settings(study: dict[str, Any]) -> dict[str, Any]:
    """What feature tables are made with: extraction, phases, regions, and how images became cases."""
    images = study["images"]
    return {
        "extraction": images["extraction"],
        "images": {key: images[key] for key in OF_FEATURES},
        "phases": images["phases"],
        "regions": facts.region_names(images),
        "pinned": images["extraction_manifest"],
        "phase_sets": facts.phase_sets(study),
    }


def feature_subset(study: dict[str, Any], analysis: str) -> dict[str, list[str]]:
    """Phases and regions that an analysis is limited to."""
    subset = {"regions": ["tumour", "rim"]} if "images" in study else {}
    chosen = study["analyses"][analysis]
    return subset | {key: chosen[key] for key in ("phases", "regions") if key in chosen}


def tumour_settings(study: dict[str, Any]) -> dict[str, Any]:
    """Which variable or column is the tumour's size, which its volume."""
    variables = {key: study["clinical"][f"tumour_{key}"] for key in ("size", "volume")}
    return variables | facts.tumour_columns(study)
