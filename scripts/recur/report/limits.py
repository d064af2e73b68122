"""What a run cannot show."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recur.report.methods import facts, sentences, texts
from recur.report.parts import escape
from recur.report.phrases import listed


def limits(results: Path, study: Mapping[str, Any], analyses: list[str]) -> str:
    """What this run cannot show: the sentences whose facts hold."""
    found = {name: sentences(texts()["limitations"], facts(results, study, name)) for name in analyses}
    items = "".join(f"<li>{escape(text)}</li>" for text in with_holders(found))
    return f'<h2 id="limits">Limitations</h2><ul>{items}</ul>' if items else ""


def with_holders(found: Mapping[str, list[str]]) -> list[str]:
    """Each sentence once; before it the analyses (name -> sentences) that it holds for, unless it is all of them."""
    holders: dict[str, list[str]] = {}
    for name, lines in found.items():
        for text in lines:
            holders.setdefault(text, []).append(name)
    return [text if len(names) == len(found) else f"{listed(names)}: {text}" for text, names in holders.items()]
