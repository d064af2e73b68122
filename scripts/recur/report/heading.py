"""Title, synthetic banner and links of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from recur.report.parts import escape
from recur.report.results import rank_of
from recur.vocabulary import is_of_ji


def heading(study: Mapping[str, Any], analyses: list[str]) -> str:
    """Title, the synthetic banner, and links to the parts and to the pages beside this one."""
    title = f"<h1>{escape(study['title'] or study['study'])}</h1>"
    if study["synthetic"]:
        text = "SYNTHETIC DATA: made by a generator from a seed; nothing here is about patients."
        title += f'<p class="synthetic">{text}</p>'
    parts = [("Patients", "patients")] * bool(analyses)
    parts += [(f"{rank_of(study, name).capitalize()}: {name}", f"analysis-{name}") for name in analyses]
    if any(is_of_ji(study, name) for name in analyses):
        parts.append(("Ji et al. 2020 beside ours", "published"))
    parts += [("Limitations", "limits"), ("Image processing", "processing") if "images" in study else None]
    pages = [("risk calculator", "calculator.html"), ("model card", "model_card.html"),
             ("checklists", "checklists.html"),
             ("data dictionary", "../../README.md")]  # fmt: skip
    inner = " · ".join(f'<a href="#{escape(quote(place))}">{escape(text)}</a>' for text, place in filter(None, parts))
    beside = ", ".join(f'<a href="{place}">{text}</a>' for text, place in pages[0 if analyses else 3 :])
    return f"{title}<nav><p>On this page: {inner}</p><p>Beside it: {beside}</p></nav>"
