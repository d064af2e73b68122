"""Published scores beside the models (docs/methods.md 10.2): recalibrated in training, the same patients compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit
from statsmodels.stats.multitest import multipletests

from recur.cohort.training import TRAIN, Training
from recur.fit.models import competing_predictor, fit_columns, fit_model, linear_predictor, without_selection
from recur.statistics.concordance import blocks, c_difference, comparable_pairs, legacy_c_difference
from recur.statistics.cox import baseline_survival, likelihood_ratio_test, wald_test
from recur.statistics.estimate import NotEstimable
from recur.statistics.logistic import ML
from recur.statistics.nested_concordance import nested_difference
from recur.statistics.outcome import times_of
from recur.validation import binary as validation_binary
from recur.validation.survival import (
    KEPT,
    PERFORMANCE_COLUMNS,
    apparent,
    by_model_and_cohort,
    net_benefit_table,
    performance,
    predicted_risks,
    time_curves,
)
from recur.vocabulary import main_models

PREFIX = "score_"
SAME_PATIENTS = 0.2  # a score missing in a larger share of a cohort is judged on its own patients
BY_RANK = ("c_harrell", "c_gamma", "c_uno", "c_competing", "d_royston", "auc")
NUMBER = {"kind": "numeric", "transform": "none", "label": None, "unit": "", "timing": "pre"}
MIXED_TIMING = "a preoperative model against a postoperative score: the score knows more"
COMPARISON_COLUMNS = [
    "cohort", "model_a", "model_b", "metric", "horizon_months", "difference", "lower", "upper", "p", "method",
    "p_holm", "n", "note",
]  # fmt: skip
FIT_COLUMNS = ["score", "timing", "n", "events", "form", "chi2", "df", "p", "aic", "r2"]


def differences(me: pd.DataFrame, theirs: np.ndarray) -> list[tuple[str, str, dict[str, Any]]]:
    """(metric, method, difference) of the predictor of the rows `me` and a score of the same patients."""
    if "time" not in me:
        return [("auc", *validation_binary.auc_difference_of(me, me["lp"], theirs))]
    values = tuple(np.asarray(a, float) for a in (me["time"], me["event"], me["lp"], theirs))
    return [
        ("c_harrell", "infinitesimal jackknife, paired, two-sided", c_difference(*values)),
        ("c_gamma", "published convention: ties dropped, paired, one-sided", legacy_c_difference(*values)),
    ]


def fit_scores(
    train: Training, notes: pd.DataFrame, settings: dict[str, Any], seed: int
) -> tuple[dict[str, dict[str, Any]], pd.DataFrame]:
    """Every score as a frozen model, and how well it fits the training rows (FIT_COLUMNS).

    A score keeps its published formula: only a baseline and a slope are learnt, for absolute risks; a published Cox
    predictor also stands as `<score>:baseline`, with its own slope kept. Rows where the score is missing are left
    out, and scores that are computed from the outcome itself (settings own_variables). `form` number: the score as
    published; levels: its groups as dummies. r2 is Cox & Snell's. Of a binary outcome the models are logistic, and none
    keeps a published slope; of weighted rows chi2 is Wald's with the sandwich.
    """
    plain = settings | without_selection(settings)
    models: dict[str, dict[str, Any]] = {}
    rows = []
    for note in notes.itertuples():
        column = f"{PREFIX}{note.id}"
        used = str(note.variables).split(";")
        if column not in train.clinical or set(used) & set(settings["own_variables"]):
            continue
        known = np.flatnonzero(train.clinical[column].notna())
        part = train.rows(known)
        values = part.clinical[column].to_numpy(float)
        if not len(known) or values.std() == 0:
            continue
        chosen = plain | {"variables": {column: NUMBER | {"label": note.label, "timing": note.timing}}}
        try:
            model = fit_model(part, [column], None, chosen, seed)
        except NotEstimable:
            continue
        facts = {key: getattr(note, key) for key in ("label", "timing", "provenance")}
        model |= {"model": note.id, "score": note.id, "recalibration": "baseline and slope"} | facts
        models[note.id] = model
        if note.scale == "log_hazard" and "competing" not in model and not train.binary:
            models[f"{note.id}:baseline"] = with_own_slope(model, part, values)
        rows += fit_rows(note, part, values, part.clinical.get(f"{column}_group"))
    return models, pd.DataFrame(rows, columns=FIT_COLUMNS)


def with_own_slope(model: dict[str, Any], part: Training, values: np.ndarray) -> dict[str, Any]:
    """The score's model with slope 1 and the baseline that goes with it."""
    x = (values - values.mean())[:, None]
    times, survival = baseline_survival(x, part.time, part.event, np.ones(1))
    term = model["terms"][0] | {"coef": 1.0, "mean": float(values.mean())}
    baseline = {"time": times.tolist(), "survival": survival.tolist()}
    return (
        model
        | {"model": f"{model['model']}:baseline", "recalibration": "baseline"}
        | {
            "terms": [term],
            "baseline": baseline,
        }
    )


def fit_rows(note: Any, part: Training, values: np.ndarray, groups: pd.Series | None) -> list[tuple]:
    """Likelihood ratio, AIC and R2 of the score as a number and, where it has levels, as dummies."""
    forms = {"number": values[:, None]}
    if groups is not None and 1 < groups.nunique() <= 10:
        forms["levels"] = pd.get_dummies(groups.to_numpy(), drop_first=True).to_numpy(float)
    rows = []
    for form, x in forms.items():
        try:
            fitted = fit_columns(x, part)
        except NotEstimable:
            continue
        test = likelihood_ratio_test(fitted["loglik"], fitted["loglik_null"], x.shape[1])
        aic = 2 * fitted.get("parameters", x.shape[1]) - 2 * fitted["loglik"]
        if fitted["method"] != ML:  # a penalised likelihood has no AIC that another model's could be held against
            aic = np.nan
        r2 = 1 - np.exp(-test["chi2"] / len(x))
        if part.weight is not None:
            test = wald_test(fitted["coef"], fitted["covariance"])
        size = len(x), int(part.event.sum())
        rows.append((note.id, note.timing, *size, form, test["chi2"], test["df"], test["p"], aic, r2))
    return rows


def apply_scores(models: dict[str, dict[str, Any]], frame: pd.DataFrame) -> pd.DataFrame:
    """Every score of every row that has it, like validation.apply_models; `published` is the score itself, `lp` the
    recalibrated predictor, `group` the score's own group.
    """
    known = [name for name in KEPT if name in frame]
    parts = []
    for name, model in models.items():
        column = f"{PREFIX}{model['score']}"
        rows = frame[frame[column].notna()]
        part = rows[known].copy()
        part.insert(0, "model", name)
        part["published"] = rows[column].to_numpy(float)
        part["lp"] = linear_predictor(model, rows, None)
        group = rows.get(f"{column}_group")
        part["group"] = "all" if group is None else group.fillna("all").to_numpy(object)
        if "competing" in model:
            part["lp_competing"] = competing_predictor(model, rows, None)
        for months in model["horizons_months"]:
            part[f"risk_{months:g}"] = predicted_risks(model, part, months)[:, 0]
        if "intercept" in model:
            part["risk"] = expit(model["intercept"] + part["lp"])
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["model", *known, "published", "lp"])


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
    if "time" in risks:
        by_rank, by_risk = performance(risks.assign(lp=risks["published"]), models), performance(risks, models)
    else:
        # a score's own groups are not those of a cut-point of this study
        by_rank = by_risk = validation_binary.performance(risks.assign(group="all"), seed, "published")
        by_risk = by_risk[~by_risk["metric"].isin(validation_binary.AT_CUT)]
    ties = []
    for name, cohort, part in by_model_and_cohort(risks):
        known = part[part["event"].notna()]
        share = tied_share(times_of(known)[0], known["event"].to_numpy().astype(bool), known["published"].to_numpy())
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
    if "time" not in risks:
        nothing = pd.DataFrame(columns=["model", "cohort", "time_months", "metric", "estimate", "lower", "upper"])
        none_nested = pd.DataFrame(columns=["model", "failed", "risk"])
        return nothing, validation_binary.net_benefit_table(pd.concat([own, risks]), none_nested, thresholds)
    auc = time_curves(risks.assign(lp=risks["published"]), models)
    rest = time_curves(risks, models)
    mine = time_curves(own, mains)
    curves = pd.concat([mine, auc[auc["metric"] == "auc"], rest[rest["metric"] != "auc"]], ignore_index=True)
    return curves, net_benefit_table(pd.concat([own, risks]), mains | models, thresholds)


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
    rows, metric_of = [], times_of(own)[1]
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
                for metric, method, value in differences(me, both["published"].to_numpy(float)):
                    estimates = [value.get(key, np.nan) for key in ("estimate", "lower", "upper", "p")]
                    if cohort == TRAIN:
                        estimates[-1] = np.nan
                    base = (apparent(cohort), main, name, metric, np.nan)
                    found.append((*base, *estimates, method, np.nan, len(me), "; ".join(notes)))
                values = predicted.merge(both[["patient_id", "published"]], on="patient_id")
                if len(values):
                    base = ("train-nested_cv", main, name, metric_of, np.nan)
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
