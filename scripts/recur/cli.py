"""What every program in scripts/ shares: errors as plain lines, and progress on long work."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from recur.tables import StudyError


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Print the problems of a StudyError, one a line, and exit with 1; a user's mistake is not a traceback."""
    try:
        yield
    except StudyError as error:
        for problem in error.problems:
            print(f"ERROR: {problem}", file=sys.stderr)
        sys.exit(1)
