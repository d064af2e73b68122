"""Standardised differences between the cohorts."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary
from recur.vocabulary import TRAIN

INPUTS = {"balance": "cohort/{analysis}/balance.csv"}
CAPTION = (
    "Standardised differences (absolute) of Table 1 between the training patients and each other cohort: below 0.1 "
    "(dashed) two cohorts are alike in a variable; above 0.2 (dotted) they differ. Where no cohort is held out from "
    "training, the pairs of cohorts there are."
)
CATEGORY = "Cohort"
NEEDS = "held_out"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["balance"].dropna(subset=["smd"])
    with_train = table[(table["cohort_a"] == TRAIN) | (table["cohort_b"] == TRAIN)]
    table = with_train if len(with_train) else table
    if table.empty:
        return style.message("no two cohorts to compare")
    other = table["cohort_b"].where(table["cohort_a"] == TRAIN, table["cohort_a"])
    table = table.assign(other=other)
    order = table.groupby("variable", sort=False)["smd"].max().sort_values(ascending=False, kind="stable").index
    fig = style.new_figure(style.MIDDLE, 14 + 4.0 * len(order))
    ax = fig.subplots()
    for limit, line in ((0.1, (0, (4, 2))), (0.2, (0, (1, 1.5)))):
        ax.axvline(limit, color=style.GREY, linewidth=0.7, linestyle=line, zorder=1)
    places = {variable: i for i, variable in enumerate(order)}
    cohorts = style.ordered(table["other"], list(vocabulary.COHORTS))
    for cohort, (colour, _, marker) in zip(
        cohorts, [style.SERIES[1], style.SERIES[0], *style.SERIES[2:]], strict=False
    ):
        part = table[table["other"] == cohort]
        label = f"Training and {style.cohort_label(cohort)}"
        ax.plot(part["smd"], part["variable"].map(places), marker, color=colour, label=label, markersize=4, zorder=3)
    ax.hlines(range(len(order)), 0, table.groupby("variable")["smd"].max()[order], color=style.LIGHT, linewidth=0.7)
    ax.set_yticks(range(len(order)), [style.shorten(name, 46) for name in order])
    ax.set(ylim=(len(order) - 0.4, -0.6), xlabel="Standardised difference (absolute)")
    ax.set_xlim(0, max(1.08 * table["smd"].max(), 0.25))
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="lower right")
    return fig
