"""The planes of DICOM files: where their pixels are, where they lie and what their numbers mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from recur.images.acquisition import acquisition_time, number, seconds

CT_STORAGE = {
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.2.1",  # enhanced
    "1.2.840.10008.5.1.4.1.1.2.2",  # legacy converted enhanced
}
IMAGE_STORAGE = CT_STORAGE | {
    "1.2.840.10008.5.1.4.1.1.4",  # MR
    "1.2.840.10008.5.1.4.1.1.4.1",  # enhanced MR
    "1.2.840.10008.5.1.4.1.1.4.4",  # legacy converted enhanced MR
}
# what pydicom and its users raise on absent, empty or garbled elements
DICOM_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError, EOFError, NotImplementedError)
SCAN_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "FrameOfReferenceUID",
    "PatientID",
    "SeriesDescription",
    "SeriesNumber",
    "InstanceNumber",
    "ImageType",
    "StudyDate",
    "SeriesDate",
    "SeriesTime",
    "ContentDate",
    "ContentTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ImagesInAcquisition",
    "TemporalPositionIdentifier",
    "AcquisitionNumber",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "RescaleSlope",
    "RescaleIntercept",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
OWNER = {  # what all slices of a series share, in messages' words
    "PatientID": "patient",
    "StudyInstanceUID": "study",
    "FrameOfReferenceUID": "frame of reference",
    "SeriesNumber": "series number",
    "SeriesDescription": "series description",
}
SPLIT_BY = ("temporal position", "acquisition number", "echo", "b-value", "image type", "stack")
MARKS = {"temporal": 0, "acquisition": 1, "echo": 2, "b": 3, "type": 4, "stack": 5}  # chooser: its place in SPLIT_BY


class Slice(NamedTuple):
    """One plane: where its pixels are, where it lies (mm, LPS), what its numbers mean, what it may be told apart by."""

    path: Path
    where: str  # which file that is, for messages
    frame: int | None  # of a multi-frame file
    position: tuple[float, ...]
    cosines: tuple[float, ...]
    pixel: tuple[float, ...]  # between rows, between columns
    size: tuple[int, int]  # columns, rows
    slope: float
    intercept: float
    time: float | None
    marks: tuple[str, ...]  # in the order of SPLIT_BY
    rescaled: bool  # whether the header states an intercept
    ct: bool
    owner: tuple[str, ...] = ()  # in the order of OWNER
    instance: float | None = None  # number of the file, None of a frame


def files_of(path: Path) -> list[Path]:
    """All files of a folder and its folders in name order, or the file itself."""
    if path.is_file():
        return [path]
    return sorted(Path(base, name) for base, _, names in os.walk(path) for name in names if not name.startswith("."))


def open_dicom(path: Path, tags: list[str] | None = None, pixels: bool = False) -> Dataset | None:
    """A DICOM file, also one without the preamble that old exports leave out, or None if it is something else."""
    with path.open("rb") as stream:
        start = stream.read(132)
    bare = start[128:] != b"DICM" and start[:2] in (b"\x08\x00", b"\x02\x00")
    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels, specific_tags=tags, force=bare)
    except InvalidDicomError:
        return None


def file_state(path: Path) -> tuple[Any, ...]:
    """Changes when a file does."""
    return tuple((p.stat().st_size, p.stat().st_mtime_ns) for p in files_of(path))


class Items(NamedTuple):
    """Where a plane's header says its place and scale: the items that hold them, slope and intercept or None."""

    position: Dataset
    orientation: Dataset
    measures: Dataset
    slope: Any
    intercept: Any


def slices_of(header: Dataset, path: Path, where: str) -> list[Slice]:
    """The planes of a file; raises one of DICOM_ERRORS if an element that is needed is not there."""
    owner = tuple(" ".join(texts(header.get(keyword))) for keyword in OWNER)
    instance = number(header.get("InstanceNumber"))
    made = _planes(header, path, where)
    return [one._replace(owner=owner, instance=instance if one.frame is None else None) for one in made]


def _planes(header: Dataset, path: Path, where: str) -> list[Slice]:
    size = int(header.Columns), int(header.Rows)
    if "PerFrameFunctionalGroupsSequence" in header:
        shared = (header.get("SharedFunctionalGroupsSequence") or [Dataset()])[0]
        frames = header.PerFrameFunctionalGroupsSequence
        if len(frames) != int(header.NumberOfFrames):
            raise ValueError
        return [_frame(header, shared, frame, (path, where, i), size) for i, frame in enumerate(frames)]
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise ValueError
    items = Items(header, header, header, header.get("RescaleSlope"), header.get("RescaleIntercept"))
    time = acquisition_time(header)
    marks = [
        header.get("TemporalPositionIdentifier"),
        header.get("AcquisitionNumber"),
        header.get("EchoNumbers") or header.get("EchoTime"),
        header.get("DiffusionBValue"),
        header.get("ImageType"),
        None,
    ]
    ct = header.SOPClassUID in CT_STORAGE
    return [_plane((path, where, None), items, size, time, marks, ct)]


def _frame(
    header: Dataset, shared: Dataset, frame: Dataset, source: tuple[Path, str, int | None], size: tuple[int, int]
) -> Slice:
    def group(keyword: str) -> Dataset:
        holder = frame if keyword in frame else shared
        return (holder.get(keyword) or [Dataset()])[0]

    content = group("FrameContentSequence")
    scaling = group("PixelValueTransformationSequence")
    moment = content.get("FrameAcquisitionDateTime") or content.get("FrameReferenceDateTime")
    time = seconds(moment, None) if moment else acquisition_time(header)
    kind = group("MRImageFrameTypeSequence").get("FrameType") or group("CTImageFrameTypeSequence").get("FrameType")
    marks = [
        content.get("TemporalPositionIndex"),
        content.get("FrameAcquisitionNumber"),
        group("MREchoSequence").get("EffectiveEchoTime"),
        group("MRDiffusionSequence").get("DiffusionBValue"),
        kind,
        content.get("StackID"),
    ]
    items = Items(
        group("PlanePositionSequence"),
        group("PlaneOrientationSequence"),
        group("PixelMeasuresSequence"),
        scaling.get("RescaleSlope"),
        scaling.get("RescaleIntercept"),
    )
    return _plane(source, items, size, time, marks, header.SOPClassUID in CT_STORAGE)


def _plane(
    source: tuple[Path, str, int | None],
    items: Items,
    size: tuple[int, int],
    time: float | None,
    marks: list[Any],
    ct: bool,
) -> Slice:
    """One plane of a source (path, which file that is, frame); raises one of DICOM_ERRORS."""

    def numbers(values: Any, count: int) -> tuple[float, ...]:
        read = tuple(float(v) for v in values)
        if len(read) != count or not np.isfinite(read).all():
            raise ValueError
        return read

    cosines = numbers(items.orientation.ImageOrientationPatient, 6)
    lengths = np.linalg.norm(np.reshape(cosines, (2, 3)), axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(np.dot(cosines[:3], cosines[3:])) > 0.01:
        raise ValueError
    pixel = numbers(items.measures.PixelSpacing, 2)
    if min(pixel) <= 0 or min(size) < 1:
        raise ValueError
    slope = 1 if items.slope is None else items.slope
    intercept = 0 if items.intercept is None else items.intercept
    rescale = numbers((slope, intercept), 2)
    if rescale[0] == 0:
        raise ValueError
    said = tuple(" ".join(texts(mark)) for mark in marks)
    place = numbers(items.position.ImagePositionPatient, 3)
    return Slice(*source, place, cosines, pixel, size, *rescale, time, said, items.intercept is not None, ct)


def texts(value: Any) -> list[str]:
    if value is None:
        return []
    several = not isinstance(value, (str, bytes)) and hasattr(value, "__iter__")
    return [str(v) for v in value] if several else [str(value)]
