"""Whatever dies, nothing is lost: processes, disk, cache, clock. Each fault is done to a running study, which is then
started again and must end with the bytes of an undisturbed run, and with nothing done twice.

    pytest -m slow tests/workflow/test_faults.py        the tests that run the tiny study; about an hour

For a cluster (a node down, a time limit, a more urgent job) see test_slurm.py; for a loop that goes on where it was,
test_resume.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cluster import wait_for
from small import TABLES, results_of, run_snakemake, start_snakemake, tiny_project

from recur.images import case_cache as floor2
from recur.images.batch import process
from recur.isolated import isolated
from recur.tables import StudyError, read_table, write_table
from tests.check.test_bad_inputs import sound  # noqa: F401  (a fixture)

KILLS = 50
RUN = ["--cores", "2", "--", *TABLES]
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system needs root")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The tiny study, run once without a fault."""
    project = tiny_project(tmp_path_factory.mktemp("undisturbed") / "project")
    start = time.monotonic()
    assert run_snakemake(project, *RUN).returncode == 0
    (project / "seconds").write_text(str(time.monotonic() - start))
    assert not part_files(project)
    return project


def part_files(project: Path) -> list[Path]:
    """Files that were being written, or are kept for a job that goes on."""
    return [path for path in (project / "results").rglob(".*") if path.suffix == ".kept" or ".part." in path.name]


def finished(log: str) -> list[str]:
    """The outputs of every job that Snakemake said to have finished, over all runs of a log."""
    outputs, jobs = [], {}
    for block in re.split(r"\n(?=\[|(?:local)?rule |Building DAG)", log):
        if block.startswith("Building DAG"):
            jobs = {}
        found = re.search(r"^ +output: (.*)$", block, re.M), re.search(r"^ +jobid: (\d+)", block, re.M)
        if all(found):
            jobs[found[1][1]] = found[0][1]
        for job in re.findall(r"^Finished jobid: (\d+)", block, re.M):
            outputs.append(jobs[job])
    return outputs


def programs_of(run: subprocess.Popen) -> list[int]:
    """Process numbers of the programs of rules that a workflow runs now."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            if os.getpgid(int(place.name)) == run.pid:
                words = (place / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"python") and words[1].startswith(b"scripts/"):
                    found.append(int(place.name))
    return found


def kill(run: subprocess.Popen, what: str, rng: random.Random) -> bool:
    """SIGKILL to a workflow with its jobs, to its main process alone, or to one of its jobs; False if there is none."""
    with contextlib.suppress(ProcessLookupError):
        if what == "job":  # the workflow goes on with others, then ends
            victims = programs_of(run)
            if victims:
                os.kill(rng.choice(victims), signal.SIGKILL)
            return bool(victims)
        if what == "workflow":
            os.killpg(run.pid, signal.SIGKILL)
        run.kill()
        run.wait()
        return True
    return False


def again(project: Path) -> subprocess.Popen:
    """The workflow started once more, after what its message says where it was killed."""
    run_snakemake(project, "--unlock")
    return start_snakemake(project, *RUN)


@pytest.mark.slow
def test_fifty_kills_at_random_moments_change_no_byte_and_nothing_is_done_twice(undisturbed, tmp_path):
    """Alternately the whole workflow, its main process alone (the jobs live on), and single jobs."""
    rng, kills, rounds = random.Random(1), Counter(), 0
    longest = float((undisturbed / "seconds").read_text()) / 5  # long enough that jobs get done between two kills
    while kills.total() < KILLS:
        rounds += 1
        project = tiny_project(tmp_path / str(rounds))
        run = start_snakemake(project, *RUN)
        while kills.total() < KILLS and run.poll() is None:
            if rng.random() < 0.9:  # else while Snakemake itself starts or plans
                wait_for(lambda run=run: programs_of(run) or run.poll() is not None, 600, "a job")
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(rng.uniform(0, longest))
            what = rng.choice(["workflow", "main process", "job", "job"])
            if run.poll() is None and kill(run, what, rng):
                kills[what] += 1
                print(kills, flush=True)
            if run.poll() == 0:
                break
            if run.poll() is not None:
                run = again(project)
        while run.wait() != 0:
            run = again(project)
        log = (project / "run.log").read_text()
        twice = {output: n for output, n in Counter(finished(log)).items() if n > 1}
        assert len(finished(log)) > 20 and not twice
        assert results_of(project) == results_of(undisturbed)
        last = run_snakemake(project, *RUN)
        assert "Nothing to be done" in last.stdout + last.stderr
    print(dict(kills), "in", rounds, "runs of the study")
    assert min(kills["workflow"], kills["main process"], kills["job"]) >= 5


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of `size` bytes at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@ROOT_ONLY
@pytest.mark.parametrize("part", [0.2, 0.6, 0.95])
def test_a_full_disk_ends_the_run_in_a_line_and_leaves_no_half_file(undisturbed, tmp_path, part):
    project = tiny_project(tmp_path / "project")
    whole = sum(path.stat().st_blocks * 512 for path in (undisturbed / "results").rglob("*") if path.is_file())
    with small_disk(project / "results", int(whole * part)) as disk:
        full = run_snakemake(project, *RUN)
        text = full.stdout + full.stderr
        assert full.returncode and re.search("ERROR: .*No space left on device", text) and "Traceback" not in text
        assert not [path for path in part_files(project) if path.suffix != ".kept"]
        subprocess.run(["mount", "-o", f"remount,size={4 * whole}", disk], check=True)
        assert run_snakemake(project, *RUN).returncode == 0
        assert results_of(project) == results_of(undisturbed)


@ROOT_ONLY
def test_read_only_results_are_told_in_a_line_before_any_job(tmp_path):
    project = tiny_project(tmp_path / "project")
    with small_disk(project / "results", 10_000_000) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        result = run_snakemake(project, *RUN)
    text = result.stdout + result.stderr
    assert result.returncode and "Traceback" not in text
    assert re.search("ERROR: results/demo.*: cannot be written .*Read-only file system", text)


@pytest.mark.slow
def test_damaged_files_of_the_cache_are_made_again(undisturbed, tmp_path):
    """Every stored case and feature is cut or has bytes changed; `--forcerun cases` is what the message says."""
    project = shutil.copytree(undisturbed, tmp_path / "project", symlinks=True)
    stored = sorted((project / "results/cache").rglob("*.npz"))
    assert len(stored) > 100
    for n, path in enumerate(stored):
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 4] = bytes(b ^ 255 for b in content[middle : middle + 4])
        path.write_bytes(content[: len(content) // (1 + n % 2)])
    tables = [f"results/demo/features/{reader}.parquet" for reader in ("reader1", "reader2")]
    assert run_snakemake(project, "--cores", "2", "--forcerun", "cases", "--", *tables).returncode == 0
    assert (project / tables[0]).stat().st_mtime > (undisturbed / tables[0]).stat().st_mtime + 1
    assert len(sorted((project / "results/cache").rglob("*.npz"))) == len(stored)
    assert results_of(project) == results_of(undisturbed)


@pytest.mark.slow
def test_two_workflows_at_once_on_one_results_folder(undisturbed, tmp_path):
    project = tiny_project(tmp_path / "project")
    first = start_snakemake(project, *RUN)
    wait_for(lambda: programs_of(first) != [], 120, "the first run's jobs")
    second = run_snakemake(project, *RUN)
    assert second.returncode and "cannot be locked" in second.stdout + second.stderr
    assert first.wait() == 0
    assert results_of(project) == results_of(undisturbed)


@pytest.mark.slow
def test_a_clock_that_is_set_back_a_year(undisturbed, tmp_path):
    """The files of the first half of the run are of next year: Snakemake refuses them and says why; once they are
    touched, as docs/cluster.md says, it goes on and nothing is done again.
    """
    project = tiny_project(tmp_path / "project")
    ahead = 400 * 86400
    first = start_snakemake(project, *RUN[:3], "results/demo/features/reader1.parquet")
    assert first.wait() == 0
    for path in (project / "results").rglob("*"):
        os.utime(path, (path.stat().st_atime + ahead, path.stat().st_mtime + ahead), follow_symlinks=False)
    second = start_snakemake(project, *RUN)
    assert second.wait() != 0 and "clock skew" in (project / "run.log").read_text()
    subprocess.run("find results -newermt now -exec touch {} +", shell=True, cwd=project, check=True)
    third = start_snakemake(project, *RUN)
    assert third.wait() == 0
    assert max(Counter(finished((project / "run.log").read_text())).values()) == 1
    assert results_of(project) == results_of(undisturbed)
    last = run_snakemake(project, *RUN)
    assert "Nothing to be done" in last.stdout + last.stderr


# --- compiled code that crashes ---------------------------------------------------------------------------------------


def crash(*_: object) -> None:
    faulthandler.disable()  # pytest's trace of an intended crash would look like a failure
    ctypes.string_at(0)


def test_a_case_that_crashes_compiled_code_is_named_and_the_others_go_on(sound, monkeypatch, tmp_path):  # noqa: F811
    """A real segmentation fault, in the process that reads the case."""
    make = floor2.make_cases
    monkeypatch.setattr(floor2, "make_cases", lambda row, *more: crash() if "P01" in row["image"] else make(row, *more))
    rows = [
        {"patient_id": p, "phase": "AP", "reader": "reader1", "mask_label": None}
        | {what: str(sound / p / f"{what}.nii.gz") for what in ("image", "mask")}
        for p in ("P01", "P02")
    ]
    regions = {"rim_mm": 3, "modality": "CT", "on_error": "exclude"}
    found = [process(row, regions, tmp_path).records[0] for row in rows]
    assert [row["status"] for row in found] == ["excluded", "ok"]
    assert found[0]["reason"].startswith("AP reader1: the compiled code crashed on it (SIGSEGV)")


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_case_whose_process_was_killed_from_outside_is_not_excluded(how):
    """Too little memory, or an operator: the job fails and can be sent again."""
    with pytest.raises(StudyError, match="killed from outside .*Run again"):
        isolated(lambda: os.kill(os.getpid(), how))


# --- writing ----------------------------------------------------------------------------------------------------------


@ROOT_ONLY
@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_file_that_does_not_fit_is_not_there_and_the_old_one_still_is(tmp_path, name):
    with small_disk(tmp_path / "disk", 200_000) as disk:
        write_table(pd.DataFrame({"a": ["1"]}), disk / name)
        with pytest.raises(OSError, match="No space left"):
            write_table(pd.DataFrame({"a": [f"{i * 7919:x}" for i in range(200_000)]}), disk / name)
        assert read_table(disk / name)["a"].tolist() == ["1"]
        assert [path.name for path in disk.iterdir()] == [name]
