"""The self-test of every study: IBSI's digital phantom through floor 3, against the published consensus."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk

from recur.features.extract import extract_case
from recur.features.ibsi import DEVIATIONS
from recur.images.case_file import Case
from recur.tables import StudyError

FILES = ("phantom.nii.gz", "mask.nii.gz", "ibsi_tag_to_pyradiomics.csv", "reference_values_digital_phantom.csv")
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


def phantom_case(folder: Path) -> Case:
    """The digital phantom (phantom.nii.gz, mask.nii.gz; 5 x 4 x 4 voxels of 2 mm) as a case."""
    image, roi = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}.nii.gz"))) for name in ("phantom", "mask")
    )
    return Case(
        image=image.astype(np.float32),
        labels=roi.astype(np.uint8),
        spacing=np.full(3, 2.0),
        direction=np.eye(3).ravel(),
        full_size=np.array(image.shape[::-1]),
        offset=np.zeros(3, int),
        full_origin=np.zeros(3),
        facts={"regions": {"tumour": 1}},
    )


def consensus_values(folder: Path) -> pd.DataFrame:
    """tag, feature, reference, tolerance: the published values of 3-D features averaged over directions, by
    pyradiomics' names (two tags may be one feature)."""
    names = pd.read_csv(folder / "ibsi_tag_to_pyradiomics.csv")
    names["feature"] = names["pyradiomics_feature"].str.removeprefix("3D_")
    names = names[names["pyradiomics_feature"].str.match("3D_(?!.*_Combined_)")]
    values = pd.read_csv(folder / "reference_values_digital_phantom.csv", sep=";")
    values = values.rename(columns={"reference value": "reference"})
    return names.merge(values, on="tag")[["tag", "feature", "reference", "tolerance"]]


def self_test(folder: Path, engine: str) -> pd.DataFrame:
    """One row a consensus value (COLUMNS) of a feature in the set, `deviation` relative to the consensus.

    folder: the phantom and its values as published (see the README of results/: ibsi_self_test.csv). Raises StudyError
    where a value is outside its tolerance and pyradiomics' formula is not known to differ: this installation does not
    compute what it should.
    """
    missing = [name for name in FILES if not (folder / name).exists()]
    if missing:
        raise StudyError(f"{folder / name}: no such file; unset REFERENCE_DATA to go without" for name in missing)
    computed = extract_case(phantom_case(folder), EXTRACTION | {"engine": engine})
    table = consensus_values(folder)
    table = table[table["feature"].map(lambda name: f"tumour_{name}" in computed)].reset_index(drop=True)
    table["value"] = [computed[f"tumour_{name}"] for name in table["feature"]]
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
