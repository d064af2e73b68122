"""The features of a batch of cases, from the cache where they are there, and who could not be extracted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from recur.cli import progress
from recur.features.cache import Features, cached_features, feature_key
from recur.features.extract import check_extraction, extract_with_reasons
from recur.features.lesions import aggregated
from recur.images.case_file import Case, load_case
from recur.isolated import isolated

Found = dict[tuple[str, str], dict[str, dict[str, float]]]  # (patient, reader) -> phase -> features
Missing = list[tuple[str, str, str, dict[str, str]]]  # patient, reader, phase, reason by feature or region


class Variant(NamedTuple):
    """A change of every case before extraction."""

    settings: dict[str, Any]  # all that it depends on besides the case, JSON-ready
    code: list[str]  # checksums of the files that make it: the cache knows them, the numbers drawn do not
    change: Callable[[Case, np.random.Generator], Case]

    def generator(self, case: Case) -> np.random.Generator:
        """Seeded from settings, grey values and tumour: neither an edit of the code nor the file format of an image
        changes what is drawn.
        """
        content = [case.facts["image_hash"], case.facts["tumour_hash"], self.settings]
        return np.random.default_rng(int(_digest(content)[:16], 16))


def extract_cases(
    cases: pd.DataFrame,
    cache: Path,
    extraction: dict[str, Any],
    what: str = "features",
    aggregate: str = "volume_weighted_mean",
    variant: Variant | None = None,
) -> tuple[Found, list[dict[str, str]], Missing]:
    """Features of every usable case, the exclusions of those that fail, and why single values are missing.

    cases: the case table; rows of several lesions of one patient, phase and reader are aggregated.
    """
    check_extraction(extraction)
    usable = cases[cases["status"] == "ok"]
    lesions: dict[tuple[str, str, str], list[tuple[float, dict[str, float]]]] = {}
    excluded = []
    failed = set()
    missing = []
    for row in progress(usable.itertuples(), len(usable), what):
        try:
            features, reasons = case_features(cache, row.case, extraction, variant)
            lesions.setdefault((row.patient_id, row.reader, row.phase), []).append((float(row.tumour_ml), features))
            if reasons:
                missing.append((row.patient_id, row.reader, row.phase, reasons))
        except ValueError as error:
            lesion = f" lesion {row.lesion}" if str(getattr(row, "lesions", 1)) != "1" else ""
            reason = f"{row.phase} {row.reader}{lesion}: {error}"
            excluded.append({"patient_id": row.patient_id, "floor": "features", "reason": reason})
            failed.add((row.patient_id, row.reader, row.phase))
    found: Found = {}
    for (patient, reader, phase), parts in lesions.items():
        if (patient, reader, phase) not in failed:  # the others of a patient's lesions do not stand for all
            volumes, values = zip(*parts, strict=True)
            found.setdefault((patient, reader), {})[phase] = aggregated(list(values), list(volumes), aggregate)
    return found, excluded, missing


def case_features(cache: Path, name: str, extraction: dict[str, Any], variant: Variant | None) -> Features:
    """Features of one stored case, or of its variant, and the reasons of those that are missing."""
    path = cache / name
    key = name
    if variant:
        key = f"{_digest([name, variant.settings, variant.code])}.npz"

    def extract() -> Features:
        case = load_case(path)
        if variant:
            case = variant.change(case, variant.generator(case))
        return extract_with_reasons(case, extraction)

    return cached_features(cache / "features" / f"{feature_key(key, extraction)}.npz", lambda: isolated(extract))


def _digest(content: list[Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
