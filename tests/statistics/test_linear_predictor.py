"""Patients stand on the side of a frozen cut-point on which the search for it put them, in Python and in the page."""

from __future__ import annotations

import frozen
import numpy as np
import pandas as pd
import pytest
from browser import console, open_page

from recur.cohort.training import Training
from recur.fit.model_checks import cutpoint_scan
from recur.fit.models import fit_model
from recur.predict.apply import apply_model
from recur.predict.inputs import declared_inputs
from recur.predict.model import linear_predictor
from recur.report.calculator import page
from recur.statistics.cutpoint import best_cutpoint
from recur.statistics.linear_predictor import linear_sum, tied
from recur.statistics.outcome import Outcome
from recur.statistics.roc import youden
from tests.report.test_calculator import RUN

KINDS = ("survival", "competing", "youden", "sensitivity", "horizon")
OF = {"timing": "pre", "unit": "", "transform": "none", "label": None}
BINARY = OF | {"kind": "binary", "positive": "1", "negative": "0"}
VARIABLES = {
    **{f"b{j}": BINARY | {"column": f"b{j}"} for j in range(4)},
    "cause": OF | {"column": "cause", "kind": "categorical", "levels": ["a", "b", "c"]},
    "grade": OF | {"column": "grade", "kind": "ordinal", "levels": ["1", "2", "3"]},
    "size": OF | {"column": "size", "kind": "numeric", "range": [0, 100]},
    "afp": OF | {"column": "afp", "kind": "numeric", "transform": "ln", "floor": None, "range": [0, 1e6]},
}
BINARIES = ["b0", "b1", "b2", "b3"]
ROUNDED = ["cause", "grade", "size", "afp"]  # few values each: many patients share a predictor


def settings(terms, kind):
    chosen = frozen.settings() | {"variables": VARIABLES, "candidates": {"pre": terms, "post": []}}
    horizons = [] if kind in ("youden", "sensitivity", "horizon") else [24]
    sensitivity = {"cutpoint_sensitivity": 0.8 if kind == "sensitivity" else None}
    return chosen | sensitivity | {"horizons_months": horizons}


def cohort(seed, kind, missing=0.0, n=400):
    rng = np.random.default_rng(seed)
    columns = {name: rng.integers(0, 2, n) for name in BINARIES}
    columns |= {"cause": rng.integers(0, 3, n), "grade": rng.integers(0, 3, n)}
    columns |= {"size": rng.integers(10, 60, n) / 10, "afp": 10.0 ** rng.integers(0, 4, n)}
    clinical = pd.DataFrame(columns).astype(float)
    risk = clinical[BINARIES].to_numpy() @ [0.5, 0.4, 0.6, 0.3] + 0.2 * clinical["size"] + 0.3 * clinical["grade"]
    time, limit = rng.exponential(60 * np.exp(-risk)), rng.uniform(5, 80, n)
    death = rng.exponential(60, n)
    if kind == "competing":
        limit = np.minimum(limit, death)
    clinical = clinical.mask(rng.random(clinical.shape) < missing)
    event, seen = (time <= limit).astype(int), np.minimum(time, limit)
    ids = np.array([f"p{i:03d}" for i in range(n)], object)
    rows = Training(ids, Outcome(event, seen), clinical, np.zeros((n, 0)), np.zeros((n, 0, 0)), [])
    if kind == "competing":
        return rows._replace(outcome=rows.outcome._replace(competing=((event == 0) & (seen == death)).astype(int)))
    if kind in ("youden", "sensitivity"):
        return rows._replace(outcome=rows.outcome._replace(time=None, event=(time < 20).astype(int)))
    if kind == "horizon":
        known = (event == 1) | (seen >= 24)
        own = {"event": event * (seen <= 24), "follow_up": np.minimum(seen, 24), "known": known}
        return rows._replace(outcome=rows.outcome._replace(time=None, **own))
    return rows


def fitted(seed, kind, terms, missing=0.0):
    train, chosen = cohort(seed, kind, missing), settings(terms, kind)
    model = fit_model(train, terms, None, chosen, 1)
    return train, model, chosen


def patients_at_or_below(train, model):
    """How many training patients the search put at or below the cut."""
    if train.outcome.time is None:
        lp = tied(linear_predictor(model, train.clinical, None))
        found = youden(train.outcome.event, lp, train.outcome.weight)
        assert "Youden" not in model["cutpoint"]["rule"] or found["threshold"] == model["cutpoint"]["lp"]
        return None
    table = cutpoint_scan(train, None, {"model": model})
    [row] = table[table["chosen"] == 1].to_dict("records")
    assert row["cutpoint"] == model["cutpoint"]["lp"]
    return row["n_low"]


def weighted_index(train, group):
    """Sensitivity + specificity - 1 of the groups in the training rows."""
    weight = np.ones(len(group)) if train.outcome.weight is None else train.outcome.weight
    high, event = group == "high", train.outcome.event == 1
    return sum(np.average(side[own], weights=weight[own]) for side, own in ((high, event), (~high, ~event))) - 1


COVARIATES = {"binary": (BINARIES, 0.0), "rounded": (ROUNDED, 0.0), "gaps": (ROUNDED, 0.1)}  # terms, share missing


@pytest.mark.parametrize("terms, missing", COVARIATES.values(), ids=COVARIATES)
@pytest.mark.parametrize("kind", KINDS)
def test_frozen_groups_are_those_of_the_search(kind, terms, missing):
    cuts = 0
    for seed in range(60 if (kind, terms) == ("survival", BINARIES) else 6):
        train, model, _ = fitted(seed, kind, terms, missing)
        if model["cutpoint"] is None:
            continue
        cuts += 1
        group = apply_model(model, train.clinical, None)["group"]
        if train.outcome.time is None:
            patients_at_or_below(train, model)
            assert weighted_index(train, group) == pytest.approx(model["cutpoint"]["statistic"], abs=1e-12)
        else:
            assert (group == "low").sum() == patients_at_or_below(train, model)
        distance = np.abs(linear_predictor(model, train.clinical, None) - model["cutpoint"]["lp"]).min()
        assert distance > 4e-10  # midway between two predictors: no rounding changes a side
        again = np.random.default_rng(seed).permutation(len(group))
        shuffled = apply_model(model, train.clinical.iloc[again].reset_index(drop=True), None)["group"]
        assert (shuffled.to_numpy() == group.to_numpy()[again]).all()
        assert apply_model(model, train.clinical.iloc[:1], None)["group"].item() == group.iloc[0]
    assert cuts > 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("terms, missing", [(BINARIES, 0), (ROUNDED, 0.1)], ids=["binary", "gaps"])
def test_the_page_puts_patients_around_the_cut_into_the_groups_of_the_search(browser, tmp_path, kind, terms, missing):
    train, model, chosen = fitted(1, kind, terms, missing)
    model |= {"analysis": "recommended", "endpoint": "TTR", "inputs": declared_inputs(model, chosen)}
    tables = pd.DataFrame(columns=["analysis", "model", "cohort", "metric", "n", "events"])
    study = frozen.study()
    study["endpoints"]["TTR"] = (
        {"kind": "binary", "label": "Event"} if train.outcome.time is None else study["endpoints"]["TTR"]
    )
    (tmp_path / "c.html").write_text(page({"recommended": {"clinical_pre": model}}, study, tables))
    open_page(browser, tmp_path / "c.html")
    known = train.clinical[terms].notna().any(axis=1)
    distance = np.abs(linear_predictor(model, train.clinical, None) - model["cutpoint"]["lp"])
    nearest = np.argsort(np.where(known, distance, np.inf), kind="stable")[:150]
    rows = train.clinical.iloc[nearest].reset_index(drop=True)
    numbers = {"size", "afp"}
    cases = [
        {term: repr(float(v)) if term in numbers else str(int(v)) for term, v in row.dropna().items() if term in terms}
        for _, row in rows.iterrows()
    ]
    answers = browser.execute_script(RUN, cases, "0")
    groups = apply_model(model, rows, None)["group"].tolist()
    assert [answer["group"] for answer in answers] == groups
    assert set(groups) == {"low", "high"} and console(browser) == []


def test_the_sum_of_a_row_does_not_depend_on_the_rows_beside_it():
    rng = np.random.default_rng(0)
    x, coef, centre = rng.normal(size=(500, 7)).round(1), rng.normal(size=7), rng.normal(size=7)
    whole = linear_sum(x, coef, centre)
    for at in range(0, 500, 41):
        assert linear_sum(x[at : at + 3], coef, centre).tolist() == whole[at : at + 3].tolist()
    assert np.allclose(whole, (x - centre) @ coef)
    assert linear_sum(x[:, :0], []).tolist() == [0.0] * 500


def test_predictors_that_differ_by_rounding_are_one():
    values = np.array([0.3, 0.1 + 0.2, 1.0, -2.0, 1.0 + 1e-12, 1.0 + 1e-6])
    same = tied(values)
    assert same[0] == same[1] and same[2] == same[4] != same[5] and len(set(same)) == 4
    assert np.abs(same - values).max() < 1e-9
    assert tied(values[:0]).tolist() == []


def test_a_cut_lies_midway_between_the_neighbours_it_parts():
    score = np.repeat([0.0, 1.0, 3.0], 20)
    time = np.concatenate([np.arange(1, 41) + 100.0, np.arange(1, 21)])
    found = best_cutpoint(score, time, np.ones(60))
    assert found["cutpoint"] == 2 and found["candidates"]["cutpoint"].tolist() == [0.5, 2]
    neighbours = np.array([1.0, np.nextafter(1.0, 2)])
    close = best_cutpoint(np.repeat(neighbours, 30), time, np.ones(60))["cutpoint"]
    assert neighbours[0] <= close < neighbours[1]
