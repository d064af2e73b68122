"""Heatmap of features and training patients in clusters, with what is known of the patients."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram

from recur import style
from recur.features.labels import feature_label

INPUTS = {
    "values": "signature/{analysis}/heatmap.csv",
    "clusters": "signature/{analysis}/heatmap_clusters.csv",
    "patients": "signature/{analysis}/heatmap_patients.csv",
    "weights": "signature/{analysis}/weights.csv",
}
CAPTION = (
    "Features of the signature (bold) and those that enter its LASSO path next, in training patients: standard "
    "deviations from the training mean, in clusters of average linkage (1 - |Spearman's rho| between features, "
    "Euclidean distance between patients). Above: event ({endpoint}), risk group and clinical variables; white is "
    "missing. Numbers go from light (lowest) to dark (highest)."
)
CATEGORY = "Signature"
NEEDS = "signature"


def lines(ax, merges: pd.DataFrame, leaves: int, sideways: bool) -> None:
    """The tree of one axis; leaves at 0, 1, ..."""
    ax.axis("off")
    if merges.empty:
        return
    drawn = dendrogram(merges[["left", "right", "height", "size"]].to_numpy(), no_plot=True, no_labels=True)
    for x, y in zip(np.array(drawn["icoord"]) / 10 - 0.5, drawn["dcoord"], strict=True):
        ax.plot(*((y, x) if sideways else (x, y)), color=style.GREY, linewidth=0.4)
    if sideways:
        ax.set(ylim=(leaves - 0.5, -0.5))
        ax.invert_xaxis()
    else:
        ax.set(xlim=(-0.5, leaves - 0.5))


def shade(values: np.ndarray) -> np.ndarray:
    """Numbers or codes between 0 (lowest) and 1; NaN stays."""
    low, high = np.nanmin(values), np.nanmax(values)
    return (values - low) / (high - low) if high > low else values * 0


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["values"].dropna(subset=["z"])
    if table.empty:
        return style.message("no feature enters the LASSO path: no heatmap")
    features, ids = list(dict.fromkeys(table["feature"])), list(dict.fromkeys(table["patient_id"]))
    z = table.pivot(index="feature", columns="patient_id", values="z").loc[features, ids].to_numpy()
    known = tables["patients"][tables["patients"]["patient_id"].isin(ids)]
    names = list(dict.fromkeys(known["name"]))
    row_mm, strip_mm = max(2.9, 20 / len(features)), 3.2 * max(len(names), 1)
    fig = style.new_figure(style.TWO_COLUMNS, 10 + strip_mm + row_mm * len(features) + 14)
    cells = fig.add_gridspec(
        3, 3, height_ratios=(10, strip_mm, row_mm * len(features)), width_ratios=(9, 100, 2.5), wspace=0.01, hspace=0.01
    )
    lines(fig.add_subplot(cells[0, 1]), tables["clusters"][tables["clusters"]["axis"] == "patient"], len(ids), False)
    lines(
        fig.add_subplot(cells[2, 0]), tables["clusters"][tables["clusters"]["axis"] == "feature"], len(features), True
    )
    strip = fig.add_subplot(cells[1, 1])
    labels = []
    for i, name in enumerate(names):
        own = known[known["name"] == name].drop_duplicates("patient_id").set_index("patient_id")
        values = own["value"].reindex(ids).to_numpy(float)
        strip.imshow(shade(values)[None], extent=(-0.5, len(ids) - 0.5, i + 0.42, i - 0.42), aspect="auto",
                     cmap=ListedColormap([str(0.92 - 0.75 * step / 20) for step in range(21)]), vmin=0, vmax=1,
                     interpolation="nearest")  # fmt: skip
        dark = own.loc[own["value"] == np.nanmax(values), "text"].dropna()
        text = dark.iloc[0] if len(dark) else ""
        label = style.plain(own["label"].iloc[0])
        labels.append(f"{label}: {text}" if text and text != "yes" else label)
    strip.set(ylim=(len(names) - 0.5, -0.5), xticks=[], xlim=(-0.5, len(ids) - 0.5))
    strip.yaxis.tick_right()
    strip.set_yticks(range(len(names)), [style.shorten(label, 36) for label in labels])
    ax = fig.add_subplot(cells[2, 1])
    drawn = ax.imshow(z, aspect="auto", cmap="cividis", vmin=-3, vmax=3, interpolation="nearest")
    ax.yaxis.tick_right()
    ax.set_yticks(range(len(features)), [feature_label(name, 44) for name in features])
    inside = set(tables["weights"]["feature"])
    for tick, name in zip(ax.get_yticklabels(), features, strict=True):
        tick.set(fontsize=style.SMALL, weight="bold" if name in inside else "normal")
    ax.set(xticks=[], xlabel=f"{len(ids)} training patients")
    for part in (strip, ax):
        part.tick_params(length=0)
        part.spines[:].set_visible(False)
    bar = fig.colorbar(drawn, ax=ax, location="bottom", fraction=0.04, aspect=40, pad=0.02, label="Standard deviations")
    bar.outline.set_linewidth(0.4)
    return fig
