"""Inverse probability of censoring weights, and what estimating them adds to an error.

Written by hand: scikit-survival takes the censoring survival G at t instead of just before it (2e-4 off in Uno's C, up
to 0.08 with other weights). Conventions are R's riskRegression and prodlim, against which all of it is checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from recur.statistics.survival import risk_sets


def censoring_survival(time: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Kaplan-Meier G of the censoring time: distinct times (J,) and G at each.

    At a time with both, the events leave the risk set before the censorings, as R prodlim and survival do; every
    inverse-probability weight here uses G just before an event, G(t-).
    """
    times, n_risk, n_event, n_censor = risk_sets(time, event)
    return times, np.cumprod(1 - n_censor / np.maximum(n_risk - n_event, 1))


def censoring_weights(follow_up: ArrayLike, known: ArrayLike) -> np.ndarray:
    """Inverse probability of censoring weights (n,) of outcomes at a horizon: 1 / G(t-), or 0 where the outcome
    is unknown.

    follow_up (n,): time of the event, competing event or censoring, cut at the horizon; known (n,): whether the state
    there is. G is the Kaplan-Meier curve of the censoring time of these very rows; whoever is followed to the horizon
    weighs 1 / G(horizon-). Weighted shares are then Kaplan-Meier's or Aalen-Johansen's (Satten & Datta, Am Stat 2001).
    Uno et al., JASA 2007; Blanche et al., Stat Med 2013.
    """
    follow_up, known = np.asarray(follow_up, float), np.asarray(known).astype(bool)
    times, g = censoring_survival(follow_up, known)
    return np.where(known, 1 / before(times, g, follow_up), 0.0)


def weight_summary(weight: np.ndarray) -> dict[str, Any]:
    """What weights (n,) for censoring do: censored (n that weigh 0), largest_weight, effective_n (Kish)."""
    known = weight[weight > 0]
    return {
        "censored": int(len(weight) - len(known)),
        "largest_weight": float(known.max(initial=0.0)),
        "effective_n": float(known.sum() ** 2 / (known**2).sum()) if len(known) else 0.0,
    }


def before(times: np.ndarray, values: np.ndarray, t: ArrayLike) -> np.ndarray:
    """Value just before `t` of the step function (times, values) that starts at 1."""
    return np.concatenate([[1.0], values])[np.searchsorted(times, np.asarray(t, float), side="left")]


def ipcw_weights(
    time: np.ndarray, event: np.ndarray, horizon: float, competing: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights at `horizon` of cases, of those followed beyond it, and of those with the competing event by then.

    1 / G(T-) with an event by the horizon, 1 / G(horizon) beyond. The last two are the controls (Blanche et al. 2013).
    """
    other = np.zeros(len(time), bool) if competing is None else np.asarray(competing).astype(bool)
    times, g = censoring_survival(time, event | other)
    with np.errstate(divide="ignore"):
        own = 1 / before(times, g, time)
        beyond = np.where(time > horizon, 1 / before(times, g, np.nextafter(horizon, np.inf)), 0.0)
    return np.where(event & (time <= horizon), own, 0.0), beyond, np.where(other & (time <= horizon), own, 0.0)


def censoring_influence(
    time: np.ndarray, event: np.ndarray, horizon: float, case: np.ndarray, control: np.ndarray
) -> np.ndarray:
    """Influence (n,) on sum(case + control) of having estimated G in these weighted terms.

    `case` terms carry 1 / G(T-), `control` terms 1 / G(horizon). For patient k it is the integral of
    D(u) dM_k(u) / Y(u), with D(u) the terms whose G includes time u, M_k the Nelson-Aalen martingale of censoring and
    Y the number at risk, events of the same time included as in riskRegression (Blanche, Dartigues & Jacqmin-Gadda
    2013; the part that conservative = TRUE leaves out there).
    """
    times, index = np.unique(time, return_inverse=True)
    n_risk = np.bincount(index, minlength=len(times))[::-1].cumsum()[::-1]
    n_censor = np.bincount(index, weights=~event, minlength=len(times))
    # G(T-) includes the times before T, G(horizon) those up to it
    cases = np.bincount(index, weights=case, minlength=len(times))
    reach = (cases[::-1].cumsum()[::-1] - cases) + np.where(times <= horizon, control.sum(), 0.0)
    jump = reach / n_risk
    compensator = np.cumsum(jump * n_censor / n_risk)
    return np.where(event, 0.0, jump[index]) - compensator[index]
