"""The study's main models against every published score: differences of C (AUC) on the same patients."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary
from recur.vocabulary import NESTED, p_text

INPUTS = {
    "comparisons": "validation/{analysis}/score_comparisons.csv",
    "scores": "validation/{analysis}/scores.csv",
    "notes": "cohort/score_notes.csv",
}
CAPTION = (
    "Difference in {c} ({endpoint}) between the study's model and each published score on the same patients, "
    "with 95 % confidence intervals; p two-sided with Holm's correction; tied: share of the usable pairs that the "
    "score leaves tied. * postoperative score against a preoperative model; + the score's formula rests on memory."
)
CATEGORY = "Scores"
NEEDS = "scores"


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    table = tables["comparisons"]
    table = table[table["metric"] == context["words"]["metric"]]
    held = table[~table["cohort"].str.startswith("train")]
    unseen = table[table["cohort"] == NESTED]
    table = held if len(held) else unseen if len(unseen) else table
    if table.empty:
        return style.message("no score could be compared")
    notes = tables["notes"].set_index("id")
    scores = tables["scores"].set_index(["model", "cohort", "metric"])["estimate"]
    rows = []
    for (cohort, model), part in table.groupby(["cohort", "model_a"], sort=False):
        rows.append({"label": f"{style.model_label(model, context)}, {style.evaluated_label(cohort)}"})
        for row in part.sort_values("difference", ascending=False).itertuples():
            marks = ""
            if notes["timing"].get(row.model_b) == "post" and not model.endswith("_post"):
                marks += "*"
            if notes["provenance"].get(row.model_b) == "memory":
                marks += "+"
            tied = scores.get((row.model_b, cohort.replace("nested_cv", "apparent"), "tied_share"), float("nan"))
            rows.append(
                {
                    "label": f"{notes['label'].get(row.model_b, row.model_b)}{marks}",
                    "estimate": row.difference,
                    "lower": row.lower,
                    "upper": row.upper,
                    "texts": (
                        vocabulary.interval_in_figure(row.difference, row.lower, row.upper),
                        p_text(row.p_holm),
                        f"{100 * tied:.0f} %",
                        f"{row.n:.0f}",
                    ),
                }
            )
    headings = ("Difference (95 % CI)", "p (Holm)", "tied", "n")
    axis = f"Difference in {context['words']['c_short']}; above 0 the model is better"
    return style.forest(
        rows, axis, 0.0, headings, width_mm=style.TWO_COLUMNS, right_mm=(29, 14, 10, 7), plot_share=0.22
    )
