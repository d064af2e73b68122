"""Modes and discretisation: both engines agree, bins lie where they should, mode ibsi does not depend on the crop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt, gaussian_filter

from recur.features import ibsi
from recur.features.bins import bin_edges
from recur.features.extract import check_extraction, extract_case
from recur.images.case_file import Case
from recur.tables import StudyError

EXTRACTION = {
    "spacing_mm": [2, 2, 2],
    "bin_width": 25,
    "image_types": ["Original", "Wavelet"],
    "feature_set": "full851",
    "interpolator": "sitkBSpline",
    "pad_distance": 7,
}
MODES = ("pyradiomics", "ibsi")


def study_case(seed=0, shape=(40, 44, 46), spacing=(1.5, 1.5, 2.5), factor=30):
    """A noisy tumour of 16 mm with a rim of 5 mm in a smooth liver; a whole image, nothing cropped."""
    rng = np.random.default_rng(seed)
    steps = np.array(spacing[::-1])[:, None, None, None]
    middle = np.array([n / 2 - 0.3 for n in shape])[:, None, None, None]
    texture = gaussian_filter(rng.normal(size=shape), (0.6, 1.5, 1.5))
    tumour = np.sqrt((((np.indices(shape) - middle) * steps) ** 2).sum(0)) + 4 * texture < 8
    away = distance_transform_edt(~tumour, sampling=spacing[::-1])
    image = np.rint(90 + 100 * texture + factor * rng.normal(size=shape))
    return Case(
        image=image.astype(np.float32),
        labels=(tumour * 1 + ((away > 0) & (away <= 5)) * 2).astype(np.uint8),
        spacing=np.array(spacing),
        full_origin=np.array([-61.3, 17.77, -301.123]),
        direction=np.eye(3).ravel(),
        full_size=np.array(shape[::-1]),
        offset=np.zeros(3, int),
        facts={"regions": {"tumour": 1, "rim": 2}},
    )


def cropped(case, margin):
    """The case cut to its regions and `margin` voxels (z, y, x)."""
    where = np.argwhere(case.labels)
    low = np.maximum(where.min(0) - margin, 0)
    high = np.minimum(where.max(0) + 1 + margin, case.image.shape)
    cut = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    return case._replace(image=case.image[cut].copy(), labels=case.labels[cut].copy(), offset=low[::-1])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="width"),
        pytest.param({"bin_width": 12.5, "resegment": [0, 160]}, id="width and range"),
        pytest.param({"bin_width": 5, "resegment": [130, 160]}, id="range that cuts the region's box"),
        pytest.param({"bin_width": None, "bin_count": 32}, id="count"),
        pytest.param({"bin_width": None, "bin_count": 16, "resegment": [0, 160]}, id="count and range"),
        pytest.param({"interpolator": "sitkLinear", "image_types": ["Original"]}, id="linear"),
        pytest.param({"image_types": ["Original", "LoG"], "log_sigma_mm": [2]}, id="LoG"),
    ],
)
def test_both_engines_give_the_same_values(mode, change):
    case, settings = study_case(), EXTRACTION | {"mode": mode} | change
    fast, plain = (extract_case(case, settings | {"engine": engine}) for engine in ("fast", "plain"))
    features = {"Wavelet": 851, "LoG": 200, "Original": 107}[settings["image_types"][-1]]
    assert list(fast) == list(plain) and len(fast) == 2 * features
    names = list(fast)
    np.testing.assert_allclose([fast[name] for name in names], [plain[name] for name in names], rtol=1e-9)


def test_modes_and_discretisations_share_their_columns_and_differ_in_values():
    case = study_case()
    settings = EXTRACTION | {"image_types": ["Original"]}
    changes = [{"mode": mode} | bins for mode in MODES for bins in ({}, {"bin_width": None, "bin_count": 32})]
    found = [extract_case(case, settings | change) for change in changes]
    assert all(list(values) == list(found[0]) for values in found)
    assert len({values["rim_original_glcm_JointEntropy"] for values in found}) == 4
    assert len({values["tumour_original_shape_VoxelVolume"] for values in found}) == 2  # by mode: another mask


@pytest.mark.parametrize("change", [{}, {"interpolator": "sitkLinear"}, {"spacing_mm": [0, 0, 0]}])
def test_mode_ibsi_does_not_depend_on_the_crop(change):
    case, settings = study_case(shape=(60, 80, 80)), EXTRACTION | {"mode": "ibsi", "image_types": ["Original"]} | change
    small = cropped(case, (22, 28, 28))
    assert small.image.size < 0.8 * case.image.size
    assert extract_case(small, settings) == extract_case(case, settings)
    with pytest.raises(ValueError, match="tumour: stored crop is too small for pad_distance 7"):
        extract_case(cropped(case, (2, 2, 2)), settings)


def test_the_grid_of_mode_ibsi_has_the_centre_of_the_scan():
    size, start = ibsi.centred_grid(np.array([204, 201, 60]), np.array([0.9765625, 0.9765625, 3.0]), np.full(3, 2.0))
    assert size.tolist() == [100, 99, 90]  # IBSI's CT phantom
    middle = start + 0.5 * (size - 1) * 2 / np.array([0.9765625, 0.9765625, 3.0])
    np.testing.assert_allclose(middle, [101.5, 100, 29.5])
    size, start = ibsi.centred_grid(np.array([10]), np.array([0.7]), np.array([1.0]))
    assert size.tolist() == [7] and start == pytest.approx(4.5 - 3 / 0.7)


def test_only_hounsfield_units_are_rounded():
    case, settings = study_case(), check_extraction(EXTRACTION | {"mode": "ibsi"})

    def whole(**facts):
        part = ibsi.prepare(case._replace(facts=case.facts | facts), case.labels == 1, settings)
        return (part.image == np.rint(part.image)).all()

    assert whole() and whole(modality="CT", normalise="none")
    assert not whole(modality="MR", normalise="zscore") and not whole(modality="MR")


def test_resegmentation_leaves_the_form_alone():
    image, region = np.array([[[-100.0, 0, 10, 20, 400]]]), np.ones((1, 1, 5), bool)
    kept = ibsi.resegmented(image, region, [0, 400], None)
    assert kept.tolist() == [[[False, True, True, True, True]]], "both limits are kept"
    assert ibsi.resegmented(image, region, [-500, 500], 1.5).tolist() == [[[True, True, True, True, False]]]
    assert region.all()
    case, settings = study_case(), EXTRACTION | {"mode": "ibsi", "image_types": ["Original"]}
    all_of_it, part = (extract_case(case, settings | {"resegment": limits}) for limits in (None, [60, 120]))
    assert part["tumour_original_firstorder_Minimum"] >= 60 and part["tumour_original_firstorder_Maximum"] <= 120
    for name in all_of_it:
        if "_shape_" in name:
            assert part[name] == all_of_it[name]


def levels(values, **settings):
    values = np.array(values, float)
    return np.digitize(values, bin_edges(values, settings)).tolist()


def test_bins_of_the_manual_start_at_the_range_or_the_minimum():
    # fixed bin size, arXiv:1612.07003 section 2.7.2: floor((x - lowest) / width) + 1
    assert levels([-37, -13, -12, 13], ibsi=True, binWidth=25) == [1, 1, 2, 3]
    assert levels([-37, -13, -12, 13], ibsi=True, binWidth=25, binOrigin=-1000) == [39, 40, 40, 41]
    # fixed bin number, section 2.7.1: floor(count (x - lowest) / (highest - lowest)) + 1, the highest in the last
    assert levels([0, 9.9, 10, 59.9, 60], ibsi=True, binCount=6) == [1, 1, 2, 6, 6]
    assert levels([7, 7], ibsi=True, binCount=6) == levels([7, 7], ibsi=True, binWidth=25) == [1, 1]


@pytest.mark.parametrize("settings", [{"binWidth": 25}, {"binWidth": 0.3}, {"binCount": 32}])
@pytest.mark.parametrize("values", [[-37, -13, -12, 13], [50, 75, 100], [7, 7], [50, 50]])
def test_bins_of_pyradiomics_are_its_own(settings, values):
    from radiomics import imageoperations

    values = np.array(values, np.float32)
    np.testing.assert_array_equal(bin_edges(values, settings), imageoperations.getBinEdges(values, **settings))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "mirp"}, "mode 'mirp' is unknown; use one of pyradiomics, ibsi"),
        ({"bin_count": 32}, "exactly one of bin_width and bin_count"),
        ({"bin_width": None}, "exactly one of bin_width and bin_count"),
        ({"bin_width": None, "bin_count": 1}, "bin_count must be a whole number, 2 or more"),
        ({"resegment": [100, 100]}, "resegment must be"),
        ({"outlier_sd": 3}, "outlier_sd is known in mode ibsi only"),
    ],
)
def test_contradictory_settings_are_refused(change, message):
    with pytest.raises(StudyError, match=message):
        check_extraction(EXTRACTION | change)


@pytest.mark.parametrize("mode", MODES)
def test_a_range_that_leaves_nothing_is_said(mode):
    with pytest.raises(ValueError, match=r"^tumour: [^\n]+$"):
        extract_case(study_case(), EXTRACTION | {"mode": mode, "resegment": [5000, 6000]})
