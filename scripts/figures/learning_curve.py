"""C on patients left out, by the number of training patients."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {"learning": "validation/{analysis}/learning_curve.csv"}
CAPTION = (
    "Learning curve ({endpoint}): {c} on a random fifth left out, by the number of patients that the whole fit "
    "was trained on; means over repeats, the band from the 2.5th to the 97.5th centile of the main model."
)
CATEGORY = "Validation"
NEEDS = "learning"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["learning"].dropna(subset=["estimate"])
    models = style.models_of(table)
    if not models:
        return style.message("no fit of the learning curve could be estimated")
    fig = style.new_figure(style.MIDDLE, 75)
    ax = fig.add_subplot()
    main = style.main_of(models, context)
    looks = style.series(models, context)
    for model, look in looks.items():
        curve = table[table["model"] == model].sort_values("n")
        ax.plot(curve["n"], curve["estimate"], marker=style.marker(model), **look)
        if model == main:
            ax.fill_between(curve["n"], curve["lower"], curve["upper"], color=look["color"], alpha=0.15, linewidth=0)
    ax.axhline(0.5, color=style.GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
    ax.set_xlabel("Training patients")
    ax.set_ylabel(context["words"]["c"])
    style.legend(fig, looks)
    return fig
