"""How long patients were followed, and whether censoring differs between cohorts or centres (docs/methods.md 3.6)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recur.statistics.ipcw import weight_summary
from recur.statistics.outcome import outcome_of
from recur.statistics.survival import follow_up, logrank

COLUMNS = ["by", "group", "n", "events", "censored", "median_months", "lower", "upper", "p_censoring"]
WEIGHTS = ["largest_weight", "effective_n"]  # of an outcome at a horizon


def follow_up_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Median follow-up by reverse Kaplan-Meier (Schemper & Smith 1996) of all patients, each cohort and each centre
    (COLUMNS); p_censoring is the log-rank test of the censoring times between the groups, on its row `(test)`.

    frame: cohort, centre, time (months), event, and competing where the endpoint has it: such patients are not
    censored. Of a binary outcome at a horizon follow_up and event: the censored are those whose event is unknown, and
    WEIGHTS say what their weights amount to in each group.
    """
    weighted = "follow_up" in frame
    if weighted:
        ended = frame["event"].notna().to_numpy(int)
        frame = frame.assign(time=frame["follow_up"])
    else:
        ended = frame["event"].to_numpy(int)
    if "competing" in frame:
        ended = np.maximum(ended, frame["competing"].to_numpy(int))
    frame = frame.assign(ended=ended, all="all")
    rows = []
    for by in ("all", "cohort", "centre"):
        groups = frame[by].fillna("").astype(str)
        if by != "all" and groups.nunique() < 2:
            continue
        for name, part in frame.groupby(groups, sort=True):
            median = follow_up(part["time"], part["ended"])
            months = (median["median"], median["lower"], median["upper"])
            size = (len(part), int(part["event"].sum()), int((1 - part["ended"]).sum()))
            extent = weight_summary(outcome_of(part).weight) if weighted else {}
            rows.append((by, name, *size, *months, np.nan, *(extent.get(key, np.nan) for key in WEIGHTS)))
        if by != "all":
            p = logrank(frame["time"], 1 - frame["ended"], groups.to_numpy())["p"]
            size = (len(frame), int(frame["event"].sum()), int((1 - ended).sum()))
            rows.append((by, "(test)", *size, np.nan, np.nan, np.nan, p, np.nan, np.nan))
    table = pd.DataFrame(rows, columns=[*COLUMNS, *WEIGHTS])
    return table if weighted else table[COLUMNS]
