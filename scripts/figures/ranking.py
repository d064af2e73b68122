"""Feature ranks by MRMR and by the random survival forest."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from recur import style

INPUTS = {"ranking": "signature/{analysis}/ranking.csv"}
CAPTION = (
    "Ranks of the selected features by minimum redundancy - maximum relevance (MRMR) and by random survival forest "
    "importance ({endpoint}, training cohort); the candidates are the union of both."
)
CATEGORY = "Signature"
NEEDS = "forest"

MOST = 60  # rows on one page
WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8}
CHOICES = {"both": "Selected by both", "mrmr": "Selected by MRMR only", "forest": "Selected by the forest only"}


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["ranking"]
    table = table[table["selected"].isin(list(CHOICES))]
    if table.empty:
        return style.message("no feature was ranked")
    table = table.assign(
        choice=table["selected"].map(list(CHOICES).index), best=table[["mrmr_rank", "forest_rank"]].min(axis=1)
    )
    table = table.sort_values(["choice", "best", "feature"]).head(MOST).reset_index(drop=True)
    fig = style.new_figure(style.MIDDLE, 22 + 3.5 * len(table))
    ax = fig.subplots()
    ax.hlines(
        table.index,
        table[["mrmr_rank", "forest_rank"]].min(axis=1),
        table[["mrmr_rank", "forest_rank"]].max(axis=1),
        color=style.LIGHT,
        linewidth=0.8,
        zorder=1,
    )
    points = (
        table.reset_index(names="row").melt("row", ["mrmr_rank", "forest_rank"], "by", "rank").dropna(subset=["rank"])
    )
    points["by"] = points["by"].map({"mrmr_rank": "MRMR rank", "forest_rank": "Forest rank"})
    sns.scatterplot(
        points, x="rank", y="row", hue="by", style="by", hue_order=["MRMR rank", "Forest rank"],
        style_order=["MRMR rank", "Forest rank"], palette=[style.BLUE, style.VERMILLION], markers=["o", "s"], s=16,
        linewidth=0, ax=ax, zorder=3, legend="brief",
    )  # fmt: skip
    handles, names = ax.get_legend_handles_labels()
    ax.get_legend().remove()
    fig.legend(handles, names, loc="outside lower center", ncols=2)
    ax.set_xlim(0.8, max(points["rank"].max() * 1.3, 10))
    style.log_x(ax)
    ax.set(ylim=(len(table) - 0.4, -0.6), xlabel="Rank (log scale)", ylabel="")
    ax.set_yticks(range(len(table)), [style.feature_label(f) for f in table["feature"]])
    ax.tick_params(axis="y", length=0)
    for choice, rows in table.groupby("selected", sort=False):
        first, last = rows.index[0], rows.index[-1]
        if first:
            ax.axhline(first - 0.5, color=style.GREY, linewidth=0.6)
        ax.text(
            0.99, last + 0.3, f"{CHOICES[choice]}: {len(rows)}", transform=ax.get_yaxis_transform(), ha="right",
            va="bottom", style="italic", zorder=4, bbox=WHITE,
        )  # fmt: skip
    return fig
