"""Nomogram of a linear predictor: a re-scaling to points, as R rms::nomogram.

The axis with the widest effect runs from 0 to 100 points; every axis has 0 at its low-risk end; the total is a
straight line in the linear predictor. A term is dict(name, coef, values) for a number, or dict(name, values,
effects) for a category, with the linear-predictor contribution of each level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recur.cox import survival_at

RISKS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def pretty(low: float, high: float, n: int = 5) -> np.ndarray:
    """About n + 1 round numbers (steps of 1, 2 or 5) that cover [low, high], as R pretty."""
    if not high > low:
        return np.array([float(low)])
    raw = (high - low) / n
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda s: abs(np.log(s * power / raw)))
    first, last = np.floor(low / step + 1e-9), np.ceil(high / step - 1e-9)
    # division by a whole number where the step is a fraction keeps 0.3 from becoming 0.30000000000000004
    counts = np.arange(first, last + 1)
    return counts * step if step >= 1 else counts / round(1 / step)


def _effects(term: Mapping) -> np.ndarray:
    if "effects" in term:
        return np.asarray(term["effects"], float)
    return float(term["coef"]) * np.asarray(term["values"], float)


def nomogram_equation(terms: Sequence[Mapping]) -> dict:
    """dict(points_per_lp, lp_at_zero, max_points): linear predictor = lp_at_zero + total points / points_per_lp.

    The linear predictor is uncentred (sum of the terms' effects). Raises ValueError when no term has any effect.
    """
    effects = [_effects(term) for term in terms]
    spans = [float(np.ptp(e)) for e in effects]
    if not spans or max(spans) == 0:
        raise ValueError("no term has an effect: there is no nomogram")
    scale = 100 / max(spans)
    return {
        "points_per_lp": scale,
        "lp_at_zero": float(sum(e.min() for e in effects)),
        "max_points": scale * float(sum(spans)),
    }


def total_points(lp: ArrayLike, equation: Mapping) -> np.ndarray:
    """Total points of uncentred linear predictors."""
    return (np.asarray(lp, float) - equation["lp_at_zero"]) * equation["points_per_lp"]


def nomogram_points(
    terms: Sequence[Mapping],
    baseline: Mapping[str, float] | None = None,
    center: float = 0.0,
    risks: Sequence[float] = RISKS,
    intercept: float | None = None,
) -> pd.DataFrame:
    """The axes of a nomogram: axis, value, points.

    One axis per term at its `values`; `total` with value = linear predictor less `center`; then one axis per entry of
    `baseline` (axis name, such as risk_24, to the survival at linear predictor `center`), at those `risks` that
    fall on the total axis: risk = 1 - baseline^exp(lp - center). With the `intercept` of a logistic model at `center`
    an axis `risk`.
    """
    equation = nomogram_equation(terms)
    scale = equation["points_per_lp"]
    parts = []
    for term in terms:
        effects = _effects(term)
        parts.append(
            pd.DataFrame({"axis": term["name"], "value": term["values"], "points": scale * (effects - effects.min())})
        )
    totals = pretty(0, equation["max_points"], 10)
    lp = equation["lp_at_zero"] + totals / scale - center
    parts.append(pd.DataFrame({"axis": "total", "value": lp, "points": totals}))
    risk = np.asarray(risks, float)
    at = {
        name: center + np.log(np.log1p(-risk) / np.log(survival))
        for name, survival in (baseline or {}).items()
        if 0 < survival < 1
    }
    if intercept is not None:
        at["risk"] = center + np.log(risk / (1 - risk)) - intercept
    for name, lp in at.items():
        points = total_points(lp, equation)
        keep = (points >= 0) & (points <= equation["max_points"])
        parts.append(pd.DataFrame({"axis": name, "value": risk[keep], "points": points[keep]}))
    return pd.concat(parts, ignore_index=True)


def nomogram_tables(models: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The nomogram of every frozen model: model, axis, value, points; a model without effects has no rows.

    One axis per model column: numbers over round values of the training range, on their own unit also where the
    logarithm enters the model; 0 and 1 for a level of a category. `total` is the model's own linear predictor.
    """
    parts = [pd.DataFrame(columns=["model", "axis", "value", "points"])]
    for name, model in models.items():
        columns = model["terms"]
        if not any(column["coef"] for column in columns):
            continue
        center = sum(column["coef"] * column["mean"] for column in columns)
        # a risk with a competing event is no function of this linear predictor alone: it has no axis
        months_with_axis = [] if "competing" in model else model["horizons_months"]
        months_with_axis = [months for months in months_with_axis if months <= model["follow_up_months"]]
        baseline = {
            f"risk_{months:g}": float(survival_at(model["baseline"]["time"], model["baseline"]["survival"], months))
            for months in months_with_axis
        }
        axes = [_axis(column) for column in columns]
        points = nomogram_points(axes, baseline, center, intercept=model.get("intercept"))
        parts.append(points.assign(model=name))
    return pd.concat(parts[1:] or parts)[["model", "axis", "value", "points"]].reset_index(drop=True)


def model_nomogram(model: Mapping[str, Any]) -> dict | None:
    """`nomogram_equation` of a frozen model with `lowest`, the least effect on each axis; None without effects.

    Points of a column: (effect - lowest) * points_per_lp, below 0 or above its axis outside the training range.
    """
    axes = [_axis(column) for column in model["terms"]]
    if not any(column["coef"] for column in model["terms"]):
        return None
    return nomogram_equation(axes) | {"lowest": [float(_effects(axis).min()) for axis in axes]}


def _axis(column: Mapping[str, Any]) -> dict[str, Any]:
    low, high = column["low"], column["high"]
    if column["kind"] == "ordinal":
        values = np.arange(low, high + 1)
    elif column["kind"] in ("binary", "categorical"):
        values = np.array([0.0, 1.0])
    elif column["transform"] == "ln":
        decades = 10.0 ** np.arange(np.floor(np.log10(low)) + 1, np.ceil(np.log10(high)))
        values = np.unique([low, *decades, high])
    else:
        values = pretty(low, high)
    effects = column["coef"] * (np.log(values) if column["transform"] == "ln" else values)
    return {"name": column["name"], "values": values, "effects": effects}
