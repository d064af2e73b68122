"""The cluster profile: planned always, run for real where a SLURM answers.

`pytest -m slurm`, with the project on the cluster's shared file system; skipped without one.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml
from small import ROOT, run_snakemake, small_project

PROFILE = ["--workflow-profile", "profiles/slurm"]


def slurm_answers() -> bool:
    if shutil.which("sinfo") is None:
        return False
    try:
        return subprocess.run(["sinfo", "--noheader"], capture_output=True, timeout=10).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def test_profile_plans_the_demo_study(tmp_path):
    result = run_snakemake(small_project(tmp_path / "project"), *PROFILE, "--dry-run")
    assert result.returncode == 0


def test_both_profiles_compare_inputs_by_content():
    profiles = [yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text()) for name in ("default", "slurm")]
    assert {profile["max-checksum-file-size"] for profile in profiles} == {"1GB"}
    assert profiles[1]["slurm-status-command"] == "squeue"


@pytest.mark.slurm
@pytest.mark.skipif(not slurm_answers(), reason="no SLURM answers")
def test_small_study_on_slurm():
    # nodes must see it, so not in /tmp
    with tempfile.TemporaryDirectory(dir=ROOT / "results", prefix="slurm-test-") as folder:
        project = small_project(Path(folder, "project"))
        quick = ["--slurm-init-seconds-before-status-checks", "7", "--cores", "2", "--retries", "0"]
        result = run_snakemake(project, *PROFILE, *quick)
        assert result.returncode == 0
        assert "submitted with SLURM jobid" in result.stdout + result.stderr
        assert (project / "results/demo/validation/performance.csv").exists()
