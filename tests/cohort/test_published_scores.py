"""Scores from a study's own columns: units, limits of detection, lists, and what stops the run."""

import numpy as np
import pandas as pd
import pytest

from recur.cohort.published_scores import mapping_problems, score_inputs, score_table, wanted_scores
from recur.cohort.score_formulas import read_scores
from recur.cohort.variables import read_variables
from recur.tables import Problem, StudyError

PLAIN = {"transform": "none", "label": None, "unit": "", "timing": "pre", "kind": "numeric"}
PATIENTS = [read_scores()["shim2015"]["tests"][i]["inputs"] for i in range(4)]


def study(**variables):
    columns = {name: PLAIN | {"column": f"{name}_column"} | facts for name, facts in variables.items()}
    return {
        "clinical": {"variables": columns},
        "comparators": {"inputs": {name: name for name in variables}, "recorded": []},
    }


def test_albumin_in_g_per_dl_is_converted_where_the_variable_declares_it():
    declared = study(albumin={"unit": "g/dL"}, bilirubin={"unit": "mg/dL"})
    table = pd.DataFrame({"patient_id": ["p1"], "albumin": [4.2], "bilirubin": [14 / 17.104]})
    scores, _ = score_table(declared, table)
    assert scores.loc[0, "albi"] == pytest.approx(-2.8136, abs=5e-5)
    assert scores.loc[0, "albi_group"] == "1"


def test_an_undeclared_unit_is_refused_before_any_value_is_read():
    problems = mapping_problems(study(albumin={"unit": "mg/L"}))
    assert problems == ["comparators.inputs.albumin: variable 'albumin' has the unit 'mg/L'; known: 'g/L', 'g/dL'"]


def test_a_median_in_another_unit_stops_the_run():
    table = pd.DataFrame({"patient_id": ["p1", "p2"], "bilirubin": [1.0, 1.2]})
    with pytest.raises(StudyError, match="bilirubin_column: median 1.1 umol/L is implausible"):
        score_inputs(study(bilirubin={"unit": "umol/L"}), table)


def test_an_implausible_value_names_patient_column_and_value():
    table = pd.DataFrame({"patient_id": ["p1", "p2", "p3"], "albumin": [40.0, 41.0, 400.0]})
    with pytest.raises(StudyError, match="patient 'p3': column albumin_column, value 400 g/L"):
        score_inputs(study(albumin={"unit": "g/L"}), table)


def test_only_scores_with_all_their_inputs_are_computed():
    assert wanted_scores(study(size={"unit": "cm"})) == ["size_only"]
    assert {"milan", "up_to_seven", "tumour_burden"} <= set(wanted_scores(study(size={"unit": "cm"}, number={})))
    wrong = study(size={"unit": "cm"}) | {"comparators": {"inputs": {"size": "size"}, "scores": ["albi", "abli"]}}
    problems = mapping_problems(wrong)
    assert "albi needs bilirubin, albumin" in problems[0] and "'abli' is no file in scores/" in problems[1]


def test_diameters_of_all_tumours_come_from_one_cell_and_of_single_ones_from_the_size():
    with_lists = study(diameters={"unit": "mm", "kind": "list"}, size={"unit": "cm"}, number={})
    table = pd.DataFrame({"patient_id": ["p1"], "diameters": ["28;15"], "size": [2.8], "number": [2.0]})
    assert score_inputs(with_lists, table)["diameters"][0] == pytest.approx((2.8, 1.5))
    table = pd.DataFrame({"patient_id": ["p1", "p2"], "size": [3.2, 2.8], "number": [1.0, 2.0]})
    found = score_inputs(study(size={"unit": "cm"}, number={}), table)["diameters"]
    assert (found[0], found[1]) == ((3.2,), ())


def test_a_score_without_the_sizes_of_all_tumours_is_missing_not_wrong():
    names = {"male": {"kind": "binary"}, "platelets": {"unit": "10^9/L"}, "albumin": {"unit": "g/L"}}
    names |= {"mvi": {"kind": "binary", "timing": "post"}, "size": {"unit": "cm"}, "number": {}}
    rows = [{k: v for k, v in p.items() if k != "diameters"} for p in PATIENTS]
    table = pd.DataFrame(rows).assign(
        patient_id=list("abcd"),
        size=[max(p["diameters"]) for p in PATIENTS],
        number=[len(p["diameters"]) for p in PATIENTS],
    )
    scores, notes = score_table(study(**names), table)
    assert scores["shim2015"].round(4).tolist()[0] == -1.6985
    assert scores["shim2015"].isna().tolist() == [False, True, False, True]
    row = notes.set_index("id").loc["shim2015"]
    assert (row.patients, row.missing, row.timing) == (2, 2, "post")


def test_scores_from_memory_say_so():
    _, notes = score_table(
        study(size={"unit": "cm"}, number={}),
        pd.DataFrame({"patient_id": ["p"], "size": [3.0], "number": [1.0]}),
    )
    notes = notes.set_index("id")
    assert "rests on memory" in notes.loc["tumour_burden", "note"]
    assert "macrovascular assumed 0" in notes.loc["milan", "note"]


def test_a_score_on_a_pathological_size_is_a_postoperative_score():
    table = pd.DataFrame({"patient_id": ["p"], "size": [3.0]})
    _, notes = score_table(study(size={"timing": "post", "unit": "cm"}), table)
    assert notes.loc[0, "timing"] == "post" and "size is known only after" in notes.loc[0, "note"]


def test_values_beyond_the_limit_of_detection_are_halved_below_and_kept_above():
    table = pd.DataFrame({"afp": ["<0.61", "> 60500", "12", "low"]}, dtype="string")
    values, problems = read_variables(table, {"afp": PLAIN | {"column": "afp"}}, pd.Series(list("abcd")))
    assert values["afp"].tolist()[:3] == [0.305, 60500, 12] and np.isnan(values["afp"].iloc[3])
    assert problems == [Problem(3, "column afp, value {}: not a number", ("low",))]


def test_a_list_with_a_word_in_it_names_the_cell():
    table = pd.DataFrame({"sizes": ["2.8;1.5", "2.8;big"]}, dtype="string")
    variable = PLAIN | {"column": "sizes", "kind": "list", "range": [0.1, 30]}
    _, problems = read_variables(table, {"sizes": variable}, pd.Series(["a", "b"]))
    assert problems == [Problem(1, "column sizes, value {}: not numbers from 0.1 to 30", ("2.8;big",))]
