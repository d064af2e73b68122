"""Perturbed readings: what a second reader, another position or another scan might have given, drawn at random.

A stand-in for a second reader, after Zwanenburg et al., Sci Rep 2019;9:614: noise, rotation, sub-voxel shift, growth or
shrinkage and supervoxel-based contour randomisation, in one chain. It judges what these changes do to a feature and
nothing else: readers also disagree on what is tumour. Arrays are (z, y, x), spacings x, y, z in mm.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pywt
import SimpleITK as sitk
from scipy import ndimage

from recur.images.case_file import CLIP, LIVER, TUMOUR
from recur.images.regions import bounding_box, rims, widen

ROTATION_DEGREES = 6.0  # the largest, either way, about the axis of the slices
VOLUME_SHARE = 0.15  # the largest growth or shrinkage of the tumour's volume
SUPERVOXEL_MM3 = 64.0
COMPACTNESS = 40.0  # SLIC's weight of distance against grey values scaled to 0..100
SMOOTH_MM = 1.5  # hands draw smooth contours: without it spurs of single voxels widen every rim
SURELY, NEVER = 0.9, 0.2  # share of a supervoxel inside the contour: always taken, never taken; between, by chance
REACH_MM = 10.0  # supervoxels are made this far around the tumour


def perturbed(
    image: np.ndarray,
    labels: np.ndarray,
    spacing: np.ndarray,
    facts: Mapping[str, Any],
    kinds: Iterable[str],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """One perturbed reading of a case's crop: image float32 and labels, with the rims made anew around the new tumour.

    facts: regions (name -> bit) and rims (name -> [inner, outer] mm) of the case; kinds: any of noise, rotation,
    translation, volume, contour, applied in this order. A rim that the case does not have is not made.
    """
    kinds = set(kinds)
    inside = (labels & np.uint8(sum(bit for name, bit in facts["regions"].items() if name != "liver"))) > 0
    if "noise" in kinds:
        image = (image + rng.normal(0, noise_sd(image[bounding_box(inside)]), image.shape)).astype(np.float32)
    tumour, liver, clip = ((labels & bit) > 0 for bit in (TUMOUR, LIVER, CLIP))
    degrees = rng.uniform(-ROTATION_DEGREES, ROTATION_DEGREES) if "rotation" in kinds else 0.0
    shift = rng.uniform(-0.5, 0.5, 3) if "translation" in kinds else np.zeros(3)
    if degrees or shift.any():
        centre = np.array(ndimage.center_of_mass(tumour))
        image = moved(image, spacing, centre, degrees, shift, order=3).astype(np.float32)
        tumour, liver, clip = (
            moved(mask.astype(np.float32), spacing, centre, degrees, shift, order=1) >= 0.5
            for mask in (tumour, liver, clip)
        )
    if "volume" in kinds:
        tumour = resized(tumour, spacing, rng.uniform(-VOLUME_SHARE, VOLUME_SHARE))
    if "contour" in kinds:
        tumour = redrawn(image, tumour, spacing, rng)
    made = tumour.astype(np.uint8) * TUMOUR | liver.astype(np.uint8) * LIVER | clip.astype(np.uint8) * CLIP
    present = {name: facts["regions"][name] for name in facts["rims"] if (labels & facts["regions"][name]).any()}
    if present:
        widths = {name: facts["rims"][name] for name in present}
        for name, rim in rims(tumour, tuple(spacing), widths, {"clip": clip}).items():
            made |= rim.voxels.astype(np.uint8) * np.uint8(present[name])
    return image, made


def noise_sd(image: np.ndarray) -> float:
    """SD of an image's noise: median of the finest diagonal wavelet coefficients of its slices / 0.6745.

    Chang, Yu & Vetterli, IEEE Trans Image Process 2000;9:1532 (coif1, as in Zwanenburg 2019).
    """
    fine = np.concatenate([pywt.dwt2(piece, "coif1")[1][2].ravel() for piece in image.astype(np.float64)])
    fine = np.abs(fine[fine != 0])  # zeros are padding, which has no noise
    return float(np.median(fine) / 0.6745) if fine.size else 0.0


def moved(
    array: np.ndarray, spacing: np.ndarray, centre: np.ndarray, degrees: float, shift: np.ndarray, order: int
) -> np.ndarray:
    """The array turned about `centre` (z, y, x index) in the plane of the slices and shifted by `shift` voxels.

    Splines of the given order; what comes from outside is the nearest voxel of the border.
    """
    angle = np.deg2rad(degrees)
    x, y, _ = spacing
    turn = np.eye(3)  # from output index to input index, through mm
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle) * x / y], [np.sin(angle) * y / x, np.cos(angle)]]
    return ndimage.affine_transform(array, turn, centre - turn @ centre + shift, order=order, mode="nearest")


def resized(mask: np.ndarray, spacing: np.ndarray, share: float) -> np.ndarray:
    """The mask grown or shrunk by a share of its volume: the voxels of smallest signed distance (mm) to its surface."""
    box = widen(bounding_box(mask), [2 + n // 4 for n in np.ptp(np.argwhere(mask), axis=0)], mask.shape)
    part = mask[box]
    sampling = tuple(spacing)[::-1]
    distance = ndimage.distance_transform_edt(~part, sampling) - ndimage.distance_transform_edt(part, sampling)
    count = max(1, round(int(mask.sum()) * (1 + share)))
    chosen = np.zeros(part.size, bool)
    chosen[np.argsort(distance, axis=None, kind="stable")[:count]] = True
    result = np.zeros_like(mask)
    result[box] = chosen.reshape(part.shape)
    return result


def redrawn(image: np.ndarray, mask: np.ndarray, spacing: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask as another hand might draw it along the image's edges: whole supervoxels belong to it or not.

    SLIC supervoxels (SimpleITK) around the tumour; one with 90 % of its voxels inside always belongs, one with less
    than 20 % never, others with their share as probability; then closed (Zwanenburg 2019). An empty draw changes
    nothing.
    """
    margin = [int(np.ceil(REACH_MM / step)) for step in tuple(spacing)[::-1]]
    box = widen(bounding_box(mask), margin, mask.shape)
    part = mask[box]
    low, high = np.percentile(image[box][ndimage.binary_dilation(part, iterations=2)], (1, 99))
    grey = np.clip((image[box] - low) / max(high - low, 1e-6), 0, 1) * 100
    slic = sitk.SLICImageFilter()
    slic.SetNumberOfThreads(1)
    slic.SetSuperGridSize([max(1, round(SUPERVOXEL_MM3 ** (1 / 3) / step)) for step in spacing])
    slic.SetSpatialProximityWeight(COMPACTNESS)
    slic.SetMaximumNumberOfIterations(5)
    numbers = sitk.GetArrayFromImage(slic.Execute(sitk.GetImageFromArray(grey.astype(np.float32)))).astype(np.int64)
    share = np.bincount(numbers.ravel(), part.ravel()) / np.maximum(np.bincount(numbers.ravel()), 1)
    share[share >= SURELY], share[share < NEVER] = 1, 0
    taken = rng.random(len(share)) < share
    closed = ndimage.binary_closing(np.pad(taken[numbers], 1))[1:-1, 1:-1, 1:-1]
    smooth = ndimage.gaussian_filter(closed.astype(np.float32), [SMOOTH_MM / step for step in tuple(spacing)[::-1]])
    drawn = smooth >= 0.5
    if not drawn.any():
        return mask
    result = np.zeros_like(mask)
    result[box] = drawn
    return result
