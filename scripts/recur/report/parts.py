"""What the sections of the report are made of: tables of any kind, and a part for each analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from recur.report.pages import Block, drawn
from recur.report.results import Run, rank_of
from recur.vocabulary import cohort_title, interval_text, model_title, p_text

LIMITS = (  # columns of an estimate and of its limits, which are printed as one
    ("estimate", "lower", "upper"),
    ("difference", "difference_lower", "difference_upper"),
    ("difference", "lower", "upper"),
)


def by_analysis(run: Run, part: Callable[[Run, str], list[Block]]) -> Markup:
    """The part of each analysis that has one, under the name of the analysis where the study has several."""
    blocks = []
    for analysis in run.analyses:
        own = part(run, analysis)
        if own and len(run.analyses) > 1:
            blocks.append(("h3", f"{rank_of(run.study, analysis).capitalize()}: {analysis}"))
        blocks += own
    return drawn(blocks)


def table(frame: pd.DataFrame, words: Mapping[str, str] | None = None) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of any table: cohorts and models by title (words: recur.vocabulary.study_words), estimates joined
    with their limits, p-values as printed, empty columns left out.
    """
    shown = frame.dropna(axis=1, how="all").copy()
    for value, low, high in LIMITS:
        if {value, low, high} <= set(shown):
            triples = zip(shown[value], shown[low], shown[high], strict=True)
            shown[value] = [interval_text(*three) if pd.notna(three[0]) else "" for three in triples]
            shown = shown.drop(columns=[low, high])
    for name in [name for name in shown if name == "p" or str(name).startswith("p_")]:
        shown[name] = shown[name].map(p_text)
    if "cohort" in shown:
        shown["cohort"] = shown["cohort"].map(cohort_title, na_action="ignore")
    if "model" in shown:
        shown["model"] = shown["model"].map(lambda name: model_title(name, words or {}), na_action="ignore")
    heads = [str(name).replace("_", " ") for name in shown]
    return heads, [[plain(cell) for cell in row] for row in shown.itertuples(index=False)]


def plain(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if pd.isna(cell):
        return ""
    return f"{cell:.0f}" if float(cell).is_integer() else f"{cell:.3f}"
