"""Logistic regression against R: glm, brglm2 (Firth), step, glmnet; and what separation does."""

import subprocess

import numpy as np
import oracle
import pandas as pd
import pytest
from eliminate import eliminate_logistic
from rscript import needs_r
from scipy.special import expit

from recur.fit.ranking import standardised
from recur.fit.sample_size import required_sizes_binary
from recur.statistics.elastic_net import (
    Penalty,
    choose_lambda,
    cross_validate,
    elastic_net_path,
    lambda_grid,
    logistic_family,
)
from recur.statistics.estimate import NotEstimable
from recur.statistics.logistic import (
    FIRTH,
    ML,
    RIDGE,
    RIDGE_VARIANCE,
    best_intercept,
    fit_logistic,
    fit_or_penalised,
    profile_interval,
)

ALL5 = ["age", "female", "wfns", "s100b", "ndka"]
R = {"rtol": 1e-6, "atol": 1e-10}


@pytest.fixture(scope="module")
def asah():
    return oracle.table("asah")


@pytest.mark.reference
class TestAgainstGlm:
    @pytest.mark.parametrize("name", ["uni/s100b", "uni/ndka", "uni/wfns", "uni/age", "uni/female", "multi/all5"])
    def test_coefficients_errors_and_likelihoods(self, asah, name):
        expected = oracle.items("asah", "logistic")[f"glm/{name}"]["values"]
        fitted = fit_logistic(asah[expected["terms"][1:]], asah["poor"])
        ours = np.concatenate([[fitted["intercept"]], fitted["coef"]])
        np.testing.assert_allclose(ours, expected["coef"], **R)
        np.testing.assert_allclose(np.sqrt(np.diag(fitted["covariance_full"])), expected["se"], **R)
        assert fitted["loglik"] == pytest.approx(-expected["deviance"] / 2, rel=1e-9)
        assert fitted["loglik_null"] == pytest.approx(-expected["null_deviance"] / 2, rel=1e-9)
        half = 1.959963984540054 * fitted["se"]
        np.testing.assert_allclose(np.exp(fitted["coef"] - half), expected["or_lower95_wald"][1:], **R)
        np.testing.assert_allclose(np.exp(fitted["coef"] + half), expected["or_upper95_wald"][1:], **R)

    def test_profile_intervals(self, asah):
        expected = oracle.items("asah", "logistic")["glm/uni/s100b"]["values"]
        low, high, p = profile_interval(asah[["s100b"]], asah["poor"], 0, ML)
        # R's profile interpolates by a spline: 1e-4 off on the log scale
        assert np.exp(low) == pytest.approx(expected["or_lower95_profile"][1], rel=1e-3)
        assert np.exp(high) == pytest.approx(expected["or_upper95_profile"][1], rel=1e-3)
        assert p == pytest.approx(expected["lr_p"], rel=1e-6)

    def test_backward_selection_keeps_what_step_keeps(self, asah):
        expected = oracle.items("asah", "logistic")["glm/step_aic_backward"]["values"]
        kept, trace = eliminate_logistic(asah[ALL5], ALL5, asah["poor"])
        assert kept == expected["retained"]
        assert trace["aic"].iloc[-1] == pytest.approx(expected["aic"] - 2, rel=1e-9)  # R counts the intercept

    def test_firth(self, asah):
        """brglm2 0.9: glm(poor ~ age + female + wfns + s100b + ndka, method = brglmFit, type = "AS_mean")."""
        fitted = fit_logistic(asah[ALL5], asah["poor"], FIRTH)
        coef = [0.0331752849899, -0.8297446298844, 0.7156587355707, 1.3532997142096, 0.0386182564612]
        se = [0.0189023566678, 0.5379498952412, 0.2154861393488, 1.5379713465728, 0.0179464704646]
        assert fitted["intercept"] == pytest.approx(-4.6967094483895, rel=1e-6)
        np.testing.assert_allclose(fitted["coef"], coef, rtol=1e-6)
        np.testing.assert_allclose(fitted["se"], se, rtol=1e-6)


@pytest.mark.reference
class TestSeparation:
    @pytest.fixture
    def separated(self, asah):
        return asah.assign(only=((asah["poor"] == 1) & (asah["wfns"] > 3)).astype(int))

    def test_maximum_likelihood_refuses_it(self, separated):
        with pytest.raises(NotEstimable, match="separate"):
            fit_logistic(separated[["age", "only"]], separated["poor"])

    def test_firth_answers_as_brglm2(self, separated):
        fitted = fit_or_penalised(separated[["age", "only"]], separated["poor"])
        assert fitted["method"] == FIRTH
        np.testing.assert_allclose(fitted["coef"], [0.0440251609605, 5.6061581745558], rtol=1e-6)
        np.testing.assert_allclose(fitted["se"], [0.020821520243, 1.485792077018], rtol=1e-6)

    def test_its_profile_limits_are_those_of_the_penalised_likelihood(self, separated):
        """R: uniroot over optim of the penalised likelihood, the determinant that of all coefficients (as logistf)."""
        found = profile_interval(separated[["age", "only"]], separated["poor"], 0)
        np.testing.assert_allclose(found, [0.004578626, 0.087702109, 0.02822079], rtol=1e-4)
        found = profile_interval(separated[["age", "only"]], separated["poor"], 1)
        np.testing.assert_allclose(found[:2], [3.506374991, 10.48000826], rtol=1e-5)


GLMNET = """
x <- as.matrix(read.csv("x.csv")); y <- scan("y.txt", quiet = TRUE); lambda <- 1 / (0.5 * nrow(x))
z <- scale(x) * sqrt(nrow(x) / (nrow(x) - 1))
fit <- glmnet::glmnet(z, y, "binomial", alpha = 0, lambda = lambda * c(100, 10, 1), standardize = FALSE, thresh = 1e-16)
loss <- function(b) -sum(y * (z %*% b[-1] + b[1]) - log1p(exp(z %*% b[-1] + b[1]))) + sum(b[-1]^2)
H <- optim(as.numeric(coef(fit)[, 3]), loss, method = "BFGS", hessian = TRUE, control = list(reltol = 1e-15))$hessian
cat(format(c(as.numeric(coef(fit)[, 3]), sqrt(diag(solve(H)))[-1]), digits = 15))
"""


class TestRidge:
    X = np.random.default_rng(5).normal(size=(60, 3)) * [1, 20, 0.1] + 7
    EVENT = (X[:, 0] + X[:, 1] / 40 > 7.2).astype(int)

    @needs_r("glmnet")
    def test_coefficients_are_those_of_glmnet_and_errors_those_of_the_penalised_curvature(self, tmp_path):
        pd.DataFrame(self.X).to_csv(tmp_path / "x.csv", index=False)
        np.savetxt(tmp_path / "y.txt", self.EVENT)
        done = subprocess.run(["Rscript", "-e", GLMNET], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        r, sd, fitted = (
            np.array(done.stdout.split(), float),
            self.X.std(axis=0),
            fit_logistic(self.X, self.EVENT, RIDGE),
        )
        np.testing.assert_allclose(fitted["coef"] * sd, r[1:4], rtol=1e-6)
        assert fitted["intercept"] + fitted["coef"] @ self.X.mean(axis=0) == pytest.approx(r[0], rel=1e-6)
        np.testing.assert_allclose(fitted["se"] * sd, r[4:], rtol=1e-3)  # R's curvature is by differences

    def test_the_gradient_of_the_penalised_likelihood_is_zero(self):
        fitted, sd = fit_logistic(self.X, self.EVENT, RIDGE), self.X.std(axis=0)
        residual = self.EVENT - expit(fitted["intercept"] + self.X @ fitted["coef"])
        assert residual.sum() == pytest.approx(0, abs=1e-9)
        score = ((self.X - self.X.mean(axis=0)) / sd).T @ residual - fitted["coef"] * sd / RIDGE_VARIANCE
        np.testing.assert_allclose(score, 0, atol=1e-9)

    def test_it_answers_where_groups_are_separated_in_any_unit_of_a_covariate(self):
        x, event = np.arange(20.0), np.arange(20) >= 10
        fitted = fit_or_penalised(x, event, RIDGE)
        assert fitted["method"] == RIDGE and fitted["coef"][0] > 0
        assert fit_or_penalised(x * 7, event, RIDGE)["coef"][0] == pytest.approx(fitted["coef"][0] / 7)
        low, high, p = profile_interval(x, event, 0, RIDGE)
        assert 0 < low < fitted["coef"][0] < high and p < 0.05

    def test_a_model_that_exists_without_penalty_has_none(self):
        event = np.random.default_rng(1).integers(0, 2, 60)
        assert fit_or_penalised(self.X, event, RIDGE)["method"] == ML


def test_complete_separation_is_found_and_answered():
    x, event = np.arange(20.0), np.arange(20) >= 10
    with pytest.raises(NotEstimable, match="separate"):
        fit_logistic(x, event)
    fitted = fit_or_penalised(x, event)
    assert fitted["method"] == FIRTH
    assert 0 < fitted["coef"][0] < 2


def test_what_cannot_be_estimated_says_why():
    rng = np.random.default_rng(0)
    x, event = rng.normal(size=(30, 1)), rng.integers(0, 2, 30)
    with pytest.raises(NotEstimable, match="collinear"):
        fit_or_penalised(np.hstack([x, 2 * x]), event)
    with pytest.raises(NotEstimable, match="constant"):
        fit_or_penalised(np.hstack([x, np.ones((30, 1))]), event)
    with pytest.raises(NotEstimable, match="same outcome"):
        fit_or_penalised(x, np.ones(30))


def test_the_intercept_makes_the_mean_risk_the_share_of_events():
    rng = np.random.default_rng(0)
    offset, event = rng.normal(size=200) * 3 - 4, rng.random(200) < 0.3
    risk = 1 / (1 + np.exp(-(offset + best_intercept(offset, event))))
    assert risk.mean() == pytest.approx(event.mean(), abs=1e-12)


@pytest.fixture(scope="module")
def data():
    data = oracle.table("hd_signal")
    train = data[data["set"] == "train"]
    features = train.filter(regex="^f[0-9]")
    x = standardised(features.to_numpy())[0]
    return x, train["status"].to_numpy(), train["foldid"].to_numpy(), list(features.columns)


@pytest.mark.reference
class TestElasticNet:
    """R glmnet 4.1, family binomial, thresh 1e-14 (path) and 1e-13 (folds), on the training rows of hd_signal."""

    @pytest.mark.parametrize(("l1_ratio", "largest"), [(1.0, 0.159996983414), (0.5, 0.319993966828)])
    def test_the_largest_lambda(self, data, l1_ratio, largest):
        x, event, _, _ = data
        assert lambda_grid(x, logistic_family(event), l1_ratio, 30, 0.1)[0] == pytest.approx(largest, rel=1e-9)

    def test_the_cross_validated_deviance(self, data):
        x, event, fold, _ = data
        family = logistic_family(event)
        lambdas = lambda_grid(x, family, 0.5, 30, 0.1)
        deviance, error = cross_validate(x, family, Penalty(0.5, lambdas), fold, tolerance=1e-8)
        # glmnet stops on its own deviance: 5e-7 off at the end of the path
        expected = [1.40847511636, 1.27359699444, 1.21446988564, 1.35719008299]
        np.testing.assert_allclose(deviance[[0, 9, 19, 29]], expected, rtol=1e-6)
        expected = [0.00866862895199, 0.05029135204632, 0.08904587268083, 0.13239354893356]
        np.testing.assert_allclose(error[[0, 9, 19, 29]], expected, rtol=5e-6)
        assert choose_lambda(deviance, error, "min") <= 29

    def test_the_path(self, data):
        x, event, _, names = data
        family = logistic_family(event)
        coef = elastic_net_path(x, family, Penalty(1.0, lambda_grid(x, family, 1.0, 30, 0.1)))[:, 19]
        assert (coef != 0).sum() == 49
        glmnet = {"f003": 0.5559309395, "f047": -0.3016467980, "f366": 0.2826381498, "f509": -0.2832972165}
        for name, value in glmnet.items():
            assert coef[names.index(name)] == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-7])
def test_a_path_is_solved_to_the_tolerance_asked_for(tolerance):
    """Conditions of Karush, Kuhn and Tucker from their definition; features as correlated as radiomic ones."""
    rng = np.random.default_rng(4)
    x = standardised(rng.normal(size=(80, 10)) @ rng.normal(size=(10, 150)) + rng.normal(size=(80, 150)))[0]
    event = rng.random(80) < 1 / (1 + np.exp(-x[:, 0]))
    family = logistic_family(event)
    lambdas = lambda_grid(x, family, 0.7, 20, 0.05)
    path = elastic_net_path(x, family, Penalty(0.7, lambdas), tolerance)
    for penalty, beta in zip(lambdas, path.T, strict=True):
        lp = x @ beta
        risk = 1 / (1 + np.exp(-(lp + best_intercept(lp, event))))
        slope, lasso = x.T @ (event - risk) / len(event) - 0.3 * penalty * beta, 0.7 * penalty
        miss = np.where(beta != 0, np.abs(slope - lasso * np.sign(beta)), np.abs(slope) - lasso)
        assert miss.max() <= 1.0001 * tolerance * lasso + 1e-12
    assert (beta != 0).sum() > 20


def test_sample_sizes_are_those_of_pmsampsize():
    """pmsampsize, type "b": csrsquared 0.288, parameters 24, prevalence 0.174 (its help page: 662 patients)."""
    sizes = required_sizes_binary(24, 0.288, 0.174)
    assert list(pd.Series(sizes)) == [623, 662, 221]
