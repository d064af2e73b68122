"""Agreement of readers: intraclass correlation ICC(2,1), all features at once.

Written by hand because pingouin and psych take one feature at a time. Formulas: Shrout & Fleiss, Psychol Bull 1979;
McGraw & Wong, Psychol Methods 1996; equal to psych::ICC(lmer = FALSE).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import fdtri


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
