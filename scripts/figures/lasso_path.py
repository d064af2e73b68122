"""Coefficient paths of the penalised model."""

from __future__ import annotations

import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recur import style, vocabulary
from recur.features.labels import feature_label

INPUTS = {
    "path": "signature/{analysis}/lasso_path.csv",
    "deviance": "signature/{analysis}/cv_deviance.csv",
    "weights": "signature/{analysis}/weights.csv",
}
CAPTION = (
    "Coefficients of the penalised {model} model along the penalty ({endpoint}, training cohort). The features kept in "
    "the signature are coloured; vertical lines mark the penalties of least deviance and one standard error above."
)
CATEGORY = "Signature"
NEEDS = "signature"

NAMED = 14  # features with a name of their own: more would not fit under the axes


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    path, weights = tables["path"], tables["weights"]
    if path.empty:
        return style.message("empty signature: no feature kept, no path to draw")
    kept = weights.reindex(weights["weight"].abs().sort_values(ascending=False, kind="stable").index)["feature"]
    named = list(kept[:NAMED])
    lines = {f: rows.sort_values("lambda") for f, rows in path.groupby("feature", sort=True)}
    fig = style.new_figure(style.MIDDLE, 62 + 3.6 * max(len(named), 1))
    ax = fig.subplots()
    others = [rows[["lambda", "coef"]].to_numpy() for f, rows in lines.items() if f not in named]
    ax.add_collection(LineCollection(others, colors=style.LIGHT, linewidths=0.5, zorder=2))
    handles = []
    for i, feature in enumerate(named):
        colour, line, _ = style.SERIES[i % len(style.SERIES)]
        line = line if i < len(style.SERIES) else "-" if line != "-" else (0, (1, 1))
        rows = lines.get(feature)
        if rows is not None:
            ax.plot(rows["lambda"], rows["coef"], color=colour, linestyle=line, zorder=3)
        weight = weights.loc[weights["feature"] == feature, "weight"].iloc[0]
        label = f"{feature_label(feature, 60)} ({vocabulary.minus(f'{weight:+.3f}')})"
        handles.append(Line2D([], [], color=colour, linestyle=line, label=label))
    ax.axhline(0, color=style.GREY, linewidth=0.6, zorder=1)
    used = path["lambda"]
    ax.set_xlim(used.min(), used.max() * 1.001)
    low, high = min(path["coef"].min(), 0), max(path["coef"].max(), 0)
    room = 0.06 * (high - low) or 0.1
    ax.set_ylim(low - room, high + 2 * room)
    style.log_x(ax)
    style.mark_chosen(ax, tables["deviance"])
    ax.set(xlabel="Penalty λ (log scale)", ylabel="Coefficient (per SD)")
    if handles:
        more = f" (the {NAMED} largest of {len(kept)})" if len(kept) > NAMED else ""
        fig.legend(
            handles=handles,
            loc="outside lower center",
            title=f"In the signature, with weight{more}",
            title_fontsize=style.FONT,
        )
    else:
        ax.text(0.5, 0.5, "empty signature: no feature kept", transform=ax.transAxes, ha="center", style="italic")
    return fig
