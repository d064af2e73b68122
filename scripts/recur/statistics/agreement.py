"""Agreement of readers: categories (kappa, PABAK, Gwet's AC1) and numbers (intraclass correlation).

Masks are in recur.images.mask_agreement. Kappa and its error (Fleiss, Cohen & Everitt 1969) are statsmodels'; PABAK
(Byrt, Bishop & Carlin 1993) and AC1 (Gwet, Br J Math Stat Psychol 2008;61:29) are by hand: no kept library has them.
ICC(2,1) is by hand because pingouin and psych take one feature at a time; formulas of Shrout & Fleiss, Psychol Bull
1979, and McGraw & Wong, Psychol Methods 1996; equal to psych::ICC(lmer = FALSE).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import fdtri
from scipy.stats import norm
from statsmodels.stats.inter_rater import cohens_kappa

from recur.statistics.accuracy import proportion
from recur.statistics.estimate import Z95

NOTHING = {"estimate": np.nan, "se": np.nan, "lower": np.nan, "upper": np.nan}


def cross_table(a: Sequence[Any], b: Sequence[Any], levels: Sequence[Any]) -> np.ndarray:
    """Counts (k, k) of the pairs of readings, in the order of `levels`. Raises ValueError for another level."""
    place = {level: i for i, level in enumerate(levels)}
    if strange := sorted({str(x) for x in (*a, *b) if x not in place}):
        raise ValueError(f"readings outside the levels: {', '.join(strange)}")
    table = np.zeros((len(levels), len(levels)), int)
    np.add.at(table, ([place[x] for x in a], [place[x] for x in b]), 1)
    return table


def used(table: ArrayLike) -> np.ndarray:
    """The table (k, k) without the levels that nobody gave at either end; gaps inside an order stay."""
    table = np.asarray(table)
    seen = np.flatnonzero(table.sum(axis=0) + table.sum(axis=1))
    return table[seen[0] : seen[-1] + 1, seen[0] : seen[-1] + 1] if seen.size else table[:0, :0]


def kappa(table: ArrayLike, weights: str = "none") -> dict:
    """Cohen's kappa of a square table -> dict(estimate, se, lower, upper, p, reason); weights none, linear, quadratic.

    The interval is Wald's; p tests kappa 0 with the error under no agreement beyond chance.
    """
    table = used(table)
    if len(table) < 2:
        return NOTHING | {"p": np.nan, "reason": "both readers gave the same level to everyone"}
    result = cohens_kappa(table, wt=None if weights == "none" else weights)
    reason = "" if result.std_kappa > 0 else "perfect agreement: no error"
    return {
        "estimate": float(result.kappa),
        "se": float(result.std_kappa),
        "lower": float(result.kappa - Z95 * result.std_kappa),
        "upper": float(min(result.kappa + Z95 * result.std_kappa, 1.0)),
        "p": float(2 * norm.sf(abs(result.kappa) / result.std_kappa0)),
        "reason": reason,
    }


def observed_agreement(table: ArrayLike) -> dict:
    """Share of equal readings with Wilson and exact intervals (as accuracy.proportion)."""
    table = np.asarray(table)
    return proportion(int(np.trace(table)), int(table.sum()))


def pabak(table: ArrayLike) -> dict:
    """Prevalence- and bias-adjusted kappa (k po - 1) / (k - 1) over all k levels of the table.

    dict(estimate, lower, upper); limits from Wilson's of the agreement po.
    """
    k, po = len(np.asarray(table)), observed_agreement(table)
    return {name: (k * po[name] - 1) / (k - 1) for name in ("estimate", "lower", "upper")}


def gwet_ac1(table: ArrayLike) -> dict:
    """Gwet's AC1 of two readers over all k levels of the table -> dict(estimate, se, lower, upper).

    Chance agreement is the mean over levels of pi (1 - pi) k / (k - 1), which a rare level does not inflate.
    """
    table = np.asarray(table, float)
    n, k = table.sum(), len(table)
    if n < 2:
        return dict(NOTHING)
    p = table / n
    pi = (p.sum(axis=0) + p.sum(axis=1)) / 2
    agree, chance = float(np.trace(p)), float((pi * (1 - pi)).sum() / (k - 1))
    ac1 = (agree - chance) / (1 - chance)
    pairs = (1 - (pi[:, None] + pi) / 2) / (k - 1)
    spread = agree * (1 - agree)
    spread -= 4 * (1 - ac1) * ((np.diag(p) * (1 - pi)).sum() / (k - 1) - agree * chance)
    spread += 4 * (1 - ac1) ** 2 * ((p * pairs**2).sum() - chance**2)
    se = float(np.sqrt(max(spread, 0.0) / n) / (1 - chance))
    return {"estimate": ac1, "se": se, "lower": ac1 - Z95 * se, "upper": min(ac1 + Z95 * se, 1.0)}


def categories(table: ArrayLike, ordinal: bool) -> list[dict]:
    """Every coefficient of two readers, a row each: coefficient, estimate, se, lower, upper, p, n, reason."""
    n = int(np.asarray(table).sum())
    rows = [("agreement", observed_agreement(table)), ("kappa", kappa(table))]
    if ordinal and len(np.asarray(table)) > 2:
        rows += [(f"kappa_{w}", kappa(table, w)) for w in ("linear", "quadratic")]
    rows += [("pabak", pabak(table)), ("gwet_ac1", gwet_ac1(table))]
    keys = ("estimate", "se", "lower", "upper", "p")
    return [
        {"coefficient": name} | {key: row.get(key, np.nan) for key in keys} | {"n": n, "reason": row.get("reason", "")}
        for name, row in rows
    ]


def icc(ratings: ArrayLike) -> dict:
    """ICC(2,1) of numbers (n, k readers) -> dict(estimate, lower, upper)."""
    row = icc_2_1(ratings).iloc[0]
    return {"estimate": float(row["icc"]), "lower": float(row["lower"]), "upper": float(row["upper"])}


def icc_2_1(ratings: ArrayLike) -> pd.DataFrame:
    """ICC(2,1), two-way random effects, absolute agreement, single reader -> rows per feature: icc, lower, upper.

    `ratings` (n_subjects, k_readers, n_features) without missing values, n >= 2, k >= 2. ANOVA estimates, which may be
    negative; 95% limits by Satterthwaite's degrees of freedom. A feature without any variation is NaN; with
    perfect agreement all three are 1.
    """
    x = np.asarray(ratings, float)
    if x.ndim == 2:
        x = x[:, :, None]
    n, k, _ = x.shape
    if n < 2 or k < 2:
        raise ValueError(f"ICC needs two patients and two readers, got {n} and {k}")
    if not np.isfinite(x).all():
        raise ValueError("ratings have missing or infinite values")
    # centred and scaled per feature: sums of squares of values like 1e9 lose digits, of 1e-200 underflow
    x = x - x.mean(axis=(0, 1))
    scale = np.abs(x).max(axis=(0, 1))
    x = x / np.where(scale > 0, scale, 1.0)
    subjects, readers = x.mean(axis=1), x.mean(axis=0)
    ms_subjects = k * (subjects**2).sum(axis=0) / (n - 1)
    ms_readers = n * (readers**2).sum(axis=0) / (k - 1)
    residual = x - subjects[:, None] - readers[None]
    ms_error = (residual**2).sum(axis=(0, 1)) / ((n - 1) * (k - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        icc = (ms_subjects - ms_error) / (ms_subjects + (k - 1) * ms_error + k * (ms_readers - ms_error) / n)
        ratio = ms_readers / ms_error
        reader_part, subject_part = k * icc * ratio, n * (1 + (k - 1) * icc) - k * icc
        df = (k - 1) * (n - 1) * (reader_part + subject_part) ** 2 / ((n - 1) * reader_part**2 + subject_part**2)
        f_lower, f_upper = fdtri(n - 1, df, 0.975), fdtri(df, n - 1, 0.975)
        between = k * ms_readers + (k * n - k - n) * ms_error
        lower = n * (ms_subjects - f_lower * ms_error) / (f_lower * between + n * ms_subjects)
        upper = n * (f_upper * ms_subjects - ms_error) / (between + n * f_upper * ms_subjects)
    perfect = (ms_error < 1e-24) & (ms_readers < 1e-24) & (ms_subjects > 0)
    columns = {"icc": icc, "lower": lower, "upper": upper}
    return pd.DataFrame({name: np.where(perfect, 1.0, np.where(scale > 0, v, np.nan)) for name, v in columns.items()})
