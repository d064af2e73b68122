"""The study's own tables: sound ones pass, and every kind of error is found where it stands."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from recur.consistency.own_tables import table_consistency

COEF, SE = np.array([0.4, -1.2]), np.array([0.15, 0.5])
SOUND = {
    "performance": pd.DataFrame(
        {
            "analysis": "a",
            "model": "m",
            "cohort": ["train", "test"],
            "metric": "c_harrell",
            "horizon_months": np.nan,
            "estimate": [0.7, 0.65],
            "lower": [0.6, 0.5],
            "upper": [0.8, 0.8],
            "n": [100, 50],
            "events": [40, 20],
            "method": "ties in risk one half; infinitesimal jackknife",
        }
    ),
    "coefficients": pd.DataFrame(
        {
            "analysis": "a",
            "model": "m",
            "stage": "multivariable",
            "term": ["x", "y"],
            "coef": COEF,
            "se": SE,
            "hr": np.exp(COEF),
            "lower": np.exp(COEF - 1.959963984540054 * SE),
            "upper": np.exp(COEF + 1.959963984540054 * SE),
            "p": 2 * norm.sf(abs(COEF / SE)),
            "n": 100,
            "events": 40,
            "limits": "Wald",
        }
    ),
    "comparisons": pd.DataFrame(
        {"analysis": "a", "cohort": "test", "difference": [0.1], "lower": [0.02], "upper": [0.18], "p": [0.014]}
    ),
    "rates": pd.DataFrame(
        {
            "analysis": "a",
            "endpoint": "e",
            "model": ["all", "all", "m", "m"],
            "cohort": "test",
            "group": ["all", "all", "low", "high"],
            "horizon_months": [24, 60, 24, 24],
            "survival": [0.8, 0.6, 0.9, 0.7],
            "lower": [0.7, 0.5, 0.8, 0.5],
            "upper": [0.9, 0.7, 0.95, 0.8],
            "n_risk": [40, 30, 22, 18],
            "n": [50, 50, 25, 25],
            "events": [10, 20, 3, 7],
        }
    ),
    "table1": pd.DataFrame(
        {
            "analysis": "a",
            "variable": ["n", "Sex", "Sex"],
            "level": ["", "F", "M"],
            "overall": ["150", "50 (33.3)", "100 (66.7)"],
            "train": ["100", "30 (30.0)", "70 (70.0)"],
            "missing": [np.nan, 0, np.nan],
            "p": "",
            "smd": np.nan,
        }
    ),
}


def failed(kind: str, frame: pd.DataFrame) -> list[str]:
    found = table_consistency({kind: [frame]})
    return found.loc[pd.to_numeric(found["failed"], errors="coerce") > 0, "check"].tolist()


def test_estimates_without_an_interval_are_not_checked_for_one():
    """As in a study without held-out patients: no difference of two models has limits."""
    assert failed("comparisons", SOUND["comparisons"].assign(lower=np.nan, upper=np.nan)) == []


@pytest.mark.parametrize("kind", SOUND)
def test_sound_tables_pass(kind):
    found = table_consistency({kind: [SOUND[kind]]})
    assert len(found) and failed(kind, SOUND[kind]) == []


@pytest.mark.parametrize(
    ("kind", "row", "column", "cell", "check"),
    [
        ("performance", 0, "estimate", 0.82, "estimate within its interval"),
        ("performance", 0, "estimate", 0.71, "interval symmetric"),
        ("performance", 1, "estimate", 1.2, "share between 0 and 1"),
        ("performance", 1, "events", 51, "events at most n"),
        ("coefficients", 0, "hr", 1.5, "hr is exp(coef)"),
        ("coefficients", 1, "lower", 0.2, "interval symmetric on the log scale"),
        ("coefficients", 1, "p", 0.03, "P value from coefficient and error"),
        ("coefficients", 0, "events", 101, "events at most n"),
        ("comparisons", 0, "p", 0.2, "P value and interval agree"),
        ("comparisons", 0, "difference", 0.2, "difference within its interval"),
        ("rates", 1, "survival", 0.85, "rate falls with time"),
        ("rates", 0, "n_risk", 42, "events and patients at risk at most n"),
        ("rates", 3, "n", 26, "groups add up to at most the cohort"),
        ("table1", 1, "train", "30 (31.0)", "percentage of its count"),
        ("table1", 1, "overall", "51 (34.0)", "levels add up to the cohort"),
    ],
)
def test_every_error_is_found(kind, row, column, cell, check):
    frame = SOUND[kind].astype({column: object} if isinstance(cell, str) else {column: float}).copy()
    frame.loc[row, column] = cell
    assert check in failed(kind, frame)


def test_failing_rows_are_placed_and_counts_are_of_all_tables():
    frame = SOUND["table1"].assign(train=["100", "30 (30.0)", "71 (70.0)"])
    found = table_consistency({"table1": [frame, SOUND["table1"]]})
    line = found[found["check"] == "levels add up to the cohort"].iloc[0]
    assert (line["rows"], line["failed"]) == (4, 1)
    below = found[(found["check"] == "levels add up to the cohort") & (found["rows"] == "")].iloc[0]
    assert (below["place"], below["printed"], below["recomputed"]) == ("a, train, Sex", "101", "100")


def test_limits_by_bootstrap_need_not_be_symmetric():
    """Every report with nested cross-validation counted its calibration slopes as failed checks."""
    nested = {
        "cohort": "train-nested_cv",
        "metric": "calibration_slope",
        "estimate": 0.41,
        "lower": 0.05,
        "upper": 0.89,
    }
    method = {"method": "Cox model on the linear predictor; nested predictions; bootstrap over patients"}
    table = pd.concat([SOUND["performance"], SOUND["performance"].head(1).assign(**nested, **method)])
    found = table_consistency({"performance": [table]})
    assert found.loc[found["check"] == "interval symmetric", "failed"].fillna(0).sum() == 0
