"""Random-effects pooling of estimates of several centres."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.stats import t


def random_effects(y: ArrayLike, se: ArrayLike) -> dict[str, float]:
    """Random-effects mean of k >= 2 estimates: estimate, se, lower, upper, predict_lower, predict_upper, tau2.

    Between-centre variance by REML, Hartung-Knapp standard error never below the usual one, t with k - 1 degrees of
    freedom for both intervals (metafor: rma(method = "REML", test = "adhoc"), predict). statsmodels' combine_effects
    has neither REML nor a prediction interval.
    """
    y, variance = np.asarray(y, float), np.asarray(se, float) ** 2

    def mean(tau2: float) -> tuple[np.ndarray, float]:
        w = 1 / (variance + tau2)
        return w, float(w @ y / w.sum())

    def deviance(tau2: float) -> float:
        w, centre = mean(tau2)
        return float(-np.log(w).sum() + np.log(w.sum()) + (w * (y - centre) ** 2).sum())

    top = 10 * max(float(np.var(y, ddof=1)), 1e-12)
    tau2 = float(minimize_scalar(deviance, bounds=(0, top), method="bounded", options={"xatol": 1e-12 * top}).x)
    tau2 = 0.0 if deviance(0.0) <= deviance(tau2) else tau2
    w, centre = mean(tau2)
    df = len(y) - 1
    spread = float(np.sqrt(max(1.0, (w * (y - centre) ** 2).sum() / df) / w.sum()))
    width = float(t.ppf(0.975, df))
    new = width * np.sqrt(tau2 + spread**2)
    limits = {"lower": centre - width * spread, "upper": centre + width * spread}
    limits |= {"predict_lower": centre - new, "predict_upper": centre + new}
    return {"estimate": centre, "se": spread, "tau2": tau2} | limits
