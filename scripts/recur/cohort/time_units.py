"""Whether the times of a study can be in the units that it declares, and what contradicts them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.dates import iso_days
from recur.cohort.endpoints import ROUNDED_MONTHS
from recur.study.coding import FEWEST, FREQUENT, as_declared
from recur.study.endpoints import DAYS_PER_MONTH, LONGEST_MONTHS, UNIT_IN_MONTHS
from recur.tables import Problem, first_of, grouped

LONG_MONTHS, LONG_MEDIAN = 300, 120  # follow-up that few studies have
SHORT = {"days": 12, "weeks": 12, "months": 15, "years": 0}  # longest follow-up in months below which a unit is doubted
SMALLER = {"days": "hours", "weeks": "days", "months": "days", "years": "months"}
LARGER = {"days": "months", "weeks": "months", "months": "years"}
RATIO = 4  # of medians that no real difference of follow-up explains; weeks are 4.3 times months
FEW_OF_A_CENTRE = 5


def numbers(table: pd.DataFrame, column: str) -> pd.Series:
    """The numbers of a column, NaN where a cell is none."""
    values = pd.to_numeric(table[column], errors="coerce").astype(float)
    return values.where(np.isfinite(values))


def impossible_times(table: pd.DataFrame, endpoints: dict[str, Any], centre: pd.Series) -> list[str]:
    """Lines on recorded times of which too many for single errors are longer than anybody is followed."""
    found = []
    for name, endpoint in endpoints.items():
        for key in ("time", "competing_time"):
            if endpoint["kind"] != "recorded" or key not in endpoint:
                continue
            time = numbers(table, endpoint[key]).dropna()
            unit = endpoint["unit"]
            months = time * UNIT_IN_MONTHS[unit]
            beyond = time[months > LONGEST_MONTHS]
            frequent = len(beyond) >= max(FEWEST, FREQUENT * len(time))
            if frequent or (len(beyond) and months.median() > LONG_MEDIAN):
                centres = sorted(set(centre[beyond.index]))
                elsewhere = time[~centre[time.index].isin(centres)].median()
                some = time[centre[time.index].isin(centres)].median() > RATIO * elsewhere  # never where none is left
                where = f", all of them in centre {first_of(centres)}" if some else ""
                remedy = "; is it another unit there? Use one in the whole column" if some else fitting_unit(time, unit)
                found.append(
                    f"endpoint {name}: column {endpoint[key]}: {len(beyond)} of {len(time)} times are more than "
                    f"{LONGEST_MONTHS / 12:g} years in {unit} (median {time.median():g}, longest {time.max():g})"
                    f"{where}{remedy}"
                )
    return found


def fitting_unit(time: pd.Series, declared: str) -> str:
    """The unit to declare in which the longest time is one that patients are followed."""
    for unit in ("months", "days", "weeks"):  # times in weeks are rare
        longest = time.max() * UNIT_IN_MONTHS[unit]
        if UNIT_IN_MONTHS[unit] < UNIT_IN_MONTHS[declared] and longest <= LONG_MONTHS:
            return f"; declare unit: {unit}, in which the longest is {longest:.0f} months"
    return "; declare the unit of the column"


def time_warnings(name: str, endpoint: dict[str, Any], table: pd.DataFrame, centre: pd.Series) -> list[str]:
    """Times of 0, and signs that recorded times, of all or of some patients, are in another unit than declared."""
    column, unit = endpoint["time"], endpoint["unit"]
    time = numbers(table, column).dropna()
    time = time[time * UNIT_IN_MONTHS[unit] <= LONGEST_MONTHS]  # longer ones are told of as errors
    if time.empty:
        return []
    start = f"endpoint {name}: "
    months = time * UNIT_IN_MONTHS[unit]
    warnings = []
    if months.max() < SHORT[unit]:
        warnings.append(f"{start}the longest time in {column} is {time.max():g} {unit}; are they {LARGER[unit]}?")
    if months.max() > LONG_MONTHS:
        warnings.append(f"{start}the longest time in {column} is {time.max():g} {unit}; are they {SMALLER[unit]}?")
    elif months.median() > LONG_MEDIAN:
        warnings.append(f"{start}the median time in {column} is {time.median():g} {unit}; are they {SMALLER[unit]}?")
    if (time == 0).any():
        warnings.append(f"{start}{(time == 0).sum()} times of 0 in {column}, counted at half a day")
    warnings += [f"{start}{text}" for text in other_centres(time, column, centre[time.index])]
    is_whole = time % 1 == 0
    if min(is_whole.sum(), (~is_whole).sum()) >= FEW_OF_A_CENTRE:
        ratio = time[is_whole].median() / time[~is_whole].median()
        if not 1 / RATIO < ratio < RATIO:
            warnings.append(
                f"{start}{100 * is_whole.mean():.0f} % of {column} are whole numbers of median "
                f"{time[is_whole].median():g}, the others have a median of "
                f"{time[~is_whole].median():g}: were some entered in another unit?"
            )
    return warnings


def other_centres(time: pd.Series, column: str, centre: pd.Series) -> list[str]:
    """Centres whose times differ from the others' by more than a difference in follow-up, judged by the medians."""
    warnings = []
    names = sorted(set(centre))
    for name in names[:1] if len(names) == 2 else names:
        times_here = time[centre == name]
        times_elsewhere = time[centre != name]
        if min(len(times_here), len(times_elsewhere)) < FEW_OF_A_CENTRE:
            continue
        here, there = times_here.median(), times_elsewhere.median()
        if here > RATIO * there or there > RATIO * here:
            warnings.append(
                f"the median of {column} is {here:g} in centre {name!r} and {there:g} elsewhere: is it in another unit "
                f"in one of them? (1 month = {DAYS_PER_MONTH:g} days)"
            )
    return warnings


def later_deaths(table: pd.DataFrame, study: dict[str, Any], ids: pd.Series) -> list[str]:
    """Lines on competing events that another column puts later than the end of follow-up at which they are counted.

    Such columns are the time of another recorded endpoint that counts the same event, and the date of death.
    """
    warnings = []
    for name, endpoint in study["endpoints"].items():
        if endpoint["kind"] != "recorded" or "competing_value" not in endpoint or "competing_time" in endpoint:
            continue
        end = numbers(table, endpoint["time"]) * UNIT_IN_MONTHS[endpoint["unit"]]
        died = _is(table, endpoint.get("competing", endpoint["event"]), endpoint["competing_value"])
        if "competing" in endpoint:
            died &= _is(table, endpoint["event"], endpoint["censored_value"])
        for column, months in _deaths(table, study, name):
            late = died & (months - end > ROUNDED_MONTHS)
            gap = (months - end)[late].median()
            text = (
                f"endpoint {name}: the competing event is counted at {endpoint['time']}, the end of follow-up for the "
                f"event, but {column} has it later (median {gap:.1f} months); declare competing_time"
            )
            warnings += grouped(Problem(ids[row], text) for row in table.index[late])
    return warnings


def _is(table: pd.DataFrame, column: str, value: Any) -> pd.Series:
    return (as_declared(table[column], [value]) == str(value)).fillna(False).astype(bool)


def _deaths(table: pd.DataFrame, study: dict[str, Any], endpoint: str) -> list[tuple[str, pd.Series]]:
    """(column, months of an endpoint's competing event) of every column that tells it; NaN where it did not occur."""
    declared = study["endpoints"][endpoint]
    deaths = []
    for name, death_endpoint in study["endpoints"].items():
        same = death_endpoint.get("event") == declared.get("competing") or death_endpoint.get("counts_death")
        if (
            name != endpoint
            and death_endpoint["kind"] == "recorded"
            and same
            and "competing_value" not in death_endpoint
        ):
            months = numbers(table, death_endpoint["time"]) * UNIT_IN_MONTHS[death_endpoint["unit"]]
            deaths.append(
                (
                    death_endpoint["time"],
                    months.where(_is(table, death_endpoint["event"], death_endpoint["event_value"])),
                )
            )
    dates = study["clinical"].get("dates", {})
    if "death" in dates:
        start, end = (iso_days(table[dates[k]]) for k in ("t0", "death"))
        deaths.append((dates["death"], (end - start).dt.days / DAYS_PER_MONTH))
    return deaths


def horizon_warnings(horizons: list[float], times: pd.DataFrame) -> list[str]:
    """Horizons that are years rather than months, short against the follow-up. times: months, a column an endpoint."""
    longest = times.max().max() if times.size else np.nan
    if max(horizons) <= 10 and longest > 10 * max(horizons):
        said = ", ".join(f"{value:g}" for value in horizons)
        return [f"horizons_months are {said}, the longest follow-up is {longest:.0f} months; are they years?"]
    return []
