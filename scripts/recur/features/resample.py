"""A case's image and regions on pyradiomics' resampled grid of the whole image, from the stored crop.

pyradiomics (imageoperations.resampleImage, 3.0.1) lays its grid from the whole mask: output voxel L of an axis lies at
continuous index 0.5 (out - in) / in + L in / out of the input. The same arithmetic is used here, so that a region's
box of voxels is the box that pyradiomics cuts from the whole resampled image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from recur.features import kernels
from recur.images.case_file import Case, placed

# The spline's error from a cut edge falls 3.7 times a voxel: below 1e-9 from 14 voxels, float32 bit for bit from 20.
MARGIN_VOXELS = 16


class Box(NamedTuple):
    """Part of the resampled lattice of the whole image, (x, y, z)."""

    spacing: np.ndarray  # mm
    low: np.ndarray  # first voxel
    size: np.ndarray
    start: np.ndarray  # continuous index of the first voxel in the whole input image


def bounds(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and last index (both inclusive), (x, y, z), of the True voxels of a (z, y, x) array."""
    spans = [np.flatnonzero(mask.any(axis=tuple(k for k in range(3) if k != axis))) for axis in (2, 1, 0)]
    return np.array([s[0] for s in spans]), np.array([s[-1] for s in spans])


def region_box(case: Case, mask: np.ndarray, spacing_mm: np.ndarray, pad: int) -> Box:
    """pyradiomics' resampled box around one region.

    mask: the region in the crop, bool (z, y, x), thicker than one voxel in every axis. spacing_mm: wanted spacing, 0
    keeping the image's. pad: padDistance, output voxels. Raises ValueError when the crop is too small for the box.
    """
    low, high = (index + case.offset for index in bounds(mask))
    spacing = np.where(np.asarray(spacing_mm, float) == 0, case.spacing, spacing_mm)
    if np.allclose(case.spacing, spacing):  # pyradiomics then crops and does not resample
        first = np.maximum(low - pad, 0)
        last = np.minimum(high + pad, case.full_size - 1)
        box = Box(case.spacing, first, last - first + 1, first.astype(float))
        margin = 0
    else:
        ratio = case.spacing / spacing
        first = np.maximum(np.floor((low - 0.5) * ratio - pad), 0)
        last = np.minimum(np.ceil((high + 0.5) * ratio + pad), np.ceil(case.full_size * ratio) - 1)
        start = 0.5 * (spacing - case.spacing) / case.spacing + first / ratio
        box = Box(spacing, first.astype(int), (last - first + 1).astype(int), start)
        margin = MARGIN_VOXELS
    reach = box.start + (box.size - 1) * box.spacing / case.spacing
    crop_end = case.offset + case.image.shape[::-1]
    needed_low = np.maximum(np.floor(box.start) - margin, 0)
    needed_high = np.minimum(np.ceil(reach) + margin, case.full_size - 1)
    if (needed_low < case.offset).any() or (needed_high > crop_end - 1).any():
        raise ValueError(f"stored crop is too small for pad_distance {pad}; lower it, or raise pad_mm of the regions")
    return box


def resampled_region(case: Case, mask: np.ndarray, box: Box) -> np.ndarray:
    """One region on a box, uint8 (z, y, x), by ITK's nearest neighbour.

    The whole image's origin is kept (the crop is pasted at its place), because ties between two voxels are common
    (1.5 mm to 1 mm) and ITK settles them by the rounding of its physical coordinates.
    """
    canvas = np.zeros(case.offset[::-1] + mask.shape, np.uint8)
    canvas[tuple(slice(k, None) for k in case.offset[::-1])] = mask
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkNearestNeighbor)
    return sitk.GetArrayFromImage(_on_box(resample, placed(canvas, case, case.full_origin), case, box))


def spline_coefficients(image: np.ndarray) -> np.ndarray:
    """Cubic B-spline coefficients, float64 (z, y, x), for any number of resampled_image calls."""
    coefficients = image.astype(np.float64)
    for axis in range(3):
        lines = np.ascontiguousarray(np.moveaxis(coefficients, axis, 0))
        kernels.spline_filter(lines.reshape(lines.shape[0], -1))
        coefficients = np.moveaxis(lines, 0, axis)
    return np.ascontiguousarray(coefficients)


def resampled_image(case: Case, coefficients: np.ndarray, box: Box) -> np.ndarray:
    """The image on a box, float32 (z, y, x): ITK's cubic B-spline as three 1-D passes (ITK: 64 taps a voxel)."""
    if np.allclose(case.spacing, box.spacing):
        first = box.low - case.offset
        return case.image[tuple(slice(k, k + n) for k, n in zip(first[::-1], box.size[::-1], strict=True))].copy()
    taps = []
    for axis in range(3):
        index = box.start[axis] + np.arange(box.size[axis]) * (box.spacing[axis] / case.spacing[axis])
        taps.append(_taps(index - case.offset[axis], coefficients.shape[2 - axis]))
    values = np.empty(box.size[::-1], np.float32)
    kernels.spline_values(coefficients, *taps[2], *taps[1], *taps[0], values)
    if (box.start + (box.size - 1) * box.spacing / case.spacing > case.full_size - 1).any():
        # ITK puts 0 where a point lies outside the image; on its very border rounding decides, so ITK is asked
        values[resampled_region(case, np.ones(case.image.shape, bool), box) == 0] = 0
    return values


def _on_box(resample: sitk.ResampleImageFilter, image: sitk.Image, case: Case, box: Box) -> sitk.Image:
    resample.SetOutputSpacing(box.spacing.tolist())
    resample.SetOutputDirection(case.direction.tolist())
    resample.SetOutputOrigin(image.TransformContinuousIndexToPhysicalPoint(box.start.tolist()))
    resample.SetSize(box.size.tolist())
    return resample.Execute(image)


def _taps(index: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Four of n coefficients per position, mirrored at the edges, and their weights; both (positions, 4)."""
    first = np.floor(index)
    f = index - first
    weight = np.empty((len(index), 4))
    weight[:, 3] = f**3 / 6
    weight[:, 0] = 1 / 6 + f * (f - 1) / 2 - weight[:, 3]
    weight[:, 2] = f + weight[:, 0] - 2 * weight[:, 3]
    weight[:, 1] = 1 - weight[:, 0] - weight[:, 2] - weight[:, 3]
    tap = np.abs(first.astype(np.int64)[:, None] + np.arange(-1, 3))
    return np.where(tap > n - 1, np.abs(2 * (n - 1) - tap), tap), weight
