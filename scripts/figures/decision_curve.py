"""Decision curves of all models per cohort and horizon."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {"net_benefit": "validation/{analysis}/net_benefit.csv"}
CAPTION = (
    "Decision curves ({endpoint}): net benefit of treating by each model's risk, against treating all or none, over "
    "the threshold probability."
)
CATEGORY = "Validation"
NEEDS = None

ALL_OR_NONE = {
    "treat_all": {"color": style.GREY, "linestyle": "-", "linewidth": 0.8, "label": "Treat all"},
    "treat_none": {"color": style.BLACK, "linestyle": "-", "linewidth": 0.8, "label": "Treat none"},
}


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["net_benefit"].dropna(subset=["net_benefit"])
    models = [m for m in style.models_of(table) if m not in ALL_OR_NONE]
    if not models:
        return style.message("no net benefit could be estimated")
    looks = style.series(models, context) | {m: look for m, look in ALL_OR_NONE.items() if m in set(table["model"])}
    cohorts, horizons = style.cohorts_of(table), style.horizons_of(table)
    fig, places = style.grid(cohorts, horizons, 50, 10)
    for (cohort, horizon), ax in places.items():
        here = style.at(table, cohort, horizon)
        for model, look in looks.items():
            curve = here[here["model"] == model].sort_values("threshold")
            ax.plot(curve["threshold"], curve["net_benefit"], **look)
        top = here["net_benefit"].max() if len(here) else 0.1
        ax.set_ylim(-0.18 * max(top, 0.02), 1.08 * max(top, 0.02))  # treating all sinks without end
        used = here.loc[here["model"].isin(models), "threshold"]
        if len(used):
            ax.set_xlim(used.min(), max(used.max(), used.min() + 0.01))
        style.percent(ax.xaxis)
        ax.set_title(style.panel_title(cohort, horizon))
        ax.set_xlabel("Threshold probability (%)")
        if ax.get_subplotspec().is_first_col():
            ax.set_ylabel("Net benefit")
    style.legend(fig, looks)
    return fig
