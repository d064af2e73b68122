"""Ready feature tables, as other people's programs wrote them: which columns are features, whose row is whose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.features.lesions import aggregated
from recur.features.names import joined, source_of
from recur.study.coding import as_declared
from recur.tables import NAMED, PATIENT_ID, REMARKS, StudyError, first_of, id_columns, read_table, with_id

# names as pyradiomics writes them, behind any prefix
FEATURE = re.compile(r"(?:^|_)(?:shape(?:2D)?|firstorder|glcm|gldm|glrlm|glszm|ngtdm)_[A-Za-z0-9]+$")
SIZE = re.compile(r"_shape(?:2D)?_.*(?:Volume|Area|Diameter|Length|Surface)")
STATED = re.compile(r"diagnostics_(?:Versions_PyRadiomics|Configuration_|Image-interpolated_Spacing)")
DIAGNOSTIC = "diagnostics_"  # pyradiomics' own account of an extraction: no features
INDEX = re.compile(r"unnamed: \d+|column\d+|index|row|nr\.?|no\.?|#", re.IGNORECASE)
NUMBER_LIKE = re.compile(r"[<>≤≥~]?\s*[-+−]?\d[\d.,'\s]*(?:e[-+]?\d+)?\s*%?", re.IGNORECASE)
VERSION = re.compile(r"\d+\.\d+\.\d+")
TUMOUR = {"tumour", "tumor", "lesion", "gtv"}
SHELLS = ("rim", "ring", "shell", "margin", "peri")
ORGANS = {"liver", "background", "healthy", "parenchyma", "spleen", "body", "organ", "lung"}
FEW_WORDS = 10
MEASURES = {"size": "original_shape_Maximum3DDiameter", "volume": "original_shape_MeshVolume"}


class Imported(NamedTuple):
    """A feature table as it was read."""

    features: pd.DataFrame  # patient_id and the features, columns by name, rows by patient; NaN where a cell is missing
    missing: pd.DataFrame  # patient_id, feature, reason: the cells that are NaN
    remarks: list[str]  # columns and rows that were left out, a line each
    diagnostics: pd.DataFrame  # patient_id and the settings and version that the table states of its extraction


def read_features(settings: dict[str, Any], path: str | Path, reserved: dict[str, str] | None = None) -> Imported:
    """Read a feature table with one row a patient, or one a lesion where `lesion_aggregate` says how they are joined.

    settings: the study's `features` (id, pattern; sheet, missing_values, phase, phases, lesion_aggregate,
    tumour_volume); reserved: columns that are an outcome, a date, an id, a centre or known after the operation only ->
    the study's key for it. With `phase`, a row a patient and phase: the features are `<phase>_<column>`.
    Raises StudyError, with all problems, for such a column among the features, for features that hold text, for sizes
    below 0, for an id that stands there twice (in a phase) or cannot be one, for a phase that is not declared.
    """
    wanted = re.compile(settings["pattern"])
    not_features = {*id_columns(settings["id"]), settings.get("phase")}
    table = read_table(path, settings.get("sheet"), lambda column: column in not_features or wanted.search(column))
    table = with_id(table, settings["id"])
    for key in ("id", "phase"):
        if settings.get(key) and settings[key] not in table.columns:
            raise StudyError(f"{path}: no column {settings[key]!r} (features.{key})")
    ids = ids_of(table[settings["id"]])
    remarks = []
    blank = ids.eq("")
    if blank.any():
        lines = ", ".join(str(row + 2) for row in np.flatnonzero(blank)[:NAMED])
        remarks.append(f"{blank.sum()} rows without a patient id left out (line {lines})")
        table, ids = table[~blank], ids[~blank]
    rest = table.drop(columns=[name for name in not_features if name in table])
    names, numbers, said = feature_columns(rest, settings, path, reserved or {})
    declared = table.attrs.get(REMARKS, {})
    said += [f"column {name}: {declared[name]}" for name in names if declared.get(name)]
    phases = phase_of_rows(table, ids, settings, path)
    problems = size_problems(numbers, ids, path)
    for phase in [None] if phases is None else settings["phases"]:
        rows = np.ones(len(ids), bool) if phase is None else (phases == str(phase)).to_numpy()
        problems += id_problems(table[rows], ids[rows], settings, path, phase)
    if problems:
        raise StudyError(problems)
    cells = table[names].set_axis(ids, axis=0)
    result = numbers.set_axis(ids, axis=0)
    if phases is not None:
        result, cells, widened = one_row_of_phases(result, cells, phases.to_numpy(), settings, path)
        remarks += widened
    elif ids.duplicated().any():
        result = one_row_a_patient(result, settings, path)
        remarks.append(f"{len(ids)} lesions of {len(result)} patients joined by {settings['lesion_aggregate']}")
    result = result.sort_index()
    stated = table[[name for name in table if DIAGNOSTIC in name and STATED.search(name)]]
    stated = stated.set_axis(ids, axis=0)[~ids.duplicated().to_numpy()]
    missing = missing_cells(result, cells)
    if phases is not None:
        missing["reason"] = said_of_phases(missing, set(zip(ids, phases, strict=True)))
    return Imported(
        result.rename_axis("patient_id").reset_index(),
        missing,
        remarks + said,
        stated.rename_axis("patient_id").reset_index(),
    )


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


def ids_of(column: pd.Series) -> pd.Series:
    """Patient ids as text without blanks around them, "" where there is none; 7.0 of a binary format is 7."""
    if pd.api.types.is_float_dtype(column):
        integers = column.dropna() % 1 == 0
        column = column.astype("Int64") if integers.all() else column
    return column.astype("string").str.strip().fillna("").astype(object)


def who(patients: Iterable[str]) -> str:
    """`patient P1`, or `4 patients (P1, P2, P3, ...)`."""
    patients = list(patients)
    if len(patients) == 1:
        return f"patient {patients[0]}"
    return f"{len(patients)} patients ({first_of(patients)})"


def few(names: Iterable[str]) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def told_apart(table: pd.DataFrame, ids: pd.Series) -> list[str]:
    """Columns of a few words each, such as a phase or a reader, in which the rows of one patient differ."""
    columns = []
    for name in table:
        cells = table[name].astype(str)
        words = pd.to_numeric(cells, errors="coerce").isna().all() and cells.nunique() <= FEW_WORDS
        if words and cells.groupby(ids.to_numpy()).nunique().max() > 1:
            columns.append(name)
    return columns


def id_problems(
    table: pd.DataFrame, ids: pd.Series, settings: dict[str, Any], path: str | Path, phase: str | None = None
) -> list[str]:
    """Ids that cannot be ids, and rows of one patient (in a phase) that nothing says how to join."""
    unsafe = [name for name in ids if not PATIENT_ID.fullmatch(name)]
    problems = []
    if unsafe:
        shown = few(repr(name) for name in unsafe)
        problems.append(f"{path}: patient id {shown}: only letters, digits, '.', '_' and '-', at most 64")
    repeated = sorted(set(ids[ids.duplicated()]))
    if repeated and not settings.get("lesion_aggregate"):
        stand = "stands" if len(repeated) == 1 else "stand"
        apart = told_apart(table, ids)
        differ = f" (their rows differ in {few(apart)})" if apart else ""
        remedy = "remove the rows too many, name the column of the phase (features.phase) if they are phases"
        if phase is not None:
            stand = f"with {settings['phase']} {phase} {stand}"
            remedy = "remove the rows too many"
        problems.append(
            f"{path}: {who(repeated)} {stand} there twice{differ}; {remedy}, or say with features.lesion_aggregate how "
            "several lesions become one row"
        )
    return problems


def feature_columns(
    table: pd.DataFrame, settings: dict[str, Any], path: str | Path, reserved: dict[str, str]
) -> tuple[list[str], pd.DataFrame, list[str]]:
    """The features by name, their numbers (NaN for what is none), and a line for each kind of column left out."""
    names = sorted(name for name in table.columns if re.search(settings["pattern"], name))
    known = {column.casefold(): place for column, place in reserved.items()}
    diagnostics = [name for name in names if DIAGNOSTIC in name]
    names = [name for name in names if DIAGNOSTIC not in name]
    numbers = numbers_of(table[names], settings.get("missing_values", []))
    text = [name for name in names if numbers[name].isna().all() and table[name].notna().any()]
    empty = [name for name in names if table[name].isna().all()]
    index = [name for name in names if INDEX.fullmatch(name) and counts_rows(numbers[name])]
    problems = []
    outcomes = [name for name in names if name.casefold() in known and name not in text]
    if outcomes:
        shown = few(f"{name} ({known[name.casefold()]})" for name in outcomes)
        problems.append(
            f"{path}: {shown}: outcomes, dates, ids, centres and what is known after the operation only cannot be "
            f"features; narrow features.pattern ({settings['pattern']!r}){proposal(names)}"
        )
    spoilt = [name for name in text if FEATURE.search(name) or looks_like_numbers(table[name])]
    if spoilt:
        cell = table[spoilt[0]].dropna().iloc[0]
        problems.append(
            f"{path}: {len(spoilt)} columns hold text where numbers are expected: {few(spoilt)} ({cell!r}); write "
            "numbers with a decimal point and nothing else, or narrow features.pattern"
        )
    gone = {*text, *empty, *index}
    names = [name for name in names if name not in gone]
    if not names and not problems:
        problems.append(f"{path}: no numeric column matches features.pattern {settings['pattern']!r}")
    if problems:
        raise StudyError(problems)
    kinds = (("text", text), ("empty", empty), ("row numbers", index), ("of the extraction's diagnostics", diagnostics))
    said = [f"{len(columns)} columns left out, {what}: {few(columns)}" for what, columns in kinds if columns]
    return names, numbers[names], said


def proposal(names: list[str]) -> str:
    """A pattern that fits pyradiomics' names, where most of the columns have such."""
    starts = {match[0] for name in names if FEATURE.search(name) and (match := re.match(r"[A-Za-z0-9]+_", name))}
    if not starts or len(starts) > 4:
        return ""
    return f", such as '^({'|'.join(sorted(starts))})'"


def numbers_of(table: pd.DataFrame, missing: list[str]) -> pd.DataFrame:
    """Cells as finite numbers; NaN for text, dates, infinities, and the cells that are said to mean missing."""
    read = {}
    for name in table.columns:
        cells = table[name]
        if pd.api.types.is_datetime64_any_dtype(cells):
            read[name] = pd.Series(np.nan, index=cells.index)
            continue
        numbers = pd.to_numeric(cells, errors="coerce").astype(float)
        codes = [code for code in (pd.to_numeric(text, errors="coerce") for text in missing) if pd.notna(code)]
        gone = numbers.isin(codes) | cells.astype(str).isin(missing)
        read[name] = numbers.mask(gone | ~np.isfinite(numbers))
    return pd.DataFrame(read, index=table.index)


def counts_rows(numbers: pd.Series) -> bool:
    """Whether a column only numbers the rows (from 0 or 1), or holds one number throughout."""
    steps = np.diff(numbers.to_numpy())
    return bool((steps == 1).all() or (steps == 0).all())


def looks_like_numbers(cells: pd.Series) -> bool:
    """Whether most cells of a text column would be numbers but for a comma, a sign or a unit."""
    text = cells.dropna().astype(str).str.strip()
    like = text.map(lambda cell: bool(NUMBER_LIKE.fullmatch(cell)) and not VERSION.match(cell))
    return bool(len(text)) and like.mean() > 0.5


def is_standardised(values: pd.Series) -> bool:
    """Whether a column has mean 0 and SD 1: somebody made z-scores of it."""
    return abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05


def size_problems(numbers: pd.DataFrame, ids: pd.Series, path: str | Path) -> list[str]:
    """Sizes below 0, a line a column; z-scores are no sizes any more, and are remarked on elsewhere."""
    problems = []
    for name in [name for name in numbers if SIZE.search(name)]:
        below = numbers[name] < 0
        if below.any() and not is_standardised(numbers[name]):
            values = ", ".join(f"{value:g}" for value in numbers[name][below][:NAMED])
            problems.append(
                f"{path}: {who(ids[below])}: {name} is {values}, which no size can be; correct it, or declare the code "
                "of missing cells (features.missing_values)"
            )
    return problems


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


def missing_cells(values: pd.DataFrame, cells: pd.DataFrame | None = None) -> pd.DataFrame:
    """Every feature that a patient lacks: patient_id, feature, reason (`missing`, or the cell that is no number).

    values by patient id; cells: the table as it was read, where it is at hand.
    """
    row, column = np.nonzero(values.isna().to_numpy())
    patients, names = values.index[row], values.columns[column]
    reasons = ["missing"] * len(row)
    if cells is not None:
        first = cells[~cells.index.duplicated()].loc[values.index]
        reasons = [said_of(cell) for cell in first.to_numpy(object)[row, column]]
    return pd.DataFrame({"patient_id": patients, "feature": names, "reason": reasons})


def said_of(cell: Any) -> str:
    """Why a cell is no feature's value; a number that is none is a code, or that of a lesion among others."""
    if pd.isna(cell) or not str(cell).strip() or np.isfinite(pd.to_numeric(cell, errors="coerce")):
        return "missing"
    return f"{cell!r} is no number"


def burden_column(names: list[str], target: str, declared: str | None, phases: Iterable[str] = ()) -> str | None:
    """The column of the tumour's size (largest 3-D diameter) or volume (mesh) in a feature table; None if it has none.

    target: size or volume; declared: the column that the study names. Otherwise the only one whose prefix speaks of a
    tumour, or the only one at all whose prefix speaks of nothing else; several phases of one region are no doubt, the
    first of `phases` is taken, or the first by name. Raises StudyError, with the candidates, where several regions or
    none in particular could be meant, and for a declared column that is not there.
    """
    if declared is not None:
        if declared not in names:
            raise StudyError(f"features.tumour_{target}: {declared!r} is no feature column of the table; name one")
        return declared
    candidates = [name for name in names if name.endswith(MEASURES[target])]
    words = {name: prefix_words(name.removesuffix(MEASURES[target])) for name in candidates}
    candidates = [name for name in candidates if not beside(words[name])]
    candidates = [name for name in candidates if TUMOUR & set(words[name])] or candidates
    place = {phase.casefold(): number for number, phase in enumerate(phases)}
    if len({region_words(words[name], place) for name in candidates}) > 1:
        raise StudyError(
            f"features: {len(candidates)} columns could be the tumour's {target}: {few(sorted(candidates))}; name the "
            f"right one (features.tumour_{target}), or a clinical variable (clinical.tumour_{target})"
        )
    candidates.sort(key=lambda name: (min([place.get(word, len(place)) for word in words[name]], default=0), name))
    return candidates[0] if candidates else None


def region_words(words: list[str], phases: dict[str, int]) -> tuple[str, ...]:
    """The words of a prefix without the phase: one that the study names, or the first before a tumour's name."""
    if len(words) == 2 and words[1] in TUMOUR:
        return (words[1],)
    return tuple(word for word in words if word not in phases)


def prefix_words(prefix: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", prefix.casefold()) if word]


def beside(words: list[str]) -> bool:
    """Whether a prefix means something other than the tumour: Liver, tumour_rim5, peritumoral; not liver_tumour."""
    organ = bool(ORGANS & set(words)) and words[-1] not in TUMOUR
    return organ or any(word.startswith(SHELLS) for word in words)
