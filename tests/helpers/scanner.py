"""DICOM files as scanners and archives write them, for tests of reading."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    MRImageStorage,
    generate_uid,
)

SPACING = (0.8, 0.9, 2.5)  # x, y, z
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FRAME = "1.2.826.0.1.5.9"
ITK_COMPRESSORS = {JPEGLosslessSV1: "JPEG", JPEG2000Lossless: "JPEG2000"}


def uid(*parts):
    return generate_uid(entropy_srcs=[str(p) for p in parts])


def phantom(shape=(12, 40, 44), seed=0):
    """HU (z, y, x; int16): noise of soft tissue around a bright ellipsoid, with bone and air in it."""
    z, y, x = (np.indices(shape)[k] - (shape[k] - 1) / 2 for k in range(3))
    hu = np.random.default_rng(seed).normal(50, 20, shape) + 60 * ((z / 4) ** 2 + (y / 8) ** 2 + (x / 9) ** 2 < 1)
    hu[0, 0, 0], hu[-1, -1, -1] = -1024, 3071
    return hu.astype(np.int16)


def dataset(kind, name):
    """A Dataset with everything that all objects share, identifying elements included."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = kind, uid(name)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = kind, uid(name)
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = (
        "Muster^Erika",
        "PID4711",
        "19640812",
        "F",
    )
    data.StudyInstanceUID, data.FrameOfReferenceUID, data.PositionReferenceIndicator = uid("study"), FRAME, ""
    data.StudyDate, data.StudyTime, data.StudyID, data.AccessionNumber = "20230405", "095500", "77", "ACC99812"
    data.ReferringPhysicianName, data.Manufacturer, data.ManufacturerModelName = "Haus^Doc", "SIEMENS", "Force"
    return data


def positions(count, cosines=AXIAL, spacing=SPACING, origin=(-20.0, -15.0, -100.0)):
    normal = np.cross(cosines[:3], cosines[3:])
    return [np.array(origin) + normal * spacing[2] * k for k in range(count)]


def pixel_elements(data, stored):
    data.Rows, data.Columns = stored.shape[-2:]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
    data.PixelRepresentation = int(stored.dtype.kind == "i")
    data.PixelData = stored.tobytes()


def ct_slices(hu, series=1, description="", at="100000", where=None, cosines=AXIAL, change=None, modality="CT"):
    """One Dataset a slice of hu (z, y, x); `change(data, k)` has the last word."""
    where = positions(len(hu), cosines) if where is None else where
    made = []
    for k, plane in enumerate(hu):
        data = dataset(CTImageStorage if modality == "CT" else MRImageStorage, f"{series} {description} {at} {k}")
        data.Modality, data.ImageType = modality, ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SeriesInstanceUID, data.SeriesNumber, data.SeriesDescription = uid("series", series), series, description
        data.AcquisitionDate, data.AcquisitionTime, data.AcquisitionNumber = "20230405", at, 1
        data.InstanceNumber, data.SliceThickness, data.KVP = k + 1, 3, 120
        data.ImagePositionPatient = [f"{v:.6f}" for v in where[k]]
        data.ImageOrientationPatient = [f"{v:.9f}" for v in cosines]
        data.PixelSpacing = [SPACING[1], SPACING[0]]
        data.RescaleIntercept, data.RescaleSlope = -1024, 1
        pixel_elements(data, (plane.astype(np.int32) + 1024).astype("<u2"))
        if change:
            change(data, k)
        made.append(data)
    return made


def save(slices, folder, name="IM{:04d}.dcm"):
    """Write the slices so that name order is no order of theirs."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, data in enumerate(slices):
        pydicom.dcmwrite(folder / name.format((k * 7 + 3) % 10007), data, enforce_file_format=True)
    return folder


def coded(plane, syntax):
    """The coded frame of a plane, by the encoder of ITK."""
    writer = sitk.ImageFileWriter()
    with tempfile.TemporaryDirectory() as folder:
        writer.SetFileName(str(Path(folder, "a.dcm")))
        writer.UseCompressionOn()
        writer.SetCompressor(ITK_COMPRESSORS[syntax])
        writer.Execute(sitk.GetImageFromArray(plane))
        data = pydicom.dcmread(Path(folder, "a.dcm"))
    assert data.file_meta.TransferSyntaxUID == syntax
    return next(generate_frames(data.PixelData, number_of_frames=1))


def compressed(data, syntax):
    """The dataset in another transfer syntax."""
    if syntax in ITK_COMPRESSORS:
        planes = np.frombuffer(data.PixelData, "<u2").reshape(-1, data.Rows, data.Columns)
        data.PixelData = encapsulate([coded(plane, syntax) for plane in planes])
        data.file_meta.TransferSyntaxUID = syntax
        data["PixelData"].is_undefined_length = True
    elif syntax.is_encapsulated:
        data.compress(syntax, generate_instance_uid=False)
    else:
        data.file_meta.TransferSyntaxUID = syntax
        if not syntax.is_little_endian:
            data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
    return data


def sequence(**elements):
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return [item]


def enhanced(slices, kind="CT", per_frame=None):
    """The slices as the frames of one enhanced multi-frame object."""
    data = dataset(EnhancedCTImageStorage if kind == "CT" else EnhancedMRImageStorage, "enhanced")
    first = slices[0]
    for keyword in ("Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription"):
        setattr(data, keyword, first[keyword].value)
    data.AcquisitionDateTime = f"{first.AcquisitionDate}{first.AcquisitionTime}"
    pixel_elements(data, np.stack([np.frombuffer(s.PixelData, "<u2").reshape(s.Rows, s.Columns) for s in slices]))
    data.NumberOfFrames = len(slices)
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = sequence(ImageOrientationPatient=first.ImageOrientationPatient)
    shared.PixelMeasuresSequence = sequence(PixelSpacing=first.PixelSpacing, SliceThickness=3)
    for k, one in enumerate(slices):
        frame = Dataset()
        frame.PlanePositionSequence = sequence(ImagePositionPatient=one.ImagePositionPatient)
        frame.PixelValueTransformationSequence = sequence(
            RescaleSlope=one.RescaleSlope, RescaleIntercept=one.RescaleIntercept, RescaleType="HU"
        )
        if per_frame:
            per_frame(frame, k)
        frames.append(frame)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    return data
