"""Open CT and MR volumes and masks: NIfTI, NRRD, MetaImage, DICOM series, DICOM SEG, RTSTRUCT.

Arrays are (z, y, x); geometry is in SimpleITK's order (x, y, z) and in LPS millimetres. Every problem is a StudyError
of one line that starts with the name the manifest gives the file. Of the DICOM headers only geometry, the series taken
and the acquisition table (acquisition.py) leave this module.
"""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import SimpleITK as sitk
from isal import igzip, isal_zlib

from recur.images.dicom.slices import DICOM_ERRORS, IMAGE_STORAGE, files_of, open_dicom
from recur.images.dicom.volume import read_series
from recur.images.flags import flag
from recur.images.grid import Grid, Mask, Volume, fitted_mask, grid_of, rounded
from recur.images.headers import check_metaimage, check_nifti, check_nrrd
from recur.images.labels import choose
from recur.images.rtstruct import read_rtstruct
from recur.images.seg import read_seg
from recur.tables import StudyError

FORMATS = {".nii": "nifti", ".nii.gz": "nifti", ".nrrd": "nrrd", ".nhdr": "nrrd", ".mha": "mha", ".mhd": "mha"}
READERS = {"nifti": "NiftiImageIO", "nrrd": "NrrdImageIO", "mha": "MetaImageIO"}  # asking each costs time
SEG_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segmentation, label map
RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
# NIfTI data types that are whole numbers and exact in float32, and all that hold one number a voxel
NIFTI_WHOLE = {2: np.uint8, 4: np.int16, 256: np.int8, 512: np.uint16}
NIFTI_NUMBERS = NIFTI_WHOLE | {
    8: np.int32,
    768: np.uint32,
    1024: np.int64,
    1280: np.uint64,
    16: np.float32,
    64: np.float64,
}
NIFTI_STARTS = (struct.pack("<i", 348), struct.pack(">i", 348))
CHECKS = {"nrrd": check_nrrd, "mha": check_metaimage}
LABEL_ROUNDING = 1e-3  # labels stored as scaled whole numbers come back as 0.99998
ORTHONORMAL = 1e-3  # NIfTI stores rotations as float32 quaternions

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's warnings quote headers; what matters is checked here


class EmptyMask(StudyError):
    """A mask without a voxel: an error of the tumour's, a finding where it is that of vessels or other lesions."""


@contextmanager
def _quiet() -> Iterator[None]:
    """Without pydicom's warnings: they quote header values, and what matters is checked here."""
    logger = logging.getLogger("pydicom")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def _one_line(read: Callable[..., Any]) -> Callable[..., Any]:
    """A damaged file may break its parser in any way; the study goes on and the reason is one line without content."""

    @wraps(read)
    def guarded(path: str | Path, *arguments: Any, **options: Any) -> Any:
        try:
            with _quiet():
                return read(path, *arguments, **options)
        except StudyError:
            raise
        except MemoryError:
            raise StudyError(f"{Path(path).name}: too large for this machine's memory, or damaged") from None
        except OSError as error:
            raise StudyError(f"{Path(path).name}: cannot be opened ({error.strerror})") from None
        except Exception as error:
            raise StudyError(f"{Path(path).name}: damaged, cannot be read ({type(error).__name__})") from None

    return guarded


@_one_line
def read_image(
    path: str | Path, series: str | None = None, nonuniform: str = "refuse", as_stored: bool = False
) -> Volume:
    """Read a 3-D image as float32 (ITK truncates when it later resamples integers): a file or a DICOM folder.

    `as_stored` leaves the whole numbers of a NIfTI file as they are: half the memory, for who crops next.
    `series` chooses in a DICOM folder (`dicom.read_series`); `nonuniform`: "refuse" or "resample" uneven slices.
    Raises StudyError: missing, damaged, not three-dimensional, not finite, ambiguous, or not one regular stack.
    """
    path = Path(path)
    if not path.exists():
        raise StudyError(f"{path.name}: no such file; correct the path in the image manifest")
    if path.is_dir():
        volume = read_series(path, series, nonuniform)
    elif source := _format(path):
        if series:
            raise StudyError(f"{path.name}: the manifest chooses a series, but this is one file with one volume")
        voxels, grid, _, flags = _read_file(path, sitk.sitkFloat32)
        stored = voxels if as_stored else voxels.astype(np.float32, copy=False)
        volume = Volume(stored, grid, source, flags=tuple(flags))
    else:
        volume = _read_multiframe(path, series, nonuniform)
    if volume.voxels.dtype.kind == "f":
        _check_finite(volume.voxels, path)
    if min(volume.grid.size) < 2:
        size = "x".join(map(str, volume.grid.size))
        raise StudyError(f"{path.name}: one slice only ({size}), a volume is needed: features are three-dimensional")
    return volume


@_one_line
def read_mask(path: str | Path, label: str | None, image: Volume, mask_grid: str = "same") -> Mask:
    """Read the union of the chosen labels of a mask that lies on the image's grid.

    `label`: blank for the only label, segment or ROI there is; label values or SEG segment numbers; names; a pattern
    (`labels.choose`). `mask_grid`: "resample" brings a mask from another grid of the same patient position to the
    image's by nearest neighbour; "same" refuses it. Raises StudyError: missing, damaged, label absent or ambiguous,
    other grid, empty.
    """
    path = Path(path)
    label = (label or "").strip()
    if not path.exists():
        raise StudyError(f"{path.name}: no such file; correct the path in the image manifest")
    if path.is_dir():  # archives deliver a SEG or RTSTRUCT as a folder with one file
        mask = _read_dicom_mask(_only_mask(path), path.name, label, image, mask_grid)
    elif _format(path):
        mask = _read_label_map(path, label, image, mask_grid)
    else:
        mask = _read_dicom_mask(path, path.name, label, image, mask_grid)
    if not mask.voxels.any():
        raise EmptyMask(f"{path.name}: the mask is empty" + (f" (label {label})" if label else ""))
    if mask.voxels.all():
        raise StudyError(f"{path.name}: the mask is the whole image; check the label and the file's scaling")
    return mask


def _format(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in FORMATS.items() if name.endswith(suffix)), None)


# ---------------------------------------------------------------- NIfTI, NRRD, MetaImage


def _read_file(
    path: Path, pixel_type: int = sitk.sitkUnknown, layers: bool = False
) -> tuple[np.ndarray, Grid, dict[str, str], list[str]]:
    """Voxels (z, y, x), grid, segment headers, remarks of a NIfTI, NRRD or MetaImage file; scalar unless `layers`."""
    kind = _format(path)
    try:
        data = _nifti_bytes(path) if kind == "nifti" else b""
        flags = check_nifti(data, path.name) if data else CHECKS[kind](path)
        reader = _open_file(path, pixel_type, layers)
        size = reader.GetSize()
        stored = _nifti_voxels(data, path, reader) if data else None
        if stored is not None:
            header = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()
            return stored, rounded(Grid(*header)), {}, flags
        reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
        image = reader.Execute()
    except (EOFError, isal_zlib.error, igzip.BadGzipFile):
        raise StudyError(f"{path.name}: truncated or damaged gzip file; copy it again") from None
    except RuntimeError as error:
        raise StudyError(f"{path.name}: cannot be read ({_itk_cause(error, path)}); export it again") from None
    segments = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    return sitk.GetArrayFromImage(image), rounded(grid_of(image)), segments, flags


def _open_file(path: Path, pixel_type: int, layers: bool) -> sitk.ImageFileReader:
    """ITK's reader with the header read; StudyError unless it is one three-dimensional volume."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(READERS[_format(path)])
    reader.SetOutputPixelType(pixel_type)
    reader.ReadImageInformation()
    size = reader.GetSize()
    if len(size) < 3 or any(n != 1 for n in size[3:]):
        shape = "x".join(map(str, size))
        raise StudyError(f"{path.name}: {len(size)}-D ({shape}), a 3-D volume is needed; split it, one phase a file")
    if reader.GetNumberOfComponents() != 1 and not layers:
        raise StudyError(f"{path.name}: {reader.GetNumberOfComponents()} values per voxel, one is needed")
    _check_geometry(path, reader)
    return reader


def _nifti_bytes(path: Path) -> bytes:
    """The file without its compression, which the name need not tell."""
    data = path.read_bytes()
    zipped = data[:2] == b"\x1f\x8b"
    if not zipped and path.suffix.lower() == ".gz" and data[:4] not in NIFTI_STARTS:
        raise StudyError(f"{path.name}: no NIfTI file, although its name says so; copy it again")
    return igzip.decompress(data) if zipped else data


def _check_geometry(path: Path, reader: sitk.ImageFileReader) -> None:
    spacing = np.array(reader.GetSpacing()[:3])
    dimension = reader.GetDimension()
    if not (np.isfinite(spacing).all() and (spacing > 0).all() and np.isfinite(reader.GetOrigin()).all()):
        text = " ".join(f"{v:g}" for v in spacing)
        raise StudyError(f"{path.name}: voxel spacing {text} mm is not possible; export the image again")
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    if not np.abs(direction.T @ direction - np.eye(3)).max() <= ORTHONORMAL:
        raise StudyError(f"{path.name}: its axes are not at right angles (sheared); resample it first")


def _nifti_voxels(data: bytes, path: Path, reader: sitk.ImageFileReader) -> np.ndarray | None:
    """The voxels (z, y, x) of a checked file of unscaled numbers; None for others, which ITK reads.

    Refuses what ITK passes over in silence: NaN (it makes them 0). A slope of 0 means "do not scale" (NIfTI-1), but ITK
    adds the intercept that was left behind.
    """
    order = "<" if data[:4] == struct.pack("<i", 348) else ">"
    datatype, bits = struct.unpack(f"{order}2h", data[70:74])
    offset, slope, intercept = struct.unpack(f"{order}3f", data[108:120])
    voxels = int(np.prod(reader.GetSize()))
    kind = NIFTI_NUMBERS.get(datatype)
    if kind is None:
        return None
    kind = np.dtype(kind).newbyteorder(order)
    values = np.frombuffer(data, kind, voxels, int(offset))
    if kind.kind == "f":
        _check_finite(values, path)
    unscaled = slope == 0 or (slope, intercept) == (1.0, 0.0)
    exact = datatype in NIFTI_WHOLE or slope == 0
    if reader.GetDimension() != 3 or not unscaled or not exact:
        return None
    values = values.reshape(reader.GetSize()[::-1])
    if datatype not in NIFTI_WHOLE:
        return values.astype(np.float32)
    return values.astype(kind.newbyteorder("="), copy=False)


def _check_finite(values: np.ndarray, path: Path) -> None:
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise StudyError(f"{path.name}: {bad} voxels are NaN or infinite; replace them before the study")


def _itk_cause(error: RuntimeError, path: Path) -> str:
    """The one telling line of ITK's message, without addresses and folders."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "unknown")
    return text.split("): ")[-1].split(": /")[0].replace(str(path), path.name).rstrip(":").strip()


def _read_label_map(path: Path, label: str, image: Volume, mask_grid: str) -> Mask:
    voxels, grid_read, segments, flags = _read_file(path, layers=path.name.lower().endswith(".seg.nrrd"))
    chosen = _labelled(voxels, _segments(segments, voxels.ndim), label, path)
    mask = fitted_mask(chosen, grid_read, image, mask_grid, path.name)
    return mask._replace(flags=(*flags, *mask.flags))


def _segments(headers: dict[str, str], dimensions: int) -> list[tuple[str, int, int]]:
    """(name, layer, value) of the segments of 3D Slicer's .seg.nrrd; nothing for a plain label map.

    Before Slicer 4.11 a segment was a layer of its own, of value 1, and neither was written.
    """
    found = []
    while any(f"Segment{len(found)}_{what}" in headers for what in ("LabelValue", "Name", "ID")):
        number = len(found)
        layer = str(number if dimensions == 4 else 0)
        name = headers.get(f"Segment{number}_Name", headers.get(f"Segment{number}_ID", ""))
        old = f"Segment{number}_LabelValue" not in headers
        value = headers.get(f"Segment{number}_LabelValue", "1")
        layer = headers.get(f"Segment{number}_Layer", layer if old else "0")
        found.append((name, int(layer), int(value)))
    return found


def _labelled(voxels: np.ndarray, segments: list[tuple[str, int, int]], label: str, path: Path) -> np.ndarray:
    """Where the voxels (z, y, x[, layer]) have one of the labels meant."""
    layers = voxels if voxels.ndim == 4 else voxels[..., None]
    if segments:
        values = [value for _, _, value in segments]
        numbers = values if len(set(values)) == len(values) else range(1, len(values) + 1)
        by_number = dict(zip(numbers, segments, strict=True))
        chosen = choose(label, {n: name for n, (name, _, _) in by_number.items()}, path.name, "segment")
        return np.any([layers[..., by_number[n][1]] == by_number[n][2] for n in chosen], axis=0)
    if layers.shape[-1] != 1:
        raise StudyError(f"{path.name}: {layers.shape[-1]} values per voxel, one is needed")
    if voxels.dtype.kind == "f" and np.abs(voxels - np.rint(voxels)).max() <= LABEL_ROUNDING:
        voxels = np.rint(voxels)
    labelled = voxels != 0
    values = np.unique(voxels[labelled])
    if not len(values):
        raise EmptyMask(f"{path.name}: the mask is empty")
    if len(values) > 255 or not (values == np.floor(values)).all():
        raise StudyError(
            f"{path.name}: {len(values)} different or fractional values ({values[0]:g} to {values[-1]:g}), whole "
            "labels are needed; if these are probabilities, threshold them first"
        )
    chosen = choose(label, {int(v): "" for v in values}, path.name, "label")
    if min(chosen) < 0:
        raise StudyError(f"{path.name}: label {min(chosen)} is below 0: no label, or the file's scaling is wrong")
    return labelled if len(set(chosen)) == len(values) else np.isin(voxels, chosen)


# ---------------------------------------------------------------- DICOM


def _read_multiframe(path: Path, series: str | None, nonuniform: str) -> Volume:
    header = open_dicom(path, ["SOPClassUID", "NumberOfFrames"])
    if header is None:
        raise StudyError(f"{path.name}: unknown image format; use {', '.join(FORMATS)} or a DICOM series folder")
    if header.get("SOPClassUID") in IMAGE_STORAGE and int(header.get("NumberOfFrames") or 1) < 2:
        raise StudyError(f"{path.name}: one DICOM file is not a volume; give the folder that holds the series")
    return read_series(path, series, nonuniform)


def _only_mask(folder: Path) -> Path:
    """The one DICOM SEG or RTSTRUCT in a folder, whatever else lies there."""
    candidates = []
    for path in files_of(folder):
        header = open_dicom(path, ["SOPClassUID"])
        if header is not None and header.get("SOPClassUID") in (*SEG_STORAGE, RTSTRUCT_STORAGE):
            candidates.append(path)
    if len(candidates) != 1:
        raise StudyError(
            f"{folder.name}: a mask folder must hold one DICOM SEG or RTSTRUCT, this has {len(candidates)}; "
            "name the file"
        )
    return candidates[0]


def _read_dicom_mask(path: Path, name: str, label: str, image: Volume, mask_grid: str) -> Mask:
    """A SEG or RTSTRUCT; `name` as the manifest has it: files in its folders may be named after patients."""
    try:
        data = open_dicom(path, pixels=True)
        if data is None:
            raise StudyError(f"{name}: unknown mask format; use {', '.join(FORMATS)}, a DICOM SEG or an RTSTRUCT")
        kind = data.get("SOPClassUID")
        if image.patient and data.get("PatientID") and data.PatientID != image.patient:
            raise StudyError(f"{name}: of another patient than the image (PatientID); correct the manifest")
        if kind in SEG_STORAGE:
            references = data.get("ReferencedSeriesSequence", [])
            frame = data.get("FrameOfReferenceUID")
            _check_frame(frame, image, mask_grid, name)
            mask = read_seg(data, label, image, name, mask_grid)
        elif kind == RTSTRUCT_STORAGE:
            references, frame = _rtstruct_references(data)
            _check_frame(frame, image, mask_grid, name)
            mask = read_rtstruct(data, label, image, name)
        else:
            raise StudyError(f"{name}: a DICOM file, but neither a SEG nor an RTSTRUCT")
        series = {str(item.SeriesInstanceUID) for item in references if "SeriesInstanceUID" in item}
    except DICOM_ERRORS as error:
        raise StudyError(f"{name}: damaged or incomplete DICOM file ({type(error).__name__})") from None
    # the same grid twice is usual in multi-phase CT, so a mask of another phase would otherwise pass unseen
    other = image.series is not None and series and image.series not in series
    said = [flag("series", "mask was drawn on another series")] if other else []
    return mask._replace(flags=(*mask.flags, *said))


def _check_frame(frame: str | None, image: Volume, mask_grid: str, name: str) -> None:
    """A mask of another patient position may be refused by its grid; where grids may differ, nothing else would."""
    if mask_grid == "resample" and frame and image.frame and str(frame) != image.frame:
        raise StudyError(f"{name}: drawn in another frame of reference than the image's; register them first")


def _rtstruct_references(data: pydicom.Dataset) -> tuple[list[pydicom.Dataset], str | None]:
    """The series that an RTSTRUCT refers to, and its frame of reference."""
    frames = data.get("ReferencedFrameOfReferenceSequence") or []
    series = [
        series
        for frame in frames
        for study in frame.get("RTReferencedStudySequence", [])
        for series in study.get("RTReferencedSeriesSequence", [])
    ]
    return series, frames[0].get("FrameOfReferenceUID") if len(frames) == 1 else None
