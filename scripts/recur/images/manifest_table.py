"""The image manifest as a table, checked row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from jsonschema import Draft202012Validator

from recur.images.inventory import FILES, read_rows
from recur.study.yaml_files import schema, schema_problems
from recur.tables import Problem, StudyError, grouped


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
