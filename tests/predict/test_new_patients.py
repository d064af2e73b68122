"""The scorer: the study's own numbers on its own patients, and refusals of what the models did not declare."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import frozen
import numpy as np
import pandas as pd
import pytest

from recur.cohort.analysis_set import make_analysis_set, tumour_burden
from recur.cohort.clinical import read_cohort
from recur.predict.inputs import input_fields
from recur.predict.new_patients import read_new_features, read_new_patients, with_burden
from recur.predict.scorer import centre_problems, check_pair, score_patients
from recur.statistics.combat import MIN_UNSEEN
from recur.tables import StudyError, read_frozen, read_made, signed, write_table

SCRIPTS = Path(__file__).parents[2] / "scripts"
HASH = "a" * 64
ENDPOINT = {"kind": "recorded", "time": "months", "event": "event", "event_value": 1, "censored_value": 0,
            "unit": "months"}  # fmt: skip


def run(program, *arguments):
    """A program of scripts/ with its arguments; the exit code, 0 when it ended well."""
    argv, sys.argv = sys.argv, [program, *map(str, arguments)]
    try:
        runpy.run_path(str(SCRIPTS / program), run_name="__main__")
        return 0
    except SystemExit as stop:
        return stop.code
    finally:
        sys.argv = argv


def raw_table(n, seed=3):
    """A clinical table as a centre keeps it: names of levels, `<x`, empty cells and the code of a missing one."""
    rng, codes = np.random.default_rng(seed), frozen.clinical_rows(n, seed, 0.15)
    table = pd.DataFrame({"patient_id": [f"B{i:03d}" for i in range(n)], "centre": "B"})
    for term, variable in frozen.VARIABLES.items():
        levels = variable.get("levels") or [variable.get("negative"), variable.get("positive")]
        number = variable["kind"] == "numeric"
        table[variable["column"]] = [
            "" if np.isnan(v) else repr(float(v)) if number else levels[int(v)] for v in codes[term]
        ]
    table.loc[0, "afp_ng_ml"], table.loc[1, "afp_ng_ml"], table.loc[2, "age"] = "<5", "0.01", "-9"
    return table.assign(months=rng.uniform(1, 90, n).round(2), event=rng.integers(0, 2, n))


def feature_table(ids, seed=4, sha256=HASH):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.normal(size=(len(ids), frozen.P)) * 3 + 50, columns=frozen.training().names)
    table.insert(0, "patient_id", ids)
    return signed(table, sha256)


@pytest.fixture(scope="module")
def found():
    found = frozen.analyses()
    found["recommended"][0]["features_manifest"] = HASH
    return found


@pytest.fixture(scope="module")
def centre(found, tmp_path_factory):
    """Another centre's folder: frozen files, clinical table, feature table."""
    folder = tmp_path_factory.mktemp("centre")
    frozen.write_models(folder, found)
    table = raw_table(40)
    table.to_csv(folder / "patients.csv", index=False)
    write_table(feature_table(table["patient_id"].iloc[::-1].tolist()), folder / "features.parquet")
    return folder


def arguments(folder, output, models="models/recommended/frozen", clinical="patients.csv"):
    return (
        "--models", folder / models, "--signature", folder / "signature/recommended/signature.json",
        "--clinical", folder / clinical, "--features", folder / "features.parquet", "--output", output,
    )  # fmt: skip


def test_held_out_patients_get_the_bytes_of_floor_7(found, centre, tmp_path):
    """From the same raw cells, once through floors 1, 3 and 7, once through the scorer."""
    clinical = frozen.STUDY["clinical"] | {"table": centre / "patients.csv"}
    study = frozen.STUDY | {"clinical": clinical, "on_error": "stop", "endpoints": {"TTR": ENDPOINT}}
    study["clinical"] = {key: value for key, value in clinical.items() if key != "dates"}
    cohort = read_cohort(study)
    features = pd.read_parquet(centre / "features.parquet").sort_values("patient_id", ignore_index=True)
    burden = tumour_burden(features, cohort.clinical, {}, ["AP"])
    known = cohort.clinical.merge(burden, on="patient_id")
    assigned = pd.Series("external-B", index=known["patient_id"])
    frame, values = make_analysis_set(assigned, known, cohort.endpoints, "TTR", features)
    for name, rows in (("train", frame.iloc[:0]), ("heldout", frame)):
        write_table(rows, tmp_path / f"{name}.csv")
        write_table(signed(values.loc[rows.index], HASH), tmp_path / f"{name}.parquet")
    again = [tmp_path / f"{name}.{kind}" for kind in ("csv", "parquet") for name in ("train", "heldout")]
    assert run(
        "apply_models.py", "--models", centre / "models/recommended/frozen", "--signature",
        centre / "signature/recommended/signature.json", "--cohorts", *again[:2], "--features", *again[2:],
        "--imputations", 2, "--seed", 1, "--labels", '{"analysis": "recommended", "endpoint": "TTR"}',
        "--risks", tmp_path / "risks.csv", "--scores", tmp_path / "s.csv", "--missing", tmp_path / "m.csv",
        "--log", tmp_path / "log.jsonl",
    ) == 0  # fmt: skip
    assert run("score.py", *arguments(centre, tmp_path / "scores.csv")) == 0
    risks, scores = (pd.read_csv(tmp_path / f"{name}.csv", dtype=str) for name in ("risks", "scores"))
    columns = ["lp", "risk_24", "risk_120", "group"]
    assert list(scores.columns) == ["patient_id", "model", *columns, "warnings", "reason"]
    key = ["model", "patient_id"]
    pd.testing.assert_frame_equal(
        risks.set_index(key)[columns].sort_index(), scores.set_index(key)[columns].sort_index()
    )
    assert set(scores["model"]) == set(found["recommended"][1]) and scores["risk_120"].isna().all()


def raw_value(feature, z):
    """The value of a feature that lies z SD from the training mean of its logarithm (`signed_log`)."""
    log = feature["mean"] + z * feature["sd"]
    transform = feature["transform"]
    return transform["centre"] + transform["scale"] * np.sign(log) * np.expm1(abs(log))


def test_warnings_are_of_the_patient_they_stand_beside(found, centre, tmp_path):
    table = raw_table(4)
    table.loc[0, ["afp_ng_ml", "age"]] = ["999999", "60"]
    table.loc[1, ["age", "margin"]] = ["105", ""]
    table.loc[3, ["afp_ng_ml", "age", "margin", "ascites", "cause"]] = ["20", "60", "smooth", "none", "HBV"]
    table.to_csv(tmp_path / "p.csv", index=False)
    features = feature_table(table["patient_id"])
    signature = found["recommended"][0]
    own = signature["features"][0]
    for feature in signature["features"]:
        features[feature["name"]] = raw_value(feature, 0)
    features.loc[2, own["name"]] = raw_value(own, 7)
    write_table(features, tmp_path / "f.parquet")
    models = {"combined_pre": found["recommended"][1]["combined_pre"]}
    frame, _ = read_new_patients(tmp_path / "p.csv", models)
    features, _ = read_new_features(tmp_path / "f.parquet", signature, frame["patient_id"])
    texts = score_patients(models, signature, frame, features)["warnings"]
    low, high = next((f["low"], f["high"]) for f in input_fields(models["combined_pre"]) if f["term"] == "afp")
    assert f"AFP 1e+06 outside the training range {low:.4g} to {high:.4g} ng/mL" in texts[0]
    assert "105 outside the training range" in texts[1]
    assert "margin missing: filled in by the model's imputer" in texts[1]
    assert f"{own['name']} is 7.0 SD from the training mean, counted as 3" in texts[2]
    assert texts[3] == "no risk at 120 months: training follow-up ends at 98.5"


def test_a_clinical_model_needs_no_features_and_a_helper_column_may_be_absent(found, centre, tmp_path):
    model = found["stepwise"][1]["clinical_pre"]
    spare = next(field for field in input_fields(model) if not field["used"])
    table = pd.read_csv(centre / "patients.csv", dtype=str).drop(columns=frozen.VARIABLES[spare["term"]]["column"])
    table.to_csv(tmp_path / "p.csv", index=False)
    only = ("--models", centre / "models/stepwise/frozen/clinical_pre.json", "--clinical", tmp_path / "p.csv")
    assert run("score.py", *only, "--output", tmp_path / "scores.csv") == 0
    assert read_made(tmp_path / "scores.csv")["risk_24"].between(0, 1).all()


def test_a_unit_in_the_heading_is_compared(found, centre, tmp_path):
    models = {"clinical_pre": found["recommended"][1]["clinical_pre"]}
    table = raw_table(12)
    table.rename(columns={"afp_ng_ml": "afp_ng_ml [ng/mL]"}).to_csv(tmp_path / "p.csv", index=False)
    table.to_csv(tmp_path / "q.csv", index=False)
    own, plain = (read_new_patients(tmp_path / f"{name}.csv", models)[0] for name in "pq")
    pd.testing.assert_frame_equal(own, plain)
    table.rename(columns={"afp_ng_ml": "afp_ng_ml [IU/mL]"}).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(StudyError, match=r"fitted in ng/mL; nothing is converted"):
        read_new_patients(tmp_path / "p.csv", models)


@pytest.mark.parametrize(
    "column, cell, reason",
    [
        ("margin", "blurred", "column margin, value 'blurred': not one of smooth, non-smooth"),
        ("age", "12", "column age, value '12': outside 18 to 110 years"),
        ("afp_ng_ml", "high", "column afp_ng_ml, value 'high': not a number"),
        ("patient_id", "../x", "patient id '../x': only letters, digits, '.', '_' and '-' (at most 64)"),
        ("patient_id", "B001", "the same patient id on several rows"),
        ("patient_id", "", "patient id missing"),
    ],
)
@pytest.mark.parametrize("analysis", ["recommended", "competing"])
def test_a_cell_that_is_not_as_declared_costs_its_patient_only(
    centre, tmp_path, capsys, analysis, column, cell, reason
):
    table = raw_table(5).fillna({"centre": "B"})
    frozen_model = centre / f"models/{analysis}/frozen/clinical_pre.json"
    table.to_csv(tmp_path / "p.csv", index=False)
    only = "--models", frozen_model, "--clinical", tmp_path / "p.csv", "--output"
    assert run("score.py", *only, tmp_path / "all.csv") == 0
    table.loc[3, column] = cell
    table.to_csv(tmp_path / "p.csv", index=False)
    assert run("score.py", *only, tmp_path / "scores.csv") == 0
    before, after = (read_made(tmp_path / f"{name}.csv").set_index("patient_id") for name in ("all", "scores"))
    refused = after[after["reason"].notna()]
    who = {"": "(line 5)"}.get(cell, cell) if column == "patient_id" else "B003"
    assert refused["reason"].to_dict() == {who: reason}
    assert refused[["lp", "risk_24", "group"]].isna().all(axis=None)
    left = [patient for patient in before.index if patient not in (who, "B003")]
    pd.testing.assert_frame_equal(before.loc[left], after.loc[left])


def test_nobody_scored_ends_with_1_and_a_table_of_the_reasons(centre, tmp_path, capsys):
    raw_table(12).assign(age="old").to_csv(tmp_path / "p.csv", index=False)
    only = "--models", centre / "models/competing/frozen/clinical_pre.json", "--clinical", tmp_path / "p.csv"
    assert run("score.py", *only, "--output", tmp_path / "o.csv") == 1
    said = capsys.readouterr().err
    assert "12 patients ('B000', 'B001', 'B002', ...): column age, value 'old': not a number" in said
    assert "ERROR: none of the 12 patients could be scored" in said and len(said.splitlines()) == 2
    table = read_made(tmp_path / "o.csv")
    assert table["lp"].isna().sum() == table["reason"].notna().sum() == 12


def test_a_bad_cell_that_only_fills_in_others_counts_as_missing_and_is_said(found, tmp_path):
    model = found["stepwise"][1]["clinical_pre"]
    spare = next(f["term"] for f in input_fields(model) if not f["used"] and f["kind"] != "numeric")
    table = raw_table(4)
    table[frozen.VARIABLES[spare]["column"]] = "sometimes"
    table.to_csv(tmp_path / "p.csv", index=False)
    frame, wrong = read_new_patients(tmp_path / "p.csv", {"m": model})
    scored = score_patients({"m": model}, None, frame, None, wrong)
    assert scored["lp"].notna().all()
    assert scored["warnings"].str.contains("value 'sometimes': not one of .*; it counts as missing").all()


def test_numbered_levels_in_another_coding_stop_the_table(found, tmp_path):
    """R's 1/2 for a declared 0/1: who has 2 would be refused, who has 1 scored as the opposite."""
    table = raw_table(4).assign(mvi=["1", "1.0", "2", ""])
    table.to_csv(tmp_path / "p.csv", index=False)
    model = {"combined_post": found["recommended"][1]["combined_post"]}
    with pytest.raises(StudyError, match="column mvi holds '1' .* beyond the declared 0, 1: another coding"):
        read_new_patients(tmp_path / "p.csv", model)


def test_a_workbook_of_several_sheets_is_scored_by_the_sheet_that_is_named(centre, tmp_path, capsys):
    only = "--models", centre / "models/stepwise/frozen/clinical_pre.json"
    with pd.ExcelWriter(tmp_path / "p.xlsx") as book:
        raw_table(5).to_excel(book, sheet_name="new", index=False)
        raw_table(6).to_excel(book, sheet_name="old", index=False)
    assert run("score.py", *only, "--clinical", tmp_path / "p.xlsx", "--output", tmp_path / "o.csv") == 1
    assert "--sheet" in capsys.readouterr().err
    given = "--clinical", tmp_path / "p.xlsx", "--sheet", "new", "--output", tmp_path / "o.csv"
    assert run("score.py", *only, *given) == 0
    assert read_made(tmp_path / "o.csv")["patient_id"].nunique() == 5


def test_every_missing_column_is_named(found, tmp_path):
    raw_table(5).drop(columns=["margin", "afp_ng_ml"]).to_csv(tmp_path / "p.csv", index=False)
    with pytest.raises(StudyError) as error:
        read_new_patients(tmp_path / "p.csv", found["recommended"][1])
    assert [problem.split(": ")[1].split(";")[0] for problem in error.value.problems] == [
        "no column 'afp_ng_ml'",
        "no column 'margin'",
    ]


def test_features_of_another_manifest_or_without_a_feature_are_refused(found, tmp_path):
    signature, ids = found["recommended"][0], pd.Series(["B000", "B001"])
    name = signature["features"][0]["name"]
    for table, message in (
        (feature_table(ids, sha256="b" * 64), "features of another manifest"),
        (feature_table(ids, sha256=None), "features of another manifest"),
        (signed(feature_table(ids).drop(columns=name), HASH), f"no feature {name}"),
    ):
        write_table(table, tmp_path / "f.parquet")
        with pytest.raises(StudyError, match=message):
            read_new_features(tmp_path / "f.parquet", signature, ids)


def test_patients_without_features_are_listed_and_the_others_scored(found, centre, tmp_path, capsys):
    """No row, two rows, a gap, an infinity, a code that the study declared to mean missing."""
    signature, models = found["recommended"]
    name = signature["features"][0]["name"]
    table = feature_table([f"B{i:03d}" for i in range(40)])
    table.loc[[3, 4, 5], name] = [np.nan, np.inf, -999.0]
    table = signed(pd.concat([table[1:], table[2:3]], ignore_index=True), HASH)
    write_table(table, tmp_path / "f.parquet")
    folder, code = tmp_path / "frozen", {"feature_missing_values": ["-999"]}
    models = {key: model | {"inputs": model["inputs"] | code} for key, model in models.items()}
    frozen.write_models(folder, {"recommended": (signature, models)})
    given = list(arguments(folder, tmp_path / "o.csv", clinical=centre / "patients.csv"))
    given[given.index("--features") + 1] = tmp_path / "f.parquet"
    assert run("score.py", *given) == 0
    scores = read_made(tmp_path / "o.csv")
    gone = {"B000": "has no row in the feature table", "B002": "stands in the feature table twice; remove one row"}
    gone |= dict.fromkeys(("B003", "B004", "B005"), f"{name} is missing; features are never imputed")
    for model in ("signature", "combined_pre"):
        own = scores[scores["model"] == model].set_index("patient_id")
        assert own["reason"].dropna().to_dict() == gone and own["lp"].notna().sum() == 35
    assert scores.loc[scores["model"] == "clinical_pre", "lp"].notna().all()
    assert f"not scored: 3 patients ('B003', 'B004', 'B005'): {name} is missing" in capsys.readouterr().err


def test_a_model_goes_with_the_signature_of_its_own_fit(found):
    signature, models = found["recommended"]
    check_pair("combined_pre", models["combined_pre"], signature)
    with pytest.raises(StudyError, match="of another fit"):
        check_pair("combined_pre", models["combined_pre"], signature | {"events": 1})
    with pytest.raises(StudyError, match="give --signature"):
        check_pair("combined_pre", models["combined_pre"], None)


def test_a_volume_comes_from_the_features_or_its_column_or_not_at_all(found):
    models = {"volume_only": found["recommended"][1]["volume_only"]}
    frame, features = pd.DataFrame({"patient_id": ["B0", "B1"]}), feature_table(["B1", "B0"])
    filled = with_burden(frame, features, models)
    measured = features.set_index("patient_id")["AP_tumour_original_shape_MeshVolume"]
    np.testing.assert_allclose(filled["tumour_volume"], measured[["B0", "B1"]], rtol=1e-9)
    with pytest.raises(StudyError, match="no column 'tumour_volume' \\(mm3\\)"):
        with_burden(frame, None, models)


def test_harmonisation_on_the_patients_themselves_refuses_a_single_patient(found):
    """`unseen_centre: features_only` needs a location and a scale of the new centre."""
    signature, models = found["recommended"]
    count = len(signature["features"])
    combat = {"kind": "combat", "reference": "A", "centres": {}, "mean": [50.0] * count, "sd": [3.0] * count,
              "unseen_centre": "features_only"}  # fmt: skip
    signature, models = signature | {"harmonisation": combat}, {"signature": models["signature"]}
    features = feature_table([f"B{i}" for i in range(MIN_UNSEEN)])
    frame = features[["patient_id"]].assign(centre="B")
    with pytest.raises(StudyError, match="is new and has 1 patients"):
        score_patients(models, signature, frame[:1], features[:1])
    table = score_patients(models, signature, frame, features)
    assert table["warnings"].str.contains("centre B was not in training: harmonised on the patients given here").all()
    with pytest.raises(StudyError, match="column 'centre' must name each patient's"):
        score_patients(models, signature, frame.assign(centre=""), features)


@pytest.mark.parametrize(
    "policy, reason",
    [
        ("error", "centre 'C' was not in training, and the study declares no harmonisation.unseen_centre"),
        ("features_only", "centre 'C' is new and has 2 patients; its location and scale need 20"),
    ],
)
def test_patients_whose_centre_cannot_be_harmonised_are_listed(found, policy, reason):
    signature, models = found["recommended"]
    count = len(signature["features"])
    combat = {"kind": "combat", "reference": "B", "centres": {}, "mean": [50.0] * count, "sd": [3.0] * count,
              "unseen_centre": policy}  # fmt: skip
    signature, models = signature | {"harmonisation": combat}, {"signature": models["signature"]}
    features = feature_table([f"B{i}" for i in range(5)])
    frame = features[["patient_id"]].assign(centre=["B", "C", "", "C", "B"])
    wrong = {"signature": centre_problems(signature, frame, "centre", [])}
    table = score_patients(models, signature, frame, features, wrong)
    empty = "column centre: empty, and the signature is harmonised between centres"
    assert table["reason"].tolist() == ["", reason, empty, reason, ""]
    assert table["lp"].notna().tolist() == [not text for text in table["reason"]]


def test_problems_are_lines_and_not_a_traceback(centre, tmp_path, capsys):
    assert run("score.py", *arguments(centre, tmp_path / "o.csv", models="models/nowhere")) == 1
    assert capsys.readouterr().err.startswith("ERROR: ") and not (tmp_path / "o.csv").exists()


def test_a_model_that_was_edited_by_hand_is_refused(centre, tmp_path, capsys):
    frozen = centre / "models/recommended/frozen/clinical_pre.json"
    for text, words in (
        (frozen.read_text().replace('"events": ', '"events": 1', 1), "was edited after it was frozen"),
        ("{", "not a frozen model, or damaged"),
        ("{}", "no frozen model of this workflow"),
    ):
        path = tmp_path / "model.json"
        path.write_text(text)
        with pytest.raises(StudyError, match=words):
            read_frozen(path)
    assert read_frozen(frozen)["terms"]
