"""Why a model cannot be estimated: which columns separate the outcome or are sums of others, and what to do."""

from __future__ import annotations

from typing import Any

import numpy as np


def blame(design: np.ndarray, columns: list[dict[str, Any]], event: np.ndarray) -> str:
    """Which columns (n, p) cannot have an estimate, and what to do, to follow the reason of a failed fit; "" if none.

    A level whose patients all have one outcome, and columns that are a sum of others.
    """
    event = np.asarray(event).astype(bool)
    reasons = []
    for j, column in enumerate(columns):
        values, counts = np.unique(design[:, j], return_counts=True)
        if len(values) != 2:
            continue
        for value, n in zip(values, counts, strict=True):
            events = int(event[design[:, j] == value].sum())
            if events == 0 or events == n:
                which = "with it" if value == values[-1] else "without it"
                reasons.append(f"{column['label']}: {events} events among the {n} training patients {which}")
    return remedy(reasons + combinations(design, columns))


def combinations(design: np.ndarray, columns: list[dict[str, Any]]) -> list[str]:
    """A line for each column of the design (n, p) that is a sum of the others."""
    centred = design - design.mean(axis=0)
    reasons = []
    for j, column in enumerate(columns):
        other_columns = np.delete(centred, j, axis=1)
        left = centred[:, j] - other_columns @ np.linalg.lstsq(other_columns, centred[:, j], rcond=None)[0]
        if np.abs(left).max() <= 1e-9 * np.abs(centred[:, j]).max():
            reasons.append(f"{column['label']}: a combination of the other terms")
    return reasons


def remedy(reasons: list[str]) -> str:
    """The columns that are to blame and what to do about them; "" where none is known."""
    if reasons:
        return f" ({'; '.join(reasons)}): leave it out of the candidates, or join its levels"
    return ""
