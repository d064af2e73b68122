"""Cross-validated deviance of the penalised model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from recur import style

INPUTS = {"deviance": "signature/{analysis}/cv_deviance.csv"}
CAPTION = (
    "Cross-validated deviance of the penalised {model} model ({endpoint}, training cohort) with one "
    "standard error; the upper axis counts the features with a non-zero coefficient."
)
CATEGORY = "Signature"
NEEDS = "signature"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["deviance"].dropna(subset=["deviance"]).sort_values("lambda")
    if table.empty:
        return style.message("empty signature: no feature kept, nothing to cross-validate")
    fig = style.new_figure(style.ONE_COLUMN, 62)
    ax = fig.subplots()
    ax.errorbar(
        table["lambda"], table["deviance"], yerr=table["se"].fillna(0), fmt="o", color=style.VERMILLION,
        ecolor=style.LIGHT, elinewidth=0.8, markersize=2, zorder=2,
    )  # fmt: skip
    ax.set_xlim(table["lambda"].min() / 1.05, table["lambda"].max() * 1.05)
    style.log_x(ax)
    style.mark_chosen(ax, table)
    above = ax.twiny()
    above.set(xscale="log", xlim=ax.get_xlim())
    # about seven counts, evenly spread over the log axis
    wanted = np.geomspace(table["lambda"].min(), table["lambda"].max(), 7)
    places = sorted({int((table["lambda"] - w).abs().to_numpy().argmin()) for w in wanted})
    above.xaxis.set_minor_locator(NullLocator())
    above.set_xticks(table["lambda"].iloc[places], [f"{n:.0f}" for n in table["n_nonzero"].iloc[places]])
    above.spines["top"].set_visible(True)
    above.set_xlabel("Features with a non-zero coefficient")
    ax.set(xlabel="Penalty λ (log scale)", ylabel=context["words"]["deviance"])
    return fig
