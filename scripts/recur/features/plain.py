"""The unmodified pyradiomics extractor with a study's settings: the definition of every value, and the fallback."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from radiomics.featureextractor import RadiomicsFeatureExtractor

from recur.features.sets import class_features
from recur.images.case_file import Case, placed

logging.getLogger("radiomics").setLevel(logging.CRITICAL + 1)  # one line per feature class and region otherwise


def bin_settings(extraction: dict[str, Any]) -> dict[str, Any]:
    """pyradiomics' settings of the gray levels; `ibsi` is read by recur.features.bins only."""
    if extraction.get("bin_count") is not None:
        bins: dict[str, Any] = {"binCount": int(extraction["bin_count"])}
    else:
        bins = {"binWidth": extraction["bin_width"]}
    return bins | ({"ibsi": True} if extraction.get("mode") == "ibsi" else {})


def extractor(extraction: dict[str, Any], resample: bool) -> RadiomicsFeatureExtractor:
    """pyradiomics' extractor without diagnostics; `resample` False for images that are resampled already."""
    settings = {
        "padDistance": extraction["pad_distance"],
        "interpolator": extraction["interpolator"],
        "additionalInfo": False,
        **bin_settings(extraction),
    }
    if extraction.get("resegment") is not None and extraction.get("mode") != "ibsi":
        settings["resegmentRange"] = list(extraction["resegment"])
    if resample:
        settings["resampledPixelSpacing"] = list(extraction["spacing_mm"])
    made = RadiomicsFeatureExtractor(**settings)
    made.disableAllImageTypes()
    for kind in extraction["image_types"]:
        sigmas = [float(sigma) for sigma in extraction["log_sigma_mm"]] if kind == "LoG" else None
        made.enableImageTypeByName(kind, customArgs={"sigma": sigmas} if sigmas else None)
    made.enabledFeatures = class_features(extraction["feature_set"])
    return made


def plain_features(case: Case, mask: np.ndarray, extraction: dict[str, Any]) -> dict[str, Any]:
    """Features of one region by plain pyradiomics: the image is the crop, the mask (and so the grid) the whole image's.

    mask: bool (z, y, x) in the crop.
    """
    labels = np.zeros(case.full_size[::-1], np.uint8)
    labels[tuple(slice(k, k + n) for k, n in zip(case.offset[::-1], mask.shape, strict=True))] = mask
    crop_origin = case.full_origin + case.direction.reshape(3, 3) @ (case.offset * case.spacing)
    image = placed(case.image, case, crop_origin)
    return extractor(extraction, resample=True).execute(image, placed(labels, case, case.full_origin))
