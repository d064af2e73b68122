"""Distribution of the main model's linear predictor in every cohort: the case-mix a C-index is to be read with."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary

INPUTS = {"risks": "validation/{analysis}/risks.csv", "transport": "validation/{analysis}/transport.csv"}
CAPTION = (
    "Linear predictor of the main model ({endpoint}) in every cohort, with its mean (line) and SD. Case-mix: the C "
    "expected if the model were true there, and the C with which the model's terms tell the cohort from the training "
    "one (0.5: alike)."
)
CATEGORY = "Validation"
NEEDS = None
OUTCOME = "survival"

BINS = 24


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    model = style.main_of(tables["risks"]["model"], context)
    risks = tables["risks"][tables["risks"]["model"] == model].dropna(subset=["lp"])
    if risks.empty or risks["lp"].min() == risks["lp"].max():
        return style.no_main(context, "no linear predictor that varies")
    found = tables["transport"][tables["transport"]["model"] == model]
    cohorts = style.cohorts_of(risks)
    fig, places = style.grid(cohorts, [None], 46, 4)
    fig.set_label(style.model_label(model, context))
    edges = np.linspace(risks["lp"].min(), risks["lp"].max(), BINS + 1)
    shares = [np.histogram(part["lp"], edges)[0].max() * 100 / len(part) for _, part in risks.groupby("cohort")]
    for (cohort, _), ax in places.items():
        here = risks.loc[risks["cohort"] == cohort, "lp"]
        ax.hist(here, bins=edges, weights=np.full(len(here), 100 / len(here)), color=style.SKY, linewidth=0)
        facts = found[found["cohort"] == cohort].drop_duplicates("quantity").set_index("quantity")["estimate"]
        mean, sd = facts.get("lp_mean", np.nan), facts.get("lp_sd", np.nan)
        if np.isfinite(mean):
            ax.plot([mean, mean], [0, max(shares)], color=style.BLACK, linewidth=0.8)
        lines = [f"n = {len(here)}", f"mean {vocabulary.number(mean)}, SD {vocabulary.number(sd)}"]
        for quantity, words in (("c_model_based", "expected C"), ("c_membership", "membership C")):
            if np.isfinite(facts.get(quantity, np.nan)):
                lines.append(f"{words} {vocabulary.number(facts[quantity])}")
        ax.annotate("\n".join(lines), (0.02, 0.98), xycoords="axes fraction", va="top", fontsize=6.5)
        ax.set_title(style.cohort_label(cohort))
        ax.set_xlabel("Linear predictor")
        ax.set_ylim(0, 1.6 * max(shares))  # room for the text above the bars
        style.left_only(ax, "Patients (%)")
    return fig
