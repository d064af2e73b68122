"""Brier score, index of prediction accuracy and integrated Brier score, by inverse probability of censoring weights.

Written by hand: scikit-survival weights with G(t) instead of G(t-) (8e-5 off) and has no standard error. Equal to
riskRegression::Score (cens.model = "km") and pec::crps. Graf et al. 1999; Gerds & Kattan, Medical Risk Prediction
Models (2021).

`risk` (n,) is the predicted probability of the event by the horizon; results as in recur.discrimination.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from recur.discrimination import blank, censoring_influence, interval, ipcw_weights, no_horizon
from recur.survival import before, censoring_survival, kaplan_meier, outcome


def brier_at(time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float) -> dict:
    """Brier score at `horizon`: weighted squared error divided by n; the se includes the estimation of the weights."""
    time, event, risk = outcome(time, event, risk)
    reason = no_horizon(time, event, horizon)
    if reason:
        return blank(reason)
    score, influence = _brier(time, event, risk, horizon)
    return interval(score, np.sqrt(np.var(influence, ddof=1) * len(time)))


def _brier(time: np.ndarray, event: np.ndarray, risk: np.ndarray, horizon: float) -> tuple[float, np.ndarray]:
    n = len(time)
    case, control = ipcw_weights(time, event, horizon)
    case, control = case * (1 - risk) ** 2 / n, control * risk**2 / n
    score = float((case + control).sum())
    return score, case + control - score / n + censoring_influence(time, event, horizon, case, control)


def null_risk(time: ArrayLike, event: ArrayLike, horizon: float) -> float:
    """Kaplan-Meier risk at `horizon` of these patients: the prediction of the null model."""
    curve = kaplan_meier(time, event)
    return 1 - float(curve["survival"].iloc[np.searchsorted(curve["time"], horizon, side="right") - 1])


def brier_null(time: ArrayLike, event: ArrayLike, horizon: float) -> dict:
    """Brier score of the null model, which predicts the Kaplan-Meier risk of these patients for everybody."""
    time, event = outcome(time, event)
    return brier_at(time, event, np.full(len(time), null_risk(time, event, horizon)), horizon)


def ipa(time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float) -> dict:
    """Index of prediction accuracy, 1 - Brier / Brier of the null model; no interval (bootstrap it)."""
    model, null = brier_at(time, event, risk, horizon), brier_null(time, event, horizon)
    if model["reason"]:
        return blank(model["reason"])
    return blank("") | {"estimate": 1 - model["estimate"] / null["estimate"]}


def brier_curve(time: ArrayLike, event: ArrayLike, risk: ArrayLike, times: ArrayLike) -> np.ndarray:
    """Brier scores (J,) of risks (n, J) at `times` (J,); no check of the numbers at risk."""
    time, event = outcome(time, event)
    risk, times = np.asarray(risk, float), np.asarray(times, float)
    grid, g = censoring_survival(time, event)
    at_event, at_times = before(grid, g, time), before(grid, g, np.nextafter(times, np.inf))
    case = event[:, None] & (time[:, None] <= times)
    control = time[:, None] > times
    error = np.zeros(risk.shape)
    np.divide((1 - risk) ** 2, at_event[:, None], out=error, where=case)
    np.divide(risk**2, np.broadcast_to(at_times, risk.shape), out=error, where=control)
    return error.mean(axis=0)


def ibs(time: ArrayLike, event: ArrayLike, risk: Callable[[np.ndarray], np.ndarray] | None, horizon: float) -> dict:
    """Integrated Brier score from 0 to the last follow-up time within the horizon, divided by that time; no interval.

    The integral of the Brier score as a right-continuous step function over all distinct follow-up times (pec::crps,
    Score's ibs), not scikit-survival's trapezoid. `risk` maps times (J,) to risks
    (n, J); None is the null model (Kaplan-Meier of these patients).
    """
    time, event = outcome(time, event)
    reason = no_horizon(time, event, horizon)
    if reason:
        return blank(reason)
    times = np.unique(time[time <= horizon])
    widths = np.append(np.diff(times), 0.0)
    step = max(1, 2**22 // len(time))
    curve = kaplan_meier(time, event)
    total = 0.0
    for i in range(0, len(times), step):
        part = times[i : i + step]
        if risk is None:
            position = np.searchsorted(curve["time"], part, side="right") - 1
            values = np.tile(1 - curve["survival"].to_numpy()[position], (len(time), 1))
        else:
            values = risk(part)
        total += float(brier_curve(time, event, values, part) @ widths[i : i + step])
    return blank("") | {"estimate": total / times[-1]}
