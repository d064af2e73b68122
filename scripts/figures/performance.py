"""Discrimination of all models in every cohort."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary
from recur.vocabulary import APPARENT, CORRECTED, NESTED, OUT_OF_BAG

INPUTS = {"performance": "validation/{analysis}/performance.csv"}
CAPTION = (
    "{c} ({endpoint}) with 95 % confidence interval of every model: in training by the most honest internal "
    "estimate there is, and in the held-out cohorts."
)
CATEGORY = "Validation"
NEEDS = None

INTERNAL = (NESTED, OUT_OF_BAG, CORRECTED, APPARENT, "train")


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["performance"][tables["performance"]["metric"] == context["words"]["metric"]]
    table = table[table["horizon_months"].isna()] if table["horizon_months"].isna().any() else table
    if table["estimate"].notna().sum() == 0:
        return style.message("no C-index could be estimated")
    with_value = set(table.loc[table["estimate"].notna(), "cohort"])
    internal = next((c for c in INTERNAL if c in with_value), None)
    cohorts = [c for c in style.cohorts_of(table) if c == internal or not str(c).startswith("train")]
    looks = style.series(style.models_of(table), context)
    rows = []
    for cohort in cohorts:
        here = table[table["cohort"] == cohort].drop_duplicates("model").set_index("model")
        known = here.dropna(subset=["n", "events"])
        size = f" (n = {known['n'].max():.0f}, {known['events'].max():.0f} events)" if len(known) else ""
        rows.append({"label": style.cohort_label(cohort) + size})
        for model in style.models_of(here.reset_index()):
            row = here.loc[model]
            estimate = {k: row[k] for k in ("estimate", "lower", "upper")}
            look = {"color": looks[model]["color"], "marker": style.marker(model)}
            rows.append(
                {
                    "label": style.model_label(model, context),
                    "texts": (vocabulary.interval_in_figure(*estimate.values()),),
                    **estimate,
                    **look,
                }
            )
    return style.forest_of_c(rows, context)
