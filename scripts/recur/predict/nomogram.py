"""Nomogram of a linear predictor: a re-scaling to points, as R rms::nomogram.

The axis with the widest effect runs from 0 to 100 points; every axis has 0 at its low-risk end; the total is a
straight line in the linear predictor. A term is dict(name, coef, values) for a number, or dict(name, values,
effects) for a category, with the linear-predictor contribution of each level. Terms whose effects depend on each other
share a `group` of axes, one for each combination of the values of the others: a patient is read off one of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from recur.predict.design import design, terms_in
from recur.predict.support import last_month
from recur.statistics.cox import survival_at
from recur.study.coding import input_label, levels_of

RISKS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def pretty(low: float, high: float, n: int = 5) -> np.ndarray:
    """About n + 1 round numbers (steps of 1, 2 or 5) that cover [low, high], as R pretty."""
    if not high > low:
        return np.array([float(low)])
    raw = (high - low) / n
    power = 10.0 ** np.floor(np.log10(raw))
    step = power * min((1, 2, 5, 10), key=lambda s: abs(np.log(s * power / raw)))
    first = np.floor(low / step + 1e-9)
    last = np.ceil(high / step - 1e-9)
    # division by a whole number where the step is a fraction keeps 0.3 from becoming 0.30000000000000004
    counts = np.arange(first, last + 1)
    if step >= 1:
        return counts * step
    return counts / round(1 / step)


def _effects(term: Mapping) -> np.ndarray:
    if "effects" in term:
        return np.asarray(term["effects"], float)
    return float(term["coef"]) * np.asarray(term["values"], float)


def _group_effects(terms: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """The effects on all axes of each group; an axis without a group is one by itself."""
    groups: dict[str, list[np.ndarray]] = {}
    for term in terms:
        groups.setdefault(term.get("group", term["name"]), []).append(_effects(term))
    return {name: np.concatenate(effects) for name, effects in groups.items()}


def nomogram_equation(terms: Sequence[Mapping]) -> dict:
    """dict(points_per_lp, lp_at_zero, max_points): linear predictor = lp_at_zero + total points / points_per_lp.

    The linear predictor is uncentred (sum of the terms' effects). Raises ValueError when no term has any effect.
    """
    effects = list(_group_effects(terms).values())
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
    groups = _group_effects(terms)
    scale = equation["points_per_lp"]
    parts = []
    for term in terms:
        lowest = groups[term.get("group", term["name"])].min()
        axis = {"axis": term["name"], "value": term["values"], "points": scale * (_effects(term) - lowest)}
        parts.append(pd.DataFrame(axis | {"label": term.get("label", "")}))
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
    return pd.concat(parts, ignore_index=True).fillna({"label": ""})


def nomogram_tables(models: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The nomogram of every frozen model: model, axis, value, points, label; a model without effects has no rows.

    Axes are those of model_axes; label is that of an axis that is no column of the model. `total` is the model's own
    linear predictor. Of strata only the risk at the time that their baselines have in common has an axis.
    """
    names = ["model", "axis", "value", "points", "label"]
    parts = [pd.DataFrame(columns=names)]
    for name, model in models.items():
        columns = model["terms"]
        if not any(column["coef"] for column in columns):
            continue
        center = sum(column["coef"] * column["mean"] for column in columns)
        points = nomogram_points(model_axes(model), risk_axes(model), center, intercept=model.get("intercept"))
        parts.append(points.assign(model=name))
    return pd.concat(parts[1:] or parts)[names].reset_index(drop=True)


def risk_axes(model: Mapping[str, Any]) -> dict[str, float]:
    """Baseline survival of each risk that is a function of the linear predictor alone, by the name of its axis."""
    if "competing" in model or "intercept" in model:  # such a risk needs both hazards, or has no time
        return {}
    baseline = model["baseline"]
    months = model["horizons_months"]
    months = [at for at in months if at <= last_month(model)]
    if "strata" in model:
        levels = model["strata"]["levels"]
        common = min(last_month(level) for level in levels)
        baseline = levels[0]
        months = [at for at in months if at == model["strata"]["at_months"] <= common]
    return {f"risk_{at:g}": float(survival_at(baseline["time"], baseline["survival"], at)) for at in months}


def model_nomogram(model: Mapping[str, Any]) -> dict | None:
    """`nomogram_equation` of a frozen model with `groups`: the columns of each group of axes and the least effect on
    them, the strata being the group without a column; None without effects.

    Points of a group: (effect - lowest) * points_per_lp, below 0 or above its axis outside the training range.
    """
    if not any(column["coef"] for column in model["terms"]):
        return None
    axes = model_axes(model)
    lowest = {name: float(effects.min()) for name, effects in _group_effects(axes).items()}
    columns = {axis["group"]: axis["columns"] for axis in axes}
    groups = [{"columns": columns[name], "lowest": value} for name, value in lowest.items()]
    return nomogram_equation(axes) | {"groups": groups}


def model_axes(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The axes of a frozen model's terms: name, label, group, columns (places of its columns), given (values of other
    terms that the axis is for), values, effects.

    A number over round values of the training range, on its own unit also where its logarithm or a spline enters the
    model; 0 and 1 for a level of a category; the levels of a term that an interaction holds, by name; the strata.
    """
    axes: list[dict[str, Any]] = []
    groups = clusters(model["terms"])
    for number, places in enumerate(groups):
        columns = [model["terms"][j] for j in places]
        if any(column["kind"] == "interaction" for column in columns):
            of_group = conditional_axes(columns, model["inputs"]["variables"])
        elif len(columns) > 1:
            of_group = [spline_axis(columns)]
        else:
            of_group = [_axis(columns[0])]
        axes += [{"label": "", "given": {}} | axis | {"group": number, "columns": places} for axis in of_group]
    if "strata" in model:
        levels = model["strata"]["levels"]
        strata = [level["stratum"] for level in levels], np.array([level["offset"] for level in levels])
        strata_axis = {"name": "stratum", "label": "Stratum", "given": {}, "values": strata[0], "effects": strata[1]}
        axes.append(strata_axis | {"group": len(groups), "columns": []})
    return axes


def clusters(columns: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Places of the columns that one group of axes is for: those of a spline, or of terms that an interaction joins."""
    joined: list[set[str]] = []
    for column in columns:
        own_terms = set(terms_in(column))
        own_terms = own_terms.union(*(terms for terms in joined if terms & own_terms))
        joined = [*(terms for terms in joined if not terms & own_terms), own_terms]
    several = [terms for terms in joined if len(terms) > 1]
    columns_of: dict[Any, list[int]] = {}
    for j, column in enumerate(columns):
        cluster = next((i for i, terms in enumerate(several) if column["term"] in terms or "parts" in column
                        and terms.issuperset(terms_in(column))), None)  # fmt: skip
        alone = column["term"] if "knots" in column else column["name"]
        columns_of.setdefault(alone if cluster is None else cluster, []).append(j)
    return list(columns_of.values())


def spline_axis(columns: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The axis of a number that enters by a spline."""
    values = pretty(columns[0]["low"], columns[0]["high"], 10)
    effects = design(pd.DataFrame({columns[0]["term"]: values}), columns) @ [column["coef"] for column in columns]
    return {"name": columns[0]["term"], "values": values, "effects": effects}


def conditional_axes(columns: Sequence[Mapping[str, Any]], declared: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The axes of terms whose effects depend on each other: that of the first number (of the first term, if none is)
    for every combination of the others' values, all their effects together.
    """
    terms = {column["term"]: column for column in reversed(columns) if column["kind"] != "interaction"}
    terms = dict(reversed(terms.items()))
    shown = next((term for term, column in terms.items() if column["kind"] == "numeric"), next(iter(terms)))
    other_terms = [term for term in terms if term != shown]
    values = {term: term_values(column, declared[term], term == shown) for term, column in terms.items()}
    axes = []
    for chosen in itertools.product(*(values[term] for term in other_terms)):
        given = dict(zip(other_terms, chosen, strict=True))
        rows = [entered(terms, {shown: value} | given, columns) for value in values[shown]]
        effects = design(pd.DataFrame(rows), list(columns)) @ [column["coef"] for column in columns]
        texts = {term: text_of(declared[term], value) for term, value in given.items()}
        said = ", ".join(f"{label_of(declared, term)} {text}" for term, text in texts.items())
        texts = [text_of(declared[shown], value) for value in values[shown]]
        number = declared[shown]["kind"] == "numeric"
        axes.append(
            {"name": f"{shown} if {said}", "label": f"{label_of(declared, shown)}, if {said}", "given": given}
            | {"values": values[shown] if number else texts, "effects": effects}
        )
    return axes


def term_values(column: Mapping[str, Any], variable: Mapping[str, Any], shown: bool) -> list[float]:
    """Values of a term that axes are drawn over (shown), or for."""
    if column["kind"] == "numeric":
        if column["transform"] == "ln":
            return [float(value) for value in _axis(column)["values"]]
        return [float(value) for value in pretty(column["low"], column["high"], 10 if shown else 2)]
    return [float(code) for code in range(len(levels_of(variable)))]


def entered(terms: Mapping[str, Any], values: Mapping[str, float], columns: Sequence[Mapping[str, Any]]) -> dict:
    """A row of the filled table (recur.predict.imputation.complete) in which the terms have these values."""
    row = {}
    parts = [part for column in columns for part in column.get("parts", [column])]
    for column in parts:
        value = values[column["term"]]
        if column["level"] is not None:
            row[column["name"]] = float(value == column["level"])
        else:
            if column["transform"] == "ln":
                row[column["term"]] = np.log(value)
            else:
                row[column["term"]] = value
    return row


def label_of(declared: Mapping[str, Any], term: str) -> str:
    return input_label(declared[term]["label"] or term, declared[term]["transform"])


def text_of(variable: Mapping[str, Any], value: float) -> str:
    """A value as it is entered: a number, or the name of a level."""
    levels = levels_of(variable)
    if levels:
        return levels[int(value)]
    return f"{value:g}"


def _axis(column: Mapping[str, Any]) -> dict[str, Any]:
    low = column["low"]
    high = column["high"]
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
