"""The checks of the study's own tables, and how the checklists stand."""

from __future__ import annotations

from pathlib import Path

from recur.report.parts import table
from recur.report.results import read


def checks(results: Path) -> str:
    """The checks of the study's own tables, and how the checklists stand."""
    text = ""
    found = read(results, "validation/consistency.csv")
    if len(found):
        counts, failing = found[found["rows"].notna()], found[found["rows"].isna()]
        said = "Percentages, intervals, p-values and counts of this run, checked against each other"
        said += f": {counts['rows'].sum():.0f} checks of {len(counts)} kinds, {counts['failed'].sum():.0f} failed."
        shown = table(failing.drop(columns=["rows", "failed"])) if len(failing) else ""
        text += f"<h2>Consistency of the tables</h2><p>{said}</p>{shown}"
    lists = read(results, "report/checklists.csv")
    if len(lists):
        counts = lists.groupby(["checklist", "status"], sort=False).size().unstack(fill_value=0).reset_index()
        said = "Filled from this run; what needs a human says so. Every item with its evidence:"
        text += f'<h2>Checklists</h2><p>{said} <a href="checklists.html">checklists</a>.</p>{table(counts)}'
    return text
