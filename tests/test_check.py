"""What `snakemake check` says before anything is run."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recur.candidates import horizon_findings, strata_problems, term_problems, term_warnings
from recur.check import NAMED_MISSING, check_tables, plan, what_is_read
from recur.study import ROOT, resolve


def study(folder, **changes):
    images = {"manifest": str(folder / "images.csv"), "root": None, "phases": ["AP", "PVP"], "readers": ["r1", "r2"]}
    return {"images": images, "on_error": "exclude"} | changes


def manifest(folder, patients=3):
    rows = []
    for i in range(patients):
        for phase in ("AP", "PVP"):
            rows.append(
                {
                    "patient_id": f"P{i}",
                    "phase": phase,
                    "reader": "r1",
                    "image": f"P{i}/{phase}",
                    "mask": f"P{i}/{phase}.nii.gz",
                }
            )
            (folder / f"P{i}" / phase).mkdir(parents=True)
            (folder / f"P{i}" / f"{phase}.nii.gz").touch()
    return pd.DataFrame(rows).assign(liver_mask=None, series="phase:AP")


def test_formats_are_counted_by_phase_and_reader(tmp_path):
    table = manifest(tmp_path)
    (tmp_path / "scan.nrrd").touch()
    table.loc[0, "image"] = "scan.nrrd"
    table.loc[1, "series"] = None
    assert what_is_read(table, study(tmp_path)) == [
        "    phase  reader  cases  image                   mask     series  missing files",
        "    AP     r1      3      2 DICOM folder, 1 NRRD  3 NIfTI  3       0",
        "    AP     r2      0      0                       0        0       0",
        "    PVP    r1      3      3 DICOM folder          3 NIfTI  2       0",
        "    PVP    r2      0      0                       0        0       0",
    ]


def test_missing_files_and_phases_are_named(tmp_path):
    table = manifest(tmp_path, patients=12)
    table["mask"] = "gone/" + table["mask"]
    lines = what_is_read(table[:-1], study(tmp_path, on_error="stop"))
    assert "    missing: patient P0 AP r1: mask gone/P0/AP.nii.gz" in lines
    assert sum("missing: patient" in line for line in lines) == NAMED_MISSING
    assert lines[-3:] == [
        "    and 13 more are missing",
        "    the run will stop at them (on_error: stop)",
        "    without PVP of r1: 1 of them (P11)",
    ]


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "expected"),
    [("asaur", "  patients: 227 (train 227)"), ("crlm-tables", "  features.table: 186 features of 197 patients")],
)
def test_studies_of_published_tables_can_be_run(name, expected):
    if not Path(os.environ.get("REFERENCE_DATA", ""), "crlm_resection").is_dir():
        pytest.skip("REFERENCE_DATA is not set: no published tables")
    study = resolve(ROOT / "studies" / f"{name}.yaml")
    check_tables(study)
    assert expected in plan(study)


def cohort_of(**columns):
    """Forty training patients: `stage` I for the first ten, II, III and IV for the others."""
    frame = pd.DataFrame({"patient_id": [f"P{i:02d}" for i in range(40)], "stage": np.repeat([0.0, 1, 2, 3], 10)})
    return frame.assign(**columns)


STAGE = {"kind": "categorical", "transform": "none", "levels": ["I", "II", "III", "IV"]}


@pytest.mark.parametrize(
    ("kind", "outcome", "said"),
    [
        ("survival", [1] * 20 + [0] * 10 + [2] * 10, ["no event .* of level 'III'", "no event .* of level 'IV'"]),
        ("binary", [1, 0] * 10 + [1] * 10 + [0] * 10, ["nobody without the event .* 'III'", "no event .* 'IV'"]),
        ("categories", [0, 1, 2, 0, 1] * 6 + [0, 1] * 5, ["no outcome at place 3 of the endpoint's levels .* 'IV'"]),
    ],
)
def test_levels_whose_patients_have_one_outcome_are_named(kind, outcome, said):
    values = cohort_of()["stage"]
    found = term_warnings("stage", STAGE, values, pd.Series(outcome, dtype=float), kind)
    assert len(found) == len(said)
    assert all(re.search(words, text) for words, text in zip(said, found, strict=True))
    assert all("of level" in text and "10 training patients" in text for text in found)


def test_a_level_without_patients_is_the_reference_to_the_models_unless_it_is_the_reference():
    values, outcome = cohort_of()["stage"], pd.Series([1.0, 0] * 20)
    assert not term_problems("stage", STAGE, values, "a") + term_warnings("stage", STAGE, values, outcome, "survival")
    assert "has the reference level 'I'" in term_problems("stage", STAGE, values.clip(1), "a")[0]
    assert "the level IV" in term_warnings("stage", STAGE, values.clip(upper=2), outcome, "survival")[0]
    assert "the same value in all 40" in term_problems("stage", STAGE, values * 0, "a")[0]
    assert "no value in any of the 40" in term_problems("stage", STAGE, values * np.nan, "a")[0]


def test_a_stratum_without_an_event_has_no_baseline():
    clinical, event = cohort_of(sex=[0.0, 1] * 20), pd.Series([1] * 30 + [0] * 10)
    variables = {"stage": STAGE, "sex": {"kind": "binary", "negative": "woman", "positive": "man"}}
    found = strata_problems(["sex", "stage"], variables, clinical, event)
    assert [re.search("of '(.*)', so", text)[1] for text in found] == ["woman, IV", "man, IV"]
    assert not strata_problems(["sex"], variables, clinical, event)
    assert "one stratum" in strata_problems(["sex"], variables, clinical.assign(sex=0.0), event)[0]


def test_horizons_that_a_cohort_is_not_followed_to():
    times, cohorts = pd.Series([10.0, 40, 10, 20, 99]), pd.Series(["train", "train", "test", "test", ""])
    problems, warnings = horizon_findings(times, cohorts, [24, 60], "a")
    assert not problems
    assert [text.split(": ")[1] for text in warnings] == [
        "the follow-up of test ends at 20.0 months; nothing can be judged there by 24, 60 months",
        "the follow-up of train ends at 40.0 months; no risk by 60 months is given",
    ]
    assert "before every horizon (60)" in horizon_findings(times, cohorts, [60], "a")[0][0]
