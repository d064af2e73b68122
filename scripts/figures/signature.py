"""Waterfall of the radiomics signature per cohort."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from recur import style

INPUTS = {"scores": "signature/{analysis}/scores.csv", "risks": "validation/{analysis}/risks.csv"}
CAPTION = (
    "Radiomics signature of every patient, sorted, coloured by the patient's outcome ({endpoint}). Training patients "
    "carry their out-of-fold score where there is one."
)
CATEGORY = "Signature"
NEEDS = "signature"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["scores"]
    outcomes = tables["risks"].drop_duplicates("patient_id").set_index("patient_id")["event"]
    fold = table.get("score_out_of_fold", pd.Series(np.nan, table.index))
    table = table.assign(shown=fold.fillna(table["score"]), fold=fold.notna()).dropna(subset=["shown"])
    if table.empty or (tables["scores"]["score"].fillna(0) == 0).all():
        return style.message("empty signature: no feature kept")
    event = context["words"]["event"]
    kinds = {
        1.0: (style.VERMILLION, event.capitalize()),
        0.0: (style.SKY, f"No {event} seen"),
        -1.0: (style.LIGHT, "Outcome not evaluated"),
    }
    table["event"] = table["patient_id"].map(outcomes).map({0: 0.0, 1: 1.0, 2: 0.0}).fillna(-1.0)  # 2: competing death
    cohorts = style.cohorts_of(table)
    fig, places = style.grid(cohorts, [None], 48, 7)
    reach = 1.05 * table["shown"].abs().max()
    for (cohort, _), ax in places.items():
        here = table[table["cohort"] == cohort].sort_values(["shown", "patient_id"])
        place = np.arange(1, len(here) + 1)
        colours = here["event"].map({k: c for k, (c, _) in kinds.items()})
        ax.bar(place, here["shown"], width=1.0, color=list(colours), linewidth=0, snap=False)
        ax.axhline(0, color=style.BLACK, linewidth=0.6)
        ax.set_title("Training, out-of-fold" if here["fold"].any() else style.evaluated_label(cohort))
        ax.set(ylim=(-reach, reach), xlim=(0, len(here) + 1), xlabel=f"Patients, sorted (n = {len(here)})")
        style.left_only(ax, "Radiomics signature")
    handles = [Patch(color=c, label=name) for k, (c, name) in kinds.items() if (table["event"] == k).any()]
    fig.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=1.2)
    return fig
