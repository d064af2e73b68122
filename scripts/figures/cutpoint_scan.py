"""The search for the cut-point of the main model."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recur import style, vocabulary

INPUTS = {"scan": "models/{analysis}/cutpoint_scan.csv"}
CAPTION = (
    "Search for the cut-point between the risk groups of the main model ({endpoint}) in training patients: "
    "standardised log-rank statistic of every cut of the linear predictor that leaves 10 % of the patients and 10 "
    "events on each side. The highest is frozen (dashed); its p is corrected for having searched (Lausen and "
    "Schumacher), beside the p that ignores the search. Above the dotted line a single cut, not searched for, would "
    "have p < 0.05."
)
CATEGORY = "Models"
NEEDS = None
OUTCOME = "survival"

SINGLE = 1.959963984540054  # two-sided 5 % of a standard normal statistic


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["scan"].dropna(subset=["statistic"])
    model = style.main_of(table["model"], context)
    if model is None:
        return style.no_main(context, "no cut leaves 10 events in each group: no cut-point")
    table = table[table["model"] == model].sort_values("cutpoint", kind="stable")
    fig = style.new_figure(style.ONE_COLUMN, 62)
    fig.set_label(style.model_label(model, context))
    ax = fig.subplots()
    ax.step(table["cutpoint"], table["statistic"], where="mid", color=style.BLUE)
    ax.axhline(SINGLE, color=style.GREY, linewidth=0.7, linestyle=(0, (1, 1.5)))
    best = table[table["chosen"].astype(str).isin(["1", "1.0"])].head(1)
    for row in best.itertuples():
        ax.axvline(row.cutpoint, color=style.BLACK, linewidth=0.7, linestyle=(0, (4, 2)), zorder=1)
        ax.plot(row.cutpoint, row.statistic, "o", color=style.VERMILLION, zorder=4)
        lines = [f"cut at {vocabulary.number(row.cutpoint)}", vocabulary.p_said(row.p_corrected, "corrected "),
                 vocabulary.p_said(row.p, "uncorrected ")]  # fmt: skip
        middle = (table["cutpoint"].min() + table["cutpoint"].max()) / 2
        side = "left" if row.cutpoint < middle else "right"
        ax.annotate(
            "\n".join(filter(None, lines)), (row.cutpoint, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", xytext=(4 if side == "left" else -4, 5), ha=side, va="bottom",
        )  # fmt: skip
    ax.set_ylim(0, 1.08 * max(table["statistic"].max(), SINGLE))
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set(xlabel="Cut of the linear predictor", ylabel="Standardised log-rank statistic")
    return fig
