"""How far a model travels: what an external figure means in another case-mix (docs/methods.md 9).

Nothing here changes a frozen model. Results of the updating ladder are cross-fitted in the external cohort and
labelled "updated": they say what re-estimation would give, not how the model validates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import chi2
from sklearn.linear_model import LogisticRegression
from statsmodels.api import GLM, families

from recur.predict.apply import predicted_risks
from recur.predict.design import is_entered
from recur.predict.model import applied_design
from recur.predict.signature import signature_scores
from recur.statistics.brier import brier_at, ipa
from recur.statistics.calibration import calibration_slope, observed_expected
from recur.statistics.competing import c_competing, cause_specific_incidence
from recur.statistics.concordance import harrell_c, uno_c
from recur.statistics.cox import baseline_survival, fit_cox, survival_at
from recur.statistics.estimate import MIN_AT_RISK, Z95, NotEstimable
from recur.statistics.folds import grouped_folds
from recur.statistics.ipcw import censoring_survival
from recur.statistics.linear_predictor import linear_sum
from recur.statistics.meta_analysis import random_effects
from recur.statistics.outcome import outcome_of
from recur.vocabulary import EXTERNAL, TRAIN

FOLDS = 5
LADDER = ("none", "baseline", "baseline_slope", "refit")
SLOPE_WIDTH, C_WIDTH = 0.4, 0.1  # widths of 95% intervals that a validation should reach (Riley et al. 2022)
SIMULATIONS, SIMULATED = 40, 500
LONG_GAP = 8  # months between visits (docs/methods.md 3.6)
COLUMNS = [
    "model", "cohort", "topic", "quantity", "update", "horizon_months", "estimate", "lower", "upper", "p", "n",
    "events", "method",
]  # fmt: skip


def transport_table(
    risks: pd.DataFrame,
    models: dict[str, dict[str, Any]],
    designs: dict[str, pd.DataFrame],
    outside: dict[str, pd.Series],
    seed: int,
) -> pd.DataFrame:
    """Every quantity of every model in every cohort, tidy (COLUMNS).

    `risks` as apply_models gives them; `designs` by model: the columns of its terms, by patient id; `outside` by
    model: per patient the share of its inputs beyond their training range.
    """
    held = [cohort for cohort in dict.fromkeys(risks["cohort"]) if cohort != TRAIN]
    rows: list[dict[str, Any]] = []
    for name, model in models.items():
        mine = risks[risks["model"] == name]
        tau = common_time(mine, max(model["horizons_months"]))
        for cohort, part in mine.groupby("cohort", sort=False):
            found = case_mix(part, outside[name]) + truncated(part, model, tau)
            if cohort in held and "strata" in model:
                reason = {"reason": "the model has strata, whose baselines are not updated"}
                found.append(row("updating", "c_harrell", reason, "", update="none"))
            elif cohort in held and model["terms"]:
                x = designs[name].loc[part["patient_id"]].to_numpy(float)
                train = designs[name].loc[mine.loc[mine["cohort"] == TRAIN, "patient_id"]].to_numpy(float)
                found += membership(train, x, seed)
                found += updating(part, model, x, seed)
                found += validation_size(part, model, seed)
            size = {"model": name, "cohort": cohort, "n": len(part), "events": int(part["event"].sum())}
            rows += [size | row for row in found]
        external = [cohort for cohort in held if cohort.startswith(EXTERNAL)]
        if len(external) > 1:
            whole = mine[mine["cohort"].isin(external)]
            size = {"model": name, "cohort": "external", "n": len(whole), "events": int(whole["event"].sum())}
            rows += [size | row for row in between_centres(whole, model)]
    return pd.DataFrame(rows, columns=COLUMNS)


def model_inputs(
    model: dict[str, Any],
    signature: dict[str, Any] | None,
    frame: pd.DataFrame,
    features: np.ndarray,
    names: list[str],
) -> tuple[pd.DataFrame, pd.Series]:
    """The columns of a model's terms by patient, and the share of each patient's inputs beyond the training range.

    Inputs are the clinical columns and, for the signature, its features one by one.
    """
    centre = frame["centre"].fillna("").to_numpy(object)
    score = signature_scores(signature, features, names, centre) if signature is not None else None
    design = applied_design(model, frame, score)
    entered = [j for j, column in enumerate(model["terms"]) if is_entered(column)]
    inputs = [design[:, entered]]
    if any(column["kind"] == "signature" for column in model["terms"]):
        inputs.append(features[:, [names.index(feature["name"]) for feature in signature["features"]]])
    values, train = np.hstack(inputs), frame["cohort"].eq(TRAIN).to_numpy()
    share = np.zeros(len(frame))
    if values.shape[1]:
        share = ((values < values[train].min(axis=0)) | (values > values[train].max(axis=0))).mean(axis=1)
    columns = [column["name"] for column in model["terms"]]
    ids = frame["patient_id"].to_numpy()
    return pd.DataFrame(design, index=ids, columns=columns), pd.Series(share, index=ids)


def row(topic: str, quantity: str, value: Any, method: str, **more: Any) -> dict[str, Any]:
    """One row; `value` is a number, or an estimate as recur.statistics.outcome gives it."""
    value = value if isinstance(value, dict) else {"estimate": value}
    reason = value.get("reason")
    base = {"topic": topic, "quantity": quantity, "update": "", "horizon_months": np.nan}
    base |= {key: value.get(key, np.nan) for key in ("estimate", "lower", "upper", "p")}
    return base | {"method": f"not estimated: {reason}" if reason else method} | more


# ---------------------------------------------------------------- case-mix


def case_mix(part: pd.DataFrame, outside: pd.Series) -> list[dict[str, Any]]:
    """Distribution of the linear predictor, model-based C, and inputs beyond the training range."""
    lp = part["lp"].to_numpy()
    beyond = outside.loc[part["patient_id"]].to_numpy()
    inputs = "inputs of the model against their training range"
    found = [
        row("case_mix", "lp_mean", float(lp.mean()), "0 is the mean training patient"),
        row("case_mix", "lp_sd", float(lp.std(ddof=1)) if len(lp) > 1 else np.nan, "n - 1"),
        row("case_mix", "c_model_based", model_based_c(lp), "C if the model were true here (van Klaveren 2016)"),
        row("overlap", "share_of_inputs_outside", float(np.mean(beyond)), f"mean over patients; {inputs}"),
        row("overlap", "share_of_patients_outside", float(np.mean(beyond > 0)), f"at least one input; {inputs}"),
    ]
    slope = calibration_slope(part["time"], part["event"], lp)
    calibrated = slope if slope["reason"] else {"estimate": model_based_c(slope["estimate"] * lp)}
    return [*found, row("case_mix", "c_model_based_calibrated", calibrated, "the same, lp times its slope here")]


def model_based_c(lp: ArrayLike) -> float:
    """Concordance expected of a linear predictor (n,) when its proportional hazards hold, whatever the censoring.

    Mean over pairs of P(the higher risk comes first) = 1 / (1 + exp(-|difference|)); ties give one half (van Klaveren
    et al., Stat Med 2016; Gonen & Heller 2005).
    """
    lp = np.sort(np.asarray(lp, float))
    n, total = len(lp), 0.0
    for i in range(n - 1):  # a row at a time keeps the memory small
        total += (1 / (1 + np.exp(lp[i] - lp[i + 1 :]))).sum()
    return float(total / (n * (n - 1) / 2)) if n > 1 else np.nan


def membership(train: np.ndarray, x: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """How well the model's terms tell this cohort from the training one (Debray et al., J Clin Epidemiol 2015).

    0.5: the same case-mix (the figure shows reproducibility); towards 1: another population (transportability).
    """
    both, member = np.vstack([train, x]), np.repeat([0, 1], [len(train), len(x)])
    spread = both.std(axis=0)
    z = (both - both.mean(axis=0)) / np.where(spread > 0, spread, 1)
    fold = grouped_folds(np.arange(len(member)), member, FOLDS, np.random.default_rng([seed, 11]))
    score = np.zeros(len(member))
    for number in np.unique(fold):
        fitted = LogisticRegression(max_iter=1000).fit(z[fold != number], member[fold != number])
        score[fold == number] = linear_sum(z[fold == number], fitted.coef_[0]) + fitted.intercept_[0]
    # the C of a binary outcome is that of events at one time and everybody else later
    value = harrell_c(np.where(member == 1, 1.0, 2.0), member, score)
    return [row("membership", "c_membership", value, f"logistic model of the terms, {FOLDS}-fold cross-fitted")]


def common_time(risks: pd.DataFrame, last: float) -> float:
    """The latest time, at most `last`, at which every cohort still has enough patients at risk."""
    times = [np.sort(part["time"].to_numpy())[::-1] for _, part in risks.groupby("cohort")]
    return float(min([last, *(ordered[min(MIN_AT_RISK, len(ordered)) - 1] for ordered in times)]))


def truncated(part: pd.DataFrame, model: dict[str, Any], tau: float) -> list[dict[str, Any]]:
    """Concordance up to the time that all cohorts reach: follow-up then no longer tells them apart."""
    outcome = outcome_of(part)
    time, event, competing = outcome.time, outcome.event, outcome.competing
    lp, method = part["lp"].to_numpy(), "events up to the common time of all cohorts"
    cut = np.minimum(time, tau), event * (time <= tau)
    found = [row("truncated", "c_harrell", harrell_c(*cut, lp), method, horizon_months=tau)]
    if competing is None:
        return [*found, row("truncated", "c_uno", uno_c(time, event, lp, tau), method, horizon_months=tau)]
    risk = predicted_risks(model, part, tau)[:, 0]
    unknown = {"reason": "no risk at this time"}
    value = unknown if np.isnan(risk).any() else c_competing(time, event, competing, risk, tau)[0]
    return [*found, row("truncated", "c_competing", value, method, horizon_months=tau)]


# ---------------------------------------------------------------- updating


def updating(part: pd.DataFrame, model: dict[str, Any], x: np.ndarray, seed: int) -> list[dict[str, Any]]:
    """The ladder: as frozen, new baseline, new baseline and slope, all coefficients anew; and the closed test.

    Each step is estimated in the other folds of this cohort; with competing death its hazard stays the model's.
    """
    months = model["horizons_months"][0]
    outcome = outcome_of(part)
    time, event, competing = outcome.time, outcome.event, outcome.competing
    fold = grouped_folds(part["patient_id"].to_numpy(), event, FOLDS, np.random.default_rng([seed, 12]))
    rows = []
    for step in LADDER:
        label = "as frozen" if step == "none" else f"updated, {FOLDS}-fold cross-fitted"
        try:
            lp, risk = updated(part, model, x, step, fold, months)
        except NotEstimable as reason:
            rows.append(row("updating", "c_harrell", {"reason": str(reason)}, "", update=step, horizon_months=months))
            continue
        if np.isnan(risk).any():
            ends = {"reason": "the follow-up ends before the horizon"}
            rows.append(row("updating", "oe_ratio", ends, "", update=step, horizon_months=months))
            continue
        slope = calibration_slope(time, event, lp)
        found = {
            "c_harrell": harrell_c(time, event, risk if step == "refit" else lp),
            "calibration_slope": slope,
            "oe_ratio": observed_expected(time, event, risk, months, competing),
            "brier": brier_at(time, event, risk, months, competing),
            "ipa": ipa(time, event, risk, months, competing),
        }
        for quantity, value in found.items():
            shown = {key: value[key] for key in ("estimate", "lower", "upper", "reason")}
            rows.append(row("updating", quantity, shown, label, update=step, horizon_months=months))
    return rows + closed_test_rows(part, model, x)


def updated(
    part: pd.DataFrame, model: dict[str, Any], x: np.ndarray, step: str, fold: np.ndarray, months: float
) -> tuple[np.ndarray, np.ndarray]:
    """Linear predictor (n,) and risk (n,) at `months` of every row by a step of the ladder fitted without its fold."""
    outcome = outcome_of(part)
    time, event = outcome.time, outcome.event
    frozen = part["lp"].to_numpy()
    if step == "none":
        return frozen, predicted_risks(model, part, months)[:, 0]
    lp, risk = np.empty(len(part)), np.empty(len(part))
    for number in np.unique(fold):
        inside, held = fold != number, fold == number
        design = x if step == "refit" else frozen[:, None]
        centre = design[inside].mean(axis=0)
        z = design - centre
        coef = np.ones(1) if step == "baseline" else fit_cox(z[inside], time[inside], event[inside])["coef"]
        times, survival = baseline_survival(z[inside], time[inside], event[inside], coef)
        if months > time[inside].max():
            return lp, np.full(len(part), np.nan)
        own = linear_sum(design[held], coef, centre)
        lp[held] = frozen[held] if step == "baseline" else own
        risk[held] = risk_with(model, part[held], own, times, survival, months)
    return lp, risk


def risk_with(
    model: dict[str, Any], part: pd.DataFrame, lp: np.ndarray, times: np.ndarray, survival: np.ndarray, months: float
) -> np.ndarray:
    """Risk (n,) from a new baseline and predictor; with competing death the model's own hazard of it."""
    if "competing" not in model:
        return 1 - survival_at(times, survival, months) ** np.exp(lp)
    death = model["competing"]["baseline"]
    hazards = (times, -np.log(survival)), (death["time"], -np.log(death["survival"]))
    return cause_specific_incidence(*hazards, lp, part["lp_competing"].to_numpy(), [months])[:, 0]


def closed_test(time: ArrayLike, event: ArrayLike, hazard: ArrayLike, lp: ArrayLike, x: ArrayLike) -> dict[str, Any]:
    """Closed testing of the ladder (Vergouwe et al., Stat Med 2017) -> dict(chosen, p by step, reason).

    Full likelihood of the time to event with the model's cumulative hazard (n,) at each patient's own time: a Poisson
    model of the event with log hazard as offset (Crowson et al. 2016). `none` has no parameter, `baseline` one,
    `baseline_slope` a second for lp, `refit` one per column of x (n, p). The refit is tested against each smaller
    step in turn, and the first that it does not beat (p >= 0.05) is chosen.
    """
    hazard, event = np.asarray(hazard, float), np.asarray(event, float)
    known = hazard > 0  # before the model's first event nobody has a hazard
    event, offset = event[known], np.log(hazard[known])
    lp, x = np.asarray(lp, float)[known], np.asarray(x, float)[known]
    one = np.ones((len(lp), 1))
    # the refit has all coefficients free: the model's own lp is then no offset
    designs = {
        "none": (np.zeros((len(lp), 0)), offset),
        "baseline": (one, offset),
        "baseline_slope": (np.column_stack([one, lp]), offset),
        "refit": (np.column_stack([one, x]), offset - lp),
    }
    loglik, size = {}, {}
    for step, (design, shift) in designs.items():
        loglik[step] = poisson_loglik(design, event, shift)
        size[step] = np.linalg.matrix_rank(design) if design.shape[1] else 0
    p = {}
    for step in LADDER[:-1]:
        df = size["refit"] - size[step]
        p[step] = float(chi2.sf(max(0.0, 2 * (loglik["refit"] - loglik[step])), df)) if df > 0 else 1.0
    chosen = next((step for step in LADDER[:-1] if p[step] >= 0.05), "refit")
    return {"chosen": chosen, "p": p}


def poisson_loglik(design: np.ndarray, event: np.ndarray, offset: np.ndarray) -> float:
    """Log-likelihood of a Poisson model up to the term of the data alone."""
    mean = np.exp(offset)
    if design.shape[1]:
        mean = GLM(event, design, family=families.Poisson(), offset=offset).fit().fittedvalues
    return float((event * np.log(mean) - mean).sum())


def closed_test_rows(part: pd.DataFrame, model: dict[str, Any], x: np.ndarray) -> list[dict[str, Any]]:
    """The closed test in rows: p of the refit against each smaller step, and the step it leaves."""
    outcome = outcome_of(part)
    time, event = outcome.time, outcome.event
    lp = part["lp"].to_numpy()
    baseline = survival_at(model["baseline"]["time"], model["baseline"]["survival"], time)
    hazard = -np.log(baseline) * np.exp(lp)
    if event.sum() < 2 * (x.shape[1] + 1):
        return [row("updating", "closed_test", {"reason": f"{event.sum():g} events for {x.shape[1]} columns"}, "")]
    result = closed_test(time, event, hazard, lp, x)
    method = "likelihood ratio, refit against this step; full likelihood with the model's hazard"
    rows = [row("updating", "closed_test", {"p": p}, method, update=step) for step, p in result["p"].items()]
    return [*rows, row("updating", "closed_test_choice", np.nan, "Vergouwe 2017, level 0.05", update=result["chosen"])]


# ---------------------------------------------------------------- size of a validation


def validation_size(part: pd.DataFrame, model: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """Patients and events a validation in this population needs (Riley et al., Stat Med 2022, by simulation).

    Outcomes are drawn from the frozen model at this cohort's linear predictors, with its own censoring.
    """
    rng, widths, share = np.random.default_rng([seed, 13]), [], []
    for _ in range(SIMULATIONS):
        time, event, lp = simulated(part, model, SIMULATED, rng)
        c, slope = harrell_c(time, event, lp), calibration_slope(time, event, lp)
        if not c["reason"] and not slope["reason"]:
            widths.append((2 * Z95 * slope["se"], 2 * Z95 * c["se"]))
            share.append(event.mean())
    if len(widths) < SIMULATIONS / 2:
        return [row("sample_size", "n_needed", {"reason": "the linear predictor does not vary, or no events"}, "")]
    slope_width, c_width = np.mean(widths, axis=0)
    method, rows = f"{SIMULATIONS} simulations of {SIMULATED}; widths scaled by 1/sqrt(n)", []
    needed = {
        "slope": (SLOPE_WIDTH, slope_width),
        "c": (C_WIDTH, c_width),
    }
    for name, (target, width) in needed.items():
        n = int(np.ceil(SIMULATED * (width / target) ** 2))
        rows += [
            row("sample_size", f"{name}_width_expected", float(width * np.sqrt(SIMULATED / len(part))), method),
            row("sample_size", f"n_for_{name}", n, f"{method}; width of the 95 % interval <= {target}"),
            row("sample_size", f"events_for_{name}", int(np.ceil(n * np.mean(share))), method),
        ]
    return rows


def simulated(
    part: pd.DataFrame, model: dict[str, Any], n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time, event and linear predictor of n patients: the frozen hazards, and the censoring seen in this cohort."""
    outcome = outcome_of(part)
    time, event, competing = outcome.time, outcome.event, outcome.competing
    drawn = rng.integers(0, len(part), n)
    lp = part["lp"].to_numpy()[drawn]
    event_time = waiting(model["baseline"], lp, rng)
    leave, ended = np.inf, event.astype(bool)
    if competing is not None:
        leave = waiting(model["competing"]["baseline"], part["lp_competing"].to_numpy()[drawn], rng)
        ended = (event + competing).astype(bool)
    grid, g = censoring_survival(time, ended)
    place = np.searchsorted(-g, -rng.random(n), side="left")  # the first time at which G falls below the draw
    censor = np.append(grid, grid[-1])[place]
    end = np.minimum(leave, censor)
    return np.minimum(event_time, end), event_time <= end, lp


def waiting(baseline: dict[str, list[float]], lp: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Event times (n,) by inverting the cumulative hazard; infinite beyond the last baseline time."""
    hazard = -np.log(np.asarray(baseline["survival"], float))
    place = np.searchsorted(hazard, rng.exponential(size=len(lp)) * np.exp(-lp))
    return np.append(np.asarray(baseline["time"], float), np.inf)[place]


# ---------------------------------------------------------------- several centres


def between_centres(external: pd.DataFrame, model: dict[str, Any]) -> list[dict[str, Any]]:
    """C and O/E of each external centre, their random-effects mean, and the interval that a new centre's would lie in.

    Riley et al. BMJ 2016; Debray et al. Stat Methods Med Res 2019: C on the logit, O/E on the log scale.
    """
    months = model["horizons_months"][0]
    found: dict[str, list[dict[str, float]]] = {"c_harrell": [], "oe_ratio": []}
    rows = []
    for cohort, part in external.groupby("cohort", sort=False):
        outcome = outcome_of(part)
        time, event, competing = outcome.time, outcome.event, outcome.competing
        risk = part[f"risk_{months:g}"].to_numpy()
        oe = {"reason": "no risk at the horizon"}
        if not np.isnan(risk).any():
            oe = observed_expected(time, event, risk, months, competing)
        values = {"c_harrell": harrell_c(time, event, part["lp"].to_numpy()), "oe_ratio": oe}
        for quantity, value in values.items():
            shown = {key: value[key] for key in ("estimate", "lower", "upper", "reason") if key in value}
            at = months if quantity == "oe_ratio" else np.nan
            size = {"cohort": cohort, "n": len(part), "events": int(event.sum()), "horizon_months": at}
            rows.append(row("centres", quantity, shown, "this centre", **size))
            if not value["reason"] and can_be_pooled(quantity, value):
                found[quantity].append(value)
    for quantity, values in found.items():
        at = months if quantity == "oe_ratio" else np.nan
        if len(values) < 2:
            reason = {"reason": "fewer than two centres with an estimate"}
            rows.append(row("centres", f"{quantity}_pooled", reason, "", horizon_months=at))
            continue
        estimates = np.array([value["estimate"] for value in values])
        se = np.array([value["se"] for value in values])
        if quantity == "c_harrell":
            y, se, back = np.log(estimates / (1 - estimates)), se / (estimates * (1 - estimates)), _expit
        else:
            y, back = np.log(estimates), np.exp  # the se of O/E is on the log scale already
        pooled = random_effects(y, se)
        method = f"random effects (REML, Hartung-Knapp), {len(values)} centres, tau {np.sqrt(pooled['tau2']):.3g}"
        for suffix, keys in (("pooled", ("lower", "upper")), ("prediction", ("predict_lower", "predict_upper"))):
            value = {"estimate": back(pooled["estimate"])} | dict(
                zip(("lower", "upper"), (back(pooled[key]) for key in keys), strict=True)
            )
            text = method if suffix == "pooled" else f"{method}; interval for a new centre"
            rows.append(row("centres", f"{quantity}_{suffix}", value, text, horizon_months=at))
    return rows


def can_be_pooled(quantity: str, value: dict[str, float]) -> bool:
    """Whether an estimate has a finite place and error on its scale: a handful of patients can have a C of 0 or 1."""
    inside = value["estimate"] < 1 if quantity == "c_harrell" else True
    return bool(value["estimate"] > 0 and inside and np.isfinite(value["se"]) and value["se"] > 0)


def _expit(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


# ---------------------------------------------------------------- surveillance


def surveillance_rows(visits: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """How often each centre looked for recurrence (COLUMNS, model empty): seen later, a recurrence counts later.

    `visits` by patient as recur.cohort.surveillance.visit_intervals gives them; `frame` has patient_id, cohort and
    centre.
    """
    rows: list[dict[str, Any]] = []
    merged = frame[["patient_id", "cohort", "centre"]].fillna({"centre": ""}).merge(visits, on="patient_id")
    for (cohort, centre), part in merged.groupby(["cohort", "centre"]):
        where = f"quartiles over the patients of centre {centre}" if centre else "quartiles over the patients"
        size = {"model": "", "cohort": cohort, "n": len(part), "events": np.nan}
        for quantity in ("interval_first_2_years", "interval_later", "longest_gap"):
            known = part[quantity].dropna()
            quartiles = np.quantile(known, [0.5, 0.25, 0.75]) if len(known) else [np.nan] * 3
            value = dict(zip(("estimate", "lower", "upper"), map(float, quartiles), strict=True))
            rows.append(size | row("surveillance", f"{quantity}_months", value, where))
        share = float((part["longest_gap"] > LONG_GAP).mean())
        text = f"patients with a gap over {LONG_GAP} months" + (f", centre {centre}" if centre else "")
        rows.append(size | row("surveillance", "share_with_long_gap", share, text))
    return pd.DataFrame(rows, columns=COLUMNS)
