"""What the main model rests on: missing cells, one phase or region, the sample's size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from recur.report.parts import table
from recur.report.results import of_analysis
from recur.report.transport import transport_section


def sensitivity(results: Path, analysis: str, words: Mapping[str, str]) -> str:
    """How the main model travels, and what rests on missing cells, one phase or region, or the sample's size."""
    performance = of_analysis(results, "validation/{}/performance.csv", analysis)
    text = [transport_section(results, analysis, performance) if len(performance) else ""]
    for name, title in (
        ("missing_data", "Missing cells: imputations and complete cases"),
        ("ablations", "One phase or one region only"),
        ("learning_curve", "Learning curve"),
    ):
        found = of_analysis(results, f"validation/{{}}/{name}.csv", analysis)
        if len(found):
            text.append(f'<h4>{title}</h4><div class="wide">{table(found, words)}</div>')
    return "".join(text)
