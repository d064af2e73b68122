"""What the rules share: the study, the files of its settings, input functions; what a study makes: recur.plan."""

import functools
import json
import os
import re
import shlex
import sys
import time
from glob import glob
from pathlib import Path

sys.path.insert(0, f"{workflow.basedir}/scripts")

from recur import sources
from recur.check.check import check_tables
from recur.failures import causes
from recur.images.inventory import batch_fingerprints
from recur.plan import analyses, diagnostic, figures, outputs, settings
from recur.study import facts
from recur.study.file import resolve
from recur.study.settings import write_settings
from recur.tables import StudyError, write_changed
from recur.vocabulary import study_words

STARTED = time.time()
KNOWN_OPTIONS = {"study", "from"}
unknown = set(config) - KNOWN_OPTIONS
if unknown:
    sys.exit(
        f"ERROR: --config knows {', '.join(sorted(KNOWN_OPTIONS))}, not {', '.join(sorted(unknown))}"
    )

STUDY_FILE = config.get("study", "config.yaml")
FROM_TABLES = config.get("from") == "tables"

try:
    STUDY = resolve(STUDY_FILE)
    # cluster jobs read this file too; tables are checked once, by the main process
    if workflow.is_main_process and not FROM_TABLES and "clinical" in STUDY:
        check_tables(STUDY)
except StudyError as error:
    sys.exit("\n".join(f"ERROR: {problem}" for problem in error.problems))

NAME = STUDY["study"]
RESULTS = analyses.results(STUDY)
SURVIVAL = analyses.of_kind(STUDY, "survival")
BINARY = analyses.of_kind(STUDY, "binary")
CATEGORIES = analyses.of_kind(STUDY, "categories")
ANALYSES = analyses.with_models(STUDY)
BATCHES = range(STUDY["batches"])
IMAGES = STUDY.get("images")
INPUT = os.path.dirname(IMAGES["manifest"]) if IMAGES else None  # of a manifest that a rule makes
IMAGES_MADE = "demo" in STUDY or "public" in STUDY  # generated or fetched by a rule
DIAGNOSTIC = STUDY.get("diagnostic", {})
READERS = analyses.readers(STUDY)
THRESHOLDS = STUDY.get("thresholds", [0.05, 0.8])


def one_of(names):
    """A wildcard constraint: one of the names, or nothing at all."""
    return "|".join(map(re.escape, names)) or "none"


wildcard_constraints:
    study=re.escape(NAME),
    analysis=one_of(STUDY["analyses"]),
    reader=one_of(READERS),
    variant=one_of(facts.variants(STUDY)),
    batch=r"\d+",
    chunk=r"\d+",
    figure=r"[a-z_]+",


# One thread a job: jobs run side by side, and sums keep their last digit. Compiled loops are kept for the next job.
shell.prefix(
    "set -euo pipefail; export PYTHONNOUSERSITE=1 OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1"
    " NUMBA_NUM_THREADS=1 ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=1 NUMBA_CACHE_DIR=results/cache/numba; "
)


@functools.cache
def imports(*files):
    """One small file that lists, with checksums, all of the project that the files use, directly or not.

    An edit of one of these re-runs the rule, and no other. One input instead of dozens: Snakemake looks at every input
    of every ready job each time that a job ends.
    """
    listed = Path(RESULTS, "settings", "code", f"{Path(files[0]).stem}.sha256")
    if workflow.is_main_process:
        own = sources.closure(*(Path(workflow.basedir, file) for file in files))
        lines = [f"{digest}  {path}\n" for digest, path in sources.checksums(own)]
        write_changed(listed, "".join(lines))
    return str(listed)


# Settings of single rules, from the study file, are small files among their inputs: an edit of the study file
# re-runs the rules whose own settings changed, and no other. Main process only; unchanged files keep their time.
if workflow.is_main_process:
    try:
        write_settings(STUDY, f"{RESULTS}/settings", settings.SECTIONS, settings.ANALYSIS_SETTINGS)
    except OSError as error:
        sys.exit(f"ERROR: {RESULTS}: cannot be written ({error.strerror})")


def labels(wildcards):
    """The constant first columns of every table of an analysis."""
    return analyses.labels(STUDY, wildcards.analysis)


def uses_features(analysis):
    return facts.uses_features(STUDY, analysis)


def only(condition, *values):
    """The values, or nothing: inputs that exist for some studies only."""
    return list(values) if condition else []


# Input functions and parameters that rules share. Who fits unpacks `training_rows`, and no file of a held-out patient.


def training_rows(wildcards):
    """Who fits sees these: training rows, and the repeat readings of them."""
    return {
        "cohort": "results/{study}/cohort/{analysis}/train.csv",
        "features": "results/{study}/features/{analysis}/train.parquet",
        "repeats": "results/{study}/features/{analysis}/train_repeats.parquet",
    }


def all_rows(wildcards):
    """Who applies frozen models sees these: training and held-out rows."""
    return {
        "train_cohort": "results/{study}/cohort/{analysis}/train.csv",
        "train_features": "results/{study}/features/{analysis}/train.parquet",
        "heldout_cohort": "results/{study}/cohort/{analysis}/heldout.csv",
        "heldout_features": "results/{study}/features/{analysis}/heldout.parquet",
    }


def both_cohorts(wildcards):
    """Clinical rows alone, without features."""
    return {
        "train": "results/{study}/cohort/{analysis}/train.csv",
        "heldout": "results/{study}/cohort/{analysis}/heldout.csv",
    }


def signature_file(wildcards):
    """The frozen signature of an analysis with features."""
    path = "results/{study}/signature/{analysis}/signature.json"
    return only(uses_features(wildcards.analysis), path)


def training_scores(wildcards):
    """The signature's scores of the training patients, which the models are fitted with."""
    path = "results/{study}/signature/{analysis}/training_scores.parquet"
    return only(uses_features(wildcards.analysis), path)


def option(name):
    """A parameter: the program's option of an input, which some studies do not have."""

    def given(wildcards, input):
        files = getattr(input, name)
        return [f"--{name.replace('_', '-')}", *files] if files else []

    return given


@functools.cache
def image_fingerprints():
    """Change when an image or mask of a batch does; constant where a rule makes the images, as the DAG follows them."""
    if IMAGES_MADE:
        return ["made"] * len(BATCHES)
    return batch_fingerprints(IMAGES, len(BATCHES))


def written(name, value):
    """The file of settings that holds a value as JSON."""
    path = Path(RESULTS, "settings", f"{name}.json")
    if workflow.is_main_process:
        text = json.dumps(value, indent=1)
        write_changed(path, f"{text}\n")
    return str(path)
