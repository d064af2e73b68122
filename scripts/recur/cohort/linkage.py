"""Which patients of the clinical table other tables know, and patients that stand under two ids."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from recur.tables import first_of

FEWEST, SHARE = 3, 0.1  # ids that would be equal but for one cause: so many of them stop the run
CHANCE = 0.001  # rows that so rarely are equal by chance are copies
CAUSES: dict[str, Callable[[str], str]] = {
    "leading zeros": lambda text: re.sub(r"(?<!\d)0+(?=\d)", "", text),
    "'.0' behind them": lambda text: re.sub(r"\.0+$", "", text),
    "capital letters": str.lower,
    "blanks and signs": lambda text: re.sub(r"[\W_]", "", text),
    "capital letters, blanks, signs and leading zeros": lambda text: re.sub(
        r"(?<!\d)0+(?=\d)", "", re.sub(r"[\W_]", "", text.lower())
    ),
    "what stands before the number": lambda text: re.sub(r"^\D*0*(?=\d)", "", text),
    "what stands behind the number": lambda text: re.sub(r"^\D*0*(\d+).*$", r"\1", text),
}


def link(cohorts: pd.Series, known: Iterable[str], others: Iterable[str], what: str) -> tuple[list[str], list[str]]:
    """Problems that stop the run, and notes, on the ids of another table.

    cohorts: cohort by patient id, of the patients that stayed; known: all ids of the clinical table; others: the ids of
    the table that is called `what`. Nothing is matched by guess: ids that would be equal but for one cause are told.
    """
    others = set(map(str, others))
    here = set(cohorts.index)
    strangers = sorted(others - set(known))
    counts = [f"{len(here & others & set(part))} of {len(part)} of {name}" for name, part in _by_cohort(cohorts)]
    notes = [f"{what}: has {', '.join(counts)}"]
    if not strangers:
        return [], notes
    lost = sorted(here - others)
    cause, pairs = likely_cause(strangers, lost)
    said = f"{what}: {len(strangers)} of its {len(others)} ids ({first_of(strangers)}) are not in the clinical table"
    if pairs:
        said += (
            f"; {len(pairs)} would be equal but for {cause} ({pairs[0][0]!r} there, {pairs[0][1]!r} in the clinical "
            "table): write ids in one way in both tables, as text"
        )
    many = len(pairs) >= max(FEWEST, SHARE * min(len(here), len(others)))
    small = 2 * len(strangers) > len(others) and 2 * len(lost) > len(here)
    return ([said], []) if many or small else ([], [*notes, said])


def _by_cohort(cohorts: pd.Series) -> list[tuple[str, list[str]]]:
    """(cohort, its patients), training last in the alphabet as elsewhere; those without one are left out."""
    parts = cohorts[cohorts != ""].groupby(cohorts)
    return [(str(name), list(part.index)) for name, part in parts]


def likely_cause(strangers: list[str], lost: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """What most of the ids without a partner differ by, and the pairs (there, here) that are equal but for it."""
    best = ""
    most_pairs = []
    for cause, cut in CAUSES.items():
        there, here = (_unique(names, cut) for names in (strangers, lost))
        pairs = [(there[key], here[key]) for key in sorted(there.keys() & here.keys())]
        if len(pairs) > len(most_pairs):
            best = cause
            most_pairs = pairs
    return best, most_pairs


def _unique(names: list[str], cut: Callable[[str], str]) -> dict[str, str]:
    """The names by what is left of them when cut; those that are then equal to another one are left out."""
    short = pd.Series(names, index=[cut(name) for name in names], dtype=object)
    short = short[~short.index.duplicated(keep=False)]
    return {key: name for key, name in short.items() if key}


def copies(cells: pd.DataFrame, ids: pd.Series) -> list[list[str]]:
    """Ids of patients all of whose cells (n rows) are equal, where chance would hardly make them so.

    Chance is that of independent columns: the number of rows times the share of the others with the same cell, of every
    column that the row fills.
    """
    equal = cells[cells.duplicated(keep=False)]
    if equal.empty:
        return []
    groups = []
    content = pd.util.hash_pandas_object(equal.astype("string").fillna(""), index=False)
    for _, part in equal.groupby(content, sort=False):
        row = part.iloc[0].dropna()
        shares = [((cells[name] == cell).sum() - 1) / len(cells) for name, cell in row.items()]
        names = sorted(set(ids[part.index].dropna().astype(str)))
        if len(names) > 1 and shares and len(cells) * float(np.prod(shares)) < CHANCE:
            groups.append(names)
    return sorted(groups)


def copies_line(groups: list[list[str]], where: str) -> list[str]:
    """A line on patients that copies found, or nothing."""
    if not groups:
        return []
    pairs = first_of([" and ".join(names) for names in groups])
    return [
        f"{where}: all cells are equal of {pairs} ({len(groups)} in all): one patient under two ids? Keep one of them"
    ]
