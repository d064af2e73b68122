"""Endpoints as time and event, from raw dates or from recorded times (methods.md 3.2).

Event codes: 0 censored, 1 the event, 2 the competing event (death without recurrence) of an endpoint that has one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

DAYS_PER_MONTH = 30.4375
UNIT_IN_MONTHS = {"days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0}
SAME_DAY = 0.5  # days: an event on the day of treatment keeps a positive time
CENSORED, EVENT, COMPETING = 0, 1, 2


def has_competing(endpoint: dict[str, Any]) -> bool:
    """Whether an endpoint of the study file tells death without recurrence apart from censoring."""
    return endpoint["kind"] == "recurrence_competing" or "competing_value" in endpoint


def parse_dates(
    table: pd.DataFrame, dates: dict[str, str], id_column: str
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """ISO dates of each patient as datetime64, and a list of (patient_id, problem).

    Columns of the result: t0, recurrence, death, last_contact, last_imaging (NaT where absent or missing).
    """
    parsed = pd.DataFrame(index=table.index)
    problems: list[tuple[str, str]] = []
    for name in ("t0", "recurrence", "death", "last_contact", "last_imaging"):
        column = dates.get(name)
        if column is None:
            parsed[name] = pd.Series(pd.NaT, index=table.index, dtype="datetime64[ns]")
            continue
        text = table[column]
        parsed[name] = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce").astype("datetime64[ns]")
        for row in table.index[text.notna() & parsed[name].isna()]:
            problems.append((table.at[row, id_column], f"{column}: {text[row]!r} is not a date written yyyy-mm-dd"))
    for row in table.index:
        patient, t0 = table.at[row, id_column], parsed.at[row, "t0"]
        if pd.isna(t0):
            if pd.isna(table.at[row, dates["t0"]]):
                problems.append((patient, f"{dates['t0']}: missing"))
            continue
        if dates.get("cutoff") and t0 > pd.Timestamp(dates["cutoff"]):
            problems.append((patient, f"{dates['t0']}: {t0:%Y-%m-%d} is after the cutoff {dates['cutoff']}"))
        for name in ("recurrence", "death", "last_contact", "last_imaging"):
            value = parsed.at[row, name]
            if pd.notna(value) and value < t0:
                problems.append((patient, f"{dates[name]}: {value:%Y-%m-%d} is before {dates['t0']} {t0:%Y-%m-%d}"))
        recurrence, death = parsed.at[row, "recurrence"], parsed.at[row, "death"]
        contact = parsed.at[row, "last_contact"]
        if pd.notna(recurrence) and pd.notna(death) and recurrence > death:
            problems.append(
                (patient, f"{dates['recurrence']}: {recurrence:%Y-%m-%d} is after {dates['death']} {death:%Y-%m-%d}")
            )
        if pd.notna(death) and pd.notna(contact) and contact > death:
            problems.append(
                (patient, f"{dates['last_contact']}: {contact:%Y-%m-%d} is after {dates['death']} {death:%Y-%m-%d}")
            )
        if pd.isna(contact) and pd.isna(death) and pd.isna(table.at[row, dates["last_contact"]]):
            problems.append((patient, f"{dates['last_contact']}: missing, and no death is recorded"))
    return parsed, problems


def endpoint_from_dates(parsed: pd.DataFrame, kind: str, cutoff: str | None) -> pd.DataFrame:
    """Columns time (months from t0) and event (code) of one endpoint; events after the cutoff are censored at it.

    time_to_recurrence censors at death, else at the last recurrence-free imaging, else at the last contact;
    recurrence_competing is the same with death as an event of its own, of code 2, on its date.
    """
    far = pd.Series(pd.Timestamp("2262-01-01"), index=parsed.index)
    end = pd.Series(pd.Timestamp(cutoff), index=parsed.index) if cutoff else far
    recurrence, death = parsed["recurrence"].fillna(far), parsed["death"].fillna(far)
    contact = parsed["last_contact"].fillna(parsed["death"])
    if kind == "time_to_recurrence":
        event_date = recurrence
        censor_date = pd.concat([death, parsed["last_imaging"].fillna(contact)], axis=1).min(axis=1)
    elif kind == "recurrence_free_survival":
        event_date, censor_date = pd.concat([recurrence, death], axis=1).min(axis=1), contact
    elif kind == "recurrence_competing":
        event_date = pd.concat([recurrence, death], axis=1).min(axis=1)
        censor_date = parsed["last_imaging"].fillna(contact)
    elif kind == "overall_survival":
        event_date, censor_date = death, contact
    else:
        raise ValueError(kind)
    event = (event_date < far) & (event_date <= end)
    stop = pd.concat([event_date.where(event, censor_date), end], axis=1).min(axis=1)
    days = (stop - parsed["t0"]).dt.days.astype(float)
    code = event.astype(int)
    if kind == "recurrence_competing":
        code = code.mask(event & (recurrence == far), COMPETING)
    return pd.DataFrame({"time": days.clip(lower=SAME_DAY) / DAYS_PER_MONTH, "event": code})


def endpoint_as_recorded(
    table: pd.DataFrame, endpoint: dict[str, Any], id_column: str
) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """Columns time (months) and event (code) from ready columns, and a list of (patient_id, problem).

    With `competing_value`, a cell of that value in the event column, or (in a column `competing` of its own) beside a
    censored event, is the competing event.
    """
    problems: list[tuple[str, str]] = []
    time = pd.to_numeric(table[endpoint["time"]], errors="coerce")
    flag = table[endpoint["event"]].astype("string").str.strip()
    codes = {str(endpoint["event_value"]): EVENT, str(endpoint["censored_value"]): CENSORED}
    own_column = endpoint.get("competing")
    if "competing_value" in endpoint and own_column is None:
        codes[str(endpoint["competing_value"])] = COMPETING
    event = flag.map(codes)
    if own_column is not None:
        died = table[own_column].astype("string").str.strip() == str(endpoint["competing_value"])
        event = event.mask((event == CENSORED) & died.fillna(False), COMPETING)
    for row in table.index:
        patient = table.at[row, id_column]
        if not np.isfinite(time[row]) or time[row] < 0:
            problems.append((patient, f"{endpoint['time']}: {table.at[row, endpoint['time']]!r} is not a time >= 0"))
        if pd.isna(event[row]):
            problems.append(
                (
                    patient,
                    f"{endpoint['event']}: {table.at[row, endpoint['event']]!r} is neither "
                    f"{endpoint['event_value']!r} (event) nor {endpoint['censored_value']!r} (censored)",
                )
            )
    months = time * UNIT_IN_MONTHS[endpoint["unit"]]
    return pd.DataFrame({"time": months.clip(lower=SAME_DAY / DAYS_PER_MONTH), "event": event}), problems
