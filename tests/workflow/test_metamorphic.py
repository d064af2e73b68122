"""What must not change a result: the order of rows, columns and patients, the file format, units declared otherwise.

Small whole studies, from their files to the risks of held-out patients: features of a ready table with a survival and a
binary endpoint, and clinical models of a recorded endpoint with published scores.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from binary_study import write_study

from recur.check.check import check_tables
from recur.cohort.analysis_set import make_analysis_set, split_sets, tumour_burden, without_gaps
from recur.cohort.clinical import read_cohort
from recur.cohort.published_scores import score_table
from recur.cohort.split import assign_all
from recur.cohort.training import read_training
from recur.features.complete import complete_enough
from recur.features.imported import read_features
from recur.fit.whole import fit
from recur.predict.apply import apply_models
from recur.study.facts import tumour_columns, uses_features
from recur.study.file import resolve
from recur.study.settings import analysis_settings
from recur.tables import write_table

QUICK = {"learning_repeats": 0, "resamples": 0, "nested_folds": 0, "nested_repeats": 0, "splits": 0}
TABLES = ("clinical", "features")


def features_study(folder: Path) -> None:
    """150 patients of two centres with 16 features and shapes of the tumour: early recurrence and MVI."""
    path = write_study(folder, (100, 50))
    study = yaml.safe_load(path.read_text())
    rng = np.random.default_rng(5)
    features = pd.read_csv(folder / "features.csv")
    diameter = rng.uniform(20, 90, len(features)).round(3)
    features["AP_tumour_original_shape_Maximum3DDiameter"] = diameter
    features["AP_tumour_original_shape_MeshVolume"] = (0.3 * diameter**3 * rng.uniform(0.6, 1, len(features))).round(2)
    features.to_csv(folder / "features.csv", index=False)
    study["endpoints"] = {"TTR": {"kind": "time_to_recurrence"}, "MVI": study["endpoints"]["MVI"]}
    study["candidates"] = {"pre": ["ln_afp", "margin_nonsmooth"], "post": []}
    study |= {"study": "small", "primary": "ttr"}
    one = {"internal_validation": QUICK, "ablations": False}
    ranked = {"ranking": {"trees": 20, "keep": 5}}
    study["analyses"] = {
        "ttr": {"endpoint": "TTR"} | one,
        "mvi": {"endpoint": "MVI"} | one,
        "published": {"endpoint": "TTR", "preset": "ji2020"} | one | ranked,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=True))


def clinical_study(folder: Path) -> None:
    """150 patients with a time in months, a code of the event, and the inputs of ALBI and of up-to-seven."""
    rng, n = np.random.default_rng(6), 150
    table = pd.DataFrame(
        {"patient_id": [f"{i:03d}" for i in range(n)], "centre": np.where(np.arange(n) < 100, "A", "B")}
    )
    table["size"] = rng.uniform(1, 9, n).round(1)
    table["number"] = rng.integers(1, 4, n)
    table["albumin"] = rng.normal(40, 5, n).round(1)
    table["bilirubin"] = rng.lognormal(2.6, 0.4, n).round(1)
    table["grade"] = rng.choice(["I", "II", "III"], n)
    table["months"] = rng.exponential(40 / np.exp(0.2 * table["size"])).round(2) + 0.1
    table["status"] = rng.choice([0, 1, 2], n, p=[0.3, 0.6, 0.1])
    table.loc[[5, 70], "albumin"] = np.nan
    table.to_csv(folder / "clinical.csv", index=False)
    numeric = {"kind": "numeric", "timing": "pre"}
    study = {
        "study": "small", "seed": 1, "synthetic": True, "horizons_months": [12],
        "clinical": {
            "table": "clinical.csv", "id": "patient_id", "centre": "centre",
            "variables": {
                "size": numeric | {"column": "size", "unit": "cm", "transform": "ln"},
                "number": numeric | {"column": "number"},
                "albumin": numeric | {"column": "albumin", "unit": "g/L"},
                "bilirubin": numeric | {"column": "bilirubin", "unit": "umol/L"},
                "grade": {"column": "grade", "kind": "ordinal", "levels": ["I", "II", "III"], "timing": "pre"},
            },
        },
        "endpoints": {
            "TTR": {
                "kind": "recorded", "time": "months", "event": "status", "competing_value": "2", "unit": "months",
            }
        },
        "split": {"kind": "centre", "train": ["A"], "external": ["B"]},
        "candidates": {"pre": ["size", "albumin", "grade"]},
        "comparators": {"inputs": {name: name for name in ("size", "number", "albumin", "bilirubin")}},
        "analyses": {"main": {"endpoint": "TTR", "internal_validation": QUICK}},
    }  # fmt: skip
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


STUDIES = {"features": features_study, "clinical": clinical_study}


# --- what is changed -------------------------------------------------------------------------------------------------


def edit(folder, change):
    for name in TABLES:
        path = folder / f"{name}.csv"
        if path.exists():
            change(pd.read_csv(path, dtype=str, keep_default_na=False)).to_csv(path, index=False)


def rows(folder):
    edit(folder, lambda table: table.sample(frac=1, random_state=3))


def patients(folder):
    edit(folder, lambda table: table[::-1])


def columns(folder):
    edit(folder, lambda table: table.sample(frac=1, axis=1, random_state=4))


def written_as(kind):
    def change(folder):
        study = yaml.safe_load((folder / "study.yaml").read_text())
        for name in TABLES:
            path = folder / f"{name}.csv"
            if not path.exists():
                continue
            table = pd.read_csv(path, dtype=str)
            other = folder / f"{name}.{kind}"
            match kind:
                case "tsv":
                    table.to_csv(other, sep="\t", index=False)
                case "xlsx":
                    table.to_excel(other, index=False)
                case "parquet":
                    table.to_parquet(other, index=False)
            path.unlink()
            study[name]["table"] = other.name
        (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))

    return change


def numbers_in_parquet(folder):
    """Numbers as a binary format holds them: whole ones as float where a cell of the column is empty."""
    study = yaml.safe_load((folder / "study.yaml").read_text())
    for name in TABLES:
        if (folder / f"{name}.csv").exists():
            text = {study["clinical"]["id"]: str}
            pd.read_csv(folder / f"{name}.csv", dtype=text).to_parquet(folder / f"{name}.parquet", index=False)
            study[name]["table"] = f"{name}.parquet"
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def units(folder):
    """The same quantities in other units, declared: mm, g/dL, mg/dL, days."""
    table = pd.read_csv(folder / "clinical.csv", dtype={"patient_id": str})
    study = yaml.safe_load((folder / "study.yaml").read_text())
    variables = study["clinical"]["variables"]
    for name, factor, unit in (("size", 10, "mm"), ("albumin", 0.1, "g/dL"), ("bilirubin", 1 / 17.104, "mg/dL")):
        table[name] *= factor
        variables[name]["unit"] = unit
    table["months"] *= 30.4375
    study["endpoints"]["TTR"]["unit"] = "days"
    table.to_csv(folder / "clinical.csv", index=False)
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


# --- the whole study -------------------------------------------------------------------------------------------------


def run(folder: Path) -> dict[str, Any]:
    """Frozen models, risks of held-out patients and published scores, as JSON-ready values and tables."""
    study = resolve(folder / "study.yaml")
    check_tables(study)
    cohort = read_cohort(study)
    assigned = assign_all(study, cohort.clinical, cohort.cells).set_index("patient_id")["cohort"]
    found: dict[str, Any] = {"assigned": assigned}
    features = None
    if "features" in study:
        settings = study["features"]
        features = complete_enough(read_features(settings, settings["table"]), [{}])[0]
    if "comparators" in study:
        found["scores"] = score_table(study, cohort.clinical)[0]
    for name, analysis in study["analyses"].items():
        own = features if uses_features(study, name) else None
        declared = {key: study["clinical"][f"tumour_{key}"] for key in ("size", "volume")} | tumour_columns(study)
        burden = tumour_burden(own, cohort.clinical, declared, declared["phases"])
        clinical = cohort.clinical.merge(burden, on="patient_id")
        competing = "competing_value" in study["endpoints"][analysis["endpoint"]]
        made = make_analysis_set(assigned, clinical, cohort.endpoints, analysis["endpoint"], own, competing)
        sets, _, _ = without_gaps(split_sets(*made))
        (frame, values), (held, others) = sets["train"], sets["heldout"]
        paths = [folder / f"{name}-train.csv", folder / f"{name}-train.parquet", folder / f"{name}-repeats.parquet"]
        write_table(frame, paths[0])
        write_table(values, paths[1])
        write_table(values.iloc[:0].assign(reader=""), paths[2])
        frozen = fit(read_training(*paths), analysis_settings(study, name), study["seed"])
        found[f"{name}, models"] = json.dumps([frozen.signature, frozen.models], sort_keys=True)
        names = list(others.columns[1:])
        risks = apply_models(frozen.models, frozen.signature, held, others[names].to_numpy(float), names)
        found[f"{name}, risks"] = risks.sort_values(["model", "patient_id"], ignore_index=True)
    return found


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    made = {}
    for kind, write in STUDIES.items():
        folder = tmp_path_factory.mktemp(kind)
        write(folder)
        made[kind] = run(folder)
    return made


ORDER = {"rows": rows, "patients": patients, "columns": columns}
FORMATS = {kind: written_as(kind) for kind in ("tsv", "xlsx", "parquet")} | {"typed parquet": numbers_in_parquet}


@pytest.mark.parametrize("study", STUDIES)
@pytest.mark.parametrize("change", [*ORDER, *FORMATS])
def test_it_changes_no_byte(original, tmp_path, study, change):
    STUDIES[study](tmp_path)
    (ORDER | FORMATS)[change](tmp_path)
    found = run(tmp_path)
    assert found.keys() == original[study].keys()
    for what, value in original[study].items():
        if isinstance(value, str):
            assert found[what] == value, what
        elif isinstance(value, pd.Series):
            pd.testing.assert_series_equal(found[what], value)
        else:
            pd.testing.assert_frame_equal(found[what], value, rtol=0, atol=0, obj=what)


def test_units_declared_otherwise_change_no_risk(original, tmp_path):
    clinical_study(tmp_path)
    units(tmp_path)
    found = run(tmp_path)
    for what in ("scores", "main, risks"):
        expected = original["clinical"][what].drop(columns="diameters", errors="ignore")
        pd.testing.assert_frame_equal(found[what].drop(columns="diameters", errors="ignore"), expected, rtol=1e-8)
