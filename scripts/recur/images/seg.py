"""DICOM SEG: the frames of one or several segments, each placed on the image's grid by its own position."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from recur.images.acquisition import clean_text, identifying_words
from recur.images.grid import DIRECTION_TOLERANCE, LATTICE_TOLERANCE, Grid, Mask, Volume, resample_mask
from recur.images.labels import choose
from recur.tables import StudyError


class Frame(NamedTuple):
    """Voxels (rows, columns; bool) of one frame, its corner (mm), row and column cosines, pixel size, slice step."""

    voxels: np.ndarray
    position: np.ndarray
    cosines: np.ndarray
    pixel: np.ndarray  # between rows, between columns
    step: float | None


def read_seg(data: Dataset, label: str, image: Volume, name: str, mask_grid: str) -> Mask:
    """The union of the chosen segments on the image's grid; frames that the file omits are empty.

    Own code on pydicom: highdicom's volumes guess the slice spacing from the frames that are there when the file does
    not state it (frames omitted in the middle then widen it), and it refuses files that lack an attribute we do not
    need. Only the frames of the segments are decoded. The tests hold it against highdicom.
    """
    words = identifying_words(data)
    segments = {
        int(s.SegmentNumber): clean_text(s.get("SegmentLabel", ""), words)
        for s in data.SegmentSequence
        if s.get("SegmentNumber")
    }
    frames = _frames(data, choose(label, segments, name, "segment"))
    mask = np.zeros(image.grid.size[::-1], dtype=bool)
    for number, frame in frames:
        index = _on_lattice(frame, image)
        if index is None and mask_grid == "resample":
            return resample_mask(*_own_volume([f for _, f in frames], name), image.grid, name)
        if index is None:
            where = " ".join(f"{v:.3f}" for v in frame.position)
            raise StudyError(
                f"{name}: SEG frame {number} (position {where}, pixel {frame.pixel[1]:.4f} x {frame.pixel[0]:.4f} mm) "
                f"does not lie on the image's grid: image {image.grid}; use the series it was drawn on"
            )
        mask[index[:, 2], index[:, 1], index[:, 0]] = True
    return Mask(mask, ("SEG frames lie up to half a pixel off the tilted slices",) if image.sheared else ())


def _frames(data: Dataset, segments: list[int]) -> list[tuple[int, Frame]]:
    """(number from 1, frame) of every frame of the segments."""
    shared = data.SharedFunctionalGroupsSequence[0] if data.get("SharedFunctionalGroupsSequence") else Dataset()
    groups = data.PerFrameFunctionalGroupsSequence
    label_map = data.SegmentationType == "LABELMAP"

    def group(frame: Dataset, keyword: str) -> Dataset:
        return (frame if keyword in frame else shared)[keyword][0]

    def segment(frame: Dataset) -> int:
        return int(group(frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)

    wanted = [i for i, frame in enumerate(groups) if label_map or segment(frame) in segments]
    threshold = data.MaximumFractionalValue / 2 if data.SegmentationType == "FRACTIONAL" else 0.5
    found = []
    for i, pixels in zip(wanted, iter_pixels(data, indices=wanted) if wanted else [], strict=True):
        measures = group(groups[i], "PixelMeasuresSequence")
        step = measures.get("SpacingBetweenSlices")
        frame = Frame(
            np.isin(pixels, segments) if label_map else pixels > threshold,
            np.array(group(groups[i], "PlanePositionSequence").ImagePositionPatient, dtype=float),
            np.array(group(groups[i], "PlaneOrientationSequence").ImageOrientationPatient, dtype=float),
            np.array(measures.PixelSpacing, dtype=float),
            float(step) if step else None,
        )
        found.append((i + 1, frame))
    return found


def _on_lattice(frame: Frame, image: Volume) -> np.ndarray | None:
    """Voxel indices (n, 3; x, y, z) of the frame's true pixels; None if it does not step the lattice voxel by voxel."""
    rows, columns = frame.voxels.shape
    column, row = frame.cosines[:3] * frame.pixel[1], frame.cosines[3:] * frame.pixel[0]
    far = frame.position + column * (columns - 1) + row * (rows - 1)
    corner, next_column, next_row, far = image.grid.to_index(
        np.array([frame.position, frame.position + column, frame.position + row, far])
    )
    steps = np.array([next_column - corner, next_row - corner])
    units = np.round(steps).astype(int)
    start = np.round(corner).astype(int)
    # on slices that a gantry tilt moved sideways the nearest voxel is as near as it gets
    tolerance = np.array([0.51, 0.51, LATTICE_TOLERANCE]) if image.sheared else LATTICE_TOLERANCE
    expected_far = corner + units[0] * (columns - 1) + units[1] * (rows - 1)
    if (
        (np.abs(units).sum(axis=1) != 1).any()
        or (np.abs(corner - start) > tolerance).any()
        or np.abs(far - expected_far).max() > LATTICE_TOLERANCE
    ):
        return None
    y, x = np.nonzero(frame.voxels)
    index = start + np.outer(x, units[0]) + np.outer(y, units[1])
    return index if (index >= 0).all() and (index < image.grid.size).all() else None


def _own_volume(frames: list[Frame], name: str) -> tuple[np.ndarray, Grid]:
    """The frames as a mask (z, y, x) on the grid they were drawn on."""
    cosines, pixel = frames[0].cosines, frames[0].pixel
    normal = np.cross(cosines[:3], cosines[3:])
    along = np.array([frame.position @ normal for frame in frames])
    gaps = np.diff(np.unique(np.round(along, 3)))
    step = frames[0].step or (float(gaps.min()) if len(gaps) else None)
    same = all(
        np.allclose(f.cosines, cosines, atol=DIRECTION_TOLERANCE)
        and np.allclose(f.pixel, pixel, atol=1e-4)
        and f.voxels.shape == frames[0].voxels.shape
        for f in frames
    )
    if step is None or not same:
        raise StudyError(f"{name}: the SEG's frames are not one regular stack; use the series it was drawn on")
    first = frames[int(np.argmin(along))].position
    index = (along - along.min()) / step
    sideways = np.array([f.position - first for f in frames]) - np.outer(along - along.min(), normal)
    if np.abs(index - np.round(index)).max() > LATTICE_TOLERANCE or np.abs(sideways).max() > 0.5 * pixel.min():
        raise StudyError(f"{name}: the SEG's frames are not one regular stack; use the series it was drawn on")
    place = np.round(index).astype(int)
    mask = np.zeros((place.max() + 1, *frames[0].voxels.shape), dtype=bool)
    for k, frame in zip(place, frames, strict=True):
        mask[k] |= frame.voxels
    direction = tuple(np.column_stack([cosines[:3], cosines[3:], normal]).ravel().tolist())
    spacing = (float(pixel[1]), float(pixel[0]), float(step))
    return mask, Grid(mask.shape[::-1], spacing, tuple(first.tolist()), direction)
