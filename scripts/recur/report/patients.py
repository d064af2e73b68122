"""Who was analysed, who was left out and how long patients were followed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recur.report.pages import html_table
from recur.report.parts import table
from recur.report.phrases import named
from recur.report.results import of_analysis, read
from recur.study.facts import split_of
from recur.vocabulary import cohort_title, p_text

FOLLOW_UP = "Reverse Kaplan-Meier; pointwise 95 % interval of the median on the log-log scale."


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
