"""Time-dependent (cumulative/dynamic) ROC of a score where higher means worse, weighted for censoring.

Written by hand: scikit-survival weights with G(t) instead of G(t-) and gives no standard error. Equal to R's
riskRegression::Score (cens.model = "km").

Everywhere: `time` (n,), `event` (n,) 0/1 or bool, `score` (n,); estimates as in recur.statistics.estimate.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recur.statistics.estimate import (
    blank,
    checked_arrays,
    interval,
    no_horizon,
    paired_difference,
)
from recur.statistics.ipcw import censoring_influence, ipcw_weights


def auc_at(
    time: ArrayLike, event: ArrayLike, score: ArrayLike, horizon: float, competing: ArrayLike | None = None
) -> dict:
    """Cumulative/dynamic AUC at `horizon` by inverse probability of censoring weights (riskRegression::Score).

    Cases: event by the horizon, weight 1 / G(T-); controls: followed beyond it, or the competing event by then; ties
    1/2; weights from these rows. The se includes the estimation of the weights.
    """
    time, event, score = checked_arrays(time, event, score)
    reason = no_horizon(time, event, horizon, beyond=True)
    if reason:
        return blank(reason)
    if score.min() == score.max():
        return blank("all scores are equal") | {"estimate": 0.5}
    auc, influence = _auc(time, event, score, horizon, competing)
    return interval(auc, np.sqrt(np.var(influence, ddof=1) * len(time)))


def _auc(time, event, score, horizon, competing) -> tuple[float, np.ndarray]:
    """AUC at the horizon and its influence (n,), the estimation of the weights included."""
    other = np.zeros(len(time), bool) if competing is None else np.asarray(competing).astype(bool)
    case, beyond, died = ipcw_weights(time, event, horizon, other)
    auc, at_case, at_control = weighted_auc(case, beyond + died, score)
    influence = at_case + at_control
    influence += censoring_influence(
        time, event | other, horizon, at_case + at_control * (died > 0), at_control * (beyond > 0)
    )
    return auc, influence


def weighted_auc(case: np.ndarray, control: np.ndarray, score: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Area of weighted cases and controls (0: not one of them), and its influence (n,) as cases and as controls."""
    is_case, is_control = case > 0, control > 0
    w, v = case[is_case], control[is_control]
    below = _share_below(score[is_control], v, score[is_case])
    above = 1 - _share_below(score[is_case], w, score[is_control])
    auc = float(w @ below / w.sum())
    at_case, at_control = np.zeros(len(score)), np.zeros(len(score))
    at_case[is_case] = w * (below - auc) / w.sum()
    at_control[is_control] = v * (above - auc) / v.sum()
    return auc, at_case, at_control


def auc_difference(
    time: ArrayLike,
    event: ArrayLike,
    score_a: ArrayLike,
    score_b: ArrayLike,
    horizon: float,
    competing: ArrayLike | None = None,
) -> dict:
    """`auc_at` of `score_a` less that of `score_b`; as paired_difference."""
    time, event, score_a, score_b = checked_arrays(time, event, score_a, score_b)
    reason = no_horizon(time, event, horizon, beyond=True)
    if reason:
        return blank(reason) | {"p": np.nan}
    return paired_difference(*(_auc(time, event, score, horizon, competing) for score in (score_a, score_b)))


def _share_below(values: np.ndarray, weight: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Weighted share of `values` below each of `at`, ties one half."""
    order = np.argsort(values, kind="stable")
    cumulative = np.concatenate([[0.0], np.cumsum(weight[order])])
    low, high = (np.searchsorted(values[order], at, side=side) for side in ("left", "right"))
    return (cumulative[low] + cumulative[high]) / 2 / cumulative[-1]


def roc_at(
    time: ArrayLike, event: ArrayLike, score: ArrayLike, horizon: float, competing: ArrayLike | None = None
) -> pd.DataFrame:
    """ROC curve at `horizon`, weighted as auc_at, from (0, 0) to (1, 1): fpr, tpr, threshold (score >= threshold).

    The first threshold is NaN (nobody is positive). No rows when auc_at has no answer.
    """
    time, event, score = checked_arrays(time, event, score)
    if no_horizon(time, event, horizon, beyond=True):
        return pd.DataFrame({"fpr": [], "tpr": [], "threshold": []}, dtype=float)
    case, beyond, died = ipcw_weights(time, event, horizon, competing)
    control = beyond + died
    levels, index = np.unique(score[(case > 0) | (control > 0)], return_inverse=True)
    used = (case > 0) | (control > 0)
    rates = []
    for weight in (control[used], case[used]):
        total = np.bincount(index, weights=weight, minlength=len(levels))[::-1].cumsum()
        rates.append(np.concatenate([[0.0], total / total[-1]]))
    thresholds = np.concatenate([[np.nan], levels[::-1]])
    return pd.DataFrame({"fpr": rates[0], "tpr": rates[1], "threshold": thresholds})
