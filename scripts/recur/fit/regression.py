"""The one regression that everything here fits: Cox or logistic, penalised where needed, pooled over imputations."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.cohort.training import Training
from recur.fit.imputation import pool
from recur.statistics import logistic, penalised
from recur.statistics.estimate import NotEstimable
from recur.statistics.outcome import BINARY

PENALTIES = {"firth": logistic.FIRTH, "ridge": logistic.RIDGE}  # of second_stage.separated


def fit_columns(x: np.ndarray, train: Training, separated: str = logistic.FIRTH, copies: int = 1) -> dict[str, Any]:
    """The regression of the outcome on columns of the training rows: Cox, or of a binary outcome logistic; by the
    method `separated` where a coefficient would be infinite. x (n, p), or `copies` of the rows stacked.
    """
    event = np.tile(train.outcome.event, copies)
    if train.outcome.kind == BINARY:
        return logistic.fit_or_penalised(x, event, separated, stacked(train.outcome.weight, copies), copies)
    time = np.tile(train.outcome.time, copies)
    return penalised.fit_or_penalised(x, time, event, separated, stacked(train.strata, copies), copies)


def stacked(values: np.ndarray | None, copies: int) -> np.ndarray | None:
    """`copies` of the values (n,) of the training rows below each other; None of none."""
    return None if values is None else np.tile(values, copies)


def pooled_fit(designs: list[np.ndarray], train: Training, separated: str = logistic.FIRTH) -> dict[str, Any]:
    """The model of every imputation pooled by Rubin's rules: coef, se, covariance, loglik (mean), method of the fit,
    and of a single penalised fit its ratio_test.
    """
    fits = [fit_columns(x, train, separated) for x in designs]
    coef, covariance = pool(*(np.array([fitted[key] for fitted in fits]) for key in ("coef", "covariance")))
    loglik = float(np.mean([fitted["loglik"] for fitted in fits]))
    methods = [fitted["method"] for fitted in fits]
    method = max(methods, key=lambda name: name == separated)
    result = {"coef": coef, "se": np.sqrt(np.diag(covariance)), "covariance": covariance, "loglik": loglik}
    if len(fits) == 1 and "ratio_test" in fits[0]:
        result["ratio_test"] = fits[0]["ratio_test"]
    return result | {"method": method}


def likelihood_of(method: str) -> dict[str, Any]:
    """What a frozen model says of its likelihood, maximum or penalised."""
    variance = None
    if method == logistic.RIDGE:
        variance = logistic.RIDGE_VARIANCE
    return {"likelihood": method, "prior_variance_per_sd": variance}


def pooled_or_blank(designs: list[np.ndarray], train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """pooled_fit, or NaN coefficients where the model cannot be estimated."""
    try:
        return pooled_fit(designs, train, PENALTIES[settings["second_stage"]["separated"]])
    except NotEstimable as error:
        nothing = np.full(designs[0].shape[1], np.nan)
        return {"coef": nothing, "se": nothing, "method": f"not estimated: {error}"}
