"""How the models were fitted, on how many patients."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup

from recur.report.analysis import category
from recur.report.pages import Block
from recur.report.parts import by_analysis
from recur.report.phrases import listed
from recur.report.results import Run, of_analysis, read
from recur.sources import ROOT
from recur.statistics.linear_predictor import clinical_terms
from recur.study.endpoints import is_weighted
from recur.study.facts import candidates_of, outcome_kind, uses_features
from recur.tables import read_frozen
from recur.vocabulary import WORDS, is_of_ji, missing_cells

SEPARATED = {"firth": "Firth's penalised likelihood", "ridge": "a ridge penalty"}
SELECTION = {
    "none": "",
    "backward_aic": "backward elimination on AIC",
    "backward_p": "backward elimination of terms with p above {p_remove:g}",
}


def section(run: Run) -> Markup:
    """The models of each analysis, and the size that their development needed."""
    return by_analysis(run, developed)


def developed(run: Run, analysis: str) -> list[Block]:
    return category(run, analysis, "Models") + sample_size(run.results, analysis)


def sample_size(results: Path, analysis: str) -> list[Block]:
    """Riley's criteria for the development."""
    sizes = of_analysis(results, "models/{}/sample_size.csv", analysis)
    if sizes.empty:
        return []
    heads = ["Counted", "Parameters", "Events each", "Criterion", "Patients needed", "Patients there", "Met"]
    rows = []
    for row in sizes.itertuples():
        counts = [f"{row.required_n:.0f}", f"{row.n:.0f}", "yes" if row.met in (True, "True") else "no"]
        rows.append([row.scope, f"{row.parameters:.0f}", f"{row.events_per_parameter:.3g}", row.criterion, *counts])
    source = f"Riley's criteria; Cox-Snell R2 {sizes['r2_cs'].iloc[0]:.3f}: {sizes['r2_source'].iloc[0]}."
    return [("h4", "Sample size of the development"), ("table", (heads, rows)), ("note", source)]


def model_facts(results: Path, study: Mapping[str, Any], analysis: str, performance: pd.DataFrame) -> dict[str, Any]:
    """How the models were fitted, on whom and on which terms."""
    chosen = study["analyses"][analysis]
    outcome = outcome_kind(study, analysis)
    candidates = candidates_of(study, analysis)
    stage = chosen["second_stage"]
    features = uses_features(study, analysis)
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
    """The settings of an analysis of the preset ji2020 that its paper does not say, with their values in this run."""
    if chosen.get("preset") != "ji2020":
        return []
    lines = []
    for entry in yaml.safe_load((ROOT / "report" / "ji2020.yaml").read_text())["assumed"]:
        part, key = entry["setting"].split(".")
        note = f" ({entry['note']})" if "note" in entry else ""
        lines.append(f"{entry['setting']}: {chosen[part][key]}{note}")
    return lines
