"""Brier score over time."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {"curves": "validation/{analysis}/time_curves.csv"}
CAPTION = (
    "Brier score over time ({endpoint}), weighted for censoring: the squared error of the predicted risks, lower is "
    "better. The band is the 95 % interval of the main model; the black line is a model that gives everybody the risk "
    "seen in the cohort: what lies above it is worse than no model."
)
CATEGORY = "Validation"
NEEDS = None
OUTCOME = "survival"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["curves"].dropna(subset=["estimate"])
    brier, nothing = table[table["metric"] == "brier"], table[table["metric"] == "brier_null"]
    models = style.models_of(brier)
    if not models:
        return style.message("no Brier score could be estimated")
    main = style.main_of(models, context)
    looks = style.series(models, context)
    fig, places = style.grid(style.cohorts_of(brier), [None], 55, 12)
    top = max(brier["estimate"].max(), nothing["estimate"].max()) * 1.1
    ticks = style.month_ticks(brier["time_months"].max())
    for (cohort, _), ax in places.items():
        here = brier[brier["cohort"] == cohort].sort_values("time_months")
        for model, look in looks.items():
            curve = here[here["model"] == model]
            if model == main:
                ax.fill_between(
                    curve["time_months"], curve["lower"], curve["upper"], color=look["color"], alpha=0.15, linewidth=0
                )
            ax.plot(curve["time_months"], curve["estimate"], zorder=3 if model == main else 2, **look)
        curve = nothing[nothing["cohort"] == cohort].drop_duplicates("time_months").sort_values("time_months")
        ax.plot(curve["time_months"], curve["estimate"], color=style.BLACK, linewidth=0.9)
        ax.set(xlim=(0, ticks[-1] * 1.02), ylim=(0, top), xticks=ticks, xlabel=context["words"]["since"])
        ax.set_title(style.evaluated_label(cohort))
        style.left_only(ax, "Brier score")
    style.legend(fig, looks | {"": {"color": style.BLACK, "linewidth": 0.9, "label": "Without a model"}})
    return fig
