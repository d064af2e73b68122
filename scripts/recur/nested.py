"""Concordance of nested cross-validation: predictions of patients by models that were fitted without them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recur.discrimination import blocks
from recur.ranking import comparable_pairs
from recur.survival import censoring_weights

INTERVAL_DRAWS = 2000
NESTED_COLUMNS = ["repeat", "fold", "model", "patient_id", "lp", "time", "event", "failed"]


def bootstrap_concordance(
    folds: list[dict[str, np.ndarray]],
    n: int,
    draws: int,
    rng: np.random.Generator,
    horizon: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[float, np.ndarray]:
    """C over the pairs within each fold, and C (draws,) of bootstrap draws of the n patients; NaN without a pair.

    folds: of each, the place (m,) of its patients among the n, their time, event (bool) and lp. C of a draw is
    w' K w / w' U w with w (n,) how often each patient was drawn, K concordant and U usable pairs: two copies of a
    patient are tied in time, so make no pair. horizon: follow_up (n,) and known (n,) of an outcome at a horizon: each
    draw estimates its own weights for censoring, and they multiply w. Pairs are made some rows at a time: memory grows
    with n, not its square.
    """
    rows = rng.integers(0, n, (draws, n))
    drawn = rows + n * np.arange(draws)[:, None]
    weight = np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)
    weight = np.vstack([np.ones(n, np.float32), weight])  # the data as they are, then the draws
    if horizon is not None:
        follow_up, known = horizon
        for i, at in enumerate([np.arange(n), *rows]):
            own = np.zeros(n, np.float32)
            own[at] = censoring_weights(follow_up[at], known[at])
            weight[i] *= own
    sums = np.zeros((2, draws + 1))
    for fold in folds:
        time, event, lp, inside = fold["time"], fold["event"], fold["lp"], weight[:, fold["place"]]
        for events in blocks(np.flatnonzero(event), len(time)):
            pairs = comparable_pairs(time, event, events)
            score = pairs * (0.5 + 0.5 * np.sign(lp[events, None] - lp))
            for i, counts in enumerate((score, pairs)):
                # without weights half-integers whose sums stay far below 2^23: exact in single precision
                sums[i] += ((inside @ counts.T.astype(np.float32)) * inside[:, events]).sum(axis=1, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        c = sums[0] / sums[1]
    return float(c[0]), c[1:]


def nested_concordance(part: pd.DataFrame, column: str, rng: np.random.Generator) -> tuple[float, np.ndarray]:
    """C of `column` over the pairs within each fold of NESTED_COLUMNS rows, and C of bootstrap draws of patients."""
    patients = np.unique(part["patient_id"])
    folds = [
        {
            "place": np.searchsorted(patients, held["patient_id"]),
            "time": held["time"].to_numpy(float),
            "event": held["event"].eq(1).to_numpy(),
            "lp": held[column].to_numpy(float),
        }
        for _, held in part.groupby(["repeat", "fold"])
    ]
    horizon = None
    if "follow_up" in part:
        own = part.drop_duplicates("patient_id").set_index("patient_id").loc[patients]
        horizon = own["follow_up"].to_numpy(float), own["event"].notna().to_numpy()
    return bootstrap_concordance(folds, len(patients), INTERVAL_DRAWS, rng, horizon)


def nested_difference(values: pd.DataFrame, a: str, b: str, seed: int) -> tuple[float, float, float, float, str]:
    """C of column `a` less that of `b` -> difference, lower, upper, p, method: predictions of patients not fitted on.

    values: repeat, fold, patient_id, time, event and both columns. Both C over the pairs within a fold and from the
    same bootstrap draws of patients; centiles, and the p that agrees with them.
    """
    c = [nested_concordance(values, column, np.random.default_rng([seed, 6])) for column in (a, b)]
    difference, draws = (ours - theirs for ours, theirs in zip(*c, strict=True))
    draws = draws[np.isfinite(draws)]
    lower, upper = np.quantile(draws, [0.025, 0.975])
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * (1 + beyond) / (1 + len(draws)))
    method = "nested cross-validation, pairs within folds; bootstrap over patients, paired, two-sided"
    return difference, float(lower), float(upper), float(p), method
