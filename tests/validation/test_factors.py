"""Survival by clinical factor: levels by name, numbers at the training median, missing values left out."""

import numpy as np
import pandas as pd
import pytest

from recur.statistics.survival import logrank_trend
from recur.validation.factors import factor_groups, factor_tables

VARIABLES = {
    "age": {"kind": "numeric", "label": "Age", "unit": "years", "transform": "none"},
    "mvi": {"kind": "binary", "label": None, "unit": "", "transform": "none"},
    "grade": {"kind": "ordinal", "label": "Grade", "unit": "", "transform": "none", "levels": ["I", "II", "III"]},
}


def frame():
    rng = np.random.default_rng(0)
    n = 200
    mvi = rng.integers(0, 2, n)
    limit = rng.uniform(5, 60, n)
    time = rng.exponential(np.where(mvi == 1, 12, 40))
    return pd.DataFrame(
        {
            "patient_id": [f"p{i}" for i in range(n)],
            "cohort": np.where(np.arange(n) < 150, "train", "external-B"),
            "time": np.minimum(time, limit),
            "event": (time <= limit).astype(int),
            "age": np.where(np.arange(n) < 150, rng.normal(60, 5, n), 90.0),
            "mvi": mvi.astype(float),
            "grade": np.where(np.arange(n) == 0, np.nan, np.arange(n) % 3),
        }
    )


def test_numbers_are_halved_at_the_training_median_for_every_cohort():
    groups = factor_groups(frame(), ["age"], VARIABLES)
    held = groups[groups["cohort"] == "external-B"]
    assert held["group"].nunique() == 1 and held["group"].iloc[0].startswith("above 59.93 years")
    train = groups[groups["cohort"] == "train"]["group"]
    assert train.value_counts().tolist() == [75, 75] and train.iloc[0].endswith("years")


def test_levels_go_by_their_names_and_missing_values_out():
    groups = factor_groups(frame(), ["mvi", "grade"], VARIABLES)
    assert set(groups.loc[groups["model"] == "mvi", "group"]) == {"no", "yes"}
    assert set(groups.loc[groups["model"] == "Grade", "group"]) == {"I", "II", "III"}
    assert (groups["model"] == "Grade").sum() == 199


def test_a_factor_that_matters_has_a_small_p_in_every_cohort():
    tables = factor_tables(frame(), ["age", "mvi"], VARIABLES, [24])
    tests = tables["logrank"].set_index(["factor", "cohort"])["p"]
    assert tests["mvi", "train"] < 1e-4 and tests["mvi", "external-B"] < 0.05 < tests["Age", "train"]
    assert set(tables["rates"]["factor"]) == {"Age", "mvi"}


def test_ordered_levels_have_a_test_for_trend_and_others_have_none():
    """The trend of the levels in their order: more power than the log-rank test when the risk rises with each level."""
    rows = frame()
    rng = np.random.default_rng(1)
    rising = rng.exponential(40 * 0.72 ** rows["grade"].fillna(0))
    rows["time"], rows["event"] = rising, 1
    tests = factor_tables(rows, ["mvi", "grade"], VARIABLES, [24])["logrank"].set_index(["factor", "cohort"])
    assert tests.loc["mvi", "p_trend"].isna().all()
    known = rows[(rows["cohort"] == "train") & rows["grade"].notna()]
    trend = logrank_trend(known["time"], known["event"], known["grade"])["p"]
    assert tests.loc[("Grade", "train"), "p_trend"] == pytest.approx(trend)
    assert trend < tests.loc[("Grade", "train"), "p"]
    reversed_names = VARIABLES | {"grade": VARIABLES["grade"] | {"levels": ["c", "b", "a"]}}
    again = factor_tables(rows, ["mvi", "grade"], reversed_names, [24])["logrank"]
    assert again["p_trend"].dropna().tolist() == tests["p_trend"].dropna().tolist()  # order is the study file's
