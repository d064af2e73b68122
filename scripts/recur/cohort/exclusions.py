"""Problems of rows as those of patients, and why patients are not in the study."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pandas as pd

from recur.study import coding
from recur.tables import Problem, grouped


def first_problems(problems: list[Problem]) -> dict[str, Problem]:
    """The first problem of each patient; who has no id is known by the line."""
    first: dict[str, Problem] = {}
    for problem in problems:
        first.setdefault(str(problem.who) if pd.notna(problem.who) else f"(line {problem.line})", problem)
    return first


def why_gone(excluded: list[Problem], said: str = "excluded", most: int = 5) -> list[str]:
    """Lines on the commonest reasons why patients were excluded."""
    counts = Counter(problem.text for problem in excluded)
    common = [text for text, _ in counts.most_common(most)]
    return [f"{said}: {line}" for text in common for line in grouped(p for p in excluded if p.text == text)]


def by_id(problems: list[Problem], ids: pd.Series) -> list[Problem]:
    """The problems of rows of the clinical table as those of patients, with the line of the file."""
    return [problem._replace(who=ids[problem.who], line=problem.who + 2) for problem in problems]


def ineligible(table: pd.DataFrame, rules: list[dict[str, Any]]) -> list[Problem]:
    """Rows of patients whose cell is none of those a rule keeps; a missing cell is not eligible either."""
    problems = []
    for rule in rules:
        cells = table[rule["column"]]
        keep = coding.as_declared(cells, rule["keep"]).isin([str(value) for value in rule["keep"]])
        problems += [
            Problem(row, f"not eligible: {rule['column']} is {cells[row] if pd.notna(cells[row]) else 'missing'}")
            for row in table.index[~keep.fillna(False).astype(bool)]
        ]
    return problems
