"""The cluster profile, run for real: on the SLURM that answers here, or on one that the tests start (tests/cluster.py).

Starting one needs root and Debian's slurm-wlm and munge, which `make test` installs where it may; otherwise the tests
are skipped and say so. `pytest -m "slurm and slow"` adds accounting and what goes wrong on clusters: a node that goes
down, a time limit, a more urgent job.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml
from cluster import missing, said, slurm, stop, wait_for
from small import ROOT, TABLES, results_of, run_snakemake, small_project, start_snakemake, tiny_project

# the nodes have two cores: no group job may ask for more
PROFILE = ["--workflow-profile", "profiles/slurm", "--cores", "2", "--slurm-init-seconds-before-status-checks", "5"]
FEATURES = "results/demo/features/reader1.parquet"


def test_profile_plans_the_demo_study(tmp_path):
    result = run_snakemake(small_project(tmp_path / "project"), *PROFILE, "--dry-run")
    assert result.returncode == 0


def test_both_profiles_compare_inputs_by_content_and_show_what_failed():
    profiles = [yaml.safe_load((ROOT / f"profiles/{name}/config.yaml").read_text()) for name in ("default", "slurm")]
    assert {profile["max-checksum-file-size"] for profile in profiles} == {"1GB"}
    assert profiles[1]["slurm-status-command"] == "squeue"
    # Snakemake hides failed jobs, and so their logs, with the rules
    assert all(profile["show-failed-logs"] and "rules" not in profile["quiet"] for profile in profiles)


@pytest.fixture(scope="module")
def shared():
    """A folder that the nodes see: not in /tmp, which is each node's own on a real cluster."""
    (ROOT / "results").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "results", prefix="slurm-test-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def local(shared):
    """The tiny study, run on this machine."""
    project = tiny_project(shared / "local")
    assert run_snakemake(project, "--cores", "2", "--", *TABLES).returncode == 0
    return project


@pytest.fixture
def nodes(tmp_path):
    """Names of the nodes of a SLURM that is the test's own."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    with slurm(tmp_path / "slurm") as names:
        yield names


@pytest.fixture
def any_slurm(request):
    """The SLURM that answers here; where there is none, one of the test's own."""
    if not said("timeout", "10", "sinfo", "--noheader"):
        request.getfixturevalue("nodes")


@pytest.mark.slurm
def test_tables_and_models_from_slurm_are_those_of_this_machine(any_slurm, local, shared):
    project = tiny_project(shared / "squeue")
    result = run_snakemake(project, *PROFILE, "--retries", "0", "--", *TABLES)
    assert result.returncode == 0
    jobs = re.findall(r"submitted with SLURM jobid", result.stdout + result.stderr)
    assert 3 <= len(jobs) <= 12  # short rules go together
    assert results_of(project) == results_of(local)


@pytest.mark.slurm
@pytest.mark.slow
def test_with_accounting_sacct_says_how_jobs_end(tmp_path, shared, local):
    if missing(accounting=True):
        pytest.skip(missing(accounting=True))
    with slurm(tmp_path / "slurm", accounting=True):
        project = tiny_project(shared / "sacct")
        result = run_snakemake(project, *PROFILE, "--slurm-status-command", "sacct", "--", *TABLES)
        assert result.returncode == 0
        assert results_of(project) == results_of(local)
        states = said("sacct", "--allusers", "--noheader", "--parsable2", "--allocations", "--format=State").split()
        assert len(states) >= 3 and set(states) == {"COMPLETED"}


# --- what goes wrong on clusters: each is done to a running study, whose features must come out as here ----


def queue(*fields: str) -> list[list[str]]:
    """The fields (as squeue's -O names them) of every job, running ones first."""
    text = said("squeue", "--noheader", "--sort=-t", "-O", ",".join(f"{field}:40" for field in fields))
    return [line.split() for line in text.splitlines()]


def facts_of(job: str) -> dict[str, str]:
    return dict(re.findall(r"(\w+)=(\S*)", said("scontrol", "-o", "show", "job", job)))


def stalled(project: Path, rule: str) -> Path:
    """The program of a rule stands still the first time that it runs; it then makes the file that this gives."""
    flag, script = project / "stalled", project / f"scripts/{rule}.py"
    head = "from __future__ import annotations\n"
    wait = f"import pathlib, time\nflag = pathlib.Path({str(flag)!r})\nif not flag.exists():\n"
    wait += "    flag.touch()\n    time.sleep(600)\n"
    script.write_text(script.read_text().replace(head, head + wait, 1))
    return flag


def on_node(node: str) -> list[int]:
    """Processes of the jobs on a node, without SLURM's own."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"SLURMD_NODENAME={node}".encode() in (place / "environ").read_bytes().split(b"\0"):
                found.append(int(place.name))
    return found


def managers(jobs: list[int]) -> set[int]:
    """The slurmstepd above each process."""
    found = set()
    for process in jobs:
        with suppress(psutil.NoSuchProcess):
            found |= {parent.pid for parent in psutil.Process(process).parents() if parent.name() == "slurmstepd"}
    return found


def kill(processes: Iterable[int]) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.slurm
@pytest.mark.slow
def test_a_job_whose_node_goes_down_runs_elsewhere(nodes, local, shared):
    project = tiny_project(shared / "down")
    flag = stalled(project, "features")
    run = start_snakemake(project, *PROFILE, "--retries", "0", "--", FEATURES)
    wait_for(flag.exists, 300, "a running job")
    job, node = next((job, node) for job, node in queue("JobID", "NodeList") if on_node(node))
    jobs = on_node(node)
    # first those that would report the end of a job, as a dead node reports nothing
    kill(managers(jobs))
    stop(Path(os.environ["SLURM_CONF"]).parent / f"{node}.pid", signal.SIGKILL)
    kill(jobs)
    wait_for(lambda: said("sinfo", "-h", "-n", node, "-p", "main", "-o", "%T").startswith("down"), 120, "node down")
    assert run.wait(timeout=600) == 0, (project / "run.log").read_text()
    assert facts_of(job)["Restarts"] >= "1" and facts_of(job)["NodeList"] != node
    assert (project / FEATURES).read_bytes() == (local / FEATURES).read_bytes()


@pytest.mark.slurm
@pytest.mark.slow
def test_a_job_over_its_time_is_sent_again_with_more(nodes, local, shared):
    project = tiny_project(shared / "time")
    stalled(project, "feature_table")
    result = run_snakemake(project, *PROFILE, "--default-resources", "mem_mb=1000", "runtime=attempt", "--", FEATURES)
    assert result.returncode == 0
    found = [facts_of(job) for job in re.findall(r"SLURM jobid (\d+)", result.stdout + result.stderr)]
    assert [job["TimeLimit"] for job in found if job["JobState"] == "TIMEOUT"] == ["00:01:00"]
    assert found[-1]["TimeLimit"] == "00:02:00" and found[-1]["JobState"] == "COMPLETED"
    assert (project / FEATURES).read_bytes() == (local / FEATURES).read_bytes()


@pytest.mark.slurm
@pytest.mark.slow
def test_a_job_that_a_more_urgent_one_displaces_comes_back(nodes, local, shared):
    project = tiny_project(shared / "urgent")
    flag = stalled(project, "features")
    run = start_snakemake(project, *PROFILE, "--retries", "0", "--", FEATURES)
    wait_for(flag.exists, 300, "a running job")
    displaced = [job for job, state in queue("JobID", "StateCompact") if state == "R"]
    urgent = ["sbatch", "--partition=urgent", f"--nodes={len(nodes)}", "--exclusive", "--output=/dev/null"]
    assert subprocess.run([*urgent, "--wrap", "sleep 5"], cwd=project).returncode == 0
    assert run.wait(timeout=600) == 0, (project / "run.log").read_text()
    assert all(facts_of(job)["Restarts"] >= "1" for job in displaced) and displaced
    assert (project / FEATURES).read_bytes() == (local / FEATURES).read_bytes()
