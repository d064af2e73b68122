"""How far in time a frozen model says a risk: as far as enough training patients were followed, and no further."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recur.statistics.estimate import MIN_AT_RISK


def last_month(model: Mapping[str, Any]) -> float:
    """The time (months) up to which a model, or the level of a stratum, gives risks."""
    if "supported_months" in model:
        return model["supported_months"]
    return model["follow_up_months"]


def why_no_risk(model: Mapping[str, Any], months: float) -> str:
    """Why a model, or the level of a stratum, has no risk at a time; empty where it has one."""
    if months <= last_month(model):
        return ""
    if months > model["follow_up_months"]:
        return f"training follow-up ends at {model['follow_up_months']:.1f}"
    end = ""
    if model["supported_months"]:
        end = f", the tenth last until {model['supported_months']:.1f}"
    return f"fewer than {MIN_AT_RISK} training patients were followed so long{end}"
