"""From rows of a phase or a lesion to one row a patient."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recur.features.cells import few, who
from recur.features.lesions import aggregated
from recur.features.names import joined, source_of
from recur.features.tumour_size import burden_column
from recur.study.coding import as_declared
from recur.tables import NAMED, StudyError


def phase_of_rows(table: pd.DataFrame, ids: pd.Series, settings: dict[str, Any], path: str | Path) -> pd.Series | None:
    """The declared phase of each row; None of a table without `features.phase`.

    Raises StudyError for rows of another phase or of none, and for a declared phase that no row has.
    """
    column = settings.get("phase")
    if not column:
        return None
    declared = [str(phase) for phase in settings["phases"]]
    cells = as_declared(table[column], declared)
    strange = ~cells.isin(declared)
    problems = []
    if strange.any():
        cells_shown = ", ".join(repr(cell) for cell in sorted(cells[strange].fillna("").unique())[:NAMED])
        problems.append(
            f"{path}: {who(dict.fromkeys(ids[strange]))}: column {column} holds {cells_shown}, beyond features.phases "
            f"({', '.join(declared)}); correct it, or declare the phase (an analysis may use some: analyses.*.phases)"
        )
    absent = [phase for phase in declared if not (cells == phase).any()]
    if absent:
        problems.append(f"{path}: column {column} nowhere holds {few(absent)} (features.phases)")
    if problems:
        raise StudyError(problems)
    return cells


def one_row_of_phases(
    values: pd.DataFrame, cells: pd.DataFrame, phases: np.ndarray, settings: dict[str, Any], path: str | Path
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Rows of a patient and phase as one row a patient: values and cells with columns `<phase>_<column>`, and remarks.

    values, cells: by patient id, a row a phase; phases (rows,): whose. A phase that a patient lacks is missing, a
    column without a number in a whole phase is left out. Several lesions of a phase are joined as a patient's are.
    """
    parts, texts = [], []
    for phase in settings["phases"]:
        rows = phases == str(phase)
        prefix = joined(str(phase), "")
        of_phase, text = values[rows].add_prefix(prefix), cells[rows].add_prefix(prefix)
        if of_phase.index.duplicated().any():
            within = settings | {"tumour_volume": tumour_volume_in(settings, str(phase), list(of_phase))}
            of_phase = one_row_a_patient(of_phase, within, path)
        parts.append(of_phase)
        texts.append(text[~text.index.duplicated()])
    wide = pd.concat(parts, axis=1).rename_axis(None)
    read = pd.concat(texts, axis=1).reindex(wide.index)
    empty = [name for name in wide if wide[name].isna().all()]
    counts = ", ".join(f"{phase} {len(part)}" for phase, part in zip(settings["phases"], parts, strict=True))
    said = [f"{len(values)} rows, one a phase, of {len(wide)} patients ({counts})"]
    said += [f"{len(empty)} columns left out, empty in their phase: {few(empty)}"] if empty else []
    names = sorted(set(wide) - set(empty))
    return wide[names], read[names], said


def said_of_phases(missing: pd.DataFrame, rows: set[tuple[str, str]]) -> list[str]:
    """The reasons of missing cells `<phase>_<column>`, with the phase where a patient has no row of it."""
    reasons = []
    for patient, feature, reason in missing[["patient_id", "feature", "reason"]].itertuples(index=False):
        phase = source_of(feature)
        reasons.append(reason if (patient, phase) in rows else f"no row of phase {phase}")
    return reasons


def long_to_wide(table: pd.DataFrame, ids: pd.Series, column: str, phases: list[str]) -> pd.DataFrame:
    """A long table's cells with a row a patient, columns `<phase>_<column>`; a patient with a phase twice has two rows.

    Rows of other phases are left out. The index is the patient.
    """
    cells = as_declared(table[column], phases)
    again = table.groupby([ids, cells]).cumcount()
    parts = []
    for phase in phases:
        rows = (cells == phase).fillna(False).to_numpy(bool)
        parts.append(table[rows].set_axis([ids[rows], again[rows]], axis=0).add_prefix(joined(phase, "")))
    return pd.concat(parts, axis=1).droplevel(1)


def tumour_volume_in(settings: dict[str, Any], phase: str, names: list[str]) -> str | None:
    """The column of the tumour's volume in one phase, by which its lesions are joined."""
    declared = settings.get("tumour_volume")
    if declared and joined(phase, declared) in names:
        return joined(phase, declared)
    return burden_column(names, "volume", None, [phase])


def one_row_a_patient(values: pd.DataFrame, settings: dict[str, Any], path: str | Path) -> pd.DataFrame:
    """Rows of several lesions of a patient joined as those of images are, the largest lesion first."""
    how = settings["lesion_aggregate"]
    column = burden_column(list(values.columns), "volume", settings.get("tumour_volume"))
    if column is None and how in ("volume_weighted_mean", "largest"):
        raise StudyError(
            f"{path}: features.lesion_aggregate {how} needs each lesion's volume; name its column "
            "(features.tumour_volume)"
        )
    rows = {}
    for patient, part in values.groupby(level=0, sort=True):
        volume = part[column].fillna(0.0) if column else pd.Series(1.0, index=part.index)
        order = np.argsort(-volume.to_numpy(), kind="stable")
        if how == "volume_weighted_mean" and not volume.gt(0).any():
            remedy = f"give them (column {column}), or another features.lesion_aggregate"
            raise StudyError(f"{path}: patient {patient}: no lesion has a volume; {remedy}")
        lesions = part.iloc[order].to_dict("records")
        rows[patient] = aggregated(lesions, list(volume.to_numpy()[order]), how)
    return pd.DataFrame.from_dict(rows, orient="index", columns=values.columns)
