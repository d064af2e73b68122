"""Discrimination of the main model within subgroups."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary

INPUTS = {"subgroups": "validation/{analysis}/subgroups.csv"}
CAPTION = (
    "{c} of the frozen main model ({endpoint}) within the levels of clinical variables, with 95 % confidence "
    "intervals, in the first held-out cohort (without one, apparent in training); numbers are halved at their training "
    "median. Blank: fewer than {few}. p of the difference between the levels, not corrected for their number."
)
CATEGORY = "Validation"
NEEDS = None

MOST = 14  # variables on one page


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table, words = tables["subgroups"], context["words"]
    model = style.main_of(table["model"], context)
    table = table[table["model"] == model]
    cohorts = [name for name in style.cohorts_of(table) if not name.startswith("train")] or style.cohorts_of(table)
    table = table[table["cohort"] == cohorts[0]] if cohorts else table
    if table["estimate"].isna().all():
        return style.no_main(context, "no subgroup has enough events")
    rows = []
    factors = list(dict.fromkeys(table["factor"]))
    for factor in factors[: MOST + 1]:
        part = table[table["factor"] == factor]
        if factor != "all":
            p = vocabulary.p_said(part["p_heterogeneity"].iloc[0])
            rows.append({"label": f"{factor}  ({p})" if p else factor})
        for row in part.itertuples():
            whole = factor == "all"
            rows.append(
                {
                    "label": "All patients" if whole else row.level,
                    "estimate": row.estimate,
                    "lower": row.lower,
                    "upper": row.upper,
                    "color": style.VERMILLION if whole else style.BLUE,
                    "marker": "D" if whole else "s",
                    "texts": (
                        vocabulary.interval_in_figure(row.estimate, row.lower, row.upper),
                        vocabulary.number(row.n, 0),
                        vocabulary.number(row.events, 0),
                    ),
                }
            )
    fig = style.forest(rows, words["c"], 0.5, (f"{words['c_short']} (95 % CI)", "n", "events"), right_mm=(26, 9, 11))
    more = f" · {MOST} of {len(factors) - 1} variables" if len(factors) > MOST + 1 else ""
    fig.set_label(f"{style.model_label(model, context)} · {style.evaluated_label(cohorts[0])}{more}")
    return fig
