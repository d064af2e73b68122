"""Which features a study extracts: the names and their one order, in which every table's columns stand."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

from radiomics import getFeatureClasses

from recur.features.names import joined, measure_parts
from recur.tables import StudyError

TEXTURES = ("glcm", "glrlm", "glszm", "gldm", "ngtdm")
SUBBANDS = tuple("".join(band) for band in itertools.product("HL", repeat=3))
IMAGES = {"Original": ("original",), "Wavelet": tuple(f"wavelet-{band}" for band in SUBBANDS)}
IMAGE_TYPES = (*IMAGES, "LoG")

# Nine shape features chosen by hand: 9 + 9 x 93 is the only split of 846 that pyradiomics 2.1 or later allows.
# The paper names none of them; this is a reading, not a fact.
SHAPE_JI846 = (
    "VoxelVolume",
    "SurfaceArea",
    "SurfaceVolumeRatio",
    "Sphericity",
    "Maximum3DDiameter",
    "MajorAxisLength",
    "MinorAxisLength",
    "Elongation",
    "Flatness",
)
FEATURE_SETS = ("full851", "ji846")


def class_features(feature_set: str) -> dict[str, list[str]]:
    """Feature class -> feature names, in order; deprecated features of pyradiomics are left out as by its default."""
    if feature_set not in FEATURE_SETS:
        raise StudyError(f"feature_set {feature_set!r} is unknown; use one of {', '.join(FEATURE_SETS)}")
    classes = getFeatureClasses()
    named = {
        name: sorted(feature for feature, deprecated in classes[name].getFeatureNames().items() if not deprecated)
        for name in ("shape", "firstorder", *TEXTURES)
    }
    if feature_set == "ji846":
        named["shape"] = [feature for feature in named["shape"] if feature in SHAPE_JI846]
    return named


def feature_names(feature_set: str, image_types: Iterable[str], log_sigma_mm: Iterable[float] = ()) -> list[str]:
    """Names `<image type>_<class>_<feature>` of one region and phase, shape first (once), then image by image.

    851 (`full851`) or 846 (`ji846`) names for Original and Wavelet, 93 more for every LoG sigma (mm, counted only if
    image_types has LoG). Raises StudyError for anything else.
    """
    image_types = list(image_types)
    sigmas = [float(sigma) for sigma in log_sigma_mm]
    unknown = [kind for kind in image_types if kind not in IMAGE_TYPES]
    if unknown:
        raise StudyError(f"image type {unknown[0]!r} is not offered; use {', '.join(IMAGE_TYPES)}")
    if "Original" not in image_types:
        raise StudyError("image_types must contain Original")
    if "LoG" in image_types and (not sigmas or min(sigmas) <= 0 or len(set(sigmas)) < len(sigmas)):
        raise StudyError("image type LoG needs log_sigma_mm: different widths above 0, in mm")
    images = {**IMAGES, "LoG": tuple(log_name(sigma) for sigma in sigmas)}
    classes = class_features(feature_set)
    names = [joined("original", "shape", feature) for feature in classes.pop("shape")]
    for image in (image for kind in IMAGE_TYPES if kind in image_types for image in images[kind]):
        names += [joined(image, name, feature) for name, features in classes.items() for feature in features]
    return names


def log_name(sigma: float) -> str:
    """pyradiomics' name of the LoG image of a sigma in mm."""
    return f"log-sigma-{str(float(sigma)).replace('.', '-')}-mm-3D"


def count_by_class(names: Iterable[str]) -> dict[str, dict[str, int]]:
    """Image type -> class -> number of features, of the names of one region and phase."""
    counted = Counter(measure_parts(name)[:2] for name in names)
    table: dict[str, dict[str, int]] = {}
    for (image, feature_class), n in counted.items():
        table.setdefault(image, {})[feature_class] = n
    return table
