"""The rim against brute-force distances, its clipping and its share of the full shell; the tumour's diameter."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from recur.images.cut import rim_clips
from recur.images.regions import bounding_box, lesions, maximum_diameter, rims, widen

SPACING = (0.8, 1.1, 2.5)  # x, y, z mm


def ball(shape=(24, 40, 44), centre=(12, 20, 22), radius_mm=7.0, spacing=SPACING):
    z, y, x = np.indices(shape)
    squares = [((i - c) * s) ** 2 for i, c, s in zip((z, y, x), centre, spacing[::-1], strict=True)]
    return sum(squares) <= radius_mm**2


def brute_force_shell(tumour, spacing, rim_mm):
    scale = np.asarray(spacing[::-1])
    inside, outside = np.argwhere(tumour) * scale, np.argwhere(~tumour)
    nearest = np.array([np.sqrt(((inside - p * scale) ** 2).sum(axis=1).min()) for p in outside])
    shell = np.zeros(tumour.shape, bool)
    shell[tuple(outside[nearest <= rim_mm + 1e-9].T)] = True
    return shell


def rim(tumour, spacing, outer, clips=None, inner=0.0):
    return rims(tumour, spacing, {"rim": (inner, outer)}, clips)["rim"]


@pytest.mark.parametrize("rim_mm", [2.0, 5.0])
def test_rim_is_the_euclidean_shell_in_millimetres(rim_mm):
    tumour = ball((14, 24, 28), (7, 12, 13), 5.0)
    made = rim(tumour, SPACING, rim_mm)
    assert np.array_equal(made.voxels, brute_force_shell(tumour, SPACING, rim_mm))
    assert made.shell_fraction == 1 and made.lost == {"image": 0}


def test_rims_of_any_inner_and_outer_width_share_their_borders():
    tumour = ball((20, 34, 40), (10, 17, 20), 5.0)
    made = rims(tumour, SPACING, {"rim": (0, 5), "near": (0, 2.5), "far": (2.5, 5)})
    outer, inner = (brute_force_shell(tumour, SPACING, mm) for mm in (5, 2.5))
    assert np.array_equal(made["far"].voxels, outer & ~inner)
    assert np.array_equal(made["near"].voxels | made["far"].voxels, made["rim"].voxels)
    assert not (made["near"].voxels & made["far"].voxels).any()


def test_a_distance_of_exactly_the_rim_is_inside():
    tumour = np.zeros((1, 1, 41), bool)
    tumour[0, 0, 20] = True
    made = rim(tumour, (0.1, 1.0, 1.0), 0.3)
    assert np.flatnonzero(made.voxels).tolist() == [17, 18, 19, 21, 22, 23]
    beyond = rim(tumour, (0.1, 1.0, 1.0), 0.3, inner=0.1)  # and on its inner border outside
    assert np.flatnonzero(beyond.voxels).tolist() == [17, 18, 22, 23]


def test_masks_clip_and_every_lost_voxel_is_counted_once():
    tumour = ball()
    liver, lesion, vessel = (np.zeros(tumour.shape, bool) for _ in range(3))
    liver[:, :, :26] = True
    lesion[:, 24:] = True
    vessel[:10] = True
    clips, remark = rim_clips({"liver_mask": liver, "lesions_mask": lesion, "vessel_mask": vessel}, None, (-100, 300))
    whole, made = rim(tumour, SPACING, 4.0), rim(tumour, SPACING, 4.0, clips)
    assert remark is None
    assert np.array_equal(made.voxels, whole.voxels & liver & ~lesion & ~vessel)
    n = whole.voxels.sum()
    shares = {
        "image": 0,
        "liver": (whole.voxels & ~liver).sum() / n,
        "lesions": (whole.voxels & liver & lesion).sum() / n,
        "vessels": (whole.voxels & liver & ~lesion & vessel).sum() / n,
    }
    assert made.lost == pytest.approx(shares, abs=1e-12) and min(list(shares.values())[1:]) > 0
    assert made.shell_fraction + sum(made.lost.values()) == pytest.approx(1, abs=1e-12)


def test_hu_window_clips_with_a_remark_and_the_liver_mask_wins():
    tumour = ball()
    image = np.full(tumour.shape, 60, np.float32)
    image[:, :18] = -800
    clips, remark = rim_clips({}, image, (-100, 300))
    made = rim(tumour, SPACING, 4.0, clips)
    assert not made.voxels[:, :18].any() and made.voxels[:, 18:].any()
    assert remark == "no liver mask: rim clipped to -100..300 HU"
    everywhere = np.ones(tumour.shape, bool)
    assert rim(tumour, SPACING, 4.0, rim_clips({"liver_mask": everywhere}, image, (-100, 300))[0]).shell_fraction == 1
    assert rim_clips({}, image, None) == ({}, "no liver mask and no HU window: rim not clipped")


def test_shell_beyond_the_image_counts_as_lost():
    tumour = ball()
    whole = rim(tumour, SPACING, 6.0)
    cut = tumour[:, 14:]  # the rim of 6 mm leaves this image, the tumour does not
    assert cut.sum() == tumour.sum()
    made = rim(cut, SPACING, 6.0)
    assert np.array_equal(made.voxels, whole.voxels[:, 14:])
    assert made.shell_fraction == pytest.approx(whole.voxels[:, 14:].sum() / whole.voxels.sum(), abs=1e-12)
    assert made.shell_fraction < 1 and made.lost == {"image": pytest.approx(1 - made.shell_fraction)}


def test_rim_and_tumour_never_overlap_and_holes_belong_to_the_rim():
    tumour = ball(radius_mm=9.0)
    tumour[12, 20, 22] = False
    made = rim(tumour, SPACING, 3.0)
    assert not (made.voxels & tumour).any()
    assert made.voxels[12, 20, 22]


def test_lesions_are_the_connected_pieces_largest_first_without_specks():
    small, large = ball(centre=(6, 8, 8), radius_mm=4.0), ball(centre=(14, 26, 30), radius_mm=7.0)
    mask = small | large
    mask[22, 2, 40] = True  # a speck of 2 microlitres
    box, numbers = lesions(mask, SPACING)
    assert np.array_equal(numbers == 1, large[box]) and np.array_equal(numbers == 2, small[box]) and numbers.max() == 2
    _, only = lesions(mask & ~small & ~large, SPACING)  # nothing else: the speck is the lesion
    assert only.tolist() == [[[1]]]


def test_boxes():
    tumour = ball()
    box = bounding_box(tumour)
    assert tumour[box].sum() == tumour.sum()
    assert widen(box, [100, 1, 0], tumour.shape) == (
        slice(0, 24),
        slice(box[1].start - 1, box[1].stop + 1),
        box[2],
    )


@pytest.mark.parametrize("mask", [ball(), ball(radius_mm=2.0), np.pad(np.ones((1, 1, 1), bool), 3)])
def test_diameter_is_pyradiomics_maximum_3d_diameter(mask):
    shape = pytest.importorskip("radiomics.shape")
    image = sitk.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing(SPACING)
    theirs = shape.RadiomicsShape(image, image, label=1).getMaximum3DDiameterFeatureValue()
    assert maximum_diameter(mask, SPACING) == pytest.approx(theirs, rel=1e-9)
