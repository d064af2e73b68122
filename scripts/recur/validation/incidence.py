"""Cumulative incidence of the event and of death without it, each with the other as a competing event."""

from __future__ import annotations

import pandas as pd

from recur.statistics.competing import cumulative_incidence
from recur.study.endpoints import COMPETING, EVENT

COLUMNS = ["model", "cohort", "group", "cause", "time", "incidence", "lower", "upper", "n_risk", "n_event", "n_censor"]


def incidence_table(risks: pd.DataFrame, endpoints: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    """Aalen-Johansen curves (COLUMNS) of every model's risk groups, and of whole cohorts as model `all`.

    endpoints: <endpoint>_time and <endpoint>_event (0, 1, 2) by patient; cause: `event`, `competing`. n_censor counts
    who left without either. Patients whose endpoint is unknown are left out.
    """
    known = endpoints[["patient_id", f"{endpoint}_time", f"{endpoint}_event"]].dropna()
    known.columns = ["patient_id", "time", "state"]
    whole = risks.drop_duplicates("patient_id").assign(model="all", group="all")
    rows = pd.concat([whole, risks])[["model", "cohort", "group", "patient_id"]].merge(known, on="patient_id")
    parts = [pd.DataFrame(columns=COLUMNS)]
    for (model, cohort, group), part in rows.groupby(["model", "cohort", "group"], sort=False):
        states = {"event": part["state"] == EVENT, "competing": part["state"] == COMPETING}
        for cause, other in (("event", "competing"), ("competing", "event")):
            curve = cumulative_incidence(part["time"], states[cause].astype(int), states[other].astype(int))
            parts.append(curve.assign(model=model, cohort=cohort, group=group, cause=cause)[COLUMNS])
    return pd.concat(parts[1:] or parts, ignore_index=True)
