"""Compile once: jobs share one directory of compiled kernels, and one job at a time fills it."""

from __future__ import annotations

import contextlib
import functools
import os
from contextlib import AbstractContextManager
from types import ModuleType

from recur.locks import locked


def compiling() -> AbstractContextManager[None]:
    """Hold the lock of NUMBA_CACHE_DIR while kernels are imported: of several starting jobs one compiles.

    Without that directory every process compiles for itself.
    """
    directory = os.environ.get("NUMBA_CACHE_DIR")
    return locked(directory) if directory else contextlib.nullcontext()


@functools.cache
def model_kernels() -> ModuleType:
    """recur.statistics.kernels; imported where its loops are needed, since even loading compiled code takes about a
    second.
    """
    with compiling():
        from recur.statistics import kernels
    return kernels
