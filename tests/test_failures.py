"""The last lines of a failed run repeat its cause."""

import os
import subprocess
import sys
import time

from recur.failures import causes, last_errors
from recur.sources import ROOT

SNAKEFILE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {scripts!r})
from recur.failures import causes
STARTED = time.time()
rule all:
    input: "good", "bad"
rule good:
    output: "good"
    log: "logs/good.log"
    shell: "echo fine > {{log}}; touch {{output}}"
rule bad:
    output: "bad"
    log: "logs/bad.log"
    shell: "echo 'ERROR: patient P3: no mask' > {{log}}; exit 1"
onerror:
    print("\\n".join(causes(Path("logs"), STARTED)))
"""


def test_a_failed_run_ends_with_the_error_line_of_the_job(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(scripts=str(ROOT / "scripts")))
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--keep-going", "--workflow-profile", "none"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode == 1
    assert done.stdout.rstrip().endswith("logs/bad.log:\n  ERROR: patient P3: no mask"), done.stdout + done.stderr


def test_logs_of_earlier_runs_are_not_told_again(tmp_path):
    old, new = tmp_path / "old.log", tmp_path / "deep/new.log"
    new.parent.mkdir()
    old.write_text("ERROR: mended since\n")
    new.write_text("half\nTraceback (most recent call last):\n  File\nValueError: of our own\n")
    os.utime(old, (1, 1))
    assert causes(tmp_path, time.time() - 60) == [f"{new}:", "  ValueError: of our own"]


def test_many_errors_are_counted():
    assert last_errors([f"ERROR: {i}" for i in range(12)])[-1] == "... and 2 more"
    assert last_errors(["NOTE: nothing wrong", "done"]) == []
