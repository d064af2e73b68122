"""The voxel grid that images and masks lie on, and what is handed on once they are read.

Arrays are (z, y, x); geometry is in SimpleITK's order (x, y, z) and in LPS millimetres.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from recur.tables import StudyError

SPACING_TOLERANCE_MM = 1e-3
DIRECTION_TOLERANCE = 1e-4
LATTICE_TOLERANCE = 0.1  # voxels: how far a slice, SEG frame or contour plane may lie from the planes it stands for


class Grid(NamedTuple):
    """Geometry of a volume: size, spacing (mm), origin (mm, LPS), direction (3x3 row-major), all in x, y, z order."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Continuous voxel indices (n, 3; x, y, z) of points (n, 3; mm)."""
        return np.linalg.solve(self.affine(), (np.atleast_2d(points) - np.asarray(self.origin)).T).T

    def to_points(self, index: np.ndarray) -> np.ndarray:
        """Points (n, 3; mm) of continuous voxel indices (n, 3; x, y, z)."""
        return np.atleast_2d(index) @ self.affine().T + np.asarray(self.origin)

    def affine(self) -> np.ndarray:
        """Columns: one voxel step along x, y, z in mm."""
        return np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)

    def __str__(self) -> str:
        def join(values: Iterable[float], digits: int) -> str:
            return " ".join(f"{round(v, digits) + 0.0:.{digits}f}" for v in values)  # no -0.0000

        size = "x".join(map(str, self.size))
        parts = join(self.spacing, 4), join(self.origin, 3), join(self.direction, 4)
        return f"size {size}, spacing {parts[0]}, origin {parts[1]}, direction {parts[2]}"


class Volume(NamedTuple):
    """An image as read: voxels (z, y, x) float32, its grid, its format, remarks for the flags column.

    `facts`: columns of the case table about the series taken, and `acquisition`, a row of the acquisition table.
    `series`, `frame` (of reference; UIDs) and `patient` (id) only serve to check masks; they are written nowhere.
    `sheared`: a gantry tilt was taken out, so that frames drawn on the slices lie between the columns.
    """

    voxels: np.ndarray
    grid: Grid
    source: str
    series: str | None = None
    frame: str | None = None
    patient: str | None = None
    flags: tuple[str, ...] = ()
    facts: dict[str, Any] = {}
    sheared: bool = False


class Mask(NamedTuple):
    """A mask on its image's grid: voxels (z, y, x) bool, remarks for the flags column, offset of its own grid (mm)."""

    voxels: np.ndarray
    flags: tuple[str, ...] = ()
    offset_mm: float = 0.0


def grid_of(image: sitk.Image) -> Grid:
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def same_grid(mask: Grid, image: Grid) -> bool:
    return (
        mask.size == image.size
        and np.allclose(mask.spacing, image.spacing, rtol=0, atol=SPACING_TOLERANCE_MM)
        and np.allclose(mask.origin, image.origin, rtol=0, atol=SPACING_TOLERANCE_MM)
        and np.allclose(mask.direction, image.direction, rtol=0, atol=DIRECTION_TOLERANCE)
    )


def turned(voxels: np.ndarray, own: Grid, image: Grid) -> tuple[np.ndarray, Grid]:
    """A mask (z, y, x, or layers behind) and its grid in the order of the image's axes, where only that order differs.

    Many programs store the image's own voxels from right to left or slices first. Other masks come back as they are.
    """
    steps = np.round(np.linalg.solve(image.affine(), own.affine())).astype(int)  # in image voxels; a column an own axis
    if not (np.abs(steps) == np.eye(3, dtype=int)[:, np.abs(steps).argmax(axis=0)]).all():
        return voxels, own
    axes = np.abs(steps).argmax(axis=1)  # own axis along each of the image's
    backwards = steps[range(3), axes] < 0
    first = np.zeros(3)
    first[axes[backwards]] = np.array(own.size)[axes[backwards]] - 1
    signed = np.reshape(own.direction, (3, 3))[:, axes] * np.where(backwards, -1, 1)
    grid = Grid(
        tuple(own.size[a] for a in axes),
        tuple(own.spacing[a] for a in axes),
        tuple(own.to_points(first)[0].tolist()),
        tuple(signed.ravel().tolist()),
    )
    if not same_grid(grid, image):
        return voxels, own
    order = [2 - int(a) for a in axes[::-1]]  # of arrays: z, y, x
    found = voxels.transpose(*order, *range(3, voxels.ndim))
    return np.ascontiguousarray(np.flip(found, [2 - k for k in range(3) if backwards[k]])), grid


def check_grid(mask: Grid, image: Grid, name: str) -> None:
    """Raise StudyError with both geometries unless the mask lies on the image's voxel grid."""
    if not same_grid(mask, image):
        raise StudyError(
            f"{name}: the mask is on another grid than the image: mask {mask}; image {image}; "
            "if both lie in one patient position, images.mask_grid: resample"
        )


def resample_mask(mask: np.ndarray, own: Grid, image: Grid, name: str) -> Mask:
    """The mask (z, y, x; bool) on the image's grid by nearest neighbour, with the offset of the two grids in a flag.

    Raises StudyError when voxels of the mask lie outside the image: they would be lost in silence.
    """
    occupied = np.argwhere(mask)
    if len(occupied):
        low, high = occupied.min(axis=0)[::-1], occupied.max(axis=0)[::-1]
        corners = np.array([[(low, high)[b][axis] for axis, b in enumerate(bits)] for bits in np.ndindex(2, 2, 2)])
        index = image.to_index(own.to_points(corners))
        outside = max(-index.min(), (index - (np.array(image.size) - 1)).max())
        if outside > 1:
            raise StudyError(
                f"{name}: the mask reaches {outside:.0f} voxels beyond the image: mask {own}; image {image}"
            )
    moving = sitk.GetImageFromArray(mask.astype(np.uint8))
    moving.SetSpacing(own.spacing)
    moving.SetOrigin(own.origin)
    moving.SetDirection(own.direction)
    found = sitk.Resample(
        moving, image.size, sitk.Transform(), sitk.sitkNearestNeighbor, image.origin, image.spacing, image.direction
    )
    offset = np.asarray(own.origin) - np.asarray(image.origin)
    spacing = " ".join(f"{v:.3g}" for v in own.spacing)
    moved = " ".join(f"{v:.1f}" for v in offset)
    flag = f"mask resampled from another grid (spacing {spacing} mm, origin {moved} mm from the image's)"
    return Mask(sitk.GetArrayFromImage(found) > 0, (flag,), float(np.linalg.norm(offset)))
