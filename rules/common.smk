"""Everything in Python that the rules share: the study, its settings, the lists of outputs."""

import ast
import functools
import hashlib
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
from recur.study import facts
from recur.study.endpoints import has_competing
from recur.study.file import resolve
from recur.study.settings import write_settings
from recur.tables import StudyError, write_changed
from recur.vocabulary import WORDS, analysis_words, endpoint_words, main_model, study_words

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
RESULTS = f"results/{NAME}"
OUTCOMES = {name: facts.outcome_kind(STUDY, name) for name in STUDY["analyses"]}
SURVIVAL, BINARY, CATEGORIES = (
    [n for n, kind in OUTCOMES.items() if kind == k] for k in ("survival", "binary", "categories")
)
ANALYSES = [*SURVIVAL, *BINARY]  # those with models of floors 5 and 6
# those whose patients may be censored
FOLLOWED = [n for n in ANALYSES if facts.timed_endpoint(STUDY, n)]
BATCHES = range(STUDY["batches"])
IMAGES = STUDY.get("images")
INPUT = os.path.dirname(IMAGES["manifest"]) if IMAGES else None  # of a manifest that a rule makes
IMAGES_MADE = "demo" in STUDY or "public" in STUDY  # generated or fetched by a rule
DIAGNOSTIC = STUDY.get("diagnostic", {})
VARIANTS = facts.variants(STUDY)
READERS = IMAGES["readers"] if IMAGES else ["reader1"] + ["reader2"] * bool(STUDY.get("features"))
THRESHOLDS = STUDY.get("thresholds", [0.05, 0.8])
LEARNING_CHUNK = 10  # repeats of the learning curve a job
RESAMPLE_CHUNK = 25  # resamples a job; fixed, so that cores and restarts change nothing


def one_of(names):
    """A wildcard constraint: one of the names, or nothing at all."""
    return "|".join(map(re.escape, names)) or "none"


wildcard_constraints:
    study=re.escape(NAME),
    analysis=one_of(OUTCOMES),
    reader="|".join(map(re.escape, READERS)),
    variant="|".join(VARIANTS) or "none",
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
SECTIONS = {
    "cohort": (
        "clinical",
        "endpoints",
        "split",
        "splits",
        "seed",
        "on_error",
        "used",
        "row_a_phase",
    ),
    "clinical": ("clinical",),
    "guards": (
        "analyses",
        "candidates",
        "clinical",
        "comparators",
        "endpoints",
        "features",
        "images",
        "primary",
        "split",
        "thresholds",
        "wording",
    ),
    "comparators": ("clinical", "comparators", "images"),
    "diagnostic": ("clinical", "diagnostic", "seed", "split"),
    "model_card": (
        "analyses",
        "candidates",
        "clinical",
        "endpoints",
        "features",
        "horizons_months",
        "images",
        "seed",
        "split",
        "study",
        "synthetic",
        "title",
        "wording",
    ),
}
ANALYSIS_SETTINGS = {
    "stability": ("stability",),
    "signature": (
        "stability",
        "harmonisation",
        "redundancy",
        "ranking",
        "signature",
        "second_stage",
    ),
    "models": (
        "preset",
        "second_stage",
        "missing",
        "sample_size",
        "candidates",
        "variables",
        "horizons_months",
        "models",
        "inputs",
        "cutpoint_sensitivity",
        "own_variables",
    ),
    "fit": (),  # everything
}
if workflow.is_main_process:
    try:
        write_settings(STUDY, f"{RESULTS}/settings", SECTIONS, ANALYSIS_SETTINGS)
    except OSError as error:
        sys.exit(f"ERROR: {RESULTS}: cannot be written ({error.strerror})")


def labels(wildcards):
    """The constant first columns of every table of an analysis."""
    return json.dumps(
        {
            "analysis": wildcards.analysis,
            "endpoint": STUDY["analyses"][wildcards.analysis]["endpoint"],
        }
    )


def feature_subset(analysis):
    """Phases and regions an analysis is limited to, as a JSON argument."""
    chosen = STUDY["analyses"][analysis]
    regions = {"regions": ["tumour", "rim"]} if IMAGES else {}
    return json.dumps(
        regions | {key: chosen[key] for key in ("phases", "regions") if key in chosen}
    )


def competing_death(analysis):
    return has_competing(STUDY["endpoints"][STUDY["analyses"][analysis]["endpoint"]])


def competing_endpoint(analysis):
    """The analysis's endpoint if it tells death without recurrence from censoring, else the study's first that does."""
    names = [STUDY["analyses"][analysis]["endpoint"], *STUDY["endpoints"]]
    return next((name for name in names if has_competing(STUDY["endpoints"][name])), None)


def uses_features(analysis):
    return facts.uses_features(STUDY, analysis)


def sees_out_of_fold(analysis):
    return (
        uses_features(analysis)
        and STUDY["analyses"][analysis]["second_stage"]["scores"] == "out_of_fold"
    )


def follow_up_argument(analysis):
    """The follow-up that a replicate asks of patients without the event."""
    months = STUDY["analyses"][analysis]["min_follow_up_months"]
    return f"--min-follow-up {months}" if months else ""


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


def has_ablations(analysis):
    return uses_features(analysis) and STUDY["analyses"][analysis]["ablations"]


def learning_chunks(analysis):
    count = STUDY["analyses"][analysis]["internal_validation"]["learning_repeats"]
    return range(-(-count // LEARNING_CHUNK))


def resample_chunks(analysis):
    count = STUDY["analyses"][analysis]["internal_validation"]["resamples"]
    return range(-(-count // RESAMPLE_CHUNK))


def guard_tables(analysis):
    """name -> path of the tables that the guards of an analysis look at."""
    features, split = uses_features(analysis), facts.split_of(STUDY, analysis)
    paths = {
        "performance": f"validation/{analysis}/performance.csv",
        "risks": f"validation/{analysis}/risks.csv",
        "net_benefit": f"validation/{analysis}/net_benefit.csv",
        "ranges": f"validation/{analysis}/ranges.csv",
        **({"rates": f"survival/{analysis}/rates.csv"} if analysis in SURVIVAL else {}),
        "coefficients": f"models/{analysis}/coefficients.csv",
        "diagnostics": f"models/{analysis}/diagnostics.csv",
        "frequencies": f"signature/{analysis}/selection_frequency.csv",
    }
    if features:
        paths["univariable"] = f"signature/{analysis}/univariable.csv"
        paths["weights"] = f"signature/{analysis}/weights.csv"
    if features and "features" in STUDY:
        paths["doubts"] = "features/doubts.csv"
    if IMAGES:
        paths["acquisition"] = "images/acquisition.csv"
    if split["kind"] == "random" and STUDY["analyses"][analysis]["internal_validation"]["splits"]:
        paths["splits"] = f"validation/{analysis}/splits.csv"
    return {name: f"{RESULTS}/{path}" for name, path in paths.items()}


def case_settings():
    """Settings of the regions; pad_mm is how far around them the features floor will resample."""
    extraction = IMAGES["extraction"]
    pad_mm = (extraction["pad_distance"] + 1.5) * max(extraction["spacing_mm"])
    keys = ("modality", "normalise", "n4", "lesions", "nonuniform", "mask_grid")
    keys += ("orientation", "not_hu")
    scan = {key: IMAGES[key] for key in keys}
    return IMAGES["regions"] | scan | {"on_error": STUDY["on_error"], "pad_mm": pad_mm}


def feature_settings():
    """What feature tables are made with, as JSON: extraction, phases, regions, and how images became cases."""
    keys = ("modality", "normalise", "n4", "nonuniform", "mask_grid", "lesions")
    keys += ("lesion_aggregate", "regions", "orientation")  # not_hu changes no feature
    settings = {
        "extraction": IMAGES["extraction"],
        "images": {key: IMAGES[key] for key in keys},
        "phases": IMAGES["phases"],
        "regions": facts.region_names(IMAGES),
        "pinned": IMAGES["extraction_manifest"],
        "phase_sets": facts.phase_sets(STUDY),
    }
    return json.dumps(settings, sort_keys=True)


@functools.cache
def image_fingerprints():
    """Change when an image or mask of a batch does; constant where a rule makes the images, as the DAG follows them."""
    if IMAGES_MADE:
        return ["made"] * len(BATCHES)
    return batch_fingerprints(IMAGES, len(BATCHES))


# ---------------------------------------------------------------- figures


def figure_facts(path):
    """INPUTS, CAPTION, CATEGORY, NEEDS and OUTCOME of a figure file, read without importing any plotting library."""
    facts = {}
    for node in ast.parse(Path(path).read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in (
            "INPUTS",
            "CAPTION",
            "CATEGORY",
            "NEEDS",
            "OUTCOME",
        ):
            facts[node.targets[0].id] = ast.literal_eval(node.value)
    return facts


FIGURES = {
    path.stem: figure_facts(path)
    for path in sorted(Path(workflow.basedir, "scripts/figures").glob("*.py"))
    if not path.stem.startswith("_")
}

# those of a diagnostic study are drawn once, not for every analysis
DIAGNOSTIC_FIGURES = {
    name: FIGURES.pop(name) for name in list(FIGURES) if FIGURES[name]["CATEGORY"] == "Diagnostic"
}


def diagnostic_figures():
    """The diagnostic figures that the study has something for."""
    has = {
        "scores": any(
            diagnostic_variables()[name]["kind"] != "binary" for name in DIAGNOSTIC.get("tests", [])
        ),
        "tests": bool(DIAGNOSTIC.get("tests")),
        "readers": bool(DIAGNOSTIC.get("readers")),
        "groups": bool(DIAGNOSTIC.get("groups", {}).get("endpoints")),
        "masks": bool(IMAGES) and len(READERS) > 1,
    }
    return [name for name, facts in DIAGNOSTIC_FIGURES.items() if has[facts["NEEDS"]]]


def diagnostic_variables():
    """The variables that tests and readings are: of the lesions where there is such a table."""
    return DIAGNOSTIC.get("lesions", STUDY["clinical"])["variables"]


def diagnostic_units():
    table = "lesions" if "lesions" in DIAGNOSTIC else "clinical"
    return f"{RESULTS}/cohort/{table}.csv"


def diagnostic_caption(figure):
    words = {"endpoint": DIAGNOSTIC.get("reference", "")}
    text = DIAGNOSTIC_FIGURES[figure]["CAPTION"].format(**words)
    return " ".join([text, *only(STUDY["synthetic"], "Synthetic data.")])


def diagnostic_figure_files(suffixes=("svg", "pdf", "png")):
    return [
        f"{RESULTS}/figures/diagnostic/{figure}.{suffix}"
        for figure in diagnostic_figures()
        for suffix in suffixes
    ]


# of index tests against a reference standard
TEST_TABLES = ("participants", "accuracy", "auc", "roc", "band", "comparisons")


def diagnostic_tables():
    """Tables of a diagnostic study, and of the readers' masks of any study with images."""
    names = [
        *only(
            DIAGNOSTIC.get("tests"),
            *TEST_TABLES,
        ),
        *only(DIAGNOSTIC.get("readers"), "agreement"),
        *only("groups" in DIAGNOSTIC, "groups", "curves", "weighted", "balance"),
        *only(IMAGES and len(READERS) > 1, "masks", "mask_summary"),
        *only("reported" in STUDY, "consistency"),
    ]
    return [f"{RESULTS}/diagnostic/{name}.csv" for name in names]


def diagnostic_outputs():
    page = only(diagnostic_tables(), f"{RESULTS}/report/diagnostic.html")
    sums = only(diagnostic_figures(), f"{RESULTS}/tables.sha256")
    return [*diagnostic_tables(), *diagnostic_figure_files(), *page, *sums]


def figure_words(analysis, figure):
    """What a figure calls treatment and events: those of the analysis, or of the endpoint whose competing event it shows."""
    own = analysis_words(STUDY, analysis)
    if FIGURES[figure]["NEEDS"] != "competing":
        return own
    return own | endpoint_words(STUDY, competing_endpoint(analysis))


def figure_caption(analysis, figure):
    chosen = STUDY["analyses"][analysis]
    words = WORDS[OUTCOMES[analysis]] | figure_words(analysis, figure)
    parts = [FIGURES[figure]["CAPTION"].format(endpoint=chosen["endpoint"], **words)]
    if FIGURES[figure]["NEEDS"] == "stability" and facts.is_perturbed(chosen):
        parts.append("The readings are perturbed images and masks: there is no second reader.")
    if FIGURES[figure]["NEEDS"] == "stability" and chosen["stability"]["source"] == "settings":
        parts.append("The readings are two extraction settings of the same masks, not two readers.")
    if "control" in chosen:
        how, where = chosen["control"].split("_")
        where = "from outside" if chosen["control"] == "resampled_outside" else where
        parts.append(f"Negative control: voxels {how} {where} the regions.")
    return " ".join(parts + only(STUDY["synthetic"], "Synthetic data."))


def has_figure(analysis, figure):
    """Whether an analysis has what a figure shows."""
    chosen, features = STUDY["analyses"][analysis], uses_features(analysis)
    if FIGURES[figure].get("OUTCOME", OUTCOMES[analysis]) != OUTCOMES[analysis]:
        return False
    return {
        None: True,
        "signature": features,
        "images": bool(IMAGES),
        "stability": features
        and len(facts.reading_tables(STUDY, analysis)) > 1
        and (bool(IMAGES) or facts.has_repeats(STUDY))
        and chosen["stability"]["rule"] != "none",
        "ablations": has_ablations(analysis),
        "scores": "comparators" in STUDY,
        "competing": competing_endpoint(analysis) is not None,
        "example": features and bool(IMAGES),
        "resampled": features and chosen["internal_validation"]["resamples"] > 0,
        "null": "null_study" in STUDY,
        "held_out": facts.split_of(STUDY, analysis)["kind"] != "none",
        "factors": bool(STUDY["candidates"]["pre"] + STUDY["candidates"]["post"]),
        "learning": chosen["internal_validation"]["learning_repeats"] > 0,
        "forest": features and chosen["ranking"]["kind"] != "none",
        "internal": chosen["internal_validation"]["resamples"]
        + chosen["internal_validation"]["nested_repeats"]
        > 0,
    }[FIGURES[figure]["NEEDS"]]


def figure_tables(analysis, figure):
    """name -> path of the tables a figure draws."""
    return {
        name: f"{RESULTS}/{path.format(analysis=analysis)}"
        for name, path in FIGURES[figure]["INPUTS"].items()
    }


def figure_files(suffixes=("svg", "pdf", "png")):
    return [
        f"{RESULTS}/figures/{analysis}/{figure}.{suffix}"
        for analysis in ANALYSES
        for figure in FIGURES
        if has_figure(analysis, figure)
        for suffix in suffixes
    ]


def all_figure_tables():
    """Every table that some figure of the study draws."""
    pairs = [(a, f) for a in ANALYSES for f in FIGURES if has_figure(a, f)]
    paths = {path for pair in pairs for path in figure_tables(*pair).values()}
    return sorted(
        paths | {path for f in diagnostic_figures() for path in diagnostic_inputs(f).values()}
    )


def figure_arguments(analysis, figure):
    """The arguments of scripts/figure.py for a figure of an analysis."""
    tables = [f"{name}={path}" for name, path in figure_tables(analysis, figure).items()]
    return [
        *("--figure", figure, "--input", *tables),
        *("--output-stem", f"{RESULTS}/figures/{analysis}/{figure}"),
        *("--title-note", analysis, "--outcome", OUTCOMES[analysis]),
        *("--endpoint", STUDY["analyses"][analysis]["endpoint"]),
        *("--primary-horizon", str(STUDY["horizons_months"][0])),
        *("--words", json.dumps(figure_words(analysis, figure))),
        *("--main-model", main_model(facts.model_names(STUDY, analysis))),
        *only(STUDY["synthetic"], "--synthetic"),
    ]


def diagnostic_figure_arguments(figure):
    free = {name: endpoint_words(STUDY, name)["free"] for name in STUDY["endpoints"]}
    tables = [f"{name}={path}" for name, path in diagnostic_inputs(figure).items()]
    return [
        *("--figure", figure, "--input", *tables),
        *("--output-stem", f"{RESULTS}/figures/diagnostic/{figure}"),
        *("--endpoint", DIAGNOSTIC.get("reference", "none"), "--primary-horizon", "0"),
        *("--words", json.dumps(study_words(STUDY) | {"free_of": free})),
        *only(STUDY["synthetic"], "--synthetic"),
    ]


def list_of_figures():
    """The file that lists the arguments of scripts/figure.py for every figure of the study."""
    listed = [figure_arguments(a, f) for a in ANALYSES for f in FIGURES if has_figure(a, f)]
    listed += [diagnostic_figure_arguments(f) for f in diagnostic_figures()]
    path = Path(RESULTS, "settings", "figures.json")
    if workflow.is_main_process:
        write_changed(path, json.dumps(listed, indent=1) + "\n")
    return str(path)


def captions_of_figures():
    """The file with category and caption of every figure of the analyses, for the report."""
    captions = {}
    for a in ANALYSES:
        for f in FIGURES:
            if has_figure(a, f):
                captions[f"{a}/{f}"] = [FIGURES[f]["CATEGORY"], figure_caption(a, f)]
    path = Path(RESULTS, "settings", "captions.json")
    if workflow.is_main_process:
        studies.write_changed(path, json.dumps(captions, indent=1) + "\n")
    return str(path)


def diagnostic_inputs(figure):
    """name -> path of the tables a diagnostic figure draws."""
    return {
        name: f"{RESULTS}/{path}" for name, path in DIAGNOSTIC_FIGURES[figure]["INPUTS"].items()
    }


def check_tables_unchanged():
    """Figures from stored tables: refuse tables that are missing or were edited since they were made."""
    listed = Path(RESULTS, "tables.sha256")
    if not listed.exists():
        sys.exit(
            f"ERROR: {listed}: no such file; copy the results folder with its tables, or run without from=tables"
        )
    known = dict(reversed(line.split("  ", 1)) for line in listed.read_text().splitlines())
    problems = []
    for path in all_figure_tables():
        name = str(Path(path).relative_to(RESULTS))
        if not Path(path).exists():
            problems.append(f"{path}: missing")
        elif hashlib.sha256(Path(path).read_bytes()).hexdigest() != known.get(name):
            problems.append(f"{path}: is not the table that the study made (tables.sha256)")
    if problems:
        sys.exit("\n".join(f"ERROR: {problem}" for problem in problems))


# ---------------------------------------------------------------- targets


def feature_tables():
    return only(IMAGES, *(f"{RESULTS}/features/{reader}.parquet" for reader in READERS)) or only(
        "features" in STUDY, f"{RESULTS}/features/reader1.parquet"
    )


def category_tables():
    """The tables of analyses of ordinal and categorical endpoints, which have no other floors."""
    names = ("category_performance", "category_tests", "category_risks")
    judged = [f"{RESULTS}/validation/{a}/{name}.csv" for a in CATEGORIES for name in names]
    return judged + [f"{RESULTS}/models/{a}/category_coefficients.csv" for a in CATEGORIES]


def result_tables():
    """The tables of a study that people read, over all its analyses."""
    return category_tables() + only(
        ANALYSES,
        f"{RESULTS}/cohort/patients.csv",
        f"{RESULTS}/cohort/exclusions.csv",
        f"{RESULTS}/models/coefficients.csv",
        f"{RESULTS}/validation/performance.csv",
        f"{RESULTS}/validation/comparisons.csv",
        f"{RESULTS}/validation/consistency.csv",
        f"{RESULTS}/validation/guards.csv",
        *only(SURVIVAL, *(f"{RESULTS}/survival/{name}.csv" for name in ("km", "logrank", "rates"))),
        f"{RESULTS}/tables.sha256",
        *only(
            "comparators" in STUDY,
            f"{RESULTS}/validation/scores.csv",
            f"{RESULTS}/validation/score_comparisons.csv",
        ),
        *(f"{RESULTS}/cohort/{analysis}/table1.csv" for analysis in ANALYSES),
        *(f"{RESULTS}/cohort/{analysis}/follow_up.csv" for analysis in FOLLOWED),
        *(f"{RESULTS}/models/{analysis}/sample_size.csv" for analysis in ANALYSES),
        *only(len(ANALYSES) > 1, f"{RESULTS}/validation/contrast.csv"),
        *(f"{RESULTS}/validation/{analysis}/transport.csv" for analysis in SURVIVAL),
    )


def manuscript_tables():
    return [f"{RESULTS}/report/tables/{analysis}" for analysis in ANALYSES]


def manuscript_sources(analysis):
    """The tables that recur.report.manuscript turns into those of a manuscript."""
    features = (
        "signature/{}/weights.csv",
        "signature/{}/icc.csv",
        "signature/{}/selection_frequency.csv",
    )
    names = [
        "cohort/{}/table1.csv",
        "models/{}/coefficients.csv",
        "validation/{}/performance.csv",
        "validation/{}/comparisons.csv",
        *only(
            "comparators" in STUDY,
            "validation/{}/score_comparisons.csv",
            "cohort/score_notes.csv",
        ),
        *(features if uses_features(analysis) else ()),
    ]
    return [f"{RESULTS}/{name.format(analysis)}" for name in names]


def applied_pages():
    """How the frozen models are used: the risk calculator and the model card."""
    names = ("calculator.html", "model_card.html", "model_card.md")
    return only(ANALYSES, *(f"{RESULTS}/report/{name}" for name in names))


def final_outputs():
    """What `snakemake` makes: everything of the study, and the record of what it was made from."""
    return [*study_outputs(), f"{RESULTS}/provenance.json"]


def study_outputs():
    """Tables, models, figures and the report (features and pictures, without an analysis)."""
    if "reported" in STUDY:
        return diagnostic_outputs()
    pictures = only(IMAGES, f"{RESULTS}/images/qc/index.html", f"{RESULTS}/images/acquisition.csv")
    null = only("null_study" in STUDY, f"{RESULTS}/validation/null.csv")
    checklists = only(ANALYSES, f"{RESULTS}/report/checklists.html")
    pages = [f"{RESULTS}/report/report.html", *applied_pages(), *manuscript_tables(), *checklists]
    tables = [*feature_tables(), *pictures, *result_tables()]
    return [*pages, *tables, *figure_files(), *null, *diagnostic_outputs()]


def where_results_are():
    places = {
        "report": "report/report.html",
        "risks": "report/calculator.html",
        "card": "report/model_card.html",
        "tests": "report/diagnostic.html",
        "lists": "report/checklists.html",
        "images": "images/qc/index.html",
        "figures": "figures",
        "models": "models",
        "tables": "results/README.md",
    }
    lines = [
        f"  {name:8}{RESULTS}/{path}"
        for name, path in places.items()
        if Path(RESULTS, path).exists()
    ]
    return "\n".join([f"Study {NAME}:", *lines])
