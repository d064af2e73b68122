"""The one look of all figures: sizes, colours, names, and saving that gives the same bytes every time.

Colours are the Okabe-Ito palette (Okabe & Ito 2008, "Color Universal Design"); every series also has its own
line style and marker, so that the figures survive colour blindness and greyscale printing. Nothing here
computes a statistic: the tables of floors 1 to 7 hold every number that is drawn.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from recur import vocabulary
from recur.tables import whole_file
from recur.vocabulary import APPARENT, TRAIN, apparent

MM = 1 / 25.4  # inches per millimetre
ONE_COLUMN, MIDDLE, TWO_COLUMNS = 85, 130, 175  # figure widths of journals, mm
HEADER = 5  # mm kept free at the top of every figure for the note and the SYNTHETIC label
SYNTHETIC = "SYNTHETIC DATA"
FONT = 7  # points at final size
SMALL = 6.5  # the least that may be printed
CHARACTER = 0.56 * FONT / 72 / MM  # mean width of a character of DejaVu Sans at FONT, mm

BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, BLACK, GREY, LIGHT = "#56B4E9", "#CC79A7", "#000000", "#767676", "#D0D0D0"
SERIES = [  # colour, line style, marker
    (VERMILLION, "-", "o"),
    (BLUE, (0, (6, 1.5)), "s"),
    (ORANGE, (0, (3, 1.2)), "^"),
    (SKY, (0, (1, 1)), "v"),
    (GREEN, (0, (5, 1.2, 1, 1.2)), "D"),
    (PURPLE, (0, (5, 1, 1, 1, 1, 1)), "P"),
    (BLACK, (0, (2, 2)), "X"),
    (GREY, (0, (8, 3)), "*"),
]

# in the order of legends, which gives every model its look
LEGEND = ("combined_pre", "combined_post", "clinical_pre", "clinical_post", "signature", "volume_only", "size_only")
GROUPS = {"low": (BLUE, "-"), "intermediate": (ORANGE, (0, (1, 1))), "high": (VERMILLION, (0, (5, 1.5)))}
RC = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib: the same on every machine
    "font.size": FONT,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "patch.linewidth": 0.6,
    "figure.dpi": 300,
    "savefig.dpi": 300,
    "text.parse_math": False,  # names of patients, features and centres are not markup
    "text.usetex": False,
    "axes.formatter.use_mathtext": False,
    "svg.fonttype": "path",  # no font needed where the picture is opened
    "svg.hashsalt": "recur",
    "pdf.fonttype": 42,  # TrueType, as journals ask
}


def apply() -> None:
    """Set the house style for this process; seaborn draws on top of it."""
    matplotlib.use("Agg")
    matplotlib.rcParams.update(RC)


def new_figure(width_mm: float, height_mm: float, constrained: bool = True) -> Figure:
    """An empty figure of this drawing area, with HEADER mm more on top; `finish` fills the header."""
    fig = Figure(figsize=(width_mm * MM, (height_mm + HEADER) * MM), layout="constrained" if constrained else "none")
    if constrained:
        fig.get_layout_engine().set(rect=(0, 0, 1, height_mm / (height_mm + HEADER)), w_pad=1 * MM, h_pad=1 * MM)
    return fig


def page(width_mm: float, height_mm: float) -> tuple[Figure, Axes]:
    """A figure with one invisible axes measured in mm, y down, for diagrams laid out by hand."""
    fig = new_figure(width_mm, height_mm, constrained=False)
    ax = fig.add_axes((0, 0, 1, height_mm / (height_mm + HEADER)))
    ax.set(xlim=(0, width_mm), ylim=(height_mm, 0))
    ax.axis("off")
    return fig, ax


def message(text: str, width_mm: float = ONE_COLUMN) -> Figure:
    """The figure of an analysis in which there is nothing to draw: it says so."""
    fig, ax = page(width_mm, 30)
    ax.text(width_mm / 2, 15, plain(text), ha="center", va="center", fontsize=8, style="italic", color=GREY)
    return fig


def finish(fig: Figure, context: dict[str, Any]) -> None:
    """Write the note and, for generated data, the SYNTHETIC label into the header of the figure.

    The label of the figure (`fig.set_label`) joins the note: it names the model where one model is drawn.
    """
    top = 1 - 1.2 * MM / fig.get_figheight()
    side = 1.5 * MM / fig.get_figwidth()
    about = " · ".join(filter(None, (plain(context.get("title_note", "")), fig.get_label())))
    about = shorten(about, (fig.get_figwidth() / MM - 30) / CHARACTER)
    note = fig.text(side, top, about, ha="left", va="top", fontsize=6.5, color=GREY)
    note.set_in_layout(False)
    if context.get("synthetic"):
        label = fig.text(1 - side, top, SYNTHETIC, ha="right", va="top", fontsize=6.5, color=VERMILLION, weight="bold")
        label.set_in_layout(False)


def save(fig: Figure, stem: str | Path, title: str, description: str) -> None:
    """Write `<stem>.svg`, `.pdf` and `.png` (300 dpi) without dates or program names in them.

    The layout is solved once, so that the three formats agree.
    """
    if engine := fig.get_layout_engine():
        engine.execute(fig)
    fig.set_layout_engine(None)
    for ax in fig.axes:  # the solver's last digits depend on the order of its variables in memory
        ax.set_position(np.round(ax.get_position(original=True).bounds, 6))
    stem = Path(stem)
    metadata = {
        "svg": {"Title": title, "Description": description, "Date": None, "Creator": None},
        "pdf": {"Title": title, "Subject": description, "CreationDate": None, "Creator": None, "Producer": None},
        "png": {"Title": title, "Description": description, "Software": None},
    }
    for kind, entries in metadata.items():
        with whole_file(stem.with_name(f"{stem.name}.{kind}")) as partial:
            fig.savefig(partial, format=kind, metadata=entries)


# names


def plain(text: Any) -> str:
    """Text from a table on one line: control characters and runs of blanks become one blank."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def shorten(text: Any, characters: float) -> str:
    """Text cut in the middle to at most this many characters: both ends of a feature name carry meaning."""
    text, characters = plain(text), max(int(characters), 3)
    if len(text) <= characters:
        return text
    tail = (characters - 1) // 2
    return f"{text[: characters - 1 - tail]}…{text[-tail:]}"


def wrap(text: Any, width_mm: float) -> list[str]:
    """Lines of text that fit this width at the normal font size."""
    # a count stays with its "n ="
    text = plain(text).replace("(n = ", "(n\xa0=\xa0")
    return [line.replace("\xa0", " ") for line in textwrap.wrap(text, max(int(width_mm / CHARACTER), 4))] or [""]


def model_label(model: Any, context: dict[str, Any]) -> str:
    """The label of a model; context: what draw is given, whose `words` name the treatment."""
    label = vocabulary.model_label(model, context["words"])
    return label if model in LEGEND else shorten(label, 28)


def cohort_label(cohort: Any) -> str:
    label = vocabulary.cohort_label(cohort)
    return label if cohort in vocabulary.COHORTS else shorten(label, 32)


def evaluated_label(cohort: Any) -> str:
    """The cohort a model is evaluated in: its own training patients give apparent results only."""
    return cohort_label(apparent(cohort))


def group_label(group: Any) -> str:
    return f"{shorten(group, 14).capitalize()} risk" if group in GROUPS else shorten(group, 18)


def group_style(group: Any) -> tuple[str, Any]:
    return GROUPS.get(group, (GREY, (0, (5, 1, 1, 1))))


def main_of(models: Iterable[Any], context: dict[str, Any]) -> str | None:
    """The main model of the analysis where a table has rows of it: another one never stands in for it."""
    return context["main"] if context["main"] in set(models) else None


def no_main(context: dict[str, Any], why: str) -> Figure:
    """The figure of the main model where its table has no row of it."""
    name = model_label(context["main"], context) if context["main"] else "no model"
    return message(f"Main model ({name}): {why}", TWO_COLUMNS)


def ordered(values: Iterable[Any], first: Sequence[str]) -> list[Any]:
    """The distinct values: known ones in the order of `first`, then the others by name."""
    values = [v for v in dict.fromkeys(values) if isinstance(v, str)]
    return [v for v in first if v in values] + sorted(v for v in values if v not in first)


def models_of(table: pd.DataFrame) -> list[str]:
    return ordered(table["model"], LEGEND)


def cohorts_of(table: pd.DataFrame) -> list[str]:
    return ordered(table["cohort"], list(vocabulary.COHORTS))


def horizons_of(table: pd.DataFrame) -> list[float | None]:
    """The horizons of a table; one, None, where the outcome has no time."""
    return sorted(table["horizon_months"].dropna().unique()) or [None]


def at(table: pd.DataFrame, cohort: str, horizon: float | None) -> pd.DataFrame:
    """The rows of a cohort at a horizon of horizons_of."""
    own = table[table["cohort"] == cohort]
    return own if horizon is None else own[own["horizon_months"] == horizon]


def panel_title(cohort: str, horizon: float | None) -> str:
    return evaluated_label(cohort) + ("" if horizon is None else f", {horizon:g} months")


def series(models: Sequence[str], context: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Line keywords per model: a known model looks the same in every figure."""
    free = len(LEGEND)
    looks = {}
    for model in models:
        if model in LEGEND:
            place = LEGEND.index(model)
        else:
            place, free = len(LEGEND) + (free - len(LEGEND)) % (len(SERIES) - len(LEGEND)), free + 1
        colour, line, _ = SERIES[place]
        looks[model] = {"color": colour, "linestyle": line, "label": model_label(model, context)}
    return looks


def marker(model: Any) -> str:
    """The marker of a model; models of a study's own share one."""
    return SERIES[LEGEND.index(model)][2] if model in LEGEND else "X"


# numbers


def lookup(performance: pd.DataFrame, model: str, cohort: str, metric: str, horizon: float | None = None):
    """The row of performance.csv for one estimate, or None; `train` also finds `train-apparent`."""
    rows = performance[(performance["model"] == model) & (performance["metric"] == metric)]
    cohorts = [cohort, APPARENT] if cohort == TRAIN else [cohort]
    for name in cohorts:
        found = rows[rows["cohort"] == name]
        if horizon is not None and len(found):
            at = found[np.isclose(found["horizon_months"].astype(float), horizon)]
            found = at if len(at) else found[found["horizon_months"].isna()]
        if len(found):
            return found.iloc[0]
    return None


def estimate_text(performance: pd.DataFrame, *key: Any, digits: int = 2) -> str:
    row = lookup(performance, *key)
    return "" if row is None else vocabulary.interval_in_figure(row["estimate"], row["lower"], row["upper"], digits)


# axes


def panels(count: int, rows: int = 1) -> tuple[float, int, int]:
    """Figure width (mm), rows and columns for `count` cohorts side by side, three in a row at most.

    `rows` is how many rows of panels each line of cohorts needs (one per horizon, say).
    """
    columns = min(max(count, 1), 3)
    return {1: ONE_COLUMN, 2: MIDDLE, 3: TWO_COLUMNS}[columns], rows * math.ceil(max(count, 1) / columns), columns


def grid(cohorts: Sequence[Any], horizons: Sequence[Any], panel_mm: float, extra_mm: float = 0):
    """A figure with a panel per cohort and horizon; returns it and {(cohort, horizon): axes}."""
    width, rows, columns = panels(len(cohorts), len(horizons))
    fig = new_figure(width, rows * panel_mm + extra_mm)
    axes = fig.subplots(rows, columns, squeeze=False)
    places = {}
    for i, cohort in enumerate(cohorts):
        for j, horizon in enumerate(horizons):
            places[cohort, horizon] = axes[(i // columns) * len(horizons) + j, i % columns]
    for ax in axes.flat:
        if ax not in places.values():
            ax.set_visible(False)
    return fig, places


def month_ticks(last: float) -> np.ndarray:
    """Ticks at whole half-years or years that cover 0 to `last` with at most eight numbers."""
    last = max(float(last), 1.0)
    step = next((s for s in (6, 12, 24, 36, 60, 120) if last / s <= 7), 240)
    return np.arange(0, last + 1e-9, step)


def log_x(ax: Axes) -> None:
    """Log scale with plain numbers (the usual labels need the math markup that is switched off)."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    # fewer numbers where the range is wide: they would touch
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def mark_chosen(ax: Axes, deviance: pd.DataFrame) -> None:
    """Vertical lines at lambda.min and lambda.1se, named above the axes."""
    for chosen, line in (("min", (0, (4, 2))), ("1se", (0, (1, 1.5)))):
        for value in deviance.loc[deviance["chosen"] == chosen, "lambda"]:
            ax.axvline(value, color=BLACK, linewidth=0.7, linestyle=line, zorder=1)
            place = "right" if chosen == "min" else "left"
            ax.annotate(
                f"λ {chosen}", (value, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
                xytext=(-2 if place == "right" else 2, -1), ha=place, va="top", fontsize=6.5,
            )  # fmt: skip


def percent(axis: Any) -> None:
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f}"))


def left_only(ax: Axes, label: str) -> None:
    """Name and number the y axis in the first column only, where the panels of a row share it."""
    first = ax.get_subplotspec().is_first_col()
    ax.set_ylabel(label if first else "")
    ax.tick_params(axis="y", labelleft=first)


def legend(fig: Figure, looks: dict[str, dict[str, Any]]) -> None:
    """One legend of lines under all panels, as many in a row as the page has room for; long names are cut."""
    page_mm = fig.get_figwidth() / MM
    most = (page_mm - 14) / CHARACTER
    looks = {name: look | {"label": shorten(look["label"], most)} for name, look in looks.items()}
    longest = max((len(look["label"]) for look in looks.values()), default=1) * CHARACTER + 13
    handles = [Line2D([], [], **look) for look in looks.values()]
    fig.legend(handles=handles, loc="outside lower center", ncols=max(1, min(int(page_mm / longest), len(handles))))


def forest(
    rows: list[dict[str, Any]],
    x_label: str,
    reference: float,
    headings: Sequence[str],
    log: bool = False,
    limits: tuple[float, float] | None = None,
    width_mm: float = MIDDLE,
    right_mm: Sequence[float] = (28,),
    plot_share: float = 0.33,
) -> Figure:
    """Estimates with intervals, one row each, their numbers at the right.

    A row has `label`; a heading row has nothing more; the others have estimate, lower, upper, texts (one per
    right-hand column) and optionally color, marker, filled. Intervals beyond `limits` end in an arrow; a row
    without an estimate keeps its label and stays blank.
    """
    step, top, bottom = 4.0, 6.0, 11.0
    plot_mm = plot_share * width_mm
    label_mm = width_mm - plot_mm - sum(right_mm) - 4
    height = top + step * len(rows) + bottom
    fig, sheet = page(width_mm, height)
    total = height + HEADER
    ax = fig.add_axes(((label_mm + 2) / width_mm, bottom / total, plot_mm / width_mm, step * len(rows) / total))
    ax.set(ylim=(len(rows) - 0.5, -0.5), yticks=[], xlabel=x_label)
    ax.spines["left"].set_visible(False)
    ax.patch.set_visible(False)
    sheet.set_zorder(1)  # a long heading covers the line of no effect
    values = np.array([[r.get(k, np.nan) for k in ("estimate", "lower", "upper")] for r in rows], dtype=float)
    shown = values[np.isfinite(values) & ((values > 0) | (not log))]
    low, high = (min(shown, default=reference), max(shown, default=reference))
    if log:
        low, high = max(min(low / 1.1, reference / 1.5), 0.04), min(max(high * 1.1, reference * 1.5), 60)
    else:
        pad = 0.04 * (high - low) + 0.01
        low, high = min(low - pad, reference - pad), max(high + pad, reference + pad)
    if limits:
        low, high = max(low, limits[0]), min(high, limits[1])
    ax.set_xlim(low, high)
    if log:
        log_x(ax)
    ax.axvline(reference, color=GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
    for x, text in zip(np.cumsum([0, *right_mm]), headings, strict=False):
        sheet.text(label_mm + plot_mm + 4 + x, top - 2.2, text, ha="left", va="center", weight="bold")
    for i, row in enumerate(rows):
        y = top + step * (i + 0.5)
        heading = "texts" not in row
        room = (width_mm - 4 if heading else label_mm - 3) / CHARACTER
        small = len(plain(row["label"])) > room
        sheet.text(
            1.5 if heading else 4,
            y,
            shorten(row["label"], room * FONT / SMALL if small else room),
            va="center",
            fontsize=SMALL if small else FONT,
            weight="bold" if heading else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.3} if heading else None,
        )
        if heading:
            continue
        for x, text in zip(np.cumsum([0, *right_mm]), row["texts"], strict=False):
            sheet.text(label_mm + plot_mm + 4 + x, y, text, ha="left", va="center")
        estimate, lower, upper = values[i]
        colour = row.get("color", BLACK)
        if np.isfinite(lower) and np.isfinite(upper):
            ax.plot([max(lower, low), min(upper, high)], [i, i], color=colour, linewidth=1.0, solid_capstyle="butt")
            if lower < low:
                ax.plot(low, i, marker="<", color=colour, clip_on=False)
            if upper > high:
                ax.plot(high, i, marker=">", color=colour, clip_on=False)
        if np.isfinite(estimate) and low <= estimate <= high:
            face = colour if row.get("filled", True) else "white"
            ax.plot(estimate, i, marker=row.get("marker", "s"), color=colour, markerfacecolor=face, markersize=4)
    return fig


def forest_of_c(rows: list[dict[str, Any]], context: dict[str, Any]) -> Figure:
    """`forest` of Harrell's C, of a binary outcome of the AUC."""
    words = context["words"]
    return forest(rows, words["c"], 0.5, (f"{words['c_short']} (95 % CI)",), limits=(0.2, 1.0))


def reason_items(text: Any) -> list[str]:
    """`no mask (3); rim outside (1)` as its items."""
    return [item for item in (plain(part) for part in re.split(r"[;\n]", str(text))) if item]
