"""A copy of the project with a study of a few patients, for the tests that run the whole workflow."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from recur.report.provenance import outputs_of, sha256_of

ROOT = Path(__file__).parents[2]
NOT_COPIED = (".git", ".venv", ".snakemake", "data", "results", "logs", "benchmarks", "*_cache", "__pycache__")


def small_project(folder: Path) -> Path:
    """Copy the project to `folder`, its config.yaml cut down to a study that takes a minute or two."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*NOT_COPIED))
    (folder / "results").mkdir()
    shutil.copy(ROOT / "results/README.md", folder / "results")
    study = yaml.safe_load((folder / "config.yaml").read_text())
    study |= {"batches": 2, "demo": {"seed": 1, "patients_per_centre": [45, 15]}}
    study["images"]["extraction"]["image_types"] = ["Original"]
    study["candidates"] = {"pre": ["ln_afp"], "post": ["mvi"]}  # at least 5 events per candidate
    quick = {"resamples": 2, "nested_folds": 3, "nested_repeats": 1, "learning_repeats": 1}
    study["analyses"] = {"recommended": study["analyses"]["recommended"] | {"internal_validation": quick}}
    (folder / "config.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder


# every table and model of the tiny study; its figures and pages add nothing to what the tests of the cluster and of
# faults look at
TABLES = ["results/demo/tables.sha256", "results/demo/validation/guards.csv"]


def tiny_project(folder: Path) -> Path:
    """The same with a study of 32 patients and one model, for tests that run the workflow again and again."""
    small_project(folder)
    study = yaml.safe_load((folder / "config.yaml").read_text())
    study |= {"batches": 2, "demo": {"seed": 1, "patients_per_centre": [24, 8]}}
    study["candidates"] = {"pre": [], "post": []}
    del study["comparators"]
    quick = {"resamples": 2, "nested_folds": 2, "nested_repeats": 1, "learning_repeats": 0}
    study["analyses"]["recommended"] |= {"ablations": False, "internal_validation": quick}
    (folder / "config.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder


def results_of(project: Path) -> dict[str, str]:
    """SHA-256 of every table, model and figure of the project's study, by name."""
    results = project / "results/demo"
    return {str(path.relative_to(results)): sha256_of(path) for path in outputs_of(results)}


def start_snakemake(project: Path, *arguments: str) -> subprocess.Popen:
    """A workflow beside the test, in a process group of its own; what it says is appended to run.log."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "snakemake", *arguments]
    with (project / "run.log").open("ab") as said:
        return subprocess.Popen(
            command,
            cwd=project,
            env=os.environ | {"PATH": path},
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def run_snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run this Python's Snakemake there; the output of a failed run is shown by pytest."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, "-m", "snakemake", *arguments]
    result = subprocess.run(
        command, cwd=project, env=os.environ | {"PATH": path}, text=True, capture_output=True, timeout=1800
    )
    print(result.stdout, result.stderr)
    return result
