"""Missing clinical values, filled by chained conditional models that are frozen: applied row by row.

How they are learnt: recur.fit.imputation. The scale is the models': logarithms where declared, dummies of categories.
Applied without a random generator, a missing value becomes its conditional mean (a probability, for a category), so
that a row never depends on the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.statistics.linear_predictor import linear_sum


def columns_of(term: str, variable: dict[str, Any]) -> list[str]:
    """Names of a variable's design columns: itself, or one per level but the first of a category."""
    if variable["kind"] == "categorical":
        return [f"{term}:{level}" for level in variable["levels"][1:]]
    return [term]


def on_scale(values: pd.Series, transform: str) -> pd.Series:
    """A variable's cells (n,) on the model's scale."""
    values = values.astype(float)
    if transform == "ln":
        return np.log(values)
    return values


def start_design(clinical: pd.DataFrame, imputer: dict[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Design (n, p) with start values in missing cells, and which rows (n,) of each term are missing.

    A term whose column a table does not have is missing in all its rows.
    """
    parts = []
    missing = {}
    for item in imputer["terms"]:
        if item["term"] in clinical:
            cells = clinical[item["term"]]
        else:
            cells = pd.Series(np.nan, index=clinical.index)
        values = on_scale(cells, item["transform"]).to_numpy()
        absent = missing[item["term"]] = np.isnan(values)
        if item["kind"] == "logistic":
            part = (values[:, None] == np.arange(1, len(item["columns"]) + 1)).astype(float)
        else:
            part = values[:, None].copy()
        part[absent] = item["start"]
        parts.append(part)
    return (np.hstack(parts) if parts else np.zeros((len(clinical), 0))), missing


def fill(
    design: np.ndarray,
    item: dict[str, Any],
    rows: np.ndarray,
    predictors: list[str],
    rng: np.random.Generator | None,
) -> None:
    """Put the conditional mean (rng: a draw) of a term into the given rows (n,) of the design, in place."""
    places = [predictors.index(name) for name in item["columns"]]
    predictor_places = np.setdiff1d(np.arange(len(predictors)), places)
    model = item["model"]
    x = design[np.ix_(rows, predictor_places)]
    value = np.column_stack([linear_sum(x, coef) for coef in model["coef"]]) + np.asarray(model["intercept"])
    if item["kind"] == "linear":
        if rng is not None:
            value = value + model["sd"] * rng.normal(size=value.shape)
            value = np.rint(value) if item["ordinal"] else value
        value = np.clip(value, item["low"], item["high"])
    else:
        odds = np.exp(np.clip(value, -500, 500))
        value = odds / (1 + odds.sum(axis=1, keepdims=True))
        if rng is not None:
            upto = np.cumsum(value, axis=1)
            place = (rng.uniform(size=(len(value), 1)) > upto).sum(axis=1)  # past the last level: the reference
            value = (place[:, None] == np.arange(len(places))).astype(float)
    design[np.ix_(rows, places)] = value


def complete(clinical: pd.DataFrame, imputer: dict[str, Any], rng: np.random.Generator | None = None) -> pd.DataFrame:
    """The design columns of the imputer's terms (n, p) with every missing cell filled by the frozen models.

    Without rng each row's conditional means, whatever the other rows hold; with it one stochastic imputation.
    """
    design, missing = start_design(clinical, imputer)
    incomplete = [item for item in imputer["terms"] if missing[item["term"]].any()]
    for _ in range(imputer["sweeps"] if incomplete else 0):
        for item in incomplete:
            fill(design, item, missing[item["term"]], imputer["predictors"], rng)
    return pd.DataFrame(design, columns=imputer["predictors"])
