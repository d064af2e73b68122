"""Nomogram of the main model."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary

INPUTS = {
    "nomogram": "models/{analysis}/nomogram.csv",
    "equations": "models/{analysis}/equations.csv",
}
CAPTION = (
    "Nomogram of the main model ({endpoint}): read the points of each value off the top axis, add them, and read the "
    "risk below the total. The equation below it gives the same risk without reading off an axis."
)
CATEGORY = "Models"
TEXT = {"nomogram": ("value",)}  # columns that hold words beside numbers: names of strata
NEEDS = None

LABEL = 52  # mm, names at the left
SCALE = 116  # mm, length of the axes
STEP = 9.5  # mm between the axes


def number_or_name(cell: str) -> float | str:
    """A value of an axis: a number, or the name of a stratum."""
    try:
        return float(cell)
    except ValueError:
        return cell


def as_text(value: object) -> str:
    """A tick label: numbers without needless zeros, other text cut short."""
    try:
        return vocabulary.minus(f"{float(value):.4g}")
    except (TypeError, ValueError):
        return style.shorten(value, 14)


def equation(rows: pd.DataFrame, event: str) -> list[str]:
    """The model as text: its linear predictor, then the risk at each horizon."""
    parts = []
    for row in rows[rows["part"] == "term"].itertuples():
        cubic = row.name in set(rows.loc[rows["part"] == "cube", "name"])  # explained below, in the unit of its number
        unit = f" in {row.unit}" if isinstance(row.unit, str) and row.unit and not cubic else ""
        name = f"ln({row.label}{unit})" if row.transform == "ln" else f"{row.label}{unit}"
        levels = rows[(rows["part"] == "level") & (rows["name"] == row.name)]
        coded = ", ".join(f"{level.value:g} {level.label}" for level in levels.itertuples())
        sign = "−" if row.value < 0 else "+"
        parts.append(f"{sign} {abs(row.value):.4g} × {style.plain(name)}{f' ({style.plain(coded)})' if coded else ''}")
    for row in rows[rows["part"] == "constant"].itertuples():
        parts.append(f"{'−' if row.value < 0 else '+'} {abs(row.value):.4g}")
    text = "Linear predictor (LP) = " + " ".join(parts).removeprefix("+ ")
    strata = rows[rows["part"] == "stratum"]
    if len(strata):
        text += f" + that of the stratum ({', '.join(f'{row.name}: {row.value:.4g}' for row in strata.itertuples())})"
    risks = [
        f"{event.capitalize()} by {row.name} months{of_stratum(row.label)} = 1 − {row.value:.4g}^exp(LP)"
        for row in rows[rows["part"] == "survival"].itertuples()
    ]
    risks += [
        f"{event.capitalize()} = 1 / (1 + exp(−({row.value:.4g}) − LP))"
        for row in rows[rows["part"] == "intercept"].itertuples()
    ]
    high = [
        f"High risk: LP above {vocabulary.number(row.value, 3)}"
        for row in rows[rows["part"] == "cutpoint"].itertuples()
    ]
    return [text, *cubic_parts(rows), ".  ".join([*risks, *high]) + ("." if risks or high else "")]


def of_stratum(name: object) -> str:
    return f" ({name})" if isinstance(name, str) and name else ""


def cubic_parts(rows: pd.DataFrame) -> list[str]:
    """What the cubic parts of splines are: weighted cubes of what a number exceeds the knots by."""
    lines, labels = [], rows[rows["part"] == "term"].set_index("name")["label"]
    for name, weights in rows[rows["part"] == "cube"].groupby("name", sort=False):
        knots = rows.loc[(rows["part"] == "knot") & (rows["name"] == name), "value"]
        cubes = [
            f"{'−' if weight < 0 else '+'} {abs(weight):.4g} × (x − {knot:.6g})³"
            for weight, knot in zip(weights["value"], knots, strict=True)
        ]
        lines.append(
            f"{style.plain(labels[name])} = {' '.join(cubes).removeprefix('+ ')}; x is the number without strokes, and "
            "a bracket below 0 counts 0."
        )
    return lines


def scale(ax, y: float, name: str, at: np.ndarray, texts: list[str], strong: bool = False) -> None:
    """One horizontal axis at height y (mm) with ticks at `at` (mm from its left end).

    A number that would touch its neighbour goes below the line, and is left out when that is taken too.
    """
    ax.text(1.5, y, name, va="center", weight="bold" if strong else "normal")
    if not len(at):
        return
    order = np.argsort(at, kind="stable")
    ax.plot(LABEL + at[order][[0, -1]], [y, y], color=style.BLACK, linewidth=0.8, solid_capstyle="butt")
    taken = {-1: -np.inf, 1: -np.inf}
    for i in order:
        x, half = LABEL + at[i], 0.5 * len(texts[i]) * style.CHARACTER * 1.1 + 0.6
        side = next((s for s in (-1, 1) if x - half > taken[s]), None)
        ax.plot([x, x], [y, y + 1.2 * (side or -1)], color=style.BLACK, linewidth=0.6)
        if side:
            taken[side] = x + half
            ax.text(x, y + 1.7 * side, texts[i], ha="center", va="bottom" if side < 0 else "top")


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["nomogram"].dropna(subset=["points"])
    model = style.main_of(table["model"], context)
    if model is None:
        return style.no_main(context, "no terms: no nomogram")
    table = table[table["model"] == model]
    equations = tables["equations"][tables["equations"]["model"] == model]
    entered = equations[equations["part"] == "term"].drop_duplicates("name").set_index("name")
    levels = equations[equations["part"] == "level"].set_index(["name", "value"])["label"].to_dict()
    event = context["words"]["event"]
    lines = [line for text in equation(equations, event) for line in style.wrap(text, style.TWO_COLUMNS - 6)]
    axes = list(dict.fromkeys(table["axis"]))
    risks = sorted((a for a in axes if a.startswith("risk_")), key=lambda a: float(a.removeprefix("risk_")))
    risks += [a for a in axes if a == "risk"]
    terms = [a for a in axes if a not in risks and a != "total"]
    total = table.loc[table["axis"] == "total", "points"]
    reach = max([*total, *table.loc[table["axis"].isin(risks), "points"], 1e-9])
    room = 3.3 * len(lines) + 5
    fig, ax = style.page(style.TWO_COLUMNS, STEP * (len(terms) + len(risks) + 2) + 4 + room)
    fig.set_label(style.model_label(model, context))
    y = 6.0
    points = np.arange(0, 101, 10)
    scale(ax, y, "Points", SCALE * points / 100, [f"{p}" for p in points], strong=True)
    for term in terms:
        y += STEP
        rows = table[table["axis"] == term]
        label, unit = (entered[key].get(term) for key in ("label", "unit")) if len(entered) else (None, None)
        name = f"{label} ({unit})" if isinstance(unit, str) and unit else label or term
        own = rows["label"].iloc[0] if "label" in rows else None
        name = own if isinstance(own, str) and own else name
        values = [number_or_name(cell) for cell in rows["value"]]
        texts = [style.shorten(levels.get((term, v), as_text(v)), 16) for v in values]
        scale(ax, y, style.shorten(name, (LABEL - 5) / style.CHARACTER), SCALE * rows["points"].to_numpy() / 100, texts)
    y += STEP
    scale(ax, y, "Total points", SCALE * total.to_numpy() / reach, [as_text(round(p, 1)) for p in total], strong=True)
    for risk in risks:
        y += STEP
        rows = table[table["axis"] == risk]
        chance = [f"{100 * float(v):.3g}" for v in rows["value"]]
        when = "" if risk == "risk" else f" by {risk.removeprefix('risk_')} months"
        name = f"{event.capitalize()}{when} (%)"
        scale(ax, y, style.shorten(name, LABEL / style.CHARACTER), SCALE * rows["points"].to_numpy() / reach, chance)
    for i, line in enumerate(lines):
        ax.text(1.5, y + 8 + 3.3 * i, line, va="center")
    return fig
