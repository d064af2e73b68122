"""Kaplan-Meier curves of the levels of each clinical factor in the training patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from figures.km import FEW
from recur import style, vocabulary
from recur.vocabulary import TRAIN

INPUTS = {"km": "survival/{analysis}/factor_km.csv", "logrank": "survival/{analysis}/factor_logrank.csv"}
CAPTION = (
    "Kaplan-Meier curves ({endpoint}) by the levels of each clinical factor in training patients, with log-rank tests "
    "(for ordered levels also the test for trend) that are not corrected for their number; pale where fewer than 10 "
    "are at risk; numbers are halved at their median."
)
CATEGORY = "Survival"
NEEDS = "factors"
OUTCOME = "survival"

MOST = 12
LOOKS = [(style.BLUE, "-"), (style.VERMILLION, (0, (5, 1.5))), (style.ORANGE, (0, (1, 1))),
         *((colour, line) for colour, line, _ in style.SERIES[3:])]  # fmt: skip


def in_order(levels: list[str]) -> list[str]:
    """The lower level first, so that it looks like the low-risk group."""
    return sorted(levels, key=lambda level: (level.startswith("above "), level))


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    km = tables["km"][tables["km"]["cohort"] == TRAIN]
    factors = list(dict.fromkeys(km["factor"]))[:MOST]
    if not factors:
        return style.message("no clinical factor has a curve")
    columns = min(3, len(factors))
    rows = -(-len(factors) // columns)
    fig = style.new_figure(style.TWO_COLUMNS, rows * 50 + 2)
    axes = np.ravel(fig.subplots(rows, columns, squeeze=False))
    ticks = style.month_ticks(km["time"].max())
    for i, (ax, factor) in enumerate(zip(axes, factors, strict=False)):
        here = km[km["factor"] == factor]
        for (colour, line), level in zip(LOOKS, in_order(list(dict.fromkeys(here["group"]))), strict=False):
            curve = here[here["group"] == level].sort_values("time")
            label = f"{style.shorten(level, 20)} ({curve['n_risk'].iloc[0]:.0f})"
            time, free = np.append(0.0, curve["time"]), np.append(1.0, curve["survival"])
            until = 1 + max(int((curve["n_risk"] >= FEW).sum()), 1)
            ax.step(time[:until], free[:until], where="post", color=colour, linestyle=line, label=label)
            ax.step(time[until - 1 :], free[until - 1 :], where="post", color=colour, linestyle=line, alpha=0.4)
        test = tables["logrank"]
        test = test[(test["factor"] == factor) & (test["cohort"] == TRAIN)]
        p = vocabulary.p_said(test["p"].iloc[0], "log-rank ") if len(test) else ""
        if len(test) and test["p_trend"].notna().iloc[0]:
            p += vocabulary.p_said(test["p_trend"].iloc[0], ", trend ")
        ax.set_title(f"{style.shorten(factor, 30)}\n{p}")
        ax.set(ylim=(0, 1.02), xticks=ticks)
        ax.set_xlim(0, max(km["time"].max(), ticks[-1]) * 1.02)
        style.percent(ax.yaxis)
        ax.legend(loc="lower left", frameon=False, handlelength=1.6)
        ax.set_xlabel(context["words"]["since"] if i + columns >= len(factors) else "")  # the lowest of each column
        style.left_only(ax, f"{context['words']['free']} (%)")
    for ax in axes[len(factors) :]:
        ax.set_visible(False)
    return fig
