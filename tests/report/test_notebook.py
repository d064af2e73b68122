"""The report is a notebook that a user edits: the edit stands in the page, and a cell that fails has a name."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import nbformat
import pandas as pd
import pytest
import yaml
from report_notebook import NOTEBOOK

from recur.report.models import assumed
from recur.report.notebook import execute, report_page, shown
from recur.report.results import read_run
from recur.sources import ROOT
from recur.study.file import resolve
from recur.tables import StudyError, write_table

EVIL = "</h1><script>document.title=1</script>"


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A study of a clinical table of which only the flow of patients and the guards were made."""
    folder = tmp_path_factory.mktemp("results")
    raw = {
        "study": "small",
        "title": EVIL,
        "synthetic": True,
        "clinical": {"table": "t.csv", "id": "id"},
        "endpoints": {"E": {"kind": "recorded", "time": "time", "event": "event", "counts_death": True}},
        "split": {"kind": "none"},
        "analyses": {"main": {"preset": "recommended", "endpoint": "E"}},
    }
    (folder / "t.csv").touch()
    (folder / "study.yaml").write_text(yaml.safe_dump(raw))
    (folder / "study.resolved.yaml").write_text(yaml.safe_dump(resolve(folder / "study.yaml")))
    (folder / "settings").mkdir()
    (folder / "settings/captions.json").write_text("{}")
    flow = pd.DataFrame({"step": ["clinical table"], "n": [90.0], "excluded": [3.0], "reason": [EVIL]})
    write_table(flow, folder / "cohort/flow.csv")
    guard = {"analysis": "main", "endpoint": "E", "guard": 6, "status": "fired", "title": "Lucky split", "text": EVIL}
    write_table(pd.DataFrame([guard]), folder / "validation/main/guards.csv")
    return folder


def test_what_a_user_edits_in_the_notebook_stands_in_the_page(results, tmp_path):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = {cell.id: cell for cell in notebook.cells}
    cells["patients-text"].source += "\n\nSeen at *two* sites."
    cells["patients"].source = "HTML(patients.section(run) + ' Counted twice.')"
    notebook.cells.append(nbformat.v4.new_markdown_cell("## A section of ours"))
    nbformat.write(notebook, tmp_path / "edited.ipynb")
    run = [sys.executable, ROOT / "scripts/report.py", "--notebook", tmp_path / "edited.ipynb", "--results", results]
    run += ["--executed", tmp_path / "executed.ipynb", "--html", tmp_path / "report.html"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert "Seen at <em>two</em> sites." in page and " Counted twice." in page
    assert '<a href="#Patients">Patients</a>' in page and '<a href="#A-section-of-ours">' in page
    assert "clinical table" in page and "6 Lucky split." in page
    # a study without images, models and published values says nothing of them
    assert not {"Images", "Models", "Transport", "Ji-et-al.-2020-beside-ours"} & set(page.split('"'))
    assert "To change it: open this notebook" not in page
    # titles and cells become no markup, and nothing may run
    assert "<script" not in page
    assert "&lt;script&gt;document" in page and "script-src" not in page and "default-src 'none'" in page
    assert "SYNTHETIC DATA" in page


def test_a_section_that_fails_says_so_with_its_name(results, tmp_path):
    notebook = nbformat.v4.new_notebook(metadata=json.loads(NOTEBOOK.read_text())["metadata"])
    texts = ["results = ''", "## Patients", "1", "## Models\n\nHow they were fitted.", "{}['combined_pre']"]
    for text in texts:
        new = nbformat.v4.new_markdown_cell if text.startswith("#") else nbformat.v4.new_code_cell
        notebook.cells.append(new(text))
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "failing.ipynb")
    with pytest.raises(StudyError, match=r"section 'Models': KeyError: 'combined_pre'"):
        execute(tmp_path / "failing.ipynb", results, tmp_path / "executed.ipynb")


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(StudyError, match=f"{tmp_path}: no results of a study .* run snakemake first, or set `results`"):
        read_run(tmp_path)


def test_a_picture_that_a_cell_draws_is_shown_and_text_over_nothing_is_not(results):
    picture = nbformat.v4.new_output("display_data", {"image/png": "iVBORw0KGgo="})
    empty = nbformat.v4.new_output("execute_result", {"text/html": "", "text/plain": "<HTML object>"})
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [markdown("## Nothing"), code("a", outputs=[empty]), markdown("## Mine"), code("b", outputs=[picture])]
    notebook = nbformat.v4.new_notebook(cells=cells)
    assert [cell.source for cell in shown(notebook)] == ["## Mine", "b"]
    page = report_page(notebook, read_run(results).study)
    assert "data:image/png;base64,iVBORw0KGgo=" in page and "Nothing" not in page


def test_settings_that_are_assumed_are_those_that_the_preset_marks():
    """They were read out of the comments of the preset."""
    marked = re.findall(r"^ *(\w+): .*# .*assumed", (ROOT / "presets/ji2020.yaml").read_text(), re.M)
    chosen = yaml.safe_load((ROOT / "presets/ji2020.yaml").read_text()) | {"preset": "ji2020"}
    lines = assumed(chosen)
    assert {part for line in lines for part in line.split(":")[0].split(".")} >= set(marked)
    assert "stability.threshold: 0.75" in lines and len(lines) == len(marked) + 1  # `missing` has two settings
    assert assumed(chosen | {"preset": "recommended"}) == []
