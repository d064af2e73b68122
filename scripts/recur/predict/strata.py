"""Strata of a Cox model: levels of clinical variables, each with a baseline hazard of its own (R strata()).

The coefficients are those of the stratified partial likelihood. Linear predictors of two strata would not be
comparable, so a frozen model adds to each the log of its stratum's cumulative baseline hazard at one time, less the
mean over training patients; the baselines are divided by the same. No risk changes by it, and the linear predictor
ranks all patients by their risk at that time: one cut-point, one C.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

UNKNOWN = ""  # the stratum of a patient who has no value


def strata_of(clinical: pd.DataFrame, declared: list[dict[str, Any]]) -> np.ndarray:
    """The stratum of every row (n,), such as `Centre = A, Sex = man`; empty where a variable is missing."""
    parts = []
    for item in declared:
        names = {float(code): f"{item['label']} = {level}" for code, level in enumerate(item["levels"])}
        if item["term"] in clinical:
            cells = clinical[item["term"]]
        else:
            cells = pd.Series(np.nan, index=clinical.index)
        parts.append(cells.map(names))
    table = pd.concat(parts, axis=1)
    texts = table.fillna("").agg(", ".join, axis=1)
    return texts.where(table.notna().all(axis=1), UNKNOWN).to_numpy(object)


def offsets(model: dict[str, Any], clinical: pd.DataFrame) -> np.ndarray:
    """What each row's stratum adds to its linear predictor (n,): NaN in a stratum without a baseline hazard."""
    if "strata" not in model:
        return np.zeros(len(clinical))
    known = {level["stratum"]: level["offset"] for level in model["strata"]["levels"]}
    strata = strata_of(clinical, model["strata"]["variables"])
    return np.array([known.get(name, np.nan) for name in strata], float)


def of_stratum(model: dict[str, Any], level: dict[str, Any]) -> dict[str, Any]:
    """The model of the patients of one stratum, as if it had no other."""
    unstratified = {key: value for key, value in model.items() if key != "strata"}
    if "competing" in model:
        unstratified["competing"] = model["competing"] | {"baseline": level["competing"]}
    limits = {key: level[key] for key in ("follow_up_months", "supported_months") if key in level}
    return unstratified | {"baseline": level} | limits
