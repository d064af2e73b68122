"""Overlap and surface distance of the readers' masks, a point a patient."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {"masks": "diagnostic/masks.csv", "summary": "diagnostic/mask_summary.csv"}
CAPTION = (
    "Agreement of the readers' tumour masks, a point a patient: Dice coefficient (1 is equal) and 95th percentile of "
    "the Hausdorff distance between the surfaces; the line is the median, the box the quartiles."
)
CATEGORY = "Diagnostic"
NEEDS = "masks"
MEASURES = {"dice": "Dice coefficient", "hd95_mm": "95 % Hausdorff distance (mm)"}


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    masks, summary = tables["masks"].dropna(subset=["dice"]), tables["summary"]
    groups = list(masks.groupby(["phase", "reader_a", "reader_b"], sort=True))
    if not groups:
        return style.message("no patient was read twice")
    fig = style.new_figure(style.MIDDLE, 62)
    several = len({key[1:] for key, _ in groups}) > 1
    for ax, (measure, label) in zip(fig.subplots(1, 2), MEASURES.items(), strict=True):
        for i, ((phase, a, b), part) in enumerate(groups):
            values = part[measure].sort_values().to_numpy()
            row = summary[
                (summary["phase"] == phase) & (summary["reader_a"] == a) & (summary["reader_b"] == b)
                & (summary["measure"] == measure)
            ].iloc[0]  # fmt: skip
            ax.fill_between(
                [i - 0.3, i + 0.3], row["lower_quartile"], row["upper_quartile"], color=style.LIGHT, linewidth=0
            )
            ax.plot([i - 0.3, i + 0.3], [row["median"]] * 2, color=style.BLACK, linewidth=1.2)
            colour, _, marker = style.SERIES[i % len(style.SERIES)]
            across = i + np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [i]
            ax.plot(across, values, linestyle="none", marker=marker, markersize=2.6, color=colour)
        names = [f"{phase}\n{a}, {b}" if several else phase for (phase, a, b), _ in groups]
        ax.set(xticks=range(len(groups)), xticklabels=names, xlim=(-0.6, len(groups) - 0.4), ylabel=label)
        ax.set_ylim(*((None, 1.0) if measure == "dice" else (0, None)))
    return fig
