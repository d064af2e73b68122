"""Bootstrap of the whole fit: optimism, out-of-bag estimates, and how often a feature is selected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.fit.stability import decided, stability
from recur.fit.whole import Frozen, apply, fit
from recur.resampling.fits import imputed_once, penalised_said
from recur.resampling.internal_calibration import measure_column, place_measures
from recur.statistics.binary_risks import risk_estimates
from recur.statistics.concordance import c_index
from recur.statistics.estimate import NotEstimable
from recur.statistics.outcome import BINARY
from recur.tables import StudyError
from recur.validation.binary import FITTED
from recur.validation.common import fitted_rows
from recur.vocabulary import CORRECTED, OUT_OF_BAG

LEAST = 20  # resamples that an interval needs
PLACES = ("resample", "all", "out_of_bag")  # where a resample's models are measured


def resample_rows(train: Training, seed: int, number: int) -> np.ndarray:
    """Row indices (n,) of bootstrap resample `number`, drawn within doubly and singly read patients.

    Stratified so that every resample has as many repeat readings as the data (docs/methods.md 7.1).
    """
    rng = np.random.default_rng([seed, 3, number])
    rows = np.arange(len(train.patient_id))
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


def bootstrap_fit(train: Training, settings: dict[str, Any], seed: int, number: int) -> list[dict[str, Any]]:
    """Refit everything on one resample: what each model measures on the resample, on all rows, and on the rows left
    out, as <measure>_resample, _all and _out_of_bag.

    Measures: c; of a binary outcome validation.binary.risk_estimates, else internal_calibration.place_measures.
    """
    rows = resample_rows(train, seed, number)
    sample = train.rows(rows)
    out = np.setdiff1d(np.arange(len(train.patient_id)), rows)
    places = dict(zip(PLACES, (sample, train, train.rows(out)), strict=True))
    try:
        frozen = fit(sample, settings, seed)
        by_place = {place: measures(frozen, part) for place, part in places.items()}
    except NotEstimable as error:
        return [{"resample": number, "model": "", "failed": str(error)}]
    measured: dict[str, dict[str, float]] = {name: {} for name in frozen.models}
    for place, of_models in by_place.items():
        for name, values in of_models.items():
            measured[name] |= {f"{metric}_{place}": value for metric, value in values.items()}
    selected = ""
    if frozen.signature:
        selected = ";".join(feature["name"] for feature in frozen.signature["features"])
    rows_of_models = []
    for name, estimates in measured.items():
        facts = {
            "features": selected if name == "signature" else "",
            "likelihood": frozen.models[name]["likelihood"],
            "failed": "",
        }
        rows_of_models.append({"resample": number, "model": name} | estimates | facts)
    return rows_of_models


def measures(frozen: Frozen, part: Training) -> dict[str, dict[str, float]]:
    """Model -> measure -> estimate of the frozen models on the rows, weighted by weights of these rows."""
    weight = part.outcome.weight
    result = {}
    for name, frame in apply(frozen, part).items():
        estimates = {"c": c_index(frame["lp"].to_numpy(), part.outcome.pair_times, part.outcome.event, weight)}
        if part.outcome.kind == BINARY:
            estimates |= risk_estimates(part.outcome.event.astype(int), frame["risk"].to_numpy(), weight)
        else:
            estimates |= place_measures(frame)
        result[name] = estimates
    return result


def centiles(values: pd.Series) -> tuple[float, float]:
    """95% limits of what resamples gave; none of fewer than LEAST, which would be their extremes."""
    if len(values) >= LEAST:
        return tuple(values.quantile([0.025, 0.975]))
    return (np.nan, np.nan)


def resample_performance(resamples: pd.DataFrame, apparent: pd.DataFrame, metric: str = "c_harrell") -> pd.DataFrame:
    """Out-of-bag and optimism-corrected C (metric auc: AUC) per model, and whatever else the resamples measured.

    The interval of a corrected estimate holds the centiles of the resamples' apparent one, shifted by the optimism
    (Noma 2021). With more features than patients Harrell's correction under-corrects: nested cross-validation and
    out-of-bag are the headline.
    """
    rows = []
    done = fitted_rows(resamples)
    if done.empty:
        raise StudyError(f"no resample could be fitted: {resamples['failed'].iloc[0]}")
    failed = resamples.loc[resamples["failed"].fillna("") != "", "failed"]
    lost = ""
    if len(failed):
        lost = f" ({len(failed)} more failed: {failed.iloc[0]})"
    for model, part in done.groupby("model", sort=False):
        for row in apparent[apparent["model"] == model].to_dict("records"):
            if row["metric"] == metric:
                name = "c"
            else:
                name = measure_column(row["metric"], row.get("horizon_months"))
            if f"{name}_resample" in part:
                values = pd.DataFrame({place: part[f"{name}_{place}"].astype(float) for place in PLACES})
                said = f"{len(part)} resamples of the whole fit{lost}{penalised_said(part, 'resamples')}"
                rows += corrected_rows(row, values, said)
    return pd.DataFrame(rows)


def corrected_rows(row: dict[str, Any], values: pd.DataFrame, note: str) -> list[dict[str, Any]]:
    """The out-of-bag and the optimism-corrected row of an apparent estimate; values: PLACES of each resample."""
    optimism = (values["resample"] - values["all"]).mean()
    if blank := int(values["out_of_bag"].isna().sum()):
        note += f", {blank} without an out-of-bag estimate"
    base = {name: row.get(name, np.nan) for name in ("model", "metric", "horizon_months", "n", "events")}
    low, high = centiles(values["out_of_bag"])
    out_of_bag = {"cohort": OUT_OF_BAG, "estimate": values["out_of_bag"].mean(), "lower": low, "upper": high}
    out_of_bag["method"] = f"out-of-bag, {note}; centiles over resamples"
    # what the fit itself sets to 0 or 1 has no spread to take limits from
    low, high = (np.nan, np.nan) if row["metric"] in FITTED else centiles(values["resample"])
    corrected = {"cohort": CORRECTED, "estimate": row["estimate"] - optimism}
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
