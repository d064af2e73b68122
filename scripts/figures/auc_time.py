"""Time-dependent AUC over time, per cohort."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {"curves": "validation/{analysis}/time_curves.csv"}
CAPTION = (
    "Time-dependent (cumulative/dynamic) AUC of all models over time ({endpoint}); the 95 % band belongs to the main "
    "model, the vertical line is the primary horizon."
)
CATEGORY = "Validation"
NEEDS = None
OUTCOME = "survival"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["curves"]
    table = table[(table["metric"] == "auc") & table["estimate"].notna()]
    models = style.models_of(table)
    if not models:
        return style.message("no AUC over time could be estimated")
    main = style.main_of(models, context)
    looks = style.series(models, context)
    cohorts = style.cohorts_of(table)
    fig, places = style.grid(cohorts, [None], 50, 10)
    bottom = min(0.4, table["estimate"].min() - 0.02)
    for (cohort, _), ax in places.items():
        here = table[table["cohort"] == cohort]
        for model, look in looks.items():
            curve = here[here["model"] == model].sort_values("time_months")
            ax.plot(curve["time_months"], curve["estimate"], **look)
            if model == main:
                ax.fill_between(
                    curve["time_months"], curve["lower"], curve["upper"], color=look["color"], alpha=0.15, linewidth=0
                )
        ax.axhline(0.5, color=style.GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
        ax.axvline(context["primary_horizon"], color=style.GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)
        last = table["time_months"].max()
        ax.set(ylim=(bottom, 1.0), xticks=style.month_ticks(last))
        ax.set_xlim(0, last)
        ax.set_title(style.evaluated_label(cohort))
        ax.set_xlabel(context["words"]["since"])
        style.left_only(ax, "AUC(t)")
    style.legend(fig, looks)
    return fig
