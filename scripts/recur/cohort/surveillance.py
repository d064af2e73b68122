"""Visits after the index treatment: how often patients were looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.cells import stripped, without_codes
from recur.cohort.dates import ISO, as_iso, iso_days
from recur.study.endpoints import DAYS_PER_MONTH
from recur.tables import Problem, StudyError, grouped, read_table

VISIT_COLUMNS = ["patient_id", "visits", "interval_first_2_years", "interval_later", "longest_gap"]


def visit_intervals(study: dict[str, Any], cells: pd.DataFrame, ids: pd.Series) -> pd.DataFrame:
    """Months between surveillance visits by patient (VISIT_COLUMNS), empty where the study declares none.

    cells: the clinical table as text (Cohort.cells); ids: the patients wanted. Medians of the gaps that end within 24
    months of the index treatment and later, and the longest; the first gap starts at the treatment. Raises StudyError
    for a date that cannot be read.
    """
    clinical = study["clinical"]
    if "visits" not in clinical:
        return pd.DataFrame(columns=VISIT_COLUMNS)
    visits = clinical["visits"]
    path = clinical["visits"]["table"]
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
