"""Elastic-net Cox path and its cross-validated deviance, as glmnet's (methods.md 1.6)."""

from __future__ import annotations

import warnings

import numpy as np
from sksurv.linear_model import CoxnetSurvivalAnalysis
from sksurv.util import Surv

FOLD_TOLERANCE = 1e-5  # folds only choose lambda; the final path is fitted to PATH_TOLERANCE
PATH_TOLERANCE = 1e-7


def cox_path(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, l1_ratio: float, lambdas: np.ndarray, tolerance: float
) -> np.ndarray:
    """Coefficients (p, len(lambdas)) of standardised features (n, p) along decreasing penalties."""
    model = CoxnetSurvivalAnalysis(alphas=lambdas, l1_ratio=l1_ratio, tol=tolerance, max_iter=100_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "all coefficients are zero" is a legal result here
        coef = model.fit(x, Surv.from_arrays(event.astype(bool), time)).coef_
    # the solver ends a path that has saturated; smaller penalties then keep its last coefficients
    return np.pad(coef, ((0, 0), (0, len(lambdas) - coef.shape[1])), mode="edge")


def lambda_grid(
    x: np.ndarray, time: np.ndarray, event: np.ndarray, l1_ratio: float, count: int, min_ratio: float
) -> np.ndarray:
    """Decreasing log-spaced penalties (count,) from the smallest that keeps every coefficient at zero."""
    order = np.argsort(time, kind="stable")
    x, time, event = x[order], time[order], event[order]
    at_risk = len(time) - np.searchsorted(time, time)  # Breslow: everyone with a time >= this one
    summed = np.cumsum(x[::-1], axis=0)[::-1]
    first = np.searchsorted(time, time)
    gradient = (x - summed[first] / at_risk[:, None])[event.astype(bool)].sum(axis=0) / len(time)
    largest = np.abs(gradient).max() / l1_ratio
    return largest * np.geomspace(1, min_ratio, count)


def partial_loglik(lp: np.ndarray, time: np.ndarray, event: np.ndarray) -> np.ndarray:
    """Breslow log partial likelihood of every column of linear predictors (n, m), shape (m,)."""
    order = np.argsort(-time, kind="stable")
    lp, time, event = lp[order], time[order], event[order].astype(bool)
    top = lp.max(axis=0)
    log_risk = np.log(np.cumsum(np.exp(lp - top), axis=0)) + top
    last = np.searchsorted(-time, -time, side="right") - 1  # the last row of a run of equal times
    return (lp[event] - log_risk[last[event]]).sum(axis=0)


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
) -> tuple[np.ndarray, np.ndarray]:
    """Mean cross-validated deviance (m,) and its standard error (m,) over folds, glmnet's `grouped` form.

    Verweij & van Houwelingen 1993: per fold the deviance of all rows minus that of the rows outside it, divided
    by the fold's events; then the event-weighted mean. Not in scikit-survival.
    """
    numbers = [number for number in np.unique(fold) if event[fold == number].any()]
    deviance, weight = np.empty((len(numbers), len(lambdas))), np.empty(len(numbers))
    for i, number in enumerate(numbers):
        inside = fold != number
        spread = x[inside].std(axis=0)  # each fold scales its own rows, as glmnet does
        scaled = x / np.where(spread > 0, spread, 1)
        lp = scaled @ cox_path(scaled[inside], time[inside], event[inside], l1_ratio, lambdas, tolerance)
        weight[i] = event[~inside].sum()
        whole, part = partial_loglik(lp, time, event), partial_loglik(lp[inside], time[inside], event[inside])
        deviance[i] = -2 * (whole - part) / weight[i]
    mean = np.average(deviance, axis=0, weights=weight)
    error = np.sqrt(np.average((deviance - mean) ** 2, axis=0, weights=weight) / (len(numbers) - 1))
    return mean, error


def choose_lambda(deviance: np.ndarray, error: np.ndarray, rule: str) -> int:
    """Index of the smallest deviance, or (`1se`) of the largest penalty within one standard error of it."""
    best = int(np.argmin(deviance))
    return best if rule == "min" else int(np.flatnonzero(deviance <= deviance[best] + error[best])[0])
