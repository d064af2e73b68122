"""What every program in scripts/ shares: errors as plain lines, and progress on long work."""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from recur.tables import StudyError, read_json

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 5
# what the machine, not the program, does wrong: full, over quota, read-only, forbidden, broken
OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


SHARED = {
    "settings": {"type": read_json, "help": "settings of the analysis"},
    "seed": {"type": int},
    "labels": {"type": json.loads, "help": "analysis and endpoint, as JSON"},
}


def training_parser(description: str | None, *shared: str) -> argparse.ArgumentParser:
    """The arguments of every program that fits: the three files of the training rows, and those of SHARED it names."""
    parser = argparse.ArgumentParser(description=description)
    for name in ("cohort", "features", "repeats"):
        parser.add_argument(f"--{name}", required=True, help="training rows (floor 3)")
    for name in shared:
        parser.add_argument(f"--{name}", required=True, **SHARED[name])
    return parser


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Print the problems of a StudyError or of the disk, one a line, and exit with 1; neither is a traceback."""
    try:
        yield
    except StudyError as error:
        for problem in error.problems:
            print(f"ERROR: {problem}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        if error.errno not in OF_THE_DISK:
            raise
        print(f"ERROR: {disk_problem(error)}", file=sys.stderr)
        sys.exit(1)


def disk_problem(error: OSError) -> str:
    """One line on a file that could not be written or read, for what the user has to put right."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{os.strerror(error.errno)}; put it right and run again, finished jobs are not repeated"


def progress(items: Iterable[Item], total: int, what: str, unit: str = "") -> Iterator[Item]:
    """The items, with a line on stderr every few seconds: how many are done and how long the rest will take."""
    start = said = time.monotonic()
    total_text = f"{total} {unit}".strip()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if done == total or now - said > SECONDS_BETWEEN_LINES:
            said = now
            left = (now - start) / done * (total - done)
            print(f"{what}: {done} of {total_text} done, about {left:.0f} s left", file=sys.stderr, flush=True)
