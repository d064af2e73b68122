"""Who was analysed, who was left out and how long patients were followed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from recur.report.analysis import category
from recur.report.pages import Block, drawn
from recur.report.parts import by_analysis, table
from recur.report.phrases import named
from recur.report.results import Run, of_analysis, read
from recur.study.facts import split_of
from recur.vocabulary import cohort_title, p_text

FOLLOW_UP = "Reverse Kaplan-Meier; pointwise 95 % interval of the median on the log-log scale."


def section(run: Run) -> Markup:
    """Who was left out, and why, as counts; which patients, in a list that opens; the patients of each analysis."""
    return drawn(left_out(run)) + by_analysis(run, analysed)


def left_out(run: Run) -> list[Block]:
    flow = read(run.results, "cohort/flow.csv")
    excluded = read(run.results, "cohort/exclusions.csv")
    blocks = []
    if len(flow):
        steps = flow[["step", "n", "excluded", "reason"]].itertuples(index=False)
        rows = [[flow_cell(cell) for cell in row] for row in steps]
        blocks.append(("table", (["Step", "Patients", "Excluded", "Reason (patients)"], rows)))
    if len(excluded):
        blocks.append(("details", (f"The {len(excluded)} excluded patients", [("table", table(excluded))])))
    return blocks


def flow_cell(cell: Any) -> str:
    if pd.isna(cell):
        return ""
    return f"{cell:.0f}" if isinstance(cell, float) else cohort_title(str(cell))


def analysed(run: Run, analysis: str) -> list[Block]:
    """Table 1, the figures of the patients, and how long they were followed."""
    return category(run, analysis, "Cohort") + follow_up(run.results, analysis)


def follow_up(results: Path, analysis: str) -> list[Block]:
    """How long each group was followed; of an outcome weighted for censoring also how far the weights reach."""
    followed = of_analysis(results, "cohort/{}/follow_up.csv", analysis)
    if followed.empty:
        return []
    heads = ["By", "Group", "Patients", "Events", "Median follow-up, months (95 % CI)", "P of equal censoring"]
    if "largest_weight" in followed:
        heads += ["Censored before the horizon", "Largest weight", "Effective number"]
    rows = []
    for row in followed.itertuples():
        cells = [row.by, cohort_title(row.group), f"{row.n:.0f}", f"{row.events:.0f}"]
        cells += [median_text(row), p_text(row.p_censoring)]
        if "largest_weight" in followed:
            cells += weight_cells(row)
        rows.append(cells)
    return [("h4", "Follow-up"), ("table", (heads, rows)), ("note", FOLLOW_UP)]


def weight_cells(row: Any) -> list[str]:
    """Censored patients, the largest weight and the effective number of a group."""
    if pd.isna(row.largest_weight):
        return [f"{row.censored:.0f}", "", ""]
    return [f"{row.censored:.0f}", f"{row.largest_weight:.2f}", f"{row.effective_n:.0f}"]


def median_text(row: Any) -> str:
    """A median with its limits: the upper one may lie beyond the follow-up, a lower one is known or not estimated."""
    if pd.isna(row.median_months):
        return ""
    lower = "not estimated" if pd.isna(row.lower) else f"{row.lower:.1f}"
    upper = "not reached" if pd.isna(row.upper) else f"{row.upper:.1f}"
    return f"{row.median_months:.1f} ({lower} to {upper})"


def patient_facts(results: Path, study: Mapping[str, Any], analysis: str) -> dict[str, Any]:
    """Who was analysed, and how training and held-out patients were told apart."""
    chosen = study["analyses"][analysis]
    clinical = study["clinical"]
    split = split_of(study, analysis)
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
