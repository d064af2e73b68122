"""The regions of a case: the rim around the tumour, and the tumour's size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

Box = tuple[slice, slice, slice]
ROUNDING_MM = 1e-3  # NIfTI rounds spacings to float32, DICOM to text: a voxel at just the rim's distance belongs to it


class Rim(NamedTuple):
    """Rim voxels (z, y, x; bool), the share of the full shell they keep, and a remark on the clipping or None."""

    voxels: np.ndarray
    shell_fraction: float
    flag: str | None


def rim(
    tumour: np.ndarray,
    spacing: tuple[float, float, float],
    rim_mm: float,
    liver: np.ndarray | None = None,
    image: np.ndarray | None = None,
    hu_window: tuple[float, float] | None = None,
) -> Rim:
    """The peritumoral rim: voxels whose centre lies at most `rim_mm` from a tumour voxel's centre, minus the tumour.

    Clipped to the liver mask; without one to the HU window of the image; without both not at all (the last two are
    flagged). Arrays are (z, y, x), spacing is x, y, z in mm. `shell_fraction` = kept / full shell, where the part of
    the shell beyond the image's border belongs to the full shell and is lost. Exact Euclidean distances in mm
    (scipy), only in the tumour's box widened by the rim.
    """
    sampling = spacing[::-1]
    reach = [int(np.ceil(rim_mm / step)) for step in sampling]
    tight = bounding_box(tumour)
    inner = widen(tight, reach, tumour.shape)
    beyond = [  # the shell also counts where the image ends
        (r - (t.start - i.start), r - (i.stop - t.stop)) for r, t, i in zip(reach, tight, inner, strict=True)
    ]
    core = np.pad(tumour[inner], beyond)
    near = distance_transform_edt(~core, sampling=sampling) <= rim_mm + ROUNDING_MM
    shell = near & ~core
    within = tuple(slice(low, low + s.stop - s.start) for (low, _), s in zip(beyond, inner, strict=True))
    kept = shell[within].copy()
    flag = None
    if liver is not None:
        kept &= liver[inner]
    elif hu_window is not None:
        low, high = hu_window
        kept &= (image[inner] >= low) & (image[inner] <= high)
        flag = f"no liver mask: rim clipped to {low:g}..{high:g} HU"
    else:
        flag = "no liver mask and no HU window: rim not clipped"
    voxels = np.zeros(tumour.shape, dtype=bool)
    voxels[inner] = kept
    full = int(shell.sum())
    return Rim(voxels, float(kept.sum() / full) if full else 0.0, flag)


def bounding_box(mask: np.ndarray) -> Box:
    """Tight box of the true voxels (which must exist) as slices of z, y, x."""
    box = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        box.append(slice(int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def widen(box: Box, voxels: list[int], shape: tuple[int, ...]) -> Box:
    """The box widened by so many voxels on both sides of each axis, cut at the array's border."""
    return tuple(slice(max(b.start - v, 0), min(b.stop + v, n)) for b, v, n in zip(box, voxels, shape, strict=True))


def maximum_diameter(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """Largest distance (mm) between two points of the mask's surface, as pyradiomics' Maximum3DDiameter.

    The surface points are the centres of the voxel faces between inside and outside, where pyradiomics' mesh has its
    vertices; the two farthest of them lie on the convex hull.
    """
    padded = np.pad(mask[bounding_box(mask)], 1)
    points = []
    for axis in range(3):
        faces = np.argwhere(np.diff(padded, axis=axis)).astype(float)
        faces[:, axis] += 0.5
        points.append(faces)
    points = np.concatenate(points) * np.asarray(spacing[::-1])
    return float(pdist(points[ConvexHull(points).vertices]).max())
