"""How the models were judged, and what limits it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from recur.report.analysis import category
from recur.report.pages import Block
from recur.report.parts import by_analysis
from recur.report.phrases import listed
from recur.report.results import Run, collected, of_analysis, read
from recur.study.facts import own_variables

FEW_EVENTS = 100  # held-out events below which calibration is hardly judged (Vergouwe 2005, Collins 2016)


def section(run: Run) -> Markup:
    """How the models of each analysis were judged: tables and figures."""
    return by_analysis(run, lambda run, analysis: category(run, analysis, "Validation"))


def guards(run: Run) -> Markup:
    """What each guard against a known error says of each analysis."""
    return by_analysis(run, guarded)


def guarded(run: Run, analysis: str) -> list[Block]:
    found = of_analysis(run.results, "validation/{}/guards.csv", analysis)
    rows = [
        [str(row.guard), row.status, row.title, "" if pd.isna(row.text) else row.text] for row in found.itertuples()
    ]
    return [("table", (["Guard", "Status", "Error", "What this run says"], rows))] if rows else []


def circular_scores(study: dict[str, Any], analysis: str, notes: pd.DataFrame) -> list[str]:
    """Labels of the published scores that are computed from the endpoint itself."""
    own = set(own_variables(study, analysis))
    return [note.label for note in notes.itertuples() if own & set(str(note.variables).split(";"))]


def validation_facts(
    results: Path, study: Mapping[str, Any], analysis: str, performance: pd.DataFrame
) -> dict[str, Any]:
    """How the models were judged, and what limits it."""
    inner = study["analyses"][analysis]["internal_validation"]
    sizes = read(results, f"models/{analysis}/sample_size.csv")
    notes = read(results, "cohort/score_notes.csv")
    guards = collected(results, "validation/guards.csv", analysis)
    circular = circular_scores(study, analysis, notes)
    held = performance
    if len(performance):
        held = performance[~performance["cohort"].str.startswith("train")].drop_duplicates("cohort")
    short = sizes
    if len(sizes):
        short = sizes[sizes["scope"].ne("clinical terms and every feature") & (sizes["met"].astype(str) == "False")]
    fired = set(guards.loc[guards["status"] == "fired", "guard"].astype(int)) if len(guards) else set()
    memory = notes[notes["provenance"] == "memory"] if len(notes) else notes
    known = {
        "nested": inner["nested_repeats"],
        "nested_repeats": inner["nested_repeats"],
        "nested_folds": inner["nested_folds"],
        "resamples": inner["resamples"],
        "no_internal": not inner["nested_repeats"] and not inner["resamples"],
        "scores": len(notes),
        "n_scores": len(notes),
        "circular_scores": listed(circular) if circular else "",
        "memory_scores": listed(memory["label"]) if len(memory) else "",
        "events_held_out": f"{held['events'].sum():.0f}" if len(held) else "",
        "few_held_out_events": len(held) and held["events"].sum() < FEW_EVENTS,
        "sample_size": len(short),
        "blinding_unknown": 25 in fired,
    }
    if len(short):
        worst = short.sort_values("required_n").iloc[-1]
        known |= {"required": f"{worst['required_n']:.0f}", "parameters": f"{worst['parameters']:.0f}"}
    return known
