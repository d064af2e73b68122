"""Phase and region ablations: the whole fit on the features of one phase or one region only, compared with all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from recur.cohort.training import Training
from recur.features.names import region_of, source_of
from recur.statistics.outcome import concordance_difference_of, concordance_of, error_of_concordance, outcome_of
from recur.vocabulary import main_model

ALL = "all"
COLUMNS = [
    "ablation", "features", "selected", "model", "cohort", "metric", "estimate", "lower", "upper", "n", "events",
    "difference", "difference_lower", "difference_upper", "p", "method",
]  # fmt: skip


def subsets(names: list[str]) -> dict[str, list[str]]:
    """Ablation -> feature names `<phase>_<region>_...`: `<phase>_only` and `<region>_only` where there are several."""
    result = {}
    for part_of in (source_of, region_of):
        parts = [part_of(name) for name in names]
        for value in dict.fromkeys(parts):
            if len(set(parts)) > 1:
                result[f"{value}_only"] = [name for name, part in zip(names, parts, strict=True) if part == value]
    return result


def restricted(train: Training, names: list[str]) -> Training:
    """The training rows with some features only."""
    place = {name: j for j, name in enumerate(train.names)}
    at = np.array([place[name] for name in names], int)
    return train._replace(features=train.features[:, at], repeats=train.repeats[:, :, at], names=list(names))


def compared_models(models: list[str]) -> list[str]:
    """Of an analysis's models those that an ablation changes and compares: the signature and the main model."""
    return [name for name in models if name in ("signature", main_model(models))]


def compared(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the models that an ablation changes and compares."""
    return settings | {"models": compared_models(settings["models"])}


def ablation_rows(
    scores: dict[str, dict[str, pd.Series]],
    patients: pd.DataFrame,
    cohort: str,
    sizes: dict[str, tuple[int, int]],
    tested: bool,
) -> pd.DataFrame:
    """Harrell's C (of a binary outcome the AUC) of every ablation and its paired difference from all features in one
    cohort (COLUMNS).

    scores: ablation -> model -> linear predictor by patient; patients: patient_id, time (or follow_up), event; sizes:
    features offered and selected. The difference has no p-value on rows that were fitted (tested False).
    """
    rows = []
    for ablation, models in scores.items():
        for model, lp in models.items():
            part = patients[patients["patient_id"].isin(lp.index)]  # a stratified model leaves out strata new to it
            outcome = outcome_of(part)
            value = concordance_of(outcome, lp.loc[part["patient_id"]].to_numpy())
            row = {"ablation": ablation, "features": sizes[ablation][0], "selected": sizes[ablation][1], "model": model}
            row |= {"cohort": cohort, "metric": outcome.metric, "n": len(part), "events": int(part["event"].sum())}
            row |= {key: value[key] for key in ("estimate", "lower", "upper")}
            row["method"] = error_of_concordance(outcome)
            if value["reason"]:
                row["method"] = f"not estimated: {value['reason']}"
            if ablation != ALL and model in scores[ALL]:
                a, b = (scores[name][model].loc[part["patient_id"]].to_numpy() for name in (ablation, ALL))
                difference = concordance_difference_of(outcome, a, b)
                row |= {"difference": difference["estimate"], "p": difference["p"] if tested else np.nan}
                row |= {"difference_lower": difference["lower"], "difference_upper": difference["upper"]}
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def nested_rows(nested: dict[str, pd.DataFrame], sizes: dict[str, tuple[int, int]], metric: str) -> pd.DataFrame:
    """Nested cross-validated C of every ablation (COLUMNS) from nested_performance tables."""
    parts = [
        table.assign(ablation=name, features=sizes[name][0], selected=sizes[name][1], metric=metric)
        for name, table in nested.items()
        if len(table)
    ]
    if parts:
        return pd.concat([pd.DataFrame(columns=COLUMNS), *parts])[COLUMNS]
    return pd.DataFrame(columns=COLUMNS)
