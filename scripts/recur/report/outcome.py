"""What the sentences of the report say of the outcome, and at which horizons there are risks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from recur.predict.support import why_no_risk
from recur.report.analysis import category
from recur.report.parts import by_analysis
from recur.report.phrases import listed
from recur.report.results import Run, frozen_model, read
from recur.study.endpoints import has_competing, is_weighted
from recur.study.facts import outcome_kind, timed_endpoint
from recur.vocabulary import analysis_words, censors_death, cohort_title, lower_first, main_model, start_of


def section(run: Run) -> Markup:
    """The figures of the outcome in the risk groups of each analysis."""
    return by_analysis(run, lambda run, analysis: category(run, analysis, "Survival"))


def weights_text(followed: pd.DataFrame) -> str:
    """Patients, events and censored of each cohort, and how far their weights reach (rows of follow_up.csv)."""
    groups = followed[followed["largest_weight"].notna()]
    cohorts = groups[groups["by"] == "cohort"]
    return "; ".join(
        f"{cohort_title(row.group)}: {row.n:.0f} patients, {row.events:.0f} with the event by then, {row.censored:.0f} "
        f"censored before (weight 0), largest weight {row.largest_weight:.2f}, effective number {row.effective_n:.0f}"
        for row in (cohorts if len(cohorts) else groups[groups["by"] == "all"]).itertuples()
    )


def outcome_facts(results: Path, study: Mapping[str, Any], analysis: str, performance: pd.DataFrame) -> dict[str, Any]:
    """The endpoint, what ends its time, and at which horizons the main model gives risks."""
    chosen = study["analyses"][analysis]
    outcome = outcome_kind(study, analysis)
    endpoint = study["endpoints"][chosen["endpoint"]]
    rests_on = timed_endpoint(study, analysis) or {"kind": ""}
    weighted = is_weighted(endpoint)
    timed = outcome == "survival"
    main = frozen_model(results, analysis, main_model(performance.get("model", [])))
    followed = read(results, f"cohort/{analysis}/follow_up.csv")
    competitor = analysis_words(study, analysis)["competitor"]
    return {
        "endpoint": lower_first(endpoint.get("label") or chosen["endpoint"]),
        "binary": outcome == "binary",
        "survival": timed,
        "left_out": "of" in endpoint and not weighted,
        "weighted": weighted,
        "binary_unweighted": outcome == "binary" and not weighted,
        "other_by_then": "Death without the event" if competitor == "death" else "The competing event",
        "months": f"{rests_on['horizon_months']:g}" if weighted else "",
        "weighted_competing": weighted and has_competing(rests_on),
        "weights": weights_text(followed) if weighted and len(followed) else "",
        # of an endpoint with a column of its own only that column knows
        "t0": timed and endpoint["kind"] != "recorded" and (start_of(study) or "the index treatment"),
        "death_censored": bool(rests_on["kind"]) and censors_death(study, endpoint.get("of", chosen["endpoint"])),
        "competing": has_competing(endpoint),
        **horizon_facts(main, study, timed),
        "bare_competitor": main.get("competing", {}).get("reason", ""),
    }


def horizon_facts(model: Mapping[str, Any], study: Mapping[str, Any], timed: bool) -> dict[str, Any]:
    """The horizons with a risk of the main model, whether the primary one is among them, and why others have none."""
    if not timed:
        return {"horizons": "", "primary_risk": False, "no_risk": ""}
    known = []
    none = []
    for months in study["horizons_months"]:
        why = why_no_risk(model, months) if model else ""
        short = strata_without_risk(model, months)
        if why:
            none.append(f"at {months:g} months ({why})")
        elif short:
            none.append(f"at {months:g} months to patients of {listed(short)} (too few of them were followed so long)")
        if not why and not (short and len(short) == len(model["strata"]["levels"])):
            known.append(months)
    horizons = " and ".join(f"{months:g}" for months in known)
    return {"horizons": horizons, "primary_risk": study["horizons_months"][0] in known, "no_risk": listed(none)}


def strata_without_risk(model: Mapping[str, Any], months: float) -> list[str]:
    """Names of the strata of a model whose own follow-up gives no risk at a time."""
    levels = model.get("strata", {}).get("levels", [])
    return [level["stratum"] for level in levels if why_no_risk(level, months)]
