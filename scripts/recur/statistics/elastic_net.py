"""Elastic-net Cox and logistic paths and their cross-validated deviance, as glmnet's (docs/methods.md 5.5).

The paths are computed by recur.statistics._elastic_net_loops. glmnet and scikit-survival stop coordinate descent when
the deviance hardly changes, which with more features than patients is far from the optimum: of 160 rows and 800
correlated features, glmnet's default leaves Karush-Kuhn-Tucker violations of up to a tenth of the penalty. Here that
violation is the criterion, and Newton steps reach 1e-7 of the penalty in less time (`make bench`). For logistic
regression scikit-learn's saga needs thousands of sweeps for features as correlated as radiomic ones, and its liblinear
penalises the intercept and knows no elastic net.

A `Family` is a likelihood with the outcomes of all n rows; what is fitted on some of them names these by a mask.
Everywhere: x (n, p) standardised features, event (n,) 0/1 or bool, lambdas (m,) decreasing penalties.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from recur.compiled import compiling
from recur.statistics.logistic import best_intercept, log_likelihoods
from recur.statistics.scaling import Scaling

FOLD_TOLERANCE = 1e-6  # leaves the cross-validated deviance 1e-7 off, its standard error 5e-6 at most
PATH_TOLERANCE = 1e-7
BRESLOW, EFRON = "breslow", "efron"
LARGEST_LOG_ODDS = float(np.log((1 - 1e-5) / 1e-5))  # of a left-out row, so that one of them cannot decide the penalty


class Penalty(NamedTuple):
    """lambda (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|_2^2), 0 < l1_ratio <= 1."""

    l1_ratio: float
    lambdas: np.ndarray  # (m,) decreasing


class Family(NamedTuple):
    """What the elastic net needs to know of a likelihood; inside (n,) marks the rows that a fold is fitted on."""

    # (x of the rows inside, inside, penalty, tolerance) -> coefficients (p, m)
    path: Callable[[np.ndarray, np.ndarray, Penalty, float], np.ndarray]
    # x (n, p) -> gradient (p,) of the log-likelihood / n where all coefficients are 0
    gradient_at_zero: Callable[[np.ndarray], np.ndarray]
    # (linear predictors (n, m), inside) -> deviance (m,) of the rows left out, and their weight in the mean over folds
    left_out: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, float]]
    # inside -> whether the rows left out can be judged
    can_be_judged: Callable[[np.ndarray], bool]


@cache
def _loops() -> ModuleType:
    with compiling():
        from recur.statistics import _elastic_net_loops
    return _elastic_net_loops


def elastic_net_path(x: np.ndarray, family: Family, penalty: Penalty, tolerance: float = PATH_TOLERANCE) -> np.ndarray:
    """Coefficients (p, m) of standardised features along decreasing penalties, fitted on all rows.

    Minimises -loglik / n + penalty until no coordinate violates its Karush-Kuhn-Tucker condition by more than
    `tolerance` * lambda * l1_ratio. Sequential strong rule of Tibshirani et al. (J R Stat Soc B 2012), violators let
    in; proximal Newton (Lee, Sun & Saunders, SIAM J Optim 2014).
    """
    return family.path(x, np.ones(len(x), bool), penalty, tolerance)


def lambda_grid(x: np.ndarray, family: Family, l1_ratio: float, count: int, min_ratio: float) -> np.ndarray:
    """Decreasing log-spaced penalties (count,) from the smallest that keeps every coefficient at zero."""
    largest = np.abs(family.gradient_at_zero(x)).max() / l1_ratio
    return largest * np.geomspace(1, min_ratio, count)


def cross_validate(
    x: np.ndarray,
    family: Family,
    penalty: Penalty,
    fold: np.ndarray,
    learn: Callable[[np.ndarray], Scaling] | None = None,
    tolerance: float = FOLD_TOLERANCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean cross-validated deviance (m,) and its standard error (m,) over folds, as cv.glmnet's `grouped` up to 4.1.

    fold (n,): the number of each row's fold; one that cannot be judged is left out. learn: the scaling (transform,
    mean, SD, limit) that each fold learns on the rows outside it and applies to all; None divides by the SD of these
    rows, as glmnet does. glmnet 5.0 computes the path anew. Not in scikit-survival.
    """
    numbers = [number for number in np.unique(fold) if family.can_be_judged(fold != number)]
    deviance, weight = np.empty((len(numbers), len(penalty.lambdas))), np.empty(len(numbers))
    for i, number in enumerate(numbers):
        inside = fold != number
        scaled = scaled_in_fold(x, inside, learn)
        predictors = scaled @ family.path(scaled[inside], inside, penalty, tolerance)
        deviance[i], weight[i] = family.left_out(predictors, inside)
    return weighted_mean_and_error(deviance, weight)


def cox_family(time: np.ndarray, event: np.ndarray, ties: str = BRESLOW) -> Family:
    """Cox regression of time and event (n,); ties: Breslow's likelihood (glmnet up to 5.0) or Efron's (its default
    from 5.1 on).

    The deviance of a fold is that of all rows minus that of the rows outside it, divided by the fold's events (Verweij
    & van Houwelingen 1993). It counts from the saturated model, whose log-likelihood is below 0 where events are tied.
    """

    def path(x: np.ndarray, inside: np.ndarray, penalty: Penalty, tolerance: float) -> np.ndarray:
        return _compiled_path(_in_time_order(x, time[inside], event[inside], ties), penalty, tolerance, np.zeros(0))

    def gradient_at_zero(x: np.ndarray) -> np.ndarray:
        return _cox_gradient(x, time, event, ties)

    def left_out(predictors: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, float]:
        events = event[~inside].sum()
        everybody = _deviance(predictors, time, event, ties)
        return (everybody - _deviance(predictors[inside], time[inside], event[inside], ties)) / events, events

    def can_be_judged(inside: np.ndarray) -> bool:
        return bool(event[~inside].any())

    return Family(path, gradient_at_zero, left_out, can_be_judged)


def logistic_family(event: np.ndarray, weight: np.ndarray | None = None) -> Family:
    """Logistic regression of event (n,), its intercept not penalised; weight (n,) of the rows as in
    recur.statistics.logistic, of which as in glmnet only the ratios matter.

    The deviance of a fold is the mean over its rows, with risks held within 1e-5 and 1 - 1e-5 as in glmnet. A fold
    whose other rows are all of one class cannot be judged.
    """
    event = np.asarray(event).astype(bool)
    row = _ratios(event, weight)
    known = row > 0

    def path(x: np.ndarray, inside: np.ndarray, penalty: Penalty, tolerance: float) -> np.ndarray:
        start, upto, total = np.zeros(1, np.int64), np.zeros(0, np.int64), np.ones(1)
        data = np.ascontiguousarray(x.T, dtype=float), start, upto, total, start, np.zeros(1), event[inside]
        if inside.all():
            return _compiled_path(data, penalty, tolerance, row)  # scaled again, it would lose its last digit
        return _compiled_path(data, penalty, tolerance, _ratios(event[inside], row[inside]))

    def gradient_at_zero(x: np.ndarray) -> np.ndarray:
        share = np.average(event.astype(float), weights=row)
        return x.T @ (row * (event - share)) / len(event)

    def left_out(predictors: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, float]:
        columns = predictors[inside].T
        intercepts = np.array([best_intercept(column, event[inside], row[inside]) for column in columns])
        log_odds = np.clip(predictors[~inside] + intercepts, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        likelihoods = log_likelihoods(log_odds, event[~inside])
        return -2 * np.average(likelihoods, axis=0, weights=row[~inside]), row[~inside].sum()

    def can_be_judged(inside: np.ndarray) -> bool:
        fitted = known & inside
        return bool((known & ~inside).any()) and 0 < event[fitted].sum() < fitted.sum()

    return Family(path, gradient_at_zero, left_out, can_be_judged)


def _ratios(event: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The weights of the rows (n,), scaled to the sum n."""
    return np.ones(len(event)) if weight is None else weight * (len(weight) / weight.sum())


def _compiled_path(data: tuple[np.ndarray, ...], penalty: Penalty, tolerance: float, case: np.ndarray) -> np.ndarray:
    """Coefficients (p, m); data: x (p, n) and the risk sets (_in_time_order), case (n,): weights of logistic rows."""
    lambdas = np.array(penalty.lambdas, float)
    coef, missed = np.empty((len(lambdas), len(data[0]))), np.empty(len(lambdas))
    if coef.size:
        _loops().elastic_net_path(*data, penalty.l1_ratio, lambdas, tolerance, coef, missed, case)
    return coef.T


def _in_time_order(x: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str) -> tuple[np.ndarray, ...]:
    """x (p, n) by ascending time, and the risk sets (J of them): start, upto (n,), deaths, tied, share, and event (n,).

    Breslow: a risk set a time. Efron: one an event, from which a share of the rows tied there (the first `tied` of it)
    is taken off; see recur.statistics._elastic_net_loops.
    """
    event = np.asarray(event).astype(bool)
    order = np.lexsort((~event, time))
    time, event = np.asarray(time, float)[order], event[order]
    times, deaths = np.unique(time[event], return_counts=True)
    tied, share = deaths.astype(np.int64), np.zeros(len(times))
    if ties == EFRON:
        share = np.concatenate([np.arange(count) / count for count in deaths]) if len(deaths) else share
        times, tied, deaths = np.repeat(times, deaths), np.repeat(tied, deaths), np.ones(int(deaths.sum()))
    start, upto = np.searchsorted(time, times), np.searchsorted(times, time, side="right")
    columns = np.ascontiguousarray(x[order].T, dtype=float)
    return columns, start, upto, deaths.astype(float), tied, share, event


def _cox_gradient(x: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str) -> np.ndarray:
    """Gradient (p,) of the log partial likelihood / n where all coefficients are 0."""
    order = np.argsort(time, kind="stable")
    x, time, event = x[order], time[order], event[order].astype(bool)
    first = np.searchsorted(time, time)
    at_risk = (len(time) - first).astype(float)  # everyone with a time >= this one
    summed = np.cumsum(x[::-1], axis=0)[::-1][first]
    if ties == EFRON:
        _, inverse, deaths = np.unique(time[event], return_inverse=True, return_counts=True)
        place = np.arange(event.sum()) - np.searchsorted(inverse, inverse)
        share = place / deaths[inverse]
        own = np.zeros((len(deaths), x.shape[1]))
        np.add.at(own, inverse, x[event])
        expected = (summed[event] - share[:, None] * own[inverse]) / (at_risk[event] - place)[:, None]
    else:
        expected = summed[event] / at_risk[event][:, None]
    return (x[event] - expected).sum(axis=0) / len(time)


def partial_loglik(lp: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str = BRESLOW) -> np.ndarray:
    """Log partial likelihood of every column of linear predictors (n, m), shape (m,).

    Sums of exponentials run with their largest term taken out: a patient at thousands of SD makes the likelihood small,
    never infinite.
    """
    order = np.argsort(-time, kind="stable")
    lp, time, event = lp[order], time[order], event[order].astype(bool)
    log_risk = np.logaddexp.accumulate(lp, axis=0)
    last = np.searchsorted(-time, -time, side="right") - 1  # the last row of a run of equal times
    log_risk = log_risk[last[event]]
    if ties == EFRON:
        _, inverse, deaths = np.unique(time[event], return_inverse=True, return_counts=True)
        log_risk = log_risk + _efron_shrinkage(lp[event], log_risk, inverse, deaths)
    return (lp[event] - log_risk).sum(axis=0)


def _efron_shrinkage(lp: np.ndarray, log_risk: np.ndarray, inverse: np.ndarray, deaths: np.ndarray) -> np.ndarray:
    """Log of the part of its risk set that each event (rows of lp) keeps under Efron's ties: 1 - share x tied / all."""
    shrinkage = np.zeros_like(lp)
    for time in np.flatnonzero(deaths > 1):
        rows = np.flatnonzero(inverse == time)
        tied = np.logaddexp.reduce(lp[rows], axis=0)
        share = (np.arange(len(rows)) / len(rows))[:, None]
        shrinkage[rows] = np.log1p(-share * np.exp(tied - log_risk[rows]))
    return shrinkage


def _deviance(lp: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str = BRESLOW) -> np.ndarray:
    tied = np.unique(time[event.astype(bool)], return_counts=True)[1]
    saturated = -gammaln(tied + 1.0).sum() if ties == EFRON else -(tied * np.log(tied)).sum()
    return 2 * (saturated - partial_loglik(lp, time, event, ties))


def scaled_in_fold(x: np.ndarray, inside: np.ndarray, learn: Callable[[np.ndarray], Scaling] | None) -> np.ndarray:
    """All rows of x (n, p) as the rows outside a fold (`inside` the fit) scale them."""
    if learn is not None:
        return learn(x[inside]).apply(x)
    spread = x[inside].std(axis=0)  # each fold scales its own rows, as glmnet does
    return x / np.where(spread > 0, spread, 1)


def weighted_mean_and_error(deviance: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (m,) and its standard error (m,) of the folds' deviances (k, m), weighted (k,)."""
    mean = np.average(deviance, axis=0, weights=weight)
    error = np.sqrt(np.average((deviance - mean) ** 2, axis=0, weights=weight) / (len(deviance) - 1))
    return mean, error


def choose_lambda(deviance: np.ndarray, error: np.ndarray, rule: str) -> int:
    """Index of the smallest deviance, or (`1se`) of the largest penalty within one standard error of it.

    A deviance that is not finite is no minimum; where none is, the largest penalty (no feature) is chosen.
    """
    finite = np.isfinite(deviance)
    if not finite.any():
        return 0
    best = int(np.argmin(np.where(finite, deviance, np.inf)))
    if rule == "min" or not np.isfinite(error[best]):
        return best
    return int(np.flatnonzero(finite & (deviance <= deviance[best] + error[best]))[0])
