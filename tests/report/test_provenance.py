"""Where results come from, and whether a second run gives the same ones."""

import shutil
import subprocess
import sys

import pandas as pd
import pytest
from rocrate.rocrate import ROCrate
from small import run_snakemake, small_project

from recur.report.provenance import differences, outputs_of, provenance, sha256_of, write_crate
from recur.sources import ROOT
from recur.tables import read_json, write_json, write_table


@pytest.fixture
def results(tmp_path):
    """A results folder with two tables, a figure and a record of them."""
    folder = tmp_path / "results"
    write_table(pd.DataFrame({"model": ["a", "b"], "estimate": [0.7, 0.6]}), folder / "validation/performance.csv")
    write_table(pd.DataFrame({"patient_id": ["P1"]}), folder / "cohort/patients.csv")
    (folder / "figures").mkdir()
    (folder / "figures/km.svg").write_text("<svg/>")
    for name in ("input/clinical.csv", "images/qc/batch-0/P1.png", "report/tables.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    clinical = {"table": str(folder / "input/clinical.csv")}
    study = {"study": "small", "synthetic": True, "seed": 1, "clinical": clinical}
    record = provenance(study, ROOT / "config.yaml", folder)
    write_json(record, folder / "provenance.json")
    write_crate(record, "A small study", folder)
    return folder


def test_it_names_inputs_code_lock_packages_and_outputs(results):
    record = read_json(results / "provenance.json")
    assert record["study_file"] == {"name": "config.yaml", "sha256": sha256_of(ROOT / "config.yaml")}
    assert record["inputs"] == {"clinical.table": sha256_of(results / "input/clinical.csv")}
    assert set(record["outputs"]) == {"validation/performance.csv", "cohort/patients.csv", "figures/km.svg"}
    assert record["packages"]["snakemake"] and record["packages"]["pyradiomics"] == "3.0.1"
    assert len(record["lock"]) == 3 and len(record["code"]["sha256"]) == 64


def test_the_crate_lists_files_that_are_there_and_no_picture_of_a_patient(results):
    files = [entity.id for entity in ROCrate(str(results)).data_entities if entity.type == "File"]
    assert {"validation/performance.csv", "figures/km.svg", "provenance.json"} <= set(files)
    assert all((results / name).exists() for name in files)
    assert not any("qc" in name or "input" in name for name in files)


def test_the_same_results_are_the_same(results, tmp_path):
    again = shutil.copytree(results, tmp_path / "again")
    assert differences(results, again).empty


def test_what_differs_is_named_with_how_much(results, tmp_path):
    again = shutil.copytree(results, tmp_path / "again")
    write_table(pd.DataFrame({"model": ["a", "b"], "estimate": [0.7, 0.61]}), again / "validation/performance.csv")
    (again / "figures/km.svg").unlink()
    (again / "figures/roc.svg").write_text("<svg/>")
    found = differences(results, again).set_index("file")
    assert found["what"].to_dict() == {
        "figures/km.svg": "missing",
        "figures/roc.svg": "new",
        "validation/performance.csv": "differs",
    }
    assert found["difference"]["validation/performance.csv"] == "at most 1.7e-02 relative"


@pytest.mark.slow
def test_a_study_run_on_two_cores_is_verified_on_one(tmp_path):
    project = small_project(tmp_path / "project")
    assert run_snakemake(project, "--cores", "2").returncode == 0
    results = project / "results/demo"
    stored = read_json(results / "provenance.json")["outputs"]
    assert set(stored) == {str(path.relative_to(results)) for path in outputs_of(results)}
    command = [sys.executable, "scripts/verify.py", "--study", "config.yaml", "--results", results, "--cores", "1"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert f"{len(stored)} tables, models and figures compared, 0 not the same bytes" in done.stdout
