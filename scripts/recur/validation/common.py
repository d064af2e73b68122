"""What the tables of validation share: their columns, the names of cohorts, the pairs of models that are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pandas as pd

THRESHOLD_STEP = 0.01
COMPARISON_COLUMNS = [
    "cohort", "model_a", "model_b", "metric", "horizon_months", "difference", "lower", "upper", "p", "method"
]  # fmt: skip
PERFORMANCE_COLUMNS = [
    "model", "cohort", "metric", "horizon_months", "estimate", "lower", "upper", "n", "events", "method"
]  # fmt: skip
PAIRS = [
    ("combined_pre", "clinical_pre"),
    ("combined_post", "clinical_post"),
    ("combined_pre", "signature"),
    ("combined_post", "combined_pre"),
    ("signature", "size_only"),
    ("signature", "volume_only"),
    ("combined_pre", "size_only"),
    ("combined_pre", "volume_only"),
]


class Measure(NamedTuple):
    """One metric of a model in a cohort, or of a difference between two models."""

    metric: str
    horizon_months: float | None  # None where the metric has no horizon
    method: str
    value: dict[str, Any]  # an estimate as in recur.statistics.estimate; of a difference also p


def by_model_and_cohort(risks: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(model, cohort, rows) in the order of the table."""
    for (model, cohort), part in risks.groupby(["model", "cohort"], sort=False):
        yield model, cohort, part


def fitted_rows(repeated: pd.DataFrame) -> pd.DataFrame:
    """The rows of resamples, folds or nested predictions whose fit succeeded."""
    return repeated[repeated["failed"].fillna("") == ""]
