"""How the cells of coded columns are written, and how a study declares them: levels, labels, yes and no, unknown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

from recur.tables import StudyError, first_of

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


def as_declared(cells: pd.Series, declared: Iterable[Any]) -> pd.Series:
    """The cells as text, those that are a declared number written otherwise (`1.0`, `0.50`, `.5`), as declared."""
    cells = cells.astype("string").str.strip()
    known = {one_spelling(str(value)): str(value) for value in declared}
    exact = set(known.values())
    declared_spelling = {
        cell: known.get(one_spelling(cell), cell) for cell in cells.dropna().unique() if cell not in exact
    }
    return cells.replace(declared_spelling).astype("string") if declared_spelling else cells


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
    table = table.copy()
    notes = []
    problems = []
    for column, texts in labels.items():
        cells = table[column] if column in table else pd.Series(dtype="string")
        coded = cells[cells.isin(list(texts))]
        if coded.empty:
            continue
        known = set(cells.dropna())
        named = {str(value) for value in declared.get(column) or []}
        shown = first_of([f"{code} = {texts[code]}" for code in sorted(set(coded))], SHOWN)
        if declared.get(column, []) is None:
            if len(coded) < cells.notna().sum():
                notes.append(f"column {column}: {len(coded)} cells have a label ({shown}) and are read as numbers; "
                             "declare missing_values for those that mean unknown")  # fmt: skip
            continue
        codes = len(named & (set(texts) | known))
        words = len(named & set(texts.values()))
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
    spellings = {cell.lower(): cell for cell in sorted(cells.dropna().unique())}
    if len(spellings) < cells.nunique():
        return "write each of them in one way, capital letters count"
    for first, second in PAIRS:
        if set(spellings) == {first, second}:
            coding = "if that is R's coding of events, " if first == "1" and yes == "event_value" else ""
            return f"{coding}declare {no}: {json.dumps(spellings[first])} and {yes}: {json.dumps(spellings[second])}"
    further = f", {third} where there is a third" if third else ""
    return f"declare {no} and {yes}{further}; what means unknown, under clinical.missing_values"


def beyond(cells: pd.Series, declared: Iterable[Any]) -> pd.Series:
    """The known cells that are none of the declared ones."""
    return cells[cells.notna() & ~cells.isin([str(value) for value in declared])]


def is_flagged(cell: Any) -> bool:
    """Whether a flag beside a date says yes."""
    return one_spelling(str(cell).strip()).lower() in FLAG_YES


def input_label(label: str, transform: str) -> str:
    """The name of what is entered: a variable labelled `ln AFP` is entered as AFP."""
    return label.removeprefix("ln ") if transform == "ln" else label
