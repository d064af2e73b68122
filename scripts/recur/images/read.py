"""Open CT and MR volumes and masks: NIfTI, NRRD, MetaImage, DICOM series, DICOM SEG, RTSTRUCT.

Arrays are (z, y, x); geometry is in SimpleITK's order (x, y, z) and in LPS millimetres. Every problem is a StudyError
of one line that starts with the name the manifest gives the file. Of the DICOM headers only geometry, the series taken
and the acquisition table (acquisition.py) leave this module.
"""

from __future__ import annotations

import logging
import re
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

from recur.images.dicom import DICOM_ERRORS, IMAGE_STORAGE, files_of, open_dicom, read_series
from recur.images.grid import Grid, Mask, Volume, check_grid, grid_of, resample_mask, same_grid, turned
from recur.images.labels import choose
from recur.images.rtstruct import read_rtstruct
from recur.images.seg import read_seg
from recur.tables import StudyError

FORMATS = {".nii": "nifti", ".nii.gz": "nifti", ".nrrd": "nrrd", ".nhdr": "nrrd", ".mha": "mha", ".mhd": "mha"}
READERS = {"nifti": "NiftiImageIO", "nrrd": "NrrdImageIO", "mha": "MetaImageIO"}  # asking each costs time
SEG_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segmentation, label map
RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
# NIfTI data types that are whole numbers and exact in float32, and (slope, intercept) that change nothing
NIFTI_WHOLE = {2: np.uint8, 4: np.int16, 256: np.int8, 512: np.uint16}
UNSCALED = ((0.0, 0.0), (1.0, 0.0))
LABEL_ROUNDING = 1e-3  # labels stored as scaled whole numbers come back as 0.99998
ORTHONORMAL = 1e-3  # NIfTI stores rotations as float32 quaternions

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's warnings quote headers; what matters is checked here


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
        voxels, grid, _ = _read_file(path, sitk.sitkFloat32)
        volume = Volume(voxels if as_stored else voxels.astype(np.float32, copy=False), grid, source)
    else:
        volume = _read_multiframe(path, series, nonuniform)
    if volume.voxels.dtype.kind == "f":
        _check_finite(volume.voxels, path)
    return volume


@_one_line
def read_mask(path: str | Path, label: str | None, image: Volume, mask_grid: str = "same") -> Mask:
    """Read the union of the chosen labels of a mask that lies on the image's grid.

    `label`: blank for the only label, segment or ROI there is; label values or SEG segment numbers; names; a pattern
    (`labels.choose`). `mask_grid`: "resample" brings a mask from another grid of the same patient position to the
    image's by nearest neighbour; "same" refuses it. Raises StudyError: missing, damaged, label absent or ambiguous,
    other grid, empty.
    """
    path, label = Path(path), (label or "").strip()
    if not path.exists():
        raise StudyError(f"{path.name}: no such file; correct the path in the image manifest")
    if path.is_dir():  # archives deliver a SEG or RTSTRUCT as a folder with one file
        mask = _read_dicom_mask(_only_mask(path), path.name, label, image, mask_grid)
    elif _format(path):
        mask = _read_label_map(path, label, image.grid, mask_grid)
    else:
        mask = _read_dicom_mask(path, path.name, label, image, mask_grid)
    if not mask.voxels.any():
        raise StudyError(f"{path.name}: the mask is empty" + (f" (label {label})" if label else ""))
    return mask


def _format(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in FORMATS.items() if name.endswith(suffix)), None)


# ---------------------------------------------------------------- NIfTI, NRRD, MetaImage


def _read_file(
    path: Path, pixel_type: int = sitk.sitkUnknown, layers: bool = False
) -> tuple[np.ndarray, Grid, dict[str, str]]:
    """Voxels (z, y, x), grid and segment headers of a NIfTI, NRRD or MetaImage file; scalar unless `layers`."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.SetImageIO(READERS[_format(path)])
    reader.SetOutputPixelType(pixel_type)
    try:
        reader.ReadImageInformation()
        size = reader.GetSize()
        if len(size) < 3 or any(n != 1 for n in size[3:]):
            shape = "x".join(map(str, size))
            raise StudyError(
                f"{path.name}: {len(size)}-D ({shape}), a 3-D volume is needed; split it, one phase a file"
            )
        if reader.GetNumberOfComponents() != 1 and not layers:
            raise StudyError(f"{path.name}: {reader.GetNumberOfComponents()} values per voxel, one is needed")
        _check_geometry(path, reader)
        stored = _nifti_voxels(path, reader) if _format(path) == "nifti" else None
        if stored is not None:
            header = reader.GetSize(), reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection()
            return stored, Grid(*header), {}
        reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
        image = reader.Execute()
    except (EOFError, isal_zlib.error, igzip.BadGzipFile):
        raise StudyError(f"{path.name}: truncated or damaged gzip file; copy it again") from None
    except RuntimeError as error:
        raise StudyError(f"{path.name}: cannot be read ({_other_kind(path) or _itk_cause(error, path)})") from None
    segments = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    return sitk.GetArrayFromImage(image), grid_of(image), segments


def _check_geometry(path: Path, reader: sitk.ImageFileReader) -> None:
    spacing, dimension = np.array(reader.GetSpacing()[:3]), reader.GetDimension()
    if not (np.isfinite(spacing).all() and (spacing > 0).all() and np.isfinite(reader.GetOrigin()).all()):
        text = " ".join(f"{v:g}" for v in spacing)
        raise StudyError(f"{path.name}: voxel spacing {text} mm is not possible; export the image again")
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))[:3, :3]
    if not np.abs(direction.T @ direction - np.eye(3)).max() <= ORTHONORMAL:
        raise StudyError(f"{path.name}: its axes are not at right angles (sheared); resample it first")


def _nifti_voxels(path: Path, reader: sitk.ImageFileReader) -> np.ndarray | None:
    """The voxels (z, y, x) of a file with unscaled whole numbers; None for others, which ITK reads.

    Refuses what ITK passes over in silence: gzip's checksum, missing bytes (it fills in noise), NaN (it makes them 0),
    a zero or infinite spacing (it makes it 1).
    """
    data = igzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    order = "<" if data[0] == 348 % 256 else ">"  # the first number is the header's length
    stored = np.abs(np.frombuffer(data, f"{order}f4", 3, 80))  # pixdim[1..3]
    if not ((stored > 0) & np.isfinite(stored)).all():
        text = " ".join(f"{v:g}" for v in stored)
        raise StudyError(f"{path.name}: voxel spacing {text} mm is not possible; export the image again")
    header = {key: int(float(reader.GetMetaData(key))) for key in ("vox_offset", "bitpix", "datatype")}
    voxels = int(np.prod(reader.GetSize()))
    if header["vox_offset"] < 348:
        raise StudyError(f"{path.name}: its header says that voxels begin within the header; export the image again")
    needed = header["vox_offset"] + voxels * header["bitpix"] // 8
    if len(data) < needed:
        raise StudyError(f"{path.name}: truncated, {len(data)} of {needed} bytes; copy it again")
    if header["datatype"] in (16, 64):  # float32, float64
        values = np.frombuffer(data, f"{order}f{header['bitpix'] // 8}", voxels, header["vox_offset"])
        _check_finite(values, path)
    slope, intercept = (float(reader.GetMetaData(key)) for key in ("scl_slope", "scl_inter"))
    if header["datatype"] not in NIFTI_WHOLE or reader.GetDimension() != 3 or (slope, intercept) not in UNSCALED:
        return None
    kind = np.dtype(NIFTI_WHOLE[header["datatype"]]).newbyteorder(order)
    values = np.frombuffer(data, kind, voxels, header["vox_offset"]).reshape(reader.GetSize()[::-1])
    return values.astype(kind.newbyteorder("="), copy=False)


def _check_finite(values: np.ndarray, path: Path) -> None:
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise StudyError(f"{path.name}: {bad} voxels are NaN or infinite; replace them before the study")


def _other_kind(path: Path) -> str | None:
    """What a file is that ITK does not read although its format has it."""
    with path.open("rb") as stream:
        start = stream.read(4096)
    if start[:2] == b"\x1f\x8b":
        start = isal_zlib.decompressobj(wbits=31).decompress(start, 4096)
    if _format(path) == "nifti" and start[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c"):
        return "NIfTI-2; save it as NIfTI-1"
    if _format(path) == "nrrd" and re.search(rb"^encoding: *(bz2|bzip2)", start, re.MULTILINE):
        return "compressed by bzip2; save it with gzip"
    return None


def _itk_cause(error: RuntimeError, path: Path) -> str:
    """The one telling line of ITK's message, without addresses and folders."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "unknown")
    return text.split("): ")[-1].split(": /")[0].replace(str(path), path.name).rstrip(":").strip()


def _read_label_map(path: Path, label: str, grid: Grid, mask_grid: str) -> Mask:
    voxels, own, segments = _read_file(path, layers=path.name.lower().endswith(".seg.nrrd"))
    voxels, own = turned(voxels, own, grid)
    if mask_grid == "same":
        check_grid(own, grid, path.name)
    mask = _labelled(voxels, _segments(segments), label, path)
    return Mask(mask) if same_grid(own, grid) else resample_mask(mask, own, grid, path.name)


def _segments(headers: dict[str, str]) -> list[tuple[str, int, int]]:
    """(name, layer, value) of the segments of 3D Slicer's .seg.nrrd; nothing for a plain label map."""
    found = []
    while f"Segment{len(found)}_LabelValue" in headers:
        name, layer, value = (headers.get(f"Segment{len(found)}_{w}", "0") for w in ("Name", "Layer", "LabelValue"))
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
        raise StudyError(f"{path.name}: the mask is empty")
    if len(values) > 255 or not (values == np.floor(values)).all():
        raise StudyError(
            f"{path.name}: {len(values)} different or fractional values ({values[0]:g} to {values[-1]:g}), whole "
            "labels are needed; if these are probabilities, threshold them first"
        )
    chosen = choose(label, {int(v): "" for v in values}, path.name, "label")
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
    found = []
    for path in files_of(folder):
        header = open_dicom(path, ["SOPClassUID"])
        if header is not None and header.get("SOPClassUID") in (*SEG_STORAGE, RTSTRUCT_STORAGE):
            found.append(path)
    if len(found) != 1:
        raise StudyError(
            f"{folder.name}: a mask folder must hold one DICOM SEG or RTSTRUCT, this has {len(found)}; name the file"
        )
    return found[0]


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
            references, frame = data.get("ReferencedSeriesSequence", []), data.get("FrameOfReferenceUID")
            _check_frame(frame, image, mask_grid, name)
            mask = read_seg(data, label, image, name, mask_grid)
        elif kind == RTSTRUCT_STORAGE:
            references, frame = _rtstruct_references(data)
            _check_frame(frame, image, mask_grid, name)
            mask = read_rtstruct(data, label, image.grid, name)
        else:
            raise StudyError(f"{name}: a DICOM file, but neither a SEG nor an RTSTRUCT")
        series = {str(item.SeriesInstanceUID) for item in references if "SeriesInstanceUID" in item}
    except DICOM_ERRORS as error:
        raise StudyError(f"{name}: damaged or incomplete DICOM file ({type(error).__name__})") from None
    # the same grid twice is usual in multi-phase CT, so a mask of another phase would otherwise pass unseen
    other = image.series is not None and series and image.series not in series
    return mask._replace(flags=(*mask.flags, *(("mask was drawn on another series",) if other else ())))


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
