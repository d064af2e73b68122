"""The image manifest of a public collection: phases by word and time, segments by label."""

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

from recur.contracts import contract_of, problems_of_table
from recur.demo.dicom import uid, write_ct_series, write_seg
from recur.demo.images import SCANNERS
from recur.download.store import FETCHED
from recur.images.dicom.series import Volumes
from recur.images.manifest import Found, assign_phases, image_manifest, phase_word
from recur.images.read import read_image, read_mask

SHAPE = (6, 16, 16)
SCANNER = SCANNERS["A"]
PUBLIC = {"tumour": "pattern:(mass|tumou?r).*", "liver": "Liver"}


def write_scans(folder: Path, description: str, scans: list[tuple[str, int]], frame: str = "1.2.3") -> list[Path]:
    """One series of several scans [(time, grey value)], at the same positions; returns its files, scan by scan."""
    files = []
    for number, (clock, value) in enumerate(scans, 1):
        name = f"{description}-{number}"
        for path in write_ct_series(np.full(SHAPE, value, np.int16), SCANNER, "HCC_001", name, folder / str(number)):
            data = pydicom.dcmread(path)
            data.SeriesInstanceUID, data.SeriesDescription = uid(description), description
            data.AcquisitionNumber, data.AcquisitionTime, data.FrameOfReferenceUID = number, clock, frame
            data.save_as(path)
            files.append(path)
    return files


def segmented(folder: Path, files: list[Path], labels: tuple[str, ...] = ("Liver", "Mass", "Portal vein")) -> None:
    folder.mkdir(parents=True)
    masks = {label: np.zeros(SHAPE, bool) for label in labels}
    for k, mask in enumerate(masks.values()):
        mask[2:5, 2 + 4 * k : 5 + 4 * k, 3:9] = True
    write_seg(masks, files, "reader1", folder / "seg.dcm")


def downloaded(*paths: str) -> pd.DataFrame:
    rows = []
    for path in paths:
        patient, series = path.split("/")
        rows.append(
            dict.fromkeys(FETCHED, "") | {"patient_id": patient, "modality": series.split("-")[0], "path": path}
        )
    return pd.DataFrame(rows)


def test_phases_of_one_series_are_its_scans_in_order_of_time(tmp_path):
    """As the collection has them: 3 PHASE in one series at equal positions, the native scan apart; AP is no phase."""
    files = write_scans(
        tmp_path / "HCC_001/CT-2", "LIVER 3 PHASE (AP)", [("120040", 80), ("120115", 120), ("120340", 95)]
    )
    write_scans(tmp_path / "HCC_001/CT-1", "PRE LIVER", [("115500", 50)])
    segmented(tmp_path / "HCC_001/SEG-3", files[: SHAPE[0]])
    series = downloaded("HCC_001/CT-1", "HCC_001/CT-2", "HCC_001/SEG-3")
    manifest, left_out = image_manifest(series, tmp_path, PUBLIC, ["NC", "AP", "PVP", "DP"])
    assert problems_of_table(manifest.fillna(""), contract_of("input/images.csv")) == []
    assert problems_of_table(left_out, contract_of("input/left_out.csv")) == []
    assert left_out.empty
    assert dict(zip(manifest["phase"], manifest["series"].fillna(""), strict=True)) == {
        "NC": "", "AP": "part:1", "PVP": "part:2", "DP": "part:3",
    }  # fmt: skip
    for row, value in zip(manifest.itertuples(), (50, 80, 120, 95), strict=True):
        image = read_image(tmp_path / row.image, row.series if isinstance(row.series, str) else None)
        assert (image.voxels == value).all()
        mask = read_mask(tmp_path / row.mask, row.mask_label, image)
        assert mask.voxels.sum() == 3 * 3 * 6
        assert read_mask(tmp_path / row.liver_mask, row.liver_label, image).voxels.sum() == 3 * 3 * 6


def test_a_scan_of_another_position_of_the_patient_is_not_used(tmp_path):
    files = write_scans(tmp_path / "HCC_001/CT-1", "C-A-P", [("120040", 80), ("120115", 120)])
    write_scans(tmp_path / "HCC_001/CT-2", "PRE", [("115500", 50)], frame="1.2.4")
    segmented(tmp_path / "HCC_001/SEG-3", files[: SHAPE[0]])
    series = downloaded("HCC_001/CT-1", "HCC_001/CT-2", "HCC_001/SEG-3")
    manifest, left_out = image_manifest(series, tmp_path, PUBLIC, ["NC", "AP"])
    assert list(manifest["phase"]) == ["AP"]
    assert left_out.to_dict("records")[0]["phase"] == "NC"
    assert "no volume is known to be NC: C-A-P part 1" in left_out["reason"][0]


def test_one_stated_phase_is_that_of_the_series_the_mask_was_drawn_on(tmp_path):
    files = write_scans(tmp_path / "P1/CT-1", "Abdomen", [("120040", 80)])
    write_scans(tmp_path / "P1/CT-2", "Thorax", [("120140", 20)])
    segmented(tmp_path / "P1/SEG-3", files, ("Liver", "Tumor_1", "Tumor_2"))
    series = downloaded("P1/CT-1", "P1/CT-2", "P1/SEG-3")
    manifest, left_out = image_manifest(series, tmp_path, PUBLIC | {"phase": "PVP"}, ["PVP"])
    assert left_out.empty and list(manifest["image"]) == ["P1/CT-1"] and manifest["series"].isna().all()
    image = read_image(tmp_path / "P1/CT-1")
    assert read_mask(tmp_path / manifest["mask"][0], manifest["mask_label"][0], image).voxels.sum() == 2 * 3 * 3 * 6


def test_patients_without_a_tumour_segment_are_left_out_with_the_reason(tmp_path):
    files = write_scans(tmp_path / "P1/CT-1", "VENOUS", [("120040", 80)])
    segmented(tmp_path / "P1/SEG-3", files, ("Liver", "Necrosis"))
    manifest, left_out = image_manifest(downloaded("P1/CT-1", "P1/SEG-3"), tmp_path, PUBLIC, ["PVP"])
    assert manifest.empty
    assert "fits nothing there; present: 1 Liver, 2 Necrosis" in left_out["reason"][0]


def test_a_segmentation_without_liver_has_no_liver_mask(tmp_path):
    files = write_scans(tmp_path / "P1/CT-1", "VENOUS", [("120040", 80)])
    segmented(tmp_path / "P1/SEG-3", files, ("Mass",))
    manifest, _ = image_manifest(downloaded("P1/CT-1", "P1/SEG-3"), tmp_path, PUBLIC, ["PVP"])
    assert manifest["liver_mask"].isna().all() and list(manifest["phase"]) == ["PVP"]


@pytest.mark.parametrize(
    ("description", "phase"),
    [
        ("Recon 2: PRE LIVER", "NC"),
        ("ARTERIAL", "AP"),
        ("VENOUS", "PVP"),
        ("LIVER 3 PHASE (AP)", None),
        ("Recon 3: LIVER 2 PHASE (C/A/P)", None),
        ("arterial and venous", None),
        ("2.5 STANDARD", None),
    ],
)
def test_words_of_the_collections_descriptions(description, phase):
    assert phase_word(description) == phase


def scans(*starts: float, series: str = "1") -> list[Found]:
    volumes = Volumes(series, "LIVER", None, list(starts), [5] * len(starts))
    return [Found("x", volumes, part, start, 5) for part, start in enumerate(starts, 1)]


@pytest.mark.parametrize(
    ("starts", "phases"),
    [
        ((0, 35), {"AP": [1], "PVP": [2]}),
        ((0, 35, 180), {"AP": [1], "PVP": [2], "DP": [3]}),
        ((0, 150), {"PVP": [1], "DP": [2]}),
        ((0, 2, 40), {"AP": [1, 2], "PVP": [3]}),  # two reconstructions of one scan
        ((0,), {}),  # nobody knows
        ((None, None), {}),
    ],
)
def test_phases_by_the_distance_in_time(starts, phases):
    assert {p: [v.part for v in found] for p, found in assign_phases(scans(*starts)).items()} == phases
