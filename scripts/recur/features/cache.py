"""Results of single cases on disk, shared by studies: keyed by content, settings, sources and versions."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from recur.sources import checksums, closure
from recur.tables import whole_file

LIBRARIES = ("pyradiomics", "numba", "numpy", "scipy", "SimpleITK", "PyWavelets")


def versions() -> dict[str, str]:
    """Installed version of every library that a value depends on."""
    return {name: version(name) for name in LIBRARIES}


def feature_key(case: str, extraction: dict[str, Any]) -> str:
    """SHA-256 of a case's own key (the name of its file), the settings, the libraries, and the sources in this package
    that an extraction uses.
    """
    package = Path(__file__).parent
    parts = {
        "case": Path(case).stem,
        "extraction": json.loads(json.dumps(extraction), parse_int=float),  # 25 and 25.0 are one setting
        "sources": checksums(closure(package / "batch.py", within=package)),
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


Features = tuple[dict[str, float], dict[str, str]]  # values by name; reasons of what is missing


def cached_features(path: Path, extract: Callable[[], Features]) -> Features:
    """Features and reasons stored at `path`; where there are none, or they cannot be read, made by `extract`."""
    stored = _read(path)
    if stored is None:
        stored = values, reasons = extract()
        arrays = {"names": np.array(list(values)), "values": np.array(list(values.values()), float)}
        with whole_file(path) as partial:
            np.savez(partial, **arrays, reasons=np.array(json.dumps(reasons)))
    return stored


def _read(path: Path) -> Features | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            values = dict(zip(stored["names"].tolist(), stored["values"].tolist(), strict=True))
            return values, json.loads(stored["reasons"].item())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
