"""Reading and writing the tables and JSON files that pass between the floors."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

SIGNIFICANT_DIGITS = 10
MANIFEST = "manifest"  # attribute of a feature table: the hash of its features, settings and versions
SEAL = "sha256"  # of a frozen model
PATIENT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
FORMULA = re.compile(r"[=@\t\r]|[+-](?![-+\d.,() eto%]*$)")
MISSING = ["", "NA", "NaN", "nan"]  # cells of any table
AT_MIDNIGHT = r"[ T]00?:00(?::00(?:\.0+)?)?$"  # a time of day that a program gave a date
MIDNIGHT = re.compile(rf"^(\d{{4}}-\d{{2}}-\d{{2}}){AT_MIDNIGHT}")
TITLED = 2  # columns from which on a first line of one cell is a title, not a header
LARGEST_WHOLE = 1e15  # of a whole number that a float holds exactly and prints without an exponent
LABELS, REMARKS = "labels", "remarks"  # attributes of a table that was read from a statistics program (recur.statfiles)
STATISTICS = (".sav", ".zsav", ".por", ".dta", ".xpt", ".sas7bdat", ".rds", ".rdata", ".rda")
FORMATS = (
    ".csv, .tsv, .xlsx, .parquet, a file of SPSS (.sav, .por), Stata (.dta), SAS (.xpt, .sas7bdat) or R (.rds, .RData)"
)
NAMED = 3  # patients that a line names of those who have the same problem


class StudyError(Exception):
    """Bad input, told to the user: every problem in one line of its own, never a traceback."""

    def __init__(self, problems: str | Iterable[str]):
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class Problem(NamedTuple):
    """What is wrong with one patient, in words that are the same for all who have it.

    who: the patient, or the row of a table while ids are not known to be sound. `{}` in the text stands for a cell.
    """

    who: Any
    text: str
    cells: tuple[Any, ...] = ()
    line: int | None = None  # of the file


def told(problem: Problem) -> str:
    """The problem of one patient with its own cells, as in a table of exclusions."""
    return _filled(problem.text, [shown(cell) for cell in problem.cells])


def shown(cell: Any) -> str:
    """A cell as lines for people quote it: text in quotes, a date as it is written."""
    if isinstance(cell, str):
        return repr(cell)
    if isinstance(cell, pd.Timestamp):
        return f"{cell:%Y-%m-%d}"
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def _filled(text: str, cells: list[str]) -> str:
    for cell in cells:
        text = text.replace("{}", cell, 1)
    return text


def grouped(problems: Iterable[Problem], where: str | Path = "") -> list[str]:
    """A line for each different problem, in the order in which they first occur: `where`, line, patient, problem.

    Of several patients it gives their number, the first three (NAMED), and the first cells.
    """
    alike: dict[str, list[Problem]] = {}
    for problem in problems:
        alike.setdefault(problem.text, []).append(problem)
    return [": ".join([*([str(where)] if where else []), *_of_many(part)]) for part in alike.values()]


def _of_many(part: list[Problem]) -> Iterator[str]:
    """The parts of a line on patients who have the same problem."""
    lines = list(dict.fromkeys(problem.line for problem in part if problem.line is not None))
    names = list(dict.fromkeys(repr(str(problem.who)) for problem in part if pd.notna(problem.who)))
    if lines:
        yield f"{'lines' if len(lines) > 1 else 'line'} {first_of(lines)}"
    if names:
        yield f"{len(names)} patients ({first_of(names)})" if len(names) > 1 else f"patient {names[0]}"
    elif len(lines) > 1:
        yield f"{len(lines)} rows"
    cells = [shown(cell) for cell in part[0].cells]
    if len(cells) == 1:
        cells = [first_of(list(dict.fromkeys(shown(problem.cells[0]) for problem in part)))]
    yield _filled(part[0].text, cells)


def first_of(names: list[Any], most: int = NAMED) -> str:
    """The first names of a list for a line of text, with `...` where there are more."""
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")


def read_table(
    path: str | Path, sheet: str | None = None, used: Callable[[str], Any] = lambda column: True
) -> pd.DataFrame:
    """Read CSV, TSV, XLSX, Parquet or a file of SPSS, Stata, SAS or R (by suffix; `.gz` of text allowed) with every
    cell as text, empty cells as NaN.

    Text keeps ids such as `007` and lets checks quote the cell as the user typed it; row i of the frame is line i + 2
    of the file. Rows without any cell are left out. Of typed formats, columns of fractions keep their type; other
    columns are the text that a CSV of the same table has. sheet: of an XLSX file (see `recur.spreadsheets`), or a data
    frame of an R file; used: whether a column is looked at; what is hidden, merged or not computed in others does not
    matter. Raises StudyError when the file cannot be read.
    """
    path = Path(path)
    suffixes = [s.lower() for s in path.suffixes if s.lower() != ".gz"]
    kind = suffixes[-1] if suffixes else ""
    text = {"dtype": str, "keep_default_na": False, "na_values": MISSING}
    try:
        if kind == ".parquet":
            return parquet_text(pd.read_parquet(path), path)
        if kind in STATISTICS:
            from recur.statfiles import read_cells

            return read_cells(path, kind, sheet)
        if kind == ".xlsx":
            from recur.spreadsheets import read_sheet, stop_at_doubts  # they raise this module's errors

            cells, doubts, title = read_sheet(path, sheet)
            rows = pd.DataFrame(cells, dtype=object)
            table = with_header(rows.mask(rows.isin(MISSING)), path)
            stop_at_doubts(doubts, cells[0], used, f"{path}: sheet {title!r}")
            return table
        if kind in (".csv", ".tsv", ".txt"):
            table = pd.read_csv(path, sep="," if kind == ".csv" else "\t", encoding="utf-8-sig", header=None, **text)
            return with_header(table, path)
    except StudyError:
        raise
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file") from None
    except UnicodeError:
        raise StudyError(f"{path}: not UTF-8 text; save it as CSV UTF-8, or give the .xlsx itself") from None
    except pd.errors.EmptyDataError:
        raise StudyError(f"{path}: empty, it has not even a header") from None
    except pd.errors.ParserError as error:
        cause = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise StudyError(
            f"{path}: cannot be read as a table ({cause}); delete lines above the header, and put cells that hold the "
            "separator into quotes"
        ) from None
    except Exception as error:
        cause = " ".join(str(error).split())
        raise StudyError(
            f"{path}: cannot be read as a table ({type(error).__name__}: {cause}); save it again in its own program"
        ) from error
    raise StudyError(f"{path}: unknown table format {kind!r}; use {FORMATS}")


def with_header(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The table with its first line as header, which pandas itself would rename where a name stands there twice.

    A column without a name, such as a data frame's index, is `Unnamed: 0`, with its place, as pandas has it. Blanks
    around a name go, and line breaks in it are blanks.
    """
    table = table.dropna(axis=1, how="all")  # a spreadsheet's empty columns
    if table.empty:
        raise StudyError(f"{path}: empty, it has not even a header")
    cells = table.iloc[0].items()
    names = [" ".join(name.split()) if isinstance(name, str) else f"Unnamed: {place}" for place, name in cells]
    mark = re.search(r"[;\t,|]", str(table.iat[0, 0]))
    if len(names) == 1 and mark:
        raise StudyError(f"{path}: its columns are separated by {mark[0]!r}; save .csv with commas, .tsv with tabs")
    named = [name for name in table.iloc[0] if isinstance(name, str)]
    if len(names) > TITLED and named in ([], [table.iat[0, 0]]):
        title = f"only {named[0]!r}" if named else "nothing"
        raise StudyError(f"{path}: line 1 holds {title}; a title above the header? delete the lines above the header")
    check_names(names, path)
    table = table[1:].set_axis(names, axis=1)
    return table.dropna(how="all").reset_index(drop=True).replace(MIDNIGHT, r"\1", regex=True)


def check_names(names: list[str], path: Path) -> None:
    """Raise StudyError for names of columns that stand there twice."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise StudyError(f"{path}: column {name!r} stands there twice; rename or remove one" for name in twice)


def id_columns(name: str) -> list[str]:
    """The columns of an id: `class + number` names two, for numbers that begin anew in each class."""
    return [name, *name.split(" + ")]


def with_id(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with a column of an id that is declared as `class + number`: their cells joined, `A_7`.

    Missing where a part is; a table that has such a column already, or lacks a part, stays as it is.
    """
    parts = name.split(" + ")
    if name in table or len(parts) == 1 or not set(parts) <= set(table):
        return table
    joined = table[parts[0]].astype("string").str.strip()
    for part in parts[1:]:
        joined = joined + "_" + table[part].astype("string").str.strip()
    return table.assign(**{name: joined.astype(object).where(joined.notna(), float("nan"))})


def parquet_text(table: pd.DataFrame, path: Path) -> pd.DataFrame:
    """A typed table with the cells that a CSV of it has; columns of fractions stay as they are, which is the same.

    Raises StudyError for a column of bytes that are no text.
    """
    cells = {name: cell_texts(column, path) for name, column in table.items()}
    read = pd.DataFrame(cells, index=table.index).reset_index(drop=True)
    read.attrs = table.attrs
    return read


def shortest(number: float) -> float:
    """A number that was kept in 32 bits as it was written."""
    return float(str(np.float32(number)))


def cell_texts(column: pd.Series, path: Path) -> pd.Series:
    """A typed column with the cells that a CSV of it has; fractions stay numbers, which is the same.

    Raises StudyError for bytes that are no text.
    """
    known = column.dropna()
    if pd.api.types.is_float_dtype(column.dtype):
        # a column of whole numbers is float where a cell is missing
        whole = len(known) and (known.abs() < LARGEST_WHOLE).all() and (known == known.round()).all()
        if not whole and str(column.dtype).lower() == "float32":  # 4.1, not the 4.099999904 that is nearest to it
            return column.astype(float).map(shortest)
        if not whole:
            return column.astype(float)
        known = known.astype("int64")
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        known = known.map(str)
    try:
        text = known.astype(object).map(lambda cell: cell.decode() if isinstance(cell, bytes) else str(cell))
    except UnicodeDecodeError:
        raise StudyError(f"{path}: column {column.name!r} holds bytes that are no text (UTF-8)") from None
    text = text.reindex(column.index).astype(object)
    return text.mask(text.isin(MISSING)).replace(MIDNIGHT, r"\1", regex=True)


def read_made(path: str | Path) -> pd.DataFrame:
    """Read a CSV that the workflow wrote: ids and names stay text, only an empty cell is missing."""
    text = dict.fromkeys(("patient_id", "centre", "cohort", "reader", "floor", "reason"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])


def plain_cell(text: str) -> str:
    """The text as a spreadsheet shows it: what would be taken for a formula begins with an apostrophe."""
    return f"'{text}" if FORMULA.match(text) else text


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path` to write to, which becomes `path` at the end: nobody ever sees half a file.

    Its name holds a random part (nodes of a cluster share folders, and process numbers) and the suffixes of `path`.
    It is removed when writing fails, as on a full disk.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{secrets.token_hex(4)}.part.{path.name}")
    try:
        yield partial
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_text(text: str, path: str | Path) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write CSV (10 significant digits, text as `plain_cell`) or Parquet, by suffix; nobody sees half a file."""
    with whole_file(path) as partial:
        if Path(path).suffix == ".parquet":
            table.to_parquet(partial, index=False)
        else:
            words = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
            table = table.assign(**{name: table[name].map(_text_cell) for name in words})
            table.to_csv(partial, index=False, float_format=f"%.{SIGNIFICANT_DIGITS}g", lineterminator="\n")


def _text_cell(cell: Any) -> Any:
    """A cell of a column that is not all numbers, as it is written."""
    if isinstance(cell, float):
        return f"{cell:.{SIGNIFICANT_DIGITS}g}" if cell == cell else None
    return plain_cell(cell) if isinstance(cell, str) else cell


def write_json(value: Any, path: str | Path) -> None:
    """Write JSON with sorted keys and shortest round-trip numbers, so that equal values are equal bytes."""
    write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n", path)


def read_json(path: str | Path) -> Any:
    return json.loads(Path(path).read_text())


def write_frozen(value: dict[str, Any], path: str | Path) -> None:
    """Write a model or signature as JSON with the SHA-256 of its content, so that an edit by hand is noticed."""
    write_json(value | {SEAL: _seal(value)}, path)


def read_frozen(path: str | Path) -> dict[str, Any]:
    """Read what `write_frozen` wrote; raises StudyError for a file that is damaged or was edited since."""
    value, intact = read_sealed(path)
    if not intact:
        raise StudyError(f"{path}: was edited after it was frozen; use the file that the study wrote")
    return value


def read_sealed(path: str | Path) -> tuple[dict[str, Any], bool]:
    """The content of a frozen file, and whether it is what was frozen; raises StudyError for a file that is none."""
    try:
        value = read_json(path)
    except FileNotFoundError:
        raise StudyError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError):  # of brackets in brackets
        raise StudyError(f"{path}: not a frozen model, or damaged; copy it again") from None
    if not isinstance(value, dict) or SEAL not in value:
        raise StudyError(f"{path}: no frozen model of this workflow (no {SEAL!r}); use the file that the study wrote")
    seal = value.pop(SEAL)
    try:
        return value, seal == _seal(value)
    except ValueError:  # NaN and infinity, which Python reads and JSON does not have
        return value, False


def _seal(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, allow_nan=False).encode()).hexdigest()


def signed(table: pd.DataFrame, sha256: str | None) -> pd.DataFrame:
    """The feature table with its manifest hash as an attribute, which Parquet keeps."""
    table.attrs[MANIFEST] = sha256
    return table


def manifest_of(path: str | Path) -> str | None:
    """The manifest hash of a stored feature table; None where it has none (tables from elsewhere)."""
    return pd.read_parquet(path, columns=["patient_id"]).attrs.get(MANIFEST)


def one_manifest(tables: dict[str, pd.DataFrame | str | None]) -> str | None:
    """The manifest hash that all feature tables (or hashes) share, by what they are; None where they have none.

    Raises StudyError, naming both sides, when two of them differ: their features are not comparable.
    """
    hashes = {
        what: table.attrs.get(MANIFEST) if isinstance(table, pd.DataFrame) else table for what, table in tables.items()
    }
    first = next(iter(hashes), None)
    problems = [
        f"{what} has features of another manifest ({str(value)[:12]}) than {first} ({str(hashes[first])[:12]}): other "
        "settings, feature set or library versions; extract all of them with one, or fit again"
        for what, value in hashes.items()
        if value != hashes[first]
    ]
    if problems:
        raise StudyError(problems)
    return hashes[first] if hashes else None


def labelled(table: pd.DataFrame, labels: dict[str, str]) -> pd.DataFrame:
    """The table with constant first columns, such as analysis and endpoint."""
    constant = pd.DataFrame({name: [value] * len(table) for name, value in labels.items()}, index=table.index)
    return pd.concat([constant.astype(object), table.drop(columns=list(labels), errors="ignore")], axis=1)


def write_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        write_text(text, path)
