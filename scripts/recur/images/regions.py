"""The regions of a case: lesions told apart, rims around them, and their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

Box = tuple[slice, slice, slice]
ROUNDING_MM = 1e-3  # NIfTI rounds spacings to float32, DICOM to text: a voxel at just the rim's distance belongs to it
SPECK_ML = 0.05  # a ball of 4.6 mm: what a brush leaves behind, not a lesion that can be measured


class Rim(NamedTuple):
    """Rim voxels (z, y, x; bool), the share of the full shell they keep, and the shares lost, by what took them."""

    voxels: np.ndarray
    shell_fraction: float
    lost: dict[str, float]


def rims(
    tumour: np.ndarray,
    spacing: tuple[float, float, float],
    widths: Mapping[str, tuple[float, float]],
    clips: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Rim]:
    """Shells around the tumour: voxels whose centre lies more than `inner` and at most `outer` mm from the tumour.

    widths: name -> (inner, outer), mm to the centre of the nearest tumour voxel; the tumour itself never belongs.
    clips: name -> where a rim may lie, applied in this order: a voxel is lost to the first that forbids it, and the
    part of the shell beyond the image is lost to "image". Arrays are (z, y, x) bool, spacing is x, y, z in mm. Exact
    Euclidean distances (scipy), once for all rims, only in the tumour's box widened by the widest of them.
    """
    sampling = spacing[::-1]
    reach = [int(np.ceil(max(outer for _, outer in widths.values()) / step)) for step in sampling]
    tight = bounding_box(tumour)
    box = widen(tight, reach, tumour.shape)
    beyond = [  # the shell also counts where the image ends
        (r - (t.start - i.start), r - (i.stop - t.stop)) for r, t, i in zip(reach, tight, box, strict=True)
    ]
    core = np.pad(tumour[box], beyond)
    distance = ndimage.distance_transform_edt(~core, sampling=sampling)
    within = tuple(slice(low, low + s.stop - s.start) for (low, _), s in zip(beyond, box, strict=True))
    made = {}
    for name, (inner, outer) in widths.items():
        shell = ~core & (distance <= outer + ROUNDING_MM)
        if inner:
            shell &= distance > inner + ROUNDING_MM
        full = int(shell.sum())
        kept = shell[within].copy()
        lost = {}
        left = full
        for clip, allowed in {"image": None, **(clips or {})}.items():
            if allowed is not None:
                kept &= allowed[box]
            now = int(kept.sum())
            lost[clip] = (left - now) / full if full else 0.0
            left = now
        voxels = np.zeros(tumour.shape, dtype=bool)
        voxels[box] = kept
        made[name] = Rim(voxels, left / full if full else 0.0, lost)
    return made


def lesions(tumour: np.ndarray, spacing: tuple[float, float, float]) -> tuple[Box, np.ndarray]:
    """The separate lesions of a mask (z, y, x; bool): its box, and in it the number of each, the largest being 1.

    Voxels that share a corner are one lesion. Pieces below SPECK_ML have 0, as what is no tumour, unless they are all
    there is (then the largest is 1).
    """
    box = bounding_box(tumour)
    labels, _ = ndimage.label(tumour[box], np.ones((3, 3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    order = np.argsort(-sizes, kind="stable")
    large = order[sizes[order] * np.prod(spacing) / 1000 >= SPECK_ML]
    number = np.zeros(len(sizes) + 1, np.int32)
    kept = large if len(large) else order[:1]
    number[kept + 1] = np.arange(1, len(kept) + 1)
    return box, number[labels]


def bounding_box(mask: np.ndarray) -> Box:
    """Tight box of the true voxels (which must exist) as slices of z, y, x."""
    box: list[slice] = []
    for axes in ((1, 2), (0, 2), (0, 1)):  # each axis looks at what the ones before have left
        hit = np.flatnonzero(mask[tuple(box)].any(axis=axes))
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
