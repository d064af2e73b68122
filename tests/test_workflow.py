"""The whole study on a few generated patients: every floor, a second run that does nothing, figures from tables."""

import json
import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from small import run_snakemake, small_project


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The small study, run once to its report."""
    project = small_project(tmp_path_factory.mktemp("study") / "project")
    result = run_snakemake(project)
    assert result.returncode == 0
    assert "report  results/demo/report/report.html" in result.stdout + result.stderr
    return project


def table(study, name):
    return pd.read_csv(study / "results/demo" / name)


def test_a_second_run_does_nothing(study):
    result = run_snakemake(study)
    assert "Nothing to be done" in result.stdout + result.stderr


def test_the_planted_broken_patients_are_excluded_with_their_reasons(study):
    exclusions = table(study, "cohort/exclusions.csv").set_index("patient_id")
    truth = table(study, "input/truth.csv").dropna(subset="defect").set_index("patient_id")
    assert set(truth.index) <= set(exclusions.index)
    words = {
        "mask_missing": "no such file",
        "mask_empty": "empty",
        "mask_other_grid": "another grid",
        "duplicate_id": "several rows",
        "recurrence_before_surgery": "is before surgery_date",
        "no_image_row": "no image in the manifest",
    }
    for patient, defect in truth["defect"].items():
        assert words[defect] in exclusions.loc[patient, "reason"]


def test_the_tables_have_their_columns(study):
    first = ["analysis", "endpoint"]
    assert list(table(study, "cohort/assigned.csv").columns) == ["patient_id", "centre", "cohort"]
    assert {"patient_id", "cohort", "TTR_time", "TTR_event"} <= set(table(study, "cohort/patients.csv").columns)
    assert list(table(study, "cohort/exclusions.csv").columns) == ["patient_id", "floor", "reason"]
    performance = ["model", "cohort", "metric", "horizon_months", "estimate", "lower", "upper", "n", "events", "method"]
    assert list(table(study, "validation/performance.csv").columns) == first + performance
    comparisons = [
        "cohort",
        "model_a",
        "model_b",
        "metric",
        "horizon_months",
        "difference",
        "lower",
        "upper",
        "p",
        "method",
    ]
    assert list(table(study, "validation/comparisons.csv").columns) == first + comparisons
    coefficients = ["model", "stage", "term", "coef", "se", "hr", "lower", "upper", "p", "n", "events"]
    assert [c for c in table(study, "models/coefficients.csv").columns if c != "label"] == first + coefficients


def test_cohorts_and_internal_validation_are_in_the_performance_table(study):
    cohorts = set(table(study, "validation/performance.csv")["cohort"])
    assert cohorts == {"train-apparent", "train-nested_cv", "train-oob", "train-optimism_corrected", "external-B"}


def test_the_signature_is_frozen_as_json_with_training_means(study):
    signature = json.loads((study / "results/demo/signature/recommended/signature.json").read_text())
    assert {"features", "lambda", "n", "events"} <= set(signature)


def test_every_figure_and_the_page_say_synthetic(study):
    page = (study / "results/demo/report/report.html").read_text()
    assert "SYNTHETIC DATA" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    figures = list((study / "results/demo/figures/recommended").glob("*.svg"))
    assert len(figures) > 10


def test_the_image_page_has_every_case_the_excluded_first_and_its_pictures_exist(study):
    folder = study / "results/demo/images/qc"
    html = (folder / "index.html").read_text()
    rows = re.findall("<tr.*?</tr>", html.split("<tbody>")[1], re.S)
    cases = pd.concat(map(pd.read_csv, sorted(folder.parent.glob("batch-*.csv"))))
    assert len(rows) == len(cases) and "SYNTHETIC" in html
    excluded = int((cases["status"] == "excluded").sum())
    assert excluded > 0 and all('class="excluded"' in row for row in rows[:excluded])
    links = re.findall('(?:href|src)="([^"]+)"', "".join(rows))
    assert len(links) > len(cases) and all((folder / link).is_file() for link in links)


def test_the_frozen_models_can_be_used(study, tmp_path):
    """The scorer on the raw tables of the held-out patients gives the bytes of floor 7; calculator and card exist."""
    results = study / "results/demo"
    for name in ("calculator.html", "model_card.html", "model_card.md"):
        assert "SYNTHETIC DATA" in (results / "report" / name).read_text()
    risks = pd.read_csv(results / "validation/recommended/risks.csv", dtype=str, keep_default_na=False)
    risks = risks[risks["cohort"] == "external-B"].set_index(["model", "patient_id"])
    raw = pd.read_csv(results / "input/clinical.csv", dtype=str, keep_default_na=False)
    raw[raw["patient_id"].isin(risks.index.levels[1])].to_csv(tmp_path / "new.csv", index=False)
    command = [sys.executable, "scripts/score.py", "--models", results / "models/recommended/frozen"]
    command += ["--signature", results / "signature/recommended/signature.json", "--clinical", tmp_path / "new.csv"]
    command += ["--features", results / "features/reader1.parquet", "--output", tmp_path / "scores.csv"]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(tmp_path / "scores.csv", dtype=str, keep_default_na=False).set_index(["model", "patient_id"])
    columns = ["lp", "risk_24", "risk_60", "group"]
    pd.testing.assert_frame_equal(scores[columns].sort_index(), risks[columns].sort_index())


def test_no_identifying_dicom_header_reaches_the_results(study):
    for path in (study / "results/demo").rglob("*.csv"):
        if "input" not in path.parts:
            assert "SYNTHETIC^" not in path.read_text()


def test_figures_are_redrawn_from_copied_tables_alone(study, tmp_path):
    copy = small_project(tmp_path / "copy")
    (copy / "config.yaml").write_text((study / "config.yaml").read_text())
    for path in (study / "results/demo").rglob("*"):
        place = path.relative_to(study)
        if path.suffix in (".csv", ".sha256") and "input" not in place.parts:
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / place)
    script = copy / "scripts/features.py"
    script.write_text(script.read_text() + "\n# edited\n")
    result = run_snakemake(copy, "figures", "--config", "from=tables")
    assert result.returncode == 0
    for path in (study / "results/demo/figures/recommended").iterdir():
        assert (copy / path.relative_to(study)).read_bytes() == path.read_bytes(), path.name
    edited = copy / "results/demo/survival/recommended/km.csv"
    edited.write_text(edited.read_text() + "\n")
    result = run_snakemake(copy, "figures", "--config", "from=tables")
    assert result.returncode != 0
    assert "is not the table that the study made" in result.stdout + result.stderr


def test_a_misspelt_option_is_refused(study):
    result = run_snakemake(study, "--config", "studdy=x.yaml", "-n")
    assert result.returncode != 0
    assert "--config knows from, study, not studdy" in result.stdout + result.stderr


def test_check_lists_all_problems_and_runs_nothing(study):
    bad = study / "bad.yaml"
    bad.write_text("study: bad\nclinical: {table: nowhere.csv, id: x, centr: y}\nbatch: 3\n")
    result = run_snakemake(study, "check", "--config", "study=bad.yaml")
    text = result.stdout + result.stderr
    assert result.returncode != 0
    assert "unknown key 'centr'; did you mean 'centre'?" in text
    assert "unknown key 'batch'; did you mean 'batches'?" in text
    assert "Traceback" not in text
