"""The report: a notebook with a cell a section, executed on the results of a study and written as one page.

Cells of text and their headings are in notebooks/report.ipynb, to be read and edited there; the sections that its cells
call are in the modules beside this one. No number is computed here: tables of floors 1 to 7 hold them all. Sentences
that depend on the run stand in report/texts.yaml, the published table in report/ji2020.yaml.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from recur.report.pages import page
from recur.tables import StudyError

SCRIPTS = Path(__file__).resolve().parents[2]
SYNTHETIC = "SYNTHETIC DATA: made by a generator from a seed; nothing here is about patients."
HEADING = re.compile(r"#+ +(.+)")
PAGES = [("risk calculator", "calculator.html"), ("model card", "model_card.html"), ("checklists", "checklists.html")]
DICTIONARY = ("data dictionary", "../../README.md")


def execute(notebook: Path, results: Path, executed: Path) -> NotebookNode:
    """Run the notebook on the results of a study and keep it, with its outputs, in the file `executed`.

    Raises StudyError, with the section's name, where one of its cells fails.
    """
    os.environ["PYTHONPATH"] = os.pathsep.join([str(SCRIPTS), os.environ.get("PYTHONPATH", "")])
    parameters = {"results": str(results.resolve())}
    options = {"kernel_name": "python3", "progress_bar": False, "stderr_file": sys.stderr}
    try:
        papermill.execute_notebook(str(notebook), str(executed), parameters, **options)
    except PapermillExecutionError as error:
        print("\n".join(error.traceback), file=sys.stderr)
        where = section_of(error.source, nbformat.read(notebook, as_version=4))
        raise StudyError(f"{notebook}, section {where!r}: {error.ename}: {error.evalue}") from error
    return nbformat.read(executed, as_version=4)


def section_of(source: str, notebook: NotebookNode) -> str:
    """The last heading before the cell of this source."""
    heading = "before the first heading"
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            heading = next(iter(headings(cell.source)), heading)
        elif cell.source == source:
            break
    return heading


def headings(source: str) -> list[str]:
    """The headings of a cell of text."""
    return [found[1].strip() for found in map(HEADING.fullmatch, source.splitlines()) if found]


def shown(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells of the page: text directly above code belongs to it, and is left out where the code shows nothing."""
    kept = []
    following = [*notebook.cells[1:], None]
    for cell, below in zip(notebook.cells, following, strict=True):
        judged = below if cell.cell_type == "markdown" and below is not None else cell
        if judged.cell_type != "code" or any(map(has_content, judged.outputs)):
            kept.append(cell)
    return kept


def has_content(output: NotebookNode) -> bool:
    """Whether an output of a cell shows anything: a section without a table or figure is an empty piece of HTML."""
    data = output.get("data", {})
    return "data" not in output or bool("".join(data.get("text/html", "shown otherwise")).strip())


def report_page(notebook: NotebookNode, study: Mapping[str, Any]) -> str:
    """The executed notebook as one self-contained page, with links to its sections of the second level."""
    cells = shown(notebook)
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True, anchor_link_text=" ")
    body, _ = exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata))
    sections = re.findall(r'<h2 id="([^"]+)">(.*?)<a class="anchor-link"', body)
    return page(
        "report.html",
        "Study report",
        ["report.css"],
        sources={"img-src": "data:"},
        heading=study["title"] or study["study"],
        synthetic=SYNTHETIC if study["synthetic"] else None,
        sections=[(Markup(text), Markup(place)) for place, text in sections],
        pages=[*(PAGES if study["analyses"] else []), DICTIONARY],
        body=Markup(body),
    )
