"""Where floor 3 ends: patients that passed every floor, in training and held-out files that never meet again."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from recur.cohort.training import TRAIN, Training
from recur.features.imported import Imported, burden_column, missing_cells, read_features
from recur.study.endpoints import COMPETING as CODE_COMPETING
from recur.study.endpoints import EVENT
from recur.tables import StudyError, read_made

CHECKED = {
    "cohort": "with sound clinical data",
    "images": "with sound images and masks",
    "features": "with all features",
    "analysis": "with all that the analysis needs",
}
MIN_EVENTS = 10  # in training
REMEDY = "let more patients train (split; `split: none` for all of them), or study an outcome that more of them reach"
# those that an endpoint has: time and event; event, with follow_up where the censored are weighted; or level
OUTCOME = ("time", "follow_up", "event", "level")
NOT_VARIABLES = ["patient_id", "centre", "cohort", *OUTCOME]
COMPETING = "competing"  # column of death without recurrence, where the endpoint has it


def import_feature_table(path: str | Path, id_column: str, pattern: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A ready feature table as (features with patient_id first, exclusions); patients with a missing value go out."""
    return complete_enough(read_features({"id": id_column, "pattern": pattern}, path), [{}])


def complete_enough(found: Imported, subsets: list[dict[str, list[str]]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The patients of a feature table who have all features of an analysis, and the others (patient_id, floor, reason).

    subsets: phases and regions of each analysis. Whoever lacks a cell of one phase stays for the analyses without it.
    """
    features, names = found.features, list(found.features.columns[1:])
    lacks = np.ones(len(features), bool)
    for subset in subsets:
        chosen = select_features(names, subset.get("phases"), subset.get("regions"))
        lacks &= features[chosen].isna().any(axis=1).to_numpy()
    gone = lacking_some(features[lacks], len(names), found.missing)
    return features[~lacks].reset_index(drop=True), gone.assign(floor="features")[["patient_id", "floor", "reason"]]


def complete_only(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients of a ready table with every feature of an analysis, and the others with the reason (patient_id, reason).

    features: patient_id and the columns that the analysis uses.
    """
    values = features.set_index("patient_id")
    lacks = values.isna().any(axis=1).to_numpy()
    missing = missing_cells(values[lacks])
    return features[~lacks], lacking_some(features[lacks], values.shape[1], missing)


def lacking_some(features: pd.DataFrame, of: int, missing: pd.DataFrame) -> pd.DataFrame:
    """patient_id and reason of patients of whom some features are not there; missing: why (recur.features.imported)."""
    own = missing[missing["patient_id"].isin(features["patient_id"])]
    first = own.drop_duplicates("patient_id").set_index("patient_id")
    count = own["patient_id"].value_counts()
    reasons = [
        f"{count[patient]} of {of} features missing ({first['feature'][patient]}: {first['reason'][patient]})"
        for patient in features["patient_id"]
    ]
    return pd.DataFrame({"patient_id": features["patient_id"].to_numpy(), "reason": reasons}, dtype=object)


def select_features(names: list[str], phases: list[str] | None, regions: list[str] | None) -> list[str]:
    """Names of the wanted phases and regions, from `<phase>_<region>_...`; None keeps all."""
    kept = [n for n in names if phases is None or n.split("_")[0] in phases]
    kept = [n for n in kept if regions is None or n.split("_")[1] in regions]
    if names and not kept:
        raise StudyError(f"no feature is of phases {phases} and regions {regions}: correct them (analyses.*)")
    return kept


def without_regions(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients that have every phase and region, and the others with the reason (patient_id, reason).

    features: patient_id and the chosen columns `<phase>_<region>_...`. A patient lacks a region if all its values are
    missing: a further rim of which clipping left too little, or that could not be extracted.
    """
    columns = [name for name in features.columns if name != "patient_id"]
    parts = pd.Series(["_".join(name.split("_")[:2]) for name in columns], index=columns)
    empty = pd.DataFrame({part: features[names.index].isna().all(axis=1) for part, names in parts.groupby(parts)})
    lacks = empty.apply(lambda row: ", ".join(row.index[row]), axis=1) if len(empty) else pd.Series(dtype=str)
    gone = lacks.ne("").to_numpy()
    excluded = pd.DataFrame({"patient_id": features["patient_id"][gone], "reason": "no features of " + lacks[gone]})
    return features[~gone], excluded


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
    own = endpoints[["patient_id", *(f"{endpoint}_{name}" for name in outcome)]]
    frame = clinical.assign(cohort=clinical["patient_id"].map(assigned)).merge(own, on="patient_id")
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
    own = frame["level" if "level" in frame else "event"][train].dropna().astype(int)
    counts = own.value_counts()
    if "time" in frame and own.sum() < MIN_EVENTS:
        raise StudyError(f"only {own.sum()} events in training; a model needs at least {MIN_EVENTS}: {REMEDY}")
    if "time" not in frame and (len(counts) < 2 or counts.min() < MIN_EVENTS):
        found = ", ".join(f"{n} of level {level}" for level, n in counts.sort_index().items())
        raise StudyError(
            f"training has {found}; a model needs at least {MIN_EVENTS} patients of each of two or more: {REMEDY}"
        )
    return {"train": (frame[train], values[train]), "heldout": (frame[~train], values[~train])}


def without_gaps(
    sets: dict[str, tuple[pd.DataFrame, pd.DataFrame]],
) -> tuple[dict[str, tuple[pd.DataFrame, pd.DataFrame]], list[str], pd.DataFrame]:
    """The sets without missing values, the features left out, and the held-out patients left out (patient_id, reason).

    A feature that a training patient lacks is left out of the analysis, and a held-out patient who then still lacks
    one: features are never imputed. Training rows decide, held-out ones have no say.
    """
    (train, values), (heldout, others) = sets["train"], sets["heldout"]
    gaps = [name for name in values.columns if values[name].isna().any()]
    values, others = values.drop(columns=gaps), others.drop(columns=gaps)
    lacking = others.isna().sum(axis=1).to_numpy()
    gone = lacking > 0
    reasons = [
        f"{n} features missing that every training patient has, such as {row.index[row][0]}"
        for n, (_, row) in zip(lacking[gone], others[gone].isna().iterrows(), strict=True)
    ]
    excluded = pd.DataFrame({"patient_id": others["patient_id"][gone], "reason": reasons})
    return {"train": (train, values), "heldout": (heldout[~gone], others[~gone])}, gaps, excluded


def read_rows(cohort: str | Path, features: str | Path) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Cohort rows, their features (n, p) and the feature names, from the files of one side of the split."""
    frame = read_made(cohort)
    values = pd.read_parquet(features)
    if not frame["patient_id"].equals(values["patient_id"].astype(frame["patient_id"].dtype)):
        raise StudyError(f"{cohort} and {features} do not list the same patients")
    names = [name for name in values.columns if name != "patient_id"]
    return frame, values[names].to_numpy(float), names


def read_training(cohort: str | Path, features: str | Path, repeats: str | Path) -> Training:
    """The training set from its three files; refuses rows that are not training rows."""
    frame, values, names = read_rows(cohort, features)
    strangers = frame.loc[frame["cohort"] != TRAIN, "patient_id"]
    again = pd.read_parquet(repeats)
    outside = sorted(set(again["patient_id"]) - set(frame["patient_id"]))
    if len(strangers) or outside:
        raise StudyError(f"{cohort}: held-out patients among the training rows: {[*strangers, *outside][:5]}")
    readers = sorted(set(again["reader"]))
    third = np.full((len(frame), len(readers), len(names)), np.nan)
    row = {patient: i for i, patient in enumerate(frame["patient_id"])}
    for k, reader in enumerate(readers):
        part = again[again["reader"] == reader]
        third[[row[patient] for patient in part["patient_id"]], k] = part[names].to_numpy(float)
    clinical, binary = frame.drop(columns=[*NOT_VARIABLES, COMPETING], errors="ignore"), "time" not in frame
    outcome, weighted = frame["level" if "level" in frame else "event"], "follow_up" in frame
    return Training(
        frame["patient_id"].to_numpy(object),
        np.zeros(len(frame)) if binary else frame["time"].to_numpy(float),
        outcome.fillna(0).to_numpy(int),
        clinical,
        values,
        third,
        names,
        competing=frame[COMPETING].to_numpy(int) if COMPETING in frame else None,
        centre=frame["centre"].fillna("").to_numpy(object),
        binary=binary,
        follow_up=frame["follow_up"].to_numpy(float) if weighted else None,
        known=outcome.notna().to_numpy() if weighted else None,
    )


def shared_images(cases: pd.DataFrame) -> list[str]:
    """Problems: images that two patients (guard 4) or two phases of a patient share, and masks that two readers share.

    Compared by content, in one order of axes, so that a copy under another name or in another format is found. One
    patient in two sets would make any validation worthless, one image under two phases doubles its features, and one
    mask under two readers makes every feature stable.
    """
    if "image_hash" not in cases:
        return []
    problems, known = [], set()
    groups = [("image", same) for _, same in cases.dropna(subset=["image_hash"]).groupby("image_hash", sort=True)]
    if "tumour_hash" in cases:  # a copy whose border was cut off
        alike = cases.dropna(subset=["tumour_hash"]).groupby("tumour_hash", sort=True)
        groups += [("tumour, voxel by voxel", same) for _, same in alike]
    for what, same in groups:
        patients = sorted(same["patient_id"].astype(str).unique())
        phases = sorted(same["phase"].astype(str).unique())
        if (*patients, *phases) in known:
            continue
        known.add((*patients, *phases))
        if len(patients) > 1:
            problems.append(
                f"patients {' and '.join(patients)} have the same {what}: are they one patient? Keep one of them"
            )
        elif len(phases) > 1:
            problems.append(f"patient {patients[0]}: {' and '.join(phases)} are one image; correct the image manifest")
    if "mask_hash" in cases:
        drawn = cases.dropna(subset=["mask_hash"])
        for (patient, phase, _), same in drawn.groupby(["patient_id", "phase", "mask_hash"], sort=True):
            readers = sorted(same["reader"].astype(str).unique())
            if len(readers) > 1:
                problems.append(
                    f"patient {patient}: {phase}: {' and '.join(readers)} have the same mask, voxel by voxel; "
                    "give each reader's own, or leave the copy out of the image manifest"
                )
    return sorted(problems)


def merge_exclusions(tables: Iterable[pd.DataFrame], cases: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """One row a patient (patient_id, floor, reason), the first reason of the uppermost floor.

    tables hold those columns; cases are the case tables of the images floor, whose excluded cases are joined.
    """
    columns, tables = ["patient_id", "floor", "reason"], list(tables)
    bad = [table[table["status"] == "excluded"].assign(floor="images") for table in cases]
    merged = pd.concat([part[columns] for part in (tables[:1] + bad + tables[1:])], ignore_index=True)
    return merged.drop_duplicates("patient_id").sort_values("patient_id", ignore_index=True)


def explain_absence(exclusions: pd.DataFrame, patients: pd.DataFrame, present: set[str]) -> pd.DataFrame:
    """The exclusions with those patients added who have no features and no reason yet: nothing was in the manifest."""
    known = present | set(exclusions["patient_id"])
    absent = patients.loc[~patients["patient_id"].isin(known), ["patient_id"]]
    absent = absent.assign(floor="images", reason="no image in the manifest")
    return pd.concat([exclusions, absent]).sort_values("patient_id", ignore_index=True)


def analysis_flow(
    flow: pd.DataFrame, exclusions: pd.DataFrame, excluded: pd.DataFrame, patients: pd.DataFrame
) -> pd.DataFrame:
    """The flow of one analysis: that of the study, then those whom the analysis alone leaves out, and its cohorts."""
    own = excluded[~excluded["patient_id"].isin(exclusions["patient_id"])].assign(floor="analysis")
    return flow_table(int(flow["n"].iloc[0]), pd.concat([exclusions, own]), patients)


def cause(reason: str) -> str:
    """A reason without the patient's own particulars, so that equal causes are counted together."""
    text = re.sub(r"^\w+ \w+: (?:mask|image|liver mask) [^:]*: ", "", reason)
    text = re.sub(r"\b\d{4}-\d{2}-\d{2}\b ?", "", text.split(";")[0])
    head, _, detail = text.partition(": ")
    return re.sub(r"\s+", " ", head if re.search(r"\d", detail) else text).strip()


def flow_table(total: int, exclusions: pd.DataFrame, patients: pd.DataFrame) -> pd.DataFrame:
    """Patient flow: order, step, n, excluded, reason; one row a reason, then one a cohort."""
    rows = [("patients in the clinical table", total, 0, "")]
    left = total
    for floor in CHECKED:
        part = exclusions[exclusions["floor"] == floor]
        if part.empty:
            continue
        left -= part["patient_id"].nunique()
        reasons = part["reason"].map(cause).value_counts(sort=True)
        text = "; ".join(f"{reason} (n = {n})" for reason, n in sorted(reasons.items(), key=lambda x: (-x[1], x[0])))
        rows.append((CHECKED[floor], left, part["patient_id"].nunique(), text))
    rows += [(cohort, int(n), 0, "") for cohort, n in patients["cohort"].value_counts().sort_index().items() if cohort]
    table = pd.DataFrame(rows, columns=["step", "n", "excluded", "reason"])
    table.insert(0, "order", range(1, len(table) + 1))
    return table
