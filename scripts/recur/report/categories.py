"""Analyses of an ordinal or categorical endpoint."""

from __future__ import annotations

from markupsafe import Markup

from recur.report.pages import Block, drawn
from recur.report.parts import table
from recur.report.results import Run, of_analysis
from recur.vocabulary import study_words

TABLES = {
    "Models": "models/{}/category_coefficients.csv",
    "Performance": "validation/{}/category_performance.csv",
    "Tests over the levels": "validation/{}/category_tests.csv",
}


def section(run: Run) -> Markup:
    """The tables of each such analysis: models, how they were judged, tests over the levels."""
    blocks = []
    for analysis in run.graded:
        blocks += graded(run, analysis)
    return drawn(blocks)


def graded(run: Run, analysis: str) -> list[Block]:
    name = run.study["analyses"][analysis]["endpoint"]
    endpoint = run.study["endpoints"][name]
    levels = ", ".join(map(str, endpoint["levels"]))
    said = f"{endpoint.get('label') or name}: {endpoint['kind']} endpoint with the levels {levels}."
    blocks: list[Block] = [("h3", f"Analysis: {analysis}"), ("p", said)]
    for title, path in TABLES.items():
        found = of_analysis(run.results, path, analysis)
        found = found[found["kind"] == "clinical"] if "kind" in found else found
        blocks += [("h4", title), ("wide", table(found, study_words(run.study)))]
    return blocks
