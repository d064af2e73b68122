"""Floor 3: every value equals plain pyradiomics on the whole image; names, fallback, cache, programs."""

from __future__ import annotations

import atexit
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt, gaussian_filter

# compiled once for this file and for the programs it runs; read when numba is imported
os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp() + "/numba"

import radiomics
from radiomics import cMatrices, cShape

from recur.features import extract, plain
from recur.features.accelerate import accelerated
from recur.features.cache import feature_key
from recur.features.resample import Case
from recur.features.sets import SHAPE_JI846, count_by_class, feature_names
from recur.features.shape import mesh_coefficients
from recur.features.table import merge_batches
from recur.features.texture import matrix_functions
from recur.tables import StudyError, read_table

SCRIPTS = Path(__file__).parents[1] / "scripts"
CACHE = Path(os.environ["NUMBA_CACHE_DIR"]).parent
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
EXTRACTION = {
    "spacing_mm": [1, 1, 1],
    "bin_width": 25,
    "image_types": ["Original", "Wavelet"],
    "feature_set": "full851",
    "interpolator": "sitkBSpline",
    "pad_distance": 10,
}
STRAIGHT = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
C, S = math.cos(0.35), math.sin(0.35)
OBLIQUE = (C, -S * C, S * S, S, C * C, -S * C, 0, S, C)
GEOMETRY = ("spacing", "direction", "full_size", "offset", "full_origin")


def study_case(
    seed=0, shape=(20, 44, 46), spacing=(1.5, 1.5, 2.5), direction=STRAIGHT, center=None, diameter=15, rim=4
):
    """A whole image as a stored case (nothing cropped): smooth liver, noisy tumour, rim."""
    rng = np.random.default_rng(seed)
    steps = np.array(spacing[::-1])[:, None, None, None]
    center = np.array(center or [n / 2 for n in shape])[:, None, None, None]
    texture = gaussian_filter(rng.normal(size=shape), (0.6, 1.5, 1.5))
    texture /= texture.std()
    distance = np.sqrt((((np.indices(shape) - center) * steps) ** 2).sum(0))
    tumour = distance + texture < diameter / 2
    away = distance_transform_edt(~tumour, sampling=spacing[::-1])
    image = 110 + 10 * texture + 30 * tumour * rng.normal(size=shape) + 10 * rng.normal(size=shape)
    labels = tumour * 1 + ((away > 0) & (away <= rim)) * 2 + 4
    return Case(
        image=np.rint(image).astype(np.float32),
        labels=labels.astype(np.uint8),
        spacing=np.array(spacing),
        origin=np.array([-61.3, 17.77, -301.123]),
        direction=np.array(direction, float),
        full_size=np.array(shape[::-1]),
        offset=np.zeros(3, int),
    )


def cropped(case, margin):
    """The case cut to its regions and `margin` voxels (z, y, x)."""
    where = np.argwhere(case.labels & 3)
    low = np.maximum(where.min(0) - margin, 0)
    high = np.minimum(where.max(0) + 1 + margin, case.image.shape)
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return case._replace(image=case.image[cut].copy(), labels=case.labels[cut].copy(), offset=low[::-1])


def whole_image_features(case, extraction):
    """Plain pyradiomics on the whole image: the reference of every test here."""
    values = {}
    for region, flag in extract.FLAGS.items():
        mask = ((case.labels & flag) > 0).astype(np.uint8)
        if mask.any():
            images = [sitk.GetImageFromArray(array) for array in (case.image, mask)]
            for image in images:
                image.SetSpacing(case.spacing.tolist())
                image.SetOrigin(case.origin.tolist())
                image.SetDirection(case.direction.tolist())
            found = plain.extractor(extraction, resample=True).execute(*images)
            values |= {f"{region}_{name}": float(value) for name, value in found.items()}
    return values


def assert_equal(ours, theirs, relative=1e-9):
    assert set(ours) == set(theirs)
    names = list(theirs)
    a, b = (np.array([values[name] for name in names]) for values in (ours, theirs))
    off = ~np.isclose(a, b, rtol=relative, atol=0, equal_nan=True)
    assert not off.any(), [(names[i], a[i], b[i]) for i in np.flatnonzero(off)[:5]]


def store(case, path):
    np.savez(
        path,
        image=case.image,
        labels=case.labels,
        origin=case.origin + case.direction.reshape(3, 3) @ (case.offset * case.spacing),
        **dict(zip(GEOMETRY, (case.spacing, case.direction, case.full_size, case.offset, case.origin), strict=True)),
    )


def test_feature_sets_have_their_sizes():
    full, ji = (feature_names(name, EXTRACTION["image_types"]) for name in ("full851", "ji846"))
    assert (len(full), len(set(full)), len(ji)) == (851, 851, 846)
    counts = count_by_class(full)
    textures = {"firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14, "ngtdm": 5}
    assert counts["original"] == {"shape": 14} | textures
    assert len(counts) == 9 and all(counts[image] == textures for image in counts if image != "original")
    assert {n.split("_")[2] for n in ji if "_shape_" in n} == set(SHAPE_JI846) and len(SHAPE_JI846) == 9
    assert [n for n in full if n in set(ji)] == ji
    assert len(feature_names("full851", ["Original"])) == 107


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_types": ["Original", "LoG"]}, "'LoG' is not offered"),
        ({"image_types": ["Wavelet"]}, "must contain Original"),
        ({"feature_set": "ji2020"}, "'ji2020' is unknown; use one of full851, ji846"),
        ({"force2D": True}, "'force2D' is unknown"),
        ({"bin_width": 0}, "bin_width must be above 0"),
        ({"pad_distance": 2.5}, "whole number"),
        ({"interpolator": "bspline"}, "'bspline' is no SimpleITK interpolator"),
        ({"spacing_mm": [1, 1]}, "three numbers"),
    ],
)
def test_settings_that_are_not_covered_are_refused(change, message):
    with pytest.raises(StudyError, match=message):
        extract.check_extraction(EXTRACTION | change)


@pytest.mark.parametrize(
    ("made", "margin", "change"),
    [
        pytest.param({"shape": (40, 90, 96)}, (24, 28, 28), {}, id="crop with ties at 1.5 mm"),
        pytest.param({"direction": OBLIQUE, "spacing": (0.83, 0.83, 3.1)}, (99,) * 3, {}, id="oblique"),
        pytest.param({"shape": (15, 41, 41), "center": (12, 20, 37)}, (99,) * 3, {}, id="half a voxel at the end"),
        pytest.param({"spacing": (1.0, 1.0, 1.0), "shape": (40, 40, 40)}, (12,) * 3, {}, id="nothing to resample"),
        pytest.param(
            {}, (99,) * 3, {"spacing_mm": [0, 0, 2], "bin_width": 12.5, "pad_distance": 4}, id="other settings"
        ),
        pytest.param({}, (99,) * 3, {"interpolator": "sitkLinear", "feature_set": "ji846"}, id="linear"),
        pytest.param({"rim": 0}, (99,) * 3, {"image_types": ["Original"]}, id="no rim"),
    ],
)
def test_every_value_is_that_of_plain_pyradiomics_on_the_whole_image(made, margin, change):
    case, extraction = study_case(**made), EXTRACTION | change
    ours = extract.extract_case(cropped(case, margin), extraction)
    names = feature_names(extraction["feature_set"], extraction["image_types"])
    regions = ["tumour"] if made.get("rim") == 0 else ["tumour", "rim"]
    assert list(ours) == [f"{region}_{name}" for region in regions for name in names]
    assert_equal(ours, whole_image_features(case, extraction))


def test_degenerate_regions_fall_back_to_plain_pyradiomics(monkeypatch):
    case = study_case(shape=(24, 60, 60))
    case.labels[:] = 0
    case.labels[12, 25:33, 25:33] = 1  # one slice: pyradiomics leaves that axis unresampled
    case.labels[10:13, 40:45, 40:45] |= 2
    case.image[9:14, 39:46, 39:46] = 70  # constant
    used = []
    monkeypatch.setattr(extract, "plain_features", lambda *a: used.append(a) or plain.plain_features(*a))
    ours = extract.extract_case(case, EXTRACTION)
    assert len(used) == 1, "only the one-slice region: a spline makes the constant one vary"
    assert_equal(ours, whole_image_features(case, EXTRACTION))
    case.image[:] = 70
    used.clear()
    assert_equal(extract.extract_case(case, EXTRACTION), whole_image_features(case, EXTRACTION))
    assert len(used) == 2


def test_a_crop_without_room_for_resampling_is_refused():
    with pytest.raises(ValueError, match="tumour: stored crop is too small for pad_distance 10"):
        extract.extract_case(cropped(study_case(shape=(40, 90, 96)), (5, 5, 5)), EXTRACTION)


def test_a_case_that_cannot_be_extracted_says_why_in_one_line():
    case = study_case()
    case.labels[:] = 0
    with pytest.raises(ValueError, match="tumour: no voxels"):
        extract.extract_case(case, EXTRACTION)
    case.labels[10, 20, 20] = 1
    with pytest.raises(ValueError, match=r"^tumour: mask only contains 1 segmented voxel[^\n]*$"):
        extract.extract_case(case, EXTRACTION)


@pytest.mark.parametrize("levels", [2, 9, 300])
def test_texture_matrices_are_those_of_the_c_functions(levels):
    rng = np.random.default_rng(levels)
    mask = rng.random((9, 12, 11)) < 0.8
    image = np.where(mask, 1 + np.minimum(rng.geometric(min(3 / levels, 0.5), mask.shape), levels - 1), 0).astype(
        np.int32
    )
    image[tuple(np.argwhere(mask)[0])] = levels
    ours = matrix_functions()
    one = np.array([1])
    arguments = {
        "glcm": (one, levels, False, 0),
        "glrlm": (levels, 12, False, 0),
        "glszm": (levels, int(mask.sum()), False, 0),
        "gldm": (one, levels, 0, False, 0),
        "ngtdm": (one, levels, False, 0),
    }
    for name, rest in arguments.items():
        theirs = getattr(cMatrices, f"calculate_{name}")(image, mask.copy(), *rest)
        made = ours[f"calculate_{name}"](image, mask, *rest)
        pairs = zip(made, theirs, strict=True) if isinstance(theirs, tuple) else [(made, theirs)]
        for a, b in pairs:
            if name == "gldm":  # the C array has columns for more neighbours than there are
                assert not b[..., a.shape[2] :].any()
                b = b[..., : a.shape[2]]
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_mesh_and_diameters_are_those_of_the_c_function(density):
    mask = np.pad(np.random.default_rng(1).random((8, 9, 7)) < density, 1)
    spacing = np.array([2.5, 0.7, 0.9])
    surface, volume, diameters = mesh_coefficients(mask, spacing)
    expected = cShape.calculate_coefficients(mask, spacing)
    np.testing.assert_allclose((surface, volume, *diameters), (*expected[:2], *expected[2]), rtol=1e-12)


def test_pyradiomics_is_whole_again_afterwards():
    functions = (cMatrices.calculate_glcm, cShape.calculate_coefficients, radiomics.firstorder.numpy)
    with pytest.raises(RuntimeError), accelerated():
        assert cMatrices.calculate_glcm is not functions[0]
        raise RuntimeError
    assert (cMatrices.calculate_glcm, cShape.calculate_coefficients, radiomics.firstorder.numpy) == functions


def reference(folder):
    root = os.environ.get("REFERENCE_DATA")
    if not root:
        pytest.skip("REFERENCE_DATA is not set")
    return Path(root) / folder


def case_of_files(image_path, mask_path, rim=0):
    image, mask = sitk.ReadImage(image_path), sitk.ReadImage(mask_path)
    tumour = sitk.GetArrayFromImage(mask) == 1
    away = distance_transform_edt(~tumour, sampling=image.GetSpacing()[::-1])
    return Case(
        image=sitk.GetArrayFromImage(image).astype(np.float32),
        labels=(tumour * 1 + ((away > 0) & (away <= rim)) * 2).astype(np.uint8),
        spacing=np.array(image.GetSpacing()),
        origin=np.array(image.GetOrigin()),
        direction=np.array(image.GetDirection()),
        full_size=np.array(image.GetSize()),
        offset=np.zeros(3, int),
    )


@pytest.mark.reference
def test_real_ct_equals_plain_pyradiomics():
    folder = reference("sts_ct")
    case = case_of_files(folder / "STS_019_image.nii.gz", folder / "STS_019_mask.nii.gz", rim=5)
    assert_equal(extract.extract_case(case, EXTRACTION), whole_image_features(case, EXTRACTION))
