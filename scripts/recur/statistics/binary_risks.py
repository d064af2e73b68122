"""Risks of an outcome without a time: error, calibration, classes at a cut-point and net benefit."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from statsmodels.stats.proportion import proportion_confint

from recur.statistics.calibration import quantile_groups
from recur.statistics.estimate import Z95, NotEstimable, blank, or_reason
from recur.statistics.logistic import fit_logistic
from recur.statistics.splines import KNOT_QUANTILES, restricted_cubic_spline

EXTREME = 1e-12  # a risk of exactly 0 or 1 has no logit
AT_CUT = {  # metric -> (counted, among) as (event, high) pairs; None is either
    "sensitivity": ((1, 1), (1, None)),
    "specificity": ((0, 0), (0, None)),
    "ppv": ((1, 1), (None, 1)),
    "npv": ((0, 0), (None, 0)),
}


def normal(estimate: float, se: float) -> dict:
    return {"estimate": float(estimate), "se": float(se), "lower": estimate - Z95 * se, "upper": estimate + Z95 * se}


def se_of_mean(values: np.ndarray, weight: np.ndarray | None) -> float:
    """Standard error of the mean of the values (n,); NaN under weights, whose own estimation it would leave out."""
    return values.std(ddof=1) / np.sqrt(len(values)) if weight is None else np.nan


def brier(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Mean squared error of the risks, with the normal interval of a mean."""
    error = (event - risk) ** 2
    return normal(np.average(error, weights=weight), se_of_mean(error, weight))


def ipa(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """1 - Brier score / that of the cohort's own share of events; interval by its influence function."""
    share, error = np.average(event, weights=weight), (event - risk) ** 2
    null, mean = share * (1 - share), np.average(error, weights=weight)
    if null == 0:
        return blank("all patients have the same outcome")
    influence = -(error - mean) / null + mean / null**2 * (1 - 2 * share) * (event - share)
    return normal(1 - mean / null, se_of_mean(influence, weight))


def log_odds(risk: np.ndarray) -> np.ndarray:
    return logit(np.clip(risk, EXTREME, 1 - EXTREME))


def calibration_slope(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Coefficient of the log odds of the risk in a logistic model of this cohort; 1 is ideal."""
    if np.ptp(risk) < EXTREME:
        return blank("all predicted risks are equal")
    fitted = fit_logistic(log_odds(risk), event, weight=weight)
    return normal(fitted["coef"][0], fitted["se"][0])


def calibration_intercept(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Calibration in the large: the intercept beside the log odds as offset; 0 is ideal, above 0 risks are too low."""
    fitted = fit_logistic(np.zeros((len(risk), 0)), event, offset=log_odds(risk), weight=weight)
    return normal(fitted["intercept"], np.sqrt(fitted["covariance_full"][0, 0]))


def observed_expected(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Events over the sum of everybody's risks; the log of it has the variance (1 - share) / events."""
    share = np.average(event, weights=weight)
    events = event.sum() if weight is None else share * len(event)
    if events == 0:
        return blank("no events")
    ratio, se = events / risk.sum(), np.sqrt((1 - share) / events) if weight is None else np.nan
    return {"estimate": ratio, "se": se, "lower": ratio * np.exp(-Z95 * se), "upper": ratio * np.exp(Z95 * se)}


def calibration_curve(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict:
    """Smooth observed against predicted risk: dict(curve, ici, e50, e90).

    Logistic model on a restricted cubic spline (3 knots) of the log odds, a straight line where risks have few values;
    curve: predicted, observed, lower, upper at 100 points from the 1st to the 99th centile. Raises NotEstimable.
    """
    x = log_odds(risk)
    if np.ptp(x) < 1e-9:
        raise NotEstimable("all predicted risks are equal")
    at = np.unique(np.quantile(x, KNOT_QUANTILES[3]))
    straight = len(at) < 3 or len(np.unique(x)) <= 3

    def basis(values: np.ndarray) -> np.ndarray:
        return values[:, None] if straight else restricted_cubic_spline(values, at)

    fitted = fit_logistic(basis(x), event, weight=weight)
    whole = np.concatenate([[fitted["intercept"]], fitted["coef"]])
    observed = expit(np.column_stack([np.ones(len(x)), basis(x)]) @ whole)
    grid = np.linspace(*np.quantile(risk, [0.01, 0.99]), 100)
    design = np.column_stack([np.ones(100), basis(log_odds(grid))])
    half = Z95 * np.sqrt(np.einsum("ij,jk,ik->i", design, fitted["covariance_full"], design))
    middle, error = design @ whole, np.abs(observed - risk)
    limits = {"observed": expit(middle), "lower": expit(middle - half), "upper": expit(middle + half)}
    e50, e90 = np.quantile(error, [0.5, 0.9])
    return {"curve": pd.DataFrame({"predicted": grid} | limits), "ici": error.mean(), "e50": e50, "e90": e90}


def calibration_groups(
    event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None, groups: int = 5
) -> pd.DataFrame:
    """Observed share (Wilson; under weights of the effective number, Kish's) against mean risk in quantile_groups:
    predicted, observed, lower, upper, n.
    """
    index = quantile_groups(risk, groups)
    rows = []
    for group in np.unique(index):
        mine = index == group
        own = np.ones(mine.sum()) if weight is None else weight[mine]
        if not own.any():
            rows.append((risk[mine].mean(), np.nan, np.nan, np.nan, int(mine.sum())))
            continue
        events, scale = (own * event[mine]).sum(), own.sum() / (own**2).sum()
        low, high = proportion_confint(events * scale, own.sum() * scale, method="wilson")
        rows.append((risk[mine].mean(), events / own.sum(), low, high, int(mine.sum())))
    return pd.DataFrame(rows, columns=["predicted", "observed", "lower", "upper", "n"])


def at_cut(event: np.ndarray, high: np.ndarray, weight: np.ndarray | None = None) -> dict[str, tuple[float, float]]:
    """metric -> (counted, among) of sensitivity, specificity and predictive values of being above the cut-point:
    patients, or sums of weights.
    """

    def count(pair: tuple[int | None, int | None]) -> float:
        wanted, above = pair
        rows = np.ones(len(event), bool) if wanted is None else event == wanted
        rows = rows if above is None else rows & (high == above)
        return int(rows.sum()) if weight is None else float(weight[rows].sum())

    return {metric: (count(counted), count(among)) for metric, (counted, among) in AT_CUT.items()}


def net_benefits(
    event: np.ndarray, risk: np.ndarray, thresholds: np.ndarray, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Net benefit (m,) of treating those with a risk of the threshold or above, and of treating all."""
    odds = thresholds / (1 - thresholds)
    high = risk[:, None] >= thresholds
    right, wrong = (np.average(high & (event == c)[:, None], axis=0, weights=weight) for c in (1, 0))
    share = np.average(event, weights=weight)
    return right - odds * wrong, share - odds * (1 - share)


def risk_estimates(event: np.ndarray, risk: np.ndarray, weight: np.ndarray | None = None) -> dict[str, float]:
    """The estimates that risks have without a cut-point, besides the AUC; NaN where there is none."""
    found = {"brier": brier, "ipa": ipa, "calibration_slope": calibration_slope,
             "calibration_intercept": calibration_intercept, "oe_ratio": observed_expected}  # fmt: skip
    if weight is not None and not weight.any():  # a draw without a known outcome
        return dict.fromkeys(found, np.nan)
    return {
        metric: or_reason(function, event, risk, weight).get("estimate", np.nan) for metric, function in found.items()
    }


def point_estimates(
    event: np.ndarray, risk: np.ndarray, high: np.ndarray, cut: bool, weight: np.ndarray | None = None
) -> dict[str, float]:
    """The estimates of one repeat of the nested cross-validation, or of a draw; NaN where there is none."""
    shares = at_cut(event, high, weight) if cut else {}
    return risk_estimates(event, risk, weight) | {
        metric: counted / among if among else np.nan for metric, (counted, among) in shares.items()
    }
