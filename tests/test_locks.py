"""Jobs that start together wait for each other; where the file system has no locks they go on and say so once."""

import errno
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recur import compiled
from recur.locks import locked

SCRIPTS = Path(__file__).parents[1] / "scripts"
HOLDER = """
import sys, time
from recur.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(1)
"""


def test_the_second_job_waits_for_the_first(tmp_path):
    """And the directory is made by the one that comes first."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "cache")]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(SCRIPTS)}, stdout=subprocess.PIPE) as first:
        assert first.stdout.readline() == b"held\n"
        start = time.monotonic()
        with locked(tmp_path / "cache"):
            assert time.monotonic() - start > 0.5


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EROFS])
def test_without_locks_the_work_goes_on_with_one_line(tmp_path, capsys, monkeypatch, number):
    """No file system without locks can be mounted in a test, so the call that fails there fails here."""

    def refuse(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with compiled.compiling():
        done = True
    said = capsys.readouterr().err.splitlines()
    assert done and len(said) == 1 and os.strerror(number) in said[0] and str(tmp_path) in said[0]


def test_errors_of_the_work_itself_are_not_taken_for_those_of_the_lock(tmp_path, capsys):
    with pytest.raises(OSError, match="of the work"), locked(tmp_path):
        raise OSError("of the work")
    assert capsys.readouterr().err == ""


def test_no_other_module_takes_locks_of_its_own():
    users = [path.name for path in SCRIPTS.rglob("*.py") if "fcntl" in path.read_text()]
    assert users == ["locks.py"]
