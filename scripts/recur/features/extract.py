"""From one stored case to its features: `extract_case`."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from recur.features.accelerate import accelerated
from recur.features.ibsi import ibsi_features
from recur.features.plain import extractor, plain_features
from recur.features.resample import (
    Case,
    bounds,
    region_box,
    resampled_image,
    resampled_region,
    spline_coefficients,
)
from recur.features.sets import REGIONS, feature_names
from recur.tables import StudyError

FLAGS = {"tumour": 1, "rim": 2}
WAVELET_REACH = 6  # voxels
SETTINGS = ("spacing_mm", "image_types", "feature_set", "interpolator", "pad_distance")
OPTIONAL = {"mode": "pyradiomics", "bin_width": None, "bin_count": None, "resegment": None, "outlier_sd": None}
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
    feature_names(extraction["feature_set"], extraction["image_types"])
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
    limits, outlier_sd = extraction["resegment"], extraction["outlier_sd"]
    if limits is not None and not (len(limits) == 2 and limits[0] < limits[1]):
        raise StudyError("extraction resegment must be [low, high], low below high")
    if outlier_sd is not None and extraction["mode"] != "ibsi":
        raise StudyError("extraction outlier_sd is known in mode ibsi only")
    if int(extraction["pad_distance"]) != extraction["pad_distance"] or extraction["pad_distance"] < 0:
        raise StudyError("extraction pad_distance must be a whole number of resampled voxels, 0 or more")
    if not hasattr(sitk, str(extraction["interpolator"])):
        raise StudyError(f"extraction interpolator {extraction['interpolator']!r} is no SimpleITK interpolator")
    return extraction


def load_case(path: str | Path) -> Case:
    """Read a case .npz of floor 2. Raises ValueError when it is missing, broken or not a case."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Case(
                image=np.ascontiguousarray(stored["image"], np.float32),
                labels=stored["labels"],
                spacing=stored["spacing"].astype(float),
                origin=stored["full_origin"].astype(float),
                direction=stored["direction"].astype(float),
                full_size=stored["full_size"].astype(int),
                offset=stored["offset"].astype(int),
            )
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{Path(path).name}: not a readable case ({type(error).__name__}); run cases again") from None


def extract_case(case: Case, extraction: dict[str, Any]) -> dict[str, float]:
    """Features `<region>_<image type>_<class>_<feature>` of a case, regions and names in the order of sets.py.

    Values are those that plain pyradiomics gives on the whole image (within 1e-9); a case without rim has the
    tumour's only. Raises StudyError for bad settings and ValueError, one line, for a case that cannot be extracted.
    """
    extraction = check_extraction(extraction)
    names = feature_names(extraction["feature_set"], extraction["image_types"])
    masks = {region: (case.labels & FLAGS[region]) > 0 for region in REGIONS}
    if not masks["tumour"].any():
        raise ValueError("tumour: no voxels")
    coefficients: list[np.ndarray] = []
    features = {}
    for region, mask in masks.items():
        if not mask.any():
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # pyradiomics' NaN of empty angles and the like; NaN stays in the table
                values = _region_features(case, mask, extraction, coefficients)
            features.update({f"{region}_{name}": float(values[name]) for name in names})
        except Exception as error:  # any failure of the library is this case's, not the batch's
            raise ValueError(f"{region}: {_one_line(error)}") from error
    return features


def _region_features(case: Case, mask: np.ndarray, extraction: dict, coefficients: list[np.ndarray]) -> dict[str, Any]:
    """Fast path where it is exact, plain pyradiomics elsewhere. coefficients: filled once per case."""
    if not np.isfinite(case.image).all():
        raise ValueError("image has values that are not finite")
    if extraction["mode"] == "ibsi":
        return ibsi_features(case, mask, extraction)
    if extraction["interpolator"] != "sitkBSpline" or _flat(mask):  # pyradiomics leaves a one-slice axis unresampled
        return plain_features(case, mask, extraction)
    box = region_box(case, mask, extraction["spacing_mm"], int(extraction["pad_distance"]))
    region = resampled_region(case, mask, box)
    if not region.any() or _flat(region > 0):
        return plain_features(case, mask, extraction)
    if not coefficients:
        coefficients.append(spline_coefficients(case.image))
    needed = _wavelet_reach(region)
    image, region = resampled_image(case, coefficients[0], box)[needed], region[needed]
    if np.ptp(image[region > 0]) == 0:
        return plain_features(case, mask, extraction)
    on_grid = [sitk.GetImageFromArray(array) for array in (image, region)]
    for grid in on_grid:
        grid.SetSpacing(box.spacing.tolist())
    with accelerated():
        return extractor(extraction, resample=False).execute(*on_grid)


def _wavelet_reach(region: np.ndarray) -> tuple[slice, ...]:
    """The part of pyradiomics' box that its coif1 wavelet (6 taps) reads for the region's voxels, (z, y, x).

    An axis with less room than that on either side stays whole: the filter then wraps round the box.
    """
    low, high = (index[::-1] for index in bounds(region > 0))
    enough = (low >= WAVELET_REACH) & (high + WAVELET_REACH < region.shape)
    return tuple(
        slice(k - WAVELET_REACH, m + WAVELET_REACH + 1) if cut else slice(None)
        for k, m, cut in zip(low, high, enough, strict=True)
    )


def _flat(mask: np.ndarray) -> bool:
    low, high = bounds(mask)
    return bool((low == high).any())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
