"""Two analyses of one endpoint, side by side on the patients that neither of them was trained on."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from recur.statistics.outcome import concordance_difference_of, concordance_of, error_of_concordance, outcome_of
from recur.vocabulary import TRAIN

COLUMNS = [
    "endpoint", "analysis_a", "analysis_b", "model", "patients", "metric", "estimate_a", "lower_a", "upper_a",
    "estimate_b", "lower_b", "upper_b", "difference", "lower", "upper", "p", "n", "events", "method",
]  # fmt: skip


def contrast(risks: dict[str, pd.DataFrame], external: set[str] | None = None) -> pd.DataFrame:
    """Harrell's C (binary: AUC) of each model of two analyses of the same endpoint on their common held-out patients
    (COLUMNS).

    risks: tables of validation/<analysis>/risks.csv by analysis. external: patients who are external to the study's own
    split; with it those rows are given as well (patients `external`), beside all common held-out ones (`held out`).
    """
    rows = []
    for a, b in combinations(risks, 2):
        first, second = risks[a], risks[b]
        endpoint = first["endpoint"].iloc[0]
        if endpoint != second["endpoint"].iloc[0]:
            continue
        models = [name for name in dict.fromkeys(first["model"]) if name in set(second["model"])]
        for model in models:
            own, other = (
                part[(part["model"] == model) & (part["cohort"] != TRAIN)].set_index("patient_id")
                for part in (first, second)
            )
            common = sorted(set(own.index) & set(other.index))
            groups = {"held out in both": common}
            if external is not None:
                chosen = [patient for patient in common if patient in external]
                groups |= {"external, held out in both": chosen} if len(chosen) < len(common) else {}
            for label, patients in groups.items():
                rows.append(
                    {"endpoint": endpoint, "analysis_a": a, "analysis_b": b, "model": model, "patients": label}
                    | compare(own.loc[patients], other.loc[patients])
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def compare(a: pd.DataFrame, b: pd.DataFrame) -> dict:
    """C of both linear predictors on the same rows, and their paired difference."""
    outcome = outcome_of(a)
    result = {"metric": outcome.metric, "n": len(a), "events": int(a["event"].sum()) if len(a) else 0}
    if result["events"] < 2:
        return result | {"method": "not estimated: fewer than two events among the common held-out patients"}
    for name, part in (("a", a), ("b", b)):
        value = concordance_of(outcome, part["lp"].to_numpy())
        result |= {f"{key}_{name}": value[key] for key in ("estimate", "lower", "upper")}
    found = concordance_difference_of(outcome, a["lp"].to_numpy(), b["lp"].to_numpy())
    result |= {"difference": found["estimate"]} | {key: found[key] for key in ("lower", "upper", "p")}
    reason = found["reason"] if not np.isfinite(found["estimate"]) else ""
    method = f"a less b; {error_of_concordance(outcome)}, paired, two-sided"
    return result | {"method": reason or method}
