"""The training rows: the one thing a fit may see."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from recur.statistics.ipcw import censoring_weights
from recur.tables import StudyError, read_made

TRAIN = "train"

# those that an endpoint has: time and event; event, with follow_up where the censored are weighted; or level
OUTCOME = ("time", "follow_up", "event", "level")
NOT_VARIABLES = ["patient_id", "centre", "cohort", *OUTCOME]
COMPETING = "competing"  # column of death without recurrence, where the endpoint has it


class Training(NamedTuple):
    """Training rows, the only thing a fit may see. Row i of every array is one patient (or one draw of a resample)."""

    patient_id: np.ndarray  # (n,) original ids, repeated in resamples: folds keep a patient together
    time: np.ndarray  # (n,) months; all 0 of a binary outcome: the pairs of Harrell's C are then those of the AUC
    event: np.ndarray  # (n,) 0/1 (0 also where not known); of an ordinal or categorical outcome the place of the level
    clinical: pd.DataFrame  # (n, ...) declared variables
    features: np.ndarray  # (n, p); p = 0 for clinical models
    repeats: np.ndarray  # (n, readers - 1, p) further readings, NaN where a patient was read once
    names: list[str]  # p feature names
    competing: np.ndarray | None = None  # (n,) 0/1 death without recurrence; None when the endpoint has none
    centre: np.ndarray | None = None  # (n,) names; only harmonisation looks at them
    binary: bool = False  # the outcome has no time
    follow_up: np.ndarray | None = None  # (n,) months, cut at the horizon, of a binary outcome there; else None
    strata: np.ndarray | None = None  # (n,) names, of a fit with a baseline hazard for each
    known: np.ndarray | None = None  # (n,) whether the outcome at the horizon is: False where censored before it

    def rows(self, index: np.ndarray) -> Training:
        """The training set of the given rows (repeats allowed); further readings follow their patients."""
        clinical = self.clinical.iloc[index].reset_index(drop=True)
        arrays = [array[index] for array in (self.patient_id, self.time, self.event)]
        known = {name: getattr(self, name) for name in ("competing", "centre", "follow_up", "known", "strata")}
        optional = {name: None if array is None else array[index] for name, array in known.items()}
        optional["binary"] = self.binary
        return Training(*arrays, clinical, self.features[index], self.repeats[index], self.names, **optional)

    @property
    def weight(self) -> np.ndarray | None:
        """Weights (n,) for censoring before the horizon, 0 where the outcome is not known; None without a horizon.

        Estimated on these rows: those of a fold or resample are its own.
        """
        return self.weight_of(slice(None))

    def weight_of(self, index: np.ndarray | slice) -> np.ndarray | None:
        """The weights of the given rows, estimated on them alone."""
        return None if self.follow_up is None else censoring_weights(self.follow_up[index], self.known[index])

    @property
    def read_twice(self) -> np.ndarray:
        """(n,) whether all readings of the row exist."""
        if not self.repeats.size:
            return np.zeros(len(self.time), bool)
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
    clinical = frame.drop(columns=[*NOT_VARIABLES, COMPETING], errors="ignore")
    binary = "time" not in frame
    outcome = frame["level" if "level" in frame else "event"]
    weighted = "follow_up" in frame
    time = np.zeros(len(frame)) if binary else frame["time"].to_numpy(float)
    competing = frame[COMPETING].to_numpy(int) if COMPETING in frame else None
    follow_up = frame["follow_up"].to_numpy(float) if weighted else None
    known = outcome.notna().to_numpy() if weighted else None
    return Training(
        frame["patient_id"].to_numpy(object),
        time,
        outcome.fillna(0).to_numpy(int),
        clinical,
        values,
        third,
        names,
        competing=competing,
        centre=frame["centre"].fillna("").to_numpy(object),
        binary=binary,
        follow_up=follow_up,
        known=known,
    )
