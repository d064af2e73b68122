"""Models of ordinal and categorical endpoints, fitted on training rows and frozen as JSON.

Everywhere: `level` (n,) the place of the outcome among its levels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from recur.cohort.training import Training
from recur.fit.design import designs_of, imputed_terms
from recur.fit.separation import combinations, remedy
from recur.statistics.estimate import NotEstimable
from recur.statistics.ordinal import fit_multinomial, fit_ordinal

COEFFICIENTS = ["model", "level", "term", "label", "coef", "se", "or", "lower", "upper", "p", "n", "smallest_level"]


def category_models(train: Training, settings: dict[str, Any], seed: int) -> dict[str, dict[str, Any]]:
    """name -> frozen model: `multinomial_pre` and, of an ordinal endpoint, `ordinal_pre`; the same with the terms known
    after the operation (`_post`). A model that cannot be estimated holds the reason under `failed`.
    """
    models = {}
    candidates = settings["candidates"]
    kinds = ["multinomial"]
    if settings["ordered"]:
        kinds.append("ordinal")
    for timing, terms in (("pre", candidates["pre"]), ("post", candidates["pre"] + candidates["post"])):
        if not terms or (timing == "post" and not candidates["post"]):
            continue
        imputed = imputed_terms(train, terms, settings, seed)
        _, x, columns, imputer = designs_of(train, terms, None, settings, imputed)
        for kind in kinds:
            try:
                if kind == "multinomial":
                    fitted = fit_multinomial(x, train.outcome.event)
                else:
                    fitted = fit_ordinal(x, train.outcome.event)
            except NotEstimable as error:
                fitted = {"failed": f"{error}{blame_levels(x, columns, train.outcome.event, settings['levels'])}"}
            counts = np.bincount(train.outcome.event, minlength=len(settings["levels"]))
            models[f"{kind}_{timing}"] = fitted | {
                "kind": kind, "timing": timing, "levels": [str(level) for level in settings["levels"]],
                "terms": columns, "imputer": imputer, "n": len(train.patient_id), "counts": counts.tolist(),
            }  # fmt: skip
    return models


def blame_levels(x: np.ndarray, columns: list[dict[str, Any]], level: np.ndarray, names: list[Any]) -> str:
    """Which columns (n, p) separate the outcome's levels (n,), and what to do, to follow the reason of a failed fit.

    A value of a binary column that a level has none of, numbers of a level beyond those of all others, and columns that
    are a sum of others.
    """
    reasons = []
    for j, column in enumerate(columns):
        values = np.unique(x[:, j])
        for place in np.unique(level):
            of_level = x[level == place, j]
            of_other_levels = x[level != place, j]
            if len(values) == 2 and np.ptp(of_level) == 0:
                which = "without it" if of_level[0] == values[0] else "with it"
                reasons.append(
                    f"{column['label']}: all {len(of_level)} training patients of level {names[place]} are {which}"
                )
            elif len(values) > 2 and (
                of_level.min() >= of_other_levels.max() or of_level.max() <= of_other_levels.min()
            ):
                side = "above" if of_level.min() >= of_other_levels.max() else "below"
                reasons.append(f"{column['label']}: level {names[place]} lies {side} all others")
    return remedy(reasons + combinations(x, columns))


def coefficient_rows(models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Odds ratios with Wald limits (COEFFICIENTS): of a level against the reference, or per step up the levels."""
    rows = []
    for name, model in models.items():
        if "failed" in model:
            rows.append({"model": name, "term": "", "label": f"not estimated: {model['failed']}", "n": model["n"]})
            continue
        if model["kind"] == "multinomial":
            levels = [model["levels"][j] for j in model["seen"][1:]]
        else:
            levels = ["each step up"]
        for level, coefs, errors in zip(levels, model["coef"], model["se"], strict=True):
            for column, coef, se in zip(model["terms"], coefs, errors, strict=True):
                rows.append(
                    {"model": name, "level": level, "term": column["name"], "label": column["label"], "coef": coef}
                    | {"se": se, "or": np.exp(coef), "lower": np.exp(coef - norm.ppf(0.975) * se)}
                    | {"upper": np.exp(coef + norm.ppf(0.975) * se), "p": 2 * norm.sf(abs(coef / se))}
                    | {"n": model["n"], "smallest_level": min(c for c in model["counts"] if c)}
                )
    return pd.DataFrame(rows, columns=COEFFICIENTS)
