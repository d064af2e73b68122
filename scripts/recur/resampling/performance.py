"""What repeated fits add to the performance that was measured on cohorts."""

from __future__ import annotations

import pandas as pd

from recur.resampling.bootstrap import resample_performance, selection_frequency
from recur.resampling.internal_calibration import nested_measures
from recur.resampling.nested import nested_performance
from recur.validation import binary
from recur.validation.tables import horizons_of
from recur.vocabulary import APPARENT


def internal_parts(
    measured: pd.DataFrame, nested: pd.DataFrame, resamples: pd.DataFrame | None, metric: str, seed: int
) -> list[pd.DataFrame]:
    """Rows of performance.csv of the nested cross-validation and of the bootstrap, of those that were run.

    measured: apparent and held-out performance; nested: out-of-fold predictions; metric: what resamples are judged by.
    """
    parts = []
    if len(nested):
        parts.append(nested_performance(nested, seed).assign(metric=metric))
        if "risk" in nested:
            parts.append(binary.nested_measures(nested, seed))
        elif horizons_of(nested):
            parts.append(nested_measures(nested, seed))
    if resamples is not None:
        apparent = measured[measured["cohort"] == APPARENT]
        parts.append(resample_performance(resamples, apparent, metric))
    return parts


def frequency_table(resamples: pd.DataFrame | None, names: list[str]) -> pd.DataFrame:
    """feature, frequency: how often each feature was selected, the most frequent first; empty without resamples."""
    frequencies = pd.Series(dtype=float)
    if resamples is not None:
        frequencies = selection_frequency(resamples, names)
    table = pd.DataFrame({"feature": frequencies.index, "frequency": frequencies.to_numpy()})
    return table.sort_values(["frequency", "feature"], ascending=[False, True])
