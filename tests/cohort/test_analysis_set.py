"""The end of floor 3: tables joined, exclusions explained, patients counted."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from recur.cohort.analysis_set import followed_long_enough, without_gaps
from recur.cohort.flow import analysis_flow, cause, explain_absence, flow_table, merge_exclusions
from recur.features.complete import import_feature_table, select_features
from recur.fit.design import learn_columns
from recur.fit.imputation import learn_imputer
from recur.images.duplicates import shared_images
from recur.predict.design import encode
from recur.tables import StudyError, manifest_of, read_made, read_table, signed, write_frozen, write_table

ROOT = Path(__file__).parents[2]


def test_a_feature_table_keeps_numeric_columns_and_excludes_incomplete_patients(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("ID,f_a,f_b,f_version,other\np2,1,2,v3,9\np1,3,,v3,9\n")
    features, excluded = import_feature_table(path, "ID", "^f_")
    assert list(features.columns) == ["patient_id", "f_a", "f_b"]
    assert list(features["patient_id"]) == ["p2"]
    reason = "1 of 2 features missing (f_b: missing)"
    assert excluded.iloc[0].to_dict() == {"patient_id": "p1", "floor": "features", "reason": reason}


def test_a_feature_table_with_a_patient_twice_is_refused(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("ID,f_a\np1,1\np1,2\n")
    with pytest.raises(StudyError, match="patient p1 stands there twice"):
        import_feature_table(path, "ID", "^f_")


def test_features_are_chosen_by_phase_and_region():
    names = ["AP_tumour_x", "AP_rim_x", "PVP_tumour_x"]
    assert select_features(names, ["AP"], None) == ["AP_tumour_x", "AP_rim_x"]
    assert select_features(names, ["AP"], ["rim"]) == ["AP_rim_x"]
    with pytest.raises(StudyError, match="no feature is of phases"):
        select_features(names, ["DP"], None)


def test_features_with_gaps_leave_the_analysis_by_training_rows_only():
    cohort = pd.DataFrame({"patient_id": ["t1", "t2"]}), pd.DataFrame({"patient_id": ["h1", "h2", "h3"]})
    train = pd.DataFrame({"patient_id": ["t1", "t2"], "a": [1.0, 2], "b": [1.0, None], "c": [0.0, 1]})
    held = pd.DataFrame({"patient_id": ["h1", "h2", "h3"], "a": [1.0, None, 3], "b": [None, 1, 2], "c": [1.0, None, 1]})
    sets, gaps, excluded = without_gaps({"train": (cohort[0], train), "heldout": (cohort[1], held)})
    assert gaps == ["b"]
    assert list(sets["train"][1].columns) == list(sets["heldout"][1].columns) == ["patient_id", "a", "c"]
    assert list(sets["heldout"][0]["patient_id"]) == list(sets["heldout"][1]["patient_id"]) == ["h1", "h3"]
    [line] = excluded.to_dict("records")
    assert line["patient_id"] == "h2"
    assert line["reason"] == "2 features missing that every training patient has, such as a"


def run(script, arguments):
    command = [sys.executable, ROOT / "scripts" / script]
    command += [str(part) for key, value in arguments.items() for part in (f"--{key}", *value)]
    return subprocess.run(command, capture_output=True, text=True)


def test_readings_of_another_manifest_stop_the_analysis(tmp_path):
    """Guard 37: features extracted with other settings or versions never meet in one analysis."""
    ids = [f"p{i:02}" for i in range(30)]
    cohort = ["train"] * 20 + ["external"] * 10
    write_table(pd.DataFrame({"patient_id": ids, "cohort": cohort}), tmp_path / "assigned.csv")
    write_table(pd.DataFrame({"patient_id": ids, "centre": "A"}), tmp_path / "clinical.csv")
    write_table(pd.DataFrame({"patient_id": ids, "TTR_time": 5.0, "TTR_event": 1}), tmp_path / "endpoints.csv")
    for reader, sha256 in (("reader1", "a" * 64), ("reader2", "a" * 64), ("reader3", "b" * 64)):
        table = pd.DataFrame({"patient_id": ids, "reader": reader, "AP_tumour_x": range(30)})
        write_table(signed(table.astype({"AP_tumour_x": float}), sha256), tmp_path / f"{reader}.parquet")
    write_table(pd.DataFrame(columns=["patient_id", "endpoint", "reason"]), tmp_path / "missing-endpoints.csv")
    names = ["train-cohort", "train-features", "train-repeats", "heldout-cohort", "heldout-features", "excluded"]
    made = {
        name: [tmp_path / f"{name}.{'parquet' if name.endswith(('features', 'repeats')) else 'csv'}"] for name in names
    }
    arguments = {
        "analysis": ["main"],
        "endpoint": ["TTR"],
        "subset": ["{}"],
        "tumour": [json.dumps({"size": None, "volume": None, "phases": ["AP"]})],
        **{name: [tmp_path / f"{name}.csv"] for name in ("assigned", "clinical", "endpoints", "missing-endpoints")},
        **made,
    }
    same = run("analysis_set.py", arguments | {"features": [tmp_path / f"reader{i}.parquet" for i in (1, 2)]})
    assert same.returncode == 0, same.stderr
    assert manifest_of(made["heldout-features"][0]) == manifest_of(made["train-repeats"][0]) == "a" * 64
    other = run("analysis_set.py", arguments | {"features": [tmp_path / f"reader{i}.parquet" for i in (1, 3)]})
    assert other.returncode != 0 and "Traceback" not in other.stderr
    assert "reader3 has features of another manifest (bbbbbbbbbbbb) than reader1 (aaaaaaaaaaaa)" in other.stderr

    # a frozen signature is not applied to features of another manifest
    write_frozen({"features": [], "features_manifest": "a" * 64}, tmp_path / "signature.json")
    write_table(signed(pd.read_parquet(made["heldout-features"][0]), "c" * 64), made["heldout-features"][0])
    applied = {
        "models": [tmp_path],
        "signature": [tmp_path / "signature.json"],
        "cohorts": [*made["train-cohort"], *made["heldout-cohort"]],
        "features": [*made["train-features"], *made["heldout-features"]],
        "labels": ["{}"],
        "risks": [tmp_path / "risks.csv"],
        "scores": [tmp_path / "scores.csv"],
        "missing": [tmp_path / "missing.csv"],
        "log": [tmp_path / "log.csv"],
        "imputations": [0],
        "seed": [1],
    }
    refused = run("apply_models.py", applied)
    assert refused.returncode != 0 and "(cccccccccccc) than the signature (aaaaaaaaaaaa)" in refused.stderr


def test_the_uppermost_floor_gives_the_reason():
    table = pd.DataFrame([("p1", "cohort", "bad date")], columns=["patient_id", "floor", "reason"])
    cases = pd.DataFrame(
        [("p1", "excluded", "no mask"), ("p2", "excluded", "empty"), ("p3", "ok", "")],
        columns=["patient_id", "status", "reason"],
    )
    merged = merge_exclusions([table], [cases]).set_index("patient_id")
    assert merged["reason"].to_dict() == {"p1": "bad date", "p2": "empty"}
    patients = pd.DataFrame({"patient_id": ["p2", "p3", "p4"]})
    assert explain_absence(merged.reset_index(), patients, {"p3"}).iloc[-1].reason == "no image in the manifest"


def test_the_flow_adds_up():
    exclusions = pd.DataFrame(
        [("a", "cohort", "x"), ("b", "images", "y"), ("c", "images", "y")], columns=["patient_id", "floor", "reason"]
    )
    patients = pd.DataFrame({"cohort": ["train", "train", "test"]})
    flow = flow_table(6, exclusions, patients)
    assert list(flow["n"]) == [6, 5, 3, 1, 2]
    assert list(flow["excluded"]) == [0, 1, 2, 0, 0]
    assert flow["reason"][2] == "y (n = 2)"


def test_the_flow_of_an_analysis_ends_in_its_own_cohorts():
    exclusions = pd.DataFrame([("a", "cohort", "x"), ("b", "images", "y")], columns=["patient_id", "floor", "reason"])
    study = flow_table(6, exclusions, pd.DataFrame({"cohort": ["train", "train", "test", "test"]}))
    excluded = pd.DataFrame([("b", "no rim"), ("c", "no rim")], columns=["patient_id", "reason"])
    flow = analysis_flow(study, exclusions, excluded, pd.DataFrame({"cohort": ["train", "train", "external-B"]}))
    assert dict(zip(flow["step"], flow["n"], strict=True)) == {
        "patients in the clinical table": 6,
        "with sound clinical data": 5,
        "with sound images and masks": 4,
        "with all that the analysis needs": 3,
        "external-B": 1,
        "train": 2,
    }
    assert flow["reason"][3] == "no rim (n = 1)"


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("AP reader1: mask x.nii.gz: no such file; correct the path", "no such file"),
        ("PVP reader2: mask x: on another grid than the image: mask size 4x4x3", "on another grid than the image"),
        ("recurrence_date: 2015-04-21 is before surgery_date 2015-05-31", "recurrence_date: is before surgery_date"),
        ("the same patient id on several rows", "the same patient id on several rows"),
    ],
)  # fmt: skip
def test_the_flow_counts_causes_without_particulars(reason, shown):
    assert cause(reason) == shown


class TestEncoding:
    variables = {
        "afp": {"kind": "numeric", "transform": "ln", "label": "AFP", "unit": "ng/mL"},
        "grade": {
            "kind": "categorical",
            "transform": "none",
            "label": "Grade",
            "unit": "",
            "levels": ["I", "II", "III"],
        },
        "mvi": {"kind": "binary", "transform": "none", "label": None, "unit": ""},
    }
    train = pd.DataFrame({"afp": [1.0, 10, 100, None], "grade": [0, 1, 1, None], "mvi": [0, 1, 1, None]})

    def coded(self, train, rows, terms, variables):
        return encode(rows, learn_columns(train, terms, variables), learn_imputer(train, terms, variables))

    def test_categories_become_dummies_in_the_declared_order(self):
        terms = ["afp", "grade", "mvi"]
        columns = learn_columns(self.train, terms, self.variables)
        assert [column["name"] for column in columns] == ["afp", "grade:II", "grade:III", "mvi"]
        known = self.coded(self.train, self.train[:3], terms, self.variables)
        np.testing.assert_allclose(known[:, 1:], [[0, 0, 0], [1, 0, 1], [1, 0, 1]])

    def test_a_lone_variable_gets_its_training_mean_whatever_is_held_out(self):
        columns = learn_columns(self.train, ["afp"], self.variables)
        held = pd.DataFrame({"afp": [None, 1e6]})
        assert self.coded(self.train, held, ["afp"], self.variables)[0, 0] == pytest.approx(2.302585092994046)
        assert (columns[0]["low"], columns[0]["high"]) == (1.0, 100.0)

    def test_numbers_as_levels_survive_the_files_also_with_missing_cells(self, tmp_path):
        variables = {"grade": self.variables["grade"] | {"levels": [1, 2, 3]}}
        train = pd.DataFrame({"grade": [0.0, 1, 2, 1]})
        held = pd.DataFrame({"patient_id": ["a", "b"], "grade": [2.0, None]})
        write_table(held, tmp_path / "held.csv")
        coded = self.coded(train, read_made(tmp_path / "held.csv"), ["grade"], variables)
        assert coded[0].tolist() == [0, 1]
        assert coded[1] == pytest.approx([0.5, 0.25], abs=0.06)  # the shares of the levels, nearly


def test_tables_keep_ids_that_look_like_numbers_or_like_nothing(tmp_path):
    write_table(pd.DataFrame({"patient_id": ["007", "None", "NULL"], "x": [1.5, None, 2]}), tmp_path / "t.csv")
    table = read_made(tmp_path / "t.csv")
    assert list(table["patient_id"]) == ["007", "None", "NULL"]
    assert table["x"].isna().sum() == 1


def test_a_column_without_a_name_is_called_by_its_place_as_pandas_does(tmp_path):
    (tmp_path / "t.csv").write_text(",x,\np1,1,2\n")
    assert (
        list(read_table(tmp_path / "t.csv"))
        == list(pd.read_csv(tmp_path / "t.csv"))
        == ["Unnamed: 0", "x", "Unnamed: 2"]
    )


def test_dates_of_a_spreadsheet_are_read_as_dates(tmp_path):
    pd.DataFrame({"id": ["p1"], "op": [pd.Timestamp("2020-01-02")]}).to_excel(tmp_path / "t.xlsx", index=False)
    assert read_table(tmp_path / "t.xlsx").iloc[0].to_dict() == {"id": "p1", "op": "2020-01-02"}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet"])
def test_every_table_format_reads_the_same(tmp_path, suffix):
    table = pd.DataFrame({"id": ["007", "p2"], "x": ["1.50", None]})
    path = tmp_path / f"t{suffix}"
    if suffix == ".xlsx":
        table.to_excel(path, index=False)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, sep="," if suffix == ".csv" else "\t", index=False)
    read = read_table(path)
    assert list(read["id"]) == ["007", "p2"]
    assert read["x"][0] == "1.50"
    assert pd.isna(read["x"][1])


def test_a_replicate_leaves_out_the_event_free_with_a_short_follow_up():
    endpoints = pd.DataFrame({"patient_id": list("abcd"), "E_time": [5.0, 5.0, 30.0, 24.0], "E_event": [1, 0, 0, 0]})
    kept, short = followed_long_enough(endpoints, "E", 24)
    assert list(kept["patient_id"]) == ["a", "c", "d"]
    assert short.to_dict("records") == [
        {"patient_id": "b", "reason": "event-free and followed for less than 24 months, left out as published"}
    ]


def test_two_patients_with_one_image_stop_the_run():
    cases = pd.DataFrame(
        {"patient_id": ["a", "a", "b", "c"], "phase": ["AP", "PVP", "AP", "AP"], "image_hash": ["x", "y", "y", None]}
    )
    assert shared_images(cases) == ["patients a and b have the same image: are they one patient? Keep one of them"]
    assert shared_images(cases.iloc[:2]) == []


def test_two_phases_with_one_image_and_two_readers_with_one_mask_stop_the_run():
    cases = pd.DataFrame(
        {
            "patient_id": ["a", "a", "b", "b"],
            "phase": ["AP", "PVP", "AP", "AP"],
            "reader": ["reader1", "reader1", "reader1", "reader2"],
            "image_hash": ["x", "x", "y", "y"],
            "mask_hash": ["p", "q", "r", "r"],
        }
    )
    assert shared_images(cases) == [
        "patient a: AP and PVP are one image; correct the image manifest",
        "patient b: AP: reader1 and reader2 have the same mask, voxel by voxel; give each reader's own, or leave "
        "the copy out of the image manifest",
    ]
    assert shared_images(cases.assign(mask_hash=list("pqrs"), image_hash=["x", "z", "y", "y"])) == []
    cropped = cases.assign(patient_id=list("abcd"), image_hash=list("xyzw"), tumour_hash=["t", "t", "u", "v"])
    assert shared_images(cropped) == [
        "patients a and b have the same tumour, voxel by voxel: are they one patient? Keep one of them"
    ]
