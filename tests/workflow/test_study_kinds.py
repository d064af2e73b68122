"""Whole runs of studies that are not prognostic: levels of a grade, lesions of patients, two readers of masks."""

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
import yaml
from binary_study import write_study
from small import ROOT, run_snakemake, small_project

from recur.contracts import problems_of_results
from recur.statistics.agreement import categories, cross_table


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return small_project(tmp_path_factory.mktemp("kinds") / "project")


def run(project, study: dict, tables: dict[str, pd.DataFrame]):
    """Write the study and its tables, run it to its end; its results."""
    for name, table in tables.items():
        table.to_csv(project / name, index=False)
    (project / f"{study['study']}.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    result = run_snakemake(project, "--config", f"study={study['study']}.yaml")
    assert result.returncode == 0
    results = project / "results" / study["study"]
    assert problems_of_results(results) == []
    return results


def variable(column: str, kind: str, timing: str = "pre", **more) -> dict:
    return {"column": column, "kind": kind, "timing": timing} | more


def figures(results, folder: str) -> set[str]:
    return {path.stem for path in (results / "figures" / folder).glob("*.svg")}


@pytest.fixture(scope="module")
def graded(project):
    """Differentiation (ordered) and macroscopic type (not) of 150 patients of two centres; both follow the AFP."""
    rng, n = np.random.default_rng(3), 150
    afp = rng.normal(size=n)
    clinical = pd.DataFrame({"id": [f"P{i:03d}" for i in range(n)], "centre": np.where(np.arange(n) < 100, "A", "B")})
    clinical["afp"] = np.exp(afp + 3).round(3)
    clinical["cirrhosis"] = rng.integers(0, 2, n)
    clinical["grade"] = np.array(["I", "II", "III"])[np.digitize(1.5 * afp + rng.logistic(size=n), [-0.8, 0.9])]
    drawn = rng.gumbel(size=(n, 3)) + np.column_stack([0 * afp, afp, -afp])
    clinical["macroscopic"] = np.array(["nodular", "massive", "diffuse"])[drawn.argmax(axis=1)]
    levels = {"grade": ["I", "II", "III"], "macroscopic": ["nodular", "massive", "diffuse"]}
    quick = {"nested_folds": 3, "nested_repeats": 1, "resamples": 0, "learning_repeats": 0}
    study = {
        "study": "graded", "synthetic": True,
        "clinical": {
            "table": "graded.csv", "id": "id", "centre": "centre",
            "variables": {
                "ln_afp": variable("afp", "numeric", transform="ln"), "cirrhosis": variable("cirrhosis", "binary"),
            },
        },
        "endpoints": {
            "grade": {"kind": "ordinal", "column": "grade", "levels": levels["grade"]},
            "macroscopic": {"kind": "categorical", "column": "macroscopic", "levels": levels["macroscopic"]},
        },
        "split": {"kind": "centre", "train": ["A"], "external": ["B"]},
        "candidates": {"pre": ["ln_afp", "cirrhosis"]},
        "analyses": {name: {"endpoint": name, "internal_validation": quick} for name in levels},
    }  # fmt: skip
    return run(project, study, {"graded.csv": clinical})


def test_an_ordinal_and_a_categorical_endpoint_run_to_their_report(graded):
    for name, models in (("grade", {"multinomial_pre", "ordinal_pre"}), ("macroscopic", {"multinomial_pre"})):
        performance = pd.read_csv(graded / f"validation/{name}/category_performance.csv")
        assert set(performance["model"]) == models
        assert {"train-nested_cv", "external-B"} <= set(performance["cohort"])
        held = performance[(performance["cohort"] == "external-B") & (performance["metric"].str.startswith("auc"))]
        assert held["estimate"].between(0.5, 1).all() and held["estimate"].max() > 0.65
        tests = pd.read_csv(graded / f"validation/{name}/category_tests.csv")
        assert tests.loc[tests["variable"] == "ln_afp", "p"].min() < 1e-3
    page = (graded / "report/report.html").read_text()
    assert "SYNTHETIC DATA" in page and "rdinal" in page


@pytest.mark.slow
def test_a_binary_endpoint_runs_to_its_report_and_is_not_predicted_by_itself(project):
    """Microvascular invasion beside the published scores, five of which are computed from it."""
    path = write_study(project)
    study = yaml.safe_load(path.read_text())
    study["comparators"] = yaml.safe_load((ROOT / "config.yaml").read_text())["comparators"]
    study["analyses"], study["endpoints"] = {"mvi": study["analyses"]["mvi"]}, {"MVI": study["endpoints"]["MVI"]}
    results = run(project, study, {})
    performance = pd.read_csv(results / "validation/performance.csv")
    for place in ("train-nested_cv", "train-oob", "train-optimism_corrected", "external-B"):
        known = performance[(performance["cohort"] == place) & performance["estimate"].notna()]
        assert {"auc", "brier", "calibration_slope", "calibration_intercept", "oe_ratio"} <= set(known["metric"])
    compared = pd.read_csv(results / "validation/score_comparisons.csv")
    assert {"albi", "bclc"} <= set(compared["model_b"]) and set(compared["metric"]) == {"auc"}
    notes = pd.read_csv(results / "cohort/score_notes.csv").set_index("id")["variables"].str.split(";")
    circular = {name for name, variables in notes.items() if "mvi" in variables}
    assert len(circular) == 5 and not circular & set(compared["model_b"])
    groups = pd.read_csv(results / "validation/mvi/subgroups.csv")
    assert set(groups["metric"]) == {"auc"} and not groups["factor"].str.contains("invasion").any()
    assert {"subgroups", "score_comparison", "concordance", "roc", "calibration"} <= figures(results, "mvi")
    assert "computed from the endpoint itself, hence not judged" in (results / "report/report.html").read_text()


@pytest.fixture(scope="module")
def lesions(project):
    """45 patients with one to four lesions; lesions of a patient look alike. Some cells are missing."""
    rng, rows = np.random.default_rng(5), []
    patients = [f"P{i:02d}" for i in range(45)]
    for patient in patients:
        own = rng.normal()
        for _ in range(rng.integers(1, 5)):
            hcc = rng.random() < 1 / (1 + np.exp(-2 * own))
            latent = own + 1.5 * hcc + 0.5 * rng.normal()
            levels = [f"LR-{3 + np.digitize(latent + 0.4 * rng.normal(), [0, 1.2])}" for _ in range(2)]
            rows.append([patient, int(hcc), round(-10 * latent + 5 * rng.normal(), 2), *levels])
    table = pd.DataFrame(rows, columns=["id", "hcc", "washout", "reader1", "reader2"]).astype(object)
    table.loc[3, "washout"], table.loc[7, "hcc"] = "", ""
    lirads = {"levels": ["LR-3", "LR-4", "LR-5"]}
    diagnostic = {
        "lesions": {
            "table": "lesions.csv", "id": "id",
            "variables": {
                "hcc": variable("hcc", "binary", "post"), "washout": variable("washout", "numeric"),
                "reader1": variable("reader1", "ordinal", **lirads),
                "reader2": variable("reader2", "ordinal", **lirads),
            },
        },
        "reference": "hcc",
        "tests": {"reader1": {"positive_from": ["LR-5", "LR-4"]}, "washout": {"direction": "lower"}},
        "combination": ["reader1", "washout"],
        "readers": {"lirads": ["reader1", "reader2"]},
        "resamples": 60,
    }  # fmt: skip
    study = {"study": "lesions", "synthetic": True, "clinical": {"table": "people.csv", "id": "id"}}
    people = pd.DataFrame({"id": patients})
    results = run(project, study | {"diagnostic": diagnostic}, {"people.csv": people, "lesions.csv": table})
    return results, table


def test_lesions_are_the_units_and_patients_what_is_drawn(lesions):
    results, table = lesions
    flow = pd.read_csv(results / "diagnostic/participants.csv").set_index("test")
    assert (flow["eligible"] == len(table)).all()
    flow = flow.loc["washout", ["no_index_test", "no_reference"]]
    assert flow.drop_duplicates().to_numpy().tolist() == [[1, 1]]
    accuracy = pd.read_csv(results / "diagnostic/accuracy.csv")
    row = accuracy[(accuracy["cutoff"] == "LR-5") & (accuracy["metric"] == "sensitivity")].iloc[0]
    sick, known = table[table["hcc"] == 1], table.loc[table["hcc"] != "", "id"].nunique()
    assert (row["x"], row["n"]) == ((sick["reader1"] == "LR-5").sum(), len(sick))
    assert accuracy["method"].str.startswith(f"bootstrap of {known} patients").all()
    comparisons = pd.read_csv(results / "diagnostic/comparisons.csv")
    assert comparisons["p"].isna().all() and comparisons["lower"].notna().all()
    auc = pd.read_csv(results / "diagnostic/auc.csv").set_index(["test", "cohort"])["estimate"]
    assert auc["combination", "all-optimism_corrected"] < auc["combination", "all-apparent"]
    assert figures(results, "diagnostic") == {"test_accuracy", "test_roc", "reader_agreement"}
    page = (results / "report/diagnostic.html").read_text()
    assert "SYNTHETIC DATA" in page and "STARD 2015" in page


def test_readers_of_lesions_agree_as_counted_from_the_raw_table(lesions):
    results, table = lesions
    found = pd.read_csv(results / "diagnostic/agreement.csv").set_index("coefficient")["estimate"]
    codes = [table[name].str[-1].astype(int) - 3 for name in ("reader1", "reader2")]
    rows = {row["coefficient"]: row["estimate"] for row in categories(cross_table(*codes, range(3)), True)}
    for coefficient in ("agreement", "kappa", "kappa_quadratic", "gwet_ac1"):
        assert found[coefficient] == pytest.approx(rows[coefficient], abs=1e-9)


def ball(radius: float, shift: float) -> np.ndarray:
    """A ball in 32 x 48 x 48 voxels of 2 mm; radius and shift along x in mm."""
    z, y, x = np.indices((32, 48, 48)) * 2.0
    return (z - 32) ** 2 + (y - 48) ** 2 + (x - 48 - shift) ** 2 <= radius**2


@pytest.fixture(scope="module")
def readers(project):
    """Eight patients whose tumours two readers drew (the second somewhat larger, and aside) and measured."""
    folder, rng, rows = project / "reading", np.random.default_rng(7), []
    folder.mkdir()

    def write(array: np.ndarray, name: str) -> str:
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((2, 2, 2))
        sitk.WriteImage(image, str(folder / name))
        return name

    clinical = pd.DataFrame({"id": [f"P{i}" for i in range(8)]})
    drawn = {}
    for i, patient in enumerate(clinical["id"]):
        image = write((90 + 8 * rng.normal(size=(32, 48, 48))).astype(np.int16), f"{patient}.nii.gz")
        masks = [ball(10 + i, 0), ball(11 + i, 2)]
        drawn[patient] = 2 * (masks[0] & masks[1]).sum() / (masks[0].sum() + masks[1].sum())
        for reader, mask in zip(("reader1", "reader2"), masks, strict=True):
            name = write(mask.astype(np.uint8), f"{patient}-{reader}.nii.gz")
            rows.append({"patient_id": patient, "phase": "AP", "reader": reader, "image": image, "mask": name})
    for reader, more in (("1", 0.0), ("2", 0.4)):
        clinical[f"size{reader}"] = (20 + 2 * np.arange(8) + more + rng.normal(0, 0.5, 8)).round(2)
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)
    study = {
        "study": "readers", "synthetic": True,
        "clinical": {
            "table": "readers.csv", "id": "id",
            "variables": {f"size{k}": variable(f"size{k}", "numeric", unit="mm") for k in (1, 2)},
        },
        "images": {
            "manifest": "reading/images.csv", "phases": ["AP"], "readers": ["reader1", "reader2"],
            "extraction": {"image_types": ["Original"], "spacing_mm": [2, 2, 2]},
        },
        "batches": 1,
        "diagnostic": {"readers": {"size": ["size1", "size2"]}},
    }  # fmt: skip
    return run(project, study, {"readers.csv": clinical}), drawn, clinical


@pytest.mark.slow
def test_two_readers_masks_are_compared_in_the_results_and_on_the_page(readers):
    results, drawn, _ = readers
    masks = pd.read_csv(results / "diagnostic/masks.csv").set_index("patient_id")
    for patient, dice in drawn.items():
        assert masks.loc[patient, "dice"] == pytest.approx(dice, abs=1e-9)
    assert masks["hausdorff_mm"].between(2, 4.5).all()
    assert figures(results, "diagnostic") == {"mask_agreement", "reader_agreement"}
    page = (results / "report/diagnostic.html").read_text()
    assert "Agreement of the readers&#x27; masks" in page and page.count("data:image/png") == 2


@pytest.mark.slow
def test_two_readers_numbers_have_their_icc(readers):
    results, _, clinical = readers
    found = pd.read_csv(results / "diagnostic/agreement.csv").iloc[0]
    x = clinical[["size1", "size2"]].to_numpy()
    n, k = x.shape
    row, column = x.mean(axis=1), x.mean(axis=0)
    between = k * ((row - x.mean()) ** 2).sum() / (n - 1)
    readers_ms = n * ((column - x.mean()) ** 2).sum() / (k - 1)
    error = ((x - row[:, None] - column + x.mean()) ** 2).sum() / ((n - 1) * (k - 1))
    expected = (between - error) / (between + (k - 1) * error + k * (readers_ms - error) / n)
    assert found["coefficient"] == "icc_2_1"
    assert found["estimate"] == pytest.approx(expected, abs=1e-9)
