"""Lesions, further rims and MR scales of a case; perturbed readings and negative controls made from it."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from scipy.ndimage import gaussian_filter

from recur.cohort.split import training_patients
from recur.contracts import problems_of_results
from recur.features.lesions import aggregated
from recur.images.case import make_case, make_cases
from recur.images.case_cache import cached_cases
from recur.images.case_file import CLIP, LIVER, RIM, TUMOUR, save_case
from recur.images.controls import controlled
from recur.images.normalise import in_body, normalised, without_bias
from recur.images.perturb import noise_sd, perturbed, resized
from recur.study import facts
from recur.study import file as studies
from recur.tables import StudyError

ROOT = Path(__file__).parents[2]
SHAPE, SPACING = (40, 72, 80), (1.0, 1.0, 2.0)  # z, y, x; x, y, z mm
REGIONS = {"rim_mm": 6, "min_shell_fraction": 0.5, "hu_window": [-100, 300], "rim_hu_floor": -200, "pad_mm": 6}
KINDS = ["noise", "rotation", "translation", "volume", "contour"]


def ball(centre, radius_mm):
    squares = [((i - c) * s) ** 2 for i, c, s in zip(np.indices(SHAPE), centre, SPACING[::-1], strict=True)]
    return sum(squares) <= radius_mm**2


LARGE, SMALL = ball((20, 36, 30), 9), ball((20, 36, 50), 6)
INSIDE = ball((20, 36, 40), 34)  # the liver


def write(array, path):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING)
    sitk.WriteImage(image, str(path))
    return str(path)


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """One patient with two lesions, a liver, a vessel: image of smooth texture and noise."""
    folder = tmp_path_factory.mktemp("variants")
    rng = np.random.default_rng(1)
    hu = np.where(INSIDE, 100.0, -120.0) + 12 * gaussian_filter(rng.normal(size=SHAPE), 1.5) / 0.06
    hu += rng.normal(0, 6, SHAPE)
    hu[0, 0, 0] = -1000
    vessel = np.zeros(SHAPE, np.uint8)
    vessel[:, 44:48] = 1
    return {
        "image": write(hu.astype(np.int16), folder / "image.nii.gz"),
        "mask": write((LARGE | SMALL).astype(np.uint8), folder / "mask.nii.gz"),
        "liver_mask": write(INSIDE.astype(np.uint8), folder / "liver.nii.gz"),
        "vessels": write(vessel, folder / "vessels.nii.gz"),
        "none": write(np.zeros(SHAPE, np.uint8), folder / "none.nii.gz"),
    }


def region(case, name):
    """A region of a case in the whole image."""
    whole = np.zeros(case.full_size[::-1], bool)
    part = tuple(slice(o, o + n) for o, n in zip(case.offset[::-1], case.labels.shape, strict=True))
    whole[part] = (case.labels & case.facts["regions"][name]) > 0
    return whole


# --- lesions, rims, scales -------------------------------------------------------------------------------------------


def test_lesions_together_the_largest_or_each(row):
    together = make_case(row, REGIONS)
    assert np.array_equal(region(together, "tumour"), LARGE | SMALL)
    assert together.facts["lesions"] == 2
    [largest] = make_cases(row, REGIONS | {"lesions": "largest"})
    each = make_cases(row, REGIONS | {"lesions": "each"})
    assert np.array_equal(region(largest, "tumour"), LARGE)
    assert [c.facts["lesion"] for c in each] == [1, 2]
    assert np.array_equal(region(each[1], "tumour"), SMALL)
    for case in (largest, *each):  # the other lesion is cut from the rim
        assert not (region(case, "rim") & (LARGE | SMALL)).any()
        assert case.facts["region_table"][1]["lost_lesions"] > 0
    assert together.facts["region_table"][1]["lost_liver"] == 0


def test_lesions_are_kept_side_by_side_in_the_cache(row, tmp_path):
    made = cached_cases(row, REGIONS | {"lesions": "each"}, tmp_path)
    names = [name for name, _ in made]
    assert names[1] == names[0].replace(".npz", "-2.npz")
    (tmp_path / names[1]).unlink()
    again = cached_cases(row, REGIONS | {"lesions": "each"}, tmp_path)
    assert [name for name, _ in again] == names and (tmp_path / names[1]).exists()


def test_vessels_and_other_lesions_are_cut_from_the_rim_and_an_empty_mask_means_none(row):
    whole = make_case(row, REGIONS)
    cut = make_case(row | {"vessel_mask": row["vessels"], "lesions_mask": row["none"]}, REGIONS)
    vessel = np.zeros(SHAPE, bool)
    vessel[:, 44:48] = True
    assert np.array_equal(region(cut, "rim"), region(whole, "rim") & ~vessel)
    rim = cut.facts["region_table"][1]
    assert rim["lost_vessels"] == pytest.approx(1 - cut.facts["shell_fraction"])
    assert np.array_equal(region(cut, "tumour"), LARGE | SMALL)  # a vessel in the tumour stays


def test_a_further_rim_of_which_too_little_is_left_is_left_out_and_the_case_stays(row):
    case = make_case(row, REGIONS | {"more_rims": {"rim3": [0, 3], "far": [25, 50]}})
    assert case.facts["regions"] == {"tumour": 1, "rim": 2, "liver": 4, "rim3": 8, "far": 16}
    assert region(case, "rim3").sum() == case.facts["rim3_voxels"] > 0
    assert not (region(case, "rim3") & ~region(case, "rim")).any()
    assert not region(case, "far").any()
    reason = case.facts["region_table"][-1]["reason"]
    assert reason.startswith("far: ") and "of the 25 to 50 mm shell is left" in reason and "lost to" in reason
    with pytest.raises(StudyError, match="of the 50 mm shell is left"):  # the primary rim excludes the case
        make_case(row, REGIONS | {"rim_mm": 50})


def test_odd_hounsfield_units_are_flagged(row, tmp_path):
    shifted = sitk.ReadImage(row["image"]) + 1024
    sitk.WriteImage(shifted, str(tmp_path / "shifted.nii.gz"))
    flags = make_case(row | {"image": str(tmp_path / "shifted.nii.gz")}, REGIONS | {"rim_mm": 0}).facts["flags"]
    assert "is the rescale intercept applied?" in flags and "HU is odd" in flags
    assert make_case(row, REGIONS).facts["flags"] == ""


def test_normalised_scans_do_not_know_their_scale(row, tmp_path):
    other = sitk.Cast(sitk.ReadImage(row["image"]), sitk.sitkFloat32) * 3 + 5000
    sitk.WriteImage(other, str(tmp_path / "other.nii.gz"))
    for how in ("zscore", "liver"):
        settings = REGIONS | {"modality": "MR", "normalise": how}
        one, two = make_case(row, settings), make_case(row | {"image": str(tmp_path / "other.nii.gz")}, settings)
        assert np.allclose(one.image, two.image, atol=1e-2)
        assert (one.facts["modality"], one.facts["normalise"], one.facts["n4"]) == ("MR", how, False)
        assert two.facts["normalise_sd"] == pytest.approx(3 * one.facts["normalise_sd"], rel=1e-4)
    healthy = INSIDE & ~LARGE & ~SMALL
    values = sitk.GetArrayFromImage(sitk.ReadImage(row["image"])).astype(np.float64)[healthy]
    assert one.facts["normalise_mean"] == pytest.approx(values.mean())
    assert one.facts["normalise_sd"] == pytest.approx(values.std())
    with pytest.raises(StudyError, match="needs a liver mask"):
        make_case(row | {"liver_mask": None}, REGIONS | {"normalise": "liver"})


@pytest.mark.reference
def test_a_real_mr_is_normalised_and_its_bias_field_removed():
    if "REFERENCE_DATA" not in os.environ:
        pytest.skip("REFERENCE_DATA is not set")
    folder = Path(os.environ["REFERENCE_DATA"], "totalsegmentator_liver")
    image = sitk.ReadImage(str(folder / "example_mr_sm.nii.gz"), sitk.sitkFloat32)
    voxels = sitk.GetArrayFromImage(image)
    liver = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "example_seg_mr.nii.gz"))) == 5
    scaled, facts = normalised(voxels, "liver", liver)
    assert scaled[liver].mean() == pytest.approx(0, abs=1e-2) and scaled[liver].std() == pytest.approx(100, abs=1e-2)
    assert facts["normalise_mean"] == pytest.approx(voxels[liver].mean(), rel=1e-5)
    assert normalised(voxels, "zscore", None)[0][in_body(voxels)].std() == pytest.approx(100, abs=1e-2)
    assert in_body(voxels)[liver].mean() > 0.95  # dark beside fat, and yet no air
    x = np.broadcast_to(np.linspace(-1, 1, voxels.shape[2], dtype=np.float32), voxels.shape)
    biased = voxels * np.exp(0.5 * x)
    once, clean = (without_bias(v, image.GetSpacing()) for v in (voxels, biased))
    right = x < np.median(x[liver])

    def sides(v):
        """Log ratio of the liver's right to its left side."""
        return np.log(np.median(v[liver & right]) / np.median(v[liver & ~right]))

    planted, left_over = sides(biased) - sides(voxels), sides(clean) - sides(once)
    assert abs(planted) > 0.1 and abs(left_over) < 0.35 * abs(planted)


def test_lesions_become_one_row():
    lesions = [{"a": 1.0, "b": 4.0, "c": 2.0}, {"a": 4.0, "b": np.nan}]
    volumes = [30.0, 10.0]
    assert aggregated(lesions, volumes, "volume_weighted_mean") == {"a": 1.75, "b": 4.0, "c": 2.0}
    assert aggregated(lesions, volumes, "mean") == {"a": 2.5, "b": 4.0, "c": 2.0}
    assert aggregated(lesions, volumes, "max") == {"a": 4.0, "b": 4.0, "c": 2.0}
    assert aggregated(lesions, volumes, "largest") == {"a": 1.0, "b": 4.0, "c": 2.0}


# --- perturbed readings ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def case(row):
    return make_case(
        row | {"vessel_mask": row["vessels"]}, REGIONS | {"lesions": "largest", "more_rims": {"rim3": [0, 3]}}
    )


def reading(case, kinds, seed=0):
    return perturbed(case.image, case.labels, case.spacing, case.facts, kinds, np.random.default_rng(seed))


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_a_reading_is_its_seed(case):
    one, same, other = (reading(case, KINDS, seed) for seed in (3, 3, 4))
    assert np.array_equal(one[0], same[0]) and np.array_equal(one[1], same[1])
    assert not np.array_equal(one[0], other[0]) and not np.array_equal(one[1], other[1])


def test_noise_changes_the_image_only_and_by_its_own_noise(case):
    image, labels = reading(case, ["noise"])
    assert np.array_equal(labels, case.labels)
    assert 4 < noise_sd(case.image) < 9  # 6 HU of noise
    assert 4 < (image - case.image).std() < 9


def test_volume_and_contour_change_the_mask_only(case):
    tumour = (case.labels & TUMOUR) > 0
    for share in (-0.15, 0.1):
        changed = resized(tumour, case.spacing, share)
        assert changed.sum() == round(tumour.sum() * (1 + share))
        assert (changed & tumour).sum() == min(changed.sum(), tumour.sum())  # one holds the other
    image, labels = reading(case, ["contour"])
    redrawn = (labels & TUMOUR) > 0
    assert np.array_equal(image, case.image) and 0.75 < dice(redrawn, tumour) < 1


def test_rotation_and_shift_move_image_and_masks_together(case):
    tumour = (case.labels & TUMOUR) > 0
    for kind in ("rotation", "translation"):
        image, labels = reading(case, [kind], seed=5)
        moved = (labels & TUMOUR) > 0
        assert moved.sum() == pytest.approx(tumour.sum(), rel=0.02) and 0.85 < dice(moved, tumour) < 1
        assert image[moved].mean() == pytest.approx(case.image[tumour].mean(), abs=1)
        assert np.corrcoef(image[tumour], case.image[tumour])[0, 1] < 0.999


def test_rims_are_made_anew_around_the_perturbed_tumour(case):
    _, labels = reading(case, ["volume", "contour"])
    tumour, rim, rim3, clip = ((labels & bit) > 0 for bit in (TUMOUR, RIM, case.facts["regions"]["rim3"], CLIP))
    assert not (tumour & rim).any() and not (rim & ~clip).any() and not (rim3 & ~rim).any()
    from recur.images.regions import rims

    expected = rims(tumour, tuple(case.spacing), {"rim": (0, 6)}, {"clip": clip})["rim"].voxels
    assert np.array_equal(rim, expected)
    assert np.array_equal((labels & LIVER) > 0, (case.labels & LIVER) > 0)


# --- negative controls -----------------------------------------------------------------------------------------------


def test_controls_touch_what_they_say_and_nothing_else(case):
    regions = case.facts["regions"]
    inside = (case.labels & np.uint8(1 | 2 | 8)) > 0
    made = {
        name: controlled(case.image, case.labels, regions, name, np.random.default_rng(2))
        for name in ("shuffled_inside", "resampled_inside", "shuffled_outside")
    }
    for name in ("shuffled_inside", "resampled_inside"):
        assert np.array_equal(made[name][~inside], case.image[~inside])
    assert np.array_equal(made["shuffled_outside"][inside], case.image[inside])
    outside = np.sort(made["shuffled_outside"][~inside])
    assert np.array_equal(outside, np.sort(case.image[~inside]))
    filled = controlled(case.image, case.labels, regions, "resampled_outside", np.random.default_rng(2))
    around = ~inside & ((case.labels & CLIP) > 0)
    assert np.array_equal(filled[~inside], case.image[~inside]) and np.isin(filled[inside], case.image[around]).all()
    for bit in (1, 2, 8):  # every region keeps its own grey values, also where regions overlap
        here = (case.labels & bit) > 0
        assert np.array_equal(np.sort(made["shuffled_inside"][here]), np.sort(case.image[here]))
        assert np.isin(made["resampled_inside"][here], case.image[here]).all()
        assert not np.array_equal(made["shuffled_inside"][here], case.image[here])


EXTRACTION = {
    "spacing_mm": [1, 1, 1],
    "bin_width": 5,
    "image_types": ["Original"],
    "feature_set": "full851",
    "interpolator": "sitkBSpline",
    "pad_distance": 2,
}


def test_shuffling_inside_loses_the_texture_signal_and_keeps_shape_and_histogram(tmp_path):
    """Two groups of tumours with one histogram and one shape, but fine or coarse texture."""
    pytest.importorskip("radiomics")
    from recur.features.extract import extract_case
    from recur.images.case_file import load_case

    spacing, shape = (1.0, 1.0, 1.0), (50, 50, 50)
    tumour = sum((i - 25) ** 2 for i in np.indices(shape)) <= 64
    liver = np.ones(shape, np.uint8)
    liver[0] = 0  # a mask of the whole image is refused
    levels = np.sort(np.random.default_rng(0).normal(100, 20, tumour.sum()))
    settings = REGIONS | {"rim_mm": 0}
    features = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        hu = rng.normal(100, 20, shape)
        texture = gaussian_filter(rng.normal(size=shape), 0.5 + 1.5 * (seed % 2))[tumour]
        hu[tumour] = levels[np.argsort(np.argsort(texture))]
        row = {}
        for name, array in (("image", hu.astype(np.float32)), ("mask", tumour.astype(np.uint8)), ("liver_mask", liver)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(spacing)
            row[name] = str(tmp_path / f"{name}.nii.gz")
            sitk.WriteImage(image, row[name])
        save_case(make_case(row, settings), tmp_path / "case.npz")
        case = load_case(tmp_path / "case.npz")
        for control in ("none", "shuffled_inside", "shuffled_outside", "resampled_outside"):
            rng = np.random.default_rng([seed, 1])
            image = case.image
            if control != "none":
                image = controlled(case.image, case.labels, case.facts["regions"], control, rng)
            values = extract_case(case._replace(image=image), EXTRACTION)
            features.append({"group": seed % 2, "control": control} | values)
    table = pd.DataFrame(features)

    def gap(control, name):
        """Distance of the groups in units of the spread within them."""
        mine = table[table["control"] == control].groupby("group")[f"tumour_original_{name}"]
        return abs(mine.mean().diff().iloc[1]) / np.sqrt((mine.var()).mean())

    for name in ("glcm_Correlation", "glrlm_RunPercentage", "ngtdm_Coarseness", "gldm_DependenceEntropy"):
        assert gap("none", name) > 5, name
        assert max(gap("shuffled_inside", name), gap("resampled_outside", name)) < 3, name
        assert gap("shuffled_outside", name) > 5, name  # the signal is the region's own
    plain, shuffled = (table[table["control"] == c].reset_index() for c in ("none", "shuffled_inside"))
    kept = [n for n in table.columns if "_shape_" in n or "_firstorder_" in n]
    assert len(kept) == 32 and np.allclose(plain[kept], shuffled[kept], rtol=1e-6)


def test_the_program_makes_readings_and_controls_of_a_batch(row, tmp_path):
    """Perturbed readings of training patients only; a control of everybody; the same bytes again."""
    pytest.importorskip("radiomics")
    cached = cached_cases(row, REGIONS | {"lesions": "each"}, tmp_path / "cache")
    table = pd.DataFrame(
        [
            {"patient_id": patient, "phase": "AP", "reader": "reader1", "status": "ok", "case": name}
            | {key: case.facts[key] for key in ("tumour_ml", "rim_voxels", "lesion", "lesions")}
            for patient in ("A1", "B1")
            for name, case in cached
        ]
    )
    table.to_csv(tmp_path / "cases.csv", index=False)
    assigned = pd.DataFrame({"patient_id": ["A1", "B1"], "centre": ["A", "B"], "cohort": ["train", "external-B"]})
    assigned.to_csv(tmp_path / "assigned.csv", index=False)
    images = {"modality": "CT", "lesions": "each"}
    settings = {"extraction": EXTRACTION, "images": images, "phases": ["AP"], "regions": ["tumour", "rim"]}
    settings |= {"pinned": None}

    def run(variant, output):
        arguments = {
            "cases": tmp_path / "cases.csv", "assigned": tmp_path / "assigned.csv", "variant": variant,
            "cache": tmp_path / "cache", "settings": json.dumps(settings), "reader": "reader1", "seed": 1,
            "perturbations": json.dumps({"count": 2, "patients": 30, "kinds": KINDS}),
            "aggregate": "volume_weighted_mean", "output": tmp_path / output, "exclusions": tmp_path / "excluded.csv",
        }  # fmt: skip
        line = [str(part) for name, value in arguments.items() for part in (f"--{name}", value)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["variant_features.py", *line])
            runpy.run_path(str(ROOT / "scripts/variant_features.py"), run_name="__main__")
        assert pd.read_csv(tmp_path / "excluded.csv").empty
        return pd.read_parquet(tmp_path / output).set_index("patient_id")

    one, two, control = run("p1", "p1.parquet"), run("p2", "p2.parquet"), run("shuffled_inside", "control.parquet")
    assert list(one.index) == ["A1"] and list(control.index) == ["A1", "B1"]
    assert list(one.columns) == list(control.columns) and len(one.columns) == 1 + 2 * 107
    name = "AP_tumour_original_firstorder_Mean"
    assert one.loc["A1", name] != two.loc["A1", name] and one.loc["A1", name] == pytest.approx(100, abs=5)
    first = (tmp_path / "p1.parquet").read_bytes()
    for stored in (tmp_path / "cache/features").glob("*.npz"):
        stored.unlink()
    run("p1", "p1.parquet")
    assert (tmp_path / "p1.parquet").read_bytes() == first


# --- the study file --------------------------------------------------------------------------------------------------


def resolved(tmp_path, **changes):
    study = yaml.safe_load((ROOT / "config.yaml").read_text())
    images, analysis = changes.pop("images", {}), changes.pop("analysis", {})
    study["images"] |= images
    study |= {"analyses": {"main": {"preset": "recommended", "endpoint": "TTR"} | analysis}, "primary": "main"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    return studies.resolve(tmp_path / "study.yaml")


def test_perturbed_readings_stand_in_for_a_second_reader(tmp_path):
    two = resolved(tmp_path)
    assert facts.variants(two) == [] and facts.reading_tables(two, "main") == ["reader1", "reader2"]
    one = resolved(tmp_path, images={"readers": ["reader1"], "perturbations": {"count": 2}})
    assert one["analyses"]["main"]["stability"]["source"] == "perturbations"
    assert facts.reading_tables(one, "main") == ["reader1", "reader1-p1", "reader1-p2"]
    asked = resolved(tmp_path, analysis={"stability": {"source": "perturbations"}})
    assert facts.reading_tables(asked, "main") == ["reader1", *(f"reader1-p{k}" for k in (1, 2, 3, 4))]


def test_a_control_takes_all_its_tables_from_the_control(tmp_path):
    study = resolved(tmp_path, analysis={"control": "shuffled_inside"})
    assert facts.variants(study) == ["shuffled_inside"]
    assert facts.reading_tables(study, "main") == ["reader1-shuffled_inside", "reader2-shuffled_inside"]
    alone = resolved(tmp_path, images={"readers": ["reader1"]}, analysis={"control": "shuffled_inside"})
    assert facts.reading_tables(alone, "main") == ["reader1-shuffled_inside"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"analysis": {"regions": ["tumour", "rim5"]}}, "'rim5' is no region of images.regions (tumour, rim)"),
        ({"images": {"regions": {"more_rims": {"rim5": [5, 5]}}}}, "outer width must be above the inner"),
        ({"images": {"modality": "MR"}}, "MR has no scale of its own"),
        ({"images": {"n4": True}}, "bias fields are corrected in MR only"),
    ],
)
def test_what_the_images_cannot_give_is_refused(tmp_path, changes, problem):
    with pytest.raises(StudyError, match="images.|analyses.") as caught:
        resolved(tmp_path, **changes)
    assert problem in str(caught.value)


def test_perturbed_patients_train_in_every_analysis():
    ids = [f"P{i:02d}" for i in range(20)]
    assigned = pd.DataFrame({"patient_id": ids, "centre": "A", "cohort": ["train"] * 15 + ["test"] * 5})
    assigned["cohort_other"] = ["test"] * 5 + ["train"] * 15
    assert training_patients(assigned, None, 1) == set(ids[5:15])
    some = training_patients(assigned, 4, 1)
    assert (
        len(some) == 4
        and some < set(ids[5:15])
        and some == training_patients(assigned.sample(frac=1, random_state=0), 4, 1)
    )
    assert some != training_patients(assigned, 4, 2)


def test_facts_are_plain_json(case):
    assert json.loads(json.dumps(case.facts)) == case.facts


@pytest.mark.slow
def test_a_study_with_one_reader_a_second_rim_and_a_control(tmp_path):
    """The workflow to its ICC tables: perturbed readings by their name, a sensitivity rim, a control of its own."""
    from small import run_snakemake, small_project

    project = small_project(tmp_path / "project")
    study = yaml.safe_load((project / "config.yaml").read_text())
    study["images"] |= {"readers": ["reader1"], "perturbations": {"count": 2, "patients": 12}}
    study["images"]["regions"]["more_rims"] = {"rim5": [0, 5]}
    own = study["analyses"]["recommended"]
    study["analyses"] |= {
        "narrow": own | {"regions": ["tumour", "rim5"]},
        "filled": own | {"control": "resampled_outside"},
    }
    (project / "config.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    wanted = [f"results/demo/signature/{name}/icc.csv" for name in study["analyses"]]
    assert run_snakemake(project, "--cores", "2", *wanted).returncode == 0
    assert problems_of_results(project / "results/demo") == []
    icc = {name: pd.read_csv(project / path) for name, path in zip(study["analyses"], wanted, strict=True)}
    assert set(icc["recommended"]["source"]) == {"perturbations"} and set(icc["recommended"]["readings"]) == {3}
    assert set(icc["recommended"]["feature"].str.split("_").str[1]) == {"tumour", "rim"}
    assert set(icc["narrow"]["feature"].str.split("_").str[1]) == {"tumour", "rim5"}
    assert icc["filled"].empty  # a control of one reader has no further reading
    truth = pd.read_csv(project / "results/demo/input/truth.csv").set_index("patient_id")["heterogeneity"]
    seen = {}
    for name in ("reader1", "reader1-resampled_outside"):
        table = pd.read_parquet(project / f"results/demo/features/{name}.parquet").set_index("patient_id")
        texture = table["AP_tumour_original_firstorder_Variance"]
        seen[name] = abs(texture.corr(truth.loc[table.index], method="spearman"))
    assert seen["reader1"] > 0.8 and seen["reader1-resampled_outside"] < 0.4
