"""What every program in scripts/ shares: errors as plain lines, and progress on long work."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from recur.tables import StudyError

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 5


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Print the problems of a StudyError, one a line, and exit with 1; a user's mistake is not a traceback."""
    try:
        yield
    except StudyError as error:
        for problem in error.problems:
            print(f"ERROR: {problem}", file=sys.stderr)
        sys.exit(1)


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
