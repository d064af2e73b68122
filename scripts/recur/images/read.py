"""Open CT and MR volumes and masks: NIfTI, NRRD, MetaImage, DICOM series, DICOM SEG, RTSTRUCT.

Arrays are (z, y, x); geometry is in SimpleITK's order (x, y, z) and in LPS millimetres. Every problem is a StudyError
of one line that starts with the file's name. Of the DICOM headers only geometry leaves this module.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.errors import InvalidDicomError
from pydicom.misc import is_dicom
from pydicom.pixels import iter_pixels

from recur.tables import StudyError

SPACING_TOLERANCE_MM = 1e-3
DIRECTION_TOLERANCE = 1e-4
LATTICE_TOLERANCE = 0.1  # voxels: how far a SEG frame or contour plane may lie from the image's own planes

FORMATS = {".nii": "nifti", ".nii.gz": "nifti", ".nrrd": "nrrd", ".nhdr": "nrrd", ".mha": "mha", ".mhd": "mha"}
READERS = {"nifti": "NiftiImageIO", "nrrd": "NrrdImageIO", "mha": "MetaImageIO"}  # asking each costs time
SEG_STORAGE = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segmentation, label map
SLICE_STORAGE = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")  # CT, MR
RTSTRUCT_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
# what pydicom and its users raise on absent, empty or garbled elements
DICOM_ERRORS = (AttributeError, IndexError, KeyError, TypeError, ValueError, EOFError, NotImplementedError)
SLICE_TAGS = [
    "SOPClassUID",
    "SeriesInstanceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "Rows",
    "Columns",
    "NumberOfFrames",
]

sitk.ProcessObject.SetGlobalWarningDisplay(False)  # ITK's warnings quote headers; what matters is checked here


class Grid(NamedTuple):
    """Geometry of a volume: size, spacing (mm), origin (mm, LPS), direction (3x3 row-major), all in x, y, z order."""

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    def to_index(self, points: np.ndarray) -> np.ndarray:
        """Continuous voxel indices (n, 3; x, y, z) of points (n, 3; mm)."""
        affine = np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)
        return np.linalg.solve(affine, (np.atleast_2d(points) - np.asarray(self.origin)).T).T

    def __str__(self) -> str:
        def join(values: Iterable[float], digits: int) -> str:
            return " ".join(f"{v:.{digits}f}" for v in values)

        size = "x".join(map(str, self.size))
        parts = join(self.spacing, 4), join(self.origin, 3), join(self.direction, 4)
        return f"size {size}, spacing {parts[0]}, origin {parts[1]}, direction {parts[2]}"


class Volume(NamedTuple):
    """An image as read: voxels (z, y, x) float32, its grid, its format; `series` only serves to check masks."""

    voxels: np.ndarray
    grid: Grid
    source: str
    series: str | None = None


class Mask(NamedTuple):
    """A mask on its image's grid: voxels (z, y, x) bool, and remarks for the flags column."""

    voxels: np.ndarray
    flags: tuple[str, ...] = ()


def read_image(path: str | Path) -> Volume:
    """Read a 3-D image as float32 (ITK truncates when it later resamples integers): a file or a DICOM series folder.

    Raises StudyError: missing, damaged, not three-dimensional, not finite, or a series that is not one regular stack.
    """
    path = Path(path)
    if not path.exists():
        raise StudyError(f"{path.name}: no such file; correct the path in the image manifest")
    if path.is_dir():
        volume = _read_series(path)
    elif source := _format(path):
        image = _read_file(path, sitk.sitkFloat32)
        volume = Volume(sitk.GetArrayFromImage(image), _grid(image), source)
    elif is_dicom(path):
        raise StudyError(f"{path.name}: one DICOM file is not a volume; give the folder that holds the series")
    else:
        raise StudyError(f"{path.name}: unknown image format; use {', '.join(FORMATS)} or a DICOM series folder")
    _check_finite(volume.voxels, path)
    return volume


def read_mask(path: str | Path, label: str | None, image: Volume) -> Mask:
    """Read one label of a mask that lies on the image's grid.

    `label`: blank for the only label, segment or ROI there is; a label value or SEG segment number; a SEG segment
    label or RTSTRUCT ROI name. Raises StudyError: missing, damaged, label absent or ambiguous, other grid, empty.
    """
    path, label = Path(path), (label or "").strip()
    if not path.exists():
        raise StudyError(f"{path.name}: no such file; correct the path in the image manifest")
    if path.is_dir():  # archives deliver a SEG or RTSTRUCT as a folder with one file
        files = [p for p in sorted(path.iterdir()) if p.is_file() and is_dicom(p)]
        if len(files) != 1:
            raise StudyError(
                f"{path.name}: a mask folder must hold one DICOM file, this has {len(files)}; name the file"
            )
        path = files[0]
    if _format(path):
        mask = _read_label_map(path, label, image.grid)
    elif is_dicom(path):
        mask = _read_dicom_mask(path, label, image)
    else:
        raise StudyError(f"{path.name}: unknown mask format; use {', '.join(FORMATS)}, a DICOM SEG or an RTSTRUCT")
    if not mask.voxels.any():
        raise StudyError(f"{path.name}: the mask is empty" + (f" (label {label})" if label else ""))
    return mask


def check_grid(mask: Grid, image: Grid, name: str) -> None:
    """Raise StudyError with both geometries unless the mask lies on the image's voxel grid."""
    same = (
        mask.size == image.size
        and np.allclose(mask.spacing, image.spacing, rtol=0, atol=SPACING_TOLERANCE_MM)
        and np.allclose(mask.origin, image.origin, rtol=0, atol=SPACING_TOLERANCE_MM)
        and np.allclose(mask.direction, image.direction, rtol=0, atol=DIRECTION_TOLERANCE)
    )
    if not same:
        raise StudyError(f"{name}: the mask is on another grid than the image: mask {mask}; image {image}")


def fill_even_odd(contours: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Fill closed polygons by the even-odd rule: a pixel belongs if its centre is inside an odd number of them.

    `contours`: arrays (n, 2) of x, y in pixel indices (centres are whole numbers); returns bool (rows, columns).
    Every edge flips all pixels of a row from its crossing on, so holes, islands and key-hole contours need no cases.
    A centre on a left or upper border is inside, on a right or lower one outside: neighbours never share a pixel.
    Own code: the polygon fillers of Pillow draw outlines too, and scikit-image would be a package for this line sweep.
    """
    rows, columns = shape
    flips = np.zeros((rows, columns + 1), dtype=np.int32)
    for points in contours:
        (x0, y0), (x1, y1) = points.T, np.roll(points, -1, axis=0).T
        first = np.clip(np.ceil(np.minimum(y0, y1)), 0, rows).astype(int)
        last = np.clip(np.ceil(np.maximum(y0, y1)), 0, rows).astype(int)
        crossed = last - first  # pixel rows each edge crosses, half-open so that a vertex counts once
        edge = np.repeat(np.arange(len(points)), crossed)
        row = np.arange(crossed.sum()) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
        x = x0[edge] + (row - y0[edge]) * (x1 - x0)[edge] / (y1 - y0)[edge]
        np.add.at(flips, (row, np.clip(np.ceil(x), 0, columns).astype(int)), 1)
    return np.cumsum(flips, axis=1)[:, :columns] % 2 == 1


def _format(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in FORMATS.items() if name.endswith(suffix)), None)


def _grid(image: sitk.Image) -> Grid:
    return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())


def _read_file(path: Path, pixel_type: int = sitk.sitkUnknown) -> sitk.Image:
    """Read a NIfTI, NRRD or MetaImage file as one scalar 3-D volume."""
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
        if reader.GetNumberOfComponents() != 1:
            raise StudyError(f"{path.name}: {reader.GetNumberOfComponents()} values per voxel, one is needed")
        if _format(path) == "nifti":
            _check_nifti(path, reader)
        reader.SetExtractSize([*size[:3], *(0 for _ in size[3:])])
        return reader.Execute()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise StudyError(f"{path.name}: truncated or damaged gzip file; copy it again") from None
    except RuntimeError as error:
        raise StudyError(f"{path.name}: cannot be read ({_itk_cause(error)})") from None


def _check_nifti(path: Path, reader: sitk.ImageFileReader) -> None:
    """What ITK passes over in silence: gzip's checksum, missing bytes (it fills in noise), NaN (it makes them 0)."""
    data = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
    header = {key: int(float(reader.GetMetaData(key))) for key in ("vox_offset", "bitpix", "datatype")}
    voxels = int(np.prod(reader.GetSize()))
    needed = header["vox_offset"] + voxels * header["bitpix"] // 8
    if len(data) < needed:
        raise StudyError(f"{path.name}: truncated, {len(data)} of {needed} bytes; copy it again")
    if header["datatype"] in (16, 64):  # float32, float64
        order = "<" if data[0] in (348 % 256, 540 % 256) else ">"  # the first number is the header's length
        values = np.frombuffer(data, f"{order}f{header['bitpix'] // 8}", voxels, header["vox_offset"])
        _check_finite(values, path)


def _check_finite(values: np.ndarray, path: Path) -> None:
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise StudyError(f"{path.name}: {bad} voxels are NaN or infinite; replace them before the study")


def _itk_cause(error: RuntimeError) -> str:
    """The one telling line of ITK's message, without addresses and paths."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "unknown")
    return text.split("): ")[-1].split(": /")[0].rstrip(":").strip()


def _choose(label: str, names: dict[int, str], path: Path, what: str) -> int:
    """The number that a blank, a number or a name stands for."""
    present = ", ".join(f"{n} {name}".strip() for n, name in names.items()) or "none"
    if not label:
        if len(names) == 1:
            return next(iter(names))
        raise StudyError(f"{path.name}: the {what} is not stated and there are {len(names)}: {present}; state it")
    named = [n for n, name in names.items() if name and name == label]
    if len(named) == 1:
        return named[0]
    if not named and label.isdigit() and int(label) in names:
        return int(label)
    problem = f"{len(named)} times" if named else "not"
    raise StudyError(f"{path.name}: {what} {label!r} is {problem} there; present: {present}")


def _read_label_map(path: Path, label: str, grid: Grid) -> Mask:
    image = _read_file(path)
    check_grid(_grid(image), grid, path.name)
    voxels = sitk.GetArrayViewFromImage(image)
    values = np.unique(voxels[voxels != 0])
    if not len(values):
        raise StudyError(f"{path.name}: the mask is empty")
    if len(values) > 255 or not (values == np.floor(values)).all():
        raise StudyError(f"{path.name}: {len(values)} different or fractional values, whole labels are needed")
    return Mask(voxels == _choose(label, {int(v): "" for v in values}, path, "label"))


def _read_series(folder: Path) -> Volume:
    """Read the one regular stack of slices in a folder; other DICOM objects and other files in it are passed over."""
    slices = []
    for path in sorted(p for p in folder.iterdir() if p.is_file()):
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=SLICE_TAGS)
        except (InvalidDicomError, EOFError):
            if path.suffix.lower() == ".dcm":
                raise StudyError(f"{folder.name}: {path.name} is damaged; copy the series again") from None
            continue
        kind = header.get("SOPClassUID")
        if int(header.get("NumberOfFrames") or 1) > 1 and kind not in SEG_STORAGE:
            raise StudyError(f"{folder.name}: {path.name} is a multi-frame DICOM image; convert it to NIfTI first")
        if all(tag in header for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows")):
            slices.append((path, header))
        elif kind in SLICE_STORAGE or (
            kind is None and path.name != "DICOMDIR"
        ):  # nobody would notice a lost end slice
            raise StudyError(f"{folder.name}: {path.name} is damaged; copy the series again")
    if not slices:
        raise StudyError(f"{folder.name}: no DICOM slices in this folder")
    series: dict[str, list[str]] = {}
    for path, header in slices:
        series.setdefault(str(header.SeriesInstanceUID), []).append(path.name)
    if len(series) > 1:
        found = "; ".join(f"{len(names)} slices ({names[0]} ... {names[-1]})" for names in series.values())
        raise StudyError(f"{folder.name}: {len(series)} series in one folder: {found}; give each its own folder")
    try:
        order, grid = _stack([header for _, header in slices], folder.name)
    except DICOM_ERRORS as error:
        raise StudyError(f"{folder.name}: damaged or incomplete DICOM headers ({type(error).__name__})") from None
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(slices[i][0]) for i in order])
    reader.SetOutputPixelType(sitk.sitkFloat32)
    try:
        image = reader.Execute()  # GDCM applies each slice's own rescale slope and intercept
    except RuntimeError as error:
        raise StudyError(f"{folder.name}: cannot be read ({_itk_cause(error)})") from None
    if image.GetNumberOfComponentsPerPixel() != 1 or image.GetSize() != grid.size:
        raise StudyError(f"{folder.name}: not a stack of grey-level slices")
    return Volume(sitk.GetArrayFromImage(image), grid, "dicom", next(iter(series)))


def _stack(headers: list[pydicom.Dataset], name: str) -> tuple[list[int], Grid]:
    """Order of the slices along their normal, and the grid they form; positions count, never SliceThickness."""
    sizes = {(int(h.Columns), int(h.Rows)) for h in headers}
    pixels = np.array([[float(v) for v in h.PixelSpacing] for h in headers])
    cosines = np.array([[float(v) for v in h.ImageOrientationPatient] for h in headers])
    positions = np.array([[float(v) for v in h.ImagePositionPatient] for h in headers])
    if len(sizes) > 1 or np.ptp(pixels, axis=0).max() > SPACING_TOLERANCE_MM:
        raise StudyError(f"{name}: slices of different size or pixel spacing; keep one volume in the folder")
    if np.ptp(cosines, axis=0).max() > DIRECTION_TOLERANCE:
        raise StudyError(f"{name}: slices of different orientation (a localizer?); keep one volume in the folder")
    if len(headers) < 2:
        raise StudyError(f"{name}: one slice only, a volume is needed")
    row, column = cosines[0, :3], cosines[0, 3:]
    normal = np.cross(row, column)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    gaps, first = np.diff(along[order]), positions[order[0]]
    if gaps.min() < SPACING_TOLERANCE_MM:
        twice = int((gaps < SPACING_TOLERANCE_MM).sum())
        raise StudyError(f"{name}: {twice} slices share a position (duplicates or several phases); keep one volume")
    step = (along[order[-1]] - along[order[0]]) / (len(order) - 1)
    if np.abs(gaps - np.median(gaps)).max() > 0.02 * np.median(gaps):
        where = int(np.argmax(np.abs(gaps - np.median(gaps))))
        raise StudyError(
            f"{name}: slice spacing is not uniform: {gaps[where]:.3f} mm after slice {where + 1} of {len(order)}, "
            f"{np.median(gaps):.3f} mm elsewhere; complete the series or resample it first"
        )
    sideways = positions - (first + np.outer(along - along[order[0]], normal))
    if np.abs(sideways).max() > LATTICE_TOLERANCE * pixels.min():
        raise StudyError(f"{name}: slices are shifted against each other (gantry tilt?); resample the series first")
    direction = tuple(np.column_stack([row, column, normal]).ravel().tolist())
    spacing = (float(pixels[0, 1]), float(pixels[0, 0]), float(step))
    return order.tolist(), Grid((*sizes.pop(), len(order)), spacing, tuple(first.tolist()), direction)


def _read_dicom_mask(path: Path, label: str, image: Volume) -> Mask:
    try:
        data = pydicom.dcmread(path)
        kind = data.get("SOPClassUID")
        if kind in SEG_STORAGE:
            voxels, references = _read_seg(data, label, image.grid, path), data.get("ReferencedSeriesSequence", [])
        elif kind == RTSTRUCT_STORAGE:
            voxels, references = _read_rtstruct(data, label, image.grid, path), _rtstruct_series(data)
        else:
            raise StudyError(f"{path.name}: a DICOM file, but neither a SEG nor an RTSTRUCT")
    except DICOM_ERRORS as error:
        raise StudyError(f"{path.name}: damaged or incomplete DICOM file ({type(error).__name__})") from None
    series = {str(item.SeriesInstanceUID) for item in references if "SeriesInstanceUID" in item}
    # the same grid twice is usual in multi-phase CT, so a mask of another phase would otherwise pass unseen
    other = image.series is not None and series and image.series not in series
    return Mask(voxels, ("mask was drawn on another series",) if other else ())


def _read_seg(data: pydicom.Dataset, label: str, grid: Grid, path: Path) -> np.ndarray:
    """Place the frames of one SEG segment on the grid, each by its own position; omitted frames are empty.

    Own code on pydicom: highdicom's volumes guess the slice spacing from the frames that are there when the file does
    not state it (frames omitted in the middle then widen it), and it refuses files that lack an attribute we do not
    need. Only the frames of the segment are decoded. The tests hold it against highdicom.
    """
    names = {int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in data.SegmentSequence if s.SegmentNumber}
    number = _choose(label, names, path, "segment")
    shared = data.SharedFunctionalGroupsSequence[0] if data.get("SharedFunctionalGroupsSequence") else pydicom.Dataset()
    frames = data.PerFrameFunctionalGroupsSequence
    label_map = data.SegmentationType == "LABELMAP"

    def group(frame: pydicom.Dataset, keyword: str) -> pydicom.Dataset:
        return (frame if keyword in frame else shared)[keyword][0]

    def segment(frame: pydicom.Dataset) -> int:
        return int(group(frame, "SegmentIdentificationSequence").ReferencedSegmentNumber)

    wanted = [i for i, frame in enumerate(frames) if label_map or segment(frame) == number]
    threshold = data.MaximumFractionalValue / 2 if data.SegmentationType == "FRACTIONAL" else 0.5
    mask = np.zeros(grid.size[::-1], dtype=bool)
    for i, pixels in zip(wanted, iter_pixels(data, indices=wanted) if wanted else [], strict=True):
        position = np.array(group(frames[i], "PlanePositionSequence").ImagePositionPatient, dtype=float)
        cosines = np.array(group(frames[i], "PlaneOrientationSequence").ImageOrientationPatient, dtype=float)
        spacing = np.array(group(frames[i], "PixelMeasuresSequence").PixelSpacing, dtype=float)
        # corner, next column, next row, far corner: the frame must step the lattice voxel by voxel, in any direction
        column, row = cosines[:3] * spacing[1], cosines[3:] * spacing[0]
        far = position + column * (pixels.shape[1] - 1) + row * (pixels.shape[0] - 1)
        exact = grid.to_index(np.array([position, position + column, position + row, far]))
        corner, next_column, next_row, far = np.round(exact).astype(int)
        steps = np.array([next_column - corner, next_row - corner])
        expected_far = corner + steps[0] * (pixels.shape[1] - 1) + steps[1] * (pixels.shape[0] - 1)
        on_lattice = np.abs(exact - np.round(exact)).max() <= LATTICE_TOLERANCE and (far == expected_far).all()
        rows, columns = np.nonzero(pixels == number if label_map else pixels > threshold)
        index = corner + np.outer(columns, steps[0]) + np.outer(rows, steps[1])
        inside = (index >= 0).all() and (index < grid.size).all()
        if not (on_lattice and (np.abs(steps).sum(axis=1) == 1).all() and inside):
            where = " ".join(f"{v:.3f}" for v in position)
            raise StudyError(
                f"{path.name}: SEG frame {i + 1} (position {where}, pixel {spacing[1]:.4f} x {spacing[0]:.4f} mm) "
                f"does not lie on the image's grid: image {grid}; use the series it was drawn on"
            )
        mask[index[:, 2], index[:, 1], index[:, 0]] = True
    return mask


def _read_rtstruct(data: pydicom.Dataset, label: str, grid: Grid, path: Path) -> np.ndarray:
    """Fill the closed planar contours of one ROI, slice by slice: voxel centres inside, even-odd rule for holes."""
    rois = {int(s.ROINumber): str(s.get("ROIName", "")) for s in data.StructureSetROISequence}
    number = _choose(label, rois, path, "ROI")
    items = [
        c for r in data.ROIContourSequence if int(r.ReferencedROINumber) == number for c in r.get("ContourSequence", [])
    ]
    slices: dict[int, list[np.ndarray]] = {}
    for item in items:
        if not str(item.ContourGeometricType).startswith("CLOSED"):
            continue
        points = grid.to_index(np.array(item.ContourData, dtype=float).reshape(-1, 3))
        points = np.round(points, 6)  # without floating-point noise a point meant for a voxel centre falls on it
        plane = int(np.round(points[0, 2]))
        off = np.abs(points[:, 2] - plane).max()
        outside = (points < -1).any() or (points > grid.size).any() or not 0 <= plane < grid.size[2]
        if off > LATTICE_TOLERANCE or outside:
            where = "outside the image" if outside else f"{off:.2f} slices off the nearest slice"
            raise StudyError(
                f"{path.name}: a contour of ROI {rois[number]!r} does not lie on the image's grid ({where}): "
                f"image {grid}; use the series it was drawn on"
            )
        slices.setdefault(plane, []).append(points[:, :2])
    mask = np.zeros(grid.size[::-1], dtype=bool)
    for plane, contours in slices.items():
        mask[plane] = fill_even_odd(contours, mask.shape[1:])
    return mask


def _rtstruct_series(data: pydicom.Dataset) -> list[pydicom.Dataset]:
    return [
        series
        for frame in data.get("ReferencedFrameOfReferenceSequence", [])
        for study in frame.get("RTReferencedStudySequence", [])
        for series in study.get("RTReferencedSeriesSequence", [])
    ]
