"""The tables and figures of one analysis, section by section."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from recur.report.manuscript import manuscript_tables
from recur.report.methods import methods
from recur.report.models import sample_size
from recur.report.pages import html_table
from recur.report.parts import escape, picture
from recur.report.patients import follow_up
from recur.report.results import of_analysis, rank_of
from recur.report.sensitivity import sensitivity
from recur.vocabulary import study_words

# Sections of an analysis in the order of a paper: category of figures -> heading. An unknown category comes last.
SECTIONS = {
    "Cohort": "Patients",
    "Images": "Images",
    "Signature": "Radiomics signature",
    "Models": "Models",
    "Survival": "Survival of the risk groups",
    "Validation": "Validation",
    "Scores": "Published scores",
}
PLACE = {"table1": "Cohort", "features": "Signature", "cox": "Models", "logistic": "Models",
         "performance": "Validation", "comparisons": "Validation", "scores": "Scores"}  # fmt: skip


def analysis_part(results: Path, study: Mapping[str, Any], analysis: str, captions: Mapping[str, Any]) -> str:
    """Methods of an analysis, then its tables and figures section by section, and its guards."""
    mark = rank_of(study, analysis)
    text = [f'<h2 id="analysis-{escape(quote(analysis))}">{mark.capitalize()}: {escape(analysis)}</h2><h3>Methods</h3>']
    text += [f"<p><b>{escape(title)}.</b> {escape(words)}</p>" for title, words in methods(results, study, analysis)]
    words = study_words(study)
    tables = manuscript_tables(results, analysis, words)
    figures = {key.split("/")[1]: of for key, of in captions.items() if key.split("/")[0] == analysis}
    order = list(SECTIONS) + sorted({category for category, _ in figures.values()} - set(SECTIONS))
    extra = {"Cohort": follow_up, "Models": sample_size, "Validation": sensitivity}
    for category in order:
        inner = [manuscript(table, analysis) for table in tables if PLACE.get(table.name, "Validation") == category]
        inner += [
            picture(results / "figures" / analysis / f"{name}.png", caption, f"{analysis}-{name}")
            for name, (own, caption) in figures.items()
            if own == category
        ]
        inner += [extra[category](results, analysis, words)] if category in extra else []
        if any(inner):
            text.append(f"<h3>{escape(SECTIONS.get(category, category))}</h3>" + "".join(inner))
    guards = of_analysis(results, "validation/{}/guards.csv", analysis)
    if len(guards):
        rows = [[str(g.guard), g.status, g.title, "" if pd.isna(g.text) else g.text] for g in guards.itertuples()]
        said = "Known errors of such studies: flag fired, clear, blocked by construction, or not applicable here."
        shown = html_table(["Guard", "Status", "Error", "What this run says"], rows)
        text.append(f"<h3>Guards</h3><p>{said}</p>{shown}")
    return "".join(text)


def manuscript(made: Any, analysis: str) -> str:
    """A manuscript table with its notes and links to its files."""
    stem = f"tables/{quote(analysis)}/{made.name}"
    links = " ".join(f'<a href="{escape(stem)}.{kind}">{word}</a>' for kind, word in (("docx", "Word"), ("csv", "CSV")))
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in made.notes)
    rows = html_table(made.heads, made.rows)
    return f'<h4>{escape(made.title)} <small>{links}</small></h4><div class="wide">{rows}</div>{notes}'
