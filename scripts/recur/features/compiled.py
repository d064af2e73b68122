"""Compiled kernels kept between jobs; imported before anything that imports numba."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


def compile_kernels(directory: Path) -> None:
    """Compile the loops of recur.features.kernels, or load them from `directory` if a job compiled them already.

    Not in the source tree, which may be read-only. The lock lets one of several starting jobs compile; on a shared file
    system without locks each of them does. numba keeps the code of every kind of processor apart.
    """
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(directory.resolve())  # read when numba is imported
    with (directory / "lock").open("w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        import recur.features.kernels  # noqa: F401
