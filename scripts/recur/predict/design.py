"""Clinical variables as columns of a model; missing cells are filled by the frozen imputer.

A column is a number of the filled table, one level of a category, one part of a restricted cubic spline, or a product
of columns (an interaction). Splines and products are made after missing cells are filled, so that they always agree
with the values they are made of. Splines are those of R's rms::rcs (Harrell, Regression Modeling Strategies, 2.4.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.predict.imputation import columns_of, complete
from recur.statistics.estimate import NotEstimable
from recur.statistics.splines import restricted_cubic_spline

FEWEST_KNOTS = 3
TIED = 0.05  # share of patients at the smallest or largest value from which on that value is set apart
SMALL_SAMPLE = 100  # fewer values have their 5th smallest and largest as the outer knots


def learn_columns(
    clinical: pd.DataFrame, terms: list[str], variables: dict[str, Any], interactions: list[list[str]] | None = None
) -> list[dict[str, Any]]:
    """Describe the model columns of clinical terms from training rows, then those of their interactions.

    Each column is a dict: name, term, label, unit, kind, transform, level (of a category: its place among the
    levels), low and high (training range, before the transform). JSON-ready. A term of which training knows nothing
    gets no column. A column of a spline also has knots and part (0 is the number itself); a product has kind
    `interaction` and parts, the columns that it multiplies. Raises NotEstimable where a spline has too few values.
    """
    columns = []
    for term in terms:
        variable = variables[term]
        known = clinical[term].dropna().astype(float)
        if not len(known):
            continue
        label = variable["label"] or term
        base = {"term": term, "label": label, "unit": variable["unit"], "kind": variable["kind"]}
        base |= {
            "transform": variable["transform"],
            "level": None,
            "low": float(known.min()),
            "high": float(known.max()),
        }
        if variable["kind"] == "categorical":
            for code, (name, level) in enumerate(
                zip(columns_of(term, variable), variable["levels"][1:], strict=True), 1
            ):
                extra = {"name": name, "level": code, "label": f"{label}: {level}", "low": 0.0, "high": 1.0}
                columns.append(base | extra)
        elif variable["transform"] == "rcs":
            columns += spline_columns(base, known.to_numpy(), variable["knots"])
        else:
            columns.append(base | {"name": term})
    return columns + interaction_columns(columns, interactions or [])


def spline_columns(base: dict[str, Any], known: np.ndarray, count: int) -> list[dict[str, Any]]:
    """The columns of a restricted cubic spline, named as rms does: the number, then its cubic parts x', x'' ..."""
    try:
        knots = spline_knots(known, count)
    except NotEstimable as error:
        raise NotEstimable(f"{base['term']}: {error}") from error
    return [
        base | {"name": base["term"] + "'" * part, "label": base["label"] + "'" * part, "knots": knots, "part": part}
        for part in range(len(knots) - 1)
    ]


def interaction_columns(columns: list[dict[str, Any]], interactions: list[list[str]]) -> list[dict[str, Any]]:
    """All products of the columns of two terms, for every pair of terms that both have columns."""
    own: dict[str, list[dict[str, Any]]] = {}
    for column in columns:
        own.setdefault(column["term"], []).append(column)
    return [
        {
            "name": f"{first['name']} * {second['name']}",
            "term": f"{a} * {b}",
            "label": f"{first['label']} x {second['label']}",
            "unit": "",
            "kind": "interaction",
            "transform": "none",
            "level": None,
            "low": None,
            "high": None,
            "parts": [first, second],
        }
        for a, b in interactions
        for first in own.get(a, [])
        for second in own.get(b, [])
    ]


def names_in(column: dict[str, Any]) -> set[str]:
    """The name of a column and, of a product, those of the columns that it multiplies."""
    return {column["name"], *(part["name"] for part in column.get("parts", []))}


def is_entered(column: dict[str, Any]) -> bool:
    """Whether a column is an input as it is entered: no cubic part of a spline, no product, not the signature."""
    return column["kind"] not in ("signature", "interaction") and not column.get("part")


def terms_in(column: dict[str, Any]) -> list[str]:
    """The term of a column, or of a product those that it multiplies."""
    return [part["term"] for part in column["parts"]] if "parts" in column else [column["term"]]


def parameters(terms: list[str], variables: dict[str, Any], interactions: list[list[str]] | None = None) -> int:
    """Columns that the terms and the interactions between them will have at most."""
    own = {}
    for term in terms:
        variable = variables[term]
        spline = variable["knots"] - 1 if variable.get("transform") == "rcs" else 1
        own[term] = len(variable["levels"]) - 1 if variable["kind"] == "categorical" else spline
    products = [own.get(a, 0) * own.get(b, 0) for a, b in interactions or []]
    return sum(own[term] for term in terms) + sum(products)


def spline_knots(values: np.ndarray, count: int) -> list[float]:
    """At most `count` knots of a restricted cubic spline of the values (n,), at Harrell's quantiles as rms has them.

    Outer knots at the 5th and 95th centile (3 knots: 10th and 90th; 7: 2.5th and 97.5th), the others evenly between.
    A smallest or largest value that a twentieth of the patients share is set apart, its neighbour being a knot; of
    fewer than 100 values the 5th smallest and largest are the outer knots. Equal knots are one. Raises NotEstimable
    with fewer than 3 knots left.
    """
    values = np.sort(np.asarray(values, float))
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) - 2 <= count:
        return _enough(distinct[1:-1], len(distinct))
    share, first, last = counts / len(values), [], []
    inner = count
    if share[1:-1].max() < TIED:
        if share[0] >= TIED:
            first = [distinct[1]]
            values, inner = values[values > distinct[1]], inner - 1
        if share[-1] >= TIED:
            last = [values[values < values[-1]][-1]]
            values, inner = values[values < last[0]], inner - 1
    if inner == 1:
        knots = np.median(values, keepdims=True)
    else:
        outer = 0.1 if count == 3 else 0.025 if count > 6 else 0.05
        at = np.linspace(0.5 if inner == 2 else outer, 1 - outer, inner)
        knots = np.quantile(values, at)
        if len(values) < SMALL_SAMPLE:
            knots[0] = knots[0] if first else values[4]
            knots[-1] = knots[-1] if last else values[-5]
    return _enough(np.unique([*first, *knots, *last]), len(distinct))


def _enough(knots: np.ndarray, distinct: int) -> list[float]:
    if len(knots) < FEWEST_KNOTS:
        raise NotEstimable(f"{distinct} distinct values leave fewer than {FEWEST_KNOTS} knots for a spline")
    return [float(knot) for knot in knots]


def cube_weights(column: dict[str, Any]) -> list[float]:
    """Weights of max(x - knot, 0)^3, one a knot, whose sum is a cubic part of a spline: for equations on paper."""
    knots, place = np.asarray(column["knots"], float), column["part"] - 1
    gap, weights = knots[-1] - knots[-2], np.zeros(len(knots))
    weights[place] += 1
    weights[-2] -= (knots[-1] - knots[place]) / gap
    weights[-1] += (knots[-2] - knots[place]) / gap
    return [float(weight) for weight in weights / (knots[-1] - knots[0]) ** 2]


def design(filled: pd.DataFrame, columns: list[dict[str, Any]], score: np.ndarray | None = None) -> np.ndarray:
    """Design matrix (n, p) of the described columns, from a table without missing cells
    (recur.predict.imputation.complete).

    score (n,) is the signature's, where a column is the signature.
    """
    values = [column_values(filled, column, score) for column in columns]
    return np.column_stack(values) if values else np.zeros((len(filled), 0))


def column_values(filled: pd.DataFrame, column: dict[str, Any], score: np.ndarray | None = None) -> np.ndarray:
    """One column (n,) of the design."""
    if column["kind"] == "signature":
        return np.asarray(score, float)
    if "parts" in column:
        first, second = column["parts"]
        return column_values(filled, first) * column_values(filled, second)
    if "knots" in column:
        return restricted_cubic_spline(filled[column["term"]].to_numpy(), column["knots"])[:, column["part"]]
    return filled[column["name"]].to_numpy()


def encode(clinical: pd.DataFrame, columns: list[dict[str, Any]], imputer: dict[str, Any]) -> np.ndarray:
    """Design matrix (n, p) of the described columns; missing cells get the frozen conditional means."""
    return design(complete(clinical, imputer), columns)
