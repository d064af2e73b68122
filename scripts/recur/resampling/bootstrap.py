"""Internal validation of the whole fit: bootstrap optimism, out-of-bag, and repeated nested cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cli import progress
from recur.cohort.training import Training
from recur.fit.signature import decided, stability
from recur.fit.whole import Frozen, apply, fit
from recur.resampling.internal_calibration import measure_column, place_measures
from recur.statistics.concordance import c_index as concordance
from recur.statistics.estimate import NotEstimable
from recur.statistics.folds import grouped_folds
from recur.statistics.logistic import ML
from recur.statistics.nested_concordance import NESTED_COLUMNS, nested_concordance
from recur.tables import StudyError
from recur.validation.binary import FITTED, risk_estimates

LEAST = 20  # resamples that an interval needs
PLACES = ("resample", "all", "out_of_bag")  # where a resample's models are measured
BINARY_NESTED_COLUMNS = [*NESTED_COLUMNS, "risk", "group"]


def resample_rows(train: Training, seed: int, number: int) -> np.ndarray:
    """Row indices (n,) of bootstrap resample `number`, drawn within doubly and singly read patients.

    Stratified so that every resample has as many repeat readings as the data (docs/methods.md 7.1).
    """
    rng, rows = np.random.default_rng([seed, 3, number]), np.arange(len(train.time))
    twice = train.read_twice
    return np.sort(np.concatenate([rng.choice(part, len(part)) for part in (rows[twice], rows[~twice]) if len(part)]))


def resample_settings(train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a resample: its point ICC is held against the threshold that the full data's limit amounts to.

    Patients drawn twice make confidence limits of an ICC too narrow, so a `lower95` rule becomes a `point` rule. If the
    fit is on stochastic imputations, a resample needs one: resamples carry its uncertainty (docs/methods.md 6.1).
    """
    settings = imputed_once(decided(train, settings))
    rule = settings["stability"]
    if rule["rule"] != "lower95":
        return settings
    icc = stability(train, rule)
    kept = icc.loc[icc["stable"].astype(bool), "icc"]
    threshold = float(kept.min()) if len(kept) else 2.0  # no ICC exceeds 1: nothing passes, as in the full data
    return settings | {"stability": rule | {"rule": "point", "threshold": threshold}}


def imputed_once(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with at most one stochastic imputation a fit."""
    return settings | {"missing": settings["missing"] | {"imputations": 1}}


def bootstrap_fit(train: Training, settings: dict[str, Any], seed: int, number: int) -> list[dict[str, Any]]:
    """Refit everything on one resample: what each model measures on the resample, on all rows, and on the rows left
    out, as <measure>_resample, _all and _out_of_bag.

    Measures: c; of a binary outcome validation_binary.risk_estimates, else internal_calibration.place_measures.
    """
    rows = resample_rows(train, seed, number)
    sample, out = train.rows(rows), np.setdiff1d(np.arange(len(train.time)), rows)
    places = dict(zip(PLACES, (sample, train, train.rows(out)), strict=True))
    try:
        frozen = fit(sample, settings, seed)
        found = {place: measures(frozen, part) for place, part in places.items()}
    except NotEstimable as error:
        return [{"resample": number, "model": "", "failed": str(error)}]
    measured: dict[str, dict[str, float]] = {name: {} for name in frozen.models}
    for place, of_models in found.items():
        for name, values in of_models.items():
            measured[name] |= {f"{metric}_{place}": value for metric, value in values.items()}
    kept = ";".join(f["name"] for f in frozen.signature["features"]) if frozen.signature else ""
    return [
        {"resample": number, "model": name}
        | found
        | {
            "features": kept if name == "signature" else "",
            "likelihood": frozen.models[name]["likelihood"],
            "failed": "",
        }
        for name, found in measured.items()
    ]


def measures(frozen: Frozen, part: Training) -> dict[str, dict[str, float]]:
    """Model -> measure -> estimate of the frozen models on the rows, weighted by weights of these rows."""
    weight, result = part.weight, {}
    for name, frame in apply(frozen, part).items():
        found = {"c": concordance(frame["lp"].to_numpy(), part.time, part.event, weight)}
        if part.binary:
            found |= risk_estimates(part.event.astype(int), frame["risk"].to_numpy(), weight)
        else:
            found |= place_measures(frame)
        result[name] = found
    return result


def nested_columns(train: Training, settings: dict[str, Any]) -> list[str]:
    """Columns of nested_predictions: NESTED_COLUMNS, and what the outcome adds."""
    if train.binary:
        return [*BINARY_NESTED_COLUMNS, *([] if train.follow_up is None else ["follow_up"])]
    competing = [] if train.competing is None else ["competing"]
    return [*NESTED_COLUMNS, *competing, *(f"risk_{months:g}" for months in settings["horizons_months"])]


def nested_predictions(train: Training, settings: dict[str, Any], seed: int, repeat: int, folds: int) -> pd.DataFrame:
    """Predictions of every training patient by models fitted without their fold: fold, model, patient_id, lp and the
    risks.

    Of an outcome in time a risk at each horizon, and the competing event; of a binary outcome one risk, and the group
    by the fold's own frozen cut-point; of one at a horizon follow_up, and event is NaN where censored before. A fold
    whose fit is not estimable is a row with its reason under `failed` and no model.
    """
    settings, columns = imputed_once(decided(train, settings)), nested_columns(train, settings)
    fold = grouped_folds(train.patient_id, train.event, folds, np.random.default_rng([seed, 4, repeat]))
    parts = []
    for number in range(folds):
        held = train.rows(np.flatnonzero(fold == number))
        base = {"repeat": repeat, "fold": number}
        try:
            frozen = fit(train.rows(np.flatnonzero(fold != number)), settings, seed)
            predicted = apply(frozen, held)
        except NotEstimable as error:
            parts.append(pd.DataFrame([base | {"model": "", "failed": str(error)}], columns=columns))
            continue
        for model, frame in predicted.items():
            likelihood = frozen.models[model]["likelihood"]
            part = frame.assign(**base, model=model, patient_id=held.patient_id, likelihood=likelihood, failed="")
            if held.follow_up is not None:
                part["follow_up"], part["event"] = held.follow_up, np.where(held.known, held.event, np.nan)
            parts.append(part[columns])
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def nested_performance(nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """C of the nested cross-validation per model, pairs within a fold only, with a bootstrap interval over patients."""
    rows = []
    failed = nested[nested["failed"].fillna("") != ""]
    left_out, anew = "", ", weights for censoring anew in each draw" if "follow_up" in nested else ""
    if len(failed):
        folds = ", ".join(f"{row.repeat}/{row.fold}" for row in failed.itertuples())
        left_out = f"; {len(failed)} folds left out (repeat/fold {folds}: {failed['failed'].iloc[0]})"
    nested = nested[nested["failed"].fillna("") == ""].astype({"lp": float, "time": float})
    models = list(nested.groupby("model", sort=False))
    for model, part in progress(models, len(models), "intervals of the nested cross-validation", "models"):
        estimate, draws = nested_concordance(part, "lp", np.random.default_rng([seed, 5]))
        first = part.drop_duplicates("patient_id")
        rows.append(
            {
                "model": model,
                "cohort": "train-nested_cv",
                "estimate": estimate,
                "lower": np.nanquantile(draws, 0.025),
                "upper": np.nanquantile(draws, 0.975),
                "n": len(first),
                "events": int(first["event"].sum()),
                "method": f"repeated nested cross-validation ({part['repeat'].nunique()} x {part['fold'].nunique()}), "
                f"whole fit in each fold; bootstrap over patients{anew}{left_out}"
                f"{penalised_said(part.drop_duplicates(['repeat', 'fold']), 'folds')}",
            }
        )
    return pd.DataFrame(rows)


def penalised_said(fits: pd.DataFrame, what: str) -> str:
    """In how many of the fits (a row each, column likelihood) a coefficient would have been infinite; "" if in none."""
    if "likelihood" not in fits:
        return ""
    names = fits.loc[~fits["likelihood"].isin([ML, ""]), "likelihood"].dropna()
    return f"; {len(names)} of {len(fits)} {what} by penalised likelihood ({names.iloc[0]})" if len(names) else ""


def centiles(values: pd.Series) -> tuple[float, float]:
    """95% limits of what resamples gave; none of fewer than LEAST, which would be their extremes."""
    return tuple(values.quantile([0.025, 0.975])) if len(values) >= LEAST else (np.nan, np.nan)


def resample_performance(resamples: pd.DataFrame, apparent: pd.DataFrame, metric: str = "c_harrell") -> pd.DataFrame:
    """Out-of-bag and optimism-corrected C (metric auc: AUC) per model, and whatever else the resamples measured.

    The interval of a corrected estimate holds the centiles of the resamples' apparent one, shifted by the optimism
    (Noma 2021). With more features than patients Harrell's correction under-corrects: nested cross-validation and
    out-of-bag are the headline.
    """
    rows = []
    done = resamples[resamples["failed"].fillna("") == ""]
    if done.empty:
        raise StudyError(f"no resample could be fitted: {resamples['failed'].iloc[0]}")
    failed = resamples.loc[resamples["failed"].fillna("") != "", "failed"]
    lost = f" ({len(failed)} more failed: {failed.iloc[0]})" if len(failed) else ""
    for model, part in done.groupby("model", sort=False):
        for own in apparent[apparent["model"] == model].to_dict("records"):
            name = "c" if own["metric"] == metric else measure_column(own["metric"], own.get("horizon_months"))
            if f"{name}_resample" in part:
                values = pd.DataFrame({place: part[f"{name}_{place}"].astype(float) for place in PLACES})
                said = f"{len(part)} resamples of the whole fit{lost}{penalised_said(part, 'resamples')}"
                rows += corrected_rows(own, values, said)
    return pd.DataFrame(rows)


def corrected_rows(own: dict[str, Any], values: pd.DataFrame, note: str) -> list[dict[str, Any]]:
    """The out-of-bag and the optimism-corrected row of an apparent estimate; values: PLACES of each resample."""
    optimism = (values["resample"] - values["all"]).mean()
    if blank := int(values["out_of_bag"].isna().sum()):
        note += f", {blank} without an out-of-bag estimate"
    base = {name: own.get(name, np.nan) for name in ("model", "metric", "horizon_months", "n", "events")}
    low, high = centiles(values["out_of_bag"])
    out_of_bag = {"cohort": "train-oob", "estimate": values["out_of_bag"].mean(), "lower": low, "upper": high}
    out_of_bag["method"] = f"out-of-bag, {note}; centiles over resamples"
    # what the fit itself sets to 0 or 1 has no spread to take limits from
    low, high = (np.nan, np.nan) if own["metric"] in FITTED else centiles(values["resample"])
    corrected = {"cohort": "train-optimism_corrected", "estimate": own["estimate"] - optimism}
    corrected |= {"lower": low - optimism, "upper": high - optimism}
    corrected["method"] = f"apparent less optimism {optimism:.4f}, {note}; too small a correction if p >> n"
    if pd.isna(corrected["estimate"]):
        corrected["method"] = "not estimated: the apparent estimate or the optimism is unknown"
    if pd.isna(out_of_bag["estimate"]):
        out_of_bag["method"] = f"not estimated: {note}"
    return [base | out_of_bag, base | corrected]


def selection_frequency(resamples: pd.DataFrame, names: list[str]) -> pd.Series:
    """Share of the fitted resamples whose signature holds each of the features `names`, never selected ones at 0."""
    if "features" not in resamples or not names:
        return pd.Series(dtype=float)
    signatures = resamples.loc[resamples["model"] == "signature", "features"].fillna("").astype(str)
    counts = signatures.str.split(";").explode()
    share = counts[counts != ""].value_counts() / max(len(signatures), 1)
    return share.reindex(names, fill_value=0.0)
