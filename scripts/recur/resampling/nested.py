"""Repeated nested cross-validation of the whole fit: every training patient predicted without the patient's fold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cli import progress
from recur.cohort.training import Training
from recur.fit.stability import decided
from recur.fit.whole import apply, fit
from recur.resampling.fits import imputed_once, penalised_said
from recur.statistics.estimate import NotEstimable
from recur.statistics.folds import grouped_folds
from recur.statistics.nested_concordance import NESTED_COLUMNS, nested_concordance
from recur.statistics.outcome import BINARY
from recur.validation.common import fitted_rows
from recur.vocabulary import NESTED

BINARY_NESTED_COLUMNS = [*NESTED_COLUMNS, "risk", "group"]


def nested_columns(train: Training, settings: dict[str, Any]) -> list[str]:
    """Columns of nested_predictions: NESTED_COLUMNS, and what the outcome adds."""
    if train.outcome.kind == BINARY:
        return [*BINARY_NESTED_COLUMNS, *([] if train.outcome.follow_up is None else ["follow_up"])]
    competing = [] if train.outcome.competing is None else ["competing"]
    return [*NESTED_COLUMNS, *competing, *(f"risk_{months:g}" for months in settings["horizons_months"])]


def nested_predictions(train: Training, settings: dict[str, Any], seed: int, repeat: int, folds: int) -> pd.DataFrame:
    """Predictions of every training patient by models fitted without their fold: fold, model, patient_id, lp and the
    risks.

    Of an outcome in time a risk at each horizon, and the competing event; of a binary outcome one risk, and the group
    by the fold's own frozen cut-point; of one at a horizon follow_up, and event is NaN where censored before. A fold
    whose fit is not estimable is a row with its reason under `failed` and no model.
    """
    columns = nested_columns(train, settings)
    settings = imputed_once(decided(train, settings))
    fold = grouped_folds(train.patient_id, train.outcome.event, folds, np.random.default_rng([seed, 4, repeat]))
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
            if held.outcome.follow_up is not None:
                part["follow_up"] = held.outcome.follow_up
                part["event"] = np.where(held.outcome.known, held.outcome.event, np.nan)
            parts.append(part[columns])
    if parts:
        return pd.concat(parts, ignore_index=True)[columns]
    return pd.DataFrame(columns=columns)


def nested_performance(nested: pd.DataFrame, seed: int) -> pd.DataFrame:
    """C of the nested cross-validation per model, pairs within a fold only, with a bootstrap interval over patients."""
    rows = []
    failed = nested[nested["failed"].fillna("") != ""]
    left_out = ""
    anew = ""
    if "follow_up" in nested:
        anew = ", weights for censoring anew in each draw"
    if len(failed):
        folds = ", ".join(f"{row.repeat}/{row.fold}" for row in failed.itertuples())
        left_out = f"; {len(failed)} folds left out (repeat/fold {folds}: {failed['failed'].iloc[0]})"
    nested = fitted_rows(nested).astype({"lp": float, "time": float})
    models = list(nested.groupby("model", sort=False))
    for model, part in progress(models, len(models), "intervals of the nested cross-validation", "models"):
        estimate, draws = nested_concordance(part, "lp", np.random.default_rng([seed, 5]))
        first = part.drop_duplicates("patient_id")
        rows.append(
            {
                "model": model,
                "cohort": NESTED,
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
