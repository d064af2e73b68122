"""How the cells of coded columns are written: as the study declares them, or in another coding, which stops the run.

A cell of another coding is not one patient's error. R's 1/2 read as 0/1 would drop the events and turn the censored
into events, so such a column stops the run whatever `on_error` says, with what was found and what to declare.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from recur.tables import (
    StudyError,
    first_of,
)

DECIMAL = re.compile(r"(?P<sign>-?)(?P<whole>[0-9]*)\.(?P<fraction>[0-9]*)")
FREQUENT, FEWEST = 0.05, 3  # share and number of patients from which on an undeclared level is a coding, not an error
SHOWN = 6  # values of a column in a line
# pairs of cells, the one without the event first, in small letters
PAIRS = [
    ("0", "1"), ("1", "2"), ("false", "true"), ("f", "t"), ("no", "yes"), ("n", "y"), ("alive", "dead"),
    ("alive", "deceased"), ("alive", "died"), ("living", "deceased"), ("living", "dead"), ("0:living", "1:deceased"),
    ("0:censored", "1:event"), ("censored", "event"), ("censored", "dead"), ("negative", "positive"),
    ("neg", "pos"), ("absent", "present"), ("disease free", "recurred"), ("no recurrence", "recurrence"),
    ("nonprogression", "progression"), ("0:diseasefree", "1:recurred/progressed"), ("-", "+"),
]  # fmt: skip
# of a flag beside a date, in small letters
FLAG_NO = {word for word, _ in PAIRS} - {"1"} | {"0", "none"}
FLAG_YES = {word for _, word in PAIRS} - {"2"}
# cells that are written where nothing is known, in small letters
MEANS_UNKNOWN = {
    "n/a", "n.a.", "#n/a", "na", "nan", "null", "none", "no", "-", "--", "—", ".", "?", "/", "x", "unknown", "unk",
    "missing", "nd", "n.d.", "not available", "not done", "k.a.", "keine",
}  # fmt: skip
SIGNS = str.maketrans("≤≥＜＞−－．／０１２３４５６７８９", "<><>--./0123456789")  # of Word, Excel, Asian keyboards
LARGEST_CM = 30  # a larger median of recurrent tumours is in millimetres


def as_declared(cells: pd.Series, declared: Iterable[Any]) -> pd.Series:
    """The cells as text, those that are a declared number written otherwise (`1.0`, `0.50`, `.5`), as declared."""
    cells = cells.astype("string").str.strip()
    known = {one_spelling(str(value)): str(value) for value in declared}
    exact = set(known.values())
    other = {cell: known.get(one_spelling(cell), cell) for cell in cells.dropna().unique() if cell not in exact}
    return cells.replace(other).astype("string") if other else cells


def one_spelling(cell: str) -> str:
    """A number without zeros behind its fraction and with one before its point; any other cell as it is."""
    match = DECIMAL.fullmatch(cell)
    if match is None or not (match["whole"] or match["fraction"]):
        return cell
    fraction = match["fraction"].rstrip("0")
    return match["sign"] + (match["whole"] or "0") + (f".{fraction}" if fraction else "")


def levels_of(declared: dict[str, Any]) -> list[str]:
    """Names of the levels of a variable or endpoint in the order of their codes 0, 1, ...; none of a number."""
    if declared["kind"] == "binary":
        return [str(declared["negative"]), str(declared["positive"])]
    return [str(level) for level in declared.get("levels", [])]


def by_labels(
    table: pd.DataFrame, labels: dict[str, dict[str, str]], declared: dict[str, list[Any] | None]
) -> tuple[pd.DataFrame, list[str]]:
    """The table with labels of SPSS or Stata in place of codes where the study names the labels, and a line a column.

    labels: by column code -> label; declared: by column the cells that the study names, codes or labels, None where
    the codes are numbers. Where the study names neither, labels are read if every cell has one.
    Raises StudyError for a name that is a code and the label of another.
    """
    table, notes, problems = table.copy(), [], []
    for column, texts in labels.items():
        cells = table[column] if column in table else pd.Series(dtype="string")
        coded = cells[cells.isin(list(texts))]
        if coded.empty:
            continue
        known, named = set(cells.dropna()), {str(value) for value in declared.get(column) or []}
        shown = first_of([f"{code} = {texts[code]}" for code in sorted(set(coded))], SHOWN)
        if declared.get(column, []) is None:
            if len(coded) < cells.notna().sum():
                notes.append(f"column {column}: {len(coded)} cells have a label ({shown}) and are read as numbers; "
                             "declare missing_values for those that mean unknown")  # fmt: skip
            continue
        codes, words = len(named & (set(texts) | known)), len(named & set(texts.values()))
        if codes == words and any(texts.get(name, name) != name for name in named & set(texts.values())):
            problems.append(
                f"column {column}: {first_of(sorted(named))} may be codes or labels ({shown}); change the labels, or "
                "give a CSV"
            )
            continue
        as_words = words > codes or (not named and known <= set(texts))
        if as_words:
            table[column] = cells.replace(texts)
        notes.append(f"column {column} has labels and is read by its {'labels' if as_words else 'codes'}: {shown}")
    if problems:
        raise StudyError(problems)
    return table, notes


def values_of(cells: pd.Series) -> str:
    """The different cells of a column with their numbers, most frequent first: `'1' (165), '2' (63)`."""
    counts = sorted(cells.dropna().value_counts().items(), key=lambda item: (-item[1], item[0]))
    return first_of([f"{cell!r} ({n})" for cell, n in counts], SHOWN)


def mapping(cells: pd.Series, no: str, yes: str, third: str | None = None) -> str:
    """What to declare for a column with two codes: keys `no` and `yes`, `third` for a further one."""
    found = {cell.lower(): cell for cell in sorted(cells.dropna().unique())}
    if len(found) < cells.nunique():
        return "write each of them in one way, capital letters count"
    for first, second in PAIRS:
        if set(found) == {first, second}:
            coding = "if that is R's coding of events, " if first == "1" and yes == "event_value" else ""
            return f"{coding}declare {no}: {json.dumps(found[first])} and {yes}: {json.dumps(found[second])}"
    further = f", {third} where there is a third" if third else ""
    return f"declare {no} and {yes}{further}; what means unknown, under clinical.missing_values"


def beyond(cells: pd.Series, declared: Iterable[Any]) -> pd.Series:
    """The known cells that are none of the declared ones."""
    return cells[cells.notna() & ~cells.isin([str(value) for value in declared])]


def outcome_problems(table: pd.DataFrame, endpoints: dict[str, Any]) -> list[str]:
    """Lines on columns of outcomes that hold a cell which the endpoint does not declare: any number of them stops."""
    found = []
    for name, endpoint in endpoints.items():
        if endpoint["kind"] == "recorded":
            found += [f"endpoint {name}: {text}" for text in _event_problems(table, endpoint)]
        elif "column" in endpoint:
            text = _levels_problem(table[endpoint["column"]], levels_of(endpoint), endpoint["kind"] == "binary")
            found += [f"endpoint {name}: column {endpoint['column']} {text}"] if text else []
    return found


def _event_problems(table: pd.DataFrame, endpoint: dict[str, Any]) -> list[str]:
    keys = ["event_value", "censored_value"]
    if "competing_value" in endpoint and "competing" not in endpoint:
        keys.append("competing_value")
    declared, column = {key: str(endpoint[key]) for key in keys}, endpoint["event"]
    cells, found = as_declared(table[column], declared.values()), []
    strange = beyond(cells, declared.values())
    if len(strange):
        said = ", ".join(f"{key} {value!r}" for key, value in declared.items())
        remedy = mapping(cells, "censored_value", "event_value", "competing_value")
        found.append(f"column {column} holds {values_of(cells)}, beyond the declared {said}; {remedy}")
    elif cells.nunique() == 1 and cells.isna().sum() >= max(FEWEST, FREQUENT * len(cells)):
        found.append(
            f"column {column} holds {values_of(cells)} and {cells.isna().sum()} empty cells; if these mean something, "
            "such as censored, write it into them"
        )
    if "competing" in endpoint:
        own, value = endpoint["competing"], str(endpoint["competing_value"])
        cells = as_declared(table[own], [value])
        if cells.nunique() > 1 and not (cells == value).any():
            found.append(
                f"column {own} holds {values_of(cells)} and nowhere the declared competing_value {value!r}; declare "
                "the cell that means the competing event"
            )
    return found


def _levels_problem(cells: pd.Series, levels: list[Any], binary: bool) -> str:
    """What is wrong with a column of levels, empty if nothing is."""
    cells = as_declared(cells, levels)
    if beyond(cells, levels).empty:
        return ""
    remedy = mapping(cells, "negative", "positive")
    if not binary:
        remedy = "declare all levels; what means unknown, under clinical.missing_values"
    said = ", ".join(repr(str(level)) for level in levels)
    return f"holds {values_of(cells)}, beyond the declared {said}; {remedy}"


def variable_problems(table: pd.DataFrame, variables: dict[str, Any]) -> list[str]:
    """Lines on clinical variables with an undeclared level that is too frequent to be an error of single cells."""
    found = []
    for variable in variables.values():
        if variable["kind"] in ("numeric", "list"):
            continue
        binary, cells, levels = variable["kind"] == "binary", table[variable["column"]], levels_of(variable)
        strange = beyond(as_declared(cells, levels), levels)
        most = strange.value_counts().max() if len(strange) else 0
        if most >= max(FEWEST, FREQUENT * cells.notna().sum()):
            found.append(f"column {variable['column']} {_levels_problem(cells, levels, binary)}")
    return found


def rule_problems(table: pd.DataFrame, rules: list[dict[str, Any]]) -> list[str]:
    """Lines on rules of eligibility of which no cell is one that they keep: nobody would be left."""
    found = []
    for rule in rules:
        cells = as_declared(table[rule["column"]], rule["keep"])
        if cells.notna().any() and not cells.isin([str(value) for value in rule["keep"]]).any():
            kept = ", ".join(repr(str(value)) for value in rule["keep"])
            found.append(
                f"clinical.eligibility: column {rule['column']} holds {values_of(cells)} and nowhere {kept}, which is "
                "to be kept; declare the cells as the table writes them"
            )
    return found


def pattern_problems(table: pd.DataFrame, columns: dict[str, str]) -> list[str]:
    """Lines on columns of the first recurrence (clinical.recurrence) that are not as the rule of Milan needs them."""
    found = []
    for name in ("vascular", "extrahepatic"):
        cells = as_declared(table[columns[name]], ("0", "1"))
        if len(beyond(cells, ("0", "1"))):
            found.append(
                f"clinical.recurrence.{name}: column {columns[name]} holds {values_of(cells)}, it must hold 0 and 1; "
                "recode it, what means unknown under clinical.missing_values"
            )
    for name in ("number", "size"):
        cells = table[columns[name]]
        strange = cells[cells.notna() & pd.to_numeric(cells, errors="coerce").isna()]
        if len(strange):
            found.append(
                f"clinical.recurrence.{name}: column {columns[name]} holds {values_of(strange)}, which is no number; "
                "correct it, what means unknown under clinical.missing_values"
            )
    median = pd.to_numeric(table[columns["size"]], errors="coerce").median()
    if median > LARGEST_CM:
        found.append(f"clinical.recurrence.size: column {columns['size']}: median {median:g} cm; is it in millimetres?")
    return found


def flag_problems(table: pd.DataFrame, dates: dict[str, str]) -> list[str]:
    """Lines on flags beside dates that are not plainly yes or no: R's 1/2 would contradict every date."""
    found = []
    for key in ("recurrence_flag", "death_flag"):
        if key not in dates:
            continue
        cells = as_declared(table[dates[key]], ("0", "1"))
        if not cells.dropna().str.lower().isin(FLAG_NO | FLAG_YES).all():
            found.append(
                f"clinical.dates.{key}: column {dates[key]} holds {values_of(cells)}, it must hold 0 and 1 (or words "
                "such as no and yes); recode it, or leave the flag out"
            )
    return found


def is_flagged(cell: Any) -> bool:
    """Whether a flag beside a date says yes."""
    return one_spelling(str(cell).strip()).lower() in FLAG_YES


def input_label(label: str, transform: str) -> str:
    """The name of what is entered: a variable labelled `ln AFP` is entered as AFP."""
    return label.removeprefix("ln ") if transform == "ln" else label
