"""Calibration of a model in patients it was not fitted on: what departs, in words (guard 43, report, model card)."""

from __future__ import annotations

from typing import Any

import pandas as pd

from recur.vocabulary import NESTED, OUT_OF_BAG, cohort_title, interval

# rows of training patients that were not fitted on, the best first: judged where nobody is held out
INTERNAL = (NESTED, OUT_OF_BAG)
IDEAL = 1.0  # of observed / expected and of the slope
SAYS = {  # metric -> what an estimate below and above its ideal value says
    "oe_ratio": (
        "predicted risks are too high: observed / expected",
        "predicted risks are too low: observed / expected",
    ),
    "calibration_slope": ("predictions are too extreme: slope", "predictions are not extreme enough: slope"),
    "ipa": ("predictions err more than one risk for everybody, the observed one: IPA", ""),
}


def judged_cohorts(performance: pd.DataFrame, model: str) -> list[str]:
    """The cohorts that the model was not fitted on: held-out ones, and the best internal one."""
    own = list(dict.fromkeys(performance.loc[performance["model"] == model, "cohort"]))
    held_out = [cohort for cohort in own if not cohort.startswith("train")]
    return held_out + [cohort for cohort in INTERNAL if cohort in own][:1]


def calibration_rows(performance: pd.DataFrame, model: str, cohort: str) -> pd.DataFrame:
    """Rows of observed / expected, slope and IPA of a model in a cohort, in this order."""
    own = performance[(performance["model"] == model) & (performance["cohort"] == cohort)]
    return pd.concat([own[own["metric"] == metric] for metric in SAYS])


def departs(row: Any) -> bool:
    """Whether an interval of O/E or slope excludes 1, or an IPA is below 0."""
    if row.metric == "ipa":
        return row.estimate < 0
    return row.lower > IDEAL or row.upper < IDEAL


def departures(performance: pd.DataFrame, model: str, cohort: str) -> list[str]:
    """What departs from a sound calibration, one phrase for the horizons of an estimate; empty when nothing does.

    performance: PERFORMANCE_COLUMNS of recur.validation.survival, of one analysis.
    """
    found: dict[str, list[str]] = {}
    for row in calibration_rows(performance, model, cohort).itertuples():
        if departs(row):
            too_low, too_high = SAYS[row.metric]
            ideal = 0.0 if row.metric == "ipa" else IDEAL
            text = too_low if row.estimate < ideal else too_high
            at = "" if pd.isna(row.horizon_months) else f" at {row.horizon_months:g} months"
            found.setdefault(text, []).append(f"{interval(row, 2)}{at}")
    return [f"{text} {', '.join(estimates)}" for text, estimates in found.items()]


def calibration_reading(performance: pd.DataFrame, model: str) -> str:
    """A sentence for each cohort that judges the model: what departs, that nothing does, or that nothing is known.

    Beside held-out patients, training ones that were not fitted on are named only where something departs.
    """
    sentences, cohorts = [], judged_cohorts(performance, model)
    for cohort in cohorts:
        rows = calibration_rows(performance, model, cohort)
        known, found = rows[rows["estimate"].notna()], departures(performance, model, cohort)
        if found:
            text = f"{'; '.join(found)}."
        elif cohort in INTERNAL and len(cohorts) > 1:
            continue
        elif known.empty:
            text = "it could not be estimated."
        else:
            text = (
                f"no departure was seen ({known['events'].iloc[0]:.0f} events), which does not show that there is none."
            )
        sentences.append(f"Calibration, {cohort_title(cohort)}: {text}")
    return " ".join(sentences)
