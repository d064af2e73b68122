"""DICOM files of the demo cohort: CT series, SEG and RTSTRUCT, byte for byte the same in every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import contourpy
import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

ORIGIN = (-60.0, -55.0, -200.0)
# One invented day for all: dates of the run would change the bytes.
DATE, TIME = "20200101", "120000"
STAMPS = {"DA": DATE, "TM": TIME, "DT": DATE + TIME}


@dataclass(frozen=True)
class Scanner:
    """Acquisition of one centre: spacing (x, y, z) mm, size (x, y, z), blur of the image and of its noise, in mm."""

    spacing: tuple[float, float, float]
    size: tuple[int, int, int]
    kernel: str
    blur_mm: float
    noise_hu: float
    noise_blur_mm: float


def uid(*parts: object) -> str:
    """Valid UID that depends on the parts alone."""
    return generate_uid(entropy_srcs=["synthetic demo cohort", *map(str, parts)])


def write_ct_series(image: np.ndarray, scanner: Scanner, patient_id: str, phase: str, folder: Path) -> list[Path]:
    """Write image (z, y, x) int16 HU as one CT slice a file into `folder`; returns the files by slice."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for k, pixels in enumerate(image):
        ct = _dataset(CTImageStorage, uid(patient_id, phase, "slice", k), patient_id)
        ct.Modality = "CT"
        ct.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
        ct.SeriesInstanceUID = uid(patient_id, phase, "series")
        ct.SeriesNumber = 1 if phase == "AP" else 2
        ct.SeriesDescription = f"SYNTHETIC {phase}"
        ct.AcquisitionDate, ct.AcquisitionTime = DATE, TIME
        ct.FrameOfReferenceUID = uid(patient_id, phase, "frame")
        ct.PositionReferenceIndicator = ""
        ct.KVP = 120
        ct.AcquisitionNumber = 1
        ct.ConvolutionKernel = scanner.kernel
        ct.PatientPosition = "HFS"
        ct.InstanceNumber = k + 1
        ct.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ct.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + k * scanner.spacing[2]]
        ct.PixelSpacing = [scanner.spacing[1], scanner.spacing[0]]
        ct.SliceThickness = scanner.spacing[2]
        ct.Rows, ct.Columns = pixels.shape
        ct.SamplesPerPixel = 1
        ct.PhotometricInterpretation = "MONOCHROME2"
        ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation = 16, 16, 15, 0
        ct.RescaleIntercept, ct.RescaleSlope, ct.RescaleType = -1024, 1, "HU"
        ct.PixelData = (pixels.astype(np.int32) + 1024).astype("<u2").tobytes()
        path = folder / f"slice-{k + 1:03d}.dcm"
        ct.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def write_seg(masks: dict[str, np.ndarray], series: list[Path], reader: str, path: Path) -> None:
    """Write masks {label: (z, y, x)} as the segments of one binary DICOM SEG on the CT files of `series`."""
    sources = [pydicom.dcmread(p) for p in series]
    anatomy = codes.SCT.AnatomicalStructure, codes.SCT.Liver
    lesion = codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm
    segments = [
        hd.seg.SegmentDescription(i, label, *(anatomy if label == "Liver" else lesion), algorithm_type="MANUAL")
        for i, label in enumerate(masks, start=1)
    ]
    own = sources[0].SeriesInstanceUID, reader
    seg = hd.seg.Segmentation(
        sources,
        np.stack(list(masks.values()), axis=-1),
        "BINARY",
        segments,
        series_instance_uid=uid(*own, "seg series"),
        series_number=10 + int(reader[-1]),
        sop_instance_uid=uid(*own, "seg"),
        instance_number=1,
        manufacturer="SYNTHETIC",
        manufacturer_model_name="demo cohort",
        software_versions="1",
        device_serial_number="1",
        content_description="SYNTHETIC",
    )
    # highdicom stamps the time of the run and a random dimension organisation; both would change the bytes.
    dimensions = uid(*own, "dimensions")

    def settle(_: Dataset, element: pydicom.DataElement) -> None:
        if element.VR in STAMPS:
            element.value = STAMPS[element.VR]
        elif element.keyword == "DimensionOrganizationUID":
            element.value = dimensions

    seg.walk(settle)
    seg.save_as(path)


def write_rtstruct(masks: dict[str, np.ndarray], series: list[Path], reader: str, path: Path) -> None:
    """Write masks {label: (z, y, x)} as the ROIs of one RTSTRUCT: closed planar contours on the slices of `series`.

    The contours run half-way between voxel centres in and out, so that filling them by voxel centre gives the mask.
    """
    sources = [pydicom.dcmread(p, stop_before_pixels=True) for p in series]
    first = sources[0]
    own = first.SeriesInstanceUID, reader
    rt = _dataset(RTStructureSetStorage, uid(*own, "rtstruct"), first.PatientID)
    rt.Modality = "RTSTRUCT"
    rt.SeriesInstanceUID = uid(*own, "rtstruct series")
    rt.SeriesNumber = 20 + int(reader[-1])
    rt.SeriesDescription = "SYNTHETIC"
    rt.StructureSetLabel = "SYNTHETIC"
    rt.StructureSetDate, rt.StructureSetTime = DATE, TIME

    images = [_reference(source) for source in sources]
    in_series = Dataset()
    in_series.SeriesInstanceUID = first.SeriesInstanceUID
    in_series.ContourImageSequence = images
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
    study.ReferencedSOPInstanceUID = first.StudyInstanceUID
    study.RTReferencedSeriesSequence = [in_series]
    frame = Dataset()
    frame.FrameOfReferenceUID = first.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    rt.ReferencedFrameOfReferenceSequence = [frame]

    rt.StructureSetROISequence, rt.ROIContourSequence, rt.RTROIObservationsSequence = [], [], []
    for number, (label, mask) in enumerate(masks.items(), start=1):
        roi = Dataset()
        roi.ROINumber = number
        roi.ReferencedFrameOfReferenceUID = first.FrameOfReferenceUID
        roi.ROIName = label
        roi.ROIGenerationAlgorithm = "MANUAL"
        rt.StructureSetROISequence.append(roi)

        contours = Dataset()
        contours.ReferencedROINumber = number
        contours.ROIDisplayColor = [213, 94, 0] if number == 1 else [0, 114, 178]
        contours.ContourSequence = [
            _contour(line, source, image)
            for source, image, plane in zip(sources, images, mask, strict=True)
            for line in _outlines(plane)
        ]
        rt.ROIContourSequence.append(contours)

        observation = Dataset()
        observation.ObservationNumber = number
        observation.ReferencedROINumber = number
        observation.RTROIInterpretedType = "GTV" if number == 1 else "ORGAN"
        observation.ROIInterpreter = ""
        rt.RTROIObservationsSequence.append(observation)
    rt.save_as(path, enforce_file_format=True)


def _outlines(plane: np.ndarray) -> list[np.ndarray]:
    """Closed outlines of a mask (y, x), each (points, 2) in voxel units (x, y), without the repeated last point."""
    padded = np.pad(plane.astype(float), 1)
    lines = contourpy.contour_generator(z=padded).lines(0.5) if padded.any() else []
    return [line[:-1] - 1 for line in lines]


def _contour(line: np.ndarray, source: Dataset, image: Dataset) -> Dataset:
    x0, y0, z = (float(v) for v in source.ImagePositionPatient)
    row_mm, column_mm = (float(v) for v in source.PixelSpacing)
    points = np.column_stack([x0 + line[:, 0] * column_mm, y0 + line[:, 1] * row_mm, np.full(len(line), z)])
    contour = Dataset()
    contour.ContourImageSequence = [image]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{value:.4f}" for value in points.ravel()]
    return contour


def _reference(source: Dataset) -> Dataset:
    image = Dataset()
    image.ReferencedSOPClassUID = source.SOPClassUID
    image.ReferencedSOPInstanceUID = source.SOPInstanceUID
    return image


def _dataset(sop_class: str, sop_instance: str, patient_id: str) -> FileDataset:
    """Dataset with the file, patient, study and equipment attributes that all objects of a patient share."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = sop_instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = sop_instance
    dataset.PatientName = f"SYNTHETIC^{patient_id}"
    dataset.PatientID = patient_id
    dataset.PatientBirthDate, dataset.PatientSex = "", "O"
    dataset.StudyInstanceUID = uid(patient_id, "study")
    dataset.StudyID = "1"
    dataset.StudyDate, dataset.StudyTime = DATE, TIME
    dataset.SeriesDate, dataset.SeriesTime = DATE, TIME
    dataset.ContentDate, dataset.ContentTime = DATE, TIME
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.Manufacturer, dataset.ManufacturerModelName = "SYNTHETIC", "demo cohort"
    return dataset
