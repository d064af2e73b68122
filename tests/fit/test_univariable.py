"""Univariable ratios: each level of a category against the reference, and all of them in one test (values of R 4.2)."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sksurv.datasets import load_gbsg2

from recur.cohort.training import Training
from recur.fit.coefficients import coefficient_table
from recur.fit.models import fit_models
from recur.report.manuscript import cox as cox_of_manuscript
from recur.statistics.estimate import NotEstimable
from recur.statistics.group_tests import weighted_hazard_ratio
from recur.statistics.outcome import Outcome
from recur.vocabulary import study_words
from tests.fit.test_whole import settings

GRADE = {"column": "tgrade", "kind": "categorical", "levels": ["I", "II", "III"], "timing": "pre", "label": "Grade"}
GRADE |= {"unit": "", "transform": "none"}


def of_grade(binary: bool) -> pd.DataFrame:
    """The coefficient table of 686 real patients whose one candidate is the tumour's grade."""
    clinical, outcome = load_gbsg2()
    time, event = outcome["time"], outcome["cens"].astype(int)
    if binary:  # the event by two years, of those whose state there is known
        known = (time > 730) | (event == 1)
        clinical, event, time = clinical[known], ((time <= 730) & (event == 1))[known].astype(int), time[known] * 0
    codes = clinical["tgrade"].map({"I": 0.0, "II": 1.0, "III": 2.0}).astype(float).to_numpy()
    ids = np.array([f"p{i}" for i in range(len(codes))])
    empty = np.zeros((len(codes), 0))
    table = pd.DataFrame({"grade": codes})
    train = Training(
        ids, Outcome(event, None if binary else time.astype(float)), table, empty, np.zeros((len(codes), 0, 0)), []
    )
    chosen = settings() | {"variables": {"grade": GRADE}, "candidates": {"pre": ["grade"], "post": []}}
    chosen |= {"models": ["clinical_pre"], "horizons_months": [24]}
    return coefficient_table(train, None, fit_models(train, None, chosen, 1), chosen, 1)


def test_hazard_ratios_of_levels_are_coxphs():
    """Each level against everyone else, which a note called the reference, gave other values."""
    table = of_grade(binary=False)
    for stage in ("univariable", "multivariable"):
        own = table[table["stage"] == stage]
        np.testing.assert_allclose(own["coef"], [0.871796134842, 1.153747861637], rtol=1e-6)
        np.testing.assert_allclose(own["se"], [0.246049900406, 0.261539788470], rtol=1e-6)
        np.testing.assert_allclose(own["p_term"], 5.14849989062e-05, rtol=2e-3)  # R prints its statistic to 4 digits


def test_odds_ratios_of_levels_are_glms():
    own = of_grade(binary=True).query("stage == 'univariable'")
    np.testing.assert_allclose(own["coef"], [1.47289446934, 2.13675599828], rtol=1e-6)
    np.testing.assert_allclose(own["se"], [0.477993734934, 0.493823804358], rtol=1e-6)
    np.testing.assert_allclose(own["p_term"], 9.11389851834e-06, rtol=1e-6)


def test_the_table_of_the_manuscript_prints_the_joint_p_of_a_category_beside_each_level():
    table = cox_of_manuscript(of_grade(binary=False), study_words({}))
    assert [row[2] for row in table.rows] == ["<0.001 (joint <0.001)"] * 2
    assert any(note.startswith("Joint: all levels of a category") for note in table.notes)


@pytest.mark.parametrize(("seed", "coef"), [(3, -0.468554547911), (17, -0.12902617653)])
def test_a_weighted_hazard_ratio_with_extreme_weights_is_coxphs(seed, coef):
    """Full Newton steps ran away in 7 of 60 such data sets."""
    rng = np.random.default_rng(seed)
    treated = rng.integers(0, 2, 80)
    time = np.ceil(rng.exponential(20, 80) * np.exp(0.5 * treated))
    event, weight = (rng.random(80) < 0.6).astype(int), np.exp(rng.normal(0, 3, 80))
    assert weighted_hazard_ratio(time, event, treated, weight)["coef"] == pytest.approx(coef, rel=1e-8)


@pytest.mark.parametrize("seed", range(60))
def test_every_weighted_hazard_ratio_with_events_in_both_arms_is_finite(seed):
    rng = np.random.default_rng(seed)
    treated = rng.integers(0, 2, 80)
    time = np.ceil(rng.exponential(20, 80) * np.exp(0.5 * treated))
    event, weight = (rng.random(80) < 0.6).astype(int), np.exp(rng.normal(0, 3, 80))
    found = weighted_hazard_ratio(time, event, treated, weight)
    assert found["reason"] == "" and np.isfinite(found["hr"]) and found["se"] > 0


def test_a_model_that_cannot_be_estimated_names_variable_and_level():
    rng = np.random.default_rng(1)
    n = 120
    table = pd.DataFrame({"grade": np.repeat([0.0, 1.0, 2.0], 40), "age": rng.normal(60, 9, n)})
    time, event = rng.exponential(20, n), (rng.random(n) < 0.6).astype(int)
    event[table["grade"] == 2] = 0
    variables = {"grade": GRADE}
    for name in ("age", "years"):
        variables[name] = {"column": name, "kind": "numeric", "timing": "pre", "unit": "", "transform": "none"}
        variables[name] |= {"label": name.capitalize()}
    table["years"] = 2 * table["age"] + 1
    ids, empty = np.array([f"p{i}" for i in range(n)]), np.zeros((n, 0))
    train = Training(ids, Outcome(event, time), table, empty, np.zeros((n, 0, 0)), [])
    for terms, reason in (
        (["age", "years"], "Age: a combination of the other terms; Years: a combination of the other terms"),
        (["grade", "age", "years"], "Age: a combination of the other terms"),
    ):
        chosen = settings() | {"variables": variables, "candidates": {"pre": terms, "post": []}}
        chosen |= {"models": ["clinical_pre"], "horizons_months": [24]}
        with pytest.raises(NotEstimable, match=reason):
            fit_models(train, None, chosen, 1)
