"""Analyses of an ordinal or categorical endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from recur.report.parts import escape, table
from recur.report.results import of_analysis
from recur.vocabulary import study_words


def categories(results: Path, study: Mapping[str, Any], analysis: str) -> str:
    """The tables of an ordinal or categorical endpoint: models, how they were judged, tests over the levels."""
    endpoint = study["endpoints"][study["analyses"][analysis]["endpoint"]]
    name = endpoint.get("label") or study["analyses"][analysis]["endpoint"]
    said = f"{name}: {endpoint['kind']} endpoint with the levels {', '.join(map(str, endpoint['levels']))}."
    text = [f'<h2 id="analysis-{escape(quote(analysis))}">Analysis: {escape(analysis)}</h2><p>{escape(said)}</p>']
    for title, path in (
        ("Models", "models/{}/category_coefficients.csv"),
        ("Performance", "validation/{}/category_performance.csv"),
        ("Tests over the levels", "validation/{}/category_tests.csv"),
    ):
        found = of_analysis(results, path, analysis)
        found = found[found["kind"] == "clinical"] if "kind" in found else found
        text.append(f'<h3>{title}</h3><div class="wide">{table(found, study_words(study))}</div>')
    return "".join(text)
