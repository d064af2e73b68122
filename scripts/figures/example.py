"""One patient: slice, contours, feature map."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from recur import style, vocabulary
from recur.features.labels import measure_label

INPUTS = {
    "pixels": "signature/{analysis}/example_pixels.csv",
    "views": "signature/{analysis}/example_views.csv",
}
CAPTION = (
    "One training patient, chosen for a tumour of median volume: the slice with most tumour in each phase, the regions "
    "on it (a second reader's tumour dashed), and the heaviest feature of the signature on the unfiltered image (not a "
    "shape), computed around every pixel of tumour and rim."
)
CATEGORY = "Images"
NEEDS = "example"

PANEL = 52  # mm
REGIONS = {"tumour": (style.VERMILLION, "-"), "rim": (style.SKY, "-"), "liver": ("#F0E442", "-"),
           "other_reader": (style.VERMILLION, (0, (2, 1.5)))}  # fmt: skip
BAR_MM = 10.0


def plane(part: pd.DataFrame, column: str) -> np.ndarray:
    return part.pivot(index="row", columns="column", values=column).to_numpy(float)


def outline(ax, mask: np.ndarray, colour: str, line) -> None:
    """The edge of a region along its pixels, as it is measured; none where the picture ends."""
    padded = np.pad(mask > 0.5, 1, mode="edge")
    edges = []
    for step, a, b in (((1, 0), padded[1:, 1:-1], padded[:-1, 1:-1]), ((0, 1), padded[1:-1, 1:], padded[1:-1, :-1])):
        row, column = np.nonzero(a != b)
        start = np.column_stack([column, row]) - 0.5
        edges.append(np.stack([start, start + step], 1))
    ax.add_collection(LineCollection(np.concatenate(edges), colors=colour, linewidths=1.0, linestyles=[line]))


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    pixels, views = tables["pixels"], tables["views"]
    if pixels.empty or views.empty:
        return style.message("no training patient has a case in every phase: no example")
    phases = list(views["phase"])
    fig = style.new_figure(style.TWO_COLUMNS, len(phases) * (PANEL + 5) + 8)
    axes = fig.subplots(len(phases), 4, squeeze=False, width_ratios=(10, 10, 10, 0.4))
    values = pixels["map"].dropna()
    limits = (values.min(), values.max()) if len(values) else (0, 1)
    feature = measure_label(views["feature"].iloc[0], 55)
    for (phase, view), row in zip(views.set_index("phase").iterrows(), axes, strict=True):
        part = pixels[pixels["phase"] == phase]
        image, shape = plane(part, "intensity"), view["row_mm"] / view["column_mm"]
        for ax in row[:3]:
            ax.imshow(image, cmap="gray", vmin=view["low"], vmax=view["high"], interpolation="nearest")
            ax.set(xticks=[], yticks=[], aspect=shape)
            ax.spines[:].set_visible(False)
        inside = plane(part, "tumour")
        for name in ("liver", "rim", "other_reader", "tumour"):
            mask = plane(part, name)
            if mask.any():
                # of the rim only the outer edge: the inner one is the tumour's
                outline(row[1], np.maximum(mask, inside) if name == "rim" else mask, *REGIONS[name])
        drawn = row[2].imshow(
            np.ma.masked_invalid(plane(part, "map")), cmap="cividis", vmin=limits[0], vmax=limits[1],
            interpolation="nearest",
        )  # fmt: skip
        row[2].set_aspect(shape)
        outline(row[2], inside, style.BLACK, "-")
        row[0].set_title(f"{style.shorten(phase, 12)}, slice {view['slice']:.0f} of {view['slices']:.0f}")
        row[1].set_title("Regions")
        row[2].set_title(style.shorten(feature, 34))
        height, width = image.shape
        length = BAR_MM / view["column_mm"]
        row[0].plot([0.04 * width, 0.04 * width + length], [0.94 * height] * 2, color="white", linewidth=1.5)
        row[0].text(0.04 * width, 0.91 * height, f"{BAR_MM:g} mm", color="white", va="bottom", fontsize=style.SMALL)
        bar = fig.colorbar(drawn, cax=row[3])
        bar.outline.set_linewidth(0.4)
    present = [name for name in REGIONS if pixels[name].nunique() > 1]  # what fills the picture has no edge
    handles = [
        Line2D([], [], color=REGIONS[n][0], linestyle=REGIONS[n][1], label=vocabulary.REGIONS[n]) for n in present
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
    return fig
