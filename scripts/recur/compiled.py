"""Compile once: jobs share one directory of compiled kernels, and one job at a time fills it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Hold the lock of NUMBA_CACHE_DIR while kernels are imported: of several starting jobs one compiles.

    Without that directory every process compiles for itself.
    """
    directory = os.environ.get("NUMBA_CACHE_DIR")
    if not directory:
        yield
        return
    Path(directory).mkdir(parents=True, exist_ok=True)
    with Path(directory, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def model_kernels() -> ModuleType:
    """recur.kernels; imported where its loops are needed, since even loading compiled code takes about a second."""
    with compiling():
        from recur import kernels
    return kernels
