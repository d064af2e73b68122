"""Harrell's C (AUC) of every model of the study and of every published score and stage."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary
from recur.vocabulary import APPARENT, NESTED, OUT_OF_BAG

INPUTS = {
    "performance": "validation/{analysis}/performance.csv",
    "scores": "validation/{analysis}/scores.csv",
    "notes": "cohort/score_notes.csv",
}
CAPTION = (
    "{c} of the study's models (filled) and of every published score and stage (open), highest first, with 95 "
    "% confidence intervals ({endpoint}): each on all patients it can be computed for, so that n differs; the "
    "comparison on the same patients is the figure of differences. In training only the nested cross-validation of "
    "the models is shown. + the score's formula rests on memory."
)
CATEGORY = "Scores"
NEEDS = "scores"

INNER = (NESTED, OUT_OF_BAG, APPARENT)  # the first there is stands for the training patients


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    words = context["words"]
    own, scores = (tables[name][tables[name]["metric"] == words["metric"]] for name in ("performance", "scores"))
    own = own[own["model"] != "all"].dropna(subset=["estimate"])
    # the refitted baselines of a score rank as the score does
    scores = scores[~scores["model"].str.contains(":|\\.baseline", regex=True)].dropna(subset=["estimate"])
    scores = scores[~scores["model"].isin(own["model"])]
    notes = tables["notes"].set_index("id")
    rows = []
    held = [cohort for cohort in style.cohorts_of(own) if not cohort.startswith("train")]
    inner = next((cohort for cohort in INNER if (own["cohort"] == cohort).any()), None)
    for cohort in [*held, *([inner] if inner else [])]:
        place = APPARENT if cohort.startswith("train") else cohort
        both = pd.concat([own[own["cohort"] == cohort], scores[scores["cohort"] == place]])
        if both.empty:
            continue
        rows.append({"label": style.cohort_label("train" if cohort.startswith("train") else cohort)})
        for row in both.sort_values(["estimate", "model"], ascending=[False, True]).itertuples():
            ours = row.model in set(own["model"])
            label = style.model_label(row.model, context) if ours else notes["label"].get(row.model, row.model)
            if ours and cohort.startswith("train"):
                label = f"{label}, {style.cohort_label(cohort).removeprefix('Training, ')}"
            if not ours and notes["provenance"].get(row.model) == "memory":
                label = f"{label}+"
            rows.append(
                {
                    "label": label,
                    "estimate": row.estimate,
                    "lower": row.lower,
                    "upper": row.upper,
                    "color": style.VERMILLION if ours else style.BLUE,
                    "filled": ours,
                    "marker": "D" if ours else "s",
                    "texts": (
                        vocabulary.interval_in_figure(row.estimate, row.lower, row.upper),
                        vocabulary.number(row.n, 0),
                    ),
                }
            )
    if not rows:
        return style.message("no score could be judged")
    return style.forest(
        rows,
        words["c"],
        0.5,
        (f"{words['c_short']} (95 % CI)", "n"),
        width_mm=style.TWO_COLUMNS,
        right_mm=(27, 8),
        plot_share=0.36,
    )
