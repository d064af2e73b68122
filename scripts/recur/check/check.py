"""Checks of the main process before any job starts, and the plan that `snakemake check` prints."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from recur.batches import batch_of
from recur.check.candidates import horizon_findings, strata_problems, term_problems, term_warnings
from recur.check.predictors import candidate_problems, comparator_lines, feature_lines, feature_problems
from recur.cohort.clinical import Cohort, assign_all, read_cohort, read_manifest, visit_intervals, why_gone
from recur.cohort.linkage import copies, copies_line, link
from recur.cohort.published_scores import mapping_problems, score_inputs
from recur.cohort.score_formulas import vector_problems
from recur.cohort.time_units import horizon_warnings
from recur.cohort.training import TRAIN
from recur.download.store import download_plan, read_series_list
from recur.features.imported import read_features
from recur.images.inventory import FILES, inventory, read_rows
from recur.images.review import KEY, review_notes
from recur.study.endpoints import EVENT
from recur.study.file import analysis_settings, model_names, outcome_kind, timed_endpoint, uses_features, variants
from recur.study.parameters import smaller_class, too_few_events
from recur.tables import StudyError, grouped, read_table

BYTES_PER_CASE = 4_000_000  # a cropped case, its features and its picture, measured on the demo
BYTES_PER_ANALYSIS = 60_000_000
NAMED_MISSING = 10  # missing files that are named one by one
FORMATS = {
    ".nii": "NIfTI", ".gz": "NIfTI", ".nrrd": "NRRD", ".nhdr": "NRRD", ".mha": "MHA", ".mhd": "MHA", ".dcm": "DICOM",
}  # fmt: skip


def check_tables(study: dict[str, Any]) -> Cohort | None:
    """Check every input table that exists, and raise StudyError with all problems of all of them.

    Returns the cohort; None where the workflow itself generates the clinical table: such tables are checked by the job
    that first reads them.
    """
    problems: list[str] = mapping_problems(study) + (vector_problems() if "comparators" in study else [])
    made, cohort = made_tables(study), None
    for check, path in ((read_cohort, study["clinical"]["table"]), *image_check(study)):
        if not Path(path).exists():
            if path in made:
                continue
            if "public" in study:
                problems.append(f"{path}: no such file; fetch the collection's clinical table from {page(study)} to it")
                continue
        try:
            found = check(study)
            if check is read_cohort:
                cohort = found
                problems += training_problems(study, found) + candidate_problems(study, found)
        except StudyError as error:
            problems += error.problems
    for key in ("table", "repeat"):
        path = study.get("features", {}).get(key)
        if path and not Path(path).exists():
            hint = "; run the demo study first" if "null_study" in study else ""
            problems.append(f"{path}: no such file (features.{key}){hint}")
        elif path:
            problems += feature_problems(study, key, cohort)
    problems += review_problems(study)
    problems += other_problems(study, cohort) if cohort is not None else []
    if problems:
        raise StudyError(list(dict.fromkeys(problems)))
    return cohort


def other_problems(study: dict[str, Any], cohort: Cohort) -> list[str]:
    """Problems of visits, lesions and ids beside the clinical table, and of the scores computed from it."""
    patients, checks = cohort.clinical["patient_id"], []
    checks.append((visit_intervals, study, cohort.cells, patients))
    if "comparators" in study and not mapping_problems(study):
        checks.append((score_inputs, study, cohort.clinical))
    if "lesions" in study.get("diagnostic", {}):
        from recur.diagnostic.index_tests import (
            read_lesions,  # its statistics load slowly, and few studies have lesions
        )

        checks.append((read_lesions, study, patients))
    checks.append((stop_at_links, study, cohort))
    problems = []
    for check, *arguments in checks:
        try:
            check(*arguments)
        except StudyError as error:
            problems += error.problems
    return problems


def stop_at_links(study: dict[str, Any], cohort: Cohort) -> None:
    """Raise StudyError where ids of other tables are not those of the clinical table."""
    problems, _ = links(study, cohort)
    if problems:
        raise StudyError(problems)


def links(study: dict[str, Any], cohort: Cohort) -> tuple[list[str], list[str]]:
    """Problems and notes on the ids of the other tables, by cohort and, of images, phase and reader."""
    assigned = assign_all(study, cohort.clinical, cohort.cells, cohort.excluded)
    cohorts = assigned.set_index("patient_id")["cohort"]
    known = {*cohorts.index, *(str(problem.who) for problem in cohort.excluded)}
    problems, notes = [], []
    for what, others in ids_of_tables(study).items():
        found, said = link(cohorts, known, others.dropna(), what)
        problems += found
        notes += said
    return problems, notes


def feature_copies(study: dict[str, Any]) -> list[str]:
    """A line on patients of the feature table whose features are all equal."""
    path = study.get("features", {}).get("table")
    if not path or not Path(path).exists():
        return []
    features = read_features(study["features"], path).features
    return copies_line(copies(features.drop(columns="patient_id"), features["patient_id"]), path)


def ids_of_tables(study: dict[str, Any]) -> dict[str, pd.Series]:
    """The ids of every table beside the clinical one that exists; of the manifest by phase and reader."""
    tables = {}
    images, visits = study.get("images"), study["clinical"].get("visits")
    if images and Path(images["manifest"]).exists() and images["manifest"] not in made_tables(study):
        rows = read_manifest(study)
        for (phase, reader), part in rows.groupby(["phase", "reader"]):
            if phase in images["phases"] and reader in images["readers"]:
                tables[f"{images['manifest']}, {phase} of {reader}"] = part["patient_id"]
    features = study.get("features", {})
    holders = [(features.get(key), features) for key in ("table", "repeat")]
    holders += [(part["table"], part) for part in (visits, study.get("diagnostic", {}).get("lesions")) if part]
    for path, part in holders:
        column = part.get("id")
        there = path and Path(path).exists()
        table = read_table(path, part.get("sheet"), {column}.__contains__) if there else pd.DataFrame()
        if column in table:  # a table without it is told of where it is read
            tables[path] = table[column]
    return {what: ids.astype("string").str.strip() for what, ids in tables.items()}


def made_tables(study: dict[str, Any]) -> list[str]:
    """Input tables that the workflow itself makes; they are checked by the job that first reads them."""
    if "demo" in study or "null_study" in study:
        return [study["clinical"]["table"], study.get("images", {}).get("manifest")]
    return [study["images"]["manifest"]] if "public" in study else []


def page(study: dict[str, Any]) -> str:
    return f"https://doi.org/{study['public']['doi']}"


def training_problems(study: dict[str, Any], cohort: Cohort) -> list[str]:
    """What no analysis can be fitted or judged on: training patients without enough events, held-out ones without any,
    or a term that never varies.
    """
    assigned, problems = assign_all(study, cohort.clinical, cohort.cells, cohort.excluded), []
    for name, analysis in study["analyses"].items():
        own = f"cohort_{name}"
        cohorts = assigned[own if own in assigned else "cohort"]
        train = (cohorts == TRAIN).to_numpy()
        endpoint, settings = analysis["endpoint"], analysis_settings(study, name)
        problems += candidate_findings(study, cohort, cohorts, name)[0]
        if outcome_kind(study, name) == "categories":
            continue
        occurred = cohort.endpoints[f"{endpoint}_event"] == EVENT
        events = int(occurred[train].sum())
        if outcome_kind(study, name) == "binary":
            events = smaller_class(cohort.endpoints[f"{endpoint}_event"][train].dropna())
        problems += [
            f"endpoint {endpoint}: none of the {len(part)} patients of {held} has the event"
            for held, part in occurred.groupby(cohorts.to_numpy())
            if held not in (TRAIN, "") and not part.any()
        ]
        if events == 0:
            problems.append(f"endpoint {endpoint}: none of the {train.sum()} training patients has the event")
            problems += why_gone(cohort.left_out[endpoint], f"left out of endpoint {endpoint}")
        else:
            problems += too_few_events(settings, name, events, uses_features(study, name))
    return list(dict.fromkeys(problems))


def training_warnings(study: dict[str, Any], cohort: Cohort) -> list[str]:
    """What can be fitted, but not as a reader would expect: levels without events, horizons beyond the follow-up."""
    assigned, warnings = assign_all(study, cohort.clinical, cohort.cells, cohort.excluded), []
    for name in study["analyses"]:
        own = f"cohort_{name}"
        warnings += candidate_findings(study, cohort, assigned[own if own in assigned else "cohort"], name)[1]
    warnings += horizon_warnings(study["horizons_months"], cohort.endpoints.filter(regex="_time$"))
    warnings += said_of_masks(study)
    return list(dict.fromkeys(warnings))


def candidate_findings(
    study: dict[str, Any], cohort: Cohort, cohorts: pd.Series, analysis: str
) -> tuple[list[str], list[str]]:
    """Problems and warnings of the candidates, strata and horizons of an analysis (recur.check.candidates).

    cohorts: the cohort of every patient of cohort.clinical.
    """
    kind, settings = outcome_kind(study, analysis), analysis_settings(study, analysis)
    endpoint, candidates = study["analyses"][analysis]["endpoint"], settings["candidates"]
    code = cohort.endpoints[f"{endpoint}_{'level' if kind == 'categories' else 'event'}"]
    # who is censored before the horizon of a binary outcome stays in training: the others are weighted for them
    follows = cohort.endpoints.get(f"{endpoint}_follow_up")
    has_outcome = code.notna() if follows is None else follows.notna()
    train = ((cohorts == TRAIN) & has_outcome).to_numpy()
    clinical, outcome = cohort.clinical[train], code[train]
    problems, warnings = [], []
    for term in candidates["pre"] + candidates["post"]:
        own = term, settings["variables"][term], clinical[term]
        problems += term_problems(*own, analysis)
        warnings += term_warnings(*own, outcome, kind)
    problems += strata_problems(candidates["strata"], settings["variables"], clinical, outcome)
    times = cohort.endpoints.get(f"{endpoint}_time", follows)
    if times is None:
        return problems, warnings
    timed = timed_endpoint(study, analysis)
    horizons = study["horizons_months"] if kind == "survival" else [timed["horizon_months"]]
    found = horizon_findings(times, cohorts.where(has_outcome, ""), horizons, analysis)
    return problems + found[0], warnings + found[1]


def image_check(study: dict[str, Any]) -> list[tuple[Any, str]]:
    return [(read_manifest, study["images"]["manifest"])] if "images" in study else []


def review_problems(study: dict[str, Any]) -> list[str]:
    """What is wrong with the notes on the masks."""
    try:
        said_of_masks(study)
        return []
    except StudyError as error:
        return error.problems


def said_of_masks(study: dict[str, Any]) -> list[str]:
    """Lines on the notes that images.review holds (recur.images.review); StudyError where they cannot be read."""
    images = study.get("images", {})
    if not images.get("review"):
        return []
    if not Path(images["review"]).exists():
        raise StudyError(
            f"{images['review']}: no such file (images.review); save it from the page of the images, or drop the key"
        )
    manifest = None
    if Path(images["manifest"]).exists():
        manifest = read_rows(images["manifest"], images.get("sheet"))
    whole = manifest is not None and set(KEY) <= set(manifest)  # what it lacks is said elsewhere
    return review_notes(images["review"], manifest if whole else None)


def image_root(images: dict[str, Any]) -> Path:
    """The folder that the manifest's paths are relative to."""
    return Path(images["root"] or Path(images["manifest"]).parent)


def batch_fingerprints(images: dict[str, Any], batches: int) -> list[str]:
    """One a batch, which changes when an image or mask of the batch does: a changed file re-runs its batch only."""
    table = read_rows(images["manifest"], images.get("sheet"))
    rows = table.groupby(table["patient_id"].map(lambda patient: batch_of(str(patient), batches)))
    digests = [hashlib.sha256() for _ in range(batches)]
    for batch, part in rows:
        prints = inventory(part, image_root(images), part, 0, 1)["fingerprint"]
        digests[batch].update("".join(prints).encode())
    return [digest.hexdigest()[:16] for digest in digests]


def plan(study: dict[str, Any], cohort: Cohort | None) -> list[str]:
    """What a run would do, in lines for people: patients, cohorts, images, analyses, disk. cohort: of check_tables."""
    lines = [f"study {study['study']}" + (" (synthetic data)" if study["synthetic"] else "")]
    if cohort is None:
        lines.append("  its input is generated by the workflow; checked when it is made")
        return lines
    assigned = assign_all(study, cohort.clinical, cohort.cells, cohort.excluded)
    counts = assigned["cohort"].value_counts().sort_index()
    sizes = ", ".join(f"{name or 'in no part'} {n}" for name, n in counts.items())
    lines.append(f"  patients: {len(cohort.clinical)} ({sizes})")
    lines += [f"  will be excluded: {text}" for text in grouped(cohort.excluded)]
    for name, problems in cohort.left_out.items():
        lines += [f"  will be left out of endpoint {name}: {text}" for text in grouped(problems)]
    lines += [f"  note: {text}" for text in [*cohort.warnings, *training_warnings(study, cohort)]]
    lines += [f"  ids of {text}" for text in links(study, cohort)[1]]
    lines += [f"  note: {text}" for text in feature_copies(study)]
    if "public" in study:
        images, public = study["images"], study["public"]
        series = read_series_list(Path(images["manifest"]).parent / "series.csv")  # an input of rule check
        lines += [f"  {line}" for line in download_plan(public["collection"], series, Path(images["root"]))]
    size = BYTES_PER_ANALYSIS * len(study["analyses"])
    if "images" in study and not Path(study["images"]["manifest"]).exists():
        lines.append("  images: made or fetched by the workflow, and then their manifest")
    elif "images" in study:
        manifest = read_manifest(study)
        cases = manifest[manifest["patient_id"].isin(cohort.clinical["patient_id"])]
        cases = cases[cases["phase"].isin(study["images"]["phases"]) & cases["reader"].isin(study["images"]["readers"])]
        patients = cases["patient_id"].nunique()
        none = len(cohort.clinical) - patients
        lines.append(
            f"  images: {len(cases)} cases of {patients} patients in {study['batches']} batches"
            + (f"; {none} patients have none" if none else "")
        )
        lines += what_is_read(cases, study)
        size += BYTES_PER_CASE * len(cases)
    names: list[str] = []
    if "features" in study:
        said, names = feature_lines(study, cohort)
        lines += said
    if study["analyses"]:
        lines += comparator_lines(study, names)
    extra = variants(study)
    if extra:
        lines.append(f"  extracted again: {', '.join(extra)} (perturbed readings of some training patients, controls)")
    for name, analysis in study["analyses"].items():
        resamples = analysis["internal_validation"]["resamples"]
        models = ", ".join(model_names(study, name))
        lines.append(f"  analysis {name}: {analysis['endpoint']}; models {models}; {resamples} resamples")
    free = shutil.disk_usage(".").free
    lines.append(f"  disk: about {size / 1e9:.1f} GB needed, {free / 1e9:.0f} GB free")
    if size > free:
        needed = f"disk: about {size / 1e9:.1f} GB needed, only {free / 1e9:.1f} GB free"
        raise StudyError(f"{needed}; free some, or move the project to a larger disk")
    return lines


def what_is_read(cases: pd.DataFrame, study: dict[str, Any]) -> list[str]:
    """A table of the images and masks by phase and reader, and what is missing; looks at names only, reads no file."""
    images, folder = study["images"], image_root(study["images"])
    files = [column for column in FILES if column in cases]
    columns = [column for column in (*files, "series") if column in cases and cases[column].notna().any()]
    table, gone = [["phase", "reader", "cases", *(name.replace("_", " ") for name in columns), "missing files"]], []
    for phase in images["phases"]:
        for reader in images["readers"]:
            rows = cases[(cases["phase"] == phase) & (cases["reader"] == reader)]
            lost = [
                f"patient {row['patient_id']} {phase} {reader}: {column.replace('_', ' ')} {row[column]}"
                for row in rows.to_dict("records")
                for column in files
                if isinstance(row[column], str) and not (folder / row[column]).exists()
            ]
            gone += lost
            kinds = [_kinds(rows[name], None if name == "series" else folder) for name in columns]
            table.append([phase, reader, str(len(rows)), *kinds, str(len(lost))])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["    " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in table]
    lines += [f"    missing: {text}" for text in gone[:NAMED_MISSING]]
    if len(gone) > NAMED_MISSING:
        lines.append(f"    and {len(gone) - NAMED_MISSING} more are missing")
    if gone:
        stops = study["on_error"] == "stop"
        lines.append(
            "    the run will stop at them (on_error: stop)" if stops else "    their patients will be excluded"
        )
    first = cases[cases["reader"] == images["readers"][0]]
    for phase in images["phases"]:
        without = sorted(set(cases["patient_id"]) - set(first.loc[first["phase"] == phase, "patient_id"]))
        if without:
            names = ", ".join(without[:NAMED_MISSING]) + (", ..." if len(without) > NAMED_MISSING else "")
            lines.append(f"    without {phase} of {images['readers'][0]}: {len(without)} of them ({names})")
    return lines


def _kinds(cells: pd.Series, folder: Path | None) -> str:
    """`230 NIfTI, 20 DICOM folder` of a column of paths; just how many cells are filled without a folder."""
    cells = cells.dropna()
    if folder is None or cells.empty:
        return str(len(cells))
    counts = cells.map(
        lambda path: "DICOM folder" if (folder / path).is_dir() else FORMATS.get(Path(path).suffix.lower(), "other")
    ).value_counts()
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
