"""Files of SPSS, Stata, SAS and R as tables of text: the cells that a CSV of the same data has.

pyreadstat and pyreadr are compiled readers that a damaged file may crash, so they work in a process of their own
(recur.isolated). What only such files have is handed on as attributes of the table: labels of values (LABELS, by column
code -> label), and remarks (REMARKS, by column what the file itself declares missing).
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_float_dtype

from recur.isolated import Crashed, isolated
from recur.tables import LABELS, REMARKS, StudyError, cell_texts, check_names, first_of, shortest

READERS = {
    ".sav": "read_sav", ".zsav": "read_sav", ".por": "read_por", ".dta": "read_dta", ".xpt": "read_xport",
    ".sas7bdat": "read_sas7bdat",
}  # fmt: skip
XPORT_RECORD = 80  # bytes; the format says nowhere how many rows there are
WITH_USER_MISSING = {".sav", ".zsav", ".dta", ".sas7bdat"}  # whose reader tells declared missing values from gaps


def read_cells(path: Path, kind: str, name: str | None = None) -> pd.DataFrame:
    """The table of a file as text (columns of fractions as numbers), attributes LABELS and REMARKS.

    kind: its suffix in small letters; name: of a data frame in an R file with several. Dates are yyyy-mm-dd, whole
    numbers without `.0`, TRUE and FALSE as R writes them. Raises StudyError for a file that cannot be read or holds
    another number of tables than one, if none is named.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    if kind == ".xpt" and path.stat().st_size % XPORT_RECORD:
        raise StudyError(f"{path}: cut off: not a whole number of records; copy it again, or save a CSV")
    remedy = "open it in its own program, save it again (in Unicode), or save a CSV"
    if kind not in READERS:
        remedy = "save one data frame of plain columns, saveRDS(as.data.frame(x), file), without ascii, or a CSV"
    try:
        work = partial(_read_statistics, path, kind) if kind in READERS else partial(_read_r, path, name)
        table = isolated(work)
    except Crashed:
        raise StudyError(f"{path}: damaged: its reader crashed on it; {remedy}") from None
    except StudyError:
        raise
    except Exception as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise StudyError(f"{path}: cannot be read ({cause}): damaged, or another kind of file? {remedy}") from None
    labels, remarks = table.attrs.get(LABELS, {}), table.attrs.get(REMARKS, {})
    check_names(list(table.columns), path)
    cells = {column: cell_texts(values, path) for column, values in table.items()}
    read = pd.DataFrame(cells, index=table.index).dropna(how="all").reset_index(drop=True)
    read.attrs = {LABELS: labels, REMARKS: remarks}
    return read


def _read_statistics(path: Path, kind: str) -> pd.DataFrame:
    """The table of SPSS, Stata or SAS; what the file declares missing is."""
    import pyreadstat

    reader = getattr(pyreadstat, READERS[kind])
    table, facts = reader(str(path))
    if len(set(table.columns)) < len(table.columns):
        return table
    short = [name for name, kind in facts.readstat_variable_types.items() if kind == "float" and name in table]
    table = table.assign(**{name: table[name].map(shortest) for name in short if is_float_dtype(table[name])})
    remarks = {}
    if kind in WITH_USER_MISSING:
        everything, _ = reader(str(path), user_missing=True)
        remarks = {name: _declared_missing(table[name], everything[name]) for name in table}
    labels = {
        str(name): {_code(value): str(label).strip() for value, label in texts.items()}
        for name, texts in facts.variable_value_labels.items()
    }
    table.attrs = {LABELS: labels, REMARKS: remarks}
    return table


def _declared_missing(cells: pd.Series, everything: pd.Series) -> str:
    """What of a column the file holds and declares missing, such as SPSS's 999 or Stata's .a; "" for nothing."""
    gone = everything[cells.isna() & everything.notna() & (everything.astype(str) != "")]
    if gone.empty:
        return ""
    return f"{len(gone)} cells ({first_of(sorted({_code(value) for value in gone}))}) are missing, as the file declares"


def _code(value: Any) -> str:
    """A value of a labelled column as its cell is written."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def _read_r(path: Path, name: str | None) -> pd.DataFrame:
    """The data frame of that name in an R file, or the only one; row names, where a frame has such, are a column."""
    import pyreadr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of objects that are no tables
        columns = {item["object_name"]: item["columns"] for item in pyreadr.list_objects(str(path))}
        objects = pyreadr.read_r(str(path))
    # a vector has no names of columns; a matrix has them in its table only
    tables = {key: found for key, found in objects.items() if columns.get(key) or found.shape[1] > 1}
    names = ", ".join(repr(key) for key in tables)
    if not tables:
        raise StudyError(f"{path}: holds no data frame; save one with saveRDS(as.data.frame(x), file)")
    if name is None and len(tables) > 1:
        raise StudyError(
            f"{path}: several data frames: {names}; name one (`sheet:` in the study file, --sheet of score.py)"
        )
    if name is not None and name not in tables and None not in tables:
        raise StudyError(f"{path}: no data frame {name!r}; its data frames are {names}: name one of them (`sheet:`)")
    chosen = name if name in tables else next(iter(tables))
    check_names([str(column) for column in columns.get(chosen) or []], path)  # the reader drops the first of two
    table = tables[chosen]
    if table.index.name is not None:
        table = table.reset_index()
    table.columns = [str(column) for column in table.columns]
    return table.apply(_as_r_writes)


def _as_r_writes(cells: pd.Series) -> pd.Series:
    if cells.dtype != object and not is_bool_dtype(cells):
        return cells
    return cells.map(lambda cell: str(cell).upper() if isinstance(cell, bool | np.bool_) else cell)
