"""The score of a frozen signature for any rows. Nothing is fitted."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.statistics.combat import apply_combat
from recur.statistics.scaling import scaling_of


def signature_scores(
    signature: dict[str, Any], features: np.ndarray, names: list[str], centre: np.ndarray | None = None
) -> np.ndarray:
    """Score (n,) of each row of features (n, p): the weighted sum of z-scored features, 0 for an empty signature.

    centre (n,) is needed by a harmonised signature only.
    """
    place = {name: j for j, name in enumerate(names)}
    x = features[:, [place[feature["name"]] for feature in signature["features"]]]
    x = apply_combat(signature["harmonisation"], x, centre)
    z = scaling_of(signature["features"], signature["winsorise_sd"]).apply(x)
    score = np.zeros(len(features))
    for j, feature in enumerate(signature["features"]):
        score += feature["weight"] * z[:, j]
    return score
