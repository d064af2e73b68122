"""Surface, volume and largest diameters of a region's mesh: pyradiomics' cShape.calculate_coefficients, much faster.

The C function compares all pairs of mesh vertices (11 s for the rim of a 100 mm tumour). Here the mesh is summed by
marching-cubes case, and diameters are searched among the vertices that can be ends of one.
"""

from __future__ import annotations

import contextlib
from functools import lru_cache

import numpy as np
from radiomics import cShape
from scipy.spatial import ConvexHull, QhullError

from recur.features import kernels

C_COEFFICIENTS = cShape.calculate_coefficients


def mesh_coefficients(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float, tuple[float, ...]]:
    """(surface mm2, volume mm3, diameters mm: slice, column, row, 3-D) of a padded bool mask (z, y, x).

    Definition: pyradiomics 3.0.1, whose C function also makes the table of cases used here.
    """
    spacing = np.asarray(spacing, float)
    surface, volume = _surface_and_volume(mask, spacing)
    return surface, volume, _diameters(mask, spacing)


@lru_cache(maxsize=8)
def _cube_table(spacing: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per cube case (256): area, volume at the origin, and volume added per index step along each axis (256, 3).

    The volume is a sum of tetrahedra to the origin, so a cube's share is linear in its position. The slope comes from
    the C function on the cube moved by one, less the share of the cube that then appears before it.
    """
    corners = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype(bool).reshape(256, 2, 2, 2)
    area, volume, slope = np.zeros(256), np.zeros(256), np.zeros((256, 3))
    for case, cube in enumerate(corners):
        area[case], volume[case], _ = C_COEFFICIENTS(cube, np.array(spacing))
    for case, cube in enumerate(corners):
        for axis in range(3):
            moved = np.concatenate([np.zeros_like(cube.take([0], axis)), cube], axis)
            before = _cases(moved.take([0, 1], axis)).item()
            _, total, _ = C_COEFFICIENTS(moved, np.array(spacing))
            slope[case, axis] = total - volume[before] - volume[case]
    return area, volume, slope


def _cases(mask: np.ndarray) -> np.ndarray:
    """Case number of every 2 x 2 x 2 cube: bit 4 dz + 2 dy + dx is the voxel at that corner."""
    m = mask.astype(np.uint8)
    nz, ny, nx = (n - 1 for n in m.shape)
    cases = np.zeros((nz, ny, nx), np.uint8)
    for bit in range(8):
        dz, dy, dx = bit >> 2, bit >> 1 & 1, bit & 1
        cases |= m[dz : dz + nz, dy : dy + ny, dx : dx + nx] << np.uint8(bit)
    return cases


def _surface_and_volume(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, float]:
    area, volume, slope = _cube_table(tuple(spacing.tolist()))
    cases = _cases(mask)
    index = np.nonzero((cases > 0) & (cases < 255))
    cases = cases[index]
    number = np.bincount(cases, minlength=256)
    moved = sum(np.bincount(cases, weights=index[axis], minlength=256) @ slope[:, axis] for axis in range(3))
    return float(number @ area), float(number @ volume + moved)


def _diameters(mask: np.ndarray, spacing: np.ndarray) -> tuple[float, ...]:
    vertices = _vertices(mask)
    diameters = [np.sqrt(_farthest_in_planes(vertices, axis, spacing)) for axis in range(3)]
    ends = vertices[_row_ends(vertices, 0) & _row_ends(vertices, 1) & _row_ends(vertices, 2)] * (spacing / 2)
    with contextlib.suppress(QhullError):  # flat or tiny: all pairs
        ends = ends[ConvexHull(ends).vertices]
    diameters.append(np.sqrt(kernels.farthest(np.ascontiguousarray(ends), np.array([0, len(ends)]))))
    return tuple(float(d) for d in diameters)


def _vertices(mask: np.ndarray) -> np.ndarray:
    """Mesh vertices, the middles of the edges between a voxel inside and one outside: int (n, 3), in half voxels."""
    found = []
    for axis in range(3):
        n = mask.shape[axis]
        before, after = (mask.take(range(k, n - 1 + k), axis) for k in (0, 1))
        edge = 2 * np.argwhere(before != after)
        edge[:, axis] += 1
        found.append(edge)
    return np.concatenate(found)


def _row_ends(vertices: np.ndarray, axis: int) -> np.ndarray:
    """Whether each vertex is first or last of its row along `axis`; only these can be an end of a diameter."""
    a, b = (k for k in range(3) if k != axis)
    row = vertices[:, a] * (vertices[:, b].max() + 1) + vertices[:, b]
    order = np.lexsort((vertices[:, axis], row))
    change = np.diff(row[order]) != 0
    ends = np.zeros(len(vertices), bool)
    ends[order] = np.concatenate([[True], change]) | np.concatenate([change, [True]])
    return ends


def _farthest_in_planes(vertices: np.ndarray, axis: int, spacing: np.ndarray) -> float:
    """Largest squared distance, mm2, between two vertices of one plane across `axis`."""
    a, b = (k for k in range(3) if k != axis)
    points = vertices[_row_ends(vertices, a) & _row_ends(vertices, b)]
    points = points[np.argsort(points[:, axis], kind="stable")]
    starts = np.append(np.flatnonzero(np.diff(points[:, axis], prepend=-1)), len(points))
    return kernels.farthest(np.ascontiguousarray(points * (spacing / 2)), starts.astype(np.int64))
