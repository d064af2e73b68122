"""Sensitivity, specificity and predictive values of every index test."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary

INPUTS = {"accuracy": "diagnostic/accuracy.csv"}
CAPTION = (
    "Accuracy of the index tests against the reference standard ({endpoint}) with 95 % confidence intervals (Wilson; "
    "of several lesions a patient, bootstrap over patients). * cut-point chosen on these or on the training data."
)
CATEGORY = "Diagnostic"
NEEDS = "tests"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["accuracy"]
    table = table[table["metric"].isin(vocabulary.SHARES)]
    if table.empty:
        return style.message("no index test could be judged")
    rows = []
    keys = ["cohort", "test", "cutoff", "cutoff_from"]
    for (cohort, test, cutoff, origin), part in table.groupby(keys, sort=False, dropna=False):
        where = "" if cohort == "all" else f", {style.cohort_label(cohort)}"
        cut = f" {cutoff}" if isinstance(cutoff, str) and cutoff else ""
        chosen = "" if origin == "declared" else " *"
        rows.append({"label": f"{test.replace('_', ' ')}{cut}{where}{chosen}"})
        part = part.set_index("metric")
        for metric, text in vocabulary.SHARES.items():
            row = part.loc[metric]
            counts = f"{row['x']:.0f}/{row['n']:.0f}"
            shown = vocabulary.interval_in_figure(row["estimate"], row["lower"], row["upper"])
            limits = {key: row[key] for key in ("estimate", "lower", "upper")}
            rows.append({"label": text, "texts": (counts, shown)} | limits)
    return style.forest(
        rows, "Share", 0.5, ("n", "Share (95 % CI)"), limits=(0.0, 1.0), width_mm=style.MIDDLE, right_mm=(14, 28)
    )
