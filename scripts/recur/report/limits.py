"""What a run cannot show."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from recur.report.methods import facts, sentences, texts
from recur.report.pages import drawn
from recur.report.phrases import listed
from recur.report.results import Run


def section(run: Run) -> Markup:
    """What this run cannot show: the sentences whose facts hold."""
    said = {}
    for analysis in run.analyses:
        said[analysis] = sentences(texts()["limitations"], facts(run.results, run.study, analysis))
    items = with_holders(said)
    return drawn([("ul", items)] if items else [])


def with_holders(found: Mapping[str, list[str]]) -> list[str]:
    """Each sentence once; before it the analyses (name -> sentences) that it holds for, unless it is all of them."""
    holders: dict[str, list[str]] = {}
    for name, lines in found.items():
        for text in lines:
            holders.setdefault(text, []).append(name)
    return [text if len(names) == len(found) else f"{listed(names)}: {text}" for text, names in holders.items()]
