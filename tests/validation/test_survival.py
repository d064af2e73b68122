"""Floor 7 on frozen models: it applies, and its tables hold what the functions say."""

import numpy as np
import pandas as pd
import pytest

from recur.predict.apply import apply_models
from recur.statistics.brier import brier_at
from recur.statistics.concordance import c_difference, harrell_c
from recur.statistics.nested_concordance import NESTED_COLUMNS
from recur.statistics.time_roc import auc_at
from recur.validation.survival import survival_tables, time_curves
from recur.validation.tables import calibration_tables, comparisons, net_benefit_table, performance, roc_curves

TIMES = np.arange(1.0, 100.0)
NOT_NESTED = pd.DataFrame(columns=NESTED_COLUMNS)
MODEL = {
    "terms": [
        {"name": "signature", "term": "signature", "kind": "signature", "level": None, "coef": 1.0, "mean": 0.0},
    ],
    "baseline": {"time": TIMES.tolist(), "survival": np.exp(-TIMES / 60).tolist()},
    "horizons_months": [24, 60],
    "cutpoint": {"lp": 0.2},
    "lp_range": [-3.0, 3.0],
    "imputer": {"predictors": [], "terms": []},
    "follow_up_months": 110.0,
}  # fmt: skip
EMPTY = MODEL | {"terms": [], "cutpoint": None}
SIGNATURE = {
    "winsorise_sd": None,
    "harmonisation": {"kind": "none"},
    "features": [{"name": "f", "weight": 1.0, "mean": 10.0, "sd": 2.0}],
}


@pytest.fixture(scope="module")
def risks():
    rng = np.random.default_rng(0)
    n = 240
    score = rng.normal(size=n)
    time, limit = rng.exponential(60 * np.exp(-score)), rng.uniform(20, 110, n)
    frame = pd.DataFrame(
        {
            "patient_id": [f"p{i:03d}" for i in range(n)],
            "cohort": np.where(np.arange(n) < 120, "train", "external-B"),
            "time": np.minimum(time, limit),
            "event": (time <= limit).astype(int),
        }
    )
    models = {"combined_pre": MODEL, "clinical_pre": EMPTY}
    return apply_models(models, SIGNATURE, frame, (10 + 2 * score)[:, None], ["f"]), models


def test_a_frozen_model_is_applied_as_written(risks):
    table, _ = risks
    own = table[table["model"] == "combined_pre"]
    np.testing.assert_allclose(own["risk_24"], 1 - np.exp(-24 / 60) ** np.exp(own["lp"]), rtol=1e-12)
    assert ((own["lp"] > 0.2) == (own["group"] == "high")).all()
    assert (table.loc[table["model"] == "clinical_pre", "group"] == "all").all()


def test_performance_has_every_metric_and_the_functions_values(risks):
    table, models = risks
    result = performance(table, models, 1)
    own = result[(result["model"] == "combined_pre") & (result["cohort"] == "external-B")].set_index("metric")
    part = table[(table["model"] == "combined_pre") & (table["cohort"] == "external-B")]
    assert own.loc["c_harrell", "estimate"] == harrell_c(part["time"], part["event"], part["lp"])["estimate"]
    assert set(own.index) >= {"c_uno", "c_gamma", "auc", "brier", "ibs", "ipa", "calibration_slope", "oe_ratio", "ici"}
    # the risks are true: calibrated within their intervals
    assert own.loc["calibration_slope", "lower"] < 1 < own.loc["calibration_slope", "upper"]
    assert (own.loc["oe_ratio", "lower"] < 1).all()
    assert (own.loc["oe_ratio", "upper"] > 1).all()
    assert set(result["cohort"]) == {"train-apparent", "external-B"}


def test_a_model_without_terms_has_c_one_half_and_blank_estimates_with_reasons(risks):
    table, models = risks
    result = performance(table, models, 1)
    own = result[(result["model"] == "clinical_pre") & (result["cohort"] == "external-B")].set_index("metric")
    assert own.loc["c_harrell", "estimate"] == 0.5
    assert np.isnan(own.loc["calibration_slope", "estimate"])
    assert own.loc["calibration_slope", "method"].startswith("not estimated: ")


def test_a_horizon_beyond_the_data_is_left_blank(risks):
    table, models = risks
    late = {name: model | {"horizons_months": [24, 60]} for name, model in models.items()}
    short = table.assign(time=table["time"].clip(upper=30), event=table["event"] * (table["time"] <= 30))
    result = performance(short, late, 1)
    assert result.loc[(result["metric"] == "auc") & (result["horizon_months"] == 60), "estimate"].isna().all()


def test_the_difference_of_two_models_is_paired(risks):
    table, _ = risks
    rows = comparisons(table, NOT_NESTED, 1).query("cohort == 'external-B'")
    row = rows[rows["metric"] == "c_harrell"].iloc[0]
    part = table[table["cohort"] == "external-B"].pivot(index="patient_id", columns="model", values="lp")
    first = table[table["cohort"] == "external-B"].drop_duplicates("patient_id").set_index("patient_id").loc[part.index]
    expected = c_difference(first["time"], first["event"], part["combined_pre"], part["clinical_pre"])
    assert row["difference"] == pytest.approx(expected["estimate"])
    assert row["p"] == pytest.approx(expected["p"])
    first_pair = rows[rows["model_a"].eq(row["model_a"]) & rows["model_b"].eq(row["model_b"])]
    for metric, function in (("auc", auc_at), ("brier", brier_at)):
        at = first_pair[(first_pair["metric"] == metric) & (first_pair["horizon_months"] == 24)].iloc[0]
        risk = table[table["cohort"] == "external-B"].pivot(index="patient_id", columns="model", values="risk_24")
        a, b = (
            function(first["time"], first["event"], risk[at[name]], 24)["estimate"] for name in ("model_a", "model_b")
        )
        assert at["difference"] == pytest.approx(a - b) and at["lower"] < a - b < at["upper"]


def test_training_patients_are_compared_by_models_that_were_fitted_without_them(risks):
    table, _ = risks
    train = table[table["cohort"] == "train"]
    nested = train[["model", "patient_id", "time", "event", "lp"]].assign(repeat=0, fold=0, failed="")
    nested.loc[nested["model"] == "combined_pre", "lp"] *= -1  # what looked good fails
    rows = comparisons(table, nested, 1)
    rows = rows[
        rows["metric"].eq("c_harrell") & rows["model_a"].eq("combined_pre") & rows["model_b"].eq("clinical_pre")
    ]
    rows = rows.set_index("cohort")
    assert np.isnan(rows.loc["train-apparent", "p"])
    assert rows.loc["train-nested_cv", "upper"] < 0 and rows.loc["train-nested_cv", "p"] < 0.01


def test_curve_tables_cover_every_model_and_cohort(risks):
    table, models = risks
    pairs = set(map(tuple, table[["model", "cohort"]].drop_duplicates().to_numpy()))
    for result in (
        time_curves(table, models),
        roc_curves(table, models, NOT_NESTED),
        net_benefit_table(table, models, NOT_NESTED, (0.1, 0.5)),
    ):
        found = set(map(tuple, result[["model", "cohort"]].drop_duplicates().to_numpy()))
        assert pairs <= found
    calibration = calibration_tables(table, models, NOT_NESTED, [])
    assert set(calibration.loc[calibration["model"] == "combined_pre", "kind"]) == {"curve", "group"}


def test_the_table_of_net_benefit_keeps_a_horizon_without_support_and_says_why(risks):
    """It was dropped without a word."""
    table, models = risks
    beyond = {name: model | {"supported_months": 30.0} for name, model in models.items()}
    unknown = table.assign(risk_60=np.nan)
    result = net_benefit_table(unknown, beyond, NOT_NESTED, (0.1, 0.5))
    late = result[result["horizon_months"] == 60]
    assert set(late["model"]) >= set(models) and late["net_benefit"].isna().all()
    assert late["reason"].str.contains("fewer than 10 training patients were followed so long").all()
    early = result[result["horizon_months"] == 24]
    assert (early["reason"].eq("") == early["net_benefit"].notna()).all()


def test_survival_tables_have_groups_and_whole_cohorts(risks):
    table, _ = risks
    result = survival_tables(table, [24, 60])
    km = result["km"]
    groups = km.groupby(["model", "cohort"])["group"].unique().map(set).to_dict()
    assert groups[("combined_pre", "external-B")] == {"low", "high"}
    assert groups[("all", "external-B")] == {"all"}
    assert list(result["logrank"]["model"].unique()) == ["combined_pre"]
    assert set(result["rates"]["horizon_months"]) == {24, 60}
