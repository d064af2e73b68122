"""ROC curves per cohort and horizon."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recur import style

INPUTS = {"roc": "validation/{analysis}/roc.csv", "performance": "validation/{analysis}/performance.csv"}
CAPTION = "{roc} curves of all models ({endpoint}); in each panel the AUC with its 95 % confidence interval."
CATEGORY = "Validation"
NEEDS = None


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table, performance = tables["roc"], tables["performance"]
    models = style.models_of(table)
    if not models:
        return style.message("no ROC curve could be estimated")
    looks = style.series(models, context)
    cohorts, horizons = style.cohorts_of(table), style.horizons_of(table)
    fig, places = style.grid(cohorts, horizons, 60, 6)
    ticks = np.arange(0, 1.1, 0.2)
    for (cohort, horizon), ax in places.items():
        here = style.at(table, cohort, horizon)
        ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.6, linestyle=(0, (2, 2)))
        handles = []
        for model, look in looks.items():
            curve = here[here["model"] == model].sort_values(["fpr", "tpr"])
            if curve.empty:
                continue
            ax.plot(curve["fpr"], curve["tpr"], **look, zorder=3)
            value = style.estimate_text(performance, model, cohort, "auc", horizon)
            if value:
                handles.append(Line2D([], [], **(look | {"label": value})))
        if handles:
            ax.legend(
                handles=handles, loc="lower right", title="AUC (95 % CI)", title_fontsize=6.5, fontsize=6.5,
                handlelength=1.9, labelspacing=0.2, borderaxespad=0.1, alignment="left",
                frameon=True, facecolor="white", edgecolor="none", framealpha=0.85,
            ).set_zorder(4)  # fmt: skip
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=ticks, yticks=ticks)
        style.percent(ax.xaxis)
        style.percent(ax.yaxis)
        ax.set_title(style.panel_title(cohort, horizon))
        ax.set_xlabel("1 − specificity (%)")
        style.left_only(ax, "Sensitivity (%)")
    style.legend(fig, looks)
    return fig
