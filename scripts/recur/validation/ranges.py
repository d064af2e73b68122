"""Where held-out patients lie beyond what the models were trained on, judged on values as they were measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ["cohort", "predictor", "kind", "low", "high", "n", "outside", "share"]
KINDS = ("numeric",)  # of clinical terms; levels have no range


def outside_training(train: pd.DataFrame, heldout: pd.DataFrame, used: dict[str, str]) -> pd.DataFrame:
    """Patients of each held-out cohort below the lowest or above the highest training value, a row a predictor.

    train, heldout: cohort and the predictors (raw: before harmonisation, winsorising and logarithms); used: predictor
    -> feature or clinical. Missing cells are not counted.
    """
    rows = []
    for cohort, part in heldout.groupby("cohort", sort=True):
        for name, kind in used.items():
            if name not in train or name not in part:
                continue  # an interaction has no column of its own
            low, high = train[name].min(), train[name].max()
            known = part[name].dropna()
            outside = int(((known < low) | (known > high)).sum())
            share = outside / len(known) if len(known) else np.nan
            rows.append((cohort, name, kind, low, high, len(known), outside, share))
    return pd.DataFrame(rows, columns=COLUMNS)


def predictors_used(models: dict[str, dict[str, Any]], signature: dict[str, Any] | None) -> dict[str, str]:
    """What the frozen models are computed from: features of the signature and numeric clinical terms."""
    features = [feature["name"] for feature in signature["features"]] if signature else []
    terms = [term["term"] for model in models.values() for term in model["terms"] if term["kind"] in KINDS]
    return dict.fromkeys(features, "feature") | dict.fromkeys(terms, "clinical")
