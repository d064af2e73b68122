"""Concordance of nested cross-validation: predictions of patients by models that were fitted without them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recur.statistics.concordance import blocks, comparable_pairs
from recur.statistics.outcome import Outcome, outcome_of
from recur.statistics.risk_draws import Drawn, censoring_curve, drawn_outcomes

INTERVAL_DRAWS = 2000
NESTED_COLUMNS = ["repeat", "fold", "model", "patient_id", "lp", "time", "event", "likelihood", "failed"]


def bootstrap_concordance(
    folds: list[dict[str, np.ndarray]], outcome: Outcome, draws: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """C over the pairs within each fold, and C (draws,) of bootstrap draws of the n patients; NaN without a pair.

    folds: of each, the place (m,) of its patients among the n, their time, event (bool) and lp. C of a draw is
    w' K w / w' U w with w (n,) how often each patient was drawn, K concordant and U usable pairs: two copies of a
    patient are tied in time, so make no pair. outcome: of the n patients; of one at a horizon each draw estimates its
    own weights for censoring, and they multiply w. Pairs are made some rows at a time: memory grows
    with n, not its square.
    """
    n = len(outcome.event)
    rows = rng.integers(0, n, (draws, n))
    drawn = rows + n * np.arange(draws)[:, None]
    weight = np.bincount(drawn.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)
    weight = np.vstack([np.ones(n, np.float32), weight])  # the data as they are, then the draws
    if outcome.follow_up is not None:
        for i, at in enumerate([np.arange(n), *rows]):
            for_censoring = np.zeros(n, np.float32)
            for_censoring[at] = outcome.rows(at).weight
            weight[i] *= for_censoring
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


def bootstrap_c_competing(
    folds: list[dict[str, np.ndarray]], patients: pd.DataFrame, tau: float, draws: int, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """As bootstrap_concordance, of competing.c_competing: Wolbers' C up to tau over the pairs within each fold.

    patients (n rows): time, event, competing; folds: of each the place (m,) of its patients among them and their risk.
    Every draw has censoring weights of its own, estimated on all its patients; an event and who comes later weigh
    1 / (G(t-) G(t)), an event and an earlier competing event 1 / (G(t-) G(u-)).
    """
    n = len(patients)
    time, event, competing = (patients[name].to_numpy() for name in ("time", "event", "competing"))
    rows = rng.integers(0, n, (draws, n))
    sums, size = np.zeros((2, draws + 1)), max(1, 2**21 // n)
    for first in range(0, draws + 1, size):
        part = [np.arange(n) if i == 0 else rows[i - 1] for i in range(first, min(first + size, draws + 1))]
        weight = np.array([np.bincount(drawn, minlength=n) for drawn in part])
        outcomes = drawn_outcomes(Outcome(event, time, competing), weight)
        sums[:, first : first + len(part)] = wolbers_sums(folds, outcomes, tau)
    with np.errstate(invalid="ignore", divide="ignore"):
        c = sums[0] / sums[1]
    return float(c[0]), c[1:]


def wolbers_sums(folds: list[dict[str, np.ndarray]], outcomes: Drawn, tau: float) -> np.ndarray:
    """Weighted concordant and usable pairs (2, D) of bootstrap_c_competing in each draw."""
    before, after = (curve[:, outcomes.group] for curve in censoring_curve(outcomes))
    weight, place = outcomes.weight, np.argsort(outcomes.order)  # place: of the patients as given, in order of time
    with np.errstate(divide="ignore", invalid="ignore"):
        known = np.where(weight > 0, weight / before, 0.0)
        member = np.where((weight > 0) & (after > 0) & outcomes.event & (outcomes.time <= tau), known / after, 0.0)
    sums = np.zeros((2, len(weight)))
    for fold in folds:
        at, risk = place[fold["place"]], fold["risk"]
        time, event, competing = outcomes.time[at], outcomes.event[at], outcomes.competing[at]
        for rows in blocks(np.flatnonzero(event & (time <= tau)), len(at)):
            later = (time > time[rows, None]) | ((time == time[rows, None]) & ~event & ~competing)
            never = (time <= time[rows, None]) & competing
            agrees = 0.5 + 0.5 * np.sign(risk[rows, None] - risk)
            with_later, with_never = member[:, at[rows]], (member * after)[:, at[rows]]
            for i, score in enumerate((agrees, 1.0)):
                sums[i] += ((weight[:, at] @ (later * score).T) * with_later).sum(axis=1)
                sums[i] += ((known[:, at] @ (never * score).T) * with_never).sum(axis=1)
    return sums


def common_repeats(part: pd.DataFrame) -> list[pd.DataFrame]:
    """The nested predictions of one model, a table a repeat, of the patients whom every repeat predicts, by id."""
    repeats = [own.sort_values("patient_id") for _, own in part.groupby("repeat")]
    patients = set(repeats[0]["patient_id"]).intersection(*(own["patient_id"] for own in repeats))
    return [own[own["patient_id"].isin(patients)] for own in repeats]


def nested_c_competing(
    part: pd.DataFrame, column: str, tau: float, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Wolbers' C of the risks in `column` over the pairs within each fold of nested predictions, and of draws."""
    first = part.drop_duplicates("patient_id").sort_values("patient_id")
    ids = first["patient_id"].to_numpy()
    folds = [
        {"place": np.searchsorted(ids, held["patient_id"]), "risk": held[column].to_numpy(float)}
        for _, held in part.groupby(["repeat", "fold"])
    ]
    return bootstrap_c_competing(folds, first, tau, INTERVAL_DRAWS, rng)


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
    outcome = outcome_of(part.drop_duplicates("patient_id").set_index("patient_id").loc[patients])
    return bootstrap_concordance(folds, outcome, INTERVAL_DRAWS, rng)


def nested_difference(
    values: pd.DataFrame, a: str, b: str, seed: int, tau: float | None = None
) -> tuple[float, float, float, float, str]:
    """C of column `a` less that of `b` -> difference, lower, upper, p, method: predictions of patients not fitted on.

    values: repeat, fold, patient_id, time, event and both columns; with tau also competing, and C is Wolbers' up to
    tau. Both C over the pairs within a fold and from the same bootstrap draws of patients; centiles, and the p that
    agrees with them.
    """

    def concordance(column: str) -> tuple[float, np.ndarray]:
        rng = np.random.default_rng([seed, 6])
        return nested_concordance(values, column, rng) if tau is None else nested_c_competing(values, column, tau, rng)

    c = [concordance(column) for column in (a, b)]
    difference, draws = (ours - theirs for ours, theirs in zip(*c, strict=True))
    draws = draws[np.isfinite(draws)]
    lower, upper = np.quantile(draws, [0.025, 0.975])
    beyond = min((draws <= 0).sum(), (draws >= 0).sum())
    p = min(1.0, 2 * (1 + beyond) / (1 + len(draws)))
    method = "nested cross-validation, pairs within folds; bootstrap over patients, paired, two-sided"
    return difference, float(lower), float(upper), float(p), method
