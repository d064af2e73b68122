"""What the workflow promises of its files: schemas/tables/ of every table of results/<study>/, and
schemas/model.schema.yaml and schemas/signature.schema.yaml of what it freezes.

The contracts of tables are also the source of the data dictionary (scripts/dictionary.py); how they are written stands
at the head of schemas/tables/common.yaml.
"""

from __future__ import annotations

import functools
import math
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml
from jsonschema import Draft202012Validator

from recur.tables import StudyError, read_sealed

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
ORDER = (  # of the folders of results, as patients go through them
    "input", "cohort", "images", "features", "signature", "models", "validation", "survival", "diagnostic", "report",
)  # fmt: skip
LABELS = ("analysis", "endpoint")
PLACE = re.compile(r"<(\w[\w ]*)>")  # what stands for any text in a name
NUMBERS = {"n": r"\d+", "months": r"\d+(?:\.\d+)?"}  # places that stand for a number
LONGEST_LINE = 200  # characters of what a schema says of a value, which may be a whole covariance


class Column(NamedTuple):
    """What a column of a table may hold; see schemas/tables/common.yaml."""

    name: str
    type: str  # text, number, integer, boolean (True or False), any
    text: str = ""
    unit: str = ""
    min: float | None = None
    max: float | None = None
    values: list[Any] | None = None
    pattern: str | None = None
    empty: str | None = None
    when: str | None = None


class Contract(NamedTuple):
    """The columns of a table, in their order."""

    files: list[str]
    about: str
    columns: list[Column]
    labels: bool = False  # the first two are analysis and endpoint
    note: str = ""


class Folder(NamedTuple):
    """A folder of results: its tables, other documents and internal tables by file, and what they are."""

    title: str
    about: str
    tables: list[Contract]
    documents: dict[str, str]
    internal: dict[str, str]


@functools.cache
def folders() -> list[Folder]:
    """All contracts of tables, by the folder of results that they lie in."""
    common = _yaml("tables/common")
    return [_folder(_yaml(f"tables/{name}"), common) for name in ORDER]


def _yaml(name: str) -> dict[str, Any]:
    # safe_load in compiled code, ten times faster
    return yaml.load((SCHEMAS / f"{name}.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader)


def _folder(content: dict[str, Any], common: dict[str, Any]) -> Folder:
    tables = []
    for table in content["tables"]:
        columns = [_column(name, None, common) for name in LABELS if table.get("labels")]
        parts = table["columns"] if isinstance(table["columns"], list) else [table["columns"]]
        for part in parts:
            columns += [_column(name, said, common) for name, said in part.items()]
        labelled = table.get("labels", False)
        tables.append(Contract(_files(table), table["about"], columns, labelled, table.get("note", "")))
    documents = {item["file"]: item["about"] for item in content.get("documents", [])}
    internal = {file: item["about"] for item in content.get("internal", []) for file in item["files"]}
    return Folder(content["title"], content["about"], tables, documents, internal)


def _files(table: dict[str, Any]) -> list[str]:
    return table["files"] if "files" in table else [table["file"]]


def _column(name: str, said: dict[str, Any] | str | None, common: dict[str, Any]) -> Column:
    """A column as a table says it (`said`: nothing, its kind, or its keys), completed by what its name and kind say."""
    own = {"is": said} if isinstance(said, str) else said or {}
    own = common["columns"].get(name, {}) | own
    keys = common["kinds"][own["is"]] | own
    return Column(name, **{key: value for key, value in keys.items() if key != "is"})


def matches(pattern: str, name: str) -> bool:
    """Whether a name of a file or column is one that the pattern stands for: `risk_<months>` for risk_24."""
    return _expression(pattern).fullmatch(name) is not None


@functools.cache
def _expression(pattern: str) -> re.Pattern[str]:
    parts = PLACE.split(pattern)
    fixed, places = parts[::2], parts[1::2]
    any_text = "[^/]+" if "/" in pattern else ".+"
    expression = re.escape(fixed[0])
    for place, after in zip(places, fixed[1:], strict=True):
        expression += NUMBERS.get(place, any_text) + re.escape(after)
    return re.compile(expression)


def contract_of(name: str) -> Contract | None:
    """The contract of a table by its path below results/<study>/; None of a table that no contract knows."""
    for folder in folders():
        for contract in folder.tables:
            if any(matches(file, name) for file in contract.files):
                return contract
    return None


def is_internal(name: str) -> bool:
    """Whether a table is of the workflow's own use, by its path below results/<study>/."""
    return any(matches(file, name) for folder in folders() for file in folder.internal)


def problems_of_results(folder: Path) -> list[str]:
    """Every line on the files of results/<study>/ that are not as promised: tables that no contract knows or that break
    it, frozen models and signatures that are not as their schema has them. Empty where all is well.
    """
    lines = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".csv", ".parquet")):
        name = path.relative_to(folder).as_posix()
        contract = contract_of(name)
        if contract is not None:
            lines += [f"{name}: {line}" for line in problems_of_table(path, contract)]
        elif not is_internal(name):
            lines.append(f"{name}: no contract in schemas/tables/ knows this table")
    for path, value, schema in _frozen_parts(folder):
        lines += [f"{path.relative_to(folder).as_posix()}: {line}" for line in problems_of_frozen(value, schema)]
    return lines


def _frozen_parts(folder: Path) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """Every frozen model and signature of a study, with the name of its schema; those of ablations lie in one file."""
    for path in sorted(folder.glob("signature/*/signature.json")):
        yield path, read_sealed(path)[0], "signature"
    for part in ("frozen", "scores", "categories"):
        for path in sorted(folder.glob(f"models/*/{part}/*.json")):
            yield path, read_sealed(path)[0], "model"
    for path in sorted(folder.glob("models/*/ablations/*.json")):
        content = read_sealed(path)[0]
        if content.get("signature") is not None:
            yield path, content["signature"], "signature"
        for model in content.get("models", {}).values():
            yield path, model, "model"


def problems_of_table(table: pd.DataFrame | Path, contract: Contract) -> list[str]:
    """What of a table, a frame or a file (CSV, Parquet), is not as its contract has it: a line each, with the place.

    Cells of a CSV are judged as they are written; a column of a Parquet file by its type.
    """
    if isinstance(table, Path):
        try:
            table = _as_written(table)
        except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
            return [f"cannot be read as a table ({type(error).__name__})"]
    lines = [
        f"no column {column.name!r}"
        for column in contract.columns
        if column.when is None and not PLACE.search(column.name) and column.name not in table
    ]
    places = []
    for name in table.columns:
        column = _column_of(str(name), contract)
        if column is None:
            lines.append(f"column {name!r} is not in the contract")
            continue
        places.append(contract.columns.index(column))
        lines += [f"column {name!r}: {line}" for line in _problems_of_cells(table[name], column)]
    fixed = [place for place in places if not PLACE.search(contract.columns[place].name)]
    if fixed != sorted(fixed):
        lines.append("its columns stand in another order than in the contract")
    return lines


def _as_written(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _column_of(name: str, contract: Contract) -> Column | None:
    """The column of that name, else the first whose name is a pattern of it."""
    for column in contract.columns:
        if column.name == name:
            return column
    return next((column for column in contract.columns if matches(column.name, name)), None)


def _problems_of_cells(cells: pd.Series, column: Column) -> Iterator[str]:
    """A line for each promise that cells of the column break."""
    broken: dict[str, list[Any]] = {}
    for value in cells.unique().tolist():
        promise = _broken_promise(value, column)
        if promise is not None:
            broken.setdefault(promise, []).append(value)
    for promise, values in broken.items():
        wrong = np.flatnonzero(cells.isin(values))
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        yield f"line {wrong[0] + 2}: {str(values[0])!r} {promise}{more}"  # after the header


def _broken_promise(value: Any, column: Column) -> str | None:
    """What a cell is not, or what it is and may not be; None where it keeps all promises of its column."""
    if column.type == "any":
        return None
    if value == "" or value is None or value != value:
        return "is an empty cell, which it never has" if column.empty is None else None
    if column.type in ("number", "integer"):
        return _broken_by_number(value, column)
    text = str(value)
    if column.type == "boolean" and text not in ("True", "False"):
        return "is neither True nor False"
    if column.values is not None and text not in column.values:
        return f"is none of {', '.join(column.values)}"
    if column.pattern is not None and not re.fullmatch(column.pattern, text):
        return f"is not as {column.pattern}"
    return None


def _broken_by_number(value: Any, column: Column) -> str | None:
    try:
        number = float(value)
    except ValueError:
        return "is no number"
    if not math.isfinite(number):
        return "is no finite number"
    if column.type == "integer" and not number.is_integer():
        return "is no whole number"
    if column.values is not None and number not in column.values:
        return f"is none of {', '.join(map(str, column.values))}"
    if column.min is not None and number < column.min:
        return f"is below {column.min}"
    if column.max is not None and number > column.max:
        return f"is above {column.max}"
    return None


@functools.cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(_yaml(f"{name}.schema"))


def problems_of_frozen(value: Any, name: str) -> list[str]:
    """What of a frozen model or signature (name: model, signature) is not as its schema has it, a line each with the
    place: `terms[1].coef: 'x' is not of type 'number'`.
    """
    errors = sorted(_validator(name).iter_errors(value), key=lambda error: [str(part) for part in error.absolute_path])
    lines = []
    for error in errors:
        place = error.json_path.removeprefix("$").removeprefix(".")
        message = textwrap.shorten(error.message, LONGEST_LINE, placeholder=" ...")
        lines.append(f"{place}: {message}" if place else message)
    return lines


def read_contracted(path: str | Path, name: str) -> dict[str, Any]:
    """A frozen model or signature from elsewhere, checked against its schema (name: model, signature).

    Raises StudyError, in one line, for a file that is damaged, was edited since it was frozen, or is not as the schema
    has it, with what is wrong first and where.
    """
    value, intact = read_sealed(path)
    problems = problems_of_frozen(value, name)
    first = f": {problems[0]}" if problems else ""
    if not intact:
        raise StudyError(f"{path}: was edited after it was frozen{first}; use the file that the study wrote")
    if problems:
        raise StudyError(f"{path}: not a {name} of this version of the workflow{first}")
    return value
