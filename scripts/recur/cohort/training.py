"""The training rows: the one thing a fit may see."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from recur.statistics.ipcw import censoring_weights

TRAIN = "train"


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
