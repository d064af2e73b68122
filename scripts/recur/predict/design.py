"""Clinical variables as columns of a frozen model; missing cells are filled by its imputer.

A column is a number of the filled table, one level of a category, one part of a restricted cubic spline, or a product
of columns (an interaction). Splines and products are made after missing cells are filled, so that they always agree
with the values they are made of. Splines are those of R's rms::rcs (Harrell, Regression Modeling Strategies, 2.4.5).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.predict.imputation import complete
from recur.statistics.splines import restricted_cubic_spline


def names_in(column: dict[str, Any]) -> set[str]:
    """The name of a column and, of a product, those of the columns that it multiplies."""
    return {column["name"], *(part["name"] for part in column.get("parts", []))}


def is_entered(column: dict[str, Any]) -> bool:
    """Whether a column is an input as it is entered: no cubic part of a spline, no product, not the signature."""
    return column["kind"] not in ("signature", "interaction") and not column.get("part")


def terms_in(column: dict[str, Any]) -> list[str]:
    """The term of a column, or of a product those that it multiplies."""
    if "parts" in column:
        return [part["term"] for part in column["parts"]]
    return [column["term"]]


def cube_weights(column: dict[str, Any]) -> list[float]:
    """Weights of max(x - knot, 0)^3, one a knot, whose sum is a cubic part of a spline: for equations on paper."""
    knots = np.asarray(column["knots"], float)
    place = column["part"] - 1
    gap = knots[-1] - knots[-2]
    weights = np.zeros(len(knots))
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
    if values:
        return np.column_stack(values)
    return np.zeros((len(filled), 0))


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
