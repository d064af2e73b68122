"""Calibration of the main model per cohort and horizon."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style
from recur.vocabulary import APPARENT, NESTED, TRAIN

INPUTS = {
    "calibration": "validation/{analysis}/calibration.csv",
    "performance": "validation/{analysis}/performance.csv",
    "risks": "validation/{analysis}/risks.csv",
    "nested": "validation/{analysis}/nested_cv.csv",
}
CAPTION = (
    "Calibration of the main model ({endpoint}): observed against predicted risk as a smooth curve with 95 % band "
    "and as risk groups; below, the histogram of the patients' predictions; the diagonal is perfect calibration. "
    "Nested cross-validation: predictions by models fitted without the patient, several a patient, hence no band."
)
CATEGORY = "Validation"
NEEDS = None

BINS = 40
ROOM = 0.15  # of the histogram, in units of the axis
FLOOR = -0.18
FITTED = (TRAIN, APPARENT)  # on rows that were fitted calibration is good whatever the model


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table, performance = tables["calibration"], tables["performance"]
    model = style.main_of(table["model"], context)
    if model is None:
        return style.no_main(context, "no calibration could be estimated")
    table = table[table["model"] == model]
    cohorts, horizons = style.cohorts_of(table), style.horizons_of(table)
    if NESTED in cohorts:
        cohorts = [cohort for cohort in cohorts if cohort not in FITTED]
    fig, places = style.grid(cohorts, horizons, 58)
    fig.set_label(style.model_label(model, context))
    event = context["words"]["event"]
    for (cohort, horizon), ax in places.items():
        here = style.at(table, cohort, horizon)
        curve = here[here["kind"] == "curve"].sort_values("predicted")
        groups = here[here["kind"] == "group"].sort_values("predicted")
        ax.plot([0, 1], [0, 1], color=style.GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=1)
        ax.fill_between(curve["predicted"], curve["lower"], curve["upper"], color=style.SKY, alpha=0.3, linewidth=0)
        ax.plot(curve["predicted"], curve["observed"], color=style.BLUE, zorder=3)
        reach = np.nan_to_num([groups["observed"] - groups["lower"], groups["upper"] - groups["observed"]])
        ax.errorbar(
            groups["predicted"], groups["observed"], yerr=np.clip(reach, 0, None), fmt="o", color=style.VERMILLION,
            elinewidth=0.8, markersize=3.5, zorder=4,
        )  # fmt: skip
        column = "risk" if horizon is None else f"risk_{horizon:g}"
        predicted = predictions(tables, model, cohort)
        if column in predicted:
            counts, edges = np.histogram(predicted[column].dropna(), bins=BINS, range=(0, 1))
            tops = FLOOR + ROOM * counts / max(counts.max(), 1)
            ax.bar(edges[:-1], tops - FLOOR, np.diff(edges), FLOOR, align="edge", color=style.GREY, linewidth=0)
            ax.axhline(0, color=style.LIGHT, linewidth=0.5, zorder=0)
        named = (("calibration_slope", "slope"), ("oe_ratio", "O/E"), ("ici", "ICI"))
        texts = [(f"{n} ", style.estimate_text(performance, model, cohort, metric, horizon)) for metric, n in named]
        ax.text(
            0.03,
            0.98,
            "\n".join(a + b for a, b in texts if b),
            transform=ax.transAxes,
            va="top",
            fontsize=6.5,
            zorder=5,
        )
        ax.set(xlim=(0, 1), ylim=(FLOOR, 1), xticks=np.arange(0, 1.1, 0.2), yticks=np.arange(0, 1.1, 0.2))
        style.percent(ax.xaxis)
        style.percent(ax.yaxis)
        ax.set_title(style.panel_title(cohort, horizon))
        ax.set_xlabel(f"Predicted {event} (%)")
        style.left_only(ax, f"Observed {event} (%)")
    return fig


def predictions(tables: dict[str, pd.DataFrame], model: str, cohort: str) -> pd.DataFrame:
    """The rows of the model's predictions in a cohort."""
    table = tables["nested"] if cohort == NESTED else tables["risks"]
    own = table[table["model"] == model]
    return own if cohort == NESTED else own[own["cohort"] == cohort.removesuffix("-apparent")]
