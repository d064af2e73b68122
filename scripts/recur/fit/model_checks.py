"""Floor 6: what the guards need to know of the fitted models, from training rows only; no model is changed by it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time
from scipy.stats import false_discovery_control, norm
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from recur.cli import progress
from recur.cohort.training import Training
from recur.fit.regression import fit_columns
from recur.fit.selection import term_groups
from recur.fit.signature import build_signature
from recur.fit.stability import stability, usable_columns
from recur.fit.strata import with_strata
from recur.predict.model import applied_design, linear_predictor, risk_group
from recur.statistics.cox import likelihood_ratio_test, schoenfeld_test, term_test, univariable_cox, wald_test
from recur.statistics.cutpoint import best_cutpoint
from recur.statistics.estimate import NotEstimable
from recur.statistics.linear_predictor import tied
from recur.statistics.logistic import ML, fit_or_penalised
from recur.statistics.outcome import BINARY, SURVIVAL
from recur.statistics.roc import youden
from recur.statistics.splines import restricted_cubic_spline

COLUMNS = ["guard", "model", "term", "measure", "value", "df", "p"]
LEVEL = 0.05
SPLINE_CENTILES = (10, 50, 90)
CUTPOINT_DRAWS = 200
SHADOW_DRAWS = 3
CENTRE_COMPONENTS = 10


def diagnose(
    train: Training, score: np.ndarray | None, models: dict[str, dict[str, Any]], settings: dict[str, Any], seed: int
) -> pd.DataFrame:
    """All diagnostics of an analysis, one value a row (COLUMNS); guard is the number it belongs to (docs/guards.md)."""
    rows: list[tuple] = []
    everyone = train
    for name, model in progress(models.items(), len(models), "diagnostics", "models"):
        if "strata" in model:
            train = with_strata(everyone, settings)
        else:
            train = everyone
        if model["terms"]:
            if train.outcome.kind == SURVIVAL:
                rows += proportional_hazards(name, model, train, score, max(settings["horizons_months"]))
            rows += nonlinearity(name, model, train, score)
            if train.outcome.kind == SURVIVAL or settings.get("cutpoint_sensitivity") is None:
                rows += cutpoint_spread(name, model, train, score, seed)
    rows += added_value(models)
    if everyone.names:
        rows += shadow_features(everyone, settings, seed)
        rows += centre_from_features(everyone, seed)
    return pd.DataFrame(rows, columns=COLUMNS)


def proportional_hazards(
    name: str, model: dict[str, Any], train: Training, score: np.ndarray | None, horizon: float
) -> list[tuple]:
    """Guard 12: Schoenfeld tests per term and together (R cox.zph, transform km). Where a term's p is below 0.05, its
    log hazard ratio before and after the median event time; where the model's is, the difference of the restricted
    mean event-free months between its risk groups up to `rmst_until_months`: the horizon, or the time at which the
    follow-up of one of the groups ends, beyond which its curve is unknown.
    """
    x = applied_design(model, train.clinical, score)
    groups = term_groups(model["terms"])
    try:
        time, event = train.outcome.time, train.outcome.event
        table = schoenfeld_test(x, time, event, terms=list(groups.values()), strata=train.strata)
    except NotEstimable:
        return []
    rows = []
    half = float(np.median(train.outcome.time[train.outcome.event == 1]))
    until_half = {
        "time": np.minimum(train.outcome.time, half),
        "event": np.where(train.outcome.time <= half, train.outcome.event, 0),
    }
    early = train._replace(outcome=train.outcome._replace(**until_half))
    late = train.outcome.time > half
    for term, test in zip([*groups, "(all)"], table.itertuples(), strict=True):
        rows.append((12, name, term, "proportional_hazards_chi2", test.chi2, test.df, test.p))
        if test.p < LEVEL and term != "(all)":
            for measure, part in (
                ("log_hr_early", lambda: fit_columns(x, early)),
                ("log_hr_late", lambda: fit_columns(x[late], train.rows(np.flatnonzero(late)))),
            ):
                rows += [
                    (12, name, model["terms"][j]["name"], measure, v, np.nan, np.nan)
                    for j, v in _coef(part, groups[term])
                ]
    if table["p"].iloc[-1] < LEVEL and model["cutpoint"] is not None:
        groups_of = risk_group(model, linear_predictor(model, train.clinical, score))
        time, event = train.outcome.time, train.outcome.event
        until = min(horizon, *(time[groups_of == g].max() for g in ("low", "high")))
        means = [
            restricted_mean_survival_time(KaplanMeierFitter().fit(time[groups_of == g], event[groups_of == g]), t=until)
            for g in ("low", "high")
        ]
        rows.append((12, name, "(all)", "rmst_difference_months", float(means[0] - means[1]), np.nan, np.nan))
        rows.append((12, name, "(all)", "rmst_until_months", float(until), np.nan, np.nan))
    return rows


def _coef(fit: Any, columns: list[int]) -> list[tuple[int, float]]:
    try:
        coef = fit()["coef"]
    except NotEstimable:
        return []
    return [(j, float(coef[j])) for j in columns]


def nonlinearity(name: str, model: dict[str, Any], train: Training, score: np.ndarray | None) -> list[tuple]:
    """Guard 13: likelihood-ratio test of a restricted cubic spline (knots at the 10th, 50th and 90th centile) against
    the straight line, for every numeric column of a model that is no spline yet, the other columns kept. Of weighted
    rows a Wald test with the sandwich: twice a difference of weighted likelihoods is no chi2.
    """
    x = applied_design(model, train.clinical, score)
    rows = []
    for j, column in enumerate(model["terms"]):
        knots = np.percentile(x[:, j], SPLINE_CENTILES)
        if column["kind"] not in ("numeric", "signature") or "knots" in column or len(np.unique(knots)) < len(knots):
            continue
        try:
            curve = restricted_cubic_spline(x[:, j], knots)[:, 1:]
            straight = fit_columns(x, train)
            bent = fit_columns(np.column_stack([x, curve]), train)
        except NotEstimable:
            continue
        curve_places = range(x.shape[1], x.shape[1] + curve.shape[1])
        if train.outcome.weight is not None and bent["method"] != ML:
            continue
        if train.outcome.weight is not None:
            kind = "wald"
            test = wald_test(bent["coef"], bent["covariance"], curve_places)
        elif bent["method"] != ML:  # penalised likelihoods of two models are not compared
            kind = "lr"
            test = bent["ratio_test"](curve_places)
        else:
            kind = "lr"
            test = likelihood_ratio_test(bent["loglik"], straight["loglik"], curve.shape[1])
        rows.append((13, name, column["name"], f"spline_{kind}_chi2", test["chi2"], test["df"], test["p"]))
    return rows


def cutpoint_spread(
    name: str, model: dict[str, Any], train: Training, score: np.ndarray | None, seed: int
) -> list[tuple]:
    """Guard 7: the frozen cut-point, its p corrected for the search, and 95 % centiles over bootstrap resamples; of a
    binary outcome Youden's, which has no such p.
    """
    if model["cutpoint"] is None:
        return []
    lp = tied(linear_predictor(model, train.clinical, score))
    rng = np.random.default_rng([seed, 7])
    cutpoints = []
    for _ in range(CUTPOINT_DRAWS):
        at = rng.integers(0, len(lp), len(lp))
        if train.outcome.kind == BINARY:
            drawn = train.outcome.rows(at)
            cutpoints.append(youden(drawn.event, lp[at], drawn.weight).get("threshold", np.nan))
        else:
            cutpoints.append(best_cutpoint(lp[at], train.outcome.time[at], train.outcome.event[at])["cutpoint"])
    low, high = np.nanquantile(cutpoints, [0.025, 0.975]) if np.isfinite(cutpoints).any() else (np.nan, np.nan)
    p = model["cutpoint"]["p_corrected"]
    return [
        (7, name, "", "cutpoint_lp", model["cutpoint"]["lp"], np.nan, np.nan if p is None else p),
        (7, name, "", "cutpoint_lp_lower", float(low), np.nan, np.nan),
        (7, name, "", "cutpoint_lp_upper", float(high), np.nan, np.nan),
    ]


def cutpoint_scan(train: Training, score: np.ndarray | None, models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Every cut of a model's linear predictor that the search for its cut-point looked at.

    Columns model, cutpoint, n_low, events_low, events_high, statistic (standardised log-rank), p (of this cut, as if it
    were the only one), chosen, and on the chosen cut p_corrected (for the search; recur.statistics.cutpoint).
    """
    columns = ["model", "cutpoint", "n_low", "events_low", "events_high", "statistic", "p", "chosen", "p_corrected"]
    parts = [pd.DataFrame(columns=columns)]
    for name, model in models.items():
        # Youden's cut-point is no log-rank search
        if not model["terms"] or model["cutpoint"] is None or train.outcome.kind == BINARY:
            continue
        lp = tied(linear_predictor(model, train.clinical, score))
        search = best_cutpoint(lp, train.outcome.time, train.outcome.event)
        table = search["candidates"]
        chosen = table["cutpoint"] == search["cutpoint"]
        corrected = np.where(chosen, search["p_corrected"], np.nan)
        p = 2 * norm.sf(table["statistic"])
        parts.append(table.assign(model=name, p=p, chosen=chosen.astype(int), p_corrected=corrected)[columns])
    return pd.concat(parts[1:] or parts, ignore_index=True)


def added_value(models: dict[str, dict[str, Any]]) -> list[tuple]:
    """Guard 31: likelihood-ratio test of clinical terms + signature against the clinical terms, where they are nested.

    With missing cells both log-likelihoods are means over the same imputations. Of weighted rows a Wald test of the
    signature's coefficient with the sandwich.
    """
    rows = []
    for timing in ("pre", "post"):
        small = models.get(f"clinical_{timing}")
        large = models.get(f"combined_{timing}")
        if small is None or large is None:
            continue
        names = [{column["name"] for column in model["terms"]} for model in (small, large)]
        df = len(names[1]) - len(names[0])
        if not df and names[0] == names[1]:  # the combined model holds no signature
            rows.append((31, f"combined_{timing}", "signature", "added_lr_chi2", 0.0, 0, 1.0))
            continue
        if small.get("likelihood", ML) != ML or large.get("likelihood", ML) != ML:
            # penalised likelihoods of two models are not compared
            rows.append((31, f"combined_{timing}", "signature", "added_lr_chi2", np.nan, df, np.nan))
            continue
        if names[0] <= names[1] and df > 0:
            if "weighting" in large:
                added_places = [j for j, column in enumerate(large["terms"]) if column["name"] not in names[0]]
                kind = "wald"
                test = wald_test([c["coef"] for c in large["terms"]], large["covariance"], added_places)
            else:
                kind = "lr"
                test = likelihood_ratio_test(large["loglik"], small["loglik"], df)
            rows.append((31, f"combined_{timing}", "signature", f"added_{kind}_chi2", test["chi2"], df, test["p"]))
    return rows


def shadow_features(train: Training, settings: dict[str, Any], seed: int) -> list[tuple]:
    """Guard 8: how many features survive when every feature has a twin whose patients were shuffled (a benchmark of
    noise, after the Boruta idea of Kursa & Rudnicki 2010); means over a few shuffles. One permutation of the patients
    for all twins keeps their correlations.
    """
    icc = stability(train, settings["stability"])
    columns = usable_columns(train, icc)
    if not len(columns):
        return []
    rng = np.random.default_rng([seed, 8])
    kept = []
    names = [train.names[j] for j in columns]
    for _ in progress(range(SHADOW_DRAWS), SHADOW_DRAWS, "signatures beside shuffled features"):
        order = rng.permutation(len(train.patient_id))
        both = np.hstack([train.features[:, columns], train.features[order][:, columns]])
        repeats = np.full((len(train.patient_id), 0, both.shape[1]), np.nan)
        twins = train._replace(features=both, repeats=repeats, names=names + [f"shadow:{name}" for name in names])
        signature, _ = build_signature(twins, pd.DataFrame(), settings, seed)
        shadows = [f["name"].startswith("shadow:") for f in signature["features"]]
        kept.append((len(shadows) - sum(shadows), sum(shadows)))
    real, shadow = np.mean(kept, axis=0)
    return [
        (8, "signature", "", "real_features_kept", float(real), np.nan, np.nan),
        (8, "signature", "", "shadow_features_kept", float(shadow), np.nan, np.nan),
    ]


def centre_from_features(train: Training, seed: int) -> list[tuple]:
    """Guard 22: AUC with which the features tell the training centres apart (principal components, logistic model,
    5-fold cross-validation; the mean of one-vs-rest AUCs). Nothing with one centre or fewer than 10 patients in one.
    """
    if train.centre is None:
        return []
    names, counts = np.unique(train.centre.astype(str), return_counts=True)
    if len(names) < 2 or counts.min() < 10:
        return []
    columns = usable_columns(train, pd.DataFrame())
    components = min(CENTRE_COMPONENTS, len(columns), len(train.patient_id) // 10)
    model = make_pipeline(StandardScaler(), PCA(components, random_state=seed), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    codes = np.searchsorted(names, train.centre.astype(str))
    risk = cross_val_predict(model, train.features[:, columns], codes, cv=folds, method="predict_proba")
    auc = np.mean([roc_auc_score(codes == k, risk[:, k]) for k in range(len(names))])
    return [(22, "features", "", "centre_auc", float(auc), np.nan, np.nan)]


def univariable_features(train: Training) -> pd.DataFrame:
    """Guard 8: Cox (logistic) model of every feature alone, per SD: feature, hr (or), lower, upper, p, q
    (Benjamini-Hochberg).
    """
    sd = train.features.std(axis=0)
    varies = np.flatnonzero(sd > 0)
    x = train.features[:, varies] / sd[varies]
    if train.outcome.kind == BINARY:
        table = univariable_logistic(x, train.outcome.event, train.outcome.weight)
    else:
        table = univariable_survival(x, train)
    half = norm.ppf(0.975) * table["se"]
    p = table["p"].to_numpy()
    known = np.isfinite(p)
    q = np.full(len(p), np.nan)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return pd.DataFrame(
        {
            "feature": np.array(train.names, object)[varies],
            "or" if train.outcome.kind == BINARY else "hr": np.exp(table["coef"]),
            "lower": np.exp(table["coef"] - half),
            "upper": np.exp(table["coef"] + half),
            "p": p,
            "q": q,
        }
    ).sort_values(["p", "feature"], ignore_index=True)


def univariable_survival(x: np.ndarray, train: Training) -> pd.DataFrame:
    """coef, se and p of a Cox model of every column of x (n, p) alone; Firth's, and its likelihood ratio, where the
    coefficient is infinite.
    """
    table = univariable_cox(x, train.outcome.time, train.outcome.event)[["coef", "se", "p"]]
    for j in table.index[table["coef"].isna()]:
        with suppress(NotEstimable):
            fitted = fit_columns(x[:, [j]], train)
            table.loc[j] = fitted["coef"][0], fitted["se"][0], term_test(fitted, [0])["p"]
    return table


def univariable_logistic(x: np.ndarray, event: np.ndarray, weight: np.ndarray | None = None) -> pd.DataFrame:
    """coef, se and p of a logistic model of every column of x (n, p) alone; Firth's, and its likelihood ratio, where it
    separates.
    """
    fits = [fit_or_penalised(x[:, j], event, weight=weight) for j in range(x.shape[1])]
    table = pd.DataFrame({key: [float(fitted[key][0]) for fitted in fits] for key in ("coef", "se")})
    return table.assign(p=[term_test(fitted, [0])["p"] for fitted in fits])
