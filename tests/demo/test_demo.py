"""The demo cohort: same bytes from the same seed, the planted truth, and files that ordinary readers open."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from matplotlib.path import Path as Polygon
from sksurv.metrics import concordance_index_censored

from recur.demo.images import SCANNERS, draw_anatomy, grid_points, patient_rng, read_tumour, write_patient
from recur.demo.tables import CLINICAL_TERMS, CUTOFF, make_cohort, redraw
from recur.tables import read_table, write_table

DATES = ["surgery_date", "scan_date", "recurrence_date", "death_date", "last_contact_date", "last_imaging_date"]


@pytest.fixture(scope="module")
def cohort() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    return make_cohort(1)


def sound(clinical: pd.DataFrame, truth: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    truth = truth[truth["defect"] == ""]
    return clinical.set_index("patient_id").loc[truth["patient_id"]].reset_index(), truth.reset_index(drop=True)


def time_to_recurrence(clinical: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    dates = clinical[DATES].apply(pd.to_datetime)
    imaging = dates["last_imaging_date"].fillna(dates["last_contact_date"])
    end = dates["recurrence_date"].fillna(np.minimum(imaging, dates["death_date"].fillna(imaging)))
    return (end - dates["surgery_date"]).dt.days.to_numpy(), dates["recurrence_date"].notna().to_numpy()


def clinical_lp(clinical: pd.DataFrame) -> np.ndarray:
    terms = clinical.assign(
        ln_afp=np.log(clinical["afp_ng_ml"]).fillna(3.4), margin_nonsmooth=(clinical["margin"] == "non-smooth") * 1.0
    )
    return sum(beta * terms[name].to_numpy(float) for name, (beta, _) in CLINICAL_TERMS.items())


def harrell(clinical: pd.DataFrame, lp: np.ndarray) -> float:
    time, event = time_to_recurrence(clinical)
    return concordance_index_censored(event, time, lp)[0]


def test_same_seed_same_tables_other_seed_others(cohort, tmp_path):
    again, other = make_cohort(1), make_cohort(2)
    for name, table, repeat in zip(("clinical", "images", "truth"), cohort, again, strict=True):
        write_table(table, tmp_path / f"{name}.csv")
        write_table(repeat, tmp_path / f"{name}-again.csv")
        assert (tmp_path / f"{name}.csv").read_bytes() == (tmp_path / f"{name}-again.csv").read_bytes()
    assert not cohort[0].equals(other[0])


def test_counts(cohort):
    clinical, images, truth = cohort
    _, healthy = sound(clinical, truth)
    assert healthy["centre"].value_counts().to_dict() == {"A": 150, "B": 100}
    assert (clinical["synthetic"] == 1).all() and (truth["synthetic"] == 1).all()
    reader2 = images[images["reader"] == "reader2"]["patient_id"].unique()
    assert len(reader2) == 40
    assert all(patient_id in set(healthy["patient_id"]) and patient_id.startswith("A") for patient_id in reader2)
    per_patient = images.drop_duplicates("patient_id")
    assert per_patient["liver_mask"].isna().sum() == 20
    assert per_patient["mask"].str.endswith("_seg.dcm").sum() == 6
    assert per_patient["mask"].str.endswith("_rtstruct.dcm").sum() == 6
    assert per_patient["mask"].str.endswith(".nrrd").sum() == 4
    assert not images.duplicated(["patient_id", "phase", "reader"]).any()


def test_small_cohort_keeps_its_shape():
    clinical, images, truth = make_cohort(1, (30, 20))
    assert len(truth) == 56 and len(clinical) == 57
    assert images.loc[images["reader"] == "reader2", "patient_id"].nunique() == 8
    assert (images["mask"].str.endswith("_seg.dcm")).any()


def test_clinical_table_is_plausible(cohort):
    clinical, truth = sound(cohort[0], cohort[2])
    dates = clinical[DATES].apply(pd.to_datetime)
    assert (dates.max() <= pd.Timestamp(CUTOFF)).all()
    assert (dates["scan_date"] < dates["surgery_date"]).all()
    for column in ("recurrence_date", "death_date", "last_contact_date", "last_imaging_date"):
        assert (dates[column].dropna() > dates["surgery_date"][dates[column].notna()]).all()
    assert not (dates["recurrence_date"] > dates["death_date"]).any()
    assert (dates["last_contact_date"] == dates["death_date"])[dates["death_date"].notna()].all()
    assert not (dates["last_imaging_date"] >= dates["recurrence_date"]).any()
    assert clinical["recurrence_number"].notna().equals(clinical["recurrence_date"].notna())
    np.testing.assert_allclose(clinical["tumour_size_cm"] * 10, truth["tumour_diameter_mm"], atol=0.51)
    missing = clinical.drop(columns=clinical.filter(regex="_date$|^recurrence").columns).isna().mean()
    assert 0 < missing.max() < 0.07


def test_planted_defects_are_there(cohort):
    clinical, images, truth = cohort
    assert truth[truth["defect"] != ""].set_index("patient_id")["defect"].to_dict() == {
        "A151": "mask_missing",
        "A152": "mask_empty",
        "A153": "mask_other_grid",
        "A154": "duplicate_id",
        "A155": "recurrence_before_surgery",
        "B101": "no_image_row",
    }
    twins = clinical[clinical["patient_id"].duplicated(keep=False)]
    assert twins["patient_id"].tolist() == ["A154", "A154"] and twins["age"].nunique() == 2
    early = clinical["recurrence_date"] < clinical["surgery_date"]
    assert clinical.loc[early, "patient_id"].tolist() == ["A155"]
    assert set(truth["patient_id"]) - set(images["patient_id"]) == {"B101"}


def test_planted_concordance():
    rows = []
    for seed in range(12):
        clinical, _, truth = make_cohort(seed)
        clinical, truth = sound(clinical, truth)
        external = (truth["centre"] == "B").to_numpy()
        rows.append([harrell(clinical[external], truth[lp].to_numpy()[external]) for lp in ("lp", "lp_clinical")])
        time, event = time_to_recurrence(clinical)
        rows[-1] += [np.mean(event & (time <= 1826)), np.mean(clinical["death_date"].notna() & ~event)]
    full, clinical_part, recurred, died = np.mean(rows, axis=0)
    # Four standard errors of the mean of 12 seeds about the means of 50 (0.800 and 0.620).
    assert full == pytest.approx(0.80, abs=0.04)
    assert clinical_part == pytest.approx(0.62, abs=0.046)
    assert 0.38 < recurred < 0.50
    assert 0.10 < died < 0.16


def test_image_factors_are_independent_of_preoperative_columns():
    correlations = []
    for seed in range(8):
        clinical, truth = sound(*make_cohort(seed)[::2])
        columns = clinical[["age", "afp_ng_ml", "cirrhosis", "necrosis", "tumour_size_cm", "mvi"]]
        correlations.append([columns.corrwith(truth[f]) for f in ("heterogeneity", "rim_enhancement")])
    mean = pd.DataFrame(np.mean(correlations, axis=0), columns=columns.columns)
    assert (mean.drop(columns="mvi").abs() < 0.09).all(axis=None)
    assert (mean["mvi"] > 0.15).all()


@pytest.mark.parametrize(
    ("signal", "image", "clinic"), [("full", 0.77, 0.62), ("clinical_only", 0.5, 0.67), ("none", 0.5, 0.5)]
)
def test_redraw_keeps_only_the_named_signal(cohort, signal, image, clinic):
    clinical, truth = sound(cohort[0], cohort[2])
    rows = []
    for seed in range(12):
        new = redraw(truth, clinical, seed, signal)
        assert new["patient_id"].tolist() == truth["patient_id"].tolist()
        assert new.columns.tolist() == clinical.columns.tolist()
        assert new["tumour_size_cm"].equals(clinical["tumour_size_cm"])
        rows.append((harrell(new, truth["lp_image"].to_numpy()), harrell(new, clinical_lp(new))))
    assert np.mean(rows, axis=0) == pytest.approx([image, clinic], abs=0.03)


def test_redraw_from_written_tables_is_deterministic(cohort, tmp_path):
    for name, table in zip(("clinical", "truth"), cohort[::2], strict=True):
        write_table(table, tmp_path / f"{name}.csv")
    truth, clinical = read_table(tmp_path / "truth.csv"), read_table(tmp_path / "clinical.csv")
    new = redraw(truth, clinical, 5, "none")
    assert new.equals(redraw(truth, clinical, 5, "none"))
    assert new["patient_id"].is_unique and set(new["patient_id"]) == set(clinical["patient_id"])


def write(cohort, patient_id: str, root: Path, seed: int = 1) -> tuple[pd.DataFrame, list[Path]]:
    _, images, truth = cohort
    rows = images[images["patient_id"] == patient_id]
    return rows, write_patient(rows, truth.set_index("patient_id", drop=False).loc[patient_id], seed, root)


def first_with(cohort, suffix: str) -> str:
    images = cohort[1]
    return images.loc[images["mask"].str.endswith(suffix), "patient_id"].iloc[0]


def true_masks(cohort, patient_id: str, phase: str = "AP") -> np.ndarray:
    truth = cohort[2].set_index("patient_id").loc[patient_id]
    anatomy = draw_anatomy(truth["tumour_diameter_mm"], patient_rng(1, patient_id, "anatomy"))
    shift = patient_rng(1, patient_id, phase).normal(0, 1.0, 3)
    points = grid_points(SCANNERS[truth["centre"]], shift)
    return read_tumour(anatomy, points, "reader1", patient_rng(1, patient_id, f"{phase}/reader1"))


@pytest.mark.parametrize("suffix", ["_tumour.nii.gz", ".nrrd", "_seg.dcm", "_rtstruct.dcm"])
def test_images_are_the_same_bytes_twice(cohort, tmp_path, suffix):
    patient_id = first_with(cohort, suffix)
    _, first = write(cohort, patient_id, tmp_path / "a")
    _, again = write(cohort, patient_id, tmp_path / "b")
    assert [p.relative_to(tmp_path / "a") for p in first] == [p.relative_to(tmp_path / "b") for p in again]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, again, strict=True))


def test_every_manifest_path_is_written(cohort, tmp_path):
    for suffix in ("reader2_tumour.nii.gz", ".nrrd"):
        rows, files = write(cohort, first_with(cohort, suffix), tmp_path)
        named = {tmp_path / name for column in ("image", "mask", "liver_mask") for name in rows[column].dropna()}
        assert named == set(files)


def test_nrrd_labels(cohort, tmp_path):
    patient_id = first_with(cohort, ".nrrd")
    rows, _ = write(cohort, patient_id, tmp_path)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / rows["mask"].iloc[0])))
    assert set(np.unique(labels)) == {0, 1, 2}
    assert np.array_equal(labels == 1, true_masks(cohort, patient_id) == 1)


def test_dicom_series_and_seg(cohort, tmp_path):
    patient_id = first_with(cohort, "_seg.dcm")
    rows, _ = write(cohort, patient_id, tmp_path)
    reader = sitk.ImageSeriesReader()
    names = reader.GetGDCMSeriesFileNames(str(tmp_path / rows["image"].iloc[0]))
    reader.SetFileNames(names)
    image = reader.Execute()
    scanner = SCANNERS[patient_id[0]]
    assert image.GetSize() == scanner.size
    np.testing.assert_allclose(image.GetSpacing(), scanner.spacing)
    assert 60 < sitk.GetArrayFromImage(image)[true_masks(cohort, patient_id) == 1].mean() < 130
    assert pydicom.dcmread(names[0]).PatientName == f"SYNTHETIC^{patient_id}"
    seg = hd.seg.segread(tmp_path / rows["mask"].iloc[0])
    assert [seg.get_segment_description(i).segment_label for i in (1, 2)] == ["Tumour", "Liver"]
    uids = [pydicom.dcmread(name, stop_before_pixels=True).SOPInstanceUID for name in names]
    masks = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    assert np.array_equal(masks[..., 0], true_masks(cohort, patient_id))


def test_rtstruct_fills_back_to_the_mask(cohort, tmp_path):
    patient_id = first_with(cohort, "_rtstruct.dcm")
    rows, files = write(cohort, patient_id, tmp_path)
    rt = pydicom.dcmread(tmp_path / rows["mask"].iloc[0])
    assert [roi.ROIName for roi in rt.StructureSetROISequence] == ["Tumour", "Liver"]
    ct = pydicom.dcmread(files[0])
    nx, ny, nz = SCANNERS[patient_id[0]].size
    x0, y0, z0 = map(float, ct.ImagePositionPatient)
    centres = np.stack(np.meshgrid(np.arange(nx), np.arange(ny)), axis=-1).reshape(-1, 2)
    filled = np.zeros((nz, ny, nx), dtype=bool)
    for contour in rt.ROIContourSequence[0].ContourSequence:
        points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
        assert contour.NumberOfContourPoints == len(points)
        k = round((points[0, 2] - z0) / SCANNERS[patient_id[0]].spacing[2])
        inside = Polygon((points[:, :2] - [x0, y0]) / ct.PixelSpacing[0]).contains_points(centres)
        filled[k] ^= inside.reshape(ny, nx)
    mask = true_masks(cohort, patient_id) == 1
    assert 2 * (filled & mask).sum() / (filled.sum() + mask.sum()) > 0.97


def test_broken_masks(cohort, tmp_path):
    rows, files = write(cohort, "A151", tmp_path)
    assert not (tmp_path / rows["mask"].iloc[0]).exists() and files
    rows, _ = write(cohort, "A152", tmp_path)
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / rows["mask"].iloc[0]))).sum() == 0
    rows, _ = write(cohort, "A153", tmp_path)
    image, mask = (sitk.ReadImage(str(tmp_path / rows[c].iloc[0])) for c in ("image", "mask"))
    assert image.GetSize() != mask.GetSize() and image.GetSpacing() != mask.GetSpacing()


def test_simple_features_follow_the_planted_factors(cohort, tmp_path):
    truth = cohort[2].set_index("patient_id")
    rows = []
    for patient_id in [*(f"A{i:03d}" for i in range(1, 13)), *(f"B{i:03d}" for i in range(1, 13))]:
        manifest, _ = write(cohort, patient_id, tmp_path)
        row = manifest.iloc[0]
        if not row["mask"].endswith("reader1_tumour.nii.gz"):
            continue
        image, mask = (sitk.ReadImage(str(tmp_path / row[c])) for c in ("image", "mask"))
        distance = sitk.GetArrayFromImage(
            sitk.SignedMaurerDistanceMap(mask, squaredDistance=False, useImageSpacing=True, insideIsPositive=False)
        )
        hu, tumour = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(mask) == 1
        rim = ~tumour & (distance <= 10) & (hu > 0)
        factors = truth.loc[patient_id, ["heterogeneity", "rim_enhancement"]].tolist()
        rows.append([hu[tumour].std(), hu[rim].mean(), *factors])
    correlation = np.corrcoef(np.array(rows, dtype=float).T)
    assert correlation[0, 2] > 0.85 and correlation[1, 3] > 0.85
