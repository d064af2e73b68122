"""Ordinal and categorical endpoints: models and tests as R's, applied from JSON, fitted on training rows only."""

import json

import numpy as np
import oracle
import pandas as pd
import pytest

from recur.fit.categories import category_models, coefficient_rows
from recur.predict.categories import probabilities, risk_rows
from recur.resampling.categories import cross_validated
from recur.statistics.estimate import NotEstimable
from recur.statistics.level_tests import chi_square, cochran_armitage, jonckheere, kruskal_wallis
from recur.statistics.ordinal import fit_multinomial, fit_ordinal
from recur.validation.categories import category_performance, level_tests
from tests.fit.test_whole import VARIABLES, N, as_bytes, cohort, settings

R = {"rtol": 1e-6, "atol": 1e-10}
LEVELS = ["I", "II", "III"]


@pytest.fixture(scope="module")
def asah():
    data = oracle.table("asah")
    return (
        data,
        data[["age", "female", "s100b"]].to_numpy(float),
        pd.cut(data["gos6"], [0, 3, 4, 5]).cat.codes.to_numpy(int),
    )


@pytest.mark.reference
class TestAgainstR:
    """grp = cut(gos6, c(0, 3, 4, 5)) of aSAH on age, female and s100b."""

    def test_multinom(self, asah):
        fitted = fit_multinomial(*asah[1:])
        np.testing.assert_allclose(fitted["intercept"], [-0.950396041307, 2.789791199202], rtol=1e-6)
        coef = [
            [0.00342691276117, 0.0368409067769, -4.73591254403],
            [-0.03821267672109, 1.2885742230345, -4.61314256096],
        ]
        np.testing.assert_allclose(fitted["coef"], coef, rtol=1e-6)
        se = [[0.03586579131, 0.9472826741, 3.031760837], [0.01858081027, 0.5110214050, 1.245068364]]
        np.testing.assert_allclose(fitted["se"], se, rtol=1e-6)
        assert fitted["loglik"] == pytest.approx(-77.4675181686, rel=1e-9)

    def test_proportional_odds_as_lrm(self, asah):
        fitted = fit_ordinal(*asah[1:])
        np.testing.assert_allclose(fitted["threshold"], [-2.7702561469555, -2.4706055443317], **R)
        np.testing.assert_allclose(fitted["coef"][0], [-0.0360670308456, 1.1990552690503, -4.3129963150659], **R)
        np.testing.assert_allclose(fitted["se"][0], [0.01692965323, 0.46742267490, 1.14881735248], **R)

    def test_tests_over_the_levels(self, asah):
        data, _, level = asah
        assert kruskal_wallis(data["s100b"].to_numpy(), level)["statistic"] == pytest.approx(16.6804478547, rel=1e-9)
        trend = jonckheere(data["s100b"], level)  # the z of Kendall's test with ties is the same
        assert (trend["statistic"], trend["p"]) == pytest.approx((-3.94950442248, 7.831316408e-05), rel=1e-9)
        trend = cochran_armitage(data["female"], level)
        assert (trend["statistic"] ** 2, trend["p"]) == pytest.approx((4.470110885676, 0.034492753087), rel=1e-9)

    def test_kruskal_of_the_oracle(self, asah):
        expected = oracle.items("asah", "tests")["k_group/s100b_by_wfns"]["values"]
        found = kruskal_wallis(asah[0]["s100b"].to_numpy(), asah[0]["wfns"].to_numpy())
        assert (found["statistic"], found["df"]) == pytest.approx((expected["kruskal_H"], expected["kruskal_df"]))


def training(seed=0):
    train, rng = cohort(seed), np.random.default_rng([seed, 2])
    latent = 1.5 * train.clinical["margin"] + rng.logistic(size=N)
    return train._replace(outcome=train.outcome._replace(time=None, event=np.digitize(latent, [0.0, 1.5])))


def chosen(ordered=True):
    quick = {"nested_folds": 4, "nested_repeats": 2}
    return settings() | {"levels": LEVELS, "ordered": ordered, "internal_validation": quick}


@pytest.fixture(scope="module")
def models():
    return json.loads(json.dumps(category_models(training(), chosen(), 1)))


def test_an_ordinal_endpoint_has_both_models_before_and_after(models):
    assert list(models) == ["multinomial_pre", "ordinal_pre", "multinomial_post", "ordinal_post"]
    assert list(category_models(training(), chosen(False), 1)) == ["multinomial_pre", "multinomial_post"]
    table = coefficient_rows(models).set_index(["model", "level", "term"])
    row = table.loc["ordinal_pre", "each step up", "margin"]
    assert row["lower"] < np.exp(1.5) < row["upper"]
    assert row["p"] < 0.01


def test_probabilities_of_the_frozen_models_add_up_and_match_the_shares(models):
    train = training()
    for model in models.values():
        risk = probabilities(model, train.clinical)
        np.testing.assert_allclose(risk.sum(axis=1), 1)
        assert (risk >= 0).all()
    risk = probabilities(models["multinomial_pre"], train.clinical)
    np.testing.assert_allclose(risk.mean(axis=0), np.bincount(train.outcome.event) / N, atol=1e-6)


def test_no_byte_depends_on_held_out_rows():
    train = training()
    other = train.clinical.copy()
    other.loc[90:, "margin"] = 1 - other.loc[90:, "margin"]
    changed = train._replace(
        clinical=other, outcome=train.outcome._replace(event=np.where(np.arange(N) < 90, train.outcome.event, 0))
    )
    assert as_bytes(category_models(train.rows(np.arange(90)), chosen(), 1)) == as_bytes(
        category_models(changed.rows(np.arange(90)), chosen(), 1)
    )


@pytest.mark.slow
def test_cross_validation_is_more_modest_than_the_fitted_rows_and_null_is_one_half(models):
    train = training()
    own = risk_rows("ordinal_pre", models["ordinal_pre"], train.clinical, train.outcome.event, train.patient_id)
    left_out = cross_validated(train, chosen(), 1)
    risks = pd.concat([own.assign(cohort="train"), left_out])
    table = category_performance(risks, LEVELS, True, 1).set_index(["model", "cohort", "metric"])
    assert table.loc[("ordinal_pre", "train-nested_cv", "c_ordinal"), "estimate"] > 0.55
    assert table.loc[("ordinal_pre", "train-apparent", "auc_III"), "lower"] > 0.5
    null = train._replace(
        outcome=train.outcome._replace(event=np.random.default_rng(5).permutation(train.outcome.event))
    )
    table = category_performance(cross_validated(null, chosen(), 1), LEVELS, True, 1).set_index(["model", "metric"])
    assert abs(table.loc[("multinomial_pre", "auc_mean"), "estimate"] - 0.5) < 0.12


def test_separated_levels_are_refused_with_their_reason():
    level = np.repeat([0, 1, 2], 20)
    with pytest.raises(NotEstimable):
        fit_multinomial(level[:, None].astype(float), level)
    with pytest.raises(NotEstimable):
        fit_ordinal(level[:, None].astype(float), level)


def test_a_model_that_levels_separate_names_the_variable_and_the_level():
    train = training()
    train = train._replace(clinical=train.clinical.assign(margin=(train.outcome.event == 2).astype(float)))
    failed = category_models(train, chosen(), 1)["multinomial_pre"]["failed"]
    assert "Margin: all" in failed and "training patients of level III are with it" in failed
    assert "leave it out of the candidates, or join its levels" in failed


def test_every_variable_is_tested_over_the_levels_and_features_in_training_only():
    train = training()
    frame = train.clinical.assign(level=train.outcome.event, cohort=np.where(np.arange(N) < 80, "train", "test"))
    features = pd.DataFrame(train.features[:, :4], columns=train.names[:4])
    table = level_tests(frame, VARIABLES, features, True)
    of_margin = table[(table["variable"] == "Margin") & (table["cohort"] == "train")]
    assert list(of_margin["test"].str.split(":").str[0]) == ["chi-square", "Cochran-Armitage"]
    assert set(table.loc[table["kind"] == "feature", "cohort"]) == {"train"}
    assert table.loc[table["kind"] == "feature", "q"].notna().all()
    assert table.loc[table["variable"] == "ln AFP", "n"].max() == 79  # the missing cell
    assert chi_square(np.zeros(9), np.arange(9) % 3)["reason"] == "only one level or one value"
