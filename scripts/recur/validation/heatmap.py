"""Training patients and features in clusters, with what is known of the patients: the numbers of the heatmap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from recur.study.coding import input_label, levels_of

MOST_FEATURES = 60
MOST_PATIENTS = 400  # more would not be seen as columns of a page
LIMIT_SD = 3.0


def shown_features(path: pd.DataFrame, weights: pd.DataFrame) -> list[str]:
    """Features of the signature, then those that enter the LASSO path, earliest first; at most MOST_FEATURES."""
    entered = path[path["coef"] != 0].groupby("feature")["lambda"].max() if len(path) else pd.Series(dtype=float)
    entered = entered.sort_values(ascending=False, kind="stable").index
    own = weights["feature"][weights["weight"].abs().sort_values(ascending=False, kind="stable").index]
    return list(dict.fromkeys([*own, *entered]))[:MOST_FEATURES]


def heatmap(ids: list[str], x: np.ndarray, names: list[str], seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(values, clusters) of features x (n, p) of training patients.

    values: feature, patient_id, z (SDs from the training mean, cut at LIMIT_SD), in the order of the leaves of both
    trees. clusters: axis (`feature`, `patient`), left, right, height, size, one merge a row; leaf i is the i-th feature
    or patient of `values`, and n + k the k-th merge. Average linkage; 1 - |Spearman's rho| between features, Euclidean
    distance between patients. Of more than MOST_PATIENTS a random part is shown, from the seed.
    """
    keep = np.flatnonzero((x.std(axis=0) > 0) & np.isfinite(x).all(axis=0)) if len(x) else np.zeros(0, int)
    names, x = [names[j] for j in keep], x[:, keep]
    rows = np.arange(len(x))
    if len(rows) > MOST_PATIENTS:
        rows = np.sort(np.random.default_rng([seed, 11]).choice(rows, MOST_PATIENTS, replace=False))
    z = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -LIMIT_SD, LIMIT_SD)[rows]
    z = z[:, (z.std(axis=0) > 0)] if len(z) else z
    rho = np.atleast_2d(np.corrcoef(rankdata(z, axis=0).T)) if z.size else np.ones((len(names), len(names)))
    between = np.clip(1 - np.abs(rho), 0, None)[np.triu_indices(len(rho), 1)]
    features, feature_merges = tree(between, z.shape[1])
    patients, patient_merges = tree(pdist(z) if z.size else np.zeros(0), len(rows) if z.size else 0)
    values = [(names[j], ids[rows[i]], z[i, j]) for j in features for i in patients]
    merges = [("feature", *row) for row in feature_merges] + [("patient", *row) for row in patient_merges]
    return (
        pd.DataFrame(values, columns=["feature", "patient_id", "z"]),
        pd.DataFrame(merges, columns=["axis", "left", "right", "height", "size"]),
    )


def tree(distances: np.ndarray, n: int) -> tuple[list[int], list[list[float]]]:
    """The leaves in their order, neighbours as close as can be, and the merges of the leaves so numbered."""
    if n < 2:
        return list(range(n)), []
    merges = linkage(distances, "average", optimal_ordering=True)
    order = leaves_list(merges).tolist()
    place = {leaf: i for i, leaf in enumerate(order)}
    merges[:, :2] = [[place.get(int(k), int(k)) for k in row] for row in merges[:, :2]]
    return order, merges.tolist()


def annotation(frame: pd.DataFrame, groups: pd.DataFrame, terms: list[str], variables: dict[str, Any]) -> pd.DataFrame:
    """What is known of the patients, one cell a row: patient_id, name, label, value, text (level).

    value: the code of a level, or the number after its transform. groups: patient_id and group (of the main model).
    A missing value has no row.
    """
    own = frame[["patient_id", "event", *terms]].merge(groups, on="patient_id", how="left")
    rows = [
        (p, "event", "Event", code, "yes" if code else "no")
        for p, code in zip(own["patient_id"], own["event"], strict=True)
        if pd.notna(code)
    ]
    places = {group: i for i, group in enumerate(("low", "high"))}
    rows += [
        (p, "group", "Risk group", places[group], group)
        for p, group in zip(own["patient_id"], own["group"], strict=True)
        if group in places
    ]
    for term in terms:
        variable = variables[term]
        label, levels = variable["label"] or term, levels_of(variable)
        levels = ["no", "yes"] if levels == ["0", "1"] else levels
        unit = f" ({variable['unit']})" if variable["unit"] and not levels else ""
        label = f"{input_label(label, variable['transform'])}{unit}"
        rows += [
            (
                p,
                term,
                label,
                np.log(value) if variable["transform"] == "ln" else value,
                levels[int(value)] if levels else "",
            )
            for p, value in zip(own["patient_id"], own[term], strict=True)
            if pd.notna(value)
        ]
    return pd.DataFrame(rows, columns=["patient_id", "name", "label", "value", "text"])
