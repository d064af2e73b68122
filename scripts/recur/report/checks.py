"""The checks of the study's own tables, and how the checklists stand."""

from __future__ import annotations

from markupsafe import Markup

from recur.report.pages import drawn
from recur.report.parts import table
from recur.report.results import Run, read


def consistency(run: Run) -> Markup:
    """How many checks of printed numbers there were, and those that failed."""
    found = read(run.results, "validation/consistency.csv")
    if found.empty:
        return Markup("")
    counts = found[found["rows"].notna()]
    failing = found[found["rows"].isna()]
    said = "Percentages, intervals, p-values and counts of this run, checked against each other"
    said += f": {counts['rows'].sum():.0f} checks of {len(counts)} kinds, {counts['failed'].sum():.0f} failed."
    blocks = [("p", said)]
    if len(failing):
        blocks.append(("table", table(failing.drop(columns=["rows", "failed"]))))
    return drawn(blocks)


def checklists(run: Run) -> Markup:
    """How many items of each checklist have which status."""
    lists = read(run.results, "report/checklists.csv")
    if lists.empty:
        return Markup("")
    counts = lists.groupby(["checklist", "status"], sort=False).size().unstack(fill_value=0).reset_index()
    return drawn([("table", table(counts))])
