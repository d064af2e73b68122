"""Folds of patients: stratified on the event, all rows of a patient together."""

from __future__ import annotations

import numpy as np


def grouped_folds(patient_id: np.ndarray, event: np.ndarray, folds: int, rng: np.random.Generator) -> np.ndarray:
    """Fold number of every row (n,), stratified on the event, all rows of a patient in one fold."""
    patients, first, inverse = np.unique(patient_id, return_index=True, return_inverse=True)
    fold = np.empty(len(patients), int)
    start = 0
    for value in (1, 0):
        members = np.flatnonzero(event[first].astype(int) == value)
        rng.shuffle(members)
        fold[members] = (np.arange(len(members)) + start) % folds
        start += len(members)
    return fold[inverse]
