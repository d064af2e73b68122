"""Sample size for developing a survival or binary prediction model: the three criteria of Riley et al.

Riley et al. 2019, Stat Med 38:1276 (part II); 2020, BMJ 368:m441; as pmsampsize, type "s". The published example (30
parameters, R2 0.051, rate 0.065 a year, mean follow-up 2.07 years, horizon 2 years) gives 5143 patients, 23.07 events
per parameter, and 1039 for the second criterion. For a binary outcome type "b" (Riley 2019, part II; example: 24
parameters, R2 0.288, prevalence 0.174 gives 662 patients).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.study.parameters import column_count

SHRINKAGE = 0.9
OPTIMISM = 0.05
PRECISION = 0.05
ASSUMED_SHARE = 0.15  # of the largest possible R2, where nothing is known (Riley 2020, BMJ)
COLUMNS = [
    "scope", "n", "events", "parameters", "events_per_parameter", "r2_cs", "r2_source", "criterion", "required_n",
    "required_events", "met",
]  # fmt: skip


def largest_r2(rate: float, mean_follow_up: float) -> float:
    """Largest Cox-Snell R2 of a survival model: 1 - exp(2 lnL0 / n), lnL0 of the exponential model without terms.

    rate and mean_follow_up in one unit of time (events per person-time). The likelihood of times depends on their unit;
    as in pmsampsize it is the mean follow-up: lnL0 = E ln(E / n) - E.
    """
    events = rate * mean_follow_up  # per patient
    return 1 - np.exp(2 * (events * np.log(events) - events))


def largest_r2_binary(share: float) -> float:
    """Largest Cox-Snell R2 of a logistic model with this share of events."""
    return 1 - (share**share * (1 - share) ** (1 - share)) ** 2


def shrinkage_sizes(parameters: int, r2_cs: float, largest: float) -> tuple[float, float]:
    """Patients for a shrinkage of 0.9, and for an optimism of R2 within 0.05; largest is the largest possible R2."""
    needed = r2_cs / (r2_cs + OPTIMISM * largest)
    return tuple(parameters / ((s - 1) * np.log(1 - r2_cs / s)) for s in (SHRINKAGE, needed))


def required_sizes_binary(parameters: int, r2_cs: float, share: float) -> dict[str, float]:
    """Patients needed by each criterion of a binary outcome, the third being the overall risk known to +/- 0.05."""
    first, second = shrinkage_sizes(parameters, r2_cs, largest_r2_binary(share))
    return {
        "shrinkage 0.9": float(np.ceil(first)),
        "optimism of R2 within 0.05": float(np.ceil(second)),
        "overall risk within 0.05": float(np.ceil((1.959963984540054 / PRECISION) ** 2 * share * (1 - share))),
    }


def required_sizes(
    parameters: int, r2_cs: float, rate: float, mean_follow_up: float, horizon: float
) -> dict[str, float]:
    """Patients needed by each criterion: shrinkage of 0.9, optimism of R2 within 0.05, and the overall risk at the
    horizon known to +/- 0.05. rate, mean_follow_up and horizon in one unit of time.
    """
    first, second = shrinkage_sizes(parameters, r2_cs, largest_r2(rate, mean_follow_up))
    risk = 1 - np.exp(-rate * horizon)
    # upper limit of the rate at which the risk is PRECISION higher; its standard error is sqrt(rate / person-time)
    upper = -np.log(1 - min(risk + PRECISION, 1 - 1e-9)) / horizon
    third = rate * (1.959963984540054 / (upper - rate)) ** 2 / mean_follow_up
    return {
        "shrinkage 0.9": float(np.ceil(first)),
        "optimism of R2 within 0.05": float(np.ceil(second)),
        "risk at the horizon within 0.05": float(np.ceil(third)),
    }


def sample_size_table(
    time: np.ndarray | None,
    event: np.ndarray,
    parameters: dict[str, int],
    horizon: float,
    r2_cs: float | None,
    weight: np.ndarray | None = None,
) -> pd.DataFrame:
    """One row a scope and criterion (COLUMNS), from the training follow-up (months; None for a binary outcome).
    parameters: candidates by scope; weight: of the rows, where outcomes before a horizon are censored.

    Without a declared R2 of a prior study it is taken as 15 % of the largest possible one.
    """
    n = len(event)
    events = int(event.sum())
    share = float(np.average(event, weights=weight))
    years = 0.0 if time is None else time.mean() / 12
    if time is None:
        largest = largest_r2_binary(share)
    else:
        largest = largest_r2(share / years, years)
    r2 = ASSUMED_SHARE * largest if r2_cs is None else r2_cs
    source = "prior study, as declared"
    if r2_cs is None:
        source = "15 % of the largest possible, assumed"
    rows: list[dict[str, Any]] = []
    for scope, count in parameters.items():
        if not count:
            continue
        base = {"scope": scope, "n": n, "events": events, "parameters": count, "events_per_parameter": events / count}
        if time is None:
            sizes = required_sizes_binary(count, r2, share)
        else:
            sizes = required_sizes(count, r2, share / years, years, horizon / 12)
        for criterion, size in sizes.items():
            required = {"criterion": criterion, "required_n": size, "required_events": np.ceil(size * share)}
            rows.append(base | {"r2_cs": r2, "r2_source": source} | required | {"met": bool(n >= size)})
    return pd.DataFrame(rows, columns=COLUMNS)


def candidate_parameters(settings: dict[str, Any], features: int) -> dict[str, int]:
    """Candidate parameters (columns, not terms) by scope: the second stage, which sees one signature, and the honest
    count of everything that was looked at.
    """
    variables = settings["variables"]
    candidates = settings["candidates"]
    columns = column_count(candidates["pre"] + candidates["post"], variables, candidates.get("interactions"))
    if not features:
        return {"clinical terms": columns}
    return {"clinical terms and signature": columns + 1, "clinical terms and every feature": columns + features}
