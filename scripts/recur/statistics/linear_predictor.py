"""The linear predictor, in one way everywhere: fit, search for a cut-point, application, scorer (and calculator.js).

A product of matrices gives equal rows sums that differ in the last digit, depending on the rows beside them; a
cut-point found on one such sum then loses the patients that define it, and ties of a rank statistic are broken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

ROUNDING = 1e-9  # of a log hazard or log odds: predictors as close as this differ by rounding alone


def clinical_terms(columns: list[dict[str, Any]]) -> list[str]:
    """The clinical variables of the columns, in their order; those of an interaction are among them."""
    return list(dict.fromkeys(c["term"] for c in columns if c["kind"] not in ("signature", "interaction")))


def linear_sum(x: np.ndarray, coef: ArrayLike, centre: ArrayLike | None = None) -> np.ndarray:
    """Sum (n,) of coef (p,) times x - centre (n, p), column by column from the first: equal rows have equal sums."""
    coef = np.asarray(coef, float)
    centre = np.zeros(len(coef)) if centre is None else np.asarray(centre, float)
    total = np.zeros(len(x))
    for j in range(len(coef)):
        total += coef[j] * (x[:, j] - centre[j])
    return total


def tied(lp: ArrayLike) -> np.ndarray:
    """Linear predictors (n,) in which neighbours that differ by rounding alone are one value, the lowest of them.

    Covariates that add up to the same in another order are no two predictors between which a cut could lie.
    """
    values, place = np.unique(np.asarray(lp, float), return_inverse=True)
    first = np.diff(values, prepend=-np.inf) > ROUNDING
    return values[np.maximum.accumulate(np.where(first, np.arange(len(values)), 0))][place]


def midway(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """The middle between two neighbouring values (k,), never the upper one: a cut is the end of the lower group."""
    middle = below + (above - below) / 2
    return np.where(middle < above, middle, below)
