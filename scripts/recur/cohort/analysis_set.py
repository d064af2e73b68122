"""Where floor 3 ends: patients that passed every floor, in training and held-out files that never meet again."""

from __future__ import annotations

import pandas as pd

from recur.cohort.training import COMPETING, NOT_VARIABLES, OUTCOME
from recur.features.tumour_size import burden_column
from recur.study.endpoints import COMPETING as CODE_COMPETING
from recur.study.endpoints import EVENT
from recur.tables import StudyError
from recur.vocabulary import TRAIN

MIN_EVENTS = 10  # in training
REMEDY = "let more patients train (split; `split: none` for all of them), or study an outcome that more of them reach"


def cohort_of(assigned: pd.DataFrame, analysis: str) -> pd.Series:
    """Cohort by patient id: of the analysis's split, or of the study's."""
    column = f"cohort_{analysis}"
    return assigned.set_index("patient_id")[column if column in assigned.columns else "cohort"]


def without_outcome(missing_endpoints: pd.DataFrame, endpoint: str) -> pd.DataFrame:
    """patient_id and reason of those whose outcome is not known."""
    return missing_endpoints.loc[missing_endpoints["endpoint"] == endpoint, ["patient_id", "reason"]]


def with_scores(clinical: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """The clinical table with the published scores of every patient, as score_<id>."""
    columns = {name: f"score_{name}" for name in scores.columns if name != "patient_id"}
    return clinical.merge(scores.rename(columns=columns), on="patient_id", how="left")


def followed_long_enough(endpoints: pd.DataFrame, endpoint: str, months: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Endpoints of patients with an event or at least `months` of follow-up, and the others with the reason.

    Conditions on the future (guard 19): for replicates of studies that did so, never for a study's own analysis.
    """
    time, event = endpoints[f"{endpoint}_time"], endpoints[f"{endpoint}_event"]
    short = ((event == 0) & (time < months)).to_numpy()
    reason = f"event-free and followed for less than {months:g} months, left out as published"
    return endpoints[~short], pd.DataFrame({"patient_id": endpoints["patient_id"][short], "reason": reason})


def make_analysis_set(
    assigned: pd.Series,
    clinical: pd.DataFrame,
    endpoints: pd.DataFrame,
    endpoint: str,
    features: pd.DataFrame | None,
    competing: bool = False,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients of an analysis with cohort, outcome and clinical variables, and their features, in the same order.

    The outcome is time and event; event alone of a binary endpoint; follow_up and event, empty of the censored, of one
    that weights them; level of an ordinal or categorical one.

    assigned: cohort by patient id. Only patients with a cohort, the endpoint and (if given) features are kept. With a
    `competing` event its code becomes a column of its own: to every cause-specific method it is censoring.
    """
    outcome = [name for name in OUTCOME if f"{endpoint}_{name}" in endpoints]
    needed = ["follow_up"] if "follow_up" in outcome else outcome
    outcomes = endpoints[["patient_id", *(f"{endpoint}_{name}" for name in outcome)]]
    frame = clinical.assign(cohort=clinical["patient_id"].map(assigned)).merge(outcomes, on="patient_id")
    frame = frame.rename(columns={f"{endpoint}_{name}": name for name in outcome})
    frame = frame[frame["cohort"].fillna("").ne("") & frame[needed].notna().all(axis=1)]
    if features is not None:
        frame = frame[frame["patient_id"].isin(features["patient_id"])]
    frame = frame.sort_values("patient_id", ignore_index=True)
    variables = [name for name in frame.columns if name not in NOT_VARIABLES]
    code = frame[outcome[-1]].astype("Int64" if "follow_up" in outcome else int)
    frame[outcome[-1]] = code if "level" in outcome else (code == EVENT).astype(code.dtype)
    if competing:
        outcome.append(COMPETING)
        frame[COMPETING] = (code == CODE_COMPETING).astype(int)
    ids = frame[["patient_id"]]
    values = ids if features is None else ids.merge(features, on="patient_id", how="left")
    return frame[["patient_id", "centre", "cohort", *outcome, *variables]], values


def tumour_burden(
    features: pd.DataFrame | None, clinical: pd.DataFrame, declared: dict[str, str | None], phases: list[str]
) -> pd.DataFrame:
    """patient_id with tumour_size and tumour_volume, whichever is known, for the models of size or volume alone.

    declared: size and volume, clinical variables, which go first; size_column and volume_column, columns of the feature
    table. Else the largest 3-D diameter (mm) and the mesh volume (mm3) of the tumour in the first phase of the feature
    table (`burden_column`, which stops where several could be meant). Values that are not positive count as unknown:
    the models use ln.
    """
    result = clinical[["patient_id"]].copy()
    names = [] if features is None else [name for name in features.columns if name not in ("patient_id", "reader")]
    for target in ("size", "volume"):
        if declared.get(target):
            values = clinical[declared[target]]
        else:
            column = burden_column(names, target, declared.get(f"{target}_column"), phases)
            if column is None:
                continue
            values = clinical["patient_id"].map(features.set_index("patient_id")[column])
        result[f"tumour_{target}"] = values.where(values > 0)
    return result


def split_sets(frame: pd.DataFrame, values: pd.DataFrame) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """`train` and `heldout`: rows of the cohort table and of the features."""
    train = frame["cohort"].eq(TRAIN).to_numpy()
    occurred = frame["level" if "level" in frame else "event"][train].dropna().astype(int)
    counts = occurred.value_counts()
    if "time" in frame and occurred.sum() < MIN_EVENTS:
        raise StudyError(f"only {occurred.sum()} events in training; a model needs at least {MIN_EVENTS}: {REMEDY}")
    if "time" not in frame and (len(counts) < 2 or counts.min() < MIN_EVENTS):
        sizes = ", ".join(f"{n} of level {level}" for level, n in counts.sort_index().items())
        raise StudyError(
            f"training has {sizes}; a model needs at least {MIN_EVENTS} patients of each of two or more: {REMEDY}"
        )
    return {"train": (frame[train], values[train]), "heldout": (frame[~train], values[~train])}


def without_gaps(
    sets: dict[str, tuple[pd.DataFrame, pd.DataFrame]],
) -> tuple[dict[str, tuple[pd.DataFrame, pd.DataFrame]], list[str], pd.DataFrame]:
    """The sets without missing values, the features left out, and the held-out patients left out (patient_id, reason).

    A feature that a training patient lacks is left out of the analysis, and a held-out patient who then still lacks
    one: features are never imputed. Training rows decide, held-out ones have no say.
    """
    (train, train_values), (heldout, heldout_values) = sets["train"], sets["heldout"]
    gaps = [name for name in train_values.columns if train_values[name].isna().any()]
    train_values, heldout_values = train_values.drop(columns=gaps), heldout_values.drop(columns=gaps)
    lacking = heldout_values.isna().sum(axis=1).to_numpy()
    gone = lacking > 0
    reasons = [
        f"{n} features missing that every training patient has, such as {row.index[row][0]}"
        for n, (_, row) in zip(lacking[gone], heldout_values[gone].isna().iterrows(), strict=True)
    ]
    excluded = pd.DataFrame({"patient_id": heldout_values["patient_id"][gone], "reason": reasons})
    return {"train": (train, train_values), "heldout": (heldout[~gone], heldout_values[~gone])}, gaps, excluded
