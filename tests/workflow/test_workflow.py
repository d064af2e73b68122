"""The whole study on a few generated patients: every floor, a second run that does nothing, figures from tables."""

import hashlib
import json
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from urllib.parse import unquote

import pandas as pd
import pydicom
import pytest
import yaml
from report_notebook import sections
from rocrate.rocrate import ROCrate
from small import ROOT, run_snakemake, small_project

from recur.contracts import problems_of_results
from recur.report import checklists
from recur.report.manuscript import as_html, manuscript_tables
from recur.report.pages import blocks_page
from recur.report.results import run_of
from recur.vocabulary import study_words


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


def test_every_table_and_every_frozen_model_is_as_its_contract_has_it(study):
    assert problems_of_results(study / "results/demo") == []


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
    coefficients = [
        "model",
        "stage",
        "term",
        "coef",
        "se",
        "hr",
        "lower",
        "upper",
        "p",
        "p_term",
        "n",
        "events",
        "method",
        "likelihood",
        "limits",
    ]
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
    risks, ids = held_out_risks(study)
    scores = scored(study, ids, results / "features/reader1.parquet", tmp_path)
    pd.testing.assert_frame_equal(scores.sort_index(), risks.sort_index())


@pytest.mark.slow
def test_images_of_new_patients_are_scored_by_the_study_file_on_the_model_card(study, tmp_path):
    """From image files through the printed study file, in a study of its own, to floor 7's bytes."""
    card = (study / "results/demo/report/model_card.md").read_text().split("## How to apply")[1]
    lines = card[card.index("    study: new") :].split("\n\n")[0].splitlines()
    (study / "new.yaml").write_text("\n".join(line[4:] for line in lines))
    risks, ids = held_out_risks(study)
    images = pd.read_csv(study / "results/demo/input/images.csv", dtype=str, keep_default_na=False)
    images = images[images["patient_id"].isin(ids[:3]) & (images["reader"] == "reader1")]
    for column in images.columns[images.columns.isin(["image", "mask", "liver_mask"])]:
        images[column] = images[column].map(lambda path: f"results/demo/input/{path}" if path else "")
    images.to_csv(study / "new_images.csv", index=False)
    clinical = pd.read_csv(study / "results/demo/input/clinical.csv", dtype=str, keep_default_na=False)
    clinical[clinical["patient_id"].isin(ids[:3])].to_csv(study / "patients.csv", index=False)
    assert run_snakemake(study, "--config", "study=new.yaml").returncode == 0
    scores = scored(study, ids[:3], study / "results/new/features/reader1.parquet", tmp_path)
    pd.testing.assert_frame_equal(scores.sort_index(), risks.loc[scores.index].sort_index())


def held_out_risks(study):
    """Rows of risks.csv of the external centre as text, and the ids."""
    risks = pd.read_csv(study / "results/demo/validation/recommended/risks.csv", dtype=str, keep_default_na=False)
    risks = risks[risks["cohort"] == "external-B"].set_index(["model", "patient_id"])
    return risks[["lp", "risk_24", "risk_60", "group"]], list(dict.fromkeys(risks.index.get_level_values(1)))


def scored(study, ids, features, folder):
    """The scorer on the raw clinical rows of some patients; its columns that floor 7 has too, as text."""
    results = study / "results/demo"
    raw = pd.read_csv(results / "input/clinical.csv", dtype=str, keep_default_na=False)
    raw[raw["patient_id"].isin(ids)].to_csv(folder / "new.csv", index=False)
    command = [sys.executable, "scripts/score.py", "--models", results / "models/recommended/frozen"]
    command += ["--signature", results / "signature/recommended/signature.json", "--clinical", folder / "new.csv"]
    command += ["--features", features, "--output", folder / "scores.csv"]
    done = subprocess.run(command, cwd=study, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(folder / "scores.csv", dtype=str, keep_default_na=False)
    return scores.set_index(["model", "patient_id"])[["lp", "risk_24", "risk_60", "group"]]


def test_no_identifying_dicom_header_reaches_the_results(study):
    for path in (study / "results/demo").rglob("*.csv"):
        if "input" not in path.parts:
            assert "SYNTHETIC^" not in path.read_text()


def test_figures_are_redrawn_from_copied_tables_alone(study, tmp_path):
    copy = redrawn(study, tmp_path / "copy")
    edited = copy / "results/demo/survival/recommended/km.csv"
    edited.write_text(edited.read_text() + "\n")
    result = run_snakemake(copy, "figures", "--config", "from=tables")
    assert result.returncode != 0
    assert "is not the table that the study made" in result.stdout + result.stderr


@pytest.mark.slow
def test_the_figures_of_the_demo_are_redrawn_in_less_than_two_minutes(tmp_path):
    if not (ROOT / "results/demo/report/report.html").exists():
        pytest.skip("needs the demo (make demo)")
    redrawn(ROOT, tmp_path / "copy")


def redrawn(study, copy):
    """A clone with tables alone and an edited extraction script, where the same figures are drawn in two minutes."""
    small_project(copy)
    shutil.copyfile(study / "config.yaml", copy / "config.yaml")
    for path in (study / "results/demo").rglob("*"):
        place = path.relative_to(study)
        if path.suffix in (".csv", ".sha256") and "input" not in place.parts:
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / place)
    script = copy / "scripts/features.py"
    script.write_text(script.read_text() + "\n# edited\n")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run_snakemake(copy, "figures", "--config", "from=tables")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.returncode == 0
    # of one processor: what else the machine does is no matter, and more cores are faster
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 120
    assert set(re.findall(r"\(Rule: (\w+)\)", result.stdout + result.stderr)) == {"figures"}
    figures = [path for path in (study / "results/demo/figures").rglob("*") if path.is_file()]
    assert len(figures) > 30
    for path in figures:
        assert (copy / path.relative_to(study)).read_bytes() == path.read_bytes(), path.name
    return copy


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


def test_no_identifier_of_a_header_reaches_results_logs_or_cache(study):
    """Names, dates and UIDs of the demo's DICOM files; patients go by the ids of the study's own table."""
    secrets = {"SYNTHETIC^"}
    for path in (study / "results/demo/input").rglob("*.dcm"):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        for element in header.iterall():
            if (
                element.VR in ("UI", "DA", "PN")
                and element.value
                and not str(element.value).startswith("1.2.840.10008")
            ):
                secrets.add(str(element.value))
    assert len(secrets) > 10
    places = [study / "logs", study / "results/cache", study / "benchmarks", *(study / "results/demo").iterdir()]
    files = [path for place in places if place.name != "input" for path in [place, *place.rglob("*")] if path.is_file()]
    wanted = re.compile("|".join(map(re.escape, sorted(secrets))).encode())
    for path in files:
        content = path.read_bytes()
        texts = [content]
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as stored:
                texts = [stored.read(name) for name in stored.namelist() if name.startswith("facts")]
        assert not any(wanted.search(text) for text in texts), path
        assert not wanted.search(path.name.encode())


def test_pages_run_and_fetch_nothing_from_elsewhere(study):
    pages = list((study / "results/demo").rglob("*.html"))
    assert len(pages) >= 4
    for page in pages:
        text = page.read_text()
        assert not re.search(r"""<(script|link|img|iframe)[^>]*(src|href)=["']?(https?:)?//""", text), page


def test_every_evidence_link_of_the_checklists_leads_to_a_file(study):
    folder = study / "results/demo/report"
    links = re.findall(r'href="([^"#]+)"', (folder / "checklists.html").read_text())
    assert len(links) > 60
    assert [link for link in links if not (folder / unquote(link)).exists()] == []
    page = (folder / "report.html").read_text()
    assert [link for link in re.findall(r'href="([^"#]+)"', page) if not (folder / unquote(link)).exists()] == []


def test_hostile_text_of_tables_and_study_file_becomes_no_markup_on_any_page(study, tmp_path):
    """Labels, title and reasons that try to leave their cell, through the report, checklists and manuscript tables."""
    evil = "</td></script><script>document.title=1</script><img src=x onerror=document.title=1>"
    folder = tmp_path / "results"
    ignored = shutil.ignore_patterns("input", "features", "*.parquet", "resamples", "learning")
    shutil.copytree(study / "results/demo", folder, ignore=ignored)
    shutil.copytree(study / "results/demo/features", folder / "features", ignore=shutil.ignore_patterns("*.parquet"))
    for path in [*folder.rglob("*.csv"), folder / "study.resolved.yaml"]:
        text = path.read_text()
        for name in ("Microvascular invasion", "Combined", "no image in the manifest", "Recurrence after resection"):
            text = text.replace(name, f"{name} {evil}")
        path.write_text(text)
    resolved = yaml.safe_load((folder / "study.resolved.yaml").read_text())
    captions = {
        f"recommended/{path.stem}": [evil, f"caption {evil}"] for path in folder.glob("figures/recommended/*.png")
    }
    lists = checklists.checklists(folder, resolved | {"reporting": {"ethics": evil}})
    pages = {
        "report": sections(run_of(folder, resolved, captions)),
        "checklists": blocks_page(checklists.page(lists, resolved), evil),
        "manuscript": "".join(map(as_html, manuscript_tables(folder, "recommended", study_words({})))),
    }
    for name, page in pages.items():
        assert "<script>document" not in page and "<img src=x" not in page, name
        assert "&lt;script&gt;document" in page, name


def test_everything_is_in_the_record_and_the_crate(study):
    results = study / "results/demo"
    record = json.loads((results / "provenance.json").read_text())
    assert {"validation/performance.csv", "models/coefficients.csv", "cohort/patients.csv"} <= set(record["outputs"])
    for name, digest in record["outputs"].items():
        assert hashlib.sha256((results / name).read_bytes()).hexdigest() == digest, name
    crate = ROCrate(str(results))
    assert {"report/report.html", "provenance.json"} <= {entity.id for entity in crate.data_entities}
