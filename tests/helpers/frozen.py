"""Frozen models of a made-up study with every kind of input, fitted in a second, as the workflow stores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from recur.cohort.training import Training
from recur.fit.whole import fit
from recur.predict.inputs import declared_inputs
from recur.sources import ROOT
from recur.statistics.outcome import Outcome
from recur.tables import write_frozen

N, P = 160, 6
EVIL = '</script><img src=x onerror="document.title=1">'
BASE = {"timing": "pre", "unit": "", "transform": "none"}
VARIABLES = {
    "afp": BASE | {"column": "afp_ng_ml", "kind": "numeric", "unit": "ng/mL", "transform": "ln", "label": "ln AFP",
                   "floor": 0.305, "range": [0, 1e6]},
    "age": BASE | {"column": "age", "kind": "numeric", "unit": "years", "label": f"Age {EVIL}", "range": [18, 110]},
    "margin": BASE | {"column": "margin", "kind": "binary", "label": None,
                      "positive": "non-smooth", "negative": "smooth"},
    "ascites": BASE | {"column": "ascites", "kind": "ordinal", "label": "Ascites",
                       "levels": ["none", "mild", "severe"]},
    "cause": BASE | {"column": "cause", "kind": "categorical", "label": "Cause", "levels": ["HBV", "HCV", "other <b>"]},
    "mvi": BASE | {"column": "mvi", "kind": "binary", "label": "MVI", "timing": "post",
                   "positive": "1", "negative": "0"},
}  # fmt: skip
PRE = ["afp", "age", "margin", "ascites", "cause"]
STUDY = {
    "study": "made", "title": f"Made-up study {EVIL}", "synthetic": True, "seed": 1, "horizons_months": [24, 120],
    "clinical": {"id": "patient_id", "centre": "centre", "missing_values": ["-9"], "variables": VARIABLES,
                 "tumour_size": None, "tumour_volume": None, "dates": {"t0_kind": "surgery"}},
    "endpoints": {"TTR": {"kind": "time_to_recurrence", "label": "Time to recurrence"},
                  "CR": {"kind": "recurrence_competing"}},
    "split": {"kind": "centre", "train": ["A"], "external": ["B"]}, "candidates": {"pre": PRE, "post": ["mvi"]},
    "features": {"table": "features.csv"},
}  # fmt: skip


def settings(stepwise: bool = False, names: tuple[str, ...] = ("combined_pre", "clinical_pre")) -> dict:
    """Settings of a fit; a stepwise one leaves terms that only the imputer uses."""
    chosen = yaml.safe_load((ROOT / "presets" / f"{'ji2020' if stepwise else 'recommended'}.yaml").read_text())
    if stepwise:
        chosen["ranking"] |= {"kind": "none"}
    inputs = {key: STUDY["clinical"][key] for key in ("id", "centre", "missing_values", "tumour_size", "tumour_volume")}
    return chosen | {"variables": VARIABLES, "candidates": STUDY["candidates"], "horizons_months": [24, 120],
                     "models": list(names), "inputs": inputs | {"phases": ["AP"]}}  # fmt: skip


def clinical_rows(n: int, seed: int, missing: float) -> pd.DataFrame:
    """Clinical variables as numbers, some of them missing."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "afp": np.maximum(np.exp(rng.normal(3, 2, n)).round(3), 0.305), "age": rng.integers(30, 85, n),
        "margin": rng.integers(0, 2, n), "ascites": rng.integers(0, 3, n), "cause": rng.integers(0, 3, n),
        "mvi": rng.integers(0, 2, n),
    }).astype(float)  # fmt: skip
    return frame.mask(rng.random(frame.shape) < missing)


def training(seed: int = 0, competing: bool = False) -> Training:
    """Rows whose hazard follows margin, AFP and the first feature; about a tenth of the cells is missing."""
    rng, clinical = np.random.default_rng(seed), clinical_rows(N, seed, 0.1)
    features = rng.normal(size=(N, P)) * 3 + 50
    risk = 0.9 * clinical["margin"].fillna(0.5) + 0.3 * np.log(clinical["afp"].fillna(20)) + (features[:, 0] - 50) / 4
    time, death = 60 * rng.exponential(np.exp(1 - risk)), rng.exponential(90, N) if competing else np.full(N, np.inf)
    limit = rng.uniform(10, 100, N)
    seen = np.minimum(np.minimum(time, death), limit)
    ids = np.array([f"A{i:03d}" for i in range(N)], object)
    names = ["AP_tumour_original_shape_MeshVolume", *(f"AP_tumour_f{j}" for j in range(1, P))]
    clinical = clinical.assign(tumour_volume=features[:, 0])
    outcome = Outcome((seen == time).astype(int), seen)
    if competing:
        outcome = outcome._replace(competing=(seen == death).astype(int))
    return Training(ids, outcome, clinical, features, np.full((N, 0, P), np.nan), names, centre=np.full(N, "A", object))


def analyses() -> dict[str, tuple[dict | None, dict[str, dict]]]:
    """analysis -> (signature, models by name), as floors 5 and 6 freeze them."""
    found = {}
    for name, chosen, competing in (
        ("recommended", settings(names=("signature", "combined_pre", "clinical_pre", "combined_post")), False),
        ("stepwise", settings(stepwise=True, names=("clinical_pre",)), False),
        ("competing", settings(names=("clinical_pre",)), True),
    ):
        train = training(competing=competing)
        if name != "recommended":
            train = train._replace(names=[], features=np.zeros((N, 0)), repeats=np.zeros((N, 0, 0)))
        signature, models = fit(train, chosen, 1)
        labels = {"analysis": name, "endpoint": "CR" if competing else "TTR"}
        models = {key: labels | m | {"inputs": declared_inputs(m, chosen)} for key, m in models.items()}
        found[name] = (signature and labels | signature | {"features_manifest": None}, models)
    return found


def study() -> dict:
    """The study's settings as the model card and the calculator read them."""
    chosen = settings()
    own = {
        name: chosen | {"endpoint": "CR" if name == "competing" else "TTR", "use_features": name == "recommended"}
        for name in ("recommended", "stepwise", "competing")
    }
    return STUDY | {"analyses": own}


def write_models(folder: Path, found: dict) -> list[Path]:
    """The frozen files in a results folder; returns the folders of the models."""
    for name, (signature, models) in found.items():
        for key, model in models.items():
            write_frozen(model, folder / f"models/{name}/frozen/{key}.json")
        if signature:
            write_frozen(signature, folder / f"signature/{name}/signature.json")
    return [folder / f"models/{name}/frozen" for name in found]
