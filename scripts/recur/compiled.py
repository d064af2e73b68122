"""Compile once: jobs share one directory of compiled loops, and one job at a time fills it."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager

from recur.locks import locked


def compiling() -> AbstractContextManager[None]:
    """Hold the lock of NUMBA_CACHE_DIR while compiled loops are imported: of several starting jobs one compiles.

    Without that directory every process compiles for itself. Import them where they are needed, inside of a function:
    even loading compiled code takes about a second.
    """
    directory = os.environ.get("NUMBA_CACHE_DIR")
    return locked(directory) if directory else contextlib.nullcontext()
