"""The table of Ji et al. 2020 beside ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import yaml
from markupsafe import Markup

from recur.report.analysis import category
from recur.report.models import assumed
from recur.report.pages import Block, drawn
from recur.report.parts import by_analysis
from recur.report.results import Run, of_analysis, primary, read
from recur.sources import ROOT
from recur.vocabulary import TRAIN, apparent, cohort_title, interval, is_of_ji

TABLES = {  # what stands beside the published values
    "performance": "validation/{}/performance.csv",
    "scores": "validation/{}/scores.csv",
    "rates": "survival/{}/rates.csv",
    "logrank": "survival/{}/logrank.csv",
    "icc": "signature/{}/icc.csv",
    "ranking": "signature/{}/ranking.csv",
    "weights": "signature/{}/weights.csv",
}


def scores(run: Run) -> Markup:
    """Published scores in the patients of each analysis."""
    return by_analysis(run, lambda run, analysis: category(run, analysis, "Scores"))


def section(run: Run) -> Markup:
    """The table of Ji et al. 2020 beside ours, line by line, with what may be compared; of a study of the same only."""
    analysis = analysis_beside(run.study)
    if analysis is None or read(run.results, TABLES["performance"].format(analysis)).empty:
        return Markup("")
    published = yaml.safe_load((ROOT / "report" / "ji2020.yaml").read_text())
    note = f"Here: analysis {analysis}. C with its ties dropped (c_gamma). An empty cell: this run does not have it."
    shown = beside(run, analysis, published["rows"])
    blocks: list[Block] = [("p", published["source"]), ("wide", shown), ("note", note)]
    lines = assumed(run.study["analyses"][analysis])
    if lines:
        blocks += [("h3", "Settings that are assumed, not published"), ("ul", lines)]
    return drawn(blocks)


def analysis_beside(study: Mapping[str, Any]) -> str | None:
    """The analysis to stand beside the published one; another outcome, disease or treatment has none."""
    presets = {name: chosen.get("preset") for name, chosen in study["analyses"].items() if is_of_ji(study, name)}
    for name, preset in presets.items():
        if preset == "ji2020":
            return name
    analysis = primary(study) or next(iter(presets), None)
    return analysis if analysis in presets else None


def beside(run: Run, analysis: str, published: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: what is published, what this run has in training and in its first held-out cohort."""
    tables = {name: of_analysis(run.results, path, analysis) for name, path in TABLES.items()}
    held = next((c for c in tables["performance"]["cohort"] if not c.startswith("train")), None)
    rows = []
    for row in published:
        ours = [our_value(tables, row["ours"], cohort) for cohort in ("train", held)]
        rows.append([row["quantity"], row["train"], row["test"], *ours, row["compare"]])
    where = cohort_title(held).lower() if held else "no held-out patients"
    heads = ["", "Ji 2020, training", "Ji 2020, test", "Here, training (apparent)", f"Here, {where}"]
    return [*heads, "What may be compared"], rows


def our_value(tables: Mapping[str, pd.DataFrame], what: Mapping[str, Any], cohort: str | None) -> str:
    """One cell of our side of the published table; empty where the run has no such thing."""
    if cohort is None:
        return ""
    kind = what["kind"]
    train = cohort == TRAIN
    if kind in ("stable", "ranked", "selected"):
        return counted(tables, kind) if train else ""
    if kind == "size":
        own = tables["performance"][tables["performance"]["cohort"] == apparent(cohort)]
        return f"{own['n'].iloc[0]:.0f} ({own['events'].iloc[0]:.0f} events)" if len(own) else ""
    if kind == "c":
        source = tables["scores"] if "score" in what else tables["performance"]
        name = what.get("score") or what["model"]
        found = (
            source[(source["model"] == name) & (source["cohort"] == apparent(cohort)) & (source["metric"] == "c_gamma")]
            if len(source)
            else source
        )
        return interval(next(found.itertuples())) if len(found) else ""
    if kind == "logrank":
        found = tables["logrank"]
        found = found[(found["model"] == what["model"]) & (found["cohort"] == cohort)] if len(found) else found
        return f"{found['chi2'].iloc[0]:.2f}" if len(found) else ""
    rates = tables["rates"]
    group = what.get("group", "all")
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
    icc = tables["icc"]
    ranking = tables["ranking"]
    weights = tables["weights"]
    if kind == "stable":
        return f"{icc['stable'].astype(bool).sum()} of {len(icc)}" if len(icc) else ""
    if kind == "ranked":
        ranked = ranking[ranking["mrmr_rank"].notna()] if "mrmr_rank" in ranking else ranking
        return f"{ranking['selected'].ne('none').sum()}" if len(ranked) and ranked["mrmr_rank"].notna().any() else ""
    return str(len(weights)) if len(weights) else ""
