"""What must not change a feature: the order of patients, the batches, the file format and the order of its axes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scanner import ct_slices, phantom, positions, save

from recur.features.batch import extract_cases
from recur.features.extract import extract_case
from recur.features.table import patient_rows
from recur.images.batch import process
from recur.images.case import make_case
from recur.images.inventory import inventory
from tests.images.test_read import write_seg

PATIENTS = ("P1", "P2", "P3")
SPACING, ORIGIN = (1.5, 1.5, 2.0), (-20.3, -15.1, -100.7)
EXTRACTION = {"spacing_mm": [2, 2, 2], "bin_width": 25, "image_types": ["Original"], "feature_set": "full851"}
EXTRACTION |= {"interpolator": "sitkBSpline", "pad_distance": 10}
SETTINGS = {"extraction": EXTRACTION, "images": {}, "phases": ["AP"], "regions": ["tumour"], "pinned": None}


def volumes(patient):
    """HU with a ball in them, and the ball, as images."""
    z, y, x = (np.indices((14, 24, 26))[k] - middle for k, middle in enumerate((6.5, 11.5, 12.5)))
    made = []
    for array in (phantom((14, 24, 26), seed=int(patient[1])), (z**2 + (y**2 + x**2) / 2 < 22).astype(np.uint8)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing(SPACING)
        image.SetOrigin(ORIGIN)
        made.append(image)
    return made


def study(folder, kind="nii.gz", axes="LPS"):
    """The image manifest of three patients, and their files."""
    rows = []
    for patient in PATIENTS:
        files = {what: f"{patient}-{what}.{kind}" for what in ("image", "mask")}
        for name, made in zip(files.values(), volumes(patient), strict=True):
            sitk.WriteImage(sitk.DICOMOrient(made, axes), str(folder / name))
        rows.append({"patient_id": patient, "phase": "AP", "reader": "reader1"} | files)
    return pd.DataFrame(rows)


def as_dicom(folder):
    """The same as DICOM series and segmentations."""
    hd = pytest.importorskip("highdicom")
    manifest = study(folder)
    for row in manifest.itertuples():
        image, mask = (sitk.GetArrayFromImage(made) for made in volumes(row.patient_id))
        slices = as_slices(image, SPACING, ORIGIN)
        manifest.loc[row.Index, "image"] = save(slices, folder / row.patient_id).name
        manifest.loc[row.Index, "mask"] = write_seg(hd, slices, {"T": mask}, folder / f"{row.patient_id}.dcm").name
    return manifest


def as_slices(hu, spacing, origin):
    def own(data, k):
        data.PixelSpacing = [spacing[1], spacing[0]]

    return ct_slices(hu, where=positions(len(hu), spacing=spacing, origin=origin), change=own)


def features_of(manifest, folder, batches=1):
    """The feature table of the study, patients in order, as the rules make it batch by batch."""
    parts = []
    for batch in range(batches):
        rows = inventory(manifest, folder, manifest, batch, batches)
        rows = rows.astype(object).where(rows.notna(), None).to_dict("records")
        made = [
            record for row in rows for record in process(row, {"on_error": "stop"}, folder / f"cache{batch}").records
        ]
        if made:
            found, excluded, missing = extract_cases(pd.DataFrame(made), folder / f"cache{batch}", EXTRACTION)
            assert not excluded
            parts.append(patient_rows(found, missing, SETTINGS)[0])
    return pd.concat(parts).sort_values("patient_id", ignore_index=True)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    found = features_of(study(folder), folder)
    assert len(found) == 3 and found.shape[1] > 100
    return found


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (study(folder)[::-1], 1),
        lambda folder: (study(folder), 5),
        lambda folder: (study(folder, "nrrd", "RAI"), 1),
        lambda folder: (study(folder, "mha", "SPL"), 1),
        lambda folder: (as_dicom(folder), 1),
    ],
    ids=["order of patients", "batches", "NRRD from the right", "MetaImage slices first", "DICOM"],
)
def test_it_changes_no_byte(original, tmp_path, change):
    manifest, batches = change(tmp_path)
    pd.testing.assert_frame_equal(features_of(manifest, tmp_path, batches), original, rtol=0, atol=0)


def test_a_liver_scan_has_equal_features_in_every_format_and_order(tmp_path):
    """A crop of a real CT, with the recommended extraction."""
    data = Path(os.environ.get("REFERENCE_DATA", ""), "totalsegmentator_liver")
    if not (data / "example_ct_sm.nii.gz").exists():
        pytest.skip("REFERENCE_DATA is not set: no real scan")
    hd = pytest.importorskip("highdicom")
    scan, organs = (sitk.ReadImage(str(data / name)) for name in ("example_ct_sm.nii.gz", "example_seg.nii.gz"))
    liver = sitk.GetArrayFromImage(sitk.DICOMOrient(organs, "LPS")) == 5
    middle = np.argwhere(liver).mean(axis=0).astype(int)
    low = [int(n) for n in (middle - (6, 12, 12))[::-1]]
    image, mask = (sitk.DICOMOrient(one, "LPS")[low[0] : low[0] + 24, low[1] : low[1] + 24, low[2] : low[2] + 12]
                   for one in (scan, sitk.Cast(organs == 5, sitk.sitkUInt8)))  # fmt: skip
    ball = np.add.reduce([(n - m) ** 2 for n, m in zip(np.indices((12, 24, 24)), (6, 12, 12), strict=True)]) < 20
    tumour = sitk.GetImageFromArray((sitk.GetArrayFromImage(mask) * ball).astype(np.uint8))
    tumour.CopyInformation(image)
    rows = {}
    for axes, kind in (("RAS", "nii.gz"), ("LPS", "nrrd"), ("PIL", "mha"), ("SAR", "nii")):
        rows[kind] = {}
        for what, one in (("image", image), ("mask", tumour)):
            rows[kind][what] = str(tmp_path / f"{what}.{kind}")
            sitk.WriteImage(sitk.DICOMOrient(one, axes), rows[kind][what], kind != "nii")
    slices = as_slices(sitk.GetArrayFromImage(image), image.GetSpacing(), image.GetOrigin())
    seg = write_seg(hd, slices, {"T": sitk.GetArrayFromImage(tumour)}, tmp_path / "seg.dcm")
    rows["dicom"] = {"image": str(save(slices, tmp_path / "ct")), "mask": str(seg)}
    settings = EXTRACTION | {"spacing_mm": [1, 1, 1], "image_types": ["Original", "Wavelet"]}
    found = {}
    for kind, row in rows.items():
        found[kind] = extract_case(make_case(row, {}), settings)
    base = found.pop("nrrd")
    assert len(base) == 851
    for kind, values in found.items():
        assert values == pytest.approx(base, rel=1e-9, abs=1e-12), kind
