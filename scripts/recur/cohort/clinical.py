"""Floor 1: who is in the study, with which clinical values and endpoints, and in which cohort.

`assign_cohorts` is the only place that decides who is in train, test or external; no image has been read by then.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jsonschema import Draft202012Validator

from recur.cohort.dates import ISO, as_iso, iso_days, parse_dates
from recur.cohort.dates import NAMES as DATES
from recur.cohort.linkage import copies, copies_line
from recur.cohort.repeated_rows import one_row_a_patient
from recur.cohort.time_units import impossible_times, later_deaths, time_warnings
from recur.cohort.training import TRAIN
from recur.images.inventory import FILES, read_rows
from recur.study import coding
from recur.study.endpoints import (
    BY_HORIZON,
    DAYS_PER_MONTH,
    UNKNOWN,
    WITHOUT_TIME,
    beyond_milan,
    endpoint_as_level,
    endpoint_as_recorded,
    endpoint_from_dates,
    state_as_binary,
    state_at,
)
from recur.study.file import is_row_a_phase, schema, schema_problems, splits_of, used_variables
from recur.tables import (
    LABELS,
    PATIENT_ID,
    REMARKS,
    Problem,
    StudyError,
    first_of,
    grouped,
    id_columns,
    plain_cell,
    read_table,
    told,
    with_id,
)

DECIMAL_COMMA = re.compile(r"[<>]?\s*-?\d+,\d+")
NO_WIDTH = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))  # copied from web pages and PDF
ODD = "[\u200b\u200c\u200d\u2060\ufeff\u00ad\u2212\uff00-\uffef]"
WIDE_NUMBER = r"[-−－＜＞<>≤≥]?[\d０-９.．/／−－-]+"
TOTALS = re.compile(r"(?i)(grand )?totals?|sum|mean|average|median|count|n ?= ?\d+|summe|mittelwert")
OUTCOME_COLUMNS = ("time", "event", "competing", "competing_time", "column")  # keys of an endpoint that name a column
FIXED = ("t0_kind", "cutoff", "export")  # keys of the dates that name no column
APART, FEWEST_OF_CENTRE = 8, 5  # factor between medians of centres, and patients of a centre who have one
VISIT_COLUMNS = ["patient_id", "visits", "interval_first_2_years", "interval_later", "longest_gap"]


class Cohort(NamedTuple):
    """Checked input of floor 1; every frame has one row a patient, in the order of the ids."""

    clinical: pd.DataFrame  # patient_id, centre, one column a variable, as numbers (levels by their place)
    endpoints: pd.DataFrame  # patient_id, <endpoint>_time (months), <endpoint>_event (code); see read_endpoints
    exclusions: pd.DataFrame  # patient_id, floor, reason
    missing_endpoints: pd.DataFrame  # patient_id, endpoint, reason: patients that one endpoint's analyses leave out
    warnings: list[str]
    excluded: list[Problem]  # the reasons of `exclusions`, to be told
    left_out: dict[str, list[Problem]]  # by endpoint those of `missing_endpoints`, to be told
    cells: pd.DataFrame  # the table as text (clinical_cells), for what else is read from it: it is read once


def read_cohort(study: dict[str, Any]) -> Cohort:
    """Read and check the clinical table of a resolved study.

    Problems of the table as a whole (missing columns, a wrong unit) raise StudyError with all of them listed;
    problems of single patients do so under `on_error: stop`, and become exclusions under `on_error: exclude`.
    """
    clinical = study["clinical"]
    path = Path(clinical["table"])
    table, joined = clinical_cells(study)
    ids = table[clinical["id"]]
    centre = pd.Series("", index=table.index)
    if clinical["centre"]:
        named = [name for split in splits_of(study).values() for name in centres_named(split)]
        centre = coding.as_declared(table[clinical["centre"]], named).fillna("")
    identity, problems = id_problems(ids) + centre_problems(centre), []
    named = used_variables(study)
    used = {name: variable for name, variable in clinical["variables"].items() if name in named}
    unused = {name: variable for name, variable in clinical["variables"].items() if name not in named}
    values, found = read_variables(table, used, ids)
    problems += found
    described, notes = describe_variables(table, unused, ids)
    values = values.join(described)[list(clinical["variables"])]
    endpoints, found, missing, warnings = read_endpoints(table, study)
    problems += found
    warnings += limit_warnings(table, clinical["variables"]) + notes + joined
    warnings += odd_rows(table, centre, study) + centre_warnings(centre, values, used)
    strangers = ineligible(table, clinical.get("eligibility", []))
    outside = {problem.who for problem in strangers}  # what stands in their other cells does not matter
    problems = identity + [problem for problem in problems if problem.who not in outside]
    missing = [(name, problem) for name, problem in missing if problem.who not in outside]
    own = ~table.index.isin(outside)
    whole = coding.rule_problems(table, clinical.get("eligibility", []))
    if own.any():
        whole += column_problems(table[own], study, used, centre[own]) + unit_problems(values[own], used)
    lines = [f"{path}: {text}" for text in whole]
    if study["on_error"] == "stop":
        cells = {name for name, e in study["endpoints"].items() if e["kind"] == "recorded" or "column" in e}
        problems += [
            problem._replace(text=f"endpoint {name}: {problem.text}")
            for name, problem in missing
            if name in cells and problem.text != UNKNOWN
        ]
        lines += grouped(by_id(problems, ids), path)
    if lines:
        raise StudyError(lines)
    bad = first_problems(by_id(problems + strangers, ids))
    exclusions = pd.DataFrame(
        [(patient, "cohort", told(problem)) for patient, problem in bad.items()],
        columns=["patient_id", "floor", "reason"],
    )
    keep = ids.notna() & ~ids.isin(list(bad))
    if not keep.any():
        raise StudyError([f"{path}: none of its {len(table)} patients is left", *why_gone(list(bad.values()))])
    frame = pd.concat([ids.rename("patient_id"), centre.rename("centre"), values], axis=1)[keep]
    ends = pd.concat([ids.rename("patient_id"), endpoints], axis=1)[keep]
    left_out = pd.DataFrame(
        [(str(ids[problem.who]), name, told(problem)) for name, problem in missing if keep[problem.who]],
        columns=["patient_id", "endpoint", "reason"],
    )
    return Cohort(
        frame.sort_values("patient_id", ignore_index=True),
        ends.sort_values("patient_id", ignore_index=True),
        exclusions.sort_values("patient_id", ignore_index=True),
        left_out.drop_duplicates(["patient_id", "endpoint"]).sort_values(["endpoint", "patient_id"], ignore_index=True),
        warnings,
        list(bad.values()),
        {
            end: by_id([problem for name, problem in missing if name == end and keep[problem.who]], ids)
            for end in study["endpoints"]
        },
        table,
    )


def odd_rows(table: pd.DataFrame, centre: pd.Series, study: dict[str, Any]) -> list[str]:
    """What is odd about rows and ids: patients that may be there twice, times that are hardly months."""
    clinical = study["clinical"]
    ids = table[clinical["id"]]
    compared = [name for name in named_columns(study) if name != clinical["centre"]]
    found = copies_line(copies(table[compared], ids), str(Path(clinical["table"])))
    for name, endpoint in study["endpoints"].items():
        if endpoint["kind"] == "recorded":
            found += time_warnings(name, endpoint, table, centre)
    return found + later_deaths(table, study, ids) + id_warnings(ids) + split_warnings(table, centre, study)


def first_problems(problems: list[Problem]) -> dict[str, Problem]:
    """The first problem of each patient; who has no id is known by the line."""
    found: dict[str, Problem] = {}
    for problem in problems:
        found.setdefault(str(problem.who) if pd.notna(problem.who) else f"(line {problem.line})", problem)
    return found


def clinical_cells(study: dict[str, Any]) -> tuple[pd.DataFrame, list[str]]:
    """The clinical table as text, for everything that reads it: blanks around cells and cells that mean missing gone,
    dates as yyyy-mm-dd, rows of one patient's events joined (recur.cohort.repeated_rows); and notes on rows that are
    gone.

    Row i is line i + 2 of the file. Raises StudyError for a table that cannot be read, or lacks a column.
    """
    clinical = study["clinical"]
    wanted = {column for _, column in wanted_columns(study)}
    looked_at = wanted | set(id_columns(clinical["id"]))
    read = with_id(read_table(clinical["table"], clinical.get("sheet"), looked_at.__contains__), clinical["id"])
    check_columns(read, study, Path(clinical["table"]))
    path, variables = clinical["table"], clinical["variables"]
    table, notes = cells_of(read, path, clinical["missing_values"], variables, wanted, named_cells(study))
    dates = [column for key, column in clinical.get("dates", {}).items() if key in DATES]
    written = clinical.get("date_format", ISO)
    table = table.assign(**{column: as_iso(table[column], written) for column in dates})
    stray = table[list(wanted)].isna().all(axis=1)  # a remark below the table, a sum beside it
    notes += [f"{stray.sum()} rows without an id and without a used cell left out"] if stray.any() else []
    table, alike = one_of_phases(table[~stray], study, wanted)
    try:
        table, joined = one_row_a_patient(table, clinical["id"], wanted, clinical.get("eligibility", []))
    except StudyError as error:
        raise StudyError(f"{clinical['table']}: {problem}" for problem in error.problems) from None
    return table, notes + alike + joined


def one_of_phases(table: pd.DataFrame, study: dict[str, Any], wanted: set[str]) -> tuple[pd.DataFrame, list[str]]:
    """Of a clinical table that is the feature table with a row a phase: one row of those that are alike in the columns
    that the study names, and a note. Rows of a patient that differ there stay, and are refused as any others."""
    if not is_row_a_phase(study):
        return table, []
    kept = table[table[study["clinical"]["id"]].isna() | ~table.duplicated(sorted(wanted))]
    return kept, [f"{len(table)} rows, one a phase, are {len(kept)} patients"]


def cells_of(
    read: pd.DataFrame,
    path: str | Path,
    missing: list[Any],
    variables: dict[str, Any],
    used: set[str],
    named: dict[str, list[Any] | None] | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """The cells of a table that was read, as a study means them: without blanks around them and cells that mean
    missing, with labels of SPSS and Stata where the study names labels (coding.by_labels); and a line on each of `used`
    whose labels or declared missing values the file holds.

    named: by column the cells that the study names besides those of the variables, None for a column of numbers. Raises
    StudyError for a name that may be a code or a label.
    """
    table = without_codes(stripped(read), missing, variables)
    notes = [
        f"column {column}: {text}" for column, text in read.attrs.get(REMARKS, {}).items() if text and column in used
    ]
    labels = {column: texts for column, texts in read.attrs.get(LABELS, {}).items() if column in used}
    if not labels:
        return table, notes
    cells = {variable["column"]: cells_named(variable) for variable in variables.values()} | (named or {})
    try:
        table, said = coding.by_labels(table, labels, cells)
    except StudyError as error:
        raise StudyError(f"{path}: {problem}" for problem in error.problems) from None
    return without_codes(table, missing, variables), notes + said


def cells_named(variable: dict[str, Any]) -> list[Any] | None:
    """The cells that a variable or endpoint declares; None of a number."""
    return None if variable["kind"] in ("numeric", "list") else coding.levels_of(variable)


def named_cells(study: dict[str, Any]) -> dict[str, list[Any] | None]:
    """By column of the clinical table, besides those of variables, the cells that the study names; None of numbers."""
    clinical, splits = study["clinical"], splits_of(study).values()
    found: dict[str, list[Any] | None] = {clinical["id"]: None}
    for key, column in clinical.get("recurrence", {}).items():
        found[column] = ["0", "1"] if key in ("vascular", "extrahepatic") else None
    for endpoint in study["endpoints"].values():
        found |= {endpoint[key]: None for key in ("time", "competing_time") if key in endpoint}
        if "event" in endpoint:
            values = [endpoint[key] for key in ("event_value", "censored_value", "competing_value") if key in endpoint]
            found[endpoint["event"]] = values
        if "competing" in endpoint:
            found[endpoint["competing"]] = [endpoint["competing_value"]]
        if "column" in endpoint:
            found[endpoint["column"]] = cells_named(endpoint)
    named = [(rule["column"], rule["keep"]) for rule in clinical.get("eligibility", [])]
    named += [(split["column"], [*split["train"], *split["test"]]) for split in splits if "column" in split]
    if clinical["centre"]:
        named.append((clinical["centre"], [name for split in splits for name in centres_named(split)]))
    for column, cells in named:
        found.setdefault(column, cells)
    return found


def without_codes(table: pd.DataFrame, missing: list[Any], variables: dict[str, Any]) -> pd.DataFrame:
    """The table without cells that mean missing: `missing` in every column, those of a variable in its own.

    A code that is a whole number also means the `-9.0` that programs write beside gaps.
    """
    codes = {name: list(missing) for name in table}
    for variable in variables.values():
        if variable["column"] in codes:
            codes[variable["column"]] += variable.get("missing_values", [])
    gone = {name: coding.as_declared(table[name], codes[name]).isin(map(str, codes[name])) for name in table}
    return table.mask(pd.DataFrame(gone, index=table.index).astype(bool)) if any(codes.values()) else table


def stripped(table: pd.DataFrame) -> pd.DataFrame:
    """All cells as text without blanks around them, no-break spaces among these, and without signs of no width; numbers
    and dates of an Asian keyboard as they are meant (１２．５); blank cells are missing.
    """
    table = table.astype("string").apply(_plain_text)
    return table.mask(table == "")


def _plain_text(cells: pd.Series) -> pd.Series:
    cells = cells.str.strip()
    odd = cells.str.contains(ODD, na=False).astype(bool)
    if not odd.any():
        return cells
    text = cells[odd].str.translate(NO_WIDTH).str.strip()
    return cells.mask(odd, text.where(~text.str.fullmatch(WIDE_NUMBER), text.str.translate(coding.SIGNS)))


def named_columns(study: dict[str, Any]) -> list[str]:
    """Columns of the clinical table that hold what a study knows of a patient: variables, dates, outcomes."""
    clinical = study["clinical"]
    names = [variable["column"] for variable in clinical["variables"].values()]
    names += [column for key, column in clinical.get("dates", {}).items() if key not in FIXED]
    for endpoint in study["endpoints"].values():
        names += [endpoint[key] for key in OUTCOME_COLUMNS if key in endpoint]
    return list(dict.fromkeys(names))


def why_gone(excluded: list[Problem], said: str = "excluded", most: int = 5) -> list[str]:
    """Lines on the commonest reasons why patients were excluded."""
    counts = Counter(problem.text for problem in excluded)
    common = [text for text, _ in counts.most_common(most)]
    return [f"{said}: {line}" for text in common for line in grouped(p for p in excluded if p.text == text)]


def describe_variables(
    table: pd.DataFrame, variables: dict[str, Any], ids: pd.Series
) -> tuple[pd.DataFrame, list[str]]:
    """Variables that no model, score or comparison uses, as `read_variables` has them but with NaN for bad cells, and
    a note on these. They exclude nobody.
    """
    columns, notes = [pd.DataFrame(index=table.index)], []
    for name, variable in variables.items():
        values, found = read_variables(table, {name: variable}, ids)
        rows = [problem.who for problem in found]
        lines = unit_problems(values, {name: variable}) + grouped(by_id(found, ids))
        notes += [f"{name} is in no model, so this excludes nobody and such cells count as missing: {s}" for s in lines]
        columns.append(values[name].mask(values.index.isin(rows)))
    return pd.concat(columns, axis=1), notes


def column_problems(
    table: pd.DataFrame, study: dict[str, Any], variables: dict[str, Any], centre: pd.Series
) -> list[str]:
    """Lines on columns that are coded in another way than the study declares; they stop the run whatever `on_error`."""
    clinical, kinds = study["clinical"], {endpoint["kind"] for endpoint in study["endpoints"].values()}
    found = coding.outcome_problems(table, study["endpoints"]) + coding.variable_problems(table, variables)
    found += impossible_times(table, study["endpoints"], centre)
    found += coding.flag_problems(table, clinical.get("dates", {}))
    if "aggressive_recurrence" in kinds:
        found += coding.pattern_problems(table, clinical["recurrence"])
    return found


def by_id(problems: list[Problem], ids: pd.Series) -> list[Problem]:
    """The problems of rows of the clinical table as those of patients, with the line of the file."""
    return [problem._replace(who=ids[problem.who], line=problem.who + 2) for problem in problems]


def ineligible(table: pd.DataFrame, rules: list[dict[str, Any]]) -> list[Problem]:
    """Rows of patients whose cell is none of those a rule keeps; a missing cell is not eligible either."""
    found = []
    for rule in rules:
        cells = table[rule["column"]]
        keep = coding.as_declared(cells, rule["keep"]).isin([str(value) for value in rule["keep"]])
        found += [
            Problem(row, f"not eligible: {rule['column']} is {cells[row] if pd.notna(cells[row]) else 'missing'}")
            for row in table.index[~keep.fillna(False).astype(bool)]
        ]
    return found


def wanted_columns(study: dict[str, Any]) -> list[tuple[str, str]]:
    """Every column of the clinical table that the study names: its key in the study file, and the column."""
    clinical = study["clinical"]
    wanted = [("clinical.id", clinical["id"])]
    if clinical["centre"]:
        wanted.append(("clinical.centre", clinical["centre"]))
    wanted += [(f"clinical.variables.{name}", v["column"]) for name, v in clinical["variables"].items()]
    dates = clinical.get("dates", {})
    wanted += [(f"clinical.dates.{key}", column) for key, column in dates.items() if key not in FIXED]
    wanted += [(f"clinical.recurrence.{key}", column) for key, column in clinical.get("recurrence", {}).items()]
    wanted += [(f"clinical.eligibility[{i}]", rule["column"]) for i, rule in enumerate(clinical.get("eligibility", []))]
    for name, endpoint in study["endpoints"].items():
        wanted += [(f"endpoints.{name}.{key}", endpoint[key]) for key in OUTCOME_COLUMNS if key in endpoint]
    wanted += [(f"split {name}", split["column"]) for name, split in splits_of(study).items() if "column" in split]
    return wanted


def check_columns(table: pd.DataFrame, study: dict[str, Any], path: Path) -> None:
    """Raise StudyError listing every column that the study names and the table lacks."""
    wanted = wanted_columns(study)
    missing = [f"{path}: no column {column!r} ({place})" for place, column in wanted if column not in table.columns]
    if missing:
        raise StudyError([*missing, f"{path}: its columns are {', '.join(map(str, table.columns))}"])
    if table.empty:
        raise StudyError(f"{path}: no rows below the header; is it the right file and sheet?")


def id_problems(ids: pd.Series) -> list[Problem]:
    """Rows whose id is missing, unsafe as a file name, or not unique."""
    problems: list[Problem] = []
    for row in ids.index:
        if pd.isna(ids[row]):
            problems.append(Problem(row, "patient id missing"))
        elif TOTALS.fullmatch(ids[row]):
            problems.append(Problem(row, "patient id {}: a row of totals? delete it", (ids[row],)))
        elif not PATIENT_ID.fullmatch(ids[row]):
            text = "patient id {}: only letters, digits, '.', '_' and '-' (at most 64)"
            problems.append(Problem(row, text, (ids[row],)))
    problems += [
        Problem(row, "the same patient id on several rows")
        for row in ids.index[ids.notna() & ids.duplicated(keep=False)]
    ]
    return problems


def id_warnings(ids: pd.Series) -> list[str]:
    """Ids that only capital letters, or zeros before or behind a number, tell apart: one patient twice?"""
    known, found = ids.dropna().drop_duplicates(), []
    zeros = known.str.replace(r"^0+(?=\d)|\.0+$", "", regex=True)
    for plain, differ in ((known.str.lower(), "capital letters"), (zeros, "zeros")):
        alike = sorted(known[plain.duplicated(keep=False)])
        if alike:
            found.append(f"ids that differ in {differ} only: {first_of(alike, 10)}; one patient twice?")
    return found


def centre_warnings(centre: pd.Series, values: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """Centres that only capital letters tell apart, and variables whose values lie apart between centres by a factor
    (APART) such as that of a unit: quartiles do not overlap.
    """
    names = pd.Series(sorted(set(centre) - {""}), dtype="string")
    alike = names[names.str.lower().duplicated(keep=False)]
    found = [f"centres that differ in capital letters only: {', '.join(alike)}; one centre?"] if len(alike) else []
    for name, variable in variables.items():
        if variable["kind"] != "numeric" or not len(names):
            continue
        for own in names:
            here, elsewhere = (values.loc[rows, name].dropna() for rows in (centre == own, ~centre.isin([own, ""])))
            if min(len(here), len(elsewhere)) < FEWEST_OF_CENTRE or min(here.median(), elsewhere.median()) <= 0:
                continue
            lower, upper = sorted((here, elsewhere), key=lambda part: part.median())
            apart = lower.quantile(0.75) < upper.quantile(0.25)
            if apart and upper.median() / lower.median() >= APART:
                found.append(
                    f"column {variable['column']}: the median is {here.median():g} in centre {own!r} and "
                    f"{elsewhere.median():g} elsewhere: is it in another unit in one of them?"
                )
                break
    return found


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


def centre_problems(centre: pd.Series) -> list[Problem]:
    """Rows whose centre a spreadsheet would take for a formula: their names stand in every table."""
    return [
        Problem(row, "centre {}: begins with {}", (name, name[0]))
        for row, name in centre.items()
        if plain_cell(name) != name
    ]


def read_variables(
    table: pd.DataFrame, variables: dict[str, Any], ids: pd.Series
) -> tuple[pd.DataFrame, list[Problem]]:
    """Declared variables as numbers (binary 0/1, ordinal and categorical the place of the level), and problems."""
    values, problems = pd.DataFrame(index=table.index), []
    for name, variable in variables.items():
        text = table[variable["column"]]
        said = f"column {variable['column']}, value {{}}: "
        if variable["kind"] == "numeric":
            values[name] = number_or_limit(text)
            expected = "a number"
        elif variable["kind"] == "list":
            found = [(row, part) for row in table.index[text.notna()] for part in text[row].split(";")]
            low, high = variable.get("range", (-np.inf, np.inf))
            for row in dict.fromkeys(row for row, part in found if not low <= as_number(part) <= high):
                problems.append(Problem(row, f"{said}not numbers from {low:g} to {high:g}", (text[row],)))
            values[name] = text
            continue
        else:
            codes = {level: float(code) for code, level in enumerate(coding.levels_of(variable))}
            values[name] = coding.as_declared(text, codes).map(codes).astype(float)
            expected = f"one of {', '.join(codes)}"
        for row in table.index[text.notna() & values[name].isna()]:
            remedy = "; write a decimal point" if DECIMAL_COMMA.fullmatch(text[row]) else ""
            if text[row].lower() in coding.MEANS_UNKNOWN:
                remedy = "; leave the cell empty, or declare it under missing_values"
            problems.append(Problem(row, f"{said}not {expected}{remedy}", (text[row],)))
        if "range" in variable:
            low, high = variable["range"]
            allowed = f"{low:g} to {high:g} {variable['unit']}".rstrip()
            for row in table.index[(values[name] < low) | (values[name] > high)]:
                problems.append(Problem(row, f"{said}outside {allowed}", (text[row],)))
        if variable["transform"] == "ln":
            for row in table.index[values[name] < 0]:
                problems.append(Problem(row, f"{said}negative, and it has a logarithm taken", (text[row],)))
        if "floor" in variable:
            values[name] = values[name].clip(lower=variable["floor"])
        elif variable["transform"] == "ln":
            for row in table.index[values[name] == 0]:
                problems.append(Problem(row, f"{said}has no logarithm; declare `floor`", (text[row],)))
    return values, problems


def number_or_limit(text: pd.Series) -> pd.Series:
    """Numbers; `<x`, below the limit of detection, is half of x, and `>x` is x (docs/methods.md 3.1)."""
    text = text.str.translate(coding.SIGNS)
    limit = text.str.extract(r"^([<>])=?\s*(.+)$")
    number = pd.to_numeric(limit[1].fillna(text), errors="coerce").astype(float)
    number = number.where(np.isfinite(number))
    return number.where(limit[0].fillna("") != "<", number / 2)


def limit_warnings(table: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """How many cells of each numeric column were beyond the limit of detection."""
    found = []
    for variable in variables.values():
        beyond = int(table[variable["column"]].str.match(r"^[<>≤≥＜＞]").sum()) if variable["kind"] == "numeric" else 0
        if beyond:
            found.append(f"column {variable['column']}: {beyond} cells written <x or >x were read as x/2 or x")
    return found


def as_number(text: str) -> float:
    """The number a text holds, NaN if none."""
    try:
        return float(text)
    except ValueError:
        return float("nan")


def unit_problems(values: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """The unit-swap detector of docs/methods.md 3.1: a median outside its plausible range stops the run."""
    problems = []
    for name, variable in variables.items():
        if "median" in variable and values[name].notna().any():
            low, high = variable["median"]
            median = values[name].median()
            if not low <= median <= high:
                problems.append(
                    f"column {variable['column']}: median {median:g} is implausible in {variable['unit']} "
                    f"(expected {low:g} to {high:g}); is it in another unit? Nothing is converted silently"
                )
    return problems


def read_endpoints(
    table: pd.DataFrame, study: dict[str, Any]
) -> tuple[pd.DataFrame, list[Problem], list[tuple[str, Problem]], list[str]]:
    """<endpoint>_time and <endpoint>_event columns (and <endpoint>_state at the horizon of early and aggressive
    recurrence; of endpoints without a time <endpoint>_event or <endpoint>_level only, with <endpoint>_follow_up where
    the censored are weighted), problems of whole patients, (endpoint, problem) of single endpoints, and warnings.

    Dates that contradict each other put the whole patient in doubt; a recorded time or event that cannot be read
    leaves out that endpoint only.
    """
    row_of = table.assign(row_=table.index)
    result, problems, missing, warnings = pd.DataFrame(index=table.index), [], [], []
    dates, pattern = study["clinical"].get("dates"), None
    if dates:
        parsed, problems, warnings = parse_dates(row_of, dates, "row_")
    if "recurrence" in study["clinical"]:
        pattern = beyond_milan(table, study["clinical"]["recurrence"])
    for name, endpoint in study["endpoints"].items():
        if endpoint["kind"] in WITHOUT_TIME:
            continue
        if endpoint["kind"] == "recorded":
            frame, found = endpoint_as_recorded(table, endpoint)
            missing += [(name, problem) for problem in found]
            frame.loc[[problem.who for problem in found], ["time", "event"]] = np.nan
        else:
            frame = endpoint_from_dates(parsed, endpoint, dates.get("cutoff"), pattern)
        if endpoint["kind"] == "aggressive_recurrence":
            unknown = frame["event"].isna()
            missing += [(name, Problem(row, "pattern of the recurrence unknown")) for row in table.index[unknown]]
        if endpoint["kind"] == "late_recurrence":
            gone = frame["time"].isna()
            text = f"not alive and recurrence-free at {endpoint['horizon_months']:g} months"
            missing += [(name, Problem(row, text)) for row in table.index[gone]]
        result[f"{name}_time"], result[f"{name}_event"] = frame["time"].astype(float), frame["event"]
        if endpoint["kind"] in BY_HORIZON:
            result[f"{name}_state"] = state_at(frame, endpoint["horizon_months"])
    for name, endpoint in study["endpoints"].items():
        if endpoint["kind"] not in WITHOUT_TIME:
            continue
        if "of" in endpoint:
            source, months = endpoint["of"], study["endpoints"][endpoint["of"]]["horizon_months"]
            frame = pd.DataFrame({key: result[f"{source}_{key}"] for key in ("time", "event")})
            outcome, found = state_as_binary(frame, months, endpoint["censored"])
        else:
            code, found = endpoint_as_level(table, endpoint)
            outcome = code.to_frame("event" if endpoint["kind"] == "binary" else "level")
        missing += [(name, problem) for problem in found]
        for column, values in outcome.items():
            result[f"{name}_{column}"] = values
    return result, problems, missing, warnings


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
        names = {name: f"external-{name}" for name in split["external"]} | dict.fromkeys(split["train"], TRAIN)
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


def read_manifest(study: dict[str, Any]) -> pd.DataFrame:
    """The image manifest, checked row by row; raises StudyError with every problem."""
    path = Path(study["images"]["manifest"])
    table = read_rows(path, study["images"].get("sheet"))
    rules = schema("images")
    alike: list[Problem] = []
    for number, row in doubtful(table, rules).iterrows():
        record = {key: None if pd.isna(value) else str(value) for key, value in row.items()}
        alike += [Problem(None, text, line=number + 2) for text in schema_problems(record, rules, "")]
    for column in table.columns.intersection(FILES):
        # looked at as text first: ten thousand rows must not cost ten thousand paths
        dotted = table[column].astype("string").str.contains("..", regex=False, na=False)
        drive = table[column].astype("string").str.match(r"[A-Za-z]:|//", na=False)
        alike += [
            Problem(None, f"{column} {{}} is a path of Windows; write it relative to images.root", (value,), number + 2)
            for number, value in table.loc[drive, column].items()
        ]
        leaves = f"{column} {{}} leaves the folder; set images.root instead"
        alike += [
            Problem(None, leaves, (value,), number + 2)
            for number, value in table.loc[dotted, column].items()
            if ".." in Path(value).parts
        ]
    problems = grouped(alike, path)
    if not problems:
        for name, known in (("phase", study["images"]["phases"]), ("reader", study["images"]["readers"])):
            if not set(known) & set(table[name]):
                problems.append(
                    f"{path}: column {name} has none of {', '.join(known)} (images.{name}s of the study file)"
                )
        repeated = table[table.duplicated(["patient_id", "phase", "reader"], keep=False)]
        twice = [
            Problem(row.patient_id, f"{row.phase} of {row.reader} stands there twice", line=number + 2)
            for number, row in repeated.iterrows()
        ]
        problems += grouped(twice, path)
    if problems:
        raise StudyError(problems)
    return table


def doubtful(table: pd.DataFrame, rules: dict[str, Any]) -> pd.DataFrame:
    """Rows that break the schema of a row, found by looking at each different cell of a column once."""
    if set(rules["required"]) - set(table):
        return table
    bad = pd.Series(False, index=table.index)
    for name in table:
        check = Draft202012Validator(rules["properties"].get(name, False))
        cells = table[name].unique()
        bad |= table[name].isin([c for c in cells if not check.is_valid(None if pd.isna(c) else str(c))])
    return table[bad]


def visit_intervals(study: dict[str, Any], cells: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
    """Months between surveillance visits by patient (VISIT_COLUMNS), empty where the study declares none.

    cells: the clinical table as text (Cohort.cells); ids: the patients wanted. Medians of the gaps that end within 24
    months of the index treatment and later, and the longest; the first gap starts at the treatment. Raises StudyError
    for a date that cannot be read.
    """
    clinical = study["clinical"]
    if "visits" not in clinical:
        return pd.DataFrame(columns=VISIT_COLUMNS)
    visits, path = clinical["visits"], clinical["visits"]["table"]
    # stripped as the cohort itself is, or an id with a blank has no visits
    table = stripped(read_table(path, visits.get("sheet"), {visits["id"], visits["date"]}.__contains__))
    for name in ("id", "date"):
        if visits[name] not in table.columns:
            raise StudyError(f"{path}: no column {visits[name]!r} (clinical.visits.{name})")
    table = without_codes(table, clinical.get("missing_values", []), {})
    day = iso_days(as_iso(table[visits["date"]], visits.get("date_format", ISO)))
    bad = table.index[day.isna() & table[visits["date"]].notna()]
    if len(bad):
        written, who = table[visits["date"]], table[visits["id"]]
        text = f"{{}} is not a date written {visits.get('date_format', ISO)}"
        raise StudyError(grouped((Problem(who[line], text, (written[line],), line + 2) for line in bad), path))
    treated = cells.drop_duplicates(clinical["id"]).set_index(clinical["id"])[clinical["dates"]["t0"]]
    start = iso_days(treated)
    days = pd.DataFrame({"id": table[visits["id"]], "day": day}).dropna()
    days["month"] = (days["day"] - days["id"].map(start)).dt.days / DAYS_PER_MONTH
    rows = []
    for patient, part in days[days["month"] > 0].groupby("id"):
        at = np.unique(part["month"])
        gaps = np.diff(at, prepend=0.0)
        medians = [float(np.median(g)) if len(g) else np.nan for g in (gaps[at <= 24], gaps[at > 24])]
        rows.append((str(patient), len(at), *medians, float(gaps.max())))
    found = pd.DataFrame(rows, columns=VISIT_COLUMNS)
    return found[found["patient_id"].isin(set(ids))].sort_values("patient_id", ignore_index=True)
