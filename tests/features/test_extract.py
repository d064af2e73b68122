"""Floor 3: every value of the fast path equals plain pyradiomics on the whole image; names, fallback, refusals."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import radiomics
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from radiomics import cMatrices, cShape, imageoperations
from scipy.ndimage import binary_dilation, distance_transform_edt, gaussian_filter

from recur.features import accelerate, extract, plain
from recur.features.filters import filtered
from recur.features.sets import SHAPE_JI846, count_by_class, feature_names
from recur.features.shape import mesh_coefficients
from recur.features.texture import Voxels
from recur.images.case_file import Case
from recur.tables import StudyError

EXTRACTION = {
    "spacing_mm": [1, 1, 1],
    "bin_width": 25,
    "image_types": ["Original", "Wavelet", "LoG"],
    "log_sigma_mm": [1, 3],
    "feature_set": "full851",
    "interpolator": "sitkBSpline",
    "pad_distance": 10,
}
STRAIGHT = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)
C, S = math.cos(0.35), math.sin(0.35)
OBLIQUE = (C, -S * C, S * S, S, C * C, -S * C, 0, S, C)
REGIONS = {"tumour": 1, "rim": 2}


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
        full_origin=np.array([-61.3, 17.77, -301.123]),
        direction=np.array(direction, float),
        full_size=np.array(shape[::-1]),
        offset=np.zeros(3, int),
        facts={"regions": REGIONS},
    )


def cropped(case, margin):
    """The case cut to its regions and `margin` voxels (z, y, x)."""
    where = np.argwhere(case.labels & 3)
    low = np.maximum(where.min(0) - margin, 0)
    high = np.minimum(where.max(0) + 1 + margin, case.image.shape)
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return case._replace(image=case.image[cut].copy(), labels=case.labels[cut].copy(), offset=low[::-1])


def whole_image_features(case, extraction):
    """Plain pyradiomics on the whole image: the reference of every test here. What it leaves out is NaN."""
    names = feature_names(extraction["feature_set"], extraction["image_types"], extraction["log_sigma_mm"])
    values = {}
    for region, bit in case.facts["regions"].items():
        mask = ((case.labels & bit) > 0).astype(np.uint8)
        if mask.any():
            images = [sitk.GetImageFromArray(array) for array in (case.image, mask)]
            for image in images:
                image.SetSpacing(case.spacing.tolist())
                image.SetOrigin(case.full_origin.tolist())
                image.SetDirection(case.direction.tolist())
            found = plain.extractor(extraction, resample=True).execute(*images)
            values |= {f"{region}_{name}": float(found.get(name, np.nan)) for name in names}
    return values


def assert_equal(ours, theirs, relative=1e-9):
    assert set(ours) == set(theirs)
    names = list(theirs)
    a, b = (np.array([values[name] for name in names]) for values in (ours, theirs))
    b[~np.isfinite(b)] = np.nan  # the floor's tables hold no infinities
    off = ~np.isclose(a, b, rtol=relative, atol=0, equal_nan=True)
    assert not off.any(), [(names[i], a[i], b[i]) for i in np.flatnonzero(off)[:5]]


def test_feature_sets_have_their_sizes():
    full, ji = (feature_names(name, ["Original", "Wavelet"]) for name in ("full851", "ji846"))
    assert (len(full), len(set(full)), len(ji)) == (851, 851, 846)
    counts = count_by_class(full)
    textures = {"firstorder": 18, "glcm": 24, "glrlm": 16, "glszm": 16, "gldm": 14, "ngtdm": 5}
    assert counts["original"] == {"shape": 14} | textures
    assert len(counts) == 9 and all(counts[image] == textures for image in counts if image != "original")
    assert {n.split("_")[2] for n in ji if "_shape_" in n} == set(SHAPE_JI846) and len(SHAPE_JI846) == 9
    assert [n for n in full if n in set(ji)] == ji
    assert len(feature_names("full851", ["Original"])) == 107
    with_log = feature_names("full851", ["LoG", "Original", "Wavelet"], [1, 3, 5])
    assert len(with_log) == 1130 and with_log[:851] == full
    assert with_log[851].startswith("log-sigma-1-0-mm-3D_firstorder_")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_types": ["Original", "Square"]}, "'Square' is not offered; use Original, Wavelet, LoG"),
        ({"log_sigma_mm": []}, "LoG needs log_sigma_mm"),
        ({"log_sigma_mm": [1, 1.0]}, "LoG needs log_sigma_mm"),
        ({"engine": "gpu"}, "engine 'gpu' is unknown; use one of fast, plain"),
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
        pytest.param(
            {"spacing": (1.0, 1.0, 1.0), "shape": (40, 40, 40)}, (12,) * 3, {"resegment": [60, 150]}, id="resegmented"
        ),
        pytest.param(
            {},
            (99,) * 3,
            {"spacing_mm": [0, 0, 2], "bin_width": None, "bin_count": 20, "pad_distance": 4},
            id="other settings",
        ),
        pytest.param({}, (99,) * 3, {"interpolator": "sitkLinear", "feature_set": "ji846"}, id="linear"),
        pytest.param({"rim": 0}, (99,) * 3, {"image_types": ["Original"], "engine": "plain"}, id="no rim, plain"),
    ],
)
def test_every_value_is_that_of_plain_pyradiomics_on_the_whole_image(made, margin, change):
    case, extraction = study_case(**made), EXTRACTION | change
    ours = extract.extract_case(cropped(case, margin), extraction)
    names = feature_names(extraction["feature_set"], extraction["image_types"], extraction["log_sigma_mm"])
    regions = ["tumour"] if made.get("rim") == 0 else ["tumour", "rim"]
    assert list(ours) == [f"{region}_{name}" for region in regions for name in names]
    assert_equal(ours, whole_image_features(case, extraction))


def test_further_regions_are_extracted_and_the_liver_is_not():
    case = study_case()
    core = binary_dilation(case.labels & 1, iterations=2) & (case.labels & 1 == 0)
    case = case._replace(labels=case.labels | (8 * core).astype(np.uint8))
    more = case._replace(facts={"regions": REGIONS | {"liver": 4, "rim5": 8}})
    original = EXTRACTION | {"image_types": ["Original"]}
    ours = extract.extract_case(more, original)
    assert {name.split("_")[0] for name in ours} == {"tumour", "rim", "rim5"}
    assert_equal(ours, whole_image_features(case._replace(facts={"regions": REGIONS | {"rim5": 8}}), original))


@st.composite
def regions_of_any_form(draw):
    """Up to three boxes, some with holes, some voxels dropped or added; anywhere in the image, also at its border."""
    shape = (13, 16, 15)
    mask = np.zeros(shape, bool)
    for _ in range(draw(st.integers(1, 3))):
        low = [draw(st.integers(0, n - 1)) for n in shape]
        size = [draw(st.integers(1, 9)) for _ in shape]
        mask[tuple(slice(a, a + n) for a, n in zip(low, size, strict=True))] = True
        if draw(st.booleans()):
            mask[tuple(slice(a + 1, a + n - 1) for a, n in zip(low, size, strict=True))] = False
    if draw(st.booleans()):
        mask ^= np.random.default_rng(draw(st.integers(0, 99))).random(shape) < 0.02
    return mask


@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(mask=regions_of_any_form(), noise=st.sampled_from([0, 3, 60]), seed=st.integers(0, 99))
def test_regions_of_any_form_equal_plain_pyradiomics(mask, noise, seed):
    """Several parts, holes, the image's border, one slice, one voxel: the same values, or the same refusal."""
    rng = np.random.default_rng(seed)
    case = study_case(shape=mask.shape, spacing=(1.0, 1.0, 1.6), seed=seed)
    image = gaussian_filter(case.image, 1.5) + np.rint(noise * rng.normal(size=mask.shape)).astype(np.float32)
    case = case._replace(image=image, labels=mask.astype(np.uint8), facts={"regions": {"tumour": 1}})
    extraction = EXTRACTION | {"log_sigma_mm": [2], "pad_distance": 3}
    try:
        theirs = whole_image_features(case, extraction)
    except ValueError as error:
        with pytest.raises(ValueError) as ours:
            extract.extract_case(case, extraction)
        assert " ".join(str(error).split()) in str(ours.value)
        return
    assert_equal(extract.extract_case(case, extraction) if mask.any() else {}, theirs)


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
@pytest.mark.parametrize("density", [0.1, 0.8])
def test_texture_counts_are_those_of_the_c_functions(levels, density):
    rng = np.random.default_rng(levels)
    mask = rng.random((9, 12, 11)) < density
    image = np.where(mask, 1 + np.minimum(rng.geometric(min(3 / levels, 0.5), mask.shape), levels - 1), 0)
    image[tuple(np.argwhere(mask)[0])] = levels
    image = image.astype(np.int32)
    counts = Voxels(mask).count(image.astype(np.float32), {"binWidth": 1})
    rows = counts.levels - 1 + image[mask].min()
    one = np.array([1])
    glcm, _ = cMatrices.calculate_glcm(image, mask, one, levels, False, 0)
    glrlm, _ = cMatrices.calculate_glrlm(image, mask, levels, 12, False, 0)
    glszm = cMatrices.calculate_glszm(image, mask, levels, int(mask.sum()), False, 0)
    gldm = cMatrices.calculate_gldm(image, mask, one, levels, 0, False, 0)
    ngtdm = cMatrices.calculate_ngtdm(image, mask, one, levels, False, 0)
    np.testing.assert_array_equal(counts.glcm, glcm[:, rows - 1][:, :, rows - 1])
    np.testing.assert_array_equal(counts.glrlm, glrlm[:, rows - 1])
    sizes = np.flatnonzero(glszm.sum((0, 1)))
    np.testing.assert_array_equal(counts.zone_sizes, sizes + 1)
    np.testing.assert_array_equal(counts.glszm, glszm[:, rows - 1][:, :, sizes])
    np.testing.assert_array_equal(counts.gldm, gldm[:, rows - 1, :27])
    np.testing.assert_allclose(counts.ngtdm[..., :2], ngtdm[:, rows - 1, :2], rtol=1e-14)


def test_first_order_sums_and_percentiles_are_numpys():
    rng = np.random.default_rng(0)
    image = np.rint(rng.normal(40, 300, (8, 9, 10))).astype(np.float32)
    region = rng.random(image.shape) < 0.7
    counts = Voxels(region).count(image, {"binWidth": 25})
    values = image[region].astype(float)
    away = values - values.mean()
    np.testing.assert_allclose(counts.sums[:4], [np.abs(away).sum(), *((away**k).sum() for k in (2, 3, 4))], rtol=1e-12)
    expected = dict(zip((10, 25, 50, 75, 90), np.percentile(values, (10, 25, 50, 75, 90)), strict=True))
    assert counts.percentiles == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 0.8, 3.0)])
@pytest.mark.parametrize("shape", [(31, 40, 36), (30, 40, 36)])
def test_filtered_images_are_those_of_pyradiomics(shape, spacing):
    image = np.random.default_rng(0).normal(100, 30, shape).astype(np.float32)
    part = (slice(3, -2), slice(0, 30), slice(8, -1))
    part = tuple(slice(*s.indices(n)[:2]) for s, n in zip(part, shape, strict=True))
    box = sitk.GetImageFromArray(image)
    box.SetSpacing(spacing)
    sigmas = [1.0, 2.5, 5.0]
    theirs = {"original": image[part]}
    for function in (imageoperations.getWaveletImage, imageoperations.getLoGImage):
        theirs |= {name: sitk.GetArrayFromImage(made)[part] for made, name, _ in function(box, None, sigma=sigmas)}
    ours = dict(filtered(image, part, np.array(spacing), ["Original", "Wavelet", "LoG"], sigmas))
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        if name.startswith("log"):  # a last bit here and there
            np.testing.assert_allclose(ours[name], values, rtol=0, atol=2e-7 * np.abs(values).max(), err_msg=name)
            assert (ours[name] != values).mean() < 1e-3
        else:
            np.testing.assert_array_equal(ours[name], values, err_msg=name)


@pytest.mark.parametrize("levels", [5, 30, 90])
@pytest.mark.parametrize("parts", [1, 2])
def test_maximal_correlation_coefficient_is_that_of_pyradiomics(levels, parts):
    """parts 2: levels that never meet, so that the largest eigenvalue is double and the general solver is needed."""
    rng = np.random.default_rng(levels)
    counts = rng.poisson(2, (levels, levels, 13)).astype(float)
    half = levels // 2
    if parts == 2:
        counts[:half, half:] = counts[half:, :half] = 0
    counts += counts.transpose(1, 0, 2) + 5 * np.eye(levels)[..., None]
    made = radiomics.glcm.RadiomicsGLCM.__new__(radiomics.glcm.RadiomicsGLCM)
    made.P_glcm = (counts / counts.sum((0, 1)))[None]
    made.coefficients = {"Ng": levels, "grayLevels": np.arange(1, levels + 1)}
    made.logger = radiomics.logger
    made._calculateCoefficients()
    assert accelerate._glcm_mcc(made) == pytest.approx(float(made.getMCCFeatureValue()[0]), rel=1e-11)


@pytest.mark.parametrize("density", [0.05, 0.5, 1.0])
def test_mesh_and_diameters_are_those_of_the_c_function(density):
    mask = np.pad(np.random.default_rng(1).random((8, 9, 7)) < density, 1)
    spacing = np.array([2.5, 0.7, 0.9])
    surface, volume, diameters = mesh_coefficients(mask, spacing)
    expected = cShape.calculate_coefficients(mask, spacing)
    np.testing.assert_allclose((surface, volume, *diameters), (*expected[:2], *expected[2]), rtol=1e-12)


def test_pyradiomics_is_whole_again_afterwards():
    def functions():
        return (radiomics.base.sitk, cShape.calculate_coefficients, radiomics.firstorder.numpy)

    before = functions()
    image = study_case().image
    with pytest.raises(ValueError, match="gray levels; raise bin_width"):
        accelerate.grid_features(
            image, image > 100, np.ones(3), accelerate.Filters(["Original"], [], {"binWidth": 1e-3})
        )
    assert functions() == before


def reference(folder):
    root = os.environ.get("REFERENCE_DATA")
    if not root:
        pytest.skip("REFERENCE_DATA is not set")
    return Path(root) / folder


def case_of_files(image_path, mask_path, label, rim):
    image, mask = sitk.ReadImage(image_path), sitk.ReadImage(mask_path)
    tumour = sitk.GetArrayFromImage(mask) == label
    away = distance_transform_edt(~tumour, sampling=image.GetSpacing()[::-1])
    return Case(
        image=sitk.GetArrayFromImage(image).astype(np.float32),
        labels=(tumour * 1 + ((away > 0) & (away <= rim)) * 2).astype(np.uint8),
        spacing=np.array(image.GetSpacing()),
        full_origin=np.array(image.GetOrigin()),
        direction=np.array(image.GetDirection()),
        full_size=np.array(image.GetSize()),
        offset=np.zeros(3, int),
        facts={"regions": REGIONS},
    )


REAL = {
    "sts_ct": ("STS_019_image.nii.gz", "STS_019_mask.nii.gz", 1, 5),
    "ibsi1_digital_phantom": ("phantom.nii.gz", "mask.nii.gz", 1, 0),
    "ibsi1_ct_phantom": ("nifti/phantom.nii.gz", "nifti/mask.nii.gz", 1, 0),
    "totalsegmentator_liver": ("example_mr_sm.nii.gz", "example_seg_mr.nii.gz", 5, 0),
}
PYRADIOMICS = ["brain1", "brain2", "breast1", "lung1", "lung2", "prostate_phantom_subvolume"]


@pytest.mark.reference
@pytest.mark.parametrize("name", [*REAL, *PYRADIOMICS])
def test_real_images_equal_plain_pyradiomics(name):
    if name in REAL:
        image, mask, label, rim = REAL[name]
        folder = reference(name)
    else:
        folder, label, rim = reference("pyradiomics_testdata"), 1, 0
        suffix = "_cropped25mm.nrrd" if name.startswith("lung") else ".nrrd"
        image, mask = f"{name}_image{suffix}", f"{name}_label{suffix}"
        if name.startswith("prostate"):
            image, mask = f"{name}.nrrd", f"{name}-label.nrrd"
    case = case_of_files(folder / image, folder / mask, label, rim)
    # voxels of 1 mm, but of the image's own size where that makes few voxels too many
    extraction = EXTRACTION | {"spacing_mm": [1, 1, 1] if name in ("sts_ct", "lung2") else [0, 0, 0]}
    assert_equal(extract.extract_case(case, extraction), whole_image_features(case, extraction))
