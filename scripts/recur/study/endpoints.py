"""Endpoints as a study declares them: kinds, codes, units, and what each kind needs (docs/methods.md 3.3).

Event codes: 0 censored, 1 the event, 2 the competing event of an endpoint that has one. Times count from t0, the date
of the index treatment.
"""

from __future__ import annotations

from typing import Any

DAYS_PER_MONTH = 30.4375
UNIT_IN_MONTHS = {"days": 1 / DAYS_PER_MONTH, "weeks": 7 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0}
LONGEST_MONTHS = 600  # 50 years: nobody is followed for longer
CENSORED, EVENT, COMPETING = 0, 1, 2

# Dates that each kind needs; those with a competing event have code 2.
NEEDS = {
    "time_to_recurrence": ("recurrence",),
    "recurrence_competing": ("recurrence", "death"),
    "recurrence_free_survival": ("recurrence", "death"),
    "overall_survival": ("death",),
    "early_recurrence": ("recurrence", "death"),
    "aggressive_recurrence": ("recurrence", "death"),
    "late_recurrence": ("recurrence", "death"),
}
BY_HORIZON = ("early_recurrence", "aggressive_recurrence")
WITH_COMPETING = ("recurrence_competing", "early_recurrence", "aggressive_recurrence", "late_recurrence")
WITHOUT_TIME = ("binary", "ordinal", "categorical")


def has_competing(endpoint: dict[str, Any]) -> bool:
    """Whether an endpoint of the study file tells a competing event apart from censoring."""
    return endpoint["kind"] in WITH_COMPETING or "competing_value" in endpoint


def outcome_of(endpoint: dict[str, Any]) -> str:
    """What an endpoint is to a model: `survival`, `binary`, or `categories` (ordinal and categorical ones)."""
    kinds = {"binary": "binary", "ordinal": "categories", "categorical": "categories"}
    return kinds.get(endpoint["kind"], "survival")


def is_weighted(endpoint: dict[str, Any]) -> bool:
    """Whether a binary endpoint counts who was censored before its horizon by inverse probability weights."""
    return "of" in endpoint and endpoint["censored"] == "weighted"
