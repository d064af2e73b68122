"""Tables as people keep them: sheets, dates in their country's way, missing codes of a column, what a formula holds."""

import json
import runpy
import zipfile
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest

from recur.cohort.cells import clinical_cells
from recur.cohort.clinical import read_cohort
from recur.cohort.dates import as_iso
from recur.cohort.identity import centre_warnings
from recur.cohort.surveillance import visit_intervals
from recur.images.inventory import read_rows
from recur.tables import StudyError, read_table

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("written", "cell", "day"),
    [
        ("dd.mm.yyyy", "3.4.2015", "2015-04-03"),
        ("dd.mm.yyyy", "03.04.2015", "2015-04-03"),
        ("mm/dd/yyyy", "3/4/2015", "2015-03-04"),
        ("yyyy/mm/dd", "2015/03/04", "2015-03-04"),
        ("ddmmmyyyy", "05JAN2015", "2015-01-05"),
        ("dd-mmm-yyyy", "5-Jan-2015", "2015-01-05"),
        ("yyyymmdd", "20150304", "2015-03-04"),
        ("yyyymmdd", "2015034", "2015034"),
        ("dd.mm.yyyy", "２.３.２０１５", "2015-03-02"),
        ("dd.mm.yyyy", "2015-03-04", "2015-03-04"),
        ("dd.mm.yyyy", "31.2.2015", "31.2.2015"),
        ("dd.mm.yyyy", "3/4/2015", "3/4/2015"),
        ("dd.mm.yyyy", "today", "today"),
    ],
)
def test_dates_are_read_as_declared_and_others_stay(written, cell, day):
    assert as_iso(pd.Series([cell, None]), written)[0] == day


def workbook(path, **cells):
    book = openpyxl.Workbook()
    for row in (["id", "age", "note"], ["p1", 60, "a"], ["p2", 61, "b"]):
        book.active.append(row)
    for place, value in cells.items():
        book.active[place] = value
    return book


def test_a_merged_or_uncomputed_cell_stops_only_where_it_is_used(tmp_path):
    path = tmp_path / "t.xlsx"
    book = workbook(path, C3="=A1", B6="=B2")
    book.active.merge_cells("C2:D2")
    book.save(path)
    assert read_table(path, None, {"id", "age"}.__contains__)["age"].tolist() == ["60", "61"]
    with pytest.raises(StudyError) as error:
        read_table(path)
    assert [line.partition(": sheet ")[2] for line in error.value.problems] == [
        "'Sheet': 1 merged cells (C2:D2); split them and fill each cell",
        "'Sheet': 1 formulas without a stored value (C3); open and save it in the spreadsheet program",
    ]


def test_a_formula_whose_value_is_empty_text_is_an_empty_cell(tmp_path):
    path, computed = tmp_path / "t.xlsx", tmp_path / "c.xlsx"
    workbook(path, B3='=""').save(path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(computed, "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'<c r="B3">', b'<c r="B3" t="str">'))
    with pytest.raises(StudyError, match="without a stored value"):
        read_table(path)
    assert read_table(computed)["age"].isna().tolist() == [False, True]


def study(tmp_path, rows, **clinical):
    pd.DataFrame(rows).to_csv(tmp_path / "c.csv", index=False)
    age = {"column": "age", "kind": "numeric", "timing": "pre", "unit": "", "transform": "none"}
    own = {"table": str(tmp_path / "c.csv"), "id": "id", "centre": None, "missing_values": ["-1"]}
    own |= {"variables": {"age": age | {"missing_values": [-9]}}, "dates": {"t0": "op", "last_contact": "seen"}}
    end = {"kind": "time_to_recurrence", "detected": "first_positive", "transplant": "censor"}
    return {
        "clinical": own | clinical,
        "endpoints": {"TTR": end},
        "split": {"kind": "none"},
        "analyses": {},
        "used": ["age"],
        "on_error": "exclude",
    }


ROWS = [
    {"id": "p1 ", "op": "1.2.2015", "seen": "1.2.2018", "age": "-9", "grade": "-9"},
    {"id": "p2", "op": "2.2.2015", "seen": "-1", "age": "-9.0", "grade": "2"},
    {"id": "p3", "op": "2015-02-02", "seen": "1.3.2018", "age": "60", "grade": "3"},
]


def test_a_code_of_one_column_is_missing_there_and_in_no_other(tmp_path):
    cells, _ = clinical_cells(study(tmp_path, ROWS, date_format="dd.mm.yyyy"))
    assert cells["age"].isna().tolist() == [True, True, False]
    assert cells["grade"].tolist() == ["-9", "2", "3"] and cells["seen"].isna().tolist() == [False, True, False]
    assert cells["op"].tolist() == ["2015-02-01", "2015-02-02", "2015-02-02"]


def test_visits_are_joined_to_ids_and_dates_as_the_cohort_has_them(tmp_path):
    rows = [("p1", "02/20/2015"), (" p1", "03/20/2015"), ("p3", "-1"), ("p3 ", "2015-04-02")]
    pd.DataFrame(rows, columns=["who", "day"]).to_csv(tmp_path / "v.csv", index=False)
    visits = {"table": str(tmp_path / "v.csv"), "id": "who", "date": "day", "date_format": "mm/dd/yyyy"}
    read = study(tmp_path, ROWS, date_format="dd.mm.yyyy", visits=visits)
    cohort = read_cohort(read)
    found = visit_intervals(read, cohort.cells, cohort.clinical["patient_id"]).set_index("patient_id")
    assert found["visits"].to_dict() == {"p1": 2, "p3": 1}


def test_a_centre_in_another_unit_is_noted():
    values = pd.DataFrame({"size": [*np.linspace(2, 6, 30), *np.linspace(20, 60, 10)], "afp": np.geomspace(1, 1e4, 40)})
    centre = pd.Series(["A"] * 30 + ["B"] * 10)
    variables = {name: {"kind": "numeric", "column": name} for name in values}
    said = ["column size: the median is 4 in centre 'A' and 40 elsewhere: is it in another unit in one of them?"]
    assert centre_warnings(centre, values, {"size": variables["size"]}) == said
    assert centre_warnings(centre[:30], values[:30], variables) == []
    overlap = values.assign(afp=np.tile(np.geomspace(1, 1e4, 10), 4))
    assert centre_warnings(centre, overlap, {"afp": variables["afp"]}) == []


def test_a_file_of_tabs_named_csv_is_told_so(tmp_path):
    (tmp_path / "t.csv").write_text("id\tage\np1\t60\n")
    with pytest.raises(StudyError, match=r"separated by '\\t'; save .csv with commas"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("cell", ["03.04.2015 00:00:00", "3.4.2015 0:00", "03.04.2015 00:00"])
def test_a_midnight_behind_a_declared_date_goes(cell):
    assert as_iso(pd.Series([cell]), "dd.mm.yyyy")[0] == "2015-04-03"


def test_recorded_times_and_events_of_an_asian_keyboard(tmp_path):
    rows = [{"id": f"p{i}", "months": "１２．５", "status": "１" if i else "０", "age": "60"} for i in range(4)]
    chosen = study(tmp_path, rows, dates={})
    end = {"kind": "recorded", "time": "months", "event": "status", "unit": "months", "event_value": "1"}
    cohort = read_cohort(chosen | {"endpoints": {"R": end | {"censored_value": "0"}}})
    assert cohort.endpoints["R_time"].tolist() == [12.5] * 4 and cohort.endpoints["R_event"].tolist() == [0, 1, 1, 1]


def test_the_clinical_table_is_read_once_and_handed_on(tmp_path, monkeypatch):
    """By the job of floor 1, with visits and a split by a column of the table; also where an id has a blank."""
    pd.DataFrame({"who": [" p1"], "day": ["2015-03-20"]}).to_csv(tmp_path / "v.csv", index=False)
    visits = {"table": str(tmp_path / "v.csv"), "id": "who", "date": "day"}
    split = {"kind": "column", "column": "grade", "train": ["-9"], "test": ["3"]}
    read = study(tmp_path, ROWS, date_format="dd.mm.yyyy", visits=visits) | {"split": split, "seed": 1, "splits": {}}
    readings = []

    def counted(path, *arguments):
        readings.append(Path(path).name)
        return read_table(path, *arguments)

    for module in ("cells", "surveillance"):
        monkeypatch.setattr(f"recur.cohort.{module}.read_table", counted)
    (tmp_path / "study.json").write_text(json.dumps(read))
    names = ("assigned", "clinical", "endpoints", "exclusions", "missing-endpoints", "surveillance")
    given = [word for name in names for word in (f"--{name}", str(tmp_path / f"{name}.csv"))]
    monkeypatch.setattr("sys.argv", ["assign_cohorts.py", "--study", str(tmp_path / "study.json"), *given])
    runpy.run_path(str(ROOT / "scripts/assign_cohorts.py"), run_name="__main__")
    assert sorted(readings) == ["c.csv", "v.csv"]
    assert pd.read_csv(tmp_path / "surveillance.csv")["patient_id"].tolist() == ["p1"]
    assert pd.read_csv(tmp_path / "assigned.csv")["cohort"].tolist() == ["train", "test"]


def test_a_manifest_is_read_without_blanks_and_with_slashes(tmp_path):
    (tmp_path / "m.csv").write_text("patient_id,phase,image,mask_label\n p1 ,AP ,a\\b.nii , \n")
    row = read_rows(tmp_path / "m.csv").iloc[0]
    assert row[["patient_id", "phase", "image"]].tolist() == ["p1", "AP", "a/b.nii"] and pd.isna(row["mask_label"])


def test_rows_of_stray_cells_go_with_a_note_and_lines_stay_those_of_the_file(tmp_path):
    stray = {"grade": "see below"}
    bad = ROWS[2] | {"id": "p4", "age": "old"}
    cohort = read_cohort(study(tmp_path, [stray, *ROWS, stray, bad], date_format="dd.mm.yyyy"))
    assert "2 rows without an id and without a used cell left out" in cohort.warnings
    assert cohort.clinical["patient_id"].tolist() == ["p1", "p3"]
    assert {problem.who: problem.line for problem in cohort.excluded}["p4"] == 7


def test_a_patient_without_the_event_that_is_kept_is_not_eligible(tmp_path):
    base = ROWS[2] | {"redcap_event_name": "base"}
    later = base | {"redcap_event_name": "later", "age": "65"}
    rows = [base, later, later | {"id": "p5"}, later | {"id": "p5", "age": "66"}]
    rule = {"column": "redcap_event_name", "keep": ["base"]}
    cohort = read_cohort(study(tmp_path, rows, date_format="dd.mm.yyyy", eligibility=[rule]))
    assert cohort.clinical["age"].tolist() == [60.0]
    assert cohort.exclusions["reason"].tolist() == ["not eligible: redcap_event_name is later"]
