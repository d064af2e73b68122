"""A diagnostic study: tests, readers, lesions, groups; cut-points come from training; values are R's."""

import json
from pathlib import Path

import numpy as np
import oracle
import pandas as pd
import pytest
import yaml

from recur.contracts import contract_of, problems_of_table
from recur.diagnostic import index_tests as d
from recur.diagnostic.groups import compare_groups
from recur.report.diagnostic_page import blocks
from recur.report.pages import blocks_page
from recur.study.file import resolve
from recur.tables import StudyError

ROOT = Path(__file__).parents[2]
NUMERIC = {"kind": "numeric", "timing": "pre"}
BINARY = {"kind": "binary", "timing": "post"}
LIRADS = {"kind": "ordinal", "timing": "pre", "levels": ["LR-3", "LR-4", "LR-5"]}


def study(tmp_path, plan: dict, **more) -> dict:
    """The resolved study of one diagnostic section."""
    variables = {
        "hcc": BINARY | {"column": "hcc"},
        "score": NUMERIC | {"column": "score"},
        "washout": NUMERIC | {"column": "washout"},
        "reader1": LIRADS | {"column": "reader1"},
        "reader2": LIRADS | {"column": "reader2"},
        "treated": BINARY | {"column": "treated"},
    }
    value = {
        "study": "x",
        "clinical": {"table": "t.csv", "id": "id", "variables": variables},
        "diagnostic": plan,
    } | more
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(value))
    return resolve(path)


def invented(n: int = 120, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    hcc = rng.random(n) < 0.5
    latent = rng.normal(size=n) + 1.2 * hcc
    levels = [np.digitize(latent + 0.5 * rng.normal(size=n), [-0.2, 1.0]) for _ in range(2)]
    return pd.DataFrame(
        {
            "patient_id": [f"P{i}" for i in range(n)],
            "hcc": hcc.astype(float),
            "score": latent,
            "washout": -latent + rng.normal(size=n),
            "reader1": levels[0].astype(float),
            "reader2": levels[1].astype(float),
            "treated": (rng.random(n) < 0.5).astype(float),
        }
    )


@pytest.mark.reference
def test_the_study_of_real_data_has_the_values_of_r():
    data = oracle.table("asah").rename(columns={"id": "patient_id"}).astype({"patient_id": str})
    plan = resolve(ROOT / "studies/asah.yaml")
    plan["diagnostic"]["resamples"] = 50
    data["wfns"] -= 1  # the place of the level
    tables = d.evaluate_tests({"all": data}, plan, 1)
    for name, table in tables.items():
        assert problems_of_table(table, contract_of(f"diagnostic/{name}.csv")) == []
    for name in ("s100b", "ndka", "wfns"):
        r = oracle.items("asah", "roc")[f"roc/{name}"]["values"]
        row = tables["auc"].set_index("test").loc[name]
        keys = ["auc", "se_delong", "lower95_logit", "upper95_logit", "p_vs_half"]
        assert oracle.worst(row[["estimate", "se", "lower", "upper", "p"]].astype(float), [r[k] for k in keys]) < 1e-9
    for rule, test, cutoff in (("s100b>0.205", "s100b", "> 0.205"), ("wfns>=4", "wfns", "4")):
        r = oracle.items("asah", "agreement")[f"confusion/{rule}"]["values"]
        rows = tables["accuracy"].set_index(["test", "cutoff"]).loc[[(test, cutoff)]].set_index("metric")
        for metric in ("sensitivity", "specificity", "accuracy", "ppv", "npv"):
            keys = ["x", "n", "estimate", "lower95_wilson", "upper95_wilson", "lower95_exact", "upper95_exact"]
            ours = rows.loc[metric, ["x", "n", "estimate", "lower", "upper", "lower_exact", "upper_exact"]].astype(
                float
            )
            assert oracle.worst(ours, [r[metric][key] for key in keys]) < 1e-9
    r = oracle.items("asah", "roc")["delong/s100b_vs_wfns"]["values"]
    row = tables["comparisons"].query("test_a == 's100b' and test_b == 'wfns' and metric == 'auc'").iloc[0]
    expected = [r[key] for key in ("difference", "ci_lower", "ci_upper", "p")]
    assert oracle.worst(row[["difference", "lower", "upper", "p"]].astype(float), expected) < 1e-9
    auc = tables["auc"].set_index(["test", "cohort"])["estimate"]
    # glm(poor ~ s100b + wfns, binomial); pROC: the combination as it appears
    assert auc["combination", "all-optimism_corrected"] < auc["combination", "all-apparent"]


def test_cut_points_are_chosen_in_training_and_kept(tmp_path):
    plan = study(tmp_path, {"reference": "hcc", "tests": {"score": {}}, "resamples": 50})
    train, other = invented(seed=1), invented(seed=2)
    both = d.evaluate_tests({"train": train, "test": other}, plan, 1)["accuracy"]
    swapped = d.evaluate_tests({"train": train, "test": other.assign(hcc=1 - other["hcc"])}, plan, 1)["accuracy"]
    for rows in (both, swapped):
        cuts = rows.groupby("cohort")["cutoff"].unique()
        assert list(cuts["train"]) == list(cuts["test"]) and len(cuts["train"]) == 2
    assert set(both["cutoff_from"]) == {"youden, training", "specificity 0.9, training"}
    assert not both[both["cohort"] == "test"].equals(swapped[swapped["cohort"] == "test"])


def test_a_test_where_low_values_speak_for_disease(tmp_path):
    tests = {"washout": {"direction": "lower", "positive_from": [-1]}, "reader1": {"positive_from": ["LR-5", "LR-4"]}}
    plan = study(tmp_path, {"reference": "hcc", "tests": tests, "resamples": 50})
    frame = invented()
    tables = d.evaluate_tests({"all": frame}, plan, 1)
    assert (tables["auc"]["estimate"] > 0.6).all()
    rows = tables["accuracy"].set_index(["test", "cutoff", "metric"])["x"]
    sick = frame[frame["hcc"] == 1]
    assert rows["washout", "-1", "sensitivity"] == (sick["washout"] <= -1).sum()
    assert rows["reader1", "LR-5", "sensitivity"] == (sick["reader1"] == 2).sum()
    assert rows["reader1", "LR-4", "sensitivity"] == (sick["reader1"] >= 1).sum()


def test_lesions_of_a_patient_are_not_independent(tmp_path):
    plan = study(
        tmp_path, {"reference": "hcc", "tests": {"score": {"positive_from": [0.6]}, "reader1": {}}, "resamples": 60}
    )
    frame = invented(60)
    lesions = pd.concat([frame] * 4, ignore_index=True)
    one, four = (d.evaluate_tests({"all": x}, plan, 1) for x in (frame, lesions))
    width = [
        t["auc"].set_index("test").loc["score", ["lower", "upper"]].astype(float).diff().iloc[1] for t in (one, four)
    ]
    assert width[1] == pytest.approx(width[0], rel=0.4)  # copies would halve it
    assert four["comparisons"]["p"].isna().all() and "not independent" in four["comparisons"]["method"].iloc[0]
    assert four["accuracy"]["method"].str.startswith("bootstrap of 60 patients").all()


def test_the_table_of_lesions_belongs_to_known_patients(tmp_path):
    lesions = {"table": "lesions.csv", "id": "id", "variables": {"hcc": BINARY | {"column": "hcc"}}}
    plan = study(tmp_path, {"reference": "hcc", "lesions": lesions})
    table = Path(plan["diagnostic"]["lesions"]["table"])
    assert plan["diagnostic"]["lesions"]["variables"]["hcc"]["positive"] == "1"  # defaults are filled in
    table.write_text("id,hcc\nP2,1\nP1,0\nP2,0\n")
    found = d.read_lesions(plan, pd.Series(["P1", "P2"]))
    assert found[["patient_id", "lesion", "hcc"]].to_numpy().tolist() == [["P1", 1, 0], ["P2", 1, 1], ["P2", 2, 0]]
    table.write_text("id,hcc\nP2,maybe\nP9,0\n")
    with pytest.raises(StudyError) as error:
        d.read_lesions(plan, pd.Series(["P1", "P2"]))
    assert "line 2: patient 'P2'" in str(error.value) and "line 3: patient 'P9': is no patient" in str(error.value)


def test_participants_flow_as_stard_asks(tmp_path):
    """20 eligible; 3 without the index test, of the others 2 without reference standard; one cut-off, declared."""
    score = np.arange(20.0)
    frame = pd.DataFrame(
        {"patient_id": [f"P{i}" for i in range(20)], "score": score, "hcc": (score >= 8).astype(float)}
    )
    frame["washout"] = -score
    frame.loc[[0, 1, 19], "score"] = np.nan
    frame.loc[[1, 2, 18], "hcc"] = np.nan
    frame.loc[3, "hcc"] = 1
    tests = {"score": {"positive_from": [10]}, "washout": {"direction": "lower", "positive_from": [-12, -15]}}
    plan = study(tmp_path, {"reference": "hcc", "tests": tests, "combination": list(tests), "resamples": 50})
    table = d.evaluate_tests({"all": frame}, plan, 1)["participants"].set_index(["test", "cutoff"])
    row = table.loc[("score", "10")]
    flow = ["eligible", "no_index_test", "no_reference", "analysed", "tp", "fp", "fn", "tn"]
    assert row[flow].tolist() == [20, 3, 2, 15, 8, 0, 3, 4]
    assert row[["positive_no_reference", "negative_no_reference"]].tolist() == [1, 1]
    assert table.loc[("washout", "-15"), ["tp", "fp", "no_reference", "positive_no_reference"]].tolist() == [4, 0, 3, 1]
    assert table.xs("combination")[flow].iloc[0].tolist()[:4] == [20, 3, 2, 15]


def test_readers_of_an_ordered_scale(tmp_path):
    plan = study(tmp_path, {"readers": {"lirads": ["reader1", "reader2"], "numbers": ["score", "washout"]}})
    rows = d.reader_agreement({"all": invented()}, plan)
    lirads = rows[rows["reading"] == "lirads"].set_index("coefficient")["estimate"]
    assert set(lirads.index) == {"agreement", "kappa", "kappa_linear", "kappa_quadratic", "pabak", "gwet_ac1"}
    assert lirads["kappa"] < lirads["kappa_linear"] < lirads["kappa_quadratic"]
    assert rows[rows["reading"] == "numbers"]["coefficient"].tolist() == ["icc_2_1"]


def test_readers_of_lesions_are_as_sure_as_their_patients_allow(tmp_path):
    plan = {"readers": {"lirads": ["reader1", "reader2"], "numbers": ["score", "washout"]}, "resamples": 200}
    plan, frame = study(tmp_path, plan), invented(60)
    one, four = (d.reader_agreement({"all": x}, plan) for x in (frame, pd.concat([frame] * 4, ignore_index=True)))
    width = [table["upper"] - table["lower"] for table in (one, four)]
    lirads = one["reading"] == "lirads"  # the ICC has n in it, and its analytic limits are those of normal numbers
    np.testing.assert_allclose(four["estimate"][lirads], one["estimate"][lirads])
    np.testing.assert_allclose(width[1][lirads], width[0][lirads], rtol=0.2)  # copies would halve it
    assert four["p"].isna().all() and one["p"].notna().any()


def test_groups_with_survival_and_propensity(tmp_path):
    groups = {"by": "treated", "variables": ["hcc", "score"], "endpoints": ["OS"], "adjust": ["score"]}
    recorded = {"OS": {"kind": "recorded", "time": "t", "event": "e"}}
    plan = study(tmp_path, {"groups": groups}, endpoints=recorded)
    frame, rng = invented(), np.random.default_rng(3)
    endpoints = frame[["patient_id"]].assign(OS_time=rng.exponential(size=120), OS_event=rng.integers(0, 2, 120))
    tables = compare_groups({"all": frame}, endpoints, plan)
    for name, table in tables.items():
        assert problems_of_table(table, contract_of(f"diagnostic/{name}.csv")) == []
    assert set(tables["groups"]["test"]) == {"chi-square", "Mann-Whitney", "log-rank"}
    assert tables["weighted"]["measure"].tolist() == ["risk difference", "hazard ratio"]
    assert abs(tables["balance"]["smd_weighted"].astype(float).iloc[0]) < 0.05
    assert tables["curves"].groupby("group").size().gt(10).all()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"tests": {"score": {}}}, "diagnostic.reference: tests need a reference standard"),
        ({"reference": "score"}, "diagnostic.reference: 'score' is numeric; needed: binary"),
        ({"reference": "hcc", "tests": {"scor": {}}}, "'scor' is no variable; did you mean 'score'?"),
        ({"reference": "hcc", "tests": {"reader1": {"positive_from": ["LR-6"]}}}, "'LR-6' is no level"),
        ({"reference": "hcc", "tests": {"score": {"positive_from": ["high"]}}}, "'high' is no number"),
        ({"reference": "hcc", "tests": {"score": {}}, "combination": ["score", "washout"]}, "'washout' is not among"),
        ({"readers": {"r": ["reader1", "score"]}}, "not of one kind"),
        ({"groups": {"by": "treated", "endpoints": ["OS"]}}, "'OS' is no endpoint"),
        ({"groups": {"by": "reader1", "adjust": ["score"]}}, "compares two groups"),
        ({"refrence": "hcc"}, "unknown key 'refrence'; did you mean 'reference'?"),
    ],
)
def test_contradictions_are_said_before_anything_runs(tmp_path, plan, message):
    with pytest.raises(StudyError) as error:
        study(tmp_path, plan)
    assert message in str(error.value)


def test_a_study_of_printed_numbers_has_nothing_beside_them(tmp_path):
    path = tmp_path / "study.yaml"
    reported = {"statements": [{"id": "a", "kind": "sum", "total": 3, "parts": [1, 2]}]}
    path.write_text(yaml.safe_dump({"study": "x", "reported": reported}))
    assert resolve(path)["analyses"] == {}
    path.write_text(yaml.safe_dump({"study": "x", "reported": reported, "analyses": {}}))
    with pytest.raises(StudyError, match="analyses: has no place beside reported"):
        resolve(path)
    path.write_text("study: x\n")
    with pytest.raises(StudyError, match="'clinical' is a required property"):
        resolve(path)


def test_the_page_escapes_names_and_shows_what_is_impossible(tmp_path):
    (tmp_path / "diagnostic").mkdir()
    (tmp_path / "study.resolved.yaml").write_text(json.dumps({"study": "x", "title": "<b>T</b>", "synthetic": True}))
    table = pd.DataFrame(
        {"id": ["a"], "label": ["<script>x</script>"], "check": ["c"], "printed": ["1"], "recomputed": ["2"]}
        | {"verdict": ["inconsistent"], "note": [np.nan]}
    )
    table.to_csv(tmp_path / "diagnostic/consistency.csv", index=False)
    picture = tmp_path / "f.png"
    picture.write_bytes(b"\x89PNG")
    page = blocks_page(blocks(tmp_path, [(picture, "a <caption>")]), "Diagnostic study")
    assert "Impossible as printed" in page and "SYNTHETIC DATA" in page and "INCONSISTENT" in page
    assert "<script>" not in page and "<b>T" not in page and "a &lt;caption&gt;" in page
    assert "img-src data:" in page
