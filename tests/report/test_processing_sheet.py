"""The IBSI processing sheet of the report, and the phantom self-test that it quotes."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest

from recur.features.self_test import COLUMNS, self_test
from recur.features.table import manifest
from recur.report.processing_sheet import processing_sheet
from recur.tables import StudyError, write_json, write_table

PHANTOM = Path(os.environ.get("REFERENCE_DATA", "")) / "ibsi1_digital_phantom"
reference = pytest.mark.skipif("REFERENCE_DATA" not in os.environ, reason="REFERENCE_DATA is not set: no IBSI phantom")
EXTRACTION = {
    "spacing_mm": [1, 1, 1],
    "bin_width": 25,
    "image_types": ["Original", "Wavelet"],
    "feature_set": "full851",
    "interpolator": "sitkBSpline",
    "pad_distance": 10,
}
IMAGES = {"modality": "CT", "normalise": "none", "n4": False, "readers": ["reader1", "reader2"]}


@reference
@pytest.mark.parametrize("engine", ["fast", "plain"])
def test_the_phantom_is_within_the_consensus_but_for_three_formulas(engine):
    table = self_test(PHANTOM, engine)
    assert len(table) == 105 and table["within"].sum() == 102
    assert set(table.loc[~table["within"], "tag"]) == {"stat_kurt", "morph_pca_min_axis", "morph_pca_least_axis"}
    assert table.loc[~table["within"], "known_deviation"].str.len().gt(10).all()
    assert table.loc[table["within"], "deviation"].max() == pytest.approx(0.0066, abs=1e-4)


@reference
def test_a_value_that_is_not_what_it_should_be_stops_the_study(tmp_path):
    shutil.copytree(PHANTOM, tmp_path / "phantom")
    path = tmp_path / "phantom" / "reference_values_digital_phantom.csv"
    values = pd.read_csv(path, sep=";")
    values.loc[values["tag"] == "stat_mean", "reference value"] = 2.17
    values.to_csv(path, sep=";", index=False)
    with pytest.raises(StudyError, match=r"original_firstorder_Mean \(stat_mean\) is 2.14865, the consensus is 2.17"):
        self_test(tmp_path / "phantom", "fast")
    path.unlink()
    with pytest.raises(StudyError, match="no such file; unset REFERENCE_DATA to go without"):
        self_test(tmp_path / "phantom", "fast")


@pytest.fixture
def results(tmp_path):
    def made(images=None, headers=True, **extraction):
        images, extraction = IMAGES | (images or {}), EXTRACTION | extraction
        settings = {
            "extraction": extraction,
            "images": {},
            "phases": ["AP"],
            "regions": ["tumour", "rim"],
            "pinned": None,
        }
        write_json(manifest(settings), tmp_path / "features" / "reader1.manifest.json")
        write_table(pd.DataFrame(columns=COLUMNS), tmp_path / "features" / "ibsi_self_test.csv")
        write_table(
            pd.DataFrame({"patient_id": ["p1", "p2"], "spacing_z": [2.5, 5.0]}), tmp_path / "images/batch-0.csv"
        )
        if headers:
            scans = {
                "manufacturer": ["SIEMENS", "GE", "SIEMENS"],
                "model": ["Force", None, "Force"],
                "kvp": [120, 100, 120],
            }
            write_table(pd.DataFrame(scans), tmp_path / "images" / "acquisition.csv")
        sheet = processing_sheet(tmp_path, {"images": images}, "reader1")
        return dict(sheet.itertuples(index=False))

    return made


def test_the_sheet_of_pyradiomics_processing(results):
    sheet = results()
    assert sheet["scanners"] == "SIEMENS Force (2); GE (1)"
    assert sheet["kVp"] == "median 120, 100 to 120 (3 of 3 scans)"
    assert sheet["reconstruction kernel"] == "not known: no DICOM header gives it"
    assert sheet["slice spacing, mm"] == "median 3.75, 2.5 to 5, of 2 masks' scans"
    assert sheet["regions of interest"] == "masks of reader1, reader2; features of tumour, rim"
    assert sheet["interpolation of images"].endswith(
        "1 x 1 x 1 mm, grid aligned with the scan's corner, float32, not rounded"
    )
    assert sheet["interpolation of masks"].startswith("nearest neighbour")
    assert sheet["re-segmentation"] == "none"
    assert sheet["discretisation"].startswith("fixed bin width, 25 HU, first bin at the multiple of the width")
    assert sheet["features"].startswith("1702 columns: 851 a region and phase (firstorder 162, glcm 216, gldm 126")
    assert "pyradiomics 3.0.1" in sheet["software"]
    assert "nearest neighbour" in sheet["deviations from IBSI"] and "kurtosis" in sheet["deviations from IBSI"]
    assert sheet["self-test, IBSI digital phantom"].startswith("not run: REFERENCE_DATA was not set")
    assert len(sheet["manifest"]) == 64


@reference
def test_the_sheet_quotes_the_self_test(results, tmp_path):
    results()
    write_table(self_test(PHANTOM, "fast"), tmp_path / "features" / "ibsi_self_test.csv")
    sheet = dict(processing_sheet(tmp_path, {"images": IMAGES}, "reader1").itertuples(index=False))
    text = sheet["self-test, IBSI digital phantom"]
    assert text.startswith("102 of 105 consensus values within tolerance, largest relative deviation 0.66 %")
    assert "firstorder_Kurtosis (pyradiomics does not subtract 3)" in text


def test_the_sheet_of_ibsi_processing(results):
    sheet = results(
        mode="ibsi",
        interpolator="sitkLinear",
        spacing_mm=[2, 2, 2],
        resegment=[-1000, 400],
        outlier_sd=3,
        image_types=["Original", "LoG"],
        log_sigma_mm=[1, 3],
    )
    assert sheet["interpolation of images"] == "trilinear, 2 x 2 x 2 mm, grid centred on the scan, rounded to whole HU"
    assert sheet["interpolation of masks"] == "trilinear, threshold 0.5, same grid"
    assert sheet["re-segmentation"] == "-1000 to 400, then within 3 SD of the mean; shape keeps the whole region"
    assert sheet["discretisation"].startswith("fixed bin width, 25 HU, first bin at -1000 (filtered images:")
    assert "LoG: Laplacian of Gaussian, sigma 1, 3 mm" in sheet["image filters"]
    assert "corner" not in sheet["deviations from IBSI"] and "padded box" in sheet["deviations from IBSI"]


def test_the_sheet_of_mr_without_headers(results):
    mr = {"modality": "MR", "normalise": "zscore", "n4": True}
    sheet = results(images=mr, headers=False, mode="ibsi", bin_width=None, bin_count=32)
    assert sheet["scanners"] == "not known: no DICOM header gives it"
    assert sheet["intensities"] == "z-scores of the scan, after N4 bias field correction"
    assert sheet["interpolation of images"].endswith("not rounded")
    assert sheet["discretisation"] == "fixed number of bins, 32, over the region's own range"
    assert "padded box" not in results(image_types=["Original"])["deviations from IBSI"]
