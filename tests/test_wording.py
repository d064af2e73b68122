"""How numbers are printed: one way everywhere."""

import re

import pytest

from recur.study import ROOT
from recur.style import p_text as p_in_figures
from recur.wording import p_said, p_text


@pytest.mark.parametrize(
    "p, cell, said",
    [
        (0.996, ">0.99", "p > 0.99"),
        (0.0004, "<0.001", "p < 0.001"),
        (0.0, "<0.001", "p < 0.001"),
        (0.0042, "0.004", "p = 0.004"),
        (0.0496, "0.050", "p = 0.050"),
        (0.034, "0.03", "p = 0.03"),
        (float("nan"), "", ""),
        (">0.99", ">0.99", "p > 0.99"),
    ],
)
def test_a_p_value_has_the_same_digits_in_a_cell_a_sentence_and_a_figure(p, cell, said):
    assert p_text(p) == cell and p_said(p) == said
    assert p_in_figures(p, "log-rank ") == (f"log-rank {said}" if said else "")


def test_no_program_formats_p_values_by_itself():
    """`p = 0.000` came from a format of its own; p-values recomputed from a manuscript keep theirs."""
    own = re.compile(r"""\bp (= |<= )?\{[\w.\[\]"']*:\.\df\}|\{[\w.\[\]"']*\bp(_\w+)?["'\]]*:\.\df\}""")
    files = [path for path in ROOT.glob("scripts/**/*.py") if path.name not in ("wording.py", "consistency.py")]
    found = {path.name: line for path in files for line in path.read_text().splitlines() if own.search(line)}
    assert found == {}
