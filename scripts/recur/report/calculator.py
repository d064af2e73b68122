"""The risk calculator: one HTML page that applies the frozen models of a study, offline, as `recur.fit.models` does."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from recur.predict.inputs import input_fields
from recur.predict.nomogram import model_axes, model_nomogram, nomogram_tables
from recur.predict.strata import strata_of
from recur.predict.support import last_month, why_no_risk
from recur.report import pages
from recur.statistics.logistic import ML
from recur.study.coding import input_label
from recur.study.facts import split_of, timed_endpoint
from recur.vocabulary import (
    APPARENT,
    MODELS,
    OUT_OF_BAG,
    VALIDATION,
    WORDS,
    analysis_words,
    censors_death,
    cohort_title,
    first_upper,
    interval,
    main_model,
    model_title,
    no_signature,
    start_of,
    study_words,
)

SYNTHETIC = "SYNTHETIC DATA: generated patients. These risks are those of nobody."
NOT_FOR = (
    "For research only. It is no medical device and must not guide the care of a patient: nobody has shown that "
    "using it helps.",
    "Not for patients unlike those it was developed in, another endpoint, another treatment, or images and masks made "
    "otherwise than the signature's.",
)
WITHOUT = (
    "the error of the baseline risk itself",
    "the choice of features, terms and cut-point, and the signature's own weights",
    "what was filled in for missing inputs",
    "how well the signature and the inputs were measured",
)


def page(models: dict[str, dict[str, dict[str, Any]]], study: dict[str, Any], performance: pd.DataFrame) -> str:
    """The page of the frozen models (analysis -> model -> JSON) of a study, with how well they did (performance.csv).

    study: study, title, synthetic, analyses, endpoints, split, clinical.
    """
    entries = [
        calculator_entry(study, analysis, name, model, performance)
        for analysis, own in models.items()
        for name, model in ordered(own)
    ]
    groups = []
    for analysis in models:
        options = [(i, entry["name"]) for i, entry in enumerate(entries) if entry["analysis"] == analysis]
        groups.append((f"{analysis}: {endpoint_label(study, analysis)}", options))
    return pages.page(
        "calculator.html",
        f"Risk calculator: {study['study']}",
        ["calculator.css"],
        "calculator.js",
        heading=f"Risk calculator: {study.get('title') or study['study']}",
        synthetic=SYNTHETIC if study.get("synthetic") else None,
        not_for=NOT_FOR,
        groups=groups,
        data=pages.json_data(entries),
    )


def ordered(models: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """The model that the report speaks of first, then the others as the report orders them."""
    first = main_model(models)
    names = [first, *sorted((name for name in models if name != first), key=list(MODELS).index)]
    return [(name, models[name]) for name in names]


def endpoint_label(study: dict[str, Any], analysis: str) -> str:
    endpoint = study["analyses"][analysis]["endpoint"]
    return study["endpoints"][endpoint].get("label") or endpoint


def calculator_entry(
    study: dict[str, Any], analysis: str, name: str, model: dict[str, Any], performance: pd.DataFrame
) -> dict[str, Any]:
    """What the page needs of one model, JSON-ready: what applies it, and what is said of it."""
    keys = ("name", "term", "label", "kind", "level", "transform", "mean", "coef")
    entry = {key: model[key] for key in ("imputer", "covariance", "horizons_months")} | {"strata": strata_entry(model)}
    entry |= {key: model.get(key) for key in ("baseline", "intercept")}
    entry |= support_entry(model, model["horizons_months"])
    entry |= {
        "analysis": analysis,
        "model": name,
        "name": model_title(name, study_words(study)),
        "endpoint": endpoint_label(study, analysis),
        "fields": shown_fields(model),
        "terms": [
            applied_column(column, keys) | {"label": input_label(column["label"], column["transform"])}
            for column in model["terms"]
        ],
        "competing": None,
        "cutpoint": model["cutpoint"] and model["cutpoint"]["lp"],
        "lp_range": model["lp_range"],
        "nomogram": drawn_nomogram(name, model),
        "about": about(study, analysis, name, model, performance),
        "without": list(WITHOUT),
    }
    if "competing" in model:
        other = model["competing"]
        own = [applied_column(column, keys) for column in other["terms"]]
        entry["competing"] = {"terms": own, "baseline": other["baseline"]}
        entry["without"].append("the coefficients of the competing event")
    return entry


def applied_column(column: dict[str, Any], keys: tuple[str, ...] = ("name", "term", "kind")) -> dict[str, Any]:
    """What computes a column: of a spline also its knots, of a product also the columns that it multiplies."""
    own = {key: column[key] for key in keys} | {key: column[key] for key in ("knots", "part") if key in column}
    return own | ({"parts": [applied_column(part) for part in column["parts"]]} if "parts" in column else {})


def support_entry(part: dict[str, Any], horizons: list[float]) -> dict[str, Any]:
    """The last month with a risk, of a model or stratum, and why there is none at a horizon (months as text)."""
    if "follow_up_months" not in part:
        return {"last_month": None, "no_risk": {}}
    whys = {f"{months:g}": why_no_risk(part, months) for months in horizons}
    return {"last_month": last_month(part), "no_risk": {months: why for months, why in whys.items() if why}}


def strata_entry(model: dict[str, Any]) -> dict[str, Any] | None:
    """The variables that choose the baseline, and each stratum that has one, with the codes of its levels."""
    if "strata" not in model:
        return None
    variables = model["strata"]["variables"]
    frame = pd.DataFrame(
        list(itertools.product(*(range(len(item["levels"])) for item in variables))),
        columns=[item["term"] for item in variables],
        dtype=float,
    )
    code = dict(zip(strata_of(frame, variables), frame.astype(int).to_numpy().tolist(), strict=True))
    kept = ("stratum", "offset", "time", "survival", "competing")
    levels = [
        {key: level[key] for key in kept if key in level}
        | {"codes": code[level["stratum"]]}
        | support_entry(level, model["horizons_months"])
        for level in model["strata"]["levels"]
    ]
    return {"terms": [item["term"] for item in variables], "levels": levels}


def shown_fields(model: dict[str, Any]) -> list[dict[str, Any]]:
    """The inputs; a sign that is there or not is `no` or `yes` to the reader, as in the figures."""
    fields = input_fields(model)
    return [field | {"options": ["no", "yes"]} if field["options"] == ["0", "1"] else field for field in fields]


def drawn_nomogram(name: str, model: dict[str, Any]) -> dict[str, Any] | None:
    """The equation of the points and the axes as [text, points] pairs; None for a model without effects."""
    equation = model_nomogram(model)
    if equation is None:
        return None
    table = nomogram_tables({name: model})
    fields = {field["term"]: field for field in shown_fields(model)}
    place_of = {axis["name"]: {key: axis[key] for key in ("group", "given", "label")} for axis in model_axes(model)}
    axes = []
    for axis, part in table.groupby("axis", sort=False):
        column = next((column for column in model["terms"] if column["name"] == axis), None)
        place = place_of.get(axis, {})
        if column is None and place:  # of an interaction or of the strata
            texts = [value if isinstance(value, str) else f"{value:.4g}" for value in part["value"]]
            title = place["label"]
        elif column is not None:
            texts = [tick_text(column, fields[column["term"]], value) for value in part["value"]]
            title = input_label(column["label"], column["transform"]) + (
                f", {column['unit']}" if column["unit"] else ""
            )
        elif axis == "total":
            texts = [f"{points:g}" for points in part["points"]]
            title = "Total points"
        else:
            texts = [f"{100 * value:g} %" for value in part["value"]]
            title = "Risk" if axis == "risk" else f"Risk by {axis.removeprefix('risk_')} months"
        kind = "term" if place else "total"
        ticks = [[text, float(points)] for text, points in zip(texts, part["points"], strict=True)]
        axes.append(place | {"axis": axis, "label": title, "kind": kind, "ticks": ticks})
    return equation | {"axes": axes}


def tick_text(column: dict[str, Any], field: dict[str, Any], value: float) -> str:
    if column["level"] is not None:  # one level of a category
        return "yes" if value else "no"
    return field["options"][int(value)] if field["options"] else f"{value:.4g}"


def about(
    study: dict[str, Any], analysis: str, name: str, model: dict[str, Any], performance: pd.DataFrame
) -> list[str]:
    """Plain sentences: whose risk of what, how the model was validated, and where it ends."""
    start = start_of(study)
    timed = timed_endpoint(study, analysis)
    counted = ""
    if timed:
        by = f", by {timed['horizon_months']:g} months" if "intercept" in model else ""
        counted = f"{by or ', counted'} from {start}" if start else by
    measure = WORDS["binary" if "intercept" in model else "survival"]
    texts = [
        f"Risk of: {endpoint_label(study, analysis)}{counted}. Developed on {model['n']} patients with "
        f"{model['events']} events.",
        f"Validation: {VALIDATION[split_of(study, analysis)['kind']]}.",
    ]
    if "control" in study["analyses"][analysis]:
        texts.insert(0, f"NEGATIVE CONTROL ({study['analyses'][analysis]['control']}): fitted on destroyed images.")
    mine = performance[(performance["analysis"] == analysis) & (performance["model"] == name)]
    for cohort, part in mine.groupby("cohort", sort=False):
        value = part[part["metric"] == measure["metric"]]
        if cohort not in (APPARENT, OUT_OF_BAG) and len(value):
            place = cohort_title(cohort)
            row = value.iloc[0]
            texts.append(
                f"{place}: {row['n']:.0f} patients, {row['events']:.0f} events, {measure['c']} {interval(row)} "
                "(0.5 is chance, 1 perfect)."
            )
    if split_of(study, analysis)["kind"] != "centre":
        texts.append("Not validated at any other centre.")
    words = analysis_words(study, analysis)
    endpoint = study["analyses"][analysis]["endpoint"]
    if timed and censors_death(study, study["endpoints"][endpoint].get("of", endpoint)):
        texts.append(
            f"Death without {words['the_event']} was censored: the risks are too high where death comes first."
        )
    if no_signature(model):
        texts.append(f"{no_signature(model)}.")
    if "competing" in model:
        first = f"{first_upper(words['other'])} is a" if words["competitor"] == "death" else "There is a"
        texts.append(f"{first} competing event: the risks are cumulative incidences.")
        if model["competing"]["reason"]:
            texts.append(f"The competing event has {model['competing']['reason']}.")
    if model.get("likelihood", ML) != ML:
        texts.append(f"Groups were separated in training: the coefficients are penalised ({model['likelihood']}).")
    if "intercept" not in model:
        texts.append(
            f"Training follow-up ends at {model['follow_up_months']:.1f} months: no risk is given beyond "
            f"{last_month(model):.1f}."
        )
        return texts
    share = model["weighting"]["share"] if "weighting" in model else model["events"] / model["n"]
    texts.append(f"{100 * share:.0f} % of the training patients had it: where it is rarer or commoner, risks are off.")
    return texts
