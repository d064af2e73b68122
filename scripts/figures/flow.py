"""Patient flow diagram."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from recur import style, vocabulary
from recur.vocabulary import EXTERNAL

INPUTS = {"flow": "cohort/{analysis}/flow.csv"}
CAPTION = "Flow of patients from the clinical table to the cohorts of the analysis, with the reasons for exclusion."
CATEGORY = "Cohort"
NEEDS = None

WIDTH = style.MIDDLE  # mm, as all that follow
MAIN = 58  # boxes of the trunk
SIDE = 60  # boxes of exclusions
LINE = 3.3
PAD = 1.6
GAP = 5.0
MOST = 12  # lines of reasons in one box


def is_cohort(step: str) -> bool:
    """`train`, `test` and `external-<name>` are the ends of the flow, drawn side by side."""
    return step in ("train", "test") or step.startswith(EXTERNAL)


def box(ax, x: float, y: float, width: float, lines: list[str], colour: str, centred: bool) -> float:
    """A box of these lines with its upper left corner at x, y (mm); returns its height."""
    height = LINE * len(lines) + 2 * PAD
    shape = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=1", fc="white", ec=colour, lw=0.8)
    ax.add_patch(shape)
    for i, line in enumerate(lines):
        at = x + width / 2 if centred else x + 2
        ax.text(
            at, y + PAD + LINE * (i + 0.5), line, ha="center" if centred else "left", va="center_baseline",
            weight="bold" if i == 0 else "normal",
        )  # fmt: skip
    return height


def arrow(ax, start: tuple[float, float], end: tuple[float, float]) -> None:
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": style.GREY, "lw": 0.8, "shrinkA": 0, "shrinkB": 0}
    )


def count(n: float) -> str:
    return f"n = {n:.0f}" if pd.notna(n) else ""


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    flow = tables["flow"].sort_values("order", kind="stable")
    if flow.empty:
        return style.message("no patient flow recorded")
    trunk, ends = [], {}
    for _, rows in flow.groupby("order", sort=True):
        step = style.plain(rows["step"].iloc[0])
        if is_cohort(step):
            ends |= {style.plain(r.step): r.n for r in rows.itertuples()}
            continue
        side = []
        for row in rows[rows["excluded"] > 0].itertuples():
            if not side:
                side = [f"Excluded: {count(rows['excluded'].sum())}"]
            for item in style.reason_items(row.reason) if isinstance(row.reason, str) else []:
                text = f"{item} (n = {row.excluded:.0f})" if len(rows) > 1 else item
                side += [("– " if k == 0 else "   ") + part for k, part in enumerate(style.wrap(text, SIDE - 6))]
        if len(side) > MOST:
            side = [*side[: MOST - 1], "– more, see cohort/exclusions.csv"]
        trunk.append(([*style.wrap(step[:1].upper() + step[1:], MAIN - 4), count(rows["n"].iloc[-1])], side))

    def high(lines: list[str]) -> float:
        return LINE * len(lines) + 2 * PAD

    columns = max(min(len(ends), 3), 1)
    end_mm = min((WIDTH - 4 - 4 * (columns - 1)) / columns, MAIN)
    end_boxes = [
        [*style.wrap(style.cohort_label(name), end_mm - 4), count(ends[name])]
        for name in style.ordered(ends, list(vocabulary.COHORTS))
    ]
    end_rows = [end_boxes[i : i + columns] for i in range(0, len(end_boxes), columns)]
    height = 2 + sum(high(main) + (high(side) if side else 0) + GAP for main, side in trunk)
    height += sum(max(map(high, row)) + GAP for row in end_rows) + (GAP if ends else 0)
    fig, ax = style.page(WIDTH, height)
    left = 2 if any(side for _, side in trunk) else (WIDTH - MAIN) / 2
    middle, y, above = left + MAIN / 2, 2.0, 2.0
    for main, side in trunk:
        # what a step excludes hangs off the line that leads to it
        if side:
            y += GAP / 2
            box(ax, WIDTH - SIDE - 2, y, SIDE, side, style.VERMILLION, centred=False)
            arrow(ax, (middle, y + high(side) / 2), (WIDTH - SIDE - 2, y + high(side) / 2))
            y += high(side) - GAP / 2
        if y > 2 and (side or main is not trunk[0][0]):
            y += GAP
            arrow(ax, (middle, above), (middle, y))
        y += box(ax, left, y, MAIN, main, style.BLACK, centred=True)
        above = y
    for r, row in enumerate(end_rows):
        total = len(row) * end_mm + 4 * (len(row) - 1)
        # below the trunk where it stands at the side
        start = left if total + left <= WIDTH - 2 else (WIDTH - total) / 2
        xs = [start + k * (end_mm + 4) for k in range(len(row))]
        fork = y + GAP
        if r == 0 and trunk:
            centres = [x + end_mm / 2 for x in xs]
            ax.plot([middle, middle], [above, fork], color=style.GREY, lw=0.8)
            ax.plot([min(*centres, middle), max(*centres, middle)], [fork, fork], color=style.GREY, lw=0.8)
            for centre in centres:
                arrow(ax, (centre, fork), (centre, fork + GAP))
        y = fork + (GAP if r == 0 else 0)
        y += max(box(ax, x, y, end_mm, lines, style.BLUE, centred=True) for x, lines in zip(xs, row, strict=True))
    return fig
