"""Published scores beside the models (docs/methods.md 10.2): recalibrated in training, the same patients compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from recur.statistics.binary_risks import AT_CUT
from recur.statistics.concordance import blocks, c_difference, comparable_pairs, legacy_c_difference
from recur.statistics.nested_concordance import nested_difference
from recur.statistics.outcome import BINARY, outcome_of
from recur.validation import binary
from recur.validation.common import PERFORMANCE_COLUMNS, Measure, by_model_and_cohort
from recur.validation.survival import time_curves
from recur.validation.tables import net_benefit_table, performance
from recur.vocabulary import NESTED, TRAIN, apparent, main_models

SAME_PATIENTS = 0.2  # a score missing in a larger share of a cohort is judged on its own patients
BY_RANK = ("c_harrell", "c_gamma", "c_uno", "c_competing", "d_royston", "auc")
MIXED_TIMING = "a preoperative model against a postoperative score: the score knows more"
COMPARISON_COLUMNS = [
    "cohort", "model_a", "model_b", "metric", "horizon_months", "difference", "lower", "upper", "p", "method",
    "p_holm", "n", "note",
]  # fmt: skip


def differences(me: pd.DataFrame, theirs: np.ndarray) -> list[Measure]:
    """Differences of the predictor of the rows `me` and a score (n,) of the same patients."""
    outcome = outcome_of(me)
    if outcome.kind == BINARY:
        return [binary.auc_difference_of(outcome, me["lp"], theirs)]
    values = tuple(np.asarray(a, float) for a in (outcome.time, outcome.event, me["lp"], theirs))
    one_sided = "published convention: ties dropped, paired, one-sided"
    return [
        Measure("c_harrell", None, "infinitesimal jackknife, paired, two-sided", c_difference(*values)),
        Measure("c_gamma", None, one_sided, legacy_c_difference(*values)),
    ]


def same_patients(risks: pd.DataFrame, own: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of scores and of the study's models (`own`) of the patients who have every score that is missing in at most
    SAME_PATIENTS of their cohort; scores missing more often keep their own patients.
    """
    kept, mine = [risks.head(0)], [own.head(0)]
    for cohort, part in risks.groupby("cohort", sort=False):
        wide = part.pivot(index="patient_id", columns="model", values="published")
        common = wide.columns[wide.isna().mean() <= SAME_PATIENTS]
        complete = wide.index[wide[common].notna().all(axis=1)]
        kept.append(part[part["patient_id"].isin(complete) | ~part["model"].isin(common)])
        mine.append(own[(own["cohort"] == cohort) & own["patient_id"].isin(complete)])
    return pd.concat(kept), pd.concat(mine)


def tied_share(time: np.ndarray, event: np.ndarray, values: np.ndarray) -> float:
    """Share of the usable pairs whose members have the same value; NaN without a pair."""
    tied = usable = 0
    for rows in blocks(np.flatnonzero(event), len(time)):
        pairs = comparable_pairs(time, event, rows)
        tied += int((pairs & (values[rows, None] == values)).sum())
        usable += int(pairs.sum())
    return tied / usable if usable else np.nan


def score_performance(risks: pd.DataFrame, models: dict[str, dict[str, Any]], seed: int) -> pd.DataFrame:
    """Performance of the scores: discrimination by the published formula, calibration and error of the recalibrated
    risks, and how tied a score is: `tied_share` of the usable pairs and `c_attainable`, the largest Harrell C that
    such a score can reach.
    """
    if outcome_of(risks).kind == BINARY:
        # a score's own groups are not those of a cut-point of this study
        by_rank = by_risk = performance(risks.assign(group="all"), models, seed)
        by_risk = by_risk[~by_risk["metric"].isin(AT_CUT)]
    else:
        by_rank = performance(risks.assign(lp=risks["published"]), models, seed)
        by_risk = performance(risks, models, seed)
    ties = []
    for name, cohort, part in by_model_and_cohort(risks):
        known = part[part["event"].notna()]
        outcome = outcome_of(known)
        share = tied_share(outcome.pair_times, outcome.event.astype(bool), known["published"].to_numpy())
        base = (name, apparent(cohort))
        size = (np.nan, np.nan, len(part), int(part["event"].sum()))
        ties.append((*base, "tied_share", np.nan, share, *size, "share of usable pairs"))
        ties.append((*base, "c_attainable", np.nan, 1 - share / 2, *size, "all pairs that are not tied in order"))
    parts = [
        by_rank[by_rank["metric"].isin(BY_RANK)],
        by_risk[~by_risk["metric"].isin(BY_RANK)],
        pd.DataFrame(ties, columns=PERFORMANCE_COLUMNS),
    ]
    return pd.concat(parts).sort_values(["model", "cohort"], kind="stable", ignore_index=True)


def score_curves(
    risks: pd.DataFrame,
    models: dict[str, dict[str, Any]],
    own: pd.DataFrame,
    own_models: dict[str, dict[str, Any]],
    thresholds: tuple[float, float],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """AUC and Brier score over time (none of a binary outcome), and net benefit from the lowest to the highest
    threshold, of the scores and of the study's main models; risks and own as `same_patients` gives them.
    """
    mains = {name: own_models[name] for name in main_models(own["model"])}
    own = own[own["model"].isin(mains)]
    not_nested = pd.DataFrame(columns=["model", "failed", "risk"])
    net_benefit = net_benefit_table(pd.concat([own, risks]), mains | models, not_nested, thresholds)
    if outcome_of(risks).kind == BINARY:
        columns = ["model", "cohort", "time_months", "metric", "estimate", "lower", "upper"]
        return pd.DataFrame(columns=columns), net_benefit
    auc = time_curves(risks.assign(lp=risks["published"]), models)
    rest = time_curves(risks, models)
    mine = time_curves(own, mains)
    curves = pd.concat([mine, auc[auc["metric"] == "auc"], rest[rest["metric"] != "auc"]], ignore_index=True)
    return curves, net_benefit


def score_comparisons(
    own: pd.DataFrame,
    scores: pd.DataFrame,
    models: dict[str, dict[str, Any]],
    timing: dict[str, str],
    nested: pd.DataFrame,
    seed: int,
) -> pd.DataFrame:
    """Differences in Harrell's C (of a binary outcome: AUC, DeLong) between the study's main models and every score on
    the same patients (COMPARISON_COLUMNS): paired and two-sided with Holm's correction over the scores of a cohort;
    beside that of C the published convention (ties dropped, one-sided). No p-value on training rows that the model was
    fitted on.

    own: risks of the study's models; timing: pre or post of each; nested: their predictions in nested cross-validation
    (resampling.NESTED_COLUMNS), cohort `train-nested_cv`. A preoperative model against a postoperative score says so in
    `note`; a preoperative score is compared with the preoperative model only.
    """
    rows, metric_of = [], outcome_of(own).metric
    for cohort, part in scores.groupby("cohort", sort=False):
        for main in main_models(own["model"]):
            mine = own[(own["model"] == main) & (own["cohort"] == cohort)].set_index("patient_id")
            predicted = nested[nested["model"] == main] if cohort == TRAIN else nested.head(0)
            found, unseen = [], []
            for name, rows_of in part.groupby("model", sort=False):
                score = models[name]
                if score["recalibration"] == "baseline" or (timing[main], score["timing"]) == ("post", "pre"):
                    continue  # the same ranks again
                both = rows_of[rows_of["patient_id"].isin(mine.index)]
                me = mine.loc[both["patient_id"]]
                notes = [MIXED_TIMING] if timing[main] != score["timing"] else []
                notes += ["the score's formula rests on memory"] if score["provenance"] == "memory" else []
                for measure in differences(me, both["published"].to_numpy(float)):
                    estimates = [measure.value.get(key, np.nan) for key in ("estimate", "lower", "upper", "p")]
                    if cohort == TRAIN:
                        estimates[-1] = np.nan
                    base = (apparent(cohort), main, name, measure.metric, np.nan)
                    found.append((*base, *estimates, measure.method, np.nan, len(me), "; ".join(notes)))
                values = predicted.merge(both[["patient_id", "published"]], on="patient_id")
                if len(values):
                    base = (NESTED, main, name, metric_of, np.nan)
                    difference = nested_difference(values, "lp", "published", seed)
                    unseen.append((*base, *difference, np.nan, len(both), "; ".join(notes)))
            for table in (found, unseen):
                rows += with_holm(pd.DataFrame(table, columns=COMPARISON_COLUMNS)).to_numpy().tolist()
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)


def with_holm(table: pd.DataFrame) -> pd.DataFrame:
    """p_holm over the two-sided tests of one model in one cohort (Holm 1979)."""
    tested = (table["metric"] != "c_gamma") & table["p"].notna()
    if tested.any():
        table.loc[tested, "p_holm"] = multipletests(table.loc[tested, "p"], method="holm")[1]
    return table
