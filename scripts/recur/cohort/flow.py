"""The flow of patients from the clinical table to an analysis: who went out, where and why."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

CHECKED = {
    "cohort": "with sound clinical data",
    "images": "with sound images and masks",
    "features": "with all features",
    "analysis": "with all that the analysis needs",
}


def merge_exclusions(tables: Iterable[pd.DataFrame], cases: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One row a patient (patient_id, floor, reason), the first reason of the uppermost floor.

    tables hold those columns; cases are the case tables of the images floor, whose excluded cases are joined.
    """
    columns = ["patient_id", "floor", "reason"]
    tables = list(tables)
    bad = [table[table["status"] == "excluded"].assign(floor="images") for table in cases]
    merged = pd.concat([part[columns] for part in (tables[:1] + bad + tables[1:])], ignore_index=True)
    return merged.drop_duplicates("patient_id").sort_values("patient_id", ignore_index=True)


def explain_absence(exclusions: pd.DataFrame, patients: pd.DataFrame, present: set[str]) -> pd.DataFrame:
    """The exclusions with those patients added who have no features and no reason yet: nothing was in the manifest."""
    known = present | set(exclusions["patient_id"])
    absent = patients.loc[~patients["patient_id"].isin(known), ["patient_id"]]
    absent = absent.assign(floor="images", reason="no image in the manifest")
    return pd.concat([exclusions, absent]).sort_values("patient_id", ignore_index=True)


def analysis_flow(
    flow: pd.DataFrame, exclusions: pd.DataFrame, excluded: pd.DataFrame, patients: pd.DataFrame
) -> pd.DataFrame:
    """The flow of one analysis: that of the study, then those whom the analysis alone leaves out, and its cohorts."""
    left_out = excluded[~excluded["patient_id"].isin(exclusions["patient_id"])].assign(floor="analysis")
    return flow_table(int(flow["n"].iloc[0]), pd.concat([exclusions, left_out]), patients)


def cause(reason: str) -> str:
    """A reason without the patient's own particulars, so that equal causes are counted together."""
    text = re.sub(r"^\w+ \w+: (?:mask|image|liver mask) [^:]*: ", "", reason)
    text = re.sub(r"\b\d{4}-\d{2}-\d{2}\b ?", "", text.split(";")[0])
    head, _, detail = text.partition(": ")
    return re.sub(r"\s+", " ", head if re.search(r"\d", detail) else text).strip()


def flow_table(total: int, exclusions: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """Patient flow: order, step, n, excluded, reason; one row a reason, then one a cohort."""
    rows = [("patients in the clinical table", total, 0, "")]
    left = total
    for floor in CHECKED:
        part = exclusions[exclusions["floor"] == floor]
        if part.empty:
            continue
        left -= part["patient_id"].nunique()
        reasons = part["reason"].map(cause).value_counts(sort=True)
        text = "; ".join(f"{reason} (n = {n})" for reason, n in sorted(reasons.items(), key=lambda x: (-x[1], x[0])))
        rows.append((CHECKED[floor], left, part["patient_id"].nunique(), text))
    rows += [(cohort, int(n), 0, "") for cohort, n in patients["cohort"].value_counts().sort_index().items() if cohort]
    table = pd.DataFrame(rows, columns=["step", "n", "excluded", "reason"])
    table.insert(0, "order", range(1, len(table) + 1))
    return table
