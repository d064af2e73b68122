"""Discrimination with the features of one phase or one region only."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary
from recur.vocabulary import APPARENT

INPUTS = {"ablations": "validation/{analysis}/ablations.csv"}
CAPTION = (
    "Ablations ({endpoint}): {c} with 95 % confidence interval of the signature and the combined model, the "
    "whole fit repeated on the features of one phase or one region only, in nested cross-validation and held out."
)
CATEGORY = "Validation"
NEEDS = "ablations"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["ablations"]
    table = table[table["estimate"].notna() & (table["cohort"] != APPARENT)]
    if table.empty:
        return style.message("no ablation could be estimated")
    looks = style.series(style.models_of(table), context)
    rows = []
    for cohort in style.cohorts_of(table):
        rows.append({"label": style.cohort_label(cohort)})
        for model in style.models_of(table):
            here = table[(table["cohort"] == cohort) & (table["model"] == model)]
            for row in here.itertuples():
                name = "all features" if row.ablation == "all" else str(row.ablation).replace("_", " ")
                estimate = {"estimate": row.estimate, "lower": row.lower, "upper": row.upper}
                rows.append(
                    {
                        "label": f"{style.model_label(model, context)}: {name}",
                        **estimate,
                        "color": looks[model]["color"],
                    }
                    | {"marker": style.marker(model), "filled": row.ablation == "all"}
                    | {"texts": (vocabulary.interval_in_figure(*estimate.values()),)}
                )
    return style.forest_of_c(rows, context)
