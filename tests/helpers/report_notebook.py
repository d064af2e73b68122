"""The notebook of the report without a kernel."""

import json
import re
from importlib import import_module

from recur.report.results import Run
from recur.sources import SCRIPTS

NOTEBOOK = SCRIPTS.parent / "notebooks" / "report.ipynb"


def sections(run: Run) -> str:
    """What every section of the notebook shows of a run, one after the other."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    calls = [re.fullmatch(r"HTML\((\w+)\.(\w+)\(run\)\)", "".join(cell["source"])) for cell in cells]
    found = [call.groups() for call in calls if call]
    assert len(found) > 15
    return "\n".join(getattr(import_module(f"recur.report.{module}"), name)(run) for module, name in found)
