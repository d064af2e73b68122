"""How the main model travels to other patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from recur.report.parts import table
from recur.report.results import read
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


def transport_section(results: Path, analysis: str, performance: pd.DataFrame) -> str:
    """How the main model travels, as HTML; nothing where no cohort is held out."""
    transport = read(results, f"validation/{analysis}/transport.csv")
    if transport.empty:
        return ""
    text = "An external figure is to be read with its case-mix."
    return f"<h3>Transport</h3><p>{text}</p>" + table(transport_table(transport, main_model(performance["model"])))


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
