"""Floor 7: what missing cells do to the discrimination of frozen models. It applies, and never fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from recur.predict.model import complete_cases, linear_predictor
from recur.predict.strata import offsets
from recur.statistics.outcome import concordance_of, outcome_of
from recur.vocabulary import apparent

COLUMNS = ["model", "cohort", "metric", "horizon_months", "estimate", "lower", "upper", "n", "events", "method"]


def pooled_c(estimates: np.ndarray, errors: np.ndarray) -> dict[str, float]:
    """Rubin's rules on the logit of C: estimate, lower, upper from m estimates (m,) and standard errors (m,).

    t intervals with Rubin's degrees of freedom (1987); C on the logit scale as in Marshall et al. 2009, BMC Med Res
    Methodol 9:57.
    """
    logit = np.log(estimates / (1 - estimates))
    within = ((errors / (estimates * (1 - estimates))) ** 2).mean()
    count, centre = len(logit), logit.mean()
    between = (1 + 1 / count) * logit.var(ddof=1) if count > 1 else 0.0
    df = (count - 1) * (1 + within / between) ** 2 if between > 0 else np.inf
    half = student.ppf(0.975, df) * np.sqrt(within + between)
    low, middle, high = 1 / (1 + np.exp(-np.array([centre - half, centre, centre + half])))
    return {"estimate": float(middle), "lower": float(low), "upper": float(high)}


def missing_data_performance(
    models: dict[str, dict[str, Any]], frame: pd.DataFrame, score: np.ndarray | None, imputations: int, seed: int
) -> pd.DataFrame:
    """c_harrell_imputed and c_harrell_complete_cases (binary: auc_...) of each model with missing cells in a cohort
    (COLUMNS).

    The first draws the missing cells `imputations` times from the frozen imputer and pools by Rubin's rules; the second
    uses complete cases. c_harrell itself, elsewhere, uses the frozen conditional means. No row if nothing is missing.
    """
    rows: list[dict[str, Any]] = []
    for cohort, at in frame.groupby("cohort", sort=False).indices.items():
        part = frame.iloc[at].reset_index(drop=True)
        own = None if score is None else score[at]
        outcome, events = outcome_of(part), part["event"]
        metric = outcome.metric
        for name, model in models.items():
            known = complete_cases(model, part)
            if known.all() or np.isnan(offsets(model, part)).any():  # some have no stratum: nothing to rank them by
                continue
            base = {
                "model": name,
                "cohort": apparent(cohort),
                "horizon_months": np.nan,
            }
            drawn = []
            for number in range(imputations):
                lp = linear_predictor(model, part, own, np.random.default_rng([seed, 8, number]))
                drawn.append(concordance_of(outcome, lp))
            estimates, errors = (np.array([value[key] for value in drawn]) for key in ("estimate", "se"))
            count = int((~known).sum())
            if np.isfinite(errors).all() and ((estimates > 0) & (estimates < 1)).all():
                method = f"{imputations} imputations of {count} patients by the frozen imputer; Rubin on the logit"
                rows.append(
                    base
                    | {"metric": f"{metric}_imputed", "n": len(part), "events": int(events.sum()), "method": method}
                    | pooled_c(estimates, errors)
                )
            lp = linear_predictor(model, part, own)
            value = concordance_of(outcome.rows(known), lp[known])
            method = f"{count} patients with missing cells left out"
            if value["reason"]:
                method = f"not estimated: {value['reason']}"
            rows.append(
                base
                | {"metric": f"{metric}_complete_cases", "n": int(known.sum()), "events": int(events[known].sum())}
                | {key: value[key] for key in ("estimate", "lower", "upper")}
                | {"method": method}
            )
    return pd.DataFrame(rows, columns=COLUMNS)
