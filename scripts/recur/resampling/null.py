"""Redrawn outcomes on cached features: does the whole fit find nothing where there is nothing?"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.cohort.analysis_set import make_analysis_set
from recur.cohort.clinical import read_cohort
from recur.cohort.split import assign_all
from recur.cohort.training import Training
from recur.demo.tables import redraw
from recur.fit.signature import build_signature
from recur.fit.stability import usable_columns
from recur.fit.whole import fit, predict
from recur.predict.signature import signature_scores
from recur.statistics.concordance import c_index, doubled_ranks, somers_d
from recur.statistics.outcome import Outcome
from recur.tables import write_table
from recur.vocabulary import TRAIN, WITHOUT_SIGNATURE, main_model

LEAKY_FEATURES = 20


class MadeUpCohort(NamedTuple):
    """A cohort of the demo, whose outcomes can be drawn anew."""

    truth: pd.DataFrame  # what the outcomes were drawn from
    clinical: pd.DataFrame
    features: list[pd.DataFrame]  # the first reader's table, then the others'


def redrawn_performance(
    made_up: MadeUpCohort, study: dict[str, Any], settings: dict[str, Any], signal: str, seed: int
) -> pd.DataFrame:
    """C in the external cohort after fitting on redrawn outcomes: signal, seed, cohort, model, c_harrell.

    Beside the models of the analysis stands `leaky`, the mistake that the study's floors make impossible.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clinical.csv")
        write_table(redraw(made_up.truth, made_up.clinical, seed, signal), path)
        cohort = read_cohort(study | {"clinical": study["clinical"] | {"table": str(path)}, "on_error": "exclude"})
    assigned = assign_all(study, cohort.clinical, cohort.cells).set_index("patient_id")["cohort"]
    first, *other_readings = made_up.features
    names = [name for name in first.columns if name not in ("patient_id", "reader")]
    frame, values = make_analysis_set(
        assigned, cohort.clinical, cohort.endpoints, settings["endpoint"], first[["patient_id", *names]]
    )
    everyone = training(frame, values[names].to_numpy(float), other_readings, names)
    is_train = (frame["cohort"] == TRAIN).to_numpy()
    train = everyone.rows(np.flatnonzero(is_train))
    scores = predict(fit(train, settings, seed), frame, everyone.features, names, everyone.centre)
    scores["leaky"] = leaky_scores(everyone, settings, seed)
    rows = []
    for name in sorted(set(frame["cohort"]) - {TRAIN}):
        held = np.flatnonzero(frame["cohort"] == name)
        time = everyone.outcome.pair_times[held]
        event = everyone.outcome.event[held]
        rows += [(signal, seed, name, model, c_index(score[held], time, event)) for model, score in scores.items()]
    return pd.DataFrame(rows, columns=["signal", "seed", "cohort", "model", "c_harrell"])


def leaky_scores(everyone: Training, settings: dict[str, Any], seed: int) -> np.ndarray:
    """Scores (n,) of a deliberately leaky signature, for the test that must catch it.

    The LEAKY_FEATURES most associated with the outcome are picked on training and external rows together, before any
    fold is made, and weighted on the same rows: the two commonest mistakes at once.
    """
    usable = usable_columns(everyone, pd.DataFrame())
    relevance = np.abs(
        somers_d(doubled_ranks(everyone.features[:, usable]), everyone.outcome.pair_times, everyone.outcome.event)
    )
    picked = usable[np.argsort(-relevance, kind="stable")[:LEAKY_FEATURES]]
    part = everyone._replace(
        features=everyone.features[:, picked],
        repeats=everyone.repeats[:, :, picked],
        names=[everyone.names[column] for column in picked],
    )
    open_settings = settings | {"redundancy": {"spearman": None}, "ranking": {"kind": "none"}}
    signature, _ = build_signature(part, pd.DataFrame(), open_settings, seed)
    return signature_scores(signature, part.features, part.names, part.centre)


def training(frame: pd.DataFrame, values: np.ndarray, other_readings: list[pd.DataFrame], names: list[str]) -> Training:
    """A Training of the given rows with the other readers' readings; only for cohorts made by the workflow itself."""
    row = {patient: i for i, patient in enumerate(frame["patient_id"])}
    repeats = np.full((len(frame), len(other_readings), len(names)), np.nan)
    for k, table in enumerate(other_readings):
        again = table[table["patient_id"].isin(row)]
        repeats[[row[patient] for patient in again["patient_id"]], k] = again[names].to_numpy(float)
    ids, centre = frame["patient_id"].to_numpy(object), frame["centre"].fillna("").to_numpy(object)
    outcome = Outcome(frame["event"].to_numpy(int), frame["time"].to_numpy(float))
    return Training(ids, outcome, frame, values, repeats, names, centre)


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean, SD and range of C per signal, cohort and model, and the mean gain of the signature over clinical terms."""
    table = runs.groupby(["signal", "cohort", "model"], sort=False)["c_harrell"].agg(
        ["count", "mean", "std", "min", "max"]
    )
    wide = runs.pivot_table(index=["signal", "cohort", "seed"], columns="model", values="c_harrell")
    main = main_model(wide.columns.drop("leaky", errors="ignore"))
    clinical = WITHOUT_SIGNATURE.get(main)
    if clinical in wide.columns and clinical != main:
        gain = (wide[main] - wide[clinical]).groupby(["signal", "cohort"])
        gain = gain.agg(["count", "mean", "std", "min", "max"])
        gain.index = pd.MultiIndex.from_tuples([(*key, f"{main} - {clinical}") for key in gain.index])
        table = pd.concat([table, gain])
    table.index.names = ["signal", "cohort", "model"]
    return table.reset_index()
