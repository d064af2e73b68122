"""Cumulative incidence of the event and of what competes with it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {"incidence": "survival/{analysis}/incidence.csv"}
CAPTION = (
    "Cumulative incidence (Aalen-Johansen) of {the_event} and, as its competing event, of {other}, "
    "with 95 % confidence bands, by risk group of the main model and cohort. One minus Kaplan-Meier, which treats "
    "{treated_as}, would lie above the curves of {the_event}."
)
CATEGORY = "Survival"
NEEDS = "competing"
OUTCOME = "survival"

CAUSES = {"event": ("event", "-"), "competing": ("other", (0, (2, 1.2)))}  # cause -> key of its words, line


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["incidence"]
    model = style.main_of(table["model"], context) or ("all" if "all" in set(table["model"]) else None)
    if model is None:
        return style.no_main(context, "no cumulative incidence to draw")
    table = table[table["model"] == model].sort_values("time", kind="stable")
    cohorts, groups = style.cohorts_of(table), style.ordered(table["group"], list(style.GROUPS))
    fig, places = style.grid(cohorts, [None], 62, 8)
    fig.set_label(style.model_label(model, context) if model != "all" else "")
    ticks, looks = style.month_ticks(table["time"].max()), {}
    for (cohort, _), ax in places.items():
        here = table[table["cohort"] == cohort]
        for group in groups:
            colour = style.group_style(group)[0]
            for cause, (key, line) in CAUSES.items():
                name = context["words"][key].removeprefix("the ")
                name = name[:1].upper() + name[1:]
                curve = here[(here["group"] == group) & (here["cause"] == cause)]
                if curve.empty:
                    continue
                time = np.append(0.0, curve["time"])
                steps = {key: np.append(0.0, curve[key]) for key in ("incidence", "lower", "upper")}
                ax.step(time, steps["incidence"], where="post", color=colour, linestyle=line)
                ax.fill_between(
                    time, steps["lower"], steps["upper"], step="post", color=colour, alpha=0.12, linewidth=0
                )
                label = name if group not in style.GROUPS else f"{style.group_label(group)}: {name.lower()}"
                looks[group, cause] = {"color": colour, "linestyle": line, "label": label}
        ax.set(ylim=(0, 1), xticks=ticks, xlabel=context["words"]["since"])
        ax.set_xlim(0, max(table["time"].max(), ticks[-1]) * 1.02)
        ax.set_title(style.cohort_label(cohort))
        style.percent(ax.yaxis)
        style.left_only(ax, "Cumulative incidence (%)")
    style.legend(fig, looks)
    return fig
