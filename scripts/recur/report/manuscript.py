"""Tables ready for a manuscript: the study's own tables as text, rounded as journals print, as CSV and HTML
(recur.report.word: as a Word document)."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.features.names import Feature, joined, parsed
from recur.report.pages import blocks_page
from recur.statistics.estimate import SANDWICH
from recur.statistics.logistic import FIRTH, RIDGE
from recur.tables import plain_cell, read_made
from recur.vocabulary import (
    METRICS,
    cohort_title,
    interval,
    interval_text,
    lower_first,
    main_models,
    model_title,
    p_text,
    ratio_text,
)

SYNTHETIC = "SYNTHETIC DATA: generated patients; no figure here is about anyone."
IBSI_NAMES = Path(__file__).parents[1] / "features" / "ibsi_names.csv"  # pyradiomics' name -> tag of the IBSI manual
ABBREVIATIONS = {
    "HR": "hazard ratio", "OR": "odds ratio", "CI": "confidence interval", "SMD": "standardised mean difference",
    "AUC": "area under the receiver operating characteristic curve (of an outcome in time: at the time)",
    "SD": "standard deviation", "ICC": "intraclass correlation coefficient (2,1)",
    "IPA": "index of prediction accuracy (scaled Brier score)", "IBSI": "Image Biomarker Standardisation Initiative",
    "ICI": "integrated calibration index",
}  # fmt: skip
MOST_TERMS = 12  # of an equation that is written out


class Table(NamedTuple):
    """A table of text. A row of one cell is a heading over the rows below it."""

    name: str
    title: str
    heads: list[str]
    rows: list[list[str]]
    notes: list[str]


def abbreviated(notes: list[str], *keys: str) -> list[str]:
    """The footnotes, with the abbreviations that the table uses."""
    return [*notes, "Abbreviations: " + "; ".join(f"{key}, {ABBREVIATIONS[key]}" for key in keys) + "."]


def characteristics(table1: pd.DataFrame) -> Table:
    """Table 1: patients by cohort; medians with quartiles, counts with per cent."""
    after = list(table1.columns[table1.columns.get_loc("overall") :])
    cohorts = [name for name in after if name not in ("overall", "missing", "p", "smd")]
    compared = len(cohorts) > 1
    columns = ["overall", *cohorts] if compared else ["overall"]
    size = table1[table1["variable"] == "n"].iloc[0]
    heads = ["Characteristic", *(f"{cohort_title(name)} (n = {size[name]})" for name in columns)]
    heads += ["Missing", *(["P", "SMD"] if compared else [])]
    rows = []
    last = None
    for row in table1[table1["variable"] != "n"].to_dict("records"):
        level = row["level"]
        first = row["variable"] != last
        last = row["variable"]
        missing = "" if pd.isna(row["missing"]) else f"{row['missing']:.0f}"
        tests = []
        if compared:
            tests = [p_text(row["p"]), "" if pd.isna(row["smd"]) else f"{float(row['smd']):.2f}"]
        if pd.isna(level) or level == "":
            rows.append([str(row["variable"]), *(cell(row[name]) for name in columns), missing, *tests])
            continue
        if first:
            rows.append([f"{row['variable']}, n (%)", *[""] * len(columns), missing, *tests])
        rows.append([f"   {level}", *(cell(row[name]) for name in columns), *[""] * (1 + len(tests))])
    notes = ["Numbers are median [quartiles] unless stated."]
    if compared:
        notes.append(
            "P: Kruskal-Wallis or chi-square test (Fisher where counts are small). SMD: largest between two cohorts."
        )
    return Table(
        "table1", "Characteristics of the patients", heads, rows, abbreviated(notes, "SMD") if compared else notes
    )


def cell(value: Any) -> str:
    return "" if pd.isna(value) else re.sub(r",(?=\S)", ", ", str(value))


def cox(coefficients: pd.DataFrame, words: Mapping[str, str]) -> Table:
    """Univariable and multivariable Cox (of a binary outcome logistic) models side by side: one row a term."""
    name, ratio = ("logistic", "OR") if "or" in coefficients else ("Cox", "HR")
    models = list(dict.fromkeys(coefficients["model"].dropna()))
    shown = main_models(models) or models
    parts = {"Univariable": coefficients[coefficients["stage"] == "univariable"]}
    for model in shown:
        parts[model_title(model, words)] = coefficients[
            (coefficients["model"] == model) & (coefficients["stage"] == "multivariable")
        ]
    heads = ["Term", *(text for title in parts for text in (f"{title}: {ratio} (95 % CI)", "P"))]
    labels: dict[str, str] = {}
    for part in parts.values():
        labels |= dict(zip(part["term"], part["label"].fillna(part["term"]), strict=True))
    rows = []
    for term, label in labels.items():
        cells = [str(label)]
        for part in parts.values():
            own = part[part["term"] == term]
            cells += [ratio_text(own.iloc[0]), p_of_term(own)] if len(own) else ["", ""]
        rows.append(cells)
    sizes = coefficients[["n", "events"]].drop_duplicates().iloc[0]
    notes = [
        f"Training patients, n = {sizes['n']:.0f}, {sizes['events']:.0f} events. {ratio} per unit of the term; "
        "categories against their reference. An empty cell: the term is not in that model.",
    ]
    printed = pd.concat(parts.values())
    if has_joint_p(printed).any():
        notes.append(
            "Joint: all levels of a category, or all parts of a spline, together (Wald; where groups were separated, "
            "penalised likelihood ratio)."
        )
    if (coefficients["term"] == "signature").any():
        notes.append(f"The signature was built on these patients: its univariable {ratio} is optimistic.")
    weighted = is_weighted(coefficients)
    if weighted:
        notes.append(
            "Patients censored before the horizon are weighted for (inverse probability of censoring); sandwich "
            "standard errors."
        )
    intervals = ", weighted, without an interval" if weighted else " with profile intervals"
    for penalty in (FIRTH, RIDGE):
        if coefficients["likelihood"].eq(penalty).any():
            notes.append(f"Where groups were separated: penalised likelihood ({penalty}){intervals}.")
    title = f"Univariable and multivariable {name} models"
    return Table(name.lower(), title, heads, rows, abbreviated(notes, ratio, "CI"))


def has_joint_p(rows: pd.DataFrame) -> pd.Series:
    """Whether the term of each row has several columns, and so a p-value besides the column's own."""
    if "p_term" not in rows:
        return pd.Series(False, index=rows.index)
    return rows["p_term"].notna() & ~np.isclose(rows["p"], rows["p_term"], rtol=1e-9, atol=0)


def p_of_term(rows: pd.DataFrame) -> str:
    """The p-value of the column in the first row and, where its term has several columns, that of the term."""
    own = p_text(rows["p"].iloc[0])
    return f"{own} (joint {p_text(rows['p_term'].iloc[0])})" if has_joint_p(rows).iloc[0] else own


def is_weighted(coefficients: pd.DataFrame) -> bool:
    """Whether patients weigh for censoring: estimates then have the limits of a sandwich, or of penalised ones none."""
    has_none = coefficients["likelihood"].notna() & coefficients["limits"].isna()
    return bool((coefficients["limits"].eq(SANDWICH) | has_none).any())


def performance(table: pd.DataFrame, words: Mapping[str, str]) -> Table:
    """Discrimination, calibration and accuracy: a block a cohort, a row a metric, a column a model."""
    table = table[table["metric"].isin(METRICS)]
    models = list(dict.fromkeys(table["model"]))
    rows = []
    for cohort, part in table.groupby("cohort", sort=False):
        rows.append([f"{cohort_title(cohort)} (n = {part['n'].max():.0f}, {part['events'].max():.0f} events)"])
        keys = part[["metric", "horizon_months"]].drop_duplicates().itertuples(index=False)
        for metric, months in sorted(keys, key=lambda key: (list(METRICS).index(key[0]), key[1])):
            horizon = "" if pd.isna(months) else f", {months:g} months"
            own = part[
                (part["metric"] == metric) & (part["horizon_months"].fillna(-1) == (-1 if pd.isna(months) else months))
            ]
            own = own.drop_duplicates("model").set_index("model")
            name, digits = METRICS[metric]
            cells = [interval(own.loc[model], digits) if model in own.index else "" for model in models]
            rows.append([f"   {name}{horizon}", *cells])
    notes = [
        "Estimate (95 % CI). Apparent figures are of the rows that the model was fitted on and are too good; "
        "cross-validated and out-of-bag figures repeat the whole fit.",
    ]
    heads = ["", *(model_title(model, words) for model in models)]
    return Table("performance", "Performance of the models", heads, rows, abbreviated(notes, "CI", "AUC", "IPA", "ICI"))


def comparisons(table: pd.DataFrame, words: Mapping[str, str]) -> Table:
    """Differences between models on the same patients."""
    rows = []
    for cohort, part in table[table["metric"].isin(METRICS)].groupby("cohort", sort=False):
        rows.append([cohort_title(cohort)])
        for row in part.to_dict("records"):
            months = row["horizon_months"]
            metric = METRICS[row["metric"]][0] + ("" if pd.isna(months) else f", {months:g} months")
            pair = " less ".join([model_title(row["model_a"], words), lower_first(model_title(row["model_b"], words))])
            difference = interval_text(row["difference"], row["lower"], row["upper"])
            rows.append([f"   {pair}", metric, difference, p_text(row["p"])])
    notes = [
        "Paired, on the same patients, two-sided. No P for apparent figures: they do not test anything.",
    ]
    heads = ["Comparison", "Metric", "Difference (95 % CI)", "P"]
    return Table("comparisons", "Models compared", heads, rows, abbreviated(notes, "CI"))


def published_scores(
    table: pd.DataFrame, notes_of: pd.DataFrame, coefficients: pd.DataFrame, words: Mapping[str, str]
) -> Table:
    """The study's model against published scores, Holm-corrected."""
    held = table[table["metric"].isin(("c_harrell", "c_competing", "auc"))]
    labels = dict(zip(notes_of["id"], notes_of["label"], strict=True)) if len(notes_of) else {}
    rows = []
    for cohort, part in held.groupby("cohort", sort=False):
        rows.append([cohort_title(cohort)])
        for row in part.to_dict("records"):
            difference = interval_text(row["difference"], row["lower"], row["upper"])
            pair = f"   {model_title(row['model_a'], words)} less {labels.get(row['model_b'], row['model_b'])}"
            count = "" if pd.isna(row["n"]) else f"{row['n']:.0f}"
            rows.append([pair, count, difference, p_text(row["p"]), p_text(row["p_holm"]), cell(row["note"])])
    measure = "Harrell's C (half credit for ties)"
    if held["metric"].eq("auc").any():
        measure = "AUC" if is_weighted(coefficients) else "AUC (DeLong)"
    notes = [f"Difference of {measure}, paired, two-sided; patients with both values only."]
    heads = ["Comparison", "n", "Difference (95 % CI)", "P", "P (Holm)", "Note"]
    return Table("scores", "Models against published scores", heads, rows, abbreviated(notes, "CI"))


def features(weights: pd.DataFrame, icc: pd.DataFrame, frequency: pd.DataFrame) -> Table:
    """The features of the signature with the names they have in its equation and in the IBSI's reference manual."""
    icc = icc.set_index("feature") if len(icc) else icc
    chosen = dict(zip(frequency["feature"], frequency["frequency"], strict=True)) if len(frequency) else {}
    tags = read_made(IBSI_NAMES).set_index("feature")["tag"].to_dict()
    rows = []
    for place, row in enumerate(weights.itertuples(), 1):
        parts = parsed(row.feature) or Feature("", "", "", "", row.feature)
        reading = interval(icc.loc[row.feature].rename({"icc": "estimate"}), 2) if row.feature in icc.index else ""
        share = chosen.get(row.feature)
        rows.append(
            [f"x{place}", *parts,
             tags.get(joined(parts.kind, parts.name), ""), f"{row.weight:.4f}", f"{row.mean:.4g}", f"{row.sd:.4g}",
             reading, "" if share is None else f"{100 * share:.0f}"]
        )  # fmt: skip
    signs = [f"{'-' if weight < 0 else '+'} {abs(weight):.4f} z{i}" for i, weight in enumerate(weights["weight"], 1)]
    equation = f"Score = {' '.join(signs).removeprefix('+ ') or '0'}."
    if len(rows) > MOST_TERMS:
        equation = "Score = sum of weight x z over all rows."
    notes = [
        f"{equation} z = (x - mean) / SD of the training patients. Chosen: share of bootstrap resamples of the "
        "whole fit that kept the feature.",
    ]
    if any(row[6] for row in rows):
        notes.append("IBSI: tag of the feature in the reference manual (arXiv:1612.07003), which holds its formula.")
    heads = [
        "",
        "Phase",
        "Region",
        "Image",
        "Class",
        "Feature",
        "IBSI",
        "Weight",
        "Mean",
        "SD",
        "ICC (95 % CI)",
        "Chosen, %",
    ]
    return Table("features", "Features of the signature", heads, rows, abbreviated(notes, "SD", "ICC", "CI", "IBSI"))


def manuscript_tables(results: Path, analysis: str, words: Mapping[str, str]) -> list[Table]:
    """The tables that an analysis has something for, in the order of a manuscript; words:
    recur.vocabulary.study_words.
    """

    def read(name: str) -> pd.DataFrame:
        path = results / name.format(analysis)
        return read_made(path) if path.exists() else pd.DataFrame()

    sources = [
        (characteristics, ["cohort/{}/table1.csv"]),
        (partial(cox, words=words), ["models/{}/coefficients.csv"]),
        (partial(performance, words=words), ["validation/{}/performance.csv"]),
        (partial(comparisons, words=words), ["validation/{}/comparisons.csv"]),
        (partial(published_scores, words=words),
         ["validation/{}/score_comparisons.csv", "cohort/score_notes.csv", "models/{}/coefficients.csv"]),
        (features, ["signature/{}/weights.csv", "signature/{}/icc.csv", "signature/{}/selection_frequency.csv",
                    ]),
    ]  # fmt: skip
    found = [(make, [read(name) for name in names]) for make, names in sources]
    return [make(*tables) for make, tables in found if len(tables[0])]


# ---------------------------------------------------------------- writing


def as_csv(table: Table) -> str:
    """The cells; what a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in [table.heads, *table.rows]:
        writer.writerow([plain_cell(cell.strip()) for cell in row])
    return text.getvalue()


def as_html(table: Table) -> str:
    """A self-contained page; its table can be copied into a text."""
    return blocks_page(
        [("h2", table.title), ("table", (table.heads, table.rows)), *(("note", text) for text in table.notes)],
        table.title,
    )
