"""What many fits have in common: how they are set, which of them failed, and which were penalised."""

from __future__ import annotations

from typing import Any

import pandas as pd

from recur.statistics.logistic import ML


def imputed_once(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with at most one stochastic imputation a fit."""
    return settings | {"missing": settings["missing"] | {"imputations": 1}}


def penalised_said(fits: pd.DataFrame, what: str) -> str:
    """In how many of the fits (a row each, column likelihood) a coefficient would have been infinite; "" if in none."""
    if "likelihood" not in fits:
        return ""
    names = fits.loc[~fits["likelihood"].isin([ML, ""]), "likelihood"].dropna()
    if len(names):
        return f"; {len(names)} of {len(fits)} {what} by penalised likelihood ({names.iloc[0]})"
    return ""
