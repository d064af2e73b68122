"""What the whole fit finds where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {"redraws": "validation/redraws.csv", "summary": "validation/null_summary.csv"}
CAPTION = (
    "Null distribution: Harrell's C in held-out patients after the whole fit on outcomes that were redrawn. Each dot "
    "is one redraw, the bar their mean. Outcomes that depend on nothing must give 0.5 on average (dotted); outcomes "
    "that depend on clinical variables only must leave the signature there. `leaky` selects features on all patients, "
    "the mistake that the study's floors make impossible."
)
CATEGORY = "Validation"
NEEDS = "null"
OUTCOME = "survival"

SIGNALS = {"none": "Outcomes without any signal", "clinical_only": "Clinical signal only", "full": "Full signal"}


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["redraws"].dropna(subset=["c_harrell"])
    signals = [name for name in SIGNALS if (table["signal"] == name).any()]
    if not signals:
        return style.message("no redrawn outcome was fitted")
    models = style.ordered(table["model"], list(style.LEGEND))
    means = tables["summary"].groupby(["signal", "model"])["mean"].apply(list).to_dict()
    fig = style.new_figure(style.TWO_COLUMNS, 20 + 7 * len(models))
    axes = np.ravel(fig.subplots(1, len(signals), sharey=True, squeeze=False))
    low, high = min(table["c_harrell"].min(), 0.45) - 0.02, max(table["c_harrell"].max(), 0.55) + 0.02
    for ax, signal in zip(axes, signals, strict=True):
        ax.axvline(0.5, color=style.GREY, linewidth=0.7, linestyle=(0, (1, 1.5)), zorder=0)
        runs = 0
        for i, model in enumerate(models):
            values = table.loc[(table["signal"] == signal) & (table["model"] == model), "c_harrell"].to_numpy()
            if not len(values):
                continue
            runs = max(runs, len(values))
            # dots side by side in the order of the redraws, so that equal ones are told apart
            y = i + np.linspace(-0.28, 0.28, len(values)) if len(values) > 1 else np.array([float(i)])
            ax.plot(values, y, "o", color=style.BLUE, markersize=1.8, markeredgewidth=0, alpha=0.7)
            for mean in means.get((signal, model), []):
                ax.plot([mean, mean], [i - 0.38, i + 0.38], color=style.VERMILLION, linewidth=1.6)
                ax.text(high, i - 0.3, f"mean {mean:.2f}", ha="right", va="bottom", fontsize=style.SMALL)
        ax.set(xlim=(low, high), ylim=(len(models) - 0.4, -0.6), xlabel="Harrell's C")
        ax.set_title(f"{SIGNALS[signal]} ({runs})")
        ax.set_yticks(range(len(models)), [style.model_label(name, context) for name in models])
        ax.tick_params(axis="y", length=0)
    return fig
