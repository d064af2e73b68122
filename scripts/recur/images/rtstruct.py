"""RTSTRUCT: closed planar contours filled on the image's slices, and between them where they are farther apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydicom import Dataset
from scipy.ndimage import distance_transform_edt

from recur.images.acquisition import clean_text, identifying_words
from recur.images.grid import LATTICE_TOLERANCE, Grid, Mask
from recur.images.labels import choose
from recur.tables import StudyError

FINER = 3  # pixels of the grid on which distances are measured, per pixel of the image
GAP = 1.5  # contour planes farther apart than this many usual distances are two parts with nothing between


def read_rtstruct(data: Dataset, label: str, grid: Grid, name: str) -> Mask:
    """Fill the closed planar contours of the chosen ROIs: voxel centres inside, even-odd rule for holes.

    Contours on the image's slices are filled there. Where contour planes lie between slices, or farther apart than
    slices, a slice between two of them gets the mean of their signed distances, weighted by nearness (shape-based
    interpolation, Raya and Udupa 1990; tests: a cone between its rings); one plane stands for half the usual distance
    beyond it. Larger gaps stay empty.
    """
    words = identifying_words(data)
    rois = {
        int(s.ROINumber): clean_text(s.get("ROIName", ""), words)
        for s in data.StructureSetROISequence
        if s.get("ROINumber") is not None
    }
    mask, flags = np.zeros(grid.size[::-1], dtype=bool), []
    for number in choose(label, rois, name, "ROI"):
        planes, copies, strays = _planes(data, number, rois[number], grid, name)
        flags += [f"{copies} contours drawn twice"] * bool(copies)
        flags += [f"{strays} contours of one or two points left out"] * bool(strays)
        on_slices = {int(np.round(z)) for z in planes}
        off = max((abs(z - np.round(z)) for z in planes), default=0)
        distances = np.diff(sorted(planes))
        usual = float(np.median(distances)) if len(distances) > 1 else 1.0  # two planes may be two parts
        if off <= LATTICE_TOLERANCE and usual < 1 + LATTICE_TOLERANCE:
            for z, contours in planes.items():
                mask[int(np.round(z))] |= fill_even_odd(contours, mask.shape[1:])
            skipped = max(on_slices, default=0) - min(on_slices, default=0) + 1 - len(on_slices)
            flags += [f"{skipped} slices without a contour inside the ROI"] * bool(planes and skipped)
        else:
            mask |= _between(planes, usual, mask.shape, grid.spacing)
            flags.append(f"contours every {usual * grid.spacing[2]:.3g} mm interpolated to the slices")
    return Mask(mask, tuple(flags))


def _planes(
    data: Dataset, number: int, roi: str, grid: Grid, name: str
) -> tuple[dict[float, list[np.ndarray]], int, int]:
    """Contours (n, 2; x, y in voxels) of an ROI by their plane (z in voxels), and how many were there twice.

    Last, how many enclose nothing, as one click leaves behind.
    """
    items = [
        c for r in data.ROIContourSequence if int(r.ReferencedROINumber) == number for c in r.get("ContourSequence", [])
    ]
    planes: dict[float, list[np.ndarray]] = {}
    copies = strays = 0
    for item in items:
        if not str(item.get("ContourGeometricType", "")).startswith("CLOSED"):
            continue
        points = grid.to_index(np.array(item.ContourData, dtype=float).reshape(-1, 3))
        points = np.round(points, 6)  # without floating-point noise a point meant for a voxel centre falls on it
        if not np.isfinite(points).all():
            raise ValueError
        if len(points) < 3:
            strays += 1
            continue
        z = float(np.mean(points[:, 2]))
        if np.ptp(points[:, 2]) > 2 * LATTICE_TOLERANCE:
            cause = f"it spans {np.ptp(points[:, 2]):.1f} slices: drawn on another plane"
        elif (points[:, :2] < -1).any() or (points[:, :2] > np.array(grid.size[:2])).any():
            cause = "outside the image"
        elif not -0.5 <= z <= grid.size[2] - 0.5:
            cause = f"{max(-z, z - grid.size[2] + 1):.1f} slices beyond the image"
        else:
            near = next((known for known in planes if abs(known - z) < 0.01), z)
            known = planes.setdefault(near, [])
            same = any(len(c) == len(points) and np.allclose(c, points[:, :2], atol=1e-4) for c in known)
            copies += same
            known += [] if same else [points[:, :2]]
            continue
        raise StudyError(
            f"{name}: a contour of ROI {roi!r} does not lie on the image's grid ({cause}): image {grid}; "
            "use the series it was drawn on"
        )
    if not planes:
        raise StudyError(f"{name}: ROI {roi!r} has no closed contour")
    return planes, copies, strays


def _between(
    planes: dict[float, list[np.ndarray]], usual: float, shape: tuple[int, ...], spacing: tuple[float, ...]
) -> np.ndarray:
    """The slices of a mask (z, y, x) from contours on planes at other z (in slices), `usual` apart."""
    mask = np.zeros(shape, dtype=bool)
    points = np.concatenate([contour for contours in planes.values() for contour in contours])
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, shape[:0:-1])
    box = slice(low[1], high[1]), slice(low[0], high[0])
    signed = {z: _signed_distance(contours, low, high, spacing) for z, contours in planes.items()}
    known = sorted(planes)
    for k in range(shape[0]):
        below = max((z for z in known if z <= k), default=None)
        above = min((z for z in known if z >= k), default=None)
        nearest = min(known, key=lambda z: abs(z - k))
        if below is not None and above is not None and 0 < above - below <= GAP * usual:
            share = (k - below) / (above - below)
            mask[k][box] = (1 - share) * signed[below] + share * signed[above] > 0
        elif abs(nearest - k) < usual / 2:
            mask[k] = fill_even_odd(planes[nearest], shape[1:])
    return mask


def _signed_distance(
    contours: list[np.ndarray], low: np.ndarray, high: np.ndarray, spacing: tuple[float, ...]
) -> np.ndarray:
    """Distance (mm) of each pixel centre of a box (x, y: low to high) to the contours, positive inside."""
    columns, rows = (high - low) * FINER
    inside = fill_even_odd([(points - low) * FINER + (FINER - 1) / 2 for points in contours], (rows, columns))
    if inside.all() or not inside.any():  # there is no border in sight
        far = max(spacing[0] * columns, spacing[1] * rows)
        return np.full((rows // FINER, columns // FINER), far if inside.all() else -far)
    sampling = spacing[1] / FINER, spacing[0] / FINER
    distance = distance_transform_edt(inside, sampling) - distance_transform_edt(~inside, sampling)
    return distance[FINER // 2 :: FINER, FINER // 2 :: FINER]


def fill_even_odd(contours: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Fill closed polygons by the even-odd rule: a pixel belongs if its centre is inside an odd number of them.

    `contours`: arrays (n, 2) of x, y in pixel indices (centres are whole numbers); returns bool (rows, columns).
    Every edge flips all pixels of a row from its crossing on, so holes, islands and key-hole contours need no cases.
    A centre on a left or upper border is inside, on a right or lower one outside: neighbours never share a pixel.
    Own code: the polygon fillers of Pillow draw outlines too, and scikit-image would be a package for this line sweep.
    """
    rows, columns = shape
    flips = np.zeros((rows, columns + 1), dtype=np.int32)
    for points in contours:
        (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
        first = np.clip(np.ceil(np.minimum(y0, y1)), 0, rows).astype(int)
        last = np.clip(np.ceil(np.maximum(y0, y1)), 0, rows).astype(int)
        crossed = last - first  # pixel rows each edge crosses, half-open so that a vertex counts once
        edge = np.repeat(np.arange(len(points)), crossed)
        row = np.arange(crossed.sum()) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
        x = x0[edge] + (row - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
        np.add.at(flips, (row, np.clip(np.ceil(x), 0, columns).astype(int)), 1)
    return np.cumsum(flips, axis=1)[:, :columns] % 2 == 1
