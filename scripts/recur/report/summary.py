"""The summary of each analysis, what a clinician reads first, and the analyses side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recur.report.pages import html_table
from recur.report.parts import escape, limits_of
from recur.report.results import frozen_model, of_analysis, rank_of, read
from recur.study.facts import outcome_kind, split_of
from recur.validation.judgement import calibration_reading
from recur.vocabulary import (
    METRICS,
    VALIDATION,
    WITHOUT_SIGNATURE,
    cohort_title,
    interval,
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
    inner = ("train-nested_cv", "train-oob", "train-optimism_corrected", "train-apparent")
    return held + [name for name in inner if name in own][:1]


def value(performance: pd.DataFrame, model: str, cohort: str, metric: str, horizon: float | None = None) -> Any:
    """A row of the performance table, or None."""
    found = performance[
        (performance["model"] == model) & (performance["cohort"] == cohort) & (performance["metric"] == metric)
    ]
    if horizon is not None:
        found = found[found["horizon_months"] == horizon]
    return next(found.itertuples(), None)


def summary(results: Path, study: Mapping[str, Any], analysis: str) -> str:
    """What a clinician reads first: n, events, kind of validation, C with its interval, calibration, flags."""
    performance = of_analysis(results, "validation/{}/performance.csv", analysis)
    guards = read(results, f"validation/{analysis}/guards.csv")
    endpoint = study["analyses"][analysis]["endpoint"]
    mark = rank_of(study, analysis)
    text = [f'<section class="box {mark.split()[0]}"><h2>Summary of the {mark}: {escape(analysis)}</h2>']
    if len(performance):
        model = main_model(performance["model"])
        months = study["horizons_months"][0]
        kind = VALIDATION[split_of(study, analysis)["kind"]]
        title = lower_first(what_it_holds(results, analysis, model, study_words(study)))
        text.append(
            f"<p>Outcome: <b>{escape(study['endpoints'][endpoint].get('label') or endpoint)}</b>. "
            f"Model: <b>{escape(title)}</b>. Validation: <b>{escape(kind)}</b>.</p>"
        )
        binary = outcome_kind(study, analysis) == "binary"
        concordance = "auc" if binary else "c_harrell"
        concordance = "c_competing" if (performance["metric"] == "c_competing").any() else concordance
        rows = []
        for cohort in judged(performance, model):
            own = performance[(performance["model"] == model) & (performance["cohort"] == cohort)]
            cells = [value(performance, model, cohort, name) for name in (concordance, "calibration_slope")]
            cells.append(value(performance, model, cohort, "oe_ratio", None if binary else months))
            texts = [interval(cell, digits) if cell else "-" for cell, digits in zip(cells, (2, 2, 2), strict=True)]
            rows.append([cohort_title(cohort), f"{own['n'].iloc[0]:.0f}", f"{own['events'].iloc[0]:.0f}", *texts])
        name, when = METRICS[concordance][0], "" if binary else f" at {months:g} months"
        heads = ["Judged in", "Patients", "Events", f"{name} (95 % CI)", "Calibration slope (1 is right)",
                 f"Observed / expected{when} (1 is right)"]  # fmt: skip
        text.append(html_table(heads, rows))
        text.append(f"<p>{escape(plain_reading(performance, model, concordance))}</p>")
        if said := calibration_reading(performance, model):
            text.append(f"<p>{escape(said)}</p>")
    fired = guards[guards["status"] == "fired"] if len(guards) else guards
    items = "".join(
        f"<li><b>{row.guard} {escape(row.title)}.</b> {escape(row.text)}</li>" for row in fired.itertuples()
    )
    judged_guards = guards[guards["status"] != "not applicable"] if len(guards) else guards
    count = f"None of {len(judged_guards)} guards that apply raised a flag"
    if len(fired):
        count = f"{len(fired)} of {len(guards)} guards raised a flag"
    if guards.empty:
        count = "The guards were not evaluated"
    return "".join(text) + f'<div class="flags"><p><b>{count}.</b></p><ul>{items}</ul></div></section>'


def what_it_holds(results: Path, analysis: str, model: str, words: Mapping[str, str]) -> str:
    """The title of a model by what it holds: one that was offered a signature and took none has clinical terms only."""
    why = no_signature(frozen_model(results, analysis, model))
    if not why:
        return model_title(model, words)
    return f"{model_title(WITHOUT_SIGNATURE[model], words)}. {why.removesuffix('.')}"


def plain_reading(performance: pd.DataFrame, model: str, concordance: str) -> str:
    """What C says, in a sentence, of the cohort that judges the model: of several centres that with most events."""
    cohort = judged(performance, model)[0]
    own = performance[(performance["model"] == model) & (performance["metric"] == concordance)]
    events = own[own["cohort"].str.startswith("external-")].set_index("cohort")["events"]
    if len(events):
        cohort = events.idxmax()
    row = value(performance, model, cohort, concordance)
    if row is None or pd.isna(row.estimate):
        return "Discrimination could not be estimated."
    apparent = (
        " These are the rows that the model was fitted on: the figure is too good."
        if cohort == "train-apparent"
        else ""
    )
    who = "the one with the earlier event"
    if concordance == "auc":
        who = "one with the outcome and one without, the one with it"
    return (
        f"In words: of two such patients, {who} had the higher predicted risk in about "
        f"{100 * row.estimate:.0f} of 100 pairs ({cohort_title(cohort)}); 50 is chance, 100 perfect.{apparent}"
    )


def side_by_side(results: Path, study: Mapping[str, Any]) -> str:
    """Two analyses on the patients that neither was trained on."""
    both = read(results, "validation/contrast.csv")
    if both.empty:
        return ""
    words = study_words(study)
    rows = [
        [f"{row.analysis_a}, {row.analysis_b}", model_title(row.model, words), f"{row.n:.0f} ({row.events:.0f})",
         limits_of(row.estimate_a, row.lower_a, row.upper_a), limits_of(row.estimate_b, row.lower_b, row.upper_b),
         limits_of(row.difference, row.lower, row.upper), p_text(row.p)]
        for row in both[both["metric"].isin(["c_harrell", "c_competing", "auc"])].itertuples()
    ]  # fmt: skip
    heads = ["Analyses", "Model", "Patients (events)", "C (AUC), first", "C (AUC), second", "First less second", "P"]
    text = "The analyses side by side, on the patients that neither was trained on; paired, two-sided."
    return f"<h2>The analyses side by side</h2><p>{text}</p>{html_table(heads, rows)}"
