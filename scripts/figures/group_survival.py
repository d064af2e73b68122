"""Kaplan-Meier curves of the compared groups."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary

INPUTS = {"curves": "diagnostic/curves.csv", "groups": "diagnostic/groups.csv", "weighted": "diagnostic/weighted.csv"}
CAPTION = (
    "Kaplan-Meier curves of the groups, as observed, with log-rank tests; HR: hazard ratio weighted by the propensity "
    "score, where the study asks for it."
)
CATEGORY = "Diagnostic"
NEEDS = "groups"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    curves, tests, weighted = tables["curves"], tables["groups"], tables["weighted"]
    cohorts, endpoints = list(dict.fromkeys(curves["cohort"])), list(dict.fromkeys(curves["endpoint"]))
    if not endpoints:
        return style.message("no group has a survival curve")
    ticks = style.month_ticks(curves["time"].max())
    fig = style.new_figure(min(60 * len(cohorts) + 30, style.TWO_COLUMNS), 58 * len(endpoints))
    axes = fig.subplots(len(endpoints), len(cohorts), squeeze=False)
    for i, endpoint in enumerate(endpoints):
        for ax, cohort in zip(axes[i], cohorts, strict=True):
            here = curves[(curves["cohort"] == cohort) & (curves["endpoint"] == endpoint)]
            for (colour, line, _), group in zip(style.SERIES, dict.fromkeys(here["group"]), strict=False):
                curve = here[here["group"] == group]
                label = f"{style.shorten(group, 20)} ({curve['n_risk'].iloc[0]:.0f})"
                time, free = np.append(0.0, curve["time"]), np.append(1.0, curve["survival"])
                ax.step(time, free, where="post", color=colour, linestyle=line, label=label)
            test = tests[(tests["cohort"] == cohort) & (tests["variable"] == endpoint)]
            title = vocabulary.p_said(test["p"].iloc[0], "log-rank ") if len(test) else ""
            ratio = weighted[(weighted["cohort"] == cohort) & (weighted["outcome"] == endpoint)]
            for row in ratio[ratio["measure"] == "hazard ratio"].itertuples():
                title += f"\nweighted HR {vocabulary.interval_in_figure(row.estimate, row.lower, row.upper)}"
            ax.set_title(f"{'All' if cohort == 'all' else style.cohort_label(cohort)}\n{title}")
            ax.set(ylim=(0, 1.02), xticks=ticks)
            ax.set_xlim(0, max(curves["time"].max(), ticks[-1]) * 1.02)
            style.percent(ax.yaxis)
            ax.legend(loc="lower left", frameon=False, handlelength=1.6)
            ax.set_xlabel(context["words"]["since"])
            style.left_only(ax, f"{context['words']['free_of'][endpoint]} (%)")
    return fig
