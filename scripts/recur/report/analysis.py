"""Manuscript tables and figures of an analysis, by the category that figures name."""

from __future__ import annotations

from urllib.parse import quote

from markupsafe import Markup

from recur.report.manuscript import Table, manuscript_tables
from recur.report.pages import Block
from recur.report.parts import by_analysis
from recur.report.results import Run
from recur.vocabulary import study_words

CATEGORIES = (
    "Cohort",
    "Images",
    "Signature",
    "Models",
    "Survival",
    "Validation",
    "Scores",
)  # with a section of its own
CATEGORY_OF_TABLE = {
    "table1": "Cohort",
    "features": "Signature",
    "cox": "Models",
    "logistic": "Models",
    "performance": "Validation",
    "comparisons": "Validation",
    "scores": "Scores",
}


def category(run: Run, analysis: str, name: str) -> list[Block]:
    """The tables and then the figures of one category."""
    blocks = []
    for table in manuscript_tables(run.results, analysis, study_words(run.study)):
        if CATEGORY_OF_TABLE[table.name] == name:
            blocks += manuscript(table, analysis)
    return blocks + figures(run, analysis, [name])


def figures(run: Run, analysis: str, names: list[str]) -> list[Block]:
    """The figures of an analysis in these categories, in the order of the study's figures."""
    blocks = []
    for key, (named, caption) in run.captions.items():
        place, _, figure = key.partition("/")
        if place == analysis and named in names:
            path = run.results / "figures" / analysis / f"{figure}.png"
            blocks.append(("figure", (path, caption, f"{analysis}-{figure}")))
    return blocks


def others(run: Run) -> Markup:
    """Section of the figures whose category has no section of its own."""
    return by_analysis(run, figures_of_others)


def figures_of_others(run: Run, analysis: str) -> list[Block]:
    blocks = []
    for name in sorted({named for named, _ in run.captions.values()} - set(CATEGORIES)):
        found = figures(run, analysis, [name])
        blocks += [("h4", name), *found] if found else []
    return blocks


def manuscript(table: Table, analysis: str) -> list[Block]:
    """A manuscript table with its notes and links to its files."""
    stem = f"tables/{quote(analysis)}/{table.name}"
    title = [f"{table.title} ", ("Word", f"{stem}.docx"), " ", ("CSV", f"{stem}.csv")]
    return [("h4", title), ("wide", (table.heads, table.rows)), *(("note", text) for text in table.notes)]
