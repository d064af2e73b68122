"""ROC curves of the index tests per cohort, with the band of each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recur import style, vocabulary

INPUTS = {"roc": "diagnostic/roc.csv", "band": "diagnostic/band.csv", "auc": "diagnostic/auc.csv"}
CAPTION = (
    "ROC curves of the index tests against the reference standard ({endpoint}) with pointwise 95 % bands of the "
    "sensitivity (bootstrap); in each panel the AUC with its 95 % confidence interval. The AUC of a combination is the "
    "one corrected for optimism where it was fitted."
)
CATEGORY = "Diagnostic"
NEEDS = "scores"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    roc, band, auc = tables["roc"], tables["band"], tables["auc"]
    cohorts, tests = list(dict.fromkeys(roc["cohort"])), list(dict.fromkeys(roc["test"]))
    if not tests:
        return style.message("no ROC curve could be estimated")
    looks = {name: {"color": c, "linestyle": line} for name, (c, line, _) in zip(tests, style.SERIES * 9, strict=False)}
    fig, places = style.grid(cohorts, [0], 62, 0)
    ticks = np.arange(0, 1.1, 0.2)
    for (cohort, _), ax in places.items():
        ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.6, linestyle=(0, (2, 2)))
        handles = []
        for name, look in looks.items():
            curve = roc[(roc["cohort"] == cohort) & (roc["test"] == name)]
            limits = band[(band["cohort"] == cohort) & (band["test"] == name)].sort_values("specificity")
            ax.fill_between(
                1 - limits["specificity"],
                limits["lower"],
                limits["upper"],
                color=look["color"],
                alpha=0.12,
                linewidth=0,
            )
            ax.plot(1 - curve["specificity"], curve["sensitivity"], **look, zorder=3)
            handles.append(Line2D([], [], **look, label=label(auc, cohort, name)))
        combined = auc[(auc["test"] == "combination") & auc["cohort"].isin([cohort, f"{cohort}-optimism_corrected"])]
        for row in combined.itertuples():
            handles.append(Line2D([], [], linestyle="none", label=f"combination {vocabulary.number(row.estimate)}"))
        ax.legend(
            handles=handles, loc="lower right", title="AUC (95 % CI)", title_fontsize=6.5, fontsize=6.5,
            handlelength=1.9, labelspacing=0.2, borderaxespad=0.1, alignment="left",
        )  # fmt: skip
        ax.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xticks=ticks, yticks=ticks)
        style.percent(ax.xaxis)
        style.percent(ax.yaxis)
        ax.set_title("All" if cohort == "all" else style.cohort_label(cohort))
        ax.set_xlabel("1 − specificity (%)")
        style.left_only(ax, "Sensitivity (%)")
    return fig


def label(auc: pd.DataFrame, cohort: str, name: str) -> str:
    row = auc[(auc["cohort"] == cohort) & (auc["test"] == name)].iloc[0]
    value = vocabulary.interval_in_figure(row["estimate"], row["lower"], row["upper"])
    return f"{style.shorten(name.replace('_', ' '), 14)} {value}"
