"""What the main model rests on: missing cells, one phase or region, the sample's size."""

from __future__ import annotations

from markupsafe import Markup

from recur.report.pages import Block
from recur.report.parts import by_analysis, table
from recur.report.results import Run, of_analysis
from recur.vocabulary import study_words

TABLES = {
    "missing_data": "Missing cells: imputations and complete cases",
    "ablations": "One phase or one region only",
    "learning_curve": "Learning curve",
}


def section(run: Run) -> Markup:
    """The tables of the analyses of sensitivity, of each analysis."""
    return by_analysis(run, varied)


def varied(run: Run, analysis: str) -> list[Block]:
    blocks = []
    for name, title in TABLES.items():
        found = of_analysis(run.results, f"validation/{{}}/{name}.csv", analysis)
        if len(found):
            blocks += [("h4", title), ("wide", table(found, study_words(run.study)))]
    return blocks
