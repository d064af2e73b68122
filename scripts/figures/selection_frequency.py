"""How often each feature was selected in resamples of the training patients."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recur import style
from recur.features.labels import feature_label

INPUTS = {
    "frequency": "signature/{analysis}/selection_frequency.csv",
    "weights": "signature/{analysis}/weights.csv",
}
CAPTION = (
    "Share of bootstrap resamples whose whole fit selected a feature ({endpoint}), for the features most often "
    "selected; dark bars are in the signature. A signature whose features are rarely selected again is one of many "
    "that would do as well."
)
CATEGORY = "Signature"
NEEDS = "resampled"

MOST = 30


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["frequency"].dropna(subset=["frequency"])
    table = table[table["frequency"] > 0].sort_values(["frequency", "feature"], ascending=[False, True])
    if table.empty:
        return style.message("no feature was selected in any resample")
    count, own = len(table), set(tables["weights"]["feature"])
    table = table.head(MOST)
    fig = style.new_figure(style.MIDDLE, 22 + 4.0 * len(table))
    ax = fig.subplots()
    inside = table["feature"].isin(own).to_numpy()
    y = range(len(table))
    ax.barh(y, table["frequency"], height=0.7, color=[style.BLUE if own else style.LIGHT for own in inside])
    for i, value in zip(y, table["frequency"], strict=True):
        ax.text(value + 0.01, i, f"{100 * value:.0f} %", va="center", fontsize=style.SMALL)
    ax.set_yticks(y, [feature_label(name) for name in table["feature"]])
    ax.set(ylim=(len(table) - 0.4, -0.6), xlabel="Resamples that selected the feature (%)")
    ax.set_xlim(0, min(1.0, table["frequency"].max()) + 0.12)
    style.percent(ax.xaxis)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_title(f"The {len(table)} most often selected of {count} features", loc="left")
    names = {style.BLUE: "in the signature", style.LIGHT: "not in it"}
    handles = [Patch(facecolor=colour, label=label) for colour, label in names.items()]
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
    return fig
