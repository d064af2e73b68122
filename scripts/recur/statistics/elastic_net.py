"""Elastic-net Cox path and its cross-validated deviance, as glmnet's (docs/methods.md 5.5).

The path is computed by recur.statistics.kernels. glmnet and scikit-survival stop coordinate descent when the deviance
hardly changes, which with more features than patients is far from the optimum: of 160 rows and 800 correlated features,
glmnet's default leaves Karush-Kuhn-Tucker violations of up to a tenth of the penalty. Here that violation is the
criterion, and Newton steps reach 1e-7 of the penalty in less time (`make bench`).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import gammaln

from recur.compiled import model_kernels
from recur.statistics.scaling import Scaling

FOLD_TOLERANCE = 1e-6  # leaves the cross-validated deviance 1e-7 off, its standard error 5e-6 at most
PATH_TOLERANCE = 1e-7


BRESLOW, EFRON = "breslow", "efron"


def cox_path(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    l1_ratio: float,
    lambdas: np.ndarray,
    tolerance: float,
    ties: str = BRESLOW,
) -> np.ndarray:
    """Coefficients (p, len(lambdas)) of standardised features (n, p) along decreasing penalties.

    Minimises -loglik / n + lambda (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|_2^2), 0 < l1_ratio <= 1, until no coordinate
    violates its Karush-Kuhn-Tucker condition by more than `tolerance` * lambda * l1_ratio. Sequential strong rule of
    Tibshirani et al. (J R Stat Soc B 2012), violators let in; proximal Newton (Lee, Sun & Saunders, SIAM J Optim
    2014). ties: Breslow's likelihood (glmnet up to 5.0) or Efron's (its default from 5.1 on).
    """
    lambdas = np.array(lambdas, float)
    coef, missed = np.empty((len(lambdas), x.shape[1])), np.empty(len(lambdas))
    if len(lambdas) and x.shape[1]:
        data = _in_time_order(x, time, event, ties)
        model_kernels().elastic_net_path(*data, l1_ratio, lambdas, tolerance, coef, missed, np.zeros(0))
    return coef.T


def _in_time_order(x: np.ndarray, time: np.ndarray, event: np.ndarray, ties: str) -> tuple[np.ndarray, ...]:
    """x (p, n) by ascending time, and the risk sets (J of them): start, upto (n,), deaths, tied, share, and event (n,).

    Breslow: a risk set a time. Efron: one an event, from which a share of the rows tied there (the first `tied` of it)
    is taken off; see kernels.
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


def lambda_grid(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    l1_ratio: float,
    count: int,
    min_ratio: float,
    ties: str = BRESLOW,
) -> np.ndarray:
    """Decreasing log-spaced penalties (count,) from the smallest that keeps every coefficient at zero."""
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
    gradient = (x[event] - expected).sum(axis=0) / len(time)
    largest = np.abs(gradient).max() / l1_ratio
    return largest * np.geomspace(1, min_ratio, count)


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


def grouped_folds(patient_id: np.ndarray, event: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold number of every row (n,), stratified on the event, all rows of a patient in one fold."""
    patients, first, inverse = np.unique(patient_id, return_index=True, return_inverse=True)
    fold = np.empty(len(patients), int)
    start = 0
    for value in (1, 0):
        members = np.flatnonzero(event[first].astype(int) == value)
        rng.shuffle(members)
        fold[members] = (np.arange(len(members)) + start) % folds
        start += len(members)
    return fold[inverse]


def cross_validate(
    x: np.ndarray,
    time: np.ndarray,
    event: np.ndarray,
    l1_ratio: float,
    lambdas: np.ndarray,
    fold: np.ndarray,
    tolerance: float = FOLD_TOLERANCE,
    learn: Callable[[np.ndarray], Scaling] | None = None,
    ties: str = BRESLOW,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean cross-validated deviance (m,) and its standard error (m,) over folds, as cv.glmnet's `grouped` up to 4.1.

    Verweij & van Houwelingen 1993: per fold the deviance of all rows minus that of the rows outside it, divided
    by the fold's events; then the event-weighted mean. A deviance counts from the saturated model, whose log-likelihood
    is below 0 where events are tied. glmnet 5.0 computes the path anew, and 5.1 takes Efron's ties by default. Not in
    scikit-survival. learn: the scaling (transform, mean, SD, limit) that each fold learns on the rows outside it and
    applies to all; None divides by the SD of these rows, as glmnet does.
    """
    numbers = [number for number in np.unique(fold) if event[fold == number].any()]
    deviance, weight = np.empty((len(numbers), len(lambdas))), np.empty(len(numbers))
    for i, number in enumerate(numbers):
        inside = fold != number
        scaled = scaled_in_fold(x, inside, learn)
        lp = scaled @ cox_path(scaled[inside], time[inside], event[inside], l1_ratio, lambdas, tolerance, ties)
        weight[i] = event[~inside].sum()
        whole = _deviance(lp, time, event, ties)
        deviance[i] = (whole - _deviance(lp[inside], time[inside], event[inside], ties)) / weight[i]
    return weighted_mean_and_error(deviance, weight)


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
