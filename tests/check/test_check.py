"""What `snakemake check` says before anything is run."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from recur.check.candidates import horizon_findings, strata_problems, term_problems, term_warnings
from recur.check.check import check_tables
from recur.check.images import NAMED_MISSING, what_is_read
from recur.check.plan import plan
from recur.cohort.clinical import read_cohort
from recur.sources import ROOT
from recur.study.file import resolve
from recur.tables import StudyError


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
    assert expected in plan(study, check_tables(study))


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


def tables_study(folder, ids, features, **changes):
    """A resolved study of clinical and feature tables with these ids; the features of each patient are its own."""
    n = len(ids)
    clinical = pd.DataFrame({"id": ids, "age": range(40, 40 + n), "size": "3.5"})
    clinical["time"] = [10 + 7 * i % n for i in range(n)]
    clinical["event"] = ["1", "1", "0"] * (n // 3)
    table = pd.DataFrame({"patient_id": features, "original_b": 1.0})
    table["original_a"] = [11 * i % len(features) for i in range(len(features))]
    clinical.to_csv(folder / "clinical.csv", index=False)
    table.to_csv(folder / "features.csv", index=False)
    study = {
        "study": "linked",
        "on_error": "exclude",
        "clinical": {
            "table": "clinical.csv",
            "id": "id",
            "variables": {
                "age": {"column": "age", "kind": "numeric", "timing": "pre"},
                "size": {"column": "size", "kind": "numeric", "timing": "pre", "range": [0, 30]},
            },
        },
        "endpoints": {"OS": {"kind": "recorded", "time": "time", "event": "event", "unit": "months"}},
        "features": {"table": "features.csv", "pattern": "^original_"},
        "candidates": {"pre": ["age"]},
        "analyses": {"main": {"preset": "recommended", "endpoint": "OS"}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study | changes))
    return resolve(folder / "study.yaml")


IDS = [f"{i:03d}" for i in range(1, 61)]


@pytest.mark.parametrize(
    ("features", "said"),
    [
        ([str(int(name)) for name in IDS], "60 would be equal but for leading zeros ('1' there, '001' in the clinical"),
        ([f"{name}.0" for name in IDS], "60 would be equal but for '.0' behind them ('001.0' there"),
        ([f"LIVER-{name}" for name in IDS], "60 would be equal but for what stands before the number ('LIVER-001' the"),
        ([*IDS[:50], *(f"P{name}" for name in IDS[50:])], "10 of its 60 ids (P051, P052, P053, ...) are not in the"),
        (
            [f"X{i}X" for i in range(500, 560)],
            "60 of its 60 ids (X500X, X501X, X502X, ...) are not in the clinical table",
        ),
    ],
)
def test_ids_that_do_not_match_stop_with_the_likely_cause(tmp_path, features, said):
    with pytest.raises(StudyError) as error:
        check_tables(tables_study(tmp_path, IDS, features))
    assert any(said in line for line in error.value.problems), error.value.problems


def test_ids_of_a_few_strangers_are_a_note_and_each_cohort_is_counted(tmp_path):
    study = tables_study(tmp_path, IDS, [*IDS[:55], "Q1"])
    check_tables(study)
    lines = [line.strip() for line in plan(study, check_tables(study)) if "features.csv: " in line]
    assert lines[0] == f"ids of {study['features']['table']}: has 55 of 60 of train"
    assert "1 of its 56 ids (Q1) are not in the clinical table" in lines[1]


def test_feature_rows_that_are_equal_under_two_ids_are_noted(tmp_path, monkeypatch):
    study = tables_study(tmp_path, IDS, IDS)
    table = pd.read_csv(tmp_path / "features.csv", dtype={"patient_id": str})
    for name in "cde":
        table[f"original_{name}"] = np.random.default_rng(ord(name)).normal(5, 1, 60)
    table.iloc[7, 1:] = table.iloc[2, 1:]
    table.to_csv(tmp_path / "features.csv", index=False)
    assert [
        line for line in plan(study, check_tables(study)) if "all cells are equal of 003 and 008 (1 in all)" in line
    ]


def test_all_tables_are_checked_in_one_go(tmp_path):
    study = tables_study(tmp_path, IDS, [*IDS[:59], IDS[0]])
    text = (tmp_path / "clinical.csv").read_text()
    (tmp_path / "clinical.csv").write_text(text.replace(",1\n", ",2\n"))
    with pytest.raises(StudyError) as error:
        check_tables(study)
    said = "\n".join(error.value.problems)
    assert "column event holds '2' (40), '0' (20)" in said and "twice" in said


def test_an_unused_variable_excludes_nobody_and_is_noted(tmp_path):
    study = tables_study(tmp_path, IDS, IDS)
    text = (tmp_path / "clinical.csv").read_text()
    (tmp_path / "clinical.csv").write_text(text.replace(",3.5,", ",3.5 cm,", 5))
    cohort = read_cohort(study)
    assert cohort.exclusions.empty and cohort.clinical["size"].isna().sum() == 5
    assert [text for text in cohort.warnings if text.startswith("size")] == [
        "size is in no model, so this excludes nobody and such cells count as missing: lines 2, 3, 4, ...: 5 patients "
        "('001', '002', '003', ...): column size, value '3.5 cm': not a number"
    ]
    used = tables_study(tmp_path, IDS, IDS, candidates={"pre": ["age", "size"]})
    (tmp_path / "clinical.csv").write_text(text.replace(",3.5,", ",3.5 cm,", 5))
    assert len(read_cohort(used).exclusions) == 5


def test_an_emptied_cohort_says_why(tmp_path):
    study = tables_study(tmp_path, [f"p {name}" if name < "041" else name for name in IDS], IDS)
    study["clinical"]["eligibility"] = [{"column": "event", "keep": ["0"]}, {"column": "age", "keep": [40]}]
    with pytest.raises(StudyError) as error:
        read_cohort(study)
    table, bad_id = study["clinical"]["table"], "only letters, digits, '.', '_' and '-' (at most 64)"
    assert error.value.problems == [
        f"{table}: none of its 60 patients is left",
        "excluded: lines 2, 3, 4, ...: 40 patients ('p 001', 'p 002', 'p 003', ...): "
        f"patient id 'p 001', 'p 002', 'p 003', ...: {bad_id}",
        "excluded: lines 42, 44, 45, ...: 13 patients ('041', '043', '044', ...): not eligible: event is 1",
        *[line for line in error.value.problems if "not eligible: age" in line][:3],
    ]


def test_an_endpoint_that_nobody_has_says_why(tmp_path):
    study = tables_study(tmp_path, IDS, IDS)
    table = pd.read_csv(tmp_path / "clinical.csv", dtype=str)
    table.assign(time=table["time"] + ",5").to_csv(tmp_path / "clinical.csv", index=False)
    with pytest.raises(StudyError) as error:
        check_tables(study)
    assert (
        "left out of endpoint OS: lines 2, 3, 4, ...: 60 patients ('001', '002', '003', ...): time: '10,5', '17,5', "
        "'24,5', ... is not a time >= 0; write a decimal point" in error.value.problems
    )
    table.loc[:8, "time"] += ",5"
    table.to_csv(tmp_path / "clinical.csv", index=False)
    assert [
        line
        for line in plan(study, check_tables(study))
        if "will be left out of endpoint OS: lines 2, 3, 4, ...: 9 patients" in line
    ]


def test_a_patient_copied_under_a_second_id_is_found(tmp_path):
    study = tables_study(tmp_path, IDS, IDS)
    table = pd.read_csv(tmp_path / "clinical.csv", dtype=str)
    table.loc[59, ["age", "time", "event"]] = table.loc[3, ["age", "time", "event"]]
    table.to_csv(tmp_path / "clinical.csv", index=False)
    assert not [
        text for text in read_cohort(study).warnings if "one patient under two ids" in text
    ]  # 2 columns: chance
    table["albumin"] = [f"{30 + i / 7:.2f}" for i in range(60)]
    table.loc[59, "albumin"] = table.loc[3, "albumin"]
    table.to_csv(tmp_path / "clinical.csv", index=False)
    study["clinical"]["variables"]["albumin"] = study["clinical"]["variables"]["age"] | {"column": "albumin"}
    said = [text for text in read_cohort(study).warnings if "one patient under two ids" in text]
    assert len(said) == 1 and "all cells are equal of 004 and 060 (1 in all)" in said[0]
