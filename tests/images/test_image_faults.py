"""Images and masks that were read without a word and gave other volumes or features: each is right now, or refused."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scanner import SPACING, ct_slices, phantom, positions, save

from recur.features.extract import extract_case
from recur.images.case import make_case
from recur.images.plausible import hu_problem, hu_remark
from recur.images.read import read_image, read_mask
from recur.images.rtstruct import border, fill_even_odd
from tests.images.test_read import refused, write_rtstruct, write_seg

ORIGIN = (-20.0, -15.0, -100.0)
SHAPE = (20, 40, 44)


def ball(shape=SHAPE, spacing=SPACING, radius=10.0):
    """A ball (z, y, x; bool) in the middle of a grid."""
    z, y, x = (np.indices(shape)[k] - (shape[k] - 1) / 2 for k in range(3))
    return (z * spacing[2]) ** 2 + (y * spacing[1]) ** 2 + (x * spacing[0]) ** 2 <= radius**2


def as_file(array, path, spacing=SPACING, origin=ORIGIN):
    image = sitk.GetImageFromArray(array.astype(np.int16))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def test_a_segmentation_of_a_thick_reconstruction_is_no_mask_of_a_thin_one(tmp_path):
    """Every second slice of the tumour stayed empty, with every mask_grid."""
    hd = pytest.importorskip("highdicom")
    hu, mask = phantom(SHAPE), ball()
    where = positions(SHAPE[0])
    save(ct_slices(hu, 1), tmp_path / "thin")
    thick = ct_slices(hu[::2], 2, where=where[::2])
    seg = write_seg(hd, thick, {"T": mask[::2]}, tmp_path / "seg.dcm")
    image = read_image(tmp_path / "thin")
    assert "the SEG's frames are 5 mm apart, the image's slices 2.5 mm" in refused(read_mask, seg, None, image)
    resampled = read_mask(seg, None, image, "resample").voxels
    nifti = as_file(mask[::2], tmp_path / "mask.nii.gz", (*SPACING[:2], 5.0))
    assert np.array_equal(resampled, read_mask(nifti, None, image, "resample").voxels)
    assert resampled.sum() == pytest.approx(mask.sum(), rel=0.1)
    sparse = mask.copy()
    sparse[7:12] = False  # frames that are empty are left out of the file
    own = write_seg(hd, ct_slices(hu, 1), {"T": sparse}, tmp_path / "sparse.dcm")
    assert np.array_equal(read_mask(own, None, image).voxels, sparse)


def test_phases_half_a_slice_apart_are_two_volumes_and_a_mark_that_grows_is_one(tmp_path):
    hu, later = phantom(SHAPE, seed=1), phantom(SHAPE, seed=2)
    slices = []
    for phase, array in ((1, hu), (2, later)):
        where = [place + np.array([0, 0, 1.25 * (phase - 1)]) for place in positions(SHAPE[0])]

        def mark(data, k, phase=phase):
            data.TemporalPositionIdentifier = phase

        slices += ct_slices(array, 4, "dyn", f"1000{30 * (phase - 1):02d}", where, change=mark)
    folder = save(slices, tmp_path / "dyn")
    assert "2 volumes" in refused(read_image, folder)
    for phase, array in ((1, hu), (2, later)):
        for choice in (f"time:{phase}", f"temporal:{phase}", f"part:{phase}"):
            assert np.array_equal(read_image(folder, choice).voxels, array)

    def station(data, k):
        data.AcquisitionNumber = 1 + k // 5  # step and shoot

    one = save(ct_slices(hu, 5, "steps", change=station), tmp_path / "steps")
    assert np.array_equal(read_image(one).voxels, hu)


def test_water_and_fat_of_several_phases_are_chosen_by_both_marks(tmp_path):
    slices, arrays = [], {}
    for phase in (1, 2):
        for kind in ("W", "F"):
            arrays[phase, kind] = phantom((6, 20, 22), seed=10 * phase + ord(kind))

            def mark(data, k, phase=phase, kind=kind):
                data.TemporalPositionIdentifier, data.ImageType = phase, ["DERIVED", "PRIMARY", kind]

            slices += ct_slices(arrays[phase, kind], 6, "dixon", f"10{phase:02d}00", change=mark)
    folder = save(slices, tmp_path / "dixon")
    message = refused(read_image, folder)
    assert "4 volumes" in message and "temporal 2, type DERIVED PRIMARY W" in message
    for (phase, kind), array in arrays.items():
        for choice in (f"time:{phase};type:{kind}", f"temporal:{phase},type:{kind}"):
            assert np.array_equal(read_image(folder, choice).voxels, array)


def test_a_mask_drawn_on_uneven_slices_goes_the_way_of_the_image(tmp_path):
    """The averaged grid equals the resampled one, and the mask passed millimetres off."""
    along = np.concatenate([np.arange(0, 24, 3.0), np.arange(24, 72, 6.0)])
    shape = (len(along), 40, 44)
    bright = np.abs(along - 36) < 12
    hu = np.zeros(shape, np.int16)
    hu[bright, 12:28, 12:30] = 100
    where = [np.array([*ORIGIN[:2], ORIGIN[2] + mm]) for mm in along]
    folder = save(ct_slices(hu, 1, where=where), tmp_path / "ct")
    image = read_image(folder, nonuniform="resample")
    step = along[-1] / (len(along) - 1)
    drawn = as_file(hu > 0, tmp_path / "mask.nii.gz", (*SPACING[:2], step))
    mask = read_mask(drawn, None, image)
    assert "went the way of the image" in mask.flags[0]
    assert image.voxels[mask.voxels].min() >= 50 and image.voxels[~mask.voxels].max() < 50
    other = as_file(np.ones((9, 40, 44)), tmp_path / "other.nii.gz", (*SPACING[:2], 5.0))
    assert "unevenly spaced" in refused(read_mask, other, None, image, "resample")


def test_one_scan_has_equal_features_in_every_order_and_format(tmp_path):
    """Of 744 wavelet features 95 to 432 differed by more than a tenth; NIfTI's float32 spacing moved 275 of 1,702."""
    rng = np.random.default_rng(3)
    hu, mask = phantom((18, 44, 48), seed=3), ball((18, 44, 48), radius=9.0)
    hu = (hu + 30 * rng.normal(size=hu.shape) * mask).astype(np.int16)
    image, drawn = sitk.GetImageFromArray(hu), sitk.GetImageFromArray(mask.astype(np.uint8))
    for made in (image, drawn):
        made.SetSpacing((0.7, 0.7, 2.5))
        made.SetOrigin((-20.3, -15.1, -100.7))
    settings = {"spacing_mm": [1, 1, 1], "bin_width": 25, "image_types": ["Original", "Wavelet"]}
    settings |= {"feature_set": "full851", "interpolator": "sitkBSpline", "pad_distance": 10}
    found = {}
    for order, kind in (("LPS", "nrrd"), ("LAS", "nii.gz"), ("PSR", "nii.gz"), ("RAI", "mha")):
        paths = {}
        for what, name in ((image, "image"), (drawn, "mask")):
            paths[name] = str(tmp_path / f"{name}{order}.{kind}")
            sitk.WriteImage(sitk.DICOMOrient(what, order), paths[name])
        found[order] = extract_case(make_case(paths, {}), settings)
    base = found.pop("LPS")
    assert len(base) > 800
    for values in found.values():
        for name, value in base.items():
            assert values[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def test_contours_traced_through_voxel_centres_keep_their_border(tmp_path):
    """As OpenCV traces them: a ball of 20 mm lost a twelfth of its volume."""
    hu, mask = phantom(SHAPE), ball()
    image = read_image(save(ct_slices(hu, 1), tmp_path / "ct"))
    contours = []
    for z in np.flatnonzero(mask.any(axis=(1, 2))):
        contours.append([tuple(image.grid.to_points([[x, y, z]])[0]) for x, y in traced(mask[z])])
    found = read_mask(write_rtstruct({"T": contours}, tmp_path / "rt.dcm"), "T", image)
    assert np.array_equal(found.voxels, mask)
    assert "border voxels are included" in found.flags[0]


def traced(plane):
    """The border pixels (x, y) of a convex plane (y, x), in their order round it."""
    y, x = np.nonzero(plane)
    inner = plane[:-2, 1:-1] & plane[2:, 1:-1] & plane[1:-1, :-2] & plane[1:-1, 2:]
    edge = plane.copy()
    edge[1:-1, 1:-1] &= ~inner
    ys, xs = np.nonzero(edge)
    return sorted(zip(xs, ys, strict=True), key=lambda point: np.arctan2(point[1] - y.mean(), point[0] - x.mean()))


def test_the_border_of_a_diamond():
    diamond = [np.array([[4, 1], [7, 4], [4, 7], [1, 4]], float)]
    filled = fill_even_odd(diamond, (9, 9)) | border(diamond, (9, 9))
    y, x = np.indices((9, 9))
    assert np.array_equal(filled, np.abs(y - 4) + np.abs(x - 4) <= 3)


def test_slices_from_elsewhere_are_said(tmp_path):
    """A slice of another reconstruction under the series' UID, a frame of another intercept."""

    def stray(data, k):
        if k == 5:
            data.SeriesDescription, data.FrameOfReferenceUID = "other", "1.2.3"
        data.RescaleIntercept = -1000 if k in (7, 8) else -1024
        data.InstanceNumber = {3: 15, 14: 4}.get(k, k + 1)

    flags = read_image(save(ct_slices(phantom(SHAPE), 1, "abdomen", change=stray), tmp_path / "ct")).flags
    assert "1 of 20 slices state another frame of reference than the rest" in flags
    assert "1 of 20 slices state another series description than the rest" in flags
    assert any("slices are numbered against their positions" in flag for flag in flags)
    assert "2 of 20 slices are rescaled otherwise than the rest: are they of this scan?" in flags


def test_values_below_air_are_odd_and_padding_is_not():
    hu = phantom(SHAPE).astype(float)
    hu[:, :10] = np.random.default_rng(1).normal(-1000, 30, hu[:, :10].shape)  # air
    assert hu_remark(hu) is None and hu_problem(hu) is None
    assert "below air" in hu_remark(2 * hu)
    hu[:, :, :9] = -3024
    assert hu_remark(hu) is None and hu_problem(hu) is None
    swapped = hu.astype("<i2").view(">i2")
    assert "byte order" in hu_problem(swapped) and "unsigned" in hu_problem(hu.astype("<i2").view("<u2"))


def test_grey_values_that_are_hardly_those_of_a_ct():
    scores = np.random.default_rng(1).normal(0, 2, SHAPE).astype(np.float32)
    scores[0, 0, 0] = -1000  # the fill around them
    assert "beside a fill of -1000" in hu_problem(scores)
    hu = np.random.default_rng(1).normal(40, 60, SHAPE)
    assert "cut off" in hu_remark(np.clip(hu, -50, 240)) and hu_remark(hu) is None


def test_a_cropped_copy_has_the_same_tumour(tmp_path):
    hu, mask = phantom(SHAPE), ball()
    cut = np.s_[1:-1, 2:-2, 3:-1]
    rows = []
    for name, where in (("whole", np.s_[:]), ("cut", cut)):
        paths = {"image": hu[where], "mask": mask[where]}
        rows.append({what: str(as_file(array, tmp_path / f"{name}{what}.nii.gz")) for what, array in paths.items()})
    whole, copy = (make_case(row, {}).facts for row in rows)
    assert whole["image_hash"] != copy["image_hash"] and whole["tumour_hash"] == copy["tumour_hash"]


def test_masks_that_contradict_themselves(tmp_path):
    hd = pytest.importorskip("highdicom")
    slices, mask = ct_slices(phantom(SHAPE), 1), ball()
    image = read_image(save(slices, tmp_path / "ct"))
    data = pydicom.dcmread(write_seg(hd, slices, {"T": mask}, tmp_path / "seg.dcm"))
    data.SegmentationType = "LABELMAP"
    data.save_as(tmp_path / "map.dcm")
    assert "a label map of 1 bit" in refused(read_mask, tmp_path / "map.dcm", None, image)
    two = np.zeros_like(mask)
    two[[8, 10]] = mask[[8, 10]]
    data = pydicom.dcmread(write_seg(hd, slices, {"T": two}, tmp_path / "two.dcm"))
    del data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    data.save_as(tmp_path / "two.dcm")
    assert "SEG of two frames 5 mm apart" in read_mask(tmp_path / "two.dcm", None, image).flags[0]
    square = [image.grid.to_points([[x, y, 5]])[0] for x, y in ((4.3, 4.3), (9.3, 4.3), (9.3, 9.3), (4.3, 9.3))]
    data = pydicom.dcmread(write_rtstruct({"T": [square], "O": [square]}, tmp_path / "rt.dcm"))
    data.ROIContourSequence[1].ReferencedROINumber = 1
    data.save_as(tmp_path / "rt.dcm")
    assert "stand there twice" in refused(read_mask, tmp_path / "rt.dcm", "T", image)
    flat = np.zeros_like(mask)
    flat[10], flat[11, 20, 20] = mask[10], True
    row = {"image": as_file(phantom(SHAPE), tmp_path / "i.nii.gz"), "mask": as_file(flat, tmp_path / "flat.nii.gz")}
    assert "of the tumour lies in one slice" in make_case({k: str(v) for k, v in row.items()}, {}).facts["flags"]


def test_contours_drawn_twice_or_across_each_other(tmp_path):
    """Twice the same contour is a hole by the even-odd rule: the slice vanished where it began at another point."""
    image = read_image(save(ct_slices(phantom(SHAPE), 1), tmp_path / "ct"))
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)

    def ring(z, x=20.2):
        index = np.column_stack([x + 8 * np.cos(angle), 19.3 + 8 * np.sin(angle), np.full(40, z)])
        return image.grid.to_points(index)

    def read(contours):
        return read_mask(write_rtstruct({"T": contours}, tmp_path / "rt.dcm"), "T", image)

    once = [ring(z) for z in range(6, 12)]
    plain = read(once)
    for again in (ring(8)[::-1], np.roll(ring(8), 5, axis=0)):
        twice = read([*once, again])
        assert np.array_equal(twice.voxels, plain.voxels) and "1 contours drawn twice" in twice.flags
    assert "1 pairs of contours cross: what lies in both counts out" in read([*once, ring(8, 26.0)]).flags
    assert not plain.flags
    named = write_rtstruct({"Lesion": once}, tmp_path / "named.dcm")
    data = pydicom.dcmread(named)
    data.SpecificCharacterSet, data.StructureSetROISequence[0].ROIName = "ISO_IR 192", "La\u0308sion"
    data.save_as(named)
    assert np.array_equal(read_mask(named, "L\u00e4sion", image).voxels, plain.voxels)


def test_a_header_without_a_place_is_said(tmp_path):
    for kind, fields in (("mha", (b"Offset", b"TransformMatrix")), ("nrrd", (b"space origin",))):
        path = as_file(phantom(SHAPE), tmp_path / f"image.{kind}")
        data = path.read_bytes().replace(b"space: left-posterior-superior", b"space dimension: 3")
        path.write_bytes(b"\n".join(line for line in data.split(b"\n") if not line.startswith(fields)))
        assert any("no orientation and no position" in flag for flag in read_image(path).flags), kind


def test_names_are_compared_as_stored_and_masked_where_printed(tmp_path):
    hd = pytest.importorskip("highdicom")

    def anonymised(data, k):
        data.PatientID = data.PatientName = "PANCREAS^0001"

    slices = ct_slices(phantom(SHAPE), 1, change=anonymised)
    image = read_image(save(slices, tmp_path / "ct"))
    seg = write_seg(hd, slices, {"Pancreas": ball(), "GTV#1": ~ball()}, tmp_path / "seg.dcm")
    assert np.array_equal(read_mask(seg, "Pancreas", image).voxels, ball())
    assert np.array_equal(read_mask(seg, "GTV#1", image).voxels, ~ball())
    assert "present: 1 *, 2 GTV 1" in refused(read_mask, seg, "Liver", image)
