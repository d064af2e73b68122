"""Apparent, corrected and held-out discrimination side by side."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary
from recur.vocabulary import APPARENT, CORRECTED, NESTED, OUT_OF_BAG, TRAIN

INPUTS = {"performance": "validation/{analysis}/performance.csv"}
CAPTION = (
    "Optimism: {c} ({endpoint}) of each model as fitted (apparent), by the internal estimates and in the "
    "held-out cohorts, with 95 % confidence intervals."
)
CATEGORY = "Validation"
NEEDS = "internal"

MARKS = {  # colour, marker, filled
    "train": (style.ORANGE, "o", False),
    APPARENT: (style.ORANGE, "o", False),
    CORRECTED: (style.ORANGE, "^", True),
    OUT_OF_BAG: (style.SKY, "v", True),
    NESTED: (style.SKY, "D", True),
    "test": (style.BLUE, "s", True),
}


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["performance"]
    table = table[(table["metric"] == context["words"]["metric"]) & table["estimate"].notna()]
    if table.empty:
        return style.message("no C-index could be estimated")
    rows = []
    for model in style.models_of(table):
        here = table[table["model"] == model].drop_duplicates("cohort").set_index("cohort")
        rows.append({"label": style.model_label(model, context)})
        for cohort in style.cohorts_of(here.reset_index()):
            if cohort == TRAIN and APPARENT in here.index:
                continue
            row = here.loc[cohort]
            colour, marker, filled = MARKS.get(cohort, (style.BLUE, "P", True))
            estimate = {k: row[k] for k in ("estimate", "lower", "upper")}
            name = "Training, apparent" if cohort == TRAIN else style.cohort_label(cohort)
            rows.append(
                {"label": name, "color": colour, "marker": marker, "filled": filled, **estimate}
                | {"texts": (vocabulary.interval_in_figure(*estimate.values()),)}
            )
    return style.forest_of_c(rows, context)
