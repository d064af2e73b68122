"""DICOM SEG: the frames of one or several segments, each placed on the image's grid by its own position."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydicom import Dataset
from pydicom.pixels import iter_pixels

from recur.images.acquisition import clean_text, identifying_words
from recur.images.flags import flag
from recur.images.grid import DIRECTION_TOLERANCE, LATTICE_TOLERANCE, Grid, Mask, Stack, Volume, resample_mask
from recur.images.labels import choose
from recur.tables import StudyError

DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"  # pydicom does not know it yet


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
        int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in data.SegmentSequence if s.get("SegmentNumber")
    }
    shown = {number: clean_text(text, words) for number, text in segments.items()}
    frames = _frames(data, choose(label, segments, name, "segment", shown), set(segments), name)
    uneven = image.stack if image.stack is not None and image.stack.along is not None else None
    lattice = uneven or image.grid
    size = image.stack.grid.size if uneven else image.grid.size
    problem, flags = (None, []) if uneven else _other_distance([f for _, f in frames], image, name)
    if problem and mask_grid == "resample":
        return resample_mask(*_own_volume([f for _, f in frames], name), image.grid, name)
    if problem:
        raise StudyError(problem)
    mask = np.zeros(size[::-1], dtype=bool)
    for number, frame in frames:
        index = _on_lattice(frame, lattice, size, image.sheared)
        if index is None and mask_grid == "resample" and not uneven:
            return resample_mask(*_own_volume([f for _, f in frames], name), image.grid, name)
        if index is None:
            where = " ".join(f"{v:.3f}" for v in frame.position)
            raise StudyError(
                f"{name}: SEG frame {number} (position {where}, pixel {frame.pixel[1]:.4f} x {frame.pixel[0]:.4f} mm) "
                f"does not lie on the image's grid: image {image.grid}; use the series it was drawn on"
            )
        mask[index[:, 2], index[:, 1], index[:, 0]] = True
    if uneven:
        mask = uneven.remade(mask)
        flags.append(flag("adapted", "SEG drawn on uneven slices resampled with them"))
    if image.sheared:
        flags.append(flag("adapted", "SEG frames lie up to half a pixel off the tilted slices"))
    return Mask(mask, tuple(flags))


def _other_distance(frames: list[Frame], image: Volume, name: str) -> tuple[str | None, list[str]]:
    """What is wrong (None if nothing) where the SEG's frames are farther apart than the image's slices, and remarks.

    A segmentation of a thick reconstruction fits every second slice of a thin one, and the slices between stay empty.
    The distance that the file declares says so; frames on neighbouring slices say that the declaration is wrong.
    Without one, three planes or more that are all several slices apart say it, too. Frames that the file omits since
    they are empty lie whole distances apart and change nothing.
    """
    if not frames:
        return None, []
    normal = np.cross(frames[0].cosines[:3], frames[0].cosines[3:])
    axis = int(np.abs(np.reshape(image.grid.direction, (3, 3)).T @ normal).argmax())
    step = image.grid.spacing[axis]
    planes = np.unique(np.round(np.array([frame.position @ normal for frame in frames]) / step, 2))
    gaps = np.diff(planes)
    gaps = gaps[gaps > 0.05]
    nearest = float(gaps.min()) if len(gaps) else None
    declared = frames[0].step
    slack = (
        0.5 if image.sheared else LATTICE_TOLERANCE
    )  # a tilted gantry's table moves farther than its slices lie apart
    if declared is not None and abs(declared / step - 1) > slack:
        if nearest is not None and abs(nearest - 1) <= LATTICE_TOLERANCE:
            text = f"SEG declares {declared:.4g} mm between frames that lie {step:.4g} mm apart"
            return None, [flag("apart", text)]
        apart = f"{declared:.4g}"
    elif declared is None and len(gaps) >= 2 and nearest > 1.5:
        apart = f"{nearest * step:.4g} or more"
    elif declared is None and nearest is not None and nearest > 1.5:
        text = (
            f"SEG of two frames {nearest * step:.4g} mm apart, beside slices of {step:.4g} mm: drawn on another series?"
        )
        return None, [flag("apart", text)]
    else:
        return None, []
    problem = (
        f"{name}: the SEG's frames are {apart} mm apart, the image's slices {step:.4g} mm: drawn on another "
        "reconstruction; use the series it was drawn on, or images.mask_grid: resample"
    )
    return problem, []


def _frames(data: Dataset, segments: list[int], declared: set[int], name: str) -> list[tuple[int, Frame]]:
    """(number from 1, frame) of every frame of the segments; StudyError for frames of a segment that is not declared,
    for pixels that are not what the header says, and for compressed frames that nothing here decodes.
    """
    shared = data.SharedFunctionalGroupsSequence[0] if data.get("SharedFunctionalGroupsSequence") else Dataset()
    groups = data.PerFrameFunctionalGroupsSequence
    label_map = data.SegmentationType == "LABELMAP"
    if label_map and int(data.BitsAllocated) == 1:
        raise StudyError(f"{name}: its header contradicts itself (a label map of 1 bit); export the segmentation again")

    def group(frame: Dataset, keyword: str) -> Dataset:
        return (frame if keyword in frame else shared)[keyword][0]

    def segment(frame: Dataset) -> int:
        return int(group(frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)

    numbers = [None if label_map else segment(frame) for frame in groups]
    strange = [i for i, number in enumerate(numbers) if number is not None and number not in declared]
    if strange:
        raise StudyError(
            f"{name}: {len(strange)} frames (first frame {strange[0] + 1}) belong to segment {numbers[strange[0]]}, "
            "which the file does not declare; export the segmentation again"
        )
    wanted = [i for i, number in enumerate(numbers) if label_map or number in segments]
    threshold = data.MaximumFractionalValue / 2 if data.SegmentationType == "FRACTIONAL" else 0.5
    _check_pixels(data, len(groups), name)
    found = []
    for i, pixels in zip(wanted, iter_pixels(data, indices=wanted) if wanted else [], strict=True):
        measures = group(groups[i], "PixelMeasuresSequence")
        step = measures.get("SpacingBetweenSlices")
        inside = np.isin(pixels, segments) if label_map else pixels > threshold
        frame = Frame(
            inside,
            np.array(group(groups[i], "PlanePositionSequence").ImagePositionPatient, dtype=float),
            np.array(group(groups[i], "PlaneOrientationSequence").ImageOrientationPatient, dtype=float),
            np.array(measures.PixelSpacing, dtype=float),
            float(step) if step else None,
        )
        found.append((i + 1, frame))
    return found


def _check_pixels(data: Dataset, frames: int, name: str) -> None:
    """Whether there are as many pixels as the header says, in a form that is read."""
    syntax = data.file_meta.TransferSyntaxUID
    deflated = syntax == DEFLATED_FRAMES
    if deflated or syntax.is_encapsulated:
        if deflated or int(data.BitsAllocated) == 1:
            how = "Deflated Image Frame Compression" if deflated else syntax.name
            raise StudyError(
                f"{name}: its frames of {data.BitsAllocated} bit are compressed ({how}), which is not read here; save "
                "the segmentation uncompressed (explicit VR little endian)"
            )
        return
    if "PixelData" not in data:
        raise StudyError(f"{name}: has no pixels; copy it again")
    stated = int(data.get("NumberOfFrames") or 1)
    needed = -(-stated * int(data.Rows) * int(data.Columns) * int(data.BitsAllocated) // 8)
    if stated != frames or not needed <= len(data.PixelData) <= needed + 1:
        raise StudyError(
            f"{name}: {len(data.PixelData)} bytes of pixels and {frames} frame headers where its header says {stated} "
            f"frames of {data.Rows} x {data.Columns} ({needed} bytes); export the segmentation again"
        )


def _on_lattice(frame: Frame, lattice: Grid | Stack, size: tuple[int, int, int], sheared: bool) -> np.ndarray | None:
    """Voxel indices (n, 3; x, y, z) of the frame's true pixels; None if it does not step the lattice voxel by voxel."""
    rows, columns = frame.voxels.shape
    column, row = frame.cosines[:3] * frame.pixel[1], frame.cosines[3:] * frame.pixel[0]
    far = frame.position + column * (columns - 1) + row * (rows - 1)
    corner, next_column, next_row, far = lattice.to_index(
        np.array([frame.position, frame.position + column, frame.position + row, far])
    )
    steps = np.array([next_column - corner, next_row - corner])
    units = np.round(steps).astype(int)
    start = np.round(corner).astype(int)
    # on slices that a gantry tilt moved sideways the nearest voxel is as near as it gets
    tolerance = np.array([0.51, 0.51, LATTICE_TOLERANCE]) if sheared else LATTICE_TOLERANCE
    expected_far = corner + units[0] * (columns - 1) + units[1] * (rows - 1)
    if (
        (np.abs(units).sum(axis=1) != 1).any()
        or (np.abs(corner - start) > tolerance).any()
        or np.abs(far - expected_far).max() > LATTICE_TOLERANCE
    ):
        return None
    y, x = np.nonzero(frame.voxels)
    index = start + np.outer(x, units[0]) + np.outer(y, units[1])
    return index if (index >= 0).all() and (index < size).all() else None


def _own_volume(frames: list[Frame], name: str) -> tuple[np.ndarray, Grid]:
    """The frames as a mask (z, y, x) on the grid they were drawn on."""
    cosines = frames[0].cosines
    pixel = frames[0].pixel
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
