"""The cut-point between low and high risk, learnt on training rows and frozen with the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.statistics.cutpoint import best_cutpoint
from recur.statistics.linear_predictor import tied
from recur.statistics.roc import roc_points, youden


def binary_cutpoint(
    lp: np.ndarray, event: np.ndarray, sensitivity: float | None, weight: np.ndarray | None = None
) -> dict[str, Any] | None:
    """The cut-point between low (<=) and high: Youden's on training rows, or the highest with the asked sensitivity,
    midway between two distinct predictors. None where all patients have one predictor.
    """
    if np.ptp(lp) < 1e-12:
        return None
    lp = tied(lp)
    if sensitivity is None:
        cut = youden(event, lp, weight)
        rule = "Youden's index on training rows"
    else:
        points = roc_points(event, lp, weight)
        cut = points[points["sensitivity"] >= sensitivity - 1e-12].iloc[-1].to_dict()
        rule = f"highest with a sensitivity of {sensitivity:g} on training rows"
    if not np.isfinite(cut["threshold"]):
        return None
    index = cut["sensitivity"] + cut["specificity"] - 1
    return {"lp": float(cut["threshold"]), "rule": rule, "statistic": float(index), "p_corrected": None}


def freeze_cutpoint(lp: np.ndarray, time: np.ndarray, event: np.ndarray) -> dict[str, Any] | None:
    """The cut-point between low (<=) and high risk: maximally selected log-rank on training rows, then frozen.

    It lies midway between two distinct predictors, so that the groups are those of the search whoever computes them.
    The p-value is corrected for the search. None when no cut leaves 10 events in each group.
    """
    cut = best_cutpoint(tied(lp), time, event)
    if not np.isfinite(cut["cutpoint"]):
        return None
    p = cut["p_corrected"]
    return {
        "lp": float(cut["cutpoint"]),
        "rule": "maximally selected log-rank statistic on training rows, 10th to 90th centile",
        "statistic": float(cut["statistic"]),
        "p_corrected": float(p) if np.isfinite(p) else None,
    }
