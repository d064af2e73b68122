"""MetaImage and NRRD headers may keep their voxels in other files: `data_files`."""

from __future__ import annotations

import re
from pathlib import Path

HEADERS = (".mha", ".mhd", ".nrrd", ".nhdr")
HEADER_BYTES = 1 << 16
DATA = re.compile(r"^(?:ElementDataFile\s*=|data ?file:)[ \t]*(.*?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


def data_files(path: Path) -> list[Path]:
    """The files that a detached header names, which belong to the image as it does itself; none for other files.

    After LIST a name a line; a pattern (slice%03d.raw 1 60 1) stands for every file that fits it. Raises OSError.
    """
    if path.suffix.lower() not in HEADERS:
        return []
    with path.open("rb") as stream:
        header = stream.read(HEADER_BYTES).decode("latin-1")
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        header = re.split(r"\r?\n\r?\n", header)[0]  # an empty line, then voxels
    match = DATA.search(header)
    if match is None or match[1].upper() == "LOCAL":
        return []
    name = match[1]
    if name.upper().split()[:1] == ["LIST"]:
        return [path.parent / line.strip() for line in header[match.end() :].splitlines() if line.strip()]
    if "%" in name:
        return sorted(path.parent.glob(re.sub(r"%\d*d", "*", name.split()[0])))
    return [path.parent / name]
