"""Flags of methods.md section 8 that an analysis earns; printed beside its results, never hidden."""

from __future__ import annotations

from typing import Any

import pandas as pd

from recur.study import split_of, uses_features


def flags(study: dict[str, Any], analysis: str, tables: dict[str, pd.DataFrame]) -> list[tuple[int, str]]:
    """(number, text) of each flag that fires. tables: performance, rates and risks of the analysis, and
    lp_range (training range of the linear predictor by model) and empty_signature.

    The first of the forty guards; the leakage guards (1 to 4, 30, 32) are not flags but hold by construction.
    """
    chosen = study["analyses"][analysis]
    endpoint = study["endpoints"][chosen["endpoint"]]
    found: list[tuple[int, str]] = []
    performance = tables["performance"]
    train = performance[performance["cohort"] == "train-apparent"]
    events, n = (int(train[name].iloc[0]) for name in ("events", "n"))
    if split_of(study, analysis)["kind"] == "random":
        found.append((5, "The split is random: the test set is internal validation, not external."))
    if split_of(study, analysis)["kind"] == "none":
        found.append((5, "No held-out patients: judge by nested cross-validation or out-of-bag rows only."))
    if chosen["second_stage"]["selection"] != "none" or chosen["second_stage"]["screen_p"] is not None:
        found.append(
            (9, "Terms were selected by their p-values or AIC: hazard ratios and intervals are post-selection.")
        )
    validation = chosen["internal_validation"]
    if not validation["resamples"] and not validation["nested_repeats"]:
        found.append((10, "Optimism is not corrected: results on the training rows are apparent."))
    terms = len(study["candidates"]["pre"]) + len(study["candidates"]["post"]) + uses_features(study, analysis)
    if terms and events / terms < 10:
        found.append((11, f"{events} events for {terms} candidate terms ({events / terms:.1f} per term; below 10)."))
    if endpoint["kind"] == "time_to_recurrence" or (endpoint["kind"] == "recorded" and not endpoint["counts_death"]):
        found.append((18, "Death without recurrence is censored: absolute risks of recurrence are overestimated."))
    outside = share_outside(tables["risks"], tables["lp_range"])
    for cohort, share in outside.items():
        if share > 0.1:
            text = f"{100 * share:.0f} % of {cohort} lie outside the training range of the linear predictor"
            found.append((22, f"{text}: risks are extrapolated there (features or case mix differ, or wild values)."))
    if tables["empty_signature"]:
        found.append((8, "The signature is empty: no feature was kept, and the models hold clinical terms only."))
    small = tables["rates"][(tables["rates"]["n_risk"] < 10) & (tables["rates"]["model"] != "all")]
    if len(small):
        found.append((40, f"{len(small)} survival rates of risk groups rest on fewer than 10 patients at risk."))
    if uses_features(study, analysis) and chosen["second_stage"]["scores"] == "in_sample":
        found.append(
            (41, "The second-stage Cox model was fitted on the signature's own training scores, which inflates it.")
        )
    if uses_features(study, analysis) and chosen["ranking"]["kind"] != "none":
        found.append((8, f"Features were ranked one by one on {events} events of {n} patients: ranks are unstable."))
    return sorted(found)


def share_outside(risks: pd.DataFrame, lp_range: dict[str, list[float]]) -> dict[str, float]:
    """Share of each held-out cohort beyond the training linear predictors of a model, the largest over models."""
    held = risks[risks["cohort"] != "train"]
    low = held["model"].map(lambda name: lp_range[name][0])
    high = held["model"].map(lambda name: lp_range[name][1])
    outside = ((held["lp"] < low) | (held["lp"] > high)).groupby([held["cohort"], held["model"]]).mean()
    return outside.groupby("cohort").max().to_dict()
