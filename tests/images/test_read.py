"""What hospitals really export: every series, slice order, tilt, syntax and mask, or a refusal of one line."""

from __future__ import annotations

import gzip
import json
import os
import runpy
import struct
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    RTStructureSetStorage,
    SecondaryCaptureImageStorage,
)
from scanner import (
    FRAME,
    SPACING,
    compressed,
    ct_slices,
    dataset,
    enhanced,
    phantom,
    pixel_elements,
    positions,
    save,
    sequence,
    uid,
)

from recur.images.acquisition import clean_text, identifying_words
from recur.images.align import phase_shift
from recur.images.case import make_case
from recur.images.grid import Grid, Volume
from recur.images.read import read_image, read_mask
from recur.tables import StudyError, read_table

SCRIPTS = Path(__file__).parents[2] / "scripts"
SECRETS = ("muster", "erika", "pid4711", "19640812", "acc99812", "haus^doc", "4711", "klinikum", "geheim")


def refused(call, *arguments, **options):
    """The one line of the StudyError that the call raises, which tells no secret."""
    with pytest.raises(StudyError) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text and not any(secret in text.lower() for secret in SECRETS), text
    return text


# --- which series ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A whole study as an archive exports it: nested folders, five series, a dose report, no order anywhere."""
    folder = tmp_path_factory.mktemp("export")
    ap, pvp, thick = phantom(seed=1), phantom(seed=2), phantom((6, 40, 44), seed=3)

    def scout(data, k):
        data.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    save(ct_slices(ap[:2], 1, "Topogramm", "095900", change=scout), folder / "MUSTER^ERIKA" / "SE0")
    save(ct_slices(ap, 3, "Leber ART 1.0 B30f Muster", "100000"), folder / "MUSTER^ERIKA" / "SE1")
    save(ct_slices(pvp, 5, "Leber PVP 1.0 B30f", "100035"), folder / "MUSTER^ERIKA" / "SE2")
    save(ct_slices(thick, 6, "Leber PVP 5.0 B30f", "100035"), folder / "MUSTER^ERIKA" / "SE2", "X{:04d}")
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    save(ct_slices(ap, 8, "Leber ART cor", "100000", cosines=coronal), folder / "cor")
    report = dataset(SecondaryCaptureImageStorage, "report")
    report.SeriesInstanceUID, report.Modality, report.SeriesDescription = uid("report"), "CT", "Patient Protocol"
    pixel_elements(report, np.zeros((9, 9), "<u2"))
    save([report], folder / "cor", "dose{}.dcm")
    (folder / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    (folder / "readme.txt").write_text("viewer")
    return folder, {"ap": ap, "pvp": pvp, "thick": thick}


@pytest.mark.parametrize(
    ("choice", "which", "seconds"),
    [
        ("number:3", "ap", 0),
        (f"uid:{uid('series', 5)}", "pvp", 35),
        ("description:art.*b30", "ap", 0),
        ("description: PVP 5", "thick", 35),
        ("phase:AP; description:B30f", "ap", 0),
        ("phase:portal; number:5", "pvp", 35),
        ("description:1.0; time:1", "ap", 0),
        ("description:1.0; time:2", "pvp", 35),
    ],
)
def test_a_series_is_chosen_and_said(export, choice, which, seconds):
    folder, arrays = export
    image = read_image(folder, choice)
    assert np.array_equal(image.voxels, arrays[which])
    facts = image.facts
    number, text = {"ap": ("3", "Leber ART 1.0 B30f *"), "pvp": ("5", "Leber PVP 1.0 B30f")}.get(
        which, ("6", "Leber PVP 5.0 B30f")
    )
    assert (facts["series_number"], facts["series_description"], facts["series_time_s"]) == (number, text, seconds)
    assert len(facts["series_hash"]) == 12 and uid("series", int(number)) not in json.dumps(facts)


def test_an_ambiguous_or_absent_choice_lists_what_is_there(export):
    folder, _ = export
    message = refused(read_image, folder)
    assert "column series must choose one of 4 volumes: " in message
    for text in ("3 'Leber ART 1.0 B30f *' (12 slices, +0 s)", "5 'Leber PVP 1.0 B30f' (12 slices, +35 s)"):
        assert text in message
    assert "'phase:venous' fits 2 volumes: 5 'Leber PVP 1.0 B30f'" in refused(read_image, folder, "phase:venous")
    assert "no series is number:9; there are: " in refused(read_image, folder, "number:9")
    # two reconstructions of one acquisition are not told apart by its time
    assert "'time:2' fits 2 volumes: 5 " in refused(read_image, folder, "time:2")
    assert "2 acquisitions with a time there" in refused(read_image, folder, "time:3")
    assert "is not understood; use uid:..., description:..." in refused(read_image, folder, "serie:3")
    assert "a number from 1 is needed" in refused(read_image, folder, "time:first")
    assert "is not a regular expression" in refused(read_image, folder, "description:(")


def test_phases_within_one_series_are_told_apart(tmp_path):
    arrays = [phantom(seed=s) for s in (1, 2, 3)]

    def position(n):
        return lambda data, k: setattr(data, "TemporalPositionIdentifier", n)

    parts = [ct_slices(a, 4, "dyn", f"1000{n}0", change=position(n)) for n, a in enumerate(arrays, 1)]
    folder = save([s for group in zip(*parts, strict=True) for s in group], tmp_path / "dyn")
    for n, array in enumerate(arrays, 1):
        assert np.array_equal(read_image(folder, f"time:{n}").voxels, array)
    assert "4 'dyn' part 1 (12 slices, +0 s, temporal 1); 4 'dyn' part 2" in refused(read_image, folder)


def test_phases_without_any_number_are_told_apart_by_the_time_of_their_slices(tmp_path):
    arrays = [phantom(seed=s) for s in (1, 2)]

    def start(n, gap):
        return lambda data, k: setattr(data, "AcquisitionTime", f"10{n:02d}{k * gap:02d}")

    parts = [ct_slices(a, 4, f"dyn {n}", change=start(n, 2)) for n, a in enumerate(arrays)]
    folder = save(parts[0] + parts[1], tmp_path / "dyn")
    for n, array in enumerate(arrays, 1):
        assert np.array_equal(read_image(folder, f"time:{n}").voxels, array)
    mixed = ct_slices(
        arrays[1], 4, "dyn 1", change=lambda data, k: setattr(data, "AcquisitionTime", f"1000{k + 5:02d}")
    )
    message = refused(read_image, save(parts[0] + mixed, tmp_path / "mixed"))
    assert "12 slices share a position with another slice of other content" in message


def test_dixon_images_of_one_series_are_parts(tmp_path):
    arrays = {kind: phantom(seed=s) for s, kind in enumerate(("WATER", "FAT", "IN_PHASE"))}
    slices = []
    for kind, array in arrays.items():
        kinds = ["ORIGINAL", "PRIMARY", kind]
        slices += ct_slices(array, 4, f"dixon {kind}", change=lambda d, k, kinds=kinds: setattr(d, "ImageType", kinds))
    folder = save(slices, tmp_path / "dixon")
    assert "3 volumes: 4 '" in refused(read_image, folder)
    for n, kind in enumerate(sorted(arrays), 1):
        assert np.array_equal(read_image(folder, f"number:4; part:{n}").voxels, arrays[kind])
    assert "no series is part:4; there are: 4" in refused(read_image, folder, "part:4")


def test_localizers_in_the_series_are_left_out(tmp_path):
    hu = phantom()
    sagittal = ct_slices(hu[:1], where=[(0, 0, 0)], cosines=(0, 1, 0, 0, 0, -1), at="095959")
    image = read_image(save(ct_slices(hu) + sagittal, tmp_path / "ct"))
    assert np.array_equal(image.voxels, hu) and image.flags == ("1 localizer slices left out",)


def test_one_file_has_no_series_to_choose(tmp_path):
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(phantom()), str(path))
    assert "this is one file with one volume" in refused(read_image, path, "number:3")


# --- which slices ------------------------------------------------------------------------------------------------


def test_identical_copies_are_dropped_and_different_ones_refused(tmp_path):
    hu = phantom()
    slices = ct_slices(hu)
    image = read_image(save(slices + ct_slices(hu)[3:6], tmp_path / "copies"))
    assert np.array_equal(image.voxels, hu) and image.flags == ("3 identical duplicate slices left out",)
    other = ct_slices(hu[3:5] + np.int16(1), where=positions(12)[3:5])
    message = refused(read_image, save(slices + other, tmp_path / "other"))
    assert "2 slices share a position with another slice of other content (first at slice 4)" in message


def test_missing_slices_are_refused_with_their_gap(tmp_path):
    slices = ct_slices(phantom())
    for mode in ("refuse", "resample"):
        folder = save(slices[:4] + slices[6:], tmp_path / mode)
        message = refused(read_image, folder, None, mode)
        assert "2 slices missing: 7.500 mm after slice 4 of 10, 2.500 mm elsewhere; complete the series" in message


def test_uneven_spacing_is_refused_or_resampled_as_declared(tmp_path):
    z = np.array([0, 2.5, 5, 7.5, 10, 11.3, 13.4, 15.1, 17.6, 20.0])
    hu = np.broadcast_to((10 * z)[:, None, None], (10, 8, 9)).astype(np.int16)  # linear along z
    folder = save(ct_slices(hu, where=[(0, 0, v) for v in z]), tmp_path / "uneven")
    message = refused(read_image, folder)
    assert "slice spacing is not uniform: 1.300 mm after slice 5 of 10" in message and "images.nonuniform" in message
    image = read_image(folder, nonuniform="resample")
    assert image.flags == ("uneven slice distances (1.3 to 2.5 mm) resampled to 2.22 mm",)
    expected = 10 * np.linspace(0, 20, 10)
    assert np.abs(image.voxels - expected[:, None, None]).max() <= 1 and image.grid.spacing[2] == pytest.approx(20 / 9)


def test_rounded_positions_are_even(tmp_path):
    hu = phantom((40, 8, 9))
    where = [(0, 0, round(0.625 * k, 1)) for k in range(40)]
    image = read_image(save(ct_slices(hu, where=where), tmp_path / "ct"))
    assert image.grid.spacing[2] == pytest.approx(0.625, abs=0.002) and image.flags == ()


def test_slices_of_the_acquisition_that_did_not_come(tmp_path):
    slices = ct_slices(phantom(), change=lambda data, k: setattr(data, "ImagesInAcquisition", 12))
    assert read_image(save(slices, tmp_path / "all")).flags == ()
    assert read_image(save(slices[:-2], tmp_path / "some")).flags == ("10 of the acquisition's 12 slices are here",)


# --- gantry tilt -------------------------------------------------------------------------------------------------


def smooth(points):
    """A smooth made-up anatomy: HU at points (..., 3) in mm."""
    x, y, z = np.moveaxis(points, -1, 0)
    return 100 * np.sin(x / 9) + 80 * np.cos(y / 11) + 2 * z


def tilted_slices(angle, hu_at=smooth, count=12, rows=60, columns=50):
    """Slices of a gantry at an angle: planes lean, the table moves along z."""
    lean = np.deg2rad(angle)
    cosines = (1, 0, 0, 0, np.cos(lean), -np.sin(lean))
    where = [np.array([-20.0, -15.0, -100 + 2.5 * k]) for k in range(count)]
    row, column = np.array(cosines[:3]), np.array(cosines[3:])
    y, x = np.mgrid[:rows, :columns]
    points = [w + x[..., None] * SPACING[0] * row + y[..., None] * SPACING[1] * column for w in where]
    hu = np.round([hu_at(p) for p in points]).astype(np.int16)
    return ct_slices(hu, where=where, cosines=cosines), np.array(points)


@pytest.mark.parametrize("angle", [18, -12])
def test_gantry_tilt_is_taken_out(tmp_path, angle):
    slices, points = tilted_slices(angle)
    folder = save(slices, tmp_path / "ct")
    image = read_image(folder)
    assert image.flags == (f"gantry tilt of {abs(angle)}.0 degrees taken out by shearing",)
    direction = np.reshape(image.grid.direction, (3, 3))
    assert np.allclose(direction.T @ direction, np.eye(3)) and image.grid.spacing[2] == pytest.approx(
        2.5 * np.cos(np.deg2rad(angle))
    )
    index = image.grid.to_index(points.reshape(-1, 3)).reshape(*points.shape)
    assert index.min() > -0.01 and (index.max(axis=(0, 1, 2)) < np.array(image.grid.size) - 0.99).all()  # nothing lost
    z, y, x = np.indices(image.voxels.shape)
    world = image.grid.to_points(np.stack([x, y, z], -1).reshape(-1, 3)).reshape(*image.voxels.shape, 3)
    inner = (np.abs(image.voxels - image.voxels.min()) > 1e-3)[:, 2:-2, 2:-2]
    error = np.abs(image.voxels - smooth(world))[:, 2:-2, 2:-2]
    inside = np.median(error[inner])
    assert inside < 1 and np.percentile(error[inner], 90) < 2  # linear interpolation of HU rounded to whole numbers


def test_masks_drawn_on_tilted_slices(tmp_path):
    hd = pytest.importorskip("highdicom")
    slices, points = tilted_slices(15)
    image = read_image(save(slices, tmp_path / "ct"))
    tumour = (np.linalg.norm(points - points[6, 30, 25], axis=-1) < 9).astype(np.uint8)
    seg = write_seg(hd, slices, {"Tumour": tumour}, tmp_path / "seg.dcm")
    found = read_mask(seg, None, image)
    assert found.flags == ("SEG frames lie up to half a pixel off the tilted slices",)
    assert found.voxels.sum() == tumour.sum()
    centre = image.grid.to_points(np.argwhere(found.voxels)[:, ::-1]).mean(axis=0)
    assert np.linalg.norm(centre - points[tumour > 0].mean(axis=0)) < 0.5
    ring = np.deg2rad(np.arange(0, 360, 5))
    row, column = np.array(slices[0].ImageOrientationPatient, float).reshape(2, 3)
    contours = [
        points[k, 30, 25] + 8 * (np.cos(ring)[:, None] * row + np.sin(ring)[:, None] * column) for k in range(4, 9)
    ]
    drawn = read_mask(write_rtstruct({"T": contours}, tmp_path / "rt.dcm"), "T", image)
    assert drawn.voxels.sum() * 0.72 == pytest.approx(5 * np.pi * 64, rel=0.02)


def test_slices_shifted_otherwise_are_refused(tmp_path):
    where = [p + [7.0 * (k == 5), 0, 0] for k, p in enumerate(positions(12))]
    message = refused(read_image, save(ct_slices(phantom(), where=where), tmp_path / "ct"))
    assert "shifted against each other by 7.0 mm and not as by a gantry tilt" in message


# --- multi-frame, oblique, syntaxes, values ----------------------------------------------------------------------


def test_enhanced_multiframe_equals_the_classic_series(tmp_path):
    hu = phantom()

    def own_scale(data, k):
        data.RescaleSlope, data.RescaleIntercept = 2, -1024 - 2 * k
        data.PixelData = ((hu[k].astype(int) // 2 * 2 + 1024 + 2 * k) // 2).astype("<u2").tobytes()

    slices = ct_slices(hu, change=own_scale)
    classic = read_image(save(slices, tmp_path / "classic"))
    order = np.random.default_rng(0).permutation(12)
    data = enhanced([slices[k] for k in order])
    data.save_as(tmp_path / "enhanced.dcm", enforce_file_format=True)
    multi = read_image(tmp_path / "enhanced.dcm")
    assert np.array_equal(classic.voxels, hu // 2 * 2) and np.array_equal(multi.voxels, classic.voxels)
    assert multi.grid == classic.grid and multi.frame == FRAME
    halves = [enhanced([slices[k] for k in order[part]]) for part in (slice(7), slice(7, None))]  # a concatenation
    assert np.array_equal(read_image(save(halves, tmp_path / "halves")).voxels, classic.voxels)
    del data.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    data.save_as(tmp_path / "lacking.dcm", enforce_file_format=True)
    assert "file 1 of 1 in name order is damaged or has no position" in refused(read_image, tmp_path / "lacking.dcm")


def test_enhanced_mr_with_two_temporal_positions(tmp_path):
    oblique = (0.9659258, 0.2588190, 0.0, -0.1294095, 0.4829629, 0.8660254)
    arrays = [phantom(seed=s) for s in (1, 2)]
    slices = [s for a in arrays for s in ct_slices(a, 7, "t1 vibe dyn", modality="MR", cosines=oblique)]

    def frame(item, k):
        moment = f"2023040510{k // 12:02d}00.5"
        item.FrameContentSequence = sequence(TemporalPositionIndex=k // 12 + 1, FrameAcquisitionDateTime=moment)
        item.MREchoSequence = sequence(EffectiveEchoTime=1.4)

    data = enhanced(slices, "MR", frame)
    data.SharedFunctionalGroupsSequence[0].MRTimingAndRelatedParametersSequence = sequence(
        RepetitionTime=4.1, FlipAngle=9
    )
    data.MagneticFieldStrength = 3
    data.save_as(tmp_path / "mr.dcm", enforce_file_format=True)
    for n, array in enumerate(arrays, 1):
        image = read_image(tmp_path / "mr.dcm", f"time:{n}")
        assert np.array_equal(image.voxels, array) and image.facts["series_time_s"] == 60 * (n - 1)
    made = image.facts["acquisition"]
    assert (made["te_ms"], made["tr_ms"], made["flip_angle_deg"], made["field_strength_t"]) == (1.4, 4.1, 9, 3)
    assert np.allclose(np.reshape(image.grid.direction, (3, 3)).T[:2].ravel(), oblique, atol=1e-6)
    assert "7 't1 vibe dyn' part 1 (12 slices, +0 s, temporal 1); 7 't1 vibe dyn' part 2" in refused(
        read_image, tmp_path / "mr.dcm"
    )


SYNTAXES = [
    JPEGLosslessSV1,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
]


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda s: s.keyword)
def test_every_transfer_syntax_gives_the_same_voxels(tmp_path, syntax):
    hu = phantom()
    image = read_image(save([compressed(s, syntax) for s in ct_slices(hu)], tmp_path / "classic"))
    assert np.array_equal(image.voxels, hu)
    if syntax.is_encapsulated:
        multi = compressed(enhanced(ct_slices(hu)), syntax)
        multi.save_as(tmp_path / "multi.dcm", enforce_file_format=True)
        assert np.array_equal(read_image(tmp_path / "multi.dcm").voxels, hu)


def test_an_undecodable_syntax_is_refused_by_name(tmp_path):
    slices = [compressed(s, JPEG2000Lossless) for s in ct_slices(phantom())]
    for data in slices:
        data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
    message = refused(read_image, save(slices, tmp_path / "ct"))
    assert "file 1 of 12 in name order is damaged or cannot be decoded (High-Throughput JPEG 2000" in message


def test_lossy_compression_is_flagged(tmp_path):
    slices = ct_slices(phantom(), change=lambda data, k: setattr(data, "LossyImageCompression", "01"))
    assert read_image(save(slices, tmp_path / "ct")).flags == ("lossy compressed",)


def test_files_without_preamble(tmp_path):
    hu = phantom()
    folder = save([compressed(s, ImplicitVRLittleEndian) for s in ct_slices(hu)], tmp_path / "ct")
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        del data.file_meta
        data.preamble = None
        pydicom.dcmwrite(path, data, implicit_vr=True, little_endian=True, enforce_file_format=False)
        assert path.read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read_image(folder).voxels, hu)


def test_odd_and_large_values(tmp_path):
    hu = phantom()

    def twelve_bits(data, k):  # an overlay in the upper four bits
        stored = np.frombuffer(data.PixelData, "<u2") | np.uint16(0xF000) * (np.arange(40 * 44) % 3 == 0)
        data.BitsStored, data.HighBit, data.PixelData = 12, 11, stored.astype("<u2").tobytes()

    assert np.array_equal(read_image(save(ct_slices(hu, change=twelve_bits), tmp_path / "overlay")).voxels, hu)

    def signed(data, k):
        stored = hu[k].astype("<i2")
        stored[0, :2] = -32768, 32767
        data.PixelRepresentation, data.PixelData = 1, stored.tobytes()
        data.RescaleIntercept, data.RescaleSlope = 0, "0.5"

    image = read_image(save(ct_slices(hu, change=signed), tmp_path / "signed"))
    assert image.voxels[3, 0, :2].tolist() == [-16384, 16383.5] and image.voxels[3, 5, 5] == hu[3, 5, 5] / 2

    def wide(data, k):
        stored = np.full((40, 44), 70000 + k, "<u4")
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelData = 32, 32, 31, stored.tobytes()

    image = read_image(save(ct_slices(hu, change=wide), tmp_path / "wide"))
    assert image.voxels[:, 0, 0].tolist() == [70000 + k - 1024 for k in range(12)]

    def coloured(data, k):
        data.SamplesPerPixel, data.PhotometricInterpretation = 3, "RGB"

    assert "has no grey-level pixels" in refused(read_image, save(ct_slices(hu, change=coloured), tmp_path / "rgb"))


# --- NIfTI and NRRD ----------------------------------------------------------------------------------------------


def test_impossible_geometry_is_refused(tmp_path):
    path = tmp_path / "a.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(phantom()), str(path))
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[80:92] = struct.pack("<3f", 0.8, 0.0, 2.5)
    path.write_bytes(gzip.compress(bytes(data)))
    assert "a.nii.gz: voxel spacing 0.8 0 2.5 mm is not possible" in refused(read_image, path)
    header = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 4 4 4\n"
        "space directions: {} (0,1,0) (0,0,2)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (0,0,0)\n\n"
    )
    for first, cause in (("(1,0.3,0)", "not at right angles"), ("(0,0,0)", "")):
        (tmp_path / "b.nrrd").write_bytes(header.format(first).encode() + bytes(128))
        assert refused(read_image, tmp_path / "b.nrrd").startswith("b.nrrd: ") and cause in refused(
            read_image, tmp_path / "b.nrrd"
        )
    mha = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nTransformMatrix = "
        "1 0 0 0.4 1 0 0 0 1\nOffset = 0 0 0\nElementSpacing = 1 1 1\nDimSize = 4 4 4\nElementType = MET_SHORT\n"
        "ElementDataFile = LOCAL\n"
    )
    (tmp_path / "c.mha").write_bytes(mha.encode() + bytes(128))
    assert "c.mha: " in refused(read_image, tmp_path / "c.mha")


# --- masks -------------------------------------------------------------------------------------------------------


def write_seg(hd, slices, masks, path, kind="BINARY", **options):
    from pydicom.sr.codedict import codes

    described = [
        hd.seg.SegmentDescription(n, name, codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Neoplasm, "MANUAL")
        for n, name in enumerate(masks, 1)
    ]
    seg = hd.seg.Segmentation(
        slices,
        np.stack(list(masks.values()), axis=-1).astype(np.uint8),
        kind,
        described,
        series_instance_uid=uid("seg"),
        series_number=9,
        sop_instance_uid=uid("seg1"),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        **options,
    )
    seg.save_as(path)
    return path


def write_rtstruct(rois, path, frame=FRAME, series=1):
    rt = dataset(RTStructureSetStorage, "rt")
    rt.Modality, rt.StructureSetLabel = "RTSTRUCT", "GTV"
    references = sequence(SeriesInstanceUID=uid("series", series))
    study = sequence(RTReferencedSeriesSequence=references)
    rt.ReferencedFrameOfReferenceSequence = sequence(FrameOfReferenceUID=frame, RTReferencedStudySequence=study)
    rt.StructureSetROISequence, rt.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), 1):
        rt.StructureSetROISequence += sequence(ROINumber=number, ROIName=name)
        items = []
        for points in contours:
            item = Dataset()
            item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
            item.ContourData = [f"{v:.6f}" for v in np.ravel(points)]
            items.append(item)
        rt.ROIContourSequence += sequence(ReferencedROINumber=number, ContourSequence=items)
    rt.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    """A CT of 24 slices of 2.5 mm, its slices as datasets and as an image."""
    slices = ct_slices(phantom((24, 40, 44)))
    return slices, read_image(save(slices, tmp_path_factory.mktemp("scan") / "ct"))


def ball(image, centre, radius):
    z, y, x = np.indices(image.voxels.shape)
    points = image.grid.to_points(np.stack([x, y, z], -1).reshape(-1, 3)).reshape(*image.voxels.shape, 3)
    return np.linalg.norm(points - centre, axis=-1) <= radius


def ring(image, z_index, radius, sides=90):
    """A circle of mm radius around the image's middle, on a plane at a (fractional) slice."""
    middle = image.grid.to_points([[21.5, 19.5, z_index]])[0]
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    return middle + radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], -1)


def test_several_labels_names_and_patterns(scan, tmp_path):
    hd = pytest.importorskip("highdicom")
    slices, image = scan
    masks = {f"Lesion {n}": ball(image, image.grid.to_points([[9 * n, 20, 8 + n]])[0], 4) for n in (1, 2, 3)}
    masks["Liver"] = ball(image, image.grid.to_points([[20, 20, 12]])[0], 15)
    union = masks["Lesion 1"] | masks["Lesion 3"]
    seg = write_seg(hd, slices, masks, tmp_path / "seg.dcm", omit_empty_frames=False)
    for label in ("1;3", "1,3", "Lesion 1; Lesion 3", "pattern:lesion [13]"):
        assert np.array_equal(read_mask(seg, label, image).voxels, union), label
    every = masks["Lesion 1"] | masks["Lesion 2"] | masks["Lesion 3"]
    assert np.array_equal(read_mask(seg, "pattern:lesion.*", image).voxels, every)
    assert "fits nothing there; present: 1 Lesion 1, 2 Lesion 2" in refused(read_mask, seg, "pattern:gtv", image)
    assert "is not a regular expression" in refused(read_mask, seg, "pattern:(", image)
    values = masks["Lesion 1"] * 1 + masks["Lesion 2"] * 2 + masks["Lesion 3"] * 4
    labels = as_image(values.astype(np.uint8), image.grid)
    sitk.WriteImage(labels, str(tmp_path / "labels.nrrd"))
    assert np.array_equal(read_mask(tmp_path / "labels.nrrd", "1;4", image).voxels, union)
    assert "label '3' is not there; present: 1, 2, 4" in refused(read_mask, tmp_path / "labels.nrrd", "1,3", image)
    contours = {name: [ring(image, 5 + n, 4 + n)] for n, name in enumerate(("GTV-1", "GTV-2", "Leber"))}
    rt = write_rtstruct(contours, tmp_path / "rt.dcm")
    both = read_mask(rt, "GTV-1", image).voxels | read_mask(rt, "GTV-2", image).voxels
    assert np.array_equal(read_mask(rt, "pattern:gtv.*", image).voxels, both)


def as_image(array, grid):
    made = sitk.GetImageFromArray(array)
    made.SetSpacing(grid.spacing)
    made.SetOrigin(grid.origin)
    made.SetDirection(grid.direction)
    return made


def test_segments_of_3d_slicer_by_name_over_layers(scan, tmp_path):
    _, image = scan
    tumour, liver = (ball(image, image.grid.to_points([[20, 20, 12]])[0], r) for r in (6, 14))
    layers = np.stack([tumour, liver], -1).astype(np.uint8)  # they overlap: one layer each
    made = sitk.GetImageFromArray(layers, isVector=True)
    made.CopyInformation(as_image(tumour.astype(np.uint8), image.grid))
    for n, name in enumerate(("Tumour", "Liver")):
        for key, value in (("Name", name), ("Layer", str(n)), ("LabelValue", "1"), ("ID", f"S{n}")):
            made.SetMetaData(f"Segment{n}_{key}", value)
    path = tmp_path / "a.seg.nrrd"
    sitk.WriteImage(made, str(path))
    assert np.array_equal(read_mask(path, "Tumour", image).voxels, tumour)
    assert np.array_equal(read_mask(path, "2", image).voxels, liver)
    assert "segment is not stated and there are 2: 1 Tumour, 2 Liver" in refused(read_mask, path, "", image)


@pytest.mark.parametrize(("every", "shift"), [(2, 0.0), (3, 0.4), (0.5, 0.25), (1, 0.5)])
def test_contours_between_slices_are_interpolated(scan, tmp_path, every, shift):
    _, image = scan

    def radius(z):  # a cone, so that the mean of two rings is known
        return 14 - 0.4 * z

    planes = np.arange(4, 18.01, every) + shift
    path = write_rtstruct({"T": [ring(image, z, radius(z)) for z in planes]}, tmp_path / "rt.dcm")
    found = read_mask(path, "T", image)
    assert found.flags == (f"contours every {every * 2.5:.3g} mm interpolated to the slices",)
    areas = found.voxels.sum(axis=(1, 2)) * SPACING[0] * SPACING[1]
    inside = [k for k in range(24) if planes[0] <= k <= planes[-1]]
    for k in inside:
        assert areas[k] == pytest.approx(np.pi * radius(k) ** 2, rel=0.05)
    reach = max(every / 2, 0)
    assert not any(areas[k] for k in range(24) if k < planes[0] - reach or k > planes[-1] + reach)


def test_parts_stay_apart_and_double_contours_do_not_cancel(scan, tmp_path):
    _, image = scan
    two = [ring(image, z, 8) for z in (3, 4, 5, 14, 15, 16)]
    found = read_mask(write_rtstruct({"T": two}, tmp_path / "a.dcm"), "T", image)
    assert found.voxels.any(axis=(1, 2)).nonzero()[0].tolist() == [3, 4, 5, 14, 15, 16]
    assert found.flags == ("8 slices without a contour inside the ROI",)
    coarse = [ring(image, z, 8) for z in (2, 4, 6, 14, 16, 18)]
    found = read_mask(write_rtstruct({"T": coarse}, tmp_path / "b.dcm"), "T", image)
    assert found.voxels.any(axis=(1, 2)).nonzero()[0].tolist() == [2, 3, 4, 5, 6, 14, 15, 16, 17, 18]
    clicks = [two[0][:1], two[1][:2]]
    clicked = read_mask(write_rtstruct({"T": two + clicks}, tmp_path / "d.dcm"), "T", image)
    assert clicked.flags[0] == "2 contours of one or two points left out"
    assert np.array_equal(clicked.voxels, read_mask(tmp_path / "a.dcm", "T", image).voxels)
    twice = read_mask(write_rtstruct({"T": two + two[:2]}, tmp_path / "c.dcm"), "T", image)
    assert twice.flags[0] == "2 contours drawn twice" and twice.voxels[3].any()


def test_contours_of_other_planes_and_kinds_are_refused(scan, tmp_path):
    _, image = scan
    upright = ring(image, 8, 8)[:, [0, 2, 1]] - ring(image, 8, 8)[:, [0, 2, 1]].mean(axis=0) + ring(image, 8, 8).mean(0)
    message = refused(read_mask, write_rtstruct({"T": [upright]}, tmp_path / "a.dcm"), "T", image)
    assert "slices: drawn on another plane" in message
    above = write_rtstruct({"T": [ring(image, 25, 5)]}, tmp_path / "b.dcm")
    assert "2.0 slices beyond the image" in refused(read_mask, above, "T", image)
    points = write_rtstruct({"T": [ring(image, 5, 5)]}, tmp_path / "c.dcm")
    data = pydicom.dcmread(points)
    data.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "POINT"
    data.save_as(points)
    assert "ROI 'T' has no closed contour" in refused(read_mask, points, "T", image)


def coarse_image(image, step=2, slices=10, shift=(0.0, 0.0, 0.0)):
    """The grid of a thicker reconstruction of the same scan."""
    grid = image.grid
    spacing = (*grid.spacing[:2], grid.spacing[2] * step)
    origin = tuple(np.array(grid.origin) + np.array(shift))
    return Grid((*grid.size[:2], slices), spacing, origin, grid.direction)


def test_masks_on_another_grid_are_resampled_when_declared(scan, tmp_path):
    hd = pytest.importorskip("highdicom")
    slices, image = scan
    centre = image.grid.to_points([[21, 19, 11]])[0]
    mask = ball(image, centre, 6)
    cut = Grid((20, 24, 14), image.grid.spacing, tuple(image.grid.to_points([[11, 7, 4]])[0].tolist()), AXES)
    sitk.WriteImage(as_image(mask[4:18, 7:31, 11:31].astype(np.uint8), cut), str(tmp_path / "cut.nrrd"))
    for mask_grid in ("same", "resample"):  # the same lattice, cut as 3D Slicer does: nothing is lost
        found = read_mask(tmp_path / "cut.nrrd", None, image, mask_grid)
        assert np.array_equal(found.voxels, mask) and found.flags == () and found.offset_mm == 0
    thick = coarse_image(image, slices=12)
    blank = Volume(np.zeros(thick.size[::-1], np.float32), thick, "nifti")
    made = ball(blank, centre, 9)
    sitk.WriteImage(as_image(made.astype(np.uint8), thick), str(tmp_path / "thick.nii.gz"))
    found = read_mask(tmp_path / "thick.nii.gz", None, image, "resample")
    assert found.voxels.sum() == pytest.approx(2 * made.sum(), rel=0.01) and found.offset_mm == 0
    seg = write_seg(hd, slices, {"T": mask}, tmp_path / "seg.dcm")
    frames = (image.series, image.frame)
    other = Volume(np.zeros(thick.size[::-1], np.float32), thick, "dicom", *frames)
    assert "frames are 2.5 mm apart, the image's slices 5 mm" in refused(read_mask, seg, None, other)
    found = read_mask(seg, None, other, "resample")
    assert np.array_equal(found.voxels, mask[::2]) and found.flags[0].startswith("mask resampled from another grid")
    elsewhere = other._replace(frame="1.2.3")
    assert "another frame of reference" in refused(read_mask, seg, None, elsewhere, "resample")
    small = Volume(np.zeros((5, 40, 44), np.float32), image.grid._replace(size=(44, 40, 5)), "nifti")
    assert "lie outside the image" in refused(read_mask, tmp_path / "cut.nrrd", None, small, "resample")


AXES = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def test_the_mask_in_a_folder_with_its_images(scan, tmp_path):
    hd = pytest.importorskip("highdicom")
    slices, image = scan
    mask = ball(image, image.grid.to_points([[21, 19, 11]])[0], 9)
    folder = save(slices, tmp_path / "all" / "ct")
    write_seg(hd, slices, {"T": mask}, tmp_path / "all" / "seg")
    assert np.array_equal(read_mask(tmp_path / "all", None, image).voxels, mask)
    assert np.array_equal(read_image(tmp_path / "all").voxels, image.voxels)
    assert "must hold one DICOM SEG or RTSTRUCT, this has 0" in refused(read_mask, folder, None, image)


# --- privacy, acquisition ----------------------------------------------------------------------------------------


def plant(data, k):
    """Identifying text wherever a header has room for it, and invalid values that libraries like to quote."""
    data.OtherPatientIDs, data.PatientAddress, data.PatientComments = "PID4711", "Geheimweg 1", "geheim"
    data.InstitutionName, data.StationName, data.OperatorsName = "Klinikum Geheim", "KLINIKUM1", "Geheim^Op"
    data.SeriesDescription, data.ProtocolName = "ART Erika Muster *1964-08-12 PID4711", "Muster"
    data.ImageComments, data.StudyDescription, data.PatientBirthName = "Muster", "Muster", "Geheim"
    data.ConvolutionKernel, data.ManufacturerModelName = "B30f Muster", "Force Klinikum"
    data.ContrastBolusAgent, data.ContrastBolusStartTime = "Ultravist Muster", "095930"
    data.DeviceSerialNumber, data.DerivationDescription = "4711", "Erika"
    block = data.private_block(0x0009, "GEHEIM MUSTER", create=True)
    block.add_new(0x01, "LO", "Muster Erika 19640812")
    block.add_new(0x02, "PN", "Muster^Erika")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.add_new(0x00081030, "DA", "Muster^Erika")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_identifying_text_goes_nowhere(tmp_path, capfd):
    hu = phantom((24, 40, 44))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slices = ct_slices(hu, 3, change=plant)
        folder = save(slices, tmp_path / "P1" / "MUSTER^ERIKA" / "19640812", "MUSTER_ERIKA_{:04d}.dcm")
        save(slices + ct_slices(hu, 4, change=plant), tmp_path / "P2" / "a", "MUSTER_ERIKA_{:04d}.dcm")
        other = save(slices, tmp_path / "P3" / "MUSTER^ERIKA", "MUSTER_ERIKA_{:04d}.dcm")
    broken = sorted(other.iterdir())[3]
    broken.write_bytes(broken.read_bytes()[:900])
    image = read_image(folder)
    mask = write_rtstruct({"T": [ring(image, z, 9) for z in range(8, 14)], "Muster": []}, tmp_path / "rt.dcm")
    rows = [
        {"patient_id": p, "phase": "AP", "reader": "reader1", "image": tmp_path / p, "mask": mask, "mask_label": label}
        for p, label in (("P1", "T"), ("P2", "T"), ("P3", "T"), ("P4", "X"))
    ]
    rows[3] |= {"image": tmp_path / "P1", "mask": tmp_path / "masks"}  # whose file no manifest names
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "MUSTER_ERIKA.dcm").write_bytes(mask.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        table, acquired = run_cases(rows, tmp_path)
    assert table["status"].tolist() == ["ok", "excluded", "excluded", "excluded"]
    assert table["series_description"][0] == "ART * * * *"
    assert "P2: the image manifest's column series must choose one of 2 volumes: 3 'ART * * * *'" in table["reason"][1]
    assert "P3: file 4 of 24 in name order is damaged" in table["reason"][2]
    assert "present: 1 T, 2 *" in table["reason"][3]
    assert acquired["kernel"].tolist() == ["B30f *"] and acquired["model"].tolist() == ["Force *"]
    assert acquired["contrast"].tolist() == ["yes"] and acquired["contrast_delay_s"].tolist() == ["30"]
    written = [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix in (".csv", ".npz", ".png", ".jpg")]
    texts = [p.read_bytes() for p in written if p.name != "inventory.csv"] + ["".join(capfd.readouterr()).encode()]
    texts += [np.load(p)["facts"].tobytes() for p in written if p.suffix == ".npz"]
    for text in texts:
        assert not any(secret.encode() in text.lower() for secret in (*SECRETS, uid("series", 3)))


def run_cases(rows, folder, **settings):
    regions = {"rim_mm": 5, "min_shell_fraction": 0.2, "hu_window": None, "on_error": "exclude"} | settings
    pd.DataFrame(rows).to_csv(folder / "inventory.csv", index=False)
    arguments = [
        "cases.py", "--inventory", folder / "inventory.csv", "--regions", json.dumps(regions), "--cache",
        folder / "cache", "--output", folder / "cases.csv", "--regions-table", folder / "regions.csv",
        "--acquisition", folder / "acquisition.csv", "--qc", folder / "qc",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(map(str, arguments)))
        runpy.run_path(str(SCRIPTS / "cases.py"), run_name="__main__")
    return read_table(folder / "cases.csv"), read_table(folder / "acquisition.csv")


def test_text_is_cleaned():
    data = dataset("1.2", "x")
    words = identifying_words(data)
    assert clean_text("Leber ART 5.0 B30f", words) == "Leber ART 5.0 B30f"
    assert clean_text("muster,ERIKA 12.08.1964 / 20230405 tel 0711-123456", words) == "*,* * / * tel *"
    assert clean_text(["GR", "SE"], words) == "GR SE" and clean_text(None, words) == ""
    assert len(clean_text("long " * 100, words)) <= 64 and "\n" not in clean_text("a\nb", words)


def test_acquisition_of_a_study(tmp_path):
    slices, _ = tilted_slices(0)[0], None
    for data in slices:
        data.ConvolutionKernel, data.Exposure, data.XRayTubeCurrent = ["Br40d", "3"], 150, 300
    image = read_image(save(slices, tmp_path / "ct"))
    made = image.facts["acquisition"]
    expected = {"modality": "CT", "manufacturer": "SIEMENS", "model": "Force", "kvp": 120, "exposure_mas": 150}
    assert {key: made[key] for key in expected} == expected
    assert made["kernel"] == "Br40d 3" and made["slice_thickness_mm"] == 3 and made["contrast_delay_s"] is None
    for n, phase in enumerate(("AP", "PVP")):
        batch = pd.DataFrame([{"patient_id": "007", "phase": phase, "kernel": "B30f", "kvp": 120.0}])
        batch.to_csv(tmp_path / f"{n}.csv", index=False)
    assigned = pd.DataFrame({"patient_id": ["007", "8"], "centre": ["01", "02"], "cohort": "train"})
    assigned.to_csv(tmp_path / "assigned.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        batches = [str(tmp_path / f"{n}.csv") for n in (1, 0)]
        options = ["--assigned", str(tmp_path / "assigned.csv"), "--output", str(tmp_path / "all.csv")]
        patch.setattr(sys, "argv", ["acquisition.py", "--batches", *batches, *options])
        runpy.run_path(str(SCRIPTS / "acquisition.py"), run_name="__main__")
    table = read_table(tmp_path / "all.csv")
    assert table[["patient_id", "centre", "phase"]].to_numpy().tolist() == [["007", "01", "AP"], ["007", "01", "PVP"]]


# --- phases under one mask ---------------------------------------------------------------------------------------


def body(shape=(30, 64, 64), seed=4):
    """A texture of organs (z, y, x; 2.5 x 1.5 x 1.5 mm) with edges of every direction."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1.5, 2.5, 2.5))
    return np.where(noise > 0, 110.0, 30.0) + 40 * noise / noise.std()


def test_one_mask_for_two_phases_reports_how_far_the_patient_moved(tmp_path):
    from scipy.ndimage import shift as moved

    rng = np.random.default_rng(0)
    anatomy, spacing = body(), (1.5, 1.5, 2.5)
    z, y, x = np.indices(anatomy.shape)
    tumour = ((z - 15) * 2.5) ** 2 + ((y - 32) * 1.5) ** 2 + ((x - 32) * 1.5) ** 2 < 12**2
    grid = Grid(anatomy.shape[::-1], spacing, (0.0, 0.0, 0.0), AXES)
    later = moved(anatomy, (2.4, -2, 0), order=1, mode="nearest")
    images = {"AP": anatomy, "PVP": later + 0.5 * np.clip(later, 0, 100), "LP": anatomy}
    rows = []
    for phase, hu in images.items():
        noisy = (hu + rng.normal(0, 10, hu.shape)).astype(np.int16)
        sitk.WriteImage(as_image(noisy, grid), str(tmp_path / f"{phase}.nii.gz"))
        own = {"patient_id": "P1", "phase": phase, "reader": "reader1"}
        rows.append(own | {"image": tmp_path / f"{phase}.nii.gz", "mask": tmp_path / "m.nii.gz"})
    sitk.WriteImage(as_image(tumour.astype(np.uint8), grid), str(tmp_path / "m.nii.gz"))
    sitk.WriteImage(as_image(tumour.astype(np.uint8), grid), str(tmp_path / "own.nii.gz"))
    rows.append(rows[1] | {"phase": "own", "mask": tmp_path / "own.nii.gz"})
    table, acquired = run_cases(rows, tmp_path)
    shift = pd.to_numeric(table.set_index("phase")["phase_shift_mm"])
    assert shift["PVP"] == pytest.approx(np.hypot(6, 3), abs=0.8) and shift["LP"] < 0.3
    assert shift[["AP", "own"]].isna().all()
    flags = table.set_index("phase")["flags"]
    assert " mm (0 -3 6) since AP under one mask" in flags["PVP"] and "under one mask" not in flags["LP"]
    assert acquired["source"].tolist() == ["nifti"] * 4 and acquired["slice_spacing_mm"].tolist() == ["2.5"] * 4
    again, _ = run_cases(rows, tmp_path)
    assert again.equals(table)


def test_images_that_have_nothing_in_common_give_no_shift():
    grid = Grid((64, 64, 30), (1.5, 1.5, 2.5), (0.0, 0.0, 0.0), AXES)
    images = [as_image(body(seed=s).astype(np.float32), grid) for s in (1, 2)]
    points = np.array([[40.0, 40, 30], [56, 56, 45]])
    assert phase_shift(*images, points, True) is None
    flat = as_image(np.zeros((30, 64, 64), np.float32), grid)
    assert phase_shift(flat, flat, points, True) is None
    far = as_image(body().astype(np.float32), grid._replace(origin=(500.0, 0, 0)))
    assert phase_shift(images[0], far, points, True) is None


# --- damage ------------------------------------------------------------------------------------------------------


def damaged(data, rng):
    """A copy cut short, or with bytes changed, zeroed or inserted; mostly where the headers are."""
    data = bytearray(data)
    kind = rng.integers(4)
    at = int(rng.integers(len(data)) if rng.random() < 0.4 else rng.integers(min(len(data), 3000)))
    if kind == 0:
        return bytes(data[:at])
    if kind == 1:
        for _ in range(int(rng.integers(1, 20))):
            data[int(rng.integers(min(len(data), 4000)))] = int(rng.integers(256))
    elif kind == 2:
        data[at : at + 40] = bytes(len(data[at : at + 40]))
    else:
        data[at:at] = rng.integers(0, 256, 5, dtype=np.uint8).tobytes()
    return bytes(data)


def survives(read, *arguments):
    """Whether a damaged file is read or refused in one line; every other exception fails the test."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read(*arguments)
    except StudyError as error:
        assert "\n" not in str(error), str(error)
        assert not any(secret in str(error).lower() for secret in SECRETS), str(error)
        assert str(error).split(":")[0] in {Path(a).name for a in arguments if isinstance(a, Path)}
    assert not [w for w in caught if "pydicom" in str(w.filename)]


def fuzz(folder, rounds):
    hd = pytest.importorskip("highdicom")
    rng = np.random.default_rng(11)
    slices = ct_slices(phantom((6, 20, 24)), change=lambda data, k: setattr(data, "SeriesDescription", "ART Muster"))
    ct = save(slices, folder / "ct")
    image = read_image(ct)
    mask = ball(image, image.grid.to_points([[11, 9, 3]])[0], 5)
    files = [write_seg(hd, slices, {"T": mask}, folder / "seg.dcm")]
    files.append(write_rtstruct({"T": [ring(image, z, 3) - [8, 9, 0] for z in range(1, 5)]}, folder / "rt.dcm"))
    for suffix in ("nii", "nii.gz", "nrrd", "mha"):
        sitk.WriteImage(as_image(mask.astype(np.uint8), image.grid), str(folder / f"m.{suffix}"))
        files.append(folder / f"m.{suffix}")
    multi = folder / "multi.dcm"
    enhanced(slices).save_as(multi, enforce_file_format=True)
    whole = {path: path.read_bytes() for path in [*files, multi, *sorted(ct.iterdir())[:2]]}
    coded_folder = save([compressed(s, JPEGLosslessSV1) for s in ct_slices(phantom((6, 20, 24)))], folder / "coded")
    whole |= {path: path.read_bytes() for path in sorted(coded_folder.iterdir())[:1]}
    for _ in range(rounds):
        for path, data in whole.items():
            path.write_bytes(damaged(data, rng))
            if path in files:
                survives(read_mask, path, "1", image)
                if path.suffix not in (".dcm",):
                    survives(read_image, path)
            else:
                survives(read_image, path if path == multi else path.parent)
            path.write_bytes(data)


def test_damaged_files_never_give_a_traceback(tmp_path):
    fuzz(tmp_path, 12)


@pytest.mark.slow
def test_many_damaged_files_never_give_a_traceback(tmp_path):
    fuzz(tmp_path, 400)


# --- speed and real data -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_series_of_100_slices_is_read_in_under_two_seconds(tmp_path):
    folder = save(ct_slices(phantom((100, 512, 512))), tmp_path / "ct")
    read_image(folder)
    start = time.process_time()
    read_image(folder)
    assert time.process_time() - start < 2


@pytest.fixture(scope="module")
def reference():
    if "REFERENCE_DATA" not in os.environ:
        pytest.skip("REFERENCE_DATA is not set")
    return Path(os.environ["REFERENCE_DATA"])


@pytest.mark.reference
@pytest.mark.parametrize(
    ("image", "seg", "voxels"), [("example_ct_sm", "example_seg", 38634), ("example_mr_sm", "example_seg_mr", 18480)]
)
def test_real_liver_among_a_hundred_labels(reference, image, seg, voxels):
    folder = reference / "totalsegmentator_liver"
    volume = read_image(folder / f"{image}.nii.gz")
    liver = read_mask(folder / f"{seg}.nii.gz", "5", volume)
    assert liver.voxels.sum() == voxels
    several = read_mask(folder / f"{seg}.nii.gz", "1;5", volume)
    assert several.voxels.sum() > voxels


@pytest.mark.reference
def test_real_rtstruct_on_every_second_contour(reference, tmp_path):
    folder = reference / "ibsi1_ct_phantom" / "dicom"
    image = read_image(folder / "image")
    path = next((folder / "mask").iterdir())
    whole = read_mask(path, "pattern:GTV-1", image).voxels
    data = pydicom.dcmread(path)
    roi = next(r for r in data.ROIContourSequence if r.get("ContourSequence"))
    levels = sorted({float(c.ContourData[2]) for c in roi.ContourSequence})
    roi.ContourSequence = [c for c in roi.ContourSequence if float(c.ContourData[2]) in levels[::2]]
    data.save_as(tmp_path / "half.dcm")
    half = read_mask(tmp_path / "half.dcm", "GTV-1", image).voxels
    dice = 2 * (whole & half).sum() / (whole.sum() + half.sum())
    assert dice > 0.97


@pytest.mark.reference
def test_real_phases_shifted_and_enhanced(reference):
    folder = reference / "sts_ct"
    image = sitk.ReadImage(str(folder / "STS_030_image.nii.gz"), sitk.sitkFloat32)
    mask = sitk.ReadImage(str(folder / "STS_030_mask.nii.gz"))
    points = [
        mask.TransformIndexToPhysicalPoint(i[::-1].tolist()) for i in np.argwhere(sitk.GetArrayViewFromImage(mask))
    ]
    true = np.array([2.3, -1.1, 4.2])
    later = sitk.Resample(image, image, sitk.TranslationTransform(3, (-true).tolist()), sitk.sitkLinear, -1000.0)
    values = sitk.GetArrayFromImage(later)
    values += (values > -20) * 40 + np.random.default_rng(0).normal(0, 15, values.shape).astype(np.float32)
    enhanced_later = sitk.GetImageFromArray(values)
    enhanced_later.CopyInformation(image)
    assert np.abs(phase_shift(image, enhanced_later, np.array(points), True) - true).max() < 1


def test_a_case_carries_the_series_taken(export, tmp_path):
    folder, _ = export
    image = read_image(folder, "number:5")
    mask = tmp_path / "m.nii.gz"
    sitk.WriteImage(
        as_image(ball(image, image.grid.to_points([[21, 19, 6]])[0], 6).astype(np.uint8), image.grid), str(mask)
    )
    row = {"image": str(folder), "mask": str(mask), "series": "number:5"}
    facts = make_case(row, {"rim_mm": 4, "hu_window": None, "rim_hu_floor": None}).facts
    assert facts["series_description"] == "Leber PVP 1.0 B30f" and facts["mask_offset_mm"] == 0
    assert len(facts["image_hash"]) == 64
    other = make_case(row | {"series": "number:3"}, {"hu_window": None})
    assert other.facts["image_hash"] != facts["image_hash"]
    assert facts["acquisition"]["kvp"] == 120
