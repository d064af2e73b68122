"""What `snakemake check` says before anything is run."""

import os
from pathlib import Path

import pandas as pd
import pytest

from recur.check import NAMED_MISSING, check_tables, plan, what_is_read
from recur.study import ROOT, resolve


def study(folder, **changes):
    images = {"manifest": str(folder / "images.csv"), "root": None, "phases": ["AP", "PVP"], "readers": ["r1", "r2"]}
    return {"images": images, "on_error": "exclude"} | changes


def manifest(folder, patients=3):
    rows = []
    for i in range(patients):
        for phase in ("AP", "PVP"):
            rows.append(
                {
                    "patient_id": f"P{i}",
                    "phase": phase,
                    "reader": "r1",
                    "image": f"P{i}/{phase}",
                    "mask": f"P{i}/{phase}.nii.gz",
                }
            )
            (folder / f"P{i}" / phase).mkdir(parents=True)
            (folder / f"P{i}" / f"{phase}.nii.gz").touch()
    return pd.DataFrame(rows).assign(liver_mask=None, series="phase:AP")


def test_formats_are_counted_by_phase_and_reader(tmp_path):
    table = manifest(tmp_path)
    (tmp_path / "scan.nrrd").touch()
    table.loc[0, "image"] = "scan.nrrd"
    table.loc[1, "series"] = None
    assert what_is_read(table, study(tmp_path)) == [
        "    phase  reader  cases  image                   mask     series  missing files",
        "    AP     r1      3      2 DICOM folder, 1 NRRD  3 NIfTI  3       0",
        "    AP     r2      0      0                       0        0       0",
        "    PVP    r1      3      3 DICOM folder          3 NIfTI  2       0",
        "    PVP    r2      0      0                       0        0       0",
    ]


def test_missing_files_and_phases_are_named(tmp_path):
    table = manifest(tmp_path, patients=12)
    table["mask"] = "gone/" + table["mask"]
    lines = what_is_read(table[:-1], study(tmp_path, on_error="stop"))
    assert "    missing: patient P0 AP r1: mask gone/P0/AP.nii.gz" in lines
    assert sum("missing: patient" in line for line in lines) == NAMED_MISSING
    assert lines[-3:] == [
        "    and 13 more are missing",
        "    the run will stop at them (on_error: stop)",
        "    without PVP of r1: 1 of them (P11)",
    ]


@pytest.mark.reference
@pytest.mark.parametrize(
    ("name", "expected"),
    [("asaur", "  patients: 227 (train 227)"), ("crlm-tables", "  features.table: 186 features of 197 patients")],
)
def test_studies_of_published_tables_can_be_run(name, expected):
    if not Path(os.environ.get("REFERENCE_DATA", ""), "crlm_resection").is_dir():
        pytest.skip("REFERENCE_DATA is not set: no published tables")
    study = resolve(ROOT / "studies" / f"{name}.yaml")
    check_tables(study)
    assert expected in plan(study)
