"""Images and masks as the manifest names them, looked at before any is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from recur.images.inventory import FILES, image_root, read_rows
from recur.images.review import KEY, review_notes
from recur.tables import StudyError

NAMED_MISSING = 10  # missing files that are named one by one
FORMATS = {
    ".nii": "NIfTI", ".gz": "NIfTI", ".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MHA", ".mhd": "MHA", ".dcm": "DICOM",
}  # fmt: skip


def review_problems(study: dict[str, Any]) -> list[str]:
    """What is wrong with the notes on the masks."""
    try:
        said_of_masks(study)
        return []
    except StudyError as error:
        return error.problems


def said_of_masks(study: dict[str, Any]) -> list[str]:
    """Lines on the notes that images.review holds (recur.images.review); StudyError where they cannot be read."""
    images = study.get("images", {})
    if not images.get("review"):
        return []
    if not Path(images["review"]).exists():
        raise StudyError(
            f"{images['review']}: no such file (images.review); save it from the page of the images, or drop the key"
        )
    manifest = None
    if Path(images["manifest"]).exists():
        manifest = read_rows(images["manifest"], images.get("sheet"))
    is_complete = manifest is not None and set(KEY) <= set(manifest)  # what it lacks is said elsewhere
    return review_notes(images["review"], manifest if is_complete else None)


def what_is_read(cases: pd.DataFrame, study: dict[str, Any]) -> list[str]:
    """A table of the images and masks by phase and reader, and what is missing; looks at names only, reads no file."""
    images = study["images"]
    folder = image_root(study["images"])
    files = [column for column in FILES if column in cases]
    columns = [column for column in (*files, "series") if column in cases and cases[column].notna().any()]
    table = [["phase", "reader", "cases", *(name.replace("_", " ") for name in columns), "missing files"]]
    gone = []
    for phase in images["phases"]:
        for reader in images["readers"]:
            rows = cases[(cases["phase"] == phase) & (cases["reader"] == reader)]
            lost = [
                f"patient {row['patient_id']} {phase} {reader}: {column.replace('_', ' ')} {row[column]}"
                for row in rows.to_dict("records")
                for column in files
                if isinstance(row[column], str) and not (folder / row[column]).exists()
            ]
            gone += lost
            kinds = [_kinds(rows[name], None if name == "series" else folder) for name in columns]
            table.append([phase, reader, str(len(rows)), *kinds, str(len(lost))])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["    " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    lines += [f"    missing: {text}" for text in gone[:NAMED_MISSING]]
    if len(gone) > NAMED_MISSING:
        lines.append(f"    and {len(gone) - NAMED_MISSING} more are missing")
    if gone:
        stops = study["on_error"] == "stop"
        lines.append(
            "    the run will stop at them (on_error: stop)" if stops else "    their patients will be excluded"
        )
    first = cases[cases["reader"] == images["readers"][0]]
    for phase in images["phases"]:
        without = sorted(set(cases["patient_id"]) - set(first.loc[first["phase"] == phase, "patient_id"]))
        if without:
            names = ", ".join(without[:NAMED_MISSING]) + (", ..." if len(without) > NAMED_MISSING else "")
            lines.append(f"    without {phase} of {images['readers'][0]}: {len(without)} of them ({names})")
    return lines


def _kinds(cells: pd.Series, folder: Path | None) -> str:
    """`230 NIfTI, 20 DICOM folder` of a column of paths; just how many cells are filled without a folder."""
    cells = cells.dropna()
    if folder is None or cells.empty:
        return str(len(cells))
    counts = cells.map(
        lambda path: "DICOM folder" if (folder / path).is_dir() else FORMATS.get(Path(path).suffix.lower(), "other")
    ).value_counts()
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
