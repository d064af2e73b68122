"""The report: what it says of a run, as HTML; every text that comes from a table or a study file is escaped.

No number is computed here: tables of floors 1 to 7 hold them all. Sentences stand in report/texts.yaml, the published
table in report/ji2020.yaml.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
import yaml

from recur.predict.support import why_no_risk
from recur.report import pages
from recur.report.manuscript import manuscript_tables
from recur.report.pages import html_table
from recur.report.processing_sheet import processing_sheet
from recur.statistics.linear_predictor import clinical_terms
from recur.study.endpoints import has_competing, is_weighted
from recur.study.file import ROOT, candidates_of, outcome_kind, own_variables, split_of, timed_endpoint, uses_features
from recur.tables import read_frozen, read_json, read_made
from recur.validation.judgement import calibration_reading
from recur.vocabulary import (
    METRICS,
    VALIDATION,
    WITHOUT_SIGNATURE,
    WORDS,
    analysis_words,
    censors_death,
    cohort_title,
    interval,
    is_of_ji,
    lower_first,
    main_model,
    missing_cells,
    model_title,
    no_signature,
    p_said,
    p_text,
    start_of,
    study_words,
)

# Sections of an analysis in the order of a paper: category of figures -> heading. An unknown category comes last.
SECTIONS = {
    "Cohort": "Patients",
    "Images": "Images",
    "Signature": "Radiomics signature",
    "Models": "Models",
    "Survival": "Survival of the risk groups",
    "Validation": "Validation",
    "Scores": "Published scores",
}
PLACE = {"table1": "Cohort", "features": "Signature", "cox": "Models", "logistic": "Models",
         "performance": "Validation", "comparisons": "Validation", "scores": "Scores"}  # fmt: skip
FOLLOW_UP = "Reverse Kaplan-Meier; pointwise 95 % interval of the median on the log-log scale."
SEPARATED = {"firth": "Firth's penalised likelihood", "ridge": "a ridge penalty"}
FEW_EVENTS = 100  # held-out events below which calibration is hardly judged (Vergouwe 2005, Collins 2016)


def report(results: Path, captions: Mapping[str, str]) -> str:
    """The body of the report. captions: `<analysis>/<figure>` -> [category, caption], in the order of the figures."""
    study = yaml.safe_load((results / "study.resolved.yaml").read_text())
    whole = list(study["analyses"])
    analyses = [name for name in whole if outcome_kind(study, name) != "categories"]
    first = primary(study)
    analyses.sort(key=lambda name: name != first)
    parts = [heading(study, analyses)]
    parts += [summary(results, study, analysis) for analysis in analyses]
    parts += [side_by_side(results, study), patients(results)]
    parts += [analysis_part(results, study, analysis, captions) for analysis in analyses]
    parts += [categories(results, study, name) for name in whole if name not in analyses]
    parts += [
        published_table(results, study),
        limits(results, study, analyses),
        checks(results),
        images(results, study),
    ]
    return "\n".join(part for part in parts if part)


def primary(study: Mapping[str, Any]) -> str | None:
    """The declared primary analysis, or the only one; None where several stand undeclared."""
    only = next(iter(study["analyses"])) if len(study["analyses"]) == 1 else None
    return study.get("primary") or only


def rank_of(study: Mapping[str, Any], analysis: str) -> str:
    chosen = primary(study)
    return "primary analysis" if analysis == chosen else "secondary analysis" if chosen else "analysis"


def escape(text: Any) -> str:
    return html.escape(str(text))


def read(results: Path, name: str) -> pd.DataFrame:
    """A table of the study, empty when the study has none of it."""
    path = results / name
    return read_made(path) if path.exists() else pd.DataFrame()


def of_analysis(results: Path, name: str, analysis: str) -> pd.DataFrame:
    """A table of an analysis without its constant columns."""
    return read(results, name.format(analysis)).drop(columns=["analysis", "endpoint"], errors="ignore")


def collected(results: Path, name: str, analysis: str) -> pd.DataFrame:
    """The rows of an analysis in a table that holds those of all."""
    whole = read(results, name)
    return whole[whole["analysis"] == analysis] if len(whole) else whole


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


# ---------------------------------------------------------------- the summary


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


def frozen_model(results: Path, analysis: str, model: str | None) -> dict[str, Any]:
    """A frozen model; empty where there is no such file."""
    path = results / f"models/{analysis}/frozen/{model}.json"
    return read_frozen(path) if path.exists() else {}


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


def limits_of(estimate: float, lower: float, upper: float) -> str:
    return interval(pd.Series({"estimate": estimate, "lower": lower, "upper": upper}))


# ---------------------------------------------------------------- patients and analyses


def patients(results: Path) -> str:
    """Who was left out, and why, as counts; which patients, in a list that opens."""
    text = '<h2 id="patients">Patients</h2>'
    flow, excluded = read(results, "cohort/flow.csv"), read(results, "cohort/exclusions.csv")
    if len(flow):
        rows = [["" if pd.isna(cell) else f"{cell:.0f}" if isinstance(cell, float) else cohort_title(str(cell))
                 for cell in row]
                for row in flow[["step", "n", "excluded", "reason"]].itertuples(index=False)]  # fmt: skip
        text += html_table(["Step", "Patients", "Excluded", "Reason (patients)"], rows)
    if len(excluded):
        text += f"<details><summary>The {len(excluded)} excluded patients</summary>{table(excluded)}</details>"
    return text if len(flow) or len(excluded) else ""


def analysis_part(results: Path, study: Mapping[str, Any], analysis: str, captions: Mapping[str, Any]) -> str:
    """Methods of an analysis, then its tables and figures section by section, and its guards."""
    mark = rank_of(study, analysis)
    text = [f'<h2 id="analysis-{escape(quote(analysis))}">{mark.capitalize()}: {escape(analysis)}</h2><h3>Methods</h3>']
    text += [f"<p><b>{escape(title)}.</b> {escape(words)}</p>" for title, words in methods(results, study, analysis)]
    words = study_words(study)
    tables = manuscript_tables(results, analysis, words)
    figures = {key.split("/")[1]: of for key, of in captions.items() if key.split("/")[0] == analysis}
    order = list(SECTIONS) + sorted({category for category, _ in figures.values()} - set(SECTIONS))
    extra = {"Cohort": follow_up, "Models": sample_size, "Validation": sensitivity}
    for category in order:
        inner = [manuscript(table, analysis) for table in tables if PLACE.get(table.name, "Validation") == category]
        inner += [
            picture(results / "figures" / analysis / f"{name}.png", caption, f"{analysis}-{name}")
            for name, (own, caption) in figures.items()
            if own == category
        ]
        inner += [extra[category](results, analysis, words)] if category in extra else []
        if any(inner):
            text.append(f"<h3>{escape(SECTIONS.get(category, category))}</h3>" + "".join(inner))
    guards = of_analysis(results, "validation/{}/guards.csv", analysis)
    if len(guards):
        rows = [[str(g.guard), g.status, g.title, "" if pd.isna(g.text) else g.text] for g in guards.itertuples()]
        said = "Known errors of such studies: flag fired, clear, blocked by construction, or not applicable here."
        shown = html_table(["Guard", "Status", "Error", "What this run says"], rows)
        text.append(f"<h3>Guards</h3><p>{said}</p>{shown}")
    return "".join(text)


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


def manuscript(made: Any, analysis: str) -> str:
    """A manuscript table with its notes and links to its files."""
    stem = f"tables/{quote(analysis)}/{made.name}"
    links = " ".join(f'<a href="{escape(stem)}.{kind}">{word}</a>' for kind, word in (("docx", "Word"), ("csv", "CSV")))
    notes = "".join(f'<p class="note">{escape(note)}</p>' for note in made.notes)
    rows = html_table(made.heads, made.rows)
    return f'<h4>{escape(made.title)} <small>{links}</small></h4><div class="wide">{rows}</div>{notes}'


def picture(path: Path, caption: str, mark: str = "") -> str:
    """A PNG embedded in the page, with its caption."""
    place = f' id="{escape(quote(mark))}"' if mark else ""
    return f"<figure{place}>{pages.picture(path, caption)}</figure>"


def follow_up(results: Path, analysis: str, _: Mapping[str, str]) -> str:
    table = of_analysis(results, "cohort/{}/follow_up.csv", analysis)
    if table.empty:
        return ""
    rows = [
        [row.by, cohort_title(row.group), f"{row.n:.0f}", f"{row.events:.0f}",
         median_text(row),
         p_text(row.p_censoring)]
        for row in table.itertuples()
    ]  # fmt: skip
    heads = ["By", "Group", "Patients", "Events", "Median follow-up, months (95 % CI)", "P of equal censoring"]
    if "largest_weight" in table:
        heads += ["Censored before the horizon", "Largest weight", "Effective number"]
        for cells, row in zip(rows, table.itertuples(), strict=True):
            known = pd.notna(row.largest_weight)
            extent = [f"{row.largest_weight:.2f}", f"{row.effective_n:.0f}"] if known else ["", ""]
            cells += [f"{row.censored:.0f}", *extent]
    return f"<h4>Follow-up</h4>{html_table(heads, rows)}<p class=note>{FOLLOW_UP}</p>"


def median_text(row: Any) -> str:
    """A median with its limits: the upper one may lie beyond the follow-up, a lower one is known or not estimated."""
    if pd.isna(row.median_months):
        return ""
    lower = "not estimated" if pd.isna(row.lower) else f"{row.lower:.1f}"
    upper = "not reached" if pd.isna(row.upper) else f"{row.upper:.1f}"
    return f"{row.median_months:.1f} ({lower} to {upper})"


def sample_size(results: Path, analysis: str, _: Mapping[str, str]) -> str:
    """Riley's criteria for the development."""
    sizes = of_analysis(results, "models/{}/sample_size.csv", analysis)
    if sizes.empty:
        return ""
    rows = [
        [row.scope, f"{row.parameters:.0f}", f"{row.events_per_parameter:.3g}", row.criterion, f"{row.required_n:.0f}",
         f"{row.n:.0f}", "yes" if row.met in (True, "True") else "no"]
        for row in sizes.itertuples()
    ]  # fmt: skip
    heads = ["Counted", "Parameters", "Events each", "Criterion", "Patients needed", "Patients there", "Met"]
    source = f"Riley's criteria; Cox-Snell R2 {sizes['r2_cs'].iloc[0]:.3f}: {sizes['r2_source'].iloc[0]}."
    return f"<h4>Sample size of the development</h4>{html_table(heads, rows)}<p class=note>{escape(source)}</p>"


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


SELECTION = {
    "none": "",
    "backward_aic": "backward elimination on AIC",
    "backward_p": "backward elimination of terms with p above {p_remove:g}",
}
TRANSPORT = {
    "case_mix": "Case-mix",
    "membership": "Membership model",
    "overlap": "Range of the inputs",
    "truncated": "Up to the common time",
    "updating": "Updating (cross-fitted; not a validation)",
    "sample_size": "Size that a validation needs",
    "centres": "Between centres",
    "surveillance": "Months between visits",
}


def transport_section(results: Path, analysis: str, performance: pd.DataFrame) -> str:
    """How the main model travels, as HTML; nothing where no cohort is held out."""
    transport = read(results, f"validation/{analysis}/transport.csv")
    if transport.empty:
        return ""
    text = "An external figure is to be read with its case-mix."
    return f"<h3>Transport</h3><p>{text}</p>" + table(transport_table(transport, main_model(performance["model"])))


def transport_cell(row: Any) -> str:
    """One cell of the table: the step chosen, a p-value, a number of patients, or an estimate with its interval."""
    if row.quantity == "closed_test_choice":
        return "chosen"
    if row.quantity.startswith(("n_for", "events_for")):
        return f"{row.estimate:.0f}"
    return p_said(row.p) if pd.notna(row.p) else interval(row)


def transport_table(transport: pd.DataFrame, model: str) -> pd.DataFrame:
    """How one model travels, as text: a row a quantity, a column a cohort."""
    mine = transport[transport["model"].fillna("").isin([model, ""])].copy()
    if mine.empty:
        return pd.DataFrame()
    for column in ("update", "method"):
        mine[column] = mine[column].fillna("")
    mine["value"] = [transport_cell(row) for row in mine.itertuples()]
    mine["topic"] = pd.Categorical(mine["topic"].map(TRANSPORT), list(TRANSPORT.values()))
    months = mine["horizon_months"].map(lambda value: "" if pd.isna(value) else f"{value:.0f} months")
    mine = mine.assign(horizon=months)
    keys = ["topic", "quantity", "update", "horizon"]
    order = {key: i for i, key in enumerate(dict.fromkeys(map(tuple, mine[keys].to_numpy())))}
    wide = mine.pivot_table(
        index=keys, columns="cohort", values="value", aggfunc="; ".join, observed=True, fill_value="", sort=False
    )
    wide = wide[list(dict.fromkeys(mine["cohort"]))].reset_index()
    places = [order[tuple(row)] for row in wide[keys].to_numpy()]
    wide["place"] = places
    return wide.sort_values(["topic", "place"]).drop(columns="place").rename_axis(columns=None).astype(str)


# ---------------------------------------------------------------- sentences


def texts() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "report" / "texts.yaml").read_text())


def methods(results: Path, study: Mapping[str, Any], analysis: str) -> list[tuple[str, str]]:
    """(heading, paragraph) of the methods, with the parameters of this run."""
    known = facts(results, study, analysis)
    parts = [part for part in texts()["methods"] if known.get(part.get("if"), "if" not in part)]
    said = [(part["heading"], " ".join(sentences(part["text"], known))) for part in parts]
    return [(heading, text) for heading, text in said if text]


def sentences(items: list[dict[str, str]], known: Mapping[str, Any]) -> list[str]:
    """The sentences whose `if` fact holds, filled in."""
    return [item["text"].format_map(known) for item in items if known.get(item.get("if"), "if" not in item)]


def weights_text(followed: pd.DataFrame) -> str:
    """Patients, events and censored of each cohort, and how far their weights reach (rows of follow_up.csv)."""
    groups = followed[followed["largest_weight"].notna()]
    cohorts = groups[groups["by"] == "cohort"]
    return "; ".join(
        f"{cohort_title(row.group)}: {row.n:.0f} patients, {row.events:.0f} with the event by then, {row.censored:.0f} "
        f"censored before (weight 0), largest weight {row.largest_weight:.2f}, effective number {row.effective_n:.0f}"
        for row in (cohorts if len(cohorts) else groups[groups["by"] == "all"]).itertuples()
    )


def circular_scores(study: dict[str, Any], analysis: str, notes: pd.DataFrame) -> list[str]:
    """Labels of the published scores that are computed from the endpoint itself."""
    own = set(own_variables(study, analysis))
    return [note.label for note in notes.itertuples() if own & set(str(note.variables).split(";"))]


SCALED = {  # how features enter the signature, by signature.transform
    "none": "as they are",
    "signed_log": "as sign(x) ln(1 + |x| / s), s the median of |x| in training",
    "yeo_johnson": "by the transform of Yeo and Johnson",
    "robust": "by median and interquartile range",
}


def facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """What the sentences of report/texts.yaml may name: conditions that hold, and values as text."""
    performance = collected(results, "validation/performance.csv", analysis)
    known = analysis_words(study, analysis) | patient_facts(results, study, analysis)
    known |= outcome_facts(results, study, analysis, performance)
    known |= feature_facts(results, study, analysis)
    known |= model_facts(results, study, analysis, performance)
    return known | validation_facts(results, study, analysis, performance)


def patient_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """Who was analysed, and how training and held-out patients were told apart."""
    chosen, clinical, split = study["analyses"][analysis], study["clinical"], split_of(study, analysis)
    flow = read(results, "cohort/flow.csv")
    known = {
        "flow": len(flow),
        "split_centre": split["kind"] == "centre",
        "split_pooled": split["kind"] == "random" and clinical["centre"],
        "split_one": split["kind"] == "random" and not clinical["centre"],
        "first_step": "any image was read" if "images" in study else "any model was fitted",
        "split_column": split.get("column", "") if split["kind"] == "column" else "",
        "split_none": split["kind"] == "none",
        "held_out": split["kind"] != "none",
        "not_external": split["kind"] != "centre",
        "train_centres": named(split.get("train", []), "centre"),
        "external_centres": named(split.get("external", []), "centre"),
        "train_percent": f"{100 * split.get('train_fraction', 0):.0f}",
        "min_follow_up": chosen.get("min_follow_up_months"),
        "seed": study["seed"],
        "synthetic": study["synthetic"],
    }
    if len(flow):
        known |= {"n_table": f"{flow['n'].iloc[0]:.0f}", "n_excluded": f"{flow['excluded'].sum():.0f}",
                  "n_used": f"{flow['n'].iloc[0] - flow['excluded'].sum():.0f}"}  # fmt: skip
    return known


def outcome_facts(results: Path, study: Mapping[str, Any], analysis: str, performance: pd.DataFrame) -> dict[str, Any]:
    """The endpoint, what ends its time, and at which horizons the main model gives risks."""
    chosen, outcome = study["analyses"][analysis], outcome_kind(study, analysis)
    endpoint = study["endpoints"][chosen["endpoint"]]
    rests_on, weighted = timed_endpoint(study, analysis) or {"kind": ""}, is_weighted(endpoint)
    timed = outcome == "survival"
    main = frozen_model(results, analysis, main_model(performance.get("model", [])))
    followed = read(results, f"cohort/{analysis}/follow_up.csv")
    competitor = analysis_words(study, analysis)["competitor"]
    return {
        "endpoint": lower_first(endpoint.get("label") or chosen["endpoint"]),
        "binary": outcome == "binary",
        "survival": timed,
        "left_out": "of" in endpoint and not weighted,
        "weighted": weighted,
        "binary_unweighted": outcome == "binary" and not weighted,
        "other_by_then": "Death without the event" if competitor == "death" else "The competing event",
        "months": f"{rests_on['horizon_months']:g}" if weighted else "",
        "weighted_competing": weighted and has_competing(rests_on),
        "weights": weights_text(followed) if weighted and len(followed) else "",
        # of an endpoint with a column of its own only that column knows
        "t0": timed and endpoint["kind"] != "recorded" and (start_of(study) or "the index treatment"),
        "death_censored": bool(rests_on["kind"]) and censors_death(study, endpoint.get("of", chosen["endpoint"])),
        "competing": has_competing(endpoint),
        **horizon_facts(main, study, timed),
        "bare_competitor": main.get("competing", {}).get("reason", ""),
    }


def feature_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """Where features come from, which were candidates, and how they became the signature."""
    chosen, features = study["analyses"][analysis], uses_features(study, analysis)
    icc, signature = read(results, f"signature/{analysis}/icc.csv"), chosen["signature"]
    known = {
        "features": features,
        "images": features and "images" in study,
        "ready_table": features and "features" in study,
        "control": CONTROLS.get(chosen.get("control")),
        "control_name": chosen.get("control"),
        "stability": stability_text(chosen["stability"], icc),
        "perturbed": features and chosen["stability"].get("source") == "perturbations",
        "other_settings": features and chosen["stability"].get("source") == "settings",
        "no_stability": features and icc.empty,
        "redundancy": chosen["redundancy"]["spearman"],
        "ranked": chosen["ranking"]["kind"] != "none",
        "keep": chosen["ranking"].get("keep"),
        "harmonised": chosen["harmonisation"]["kind"] != "none",
        "harmonisation": chosen["harmonisation"]["kind"],
        "l1_ratio": f"{signature['l1_ratio']:g}",
        "folds": signature["folds"],
        "lambda_rule": signature["lambda_rule"],
        "scaled": SCALED[signature["transform"]],
        "cut_sd": signature["winsorise_sd"],
        "signature_size": len(read(results, f"signature/{analysis}/weights.csv")),
        "candidates": int(icc["stable"].astype(bool).sum()) if len(icc) else "all",
    }
    return known | (image_facts(results, study, analysis) if known["images"] else {})


def image_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """How images became regions and features."""
    chosen, made = study["analyses"][analysis], study["images"]
    extraction = made["extraction"]
    unit = " HU" if made["modality"] == "CT" and made["normalise"] == "none" else ""
    width = extraction["bin_width"]
    return {
        "regions": regions_text(made, chosen.get("regions", ["tumour", "rim"]), study_words(study)["organ"]),
        "mode": "IBSI" if extraction["mode"] == "ibsi" else "its own",
        "feature_set": extraction["feature_set"],
        "spacing": " x ".join(f"{v:g}" for v in extraction["spacing_mm"]),
        "bins": f"bins of width {width:g}{unit}" if width else f"{extraction['bin_count']} bins",
        "phases": ", ".join(chosen.get("phases", made["phases"])),
        "columns": read_json(results / "features" / f"{made['readers'][0]}.manifest.json")["columns"],
    }


def model_facts(results: Path, study: Mapping[str, Any], analysis: str, performance: pd.DataFrame) -> dict[str, Any]:
    """How the models were fitted, on whom and on which terms."""
    chosen, outcome, candidates = (
        study["analyses"][analysis],
        outcome_kind(study, analysis),
        candidates_of(study, analysis),
    )
    stage, features = chosen["second_stage"], uses_features(study, analysis)
    labels = {name: v.get("label") or name for name, v in study["clinical"]["variables"].items()}
    known = {
        "model": WORDS[outcome]["model"],
        "forest": WORDS[outcome]["forest"],
        "likelihood": likelihood_text(study, analysis),
        "clinical_terms": candidates["pre"] or candidates["post"],
        "pre": listed([labels[name] for name in candidates["pre"]]) or "none",
        "post": listed([labels[name] for name in candidates["post"]]) or "none",
        "out_of_fold": features and stage["scores"] == "out_of_fold",
        "in_sample": features and stage["scores"] == "in_sample",
        "second_folds": stage["folds"],
        "no_selection": stage["selection"] == "none",
        "selection": SELECTION[stage["selection"]].format(**stage),
        "screen": stage["screen_p"],
        "missing_fit": chosen["missing"]["fit"].replace("_", " "),
        "missing_cells": cells_imputed(results, analysis),
        "of_ji": is_of_ji(study, analysis) or chosen.get("preset") == "ji2020",
        "assumed": assumed(chosen),
    }
    if len(performance):
        train = performance[performance["cohort"].str.startswith("train")].iloc[0]
        known |= {"n_train": f"{train['n']:.0f}", "events_train": f"{train['events']:.0f}"}
    return known


def likelihood_text(study: Mapping[str, Any], analysis: str) -> str:
    """Ties or weights of the models' likelihood, and what takes its place where it has no maximum."""
    chosen = study["analyses"][analysis]
    penalty = SEPARATED[chosen["second_stage"]["separated"]]
    if outcome_kind(study, analysis) == "survival":
        return f"Efron ties; {penalty} where a coefficient would be infinite"
    weighted = "weighted " if is_weighted(study["endpoints"][chosen["endpoint"]]) else ""
    return f"{weighted}maximum likelihood; {penalty} where groups are separated"


def validation_facts(
    results: Path, study: Mapping[str, Any], analysis: str, performance: pd.DataFrame
) -> dict[str, Any]:
    """How the models were judged, and what limits it."""
    inner = study["analyses"][analysis]["internal_validation"]
    sizes, notes = read(results, f"models/{analysis}/sample_size.csv"), read(results, "cohort/score_notes.csv")
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


def horizon_facts(model: Mapping[str, Any], study: Mapping[str, Any], timed: bool) -> dict[str, Any]:
    """The horizons with a risk of the main model, whether the primary one is among them, and why others have none."""
    if not timed:
        return {"horizons": "", "primary_risk": False, "no_risk": ""}
    known, none = [], []
    for months in study["horizons_months"]:
        why = why_no_risk(model, months) if model else ""
        short = strata_without_risk(model, months)
        if why:
            none.append(f"at {months:g} months ({why})")
        elif short:
            none.append(f"at {months:g} months to patients of {listed(short)} (too few of them were followed so long)")
        if not why and not (short and len(short) == len(model["strata"]["levels"])):
            known.append(months)
    horizons = " and ".join(f"{months:g}" for months in known)
    return {"horizons": horizons, "primary_risk": study["horizons_months"][0] in known, "no_risk": listed(none)}


def strata_without_risk(model: Mapping[str, Any], months: float) -> list[str]:
    """Names of the strata of a model whose own follow-up gives no risk at a time."""
    levels = model.get("strata", {}).get("levels", [])
    return [level["stratum"] for level in levels if why_no_risk(level, months)]


def named(names: list[str], word: str) -> str:
    return f"{word} {names[0]}" if len(names) == 1 else f"{word}s {listed(names)}" if names else ""


def listed(names: Any) -> str:
    """a, b and c."""
    names = [str(name) for name in names]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def cells_imputed(results: Path, analysis: str) -> str:
    """How many cells of the models' terms were missing in each cohort, as guard 26 counts them."""
    models = [read_frozen(path) for path in sorted((results / f"models/{analysis}/frozen").glob("*.json"))]
    terms = {term for model in models for term in clinical_terms(model.get("terms", []))}
    texts = []
    for name, cohort in (("train", {"cohort": "train"}), ("heldout", {})):
        frame = read(results, f"cohort/{analysis}/{name}.csv").assign(**cohort)
        texts += missing_cells(frame, terms) if len(frame) else []
    return "; ".join(texts)


def assumed(chosen: Mapping[str, Any]) -> list[str]:
    """The lines of the preset that are marked as assumed, where a paper does not say them."""
    path = ROOT / "presets" / f"{chosen.get('preset')}.yaml"
    lines = path.read_text().splitlines() if path.exists() else []
    return [" ".join(line.split()) for line in lines if re.search(r"#.*assumed", line) and ":" in line.split("#")[0]]


def stability_text(rule: dict[str, Any], icc: pd.DataFrame) -> str:
    """What the stability filter did."""
    if icc.empty:
        return f"off (no further reading of at least {rule['min_patients']} training patients)"
    kept = f"{icc['stable'].astype(bool).sum()} of {len(icc)} features kept"
    measure = "lower 95 % limit" if rule["rule"] == "lower95" else "point estimate"
    n, readings = icc["n"].iloc[0], icc["readings"].iloc[0]
    how = f"read {readings} times"
    if rule.get("source") == "perturbations":
        how = f"read once, with {readings - 1} perturbed images and masks each (no second reader)"
    elif rule.get("source") == "settings":
        how = f"read once and extracted with {readings} settings (no second reader)"
    return f"{measure} of ICC(2,1) >= {rule['threshold']:g} on {n} training patients {how}; {kept}"


CONTROLS = {
    "shuffled_inside": "the voxels of each region changed places: shape and histogram are left, texture is not",
    "resampled_inside": "the voxels of each region were drawn anew from it: shape and about its histogram are left",
    "shuffled_outside": "the voxels outside all regions changed places: what the regions themselves hold is left",
    "resampled_outside": "the regions were filled with voxels drawn from around them: only size and shape are left",
}


def regions_text(images: dict[str, Any], regions: list[str], organ: str) -> str:
    """How scans and masks became regions, for the regions of one analysis."""
    made = images["regions"]
    widths = {"rim": [0, made["rim_mm"]]} | made["more_rims"]
    shells = [f"{name} {widths[name][0]:g} to {widths[name][1]:g} mm" for name in regions if name in widths]
    text = f"{images['modality']}"
    if images["n4"]:
        text += ", N4 bias field correction"
    if images["normalise"] != "none":
        text += f", normalised per scan ({images['normalise']}, SD 100)"
    text += f". Regions: {', '.join(name for name in regions if name not in widths) or 'no tumour'}"
    if shells:
        clip = (
            f"the {organ} mask"
            if made["hu_window"] is None or images["modality"] != "CT"
            else (f"the {organ} mask, or without one to {made['hu_window'][0]:g} to {made['hu_window'][1]:g} HU")
        )
        text += (
            f"; {', '.join(shells)} from the tumour (Euclidean distance), clipped to {clip}, "
            "without other lesions and vessels where masks exist; "
            f"at least {100 * (made['min_shell_fraction'] or 0):.0f} % of a shell must be left"
        )
    lesions = {"together": "as one region", "largest": "the largest only"}.get(images["lesions"])
    lesions = lesions or f"one by one, a patient being their {images['lesion_aggregate'].replace('_', ' ')}"
    return f"{text}. Several lesions: {lesions}."


def region_summary(results: Path) -> pd.DataFrame:
    """Per region, over all cases: how many, volume, share of the shell kept, what took the rest, how many left out."""
    parts = [read_made(path) for path in sorted(results.glob("images/regions/batch-*.csv"))]
    table = pd.concat([part for part in parts if len(part)]) if any(map(len, parts)) else pd.DataFrame()
    if table.empty:
        return table
    shares = [name for name in table if name == "shell_fraction" or name.startswith("lost_")]
    numbers = table.assign(**{name: pd.to_numeric(table[name]) for name in shares}).groupby("region", sort=False)
    return (
        pd.DataFrame(
            {
                "cases": numbers.size(),
                "left out": numbers["reason"].count(),
                "median ml": numbers["ml"].median(),
                "shell kept, median": numbers["shell_fraction"].median(),
                "shell kept, lowest": numbers["shell_fraction"].min(),
                **{f"{name.replace('_', ' to ')}, mean": numbers[name].mean() for name in shares[1:]},
            }
        )
        .dropna(axis=1, how="all")
        .reset_index()
    )


# ---------------------------------------------------------------- beside the published study


def published_table(results: Path, study: Mapping[str, Any]) -> str:
    """The table of Ji et al. 2020 beside ours, line by line, with what may be compared."""
    # another outcome, disease or treatment has nothing to stand beside it
    presets = {name: chosen.get("preset") for name, chosen in study["analyses"].items() if is_of_ji(study, name)}
    analysis = next(
        (name for name, preset in presets.items() if preset == "ji2020"), primary(study) or next(iter(presets), None)
    )
    if analysis not in presets:
        return ""
    published = yaml.safe_load((ROOT / "report" / "ji2020.yaml").read_text())
    tables = {name: of_analysis(results, path, analysis) for name, path in (
        ("performance", "validation/{}/performance.csv"), ("scores", "validation/{}/scores.csv"),
        ("rates", "survival/{}/rates.csv"), ("logrank", "survival/{}/logrank.csv"), ("icc", "signature/{}/icc.csv"),
        ("ranking", "signature/{}/ranking.csv"), ("weights", "signature/{}/weights.csv"))}  # fmt: skip
    if tables["performance"].empty:
        return ""
    held = next((c for c in tables["performance"]["cohort"] if not c.startswith("train")), None)
    rows = []
    for row in published["rows"]:
        ours = [our_value(tables, row["ours"], cohort) for cohort in ("train", held)]
        rows.append([row["quantity"], row["train"], row["test"], *ours, row["compare"]])
    where = cohort_title(held).lower() if held else "no held-out patients"
    heads = [
        "",
        "Ji 2020, training",
        "Ji 2020, test",
        "Here, training (apparent)",
        f"Here, {where}",
        "What may be compared",
    ]
    note = f"Here: analysis {analysis}. C with its ties dropped (c_gamma). An empty cell: this run does not have it."
    lines = assumed(study["analyses"][analysis])
    extra = "".join(f"<li><code>{escape(line)}</code></li>" for line in lines)
    extra = f"<h3>Settings that are assumed, not published</h3><ul>{extra}</ul>" if lines else ""
    return (
        f'<h2 id="published">Ji et al. 2020 beside ours</h2><p>{escape(published["source"])}</p>'
        f'<div class="wide">{html_table(heads, rows)}</div><p class="note">{escape(note)}</p>{extra}'
    )


def our_value(tables: Mapping[str, pd.DataFrame], what: Mapping[str, Any], cohort: str | None) -> str:
    """One cell of our side of the published table; empty where the run has no such thing."""
    if cohort is None:
        return ""
    kind, train = what["kind"], cohort == "train"
    apparent = "train-apparent" if train else cohort
    if kind in ("stable", "ranked", "selected"):
        return counted(tables, kind) if train else ""
    if kind == "size":
        own = tables["performance"][tables["performance"]["cohort"] == apparent]
        return f"{own['n'].iloc[0]:.0f} ({own['events'].iloc[0]:.0f} events)" if len(own) else ""
    if kind == "c":
        source = tables["scores"] if "score" in what else tables["performance"]
        name = what.get("score") or what["model"]
        found = (
            source[(source["model"] == name) & (source["cohort"] == apparent) & (source["metric"] == "c_gamma")]
            if len(source)
            else source
        )
        return interval(next(found.itertuples())) if len(found) else ""
    if kind == "logrank":
        found = tables["logrank"]
        found = found[(found["model"] == what["model"]) & (found["cohort"] == cohort)] if len(found) else found
        return f"{found['chi2'].iloc[0]:.2f}" if len(found) else ""
    rates, group = tables["rates"], what.get("group", "all")
    model = what.get("model", "all")
    found = rates[(rates["model"] == model) & (rates["cohort"] == cohort) & (rates["group"] == group)
                  & (rates["horizon_months"] == what["horizon"])] if len(rates) else rates  # fmt: skip
    if found.empty or pd.isna(found["survival"].iloc[0]):
        return ""
    free, low, high, n = (found[name].iloc[0] for name in ("survival", "lower", "upper", "n"))
    if kind == "group":
        free, low, high = 1 - free, 1 - high, 1 - low
    size = f", n = {n:.0f}" if kind == "group" else ""
    return f"{100 * free:.1f} % ({100 * low:.1f} to {100 * high:.1f}{size})"


def counted(tables: Mapping[str, pd.DataFrame], kind: str) -> str:
    icc, ranking, weights = tables["icc"], tables["ranking"], tables["weights"]
    if kind == "stable":
        return f"{icc['stable'].astype(bool).sum()} of {len(icc)}" if len(icc) else ""
    if kind == "ranked":
        ranked = ranking[ranking["mrmr_rank"].notna()] if "mrmr_rank" in ranking else ranking
        return f"{ranking['selected'].ne('none').sum()}" if len(ranked) and ranked["mrmr_rank"].notna().any() else ""
    return str(len(weights)) if len(weights) else ""


# ---------------------------------------------------------------- limits, checks, images


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


def checks(results: Path) -> str:
    """The checks of the study's own tables, and how the checklists stand."""
    text = ""
    found = read(results, "validation/consistency.csv")
    if len(found):
        counts, failing = found[found["rows"].notna()], found[found["rows"].isna()]
        said = "Percentages, intervals, p-values and counts of this run, checked against each other"
        said += f": {counts['rows'].sum():.0f} checks of {len(counts)} kinds, {counts['failed'].sum():.0f} failed."
        shown = table(failing.drop(columns=["rows", "failed"])) if len(failing) else ""
        text += f"<h2>Consistency of the tables</h2><p>{said}</p>{shown}"
    lists = read(results, "report/checklists.csv")
    if len(lists):
        counts = lists.groupby(["checklist", "status"], sort=False).size().unstack(fill_value=0).reset_index()
        said = "Filled from this run; what needs a human says so. Every item with its evidence:"
        text += f'<h2>Checklists</h2><p>{said} <a href="checklists.html">checklists</a>.</p>{table(counts)}'
    return text


def images(results: Path, study: Mapping[str, Any]) -> str:
    """Regions, image processing, and the first pictures."""
    if "images" not in study:
        return ""
    regions = region_summary(results)
    text = f"<h2>Regions</h2>{table(regions)}" if len(regions) else ""
    pictures = sorted(results.glob("images/qc/batch-*/*.png"))[:6]
    if pictures:
        shown = "".join(picture(path, path.stem) for path in pictures)
        text += (
            "<h2>Regions in pictures</h2><p>The first patients; "
            '<a href="../images/qc/index.html">all, worst first</a>.</p>'
            f'<div class="pictures">{shown}</div>'
        )
    sheet = processing_sheet(results, study, study["images"]["readers"][0])
    return text + f'<h2 id="processing">Image processing (IBSI sheet)</h2>{table(sheet)}'
