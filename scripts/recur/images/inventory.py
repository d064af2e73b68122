"""What a batch of patients has on disk: the one file that batch jobs of floor 2 depend on."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recur.batches import batch_of
from recur.images.detached import data_files
from recur.tables import read_table

FILES = ("image", "mask", "liver_mask", "vessel_mask", "lesions_mask", "aorta_mask")


def read_rows(path: str | Path, sheet: str | None = None) -> pd.DataFrame:
    """The rows of an image manifest, unchecked: cells without blanks around them, paths of Windows with slashes."""
    table = read_table(path, sheet).astype("string").apply(lambda cells: cells.str.strip())
    table = table.mask(table == "")
    for column in table.columns.intersection(FILES):
        table[column] = table[column].str.replace("\\", "/", regex=False)
    return table.astype(object).where(table.notna(), np.nan)


def inventory(manifest: pd.DataFrame, folder: Path, assigned: pd.DataFrame, batch: int, batches: int) -> pd.DataFrame:
    """Rows of the manifest whose patient is assigned to a cohort and falls into the batch, sorted.

    Paths become absolute (relative ones count from `folder`); `fingerprint` changes when a file's or folder's sizes or
    times do, and is "missing" if one is not there.
    """
    here = manifest["patient_id"].isin(assigned["patient_id"])
    here &= manifest["patient_id"].map(lambda patient: batch_of(patient, batches) == batch).astype(bool)
    rows = manifest[here].sort_values(["patient_id", "phase", "reader"], kind="stable").reset_index(drop=True)
    for column in FILES:
        if column in rows:
            rows[column] = [os.path.abspath(os.path.join(folder, p)) if isinstance(p, str) else p for p in rows[column]]
    present = [c for c in FILES if c in rows]
    prints = [fingerprint([p for p in row if isinstance(p, str)]) for row in rows[present].itertuples(index=False)]
    return rows.assign(fingerprint=pd.Series(prints, index=rows.index, dtype="object"))


def fingerprint(paths: list[str]) -> str:
    """SHA-256 over name, size and modification time (ns) of every file, or "missing".

    Folders count with all their levels, headers with the files that hold their voxels.
    """
    digest = hashlib.sha256()
    for path in paths:
        try:
            status = os.stat(path)
            voxels = (
                [] if stat.S_ISDIR(status.st_mode) else [(file.name, file.stat()) for file in data_files(Path(path))]
            )
        except (OSError, ValueError):  # a NUL byte in the path
            return "missing"
        if stat.S_ISDIR(status.st_mode):
            folder = Path(path)
            files = sorted(p for p in folder.rglob("*") if p.is_file())
            states = [(file.relative_to(folder.parent), file.stat()) for file in files]
        else:
            states = [(os.path.basename(path), status), *voxels]
        for name, status in states:
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        digest.update(b"\n")
    return digest.hexdigest()


def image_root(images: dict[str, Any]) -> Path:
    """The folder that the manifest's paths are relative to."""
    return Path(images["root"] or Path(images["manifest"]).parent)


def batch_fingerprints(images: dict[str, Any], batches: int) -> list[str]:
    """One a batch, which changes when an image or mask of the batch does: a changed file re-runs its batch only."""
    table = read_rows(images["manifest"], images.get("sheet"))
    rows = table.groupby(table["patient_id"].map(lambda patient: batch_of(str(patient), batches)))
    digests = [hashlib.sha256() for _ in range(batches)]
    for batch, part in rows:
        prints = inventory(part, image_root(images), part, 0, 1)["fingerprint"]
        digests[batch].update("".join(prints).encode())
    return [digest.hexdigest()[:16] for digest in digests]
