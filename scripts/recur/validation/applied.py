"""Frozen models applied to training and held-out rows; nothing is fitted.

Rows are those of recur.cohort.training.read_rows: patients, features (n, p) and their names.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.predict.apply import apply_models
from recur.predict.signature import signature_scores
from recur.vocabulary import MODELS, TRAIN

Rows = tuple[pd.DataFrame, np.ndarray, list[str]]


def risk_table(models: dict[str, dict[str, Any]], signature: dict[str, Any] | None, sides: list[Rows]) -> pd.DataFrame:
    """What every model says of every patient, model by model; raises NotEstimable if the signature cannot be applied.

    sides: training and held-out rows, those with patients.
    """
    place = {name: i for i, name in enumerate(MODELS)}
    table = pd.concat([apply_models(models, signature, *rows) for rows in sides])
    return table.sort_values("model", key=lambda names: names.map(place).fillna(len(place)), kind="stable")


def scores_of(signature: dict[str, Any] | None, rows: Rows) -> np.ndarray | None:
    """The signature's score (n,) of each patient; None without a signature. Raises NotEstimable as above."""
    if signature is None:
        return None
    frame, values, names = rows
    return signature_scores(signature, values, names, frame["centre"].fillna("").to_numpy(object))


def score_table(
    sides: list[Rows], scores: list[np.ndarray | None], training_scores: pd.DataFrame | None
) -> pd.DataFrame:
    """patient_id, cohort, score and score_out_of_fold: of training patients, a score that they had no part in.

    scores: of each side; training_scores: patient_id and second_stage, where the models were fitted on such scores.
    """
    parts = []
    for (frame, _, _), score in zip(sides, scores, strict=True):
        parts.append(frame[["patient_id", "cohort"]].assign(score=np.nan if score is None else score))
    table = pd.concat(parts)
    known = {} if training_scores is None else training_scores.set_index("patient_id")["second_stage"]
    out_of_fold = table["patient_id"].map(known).where(table["cohort"] == TRAIN)
    return table.assign(score_out_of_fold=out_of_fold.astype(float))


def joined(rows: Rows) -> pd.DataFrame:
    """Patients with their features as columns."""
    frame, values, names = rows
    return pd.concat([frame, pd.DataFrame(values, columns=names)], axis=1)
