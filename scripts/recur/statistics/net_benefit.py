"""Decision curves with censoring (Vickers et al., BMC Med Inform Decis Mak 2008).

Written by hand: dcurves gives the same numbers but none where the last patient above a threshold has the event
before the horizon, and cannot be told the horizon's number at risk. Checked against R values of the same formula.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recur.statistics.brier import null_risk
from recur.statistics.estimate import checked_arrays, no_horizon


def net_benefit(
    time: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    horizon: float,
    thresholds: ArrayLike,
    competing: ArrayLike | None = None,
) -> pd.DataFrame:
    """Net benefit at each threshold in [0, 1): threshold, net_benefit, treat_all, share (risk >= threshold), reason.

    Among those with risk >= threshold: true positives = observed risk x share (Kaplan-Meier, or
    Aalen-Johansen with a `competing` event), false positives = the rest of
    the share. Nobody above gives 0. When nobody above the threshold is followed to the horizon, or the cohort does
    not reach it, the value is NaN with the reason.
    """
    time, event, risk = checked_arrays(time, event, risk)
    thresholds = np.asarray(thresholds, float)
    other = None if competing is None else np.asarray(competing).astype(bool)
    if ((thresholds < 0) | (thresholds >= 1)).any():
        raise ValueError("thresholds must be in [0, 1)")
    reason = no_horizon(time, event, horizon)
    overall = np.nan if reason else null_risk(time, event, horizon, other)
    rows = []
    for threshold in thresholds:
        odds = threshold / (1 - threshold)
        high = risk >= threshold
        row = {"threshold": threshold, "net_benefit": np.nan, "treat_all": overall - (1 - overall) * odds}
        row |= {"share": high.mean(), "reason": reason}
        if not reason and not high.any():
            row["net_benefit"] = 0.0
        elif not reason:
            observed = _risk(time[high], event[high], horizon, None if other is None else other[high])
            row["net_benefit"] = (observed - (1 - observed) * odds) * row["share"]
            if np.isnan(observed):
                row["reason"] = f"nobody with risk >= {threshold:g} is followed to {horizon:g}"
        rows.append(row)
    return pd.DataFrame(rows)


def _risk(time: np.ndarray, event: np.ndarray, horizon: float, competing: np.ndarray | None) -> float:
    # after the last follow-up the curve is only known when everybody had an event
    ended = event if competing is None else event | competing
    if time.max() < horizon and not ended[time == time.max()].all():
        return np.nan
    return null_risk(time, event, horizon, competing)
