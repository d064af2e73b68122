"""Endpoints beyond the plain ones: horizons, patterns of recurrence, landmarks, and every check of the dates."""

import numpy as np
import pandas as pd
import pytest
from test_cohort import DATES, ROW, study

from recur.cohort import read_cohort
from recur.dates import parse_dates, why_no_date
from recur.endpoints import beyond_milan, endpoint_from_dates, recorded_warnings
from recur.tables import Problem, told

RECURRENCE = {"number": "n", "size": "cm", "vascular": "v", "extrahepatic": "x"}
PLAIN = {"n": "", "cm": "", "v": "", "x": ""}
ALL_DATES = DATES | {"transplant": "lt", "scan": "ct", "afp": "blood", "recurrence_flag": "recurred"}
MORE = {"lt": "", "ct": "", "blood": "", "recurred": ""}


def made(tmp_path, kind, *rows, dates=DATES, **options):
    """The endpoint of each row, and the cohort."""
    chosen = study(tmp_path, [ROW | PLAIN | MORE | {"id": f"p{i}"} | row for i, row in enumerate(rows)])
    chosen["clinical"] |= {"dates": dates, "recurrence": RECURRENCE}
    chosen["endpoints"] = {"E": {"kind": kind, "horizon_months": 24} | options}
    cohort = read_cohort(chosen)
    return list(zip(cohort.endpoints["E_time"].round(3), cohort.endpoints["E_event"], strict=True)), cohort


def day(number):
    return str((pd.Timestamp("2015-01-01") + pd.Timedelta(days=number)).date())


def test_early_recurrence_ends_at_24_months_of_730_and_a_half_days(tmp_path):
    rows = [{"rec": day(730), "scan": ""}, {"rec": day(731), "scan": ""}, {"dead": day(730), "seen": day(730)}]
    found, _ = made(tmp_path, "early_recurrence", *rows)
    assert found == [(23.984, 1), (24.0, 0), (23.984, 2)]


def test_who_is_censored_before_the_horizon_is_of_unknown_class_never_recurrence_free(tmp_path):
    rows = [
        {"scan": day(300)},
        {"scan": day(900), "seen": day(900)},
        {"rec": day(100)},
        {"dead": day(100), "seen": day(100)},
    ]
    _, cohort = made(tmp_path, "early_recurrence", *rows)
    state = cohort.endpoints["E_state"]
    assert np.isnan(state[0]) and state[1:].tolist() == [0, 1, 2]


def test_aggressive_recurrence_is_the_first_one_beyond_milan_within_two_years(tmp_path):
    inside = {"rec": day(200), "n": "1", "cm": "2.5", "v": "0", "x": "0"}
    rows = [
        inside | {"n": "4"},
        inside,
        inside | {"rec": day(900), "n": "4", "seen": day(900)},
        {"dead": day(300), "seen": day(300)},
        inside | {"cm": ""},
    ]
    found, cohort = made(tmp_path, "aggressive_recurrence", *rows)
    assert [code for _, code in found[:4]] == [1, 2, 0, 2]
    assert np.isnan(found[4][1])
    assert cohort.missing_endpoints.to_dict("records") == [
        {"patient_id": "p4", "endpoint": "E", "reason": "pattern of the recurrence unknown"}
    ]


@pytest.mark.parametrize(
    ("number", "size", "vascular", "extrahepatic", "beyond"),
    [
        (1, 5.0, 0, 0, 0),
        (1, 5.1, 0, 0, 1),
        (3, 3.0, 0, 0, 0),
        (2, 3.1, 0, 0, 1),
        (4, 1.0, 0, 0, 1),
        (1, 1.0, 1, 0, 1),
        (1, 1.0, 0, 1, 1),
        (None, 6.0, None, None, 1),
        (None, 2.0, 0, 0, None),
        (1, 2.0, None, 0, None),
    ],
)
def test_beyond_milan_and_when_it_cannot_be_told(number, size, vascular, extrahepatic, beyond):
    cells = pd.DataFrame({"n": [number], "cm": [size], "v": [vascular], "x": [extrahepatic]})
    found = beyond_milan(cells, RECURRENCE)[0]
    assert np.isnan(found) if beyond is None else found == beyond


def test_late_recurrence_counts_from_the_landmark_of_those_at_risk_there(tmp_path):
    rows = [{"rec": day(1000), "seen": day(1000)}, {"rec": day(500)}, {"dead": day(900), "seen": day(900)}]
    found, cohort = made(tmp_path, "late_recurrence", *rows)
    assert found[0] == (pytest.approx((1000 - 730.5) / 30.4375, abs=1e-3), 1)
    assert np.isnan(found[1][0]) and found[2][1] == 2
    assert cohort.missing_endpoints["reason"].tolist() == ["not alive and recurrence-free at 24 months"]


def test_a_transplantation_censors_time_to_recurrence_or_counts_as_declared(tmp_path):
    row = {"lt": day(300), "rec": day(400)}
    assert made(tmp_path, "time_to_recurrence", row, dates=ALL_DATES)[0] == [(9.856, 0)]
    assert made(tmp_path, "time_to_recurrence", row, dates=ALL_DATES, transplant="event")[0] == [(9.856, 1)]


def test_the_midpoint_lies_between_the_last_image_without_and_the_detection(tmp_path):
    row = {"scan": day(100), "rec": day(200)}
    assert made(tmp_path, "time_to_recurrence", row)[0] == [(round(200 / 30.4375, 3), 1)]
    assert made(tmp_path, "time_to_recurrence", row, detected="midpoint")[0] == [(round(150 / 30.4375, 3), 1)]
    unseen = {"scan": "", "rec": day(200)}
    assert made(tmp_path, "time_to_recurrence", unseen, detected="midpoint")[0] == [(round(200 / 30.4375, 3), 1)]


def test_an_unreadable_recorded_time_leaves_out_its_endpoint_only(tmp_path):
    rows = [ROW | {"id": "p1", "t": "12", "e": "1"}, ROW | {"id": "p2", "t": "soon", "e": "0"}]
    chosen = study(tmp_path, rows)
    chosen["endpoints"] |= {
        "R": {"kind": "recorded", "time": "t", "event": "e", "unit": "months", "event_value": 1, "censored_value": 0}
    }
    cohort = read_cohort(chosen)
    assert list(cohort.clinical["patient_id"]) == ["p1", "p2"]
    assert cohort.endpoints["R_time"].isna().tolist() == [False, True]
    assert cohort.endpoints["OS_time"].notna().all()
    assert cohort.missing_endpoints.iloc[0].to_dict() == {
        "patient_id": "p2",
        "endpoint": "R",
        "reason": "t: 'soon' is not a time >= 0",
    }


def test_ineligible_patients_are_excluded_with_the_cell(tmp_path):
    chosen = study(tmp_path, [ROW | {"id": f"p{i}", "margin": cell} for i, cell in enumerate(["R0", "R1", ""])])
    chosen["clinical"]["eligibility"] = [{"column": "margin", "keep": ["R0"]}]
    cohort = read_cohort(chosen)
    assert list(cohort.clinical["patient_id"]) == ["p0"]
    assert cohort.exclusions["reason"].tolist() == ["not eligible: margin is R1", "not eligible: margin is missing"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("43831", "serial number (2020-01-01?)"),
        ("05/06/2015", "day first or month first"),
        ("05/06/15", "year of two digits"),
        ("1900-01-01", "placeholder"),
        ("2015年3月2日", "not a date written yyyy-mm-dd"),
        ("2015-13-01", "not a date written yyyy-mm-dd"),
    ],
)
def test_a_cell_that_is_no_date_is_told_as_a_person_would(text, said):
    why, *cells = why_no_date(text)
    found = told(Problem("p1", why, tuple(cells)))
    assert said in found and repr(text) in found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ct": day(3)}, "ct: 2015-01-04 is after op 2015-01-01"),
        ({"blood": day(3)}, "blood: 2015-01-04 is after op 2015-01-01"),
        ({"rec": day(100), "scan": day(200)}, "scan: 2015-07-20 is after rec 2015-04-11"),
        ({"recurred": "1"}, "recurred: '1', but rec is empty"),
        ({"recurred": "no", "rec": day(100)}, "recurred: 'no', but rec is 2015-04-11"),
        ({"seen": "2031-01-01"}, "seen: 2031-01-01 is after the export of the data on 2020-01-01"),
        ({"rec": "1970-01-01"}, "rec: '1970-01-01' is a placeholder"),
    ],
)
def test_contradicting_dates_exclude_the_patient_with_column_and_value(tmp_path, changes, reason):
    dates = ALL_DATES | {"export": "2020-01-01"}
    _, cohort = made(tmp_path, "time_to_recurrence", {}, changes, dates=dates)
    assert list(cohort.clinical["patient_id"]) == ["p0"]
    assert reason in cohort.exclusions.iloc[0].reason


def test_what_is_unusual_but_possible_is_counted(tmp_path):
    rows = [
        {"rec": day(0)},
        {"rec": day(20), "scan": ""},
        {"dead": day(60), "seen": day(60)},
        {"ct": day(-70)},
        {"ct": day(-40)},
        {"blood": day(-31)},
        {"scan": day(100), "rec": day(500)},
    ]
    _, cohort = made(tmp_path, "time_to_recurrence", *rows, dates=ALL_DATES | {"cutoff": "2017-01-01"})
    text = "\n".join(cohort.warnings)
    for said in (
        "1 events or contacts on the day of treatment",
        "2 recurrences within 30 days",
        "1 deaths within 90 days",
        "1 scans more than 60 days",
        "1 scans 30 to 60 days",
        "1 AFP more than 30 days",
        "1 recurrences seen more than 8 months",
        "86 % of the last contacts fall on the cutoff 2017-01-01",
    ):
        assert said in text


def test_recorded_times_in_another_unit_are_warned_of():
    endpoint = {"time": "t", "unit": "months"}
    assert "are they years?" in recorded_warnings("E", endpoint, pd.DataFrame({"t": ["1.5", "9"]}))[0]
    assert "are they months?" in recorded_warnings("E", endpoint | {"unit": "years"}, pd.DataFrame({"t": ["80"]}))[0]
    mixed = pd.DataFrame({"t": [str(i) for i in range(20, 30)] + [f"{i}.37" for i in range(20, 30)]})
    assert "50 % of t are whole numbers" in recorded_warnings("E", endpoint, mixed)[0]


def test_dates_that_no_study_declares_are_simply_absent():
    table = pd.DataFrame({"op": ["2015-01-01"], "seen": ["2016-01-01"], "id": ["a"]})
    parsed, problems, warnings = parse_dates(table, {"t0": "op", "last_contact": "seen"}, "id")
    assert problems == [] and warnings == []
    frame = endpoint_from_dates(parsed, {"kind": "overall_survival"}, None)
    assert frame["event"].tolist() == [0]
