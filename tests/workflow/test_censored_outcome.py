"""A binary outcome at a horizon that some patients are not followed to: they are weighted for, never counted as 0."""

import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml
from binary_study import QUICK, write_study
from eliminate import eliminate_logistic
from rscript import needs_r
from scipy.special import expit
from sksurv.metrics import brier_score, cumulative_dynamic_auc
from sksurv.util import Surv
from small import run_snakemake, small_project

from recur.cohort.analysis_set import make_analysis_set, split_sets
from recur.cohort.clinical import read_cohort
from recur.cohort.endpoints import state_as_binary
from recur.cohort.training import Training, read_training
from recur.contracts import problems_of_results
from recur.fit import ranking, signature
from recur.fit.coefficients import coefficient_table
from recur.fit.ranking import Forest, classifier_importance
from recur.fit.whole import fit, predict
from recur.predict.apply import apply_model
from recur.predict.signature import signature_scores
from recur.resampling.bootstrap import bootstrap_fit, resample_rows
from recur.resampling.nested import nested_performance, nested_predictions
from recur.statistics import binary_risks
from recur.statistics import brier as prediction_error
from recur.statistics.brier import brier_at, null_risk
from recur.statistics.calibration import observed_expected
from recur.statistics.concordance import c_index as concordance
from recur.statistics.concordance import somers_d
from recur.statistics.elastic_net import Penalty, cross_validate, elastic_net_path, lambda_grid, logistic_family
from recur.statistics.ipcw import censoring_weights, weight_summary
from recur.statistics.logistic import FIRTH, RIDGE, best_intercept, fit_logistic, fit_or_penalised
from recur.statistics.outcome import concordance_difference_of, concordance_of, outcome_of
from recur.statistics.roc import youden
from recur.statistics.time_roc import auc_at, auc_difference
from recur.study.file import resolve
from recur.tables import StudyError, read_made, write_table
from recur.validation import binary as validation
from recur.validation.guards import weak_weights
from recur.validation.tables import performance
from tests.fit.test_whole import N, as_bytes, cohort, settings

H = 24.0


def followed(n: int = 300, seed: int = 1, competing: bool = True) -> pd.DataFrame:
    """Times and codes (0, 1, 2) of patients whose event follows x; about one in six is censored before H."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    event, died = rng.exponential(30 * np.exp(-0.8 * x)), rng.exponential(80 if competing else 1e9, n)
    limit = np.round(rng.uniform(5, 60, n), 1) + 0.05  # some are censored together, none at the horizon
    time = np.minimum(np.minimum(event, died), limit)
    code = np.select([event == time, died == time], [1, 2], 0)
    return pd.DataFrame({"time": time, "event": code, "x": x})


def at_horizon(frame: pd.DataFrame) -> pd.DataFrame:
    outcome, _ = state_as_binary(frame[["time", "event"]].astype(float), H, "weighted")
    risk = expit(frame["x"] - 0.5)
    group = np.where(frame["x"] > 0.2, "high", "low")
    return outcome.assign(x=frame["x"], risk=risk, lp=frame["x"], group=group)


def run_r(script: str, folder) -> np.ndarray:
    done = subprocess.run(["Rscript", "-e", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.array(done.stdout.split(), float)


class TestState:
    FRAME = pd.DataFrame(
        {"time": [H - 1, H, H + 1, H - 1, H, H - 1, H - 1, H], "event": [1, 1, 1, 0, 0, 2, np.nan, 2]}, dtype=float
    )

    def test_one_before_at_and_after_the_horizon(self):
        outcome, problems = state_as_binary(self.FRAME, H, "weighted")
        expected = [1, 1, 0, np.nan, 0, 0, np.nan, 0]  # censored before: unknown; exactly at it: followed so far
        np.testing.assert_array_equal(outcome["event"], expected)
        np.testing.assert_array_equal(outcome["follow_up"], [H - 1, H, H, H - 1, H, H - 1, np.nan, H])
        assert [(problem.who, problem.text) for problem in problems] == [(6, "outcome unknown")]

    def test_left_out_names_the_censored(self):
        outcome, problems = state_as_binary(self.FRAME, H, "left_out")
        assert list(outcome) == ["event"] and [problem.who for problem in problems] == [3, 6]


class TestWeights:
    def test_by_hand(self):
        """Of three who are left one is censored: each of the others stands for 3 / 2."""
        weight = censoring_weights([1, 2, 3, 3], [True, False, True, True])
        np.testing.assert_allclose(weight, [1, 0, 1.5, 1.5])
        summary = weight_summary(weight)
        assert (summary["censored"], summary["largest_weight"]) == (1, pytest.approx(1.5))
        assert summary["effective_n"] == pytest.approx(4**2 / (1 + 2 * 1.5**2))

    @pytest.mark.parametrize("competing", [False, True])
    def test_the_weighted_share_is_kaplan_meiers_or_aalen_johansens(self, competing):
        frame = followed(competing=competing)
        outcome = at_horizon(frame)
        weight = censoring_weights(outcome["follow_up"], outcome["event"].notna())
        died = (frame["event"] == 2) if competing else None
        expected = null_risk(frame["time"].to_numpy(), (frame["event"] == 1).to_numpy(), H, died)
        assert (weight == 0).sum() == outcome["event"].isna().sum() > 30
        assert weight.sum() == pytest.approx(len(frame))
        assert np.average(outcome["event"].fillna(0), weights=weight) == pytest.approx(expected, abs=1e-12)
        assert outcome["event"].mean() > expected + 0.01  # what complete cases would have said

    @needs_r("survival")
    def test_g_is_that_of_survfit(self, tmp_path):
        """G just before a time: survfit of the censoring, with the events moved a little ahead of it at a tie."""
        frame = at_horizon(followed())
        known = frame["event"].notna()
        frame[["follow_up"]].assign(known=known.astype(int)).to_csv(tmp_path / "f.csv", index=False)
        script = """
        d <- read.csv("f.csv"); t <- d$follow_up - 1e-7 * d$known
        g <- survival::survfit(survival::Surv(t, 1 - d$known) ~ 1)
        cat(format(1 / summary(g, times = t - 1e-9, extend = TRUE)$surv[rank(t, ties.method = "min")], digits = 15))
        """
        r, weight = run_r(script, tmp_path), censoring_weights(frame["follow_up"], known)
        np.testing.assert_allclose(weight[known], r[known], rtol=1e-9)

    def test_a_training_set_estimates_them_on_its_own_rows(self):
        train = weighted_training()
        rows = np.r_[np.arange(0, N, 2), 5, 5]
        np.testing.assert_array_equal(train.rows(rows).outcome.weight, train.outcome.rows(rows).weight)
        part = train.rows(rows)
        np.testing.assert_array_equal(
            part.outcome.weight, censoring_weights(train.outcome.follow_up[rows], train.outcome.known[rows])
        )
        assert not np.allclose(part.outcome.weight, train.outcome.weight[rows])


@pytest.fixture
def few_draws(monkeypatch):
    monkeypatch.setattr(validation, "DRAWS", 20)


@pytest.fixture(scope="module", params=[False, True], ids=["censoring only", "competing death"])
def both(request):
    frame = followed(competing=request.param)
    event = (frame["event"] == 1).to_numpy()
    died = (frame["event"] == 2).to_numpy() if request.param else None
    return at_horizon(frame), (frame["time"].to_numpy(), event), died


class TestEvaluation:
    """The floor of binary outcomes gives the numbers of the survival floor at the horizon, and of scikit-survival."""

    def test_auc_and_its_limits(self, both):
        part, outcome, died = both
        ours, theirs = concordance_of(outcome_of(part), part["x"]), auc_at(*outcome, part["x"], H, died)
        assert [ours[k] for k in ("estimate", "se")] == pytest.approx([theirs[k] for k in ("estimate", "se")], rel=1e-9)
        other = part["x"] + np.random.default_rng(9).normal(size=len(part))
        ours = concordance_difference_of(outcome_of(part), part["x"], other)
        theirs = auc_difference(*outcome, part["x"], other, H, died)
        assert [ours[k] for k in ("estimate", "se", "p")] == pytest.approx(
            [theirs[k] for k in ("estimate", "se", "p")], rel=1e-9
        )

    def test_error_and_calibration(self, both, few_draws):
        part, outcome, died = both
        found = {measure.metric: measure.value for measure in validation.measures(part, {}, 1)}
        risk = part["risk"].to_numpy()
        assert found["brier"]["estimate"] == pytest.approx(brier_at(*outcome, risk, H, died)["estimate"])
        assert found["ipa"]["estimate"] == pytest.approx(prediction_error.ipa(*outcome, risk, H, died)["estimate"])
        expected = observed_expected(*outcome, risk, H, died)["estimate"]
        assert found["oe_ratio"]["estimate"] == pytest.approx(expected)

    def test_bootstrap_limits_are_near_the_closed_ones_of_the_brier_score(self, both):
        part, outcome, died = both
        closed, limits = brier_at(*outcome, part["risk"], H, died), validation.bootstrapped(part, 1).loc["brier"]
        assert limits["upper"] - limits["lower"] == pytest.approx(closed["upper"] - closed["lower"], rel=0.15)

    def test_one_risk_for_all_has_no_interval_of_its_ipa(self, few_draws):
        limits = validation.bootstrapped(at_horizon(followed()).assign(risk=0.3, group="all"), 1)
        assert "ipa" not in limits.index and limits.loc["brier"].notna().all()

    def test_scikit_survival_agrees(self):
        frame = followed(competing=False)
        part, outcome = at_horizon(frame), Surv.from_arrays(frame["event"] == 1, frame["time"])
        weight = censoring_weights(part["follow_up"], part["event"].notna())
        auc = cumulative_dynamic_auc(outcome, outcome, frame["x"], [H])[0][0]
        assert concordance_of(outcome_of(part), part["x"])["estimate"] == pytest.approx(
            auc, abs=1e-3
        )  # it weights by G(t), not G(t-)
        brier = brier_score(outcome, outcome, 1 - part["risk"], [H])[1][0]
        event = part["event"].fillna(0).to_numpy()
        assert binary_risks.brier(event, part["risk"], weight)["estimate"] == pytest.approx(brier, abs=1e-3)

    def test_classes_and_net_benefit_by_brute_force(self, both):
        part, _, _ = both
        weight = censoring_weights(part["follow_up"], part["event"].notna())
        event, high = part["event"].fillna(0).to_numpy(int), part["group"].eq("high").to_numpy()
        pairs = binary_risks.at_cut(event, high, weight)
        true = sum(w for w, e, h in zip(weight, event, high, strict=True) if e and h)
        assert pairs["sensitivity"][0] / pairs["sensitivity"][1] == pytest.approx(true / (weight @ event))
        assert pairs["ppv"][0] / pairs["ppv"][1] == pytest.approx(true / (weight @ high))
        risk = part["risk"].to_numpy()
        gain, everybody = binary_risks.net_benefits(event, risk, np.array([0.3]), weight)
        kept = risk >= 0.3
        own = (weight * event)[kept].sum() - 3 / 7 * (weight * (1 - event))[kept].sum()
        assert gain[0] == pytest.approx(own / len(part))
        assert everybody[0] == pytest.approx((weight @ event - 3 / 7 * weight @ (1 - event)) / len(part))

    def test_youdens_cut_point_by_brute_force(self):
        part = at_horizon(followed(60))
        weight = censoring_weights(part["follow_up"], part["event"].notna())
        event, x = part["event"].fillna(0).to_numpy(int), part["x"].to_numpy()

        def index(cut: float) -> float:
            high = x > cut
            return (weight * event)[high].sum() / (weight @ event) - (weight * (1 - event))[high].sum() / (
                weight @ (1 - event)
            )

        found = youden(event, x, weight)
        assert index(found["threshold"]) == pytest.approx(max(index(cut) for cut in x)) == found["youden"]

    def test_the_outcome_of_the_censored_plays_no_part(self, few_draws):
        part = at_horizon(followed())
        table = performance(part.assign(model="m", cohort="test", patient_id=range(len(part))), {"m": {}}, 1)
        moved = part.assign(risk=part["risk"].where(part["event"].notna(), part["risk"] / 2), model="m", cohort="test")
        other = performance(moved.assign(patient_id=range(len(part))), {"m": {}}, 1)
        same = table["metric"].isin(["brier", "ipa", "calibration_slope", "calibration_intercept"])
        np.testing.assert_allclose(table.loc[same, "estimate"], other.loc[same, "estimate"], rtol=1e-9)
        assert table["method"].str.contains("censored before the horizon").all()
        assert (table["n"] == len(part)).all() and (table["events"] == part["event"].sum()).all()


SVYGLM = """
suppressMessages(library(survey)); d <- read.csv("d.csv"); k <- d[d$w > 0, ]
s <- svydesign(ids = ~1, weights = ~w, data = k)
f <- svyglm(y ~ a + b, design = s, family = quasibinomial()); n <- nrow(k)
cat(format(c(coef(f), sqrt(diag(vcov(f)) * (n - 1) / n), AIC(f)[c(1, 2)]), digits = 15))
"""
GLMNET = """
d <- as.matrix(read.csv("x.csv")); y <- scan("y.txt", quiet = TRUE); w <- scan("w.txt", quiet = TRUE)
fold <- scan("fold.txt", quiet = TRUE); l <- scan("lambda.txt", quiet = TRUE)
f <- glmnet::glmnet(d, y, "binomial", alpha = 0.5, lambda = l, weights = w, standardize = FALSE, thresh = 1e-14)
v <- glmnet::cv.glmnet(d, y, family = "binomial", alpha = 0.5, lambda = l, weights = w, standardize = FALSE,
                       foldid = fold, thresh = 1e-13, type.measure = "deviance")
cat(format(c(as.numeric(as.matrix(coef(f))[-1, c(5, 10)]), v$cvm[c(1, 5, 10)], v$cvsd[c(1, 5, 10)]), digits = 15))
"""


@pytest.fixture(scope="module")
def rows():
    part = at_horizon(followed())
    weight = censoring_weights(part["follow_up"], part["event"].notna())
    x = np.column_stack([part["x"], np.random.default_rng(5).normal(size=len(part)) * 10 + 4])
    return x, part["event"].fillna(0).to_numpy(int), weight


class TestLogistic:
    @needs_r("survey")
    def test_coefficients_sandwich_errors_and_aic_of_svyglm(self, rows, tmp_path):
        x, event, weight = rows
        pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": event, "w": weight}).to_csv(tmp_path / "d.csv", index=False)
        r, fitted = run_r(SVYGLM, tmp_path), fit_logistic(x, event, weight=weight)
        np.testing.assert_allclose([fitted["intercept"], *fitted["coef"]], r[:3], rtol=1e-6)
        np.testing.assert_allclose(np.sqrt(np.diag(fitted["covariance_full"])), r[3:6], rtol=1e-6)
        # svyglm scales the weights to the mean 1 and its errors by n / (n - 1): AIC is so many times ours
        n = (weight > 0).sum()
        parameters = fitted["parameters"] * n / (n - 1)
        assert parameters * n / weight.sum() == pytest.approx(r[6], rel=1e-6)
        assert (2 * parameters - 2 * fitted["loglik"]) * n / weight.sum() == pytest.approx(r[7], rel=1e-6)

    def test_a_whole_number_as_weight_is_so_many_rows(self):
        rng = np.random.default_rng(2)
        x, event, count = rng.normal(size=(40, 2)), rng.integers(0, 2, 40), rng.integers(0, 4, 40)
        for method in (FIRTH, RIDGE):
            fitted = fit_logistic(x, event, method, weight=count.astype(float))
            again = fit_logistic(np.repeat(x, count, axis=0), np.repeat(event, count), method)
            if method == FIRTH:  # the ridge counts in SD of the rows, which copies change
                np.testing.assert_allclose(fitted["coef"], again["coef"], rtol=1e-8)
                np.testing.assert_allclose(fitted["se"], again["se"], rtol=1e-8)
        ours, theirs = best_intercept(x[:, 0], event, count.astype(float)), np.repeat(x[:, 0], count)
        assert ours == pytest.approx(best_intercept(theirs, np.repeat(event, count)))

    def test_weights_of_one_change_nothing_and_rows_of_none_are_left_out(self, rows):
        x, event, weight = rows
        plain, ones = fit_logistic(x, event), fit_logistic(x, event, weight=np.ones(len(event)))
        assert plain["coef"].tolist() == ones["coef"].tolist() and plain["loglik"] == ones["loglik"]
        flipped = np.where(weight == 0, 1 - event, event)
        assert fit_logistic(x, event, weight=weight)["coef"].tolist() == (
            fit_logistic(x, flipped, weight=weight)["coef"].tolist()
        )

    def test_separated_groups_are_penalised(self, rows):
        x, event, weight = rows
        both = np.column_stack([x, event * (x[:, 1] > 4)])
        fitted = fit_or_penalised(both, event, FIRTH, weight)
        assert fitted["method"] == FIRTH and 0 < fitted["coef"][2] < 20

    def test_backward_selection_drops_what_says_nothing(self, rows):
        x, event, weight = rows
        kept, _ = eliminate_logistic(x, ["signal", "noise"], event, weight=weight)
        assert kept == ["signal"]

    @needs_r("glmnet")
    def test_the_elastic_net_is_that_of_glmnet(self, tmp_path):
        rng, part = np.random.default_rng(6), at_horizon(followed(150))
        x = ranking.standardised(np.column_stack([part["x"], rng.normal(size=(150, 29))]))[0]
        event, known = part["event"].fillna(0).to_numpy(int), part["event"].notna().to_numpy()
        weight, fold = censoring_weights(part["follow_up"], known), rng.integers(0, 5, 150)
        family = logistic_family(event, weight)
        lambdas = lambda_grid(x, family, 0.5, 10, 0.1)
        path = elastic_net_path(x, family, Penalty(0.5, lambdas), 1e-9)
        assert not path[:, 0].any() and path[:, 1].any()  # the grid starts where the first one enters
        # glmnet sees the rows that weigh something; each fold's own scaling is the one thing left out there
        pd.DataFrame(x[known]).to_csv(tmp_path / "x.csv", index=False)
        texts = {"y": event[known], "w": weight[known], "fold": fold[known] + 1, "lambda": lambdas}
        for name, values in texts.items():
            np.savetxt(tmp_path / f"{name}.txt", values, fmt="%.17g")
        r = run_r(GLMNET, tmp_path)
        np.testing.assert_allclose(path[:, [4, 9]].T.ravel(), r[:60], atol=2e-6)
        deviance, error = cross_validate(x, family, Penalty(0.5, lambdas), fold, tolerance=1e-8)
        np.testing.assert_allclose(deviance[[0, 4, 9]], r[60:63], rtol=0.02)
        np.testing.assert_allclose(error[[0, 4, 9]], r[63:], rtol=0.1)


def test_weighted_coefficients_are_those_without_censoring_and_complete_cases_are_biased():
    """60 000 patients: the log odds of the event by H, which a hazard model implies, from a fit on
    everybody uncensored; with censoring the weighted fit agrees, complete cases do not.
    """
    rng, n = np.random.default_rng(8), 60_000
    x = rng.normal(size=n)
    time, limit = rng.exponential(35 * np.exp(-0.9 * x)), rng.exponential(30, n)
    truth = fit_logistic(x, time <= H)
    frame = pd.DataFrame({"time": np.minimum(time, limit), "event": (time <= limit).astype(float)})
    outcome, _ = state_as_binary(frame, H, "weighted")
    known, event = outcome["event"].notna().to_numpy(), outcome["event"].fillna(0).to_numpy()
    weighted = fit_logistic(x, event, weight=censoring_weights(outcome["follow_up"], known))
    complete = fit_logistic(x[known], event[known])
    assert 0.3 < 1 - known.mean() < 0.5
    true, ours = (np.array([fitted["intercept"], *fitted["coef"]]) for fitted in (truth, weighted))
    error = np.sqrt(np.diag(weighted["covariance_full"]))
    assert (np.abs(ours - true) < 3 * error).all() and (error < 0.02).all()
    assert complete["intercept"] - true[0] > 0.3  # the event is known at once, its absence only at the horizon
    as_zero = fit_logistic(x, event)
    assert as_zero["intercept"] < true[0] - 0.3


def test_ranking_by_weights():
    part = at_horizon(followed(120))
    weight = censoring_weights(part["follow_up"], part["event"].notna())
    event, noise = part["event"].fillna(0).to_numpy(int), np.random.default_rng(1).normal(size=(120, 4))
    x = np.column_stack([noise, part["x"]])
    d = somers_d(x, np.zeros(120), event, weight)
    assert np.argmax(np.abs(d)) == 4
    assert d[4] == pytest.approx(2 * concordance_of(outcome_of(part), part["x"])["estimate"] - 1)
    assert concordance(x[:, 4], np.zeros(120), event, np.ones(120)) == pytest.approx(
        concordance(x[:, 4], np.zeros(120), event)
    )
    importance = classifier_importance(x, event, Forest(60, 3, 1, 1), weight)
    assert np.argmax(importance) == 4
    flipped = np.where(weight == 0, 1 - event, event)
    np.testing.assert_array_equal(importance, classifier_importance(x, flipped, Forest(60, 3, 1, 1), weight))


def weighted_training(seed: int = 0) -> Training:
    """The rows of test_fit with their recurrence by 24 months, known or not."""
    train = cohort(seed)
    frame = pd.DataFrame({"time": train.outcome.time, "event": train.outcome.event.astype(float)})
    outcome, _ = state_as_binary(frame, H, "weighted")
    return train._replace(outcome=outcome_of(outcome))


@pytest.fixture(scope="module")
def frozen():
    return fit(weighted_training(), settings(), 1)


class TestFit:
    @pytest.mark.parametrize("preset", ["recommended", "ji2020"])
    def test_what_is_written_for_a_censored_patient_changes_nothing(self, preset, monkeypatch):
        """Folds are dealt out by the outcome that is written; dealt out otherwise, no estimate depends on it."""
        monkeypatch.setattr(signature, "grouped_folds", lambda ids, event, folds, rng: np.arange(len(ids)) % folds)
        train, found = weighted_training(), []
        assert (~train.outcome.known).sum() > 5
        for event in (train.outcome.event, np.where(train.outcome.known, train.outcome.event, 1)):
            frozen = fit(train._replace(outcome=train.outcome._replace(event=event)), settings(preset), 1)
            assert frozen.signature["features"][0]["name"] == "AP_tumour_f0"
            kept = ("terms", "covariance", "intercept", "cutpoint", "loglik")
            models = [[model[key] for key in kept] for model in frozen.models.values()]
            found.append(as_bytes([frozen.signature["features"], models]))
        assert found[0] == found[1]

    def test_the_mean_risk_is_the_weighted_share_and_the_model_says_who_was_censored(self, frozen):
        train = weighted_training()
        model = frozen.models["clinical_pre"]
        risk = apply_model(model, train.clinical, None)["risk"]
        assert np.average(risk, weights=train.outcome.weight) == pytest.approx(
            np.average(train.outcome.event, weights=train.outcome.weight)
        )
        share = np.average(train.outcome.event, weights=train.outcome.weight)
        assert model["weighting"] == weight_summary(train.outcome.weight) | {"share": share}
        assert model["n"] == N and model["likelihood"] == "maximum likelihood"

    def test_a_penalised_weighted_model_has_no_interval(self):
        train = weighted_training()
        train = train._replace(clinical=train.clinical.assign(mvi=train.outcome.event * (np.arange(N) % 2)))
        frozen = fit(train, settings(), 1)
        assert frozen.models["clinical_post"]["likelihood"] == "Firth"
        score = signature_scores(frozen.signature, train.features, train.names)
        table = coefficient_table(train, score, frozen.models, settings(), 1)
        row = table[(table["model"] == "clinical_post") & (table["term"] == "mvi")].iloc[0]
        assert row["method"] == "Firth, weighted: no valid limits known" and row["or"] > 1
        assert row["likelihood"] == "Firth" and row[["se", "lower", "upper", "p", "limits"]].isna().all()
        others = table[(table["model"] == "clinical_pre") & (table["stage"] == "multivariable")]
        assert (others["method"] == "maximum likelihood, weighted; sandwich errors").all()
        assert others["lower"].notna().all() and (others["limits"] == "sandwich").all()

    def test_a_resample_and_the_rows_left_out_have_weights_of_their_own(self):
        train, chosen = weighted_training(), settings() | {"models": ["combined_pre"]}
        row = bootstrap_fit(train, chosen, 1, 0)[0]
        rows = resample_rows(train, 1, 0)
        out = np.setdiff1d(np.arange(N), rows)
        model = fit(train.rows(rows), chosen, 1)
        lp = predict(model, train.clinical, train.features, train.names)["combined_pre"]
        weight = censoring_weights(train.outcome.follow_up[out], train.outcome.known[out])
        assert row["c_out_of_bag"] == concordance(lp[out], np.zeros(len(out)), train.outcome.event[out], weight)
        risk = expit(model.models["combined_pre"]["intercept"] + lp[out])
        assert row["brier_out_of_bag"] == binary_risks.brier(train.outcome.event[out], risk, weight)["estimate"]

    def test_nested_predictions_keep_the_censored_and_are_weighted(self, few_draws):
        train, chosen = weighted_training(), settings() | {"models": ["combined_pre"]}
        nested = nested_predictions(train, chosen, 1, 0, 3)
        mine = nested[nested["model"] == "combined_pre"]
        assert len(mine) == N and mine["event"].isna().sum() == (~train.outcome.known).sum()
        row = nested_performance(nested, 1).set_index("model").loc["combined_pre"]
        assert 0.5 < row["lower"] < row["estimate"] < row["upper"] and "weights for censoring anew" in row["method"]
        assert (row["n"], row["events"]) == (N, train.outcome.event.sum())
        rows = validation.nested_measures(mine, 1).set_index("metric")
        event, weight = mine["event"].fillna(0).to_numpy(), censoring_weights(mine["follow_up"], mine["event"].notna())
        assert rows.loc["brier", "estimate"] == pytest.approx(
            binary_risks.brier(event, mine["risk"].to_numpy(), weight)["estimate"]
        )


class TestFiles:
    def test_held_out_outcomes_and_follow_up_change_no_byte_of_a_fit(self, tmp_path):
        train, found = weighted_training(), []
        held = np.arange(N) >= 90
        for change in (False, True):
            event = np.where(train.outcome.known, train.outcome.event, np.nan)
            event = np.where(held & change, 1 - event, event)
            follow_up = np.where(held & change, train.outcome.follow_up / 2, train.outcome.follow_up)
            ends = pd.DataFrame({"patient_id": train.patient_id, "E_event": event, "E_follow_up": follow_up})
            clinical = train.clinical.assign(patient_id=train.patient_id, centre="A")
            features = pd.DataFrame(train.features, columns=train.names)
            features.insert(0, "patient_id", train.patient_id)
            assigned = pd.Series(np.where(held, "test", "train"), index=train.patient_id)
            sets = split_sets(*make_analysis_set(assigned, clinical, ends, "E", features))
            paths = [tmp_path / f"{change}.csv", tmp_path / f"{change}.parquet", tmp_path / f"{change}-2.parquet"]
            write_table(sets["train"][0], paths[0])
            write_table(sets["train"][1], paths[1])
            write_table(sets["train"][1].iloc[:0].assign(reader="reader2"), paths[2])
            read = read_training(*paths)
            np.testing.assert_array_equal(read.outcome.known, train.outcome.known[~held])
            assert set(read_made(paths[0])["event"].dropna()) == {0, 1}
            found.append((paths[0].read_bytes(), as_bytes(fit(read, settings(), 1)._asdict())))
        assert found[0] == found[1]


class TestStudyFile:
    @pytest.fixture
    def study(self, tmp_path):
        path = write_study(tmp_path, (40, 30))
        text = path.read_text().replace("    censored: left_out\n", "")
        path.write_text(text.replace("preset: ji2020", "preset: recommended"))
        return path

    def test_weighting_is_the_default_and_needs_no_replicate(self, study):
        cohort_of = read_cohort(resolve(study))
        ends = cohort_of.endpoints
        censored = ends["early24_event"].isna()
        assert censored.sum() > 3 and (ends.loc[censored, "early24_follow_up"] < H).all()
        assert (ends["early24_follow_up"] <= H).all() and "early24" not in set(cohort_of.missing_endpoints["endpoint"])

    def test_complete_cases_must_be_declared_a_replicate(self, study):
        study.write_text(study.read_text().replace("of: early\n", "of: early\n    censored: left_out\n"))
        with pytest.raises(StudyError, match="conditions on the future; leave `censored` at weighted"):
            resolve(study)


def test_a_cohort_that_hardly_reaches_the_horizon_is_flagged():
    frame = at_horizon(followed()).assign(patient_id=range(300), cohort="test")
    assert weak_weights(frame, H) == ""
    short = frame[(frame["follow_up"] < H) | (frame.index < 20)]
    assert "of test were followed to 24 months" in weak_weights(short, H)
    late = pd.DataFrame({"follow_up": [5.0] * 180 + [H] * 12, "event": [np.nan] * 180 + [0.0] * 12})
    late = late.assign(patient_id=range(192), cohort="train")
    assert weak_weights(late, H) == (
        "Weights for censoring rest on few patients: one patient of train stands for 16 (the others were censored)."
    )


@pytest.mark.slow
def test_a_weighted_outcome_runs_to_its_report(tmp_path):
    """Early recurrence of the synthetic cohort, from ready features: every table and page of a binary endpoint."""
    project = small_project(tmp_path / "project")
    (project / "data").mkdir()
    path = write_study(project / "data", (70, 45))
    study = yaml.safe_load(path.read_text())
    study["endpoints"] = {"early": {"kind": "early_recurrence"}, "early24": {"kind": "binary", "of": "early"}}
    study["analyses"] = {"weighted": {"endpoint": "early24", "ablations": True, "internal_validation": QUICK}}
    study["candidates"], study["primary"] = {"pre": ["ln_afp"], "post": []}, "weighted"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    result = run_snakemake(project, "--config", "study=data/binary.yaml")
    assert result.returncode == 0
    results = project / "results/binary"
    assert problems_of_results(results) == []
    risks = read_made(results / "validation/weighted/risks.csv")
    assert risks["event"].isna().any() and risks["risk"].notna().all()
    assert len(read_made(results / "cohort/patients.csv")) == risks["patient_id"].nunique()  # nobody was left out
    performance = read_made(results / "validation/performance.csv")
    for place in ("train-apparent", "train-nested_cv", "train-oob", "train-optimism_corrected", "external-B"):
        known = performance[(performance["cohort"] == place) & performance["estimate"].notna()]
        assert {"auc", "brier", "calibration_slope", "oe_ratio"} <= set(known["metric"])
    assert read_made(results / "validation/consistency.csv")["failed"].fillna(0).eq(0).all()
    follow_up = read_made(results / "cohort/weighted/follow_up.csv").set_index(["by", "group"])
    assert follow_up.loc[("cohort", "train"), "largest_weight"] > 1
    guards = read_made(results / "validation/guards.csv").set_index("guard")
    assert guards.loc[19, "status"] == "clear" and guards.loc[34, "status"] != "not applicable"
    page = (results / "report/report.html").read_text()
    for words in ("censored before (weight 0)", "largest weight", "Censored before the horizon", "sandwich"):
        assert words in page
    assert "by 24 months from surgery" in (results / "report/calculator.html").read_text()
    card = (results / "report/model_card.md").read_text()
    assert "censored before the horizon and weighted for" in card
