"""Frozen models of ordinal and categorical endpoints, applied to any rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from recur.predict.model import applied_design
from recur.statistics.linear_predictor import linear_sum


def probabilities(model: dict[str, Any], clinical: pd.DataFrame) -> np.ndarray:
    """Predicted probability (n, levels) of every level by a frozen model; 0 for a level that training never saw."""
    x = applied_design(model, clinical, None)
    coef = np.array(model["coef"], float)
    if model["kind"] == "multinomial":
        odds = np.array(model["intercept"]) + np.column_stack([linear_sum(x, row) for row in coef])
        of_seen_levels = softmax(np.column_stack([np.zeros(len(x)), odds]), axis=1)
    else:
        below = expit(np.array(model["threshold"]) - linear_sum(x, coef[0])[:, None])
        of_seen_levels = np.diff(np.column_stack([np.zeros(len(x)), below, np.ones(len(x))]), axis=1)
    result = np.zeros((len(x), len(model["levels"])))
    result[:, model["seen"]] = of_seen_levels
    return result


def risk_rows(
    name: str, model: dict[str, Any], clinical: pd.DataFrame, level: np.ndarray, patient_id: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame(probabilities(model, clinical), columns=[f"p_{name}" for name in model["levels"]])
    table.insert(0, "level", level)
    table.insert(0, "patient_id", patient_id)
    table.insert(0, "model", name)
    return table
