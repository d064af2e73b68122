"""Stability of the features: intraclass correlation between readings."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from recur import style
from recur.features.names import parsed

INPUTS = {"icc": "signature/{analysis}/icc.csv"}
CAPTION = (
    "Stability of the features between readings in training patients: intraclass correlation of every feature, "
    "sorted, with its 95 % interval, and the share of features above each value by phase and region. Dashed lines "
    "part poor, moderate, good and excellent agreement (0.5, 0.75, 0.9)."
)
CATEGORY = "Signature"
NEEDS = "stability"

BANDS = (0.5, 0.75, 0.9)  # Koo & Li 2016


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["icc"].dropna(subset=["icc"]).sort_values(["icc", "feature"]).reset_index(drop=True)
    if table.empty:
        return style.message("no repeat readings: no stability to draw")
    stable = table["stable"].astype(str).str.lower().isin(["true", "1"])
    status = np.where(stable, "stable", "not stable")
    colours = {"stable": style.BLUE, "not stable": style.ORANGE}
    fig = style.new_figure(style.TWO_COLUMNS, 66)
    left, right = fig.subplots(1, 2, width_ratios=(3, 2))
    rank = np.arange(1, len(table) + 1)
    left.fill_between(
        rank,
        table["lower"],
        table["upper"],
        step="mid",
        color=style.LIGHT,
        linewidth=0,
        label="95 % interval",
        rasterized=len(table) > 500,
    )
    for name, marker in (("stable", "o"), ("not stable", "x")):
        here = status == name
        left.plot(
            rank[here], table["icc"][here], marker, color=colours[name], markersize=1.8, markeredgewidth=0.5,
            label=f"{name} ({here.sum()} of {len(table)})", rasterized=len(table) > 500,
        )  # fmt: skip
    floor = max(-1.0, min(0.0, table["icc"].min() - 0.02))
    perturbed = "source" in table and (table["source"] == "perturbations").any()
    what = "ICC, perturbed images and masks" if perturbed else "ICC"
    left.set(xlim=(0, len(table) + 1), ylim=(floor, 1.01), xlabel="Features, sorted", ylabel=what)
    left.legend(loc="lower right", markerscale=2)
    parts = table["feature"].map(style.plain).map(parsed)
    place = parts.map(lambda feature: f"{feature.source} {feature.region}" if feature else "features")
    shown = pd.DataFrame({"icc": table["icc"], "place": place.map(lambda p: style.shorten(p, 24))})
    names = sorted(shown["place"].unique())[: len(style.SERIES)]
    for name, (colour, line, _) in zip(names, style.SERIES, strict=False):
        values = shown.loc[shown["place"] == name, "icc"]
        sns.ecdfplot(x=values, complementary=True, color=colour, linestyle=line, label=name, ax=right)
    right.legend(loc="lower left")
    style.percent(right.yaxis)
    right.set(xlim=(floor, 1.0), ylim=(0, 1.01), xlabel=what, ylabel="Features above (%)")
    for value in BANDS:
        left.axhline(value, color=style.GREY, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)
        right.axvline(value, color=style.GREY, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)
    return fig
