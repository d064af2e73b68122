"""How far in time the training patients support a frozen model's risks (see recur.predict.support)."""

from __future__ import annotations

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
    model = model | {"supported_months": supported_until(train.outcome.time)}
    if "strata" not in model:
        return model
    strata = np.asarray(strata_of(train.clinical, model["strata"]["variables"]))
    levels = [
        level | {"supported_months": supported_until(train.outcome.time[strata == level["stratum"]])}
        for level in model["strata"]["levels"]
    ]
    return model | {"strata": model["strata"] | {"levels": levels}}


def supported_until(time: np.ndarray) -> float:
    """The last time (months) at which MIN_AT_RISK patients are still followed; 0 where there never were so many."""
    if len(time) >= MIN_AT_RISK:
        return float(np.sort(time)[-MIN_AT_RISK])
    return 0.0
