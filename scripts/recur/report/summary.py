"""The summary of each analysis, what a clinician reads first, and the analyses side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from recur.report.pages import Block, drawn
from recur.report.results import Run, frozen_model, of_analysis, rank_of, read
from recur.study.facts import outcome_kind, split_of
from recur.validation.judgement import calibration_reading
from recur.vocabulary import (
    APPARENT,
    CORRECTED,
    EXTERNAL,
    METRICS,
    NESTED,
    OUT_OF_BAG,
    VALIDATION,
    WITHOUT_SIGNATURE,
    cohort_title,
    interval,
    interval_text,
    lower_first,
    main_model,
    model_title,
    no_signature,
    p_text,
    study_words,
)


def judged(performance: pd.DataFrame, model: str) -> list[str]:
    """The cohorts that a summary speaks of: held-out ones, then nested cross-validation or the next best one."""
    own = list(dict.fromkeys(performance.loc[performance["model"] == model, "cohort"]))
    held = [name for name in own if not name.startswith("train")]
    inner = (NESTED, OUT_OF_BAG, CORRECTED, APPARENT)
    return held + [name for name in inner if name in own][:1]


def value(performance: pd.DataFrame, model: str, cohort: str, metric: str, horizon: float | None = None) -> Any:
    """A row of the performance table, or None."""
    found = performance[
        (performance["model"] == model) & (performance["cohort"] == cohort) & (performance["metric"] == metric)
    ]
    if horizon is not None:
        found = found[found["horizon_months"] == horizon]
    return next(found.itertuples(), None)


def section(run: Run) -> Markup:
    """The summary of each analysis, in its box."""
    blocks = []
    for analysis in run.analyses:
        mark = rank_of(run.study, analysis)
        inner = summary(run.results, run.study, analysis)
        title = ("h3", f"Summary of the {mark}: {analysis}")
        blocks.append(("group", (f"box {mark.split()[0]}", [title, *inner])))
    return drawn(blocks)


def summary(results: Path, study: Mapping[str, Any], analysis: str) -> list[Block]:
    """What a clinician reads first: n, events, kind of validation, C with its interval, calibration, flags."""
    performance = of_analysis(results, "validation/{}/performance.csv", analysis)
    guards = read(results, f"validation/{analysis}/guards.csv")
    blocks = judgement(results, study, analysis, performance) if len(performance) else []
    return [*blocks, ("group", ("flags", flags(guards)))]


def judgement(results: Path, study: Mapping[str, Any], analysis: str, performance: pd.DataFrame) -> list[Block]:
    """The outcome, the main model, and how it was judged, in numbers and in words."""
    model = main_model(performance["model"])
    endpoint = study["analyses"][analysis]["endpoint"]
    title = lower_first(what_it_holds(results, analysis, model, study_words(study)))
    said = {
        "Outcome": study["endpoints"][endpoint].get("label") or endpoint,
        "Model": title,
        "Validation": VALIDATION[split_of(study, analysis)["kind"]],
    }
    text = []
    for name, content in said.items():
        text += [f"{name}: ", (content, None), ". "]
    binary = outcome_kind(study, analysis) == "binary"
    concordance = "auc" if binary else "c_harrell"
    if (performance["metric"] == "c_competing").any():
        concordance = "c_competing"
    months = None if binary else study["horizons_months"][0]
    blocks = [("p", text), ("table", judged_table(performance, model, concordance, months))]
    blocks.append(("p", plain_reading(performance, model, concordance)))
    reading = calibration_reading(performance, model)
    return [*blocks, ("p", reading)] if reading else blocks


def judged_table(
    performance: pd.DataFrame, model: str, concordance: str, months: float | None
) -> tuple[list[str], list[list[str]]]:
    """Patients, events, C or AUC, calibration slope and observed to expected at `months`, a row a cohort."""
    rows = []
    for cohort in judged(performance, model):
        own = performance[(performance["model"] == model) & (performance["cohort"] == cohort)]
        cells = [value(performance, model, cohort, name) for name in (concordance, "calibration_slope")]
        cells.append(value(performance, model, cohort, "oe_ratio", months))
        texts = [interval(cell, 2) if cell else "-" for cell in cells]
        rows.append([cohort_title(cohort), f"{own['n'].iloc[0]:.0f}", f"{own['events'].iloc[0]:.0f}", *texts])
    when = "" if months is None else f" at {months:g} months"
    heads = [
        "Judged in",
        "Patients",
        "Events",
        f"{METRICS[concordance][0]} (95 % CI)",
        "Calibration slope (1 is right)",
        f"Observed / expected{when} (1 is right)",
    ]
    return heads, rows


def flags(guards: pd.DataFrame) -> list[Block]:
    """How many guards against known errors fired, and what they say."""
    if guards.empty:
        return [("p", [("The guards were not evaluated.", None)])]
    fired = guards[guards["status"] == "fired"]
    count = f"{len(fired)} of {len(guards)} guards raised a flag"
    if fired.empty:
        count = f"None of {(guards['status'] != 'not applicable').sum()} guards that apply raised a flag"
    items = [[(f"{row.guard} {row.title}.", None), f" {row.text}"] for row in fired.itertuples()]
    return [("p", [(f"{count}.", None)]), ("ul", items)]


def what_it_holds(results: Path, analysis: str, model: str, words: Mapping[str, str]) -> str:
    """The title of a model by what it holds: one that was offered a signature and took none has clinical terms only."""
    why = no_signature(frozen_model(results, analysis, model))
    if not why:
        return model_title(model, words)
    return f"{model_title(WITHOUT_SIGNATURE[model], words)}. {why}"


def plain_reading(performance: pd.DataFrame, model: str, concordance: str) -> str:
    """What C says, in a sentence, of the cohort that judges the model: of several centres that with most events."""
    cohort = judged(performance, model)[0]
    own = performance[(performance["model"] == model) & (performance["metric"] == concordance)]
    events = own[own["cohort"].str.startswith(EXTERNAL)].set_index("cohort")["events"]
    if len(events):
        cohort = events.idxmax()
    row = value(performance, model, cohort, concordance)
    if row is None or pd.isna(row.estimate):
        return "Discrimination could not be estimated."
    apparent = ""
    if cohort == APPARENT:
        apparent = " These are the rows that the model was fitted on: the figure is too good."
    who = "the one with the earlier event"
    if concordance == "auc":
        who = "one with the outcome and one without, the one with it"
    return (
        f"In words: of two such patients, {who} had the higher predicted risk in about "
        f"{100 * row.estimate:.0f} of 100 pairs ({cohort_title(cohort)}); 50 is chance, 100 perfect.{apparent}"
    )


def side_by_side(run: Run) -> Markup:
    """Two analyses on the patients that neither was trained on."""
    both = read(run.results, "validation/contrast.csv")
    if both.empty:
        return Markup("")
    rows = []
    for row in both[both["metric"].isin(["c_harrell", "c_competing", "auc"])].itertuples():
        cells = [f"{row.analysis_a}, {row.analysis_b}", model_title(row.model, study_words(run.study))]
        cells.append(f"{row.n:.0f} ({row.events:.0f})")
        cells.append(interval_text(row.estimate_a, row.lower_a, row.upper_a))
        cells.append(interval_text(row.estimate_b, row.lower_b, row.upper_b))
        cells.append(interval_text(row.difference, row.lower, row.upper))
        rows.append([*cells, p_text(row.p)])
    heads = ["Analyses", "Model", "Patients (events)", "C (AUC), first", "C (AUC), second", "First less second", "P"]
    return drawn([("table", (heads, rows))])
