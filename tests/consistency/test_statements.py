"""The consistency check finds what is impossible in published abstracts, and nothing in sound numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recur.consistency import statements as c
from recur.tables import StudyError

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "studies/published").glob("*.yaml"))


def checks(name: str) -> pd.DataFrame:
    return c.check_statements(c.read_statements(ROOT / f"studies/published/{name}.yaml"))


def one(name: str, statement: str, check: str) -> pd.Series:
    rows = checks(name).query("id == @statement and check == @check")
    assert len(rows) == 1
    return rows.iloc[0]


def verdicts(*statements: dict) -> list[str]:
    found = [{"id": f"s{i}"} | statement for i, statement in enumerate(statements)]
    c.checked_statements(found, "test")
    return c.check_statements(found)["verdict"].tolist()


@pytest.mark.parametrize(
    ("study", "statement", "check", "verdict", "recomputed"),
    [
        # the errors of the six diagnostic abstracts
        ("lirads", "lr45_reader1", "sensitivity: possible share", "inconsistent", "none"),
        ("lirads", "lr45_reader2", "accuracy", "inconsistent", "87/115 = 75.7%"),
        ("lirads", "kappa", "symmetry of the interval", "inconsistent", "middle 0.784"),
        ("ceus_thrombosis", "arterial_benign", "share of the count", "inconsistent", "8/14 = 57.1%"),
        ("ceus_small_hcc", "operating_point", "specificity: possible share", "inconsistent", "none"),
        ("ceus_small_hcc", "cn", "parts and total", "inconsistent", "31 + 5 + 2 + 1 = 39"),
        ("ct_perfusion", "hap", "P value", "inconsistent", "0.0067 to 0.0073"),
        ("mvi_ct", "b_foci", "symmetry of the interval", "inconsistent", "exp(0.984) = 2.675"),
        ("mvi_ct_ctc", "epv", "events per variable", "warning", "6.8"),
        # what they print and can be had again
        ("lirads", "lr5_reader1", "sensitivity: possible share", "consistent", "55/89"),
        ("lirads", "lr5_reader1", "accuracy", "consistent", "80/115 = 69.6%"),
        ("lirads", "lr5_specificity", "P value", "consistent", "0.5000"),
        ("ceus_small_hcc", "operating_point", "sensitivity: possible share", "consistent", "29/31"),
        ("ceus_small_hcc", "combined", "error from the interval", "consistent", "0.047"),
        ("ct_perfusion", "hap_c_against_a", "P value", "consistent", "0.0125 to 0.0129"),
        ("platelets", "delayed", "cells from sums and chi-square", "consistent", "17/78 and 10/134 (uncorrected)"),
        ("platelets", "delayed", "P value", "consistent", "0.0025"),
        ("somatostatin", "pfs", "P value", "consistent", "0.0305"),
        ("systemic_therapy", "bclc_c", "P value", "consistent", "7.2e-04"),
        ("varices", "accuracy", "share of the count", "consistent", "103/116 = 88.8%"),
        ("vegfr", "vegfr2_remission", "possible share", "consistent", "25/42"),
        # what else is impossible in the others
        ("ceus_thrombosis", "men", "parts and total", "inconsistent", "32 + 9 = 41"),
        ("ceus_thrombosis", "afp", "size", "inconsistent", "at most 5.49"),
        ("ceus_thrombosis", "washout", "chi-square", "inconsistent", "26.205"),
        ("varices", "f3_recurrent", "share of the count", "inconsistent", "18/38 = 47.4%"),
        ("varices", "child_pugh", "t from means and SDs", "inconsistent", "Student 3.08 to 3.52"),
        ("somatostatin", "tnm", "P value", "inconsistent", "0.0183"),
        ("vegfr", "auc", "symmetry of the interval", "inconsistent", "middle 0.855"),
        ("vegfr", "operating_point", "possible split", "warning", "20/23 and 34/47"),
        ("fatty_liver", "sexes", "parts and total", "inconsistent", "603 + 2357 = 2960"),
    ],
)
def test_published_numbers(study, statement, check, verdict, recomputed):
    row = one(study, statement, check)
    assert row["verdict"] == verdict
    assert recomputed in row["recomputed"]


def test_impossible_shares_name_the_nearest_and_what_would_fit():
    assert "70/89 = 78.7%" in one("lirads", "lr45_reader1", "sensitivity: possible share")["note"]
    note = one("ceus_small_hcc", "operating_point", "specificity: possible share")["note"]
    assert "53/96 = 0.552 and 54/96 = 0.563" in note and "98" in note


def test_all_four_p_values_of_the_logistic_model_are_those_of_its_odds_ratios():
    rows = checks("mvi_ct")
    rows = rows[rows["id"].str.startswith("b_")]
    assert (rows.query("check == 'P value'")["verdict"] == "consistent").all()
    assert (rows.query("check != 'P value'")["verdict"] == "inconsistent").all()
    assert len(rows) == 8


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_every_published_study_is_checked_and_says_what_it_cannot_check(path):
    rows = c.check_statements(c.read_statements(path))
    assert set(rows["verdict"]) <= {"consistent", "inconsistent", "warning", "not reproducible"}
    assert (rows["note"] != "")[rows["verdict"] == "not reproducible"].all()
    assert len(PUBLISHED) >= 18


def test_every_true_share_is_possible():
    rng = np.random.default_rng(0)
    for _ in range(500):
        n = int(rng.integers(1, 400))
        k, digits = int(rng.integers(0, n + 1)), int(rng.integers(0, 4))
        for text in (f"{k / n * 100:.{digits}f}%", f"{k / n:.{digits + 1}f}"):
            assert k in c.grim(c.Printed(text), n)


def test_true_intervals_tests_and_p_values_pass():
    """Random estimates, rounded as a paper would: no false alarm in 300 of each kind."""
    rng, statements = np.random.default_rng(1), []
    for _ in range(300):
        b, se = rng.normal(0, 1), rng.uniform(0.05, 1)
        low, high = np.exp([b - 1.959964 * se, b + 1.959964 * se])
        ratio = {
            "kind": "interval",
            "measure": "hr",
            "estimate": f"{np.exp(b):.3f}",
            "p": f"{2 * stats.norm.sf(abs(b) / se):.3f}",
        }
        if low > 0.01 and ratio["p"] != "0.000":
            statements.append(ratio | {"lower": f"{low:.3f}", "upper": f"{high:.3f}"})
        auc, se = rng.uniform(0.5, 0.85), rng.uniform(0.02, 0.07)
        limits = {key: f"{auc + sign * 1.959964 * se:.3f}" for key, sign in (("lower", -1), ("upper", 1))}
        statements.append({"kind": "interval", "measure": "auc", "estimate": f"{auc:.3f}"} | limits)
        x, y = rng.normal(5, 2, 20), rng.normal(6, 2, 25)
        summary = [[f"{f(v):.1f}" for v in (x, y)] for f in (np.mean, lambda v: np.std(v, ddof=1))]
        statements.append(
            {
                "kind": "means",
                "n": [20, 25],
                "mean": summary[0],
                "sd": summary[1],
                "t": f"{stats.ttest_ind(x, y).statistic:.3f}",
            }
        )
    assert set(verdicts(*statements)) == {"consistent"}


def test_an_interval_on_another_scale_is_not_accepted_by_accident():
    hr = {
        "kind": "interval",
        "measure": "hr",
        "estimate": "2.50",
        "lower": "1.10",
        "upper": "3.90",
    }  # symmetric as it is
    assert verdicts(hr) == ["inconsistent"]
    logit = {"kind": "interval", "measure": "auc", "estimate": "0.950", "lower": "0.850", "upper": "0.985"}
    assert verdicts(logit) == ["consistent"]


def test_p_values_are_read_as_printed():
    half = {"kind": "statistic", "test": "z", "value": "1.960"}
    assert verdicts(half | {"p": "0.05"}, half | {"p": "<0.05"}, half | {"p": "0.049"}) == [
        "consistent",
        "consistent",
        "inconsistent",
    ]
    huge = {"kind": "statistic", "test": "z", "value": "9.00"}
    assert verdicts(huge | {"p": "0.000"}, huge | {"p": "0.001"}, huge | {"p": ">0.05"}) == [
        "warning",
        "warning",
        "inconsistent",
    ]
    assert verdicts({"kind": "statistic", "test": "f", "value": "4.0", "p": "0.05"}) == ["not reproducible"]


def test_means_of_whole_numbers():
    assert verdicts(
        {"kind": "integer_mean", "printed": "3.19", "of": 28}, {"kind": "integer_mean", "printed": "3.18", "of": 28}
    ) == ["inconsistent", "consistent"]


def test_a_published_table_is_checked_from_csv(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "id,kind,printed,of,count,total,parts,counts,chi2,p\n"
        "age,proportion,52.6%,38,20,,,,,\n"
        "sex,sum,,,,38,29;8,,,\n"
        "grade,table,,,,,,20;18/63;15,9.938,0.002\n"
    )
    output = tmp_path / "checks.csv"
    command = [sys.executable, str(ROOT / "scripts/consistency.py"), "--input", str(table), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "3 consistent, 1 inconsistent"
    assert pd.read_csv(output).set_index("id").loc["sex", "verdict"] == "inconsistent"


def test_wrong_statements_are_named(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(
        "- {id: a, kind: proportion, printed: 78.8, of: 89}\n"
        "- {id: b, kind: sum, totl: 3, total: 3, parts: [1, 2]}\n"
        "- {id: c, kind: sums}\n"
    )
    with pytest.raises(StudyError) as error:
        c.read_statements(path)
    text = str(error.value)
    assert "0.printed: 78.8 is not of type 'string'" in text
    assert "unknown key 'totl'; did you mean 'total'?" in text and "'sums' is not one of" in text
    path.write_text("- {id: a, kind: sum, total: 3, parts: [1, 2]}\n- {id: a, kind: sum, total: 3, parts: [1, 2]}\n")
    with pytest.raises(StudyError, match="'a' stands there twice"):
        c.read_statements(path)
