"""Raw feature tables as pyradiomics writes them go through the recommended fit: no traceback, a finite choice."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from recur.cohort.training import Training
from recur.fit.whole import fit, predict
from recur.statistics.outcome import Outcome

ROOT = Path(__file__).parents[2]
PRESET = yaml.safe_load((ROOT / "presets/recommended.yaml").read_text())
SETTINGS = PRESET | {
    "candidates": {"pre": [], "post": [], "interactions": [], "strata": []},
    "variables": {},
    "horizons_months": [24.0],
    "models": ["signature"],
}


def generated(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table with pyradiomics' distributions, and outcomes: 20 to 2,000 patients, 1 to 3,000 features."""
    rng = np.random.default_rng(seed)
    n = int(np.exp(rng.uniform(np.log(20), np.log(2000))))
    p = int(np.exp(rng.uniform(0, np.log(min(3000, 400_000 / n)))))
    shared = rng.normal(size=(n, 1))
    kinds = rng.integers(0, 8, p)
    columns = []
    for kind in kinds:
        latent = 0.6 * shared[:, 0] + 0.8 * rng.normal(size=n)
        match kind:
            case 0:
                column = np.exp(27 + 2 * latent)  # energy
            case 1:
                column = np.exp(3 * latent)  # emphasis
                column[rng.integers(n)] *= 1e5
            case 2:
                column = rng.poisson(3, n).astype(float)  # counts
            case 3:
                column = np.full(n, 0.5)  # constant
            case 4:
                column = 1 / (1 + np.exp(-latent))  # ratio
            case 5:
                column = latent * 1e-8
            case 6:
                column = np.where(rng.random(n) < 0.95, 0.0, latent)  # mostly zero
            case _:
                column = latent
        columns.append(column)
    x = np.column_stack(columns)
    twice = rng.integers(0, p, p // 20)
    x[:, rng.permutation(p)[: len(twice)]] = x[:, twice]  # duplicates
    missing = rng.random(x.shape) < 0.05
    x = x[missing.mean(axis=1) < 1]
    time = rng.exponential(30 * np.exp(-0.5 * shared[: len(x), 0]))
    return np.where(missing[: len(x)], np.median(x, axis=0), x), time, rng.random(len(x)) < 0.6


def training(x: np.ndarray, time: np.ndarray, event: np.ndarray, names: list[str], binary: bool) -> Training:
    clinical = pd.DataFrame(index=range(len(x)))
    repeats = np.zeros((len(x), 0, x.shape[1]))
    ids = np.array([f"p{i}" for i in range(len(x))])
    outcome = Outcome(event.astype(int), None if binary else time)
    return Training(ids, outcome, clinical, x, repeats, names)


def check(x: np.ndarray, time: np.ndarray, event: np.ndarray, binary: bool = False) -> None:
    """The recommended fit of features in any order of columns: finite, the same, and the same again on other units."""
    names = [f"original_feature_{j:04d}" for j in range(x.shape[1])]
    train = training(x, time, event, names, binary)
    frozen = fit(train, SETTINGS, 1)
    risks = predict(frozen, train.clinical, x, names)["signature"]
    assert np.isfinite(risks).all() and np.isfinite(frozen.models["signature"]["loglik"])
    order = np.random.default_rng(0).permutation(x.shape[1])
    shuffled = fit(training(x[:, order], time, event, [names[j] for j in order], binary), SETTINGS, 1)
    assert shuffled.signature == frozen.signature


QUICK, MANY = range(12), range(12, 200)


@pytest.mark.parametrize("seed", QUICK)
def test_a_generated_table_is_fitted(seed):
    x, time, event = generated(seed)
    check(x, time, event, binary=seed % 3 == 0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", MANY)
def test_two_hundred_generated_tables_are_fitted(seed):
    x, time, event = generated(seed)
    check(x, time, event, binary=seed % 3 == 0)


@pytest.fixture(scope="module")
def reference() -> Path:
    folder = os.environ.get("REFERENCE_DATA")
    if not folder:
        pytest.skip("REFERENCE_DATA is not set")
    return Path(folder)


@pytest.mark.reference
@pytest.mark.parametrize("table", ["features_A3.csv.gz", "features_L3.csv.gz"])
def test_real_metastases_are_fitted(reference, table):
    folder = reference / "crlm_resection"
    features = pd.read_csv(folder / table).rename(columns={"Unnamed: 0": "Patient-ID"})
    merged = pd.read_csv(folder / "clinical.csv").merge(features, on="Patient-ID")
    x = merged[[name for name in features if "_original_" in name]].to_numpy(float)
    check(x, merged["months_to_DFS_progression"].to_numpy(float), merged["vital_status_DFS"].to_numpy(int) == 1)


@pytest.mark.reference
def test_real_tumours_of_four_phases_are_fitted(reference):
    long = pd.read_excel(reference / "liver_mri_4phase" / "radiomiques_global.xlsx")
    names = [name for name in long if name.startswith("original_")]
    phase = long[long["temps_inj"] == "ART"].dropna(subset=names)
    check(phase[names].to_numpy(float), np.ones(len(phase)), phase["classe_name"].to_numpy() == "CHC", binary=True)
