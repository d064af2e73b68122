"""Calibration of predicted risks at a horizon, in the cohort at hand: slope, observed / expected, curve, groups.

`risk` (n,) is the predicted probability of the event by the horizon. Curve after Austin, Harrell & van Klaveren (Stat
Med 2020), with a competing event by the Fine-Gray model (Austin et al., Stat Med 2022); the rest after McLernon et al.
(Ann Intern Med 2023). Written by hand because lifelines fits the curve with its own spline and knots and gives no
interval. Checked against R. `competing` (n,) marks the competing event, None where there is none.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from recur.statistics.brier import null_risk
from recur.statistics.competing import fit_fine_gray, incidence_rates, predict_fine_gray
from recur.statistics.cox import fit_cox, predicted_survival
from recur.statistics.estimate import Z95, NotEstimable, blank, checked_arrays, no_horizon
from recur.statistics.splines import KNOT_QUANTILES, restricted_cubic_spline
from recur.statistics.survival import survival_band, survival_rates

KNOTS = 3  # of the calibration curve


def calibration_slope(time: ArrayLike, event: ArrayLike, lp: ArrayLike) -> dict:
    """Coefficient of the linear predictor in a Cox model of this cohort; 1 is ideal.

    dict(estimate, se, lower, upper, p, reason): p is the two-sided Wald test of slope 1.
    """
    time, event, lp = checked_arrays(time, event, lp)
    try:
        fitted = fit_cox(lp[:, None], time, event)
    except NotEstimable as reason:
        return blank(str(reason)) | {"p": np.nan}
    slope, se = float(fitted["coef"][0]), float(fitted["se"][0])
    return _slope(slope, se)


def _slope(slope: float, se: float) -> dict:
    if not se > 0:  # a handful of patients that the predictor orders without an error
        return blank("the standard error is 0") | {"estimate": slope, "p": np.nan}
    result = {"estimate": slope, "se": se, "lower": slope - Z95 * se, "upper": slope + Z95 * se}
    return result | {"p": float(2 * norm.sf(abs(slope - 1) / se)), "reason": ""}


def competing_slope(time: ArrayLike, event: ArrayLike, competing: ArrayLike, risk: ArrayLike) -> dict:
    """Coefficient of log(-log(1 - risk)) in a Fine-Gray model of this cohort; 1 is ideal. As calibration_slope."""
    time, event, risk = checked_arrays(time, event, risk)
    x = cloglog(risk)
    try:
        fitted = fit_fine_gray(x, time, event, competing)
    except NotEstimable as reason:
        return blank(str(reason)) | {"p": np.nan}
    slope, se = float(fitted["coef"][0]), float(fitted["se"][0])
    return _slope(slope, se)


def observed_expected(
    time: ArrayLike, event: ArrayLike, risk: ArrayLike, horizon: float, competing: ArrayLike | None = None
) -> dict:
    """Observed (1 - Kaplan-Meier, or Aalen-Johansen incidence) over mean predicted risk at `horizon`; 1 is ideal.

    dict(estimate, se of its log, lower, upper, observed, expected, events, reason); interval exp(log OE +/- 1.96 /
    sqrt(events by the horizon)).
    """
    time, event, risk = checked_arrays(time, event, risk)
    extra = {"observed": np.nan, "expected": float(risk.mean()), "events": int((event & (time <= horizon)).sum())}
    reason = no_horizon(time, event, horizon)
    if not reason and not extra["expected"] > 0:
        reason = "the mean predicted risk is 0"
    if reason:
        return blank(reason) | extra
    extra["observed"] = null_risk(time, event, horizon, competing)
    ratio, se = extra["observed"] / extra["expected"], 1 / np.sqrt(extra["events"])
    limits = {"lower": float(ratio * np.exp(-Z95 * se)), "upper": float(ratio * np.exp(Z95 * se))}
    return {"estimate": float(ratio), "se": float(se)} | limits | extra | {"reason": ""}


def calibration_curve(
    time: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    horizon: float,
    grid: ArrayLike | None = None,
    competing: ArrayLike | None = None,
) -> dict:
    """Smooth observed against predicted risk at `horizon` -> dict(curve, ici, e50, e90, emax, reason).

    Cox (Fine-Gray) model on a restricted cubic spline of log(-log(1 - risk)), three knots at its quantiles; with too
    few distinct risks for them, a straight line. `curve` has predicted, observed, lower, upper (95%) at `grid`, by
    default 100 points from the 1st to the 99th percentile of risk; ici, e50, e90, emax are mean, median, 90th
    percentile and maximum of |observed - predicted| over the patients. Raises NotEstimable without spread in risk, or
    when the horizon is not reached by enough patients.
    """
    time, event, risk = checked_arrays(time, event, risk)
    reason = no_horizon(time, event, horizon)
    if reason:
        raise NotEstimable(reason)
    if risk.min() < 0 or risk.max() > 1:
        raise ValueError("a predicted risk is outside [0, 1]")
    x = cloglog(risk)
    if np.ptp(x) < 1e-9:
        raise NotEstimable("all predicted risks are equal")
    at = np.unique(np.quantile(x, KNOT_QUANTILES[KNOTS]))
    straight = len(at) < 3 or len(np.unique(x)) <= KNOTS

    def basis(values: np.ndarray) -> np.ndarray:
        return values[:, None] if straight else restricted_cubic_spline(values, at)

    design = basis(x)
    grid = np.linspace(*np.quantile(risk, [0.01, 0.99]), 100) if grid is None else np.asarray(grid, float)
    if competing is None:
        fitted = fit_cox(design, time, event)
        survival, _ = predicted_survival(design, time, event, fitted, design, horizon)
        observed = 1 - survival
        survival, se = predicted_survival(design, time, event, fitted, basis(cloglog(grid)), horizon)
        lower, upper = survival_band(survival, se)
        on_grid = {"observed": 1 - survival, "lower": 1 - upper, "upper": 1 - lower}
    else:
        fitted = fit_fine_gray(design, time, event, competing)
        observed, _ = predict_fine_gray(fitted, design, horizon)
        incidence, se = predict_fine_gray(fitted, basis(cloglog(grid)), horizon)
        with np.errstate(divide="ignore"):
            hazard = -np.log1p(-incidence)
        limits = (1 - np.exp(-hazard * np.exp(sign * Z95 * se)) for sign in (-1, 1))
        on_grid = {"observed": incidence} | dict(zip(("lower", "upper"), limits, strict=True))
    error = np.abs(observed - risk)
    curve = pd.DataFrame({"predicted": grid} | on_grid)
    e50, e90 = np.quantile(error, [0.5, 0.9])
    measures = {"ici": float(error.mean()), "e50": float(e50), "e90": float(e90), "emax": float(error.max())}
    return {"curve": curve} | measures | {"reason": ""}


def cloglog(risk: np.ndarray) -> np.ndarray:
    """log(-log(1 - risk)) (n,)."""
    # a risk of exactly 0 or 1 has no complementary log-log
    return np.log(-np.log1p(-np.clip(risk, 1e-12, 1 - 1e-12)))


def quantile_groups(risk: np.ndarray, groups: int) -> np.ndarray:
    """The group of each risk (n,): right-closed between type 7 quantiles; tied quantiles join their groups.

    With no more distinct risks than groups, each is a group.
    """
    levels, index = np.unique(risk, return_inverse=True)
    if len(levels) > groups:
        edges = np.unique(np.quantile(risk, np.linspace(0, 1, groups + 1)))
        index = np.clip(np.searchsorted(edges, risk, side="left"), 1, None)
    return index


def calibration_groups(
    time: ArrayLike,
    event: ArrayLike,
    risk: ArrayLike,
    horizon: float,
    groups: int = 5,
    competing: ArrayLike | None = None,
) -> pd.DataFrame:
    """Observed against mean predicted risk in quantile_groups: predicted, observed, lower, upper, n, events.

    Observed is Kaplan-Meier's risk, or Aalen-Johansen's incidence. Intervals are log-log; a group not followed to the
    horizon has NaN.
    """
    time, event, risk = checked_arrays(time, event, risk)
    index = quantile_groups(risk, groups)
    rows = []
    for group in np.unique(index):
        mine = index == group
        if competing is None:
            rate = survival_rates(time[mine], event[mine], [horizon]).iloc[0]
        else:
            rate = incidence_rates(time[mine], event[mine], np.asarray(competing)[mine], [horizon]).iloc[0]
        observed = {"observed": 1 - rate["survival"], "lower": 1 - rate["upper"], "upper": 1 - rate["lower"]}
        rows.append({"predicted": risk[mine].mean()} | observed | {"n": int(mine.sum()), "events": int(rate["events"])})
    return pd.DataFrame(rows)
