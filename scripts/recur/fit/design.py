"""The columns of a model, learnt from training rows, and the designs it is fitted on (see recur.predict.design).

Splines are those of R's rms::rcs (Harrell, Regression Modeling Strategies, 2.4.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.fit.imputation import imputations
from recur.predict.design import design, names_in
from recur.predict.imputation import columns_of, complete
from recur.statistics.estimate import NotEstimable

FEWEST_KNOTS = 3
TIED = 0.05  # share of patients at the smallest or largest value from which on that value is set apart
SMALL_SAMPLE = 100  # fewer values have their 5th smallest and largest as the outer knots

SIGNATURE_COLUMN = {
    "name": "signature",
    "term": "signature",
    "label": "Radiomics signature",
    "unit": "",
    "kind": "signature",
    "transform": "none",
    "level": None,
}


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
    columns_of_term: dict[str, list[dict[str, Any]]] = {}
    for column in columns:
        columns_of_term.setdefault(column["term"], []).append(column)
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
        for first in columns_of_term.get(a, [])
        for second in columns_of_term.get(b, [])
    ]


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
        return enough_knots(distinct[1:-1], len(distinct))
    share = counts / len(values)
    first = []
    last = []
    inner = count
    if share[1:-1].max() < TIED:
        if share[0] >= TIED:
            first = [distinct[1]]
            values = values[values > distinct[1]]
            inner = inner - 1
        if share[-1] >= TIED:
            last = [values[values < values[-1]][-1]]
            values = values[values < last[0]]
            inner = inner - 1
    if inner == 1:
        knots = np.median(values, keepdims=True)
    else:
        outer = outer_quantile(count)
        at = np.linspace(0.5 if inner == 2 else outer, 1 - outer, inner)
        knots = np.quantile(values, at)
        if len(values) < SMALL_SAMPLE:
            knots[0] = knots[0] if first else values[4]
            knots[-1] = knots[-1] if last else values[-5]
    return enough_knots(np.unique([*first, *knots, *last]), len(distinct))


def outer_quantile(count: int) -> float:
    """The quantile of the first of `count` knots; the last one lies as far from the other end."""
    if count == 3:
        return 0.1
    if count > 6:
        return 0.025
    return 0.05


def enough_knots(knots: np.ndarray, distinct: int) -> list[float]:
    if len(knots) < FEWEST_KNOTS:
        raise NotEstimable(f"{distinct} distinct values leave fewer than {FEWEST_KNOTS} knots for a spline")
    return [float(knot) for knot in knots]


def imputed_terms(
    train: Training, terms: list[str], settings: dict[str, Any], seed: int
) -> tuple[dict[str, Any], list[pd.DataFrame]]:
    """The imputer of the terms, and their stochastic imputations where models are fitted on these."""
    missing = settings["missing"]
    count = 0
    if missing["fit"] == "stochastic":
        count = missing["imputations"]
    return imputations(train.clinical, terms, settings["variables"], count, seed)


def designs_of(
    train: Training,
    terms: list[str],
    score: np.ndarray | None,
    settings: dict[str, Any],
    imputed: tuple[dict[str, Any], list[pd.DataFrame]],
) -> tuple[list[np.ndarray], np.ndarray, list[dict[str, Any]], dict[str, Any]]:
    """What a model is fitted on: training designs (n, p), one an imputation, the design that the frozen imputer gives,
    the description of the columns (those that vary), and the imputer.
    """
    imputer, completed = imputed
    interactions = settings.get("candidates", {}).get("interactions")
    columns = learn_columns(train.clinical, terms, settings["variables"], interactions)
    if score is not None:
        columns = [*columns, SIGNATURE_COLUMN | {"low": float(np.min(score)), "high": float(np.max(score))}]
    designs = [design(filled, columns, score) for filled in [*completed, complete(train.clinical, imputer)]]
    if columns:
        varies = np.min([x.std(axis=0) for x in designs], axis=0) > 1e-12
    else:
        varies = np.zeros(0, bool)
    constant = {column["name"] for column, keep in zip(columns, varies, strict=True) if not keep}
    # the product with a constant column is the other column again
    keep = [j for j, column in enumerate(columns) if not constant.intersection(names_in(column))]
    *drawn, applied = [x[:, keep] for x in designs]
    return drawn, applied, [columns[j] for j in keep], imputer
