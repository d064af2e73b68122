"""Checklists filled from a run: an item is met only where a file of this run shows it; the rest needs a human.

The items, and the rule of each, are data: checklists/*.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from recur.report.pages import Block
from recur.report.processing_sheet import NO_PHANTOM, NOT_RUN, UNKNOWN, processing_sheet
from recur.report.results import of_analysis, primary, read
from recur.sources import ROOT
from recur.study.facts import split_of, uses_features
from recur.vocabulary import APPARENT, CORRECTED, EXTERNAL, NESTED, OUT_OF_BAG

MET = "met"  # fmt: skip
PARTLY = "partly: needs a human"
DECLARED = "as the study file states"
HUMAN = "needs a human"
UNMET = "not met"
NONE = "not applicable"
MADE_LATER = "report/report.html"  # of the same run, with this table among its inputs
COLUMNS = ["checklist", "item", "text", "status", "evidence", "note", "weight", "points"]


def checklists(results: Path, study: Mapping[str, Any]) -> pd.DataFrame:
    """Every item of every checklist with its status: COLUMNS. evidence: files below `results`, by `; `.

    weight: of METRICS. points: those that an item of the radiomics quality score gets (empty while open).
    """
    analysis = primary(study) or next(iter(study["analyses"]), None)
    known = run_facts(results, study, analysis)
    rows = []
    for sheet in sheets().values():
        for item in sheet["items"]:
            status, evidence, note = judge(item, known, results, study, analysis)
            rows.append([sheet["title"], item["item"], item["text"], status, "; ".join(evidence), note,
                         item.get("weight"), points(item, status, known)])  # fmt: skip
    if "images" in study and analysis:
        sheet = processing_sheet(results, dict(study), study["images"]["readers"][0])
        place = f"features/{study['images']['readers'][0]}.manifest.json"
        for row in sheet.itertuples():
            status = HUMAN if row.value in (UNKNOWN, NOT_RUN, NO_PHANTOM) else MET
            rows.append(["IBSI sheet", row.item, row.value, status, place if status == MET else "", "", None, None])
    return pd.DataFrame(rows, columns=COLUMNS)


def sheets() -> dict[str, dict[str, Any]]:
    """The checklists by their file's name, in the order of the page."""
    names = ("tripod_ai", "clear", "metrics", "rqs")
    return {name: yaml.safe_load((ROOT / "checklists" / f"{name}.yaml").read_text()) for name in names}


def judge(
    item: Mapping[str, Any], known: Mapping[str, bool], results: Path, study: Mapping[str, Any], analysis: str | None
) -> tuple[str, list[str], str]:
    """Status of an item, its evidence and a note."""
    if not known.get(item.get("if"), "if" not in item):
        return NONE, [], ""
    readers = study.get("images", {}).get("readers", ["reader1"])
    wanted = [name.format(a=analysis, r=readers[0]) for name in item.get("evidence", [])]
    there = [name for name in wanted if (results / name).exists() or name == MADE_LATER]
    said = study.get("reporting", {}).get(item.get("ask"))
    note = item.get("say", "")
    lacking = [name.replace("_", " ") for name in item.get("needs", []) if not known.get(name)]
    absent = [name for name in wanted if name not in there]
    status = {"human": HUMAN, "partly": PARTLY}.get(item["by"], MET)
    if item["by"] != "human" and (lacking or absent):
        status = UNMET if item["by"] == "run" else HUMAN
        note = "; ".join(filter(None, [f"this run lacks: {', '.join(lacking + absent)}", note]))
    if status != MET and said:
        return DECLARED, there, str(said)
    return status, there, note


def points(item: Mapping[str, Any], status: str, known: Mapping[str, bool]) -> float | None:
    """Points of an item of the radiomics quality score; None where the sheet has none or a human must say."""
    if "points" not in item or status in (HUMAN, PARTLY, DECLARED):
        return None
    if status == MET:
        return item["points"]
    lesser = [value for fact, value in item.get("less", {}).items() if known.get(fact)]
    return lesser[0] if lesser else item.get("otherwise", 0)


def run_facts(results: Path, study: Mapping[str, Any], analysis: str | None) -> dict[str, bool]:
    """What the files of the run show, as the conditions that items name."""
    if analysis is None:
        return {}
    assigned = read(results, "cohort/assigned.csv")
    centres = set(assigned["centre"].dropna()) - {""} if len(assigned) else set()
    sizes = read(results, f"models/{analysis}/sample_size.csv")
    offered = sizes[sizes["scope"].ne("clinical terms and every feature")] if len(sizes) else sizes
    frozen = results / "models" / analysis / "frozen"
    shown = {
        "dates": "dates" in study["clinical"],
        "automatic_segmentation": bool(study.get("reporting", {}).get("automatic_segmentation")),
        "deep_learning": False,
        "centres": bool(centres),
        "several_centres": len(centres) > 1,
        "sample_size": bool(len(sizes)),
        "enough_events": bool(len(offered)) and (offered["met"].astype(str) == "True").all(),
        "missing_column": "missing" in read(results, f"cohort/{analysis}/table1.csv"),
        "frozen": frozen.is_dir() and any(frozen.glob("*.json")),
        "ablations": (results / f"validation/{analysis}/ablations.csv").exists(),
    }
    return shown | feature_facts(results, study, analysis) | judged_facts(results, study, analysis)


def feature_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, bool]:
    """What the run shows of images and features."""
    chosen = study["analyses"][analysis]
    features = uses_features(study, analysis)
    readers = study.get("images", {}).get("readers", [])
    scans = read(results, "images/acquisition.csv")
    phantom = read(results, "features/ibsi_self_test.csv")
    icc = read(results, f"signature/{analysis}/icc.csv")
    filtered = chosen["redundancy"]["spearman"] is not None or chosen["ranking"]["kind"] != "none"
    return {
        "features": features,
        "images": "images" in study,
        "images_or_features": "images" in study or features,
        "manifest": bool(readers) and (results / "features" / f"{readers[0]}.manifest.json").exists(),
        "acquisition": len(scans) > 0 and any(name in scans and scans[name].notna().any() for name in ("kvp", "tr_ms")),
        "ibsi": len(phantom) > 0
        and (phantom["within"].astype(str).eq("True") | phantom["known_deviation"].notna()).all(),
        "icc": len(icc) > 0,
        "second_reader": len(icc) > 0 and bool((icc["source"] == "readers").all()),
        "one_reader_of_test": bool(readers),
        "redundancy": features and filtered,
    }


def judged_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, bool]:
    """What the run shows of how its models were judged and compared."""
    performance = of_analysis(results, "validation/{}/performance.csv", analysis)
    cohorts = set(performance["cohort"]) if len(performance) else set()
    held = {name for name in cohorts if not name.startswith("train")}
    judged = performance[performance["cohort"].isin(held)] if len(performance) else performance
    metrics = set(performance.loc[performance["estimate"].notna(), "metric"]) if len(performance) else set()
    comparisons = of_analysis(results, "validation/{}/comparisons.csv", analysis)
    fair = comparisons[comparisons["cohort"] != APPARENT] if len(comparisons) else comparisons
    pairs = set(zip(fair["model_a"], fair["model_b"], strict=True)) if len(fair) else set()
    transport = of_analysis(results, "validation/{}/transport.csv", analysis)
    topics = set(transport["topic"]) if len(transport) else set()
    benefit = of_analysis(results, "validation/{}/net_benefit.csv", analysis)
    scores = of_analysis(results, "validation/{}/score_comparisons.csv", analysis)
    groups = read(results, f"survival/{analysis}/rates.csv")
    external = [name for name in held if name.startswith(EXTERNAL)]
    models = set(performance.get("model", []))
    inner = bool(cohorts & {NESTED, OUT_OF_BAG, CORRECTED})
    return {
        "held_out": bool(held),
        "external": bool(external) and split_of(study, analysis)["kind"] == "centre",
        "internal": inner,
        "internal_or_held": inner or bool(held),
        "several_held_centres": len(external) > 1,
        "centres_pooled": "centres" in topics,
        "intervals": bool(len(performance)) and performance["lower"].notna().any(),
        "calibration": "calibration_slope" in metrics and bool(len(judged)),
        "updating": "updating" in topics,
        "compared": bool(pairs),
        "added_value": bool(pairs & {("combined_pre", "clinical_pre"), ("combined_post", "clinical_post")}),
        "simple_models": any(b in ("size_only", "volume_only") for _, b in pairs),
        "combined": uses_features(study, analysis) and bool(models & {"combined_pre", "combined_post"}),
        "cutpoints": "sensitivity" in metrics or (len(groups) > 0 and bool((groups["model"] != "all").any())),
        "net_benefit": len(benefit) > 0 and bool((~benefit["cohort"].str.startswith("train")).any()),
        "scores_held": len(scores) > 0 and bool((~scores["cohort"].str.startswith("train")).any()),
    }


def metrics_score(table: pd.DataFrame) -> tuple[float, float]:
    """METRICS in per cent: from evidence alone, and the most it could be once a human has answered the open items.

    100 x weights met / weights that apply (Kocak et al. 2024). Statements of the study file count as open: a human
    judges them.
    """
    own = table[(table["checklist"] == "METRICS") & (table["status"] != NONE)]
    whole = own["weight"].sum()
    sure = own.loc[own["status"] == MET, "weight"].sum()
    open_ = own.loc[own["status"].isin([PARTLY, HUMAN, DECLARED]), "weight"].sum()
    return 100 * sure / whole, 100 * (sure + open_) / whole


def rqs_score(table: pd.DataFrame) -> tuple[float, float]:
    """Points of the radiomics quality score: from evidence alone, and with every open item at its best."""
    own = table[(table["checklist"] == "RQS 1.0") & (table["status"] != NONE)]
    most = {item["item"]: item["points"] for item in sheets()["rqs"]["items"]}
    sure = own["points"].sum()
    return sure, sure + sum(most[item] for item in own.loc[own["points"].isna(), "item"])


def grade(score: float) -> str:
    return next(name for limit, name in sheets()["metrics"]["grades"] if score < limit)


def page(table: pd.DataFrame, study: Mapping[str, Any]) -> list[Block]:
    """The blocks of the page; evidence links lead to the files of the run."""
    blocks: list[Block] = [("h1", f"Checklists: {study.get('title') or study['study']}")]
    if study.get("synthetic"):
        blocks.append(("alarm", "SYNTHETIC DATA: generated patients; a paper could not rest on this run."))
    blocks.append(
        ("p", "Filled from the primary analysis of this run. An item is met only where a file of the run shows it; "
         "what the run cannot know needs a human, or stands in the study file (key: reporting). The texts are "
         "shortened: read the published checklists.")
    )  # fmt: skip
    sources = {sheet["title"]: sheet["source"] for sheet in sheets().values()}
    counts = table.groupby(["checklist", "status"], sort=False).size().unstack(fill_value=0)
    heads = [MET, PARTLY, DECLARED, HUMAN, UNMET, NONE]
    rows = [[name, *(str(counts.loc[name].get(status, 0)) for status in heads)] for name in counts.index]
    blocks.append(("table", (["Checklist", *heads], rows)))
    for name, part in table.groupby("checklist", sort=False):
        blocks.append(("h2", str(name)))
        blocks += [("note", sources[name])] if name in sources else []
        if name == "METRICS":
            low, high = metrics_score(table)
            best = f"If every open item were answered yes: {high:.1f} % ({grade(high)})."
            blocks.append(("p", f"Score from evidence alone: {low:.1f} % ({grade(low)}). {best}"))
        if name == "RQS 1.0":
            low, high = rqs_score(table)
            best = f"With every open item at its best: {high:.0f}."
            blocks.append(("p", f"Points from evidence alone: {low:.0f} of 36. {best}"))
        cells = []
        for row in part.itertuples():
            links = [(place, f"../{place}") for place in row.evidence.split("; ") if place]
            extra = [f"{row.weight:.4f}"] if name == "METRICS" else []
            if name == "RQS 1.0":
                extra.append("open" if pd.isna(row.points) else f"{row.points:.0f}")
            cells.append([str(row.item), row.text, row.status, links, row.note, *extra])
        more = {"METRICS": ["Weight"], "RQS 1.0": ["Points"]}.get(name, [])
        blocks.append(("table", (["Item", "", "Status", "Evidence of this run", "Note", *more], cells)))
    return blocks
