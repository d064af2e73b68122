"""How lucky a random split is: the whole fit on other random splits of the same patients (guard 6).

A diagnostic beside the study: it sees held-out patients, so nothing it fits is kept or passed on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cli import progress
from recur.cohort.split import assign_cohorts
from recur.cohort.training import Training
from recur.fit.whole import fit, predict
from recur.resampling.fits import imputed_once
from recur.statistics.concordance import c_index
from recur.statistics.estimate import NotEstimable
from recur.statistics.outcome import Outcome, outcome_of
from recur.vocabulary import TRAIN

COLUMNS = ["model", "split", "used", "c_train", "c_test"]


def both(first: np.ndarray | None, second: np.ndarray | None) -> np.ndarray | None:
    return None if first is None else np.concatenate([first, second])


def joined(train: Training, frame: pd.DataFrame, features: np.ndarray) -> Training:
    """Training rows and held-out rows (frame with time, event and the clinical variables; features (m, p)) together;
    held-out patients have no further readings.
    """
    unread = np.full((len(frame), *train.repeats.shape[1:]), np.nan)
    optional = {}
    if train.centre is not None:
        optional["centre"] = np.concatenate([train.centre, frame["centre"].to_numpy(object)])
    return train._replace(
        patient_id=np.concatenate([train.patient_id, frame["patient_id"].to_numpy(object)]),
        outcome=Outcome(*map(both, train.outcome, outcome_of(frame))),
        clinical=pd.concat([train.clinical, frame[list(train.clinical.columns)]], ignore_index=True),
        features=np.concatenate([train.features, features]),
        repeats=np.concatenate([train.repeats, unread]),
        **optional,
    )


def split_distribution(
    everyone: Training,
    used: np.ndarray,
    split: dict[str, Any],
    settings: dict[str, Any],
    seed: int,
    splits: int,
) -> pd.DataFrame:
    """C in training and test of every model on the split used (`used` (n,) is True for training; split 0) and on
    `splits` others drawn with the seeds seed + 1, seed + 2, ... (COLUMNS). One imputation a fit. A split whose fit
    is not estimable has NaN.
    """
    settings = imputed_once(settings)
    ids = pd.Series(everyone.patient_id)
    rows = []
    for number in progress(range(splits + 1), splits + 1, "other random splits"):
        in_train = used
        if number:
            cohorts = assign_cohorts(ids, pd.Series("", index=ids.index), split, seed + number)
            in_train = (cohorts == TRAIN).to_numpy()
        parts = everyone.rows(np.flatnonzero(in_train)), everyone.rows(np.flatnonzero(~in_train))
        try:
            frozen = fit(parts[0], settings, seed)
            scores = [predict(frozen, part.clinical, part.features, part.names, part.centre) for part in parts]
        except NotEstimable:
            rows.append(("", number, int(number == 0), np.nan, np.nan))
            continue
        for model in frozen.models:
            c = [
                c_index(score[model], part.outcome.pair_times, part.outcome.event, part.outcome.weight)
                for score, part in zip(scores, parts, strict=True)
            ]
            rows.append((model, number, int(number == 0), *c))
    return pd.DataFrame(rows, columns=COLUMNS)
