"""Restricted cubic splines, as Hmisc's rcspline.eval."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

# Harrell, Regression Modeling Strategies, table 2.3
KNOT_QUANTILES = {3: [0.1, 0.5, 0.9], 4: [0.05, 0.35, 0.65, 0.95], 5: [0.05, 0.275, 0.5, 0.725, 0.95]}


def restricted_cubic_spline(x: ArrayLike, knots: ArrayLike) -> np.ndarray:
    """Basis (n, k - 1): x and k - 2 cubic terms, linear beyond the k knots (Hmisc rcspline.eval, norm 2)."""
    x, knots = np.asarray(x, float), np.asarray(knots, float)
    first, before_last, last = knots[0], knots[-2], knots[-1]
    scale = (last - first) ** 2

    def cube(knot: float) -> np.ndarray:
        return np.maximum(x - knot, 0.0) ** 3

    gap = last - before_last
    terms = [cube(k) - cube(before_last) * (last - k) / gap + cube(last) * (before_last - k) / gap for k in knots[:-2]]
    return np.column_stack([x, *(term / scale for term in terms)])
