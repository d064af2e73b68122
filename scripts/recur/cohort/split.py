"""Who is in train, test or external.

`assign_cohorts` is the only place that decides it; no image has been read by then.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.exclusions import why_gone
from recur.study import coding
from recur.study.facts import splits_of
from recur.tables import Problem, StudyError
from recur.vocabulary import EXTERNAL, TRAIN


def centres_named(split: dict[str, Any]) -> list[str]:
    """The centres that a split names."""
    return [*split["train"], *split["external"]] if split["kind"] == "centre" else []


def split_warnings(table: pd.DataFrame, centre: pd.Series, study: dict[str, Any]) -> list[str]:
    """How many patients a split leaves out, by the cell that it does not name."""
    found = []
    for name, split in splits_of(study).items():
        if split["kind"] not in ("centre", "column"):
            continue
        named = [*split["train"], *split.get("external", []), *split.get("test", [])]
        cells = centre if split["kind"] == "centre" else coding.as_declared(table[split["column"]], named).fillna("")
        out = cells[~cells.isin(named)]
        if len(out):
            cells = ", ".join(repr(cell) if cell else "empty cells" for cell in sorted(out.unique()))
            found.append(f"{name}: {len(out)} patients are in no part of the split: {cells}")
    return found


def assign_cohorts(
    ids: pd.Series, centre: pd.Series, split: dict[str, Any], seed: int, column: pd.Series | None = None
) -> pd.Series:
    """The split: `train`, `test`, `external-<centre>`, or empty for a patient the split leaves out.

    kind `random` orders patients by a hash of (seed, id) and takes the first share as training, so the result
    depends neither on the order of the rows nor on any outcome or image.
    """
    if split["kind"] == "none":
        return pd.Series(TRAIN, index=ids.index)
    if split["kind"] == "random":
        order = ids.map(lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).hexdigest()).rank(method="first")
        return pd.Series(np.where(order <= round(split["train_fraction"] * len(ids)), TRAIN, "test"), index=ids.index)
    if split["kind"] == "centre":
        names = {name: f"{EXTERNAL}{name}" for name in split["external"]} | dict.fromkeys(split["train"], TRAIN)
        return centre.map(names).fillna("")
    names = dict.fromkeys(split["test"], "test") | dict.fromkeys(split["train"], TRAIN)
    return column.map(names).fillna("")


def assign_all(
    study: dict[str, Any], clinical: pd.DataFrame, cells: pd.DataFrame, excluded: list[Problem] | None = None
) -> pd.DataFrame:
    """patient_id, centre, cohort, and cohort_<analysis> for every analysis with a split of its own.

    clinical, cells, excluded: of the Cohort. Raises StudyError for a part of a split that is empty, with the commonest
    reasons of `excluded`.
    """
    try:
        return _assigned(study, clinical, cells)
    except StudyError as error:
        raise StudyError([*error.problems, *why_gone(excluded or [])]) from None


def _assigned(study: dict[str, Any], clinical: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    assigned = clinical[["patient_id", "centre"]].copy()
    for name, split in splits_of(study).items():
        column = None
        if split["kind"] == "column":
            table = cells.drop_duplicates(study["clinical"]["id"]).set_index(study["clinical"]["id"])
            named = [*split["train"], *split["test"]]
            column = assigned["patient_id"].map(coding.as_declared(table[split["column"]], named))
        check_names(name, split, column if column is not None else assigned["centre"])
        assigned[name] = assign_cohorts(assigned["patient_id"], assigned["centre"], split, study["seed"], column)
        if not (assigned[name] == TRAIN).any():
            raise StudyError(f"{name}: the split {split} leaves no training patient; let some train (split)")
    return assigned


def check_names(name: str, split: dict[str, Any], cells: pd.Series) -> None:
    """Raise StudyError for a centre or cell that a split names and no patient has."""
    named = [value for key in ("train", "external", "test") for value in split.get(key, [])]
    absent = sorted(set(named) - set(cells.dropna()))
    if absent:
        known = ", ".join(sorted(set(cells.dropna())))
        raise StudyError(f"{name}: the split names {value!r}, which no patient has, of {known}" for value in absent)


def training_patients(assigned: pd.DataFrame, count: int | None, seed: int) -> set[str]:
    """Patients that train in every analysis, all or `count` of them, chosen by a hash of the seed and their id."""
    splits = [name for name in assigned.columns if name.startswith("cohort")]
    train = assigned.loc[assigned[splits].eq(TRAIN).all(axis=1), "patient_id"]
    order = sorted(train, key=lambda patient: hashlib.sha256(f"{seed}/{patient}".encode()).digest())
    return set(order[:count])
