"""Endpoints of patients as time and event, from raw dates or from recorded times (docs/methods.md 3.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.dates import parse_dates
from recur.study.coding import as_declared, levels_of
from recur.study.endpoints import (
    BY_HORIZON,
    CENSORED,
    COMPETING,
    DAYS_PER_MONTH,
    EVENT,
    LONGEST_MONTHS,
    UNIT_IN_MONTHS,
    WITH_COMPETING,
    WITHOUT_TIME,
)
from recur.tables import Problem

ROUNDED_MONTHS = 1.0  # by which two times of one patient may differ
SAME_DAY = 0.5  # days: an event on the day of treatment keeps a positive time
FAR = pd.Timestamp("2262-01-01")
UNKNOWN = "outcome unknown"  # an empty cell, which is no error
AT_RECURRENCE = ("number", "size", "vascular", "extrahepatic")


def endpoint_as_level(table: pd.DataFrame, endpoint: dict[str, Any]) -> tuple[pd.Series, list[Problem]]:
    """Place of each cell among the levels (binary: negative, positive), NaN where unknown, and problems of rows.

    Cells that are no level stop the run before (coding_problems.outcome_problems).
    """
    places = {level: float(place) for place, level in enumerate(levels_of(endpoint))}
    code = as_declared(table[endpoint["column"]], places).map(places).astype(float)
    return code, [Problem(row, UNKNOWN) for row in table.index[code.isna()]]


def state_as_binary(frame: pd.DataFrame, months: float, censored: str) -> tuple[pd.DataFrame, list[Problem]]:
    """Column event: by a horizon 1, free of it there or the competing event before 0, else NaN; and problems of rows.

    censored `left_out`: whoever is NaN is a problem. `weighted`: only an unknown outcome is; the column follow_up, the
    months to whatever ended it, cut at the horizon, says how long the others were seen (survival.censoring_weights).
    """
    state = state_at(frame, months)
    event = (state == EVENT).astype(float).mask(state.isna())
    if censored == "left_out":
        text = f"censored before {months:g} months, left out as published"
        return pd.DataFrame({"event": event}), [Problem(row, text) for row in state.index[state.isna()]]
    unknown = frame["event"].isna()
    follow_up = frame["time"].clip(upper=months).mask(unknown)
    return pd.DataFrame({"follow_up": follow_up, "event": event}), [
        Problem(row, UNKNOWN) for row in state.index[unknown]
    ]


def endpoint_from_dates(
    parsed: pd.DataFrame, endpoint: dict[str, Any], cutoff: str | None, pattern: pd.Series | None = None
) -> pd.DataFrame:
    """Columns time (months from t0) and event (code, NaN where the endpoint is unknown) of one endpoint.

    Events after the cutoff are censored at it. By kind:

    - time_to_recurrence censors at death, at a liver transplantation, else at the last recurrence-free imaging, else
      at the last contact; recurrence_competing is the same with death an event of its own, of code 2;
    - recurrence_free_survival counts death, overall_survival counts death only;
    - early_recurrence: recurrence_competing up to the endpoint's horizon, where everybody still free is censored: a
      patient censored earlier is never counted as free of recurrence;
    - aggressive_recurrence: the same with code 1 for a first recurrence beyond Milan (`pattern`: 1, 0, NaN) and
      code 2 for one within Milan or death before it; unknown where the pattern of a recurrence is;
    - late_recurrence: recurrence_competing from the horizon on, of those alive and free of recurrence there.

    `detected: midpoint` puts a recurrence halfway between the last image without it and its detection.
    """
    kind = endpoint["kind"]
    end = pd.Series(pd.Timestamp(cutoff) if cutoff else FAR, index=parsed.index)
    recurrence = parsed["recurrence"]
    death = parsed["death"].fillna(FAR)
    if endpoint.get("detected") == "midpoint":
        before = parsed["last_imaging"].where(parsed["last_imaging"] < recurrence, recurrence)
        recurrence = before + (recurrence - before) / 2
    recurrence = recurrence.fillna(FAR)
    contact = parsed["last_contact"].fillna(parsed["death"])
    if kind == "overall_survival":
        event_date = death
        censor_date = contact
    elif kind == "recurrence_free_survival":
        event_date = pd.concat([recurrence, death], axis=1).min(axis=1)
        censor_date = contact
    else:
        competing = kind in WITH_COMPETING
        event_date = pd.concat([recurrence, death], axis=1).min(axis=1) if competing else recurrence
        censor_date = parsed["last_imaging"].fillna(contact)
        if not competing:
            censor_date = pd.concat([death, censor_date], axis=1).min(axis=1)
        transplant = parsed["transplant"].fillna(FAR)
        if endpoint.get("transplant") == "event":
            event_date = pd.concat([event_date, transplant], axis=1).min(axis=1)
        else:
            end = pd.concat([end, transplant], axis=1).min(axis=1)
    event = (event_date < FAR) & (event_date <= end)
    stop = pd.concat([event_date.where(event, censor_date), end], axis=1).min(axis=1)
    days = (stop - parsed["t0"]) / pd.Timedelta(days=1)
    code = event.astype(float)
    if kind in WITH_COMPETING:
        code = code.mask(event & (recurrence == FAR) & ~(event_date < death), COMPETING)
    months = days.clip(lower=SAME_DAY) / DAYS_PER_MONTH
    frame = pd.DataFrame({"time": months, "event": code})
    if kind in BY_HORIZON:
        frame = up_to(frame, endpoint["horizon_months"])
    if kind == "aggressive_recurrence":
        frame = by_pattern(frame, pattern)
    if kind == "late_recurrence":
        frame = from_landmark(frame, endpoint["horizon_months"])
    return frame


def up_to(frame: pd.DataFrame, months: float) -> pd.DataFrame:
    """Everybody beyond the horizon is censored at it."""
    beyond = frame["time"] > months
    return pd.DataFrame({"time": frame["time"].clip(upper=months), "event": frame["event"].mask(beyond, CENSORED)})


def by_pattern(frame: pd.DataFrame, pattern: pd.Series) -> pd.DataFrame:
    """Recurrences beyond Milan keep code 1, those within become competing; an unknown pattern, unknown."""
    recurred = frame["event"] == EVENT
    code = frame["event"].mask(recurred & (pattern == 0), COMPETING)
    return frame.assign(event=code.mask(recurred & pattern.isna(), np.nan))


def from_landmark(frame: pd.DataFrame, months: float) -> pd.DataFrame:
    """Time from the landmark of those still at risk there; NaN for the others."""
    at_risk = frame["time"] > months
    return pd.DataFrame({"time": (frame["time"] - months).where(at_risk), "event": frame["event"].where(at_risk)})


def beyond_milan(cells: pd.DataFrame, columns: dict[str, str]) -> pd.Series:
    """Whether the first recurrence was beyond Milan: 1, 0, or NaN where the fields do not settle it.

    columns: number, size (largest, cm), vascular and extrahepatic (0/1) at first detection. Beyond: more than 3
    tumours, a single one above 5 cm, 2 or 3 with any above 3 cm, macrovascular invasion or extrahepatic disease.
    """
    value = {name: pd.to_numeric(cells[columns[name]], errors="coerce").astype(float) for name in AT_RECURRENCE}
    number, size = value["number"], value["size"]
    beyond = (number > 3) | ((number == 1) & (size > 5)) | (number.between(2, 3) & (size > 3)) | (size > 5)
    beyond |= (value["vascular"] == 1) | (value["extrahepatic"] == 1)
    within = ((number == 1) & (size <= 5)) | (number.between(2, 3) & (size <= 3))
    within &= (value["vascular"] == 0) & (value["extrahepatic"] == 0)
    return pd.Series(np.select([beyond, within], [1.0, 0.0], np.nan), index=cells.index)


def state_at(frame: pd.DataFrame, months: float) -> pd.Series:
    """The state at a horizon: 1 event by then, 2 competing event by then, 0 free and followed so far, NaN censored
    earlier or unknown. Never 0 for the censored.
    """
    code, time = frame["event"], frame["time"]
    known = code.notna()
    state = np.select([known & (code > 0) & (time <= months), known & (time >= months)], [code, 0.0], np.nan)
    return pd.Series(state, index=frame.index)


def endpoint_as_recorded(table: pd.DataFrame, endpoint: dict[str, Any]) -> tuple[pd.DataFrame, list[Problem]]:
    """Columns time (months) and event (code) from ready columns, and problems of rows.

    With `competing_value`, a cell of that value in the event column, or (in a column `competing` of its own) beside a
    censored event, is the competing event; with `competing_time` it counts at a time of its own. Cells
    beyond the declared stop the run before (coding_problems.outcome_problems).
    """
    time = pd.to_numeric(table[endpoint["time"]], errors="coerce").astype(float)
    codes = {str(endpoint["event_value"]): EVENT, str(endpoint["censored_value"]): CENSORED}
    competing_column = endpoint.get("competing")
    if "competing_value" in endpoint and competing_column is None:
        codes[str(endpoint["competing_value"])] = COMPETING
    event = as_declared(table[endpoint["event"]], codes).map(codes).astype(float)
    if competing_column is not None:
        value = str(endpoint["competing_value"])
        died = (as_declared(table[competing_column], [value]) == value).fillna(False).astype(bool)
        event = event.mask((event == CENSORED) & died, COMPETING)
    impossible = f"{endpoint['time']}: {{}} is not a time >= 0"
    problems = []
    longest = f"{endpoint['time']}: {{}} {endpoint['unit']} are more than {LONGEST_MONTHS / 12:g} years"
    for row in table.index:
        if not np.isfinite(time[row]) or time[row] < 0:
            cell = table.at[row, endpoint["time"]]
            comma = "; write a decimal point" if "," in str(cell) else ""
            problems.append(Problem(row, impossible + comma, (cell,)))
        elif time[row] * UNIT_IN_MONTHS[endpoint["unit"]] > LONGEST_MONTHS:
            problems.append(Problem(row, longest, (table.at[row, endpoint["time"]],)))
        if pd.isna(table.at[row, endpoint["event"]]):
            problems.append(Problem(row, f"{endpoint['event']}: missing"))
    if "competing_time" in endpoint:
        died = event == COMPETING if competing_column is None else died
        time, contradicting = competing_times(table, endpoint, time, event, died)
        problems += contradicting
    months = time * UNIT_IN_MONTHS[endpoint["unit"]]
    return pd.DataFrame({"time": months.clip(lower=SAME_DAY / DAYS_PER_MONTH), "event": event}), problems


def competing_times(
    table: pd.DataFrame, endpoint: dict[str, Any], time: pd.Series, event: pd.Series, died: pd.Series
) -> tuple[pd.Series, list[Problem]]:
    """The times of an endpoint with those of the competing event where it came first, and problems of rows.

    time: the event, or the end of follow-up for it; died: whether the competing event is known, whatever the event.
    Without the event, the competing one counts at a time of its own, at which nobody can be under follow-up any more.
    """
    column, unit = endpoint["competing_time"], endpoint["unit"]
    competing_time = pd.to_numeric(table[column], errors="coerce").astype(float)
    possible = (
        np.isfinite(competing_time) & (competing_time >= 0) & (competing_time * UNIT_IN_MONTHS[unit] <= LONGEST_MONTHS)
    )
    rounding = ROUNDED_MONTHS / UNIT_IN_MONTHS[unit]
    problems = []
    for row in table.index[died]:
        if not possible[row]:
            text = f"{column}: {{}} is not a time >= 0, and there was a competing event"
            problems.append(Problem(row, text, (table.at[row, column],)))
        elif competing_time[row] < time[row] - rounding:
            what = "the event" if event[row] == EVENT else "the end of follow-up"
            text = f"{column}: a competing event at {{}} {unit} is before {what}, {endpoint['time']} {{}}"
            problems.append(Problem(row, text, (float(competing_time[row]), float(time[row]))))
    return time.where(event != COMPETING, competing_time), problems


def read_endpoints(
    table: pd.DataFrame, study: dict[str, Any]
) -> tuple[pd.DataFrame, list[Problem], list[tuple[str, Problem]], list[str]]:
    """<endpoint>_time and <endpoint>_event columns (and <endpoint>_state at the horizon of early and aggressive
    recurrence; of endpoints without a time <endpoint>_event or <endpoint>_level only, with <endpoint>_follow_up where
    the censored are weighted), problems of whole patients, (endpoint, problem) of single endpoints, and warnings.

    Dates that contradict each other put the whole patient in doubt; a recorded time or event that cannot be read
    leaves out that endpoint only.
    """
    endpoints = study["endpoints"]
    clinical = study["clinical"]
    dates = clinical.get("dates")
    result = pd.DataFrame(index=table.index)
    problems: list[Problem] = []
    missing: list[tuple[str, Problem]] = []
    warnings: list[str] = []
    parsed = None
    pattern = None
    if dates:
        parsed, problems, warnings = parse_dates(table.assign(row_=table.index), dates, "row_")
    if "recurrence" in clinical:
        pattern = beyond_milan(table, clinical["recurrence"])
    # those without a time come last: some are the state of another endpoint at its horizon
    for name in sorted(endpoints, key=lambda name: endpoints[name]["kind"] in WITHOUT_TIME):
        endpoint = endpoints[name]
        if endpoint["kind"] == "recorded":
            frame, unusable = endpoint_as_recorded(table, endpoint)
            frame.loc[[problem.who for problem in unusable], ["time", "event"]] = np.nan
        elif endpoint["kind"] not in WITHOUT_TIME:
            frame = endpoint_from_dates(parsed, endpoint, dates.get("cutoff"), pattern)
            unusable = undefined(frame, endpoint)
        elif "of" in endpoint:
            source = endpoint["of"]
            timed = result[[f"{source}_time", f"{source}_event"]].set_axis(["time", "event"], axis=1)
            frame, unusable = state_as_binary(timed, endpoints[source]["horizon_months"], endpoint["censored"])
        else:
            code, unusable = endpoint_as_level(table, endpoint)
            frame = code.to_frame("event" if endpoint["kind"] == "binary" else "level")
        if endpoint["kind"] in BY_HORIZON:
            frame["state"] = state_at(frame, endpoint["horizon_months"])
        missing += [(name, problem) for problem in unusable]
        for column, values in frame.items():
            result[f"{name}_{column}"] = values
    return result, problems, missing, warnings


def undefined(frame: pd.DataFrame, endpoint: dict[str, Any]) -> list[Problem]:
    """Rows for which an endpoint from dates says nothing; frame: of endpoint_from_dates."""
    if endpoint["kind"] == "aggressive_recurrence":
        unknown = frame.index[frame["event"].isna()]
        return [Problem(row, "pattern of the recurrence unknown") for row in unknown]
    if endpoint["kind"] == "late_recurrence":
        text = f"not alive and recurrence-free at {endpoint['horizon_months']:g} months"
        return [Problem(row, text) for row in frame.index[frame["time"].isna()]]
    return []
