"""Opt-in: the small study with every job in its conda environment.

`pytest -m conda`, with a conda program on the PATH; skipped without one.
"""

import shutil

import pytest
from small import run_snakemake, small_project

pytestmark = [
    pytest.mark.conda,
    pytest.mark.skipif(shutil.which("conda") is None, reason="no conda program on the PATH"),
]


def test_small_study_in_its_conda_environments(tmp_path):
    project = small_project(tmp_path / "project")
    assert run_snakemake(project, "--cores", "2", "--sdm", "conda").returncode == 0
    made = {path.read_text() for path in (project / ".snakemake/conda").glob("*.yaml")}
    assert made == {path.read_text() for path in (project / "envs").glob("*.yaml") if path.stem != "download"}
    assert (project / "results/demo/validation/performance.csv").exists()
