"""What the sections of the report are made of: escaped text, tables of any kind, pictures."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from recur.report import pages
from recur.report.pages import html_table
from recur.vocabulary import cohort_title, interval, model_title, p_text


def escape(text: Any) -> str:
    return html.escape(str(text))


def limits_of(estimate: float, lower: float, upper: float) -> str:
    return interval(pd.Series({"estimate": estimate, "lower": lower, "upper": upper}))


def picture(path: Path, caption: str, mark: str = "") -> str:
    """A PNG embedded in the page, with its caption."""
    place = f' id="{escape(quote(mark))}"' if mark else ""
    return f"<figure{place}>{pages.picture(path, caption)}</figure>"


def table(frame: pd.DataFrame, words: Mapping[str, str] | None = None) -> str:
    """Any table as HTML: cohorts and models by title (words: recur.vocabulary.study_words), estimates joined with their
    limits, p-values as printed, empty columns left out."""
    shown = frame.dropna(axis=1, how="all").copy()
    for value, low, high in (("estimate", "lower", "upper"), ("difference", "difference_lower", "difference_upper"),
                             ("difference", "lower", "upper")):  # fmt: skip
        if {value, low, high} <= set(shown):
            triples = zip(shown[value], shown[low], shown[high], strict=True)
            shown[value] = [limits_of(*three) if pd.notna(three[0]) else "" for three in triples]
            shown = shown.drop(columns=[low, high])
    for name in [name for name in shown if name == "p" or str(name).startswith("p_")]:
        shown[name] = shown[name].map(p_text)
    if "cohort" in shown:
        shown["cohort"] = shown["cohort"].map(cohort_title, na_action="ignore")
    if "model" in shown:
        shown["model"] = shown["model"].map(lambda name: model_title(name, words or {}), na_action="ignore")
    heads = [str(name).replace("_", " ") for name in shown]
    return html_table(heads, [[plain(cell) for cell in row] for row in shown.itertuples(index=False)])


def plain(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if pd.isna(cell):
        return ""
    return f"{cell:.0f}" if float(cell).is_integer() else f"{cell:.3f}"
