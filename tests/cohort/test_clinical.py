"""Floor 1: endpoints from dates, problems by patient, the split."""

import pandas as pd
import pytest

from recur.cohort.clinical import read_cohort
from recur.cohort.split import assign_all, assign_cohorts
from recur.images.manifest_table import read_manifest
from recur.tables import Problem, StudyError, grouped, told

DATES = {"t0": "op", "recurrence": "rec", "death": "dead", "last_contact": "seen", "last_imaging": "scan"}
PLAIN = {"transform": "none", "label": None, "unit": ""}
VARIABLES = {
    "age": PLAIN | {"column": "age", "kind": "numeric", "timing": "pre", "unit": "years", "range": [0, 120]},
    "mvi": PLAIN | {"column": "mvi", "kind": "binary", "timing": "post", "positive": "1", "negative": "0"},
}
ROW = {"id": "p1", "age": "50", "mvi": "1", "op": "2015-01-01", "rec": "", "dead": "", "seen": "2017-01-01", "scan": ""}


def study(tmp_path, rows, on_error="exclude", cutoff=None, variables=VARIABLES):
    path = tmp_path / "clinical.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    kinds = {"TTR": "time_to_recurrence", "RFS": "recurrence_free_survival", "OS": "overall_survival"}
    kinds |= {"CR": "recurrence_competing"}
    return {
        "clinical": {
            "table": str(path),
            "id": "id",
            "centre": None,
            "missing_values": [],
            "variables": variables,
            "dates": DATES | ({"cutoff": cutoff} if cutoff else {}),
        },
        "endpoints": {name: {"kind": kind} for name, kind in kinds.items()},
        "split": {"kind": "none"},
        "analyses": {},
        "on_error": on_error,
    }


def endpoints(tmp_path, cutoff=None, **changes):
    return read_cohort(study(tmp_path, [ROW | changes], cutoff=cutoff)).endpoints.iloc[0]


def days(months):
    return round(months * 30.4375)


def test_time_to_recurrence_counts_recurrence(tmp_path):
    row = endpoints(tmp_path, rec="2016-01-01")
    assert (days(row.TTR_time), row.TTR_event) == (365, 1)


def test_time_to_recurrence_is_censored_at_death_and_at_the_last_negative_imaging(tmp_path):
    row = endpoints(tmp_path, dead="2015-06-01", seen="2015-06-01")
    assert (days(row.TTR_time), row.TTR_event) == (151, 0)
    row = endpoints(tmp_path, scan="2016-01-01")
    assert (days(row.TTR_time), row.TTR_event) == (365, 0)


def test_competing_death_is_an_event_of_its_own_unless_recurrence_came_first(tmp_path):
    row = endpoints(tmp_path, dead="2015-06-01", seen="2015-06-01", scan="2015-03-01")
    assert (days(row.CR_time), row.CR_event) == (151, 2)
    row = endpoints(tmp_path, rec="2015-03-01", dead="2015-06-01", seen="2015-06-01")
    assert (days(row.CR_time), row.CR_event) == (59, 1)
    row = endpoints(tmp_path, scan="2016-01-01")
    assert (days(row.CR_time), row.CR_event) == (365, 0)
    row = endpoints(tmp_path, dead="2016-06-01", seen="2016-06-01", cutoff="2016-01-01")
    assert (days(row.CR_time), row.CR_event) == (365, 0)


def test_recorded_competing_codes_in_one_column_or_in_two(tmp_path):
    path = tmp_path / "clinical.csv"
    rows = [
        ROW | {"id": f"p{code}{died}", "code": code, "died": died, "months": "7"} for code in "012" for died in "01"
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    plain = {"kind": "recorded", "time": "months", "event": "code", "unit": "months"}
    plain |= {"event_value": "1", "censored_value": "0", "competing_value": "2"}
    chosen = study(tmp_path, rows) | {"endpoints": {"A": plain}}
    assert read_cohort(chosen).endpoints["A_event"].to_list() == [0, 0, 1, 1, 2, 2]
    two = plain | {"competing": "died", "competing_value": "1"}
    chosen = study(tmp_path, rows[:4]) | {"endpoints": {"A": two}}
    assert read_cohort(chosen).endpoints["A_event"].to_list() == [0, 2, 1, 1]


def test_codes_of_events_are_read_as_pandas_writes_whole_numbers_beside_gaps(tmp_path):
    rows = [ROW | {"id": f"p{i}", "code": code, "months": "7"} for i, code in enumerate(["1.0", "0.0", "2.0", ""])]
    plain = {"kind": "recorded", "time": "months", "event": "code", "unit": "months"}
    plain |= {"event_value": 1, "censored_value": 0, "competing_value": 2}
    cohort = read_cohort(study(tmp_path, rows) | {"endpoints": {"A": plain}})
    assert cohort.endpoints["A_event"].to_list()[:3] == [1, 0, 2]
    assert cohort.missing_endpoints["reason"].tolist() == ["code: missing"]


def test_levels_are_numbers_however_a_program_writes_them(tmp_path):
    """edema of R's pbc: 0, 0.5 and 1."""
    cells = ["0", "0.5", "1", ".5", "0.50", "1.0", "0.0"]
    rows = [ROW | {"id": f"p{i}", "edema": cell} for i, cell in enumerate(cells)]
    for levels in ([0, 0.5, 1], ["0", "0.5", "1"], [0.0, 0.50, 1.0]):
        edema = {"column": "edema", "kind": "ordinal", "levels": levels, "timing": "pre", "transform": "none"}
        read = read_cohort(study(tmp_path, rows, variables=VARIABLES | {"edema": edema}))
        assert read.clinical["edema"].tolist() == [0, 1, 2, 1, 1, 2, 0]


@pytest.mark.parametrize("on_error", ["stop", "exclude"])
def test_cells_of_patients_who_are_not_eligible_stop_nothing(tmp_path, on_error):
    rows = [ROW | {"id": f"p{i}", "kind": "CHC" if i % 2 else "CCK", "months": "7", "age": "60"} for i in range(8)]
    rows += [ROW | {"id": f"q{i}", "kind": "mixed", "months": "7", "age": "old"} for i in range(4)]
    chosen = study(tmp_path, rows, on_error=on_error)
    endpoint = {"kind": "binary", "column": "kind", "positive": "CHC", "negative": "CCK"}
    chosen = chosen | {"endpoints": {"HCC": endpoint}}
    chosen["clinical"]["eligibility"] = [{"column": "kind", "keep": ["CHC", "CCK"]}]
    cohort = read_cohort(chosen)
    assert cohort.clinical["patient_id"].str.startswith("p").all() and len(cohort.clinical) == 8
    assert set(cohort.exclusions["reason"]) == {"not eligible: kind is mixed"}


@pytest.mark.parametrize("on_error", ["stop", "exclude"])
def test_the_coding_of_r_stops_whatever_on_error_says(tmp_path, on_error):
    """lung of R's survival: 1 censored, 2 dead; read as 0/1 the deaths would go and the living would be deaths."""
    rows = [ROW | {"id": f"p{i}", "status": "1" if i % 4 else "2", "months": "7"} for i in range(8)]
    endpoint = {"kind": "recorded", "time": "months", "event": "status", "unit": "months"}
    endpoint |= {"event_value": "1", "censored_value": "0"}
    with pytest.raises(StudyError) as error:
        read_cohort(study(tmp_path, rows, on_error=on_error) | {"endpoints": {"OS": endpoint}})
    assert [line.partition("clinical.csv: ")[2] for line in error.value.problems] == [
        "endpoint OS: column status holds '1' (6), '2' (2), beyond the declared event_value '1', censored_value '0'; "
        'if that is R\'s coding of events, declare censored_value: "1" and event_value: "2"'
    ]


def test_recurrence_free_survival_counts_death(tmp_path):
    row = endpoints(tmp_path, dead="2015-06-01", seen="2015-06-01")
    assert (row.RFS_event, row.OS_event) == (1, 1)


def test_events_after_the_cutoff_are_censored_at_it(tmp_path):
    row = endpoints(tmp_path, cutoff="2015-12-31", rec="2016-01-01")
    assert (days(row.TTR_time), row.TTR_event) == (364, 0)


def test_an_event_on_the_day_of_surgery_keeps_a_positive_time(tmp_path):
    assert endpoints(tmp_path, rec="2015-01-01").TTR_time == pytest.approx(0.5 / 30.4375)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rec": "2014-12-01"}, "rec: 2014-12-01 is before op 2015-01-01"),
        ({"rec": "2016-01-01", "dead": "2015-06-01", "seen": "2015-06-01"}, "is after dead 2015-06-01"),
        ({"dead": "2015-06-01"}, "seen: 2017-01-01 is after dead 2015-06-01"),
        ({"op": "01/02/2015"}, "'01/02/2015' can be read day first or month first"),
        ({"age": "old"}, "column age, value 'old': not a number"),
        ({"age": "500"}, "outside 0 to 120 years"),
        ({"mvi": "yes"}, "value 'yes': not one of 0, 1"),
        ({"id": "../../etc"}, "only letters, digits"),
        ({"seen": ""}, "missing, and no death is recorded"),
    ],
)
def test_a_bad_patient_is_excluded_with_the_reason(tmp_path, changes, reason):
    cohort = read_cohort(study(tmp_path, [ROW | {"id": "good"}, ROW | changes]))
    assert list(cohort.clinical["patient_id"]) == ["good"]
    assert reason in cohort.exclusions.iloc[0].reason


def test_on_error_stop_lists_every_problem_with_line_and_patient(tmp_path):
    rows = [ROW, ROW | {"id": "p2", "age": "x"}, ROW | {"id": "p3", "mvi": "?"}]
    with pytest.raises(StudyError) as error:
        read_cohort(study(tmp_path, rows, on_error="stop"))
    assert len(error.value.problems) == 2
    assert "line 3: patient 'p2': column age, value 'x'" in error.value.problems[0]


def test_equal_problems_are_one_line_with_their_number_and_the_first_three_patients(tmp_path):
    rows = [ROW | {"id": f"p{i}", "age": f"{i} y", "op": "05/06/2015"} for i in range(12)]
    with pytest.raises(StudyError) as error:
        read_cohort(study(tmp_path, [ROW | {"id": "g"}, *rows, ROW | {"id": "q", "mvi": "?"}], on_error="stop"))
    table, twelve = tmp_path / "clinical.csv", "lines 3, 4, 5, ...: 12 patients ('p0', 'p1', 'p2', ...)"
    assert error.value.problems == [
        f"{table}: {twelve}: column age, value '0 y', '1 y', '2 y', ...: not a number",
        f"{table}: line 15: patient 'q': column mvi, value '?': not one of 0, 1; leave the cell empty, or "
        "declare it under missing_values",
        f"{table}: {twelve}: op: '05/06/2015' can be read day first or month first; write yyyy-mm-dd, or declare "
        "date_format",
    ]


def test_of_contradicting_cells_a_line_shows_those_of_the_first_patient():
    text = "rec: {} is after dead {}"
    days = [pd.Timestamp("2016-01-01"), pd.Timestamp("2015-06-01")]
    problems = [Problem(f"p{i}", text, (days[0], days[1] - pd.Timedelta(days=i))) for i in range(2)]
    assert told(problems[1]) == "rec: 2016-01-01 is after dead 2015-05-31"
    assert grouped(problems) == ["2 patients ('p0', 'p1'): rec: 2016-01-01 is after dead 2015-06-01"]


def test_both_rows_of_a_duplicate_id_go(tmp_path):
    cohort = read_cohort(study(tmp_path, [ROW, ROW | {"age": "51"}, ROW | {"id": "p2"}]))
    assert list(cohort.clinical["patient_id"]) == ["p2"]


def test_missing_columns_are_all_named(tmp_path):
    rows = [{k: v for k, v in ROW.items() if k not in ("age", "scan")}]
    with pytest.raises(StudyError) as error:
        read_cohort(study(tmp_path, rows))
    text = "\n".join(error.value.problems)
    assert "no column 'age'" in text
    assert "no column 'scan'" in text


def test_a_swapped_unit_stops_the_run(tmp_path):
    variables = {"albumin": VARIABLES["age"] | {"unit": "g/L", "median": [10, 70], "range": [0, 100]}}
    with pytest.raises(StudyError, match="median 4.1 is implausible in g/L"):
        read_cohort(study(tmp_path, [ROW | {"age": "4.1"}], variables=variables))


def test_the_random_split_depends_on_ids_and_seed_only():
    ids = pd.Series([f"p{i}" for i in range(90)])
    split = {"kind": "random", "train_fraction": 2 / 3}
    first = assign_cohorts(ids, ids, split, seed=1)
    assert (first == "train").sum() == 60
    shuffled = ids.sample(frac=1, random_state=0)
    again = assign_cohorts(shuffled, shuffled, split, seed=1)
    assert dict(zip(ids, first, strict=True)) == dict(zip(shuffled, again, strict=True))
    assert (assign_cohorts(ids, ids, split, seed=2) != first).any()


def test_the_split_by_centre_names_external_centres():
    centre = pd.Series(["A", "B", "C"])
    split = {"kind": "centre", "train": ["A"], "external": ["B"]}
    assert list(assign_cohorts(centre, centre, split, 1)) == ["train", "external-B", ""]


def test_the_manifest_names_line_and_column(tmp_path):
    path = tmp_path / "images.csv"
    path.write_text("patient_id,phase,reader,image,mask,colour\na b,AP,reader1,i.nii,m.nii,red\n")
    with pytest.raises(StudyError) as error:
        read_manifest({"images": {"manifest": str(path), "phases": ["AP"], "readers": ["reader1"]}})
    text = "\n".join(error.value.problems)
    assert "line 2: (top): unknown key 'colour'" in text
    assert "line 2: patient_id: 'a b' does not match" in text


def test_a_centre_that_no_patient_has_is_an_error(tmp_path):
    rows = [ROW | {"id": f"p{i}"} for i in range(3)]
    chosen = study(tmp_path, rows) | {"split": {"kind": "centre", "train": ["A"], "external": ["Z"]}, "splits": {}}
    clinical = pd.DataFrame({"patient_id": ["p0", "p1"], "centre": ["A", "B"]})
    with pytest.raises(StudyError, match="names 'Z', which no patient has"):
        assign_all(chosen | {"seed": 1}, clinical, clinical)


def test_treatment_after_the_cutoff_is_a_problem(tmp_path):
    cohort = read_cohort(study(tmp_path, [ROW, ROW | {"id": "p2", "op": "2016-06-01"}], cutoff="2015-12-31"))
    assert "is after the cutoff" in cohort.exclusions.iloc[0].reason
