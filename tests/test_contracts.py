"""The promises of frozen files and tables: what is not as its contract has it is said in a line, with the place."""

import json

import frozen
import pandas as pd
import pytest
from small import ROOT

from recur.contracts import (
    contract_of,
    folders,
    is_internal,
    problems_of_frozen,
    problems_of_results,
    problems_of_table,
    read_contracted,
)
from recur.fit.categories import category_models
from recur.fit.whole import fit
from recur.predict.inputs import declared_inputs
from recur.report.dictionary import dictionary
from recur.tables import StudyError, write_frozen


@pytest.fixture(scope="module")
def model():
    """A frozen Cox model with a competing event."""
    train = frozen.training(competing=True)
    train = train._replace(names=[], features=train.features[:, :0], repeats=train.repeats[:, :, :0])
    settings = frozen.settings(names=("clinical_pre",))
    fitted = fit(train, settings, 1).models["clinical_pre"]
    return fitted | {"inputs": declared_inputs(fitted, settings)}


@pytest.fixture(scope="module")
def signature():
    feature = {"name": "AP_tumour_f0", "weight": 0.5, "mean": 1.0, "sd": 2.0}
    counts = {"n": 90, "events": 30, "n_candidates": 4, "l1_ratio": 1, "lambda": 0.1}
    return counts | {"features": [feature], "winsorise_sd": None, "harmonisation": {"kind": "none", "note": ""}}


def test_a_fitted_model_is_as_its_schema_has_it(model):
    assert problems_of_frozen(model, "model") == []


def test_models_of_ordered_levels_are_as_the_schema_has_them():
    train = frozen.training()
    train = train._replace(outcome=train.outcome._replace(event=train.clinical["ascites"].fillna(0).to_numpy(int)))
    settings = frozen.settings() | {"candidates": {"pre": ["age"], "post": []}, "ordered": True, "levels": [1, 2, 3]}
    models = category_models(train, settings, 1)
    assert {name: problems_of_frozen(model, "model") for name, model in models.items()} == {
        "multinomial_pre": [],
        "ordinal_pre": [],
    }


def edited(model, path, change):
    """The frozen file of the model, edited by hand."""
    write_frozen(model, path)
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["terms"][1].update(coef="0,5"), "terms[1].coef: '0,5' is not of type 'number'"),
        (lambda m: m["terms"][0].pop("mean"), "terms[0]: 'mean' is a required property"),
        (lambda m: m.update(cutpiont=None), "'cutpiont' was unexpected"),
        (lambda m: m["baseline"]["survival"].append(1.5), "1.5 is greater than the maximum of 1"),
        (lambda m: m.update(baseline=None), "baseline: None is not of type 'object'"),
        (lambda m: m.update(events=3), "was edited after it was frozen; use"),
        (lambda m: m.update(loglik=float("nan")), "was edited after it was frozen; use"),
    ],
)
def test_an_edited_model_is_refused_in_one_line_with_the_place(model, tmp_path, change, said):
    path = edited(model, tmp_path / "clinical_pre.json", change)
    with pytest.raises(StudyError) as refused:
        read_contracted(path, "model")
    assert said in str(refused.value) and "edited after it was frozen" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_sealed_file_of_another_kind_is_refused(signature, tmp_path):
    write_frozen(signature, tmp_path / "signature.json")
    assert read_contracted(tmp_path / "signature.json", "signature") == signature
    with pytest.raises(StudyError, match="not a model of this version of the workflow: "):
        read_contracted(tmp_path / "signature.json", "model")


RANGES = pd.DataFrame(
    {"analysis": "main", "endpoint": "TTR", "cohort": ["test", "external-B"], "predictor": "AFP", "kind": "clinical"}
    | {"low": -1.5, "high": 20.0, "n": [30, 0], "outside": [3, 0], "share": [0.1, None]}
)


def test_a_table_as_its_contract_has_it_breaks_no_promise():
    assert problems_of_table(RANGES, contract_of("validation/main/ranges.csv")) == []


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (RANGES.drop(columns="n"), "no column 'n'"),
        (RANGES.assign(more=1), "column 'more' is not in the contract"),
        (RANGES[[*RANGES.columns[:-2], "share", "outside"]], "its columns stand in another order than in the contract"),
        (RANGES.assign(share=[0.1, 1.2]), "column 'share': line 3: '1.2' is above 1"),
        (RANGES.assign(n=[30, -1]), "column 'n': line 3: '-1' is below 0"),
        (RANGES.assign(n=[30, 2.5]), "column 'n': line 3: '2.5' is no whole number"),
        (RANGES.assign(low=["few", "many"]), "column 'low': line 2: 'few' is no number (and 1 more)"),
        (RANGES.assign(high=float("inf")), "column 'high': line 2: 'inf' is no finite number (and 1 more)"),
        (RANGES.assign(kind="image"), "column 'kind': line 2: 'image' is none of feature, clinical (and 1 more)"),
        (RANGES.assign(cohort=["test", ""]), "column 'cohort': line 3: '' is an empty cell, which it never has"),
    ],
)
def test_each_broken_promise_of_a_table_is_a_line_with_its_place(table, said):
    assert said in problems_of_table(table, contract_of("validation/main/ranges.csv"))


def test_a_table_that_no_contract_knows_and_a_broken_one_are_named_by_their_files(tmp_path, model):
    (tmp_path / "cohort").mkdir()
    (tmp_path / "cohort/excluded_from_table.csv").write_text("patient_id,floor,reason\nA 1,cohort,\n")
    (tmp_path / "cohort/notes.csv").write_text("a\n1\n")
    (tmp_path / "cohort/patients.csv").write_text("")
    write_frozen(model | {"n": 0}, tmp_path / "models/main/frozen/clinical_pre.json")
    assert problems_of_results(tmp_path) == [
        "cohort/excluded_from_table.csv: column 'patient_id': line 2: 'A 1' is not as [A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "cohort/excluded_from_table.csv: column 'reason': line 2: '' is an empty cell, which it never has",
        "cohort/notes.csv: no contract in schemas/tables/ knows this table",
        "cohort/patients.csv: cannot be read as a table (EmptyDataError)",
        "models/main/frozen/clinical_pre.json: n: 0 is less than the minimum of 1",
    ]


def test_a_name_stands_for_one_contract_only():
    files = [file for folder in folders() for table in folder.tables for file in table.files]
    files += [file for folder in folders() for file in folder.internal]
    assert len(files) == len(set(files))
    assert contract_of("images/batch-3.csv") is not contract_of("images/regions/batch-3.csv")
    assert contract_of("validation/main/performance.csv") is contract_of("validation/performance.csv")
    assert contract_of("cohort/main/flow.csv") is not contract_of("cohort/flow.csv")
    assert is_internal("features/batches/0.parquet") and contract_of("features/batches/0.parquet") is None


def test_the_data_dictionary_is_that_of_the_contracts():
    assert dictionary() == (ROOT / "results/README.md").read_text(), "make dictionary writes it anew"
