"""Floor 4: which features two readings agree on, from training rows only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.statistics.agreement import icc_2_1

ICC_COLUMNS = ["feature", "n", "icc", "lower", "upper", "stable", "readings", "source"]


def stability(train: Training, settings: dict[str, Any]) -> pd.DataFrame:
    """ICC(2,1) between readings per feature, and which features pass (ICC_COLUMNS); empty when the filter is off."""
    rule = settings["rule"]
    twice = train.read_twice
    if rule == "none" or twice.sum() < settings["min_patients"]:
        return pd.DataFrame(columns=ICC_COLUMNS)
    ratings = np.concatenate([train.features[twice, None, :], train.repeats[twice]], axis=1)
    table = icc_2_1(ratings)
    value = table["icc"] if rule == "point" else table["lower"]
    table = table.assign(feature=train.names, n=int(twice.sum()), stable=(value >= settings["threshold"]).to_numpy())
    # perturbed images are no readers: the table says whose readings these are
    table = table.assign(readings=ratings.shape[1], source=settings.get("source", "readers"))
    return table[ICC_COLUMNS]


def decided(train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the stability filter on or off for good: folds and resamples must do as the whole data does."""
    rule = settings["stability"]
    if rule["rule"] != "none" and train.read_twice.sum() >= rule["min_patients"]:
        return settings | {"stability": rule | {"min_patients": 3}}
    return settings | {"stability": rule | {"rule": "none"}}


def usable_columns(train: Training, icc: pd.DataFrame) -> np.ndarray:
    """Indices of features that passed the stability filter and vary in training, in the order of their names.

    Ties of the rankings, trees and sums would otherwise follow the order of a table's columns.
    """
    if len(icc):
        stable = icc["stable"].to_numpy(bool)
    else:
        stable = np.ones(len(train.names), bool)
    spread = train.features.std(axis=0)
    usable = np.flatnonzero(stable & (spread > 1e-12 * np.abs(train.features).max(axis=0, initial=0)))
    return usable[np.argsort(np.array(train.names, str)[usable], kind="stable")]
