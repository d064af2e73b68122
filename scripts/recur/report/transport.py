"""How the main model travels to other patients."""

from __future__ import annotations

from typing import Any

import pandas as pd
from markupsafe import Markup

from recur.report.pages import Block
from recur.report.parts import by_analysis, table
from recur.report.results import Run, of_analysis, read
from recur.vocabulary import interval, main_model, p_said

TRANSPORT = {
    "case_mix": "Case-mix",
    "membership": "Membership model",
    "overlap": "Range of the inputs",
    "truncated": "Up to the common time",
    "updating": "Updating (cross-fitted; not a validation)",
    "sample_size": "Size that a validation needs",
    "centres": "Between centres",
    "surveillance": "Months between visits",
}


def section(run: Run) -> Markup:
    """How the main model of each analysis travels; nothing where no cohort is held out."""
    return by_analysis(run, travelled)


def travelled(run: Run, analysis: str) -> list[Block]:
    performance = of_analysis(run.results, "validation/{}/performance.csv", analysis)
    transport = read(run.results, f"validation/{analysis}/transport.csv")
    if performance.empty or transport.empty:
        return []
    return [("table", table(transport_table(transport, main_model(performance["model"]))))]


def transport_cell(row: Any) -> str:
    """One cell of the table: the step chosen, a p-value, a number of patients, or an estimate with its interval."""
    if row.quantity == "closed_test_choice":
        return "chosen"
    if row.quantity.startswith(("n_for", "events_for")):
        return f"{row.estimate:.0f}"
    return p_said(row.p) if pd.notna(row.p) else interval(row)


def transport_table(transport: pd.DataFrame, model: str) -> pd.DataFrame:
    """How one model travels, as text: a row a quantity, a column a cohort."""
    mine = transport[transport["model"].fillna("").isin([model, ""])].copy()
    if mine.empty:
        return pd.DataFrame()
    for column in ("update", "method"):
        mine[column] = mine[column].fillna("")
    mine["value"] = [transport_cell(row) for row in mine.itertuples()]
    mine["topic"] = pd.Categorical(mine["topic"].map(TRANSPORT), list(TRANSPORT.values()))
    months = mine["horizon_months"].map(lambda value: "" if pd.isna(value) else f"{value:.0f} months")
    mine = mine.assign(horizon=months)
    keys = ["topic", "quantity", "update", "horizon"]
    order = {key: i for i, key in enumerate(dict.fromkeys(map(tuple, mine[keys].to_numpy())))}
    wide = mine.pivot_table(
        index=keys, columns="cohort", values="value", aggfunc="; ".join, observed=True, fill_value="", sort=False
    )
    wide = wide[list(dict.fromkeys(mine["cohort"]))].reset_index()
    places = [order[tuple(row)] for row in wide[keys].to_numpy()]
    wide["place"] = places
    return wide.sort_values(["topic", "place"]).drop(columns="place").rename_axis(columns=None).astype(str)
