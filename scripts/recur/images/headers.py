"""What the headers of NIfTI, NRRD and MetaImage files must say before ITK may read them: sizes, voxels, one geometry.

ITK takes the first of several voxel sizes, 1 mm where none is stated, fills damaged voxels with what lies in memory,
and dies of some headers. Each function raises StudyError of one line and returns remarks for the flags column.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

import numpy as np
from isal import igzip, isal_zlib

from recur.images.detached import HEADER_BYTES, data_files
from recur.images.flags import flag
from recur.tables import StudyError

NIFTI_BITS = {2: 8, 4: 16, 8: 32, 16: 32, 32: 64, 64: 64, 128: 24, 256: 8, 512: 16, 768: 32, 1024: 64, 1280: 64}
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?"
NIFTI_UNITS = {1: "metres", 3: "micrometres"}  # 0 is not stated, 2 millimetres
SIZE_TOLERANCE = 1e-3  # relative: two statements of one voxel size
AXES_TOLERANCE = 0.01  # of direction cosines
ORIGIN_TOLERANCE_MM = 0.1
NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t", "ulonglong", "uint64", "uint64_t"), 8),
    **{"float": 4, "double": 8},
}
NRRD_SPACES = {"left-posterior-superior", "lps", "right-anterior-superior", "ras", "left-anterior-superior", "las"}
META_BYTES = {"CHAR": 1, "UCHAR": 1, "SHORT": 2, "USHORT": 2, "INT": 4, "UINT": 4, "FLOAT": 4, "DOUBLE": 8}
META_KEYS = ("NDims", "DimSize", "ElementSpacing", "ElementType", "ElementNumberOfChannels", "CompressedData")
META_KEYS += ("CompressedDataSize", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "HeaderSize")
META_KEYS += ("Offset", "Position", "Origin", "TransformMatrix", "Rotation", "Orientation")
PLACES, TURNS = ("offset", "position", "origin"), ("transformmatrix", "rotation", "orientation")  # MetaImage's keys
META_BYTES |= {"LONG": 4, "ULONG": 4, "LONG_LONG": 8, "ULONG_LONG": 8}


def check_nifti(data: bytes, name: str) -> list[str]:
    """Check a whole NIfTI-1 file (uncompressed bytes): header, length, and that its geometries agree."""
    if len(data) < 348:
        raise StudyError(f"{name}: truncated, shorter than a NIfTI header; copy it again")
    order = "<" if data[:4] == struct.pack("<i", 348) else ">"
    if data[:4] not in (struct.pack("<i", 348), struct.pack(">i", 348)):
        if data[:4] in (struct.pack("<i", 540), struct.pack(">i", 540)):
            raise StudyError(f"{name}: NIfTI-2; save it as NIfTI-1")
        raise _contradiction(name, "it does not begin with 348, the length of a NIfTI header")
    if data[344:348] != b"n+1\0":
        raise _contradiction(name, "its last bytes are not those of a NIfTI file (n+1)")
    dim = struct.unpack(f"{order}8h", data[40:56])
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise _contradiction(name, f"dimensions {' '.join(map(str, dim))}")
    datatype, bits = struct.unpack(f"{order}2h", data[70:74])
    if NIFTI_BITS.get(datatype, bits) != bits:
        raise _contradiction(name, f"data type {datatype} of {NIFTI_BITS[datatype]} bits a voxel beside {bits} bits")
    (offset,) = struct.unpack(f"{order}f", data[108:112])
    if not offset >= 348 or offset != int(offset):
        raise _contradiction(name, f"voxels that begin within the header (at byte {offset:g})")
    sizes = np.array(dim[1 : dim[0] + 1], dtype=np.int64)
    needed = int(offset) + int(np.prod(sizes)) * bits // 8
    if len(data) < needed:
        raise StudyError(f"{name}: truncated, {len(data)} of {needed} bytes; copy it again")
    plane = int(np.prod(sizes[:2])) * bits // 8
    if len(data) - needed >= max(plane, 1):
        raise _contradiction(name, f"{len(data)} bytes where its dimensions need {needed}")
    return [*_more_bytes(len(data) - needed), *_nifti_geometry(data, order, name)]


def _more_bytes(count: int) -> list[str]:
    """A remark on bytes behind the voxels: fill, or the voxels do not begin where the header says."""
    return (
        [flag("apart", f"{count} bytes more than the header needs: are the voxels in their places?")] if count else []
    )


def _contradiction(name: str, what: str) -> StudyError:
    return StudyError(f"{name}: its header contradicts itself ({what}); export the image again")


def _nifti_geometry(data: bytes, order: str, name: str) -> list[str]:
    """Whether pixdim, qform and sform say the same; remarks on what is not stated."""
    pixdim = np.abs(np.frombuffer(data, f"{order}f4", 3, 80).astype(float))
    if not ((pixdim > 0) & np.isfinite(pixdim)).all():
        raise StudyError(f"{name}: voxel spacing {_join(pixdim)} mm is not possible; export the image again")
    unit = NIFTI_UNITS.get(data[123] & 7)
    if unit:
        raise StudyError(f"{name}: its voxel size is stated in {unit}, not in millimetres; save it in millimetres")
    qform, sform = struct.unpack(f"{order}2h", data[252:256])
    rows = np.frombuffer(data, f"{order}f4", 12, 280).reshape(3, 4).astype(float)
    flags = []
    if qform <= 0 and sform <= 0:
        flags.append(flag("axes", "no orientation in the NIfTI header (qform and sform are 0)"))
    if sform > 0:
        columns = rows[:, :3]
        size = np.linalg.norm(columns, axis=0)
        if not np.isfinite(rows).all() or size.min() <= 0:
            raise _contradiction(name, "an sform without three axes")
        if np.abs(size / pixdim - 1).max() > SIZE_TOLERANCE:
            raise StudyError(
                f"{name}: two voxel sizes: {_join(pixdim)} mm (pixdim) and {_join(size)} mm (sform); "
                "correct the header, or export the image again"
            )
        cosines = columns / size
        if np.abs(cosines.T @ cosines - np.eye(3)).max() > SIZE_TOLERANCE:
            raise StudyError(f"{name}: its axes are not at right angles (sheared); resample it first")
        if qform > 0:
            other, origin = _qform(data, order)
            if np.abs(other - cosines).max() > AXES_TOLERANCE:
                raise StudyError(
                    f"{name}: qform and sform turn the image differently (by {_angle(other, cosines):.1f} degrees); "
                    "correct the header, or export the image again"
                )
            apart = float(np.linalg.norm(origin - rows[:, 3]))
            if apart > ORIGIN_TOLERANCE_MM:
                flags.append(flag("apart", f"qform and sform of the header lie {apart:.4g} mm apart"))
    return flags


def _qform(data: bytes, order: str) -> tuple[np.ndarray, np.ndarray]:
    """Direction cosines (3, 3; a column an axis) and origin (3,) of the quaternion."""
    b, c, d, *origin = np.frombuffer(data, f"{order}f4", 6, 256).astype(float)
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    cosines = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    (factor,) = struct.unpack(f"{order}f", data[76:80])
    if factor < 0:
        cosines[:, 2] *= -1
    return cosines, np.array(origin)


def _angle(first: np.ndarray, second: np.ndarray) -> float:
    """Largest angle (degrees) between two axes of one number."""
    return float(np.degrees(np.arccos(np.clip((first * second).sum(axis=0), -1, 1))).max())


def _join(values: np.ndarray) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def check_nrrd(path: Path) -> list[str]:
    """Check the header of an NRRD file, that it states a voxel size in millimetres, and that its voxels are whole."""
    with path.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
    if not start.startswith(b"NRRD"):
        raise StudyError(f"{path.name}: not an NRRD file, although its name says so")
    end = re.search(rb"\r?\n\r?\n", start)
    text = (start[: end.start()] if end else start).decode("latin-1")
    lines = [line for line in text.splitlines()[1:] if not line.startswith("#")]
    fields = _fields([line for line in lines if not line.partition(":")[2].startswith("=")], ":", path.name)
    dimension = fields.get("dimension", "")
    sizes = fields.get("sizes", "").split()
    if not re.fullmatch(r"[1-9]", dimension) or len(sizes) != int(dimension) or not all(map(_whole, sizes)):
        raise _contradiction(path.name, f"dimension {dimension or 'absent'}, sizes {' '.join(sizes) or 'absent'}"[:80])
    kinds = [unit.lower() for unit in re.findall(r'"([^"]*)"', fields.get("space units", fields.get("units", "")))]
    odd = sorted({unit for unit in kinds if unit not in ("", "mm", "millimeter", "millimeters", "none", "???")})
    if odd:
        raise StudyError(f"{path.name}: its voxel size is stated in {odd[0][:20]!r}, not in mm; save it in mm")
    stated = fields.get("space directions") or re.sub(r"\bnan\b", "", fields.get("spacings", ""), flags=re.IGNORECASE)
    if not stated.strip():
        raise StudyError(f"{path.name}: states no voxel size (space directions, spacings); export the image again")
    each = NRRD_BYTES.get(fields.get("type", "").lower())
    needed = each and each * int(np.prod([int(n) for n in sizes], dtype=np.int64))
    header_bytes = end.end() if end else len(start)
    vectors = [v for v in re.findall(r"\([^)]*\)", fields.get("space directions", ""))]
    for what, values in (("space directions", vectors), ("space origin", [fields.get("space origin", "(0,0,0)")])):
        if not all(_numbers(value.strip("()"), ",", 3) for value in values):
            raise _contradiction(path.name, f"{what} {fields[what]}"[:80])
    size_known = needed is not None and not fields.keys() & {"byte skip", "byteskip", "line skip", "lineskip"}
    plane = needed // int(sizes[-1]) if size_known else None
    flags = _check_nrrd_voxels(path, fields.get("encoding", "raw").lower(), header_bytes, (needed, plane))
    turned = "space directions" in fields and fields.get("space", "").lower() in NRRD_SPACES
    return flags + _no_place(turned, "space origin" in fields, "NRRD")


def _fields(lines: list[str], mark: str, name: str) -> dict[str, str]:
    """What the lines of a header state; StudyError where two state one thing differently: readers take either."""
    fields: dict[str, str] = {}
    for line in lines:
        key, sign, value = (part.strip() for part in line.partition(mark))
        if sign and fields.setdefault(key.lower(), value) != value:
            raise _contradiction(name, f"{key[:30]} stands there twice, {fields[key.lower()][:30]} and {value[:30]}")
    return fields


def _no_place(turned: bool, placed: bool, kind: str) -> list[str]:
    """A remark where a header does not say how the image lies in the patient."""
    missing = [what for what, there in (("orientation", turned), ("position", placed)) if not there]
    return [flag("axes", f"no {' and no '.join(missing)} in the {kind} header")] if missing else []


def _numbers(text: str, between: str | None, count: int) -> bool:
    """Whether a text is so many finite numbers; readers make something of half a number, or of too few."""
    parts = [part.strip() for part in text.split(between)]
    return len(parts) == count and all(re.fullmatch(NUMBER, part) for part in parts)


def _whole(text: str) -> bool:
    return re.fullmatch(r"\d{1,9}", text) is not None and int(text) > 0


def _check_nrrd_voxels(path: Path, encoding: str, header: int, bytes_of: tuple[int | None, int | None]) -> list[str]:
    """Whether an NRRD's voxels (behind `header` bytes, or in a file of their own) are whole and undamaged.

    bytes_of: all voxels, and a slice; None where the header does not tell.
    """
    detached = data_files(path)
    if encoding in ("bz2", "bzip2"):
        raise StudyError(f"{path.name}: compressed by bzip2; save it with gzip")
    if len(detached) > 1:
        return []  # a file a slice; ITK refuses what is short
    source, skip = (detached[0], 0) if detached else (path, header)
    with source.open("rb") as stream:
        stream.seek(skip)
        payload = stream.read()
    if encoding in ("gzip", "gz"):
        payload = _unzipped(payload, path.name)
    elif encoding in ("text", "txt", "ascii", "hex"):
        if re.search(rb"[^\s\w.+-]", payload[:HEADER_BYTES]):
            raise _contradiction(path.name, f"encoding {encoding}, but its voxels are not text")
        return []
    return _check_length(len(payload), bytes_of, path.name)


def _check_length(length: int, bytes_of: tuple[int | None, int | None], name: str) -> list[str]:
    """StudyError where there are fewer bytes than all voxels need, or a slice more: another voxel type or size.

    A remark on a few bytes more, of which a line end is none.
    """
    needed, plane = bytes_of
    if needed is not None and length < needed:
        raise StudyError(f"{name}: truncated, {length} of {needed} bytes of voxels; copy it again")
    if plane is not None and length - needed >= plane:
        raise _contradiction(name, f"{length} bytes of voxels where it needs {needed}")
    return _more_bytes(length - needed) if plane is not None and length - needed > len("\r\n") else []


def _unzipped(payload: bytes, name: str) -> bytes:
    """A gzip or zlib stream, its checksum verified; StudyError where it is damaged or ends early."""
    unpack = isal_zlib.decompressobj(wbits=47)  # both kinds
    try:
        made = unpack.decompress(payload)
    except (isal_zlib.error, igzip.BadGzipFile, zlib.error):
        raise StudyError(f"{name}: its compressed voxels are damaged; copy it again") from None
    if not unpack.eof:
        raise StudyError(f"{name}: its compressed voxels end early; copy it again")
    return made


def check_metaimage(path: Path) -> list[str]:
    """Check the header of a MetaImage, that it states a voxel size, and that its voxels are whole."""
    with path.open("rb") as stream:
        start = stream.read(HEADER_BYTES)
    data_line = re.search(rb"^ElementDataFile\s*=[^\n]*\n?", start, re.MULTILINE)
    if data_line is None:
        raise StudyError(f"{path.name}: no MetaImage header (ElementDataFile is missing); export the image again")
    fields = _fields(start[: data_line.start()].decode("latin-1").splitlines(), "=", path.name)
    odd = [key for key in META_KEYS if key.lower() in fields and not re.search(rf"(?m)^\s*{key}\s*=".encode(), start)]
    if odd:  # ITK tells small letters from capitals and passes over what it does not know
        raise _contradiction(path.name, f"{odd[0]} is written otherwise")
    count = fields.get("ndims", "")
    sizes = fields.get("dimsize", "").split()
    if not re.fullmatch(r"[1-9]", count) or len(sizes) != int(count) or not all(map(_whole, sizes)):
        raise _contradiction(path.name, f"NDims {count or 'absent'}, DimSize {' '.join(sizes) or 'absent'}"[:80])
    if "elementspacing" not in fields:
        raise StudyError(f"{path.name}: states no voxel size (ElementSpacing); export the image again")
    for key in (*PLACES, *TURNS, "elementspacing"):
        if key in fields and not _numbers(fields[key], None, int(count) ** (2 if key in TURNS else 1)):
            raise _contradiction(path.name, f"{key} {fields[key]}"[:80])
    channels = fields.get("elementnumberofchannels", "1")
    each = META_BYTES.get(fields.get("elementtype", "").upper().removeprefix("MET_"))
    if each is None or not _whole(channels):
        raise _contradiction(path.name, "an unknown ElementType or number of channels")
    needed = each * int(channels) * int(np.prod([int(n) for n in sizes], dtype=np.int64))
    flags = _no_place(
        any(key in fields for key in TURNS),
        any(key in fields for key in PLACES),
        "MetaImage",
    )
    detached = data_files(path)
    if len(detached) > 1:
        return flags
    source, skip = (detached[0], 0) if detached else (path, data_line.end())
    with source.open("rb") as stream:
        stream.seek(skip)
        payload = stream.read()
    compressed = fields.get("compresseddata", "false").lower()
    if compressed not in ("true", "1", "false", "0"):
        raise _contradiction(path.name, f"CompressedData = {compressed[:20]}")
    if compressed in ("true", "1"):
        stated = fields.get("compresseddatasize")
        if stated is None or not stated.isdigit() or int(stated) != len(payload):
            said = (stated or "nothing")[:20]
            raise _contradiction(path.name, f"{len(payload)} compressed bytes where it says {said}")
        payload = _unzipped(payload, path.name)
    plane = None if "headersize" in fields else needed // int(sizes[-1])
    return flags + _check_length(len(payload), (needed, plane), path.name)
