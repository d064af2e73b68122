"""Time-dependent AUC and net benefit of the main model and of the best published scores."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style

INPUTS = {
    "curves": "validation/{analysis}/score_curves.csv",
    "net_benefit": "validation/{analysis}/score_net_benefit.csv",
    "scores": "validation/{analysis}/scores.csv",
    "notes": "cohort/score_notes.csv",
}
CAPTION = (
    "Time-dependent AUC (left) and net benefit at the primary horizon (right) of the main model and of the published "
    "scores with the highest C ({endpoint}), on the patients who have the scores; scores keep their formula, their "
    "risks are recalibrated in training. Grey and black: treat all, treat none."
)
CATEGORY = "Scores"
NEEDS = "scores"
OUTCOME = "survival"

BEST = 5


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    c = tables["scores"]
    c = c[(c["metric"] == "c_harrell") & ~c["model"].str.contains(":")].dropna(subset=["estimate"])
    cohorts = [cohort for cohort in style.cohorts_of(c) if not cohort.startswith("train")] or style.cohorts_of(c)
    if c.empty:
        return style.message("no score could be judged")
    cohort = cohorts[0]
    best = c[c["cohort"] == cohort].sort_values(["estimate", "model"], ascending=[False, True])["model"].head(BEST)
    main = style.main_of(tables["curves"]["model"], context)
    names = [*([main] if main else []), *best]
    labels = tables["notes"].set_index("id")["label"]
    looks = {}
    for name, (colour, line, _) in zip(names, style.SERIES, strict=False):
        label = style.model_label(main, context) if name == main else labels.get(name, name)
        looks[name] = {"color": colour, "linestyle": line, "label": label}
    fig, places = style.grid(["auc", "net_benefit"], [None], 55, 24)
    here = cohort.removesuffix("-apparent")
    auc = tables["curves"]
    auc = auc[(auc["metric"] == "auc") & (auc["cohort"] == here)].dropna(subset=["estimate"])
    benefit = tables["net_benefit"]
    benefit = benefit[(benefit["cohort"] == here) & (benefit["horizon_months"] == context["primary_horizon"])]
    left, right = places.values()
    for name, look in looks.items():
        curve = auc[auc["model"] == name].sort_values("time_months")
        left.plot(curve["time_months"], curve["estimate"], **look)
        curve = benefit[benefit["model"] == name].sort_values("threshold")
        right.plot(curve["threshold"], curve["net_benefit"], **look)
    curve = benefit[benefit["model"] == "treat_all"].drop_duplicates("threshold").sort_values("threshold")
    right.plot(curve["threshold"], curve["net_benefit"], color=style.GREY, linewidth=0.8)
    left.axhline(0.5, color=style.GREY, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
    if len(auc):
        left.set(xticks=style.month_ticks(auc["time_months"].max()))
    left.set(xlabel=context["words"]["since"], ylabel="AUC(t)", title=style.evaluated_label(cohort))
    own = benefit[benefit["model"].isin(names)]["net_benefit"].dropna()
    top = max(own.max(), 0.02) if len(own) else 0.1
    right.set_ylim(-0.18 * top, 1.08 * top)
    right.axhline(0, color=style.BLACK, linewidth=0.8)
    style.percent(right.xaxis)
    right.set(xlabel="Threshold probability (%)", ylabel="Net benefit", title=f"{context['primary_horizon']:g} months")
    style.legend(fig, looks)
    return fig
