"""Missing clinical values: learnt on training predictors, frozen, the same for a row whatever stands beside it."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import LinearRegression

from recur.cohort.training import Training
from recur.fit import imputation
from recur.fit.coefficients import coefficient_table
from recur.fit.imputation import imputations, learn_imputer, pool
from recur.fit.models import fit_model
from recur.predict.imputation import complete
from recur.predict.model import linear_predictor
from recur.statistics.cox import fit_cox
from recur.statistics.outcome import Outcome

NUMBER = {"kind": "numeric", "transform": "none", "label": None, "unit": "", "timing": "pre"}
VARIABLES = {
    "a": NUMBER,
    "b": NUMBER | {"transform": "ln"},
    "c": NUMBER | {"kind": "binary"},
    "stage": NUMBER | {"kind": "categorical", "levels": ["I", "II", "III"]},
    "grade": NUMBER | {"kind": "ordinal", "levels": [1, 2, 3]},
}
TERMS = list(VARIABLES)


def clinical(n=300, seed=0, share=0.2):
    """Correlated variables; a fifth of each is missing, more often where another is large (missing at random)."""
    rng = np.random.default_rng(seed)
    core = rng.normal(size=n)
    frame = pd.DataFrame(
        {
            "a": core + 0.5 * rng.normal(size=n),
            "b": np.exp(2 + core + 0.3 * rng.normal(size=n)),
            "c": (core + rng.logistic(size=n) > 0).astype(float),
            "stage": np.digitize(core + 0.5 * rng.normal(size=n), [-0.5, 0.8]).astype(float),
            "grade": np.digitize(rng.normal(size=n), [-0.5, 0.8]).astype(float),
        }
    )
    full = frame.copy()
    for name in ("a", "b", "c", "stage"):
        frame.loc[rng.uniform(size=n) < share, name] = np.nan
    return frame, full


def test_known_cells_stay_and_missing_ones_are_predicted_better_than_by_the_mean():
    frame, full = clinical()
    filled = complete(frame, learn_imputer(frame, TERMS, VARIABLES))
    gone = frame["b"].isna()
    np.testing.assert_allclose(filled["b"][~gone], np.log(frame["b"][~gone]))
    truth = np.log(full["b"][gone])
    assert np.mean((filled["b"][gone] - truth) ** 2) < 0.5 * np.var(truth)
    unknown = frame["stage"].isna()
    probability = filled.loc[unknown, ["stage:II", "stage:III"]]
    assert (probability > 0).all().all()
    assert (probability.sum(axis=1) < 1).all()


def test_linear_chains_equal_the_library_where_it_has_the_same_models(monkeypatch):
    monkeypatch.setattr(imputation, "PENALTY", 1e-9)
    monkeypatch.setattr(imputation, "SWEEPS", 100)
    frame, _ = clinical(share=0.05)
    data = pd.DataFrame({"a": frame["a"], "x": np.log(frame["b"]), "y": frame["grade"]})
    ours = complete(data, learn_imputer(data, ["a", "x", "y"], {"a": NUMBER, "x": NUMBER, "y": NUMBER}))
    library = IterativeImputer(LinearRegression(), max_iter=100, tol=1e-9, initial_strategy="median")
    np.testing.assert_allclose(ours[["a", "x", "y"]], library.fit_transform(data), atol=1e-6)


def test_a_row_is_completed_alike_alone_and_in_company_and_after_json():
    frame, _ = clinical()
    imputer = learn_imputer(frame, TERMS, VARIABLES)
    whole = complete(frame, imputer)
    again = json.loads(json.dumps(imputer))
    for row in np.flatnonzero(frame.isna().any(axis=1))[:20]:
        np.testing.assert_allclose(complete(frame.iloc[[row]], again), whole.iloc[[row]], rtol=1e-12, atol=1e-12)


def test_a_new_patient_may_lack_what_training_always_knew():
    frame, full = clinical()
    imputer = learn_imputer(full, TERMS, VARIABLES)
    nobody = complete(pd.DataFrame(index=[0]), imputer)
    assert np.isfinite(nobody.to_numpy()).all()
    assert complete(pd.DataFrame({"b": [full["b"].max()]}), imputer)["a"][0] > nobody["a"][0]


def test_imputations_keep_the_spread_that_conditional_means_lose():
    frame, full = clinical(1000)
    imputer, sets = imputations(frame, TERMS, VARIABLES, 5, seed=1)
    gone = frame["a"].isna().to_numpy()
    mean_only = complete(frame, imputer)["a"][gone].std()
    drawn = np.mean([design["a"][gone].std() for design in sets])
    assert mean_only < 0.92 * full["a"][gone].std()
    assert drawn == pytest.approx(full["a"][gone].std(), rel=0.08)
    assert set(np.unique(sets[0][["c", "stage:II"]])) == {0.0, 1.0}
    assert not np.array_equal(sets[0]["a"], sets[1]["a"])
    assert all(a.equals(b) for a, b in zip(sets, imputations(frame, TERMS, VARIABLES, 5, seed=1)[1], strict=True))


def test_nothing_missing_means_one_design():
    _, full = clinical()
    assert len(imputations(full, TERMS, VARIABLES, 5, seed=1)[1]) == 1


def test_rubins_rules_on_a_case_done_by_hand():
    coefs, variances = np.array([[1.0], [2.0], [3.0]]), np.full((3, 1, 1), 0.25)
    mean, total = pool(coefs, variances)
    assert mean[0] == 2.0
    assert total[0, 0] == pytest.approx(0.25 + (1 + 1 / 3) * 1.0)


class TestModel:
    settings = {
        "variables": {"a": NUMBER, "c": NUMBER | {"kind": "binary"}},
        "second_stage": {"screen_p": None, "selection": "none", "separated": "firth"},
        "missing": {"fit": "stochastic", "imputations": 20},
        "horizons_months": [24],
    }

    def train(self, share):
        frame, full = clinical(600, seed=3, share=share)
        rng = np.random.default_rng(5)
        time = 30 * rng.exponential(np.exp(-(0.8 * full["a"] + 0.5 * full["c"]).to_numpy()))
        limit = rng.uniform(6, 80, len(time))
        empty = np.zeros((len(time), 0)), np.zeros((len(time), 0, 0))
        ids = np.arange(len(time)).astype(str).astype(object)
        return Training(
            ids, Outcome((time <= limit).astype(int), np.minimum(time, limit)), frame[["a", "c"]], *empty, []
        )

    def test_conditional_means_keep_the_effect_that_draws_without_the_outcome_lose(self):
        train = self.train(0.3)
        means = self.settings | {"missing": {"fit": "conditional_means", "imputations": 20}}
        effect = {
            name: fit_model(rows, ["a", "c"], None, chosen, 1)["terms"][0]["coef"]
            for name, rows, chosen in (
                ("whole", self.train(0.0), means),
                ("means", train, means),
                ("draws", train, self.settings),
            )
        }
        assert effect["means"] == pytest.approx(effect["whole"], rel=0.1)
        assert effect["draws"] < 0.7 * effect["whole"]

    def test_reported_hazard_ratios_are_pooled_over_imputations_that_know_the_outcome(self):
        train, chosen = self.train(0.3), self.settings | {"missing": {"fit": "conditional_means", "imputations": 20}}
        chosen |= {"candidates": {"pre": ["a", "c"], "post": []}}
        models = {"clinical_pre": fit_model(train, ["a", "c"], None, chosen, 1)}
        table = coefficient_table(train, None, models, chosen, 1).set_index(["stage", "term"])
        whole = fit_model(self.train(0.0), ["a", "c"], None, chosen, 1)["terms"]
        for term in whole:
            imputed = table.loc[("multivariable_imputed", term["name"])]
            assert abs(imputed["coef"] - term["coef"]) < 2 * imputed["se"]
            assert imputed["se"] > term["se"]  # what is missing costs precision
            few = table.loc[("multivariable_complete_cases", term["name"])]
            assert few["n"] == train.clinical[["a", "c"]].notna().all(axis=1).sum()
            assert few["se"] > imputed["se"]

    def test_a_complete_table_gives_the_plain_cox_model(self):
        train = self.train(0.0)
        model = fit_model(train, ["a", "c"], None, self.settings, 1)
        plain = fit_cox(train.clinical.to_numpy(), train.outcome.time, train.outcome.event)
        np.testing.assert_allclose([term["coef"] for term in model["terms"]], plain["coef"], rtol=1e-9)
        np.testing.assert_allclose([term["se"] for term in model["terms"]], plain["se"], rtol=1e-9)

    def test_outcomes_do_not_reach_the_imputer(self):
        train = self.train(0.3)
        other = train._replace(
            outcome=train.outcome._replace(time=train.outcome.time[::-1].copy(), event=train.outcome.event[::-1].copy())
        )
        imputers = [fit_model(rows, ["a", "c"], None, self.settings, 1)["imputer"] for rows in (train, other)]
        assert imputers[0] == imputers[1]

    def test_heldout_rows_get_the_frozen_imputation(self):
        model = fit_model(self.train(0.3), ["a", "c"], None, self.settings, 1)
        rows = pd.DataFrame({"a": [np.nan, 0.3], "c": [1.0, np.nan]})
        lp = linear_predictor(model, rows, None)
        assert lp[1] == pytest.approx(linear_predictor(model, rows.iloc[[1]], None)[0])

    def test_levels_of_one_category_are_screened_together(self):
        rng = np.random.default_rng(0)
        n = 400
        stage = rng.integers(0, 3, n).astype(float)
        time = 30 * rng.exponential(np.exp(-np.array([0.0, 0.1, 1.2])[stage.astype(int)]))
        event = np.ones(n, int)
        empty = np.zeros((n, 0)), np.zeros((n, 0, 0))
        frame = pd.DataFrame({"stage": stage, "noise": rng.normal(size=n)})
        train = Training(np.arange(n).astype(str).astype(object), Outcome(event, time), frame, *empty, [])
        variables = {"stage": VARIABLES["stage"], "noise": NUMBER}
        chosen = self.settings | {
            "variables": variables,
            "second_stage": {"screen_p": 0.05, "selection": "none", "separated": "firth"},
        }
        names = [term["name"] for term in fit_model(train, ["stage", "noise"], None, chosen, 1)["terms"]]
        # level II alone is far from significant; the variable is not
        assert names == ["stage:II", "stage:III"]
