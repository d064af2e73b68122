"""One job at a time: the lock that programs share, also where the file system has none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(directory: str | Path) -> Iterator[None]:
    """Hold the lock of a directory, which is made where it is missing; others wait until it is free.

    Some file systems have no locks (NFS without lockd, Lustre without -o flock: ENOLCK, ENOSYS, ENOTSUP), others are
    read-only. What is locked here costs time only when done twice, so work goes on with one line on stderr.
    """
    with contextlib.ExitStack() as stack:
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(Path(directory, "lock").open("w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            print(f"NOTE: {directory}: no lock ({why}); jobs that start together each compile", file=sys.stderr)
        yield
