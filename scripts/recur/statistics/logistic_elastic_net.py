"""Elastic-net logistic path and its cross-validated deviance, as glmnet's binomial family; see
recur.statistics.elastic_net.

The same compiled solver and stopping rule as the Cox path: scikit-learn's saga needs thousands of sweeps for features
as correlated as radiomic ones, and its liblinear penalises the intercept and knows no elastic net.

Everywhere: `x` (n, p) standardised features, `event` (n,) 0/1 or bool, `weight` (n,) of the rows as in
recur.statistics.logistic; as in glmnet only their ratios matter.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recur.compiled import model_kernels
from recur.statistics.elastic_net import FOLD_TOLERANCE, scaled_in_fold, weighted_mean_and_error
from recur.statistics.logistic import best_intercept, log_likelihoods
from recur.statistics.scaling import Scaling

LARGEST_LOG_ODDS = float(np.log((1 - 1e-5) / 1e-5))  # of a left-out row, so that one of them cannot decide the penalty


def ratios(event: np.ndarray, weight: np.ndarray | None) -> np.ndarray:
    """The weights of the rows (n,), scaled to the sum n."""
    return np.ones(len(event)) if weight is None else weight * (len(weight) / weight.sum())


def logistic_path(
    x: np.ndarray,
    event: np.ndarray,
    l1_ratio: float,
    lambdas: np.ndarray,
    tolerance: float,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Coefficients (p, len(lambdas)) along decreasing penalties; the intercept is not penalised.

    Minimises -loglik / n + lambda (l1_ratio |b|_1 + (1 - l1_ratio) / 2 |b|_2^2) to `tolerance`; see lasso.cox_path.
    """
    lambdas, event = np.array(lambdas, float), np.asarray(event).astype(bool)
    coef, missed = np.empty((len(lambdas), x.shape[1])), np.empty(len(lambdas))
    if len(lambdas) and x.shape[1]:
        start, upto, total = np.zeros(1, np.int64), np.zeros(0, np.int64), np.ones(1)
        data = np.ascontiguousarray(x.T, dtype=float), start, upto, total, start, np.zeros(1), event
        model_kernels().elastic_net_path(*data, l1_ratio, lambdas, tolerance, coef, missed, ratios(event, weight))
    return coef.T


def lambda_grid(
    x: np.ndarray,
    event: np.ndarray,
    l1_ratio: float,
    count: int,
    min_ratio: float,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Decreasing log-spaced penalties (count,) from the smallest that keeps every coefficient at zero."""
    event, weight = np.asarray(event, float), ratios(event, weight)
    share = np.average(event, weights=weight)
    largest = np.abs(x.T @ (weight * (event - share))).max() / len(event) / l1_ratio
    return largest * np.geomspace(1, min_ratio, count)


def cross_validate(
    x: np.ndarray,
    event: np.ndarray,
    l1_ratio: float,
    lambdas: np.ndarray,
    fold: np.ndarray,
    tolerance: float = FOLD_TOLERANCE,
    weight: np.ndarray | None = None,
    learn: Callable[[np.ndarray], Scaling] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean deviance (m,) of the rows left out, and its standard error (m,) over folds weighted by their rows (the
    sum of these rows' weights).

    glmnet's cv.glmnet of family binomial, `grouped`, with risks held within 1e-5 and 1 - 1e-5 as there. A fold whose
    other rows are all of one class is left out. learn: see lasso.cross_validate.
    """
    event, row = np.asarray(event).astype(bool), ratios(event, weight)
    known = row > 0
    numbers = [
        k
        for k in np.unique(fold)
        if (known & (fold == k)).any() and 0 < event[known & (fold != k)].sum() < (known & (fold != k)).sum()
    ]
    deviance, size = np.empty((len(numbers), len(lambdas))), np.empty(len(numbers))
    for i, number in enumerate(numbers):
        inside = fold != number
        scaled = scaled_in_fold(x, inside, learn)
        lp = scaled @ logistic_path(scaled[inside], event[inside], l1_ratio, lambdas, tolerance, row[inside])
        intercepts = np.array([best_intercept(column, event[inside], row[inside]) for column in lp[inside].T])
        size[i] = row[~inside].sum()
        eta = np.clip(lp[~inside] + intercepts, -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS)
        deviance[i] = -2 * np.average(log_likelihoods(eta, event[~inside]), axis=0, weights=row[~inside])
    return weighted_mean_and_error(deviance, size)
