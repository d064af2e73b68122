"""The compiled loops of this room, kept between jobs; imported before anything that imports numba."""

from __future__ import annotations

import os
from pathlib import Path

from recur.compiled import compiling


def compile_kernels(directory: Path) -> None:
    """Compile the loops of recur.features.kernels, or load them from `directory` if a job compiled them already.

    Not in the source tree, which may be read-only. The lock lets one of several starting jobs compile; on a shared file
    system without locks each of them does. numba keeps the code of every kind of processor apart.
    """
    os.environ["NUMBA_CACHE_DIR"] = str(directory.resolve())  # read when numba is imported
    with compiling():
        import recur.features.kernels  # noqa: F401
