"""Kaplan-Meier curves, survival rates, log-rank tests and follow-up time.

Written by hand: lifelines gives one kind of confidence band and statsmodels' survdiff hides the variance the trend
test needs. Conventions are R's survival::survfit and survdiff, against which everything here is checked.

Everywhere: `time` (n,) follow-up, `event` (n,) 0/1 or bool, `group` (n,) labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2

from recur.statistics.estimate import Z95

SAME_SURVIVAL = 1.5e-8  # two probabilities nearer than this are equal, as in R's survfit


def risk_sets(time: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct times with numbers at risk (time >= t), of events and of censorings."""
    time, event = np.asarray(time, float), np.asarray(event).astype(bool)
    times, index = np.unique(time, return_inverse=True)
    n_event = np.bincount(index, weights=event, minlength=len(times)).astype(int)
    n_leave = np.bincount(index, minlength=len(times))
    n_risk = n_leave[::-1].cumsum()[::-1]
    return times, n_risk, n_event, n_leave - n_event


def survival_band(survival: ArrayLike, se_log: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """95% log-log limits of a survival probability from the standard error of its logarithm (Greenwood), as R survfit.

    NaN where the band is undefined: at 0 and at 1.
    """
    survival, se = np.asarray(survival, float), np.asarray(se_log, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        width = Z95 * se / np.log(survival)
        lower, upper = survival ** np.exp(-width), survival ** np.exp(width)
    undefined = (survival == 0) | (survival == 1)
    lower, upper = np.maximum(lower, 0.0), np.minimum(upper, 1.0)
    return np.where(undefined, np.nan, lower), np.where(undefined, np.nan, upper)


def kaplan_meier(time: ArrayLike, event: ArrayLike) -> pd.DataFrame:
    """Kaplan-Meier curve at every distinct time, from a row at time 0.

    Columns time, n_risk, n_event, n_censor, survival, se (Greenwood, of the survival), lower, upper (95%, log-log).
    """
    times, n_risk, n_event, n_censor = risk_sets(time, event)
    survival = np.cumprod(1 - n_event / n_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        se_log = np.sqrt(np.cumsum(n_event / (n_risk * (n_risk - n_event).astype(float))))
    se_log = np.concatenate([[0.0], se_log])
    survival = np.concatenate([[1.0], survival])
    lower, upper = survival_band(survival, se_log)
    lower[0] = upper[0] = 1.0
    with np.errstate(invalid="ignore"):
        se = survival * se_log
    curve = {
        "time": np.concatenate([[0.0], times]),
        "n_risk": np.concatenate([[len(np.asarray(time))], n_risk]),
        "n_event": np.concatenate([[0], n_event]),
        "n_censor": np.concatenate([[0], n_censor]),
        "survival": survival,
        "se": se,
        "lower": lower,
        "upper": upper,
    }
    table = pd.DataFrame(curve)
    # somebody who left at time 0 is in the row of time 0
    return table.iloc[1:].reset_index(drop=True) if len(times) and times[0] == 0 else table


def survival_rates(time: ArrayLike, event: ArrayLike, horizons: Sequence[float]) -> pd.DataFrame:
    """Survival at each horizon: horizon, survival, lower, upper, n_risk (time >= horizon), events (by then), reason.

    Past the last follow-up time there is no rate: NaN, with the reason.
    """
    curve = kaplan_meier(time, event)
    time, event = np.asarray(time, float), np.asarray(event).astype(bool)
    last = time.max() if time.size else -np.inf
    rows = []
    for horizon in horizons:
        row = {
            "horizon": float(horizon),
            "survival": np.nan,
            "lower": np.nan,
            "upper": np.nan,
            "n_risk": int((time >= horizon).sum()),
            "events": int((event & (time <= horizon)).sum()),
            "reason": "",
        }
        if horizon > last:
            row["reason"] = f"follow-up ends at {last:g}"
        else:
            at = curve.iloc[np.searchsorted(curve["time"], horizon, side="right") - 1]
            row |= {column: float(at[column]) for column in ("survival", "lower", "upper")}
        rows.append(row)
    return pd.DataFrame(rows)


def median_survival(time: ArrayLike, event: ArrayLike) -> dict:
    """Median survival time -> dict(median, lower, upper); NaN where the curve or its band stays above one half.

    A curve exactly at one half gives the midpoint to its next step; the limits are the first times at which the band
    is at one half or below, as R prints a survfit.
    """
    curve = kaplan_meier(time, event)
    half = [_reaches_half(curve["time"].to_numpy(), curve[c].to_numpy()) for c in ("survival", "lower", "upper")]
    return {"median": half[0], "lower": half[1], "upper": half[2]}


def _reaches_half(times: np.ndarray, values: np.ndarray) -> float:
    """Time at which a step function that may be NaN at places falls to one half; NaN where it stays above."""
    last_time = times[-1]
    defined = ~np.isnan(values)
    times, values = times[defined], values[defined]
    at_or_below = np.flatnonzero(values <= 0.5 + SAME_SURVIVAL)
    if at_or_below.size == 0:
        return np.nan
    first = at_or_below[0]
    if abs(values[first] - 0.5) > SAME_SURVIVAL:
        return float(times[first])
    below = np.flatnonzero(values < 0.5 - SAME_SURVIVAL)
    next_step = times[below[0]] if below.size else last_time
    return float((times[first] + next_step) / 2)


def follow_up(time: ArrayLike, event: ArrayLike) -> dict:
    """Median follow-up by the reverse Kaplan-Meier method (Schemper & Smith 1996) -> dict(median, lower, upper)."""
    return median_survival(time, ~np.asarray(event).astype(bool))


def logrank(time: ArrayLike, event: ArrayLike, group: ArrayLike) -> dict:
    """Log-rank test of two or more groups -> dict(chi2, df, p, reason).

    With one group, or no events, chi2 and p are NaN and the reason says so.
    """
    observed, expected, variance, _ = _logrank_moments(time, event, group)
    used = expected > 0
    df = int(used.sum()) - 1
    if df < 1:
        reason = "no events" if not used.any() else "only one group has patients at risk"
        return {"chi2": np.nan, "df": 0, "p": np.nan, "reason": reason}
    excess = (observed - expected)[used][1:]
    part = variance[np.ix_(used, used)][1:, 1:]
    try:
        statistic = float(excess @ np.linalg.solve(part, excess))
    except np.linalg.LinAlgError:
        return {"chi2": np.nan, "df": df, "p": np.nan, "reason": "the groups are never at risk together"}
    return {"chi2": statistic, "df": df, "p": float(chi2.sf(statistic, df)), "reason": ""}


def logrank_trend(time: ArrayLike, event: ArrayLike, group: ArrayLike, scores: Sequence[float] | None = None) -> dict:
    """Log-rank test for trend over ordered groups -> dict(chi2, df = 1, p, reason).

    (s'(O - E))^2 / s'Vs with `scores` s per sorted group, by default 1, 2, ... (Collett, section 2.6.7).
    """
    observed, expected, variance, levels = _logrank_moments(time, event, group)
    scores = np.arange(1, len(levels) + 1) if scores is None else np.asarray(scores, float)
    spread = float(scores @ variance @ scores)
    if not spread > 0:
        return {"chi2": np.nan, "df": 1, "p": np.nan, "reason": "no events in two groups at risk together"}
    statistic = float((scores @ (observed - expected)) ** 2 / spread)
    return {"chi2": statistic, "df": 1, "p": float(chi2.sf(statistic, 1)), "reason": ""}


def _logrank_moments(
    time: ArrayLike, event: ArrayLike, group: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Observed and expected events per sorted group (k,), hypergeometric covariance (k, k), group levels (k,)."""
    time, event = np.asarray(time, float), np.asarray(event).astype(bool)
    levels, member = np.unique(np.asarray(group), return_inverse=True)
    k = len(levels)
    times = np.unique(time[event])
    if times.size == 0:
        return np.zeros(k), np.zeros(k), np.zeros((k, k)), levels
    at_risk = np.column_stack(
        [(member == j).sum() - np.searchsorted(np.sort(time[member == j]), times, side="left") for j in range(k)]
    ).astype(float)
    deaths = np.bincount(np.searchsorted(times, time[event]), minlength=len(times)).astype(float)
    n = at_risk.sum(axis=1)
    share = at_risk / n[:, None]
    observed = np.bincount(member[event], minlength=k).astype(float)
    factor = np.where(n > 1, deaths * (n - deaths) / np.maximum(n - 1, 1), 0.0)
    covariance = np.diag(factor @ share) - (share * factor[:, None]).T @ share
    return observed, deaths @ share, covariance, levels
