"""From one stored case to its features: `extract_case`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import SimpleITK as sitk

from recur.features.accelerate import Filters, grid_features
from recur.features.ibsi import ibsi_features
from recur.features.names import joined
from recur.features.plain import bin_settings, plain_features
from recur.features.resample import bounds, region_box, resampled_image, resampled_region, spline_coefficients
from recur.features.sets import feature_names
from recur.images.case_file import Case
from recur.tables import StudyError

SETTINGS = ("spacing_mm", "image_types", "feature_set", "interpolator", "pad_distance")
OPTIONAL = {
    "engine": "fast",
    "mode": "pyradiomics",
    "bin_width": None,
    "bin_count": None,
    "resegment": None,
    "outlier_sd": None,
    "log_sigma_mm": (),
}
ENGINES = ("fast", "plain")
NOT_DEFINED = "pyradiomics gives no number for this region"
MODES = ("pyradiomics", "ibsi")

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # jobs run side by side, and sums keep one order


def check_extraction(extraction: dict[str, Any]) -> dict[str, Any]:
    """The settings with the optional ones filled in.

    Raises StudyError for missing or unknown settings, modes, image types or feature sets, and for a discretisation
    that is not exactly one of bin_width and bin_count.
    """
    problems = [f"extraction setting {key!r} is missing" for key in SETTINGS if key not in extraction]
    known = {*SETTINGS, *OPTIONAL}
    problems += [f"extraction setting {key!r} is unknown" for key in extraction if key not in known]
    if problems:
        raise StudyError(problems)
    extraction = OPTIONAL | extraction
    feature_names(extraction["feature_set"], extraction["image_types"], extraction["log_sigma_mm"])
    if extraction["engine"] not in ENGINES:
        raise StudyError(f"extraction engine {extraction['engine']!r} is unknown; use one of {', '.join(ENGINES)}")
    if extraction["mode"] not in MODES:
        raise StudyError(f"extraction mode {extraction['mode']!r} is unknown; use one of {', '.join(MODES)}")
    if len(extraction["spacing_mm"]) != 3 or min(extraction["spacing_mm"]) < 0:
        raise StudyError("extraction spacing_mm must be three numbers, x y z in mm (0 keeps the image's own)")
    width, count = extraction["bin_width"], extraction["bin_count"]
    if (width is None) == (count is None):
        raise StudyError("extraction needs exactly one of bin_width and bin_count; set the other to null")
    if width is not None and not width > 0:
        raise StudyError("extraction bin_width must be above 0")
    if count is not None and (int(count) != count or count < 2):
        raise StudyError("extraction bin_count must be a whole number, 2 or more")
    limits = extraction["resegment"]
    outlier_sd = extraction["outlier_sd"]
    if limits is not None and not (len(limits) == 2 and limits[0] < limits[1]):
        raise StudyError("extraction resegment must be [low, high], low below high")
    if outlier_sd is not None and extraction["mode"] != "ibsi":
        raise StudyError("extraction outlier_sd is known in mode ibsi only")
    if int(extraction["pad_distance"]) != extraction["pad_distance"] or extraction["pad_distance"] < 0:
        raise StudyError("extraction pad_distance must be a whole number of resampled voxels, 0 or more")
    if not hasattr(sitk, str(extraction["interpolator"])):
        raise StudyError(f"extraction interpolator {extraction['interpolator']!r} is no SimpleITK interpolator")
    return extraction


def extract_case(case: Case, extraction: dict[str, Any]) -> dict[str, float]:
    """Features `<region>_<image type>_<class>_<feature>` of a case, regions and names in the order of sets.py.

    In mode pyradiomics values are those that plain pyradiomics gives on the whole image (within 1e-9). What cannot be
    computed is NaN (extract_with_reasons says why); a region without a voxel has no names here, its NaN come with the
    table. Raises StudyError for bad settings and ValueError, one line, for a case whose tumour cannot be extracted.
    """
    return extract_with_reasons(case, extraction)[0]


def extract_with_reasons(case: Case, extraction: dict[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """The features as extract_case, and reasons by the name of every feature, or region as a whole, that is missing."""
    extraction = check_extraction(extraction)
    names = feature_names(extraction["feature_set"], extraction["image_types"], extraction["log_sigma_mm"])
    bits = {region: bit for region, bit in case.facts["regions"].items() if region != "liver"}
    masks = {region: (case.labels & bit) > 0 for region, bit in bits.items()}
    if not masks["tumour"].any():
        raise ValueError("tumour: no voxels")
    coefficients: list[np.ndarray] = []
    features: dict[str, float] = {}
    reasons: dict[str, str] = {}
    for region, mask in masks.items():
        if not mask.any():
            reasons[region] = _why_absent(case, region)
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pyradiomics' NaN of empty angles and the like; NaN stays in the table
                values = _region_features(case, mask, extraction, coefficients)
        except Exception as error:  # any failure of the library is this case's, not the batch's
            if region == "tumour":
                raise ValueError(f"{region}: {_one_line(error)}") from error
            reasons[region] = _one_line(error)
            values = {}
        for name in names:
            value = float(values.get(name, np.nan))
            features[joined(region, name)] = value if np.isfinite(value) else np.nan
            if values and not np.isfinite(value):
                reasons[joined(region, name)] = NOT_DEFINED
    return features, reasons


def _region_features(case: Case, mask: np.ndarray, extraction: dict, coefficients: list[np.ndarray]) -> dict[str, Any]:
    """Fast path where it is exact, plain pyradiomics elsewhere. coefficients: filled once per case."""
    if not np.isfinite(case.image).all():
        raise ValueError("image has values that are not finite")
    if extraction["mode"] == "ibsi":
        return ibsi_features(case, mask, extraction)
    # pyradiomics leaves a one-slice axis unresampled
    if extraction["engine"] == "plain" or extraction["interpolator"] != "sitkBSpline" or _flat(mask):
        return plain_features(case, mask, extraction)
    box = region_box(case, mask, extraction["spacing_mm"], int(extraction["pad_distance"]))
    resampled = resampled_region(case, mask, box) > 0
    if _flat(resampled):
        return plain_features(case, mask, extraction)
    if not coefficients:
        coefficients.append(spline_coefficients(case.image))
    image = resampled_image(case, coefficients[0], box)
    region = form = resampled
    if extraction["resegment"] is not None:
        low, high = extraction["resegment"]
        region = resampled & (image >= low) & (image <= high)
    if _flat(region) or np.ptp(image[region]) == 0:
        return plain_features(case, mask, extraction)
    if region is not resampled:  # pyradiomics keeps the form, but cuts it to the box of what is left
        form = np.zeros_like(resampled)
        left = tuple(slice(a, b + 1) for a, b in zip(*(ends[::-1] for ends in bounds(region)), strict=True))
        form[left] = resampled[left]
    filters = Filters(extraction["image_types"], extraction["log_sigma_mm"], bin_settings(extraction))
    return grid_features(image, region, box.spacing, filters, shape_region=form)


def _flat(mask: np.ndarray) -> bool:
    """Whether a region (z, y, x) has no voxel or is one voxel thin along an axis."""
    return not mask.any() or bool(np.equal(*bounds(mask)).any())


def _why_absent(case: Case, region: str) -> str:
    """Floor 2's reason for a region without voxels (most of its shell was clipped), where it gave one."""
    lines = (line for line in case.facts.get("region_table", []) if line["region"] == region)
    return next((line["reason"] for line in lines if line.get("reason")), "no voxels")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
