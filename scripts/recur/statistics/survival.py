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


def risk_sets(time: ArrayLike, event: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct times with numbers at risk (time >= t), of events and of censorings."""
    time, event = np.asarray(time, float), np.asarray(event).astype(bool)
    times, index = np.unique(time, return_inverse=True)
    n_event = np.bincount(index, weights=event, minlength=len(times)).astype(int)
    n_leave = np.bincount(index, minlength=len(times))
    n_risk = n_leave[::-1].cumsum()[::-1]
    return times, n_risk, n_event, n_leave - n_event


def survival_band(survival: ArrayLike, se_log: ArrayLike, confidence: str = "log-log") -> tuple[np.ndarray, np.ndarray]:
    """95% limits of a survival probability from the standard error of its logarithm (Greenwood), as R survfit.

    `confidence`: log-log, log or plain. NaN where the band is undefined: at 0, and with log-log at 1.
    """
    survival, se = np.asarray(survival, float), np.asarray(se_log, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if confidence == "log-log":
            width = Z95 * se / np.log(survival)
            lower, upper = survival ** np.exp(-width), survival ** np.exp(width)
        elif confidence == "log":
            lower, upper = survival * np.exp(-Z95 * se), survival * np.exp(Z95 * se)
        elif confidence == "plain":
            lower, upper = survival - Z95 * survival * se, survival + Z95 * survival * se
        else:
            raise ValueError(f"confidence must be 'log-log', 'log' or 'plain', not {confidence!r}")
    undefined = (survival == 0) | ((survival == 1) & (confidence == "log-log"))
    lower, upper = np.maximum(lower, 0.0), np.minimum(upper, 1.0)
    return np.where(undefined, np.nan, lower), np.where(undefined, np.nan, upper)


def kaplan_meier(time: ArrayLike, event: ArrayLike, confidence: str = "log-log") -> pd.DataFrame:
    """Kaplan-Meier curve at every distinct time, from a row at time 0.

    Columns time, n_risk, n_event, n_censor, survival, se (Greenwood, of the survival), lower, upper (95%,
    `confidence` log-log, log or plain).
    """
    times, n_risk, n_event, n_censor = risk_sets(time, event)
    survival = np.cumprod(1 - n_event / n_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        se_log = np.sqrt(np.cumsum(n_event / (n_risk * (n_risk - n_event).astype(float))))
    se_log = np.concatenate([[0.0], se_log])
    survival = np.concatenate([[1.0], survival])
    lower, upper = survival_band(survival, se_log, confidence)
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


def survival_rates(
    time: ArrayLike, event: ArrayLike, horizons: Sequence[float], confidence: str = "log-log"
) -> pd.DataFrame:
    """Survival at each horizon: horizon, survival, lower, upper, n_risk (time >= horizon), events (by then), reason.

    Past the last follow-up time there is no rate: NaN, with the reason.
    """
    curve = kaplan_meier(time, event, confidence)
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


def median_survival(time: ArrayLike, event: ArrayLike, confidence: str = "log-log") -> dict:
    """Median survival time -> dict(median, lower, upper); NaN where the curve or its band stays above one half.

    A curve exactly at one half gives the midpoint to its next step; the limits are the first times at which the band
    is at one half or below, as R prints a survfit (its quantile() takes a later one where the log band rises again).
    """
    curve = kaplan_meier(time, event, confidence)
    half = [_crossing(curve["time"].to_numpy(), curve[c].to_numpy(), 0.5) for c in ("survival", "lower", "upper")]
    return {"median": half[0], "lower": half[1], "upper": half[2]}


def _crossing(times: np.ndarray, values: np.ndarray, level: float, tolerance: float = 1.5e-8) -> float:
    last, keep = times[-1], ~np.isnan(values)
    times, values = times[keep], values[keep]
    below = np.flatnonzero(values <= level + tolerance)
    if below.size == 0:
        return np.nan
    first = below[0]
    if abs(values[first] - level) > tolerance:
        return float(times[first])
    following = np.flatnonzero(values < level - tolerance)
    return float((times[first] + (times[following[0]] if following.size else last)) / 2)


def follow_up(time: ArrayLike, event: ArrayLike, confidence: str = "log-log") -> dict:
    """Median follow-up by the reverse Kaplan-Meier method (Schemper & Smith 1996) -> dict(median, lower, upper)."""
    return median_survival(time, ~np.asarray(event).astype(bool), confidence)


def logrank(time: ArrayLike, event: ArrayLike, group: ArrayLike, strata: ArrayLike | None = None) -> dict:
    """Log-rank test of two or more groups, stratified if `strata` (n,) is given -> dict(chi2, df, p, reason).

    With one group, or no events, chi2 and p are NaN and the reason says so.
    """
    observed, expected, variance, _ = _logrank_moments(time, event, group, strata)
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
    observed, expected, variance, levels = _logrank_moments(time, event, group, None)
    scores = np.arange(1, len(levels) + 1) if scores is None else np.asarray(scores, float)
    spread = float(scores @ variance @ scores)
    if not spread > 0:
        return {"chi2": np.nan, "df": 1, "p": np.nan, "reason": "no events in two groups at risk together"}
    statistic = float((scores @ (observed - expected)) ** 2 / spread)
    return {"chi2": statistic, "df": 1, "p": float(chi2.sf(statistic, 1)), "reason": ""}


def _logrank_moments(time, event, group, strata) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Observed and expected events per sorted group, hypergeometric covariance, group levels; summed over strata."""
    time, event = np.asarray(time, float), np.asarray(event).astype(bool)
    levels, member = np.unique(np.asarray(group), return_inverse=True)
    k = len(levels)
    _, stratum = np.unique(np.zeros(len(time)) if strata is None else np.asarray(strata), return_inverse=True)
    observed, expected, variance = np.zeros(k), np.zeros(k), np.zeros((k, k))
    for s in range(stratum.max() + 1 if len(time) else 0):
        t, e, g = time[stratum == s], event[stratum == s], member[stratum == s]
        times = np.unique(t[e])
        if times.size == 0:
            continue
        at_risk = np.column_stack(
            [(g == j).sum() - np.searchsorted(np.sort(t[g == j]), times, side="left") for j in range(k)]
        ).astype(float)
        deaths = np.bincount(np.searchsorted(times, t[e]), minlength=len(times)).astype(float)
        n = at_risk.sum(axis=1)
        share = at_risk / n[:, None]
        observed += np.bincount(g[e], minlength=k)
        expected += deaths @ share
        factor = np.where(n > 1, deaths * (n - deaths) / np.maximum(n - 1, 1), 0.0)
        variance += np.diag(factor @ share) - (share * factor[:, None]).T @ share
    return observed, expected, variance, levels
