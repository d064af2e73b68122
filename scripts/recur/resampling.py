"""Internal validation of the whole fit: bootstrap optimism, out-of-bag, and repeated nested cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from recur.cli import progress
from recur.cox import NotEstimable
from recur.fit import fit, predict
from recur.lasso import grouped_folds
from recur.models import risk_group
from recur.nested import NESTED_COLUMNS, nested_concordance
from recur.ranking import concordance
from recur.signature import decided, stability
from recur.tables import StudyError
from recur.training import Training
from recur.validation_binary import FITTED, risk_estimates

LEAST = 20  # resamples that an interval needs
PLACES = ("resample", "all", "out_of_bag")  # where a resample's models are measured
BINARY_NESTED_COLUMNS = [*NESTED_COLUMNS, "risk", "group"]


def resample_rows(train: Training, seed: int, number: int) -> np.ndarray:
    """Row indices (n,) of bootstrap resample `number`, drawn within doubly and singly read patients.

    Stratified so that every resample has as many repeat readings as the data (methods.md 0.2, item 12).
    """
    rng, rows = np.random.default_rng([seed, 3, number]), np.arange(len(train.time))
    twice = train.read_twice
    return np.sort(np.concatenate([rng.choice(part, len(part)) for part in (rows[twice], rows[~twice]) if len(part)]))


def resample_settings(train: Training, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a resample: its point ICC is held against the threshold that the full data's limit amounts to.

    Patients drawn twice make confidence limits of an ICC too narrow, so a `lower95` rule becomes a `point` rule. If the
    fit is on stochastic imputations, a resample needs one: resamples carry its uncertainty (methods.md 0.2, item 8).
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
    """Refit everything on one resample: C of each model on the resample, on all rows, and on the rows left out.

    Of a binary outcome also validation_binary.risk_estimates, as <metric>_resample, _all and _out_of_bag.
    """
    rows = resample_rows(train, seed, number)
    sample = train.rows(rows)
    try:
        frozen = fit(sample, settings, seed)
        in_sample = predict(frozen, sample.clinical, sample.features, train.names, sample.centre)
        everyone = predict(frozen, train.clinical, train.features, train.names, train.centre)
    except NotEstimable as error:
        return [{"resample": number, "model": "", "failed": str(error)}]
    out = np.setdiff1d(np.arange(len(train.time)), rows)
    weights = sample.weight, train.weight, train.weight_of(out)  # each place has its own
    kept = ";".join(f["name"] for f in frozen.signature["features"]) if frozen.signature else ""

    def of_risks(name: str) -> dict[str, float]:
        lp, intercept = everyone[name], frozen.models[name]["intercept"]
        seen = (in_sample[name], sample.event), (lp, train.event), (lp[out], train.event[out])
        found = [
            risk_estimates(event.astype(int), expit(intercept + own), weight)
            for (own, event), weight in zip(seen, weights, strict=True)
        ]
        return {
            f"{metric}_{place}": value
            for place, estimates in zip(PLACES, found, strict=True)
            for metric, value in estimates.items()
        }

    return [
        {
            "resample": number,
            "model": name,
            "c_resample": concordance(in_sample[name], sample.time, sample.event, weights[0]),
            "c_all": concordance(lp, train.time, train.event, weights[1]),
            "c_out_of_bag": concordance(lp[out], train.time[out], train.event[out], weights[2]),
            "features": kept if name == "signature" else "",
            "failed": "",
        }
        | (of_risks(name) if train.binary else {})
        for name, lp in everyone.items()
    ]


def nested_columns(train: Training) -> list[str]:
    weighted = [] if train.follow_up is None else ["follow_up"]
    return [*BINARY_NESTED_COLUMNS, *weighted] if train.binary else NESTED_COLUMNS


def nested_predictions(train: Training, settings: dict[str, Any], seed: int, repeat: int, folds: int) -> pd.DataFrame:
    """Linear predictors of every training patient by models fitted without their fold: fold, model, patient_id, lp.

    Of a binary outcome also the risk, and the group by the fold's own frozen cut-point; of one at a horizon follow_up,
    and event is NaN where censored before. A fold whose fit is not estimable is a row with its reason under `failed`
    and no model.
    """
    settings, columns = imputed_once(decided(train, settings)), nested_columns(train)
    fold = grouped_folds(train.patient_id, train.event, folds, np.random.default_rng([seed, 4, repeat]))
    parts = []
    for number in range(folds):
        held = np.flatnonzero(fold == number)
        try:
            frozen = fit(train.rows(np.flatnonzero(fold != number)), settings, seed)
            part = train.rows(held)
            predictions = predict(frozen, part.clinical, part.features, part.names, part.centre)
        except NotEstimable as error:
            parts.append(
                pd.DataFrame({"repeat": [repeat], "fold": number, "model": "", "failed": str(error)}, columns=columns)
            )
            continue
        for model, lp in predictions.items():
            rows = {"repeat": repeat, "fold": number, "model": model, "patient_id": train.patient_id[held], "lp": lp}
            rows |= {"time": train.time[held], "event": train.event[held], "failed": ""}
            if train.binary:
                own = frozen.models[model]
                rows |= {"risk": expit(own["intercept"] + lp), "group": risk_group(own, lp)}
            if train.follow_up is not None:
                event = np.where(train.known, train.event, np.nan)
                rows |= {"event": event[held], "follow_up": train.follow_up[held]}
            parts.append(pd.DataFrame(rows))
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
                f"whole fit in each fold; bootstrap over patients{anew}{left_out}",
            }
        )
    return pd.DataFrame(rows)


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
    measured = [name.removesuffix("_resample") for name in resamples if name.endswith("_resample")]
    for model, part in done.groupby("model", sort=False):
        whole = apparent[apparent["model"] == model].set_index("metric")
        for name in measured:
            values = pd.DataFrame({place: part[f"{name}_{place}"].astype(float) for place in PLACES})
            own = whole.loc[metric if name == "c" else name]
            optimism = (values["resample"] - values["all"]).mean()
            note = f"{len(part)} resamples of the whole fit{lost}"
            if blank := int(values["out_of_bag"].isna().sum()):
                note += f", {blank} without an out-of-bag estimate"
            low, high = centiles(values["out_of_bag"])
            base = {"model": model, "metric": metric if name == "c" else name, "n": own["n"], "events": own["events"]}
            rows.append(
                base
                | {"cohort": "train-oob", "estimate": values["out_of_bag"].mean(), "lower": low, "upper": high}
                | {"method": f"out-of-bag, {note}; centiles over resamples"}
            )
            # what the fit itself sets to 0 or 1 has no spread to take limits from
            low, high = (np.nan, np.nan) if name in FITTED else centiles(values["resample"])
            rows.append(
                base
                | {"cohort": "train-optimism_corrected", "estimate": own["estimate"] - optimism}
                | {"lower": low - optimism, "upper": high - optimism}
                | {"method": f"apparent less optimism {optimism:.4f}, {note}; too small a correction if p >> n"}
            )
    return pd.DataFrame(rows)


def selection_frequency(resamples: pd.DataFrame, names: list[str]) -> pd.Series:
    """Share of the fitted resamples whose signature holds each of the features `names`, never selected ones at 0."""
    if "features" not in resamples or not names:
        return pd.Series(dtype=float)
    signatures = resamples.loc[resamples["model"] == "signature", "features"].fillna("").astype(str)
    counts = signatures.str.split(";").explode()
    share = counts[counts != ""].value_counts() / max(len(signatures), 1)
    return share.reindex(names, fill_value=0.0)
