"""Weights of the radiomics signature."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from recur import style, vocabulary
from recur.features.labels import feature_label

INPUTS = {
    "weights": "signature/{analysis}/weights.csv",
    "frequency": "signature/{analysis}/selection_frequency.csv",
}
CAPTION = (
    "Weights of the features of the radiomics signature (log {ratio} per standard deviation, {endpoint}); in brackets "
    "the share of bootstrap resamples that selected the feature."
)
CATEGORY = "Signature"
NEEDS = "signature"

MOST = 40  # bars on one page


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["weights"].dropna(subset=["weight"])
    table = table[table["weight"] != 0].merge(tables["frequency"][["feature", "frequency"]], on="feature", how="left")
    if table.empty:
        return style.message("empty signature: no feature kept")
    count = len(table)
    table = table.reindex(table["weight"].abs().sort_values(ascending=False, kind="stable").index).head(MOST)
    table = table.sort_values("weight", ascending=False).reset_index(drop=True)
    fig = style.new_figure(style.TWO_COLUMNS, 12 + 4.4 * len(table) + (4 if count > MOST else 0))
    ax = fig.subplots()
    sign = np.where(table["weight"] > 0, "raises", "lowers")
    sns.barplot(
        x=table["weight"], y=table.index, hue=sign, palette={"raises": style.VERMILLION, "lowers": style.BLUE},
        orient="h", legend=False, width=0.7, saturation=1, ax=ax,
    )  # fmt: skip
    for i, row in table.iterrows():
        share = f" ({100 * row['frequency']:.0f} %)" if pd.notna(row["frequency"]) else ""
        right = row["weight"] > 0
        ax.annotate(
            vocabulary.minus(f"{row['weight']:+.3f}") + share, (row["weight"], i), xytext=(2 if right else -2, 0),
            textcoords="offset points", ha="left" if right else "right", va="center", fontsize=style.SMALL,
        )  # fmt: skip
    ax.axvline(0, color=style.BLACK, linewidth=0.6)
    low, high = min(table["weight"].min(), 0), max(table["weight"].max(), 0)
    # a text takes about a fifth of the axis, beside every bar that reaches the end of it
    room = 0.32 * (high - low)
    low, high = low - (room if low < 0 else 0), high + (room if high > 0 else 0)
    ax.set_xlim(low, high)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.set_yticks(range(len(table)), [feature_label(f) for f in table["feature"]])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set(xlabel=f"Weight (log {context['words']['ratio']} per SD)", ylabel="")
    if count > MOST:
        ax.set_title(f"The {MOST} largest of {count} weights", loc="left")
    return fig
