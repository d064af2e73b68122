"""ROC curves of a score against a yes/no outcome: area with DeLong's error, paired comparison, operating points.

DeLong is written by hand (placement values by mid-ranks: DeLong et al., Biometrics 1988; Sun & Xu, IEEE Signal Process
Lett 2014) because no kept library has it; the curve is scikit-learn's. Conventions and values are those of R's pROC.

Everywhere: `outcome` (n,) 0/1 or bool, `score` (n,), higher meaning more likely diseased. Intervals are 95%. Where the
data give no answer the estimate is NaN with its reason. DeLong's comparison is not for nested models on the data that
fitted them (Demler et al., Stat Med 2012): use a likelihood ratio test there.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_curve

from recur.statistics.estimate import Z95, blank, interval, z_test
from recur.statistics.linear_predictor import midway


def checked(outcome: ArrayLike, *scores: ArrayLike) -> list[np.ndarray]:
    """Outcome (bool) and scores (float) as arrays (n,). Raises ValueError for missing cells or other outcomes."""
    values = np.asarray(outcome, float)
    if values.ndim != 1 or not np.isin(values, (0.0, 1.0)).all():
        raise ValueError("the outcome must be a row of 0 and 1 without missing values")
    arrays = [np.asarray(score, float) for score in scores]
    for array in arrays:
        if array.shape != values.shape:
            raise ValueError(f"score has shape {array.shape}, outcome {values.shape}")
        if not np.isfinite(array).all():
            raise ValueError("score has missing or infinite values")
    return [values.astype(bool), *arrays]


def one_class(outcome: np.ndarray) -> str:
    """Why there is no ROC curve, or ''."""
    if outcome.size == 0:
        return "no patients"
    return "" if outcome.any() and not outcome.all() else "all patients have the same outcome"


def placements(outcome: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of controls below each case (m,), share of cases above each control (n,); ties one half."""
    case, control = score[outcome], score[~outcome]
    ranks = rankdata(np.concatenate([case, control]))
    above = (ranks[: len(case)] - rankdata(case)) / len(control)
    below = 1 - (ranks[len(case) :] - rankdata(control)) / len(case)
    return above, below


def delong(outcome: ArrayLike, *scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Areas (k,) of k scores on the same patients, and their covariance (k, k): S10 / m + S01 / n.

    NaN where a class has one member only. Raises ValueError when one class is empty.
    """
    outcome, *scores = checked(outcome, *scores)
    if reason := one_class(outcome):
        raise ValueError(reason)
    parts = [placements(outcome, score) for score in scores]
    areas = np.array([above.mean() for above, _ in parts])
    covariance = np.zeros((len(scores), len(scores)))
    for k in (0, 1):
        stacked = np.array([part[k] for part in parts])
        if stacked.shape[1] < 2:
            return areas, np.full_like(covariance, np.nan)
        covariance += np.atleast_2d(np.cov(stacked)) / stacked.shape[1]
    return areas, covariance


def auc(outcome: ArrayLike, score: ArrayLike, scale: str = "plain") -> dict:
    """Area under the ROC curve -> dict(estimate, se, lower, upper, z, p, reason); z and p against one half.

    `scale` of the interval: plain (clipped to [0, 1]) or logit, which stays inside and suits areas near 1.
    """
    if scale not in ("plain", "logit"):
        raise ValueError(f"scale must be 'plain' or 'logit', not {scale!r}")
    outcome, score = checked(outcome, score)
    untested = {"z": np.nan, "p": np.nan}
    if reason := one_class(outcome):
        return blank(reason) | untested
    (area,), ((variance,),) = delong(outcome, score)
    se = float(np.sqrt(variance))
    if not se > 0:
        reason = "one patient in a class" if np.isnan(se) else "the score separates every pair alike: no DeLong error"
        return blank(reason) | untested | {"estimate": float(area)}
    result = interval(area, se)
    if scale == "logit":
        width = Z95 * se / (area * (1 - area))
        result |= {"lower": float(expit(logit(area) - width)), "upper": float(expit(logit(area) + width))}
    z = (area - 0.5) / se
    return result | {"z": float(z), "p": float(2 * norm.sf(abs(z)))}


def auc_difference(outcome: ArrayLike, score_a: ArrayLike, score_b: ArrayLike) -> dict:
    """Area of `score_a` less that of `score_b` on the same patients (pROC roc.test, paired DeLong), two-sided.

    dict(estimate, se, lower, upper, z, p, reason).
    """
    outcome, score_a, score_b = checked(outcome, score_a, score_b)
    untested = {"z": np.nan, "p": np.nan}
    if reason := one_class(outcome):
        return blank(reason) | untested
    (a, b), covariance = delong(outcome, score_a, score_b)
    difference = float(a - b)
    se = float(np.sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0)))
    if not se > 1e-12:
        reason = "one patient in a class" if np.isnan(se) else "the two scores rank every pair alike"
        return blank(reason) | untested | {"estimate": difference}
    return z_test(difference, se)


def roc_points(outcome: ArrayLike, score: ArrayLike, weight: np.ndarray | None = None) -> pd.DataFrame:
    """Every operating point, from all positive to none: threshold, sensitivity, specificity; of weighted shares.

    Positive means score > threshold; thresholds lie midway between neighbouring scores, as pROC's, and are -inf and
    inf at the ends. No rows when one class is empty.
    """
    outcome, score = checked(outcome, score)
    if one_class(outcome if weight is None else outcome[weight > 0]):
        return pd.DataFrame({"threshold": [], "sensitivity": [], "specificity": []}, dtype=float)
    fpr, tpr, levels = roc_curve(outcome, score, sample_weight=weight, drop_intermediate=False)
    below = levels[1:][::-1]  # distinct scores, ascending
    thresholds = np.concatenate([[-np.inf], midway(below[:-1], below[1:]), [np.inf]])
    return pd.DataFrame({"threshold": thresholds, "sensitivity": tpr[::-1], "specificity": 1 - fpr[::-1]})


def youden(outcome: ArrayLike, score: ArrayLike, weight: np.ndarray | None = None) -> dict:
    """Point of the largest sensitivity + specificity -> dict(threshold, sensitivity, specificity, youden).

    Of equal points the one with the lowest threshold (highest sensitivity). Empty when one class is empty.
    """
    points = roc_points(outcome, score, weight)
    if points.empty:
        return {}
    total = points["sensitivity"] + points["specificity"]
    best = points[total >= total.max() - 1e-12].iloc[0]
    return {**{name: float(best[name]) for name in points}, "youden": float(total.max() - 1)}


def at_specificity(outcome: ArrayLike, score: ArrayLike, specificity: float = 0.9) -> dict:
    """Lowest threshold with at least this specificity -> dict(threshold, sensitivity, specificity).

    Empty when one class is empty.
    """
    points = roc_points(outcome, score)
    if points.empty:
        return {}
    first = points[points["specificity"] >= specificity - 1e-12].iloc[0]
    return {name: float(first[name]) for name in points}


def sensitivity_at(outcome: ArrayLike, score: ArrayLike, specificities: ArrayLike) -> np.ndarray:
    """Sensitivity of the curve, joined by straight lines, at each specificity (k,), as pROC's coords."""
    outcome, score = checked(outcome, score)
    if reason := one_class(outcome):
        raise ValueError(reason)
    fpr, tpr, _ = roc_curve(outcome, score, drop_intermediate=False)
    return _joined(fpr, tpr, 1 - np.asarray(specificities, float))


def _joined(fpr: np.ndarray, tpr: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Height of the curve at each false positive rate: its top where it rises, else on the line to the next point."""
    left = np.searchsorted(fpr, at + 1e-12, side="right") - 1  # the last point that is not beyond
    right = np.minimum(left + 1, len(fpr) - 1)
    gap = np.where(fpr[right] > fpr[left], fpr[right] - fpr[left], 1.0)
    share = np.clip((at - fpr[left]) / gap, 0.0, 1.0)
    return tpr[left] + share * (tpr[right] - tpr[left])


def roc_band(
    outcome: ArrayLike, score: ArrayLike, specificities: ArrayLike, seed: int, resamples: int = 2000
) -> pd.DataFrame:
    """Pointwise 95% limits of the sensitivity: specificity, sensitivity, lower, upper.

    Bootstrap within each class, percentiles, as pROC's ci.se; resample i is drawn from (seed, i). No rows when one
    class is empty.
    """
    outcome, score = checked(outcome, score)
    at = np.asarray(specificities, float)
    if one_class(outcome):
        return pd.DataFrame({"specificity": [], "sensitivity": [], "lower": [], "upper": []}, dtype=float)
    levels, place = np.unique(-score, return_inverse=True)  # highest scores first
    classes = [place[~outcome], place[outcome]]
    drawn = np.empty((resamples, len(at)))
    for i in range(resamples):
        rng = np.random.default_rng([seed, i])
        rates = []
        for own in classes:
            counts = np.bincount(own[rng.integers(0, len(own), len(own))], minlength=len(levels))
            rates.append(np.concatenate([[0.0], counts.cumsum() / len(own)]))
        drawn[i] = _joined(*rates, 1 - at)
    lower, upper = np.quantile(drawn, [0.025, 0.975], axis=0)
    estimate = sensitivity_at(outcome, score, at)
    return pd.DataFrame({"specificity": at, "sensitivity": estimate, "lower": lower, "upper": upper})
