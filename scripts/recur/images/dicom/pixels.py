"""Stored values of DICOM planes, decoded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import iter_pixels
from pydicom.uid import JPEGLossless, JPEGLosslessSV1, SecondaryCaptureImageStorage

from recur.images.dicom.slices import DICOM_ERRORS, Slice, open_dicom
from recur.tables import StudyError

CODED_TAGS = [  # what a coded frame needs besides itself
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PhotometricInterpretation",
]


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
    shape = (int(data.Rows), int(data.Columns))
    in_frame = int(data.Rows) * int(data.Columns)
    needed = int(data.get("NumberOfFrames") or 1) * in_frame * kind.itemsize
    if not needed <= len(data.PixelData) <= needed + 1:  # a byte fills up to an even length
        raise ValueError
    values = np.frombuffer(data.PixelData, kind, in_frame, frame * in_frame * kind.itemsize).reshape(shape)
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
