"""Brier score, index of prediction accuracy and integrated Brier score, by inverse probability of censoring weights.

Written by hand: scikit-survival weights with G(t) instead of G(t-) (8e-5 off) and has no standard error. Equal to
riskRegression::Score (cens.model = "km") and pec::crps. Graf et al. 1999; Gerds & Kattan, Medical Risk Prediction
Models (2021).

`risk` (n,) is the predicted probability of the event by the horizon; results as in recur.statistics.outcome.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from recur.statistics.competing import cumulative_incidence, incidence_at
from recur.statistics.estimate import blank, checked_arrays, interval, no_horizon, paired_difference
from recur.statistics.ipcw import before, censoring_influence, censoring_survival, ipcw_weights
from recur.statistics.survival import kaplan_meier


def brier_at(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float, competing: ArrayLike | None = None
) -> dict:
    """Brier score at `horizon`: weighted squared error divided by n; the se includes the estimation of the weights.

    Who had the `competing` event by the horizon counts as free of the event (Blanche et al. 2015).
    """
    time, event, risk = checked_arrays(time, event, risk)
    reason = no_horizon(time, event, horizon, beyond=True)
    if reason:
        return blank(reason)
    score, influence = _brier(time, event, risk, horizon, competing)
    return interval(score, np.sqrt(np.var(influence, ddof=1) * len(time)))


def _brier(time, event, risk, horizon, competing) -> tuple[float, np.ndarray]:
    n = len(time)
    other = np.zeros(n, bool) if competing is None else np.asarray(competing).astype(bool)
    case, beyond, died = ipcw_weights(time, event, horizon, other)
    own, control = (case * (1 - risk) ** 2 + died * risk**2) / n, beyond * risk**2 / n
    score = float((own + control).sum())
    return score, own + control - score / n + censoring_influence(time, event | other, horizon, own, control)


def brier_difference(
    time: ArrayLike,
    event: ArrayLike,
    risk_a: ArrayLike,
    risk_b: ArrayLike,
    horizon: float,
    competing: ArrayLike | None = None,
) -> dict:
    """`brier_at` of `risk_a` less that of `risk_b` (below 0: `risk_a` is better); as paired_difference."""
    time, event, risk_a, risk_b = checked_arrays(time, event, risk_a, risk_b)
    reason = no_horizon(time, event, horizon, beyond=True)
    if reason:
        return blank(reason) | {"p": np.nan}
    return paired_difference(*(_brier(time, event, risk, horizon, competing) for risk in (risk_a, risk_b)))


def null_risk(time: ArrayLike, event: ArrayLike, horizon: float, competing: ArrayLike | None = None) -> float:
    """Observed risk at `horizon` of these patients (Kaplan-Meier; Aalen-Johansen with a competing event)."""
    if competing is not None:
        return incidence_at(time, event, competing, horizon)
    curve = kaplan_meier(time, event)
    return 1 - float(curve["survival"].iloc[np.searchsorted(curve["time"], horizon, side="right") - 1])


def brier_null(time: ArrayLike, event: ArrayLike, horizon: float, competing: ArrayLike | None = None) -> dict:
    """Brier score of the null model, which predicts the observed risk of these patients for everybody."""
    time, event = checked_arrays(time, event)
    reason = no_horizon(time, event, horizon, beyond=True)
    if reason:
        return blank(reason)
    risk = np.full(len(time), null_risk(time, event, horizon, competing))
    return brier_at(time, event, risk, horizon, competing)


def ipa(time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float, competing: ArrayLike | None = None) -> dict:
    """Index of prediction accuracy, 1 - Brier / Brier of the null model; no interval (bootstrap it)."""
    model = brier_at(time, event, risk, horizon, competing)
    null = brier_null(time, event, horizon, competing)
    if model["reason"]:
        return blank(model["reason"])
    return blank("") | {"estimate": 1 - model["estimate"] / null["estimate"]}


def brier_curve(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, times: ArrayLike, competing: ArrayLike | None = None
) -> np.ndarray:
    """Brier scores (J,) of risks (n, J) at `times` (J,); no check of the numbers at risk."""
    time, event = checked_arrays(time, event)
    other = np.zeros(len(time), bool) if competing is None else np.asarray(competing).astype(bool)
    risk, times = np.asarray(risk, float), np.asarray(times, float)
    grid, g = censoring_survival(time, event | other)
    at_event, at_times = before(grid, g, time), before(grid, g, np.nextafter(times, np.inf))
    reached = time[:, None] <= times
    error = np.zeros(risk.shape)
    np.divide((1 - risk) ** 2, at_event[:, None], out=error, where=event[:, None] & reached)
    np.divide(risk**2, at_event[:, None], out=error, where=other[:, None] & reached)
    np.divide(risk**2, np.broadcast_to(at_times, risk.shape), out=error, where=~reached)
    return error.mean(axis=0)


def ibs(
    time: ArrayLike,
    event: ArrayLike,
    risk: Callable[[np.ndarray], np.ndarray] | None,
    horizon: float,
    competing: ArrayLike | None = None,
) -> dict:
    """Integrated Brier score from 0 to the horizon, divided by the horizon; no interval.

    The integral of the Brier score as a right-continuous step function that steps at the distinct follow-up times and
    holds its last value up to the horizon (pec::crps), not scikit-survival's trapezoid. `risk` maps times (J,) to risks
    (n, J); None is the null model (the observed risk of these patients). Blank where fewer than MIN_AT_RISK patients
    are followed to the horizon: the integral to an earlier time is another quantity.
    """
    time, event = checked_arrays(time, event)
    reason = no_horizon(time, event, horizon)
    if reason:
        return blank(reason)
    times = np.unique(time[time <= horizon])
    widths = np.diff(times, append=horizon)
    step = max(1, 2**22 // len(time))
    if competing is None:
        curve = kaplan_meier(time, event)
        observed = 1 - curve["survival"].to_numpy()
    else:
        curve = cumulative_incidence(time, event, competing)
        observed = curve["incidence"].to_numpy()
    total = 0.0
    for i in range(0, len(times), step):
        part = times[i : i + step]
        if risk is None:
            position = np.searchsorted(curve["time"], part, side="right") - 1
            values = np.tile(observed[position], (len(time), 1))
        else:
            values = risk(part)
        total += float(brier_curve(time, event, values, part, competing) @ widths[i : i + step])
    return blank("") | {"estimate": total / horizon}
