"""Kaplan-Meier curves of the risk groups of the main model, per cohort; cumulative incidence with competing death."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary

INPUTS = {"km": "survival/{analysis}/km.csv", "logrank": "survival/{analysis}/logrank.csv"}
CAPTION = (
    "Kaplan-Meier curves ({endpoint}) of the risk groups of the main model with 95 % confidence bands, log-rank "
    "tests and numbers at risk. Ticks are censored patients; pale where fewer than 10 are at risk. With "
    "{competitor} as a competing event: cumulative incidence (Aalen-Johansen) and the log-rank test of the "
    "cause-specific hazard."
)
CATEGORY = "Survival"
NEEDS = None
OUTCOME = "survival"

FEW = 10  # at risk: below it a curve says little (methods: guard 40)


def at_risk(curve: pd.DataFrame, times: np.ndarray) -> np.ndarray:
    """Patients still at risk just before each time, read off the rows of one curve."""
    place = curve["time"].to_numpy().searchsorted(times, side="left")
    end = curve.iloc[-1]
    left = np.append(curve["n_risk"].to_numpy(), end["n_risk"] - end["n_event"] - end["n_censor"])
    return left[place]


def is_incidence(curve: pd.DataFrame) -> bool:
    return "curve" in curve and (curve["curve"] == "aalen-johansen").any()


def draw_curve(ax, curve: pd.DataFrame, group: str) -> None:
    colour, line = style.group_style(group)
    time = np.append(0.0, curve["time"])
    steps = {k: np.append(1.0, curve[k]) for k in ("survival", "lower", "upper")}
    if is_incidence(curve):
        steps = {k: 1 - values for k, values in steps.items()}
    enough = np.append(True, curve["n_risk"].to_numpy() >= FEW)
    until = max(int(enough.sum()), 1)
    for part, strength in ((slice(0, until), 1.0), (slice(until - 1, None), 0.4)):
        ax.step(
            time[part], steps["survival"][part], where="post", color=colour, linestyle=line, alpha=strength, zorder=3
        )
        ax.fill_between(
            time[part],
            steps["lower"][part],
            steps["upper"][part],
            step="post",
            color=colour,
            alpha=0.18 * strength,
            linewidth=0,
        )
    censored = curve[curve["n_censor"] > 0]
    if is_incidence(curve):
        return  # who left may have died: no ticks
    ax.plot(censored["time"], censored["survival"], "|", color=colour, markersize=3, markeredgewidth=0.5, zorder=4)


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    km, logrank = tables["km"], tables["logrank"]
    model = style.main_of(km["model"], context)
    if model is None:
        return style.no_main(context, "no risk groups: no survival curve to draw")
    km = km[km["model"] == model].sort_values("time", kind="stable")
    cohorts = style.cohorts_of(km)
    groups = style.ordered(km["group"], list(style.GROUPS))
    width, rows, columns = style.panels(len(cohorts))
    table_mm = 5.0 + 3.2 * len(groups)
    fig = style.new_figure(width, rows * (58 + table_mm))
    fig.set_label(style.model_label(model, context))
    cells = fig.add_gridspec(2 * rows, columns, height_ratios=[52, table_mm] * rows)
    ticks = style.month_ticks(km["time"].max())
    for i, cohort in enumerate(cohorts):
        row, column = divmod(i, columns)
        ax = fig.add_subplot(cells[2 * row, column])
        below = fig.add_subplot(cells[2 * row + 1, column], sharex=ax)
        here = km[km["cohort"] == cohort]
        for g, group in enumerate(groups):
            curve = here[here["group"] == group]
            if curve.empty:
                continue
            draw_curve(ax, curve, group)
            for t, n in zip(ticks, at_risk(curve, ticks), strict=True):
                below.text(t, g, vocabulary.number(n, 0), ha="center", va="center", color=style.group_style(group)[0])
        ax.set_title(f"{style.cohort_label(cohort)}\n", pad=2)
        test = logrank[(logrank["model"] == model) & (logrank["cohort"] == cohort)]
        if len(test):
            test = test.iloc[0]
            size = (vocabulary.number(test["n"], 0), vocabulary.number(test["events"], 0))
            parts = [
                f"n = {size[0]}",
                f"{size[1]} events" if size[1] else "",
                vocabulary.p_said(test["p"], "log-rank "),
            ]
            where = {"xy": (0.5, 1), "xytext": (0, 2.5), "xycoords": "axes fraction", "textcoords": "offset points"}
            ax.annotate(", ".join(filter(None, parts)), **where, ha="center", va="bottom")
        ax.set(ylim=(0, 1.02), xticks=ticks)
        ax.set_xlim(0, max(km["time"].max(), ticks[-1]) * 1.02)
        style.percent(ax.yaxis)
        ax.set_xlabel(context["words"]["since"])
        below.set(ylim=(len(groups) - 0.4, -0.6), yticks=range(len(groups)))
        below.set_title("Number at risk", fontsize=style.FONT, loc="left", pad=2)
        below.tick_params(length=0, labelbottom=False, pad=9)
        below.spines[:].set_visible(False)
        below.set_yticklabels([style.shorten(g, 10).capitalize() if column == 0 else "" for g in groups])
        for label, group in zip(below.get_yticklabels(), groups, strict=True):
            label.set(color=style.group_style(group)[0], va="center")
        free = context["words"]["free"]
        style.left_only(ax, "Cumulative incidence (%)" if is_incidence(km) else f"{free} (%)")
    looks = {
        g: {"color": style.group_style(g)[0], "linestyle": style.group_style(g)[1], "label": style.group_label(g)}
        for g in groups
    }
    style.legend(fig, looks)
    return fig
