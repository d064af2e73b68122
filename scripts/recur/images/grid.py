"""The voxel grid that images and masks lie on, and what is handed on once they are read.

Arrays are (z, y, x); geometry is in SimpleITK's order (x, y, z) and in LPS millimetres.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np
import SimpleITK as sitk

from recur.images.flags import flag
from recur.tables import StudyError

SPACING_TOLERANCE_MM = 1e-3
DIRECTION_TOLERANCE = 1e-4
# Files of one scan differ in the last digits: NIfTI keeps float32, DICOM text. What is rounded is a millionth of a mm.
SPACING_DIGITS, ORIGIN_DIGITS, DIRECTION_DIGITS = 6, 4, 6
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


class Stack(NamedTuple):
    """Slices as they were scanned, before they were evened out or straightened: what a mask may have been drawn on.

    grid: the slices as programs stack them that know nothing of uneven distances or a tilt (ITK); along (n,): where
    each slice really lies (mm from the first), None where they are even; shear: mm a slice along x and y, None without
    a tilt.
    """

    grid: Grid
    along: np.ndarray | None
    shear: np.ndarray | None

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Continuous indices (n, 3; x, y, number of the slice) of points (n, 3; mm) between uneven slices."""
        index = self.grid.to_index(points)
        mm = index[:, 2] * self.grid.spacing[2]
        last = len(self.along) - 1
        number = np.interp(mm, self.along, np.arange(last + 1))
        before, after = mm < 0, mm > self.along[-1]
        number[before] = mm[before] / (self.along[1] - self.along[0])
        number[after] = last + (mm[after] - self.along[-1]) / (self.along[-1] - self.along[-2])
        return np.column_stack([index[:, :2], number])

    def remade(self, mask: np.ndarray) -> np.ndarray:
        """A mask (z, y, x) of the slices where the image's voxels went: linear as the image, half a voxel and more."""
        made = mask.astype(np.float32)
        if self.along is not None:
            made = even_out(made, self.along)
        if self.shear is not None:
            made, _ = unshear(made, self.grid, self.shear)
        return made >= 0.5


class Volume(NamedTuple):
    """An image as read: voxels (z, y, x) float32, its grid, its format, remarks for the flags column.

    `facts`: columns of the case table about the series taken, and `acquisition`, a row of the acquisition table.
    `series`, `frame` (of reference; UIDs) and `patient` (id) only serve to check masks; they are written nowhere.
    `sheared`: a gantry tilt was taken out, so that frames drawn on the slices lie between the columns.
    `stack`: the slices as scanned, where they were resampled to even distances or straightened.
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
    stack: Stack | None = None


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


def rounded(grid: Grid) -> Grid:
    """The grid without the digits in which files of one scan differ (SPACING_DIGITS and its like)."""
    return Grid(
        tuple(int(n) for n in grid.size),
        tuple(round(float(v), SPACING_DIGITS) for v in grid.spacing),
        tuple(round(float(v), ORIGIN_DIGITS) + 0.0 for v in grid.origin),
        tuple(round(float(v), DIRECTION_DIGITS) + 0.0 for v in grid.direction),
    )


def even_out(voxels: np.ndarray, along: np.ndarray) -> np.ndarray:
    """As many slices (z, y, x) at even distances between the same ends, linear between the two nearest."""
    wanted = np.linspace(along[0], along[-1], len(along))
    below = np.clip(np.searchsorted(along, wanted, side="right") - 1, 0, len(along) - 2)
    part = (wanted - along[below]) / (along[below + 1] - along[below])
    made = np.empty_like(voxels)
    for k, (low, share) in enumerate(zip(below, part, strict=True)):
        made[k] = (1 - share) * voxels[low] + share * voxels[low + 1]
    return made


def unshear(voxels: np.ndarray, grid: Grid, shear: np.ndarray) -> tuple[np.ndarray, Grid]:
    """Move each slice to where it lies (linear interpolation), on a grid wide enough for all; air where none was.

    `shear`: mm per slice along rows' and columns' direction (x, y). The tilt of a CT gantry leaves the slices' planes
    where they are and moves them sideways (dcm2niix corrects it in the same way).
    """
    depth, height, width = voxels.shape
    moves = np.outer(np.arange(depth), shear / np.array(grid.spacing[:2]))  # voxels, x and y
    low, high = np.floor(moves.min(axis=0)).astype(int), np.ceil(moves.max(axis=0)).astype(int)
    made = np.full((depth, *(np.array([height, width]) + (high - low)[::-1])), voxels.min(), dtype=np.float32)
    for plane, target, (x, y) in zip(voxels, made, moves - low, strict=True):
        for axis, move in ((0, y), (1, x)):
            plane = _move(plane, move, axis, voxels.min())
        plane = plane[: target.shape[0], : target.shape[1]]  # a whole move leaves one empty pixel at the end
        target[: plane.shape[0], : plane.shape[1]] = plane
    origin = grid.to_points(np.array([*low, 0.0]))[0]
    return made, grid._replace(size=made.shape[::-1], origin=tuple(origin.tolist()))


def _move(plane: np.ndarray, move: float, axis: int, outside: float) -> np.ndarray:
    """The plane moved by so many pixels (>= 0) along an axis, that much longer."""
    steps = int(np.floor(move))
    part = move - np.floor(move)
    near, far = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
    near[axis], far[axis] = (steps, 1), (steps + 1, 0)
    moved = np.pad(plane, near, constant_values=outside)
    return moved if part == 0 else (1 - part) * moved + part * np.pad(plane, far, constant_values=outside)


def _other_order(grid: Grid, axes: np.ndarray, backwards: np.ndarray) -> Grid:
    """The same voxels counted along other axes: axes[i] is the own axis along the new axis i, backwards where told."""
    first = np.zeros(3)
    first[axes[backwards]] = np.array(grid.size)[axes[backwards]] - 1
    signed = np.reshape(grid.direction, (3, 3))[:, axes] * np.where(backwards, -1, 1)
    return Grid(
        tuple(grid.size[a] for a in axes),
        tuple(grid.spacing[a] for a in axes),
        tuple(grid.to_points(first)[0].tolist()),
        tuple((signed + 0.0).ravel().tolist()),
    )


def _in_order(voxels: np.ndarray, axes: np.ndarray, backwards: np.ndarray) -> np.ndarray:
    """Voxels (z, y, x, or layers behind) in the order of `_other_order`."""
    order = [2 - int(a) for a in axes[::-1]]  # of arrays: z, y, x
    ordered = voxels.transpose(*order, *range(3, voxels.ndim))
    return np.ascontiguousarray(np.flip(ordered, [2 - k for k in range(3) if backwards[k]]))


def turned(voxels: np.ndarray, grid: Grid, image: Grid) -> tuple[np.ndarray, Grid]:
    """A mask (z, y, x, or layers behind) and its grid in the order of the image's axes, where only that order differs.

    Many programs store the image's own voxels from right to left or slices first. Masks whose axes are not the image's
    come back as they are.
    """
    relative = np.reshape(image.direction, (3, 3)).T @ np.reshape(grid.direction, (3, 3))  # a column an own axis
    axes = np.abs(relative).argmax(axis=1)  # own axis along each of the image's
    if sorted(axes) != [0, 1, 2] or np.abs(relative[range(3), axes]).min() < 1 - DIRECTION_TOLERANCE:
        return voxels, grid
    backwards = relative[range(3), axes] < 0
    return _in_order(voxels, axes, backwards), _other_order(grid, axes, backwards)


def anatomical(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Which own axis runs most nearly from right to left, front to back and feet to head, and which of them backwards.

    Wavelets and run lengths depend on the order of the axes, and that depends on the program that wrote the file: the
    same scan as DICOM, NIfTI or NRRD has one order only once it is brought to this one.
    """
    direction = np.reshape(grid.direction, (3, 3))
    axes = np.array(max(permutations(range(3)), key=lambda order: np.abs(direction[range(3), order]).sum()))
    return axes, direction[range(3), axes] < 0


def in_anatomical_order(image: Volume, masks: dict[str, np.ndarray]) -> tuple[Volume, dict[str, np.ndarray]]:
    """Image and masks (z, y, x; on its grid) with x to the left, y to the back and z to the head, as far as axes go."""
    axes, backwards = anatomical(image.grid)
    if (axes == np.arange(3)).all() and not backwards.any():
        return image, masks
    grid = _other_order(image.grid, axes, backwards)
    image = image._replace(voxels=_in_order(image.voxels, axes, backwards), grid=grid)
    return image, {name: _in_order(mask, axes, backwards) for name, mask in masks.items()}


def fitted_mask(mask: np.ndarray, mask_lattice: Grid, image: Volume, mask_grid: str, name: str) -> Mask:
    """A mask (z, y, x; bool) of a file on the image's grid.

    Masks of the same lattice are placed voxel by voxel, also where they were cropped; a mask drawn slice by slice on an
    uneven or tilted stack goes the way of the image. Others are refused, or resampled (`mask_grid`). Raises StudyError.
    """
    if image.stack is not None:
        drawn = _on_stored_slices(mask, mask_lattice, image.stack)
        if drawn is not None:
            said = flag("adapted", "mask drawn on the slices as scanned went the way of the image")
            return Mask(image.stack.remade(drawn), (said,))
        if image.stack.along is not None:
            raise StudyError(
                f"{name}: the image's slices are unevenly spaced and the mask is on another grid than these: mask "
                f"{mask_lattice}; slices {image.stack.grid}; give it as DICOM SEG or RTSTRUCT, or draw it on the slices"
            )
    voxels, grid = turned(mask, mask_lattice, image.grid)
    begin = _lattice_offset(grid, image.grid)
    if begin is not None and (mask_grid == "resample" or _is_crop(voxels, begin, image.grid)):
        return Mask(_placed(voxels, begin, grid, image.grid, name))
    if mask_grid == "same":
        check_grid(grid, image.grid, name)
    return resample_mask(mask, mask_lattice, image.grid, name)


def _lattice_offset(mask_lattice: Grid, image: Grid) -> np.ndarray | None:
    """Where a grid begins on the image's lattice (voxels; x, y, z); None for a grid of another lattice."""
    if not (
        np.allclose(mask_lattice.spacing, image.spacing, rtol=0, atol=SPACING_TOLERANCE_MM)
        and np.allclose(mask_lattice.direction, image.direction, rtol=0, atol=DIRECTION_TOLERANCE)
    ):
        return None
    begin = image.to_index(np.array([mask_lattice.origin]))[0]
    first = np.round(begin).astype(int)
    off_mm = np.abs(begin - first) * np.array(image.spacing)
    drift_mm = np.abs(np.array(mask_lattice.spacing) - image.spacing) * np.array(mask_lattice.size)
    if (off_mm > SPACING_TOLERANCE_MM).any() or (drift_mm > np.array(image.spacing) * LATTICE_TOLERANCE).any():
        return None
    return first


def _is_crop(mask: np.ndarray, begin: np.ndarray, image: Grid) -> bool:
    """Whether a mask (z, y, x) is the image's grid or was cut out of it, as 3D Slicer saves segmentations.

    One that begins where the image does and ends early was cut to its extent, or lost slices, and then it is elsewhere.
    """
    size = np.array(mask.shape[::-1])
    if (begin < 0).any() or (begin + size > image.size).any():
        return False
    if begin.any() or (size == image.size).all():
        return True
    occupied = np.argwhere(mask)
    return len(occupied) > 0 and (occupied.max(axis=0) == np.array(mask.shape) - 1).all()


def _placed(mask: np.ndarray, begin: np.ndarray, mask_lattice: Grid, image: Grid, name: str) -> np.ndarray:
    """The mask (z, y, x) on the image's grid from `begin` (x, y, z) on; StudyError where a voxel lies outside."""
    if mask_lattice.size == image.size and not begin.any():
        return mask
    index = np.argwhere(mask) + begin[::-1]
    inside = ((index >= 0) & (index < np.array(image.size[::-1]))).all(axis=1)
    if not inside.all():
        raise _beyond(name, int((~inside).sum()), len(index), mask_lattice, image)
    placed = np.zeros(image.size[::-1], dtype=bool)
    placed[tuple(index.T)] = True
    return placed


def _beyond(name: str, outside: int, voxels: int, mask_lattice: Grid, image: Grid) -> StudyError:
    return StudyError(
        f"{name}: {outside} of the mask's {voxels} voxels lie outside the image: mask {mask_lattice}; image {image}; "
        "use the image it was drawn on, with all its slices"
    )


def _on_stored_slices(mask: np.ndarray, mask_lattice: Grid, stack: Stack) -> np.ndarray | None:
    """The mask in the order of the slices as scanned, if it was drawn on them as ITK stacks them; else None.

    ITK takes the mean distance of uneven slices today and took that of the first two.
    """
    steps = [stack.grid.spacing[2]]
    if stack.along is not None:
        steps += [float(stack.along[1] - stack.along[0]), float(np.median(np.diff(stack.along)))]
    for step in dict.fromkeys(steps):
        grid = stack.grid._replace(spacing=(*stack.grid.spacing[:2], step))
        voxels, fitted = turned(mask, mask_lattice, grid)
        if same_grid(fitted, grid):
            return voxels
    return None


def check_grid(mask: Grid, image: Grid, name: str) -> None:
    """Raise StudyError with both geometries unless the mask lies on the image's voxel grid."""
    if not same_grid(mask, image):
        raise StudyError(
            f"{name}: the mask is on another grid than the image: mask {mask}; image {image}; "
            "if both lie in one patient position, images.mask_grid: resample"
        )


def resample_mask(mask: np.ndarray, mask_lattice: Grid, image: Grid, name: str) -> Mask:
    """The mask (z, y, x; bool) on the image's grid by nearest neighbour, with the offset of the two grids in a flag.

    Raises StudyError when the centre of a voxel of the mask lies outside the image: it would be lost in silence.
    """
    occupied = np.argwhere(mask)[:, ::-1]
    index = image.to_index(mask_lattice.to_points(occupied))
    slack = 0.5 + 1e-3  # voxels: a layer at the very border is no other place
    outside = (index < -slack).any(axis=1) | (index > np.array(image.size) - 1 + slack).any(axis=1)
    if outside.any():
        raise _beyond(name, int(outside.sum()), len(occupied), mask_lattice, image)
    moving = sitk.GetImageFromArray(mask.astype(np.uint8))
    moving.SetSpacing(mask_lattice.spacing)
    moving.SetOrigin(mask_lattice.origin)
    moving.SetDirection(mask_lattice.direction)
    resampled = sitk.Resample(
        moving, image.size, sitk.Transform(), sitk.sitkNearestNeighbor, image.origin, image.spacing, image.direction
    )
    offset = np.asarray(mask_lattice.origin) - np.asarray(image.origin)
    spacing = " ".join(f"{v:.3g}" for v in mask_lattice.spacing)
    moved = " ".join(f"{v:.1f}" for v in offset)
    said = f"mask resampled from another grid (spacing {spacing} mm, origin {moved} mm from the image's)"
    return Mask(sitk.GetArrayFromImage(resampled) > 0, (flag("adapted", said),), float(np.linalg.norm(offset)))
