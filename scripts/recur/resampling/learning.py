"""Learning curve: C of the whole fit on patients left out, by the number of patients it was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.fit.stability import decided
from recur.fit.whole import fit, predict
from recur.resampling.fits import imputed_once
from recur.statistics.concordance import c_index
from recur.statistics.estimate import NotEstimable
from recur.statistics.folds import grouped_folds
from recur.validation.common import fitted_rows

TEST_SHARE = 5  # one in five is left out and tests every size of a repeat
SHARES = (0.25, 0.5, 0.75, 1.0)  # of the rest, nested in each other
LEARNING_COLUMNS = ["repeat", "share", "n", "events", "model", "c", "failed"]


def learning_fits(train: Training, settings: dict[str, Any], seed: int, repeat: int) -> list[dict[str, Any]]:
    """Rows (LEARNING_COLUMNS) of one repeat: the whole fit on growing parts of four fifths, judged on the last fifth.

    All splits are by patient and stratified on the event; a fit that is not estimable is a row with its reason.
    """
    settings = imputed_once(decided(train, settings))
    rng = np.random.default_rng([seed, 6, repeat])
    fold = grouped_folds(train.patient_id, train.outcome.event, TEST_SHARE, rng)
    test = train.rows(np.flatnonzero(fold == 0))
    rest = np.flatnonzero(fold != 0)
    # parts of twenty: the first k of them, for every share, so that larger sets hold the smaller ones
    part = grouped_folds(train.patient_id[rest], train.outcome.event[rest], 20, rng)
    rows = []
    for share in SHARES:
        chosen = train.rows(rest[part < round(20 * share)])
        base = {
            "repeat": repeat,
            "share": share,
            "n": len(chosen.patient_id),
            "events": int(chosen.outcome.event.sum()),
        }
        try:
            frozen = fit(chosen, settings, seed)
            scores = predict(frozen, test.clinical, test.features, test.names, test.centre)
        except NotEstimable as error:
            rows.append(base | {"model": "", "c": np.nan, "failed": str(error)})
            continue
        rows += [
            base
            | {
                "model": name,
                "c": c_index(lp, test.outcome.pair_times, test.outcome.event, test.outcome.weight),
                "failed": "",
            }
            for name, lp in scores.items()
        ]
    return rows


def learning_curve(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean C and the 2.5 and 97.5 centiles over repeats per model and training size.

    Columns: model, n, events (means), estimate, lower, upper, repeats, failed, method.
    """
    columns = ["model", "n", "events", "estimate", "lower", "upper", "repeats", "failed", "method"]
    failed = runs[runs["failed"].fillna("") != ""].groupby("share").size()
    done = fitted_rows(runs)
    rows = []
    for (model, share), part in done.groupby(["model", "share"], sort=False):
        low, high = part["c"].quantile([0.025, 0.975])
        rows.append(
            {"model": model, "n": round(part["n"].mean()), "events": round(part["events"].mean())}
            | {"estimate": part["c"].mean(), "lower": low, "upper": high, "repeats": len(part)}
            | {"failed": int(failed.get(share, 0))}
            | {"method": "whole fit on a random part, C on a fifth left out; mean and centiles over repeats"}
        )
    return pd.DataFrame(rows, columns=columns)
