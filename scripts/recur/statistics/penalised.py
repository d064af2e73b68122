"""Cox regression where a coefficient would be infinite: Firth's penalised partial likelihood, or a ridge penalty.

A level without events, or a covariate that orders the events, makes the partial likelihood monotone. Firth's penalty,
half the log determinant of the information, keeps every coefficient finite (Heinze & Schemper, Biometrics 2001); the
ridge penalty is the normal prior of recur.statistics.logistic. Written by hand since no Python library has either with
Efron ties and strata, and R's coxphf has Breslow ties and no strata. Checked against a maximisation in R of the
penalised partial likelihood as the paper defines it (tests/data/firth_values.R). Limits and tests are by the profile
penalised likelihood, the determinant that of all coefficients, as coxphf has them.

Everywhere: `x` (n, p) covariates, `time` (n,) follow-up, `event` (n,) 0/1 or bool, `strata` (n,) names or None;
`copies` of the rows below each other (imputations) weigh 1 / copies each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from recur.statistics.cox import (
    LONG_STEPS,
    _arrays,
    _at_deaths,
    _risk_sets,
    _RiskSets,
    _spread,
    fit_cox,
    likelihood_ratio_test,
    solve_information,
)
from recur.statistics.estimate import NotEstimable, Separated
from recur.statistics.logistic import FIRTH, ML, RIDGE, RIDGE_VARIANCE, maximum, profile_limits

FAR = 100.0  # between two linear predictors: sums over all risk sets lose the smallest
ROUNDING = 1e-8  # of the squares: a variance below it has lost half its digits in a difference of sums
OUT_OF_SIGHT = 1e3  # twice a loss of log-likelihood


class Problem(NamedTuple):
    z: np.ndarray  # (n, p) standardised covariates in the order of the risk sets
    scale: np.ndarray  # (p,) their SD
    sets: _RiskSets
    method: str
    copies: int

    @property
    def precision(self) -> float:
        """Of the prior on each coefficient of the standardised covariates."""
        return self.copies / RIDGE_VARIANCE if self.method == RIDGE else 0.0


def fit_or_penalised(
    x: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    separated: str = FIRTH,
    strata: np.ndarray | None = None,
    copies: int = 1,
) -> dict:
    """fit_cox, or fit_penalised by the method `separated` where a coefficient is infinite; `method` says which."""
    try:
        return fit_cox(x, time, event, strata) | {"method": ML}
    except Separated:
        return fit_penalised(problem_of(x, time, event, separated, strata, copies))


def problem_of(
    x: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    method: str = FIRTH,
    strata: np.ndarray | None = None,
    copies: int = 1,
) -> Problem:
    """What fit_penalised and profile_interval need; method FIRTH or RIDGE."""
    x, time, event = _arrays(x, time, event)
    sets = _risk_sets(time, event, strata)
    scale = x.std(axis=0)
    # from the mean of the events: where they are all alike, as without a level's, moments keep their digits far out
    z = (x - x[event].mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    return Problem(z[sets.order], scale, sets, method, copies)


def fit_penalised(problem: Problem) -> dict:
    """dict of fit_cox's coef, se, covariance, loglik, loglik_null (both penalised), with method and ratio_test.

    ratio_test(columns) -> dict(chi2, df, p) of the penalised likelihood ratio that their coefficients are 0. The
    covariance is the inverse of the information, of RIDGE that of the penalised one. Raises NotEstimable with constant
    or collinear covariates.
    """
    p = problem.z.shape[1]
    beta, value, information = _maximum(problem, np.arange(p), np.zeros(p))
    covariance = solve_information(information, np.eye(p)) / (problem.scale * problem.scale[:, None])

    def ratio_test(columns: Sequence[int]) -> dict:
        columns = list(columns)
        smaller = _maximum(problem, np.delete(np.arange(p), columns), np.zeros(p))[1]
        return likelihood_ratio_test(value / problem.copies, smaller / problem.copies, len(columns))

    return {
        "coef": beta / problem.scale,
        "se": np.sqrt(np.diag(covariance)),
        "covariance": covariance,
        "loglik": value,
        "loglik_null": _terms(problem, np.zeros(p))[0],
        "method": problem.method,
        "ratio_test": ratio_test,
    }


def profile_interval(problem: Problem, column: int) -> tuple[float, float, float]:
    """(lower, upper, p) of one coefficient by its profile penalised likelihood, 95 %; p of the ratio test."""
    p = problem.z.shape[1]
    best, value, information = _maximum(problem, np.arange(p), np.zeros(p))
    se = float(np.sqrt(solve_information(information, np.eye(p))[column, column]))
    free = np.delete(np.arange(p), column)

    def drop(held: float) -> float:
        """Twice the loss of log-likelihood with the coefficient held at a value."""
        try:
            there = _maximum(problem, free, np.where(np.arange(p) == column, held, best))[1]
        except NotEstimable:  # so far out that no information is left
            return OUT_OF_SIGHT
        return min(2 * (value - there) / problem.copies, OUT_OF_SIGHT)

    lower, upper, p_value = profile_limits(drop, float(best[column]), se)
    return lower / problem.scale[column], upper / problem.scale[column], p_value


@LONG_STEPS
def _maximum(problem: Problem, free: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """Coefficients per SD, penalised log-likelihood and (penalised) information; only the columns `free` are moved."""
    return maximum(lambda beta: _terms(problem, beta), free, start)


def _terms(problem: Problem, beta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Penalised log partial likelihood, its gradient and the (penalised) information at coefficients per SD."""
    eta, p = problem.z @ beta, problem.z.shape[1]
    far = np.ptp(eta) > FAR
    moments = _moments_about_events(problem, eta) if far else _moments(problem, eta)
    information = moments.information
    if problem.method == RIDGE:
        value = moments.loglik - problem.precision * float(beta @ beta) / 2
        gradient = moments.gradient - problem.precision * beta
        return value, gradient, information + problem.precision * np.eye(p)
    if not far and np.linalg.eigvalsh(information)[0] < ROUNDING * np.trace(moments.square.sum(axis=0)):
        moments = _moments_about_events(problem, eta)
        information = moments.information
    sign, size = np.linalg.slogdet(information)
    if not sign > 0 or not np.isfinite(size):
        return -np.inf, moments.gradient, information
    # half the trace of information^-1 times its derivative by each coefficient, a sum of third central moments
    inverse = solve_information(information, np.eye(p))
    mean, square = moments.mean, moments.square
    third = moments.cubic(inverse) - np.einsum("ab,dab->d", inverse, square) @ mean
    turned = mean @ inverse
    third -= 2 * (np.einsum("da,dab->b", turned, square) - (turned * mean).sum(axis=1) @ mean)
    value = moments.loglik + problem.copies * size / 2
    return value, moments.gradient + problem.copies * third / 2, information


class _Moments(NamedTuple):
    loglik: float
    gradient: np.ndarray  # (p,)
    mean: np.ndarray  # (m, p) of the covariates over the risk set of each death
    square: np.ndarray  # (m, p, p) second moments there
    cubic: Callable[[np.ndarray], np.ndarray]  # A (p, p) -> (p,) sum over deaths of the means of (z'Az) z

    @property
    def information(self) -> np.ndarray:
        return (self.square - self.mean[:, :, None] * self.mean[:, None, :]).sum(axis=0)


def _moments(problem: Problem, eta: np.ndarray) -> _Moments:
    """Moments of the risk sets about one point, by sums from the end: quick, but a difference of sums."""
    z, sets, (n, p) = problem.z, problem.sets, problem.z.shape
    shift = eta.max()
    weight = np.exp(eta - shift)
    products = (z[:, :, None] * z[:, None, :]).reshape(n, p * p)
    sums = _at_deaths(weight[:, None] * np.column_stack([np.ones(n), z, products]), sets)
    denominator = sums[:, 0]
    mean, square = sums[:, 1 : p + 1] / denominator[:, None], sums[:, p + 1 :] / denominator[:, None]
    hazard = weight * _spread(1 / denominator, sets)
    loglik = float((eta[sets.deaths] - shift).sum() - np.log(denominator).sum())

    def cubic(inverse: np.ndarray) -> np.ndarray:
        return (hazard * np.einsum("ia,ab,ib->i", z, inverse, z)) @ z

    return _Moments(loglik, z[sets.deaths].sum(axis=0) - hazard @ z, mean, square.reshape(-1, p, p), cubic)


def _moments_about_events(problem: Problem, eta: np.ndarray) -> _Moments:
    """Moments of every risk set about its own death: where this patient is nearly sure to have the event, the variance
    lies far below the rounding of _moments.
    """
    z, sets, p = problem.z, problem.sets, problem.z.shape[1]
    stratum = np.searchsorted(sets.steps, sets.group, side="right") - 1
    own: list[tuple[np.ndarray, np.ndarray]] = []  # of each death: shares (k,) and distances (k, p) of those at risk
    loglik = 0.0
    for death, group, fraction, level in zip(sets.deaths, sets.group, sets.fraction, stratum, strict=True):
        rows = np.arange(sets.start[group], sets.rows[level + 1])
        weight = np.exp(eta[rows] - eta[rows].max())
        weight[np.isin(rows, sets.deaths[sets.group == group])] *= 1 - fraction
        loglik += eta[death] - eta[rows].max() - np.log(weight.sum())
        own.append((weight / weight.sum(), z[rows] - z[death]))
    mean = np.array([share @ distance for share, distance in own])
    square = np.array([(distance * share[:, None]).T @ distance for share, distance in own])

    def cubic(inverse: np.ndarray) -> np.ndarray:
        return sum((np.einsum("ia,ab,ib->i", u, inverse, u) * share) @ u for share, u in own) + np.zeros(p)

    return _Moments(float(loglik), -mean.sum(axis=0), mean, square, cubic)
