"""The self-test of every study: IBSI's digital phantom through floor 3, against the published consensus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from recur.features.extract import extract_case
from recur.features.ibsi import DEVIATIONS
from recur.features.resample import Case
from recur.tables import StudyError

COLUMNS = ["tag", "feature", "reference", "tolerance", "value", "deviation", "within", "known_deviation"]
EXTRACTION = {
    "mode": "ibsi",
    "spacing_mm": [0, 0, 0],
    "bin_width": 1,
    "image_types": ["Original"],
    "feature_set": "full851",
    "interpolator": "sitkLinear",
    "pad_distance": 1,
}


def within(value: pd.Series, reference: pd.Series, tolerance: pd.Series) -> pd.Series:
    """Whether values agree with a consensus that is published to three digits: half a unit of the third is allowed."""
    size = reference.abs().where(reference != 0, 1)
    half = 10.0 ** (np.floor(np.log10(size)) - 2) / 2
    given = reference.map(lambda number: float(f"{number:.3g}") == number)
    return (value - reference).abs() <= tolerance + half.where(given & (reference != 0), 0)


def phantom_case(voxels: pd.DataFrame) -> Case:
    """The digital phantom (columns z, y, x, intensity, roi; 2 mm voxels) as a case."""
    shape = tuple(voxels[["z", "y", "x"]].max() + 1)
    image, roi = (voxels.sort_values(["z", "y", "x"])[name].to_numpy().reshape(shape) for name in ("intensity", "roi"))
    return Case(
        image=image.astype(np.float32),
        labels=roi.astype(np.uint8),
        spacing=np.full(3, 2.0),
        direction=np.eye(3).ravel(),
        full_size=np.array(shape[::-1]),
        offset=np.zeros(3, int),
        full_origin=np.zeros(3),
        facts={"regions": {"tumour": 1}},
    )


def self_test(folder: Path, engine: str) -> pd.DataFrame:
    """One row a consensus value (COLUMNS), `deviation` relative to the consensus.

    folder: voxels.csv and values.csv. Raises StudyError where a value is outside its tolerance and pyradiomics' formula
    is not known to differ: this installation does not compute what it should.
    """
    found = extract_case(phantom_case(pd.read_csv(folder / "voxels.csv")), EXTRACTION | {"engine": engine})
    table = pd.read_csv(folder / "values.csv")
    table["value"] = [found[f"tumour_{name}"] for name in table["feature"]]
    table["deviation"] = (table["value"] - table["reference"]).abs() / table["reference"].abs()
    table["within"] = within(table["value"], table["reference"], table["tolerance"])
    table["known_deviation"] = table["feature"].map(DEVIATIONS).where(~table["within"], "")
    problems = [
        f"IBSI self-test: {row.feature} ({row.tag}) is {row.value:g}, the consensus is {row.reference:g} +/- "
        f"{row.tolerance:g}; the installed libraries do not compute what they should: install the locked versions"
        for row in table[~table["within"] & table["known_deviation"].isna()].itertuples()
    ]
    if problems:
        raise StudyError(problems)
    return table[COLUMNS]
