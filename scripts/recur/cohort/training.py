"""The training rows: the one thing a fit may see."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from recur.statistics.outcome import Outcome, outcome_of
from recur.tables import StudyError, read_made
from recur.vocabulary import TRAIN

# those that an endpoint has: time and event; event, with follow_up where the censored are weighted; or level
OUTCOME = ("time", "follow_up", "event", "level")
NOT_VARIABLES = ["patient_id", "centre", "cohort", *OUTCOME]
COMPETING = "competing"  # column of death without recurrence, where the endpoint has it


class Training(NamedTuple):
    """Training rows, the only thing a fit may see. Row i of every array is one patient (or one draw of a resample)."""

    patient_id: np.ndarray  # (n,) original ids, repeated in resamples: folds keep a patient together
    outcome: Outcome  # of an ordinal or categorical endpoint its event is the place of the level
    clinical: pd.DataFrame  # (n, ...) declared variables
    features: np.ndarray  # (n, p); p = 0 for clinical models
    repeats: np.ndarray  # (n, readers - 1, p) further readings, NaN where a patient was read once
    names: list[str]  # p feature names
    centre: np.ndarray | None = None  # (n,) names; only harmonisation looks at them
    strata: np.ndarray | None = None  # (n,) names, of a fit with a baseline hazard for each

    def rows(self, index: np.ndarray) -> Training:
        """The training set of the given rows (repeats allowed); further readings follow their patients."""
        return Training(
            self.patient_id[index],
            self.outcome.rows(index),
            self.clinical.iloc[index].reset_index(drop=True),
            self.features[index],
            self.repeats[index],
            self.names,
            None if self.centre is None else self.centre[index],
            None if self.strata is None else self.strata[index],
        )

    @property
    def read_twice(self) -> np.ndarray:
        """(n,) whether all readings of the row exist."""
        if not self.repeats.size:
            return np.zeros(len(self.patient_id), bool)
        return np.isfinite(self.repeats[:, :, 0]).all(axis=1)


def read_rows(cohort: str | Path, features: str | Path) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Cohort rows, their features (n, p) and the feature names, from the files of one side of the split."""
    frame = read_made(cohort)
    values = pd.read_parquet(features)
    if not frame["patient_id"].equals(values["patient_id"].astype(frame["patient_id"].dtype)):
        raise StudyError(f"{cohort} and {features} do not list the same patients")
    names = [name for name in values.columns if name != "patient_id"]
    return frame, values[names].to_numpy(float), names


def read_training(cohort: str | Path, features: str | Path, repeats: str | Path) -> Training:
    """The training set from its three files; refuses rows that are not training rows."""
    frame, values, names = read_rows(cohort, features)
    strangers = frame.loc[frame["cohort"] != TRAIN, "patient_id"]
    again = pd.read_parquet(repeats)
    outside = sorted(set(again["patient_id"]) - set(frame["patient_id"]))
    if len(strangers) or outside:
        raise StudyError(f"{cohort}: held-out patients among the training rows: {[*strangers, *outside][:5]}")
    readers = sorted(set(again["reader"]))
    third = np.full((len(frame), len(readers), len(names)), np.nan)
    row = {patient: i for i, patient in enumerate(frame["patient_id"])}
    for k, reader in enumerate(readers):
        part = again[again["reader"] == reader]
        third[[row[patient] for patient in part["patient_id"]], k] = part[names].to_numpy(float)
    return Training(
        frame["patient_id"].to_numpy(object),
        outcome_of_training(frame),
        frame.drop(columns=[*NOT_VARIABLES, COMPETING], errors="ignore"),
        values,
        third,
        names,
        frame["centre"].fillna("").to_numpy(object),
    )


def outcome_of_training(frame: pd.DataFrame) -> Outcome:
    """The outcome of training rows; of an ordinal or categorical endpoint the place of each row's level."""
    if "level" in frame:
        return Outcome(frame["level"].fillna(0).to_numpy(int))
    outcome = outcome_of(frame)
    if outcome.time is None:
        return outcome
    return outcome._replace(event=outcome.event.astype(int), time=outcome.time.astype(float))
