"""One volume out of a DICOM folder: which series was meant, which slices belong to it, on which grid they lie.

Classic slices and the frames of enhanced multi-frame objects are the same here: a `Slice` with its own position and
rescaling. Nothing of a file is believed but that: not its name, not its number, not SliceThickness. Files inside a
folder are told by their place in name order, never by name: exports name files after patients.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.errors import InvalidDicomError
from pydicom.pixels import iter_pixels
from pydicom.uid import JPEGLossless, JPEGLosslessSV1, SecondaryCaptureImageStorage

from recur.images.acquisition import (
    acquisition,
    acquisition_time,
    clean_text,
    examination,
    identifying_words,
    number,
    seconds,
    series_hash,
)
from recur.images.flags import flag
from recur.images.grid import (
    DIRECTION_TOLERANCE,
    LATTICE_TOLERANCE,
    Grid,
    Stack,
    Volume,
    even_out,
    unshear,
)
from recur.tables import StudyError

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
CODED_TAGS = [  # what a coded frame needs besides itself
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
]
OWNER = {  # what all slices of a series share, in messages' words
    "PatientID": "patient",
    "StudyInstanceUID": "study",
    "FrameOfReferenceUID": "frame of reference",
    "SeriesNumber": "series number",
    "SeriesDescription": "series description",
}
SPLIT_BY = ("temporal position", "acquisition number", "echo", "b-value", "image type", "stack")
PHASE_WORDS = (  # a word of one line finds a series whose description has any word of that line
    {"native", "nativ", "plain", "unenhanced", "noncontrast", "nc", "ncct", "pre", "precontrast", "without"},
    {"arterial", "arteriel", "arterielle", "arteriell", "art", "ap", "hap"},
    {"portal", "portalvenous", "portovenous", "venous", "ven", "venoes", "pv", "pvp", "hvp", "porto"},
    {"delayed", "delay", "delayphase", "equilibrium", "ep", "dp", "tardive", "tardif"},
    {"hepatobiliary", "hbp"},
)
MARKS = {"temporal": 0, "acquisition": 1, "echo": 2, "b": 3, "type": 4, "stack": 5}  # chooser: its place in SPLIT_BY
CHOOSERS = ("uid", "description", "number", "phase", "time", "part", *MARKS)
BETWEEN_TERMS = re.compile(rf";|,(?=\s*(?:{'|'.join(CHOOSERS)})\s*:)")
SWAPPED = 0.3  # share of the steps between slices
LISTED = 12  # series named in one message


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


class Volumes(NamedTuple):
    """What tells the volumes of one series apart: where each is in messages' order, when it began, how many slices."""

    uid: str
    description: str
    frame: str | None  # of reference
    starts: list[float | None]  # seconds since the epoch
    slices: list[int]


class Series(NamedTuple):
    """The slices of a SeriesInstanceUID; `damaged` tells its first file that is no whole slice."""

    uid: str
    description: str
    number: str
    frame: str | None
    patient: str | None  # to compare with a mask's
    slices: list[Slice]
    localizers: int
    damaged: str | None
    announced: int | None  # slices of the acquisition as the scanner counted them
    other_kinds: int  # files of this series that are no CT or MR image


def read_series(folder: Path, choice: str | None = None, nonuniform: str = "refuse") -> Volume:
    """Read one volume of a DICOM folder (all levels) or of one multi-frame file.

    `choice` as in the manifest's column series: terms `uid:`, `description:` (regular expression), `number:`,
    `phase:` (a word or a synonym), `time:` (1 for the earliest left), `part:` (of a series that holds several volumes,
    as messages number them), and what tells such volumes apart: `temporal:`, `acquisition:`, `b:`, `stack:` (as the
    header has it), `type:` (a word of the image type), `echo:` (1 for the shortest, or the time itself); joined by `;`,
    each narrowing down; empty for the only one.
    `nonuniform`: "resample" puts slices at uneven distances on even ones by linear interpolation; default "refuse".
    A gantry tilt is taken out by shearing. Raises StudyError, listing what is there where the choice is ambiguous.
    """
    terms = parse_choice(choice, folder.name)
    try:
        found = _scan(folder, file_state(folder))
        series, slices, flags = _choose(found, terms, folder.name)
        return _build(series, slices, flags, found, folder.name, nonuniform)
    except DICOM_ERRORS as error:
        cause = f"damaged or incomplete DICOM headers ({type(error).__name__})"
        raise StudyError(f"{folder.name}: {cause}; copy the series again") from None


def parse_choice(choice: str | None, name: str) -> list[tuple[str, str]]:
    """[(chooser, value), ...] of the manifest's column series; raises StudyError."""
    terms = []
    for text in filter(None, (part.strip() for part in BETWEEN_TERMS.split(choice or ""))):
        kind, colon, value = text.partition(":")
        kind, value = kind.strip().lower(), value.strip()
        if kind not in CHOOSERS or not colon or not value:
            known = ", ".join(f"{k}:..." for k in CHOOSERS)
            raise StudyError(f"{name}: series {text!r} is not understood; use {known}")
        if kind in ("time", "part") and not (value.isdigit() and int(value)):
            raise StudyError(f"{name}: series {text!r}: a number from 1 is needed")
        if kind == "description":
            try:
                re.compile(value)
            except re.error as error:
                raise StudyError(f"{name}: series {text!r} is not a regular expression ({error})") from None
        terms.append((kind, value))
    return terms


# ---------------------------------------------------------------- what is there


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


@lru_cache(maxsize=2)  # the phases of a patient often lie in one folder
def _scan(folder: Path, state: tuple[Any, ...]) -> list[Series]:
    files = files_of(folder)
    kept: dict[str, list[tuple[str, Dataset, Path]]] = {}
    other_kinds: Counter[str] = Counter()
    for place, path in enumerate(files, 1):
        where = f"file {place} of {len(files)} in name order"
        header = open_dicom(path, SCAN_TAGS)
        if header is None:
            if path.suffix.lower() == ".dcm":
                raise StudyError(f"{folder.name}: {where} is damaged; copy the series again")
            continue
        kind, meta = header.get("SOPClassUID"), getattr(header, "file_meta", {})
        if kind is None and (path.name == "DICOMDIR" or "MediaStorageDirectory" in str(meta.get("MediaStorageSOP"))):
            continue
        if kind is None or (kind in IMAGE_STORAGE and not header.get("SeriesInstanceUID")):
            # nobody would notice a lost end slice
            raise StudyError(f"{folder.name}: {where} is damaged; copy the series again")
        if kind in IMAGE_STORAGE:
            kept.setdefault(str(header.SeriesInstanceUID), []).append((where, header, path))
        else:
            other_kinds[str(header.get("SeriesInstanceUID") or "")] += 1
    if not kept:
        raise StudyError(f"{folder.name}: no DICOM slices in this folder")
    return [_series(uid, items, other_kinds[uid]) for uid, items in kept.items()]


def _series(uid: str, items: list[tuple[str, Dataset, Path]], other_kinds: int) -> Series:
    slices, localizers, damaged = [], 0, None
    for where, header, path in items:
        if "LOCALIZER" in _texts(header.get("ImageType")):
            localizers += 1
            continue
        try:
            slices += _slices(header, path, where)
        except DICOM_ERRORS:
            damaged = damaged or where
    first = items[0][1]
    announced = number(first.get("ImagesInAcquisition"))
    return Series(
        uid,
        " ".join(_texts(first.get("SeriesDescription"))),
        str(first.get("SeriesNumber") or ""),
        str(first.get("FrameOfReferenceUID") or "") or None,
        str(first.get("PatientID") or "") or None,
        slices,
        localizers,
        damaged,
        int(announced) if announced else None,
        other_kinds,
    )


def _slices(header: Dataset, path: Path, where: str) -> list[Slice]:
    """The planes of a file; raises one of DICOM_ERRORS if an element that is needed is not there."""
    owner = tuple(" ".join(_texts(header.get(keyword))) for keyword in OWNER)
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
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
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
    return [_plane((path, where, None), (header, header, header), size, (slope, intercept), time, marks, ct)]


def _frame(
    header: Dataset, shared: Dataset, frame: Dataset, source: tuple[Path, str, int | None], size: tuple[int, int]
) -> Slice:
    def group(keyword: str) -> Dataset:
        return ((frame if keyword in frame else shared).get(keyword) or [Dataset()])[0]

    content, value = group("FrameContentSequence"), group("PixelValueTransformationSequence")
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
    geometry = tuple(
        group(keyword) for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    )
    scaling = value.get("RescaleSlope"), value.get("RescaleIntercept")
    return _plane(source, geometry, size, scaling, time, marks, header.SOPClassUID in CT_STORAGE)


def _plane(
    source: tuple[Path, str, int | None],
    geometry: tuple[Dataset, Dataset, Dataset],
    size: tuple[int, int],
    scaling: tuple[Any, Any],
    time: float | None,
    marks: list[Any],
    ct: bool,
) -> Slice:
    """One plane. geometry: the items with position, orientation, pixel size; scaling: slope and intercept, or None."""
    position, orientation, measures = geometry
    slope, intercept = scaling

    def numbers(values: Any, count: int) -> tuple[float, ...]:
        found = tuple(float(v) for v in values)
        if len(found) != count or not np.isfinite(found).all():
            raise ValueError
        return found

    cosines = numbers(orientation.ImageOrientationPatient, 6)
    lengths = np.linalg.norm(np.reshape(cosines, (2, 3)), axis=1)
    if np.abs(lengths - 1).max() > 0.01 or abs(np.dot(cosines[:3], cosines[3:])) > 0.01:
        raise ValueError
    pixel = numbers(measures.PixelSpacing, 2)
    if min(pixel) <= 0 or min(size) < 1:
        raise ValueError
    rescale = numbers((1 if slope is None else slope, 0 if intercept is None else intercept), 2)
    if rescale[0] == 0:
        raise ValueError
    texts = tuple(" ".join(_texts(mark)) for mark in marks)
    place = numbers(position.ImagePositionPatient, 3)
    return Slice(*source, place, cosines, pixel, size, *rescale, time, texts, intercept is not None, ct)


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    several = not isinstance(value, (str, bytes)) and hasattr(value, "__iter__")
    return [str(v) for v in value] if several else [str(value)]


def list_volumes(folder: Path) -> list[Volumes]:
    """The series of a folder with their volumes, numbered as the manifest's `part:` does. Raises as read_series."""
    found = []
    for series in _scan(folder, file_state(folder)):
        _check_whole([series], folder.name)
        parts = [part for part in _parts(series.slices, folder.name)[0] if len(part) > 1]
        starts = [_start(part) for part in parts]
        found.append(Volumes(series.uid, series.description, series.frame, starts, [len(part) for part in parts]))
    return found


# ---------------------------------------------------------------- which was meant


def _choose(found: list[Series], terms: list[tuple[str, str]], name: str) -> tuple[Series, list[Slice], list[str]]:
    """The series and the slices of the one volume meant, and remarks."""
    left = [s for s in found if s.slices or s.damaged]
    said = "; ".join(f"{kind}:{value}" for kind, value in terms)
    if not left:
        raise StudyError(f"{name}: only localizers in this folder")
    for kind, value in terms:
        if kind not in ("time", "part", *MARKS):
            left = [s for s in left if _fits(s, kind, value)]
    if not left:
        raise StudyError(f"{name}: no series is {said}; there are: {_listing(found)}")
    nth, part = (next((int(value) for k, value in terms if k == kind), None) for kind in ("time", "part"))
    volumes, lone, notes = [], {}, {}
    for series in left:
        parts, notes[series.uid] = _parts(series.slices, name)
        lone[series.uid] = sum(len(p) == 1 for p in parts)
        volumes += [(series, slices) for slices in parts if len(slices) > 1]
    volumes = [volume for volume in volumes if _marked(volume, volumes, terms)]
    if not volumes:
        _check_whole(left, name)
        if terms:
            raise StudyError(f"{name}: no series is {said}; there are: {_listing(found, _all_volumes(left, name))}")
        if len(left) > 2:
            raise StudyError(
                f"{name}: {len(left)} series of one slice each: an anonymiser or a copy gave every slice a series UID "
                "of its own; export the series again"
            )
        raise StudyError(f"{name}: one slice only, a volume is needed")
    if nth:
        times = sorted({_start(slices) for _, slices in volumes} - {None})
        if nth > len(times):
            raise StudyError(f"{name}: series {said}: {len(times)} acquisitions with a time there: {_listing(left)}")
        volumes = [v for v in volumes if _start(v[1]) == times[nth - 1]]
    if part:
        by_series = [[v for v in volumes if v[0].uid == series.uid] for series in left]
        volumes = [volume for those in by_series for volume in those[part - 1 : part]]
        if not volumes:
            raise StudyError(f"{name}: no series is {said}; there are: {_listing(found, _all_volumes(left, name))}")
    if len(volumes) > 1:
        hint = f"series {said!r} fits" if said else "the image manifest's column series must choose one of"
        raise StudyError(f"{name}: {hint} {len(volumes)} volumes: {_listing(found, volumes)}")
    series, slices = volumes[0]
    _check_whole([series], name)
    flags = list(notes[series.uid])
    dropped = series.localizers + lone[series.uid]
    if dropped:
        flags.append(f"{dropped} localizer slices left out")
    if series.other_kinds:
        flags.append(f"{series.other_kinds} files of this series are no CT or MR images and were left out")
    strays = sum(_continues(one.slices[0], slices) for one in found if one.uid != series.uid and len(one.slices) == 1)
    if strays:
        flags.append(flag("short", f"{strays} slices of another series UID continue this stack and were left out"))
    if series.announced and len(slices) < series.announced and not dropped and len(slices) == len(series.slices):
        flags.append(flag("short", f"{len(slices)} of the acquisition's {series.announced} slices are here"))
    return series, slices, flags


def _all_volumes(series: list[Series], name: str) -> list[tuple[Series, list[Slice]]]:
    return [(one, part) for one in series for part in _parts(one.slices, name)[0] if part]


def _marked(
    volume: tuple[Series, list[Slice]], volumes: list[tuple[Series, list[Slice]]], terms: list[tuple[str, str]]
) -> bool:
    """Whether a volume has the marks that the terms ask for."""
    for kind, value in terms:
        if kind not in MARKS:
            continue
        marks = {one.marks[MARKS[kind]] for one in volume[1]}
        if kind == "type":
            known = {word.lower() for mark in marks for word in mark.split()}
            fits = value.lower() in known
        else:
            fits = any(mark == value or (number(mark) is not None and number(mark) == number(value)) for mark in marks)
        if kind == "echo" and not fits and value.isdigit():
            echoes = sorted({number(one.marks[MARKS[kind]]) or 0 for _, slices in volumes for one in slices})
            place = int(value) - 1
            fits = 0 <= place < len(echoes) and any((number(mark) or 0) == echoes[place] for mark in marks)
        if not fits:
            return False
    return True


def _continues(one: Slice, slices: list[Slice]) -> bool:
    """Whether a lone slice is the next one of a stack, before or behind it: an anonymiser may have lost it."""
    shapes = [np.array([*s.cosines, *s.pixel, *s.size]) for s in (one, slices[0])]
    if np.abs(shapes[0] - shapes[1]).max() > DIRECTION_TOLERANCE * 10:
        return False
    place, *along = _along([slices[0], one, *slices])[1:]
    along = np.sort(along)
    step = (along[-1] - along[0]) / (len(along) - 1)
    ends = np.abs(np.array([along[0] - step, along[-1] + step]) - place)
    return bool(ends.min() <= LATTICE_TOLERANCE * step)


def _check_whole(series: list[Series], name: str) -> None:
    for one in series:
        if one.damaged:
            raise StudyError(f"{name}: {one.damaged} is damaged or has no position; copy the series again")


def _fits(series: Series, kind: str, value: str) -> bool:
    if kind == "uid":
        return series.uid == value
    if kind == "number":
        return series.number == value
    if kind == "description":
        return re.search(value, series.description, re.IGNORECASE) is not None
    words = set(re.findall(r"[^\W\d_]+", series.description.lower()))
    return bool(words & next((line for line in PHASE_WORDS if value.lower() in line), {value.lower()}))


def _start(slices: Sequence[Slice]) -> float | None:
    """Whole seconds of the first slice, so that the reconstructions of one scan share it."""
    times = [s.time for s in slices if s.time is not None]
    return float(np.floor(min(times))) if times else None


def _listing(found: list[Series], volumes: list[tuple[Series, list[Slice]]] | None = None) -> str:
    """The series (or volumes) for a message: number, description, slices, seconds after the first."""
    shown = volumes or [(s, s.slices) for s in found]
    starts = [_start(s.slices) for s in found]
    zero = min((t for t in starts if t is not None), default=None)
    texts = []
    for series, slices in shown[:LISTED]:
        same = [v for v in shown if v[0].uid == series.uid]
        part = f" part {same.index((series, slices)) + 1}" if len(same) > 1 else ""
        start = _start(slices)
        when = "" if start is None or zero is None else f", +{start - zero:.0f} s"
        title = _title(series)
        told = _told_apart(slices, [v[1] for v in same])
        texts.append(f"{series.number or '-'} {title!r}{part} ({len(slices)} slices{when}{told})")
    more = f"; and {len(shown) - LISTED} more" if len(shown) > LISTED else ""
    return "; ".join(texts) + more


def _told_apart(slices: list[Slice], volumes: list[list[Slice]]) -> str:
    """The marks in which a volume of a series differs from the others, for a message."""
    told = []
    for name, place in MARKS.items():
        values = [sorted({one.marks[place] for one in volume}) for volume in volumes]
        own = sorted({one.marks[place] for one in slices})
        if len(own) == 1 and any(value != own for value in values):
            told.append(f", {name} {clean_text(own[0], ()) or 'none'}")
    return "".join(told)


def _title(series: Series) -> str:
    """The series' description without words that identify the patient."""
    if not series.slices:
        return ""
    header = open_dicom(series.slices[0].path)
    return clean_text(series.description, identifying_words(header))


def _parts(slices: list[Slice], name: str) -> tuple[list[list[Slice]], list[str]]:
    """The slices of a series as volumes: by orientation and size, then by what tells apart slices at one position."""
    flat: list[tuple[np.ndarray, list[Slice]]] = []
    for one in slices:
        shape = np.array([*one.cosines, *one.pixel, *one.size])
        for known, members in flat:
            if np.abs(known - shape).max() <= DIRECTION_TOLERANCE * 10:
                members.append(one)
                break
        else:
            flat.append((shape, [one]))
    parts, notes = [], []
    for _, members in sorted(flat, key=lambda group: (_start(group[1]) or 0, *group[0])):
        unique, twice = _without_copies(members, name)
        if twice:
            notes.append(flag("copied", f"{twice} identical duplicate slices left out"))
        parts += _split(unique)
    return parts, notes


def _along(slices: Sequence[Slice]) -> np.ndarray:
    """Position of each slice along the normal of the first (mm)."""
    row, column = np.reshape(slices[0].cosines, (2, 3))
    return np.array([s.position for s in slices]) @ np.cross(row, column)


def _places(slices: Sequence[Slice]) -> dict[int, list[Slice]]:
    """Slices by position; two within a hundredth of a mm are at one."""
    groups: dict[int, list[Slice]] = {}
    along = _along(slices)
    order = np.argsort(along, kind="stable")
    place = np.concatenate([[0], np.cumsum(np.diff(along[order]) > 0.01)])
    for at, i in zip(place, order, strict=True):
        groups.setdefault(int(at), []).append(slices[i])
    return groups


def _without_copies(slices: list[Slice], name: str) -> tuple[list[Slice], int]:
    """The slices without those whose position, rescaling and pixels another one has already."""
    kept, dropped = [], 0
    for group in _places(slices).values():
        seen: set[tuple[Any, ...]] = set()
        for one in group:
            key = (one.slope, one.intercept, next(pixels([one], name)).tobytes()) if len(group) > 1 else ()
            if key in seen:
                dropped += 1
            else:
                seen.add(key)
                kept.append(one)
    return kept, dropped


def _split(slices: list[Slice]) -> list[list[Slice]]:
    """The volumes of slices of one orientation: by the first mark, or the fewest marks together, that tell them apart.

    Slices that share a position are of several volumes, and so are slices whose mark alternates along the stack: two
    phases may lie half a slice apart. A mark that grows along the stack (step and shoot) makes no other volume. Without
    such a mark by time, where the volumes follow one another; else all as they are.
    """
    places = list(_places(slices).values())
    most = max(len(group) for group in places)
    varying = [m for m in range(len(SPLIT_BY)) if len({one.marks[m] for one in slices}) > 1]
    chosen = [(mark,) for mark in varying]
    if most > 1:
        chosen += [marks for count in range(2, len(varying) + 1) for marks in combinations(varying, count)]
    for marks in chosen:
        groups: dict[tuple[str, ...], list[Slice]] = {}
        for one in slices:
            groups.setdefault(tuple(one.marks[m] for m in marks), []).append(one)
        if _are_volumes(list(groups.values()), most):
            return [groups[key] for key in sorted(groups, key=lambda k: [(number(mark) or 0, mark) for mark in k])]
    return _split_by_time(slices, places, most)


def _are_volumes(groups: list[list[Slice]], most: int) -> bool:
    """Whether groups of slices, of which `most` share a position, are volumes of their own."""
    if not all(len(place) == 1 for group in groups for place in _places(group).values()):
        return False
    if most == 1:
        return _interleaved(groups)
    if len(groups) == most:
        return True
    extents = [np.ptp(_along([groups[0][0], *group])[1:]) for group in groups]  # some lie between the others
    return len(groups) > most and min(extents) > 0.5 * max(extents)


def _split_by_time(slices: list[Slice], places: list[list[Slice]], most: int) -> list[list[Slice]]:
    """Volumes that follow one another in time; else all slices as they are.

    Slices of a CT that take turns at a few times are two scans; those of an MR are a scan in several breath-holds.
    """
    if any(one.time is None for one in slices):
        return [slices]
    if most == 1:
        groups: dict[float, list[Slice]] = {}
        for one in slices:
            groups.setdefault(one.time, []).append(one)
        return list(groups.values()) if slices[0].ct and _interleaved(list(groups.values())) else [slices]
    if all(len(group) == most for group in places):
        volumes = list(zip(*(sorted(group, key=lambda s: s.time) for group in places), strict=True))
        ends = [(min(s.time for s in volume), max(s.time for s in volume)) for volume in volumes]
        if all(before[1] < after[0] for before, after in pairwise(ends)):
            return [list(volume) for volume in volumes]
    return [slices]


def _interleaved(groups: list[list[Slice]]) -> bool:
    """Whether slices of several groups, all at positions of their own, take turns along the stack.

    Blocks that follow one another, also with some overlap (step and shoot), do not, nor do a few odd slices in a stack.
    """
    smallest = min(len(group) for group in groups)
    if smallest < 2:
        return False
    along = _along([one for group in groups for one in group])
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    turns = int(np.count_nonzero(np.diff(owner[np.argsort(along, kind="stable")])))
    if turns <= len(groups) - 1:
        return False
    begin = np.cumsum([0, *(len(group) for group in groups)])
    placed = [np.sort(along[low:high]) for low, high in pairwise(begin)]
    if smallest >= 3 and turns >= 2 * smallest - 2:
        return True
    return turns >= smallest and all(np.ptp(np.diff(place)) <= 0.1 * np.diff(place).mean() for place in placed)


# ---------------------------------------------------------------- pixels


def pixels(slices: Iterable[Slice], name: str) -> Iterator[np.ndarray]:
    """Stored values (rows, columns) of each slice; frames of one file in a row are read together."""
    opened: tuple[Path | None, Any] = None, None
    for one in slices:
        if one.path != opened[0]:
            data = open_dicom(one.path, pixels=True)
            opened = one.path, data
        data = opened[1]
        if data.get("SamplesPerPixel", 1) != 1 or "PixelData" not in data:
            raise StudyError(f"{name}: {one.where} has no grey-level pixels")
        if "ModalityLUTSequence" in data:
            raise StudyError(
                f"{name}: {one.where} has a modality lookup table, no slope and intercept; convert it first"
            )
        try:
            plane = _decode(data, one.frame or 0)
        except (*DICOM_ERRORS, RuntimeError, OSError) as error:
            syntax = data.file_meta.get("TransferSyntaxUID") if hasattr(data, "file_meta") else None
            how = getattr(syntax, "name", "unknown")
            raise StudyError(
                f"{name}: {one.where} is damaged or cannot be decoded ({how}, {type(error).__name__})"
            ) from None
        if plane.shape != one.size[::-1]:
            raise StudyError(f"{name}: {one.where} has other pixels than its header says; copy the series again")
        yield plane


def _decode(data: Dataset, frame: int) -> np.ndarray:
    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        return _decode_by_itk(data, frame)
    if syntax is None or not syntax.is_encapsulated:
        return _native(data, frame)
    return next(iter_pixels(data, indices=[frame], raw=True))


def _native(data: Dataset, frame: int) -> np.ndarray:
    """Uncompressed pixels; bits above BitsStored (overlays of old scanners) do not count."""
    allocated, stored = int(data.BitsAllocated), int(data.BitsStored)
    if allocated not in (8, 16, 32):
        raise ValueError
    syntax = getattr(getattr(data, "file_meta", None), "TransferSyntaxUID", None)
    order = ">" if syntax is not None and not syntax.is_little_endian else "<"
    kind = np.dtype(f"{order}{'i' if data.PixelRepresentation else 'u'}{allocated // 8}")
    shape, one = (int(data.Rows), int(data.Columns)), int(data.Rows) * int(data.Columns)
    needed = int(data.get("NumberOfFrames") or 1) * one * kind.itemsize
    if not needed <= len(data.PixelData) <= needed + 1:  # a byte fills up to an even length
        raise ValueError
    values = np.frombuffer(data.PixelData, kind, one, frame * one * kind.itemsize).reshape(shape)
    if stored < allocated and int(data.HighBit) == stored - 1:
        values = values.astype(kind.newbyteorder("=")) << (allocated - stored) >> (allocated - stored)
    return values


def _decode_by_itk(data: Dataset, frame: int) -> np.ndarray:
    """Lossless JPEG, for which pydicom has no decoder of its own: ITK's, on a file of this frame without rescaling."""
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = data.file_meta.TransferSyntaxUID
    one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    for keyword in CODED_TAGS:
        setattr(one, keyword, data[keyword].value)
    one.SamplesPerPixel = 1
    coded = get_frame(data.PixelData, frame, number_of_frames=int(data.get("NumberOfFrames") or 1))
    one.PixelData = encapsulate([coded])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame.dcm")
        one.save_as(path, enforce_file_format=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO")).reshape(one.Rows, one.Columns)


# ---------------------------------------------------------------- from slices to a volume


def _build(
    series: Series, slices: list[Slice], flags: list[str], found: list[Series], name: str, nonuniform: str
) -> Volume:
    flags = [*flags, *_check_scaling(slices, name), *_check_owner(slices, name)]
    slices, grid, shear, even, notes = _stack(slices, name, nonuniform)
    notes += _out_of_turn(slices)
    voxels = np.empty(grid.size[::-1], dtype=np.float32)
    order = sorted(range(len(slices)), key=lambda k: (str(slices[k].path), slices[k].frame or 0))  # file by file
    for k, plane in zip(order, pixels((slices[k] for k in order), name), strict=True):
        voxels[k] = plane * slices[k].slope + slices[k].intercept
    stack = None
    if not even or shear is not None:
        along = _along(slices)
        stack = Stack(grid, None if even else along - along[0], shear)
    if not even:
        voxels = even_out(voxels, stack.along)
    if shear is not None:
        voxels, grid = unshear(voxels, grid, shear)
    starts = [t for t in (_start(s.slices) for s in found) if t is not None]
    start = _start(slices)
    header = open_dicom(slices[len(slices) // 2].path)
    made = acquisition(header)
    if made["lossy_compression"] == "yes":
        notes.append(flag("lossy", "lossy compressed"))
    facts = {
        "series_number": series.number or None,
        "series_description": clean_text(series.description, identifying_words(header)) or None,
        "series_time_s": start - min(starts) if start is not None else None,
        "series_hash": series_hash(series.uid),
        "acquisition": made,
        "exam": examination(header, start),
    }
    own = {"series": series.uid, "frame": series.frame, "patient": series.patient}
    own |= {"flags": (*flags, *notes), "facts": facts, "sheared": shear is not None, "stack": stack}
    return Volume(voxels, grid, "dicom", **own)


def _check_owner(slices: list[Slice], name: str) -> list[str]:
    """Remarks on slices that came from elsewhere, by what they state; StudyError where that is another patient."""
    flags = []
    for place, what in enumerate(OWNER.values()):
        stated = Counter(one.owner[place] for one in slices if one.owner[place])
        if len(stated) < 2:
            continue
        others = sum(stated.values()) - max(stated.values())
        if what == "patient":
            raise StudyError(f"{name}: {others} of {len(slices)} slices are of another patient; copy the series again")
        flags.append(flag("apart", f"{others} of {len(slices)} slices state another {what} than the rest"))
    return flags


def _out_of_turn(slices: list[Slice]) -> list[str]:
    """A remark on slices (in order along the stack) of which a few have numbers against the order: positions swapped.

    Numbers that follow no order (of several volumes, or given by an archive) say nothing.
    """
    numbers = [one.instance for one in slices]
    if None in numbers or len(set(numbers)) < len(numbers):
        return []
    steps = np.sign(np.diff(numbers))
    against = int(min((steps > 0).sum(), (steps < 0).sum()))
    if not 0 < against <= SWAPPED * len(steps):
        return []
    return [flag("apart", f"{against} slices are numbered against their positions: are two of them swapped?")]


def _check_scaling(slices: list[Slice], name: str) -> list[str]:
    """Slices without a rescale intercept among others with one would be off by it; CTs are rescaled in one way."""
    without = [one for one in slices if not one.rescaled]
    others = sorted({one.intercept for one in slices if one.rescaled and one.intercept})
    if without and others:
        raise StudyError(
            f"{name}: {len(without)} of {len(slices)} slices ({without[0].where} first) have no rescale intercept, "
            f"the others {others[0]:g}; copy the series again"
        )
    ways = Counter((one.slope, one.intercept) for one in slices if one.ct)
    if len(ways) < 2:
        return []
    odd = sum(ways.values()) - max(ways.values())
    text = f"{odd} of {len(slices)} slices are rescaled otherwise than the rest: are they of this scan?"
    return [flag("not_hu", text)]


def _stack(
    slices: list[Slice], name: str, nonuniform: str
) -> tuple[list[Slice], Grid, np.ndarray | None, bool, list[str]]:
    """Slices in order along their normal, their grid, sideways mm per slice if tilted, whether even, remarks."""
    row, column = np.reshape(slices[0].cosines, (2, 3))
    normal = np.cross(row, column)
    along = _along(slices)
    order = np.argsort(along, kind="stable")
    slices, along = [slices[i] for i in order], along[order]
    gaps = np.diff(along)
    if gaps.min() <= 0.01:
        twice = int((gaps <= 0.01).sum())
        where = int(np.argmin(gaps)) + 1
        raise StudyError(
            f"{name}: {twice} slices share a position with another slice of other content (first at slice {where}) and "
            "nothing in the headers tells them apart; keep one volume"
        )
    step = (along[-1] - along[0]) / (len(slices) - 1)
    flags: list[str] = []
    even = _check_gaps(along, gaps, step, name, nonuniform)
    if not even:
        distances = f"({gaps.min():.3g} to {gaps.max():.3g} mm) resampled to {step:.3g} mm"
        flags.append(flag("adapted", f"uneven slice distances {distances}"))
    positions = np.array([s.position for s in slices])
    first = positions[0]
    sideways = positions - (first + np.outer(along - along[0], normal))
    per_mm = np.linalg.lstsq((along - along[0])[:, None], sideways, rcond=None)[0][0]
    shear, tolerance = None, LATTICE_TOLERANCE * min(slices[0].pixel)
    if np.abs(sideways).max() > tolerance:
        uneven = np.abs(sideways - np.outer(along - along[0], per_mm)).max()
        if uneven > 5 * tolerance:
            raise StudyError(
                f"{name}: slices are shifted against each other by {np.abs(sideways).max():.1f} mm and not as by a "
                "gantry tilt; resample the series first"
            )
        if not even:
            raise StudyError(f"{name}: slices are tilted and unevenly spaced; resample the series first")
        shear = np.array([per_mm @ row, per_mm @ column]) * step
        angle = np.degrees(np.arctan(np.linalg.norm(per_mm)))
        flags.append(flag("adapted", f"gantry tilt of {angle:.1f} degrees taken out by shearing"))
    row = row / np.linalg.norm(row)
    column = column - (column @ row) * row
    column /= np.linalg.norm(column)
    direction = tuple(np.column_stack([row, column, np.cross(row, column)]).ravel().tolist())
    between_rows, between_columns = slices[0].pixel
    size, spacing = (*slices[0].size, len(slices)), (between_columns, between_rows, float(step))
    return slices, Grid(size, spacing, tuple(first.tolist()), direction), shear, even, flags


def _check_gaps(along: np.ndarray, gaps: np.ndarray, step: float, name: str, nonuniform: str) -> bool:
    """Whether slices are evenly spaced; raises StudyError, saying where not.

    Evenly: each slice within a tenth of a step, or 2 % and the twentieth of a mm to which headers round, of its place.
    A slice is missing where few gaps are whole multiples of all the others; that is never resampled.
    """
    if np.ptp(along - step * np.arange(len(along))) / 2 <= min(LATTICE_TOLERANCE * step, 0.02 * step + 0.05):
        return True
    usual = float(np.median(gaps))
    times = gaps / usual
    wide = np.flatnonzero(times > 1.5)
    whole = np.abs(times - np.maximum(np.round(times), 1)).max() < 0.1
    at = int(np.argmax(np.abs(gaps - usual)))
    place = f"{gaps[at]:.3f} mm after slice {at + 1} of {len(along)}, {usual:.3f} mm elsewhere"
    if whole and len(wide) and len(wide) <= max(3, len(gaps) // 10):
        missing = int(np.round(times[wide]).sum() - len(wide))
        raise StudyError(f"{name}: {missing} slices missing: {place}; complete the series")
    if nonuniform == "resample":
        return False
    raise StudyError(
        f"{name}: slice spacing is not uniform: {place}; complete the series, or images.nonuniform: resample"
    )
