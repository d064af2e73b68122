"""The R values in $REFERENCE_DATA/r_oracle, for tests marked `reference`."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def folder() -> Path:
    root = os.environ.get("REFERENCE_DATA")
    if not root or not (Path(root) / "r_oracle").is_dir():
        pytest.skip("REFERENCE_DATA is not set: no R values to compare with")
    return Path(root) / "r_oracle"


def items(dataset: str, group: str) -> dict[str, dict]:
    return {item["id"]: item for item in json.loads((folder() / dataset / f"{group}.json").read_text())["items"]}


def table(dataset: str, name: str = "data.csv") -> pd.DataFrame:
    return pd.read_csv(folder() / dataset / name)


def rows(frame: pd.DataFrame, item: dict) -> pd.DataFrame:
    """The rows an item used: `input.rows` such as "set == 'train' & age not missing"."""
    frame = frame.assign(pcm=(frame["event"] == 1).astype(int)) if "etime" in frame else frame
    for condition in re.split(r"[&;]", item["input"]["rows"]):
        condition = condition.strip()
        match = re.fullmatch(r"(\w+) == '?([^']+)'?", condition)
        if match:
            frame = frame[frame[match[1]].astype(str) == match[2]]
        elif condition.startswith("complete in") or condition.endswith("not missing"):
            frame = frame.dropna(subset=item["input"]["x"])
        elif condition != "all" and not condition.startswith("pcm = "):
            raise ValueError(f"unknown row filter {condition!r}")
    return frame


def worst(ours, r) -> float:
    """Largest |a - b| / max(|a|, |b|, 1e-4 of the scale); null and NaN must fall together."""
    ours = np.asarray(ours, float).ravel()
    r = np.array([np.nan if v is None else v for v in np.asarray(r, object).ravel()], float)
    assert ours.shape == r.shape
    assert (np.isnan(ours) == np.isnan(r)).all()
    keep = ~np.isnan(r)
    if not keep.any():
        return 0.0
    ours, r = ours[keep], r[keep]
    return float(np.max(np.abs(ours - r) / np.maximum(np.maximum(abs(ours), abs(r)), 1e-4 * max(abs(r).max(), 1e-300))))
