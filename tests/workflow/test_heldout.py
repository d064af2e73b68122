"""Held-out patients leave no trace in what is fitted: with other images and outcomes of theirs, the same frozen bytes.

The whole workflow on the tiny study, from images on; tests/fit/test_whole.py has the same property of `fit` alone.

    pytest -m slow tests/workflow/test_heldout.py       some minutes
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from small import TABLES, results_of, run_snakemake, tiny_project

FITTED = ("signature/recommended/", "models/recommended/", "validation/recommended/nested_cv.csv")
APPLIED = "signature/recommended/scores.csv"  # the frozen signature on everybody
RECURRENCE = ["date", "number", "size_cm", "vascular", "extrahepatic"]


def noisy(image: Path) -> None:
    """Other voxels, of the same size and place."""
    old = sitk.ReadImage(str(image))
    noise = np.random.default_rng(0).normal(0, 40, sitk.GetArrayViewFromImage(old).shape)
    new = sitk.GetImageFromArray((sitk.GetArrayFromImage(old) + noise).astype(np.int16))
    new.CopyInformation(old)
    sitk.WriteImage(new, str(image))


def refitted(project: Path) -> dict[str, str]:
    """SHA-256 of all results, everything from the training files on made anew."""
    for name in ("features/recommended", "signature", "models", "validation"):
        shutil.rmtree(project / "results/demo" / name)
    assert run_snakemake(project, "--cores", "2", "--", *TABLES).returncode == 0
    return results_of(project)


def fitted(results: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in results.items() if name.startswith(FITTED) and name != APPLIED}


@pytest.mark.slow
def test_no_byte_of_what_is_fitted_depends_on_held_out_images_or_outcomes(tmp_path):
    project = tiny_project(tmp_path / "project")
    assert run_snakemake(project, "--cores", "2", "--", *TABLES).returncode == 0
    given, before = project / "results/demo/input", results_of(project)
    assert any(name.endswith(".json") for name in fitted(before))

    for image in given.glob("images/B*/*P.nii.gz"):
        noisy(image)
    table = pd.read_csv(given / "clinical.csv", dtype=str)
    recurred = table.index[(table["centre"] == "B") & table["recurrence_date"].notna()]
    assert len(recurred) > 2
    table.loc[recurred[2:], [f"recurrence_{name}" for name in RECURRENCE]] = None
    table.to_csv(given / "clinical.csv", index=False)
    after = refitted(project)
    for name in ("cohort/recommended/heldout.csv", "features/recommended/heldout.parquet"):
        assert after[name] != before[name], f"{name} is as before: the change did not reach the held-out patients"
    assert fitted(after) == fitted(before)

    for image in given.glob("images/A*/*P.nii.gz"):
        noisy(image)
    signature = "signature/recommended/signature.json"
    again = ["--cores", "2", "--forcerun", "inventory", "--", f"results/demo/{signature}"]
    assert run_snakemake(project, *again).returncode == 0
    assert results_of(project)[signature] != before[signature], "the comparison above cannot fail"
