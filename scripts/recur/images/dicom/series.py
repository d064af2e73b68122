"""The series of a DICOM folder and the volumes that each of them holds."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from pydicom import Dataset

from recur.images.acquisition import number
from recur.images.dicom.parts import parts_of, start_of
from recur.images.dicom.slices import (
    DICOM_ERRORS,
    IMAGE_STORAGE,
    SCAN_TAGS,
    Slice,
    file_state,
    files_of,
    open_dicom,
    slices_of,
    texts,
)
from recur.tables import StudyError


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


@lru_cache(maxsize=2)  # the phases of a patient often lie in one folder
def scanned(folder: Path, state: tuple[Any, ...]) -> list[Series]:
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
        kind = header.get("SOPClassUID")
        meta = getattr(header, "file_meta", {})
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
    slices = []
    localizers = 0
    damaged = None
    for where, header, path in items:
        if "LOCALIZER" in texts(header.get("ImageType")):
            localizers += 1
            continue
        try:
            slices += slices_of(header, path, where)
        except DICOM_ERRORS:
            damaged = damaged or where
    first = items[0][1]
    announced = number(first.get("ImagesInAcquisition"))
    return Series(
        uid,
        " ".join(texts(first.get("SeriesDescription"))),
        str(first.get("SeriesNumber") or ""),
        str(first.get("FrameOfReferenceUID") or "") or None,
        str(first.get("PatientID") or "") or None,
        slices,
        localizers,
        damaged,
        int(announced) if announced else None,
        other_kinds,
    )


def list_volumes(folder: Path) -> list[Volumes]:
    """The series of a folder with their volumes, numbered as the manifest's `part:` does. Raises as read_series."""
    listed = []
    for series in scanned(folder, file_state(folder)):
        check_whole([series], folder.name)
        parts = [part for part in parts_of(series.slices, folder.name)[0] if len(part) > 1]
        starts = [start_of(part) for part in parts]
        listed.append(Volumes(series.uid, series.description, series.frame, starts, [len(part) for part in parts]))
    return listed


def check_whole(series: list[Series], name: str) -> None:
    for one in series:
        if one.damaged:
            raise StudyError(f"{name}: {one.damaged} is damaged or has no position; copy the series again")
