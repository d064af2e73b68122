"""What an estimate is: its limits, its test, its bootstrap, and what the data do not allow.

An estimate is dict(estimate, se, lower, upper, reason); where the data give no answer it is NaN with the reason, never
an exception. Limits are of 95 %.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

Z95 = norm.ppf(0.975)
WALD, SANDWICH, PROFILE = "Wald", "sandwich", "profile"  # limits of a coefficient

MIN_AT_RISK = 10  # a quantity at a horizon needs this many patients still followed there
MIN_VALID = 0.8  # share of bootstrap resamples that must give a value


class NotEstimable(ValueError):
    """The data do not determine the estimate; the message says why."""


class Separated(NotEstimable):
    """A coefficient is infinite: a penalised likelihood has an estimate."""


def blank(reason: str) -> dict:
    """An estimate that the data do not allow."""
    return {"estimate": np.nan, "se": np.nan, "lower": np.nan, "upper": np.nan, "reason": reason}


def z_test(difference: float, se: float) -> dict:
    """A difference with its normal limits and two-sided test: dict(estimate, se, lower, upper, z, p, reason)."""
    z = difference / se
    limits = {"lower": difference - Z95 * se, "upper": difference + Z95 * se}
    return {"estimate": difference, "se": se} | limits | {"z": z, "p": float(2 * norm.sf(abs(z))), "reason": ""}


def interval(estimate: float, se: float) -> dict:
    """Estimate with its normal 95% interval, clipped to [0, 1]."""
    lower, upper = np.clip([estimate - Z95 * se, estimate + Z95 * se], 0.0, 1.0)
    return {"estimate": float(estimate), "se": float(se), "lower": float(lower), "upper": float(upper), "reason": ""}


def no_horizon(time: np.ndarray, event: np.ndarray, horizon: float, beyond: bool = False) -> str:
    """Why a quantity at `horizon` cannot be estimated on these rows ("" when it can).

    `beyond`: the quantity needs patients followed for longer than the horizon (AUC, Brier score), not only up to it.
    """
    at_risk = int((time >= horizon).sum())
    if at_risk < MIN_AT_RISK:
        return f"{at_risk} patients at risk at {horizon:g}, fewer than {MIN_AT_RISK}"
    if not (event & (time <= horizon)).any():
        return f"no events by {horizon:g}"
    if beyond and not (time > horizon).any():
        return f"nobody is followed beyond {horizon:g}"
    return ""


def paired_difference(a: tuple[float, np.ndarray], b: tuple[float, np.ndarray]) -> dict:
    """Difference of two (estimate, influence (n,)) on the same patients, two-sided.

    As z_test; the contrasts of riskRegression::Score.
    """
    difference, influence = a[0] - b[0], a[1] - b[1]
    se = float(np.sqrt(np.var(influence, ddof=1) * len(influence)))
    if not se > 1e-12:
        return blank("the two scores are alike at every patient") | {"estimate": difference, "p": np.nan}
    return z_test(difference, se)


def bootstrap_interval(function: Callable[[np.ndarray], float], n: int, seed: int, resamples: int) -> dict:
    """95% percentile interval of `function(rows)` over resamples of n patients with replacement.

    Resample i is drawn from (seed, i) alone, so any subset can be repeated anywhere. dict(lower, upper, se, resamples
    used, reason): a resample with NaN or NotEstimable is left out; with fewer than 80% left the interval is NaN.
    """
    values = np.full(resamples, np.nan)
    for i in range(resamples):
        rows = np.random.default_rng([seed, i]).integers(0, n, n)
        try:
            values[i] = function(rows)
        except NotEstimable:
            continue
    valid = values[np.isfinite(values)]
    result = {"lower": np.nan, "upper": np.nan, "se": np.nan, "resamples": len(valid), "reason": ""}
    if len(valid) < max(2, MIN_VALID * resamples):
        return result | {"reason": f"only {len(valid)} of {resamples} resamples gave a value"}
    lower, upper = np.quantile(valid, [0.025, 0.975])
    return result | {"lower": float(lower), "upper": float(upper), "se": float(valid.std(ddof=1))}


def checked_arrays(time: ArrayLike, event: ArrayLike, *scores: ArrayLike) -> list[np.ndarray]:
    """Time, event and scores as checked arrays (n,): float, bool, float. Raises ValueError for missing values."""
    arrays = [np.asarray(time, float), np.asarray(event).astype(bool), *(np.asarray(s, float) for s in scores)]
    for name, array in zip(["time", "event", *["score"] * len(scores)], arrays, strict=True):
        if array.shape != arrays[0].shape or array.ndim != 1:
            raise ValueError(f"{name} has shape {array.shape}, time {arrays[0].shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} has missing or infinite values")
    return arrays


def or_reason(function, *arguments, **named) -> dict[str, Any]:
    """The estimate, or why there is none."""
    try:
        return function(*arguments, **named)
    except NotEstimable as error:
        return {"reason": str(error)}
