"""Published scores recalibrated on training rows: formulas stay as published, a baseline and a slope are learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.fit.models import fit_model, without_selection
from recur.fit.regression import fit_columns
from recur.predict.published_scores import PREFIX
from recur.statistics.cox import baseline_survival, likelihood_ratio_test, wald_test
from recur.statistics.estimate import NotEstimable
from recur.statistics.logistic import ML
from recur.statistics.outcome import SURVIVAL

NUMBER = {"kind": "numeric", "transform": "none", "label": None, "unit": "", "timing": "pre"}
FIT_COLUMNS = ["score", "timing", "n", "events", "form", "chi2", "df", "p", "aic", "r2"]


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
        if note.scale == "log_hazard" and "competing" not in model and train.outcome.kind == SURVIVAL:
            models[f"{note.id}:baseline"] = with_own_slope(model, part, values)
        rows += fit_rows(note, part, values, part.clinical.get(f"{column}_group"))
    return models, pd.DataFrame(rows, columns=FIT_COLUMNS)


def with_own_slope(model: dict[str, Any], part: Training, values: np.ndarray) -> dict[str, Any]:
    """The score's model with slope 1 and the baseline that goes with it."""
    x = (values - values.mean())[:, None]
    times, survival = baseline_survival(x, part.outcome.time, part.outcome.event, np.ones(1))
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
        if part.outcome.weight is not None:
            test = wald_test(fitted["coef"], fitted["covariance"])
        size = len(x), int(part.outcome.event.sum())
        rows.append((note.id, note.timing, *size, form, test["chi2"], test["df"], test["p"], aic, r2))
    return rows
