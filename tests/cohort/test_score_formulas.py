"""Scores: every file's own test patients, missing inputs, boundaries, and what a wrong file says."""

import numpy as np
import pytest
import yaml

from recur.cohort.score_formulas import FOLDER, evaluate, read_scores, vector_problems
from recur.tables import StudyError


def one(inputs: dict) -> dict:
    """One patient's inputs as arrays of length 1; a list of diameters is one cell."""
    arrays = {}
    for name, value in inputs.items():
        arrays[name] = np.empty(1, dtype=object if isinstance(value, list) else float)
        arrays[name][0] = value
    return arrays


def test_each_score_reproduces_its_test_patients_to_the_printed_digits():
    assert vector_problems() == []
    tests = [known for score in read_scores().values() for known in score["tests"]]
    assert len(tests) > 80 and all("value" in known or "group" in known for known in tests)


def test_a_score_whose_formula_was_changed_stops_the_run():
    score = yaml.safe_load((FOLDER / "erasl_pre.yaml").read_text())
    score["steps"]["value"]["sum"][2] = {"product": [0.2, {"ln": "afp"}]}
    problems = vector_problems(dict(read_scores()) | {"erasl_pre": score})
    assert problems[0] == "scores/erasl_pre.yaml: test patient 1: value is 2.09177, not 1.7922"
    score["steps"]["value"] = {"sum": [{"product": [0.2, {"if": {"above": ["afp", 1]}, "then": 1, "else": 0}]}]}
    both = {"erasl_pre": score, "albi": read_scores()["albi"]}
    assert "cannot be evaluated: scores: unknown condition 'above'" in vector_problems(both)[0]
    score["steps"]["value"] = {"sum": ["afpp", 1]}
    assert "cannot be evaluated" in vector_problems(both)[0]
    milan = yaml.safe_load((FOLDER / "milan.yaml").read_text())
    milan["tests"][0]["group"] = "beyond"
    assert "group is within, not beyond" in vector_problems({"milan": milan})[0]


def test_a_test_patient_has_no_other_inputs_than_the_score():
    for score in read_scores().values():
        for known in score["tests"]:
            assert set(known["inputs"]) <= set(score["inputs"]), score["id"]


def test_the_same_input_has_the_same_unit_and_range_in_every_score():
    seen: dict[str, tuple] = {}
    for score in read_scores().values():
        for name, declared in score["inputs"].items():
            if name in ("extrahepatic", "macrovascular"):  # codes with the systems' own words
                continue
            facts = (declared["unit"], tuple(declared["range"]))
            assert seen.setdefault(name, facts) == facts, (score["id"], name)


def test_a_score_has_all_the_inputs_of_the_scores_it_uses():
    scores = read_scores()

    def used(node):
        if isinstance(node, dict):
            yield from (node[key] for key in ("score", "group") if isinstance(node.get(key), str))
            for part in node.values():
                yield from used(part)
        elif isinstance(node, list):
            for part in node:
                yield from used(part)

    for score in scores.values():
        for other in used(score["steps"]):
            assert set(scores[other]["inputs"]) <= set(score["inputs"]), (score["id"], other)


def test_a_missing_input_makes_a_sum_missing_and_a_stage_only_where_it_matters():
    inputs = {"size": np.array([6.0, 6.0, 2.0]), "number": np.array([1.0, np.nan, np.nan])}
    milan = evaluate("milan", inputs)
    assert list(milan.group) == ["beyond", "beyond", None]
    assert np.isnan(milan.value[2])
    assert np.isnan(evaluate("albi", {"bilirubin": np.array([np.nan]), "albumin": np.array([40.0])}).value[0])


def test_an_assumed_input_is_named():
    found = evaluate("apri", {"ast": np.array([32.0]), "platelets": np.array([150.0])})
    assert found.assumed == {"ast_upper_limit": 40}
    with pytest.raises(StudyError, match="input 'albumin' is missing"):
        evaluate("albi", {"bilirubin": np.array([14.0])})


def test_afp_of_zero_has_no_logarithm_and_leaves_the_score_missing():
    patient = read_scores()["erasl_pre"]["tests"][0]["inputs"] | {"afp": 0}
    assert np.isnan(evaluate("erasl_pre", one(patient)).value[0])


def test_many_patients_at_once_equal_one_by_one():
    tests = [t["inputs"] for t in read_scores()["shim2015"]["tests"]]
    columns = {name: [t[name] for t in tests] for name in tests[0]}
    arrays = {
        name: np.array(values, dtype=object if name == "diameters" else float) for name, values in columns.items()
    }
    together = evaluate("shim2015", arrays).value
    assert together.tolist() == [evaluate("shim2015", one(t)).value[0] for t in tests]


def test_a_wrong_file_is_named_with_all_its_problems(tmp_path):
    good = yaml.safe_load((FOLDER / "albi.yaml").read_text())
    (tmp_path / "albi2.yaml").write_text(yaml.safe_dump(good))
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(good | {"id": "bad", "timing": "later", "colour": "red"}))
    with pytest.raises(StudyError) as problem:
        read_scores(tmp_path)
    text = str(problem.value)
    assert "albi2.yaml" in text and "timing" in text and "colour" in text
