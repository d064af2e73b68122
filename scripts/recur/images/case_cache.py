"""Cases on disk, shared by studies: keyed by the bytes of image and masks, settings, sources and versions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import scipy
import SimpleITK as sitk

from recur.images.case import MASKS, label_column, make_cases
from recur.images.case_file import Case, load_case, save_case
from recur.images.detached import data_files
from recur.images.dicom.slices import file_state, files_of
from recur.isolated import Crashed, isolated
from recur.sources import checksums, closure
from recur.tables import StudyError


def cached_cases(row: Mapping[str, str | None], regions: Mapping[str, Any], cache: Path) -> list[tuple[str, Case]]:
    """The cases of a manifest row and their file names in the cache, from there if all are there and whole.

    `<key>.npz`; with `lesions: each` the second lesion is `<key>-2.npz`, and so on.
    """
    key = case_key(row, regions)
    try:
        first = load_case(cache / f"{key}.npz")
        count = first.facts["lesions"] if regions.get("lesions") == "each" else 1
        names = [f"{key}.npz", *(f"{key}-{k}.npz" for k in range(2, count + 1))]
        return [(names[0], first), *((name, load_case(cache / name)) for name in names[1:])]
    except StudyError:
        try:
            cases = isolated(lambda: make_cases(row, regions))
        except Crashed as error:
            raise StudyError(str(error)) from None
        names = [f"{key}.npz", *(f"{key}-{k}.npz" for k in range(2, len(cases) + 1))]
        for name, case in zip(names, cases, strict=True):
            save_case(case, cache / name)
        return list(zip(names, cases, strict=True))


def case_key(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> str:
    """SHA-256 over the bytes of image and masks, labels, settings, this module's sources and their libraries.

    Paths, ids and times are left out, so that studies share cases and a moved file is recognised.
    """
    settings = {k: v for k, v in regions.items() if k != "on_error"}
    parts = {
        "files": {what: content_hash(row[what]) if row.get(what) else None for what in ("image", *MASKS)},
        "labels": [row.get(label_column(column)) or "" for column in MASKS],
        "series": row.get("series") or "",
        "regions": json.loads(json.dumps(settings), parse_int=float),  # 10 and 10.0 are one setting
        "code": _code_version(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file, or of all files in a folder in name order (their names do not count); "" if missing.

    A header whose voxels are in other files stands for these, too.
    """
    path = Path(path)
    if not path.exists():
        return ""
    try:
        voxels = [] if path.is_dir() else data_files(path)
        if lost := [file.name for file in voxels if not file.is_file()]:
            raise StudyError(f"{path.name}: its voxels ({lost[0]}) are not there; copy that file beside it")
        return "".join(_content_hash(file, file_state(file)) for file in (path, *voxels))
    except OSError as error:
        raise StudyError(f"{path.name}: cannot be opened ({error.strerror})") from None


@lru_cache(maxsize=4)  # the phases and readers of a patient often share one folder
def _content_hash(path: Path, state: tuple[Any, ...]) -> str:
    digest = hashlib.sha256()
    for file in files_of(path):
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _code_version() -> list[str]:
    libraries = (np, scipy, sitk.Version, pydicom)
    versions = [v.VersionString() if v is sitk.Version else v.__version__ for v in libraries]
    # of this package only: an edit of, say, recur.tables reads no image again
    sources = closure(__file__, within=Path(__file__).parent)
    return [digest for digest, _ in checksums(sources)] + versions
