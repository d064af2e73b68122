"""Calibration and error of predicted risks in many bootstrap draws of the same patients, all draws at once.

The estimates of recur.statistics.calibration and recur.statistics.brier, which a nested cross-validation needs some
ten thousand times: a draw is a row of counts instead of a table of rows, so that what depends on outcomes only
(censoring weights, observed risks) is shared by all models and repeats. tests/resampling/test_internal_calibration.py
holds them equal.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import NamedTuple

import numpy as np

from recur.compiled import compiling
from recur.statistics.calibration import cloglog
from recur.statistics.estimate import checked_arrays
from recur.statistics.outcome import Outcome

SLOPE = "calibration_slope"
Measures = dict[tuple[str, float | None], np.ndarray]  # (metric, horizon; None of the slope) -> estimates (D,)


class Drawn(NamedTuple):
    """Outcomes of n patients by ascending time, and how often each of D draws holds each patient."""

    order: np.ndarray  # (n,) place of the rows among the patients as given
    time: np.ndarray  # (n,)
    event: np.ndarray  # (n,) bool
    competing: np.ndarray | None  # (n,) bool; None where the endpoint has no competing event
    group: np.ndarray  # (n,) place of the row's time among the J distinct times
    weight: np.ndarray  # (D, n) counts
    at_risk: np.ndarray  # (D, J)
    events: np.ndarray  # (D, J) of the event of interest
    leaving: np.ndarray  # (D, J) by either event
    censored: np.ndarray  # (D, J)


@cache
def _loops() -> ModuleType:
    with compiling():
        from recur.statistics import _slope_loops
    return _slope_loops


def drawn_outcomes(outcome: Outcome, weight: np.ndarray | None = None) -> Drawn:
    """Outcomes in time of n patients in draws, weight (D, n): the patients as they are without it."""
    time, event = checked_arrays(outcome.time, outcome.event)
    order = np.argsort(time, kind="stable")
    weight = np.ones((1, len(time))) if weight is None else np.asarray(weight, float)
    weight = np.ascontiguousarray(weight[:, order])
    event = event[order]
    competing = None if outcome.competing is None else np.asarray(outcome.competing).astype(bool)[order]
    _, first, group = np.unique(time[order], return_index=True, return_inverse=True)
    either = event if competing is None else event | competing
    everybody, events, leaving = (np.add.reduceat(weight * kind, first, axis=1) for kind in (True, event, either))
    at_risk = everybody[:, ::-1].cumsum(axis=1)[:, ::-1]
    counts = at_risk, events, leaving, everybody - leaving
    return Drawn(order, time[order], event, competing, group.astype(np.int64), weight, *counts)


def censoring_curve(draws: Drawn, events_first: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan-Meier G of the censoring time just before and just after each distinct time, (D, J) each.

    events_first: events of the same time leave before the censored, as in survival.censoring_survival; else they are
    still at risk, as in cmprsk::crr.
    """
    at_risk = draws.at_risk - draws.leaving if events_first else draws.at_risk
    after = np.cumprod(1 - draws.censored / np.maximum(at_risk, 1), axis=1)
    return np.hstack([np.ones((len(after), 1)), after[:, :-1]]), after


def observed_risk(draws: Drawn, horizon: float) -> np.ndarray:
    """Kaplan-Meier's risk, or Aalen-Johansen's incidence, at the horizon in each draw (D,)."""
    used = int(draws.group[draws.time <= horizon].max(initial=-1)) + 1  # distinct times up to the horizon
    if not used:
        return np.zeros(len(draws.weight))
    at_risk = np.maximum(draws.at_risk[:, :used], 1)
    free = np.cumprod(1 - draws.leaving[:, :used] / at_risk, axis=1)
    if draws.competing is None:
        return 1 - free[:, -1]
    before = np.hstack([np.ones((len(free), 1)), free[:, :-1]])
    return (before * draws.events[:, :used] / at_risk).sum(axis=1)


def slopes(draws: Drawn, x: np.ndarray) -> np.ndarray:
    """Calibration slope (D,): coefficient of x (n,) in a Cox model (Efron ties) of each draw, with a competing event in
    a Fine-Gray model. NaN where it is not estimable.
    """
    spread = x.std()
    if not spread > 1e-12 * max(1.0, abs(x.mean())):
        return np.full(len(draws.weight), np.nan)
    z = (x[draws.order] - x.mean()) / spread
    before, _ = censoring_curve(draws, events_first=False)
    alone = draws.competing is None
    other = np.zeros(len(z), bool) if alone else draws.competing
    kernel = _loops().drawn_slopes
    return kernel(z, draws.group, draws.event, other, draws.weight, before, alone) / spread


def horizon_measures(draws: Drawn, risk: np.ndarray, horizon: float) -> dict[str, np.ndarray]:
    """Brier score, IPA and O/E (D,) of predicted risks (n,) at a horizon, weights and observed risk of each draw.

    NaN where a draw has no event by the horizon, or nobody followed beyond it.
    """
    risk, size = risk[draws.order], draws.weight.sum(axis=1)
    before, after = censoring_curve(draws)
    reached = draws.time <= horizon
    last = draws.group[np.flatnonzero(reached)[-1]] if reached.any() else 0
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.where(draws.weight > 0, draws.weight / before[:, draws.group], 0.0)
        beyond = np.where(~reached & (draws.weight > 0), draws.weight / after[:, [last]], 0.0)
        case = np.where(draws.event & reached, known, 0.0)
        free = beyond if draws.competing is None else beyond + np.where(draws.competing & reached, known, 0.0)
        observed = observed_risk(draws, horizon)
        brier = (case * (1 - risk) ** 2 + free * risk**2).sum(axis=1) / size
        null = (case.sum(axis=1) * (1 - observed) ** 2 + free.sum(axis=1) * observed**2) / size
        found = {"brier": brier, "ipa": 1 - brier / null}
        ratio = observed / ((draws.weight * risk).sum(axis=1) / size)
    no_event = ~(draws.weight[:, draws.event & reached] > 0).any(axis=1)
    nobody = no_event | ~(draws.weight[:, ~reached] > 0).any(axis=1)
    found = {metric: np.where(nobody, np.nan, values) for metric, values in found.items()}
    return found | {"oe_ratio": np.where(no_event, np.nan, ratio)}


def risk_measures(draws: Drawn, lp: np.ndarray, risks: dict[float, np.ndarray]) -> Measures:
    """Slope, and Brier score, IPA and O/E at every horizon, of linear predictors (n,) and risks {horizon: (n,)}.

    Patients as they were given to drawn_outcomes. Risks that are not known (NaN) give NaN.
    """
    last = max(risks)
    x = lp if draws.competing is None else cloglog(risks[last])
    nothing = np.full(len(draws.weight), np.nan)
    found: Measures = {(SLOPE, None): slopes(draws, x) if np.isfinite(x).all() else nothing}
    for horizon, risk in risks.items():
        for metric, values in horizon_measures(draws, risk, horizon).items():
            found[metric, horizon] = values
    return found
