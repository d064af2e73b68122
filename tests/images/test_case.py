"""Floor 2 end to end: every format, every refusal in one line, the crop, the cache, the picture, the programs."""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from recur.batches import batch_of
from recur.images import case as cases
from recur.images import case_cache, case_file
from recur.images.batch import ReadRow, say_times
from recur.images.detached import data_files
from recur.images.inventory import fingerprint, inventory
from recur.images.montage import PANEL
from recur.images.read import Grid, read_image, read_mask
from recur.images.rtstruct import fill_even_odd
from recur.tables import StudyError, read_table

SCRIPTS = Path(__file__).parents[2] / "scripts"
SHAPE = (18, 40, 44)
SPACING, ORIGIN = (1.2, 1.3, 2.5), (-31.0, 12.5, -140.25)
TILT = np.deg2rad(20)  # image rotated about its z axis
DIRECTION = (np.cos(TILT), -np.sin(TILT), 0.0, np.sin(TILT), np.cos(TILT), 0.0, 0.0, 0.0, 1.0)
REGIONS = {
    "rim_mm": 6,
    "min_shell_fraction": 0.5,
    "hu_window": [-100, 300],
    "rim_hu_floor": -200,
    "on_error": "exclude",
}


def anatomy(seed=0):
    """HU (int16), tumour and liver of a small invented abdomen."""
    z, y, x = (np.indices(SHAPE).reshape(3, *SHAPE)[k] - c for k, c in enumerate((9, 20, 21)))
    tumour = (z * 2.5) ** 2 + (y * 1.3) ** 2 + (x * 1.2) ** 2 <= 8**2
    liver = (z * 2.5 / 20) ** 2 + (y * 1.3 / 22) ** 2 + (x * 1.2 / 24) ** 2 <= 1
    hu = np.where(liver, 90, -90) + 20 * tumour + np.random.default_rng(seed).normal(0, 12, SHAPE)
    return hu.astype(np.int16), tumour, liver


def write(array, path, direction=DIRECTION, spacing=SPACING, origin=ORIGIN):
    image = sitk.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(direction)
    sitk.WriteImage(image, str(path))
    return path


def write_series(hu, folder, series="1.2.3.1", skip=(), first=1, positions=None, cosines=None):
    """CT slices as files whose names run against their positions, each slice with its own intercept."""
    folder.mkdir(parents=True, exist_ok=True)
    affine = np.reshape(DIRECTION, (3, 3)) * np.asarray(SPACING)
    for k in range(len(hu)):
        if k in skip:
            continue
        slope, intercept = 2, -1024 - 2 * k
        ct = Dataset()
        ct.file_meta = FileMetaDataset()
        ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ct.SOPClassUID = ct.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[series, str(k)])
        ct.PatientName, ct.PatientID, ct.PatientBirthDate, ct.PatientSex = "Secret^Name", "SECRET-ID", "19500101", "F"
        ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = "1.2.3", series, "1.2.3.9"
        ct.StudyID, ct.StudyDate, ct.StudyTime, ct.AccessionNumber = "1", "20200101", "120000", "SECRET"
        ct.ReferringPhysicianName, ct.Modality, ct.Manufacturer = "Secret^Doctor", "CT", "none"
        ct.SeriesNumber, ct.InstanceNumber, ct.PositionReferenceIndicator = 1, first + k, ""
        position = np.asarray(ORIGIN) + affine @ [0, 0, k] if positions is None else positions[k]
        ct.ImagePositionPatient = [f"{v:.6f}" for v in position]
        ct.ImageOrientationPatient = [f"{v:.10f}" for v in (cosines or np.reshape(DIRECTION, (3, 3)).T[:2].ravel())]
        ct.PixelSpacing, ct.SliceThickness = [SPACING[1], SPACING[0]], 5
        ct.Rows, ct.Columns = hu.shape[1:]
        ct.SamplesPerPixel, ct.PhotometricInterpretation = 1, "MONOCHROME2"
        ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation = 16, 16, 15, 0
        ct.RescaleSlope, ct.RescaleIntercept, ct.RescaleType = slope, intercept, "HU"
        ct.PixelData = ((hu[k].astype(int) - intercept) // slope).astype("<u2").tobytes()
        ct.save_as(folder / f"IM{len(hu) - k + first:04d}.dcm", enforce_file_format=True)
    return folder


def write_seg(folder, masks, path, kind="BINARY", **options):
    """SEG of named masks on a CT folder, by highdicom."""
    hd = pytest.importorskip("highdicom")
    from pydicom.sr.codedict import codes

    sources = sorted((pydicom.dcmread(p) for p in folder.glob("*.dcm")), key=lambda d: float(d.ImagePositionPatient[2]))
    described = [
        hd.seg.SegmentDescription(
            segment_number=n,
            segment_label=name,
            segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
            segmented_property_type=codes.SCT.Neoplasm,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for n, name in enumerate(masks, 1)
    ]
    pixels = np.stack(list(masks.values()), axis=-1)
    seg = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=pixels.astype(float if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        **options,
    )
    seg.save_as(path)
    return path


def write_rtstruct(rois, path, series="1.2.3.1"):
    """RTSTRUCT of {name: [contour (n, 3) in mm, ...]}."""
    rt = Dataset()
    rt.file_meta = FileMetaDataset()
    rt.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    rt.SOPClassUID = rt.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    rt.SOPInstanceUID = rt.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    rt.PatientName, rt.Modality = "Secret^Name", "RTSTRUCT"
    reference, study, frame = Dataset(), Dataset(), Dataset()
    reference.SeriesInstanceUID = series
    study.RTReferencedSeriesSequence, frame.RTReferencedStudySequence = [reference], [study]
    rt.ReferencedFrameOfReferenceSequence = [frame]
    rt.StructureSetROISequence, rt.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, drawn.ReferencedROINumber, drawn.ContourSequence = number, name, number, []
        for points in contours:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            item.ContourData = [f"{v:.6f}" for v in np.ravel(points)]
            drawn.ContourSequence.append(item)
        rt.StructureSetROISequence.append(roi)
        rt.ROIContourSequence.append(drawn)
    rt.save_as(path, enforce_file_format=True)
    return path


def to_points(index):
    """Voxel indices (n, 3; x, y, z) to mm."""
    return np.asarray(index, float) @ (np.reshape(DIRECTION, (3, 3)) * np.asarray(SPACING)).T + np.asarray(ORIGIN)


def refused(call, *arguments):
    """The one line of the StudyError that the call raises."""
    with pytest.raises(StudyError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """One patient in every format, and its arrays."""
    folder = tmp_path_factory.mktemp("study")
    hu, tumour, liver = anatomy()
    hu -= hu % 2  # the DICOM files store every second HU
    write(hu, folder / "image.nii.gz")
    write(tumour.astype(np.uint8), folder / "tumour.nii.gz")
    write(liver.astype(np.uint8) * 3 + tumour.astype(np.uint8) * 2, folder / "labels.nrrd")  # 3 liver, 5 tumour
    write_series(hu, folder / "ct")
    (folder / "ct" / "notes.txt").write_text("not DICOM")
    return folder, hu, tumour, liver


def manifest_row(folder, **changes):
    row = {
        "patient_id": "P1",
        "phase": "AP",
        "reader": "reader1",
        "image": str(folder / "image.nii.gz"),
        "mask": str(folder / "tumour.nii.gz"),
        "mask_label": None,
        "liver_mask": None,
        "liver_label": None,
    }
    return row | {k: str(v) for k, v in changes.items()}


# --- reading -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source"),
    [("a.nii", "nifti"), ("a.nii.gz", "nifti"), ("a.nrrd", "nrrd"), ("a.mha", "mha"), ("a.mhd", "mha")],
)
def test_files_of_every_format(tmp_path, name, source):
    hu, _, _ = anatomy()
    image = read_image(write(hu, tmp_path / name))
    assert image.voxels.dtype == np.float32 and np.array_equal(image.voxels, hu)
    assert image.source == source and image.grid.size == SHAPE[::-1]
    assert np.allclose(image.grid.spacing, SPACING, atol=1e-6) and np.allclose(image.grid.origin, ORIGIN, atol=1e-5)
    assert np.allclose(image.grid.direction, DIRECTION, atol=1e-6)


def test_dicom_series_is_ordered_by_position_and_rescaled(study):
    folder, hu, _, _ = study
    image = read_image(folder / "ct")
    assert np.array_equal(image.voxels, hu) and image.source == "dicom"
    nifti = read_image(folder / "image.nii.gz").grid
    for ours, theirs in zip(image.grid, nifti, strict=True):
        assert np.allclose(ours, theirs, atol=1e-5)  # spacing from positions, not SliceThickness 5


def test_a_volume_with_a_fourth_dimension_of_one_is_read(tmp_path):
    hu, _, _ = anatomy()
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(hu)]), str(tmp_path / "a.nii.gz"))
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").voxels, hu)


def test_unreadable_images_are_refused_in_one_line(tmp_path):
    hu, _, _ = anatomy()
    assert refused(read_image, tmp_path / "none.nii.gz").startswith("none.nii.gz: no such file")
    data = write(hu, tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(data[: len(data) // 2])
    assert "truncated or damaged gzip" in refused(read_image, tmp_path / "half.nii.gz")
    for suffix in ("nii", "nrrd", "mha"):
        data = write(hu, tmp_path / f"a.{suffix}").read_bytes()
        (tmp_path / f"half.{suffix}").write_bytes(data[: len(data) // 2])
        assert refused(read_image, tmp_path / f"half.{suffix}").startswith(f"half.{suffix}: ")
    sitk.WriteImage(sitk.JoinSeries([sitk.GetImageFromArray(hu)] * 2), str(tmp_path / "two.nii.gz"))
    assert "4-D (44x40x18x2), a 3-D volume is needed" in refused(read_image, tmp_path / "two.nii.gz")
    nan = hu.astype(np.float32)
    nan[3, 4, 5] = np.nan
    for suffix in ("nii.gz", "nii", "nrrd", "mha"):
        assert "1 voxels are NaN" in refused(read_image, write(nan, tmp_path / f"nan.{suffix}"))
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(tmp_path / "c.nrrd"))
    assert "3 values per voxel" in refused(read_image, tmp_path / "c.nrrd")
    (tmp_path / "a.txt").write_text("x")
    assert "unknown image format" in refused(read_image, tmp_path / "a.txt")
    (tmp_path / "empty").mkdir()
    assert "no DICOM slices" in refused(read_image, tmp_path / "empty")


def test_series_that_are_not_one_regular_stack_are_refused(tmp_path):
    hu, _, _ = anatomy()
    two = write_series(hu, tmp_path / "two")
    write_series(hu[:7], two, series="1.2.3.2", first=101)
    message = refused(read_image, two)
    assert "must choose one of 2 volumes: 1 '' (18 slices); 1 '' (7 slices)" in message
    assert "1.2.3" not in message
    assert "1 slices missing: 5.000 mm after slice 5 of 17, 2.500 mm elsewhere; complete the series" in refused(
        read_image, write_series(hu, tmp_path / "gap", skip=[5])
    )
    along = [np.array([0, 0, 2.5 * k]) for k in range(18)]
    twice = write_series(hu, tmp_path / "twice", positions=along[:9] * 2)
    assert "9 slices share a position" in refused(read_image, twice)
    cosines = [1, 0, 0, 0, 1, 0]
    assert "one slice only" in refused(read_image, write_series(hu[:1], tmp_path / "one"))
    mixed = write_series(hu, tmp_path / "mixed")
    write_series(hu[:2], mixed, first=200, cosines=cosines, positions=[[0, 0, 99], [0, 0, 101]])
    assert "2 volumes: 1 '' part 1 (18 slices); 1 '' part 2 (2 slices)" in refused(read_image, mixed)
    hurt = write_series(hu, tmp_path / "hurt")
    end = max(hurt.iterdir())
    data = end.read_bytes()
    for length in (0, 300, 700, len(data) // 2):  # no preamble, before and after the class, within the pixels
        end.write_bytes(data[:length])
        assert "file 18 of 18 in name order is damaged" in refused(read_image, hurt)
    one_file = next((tmp_path / "one").iterdir()).rename(tmp_path / "one" / "slice")
    assert "give the folder" in refused(read_image, one_file)


def test_labels_by_value_and_blank(study, tmp_path):
    folder, _, tumour, liver = study
    image = read_image(folder / "image.nii.gz")
    assert np.array_equal(read_mask(folder / "tumour.nii.gz", None, image).voxels, tumour)
    assert np.array_equal(read_mask(folder / "labels.nrrd", "5", image).voxels, tumour)
    assert np.array_equal(read_mask(folder / "labels.nrrd", "3", image).voxels, liver & ~tumour)
    assert "there are 2: 3, 5; state it" in refused(read_mask, folder / "labels.nrrd", "", image)
    assert "label '4' is not there; present: 3, 5" in refused(read_mask, folder / "labels.nrrd", "4", image)
    assert "label 'tumour' is not there" in refused(read_mask, folder / "labels.nrrd", "tumour", image)
    empty = write(np.zeros(SHAPE, np.uint8), tmp_path / "empty.nii.gz")
    assert "the mask is empty" in refused(read_mask, empty, "1", image)
    soft = write(np.random.default_rng(0).random(SHAPE).astype(np.float32), tmp_path / "soft.nii.gz")
    assert "whole labels are needed" in refused(read_mask, soft, "1", image)


def test_labels_as_programs_store_them(study, tmp_path):
    """Any number type; scaled whole numbers that come back a little off; 255 for inside."""
    folder, _, tumour, liver = study
    image = read_image(folder / "image.nii.gz")
    both = tumour.astype(int) + liver  # 2 in the tumour, 1 in the rest of the liver
    for kind in ("uint8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"):
        path = write(both.astype(kind), tmp_path / f"{kind}.nii.gz")
        assert np.array_equal(read_mask(path, "2", image).voxels, tumour), kind
        path = write(both.astype(kind), tmp_path / f"{kind}.mha")
        assert np.array_equal(read_mask(path, "1;2", image).voxels, tumour | liver), kind
    near = write(both * np.float32(0.99998), tmp_path / "near.nii.gz")
    assert np.array_equal(read_mask(near, "2", image).voxels, tumour)
    assert np.array_equal(read_mask(write(tumour * np.uint8(255), tmp_path / "full.nrrd"), "", image).voxels, tumour)
    soft = write(tumour * np.float32(0.8), tmp_path / "soft.nrrd")
    assert "if these are probabilities, threshold them first" in refused(read_mask, soft, "1", image)


@pytest.mark.parametrize("axes", ["RAS", "LAI", "PSR", "SAL"])
@pytest.mark.parametrize("mask_grid", ["same", "resample"])
def test_a_mask_whose_voxels_are_stored_along_other_axes_is_turned(study, tmp_path, axes, mask_grid):
    folder, _, tumour, _ = study
    image = read_image(folder / "image.nii.gz")
    tumour = tumour & (np.indices(SHAPE)[2] > 18) | (np.indices(SHAPE) == 5).all(axis=0)  # of no symmetry
    made = sitk.ReadImage(write(tumour.astype(np.uint8), tmp_path / "mask.nii.gz"))
    turned = sitk.DICOMOrient(made, axes)
    assert turned.GetOrigin() != made.GetOrigin()
    sitk.WriteImage(turned, tmp_path / "turned.nrrd")
    found = read_mask(tmp_path / "turned.nrrd", None, image, mask_grid)
    assert np.array_equal(found.voxels, tumour) and found.flags == () and found.offset_mm == 0
    turned.SetOrigin([v + 1.2 for v in turned.GetOrigin()])
    sitk.WriteImage(turned, tmp_path / "moved.nrrd")
    if mask_grid == "same":
        assert "on another grid" in refused(read_mask, tmp_path / "moved.nrrd", None, image)


OTHER_GRIDS = [
    {"spacing": (1.2, 1.3, 2.502)},
    {"origin": (-31.0, 12.5, -137.75)},
    {"direction": (1, 0, 0, 0, 1, 0, 0, 0, 1)},
]


@pytest.mark.parametrize("changes", OTHER_GRIDS)
def test_mask_on_another_grid_is_refused_with_both_geometries(study, tmp_path, changes):
    folder, _, tumour, _ = study
    image = read_image(folder / "image.nii.gz")
    moved = write(tumour.astype(np.uint8), tmp_path / "moved.nii.gz", **changes)
    message = refused(read_mask, moved, None, image)
    assert message.startswith("moved.nii.gz: the mask is on another grid than the image: mask size 44x40x18, spacing")
    assert message.count("direction") == 2
    smaller = write(tumour[1:].astype(np.uint8), tmp_path / "smaller.nii.gz")
    assert "44x40x17" in refused(read_mask, smaller, None, image)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_seg_by_number_and_name_equals_highdicom(study, tmp_path, kind):
    hd = pytest.importorskip("highdicom")
    folder, _, tumour, liver = study
    masks = {"Liver": liver & ~tumour, "Tumour": tumour}
    path = write_seg(folder / "ct", masks, tmp_path / "seg.dcm", kind)
    image = read_image(folder / "ct")
    for number, (name, mask) in enumerate(masks.items(), 1):
        for label in (str(number), name):
            found = read_mask(path, label, image)
            assert np.array_equal(found.voxels, mask) and found.flags == ()
    theirs = hd.seg.segread(path).get_volume(segment_numbers=[2], allow_missing_positions=True)
    voxels = np.argwhere(theirs.array > 0)[:, :3]
    points = voxels @ theirs.affine[:3, :3].T + theirs.affine[:3, 3]
    placed = np.zeros(SHAPE, bool)
    placed[tuple(np.round(image.grid.to_index(points)).astype(int).T[::-1])] = True
    assert np.array_equal(placed, tumour)
    assert "segment is not stated and there are 2: 1 Liver, 2 Tumour" in refused(read_mask, path, "", image)
    assert "segment 'Mass' is not there; present: 1 Liver, 2 Tumour" in refused(read_mask, path, "Mass", image)
    nifti = read_image(folder / "image.nii.gz")  # SEG on the NIfTI of the same scan
    assert np.array_equal(read_mask(path, "Tumour", nifti).voxels, tumour)


def test_seg_frames_in_any_order_and_part_of_the_field(study, tmp_path):
    folder, _, tumour, _ = study
    path = write_seg(folder / "ct", {"Tumour": tumour}, tmp_path / "seg.dcm")
    data = pydicom.dcmread(path)
    frames = data.pixel_array
    assert len(frames) < len(tumour)  # empty frames are omitted
    part = frames[::-1, 8:33, 10:35]
    affine = np.reshape(DIRECTION, (3, 3)) * np.asarray(SPACING)
    items = list(data.PerFrameFunctionalGroupsSequence)[::-1]
    for item in items:
        plane = item.PlanePositionSequence[0]
        moved = np.array(plane.ImagePositionPatient, float) + affine @ [10, 8, 0]
        plane.ImagePositionPatient = [f"{v:.6f}" for v in moved]
    data.PerFrameFunctionalGroupsSequence = items
    data.Rows, data.Columns = part.shape[1:]
    data.PixelData = np.packbits(part.astype(np.uint8).ravel(), bitorder="little").tobytes()  # 625 bits a frame
    data.PixelData += b"\0" * (len(data.PixelData) % 2)
    (tmp_path / "archive").mkdir()
    data.save_as(tmp_path / "archive" / "1.dcm")
    assert np.array_equal(read_mask(tmp_path / "archive", None, read_image(folder / "ct")).voxels, tumour)


def test_seg_off_the_grid_and_of_another_series(study, tmp_path):
    folder, hu, tumour, _ = study
    path = write_seg(folder / "ct", {"Tumour": tumour}, tmp_path / "seg.dcm")
    image = read_image(folder / "ct")
    grid = image.grid
    half = image._replace(grid=grid._replace(origin=(*grid.origin[:2], grid.origin[2] + 1.25)))
    assert "does not lie on the image's grid" in refused(read_mask, path, None, half)
    double = image._replace(grid=grid._replace(spacing=(0.6, 0.65, 2.5)))
    assert "does not lie on the image's grid" in refused(read_mask, path, None, double)
    far = image._replace(grid=grid._replace(origin=(*grid.origin[:2], grid.origin[2] + 25)))
    assert "does not lie on the image's grid" in refused(read_mask, path, None, far)
    other = read_image(write_series(hu, tmp_path / "other", series="1.2.3.7"))
    assert read_mask(path, None, other).flags == ("mask was drawn on another series",)
    slice_file = next((folder / "ct").glob("*.dcm"))
    assert "neither a SEG nor an RTSTRUCT" in refused(read_mask, slice_file, None, image)
    data = pydicom.dcmread(path)
    del data.PerFrameFunctionalGroupsSequence
    data.save_as(tmp_path / "broken.dcm")
    assert "damaged or incomplete DICOM" in refused(read_mask, tmp_path / "broken.dcm", None, image)


def test_rtstruct_with_hole_island_and_key_hole(study, tmp_path):
    folder, _, _, _ = study

    def square(low, high, z):
        return [(low, low, z), (high, low, z), (high, high, z), (low, high, z)]

    key_hole = [*square(4.5, 20.5, 8)[:1], *square(8.5, 16.5, 8), (8.5, 8.5, 8), *square(4.5, 20.5, 8)]
    drawn = {
        "Tumour": [square(4.5, 20.5, 6), square(8.5, 16.5, 6), square(11.5, 13.5, 6), square(25.5, 30.5, 6), key_hole],
        "Other": [square(2.5, 3.5, 5)],
    }
    path = write_rtstruct({n: [to_points(c) for c in contours] for n, contours in drawn.items()}, tmp_path / "rt.dcm")
    expected = np.zeros(SHAPE, bool)
    for z in (6, 8):
        expected[z, 5:21, 5:21] = True
        expected[z, 9:17, 9:17] = False
    expected[6, 12:14, 12:14] = True
    expected[6, 26:31, 26:31] = True
    image = read_image(folder / "ct")
    found = read_mask(path, "Tumour", image)
    assert np.array_equal(found.voxels, expected)
    assert found.flags == ("1 slices without a contour inside the ROI",)
    assert "ROI is not stated and there are 2: 1 Tumour, 2 Other" in refused(read_mask, path, "", image)
    outside = write_rtstruct({"T": [to_points(square(5, 90, 6))]}, tmp_path / "outside.dcm")
    assert "outside the image" in refused(read_mask, outside, "T", image)
    other = write_rtstruct({"T": [to_points(square(5, 9, 6))]}, tmp_path / "other.dcm", series="1.2.8")
    assert read_mask(other, "", image).flags == (
        "contours run through voxel centres: 36 % of their voxels lie on the line and count out",
        "mask was drawn on another series",
    )


def test_even_odd_filling_equals_a_point_in_polygon_test():
    path = pytest.importorskip("matplotlib.path")
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:50, :60]
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 40))
        radius = rng.uniform(4, 24, 40)
        star = np.column_stack([30 + radius * np.cos(angles), 25 + radius * np.sin(angles)])
        theirs = path.Path(star).contains_points(np.column_stack([x.ravel(), y.ravel()])).reshape(y.shape)
        assert np.array_equal(fill_even_odd([star], y.shape), theirs)
    left, right = [np.array([(a, 0), (a + 5, 0), (a + 5, 9), (a, 9)], float) for a in (2, 7)]
    halves = fill_even_odd([left], (12, 20)).astype(int) + fill_even_odd([right], (12, 20))
    assert halves.max() == 1 and halves.sum() == 90  # a shared border belongs to one of them


# --- cases -------------------------------------------------------------------------------------------------------


def test_every_format_gives_the_same_case(study, tmp_path):
    folder, _, tumour, liver = study
    seg = write_seg(folder / "ct", {"Liver": liver, "Tumour": tumour}, tmp_path / "seg.dcm")
    rows = [
        manifest_row(folder, liver_mask=write(liver.astype(np.uint8), tmp_path / "liver.nii.gz")),
        manifest_row(folder, image=folder / "ct", mask=seg, mask_label="Tumour", liver_mask=seg, liver_label="1"),
    ]
    nifti, dicom = (cases.make_case(row, REGIONS) for row in rows)
    assert np.array_equal(nifti.image, dicom.image) and np.array_equal(nifti.labels, dicom.labels)
    assert (nifti.facts["bits"], dicom.facts["bits"]) == ("nifti", "dicom")
    facts = nifti.facts
    assert facts["tumour_voxels"] == tumour.sum() == ((nifti.labels & case_file.TUMOUR) > 0).sum()
    assert facts["tumour_ml"] == pytest.approx(tumour.sum() * 1.2 * 1.3 * 2.5 / 1000)
    assert facts["shell_fraction"] == 1 and facts["flags"] == ""


def test_flags_of_a_case(study, tmp_path):
    folder, hu, tumour, _ = study
    assert cases.make_case(manifest_row(folder), REGIONS).facts["flags"] == "no liver mask: rim clipped to -100..300 HU"
    unclipped = cases.make_case(manifest_row(folder), REGIONS | {"hu_window": None})
    assert unclipped.facts["flags"] == "no liver mask and no HU window: rim not clipped"
    thick = (1.0, 1.0, 4.2)
    row = manifest_row(
        folder,
        image=write(hu, tmp_path / "i.nii.gz", spacing=thick),
        mask=write(tumour.astype(np.uint8), tmp_path / "m.nii.gz", spacing=thick),
    )
    for none in (0, None):
        case = cases.make_case(row, REGIONS | {"rim_mm": none})
        assert case.facts["flags"] == "slice/in-plane ratio 4.2"
        assert case.facts["rim_voxels"] == 0 and case.facts["shell_fraction"] is None


def test_a_case_measures_what_a_page_of_images_shows(study, tmp_path):
    folder, hu, tumour, liver = study
    drawn = tumour.copy()
    drawn[0, :2, :2] = True  # a piece of its own in a corner of the image: it lies on three of its faces
    aorta = np.zeros_like(tumour)
    aorta[:, 1, 1] = True
    row = manifest_row(
        folder,
        mask=write(drawn.astype(np.uint8), tmp_path / "drawn.nii.gz"),
        liver_mask=write((liver | tumour).astype(np.uint8), tmp_path / "liver.nii.gz"),
        aorta_mask=write(aorta.astype(np.uint8), tmp_path / "aorta.nii.gz"),
    )
    facts = cases.make_case(row, REGIONS | {"rim_mm": 0}).facts
    assert (facts["pieces"], facts["edge_voxels"]) == (2, 4 + 2 + 2)
    assert facts["liver_median"] == np.median(hu[(liver | tumour) & ~drawn])
    assert facts["aorta_median"] == np.median(hu[aorta])
    kinds, texts = (facts[column].split(";") for column in ("flag_kinds", "flags"))
    assert len(kinds) == len(texts) and {"edge", "pieces"} <= set(kinds)


def test_seconds_count_from_the_earliest_phase_over_midnight_and_within_one_examination():
    def scanned(phase, second, exam="a"):
        record = {"phase": phase, "flags": "", "flag_kinds": "", "exam": {"hash": exam, "second": second}}
        return ReadRow({"phase": phase}, [record], [None])

    without_header = ReadRow({"phase": "NC"}, [{}], [None])
    readings = [scanned("AP", 86390.0), scanned("PVP", 25.5), scanned("DP", 100.0, "b"), without_header]
    say_times(readings)
    first, second, other, none = (reading.records[0] for reading in readings)
    assert (first["phase_time_s"], second["phase_time_s"]) == (0, 35.5) and "phase_time_s" not in other | none
    assert (other["flags"], other["flag_kinds"]) == ("of another examination than AP", "exam")


def test_bad_rims_are_refused(study, tmp_path):
    folder, hu, tumour, _ = study
    z, y, x = np.nonzero(tumour)
    tight = np.zeros(SHAPE, np.uint8)
    tight[z.min() : z.max(), y.min() : y.max(), x.min() : x.max()] = 1
    row = manifest_row(folder, liver_mask=write(tight, tmp_path / "tight.nii.gz"))
    assert "% of the 6 mm shell is left after clipping (lost to liver 84 %), at least 50 % is needed" in refused(
        cases.make_case, row, REGIONS
    )
    air = np.where(tumour, hu, -900).astype(np.int16)
    row = manifest_row(folder, image=write(air, tmp_path / "air.nii.gz"))
    assert refused(cases.make_case, row, REGIONS | {"hu_window": None}).startswith("rim: median -900 HU is below -200")
    assert cases.make_case(row, REGIONS | {"hu_window": None, "rim_hu_floor": None}).facts["rim_voxels"]


def whole_mask(case, region):
    """One region of facts["regions"] as a uint8 mask on the grid of the *whole* image.

    Passed together with `case_image` to pyradiomics' `resampleImage`, which takes its grid from the mask, it gives
    the very resampled voxels of the whole image.
    """
    full = np.zeros(case.full_size[::-1], dtype=np.uint8)
    x, y, z = case.offset
    depth, height, width = case.labels.shape
    full[z : z + depth, y : y + height, x : x + width] = (case.labels & case.facts["regions"][region]) > 0
    mask = sitk.GetImageFromArray(full)
    mask.SetSpacing(case.spacing.tolist())
    mask.SetOrigin(case.full_origin.tolist())
    mask.SetDirection(case.direction.tolist())
    return mask


def test_features_of_the_crop_equal_those_of_the_whole_image(tmp_path):
    extractor = pytest.importorskip("radiomics.featureextractor")
    import radiomics

    radiomics.setVerbosity(60)
    rng = np.random.default_rng(5)
    shape, spacing = (84, 120, 130), (0.8, 0.85, 1.7)
    z, y, x = np.indices(shape)
    tumour = (((z - 43) * 1.7) ** 2 + ((y - 57) * 0.85) ** 2 + ((x - 64) * 0.8) ** 2 <= 7**2).astype(np.uint8)
    hu = rng.normal(60, 30, shape).astype(np.int16)
    row = manifest_row(
        tmp_path,
        image=write(hu, tmp_path / "image.nii.gz", spacing=spacing),
        mask=write(tumour, tmp_path / "tumour.nii.gz", spacing=spacing),
    )
    case = cases.make_case(row, REGIONS | {"rim_mm": 4})
    case_file.save_case(case, tmp_path / "case.npz")
    case = case_file.load_case(tmp_path / "case.npz")
    assert case.image.size < 0.7 * hu.size and (np.array(case.image.shape) < shape).all()
    plain = extractor.RadiomicsFeatureExtractor(
        resampledPixelSpacing=[1, 1, 1], interpolator="sitkBSpline", padDistance=10, additionalInfo=False, binWidth=25
    )
    plain.disableAllFeatures()
    for name in ("firstorder", "glcm", "shape", "glszm"):
        plain.enableFeatureClassByName(name)
    plain.enableImageTypeByName("Wavelet")
    whole = sitk.ReadImage(row["image"], sitk.sitkFloat32)
    whole.SetSpacing(spacing)  # NIfTI stores 0.85 as 0.8500000238; cases have it as it was meant
    whole.SetDirection(np.round(whole.GetDirection(), 6).tolist())
    grid = Grid(whole.GetSize(), whole.GetSpacing(), whole.GetOrigin(), whole.GetDirection())
    for region in ("tumour", "rim"):
        mask = whole_mask(case, region)
        assert Grid(mask.GetSize(), mask.GetSpacing(), mask.GetOrigin(), mask.GetDirection()) == grid
        expected, found = plain.execute(whole, mask), plain.execute(case_file.case_image(case), mask)
        assert len(expected) > 400 and expected.keys() == found.keys()
        for name in expected:
            assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-9, abs=1e-9), name


# --- cache -------------------------------------------------------------------------------------------------------


def test_cache_key_follows_content_not_paths(study, tmp_path):
    folder, hu, tumour, _ = study
    row = manifest_row(folder)
    key = case_cache.case_key(row, REGIONS)
    moved = manifest_row(
        folder,
        patient_id="P9",
        image=write(hu, tmp_path / "renamed.nii.gz"),
        mask=write(tumour.astype(np.uint8), tmp_path / "m.nii.gz"),
    )
    assert case_cache.case_key(moved, REGIONS) == key
    assert case_cache.case_key(row, REGIONS | {"rim_mm": 6.0, "on_error": "stop"}) == key
    assert case_cache.case_key(row, REGIONS | {"rim_mm": 7}) != key
    assert case_cache.case_key(row | {"mask_label": "1"}, REGIONS) != key
    assert case_cache.case_key(row | {"liver_mask": row["mask"]}, REGIONS) != key
    write(hu + 1, tmp_path / "renamed.nii.gz")
    assert case_cache.case_key(moved, REGIONS) != key


@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_a_header_stands_for_the_file_with_its_voxels(study, tmp_path, kind):
    """Two patients may have equal headers, and image.raw for both."""
    folder, hu, _, _ = study
    rows = []
    for patient, change in (("A", 0), ("B", 1)):
        (tmp_path / patient).mkdir()
        rows.append(manifest_row(folder, image=write(hu + np.int16(change), tmp_path / patient / f"image.{kind}")))
    headers = [Path(row["image"]).read_bytes() for row in rows]
    assert headers[0] == headers[1] and len(list((tmp_path / "A").iterdir())) == 2
    assert case_cache.case_key(rows[0], REGIONS) != case_cache.case_key(rows[1], REGIONS)
    before = fingerprint([rows[0]["image"]])
    voxels = next(path for path in (tmp_path / "A").iterdir() if "raw" in path.name)
    os.utime(voxels, ns=(1, 1))
    assert fingerprint([rows[0]["image"]]) != before != "missing"
    voxels.unlink()
    assert fingerprint([rows[0]["image"]]) == "missing"
    assert f"its voxels ({voxels.name}) are not there" in refused(case_cache.case_key, rows[0], REGIONS)


def test_headers_that_name_several_files(tmp_path):
    for n in range(3):
        (tmp_path / f"slice{n}.raw").touch()
    slices = [tmp_path / f"slice{n}.raw" for n in range(3)]
    for name, last in (
        ("list.mhd", "ElementDataFile = LIST\nslice0.raw\nslice1.raw\nslice2.raw\n"),
        ("pattern.mhd", "ElementDataFile = slice%d.raw 0 2 1\n"),
        ("list.nhdr", "data file: LIST 2\nslice0.raw\nslice1.raw\nslice2.raw\n"),
        ("pattern.nhdr", "data file: slice%01d.raw 0 2 1\n"),
    ):
        (tmp_path / name).write_text(f"{'NRRD0004' if 'nhdr' in name else 'NDims = 3'}\n{last}")
        assert data_files(tmp_path / name) == slices, name
    (tmp_path / "own.mha").write_bytes(b"NDims = 3\nElementDataFile = LOCAL\n" + bytes(99))
    (tmp_path / "own.nrrd").write_bytes(b"NRRD0004\nsizes: 1 1 1\n\ndata file: these are voxels\n")
    assert data_files(tmp_path / "own.mha") == data_files(tmp_path / "own.nrrd") == []


def test_cases_are_reused_and_damaged_ones_remade(study, tmp_path, monkeypatch):
    folder, _, _, _ = study
    row = manifest_row(folder)
    [(name, case)] = case_cache.cached_cases(row, REGIONS, tmp_path)
    good = (tmp_path / name).read_bytes()
    assert os.listdir(tmp_path) == [name]
    with monkeypatch.context() as patch:
        patch.setattr(cases, "make_cases", None)  # would fail if called
        again = case_cache.cached_cases(row, REGIONS, tmp_path)[0][1]
    for ours, stored in zip(case, again, strict=True):
        assert stored == ours if isinstance(ours, dict) else np.array_equal(ours, stored) and ours.dtype == stored.dtype
    for damage in (b"", good[: len(good) // 2], good[:5000] + b"\xff" * 100 + good[5100:]):
        (tmp_path / name).write_bytes(damage)
        assert "not a readable case" in refused(case_file.load_case, tmp_path / name)
        case_cache.cached_cases(row, REGIONS, tmp_path)
        assert (tmp_path / name).read_bytes() == good


# --- programs ----------------------------------------------------------------------------------------------------


class Done(NamedTuple):
    returncode: int
    stderr: str


def run(script, *arguments):
    """Run a program of scripts/ in this process: starting Python and its libraries costs more than the work."""
    errors = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(errors), contextlib.suppress(SystemExit):
        code = 1
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
        code = 0
    return Done(code, errors.getvalue())


def run_cases(table, folder, regions=REGIONS, *more):
    table.to_csv(folder / "inventory.csv", index=False)
    return run(
        "cases.py", "--inventory", folder / "inventory.csv", "--regions", json.dumps(regions),
        "--cache", folder / "cache", "--output", folder / "cases.csv", "--qc", folder / "qc",
        "--regions-table", folder / "regions.csv", "--acquisition", folder / "acquisition.csv",
        *more,
    )  # fmt: skip


def test_a_bad_case_is_named_and_the_others_go_on(study, tmp_path):
    folder, _, tumour, _ = study
    moved = write(tumour.astype(np.uint8), tmp_path / "moved.nii.gz", origin=(0, 0, 0))
    rows = [
        manifest_row(folder, patient_id="P1", image=folder / "ct"),
        manifest_row(folder, patient_id="P1", phase="PVP", mask=moved),
        manifest_row(folder, patient_id="P2", image=folder / "gone.nii.gz"),
        manifest_row(folder, patient_id="P3"),
        manifest_row(folder, patient_id="P3", reader="reader2"),
        manifest_row(folder, patient_id="P4", reader="reader2"),
    ]
    done = run_cases(pd.DataFrame(rows), tmp_path, REGIONS, "--synthetic")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].endswith("batch 1 of 1: 4 of 4 patients done, about 0 s left")
    table = read_table(tmp_path / "cases.csv")
    assert table["status"].tolist() == ["ok", "excluded", "excluded", "ok", "ok", "ok"]
    assert table["case"].isna().tolist() == [False, True, True, False, False, False]
    assert table["reason"][1].startswith("PVP reader1: mask moved.nii.gz: the mask is on another grid")
    assert table["reason"][2] == "AP reader1: image gone.nii.gz: no such file; correct the path in the image manifest"
    assert table["case"][3] == table["case"][4]
    assert table["dice"].fillna("").tolist() == ["", "", "", "", "1", ""]
    assert sorted(p.name for p in (tmp_path / "qc").glob("*.png")) == ["P1.png", "P2.png", "P3.png", "P4.png"]
    assert sorted(p.name for p in (tmp_path / "qc").glob("*/*.jpg")) == ["P1_AP.jpg", "P3_AP.jpg", "P4_AP.jpg"]
    outputs = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix in (".csv", ".npz", ".png")]
    assert not any(word in p.read_bytes() for p in outputs for word in (b"Secret", b"SECRET", b"19500101", b"1.2.3."))
    assert "ecret" not in done.stderr
    first = {p.name: p.read_bytes() for p in outputs}
    run_cases(pd.DataFrame(rows), tmp_path, REGIONS, "--synthetic")  # from the cache
    assert {p.name: p.read_bytes() for p in outputs} == first
    stopped = run_cases(pd.DataFrame(rows), tmp_path, REGIONS | {"on_error": "stop"})
    assert stopped.returncode == 1
    assert stopped.stderr.splitlines()[-1].startswith("ERROR: patient P1 PVP reader1: mask moved.nii.gz")


def test_an_empty_batch_gives_an_empty_table(study, tmp_path):
    table = pd.DataFrame([manifest_row(study[0])])[:0]
    assert run_cases(table, tmp_path).returncode == 0
    assert read_table(tmp_path / "cases.csv").empty and (tmp_path / "qc").is_dir()


def test_a_case_refused_for_its_rim_is_still_shown(study, tmp_path):
    table = pd.DataFrame([manifest_row(study[0], patient_id="P1")])
    run_cases(table, tmp_path, REGIONS | {"rim_hu_floor": 500})
    assert read_table(tmp_path / "cases.csv")["status"].tolist() == ["excluded"]
    assert Image.open(tmp_path / "qc" / "P1.png").height > PANEL
    assert (tmp_path / "qc" / "thumbnails" / "P1_AP.jpg").exists()


def test_inventory_holds_the_batch_and_follows_the_files(study, tmp_path):
    folder, hu, _, _ = study
    ids = [f"P{i}" for i in range(12)]
    rows = [manifest_row(folder, patient_id=p) | {"image": "ct", "mask": "tumour.nii.gz"} for p in ids]
    rows[3]["mask"] = "gone.nii.gz"
    assigned = pd.DataFrame({"patient_id": ids[:-1], "centre": "A", "cohort": "train"})
    manifest = pd.DataFrame(rows)
    manifest.to_csv(folder / "images.csv", index=False)
    assigned.to_csv(tmp_path / "assigned.csv", index=False)
    parts = []
    every = ["--phases", "AP", "PVP", "--readers", "reader1", "reader2"]
    for batch in range(4):
        done = run(
            "inventory.py", "--manifest", folder / "images.csv", "--assigned", tmp_path / "assigned.csv",
            "--batch", batch, "--batches", 4, "--output", tmp_path / "inventory.csv", *every,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        parts.append(read_table(tmp_path / "inventory.csv"))
        assert all(batch_of(p, 4) == batch for p in parts[-1]["patient_id"])
        assert list(parts[-1].columns) == [*manifest.columns, "fingerprint"]
    found = pd.concat(parts).set_index("patient_id")
    assert sorted(found.index) == sorted(ids[:-1])  # P11 is in no cohort
    elsewhere = run(
        "inventory.py", "--manifest", folder / "images.csv", "--root", tmp_path,
        "--assigned", tmp_path / "assigned.csv", "--batch", 0, "--batches", 1, "--output", tmp_path / "inventory.csv",
        *every,
    )  # fmt: skip
    assert elsewhere.returncode == 0
    assert read_table(tmp_path / "inventory.csv")["image"][0] == str(tmp_path / "ct")
    assert found.loc["P3", "fingerprint"] == "missing" and (found["fingerprint"] == "missing").sum() == 1
    assert found.loc["P0", "image"] == str(folder / "ct") and pd.isna(found.loc["P0", "liver_mask"])

    copy = write_series(hu, tmp_path / "ct")
    table = pd.DataFrame([manifest_row(folder, image=copy)])

    def prints():
        return inventory(table, tmp_path, assigned, 0, 1)["fingerprint"][0]

    before = prints()
    assert prints() == before
    os.utime(next(copy.glob("*.dcm")), ns=(1, 1))
    assert prints() != before


# --- real data ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    if "REFERENCE_DATA" not in os.environ:
        pytest.skip("REFERENCE_DATA is not set")
    return Path(os.environ["REFERENCE_DATA"])


@pytest.mark.reference
def test_real_seg_equals_its_nrrd(reference):
    folder = reference / "dcmqi_ct_liver_seg"
    image = read_image(folder / "ct")
    assert image.grid.spacing[2] == pytest.approx(1.0)  # SliceThickness says 1.25
    seg, nrrd = read_mask(folder / "liver.dcm", "Liver", image), read_mask(folder / "liver_seg.nrrd", None, image)
    assert seg.voxels.sum() == 107098 and np.array_equal(seg.voxels, nrrd.voxels) and seg.flags == ()


@pytest.mark.reference
def test_real_rtstruct_equals_its_nifti(reference):
    folder = reference / "ibsi1_ct_phantom"
    image, nifti = read_image(folder / "dicom" / "image"), read_image(next((folder / "nifti").rglob("phantom.nii.gz")))
    assert np.array_equal(image.voxels, nifti.voxels)
    contours = read_mask(next((folder / "dicom" / "mask").iterdir()), "GTV-1", image)
    theirs = read_mask(next((folder / "nifti").rglob("mask.nii.gz")), None, nifti)
    assert theirs.voxels.sum() == 125256
    assert np.array_equal(contours.voxels, theirs.voxels)


@pytest.mark.reference
def test_real_sarcomas_become_cases(reference, tmp_path):
    folder = reference / "sts_ct"
    rows = [
        manifest_row(
            tmp_path,
            patient_id=f"STS_{i:03d}",
            image=folder / f"STS_{i:03d}_image.nii.gz",
            mask=folder / f"STS_{i:03d}_mask.nii.gz",
        )
        for i in (2, 8, 19)
    ]
    done = run_cases(
        pd.DataFrame(rows), tmp_path, REGIONS | {"rim_mm": 5, "hu_window": None, "min_shell_fraction": 0.3}
    )
    assert done.returncode == 0, done.stderr
    table = read_table(tmp_path / "cases.csv")
    assert (table["status"] == "ok").all(), table["reason"].tolist()
    assert table["flags"].str.startswith("slice/in-plane ratio 3.3;no liver mask and no HU window").all()
