"""The page of a diagnostic study: every table of results/<study>/diagnostic with what it is, and its figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from recur.report.pages import Block
from recur.tables import read_made
from recur.vocabulary import p_text

# table -> (heading, what it is); tables of curves are drawn, not printed
SECTIONS = {
    "participants": (
        "Participants",
        "The flow of STARD 2015, counted in the units of the tests (patients, or lesions): eligible, without the index "
        "test (missing or indeterminate), with the index test but without the reference standard, analysed; and the "
        "two by two table at every cut-point. A run does not know the interval between index test and reference "
        "standard, nor whether readers were blinded: state both.",
    ),
    "accuracy": (
        "Accuracy of the index tests",
        "Against the reference standard. A cut-point that was chosen on the data it is judged on is optimistic. "
        "Predictive values hold at the prevalence of these patients only.",
    ),
    "auc": (
        "Areas under the ROC curves",
        "A combination that was fitted on the same data is shown as it appears and less its optimism; use the latter.",
    ),
    "comparisons": (
        "Paired comparisons of tests",
        "On the units that have both tests. AUC by DeLong; McNemar on the diseased (sensitivity) and on the others "
        "(specificity), intervals by Tango. P values are not corrected for their number.",
    ),
    "agreement": (
        "Agreement of readers",
        "Two readers of the same units. Of several lesions a patient, limits are bootstrapped over patients.",
    ),
    "mask_summary": ("Agreement of the readers' masks", "Median and quartiles over patients; distances in mm."),
    "groups": (
        "Comparison of groups",
        "Medians with quartiles, or counts. P values are not corrected for their number.",
    ),
    "weighted": (
        "Comparison weighted by the propensity score",
        "The second group less the first (hazard ratio: over the first), had everybody had either. It removes what was "
        "measured and put into the score, nothing else.",
    ),
    "balance": ("Balance of the covariates", "Standardised mean differences; below 0.1 is called balanced."),
    "consistency": (
        "Printed numbers, checked and reproduced",
        "Every printed number stands for all that round to it: what is called inconsistent, no rounding gives.",
    ),
}
MARKS = {"inconsistent": "INCONSISTENT", "warning": "warning"}


def blocks(results: Path, figures: list[tuple[Path, str]]) -> list[Block]:
    """The page of one study; figures: (PNG, caption)."""
    study = yaml.safe_load((results / "study.resolved.yaml").read_text())
    page: list[Block] = [("h1", study["title"] or study["study"])]
    if study["synthetic"]:
        page.append(("alarm", "SYNTHETIC DATA: made by a generator from a seed; nothing here is about patients."))
    if source := study.get("reported", {}).get("source"):
        page.append(("p", f"Source of the printed numbers: {source}"))
    for name, (heading, text) in SECTIONS.items():
        path = results / "diagnostic" / f"{name}.csv"
        if not path.exists():
            continue
        table = read_made(path)
        page += [("h2", heading), ("p", text)]
        if name == "participants":
            page += flow(read_made(results / "cohort/flow.csv"))
        if name == "consistency":
            page += verdicts(table)
        page.append(("table", printable(table)) if len(table) else ("p", "Nothing could be computed."))
    if figures:
        page.append(("h2", "Figures"))
    return page + [("figure", figure) for figure in figures]


def flow(table: pd.DataFrame) -> list[Block]:
    """How many patients the clinical table has, and how many left before the tests, with the reasons."""
    lines = []
    for row in table.astype(object).fillna("").itertuples():
        left = f"; {row.excluded} left out: {row.reason}" if row.excluded else ""
        lines.append(f"{row.step}: {row.n}{left}")
    return [("ul", lines)]


def verdicts(table: pd.DataFrame) -> list[Block]:
    """How many checks ended how, and those that failed, first."""
    counts = table["verdict"].value_counts()
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    failed = table[table["verdict"] == "inconsistent"]
    lines = [
        f"{row.label or row.id}, {row.check}: printed {row.printed}; {row.recomputed}"
        + (f" ({row.note})" if row.note else "")
        for row in failed.astype(object).fillna("").itertuples()
    ]
    found: list[Block] = [("p", f"{len(table)} checks: {said}.")]
    return found + ([("h3", "Impossible as printed"), ("ul", lines)] if lines else [])


def printable(table: pd.DataFrame) -> tuple[list[str], list[list[Any]]]:
    """Heads and rows: estimates joined with their limits, numbers to three digits, columns without a cell left out."""
    shown = table.dropna(axis=1, how="all").copy()
    for value in ("estimate", "difference"):
        if {value, "lower", "upper"} <= set(shown):
            shown[value] = [joined(*cells) for cells in zip(shown[value], shown["lower"], shown["upper"], strict=True)]
            shown = shown.drop(columns=["lower", "upper"])
    if "p" in shown and shown["p"].dtype.kind == "f":
        shown["p"] = shown["p"].map(p_text)
    heads = [str(name).replace("_", " ") for name in shown]
    return heads, [[cell_text(cell) for cell in row] for row in shown.itertuples(index=False)]


def joined(estimate: float, lower: float, upper: float) -> str:
    if pd.isna(estimate):
        return ""
    return f"{estimate:.3f}" + ("" if pd.isna(lower) else f" ({lower:.3f} to {upper:.3f})")


def cell_text(cell: Any) -> str:
    if isinstance(cell, str):
        return MARKS.get(cell, cell)
    if pd.isna(cell):
        return ""
    return f"{cell:.0f}" if float(cell).is_integer() else f"{cell:.3g}"
