"""Feature ranks by MRMR and by the random survival forest."""

from __future__ import annotations

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from recur import style
from recur.features.labels import feature_label

INPUTS = {"ranking": "signature/{analysis}/ranking.csv"}
CAPTION = (
    "Ranks of the selected features by minimum redundancy - maximum relevance (MRMR) and by {forest} "
    "importance ({endpoint}, training cohort); the candidates are the union of both."
)
CATEGORY = "Signature"
NEEDS = "forest"

MOST = 60  # features on one page
CHOICES = {"both": "Selected by both", "mrmr": "Selected by MRMR only", "forest": "Selected by the forest only"}
RANKS = {"mrmr_rank": "MRMR rank", "forest_rank": "Forest rank"}


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["ranking"]
    table = table[table["selected"].isin(list(CHOICES))]
    if table.empty:
        return style.message("no feature was ranked")
    counts = table["selected"].value_counts()
    table = table.assign(best=table[list(RANKS)].min(axis=1)).sort_values(["best", "feature"])
    rows, labels = [], []
    for choice, name in CHOICES.items():
        part = table[table["selected"] == choice].head(MOST - len(rows))
        if len(part):
            labels.append(f"{name} ({counts[choice]})")  # a line of its own
            rows += [(len(labels) + i, *row) for i, row in enumerate(part[list(RANKS)].itertuples(index=False))]
            labels += [feature_label(f) for f in part["feature"]]
    shown = pd.DataFrame(rows, columns=["row", *RANKS])
    fig = style.new_figure(style.TWO_COLUMNS, 20 + 3.5 * len(labels))
    ax = fig.subplots()
    both = shown[list(RANKS)]
    ax.hlines(shown["row"], both.min(axis=1), both.max(axis=1), color=style.LIGHT, linewidth=0.8, zorder=1)
    points = shown.rename(columns=RANKS).melt("row", var_name="by", value_name="rank").dropna(subset=["rank"])
    order = list(RANKS.values())
    sns.scatterplot(
        points, x="rank", y="row", hue="by", style="by", hue_order=order, style_order=order, s=16, linewidth=0, ax=ax,
        palette=[style.BLUE, style.VERMILLION], markers=["o", "s"], zorder=3, legend="brief",
    )  # fmt: skip
    handles, names = ax.get_legend_handles_labels()
    ax.get_legend().remove()
    fig.legend(handles, names, loc="outside lower center", ncols=2)
    ax.set_xlim(0.8, max(points["rank"].max() * 1.3, 10))
    style.log_x(ax)
    ax.set(ylim=(len(labels) - 0.4, -0.6), xlabel="Rank (log scale)", ylabel="")
    ax.set_yticks(range(len(labels)), labels)
    ax.tick_params(axis="y", length=0)
    for place in set(range(len(labels))) - set(shown["row"]):
        ax.get_yticklabels()[place].set_weight("bold")
    return fig
