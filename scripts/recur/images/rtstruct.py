"""RTSTRUCT: closed planar contours filled on the image's slices, and between them where they are farther apart."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from scipy.ndimage import distance_transform_edt

from recur.images.acquisition import clean_text, identifying_words
from recur.images.flags import flag
from recur.images.grid import LATTICE_TOLERANCE, Grid, Mask, Stack, Volume
from recur.images.labels import choose
from recur.tables import StudyError

FINER = 3  # pixels of the grid on which distances are measured, per pixel of the image
CROSSING = 3  # voxels: contours that touch share some
CENTRE_TOLERANCE = 0.01  # voxels
GAP = 1.5  # contour planes farther apart than this many usual distances are two parts with nothing between


class Contours(NamedTuple):
    """Contours of an ROI (n, 2; x, y in voxels) by their plane (z in voxels), and what is to be said of them.

    on_centres: the vertices are centres of voxels, as programs write them that trace the border voxels of a mask; then
    the border belongs to the mask.
    """

    planes: dict[float, list[np.ndarray]]
    flags: list[str]
    on_centres: bool


def read_rtstruct(data: Dataset, label: str, image: Volume, name: str) -> Mask:
    """Fill the closed planar contours of the chosen ROIs: voxel centres inside, even-odd rule for holes.

    Contours on the image's slices are filled there. Where contour planes lie between slices, or farther apart than
    slices, a slice between two of them gets the mean of their signed distances, weighted by nearness (shape-based
    interpolation, Raya and Udupa 1990; tests: a cone between its rings); one plane stands for half the usual distance
    beyond it. Larger gaps stay empty.
    """
    words = identifying_words(data)
    rois = {
        int(s.ROINumber): str(s.get("ROIName", ""))
        for s in data.StructureSetROISequence
        if s.get("ROINumber") is not None
    }
    shown = {number: clean_text(text, words) for number, text in rois.items()}
    uneven = image.stack if image.stack is not None and image.stack.along is not None else None
    lattice = uneven or image.grid
    grid = uneven.grid if uneven else image.grid
    mask = np.zeros(grid.size[::-1], dtype=bool)
    flags = []
    for number in choose(label, rois, name, "ROI", shown):
        contours = _contours(data, number, shown[number], lattice, grid, name)
        made, said = _filled(contours, grid)
        mask |= made
        flags += [*contours.flags, *said]
    if uneven:
        mask = uneven.remade(mask)
        flags.append(flag("adapted", "contours drawn on uneven slices resampled with them"))
    return Mask(mask, tuple(flags))


def _filled(found: Contours, grid: Grid) -> tuple[np.ndarray, list[str]]:
    """The mask (z, y, x) of an ROI's contours, and how it was made where that is not plain."""
    planes = found.planes
    mask = np.zeros(grid.size[::-1], dtype=bool)
    flags = []
    on_slices = {int(np.round(z)) for z in planes}
    off = max((abs(z - np.round(z)) for z in planes), default=0)
    distances = np.diff(sorted(planes))
    usual = float(np.median(distances)) if len(distances) > 1 else 1.0  # two planes may be two parts
    if found.on_centres:
        flags.append(flag("adapted", "contours run through voxel centres: their border voxels are included"))
    if off <= LATTICE_TOLERANCE and usual < 1 + LATTICE_TOLERANCE:
        lost = 0
        for z, contours in planes.items():
            plane, line = fill_even_odd(contours, mask.shape[1:]), border(contours, mask.shape[1:])
            mask[int(np.round(z))] |= plane | line if found.on_centres else plane
            on_grid = all((np.abs(points - np.round(points)) < CENTRE_TOLERANCE).all() for points in contours)
            lost += int((line & ~plane).sum()) if on_grid else 0
        if lost and not found.on_centres:
            share = 100 * lost / (lost + int(mask.sum()))
            text = f"contours run through voxel centres: {share:.0f} % of their voxels lie on the line and count out"
            flags.append(flag("contours", text))
        skipped = max(on_slices, default=0) - min(on_slices, default=0) + 1 - len(on_slices)
        if planes and skipped:
            flags.append(flag("contours", f"{skipped} slices without a contour inside the ROI"))
        return mask, flags
    mask |= _between(planes, usual, mask.shape, grid.spacing, found.on_centres)
    flags.append(flag("adapted", f"contours every {usual * grid.spacing[2]:.3g} mm interpolated to the slices"))
    return mask, flags


def _contours(data: Dataset, number: int, roi: str, lattice: Grid | Stack, grid: Grid, name: str) -> Contours:
    """The contours of an ROI on the image's lattice; StudyError where one does not lie on it, or contradicts itself."""
    if sum(int(r.ReferencedROINumber) == number for r in data.ROIContourSequence) > 1:
        raise StudyError(f"{name}: the contours of ROI {roi!r} stand there twice; export the contours again")
    items = [
        c for r in data.ROIContourSequence if int(r.ReferencedROINumber) == number for c in r.get("ContourSequence", [])
    ]
    left_out = dict.fromkeys(("drawn twice", "that are open left out", "of one or two points left out"), 0)
    untyped = 0
    kept = []
    small = []
    for item in items:
        values = np.array(item.ContourData, dtype=float)
        stated = item.get("NumberOfContourPoints")
        if len(values) % 3 or (stated is not None and int(stated) * 3 != len(values)):
            raise StudyError(
                f"{name}: a contour of ROI {roi!r} has {len(values) / 3:g} points where its header says {stated}; "
                "export the contours again"
            )
        kind = str(item.get("ContourGeometricType") or "")
        points = np.round(lattice.to_index(values.reshape(-1, 3)), 6)  # a point meant for a voxel centre falls on it
        if not np.isfinite(points).all():
            raise ValueError
        if len(points) < 3:
            small.append(points)
        elif kind and not kind.startswith("CLOSED"):
            left_out["that are open left out"] += 1
        else:
            untyped += not kind
            kept.append(points)
    on_centres = _on_centres(kept)
    if on_centres:
        kept += small  # a lone voxel, or a line of them
    else:
        left_out["of one or two points left out"] = len(small)
    planes: dict[float, list[np.ndarray]] = {}
    for points in kept:
        z = _plane_of(points, grid, roi, name)
        near = next((known for known in planes if abs(known - z) < 0.01), z)
        known = planes.setdefault(near, [])
        if any(_same_points(c, points[:, :2]) for c in known):
            left_out["drawn twice"] += 1
        else:
            known.append(points[:, :2])
    if not planes:
        raise StudyError(f"{name}: ROI {roi!r} has no closed contour")
    flags = [flag("contours", f"{count} contours {what}") for what, count in left_out.items() if count]
    crossing = _crossing(planes, grid.size[1::-1])
    if crossing:
        flags.append(flag("contours", f"{crossing} pairs of contours cross: what lies in both counts out"))
    if untyped:
        flags.append(flag("adapted", f"{untyped} contours without a type taken as closed"))
    return Contours(planes, flags, on_centres)


def _same_points(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two contours (n, 2) have the same points, wherever they begin and whichever way round they go."""
    if len(one) != len(other):
        return False
    if np.allclose(one, other, atol=1e-4):
        return True
    ordered = [np.unique(np.round(points, 3), axis=0) for points in (one, other)]
    return ordered[0].shape == ordered[1].shape and np.allclose(*ordered, atol=2e-3)


def _crossing(planes: dict[float, list[np.ndarray]], shape: tuple[int, int]) -> int:
    """How many pairs of contours on one plane overlap without one lying in the other: what both hold counts out."""
    count = 0
    for contours in planes.values():
        filled = [fill_even_odd([points], shape) for points in contours] if len(contours) > 1 else []
        for one, other in combinations(filled, 2):
            both = int((one & other).sum())
            smaller = min(int(one.sum()), int(other.sum()))
            count += CROSSING < both < smaller - CROSSING
    return count


def _plane_of(points: np.ndarray, grid: Grid, roi: str, name: str) -> float:
    """The plane (z in voxels) of a contour (n, 3; voxels); StudyError where it does not lie on the image's slices."""
    z = float(np.mean(points[:, 2]))
    if np.ptp(points[:, 2]) > 2 * LATTICE_TOLERANCE:
        cause = f"it spans {np.ptp(points[:, 2]):.1f} slices: drawn on another plane"
    elif (points[:, :2] < -1).any() or (points[:, :2] > np.array(grid.size[:2])).any():
        cause = "outside the image"
    elif not -0.5 <= z <= grid.size[2] - 0.5:
        cause = f"{max(-z, z - grid.size[2] + 1):.1f} slices beyond the image"
    else:
        return z
    raise StudyError(
        f"{name}: a contour of ROI {roi!r} does not lie on the image's grid ({cause}): image {grid}; "
        "use the series it was drawn on"
    )


def _on_centres(contours: list[np.ndarray]) -> bool:
    """Whether contours (n, 3; x, y, z in voxels) trace the centres of border voxels, as OpenCV's findContours does.

    Their vertices are whole numbers, and from one to the next they go straight or diagonally, and somewhere diagonally.
    Hand-drawn or smoothed contours do not, nor those along the voxels' edges; of a rectangle nobody knows.
    """
    if not contours:
        return False
    on_grid, straight, diagonal, steps = 0, 0, 0, 0
    for points in contours:
        xy = points[:, :2]
        on_grid += int((np.abs(xy - np.round(xy)) < CENTRE_TOLERANCE).all(axis=1).sum())
        step = np.abs(np.round(np.roll(xy, -1, axis=0)) - np.round(xy))
        slanted = (step[:, 0] == step[:, 1]) & (step[:, 0] > 0)
        diagonal += int(slanted.sum())
        straight += int(((step.min(axis=1) == 0) | slanted).sum())
        steps += len(points)
    return on_grid >= 0.99 * steps and straight >= 0.9 * steps and diagonal > 0


def border(contours: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels (rows, columns; bool) on the lines between the vertices (x, y at pixel centres) of closed contours."""
    drawn = np.zeros(shape, dtype=bool)
    for points in contours:
        start = np.round(points).astype(int)
        for (x0, y0), (x1, y1) in zip(start, np.roll(start, -1, axis=0), strict=True):
            count = max(abs(x1 - x0), abs(y1 - y0)) + 1
            x = np.round(np.linspace(x0, x1, count)).astype(int)
            y = np.round(np.linspace(y0, y1, count)).astype(int)
            inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
            drawn[y[inside], x[inside]] = True
    return drawn


def _between(
    planes: dict[float, list[np.ndarray]],
    usual: float,
    shape: tuple[int, ...],
    spacing: tuple[float, ...],
    on_centres: bool = False,
) -> np.ndarray:
    """The slices of a mask (z, y, x) from contours on planes at other z (in slices), `usual` apart."""
    mask = np.zeros(shape, dtype=bool)
    points = np.concatenate([contour for contours in planes.values() for contour in contours])
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 2, shape[:0:-1])
    box = slice(low[1], high[1]), slice(low[0], high[0])
    signed = {z: _signed_distance(contours, low, high, spacing, on_centres) for z, contours in planes.items()}
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
            if on_centres:
                mask[k] |= border(planes[nearest], shape[1:])
    return mask


def _signed_distance(
    contours: list[np.ndarray], low: np.ndarray, high: np.ndarray, spacing: tuple[float, ...], on_centres: bool
) -> np.ndarray:
    """Distance (mm) of each pixel centre of a box (x, y: low to high) to the contours, positive inside."""
    columns, rows = (high - low) * FINER
    finer = [(points - low) * FINER + (FINER - 1) / 2 for points in contours]
    inside = fill_even_odd(finer, (rows, columns))
    if on_centres:  # whole voxels of the border, three by three finer pixels each
        inside |= np.kron(
            border([points - low for points in contours], (rows // FINER, columns // FINER)),
            np.ones((FINER, FINER), bool),
        )
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
