"""Ordinal and categorical endpoints: training patients predicted by models fitted without their fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.fit.categories import category_models
from recur.predict.categories import risk_rows
from recur.statistics.folds import grouped_folds
from recur.vocabulary import NESTED


def cross_validated(train: Training, settings: dict[str, Any], seed: int) -> pd.DataFrame:
    """Probabilities of every training patient by models fitted without their fold: model, patient_id, level, p_<level>.

    Folds are stratified on whether the level is the commonest; a fold whose model cannot be estimated has no rows.
    """
    plan = settings["internal_validation"]
    parts = []
    for repeat in range(plan["nested_repeats"]):
        rng = np.random.default_rng([seed, 4, repeat])
        fold = grouped_folds(
            train.patient_id,
            train.outcome.event == np.bincount(train.outcome.event).argmax(),
            plan["nested_folds"],
            rng,
        )
        for number in np.unique(fold):
            held = np.flatnonzero(fold == number)
            models = category_models(train.rows(np.flatnonzero(fold != number)), settings, seed)
            for name, model in models.items():
                if "failed" not in model:
                    table = risk_rows(
                        name, model, train.rows(held).clinical, train.outcome.event[held], train.patient_id[held]
                    )
                    parts.append(table.assign(repeat=repeat, cohort=NESTED))
    if parts:
        return pd.concat(parts, ignore_index=True)
    return pd.DataFrame()
