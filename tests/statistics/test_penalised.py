"""Cox models of separated data: Firth's and ridge estimates against R, and what a study makes of them.

R: tests/data/firth_values.R, the penalised partial likelihood of Heinze & Schemper maximised with survival::coxph's
likelihood and information. Data of the breast example: R's package coxphf (data/coxphf_breast.csv).
"""

import json
from collections import namedtuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lifelines.datasets import load_lung
from scipy.stats import rankdata

from figures import forest
from recur.consistency.own_tables import coefficient_checks
from recur.fit.coefficients import coefficient_table
from recur.fit.model_checks import univariable_features
from recur.fit.models import fit_model, fit_models
from recur.predict.apply import apply_model
from recur.resampling.bootstrap import bootstrap_fit, resample_performance
from recur.resampling.nested import nested_performance, nested_predictions
from recur.statistics import logistic, penalised
from recur.statistics.cox import backward, fit_cox, term_test
from recur.statistics.estimate import NotEstimable, Separated
from recur.statistics.penalised import FIRTH, RIDGE, fit_or_penalised, fit_penalised, problem_of, profile_interval
from tests.fit.test_whole import cohort, settings

DATA = Path(__file__).parents[1] / "data"
R = json.loads((DATA / "firth_values.json").read_text())
BREAST = pd.read_csv(DATA / "coxphf_breast.csv")
LUNG = load_lung()[["time", "status", "age", "ph.karno", "sex", "inst"]].dropna()
TIME, EVENT = LUNG["time"].to_numpy(float), LUNG["status"].to_numpy() == 1
SPARED = ~EVENT & (np.arange(1, len(EVENT) + 1) % 2 == 0)  # a level without events
X = np.column_stack([LUNG["age"], LUNG["ph.karno"], SPARED]).astype(float)
FIRST = np.column_stack([rankdata(-TIME[:12]), LUNG["ph.karno"].to_numpy()[:12]])  # who is highest has the event
CENTRE = np.where(LUNG["inst"] < 8, "a", "b")
GENES = BREAST[["T", "N", "G", "CD"]].to_numpy(float)
PROBLEMS = {
    "breast": problem_of(GENES, BREAST["TIME"], BREAST["CENS"]),
    "level_without_events": problem_of(X, TIME, EVENT),
    "continuous": problem_of(FIRST, TIME[:12], EVENT[:12]),
    "strata": problem_of(X, TIME, EVENT, strata=CENTRE),
    "copies": problem_of(np.vstack([X] * 3), np.tile(TIME, 3), np.tile(EVENT, 3), copies=3),
    "ridge": problem_of(X, TIME, EVENT, RIDGE),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_estimates_limits_and_tests_are_those_of_r(name):
    fitted, r = fit_penalised(PROBLEMS[name]), R[name]
    np.testing.assert_allclose(fitted["coef"], r["coef"], rtol=1e-6)
    # R's determinant is that of the covariates as they are, ours per SD
    unit = 0 if name == "ridge" else PROBLEMS[name].copies * np.log(PROBLEMS[name].scale).sum()
    both = np.array([fitted["loglik"], fitted["loglik_null"]]) + unit
    np.testing.assert_allclose(both, [*r["loglik"], *r["null"]], rtol=1e-9)
    if name != "ridge":  # R's errors there are those of the information without the penalty
        np.testing.assert_allclose(fitted["se"], r["se"], rtol=1e-6)
    for j in range(len(r["coef"])):
        limits = profile_interval(PROBLEMS[name], j)
        np.testing.assert_allclose(limits, [r["lower"][j], r["upper"][j], r["p"][j]], rtol=1e-5, atol=1e-9)
        assert fitted["ratio_test"]([j])["p"] == pytest.approx(limits[2], rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("x, rows", [(X, slice(None)), (FIRST, slice(12))])
def test_the_partial_likelihood_has_no_maximum_and_the_penalised_one_stands_in(x, rows):
    with pytest.raises(Separated, match="infinite"):
        fit_cox(x, TIME[rows], EVENT[rows])
    assert fit_or_penalised(x, TIME[rows], EVENT[rows])["method"] == FIRTH
    assert fit_or_penalised(x, TIME[rows], EVENT[rows], RIDGE)["method"] == RIDGE


def test_where_there_is_a_maximum_it_stays():
    fitted, plain = fit_or_penalised(X[:, :2], TIME, EVENT), fit_cox(X[:, :2], TIME, EVENT)
    assert fitted["method"] == logistic.ML and "ratio_test" not in fitted
    np.testing.assert_array_equal(fitted["coef"], plain["coef"])


def test_collinear_and_constant_covariates_have_no_penalised_estimate_either():
    for column in (X[:, 0] * 2, np.ones(len(X))):
        with pytest.raises(NotEstimable):
            fit_or_penalised(np.column_stack([X, column]), TIME, EVENT)


def test_rows_stacked_below_each_other_weigh_as_one():
    """Of the logistic model; Efron's partial likelihood of copies is not that of one: R's value of `copies` above."""
    once = logistic.fit_or_penalised(X, EVENT)
    stacked = logistic.fit_or_penalised(np.vstack([X] * 3), np.tile(EVENT, 3), copies=3)
    np.testing.assert_allclose(stacked["coef"], once["coef"], rtol=1e-6)
    np.testing.assert_allclose(stacked["covariance"] * 3, once["covariance"], rtol=1e-5)
    assert stacked["ratio_test"]([2])["chi2"] == pytest.approx(once["ratio_test"]([2])["chi2"], rel=1e-6)


@pytest.mark.parametrize("kind", ["cox", "logistic"])
@pytest.mark.parametrize("p_remove", [None, 0.05])
def test_elimination_keeps_a_term_that_separates_and_drops_noise(kind, p_remove):
    noise = np.random.default_rng(2).normal(size=len(X))
    x = np.column_stack([noise, X])

    def fit(columns):
        part = x[:, columns]
        return fit_or_penalised(part, TIME, EVENT) if kind == "cox" else logistic.fit_or_penalised(part, EVENT)

    kept, _ = backward(fit, ["noise", "age", "karno", "spared"], [[0], [1], [2], [3]], p_remove=p_remove)
    assert "spared" in kept and "noise" not in kept


@pytest.mark.parametrize("kind", ["cox", "logistic"])
def test_elimination_drops_a_separating_level_of_one_patient(kind):
    """One patient says nothing; compared by their determinants, two penalised likelihoods would keep the level."""
    event = EVENT if kind == "cox" else ~EVENT  # in the logistic model most have none
    few = np.zeros(len(X))
    few[np.flatnonzero(~event)[TIME[~event].argmin()]] = 1
    x = np.column_stack([X[:, 1], few])

    def fit(columns):
        part = x[:, columns]
        return fit_or_penalised(part, TIME, event) if kind == "cox" else logistic.fit_or_penalised(part, event)

    assert fit([0, 1])["method"] == FIRTH and term_test(fit([0, 1]), [1])["p"] > 0.16
    assert backward(fit, ["karno", "few"], [[0], [1]])[0] == ["karno"]


def test_a_limit_is_found_wherever_the_coefficient_lies():
    rng = np.random.default_rng(7)
    time = rng.exponential(1, 20)
    problem = problem_of(np.column_stack([-time, rng.normal(size=20)]), time, rng.random(20) < 0.5)
    fitted = fit_penalised(problem)
    low, high, p = profile_interval(problem, 0)
    assert 0 < low < fitted["coef"][0] < high and p < 0.01
    for limit in (low, high):  # the definition: half the chi2 centile below the maximum
        held = [
            penalised._terms(problem, np.array([limit, other]) * problem.scale)[0] for other in np.linspace(-3, 3, 601)
        ]
        assert 2 * (fitted["loglik"] - max(held)) == pytest.approx(3.841, abs=0.02)


@pytest.fixture(scope="module")
def train():
    train = cohort()
    spared = (train.outcome.event == 0) & (np.arange(len(train.patient_id)) % 2 == 0)
    return train._replace(clinical=train.clinical.assign(mvi=spared.astype(float)))


@pytest.fixture(scope="module", params=["firth", "ridge"])
def chosen(request):
    chosen = settings()
    return chosen | {"second_stage": chosen["second_stage"] | {"separated": request.param}}


@pytest.fixture(scope="module")
def models(train, chosen):
    own = chosen | {"models": ["clinical_pre", "clinical_post"]}
    return fit_models(train, None, own, 1)


class TestStudy:
    """A postoperative variable (mvi) without an event in one of its levels, from the fit to the tables."""

    def test_the_frozen_model_says_its_likelihood_and_gives_risks(self, train, chosen, models):
        model = json.loads(json.dumps(models["clinical_post"]))
        assert model["likelihood"].lower() == chosen["second_stage"]["separated"]
        assert model["prior_variance_per_sd"] == (0.5 if model["likelihood"] == RIDGE else None)
        assert models["clinical_pre"]["likelihood"] == logistic.ML
        assert apply_model(model, train.clinical, None)["risk_24"].between(0, 1).all()

    def test_the_table_names_the_method_and_has_profile_limits(self, train, chosen, models):
        table = coefficient_table(train, None, models, chosen, 1)
        rows = table[table["term"] == "mvi"].set_index("stage")
        name = models["clinical_post"]["likelihood"]
        for stage in ("univariable", "multivariable"):
            row = rows.loc[stage]
            assert (
                row["method"] == f"{name}; profile penalised likelihood" and 0 < row["lower"] < row["hr"] < row["upper"]
            )
            assert (row["likelihood"], row["limits"]) == (name, "profile")
            assert row["p"] < 1e-4 and row["p_term"] == row["p"] and row["upper"] < 1
        assert rows.loc["multivariable_complete_cases", "method"] == f"{name}; Wald limits"
        assert rows.loc["multivariable_complete_cases", "limits"] == "Wald"
        assert (table.loc[table["model"] == "clinical_pre", "method"] == logistic.ML).all()
        for check in coefficient_checks(table):
            assert np.all(check[2]), check[0]

    @pytest.mark.parametrize("stage", [{"screen_p": 0.05}, {"selection": "backward_aic"}, {"selection": "backward_p"}])
    def test_neither_screen_nor_elimination_loses_what_separates(self, train, chosen, stage):
        own = chosen | {"second_stage": chosen["second_stage"] | stage, "models": ["clinical_post"]}
        assert "mvi" in [term["name"] for term in fit_models(train, None, own, 1)["clinical_post"]["terms"]]

    def test_a_signature_turned_round_has_weight_0_in_a_penalised_model_too(self, train, chosen):
        score = -(train.features[:, 0] - 5) / 0.1
        model = fit_model(train, ["mvi"], score, chosen, 1)
        assert model["signature_use"]["status"] == "bounded" and model["signature_use"]["unbounded"] < 0
        assert [term["name"] for term in model["terms"]] == ["mvi"] and model["likelihood"] != logistic.ML

    def test_the_competing_event_has_its_penalised_model(self, train, chosen):
        others = np.flatnonzero(train.outcome.event == 0)[::3]
        dead = np.isin(np.arange(len(train.patient_id)), others).astype(int)
        spared = ((train.outcome.event == 0) & (dead == 0)).astype(float)
        part = train._replace(
            clinical=train.clinical.assign(mvi=spared), outcome=train.outcome._replace(competing=dead)
        )
        model = fit_model(part, ["mvi"], None, chosen, 1)
        assert model["competing"]["reason"] == "" and model["competing"]["likelihood"] == model["likelihood"]

    def test_resamples_and_folds_count_the_penalised_fits(self, train, chosen):
        own = chosen | {"models": ["clinical_pre", "clinical_post"]}
        part = train._replace(features=train.features[:, :0], repeats=train.repeats[:, :, :0], names=[])
        rows = [row for number in range(2) for row in bootstrap_fit(part, own, 1, number)]
        assert {row["failed"] for row in rows} == {""}
        apparent = pd.DataFrame([{"model": m, "metric": "c_harrell", "estimate": 0.7} for m in own["models"]])
        said = resample_performance(pd.DataFrame(rows), apparent).set_index("model")["method"]
        assert said["clinical_post"].str.contains("2 of 2 resamples by penalised likelihood").all()
        assert not said["clinical_pre"].str.contains("penalised").any()
        nested = nested_predictions(part, own, 1, 0, 2)
        said = nested_performance(nested, 1).set_index("model")["method"]
        assert "2 of 2 folds by penalised likelihood" in said["clinical_post"]
        assert "penalised" not in said["clinical_pre"]


def test_a_ratio_of_any_size_fits_into_the_forest_plot():
    """Profile limits of a covariate that orders all events: numbers of hundreds of digits."""
    term = namedtuple("Term", ["estimate", "lower", "upper"])
    assert forest.ratio_label(term(1e130, 1e13, np.inf)) == ">1000 (>1000 to >1000)"
    assert forest.ratio_label(term(0.5, 0.25, 0.75)) == "0.50 (0.25–0.75)"


def test_a_feature_that_orders_the_events_has_an_estimate_among_the_others():
    train = cohort()
    features = train.features.copy()
    features[:, 1] = -train.outcome.time
    table = univariable_features(train._replace(features=features)).set_index("feature")
    assert table.index[0] == train.names[1] and table.loc[train.names[1], "p"] < 1e-10
    assert np.isfinite(table[["p", "q"]]).all().all()
