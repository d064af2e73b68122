"""Run a finished study again from its inputs, in a folder of its own with an empty cache, and compare every table,
model and figure with the record of the first run (provenance.json).

    python scripts/verify.py --study config.yaml --results results/demo --cores 1

Ends with 0 when all are the same bytes. The study's inputs must be where the study file says.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from recur.cli import reported
from recur.report.provenance import differences, environment
from recur.sources import ROOT
from recur.study.file import resolve
from recur.tables import StudyError, read_json

NOT_COPIED = (".git", ".venv", ".snakemake", "results", "logs", "benchmarks", "*_cache", "__pycache__")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, required=True, help="the study file")
    parser.add_argument("--results", type=Path, required=True, help="its results folder")
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    if not (args.results / "provenance.json").exists():
        raise StudyError(f"{args.results}: no provenance.json; run the study to its end first")
    study, record = resolve(args.study), read_json(args.results / "provenance.json")
    with tempfile.TemporaryDirectory(prefix="verify-") as scratch:
        copy = Path(scratch) / "project"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*NOT_COPIED))
        # a generated study makes its inputs again in the copy; a real one has them where they are
        own = args.study.resolve()
        study_file = own.relative_to(ROOT) if "demo" in study else own
        command = [sys.executable, "-m", "snakemake", "--cores", str(args.cores), "--config", f"study={study_file}"]
        done = subprocess.run(command, cwd=copy, env=environment())
        if done.returncode:
            raise StudyError("the second run failed; its messages are above")
        found = differences(args.results, copy / "results" / record["study"])
    print(f"{len(record['outputs'])} tables, models and figures compared, {len(found)} not the same bytes")
    if len(found):
        print(found.to_string(index=False))
        sys.exit(1)


if __name__ == "__main__":
    with reported():
        main()
