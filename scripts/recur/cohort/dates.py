"""Dates of each patient, checked against each other before any endpoint is derived (docs/methods.md 3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd

from recur.study.coding import MEANS_UNKNOWN, SIGNS, is_flagged
from recur.tables import AT_MIDNIGHT, Problem

# Names of the columns a study may declare under clinical.dates; `after` t0 but for scan and afp.
OUTCOMES = ("recurrence", "death", "last_contact", "last_imaging", "transplant")
PREOPERATIVE = ("scan", "afp")
NAMES = ("t0", *OUTCOMES, *PREOPERATIVE)

ISO = "yyyy-mm-dd"
# parts of a declared way to write dates: a regular expression, and Python's directive
DATE_PARTS = {
    "yyyy": ("[0-9]{4}", "%Y"),
    "mmm": ("[A-Za-z]{3}", "%b"),
    "mm": ("[0-9]{1,2}", "%m"),
    "dd": ("[0-9]{1,2}", "%d"),
}
LONGEST_YEARS = 50
LONGEST = pd.Timedelta(days=LONGEST_YEARS * 365.25)  # nobody is followed for longer
YEARS = (1900, 2100)  # others are typing errors or another calendar
PLACEHOLDERS = ("1900-01-01", "1970-01-01", "9999-12-31", "1899-12-30", "2099-12-31")
EARLY_RECURRENCE_DAYS = 30  # earlier: residual disease?
PERIOPERATIVE_DAYS = 90
SCAN_DAYS = (30, 60)  # older scans are noted, then warned of
LONG_GAP_DAYS = 8 * 30.4375  # between images around a recurrence
PILE_UP = 0.2


def parse_dates(
    table: pd.DataFrame, dates: dict[str, str], id_column: str
) -> tuple[pd.DataFrame, list[Problem], list[str]]:
    """ISO dates of each patient as datetime64 (columns NAMES, NaT where absent or missing), problems by the cell of
    `id_column`, and warnings. A problem names column and value.
    """
    parsed = pd.DataFrame(index=table.index)
    problems: list[Problem] = []
    today = pd.Timestamp.now().normalize()
    for name in NAMES:
        column = dates.get(name)
        if column is None:
            parsed[name] = pd.Series(pd.NaT, index=table.index, dtype="datetime64[ns]")
            continue
        text = table[column]
        days = iso_days(text)
        parsed[name] = days.where(days.dt.year.between(*YEARS)).astype("datetime64[ns]")
        parsed.loc[text.isin(PLACEHOLDERS), name] = pd.NaT
        for row in table.index[text.notna() & parsed[name].isna()]:
            why, *cells = why_no_date(str(text[row]))
            problems.append(Problem(table.at[row, id_column], f"{column}: {why}", tuple(cells)))
    # dictionaries: a thousand times as fast to look into as rows of a frame
    for patient, days, cells in zip(table[id_column], parsed.to_dict("records"), table.to_dict("records"), strict=True):
        problems += [Problem(patient, text, tuple(found)) for text, *found in contradictions(days, cells, dates, today)]
    return parsed, problems, date_warnings(parsed, dates)


def iso_days(text: pd.Series) -> pd.Series:
    """Cells written yyyy-mm-dd as days, NaT for others; pandas alone reads `now` and `today` as the day of the run."""
    text = text.astype("string").str.strip()
    return pd.to_datetime(
        text.where(text.str.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")), format="%Y-%m-%d", errors="coerce"
    )


def as_iso(cells: pd.Series, written: str) -> pd.Series:
    """Cells written as `written` says (dd, mm, mmm, yyyy and what stands between) as yyyy-mm-dd; others as they are."""
    if written == ISO:
        return cells
    pattern = re.escape(written)
    code = written
    for name, (form, directive) in DATE_PARTS.items():
        pattern, code = pattern.replace(name, form, 1), code.replace(name, directive, 1)
    if written.isalpha():  # nothing stands between: 1112015 could be two days
        pattern = pattern.replace("{1,2}", "{2}")
    text = cells.astype("string").str.strip().str.translate(SIGNS).str.replace(AT_MIDNIGHT, "", regex=True)
    days = pd.to_datetime(text.where(text.str.fullmatch(pattern)), format=code, errors="coerce")
    return days.dt.strftime("%Y-%m-%d").astype("string").fillna(cells)


def why_no_date(text: str) -> tuple[Any, ...]:
    """What is wrong with a cell that is not a usable ISO date, as a person would say it, and what fills its `{}`."""
    wanted = "write yyyy-mm-dd, or declare date_format"
    if text in PLACEHOLDERS:
        return "{} is a placeholder, not a date; leave the cell empty", text
    if re.fullmatch(r"\d{5}(\.\d+)?", text):
        day = pd.Timestamp("1899-12-30") + pd.Timedelta(days=int(float(text)))
        return f"{{}} looks like a spreadsheet's serial number ({{}}?); {wanted}", text, day
    parts = re.fullmatch(r"(\d{1,2})[./-](\d{1,2})[./-](\d{2}|\d{4})", text)
    if parts and len(parts[3]) == 2:
        return f"{{}} has a year of two digits; {wanted}", text
    if parts and int(parts[1]) <= 12 and int(parts[2]) <= 12 and parts[1] != parts[2]:
        return f"{{}} can be read day first or month first; {wanted}", text
    year = re.fullmatch(r"(\d{4})-\d{2}-\d{2}", text)
    if year and not YEARS[0] <= int(year[1]) <= YEARS[1]:
        return f"{{}} is not in {YEARS[0]} to {YEARS[1]}; a typing error, or another calendar?", text
    if text.lower() in MEANS_UNKNOWN:
        return "{} is not a date written yyyy-mm-dd; leave the cell empty, or declare it under missing_values", text
    if re.search(r"\d:\d", text):
        return "{} is not a date written yyyy-mm-dd: it has a time of day; leave the time out", text
    return f"{{}} is not a date written yyyy-mm-dd; {wanted}", text


def contradictions(
    parsed: dict[str, Any], cells: dict[str, Any], dates: dict[str, str], today: pd.Timestamp
) -> Iterator[tuple[Any, ...]]:
    """Every contradiction between the dates of one patient, with its columns, and the values that fill its `{}`."""

    def after(first: str, second: str) -> bool:
        return pd.notna(parsed[first]) and pd.notna(parsed[second]) and parsed[first] > parsed[second]

    def against(name: str, relation: str, other: str) -> tuple[Any, ...]:
        return f"{dates[name]}: {{}} is {relation} {dates[other]} {{}}", parsed[name], parsed[other]

    if pd.isna(parsed["t0"]):
        if pd.isna(cells[dates["t0"]]):
            yield (f"{dates['t0']}: missing",)
        return
    for limit in ("cutoff", "export"):
        for name in ("t0",) if limit == "cutoff" else NAMES:
            if dates.get(limit) and pd.notna(parsed[name]) and parsed[name] > pd.Timestamp(dates[limit]):
                what = "the cutoff" if limit == "cutoff" else "the export of the data on"
                yield f"{dates[name]}: {{}} is after {what} {dates[limit]}", parsed[name]
    for name in NAMES:
        if pd.notna(parsed[name]) and parsed[name] > today:
            yield f"{dates[name]}: {{}} lies in the future", parsed[name]
    for name in OUTCOMES:
        if after("t0", name):
            yield against(name, "before", "t0")
        if pd.notna(parsed[name]) and parsed[name] - parsed["t0"] > LONGEST:
            yield against(name, f"more than {LONGEST_YEARS} years after", "t0")
    for name in PREOPERATIVE:
        if after(name, "t0"):
            yield against(name, "after", "t0")
    for first, second in (
        ("recurrence", "death"),
        ("last_contact", "death"),
        ("last_imaging", "death"),
        ("transplant", "death"),
        ("last_imaging", "recurrence"),
    ):
        if after(first, second):
            yield against(first, "after", second)
    if pd.isna(parsed["last_contact"]) and pd.isna(parsed["death"]) and pd.isna(cells[dates["last_contact"]]):
        yield (f"{dates['last_contact']}: missing, and no death is recorded",)
    for name in ("recurrence", "death"):
        flag = dates.get(f"{name}_flag")
        if flag is None or name not in dates or pd.isna(cells[flag]):
            continue
        flagged = is_flagged(cells[flag])
        if flagged and pd.isna(cells[dates[name]]):
            yield f"{flag}: {{}}, but {dates[name]} is empty", cells[flag]
        if not flagged and pd.notna(parsed[name]):
            yield f"{flag}: {{}}, but {dates[name]} is {{}}", cells[flag], parsed[name]


def date_warnings(parsed: pd.DataFrame, dates: dict[str, str]) -> list[str]:
    """What is unusual but possible, as counts; patients stay."""
    days = {name: (parsed[name] - parsed["t0"]).dt.days for name in NAMES if name != "t0"}
    gap = (parsed["recurrence"] - parsed["last_imaging"]).dt.days
    counts = {
        "events or contacts on the day of treatment, counted at half a day": sum(
            (days[name] == 0).sum() for name in ("recurrence", "death", "last_contact")
        ),
        f"recurrences within {EARLY_RECURRENCE_DAYS} days (residual disease?)": (
            days["recurrence"] < EARLY_RECURRENCE_DAYS
        ).sum(),
        f"deaths within {PERIOPERATIVE_DAYS} days (perioperative; kept)": (days["death"] <= PERIOPERATIVE_DAYS).sum(),
        f"scans more than {SCAN_DAYS[1]} days before treatment": (days["scan"] < -SCAN_DAYS[1]).sum(),
        f"scans {SCAN_DAYS[0]} to {SCAN_DAYS[1]} days before treatment": (
            days["scan"].between(-SCAN_DAYS[1], -SCAN_DAYS[0], inclusive="left")
        ).sum(),
        f"AFP more than {SCAN_DAYS[0]} days before treatment": (days["afp"] < -SCAN_DAYS[0]).sum(),
        "recurrences seen more than 8 months after the last image without (interval censoring)": (
            gap > LONG_GAP_DAYS
        ).sum(),
        "recurrences after the last contact": (parsed["recurrence"] > parsed["last_contact"]).sum(),
        "liver transplantations after treatment (time to recurrence is censored there)": parsed["transplant"]
        .notna()
        .sum(),
    }
    warnings = [f"{count} {what}" for what, count in counts.items() if count]
    if dates.get("cutoff"):
        end = pd.Timestamp(dates["cutoff"])
        late = (parsed[["recurrence", "death"]] > end).any(axis=1).sum()
        if late:
            warnings.append(f"{late} patients have events after {dates['cutoff']}; they are censored at it")
        share = (parsed["last_contact"] == end).mean()
        if share > PILE_UP:
            warnings.append(
                f"{100 * share:.0f} % of the last contacts fall on the cutoff {dates['cutoff']}: was the status "
                "carried forward without a visit?"
            )
    return warnings
