"""Endpoints beyond the plain ones: horizons, patterns of recurrence, landmarks, and every check of the dates."""

import re

import numpy as np
import pandas as pd
import pytest

from recur.cohort.clinical import read_cohort
from recur.cohort.dates import parse_dates, why_no_date
from recur.cohort.endpoints import beyond_milan, endpoint_from_dates
from recur.cohort.time_units import impossible_times, time_warnings
from recur.statistics.competing import incidence_at
from recur.tables import Problem, told
from tests.cohort.test_clinical import DATES, ROW, study

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


def doubts(times, unit="months", centre=""):
    table = pd.DataFrame({"t": [str(value) for value in times]})
    centres = pd.Series(centre, index=table.index)
    endpoint = {"kind": "recorded", "time": "t", "unit": unit}
    return [*impossible_times(table, {"E": endpoint}, centres), *time_warnings("E", endpoint, table, centres)]


DAYS = np.random.default_rng(1).weibull(1.2, 200) * 900 + 20  # of follow-up


@pytest.mark.parametrize(
    ("times", "unit", "said"),
    [
        (DAYS.round(), "months", "more than 50 years in months"),
        (DAYS.round(), "months", "declare unit: days, in which the longest is 175 months"),
        (DAYS.round(), "years", "declare unit: days"),
        (DAYS.round(), "weeks", "declare unit: days"),
        (DAYS / 30.4375, "years", "declare unit: months"),
        (DAYS.round() / 10, "months", "the longest time in t is 533.4 months; are they days?"),
        ((DAYS / 365.25).round(2), "months", "months; are they years?"),
        ((DAYS / 30.4375).round(1), "days", "days; are they months?"),
        ((DAYS / 365.25).round(2), "weeks", "weeks; are they months?"),
    ],
)
def test_times_in_another_unit_than_declared_stop_or_are_noted(times, unit, said):
    assert any(said in line for line in doubts(times, unit)), doubts(times, unit)


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (DAYS.round(), "days"),
        (DAYS.round() / 30.4375, "months"),
        ((DAYS / 30.4375).round(1), "months"),
        ((DAYS / 30.4375 * 2).round() / 2, "months"),
        ((DAYS / 365.25).round(1) * 12, "months"),
        ((DAYS / 30.4375).round(), "months"),
        ((DAYS / 7).round(), "weeks"),
        ((DAYS / 365.25).round(2), "years"),
    ],
)
def test_a_rightly_converted_table_has_no_note(times, unit):
    assert doubts(times, unit) == []


def test_one_centre_in_another_unit_is_named():
    centre = ["A"] * 150 + ["B"] * 50
    months = DAYS / 30.4375
    mixed = np.where(np.array(centre) == "B", DAYS, months)
    assert any("all of them in centre B; is it another unit there?" in line for line in doubts(mixed, "months", centre))
    for factor in (12, 30.4375 / 7):  # years and weeks for months
        other = np.where(np.array(centre) == "B", months / 12 if factor == 12 else months * factor, months)
        assert any("in centre 'A'" in line for line in doubts(other, "months", centre)), factor
    said = doubts(DAYS, "months", centre)
    assert any("declare unit: days" in line for line in said)  # all in days: no centre is to blame
    shorter = np.where(np.array(centre) == "B", months / 2, months)
    assert doubts(shorter, "months", centre) == []


def test_numbers_of_two_scales_in_one_column_are_noted():
    mixed = [*DAYS[:100].round(), *(DAYS[100:] / 30.4375).round(2) + 0.003]
    assert any("50 % of t are whole numbers of median" in line for line in doubts(mixed, "days"))


def test_a_single_time_beyond_fifty_years_leaves_out_its_patient(tmp_path):
    rows = [ROW | {"id": f"p{i}", "t": "30", "e": "1"} for i in range(30)]
    rows[4]["t"] = "3650"
    endpoint = {"kind": "recorded", "time": "t", "event": "e", "unit": "months", "event_value": 1, "censored_value": 0}
    cohort = read_cohort(study(tmp_path, rows) | {"endpoints": {"R": endpoint}})
    assert cohort.missing_endpoints["reason"].tolist() == ["t: '3650' months are more than 50 years"]


@pytest.mark.parametrize("changes", [{"dead": "2099-06-01", "seen": "2099-06-01"}, {"seen": "2099-06-01"}])
def test_a_date_in_the_future_excludes_the_patient(tmp_path, changes):
    _, cohort = made(tmp_path, "time_to_recurrence", {}, changes)
    assert list(cohort.clinical["patient_id"]) == ["p0"]
    assert re.fullmatch(r"(dead|seen): 2099-06-01 lies in the future", cohort.exclusions.iloc[0].reason)


def test_a_contact_more_than_fifty_years_after_the_treatment_excludes_the_patient(tmp_path):
    _, cohort = made(tmp_path, "time_to_recurrence", {}, {"op": "1915-01-01", "blood": "", "scan": ""})
    assert "more than 50 years after op 1915-01-01" in cohort.exclusions.iloc[0].reason


def competing_rows(n=400):
    """Patients with recurrence, death and end of imaging as they happened, and the columns that a registry keeps."""
    rng = np.random.default_rng(7)
    recurrence, death = rng.exponential(30, n), rng.exponential(50, n)
    imaging, contact = rng.uniform(5, 60, n), rng.uniform(60, 90, n)
    rows, truth = [], []
    for i in range(n):
        seen = min(recurrence[i], imaging[i], death[i])
        recurred = recurrence[i] == seen
        dead = death[i] <= contact[i]
        rows.append(
            {
                "id": f"p{i:03d}",
                "months": repr(float(seen)),
                "recurred": str(int(recurred)),
                "died": str(int(dead)),
                "os": repr(float(min(death[i], contact[i]))),
            }
        )
        # by hand: the first of recurrence and death that is known; free of both only to the last image
        if recurred:
            truth.append((recurrence[i], 1))
        elif dead:
            truth.append((death[i], 2))
        else:
            truth.append((seen, 0))
    return rows, truth


COMPETING_BY_TIME = {
    "kind": "recorded", "time": "months", "event": "recurred", "unit": "months", "event_value": "1",
    "censored_value": "0", "competing": "died", "competing_value": "1", "competing_time": "os",
}  # fmt: skip


def test_a_competing_event_counts_at_its_own_time(tmp_path):
    rows, truth = competing_rows()
    cohort = read_cohort(study(tmp_path, [ROW | row for row in rows]) | {"endpoints": {"A": COMPETING_BY_TIME}})
    assert cohort.missing_endpoints.empty
    assert cohort.endpoints["A_event"].tolist() == [code for _, code in truth]
    np.testing.assert_allclose(cohort.endpoints["A_time"], [max(t, 0.5 / 30.4375) for t, _ in truth], atol=1e-12)
    # cmprsk::cuminc (2.2) on the columns of the registry, recoded in R
    expected = [(0.2961402125, 0.1572845624), (0.4235490982, 0.2691463024), (0.4835241937, 0.4111090277)]
    time, code = cohort.endpoints["A_time"], cohort.endpoints["A_event"]
    for months, (recurrence, death) in zip((12, 24, 48), expected, strict=True):
        assert incidence_at(time, code == 1, code == 2, months) == pytest.approx(recurrence, abs=1e-9)
        assert incidence_at(time, code == 2, code == 1, months) == pytest.approx(death, abs=1e-9)


def test_without_a_time_of_its_own_a_later_death_is_flagged(tmp_path):
    rows, truth = competing_rows()
    without = {key: value for key, value in COMPETING_BY_TIME.items() if key != "competing_time"}
    overall = {
        "kind": "recorded", "time": "os", "event": "died", "unit": "months", "event_value": "1", "censored_value": "0",
    }  # fmt: skip
    chosen = study(tmp_path, [ROW | row for row in rows]) | {"endpoints": {"A": without, "OS": overall}}
    late = sum(code == 2 and t - float(row["months"]) > 1 for row, (t, code) in zip(rows, truth, strict=True))
    said = [text for text in read_cohort(chosen).warnings if "declare competing_time" in text]
    assert len(said) == 1 and said[0].startswith(f"{late} patients ('p0") and "but os has it later" in said[0]
    told_too = read_cohort(chosen | {"endpoints": {"A": COMPETING_BY_TIME, "OS": overall}}).warnings
    assert not [text for text in told_too if "declare competing_time" in text]


def test_a_death_before_the_end_of_follow_up_is_a_contradiction(tmp_path):
    rows = [{"id": "p1", "months": "20", "recurred": "0", "died": "1", "os": "10"}]
    rows += [{"id": "p2", "months": "20", "recurred": "1", "died": "1", "os": "10"}]
    rows += [{"id": "p3", "months": "20", "recurred": "0", "died": "1", "os": ""}]
    rows += [{"id": "p4", "months": "20", "recurred": "0", "died": "1", "os": "19.8"}]
    cohort = read_cohort(study(tmp_path, [ROW | row for row in rows]) | {"endpoints": {"A": COMPETING_BY_TIME}})
    assert cohort.missing_endpoints["reason"].tolist() == [
        "os: a competing event at 10 months is before the end of follow-up, months 20",
        "os: a competing event at 10 months is before the event, months 20",
        "os: <NA> is not a time >= 0, and there was a competing event",
    ]


def test_dates_that_no_study_declares_are_simply_absent():
    table = pd.DataFrame({"op": ["2015-01-01"], "seen": ["2016-01-01"], "id": ["a"]})
    parsed, problems, warnings = parse_dates(table, {"t0": "op", "last_contact": "seen"}, "id")
    assert problems == [] and warnings == []
    frame = endpoint_from_dates(parsed, {"kind": "overall_survival"}, None)
    assert frame["event"].tolist() == [0]
