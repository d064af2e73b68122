"""How far in time a frozen model says a risk: as far as enough training patients were followed, and no further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recur.cohort.training import Training
from recur.predict.strata import strata_of
from recur.statistics.estimate import MIN_AT_RISK


def with_support(model: dict[str, Any], train: Training) -> dict[str, Any]:
    """The model with `supported_months`, of each stratum too; a logistic model has no times and stays as it is.

    Only of models that are frozen for use: what resamples and folds predict is judged on patients whose own number at
    risk is counted.
    """
    if "follow_up_months" not in model:
        return model
    model = model | {"supported_months": supported_until(train.time)}
    if "strata" not in model:
        return model
    strata = np.asarray(strata_of(train.clinical, model["strata"]["variables"]))
    levels = [
        level | {"supported_months": supported_until(train.time[strata == level["stratum"]])}
        for level in model["strata"]["levels"]
    ]
    return model | {"strata": model["strata"] | {"levels": levels}}


def supported_until(time: np.ndarray) -> float:
    """The last time (months) at which MIN_AT_RISK patients are still followed; 0 where there never were so many."""
    return float(np.sort(time)[-MIN_AT_RISK]) if len(time) >= MIN_AT_RISK else 0.0


def last_month(model: Mapping[str, Any]) -> float:
    """The time (months) up to which a model, or the level of a stratum, gives risks."""
    return model["supported_months"] if "supported_months" in model else model["follow_up_months"]


def why_no_risk(model: Mapping[str, Any], months: float) -> str:
    """Why a model, or the level of a stratum, has no risk at a time; empty where it has one."""
    if months <= last_month(model):
        return ""
    if months > model["follow_up_months"]:
        return f"training follow-up ends at {model['follow_up_months']:.1f}"
    end = f", the tenth last until {model['supported_months']:.1f}" if model["supported_months"] else ""
    return f"fewer than {MIN_AT_RISK} training patients were followed so long{end}"
