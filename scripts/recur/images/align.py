"""How far the patient moved between two phases that share one mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import SimpleITK as sitk
from scipy import fft

from recur.images.case_file import TUMOUR, Case, case_image
from recur.images.flags import flag

FLAGGED_MM = 3.0
STEP_MM = 2.0  # of the grid on which both phases are compared
AROUND_MM = 32.0  # how far around the tumour; breathing moves a liver by 10 to 20 mm
LEAST_VOXELS = 8  # a side of that grid
SMOOTH_VOXELS = 1.0
SOFT_TISSUE_HU = (-150.0, 250.0)
LEAST_PEAK = 12.0  # in SDs of the correlation; unrelated CTs reach 9 at most, shifted and enhanced ones 19 at least


def shifts_under_one_mask(
    readings: Sequence[tuple[Mapping[str, Any], Case | None]],
) -> list[tuple[float | None, str | None]]:
    """(phase_shift_mm, flag) for each (manifest row, case) of a patient.

    Rows of one reader that name the same mask file and label are compared with the first of them; other rows and cases
    that were excluded (None) have no shift.
    """
    first: dict[tuple[Any, ...], tuple[str, Case]] = {}
    shifts = []
    for row, case in readings:
        if case is None:
            shifts.append((None, None))
            continue
        phase, first_case = first.setdefault((row["reader"], row["mask"], row.get("mask_label")), (row["phase"], case))
        shifts.append((None, None) if first_case is case else _described(first_case, case, phase))
    return shifts


def _described(fixed: Case, moving: Case, phase: str) -> tuple[float | None, str | None]:
    voxels = np.argwhere(fixed.labels & TUMOUR)[:, ::-1]
    points = voxels @ (np.reshape(fixed.direction, (3, 3)) * fixed.spacing).T + fixed.origin
    ct = fixed.facts.get("modality", "CT") == "CT" and fixed.facts.get("normalise", "none") == "none"
    shift = phase_shift(case_image(fixed), case_image(moving), points, ct)
    if shift is None:
        return None, flag("moved", f"mask shared with {phase}, but the two images cannot be compared")
    length = float(np.round(np.linalg.norm(shift), 1))
    parts = " ".join(f"{v:.0f}" for v in np.round(shift) + 0.0)
    if length <= FLAGGED_MM:
        return length, None
    return length, flag("moved", f"moved {length:.1f} mm ({parts}) since {phase} under one mask")


def phase_shift(fixed: sitk.Image, moving: sitk.Image, tumour: np.ndarray, ct: bool) -> np.ndarray | None:
    """Translation (x, y, z; mm, LPS) that takes the anatomy of `fixed` around the tumour to where it is in `moving`.

    Phase correlation (Kuglin and Hines 1975): the spectrum's magnitude is divided out, so that edges count and not the
    enhancement; Hann window, smoothed, the peak refined by a parabola. None if there is no clear peak.
    `fixed`, `moving`: images in one frame of reference; `tumour`: points (n, 3; mm) of the region; `ct`: grey values
    are HU, others are cut at their 1st and 99th percentile. Own code: scikit-image would be a package for this FFT, and
    SimpleITK's registration by mutual information starts within 10 mm only. On five shifted, enhanced and noisy CTs
    with 5 mm slices the error is below 2 mm for shifts up to 14 mm.
    """
    extents = [_extent(image) for image in (fixed, moving)]
    low = np.max([tumour.min(axis=0) - AROUND_MM, *(low for low, _ in extents)], axis=0)
    high = np.min([tumour.max(axis=0) + AROUND_MM, *(high for _, high in extents)], axis=0)
    size = np.floor((high - low) / STEP_MM).astype(int)
    if size.min() < LEAST_VOXELS:
        return None
    boxes = [_soft_tissue(image, low, size, ct) for image in (fixed, moving)]
    if boxes[0] is None or boxes[1] is None:
        return None
    shape = boxes[0].shape
    window = np.einsum("i,j,k->ijk", *(np.hanning(n) for n in shape))
    a, b = (fft.rfftn((box - box.mean()) * window) for box in boxes)
    cross = b * np.conj(a)
    strength = np.abs(cross)
    if not strength.max() > 0:
        return None
    cross /= strength + 1e-3 * strength.max()
    waves = np.meshgrid(*(np.fft.fftfreq(n) for n in shape[:2]), np.fft.rfftfreq(shape[2]), indexing="ij")
    cross *= np.exp(-2 * (np.pi * SMOOTH_VOXELS) ** 2 * sum(w**2 for w in waves))
    correlation = fft.irfftn(cross, s=shape)
    if correlation.max() < LEAST_PEAK * correlation.std():
        return None
    return _peak(correlation)[::-1] * STEP_MM


def _extent(image: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest x, y, z (mm) of the image's corner voxels."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(image.GetSize()) - 1)
    points = np.array([image.TransformIndexToPhysicalPoint(c.tolist()) for c in corners])
    return points.min(axis=0), points.max(axis=0)


def _soft_tissue(image: sitk.Image, low: np.ndarray, size: np.ndarray, ct: bool) -> np.ndarray | None:
    """The box (z, y, x) on the common grid, grey values cut to soft tissue, places outside the image flat."""
    axes = np.eye(3).ravel().tolist()
    grid = size.tolist(), sitk.Transform(), sitk.sitkLinear, low.tolist(), [STEP_MM] * 3, axes
    box = sitk.Resample(image, *grid, float("nan"))
    values = sitk.GetArrayFromImage(box).astype(float)
    inside = np.isfinite(values)
    if inside.mean() < 0.5:
        return None
    cut = SOFT_TISSUE_HU if ct else np.percentile(values[inside], [1, 99])
    return np.clip(np.where(inside, values, np.median(values[inside])), *cut)


def _peak(correlation: np.ndarray) -> np.ndarray:
    """Place (z, y, x; voxels, negative beyond the middle) of the maximum, refined by a parabola along each axis."""
    top = np.array(np.unravel_index(correlation.argmax(), correlation.shape))
    place = np.empty(3)
    for axis, length in enumerate(correlation.shape):
        near = []
        for step in (-1, 0, 1):
            at = top.copy()
            at[axis] = (top[axis] + step) % length
            near.append(correlation[tuple(at)])
        bend = near[0] - 2 * near[1] + near[2]
        place[axis] = top[axis] + (0.5 * (near[0] - near[2]) / bend if bend else 0)
        place[axis] -= length if place[axis] > length / 2 else 0
    return place
