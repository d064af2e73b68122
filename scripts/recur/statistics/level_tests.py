"""Tests of a variable over the levels of an outcome, with and without their order.

The trend tests are written by hand, since scipy and statsmodels have neither with ties: Jonckheere-Terpstra with the
variance of Lehmann (Nonparametrics 1975, appendix), Cochran-Armitage (Armitage, Biometrics 1955). Checked against R's
cor.test (Kendall) and prop.trend.test.

Everywhere: `level` (n,) the place of the outcome among its levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2_contingency, kruskal, norm


def jonckheere(values: ArrayLike, level: ArrayLike) -> dict[str, Any]:
    """Jonckheere-Terpstra test of a trend of values over ordered levels, two-sided, normal, variance with ties."""
    values, level = np.asarray(values, float), np.asarray(level)
    groups = [values[level == k] for k in np.unique(level)]
    if len(groups) < 2:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level"}
    n, sizes = len(values), np.array([len(group) for group in groups])
    total = sum(
        (np.sign(later[:, None] - earlier) + 1).sum() / 2
        for i, earlier in enumerate(groups)
        for later in groups[i + 1 :]
    )
    ties = np.unique(values, return_counts=True)[1]

    def third(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1) * (2 * np.asarray(m) + 5)))

    def pairs(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1)))

    def triples(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1) * (np.asarray(m) - 2)))

    variance = (third(n) - third(sizes) - third(ties)) / 72
    variance += triples(sizes) * triples(ties) / (36 * triples(n)) if n > 2 else 0.0
    variance += pairs(sizes) * pairs(ties) / (8 * pairs(n))
    if not variance > 0:
        return {"statistic": np.nan, "p": np.nan, "reason": "all values are equal"}
    z = (total - (n**2 - (sizes**2).sum()) / 4) / np.sqrt(variance)
    return {"statistic": float(z), "p": float(2 * norm.sf(abs(z))), "reason": ""}


def cochran_armitage(positive: ArrayLike, level: ArrayLike) -> dict[str, Any]:
    """Cochran-Armitage test of a trend of a share over ordered levels scored 0, 1, ..., two-sided (z)."""
    positive, score = np.asarray(positive, float), np.asarray(level, float)
    share, n = positive.mean(), len(positive)
    spread = ((score - score.mean()) ** 2).sum()
    if not spread > 0 or not 0 < share < 1:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    z = ((score - score.mean()) * positive).sum() / np.sqrt(share * (1 - share) * spread)
    return {"statistic": float(z), "p": float(2 * norm.sf(abs(z))), "reason": "", "n": n}


def kruskal_wallis(values: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    groups = [values[level == k] for k in np.unique(level)]
    if len(groups) < 2 or np.ptp(values) == 0:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    found = kruskal(*groups)
    return {"statistic": float(found.statistic), "df": len(groups) - 1, "p": float(found.pvalue), "reason": ""}


def chi_square(codes: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    table = pd.crosstab(codes, level).to_numpy()
    if min(table.shape) < 2:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    found = chi2_contingency(table, correction=False)
    few = (found.expected_freq < 5).mean() > 0.2
    reason = "expected counts below 5 in more than a fifth of the cells: unreliable" if few else ""
    return {"statistic": float(found.statistic), "df": int(found.dof), "p": float(found.pvalue), "reason": reason}
