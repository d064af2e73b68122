"""The promises of frozen files and tables: what is not as its contract has it is said in a line, with the place."""

import json

import frozen
import pytest

from recur.categories import category_models
from recur.contracts import problems_of_frozen, read_contracted
from recur.fit import fit
from recur.scorer import declared_inputs
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
    train = train._replace(event=train.clinical["ascites"].fillna(0).to_numpy(int))
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
