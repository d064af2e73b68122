"""`mode: ibsi`: image processing as the IBSI reference manual defines it; pyradiomics computes the features from it.

Plain pyradiomics lays its resampling grid from the image's corner, takes masks by nearest neighbour, does not round
and starts its bins at the region's minimum. Here the scheme of the manual (Zwanenburg et al. 2016, arXiv:1612.07003,
chapter 2) is followed up to the discretised region. tests/features/test_exactness.py holds the result to the consensus
values of the digital phantom and of the five configurations of the CT phantom (Zwanenburg et al., Radiology
2020;295:328).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk
from radiomics import imageoperations
from scipy import ndimage

from recur.features.accelerate import Filters, grid_features
from recur.features.bins import bin_edges
from recur.features.plain import bin_settings, extractor
from recur.features.resample import MARGIN_VOXELS, bounds
from recur.features.sets import TEXTURES, class_features
from recur.images.case_file import Case

ORDERS = {"sitkLinear": 1, "sitkBSpline": 3}
DECIMALS = 6  # interpolated values are settled to these, so that halves fall one way whatever the crop

# Where a formula of pyradiomics is not the manual's, whatever it is given; all else is within the consensus' tolerance.
DEVIATIONS = {
    "original_firstorder_Kurtosis": "pyradiomics does not subtract 3",
    "original_shape_MinorAxisLength": "pyradiomics' covariance divides by n, not n - 1: seen in tiny regions only",
    "original_shape_LeastAxisLength": "pyradiomics' covariance divides by n, not n - 1: seen in tiny regions only",
}


class Prepared(NamedTuple):
    """A region ready for pyradiomics; arrays are (z, y, x) on one part of the centred grid."""

    image: np.ndarray  # float64
    morphological: np.ndarray  # bool, the region's form
    intensity: np.ndarray  # bool, the same after re-segmentation
    spacing: np.ndarray  # mm, (x, y, z)
    first: np.ndarray  # index of the first voxel in the grid of the whole image, (x, y, z)
    full_size: np.ndarray  # voxels of that grid, (x, y, z)


def centred_grid(size: np.ndarray, spacing: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of the new grid, and where its first one lies in the old one (continuous index), both (x, y, z).

    Old and new grid share their centre (section 2.4 of the manual). size: voxels; spacings: mm.
    """
    ratio = wanted / spacing
    new = np.ceil(np.round(size / ratio, DECIMALS)).astype(int)
    return new, 0.5 * (size - 1) - 0.5 * (new - 1) * ratio


def prepare(case: Case, mask: np.ndarray, extraction: dict[str, Any]) -> Prepared:
    """One region of a case interpolated, rounded and re-segmented, with `pad_distance` voxels around it.

    mask: bool (z, y, x) in the crop. A spacing of 0 keeps that axis (configuration B keeps the slices). HU are rounded;
    intensities of MR and normalised ones are not (section 2.4 of the manual). Raises ValueError when nothing of the
    region is left or the stored crop is too small.
    """
    spacing = np.where(np.asarray(extraction["spacing_mm"], float) == 0, case.spacing, extraction["spacing_mm"])
    ratio = spacing / case.spacing
    full, start = centred_grid(case.full_size, case.spacing, spacing)
    low, high = (index + case.offset for index in bounds(mask))
    pad = int(extraction["pad_distance"])
    # the interpolated mask reaches 0.5 half a voxel outside at most
    first = np.ceil(np.round((low - 0.5 - start) / ratio, DECIMALS)).astype(int)
    last = np.floor(np.round((high + 0.5 - start) / ratio, DECIMALS)).astype(int)
    first, last = np.clip(first - pad, 0, full - 1), np.clip(np.maximum(first, last) + pad, 0, full - 1)
    order = ORDERS[extraction["interpolator"]]
    at = start + first * ratio - case.offset  # of the first and last voxel in the crop, continuous index
    until = start + last * ratio - case.offset
    _check_room(case, at, until, np.where(np.isclose(ratio, 1), 0, MARGIN_VOXELS if order == 3 else 1), pad)

    def interpolated(array: np.ndarray, order: int) -> np.ndarray:
        shape = tuple((last - first + 1)[::-1])
        if np.allclose(ratio, 1):
            order = 0
        values = ndimage.affine_transform(
            array.astype(np.float64), ratio[::-1], at[::-1], shape, order=order, mode="nearest"
        )
        return np.round(values, DECIMALS)

    image, region = interpolated(case.image, order), interpolated(mask, 1) >= 0.5
    if _in_hounsfield(case):
        image = np.rint(image)
    intensity = resegmented(image, region, extraction["resegment"], extraction["outlier_sd"])
    if not intensity.any():
        raise ValueError("no voxel is left after interpolation and re-segmentation")
    return Prepared(image, region, intensity, spacing, first, full)


def _in_hounsfield(case: Case) -> bool:
    facts = case.facts
    return facts.get("modality", "CT") == "CT" and facts.get("normalise", "none") == "none" and not facts.get("n4")


def _check_room(case: Case, at: np.ndarray, until: np.ndarray, margin: np.ndarray, pad: int) -> None:
    """Raise ValueError unless the crop holds the box and the interpolation's margin, as far as the scan goes."""
    begin, end = -case.offset, case.full_size - 1 - case.offset  # of the scan, in the crop's index
    low = np.floor(np.round(np.maximum(at, begin), DECIMALS)) - margin
    high = np.ceil(np.round(np.minimum(until, end), DECIMALS)) + margin
    size = np.array(case.image.shape[::-1])
    if (np.maximum(low, begin) < 0).any() or (np.minimum(high, end) > size - 1).any():
        raise ValueError(f"stored crop is too small for pad_distance {pad}; lower it, or raise pad_mm of the regions")


def resegmented(
    image: np.ndarray, region: np.ndarray, limits: list[float] | None, outlier_sd: float | None
) -> np.ndarray:
    """The region without voxels outside `limits` (both kept) and beyond `outlier_sd` SD of the mean (section 2.6).

    Mean and SD (population) are those of the voxels within the limits, as in configuration E.
    """
    kept = region
    if limits is not None:
        kept = kept & (image >= limits[0]) & (image <= limits[1])
    if outlier_sd is not None and kept.any():
        mean, sd = image[kept].mean(), image[kept].std()
        kept = kept & (np.abs(image - mean) <= outlier_sd * sd)
    return kept


@contextlib.contextmanager
def ibsi_bins() -> Iterator[None]:
    """Unaccelerated pyradiomics discretises by recur.features.bins, which knows where IBSI's bins start."""
    saved = imageoperations.getBinEdges
    imageoperations.getBinEdges = lambda values, **settings: bin_edges(values, settings)
    try:
        yield
    finally:
        imageoperations.getBinEdges = saved


def ibsi_features(case: Case, mask: np.ndarray, extraction: dict[str, Any]) -> dict[str, Any]:
    """Features of one region by pyradiomics from IBSI's arrays, names as pyradiomics gives them."""
    return prepared_features(prepare(case, mask, extraction), extraction)


def prepared_features(region: Prepared, extraction: dict[str, Any]) -> dict[str, Any]:
    """Shape from the morphological mask, every other class from the intensity mask; 3-D, averaged over directions."""
    flat = _flat(region.intensity) or np.ptp(region.image[region.intensity]) == 0
    if not (flat or extraction["engine"] == "plain"):
        filters = Filters(
            extraction["image_types"], extraction["log_sigma_mm"], bin_settings(extraction), _origin(extraction)
        )
        return grid_features(region.image, region.intensity, region.spacing, filters, region.morphological)
    classes = class_features(extraction["feature_set"])
    shape = {"shape": classes.pop("shape")}
    return _executed(region, region.morphological, extraction | {"image_types": []}, shape) | _executed(
        region, region.intensity, extraction, classes
    )


def aggregated_features(region: Prepared, extraction: dict[str, Any], **aggregation: Any) -> dict[str, Any]:
    """Textures under pyradiomics' `force2D` (by slice) or `weightingNorm` "no_weighting" (one merged matrix)."""
    classes = class_features(extraction["feature_set"])
    textures = {name: classes[name] for name in TEXTURES}
    return _executed(region, region.intensity, extraction, textures, **aggregation)


def _executed(
    region: Prepared, mask: np.ndarray, extraction: dict[str, Any], classes: dict[str, list[str]], **aggregation: Any
) -> dict[str, Any]:
    """Features of these classes by unaccelerated pyradiomics."""
    made = extractor(extraction, resample=False)
    made.enabledFeatures = classes
    made.settings.update(aggregation)
    if "Original" in made.enabledImagetypes:
        made.enabledImagetypes["Original"] = _origin(extraction)
    grids = [sitk.GetImageFromArray(array) for array in (region.image, mask.astype(np.uint8))]
    for grid in grids:
        grid.SetSpacing(region.spacing.tolist())
    with ibsi_bins():
        return dict(made.execute(*grids))


def _origin(extraction: dict[str, Any]) -> dict[str, Any]:
    """Where bins of fixed width start; a range of HU says nothing of filtered images, so only the unfiltered one's."""
    return {} if extraction["resegment"] is None else {"binOrigin": extraction["resegment"][0]}


def _flat(mask: np.ndarray) -> bool:
    low, high = bounds(mask)
    return bool((low == high).any())
