"""Floor 3's programs: the same columns for every patient, NaN with a reason, the cache, the manifest and its guard."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import distance_transform_edt

from recur.features.cache import feature_key
from recur.features.complete import without_regions
from recur.features.extract import extract_with_reasons
from recur.features.sets import feature_names
from recur.features.table import manifest, merge_batches, patient_rows, table_columns
from recur.images.case_file import Case, load_case, save_case
from recur.tables import MANIFEST, StudyError, one_manifest, read_table, signed

SCRIPTS = Path(__file__).parents[2] / "scripts"
CACHE = Path(tempfile.mkdtemp())
# the programs find what the tests have compiled
Path(os.environ["NUMBA_CACHE_DIR"]).mkdir(parents=True, exist_ok=True)
(CACHE / "numba").symlink_to(Path(os.environ["NUMBA_CACHE_DIR"]).resolve())
atexit.register(shutil.rmtree, CACHE, ignore_errors=True)
EXTRACTION = {
    "spacing_mm": [2, 2, 2],
    "bin_width": 25,
    "image_types": ["Original", "Wavelet"],
    "feature_set": "ji846",
    "interpolator": "sitkBSpline",
    "pad_distance": 6,
}
SETTINGS = {
    "extraction": EXTRACTION,
    "images": {"modality": "CT", "normalise": "none", "regions": {"rim_mm": 4}},
    "phases": ["PVP", "AP"],
    "regions": ["tumour", "rim"],
    "pinned": None,
}


def stored_case(seed, path, rim_mm=4.0, tumour_bit=1):
    """A noisy ball of 12 mm with a rim, as floor 2 stores it (nothing cropped); with tumour_bit 0 the ball is lost."""
    shape, spacing = (16, 30, 30), (1.5, 1.5, 2.5)
    rng = np.random.default_rng(seed)
    middle = np.array([[[[7.5]]], [[[14.5]]], [[[14.5]]]])
    distance = np.sqrt((((np.indices(shape) - middle) * np.array(spacing[::-1])[:, None, None, None]) ** 2).sum(0))
    tumour = distance < 6
    away = distance_transform_edt(~tumour, sampling=spacing[::-1])
    image = np.rint(100 + 30 * rng.normal(size=shape))
    labels = tumour * tumour_bit + ((away > 0) & (away <= rim_mm)) * 2
    regions = [{"region": "rim", "reason": "rim: 20 % of the 4 mm shell is left"}] if rim_mm == 0 else []
    case = Case(
        image=image.astype(np.float32),
        labels=labels.astype(np.uint8),
        spacing=np.array(spacing),
        direction=np.eye(3).ravel(),
        full_size=np.array(shape[::-1]),
        offset=np.zeros(3, int),
        full_origin=np.zeros(3),
        facts={"regions": {"tumour": 1, "rim": 2, "liver": 4}, "region_table": regions},
    )
    save_case(case, path)


def run(script, *arguments, check=True):
    command = [sys.executable, SCRIPTS / script, *map(str, arguments)]
    return subprocess.run(command, check=check, capture_output=True, text=True)


def outputs(folder, name):
    files = {"output": f"{name}.parquet", "exclusions": f"{name}.csv", "missing": f"{name}-missing.csv"}
    return [part for key, file in files.items() for part in (f"--{key}", folder / file)]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Cases of five patients (two phases; reader2 for one): one lost its tumour, one excluded before, one rimless."""
    folder = tmp_path_factory.mktemp("study")
    rows = []
    for n, (patient, reader, phase) in enumerate(
        [("P1", "reader1", "AP"), ("P1", "reader1", "PVP"), ("P1", "reader2", "AP"), ("P1", "reader2", "PVP")]
        + [("P2", "reader1", "PVP"), ("P2", "reader1", "AP")]
        + [("P3", "reader1", "AP"), ("P3", "reader1", "PVP"), ("P4", "reader1", "AP"), ("P4", "reader1", "PVP")]
        + [("P5", "reader1", "AP"), ("P5", "reader1", "PVP")]
    ):
        name = f"{n:064x}.npz"
        stored_case(n, CACHE / name, rim_mm=0 if (patient, phase) == ("P5", "PVP") else 4)
        rows.append([patient, phase, reader, name, "ok", "", 100, 1.0])
    stored_case(6, CACHE / rows[6][3], tumour_bit=0)
    rows[8] = ["P4", "AP", "reader1", "", "excluded", "rim: too little left", "", ""]
    columns = ["patient_id", "phase", "reader", "case", "status", "reason", "rim_voxels", "tumour_ml"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "cases.csv", index=False)
    common = ("--cases", folder / "cases.csv", "--cache", CACHE, "--settings", json.dumps(SETTINGS))
    done = run("features.py", *common, *outputs(folder, "a"))
    return folder, common, done


def test_features_program_writes_a_row_per_patient_and_reader(study):
    folder, _, done = study
    table = pd.read_parquet(folder / "a.parquet")
    assert list(zip(table["patient_id"], table["reader"], strict=True)) == [
        ("P1", "reader1"),
        ("P1", "reader2"),
        ("P2", "reader1"),
        ("P5", "reader1"),
    ]
    names = feature_names("ji846", EXTRACTION["image_types"])
    expected = [f"{p}_{r}_{n}" for p in ("AP", "PVP") for r in ("tumour", "rim") for n in names]
    assert list(table.columns) == ["patient_id", "reader", *expected] and len(expected) == 3384
    assert (table.dtypes.iloc[2:] == "float64").all()
    assert np.isfinite(table.iloc[:3][expected].to_numpy()).all()
    excluded = read_table(folder / "a.csv")
    assert excluded[["patient_id", "floor"]].to_numpy().tolist() == [["P3", "features"]]
    assert excluded["reason"][0].startswith("AP reader1:") and "tumour" in excluded["reason"][0]
    lines = done.stderr.splitlines()
    assert lines[-1] == "features, cases: 11 of 11 done, about 0 s left"
    assert not list((SCRIPTS / "recur" / "features").rglob("*.nb[ic]")), "nothing compiled into the source tree"


@pytest.mark.parametrize("what", ["damaged", "missing"])
def test_a_case_that_the_disk_lost_ends_the_job_and_excludes_nobody(study, tmp_path, what):
    cases = read_table(study[0] / "cases.csv")[:1].assign(case="0.npz")
    cases.to_csv(tmp_path / "cases.csv", index=False)
    whole = (CACHE / f"{0:064x}.npz").read_bytes()
    if what == "damaged":
        (tmp_path / "0.npz").write_bytes(whole[: len(whole) // 2] + bytes(8) + whole[len(whole) // 2 + 8 :])
    common = ("--cases", tmp_path / "cases.csv", "--cache", tmp_path, "--settings", json.dumps(SETTINGS))
    done = run("features.py", *common, *outputs(tmp_path, "a"), check=False)
    assert done.returncode == 1 and not (tmp_path / "a.parquet").exists()
    said = done.stderr.splitlines()[-1]
    assert re.match(r"ERROR: 0.npz: not a readable case .*; make it again: snakemake --forcerun cases$", said)


def test_a_region_that_is_not_there_is_nan_with_its_reason(study):
    folder, _, _ = study
    row = pd.read_parquet(folder / "a.parquet").set_index("patient_id").loc["P5"].drop("reader").astype(float)
    absent = row.index.str.startswith("PVP_rim_")
    assert absent.sum() == 846 and row[absent].isna().all() and row[~absent].notna().all()
    missing = read_table(folder / "a-missing.csv").to_numpy().tolist()
    assert missing == [["P5", "reader1", "PVP", "rim", "846", "all", "rim: 20 % of the 4 mm shell is left"]]


def test_a_rim_that_pyradiomics_refuses_does_not_cost_the_tumour(study):
    case = load_case(CACHE / f"{0:064x}.npz")
    case.labels[case.labels == 2] = 0
    case.labels[0, 0, 0] = 2
    values, reasons = extract_with_reasons(case, EXTRACTION | {"image_types": ["Original"], "spacing_mm": [0, 0, 0]})
    rim = {name for name in values if name.startswith("rim_")}
    assert len(rim) == 102 and all(np.isnan(values[name]) for name in rim)
    assert all(np.isfinite(values[name]) for name in values if name not in rim)
    assert list(reasons) == ["rim"] and reasons["rim"].startswith("mask only contains 1 segmented voxel")


def test_single_features_that_cannot_be_computed_are_listed_by_reason():
    names = feature_names("ji846", EXTRACTION["image_types"])
    values = {f"{region}_{name}": 1.0 for region in ("tumour", "rim") for name in names}
    gone = ["original_glcm_Correlation", "original_glcm_Imc1"]
    values |= {f"rim_{name}": np.nan for name in gone}
    reasons = {f"rim_{name}": "pyradiomics gives no number for this region" for name in gone}
    one_phase = SETTINGS | {"phases": ["AP"]}
    table, missing = patient_rows({("P1", "reader1"): {"AP": values}}, [("P1", "reader1", "AP", reasons)], one_phase)
    assert list(table.columns[2:]) == table_columns(one_phase) and table.isna().sum().sum() == 2
    [line] = missing.to_dict("records")
    assert (line["n"], line["features"]) == (2, ";".join(gone))
    assert line["reason"] == "pyradiomics gives no number for this region"
    with pytest.raises(StudyError, match="column 'AP_liver_x' is no feature of these settings"):
        patient_rows({("P1", "reader1"): {"AP": {"liver_x": 1.0}}}, [], one_phase)


def test_a_phase_that_is_missing_costs_the_analyses_that_use_it_only():
    names = feature_names("ji846", EXTRACTION["image_types"])
    values = {f"{region}_{name}": 1.0 for region in ("tumour", "rim") for name in names}
    found = {
        ("P1", "reader1"): {"AP": values, "PVP": values},
        ("P2", "reader1"): {"AP": values},
        ("P3", "reader1"): {"PVP": values},
    }
    assert list(patient_rows(found, [], SETTINGS)[0]["patient_id"]) == ["P1"]
    settings = SETTINGS | {"phase_sets": [["AP", "PVP"], ["AP"]]}
    table, missing = patient_rows(found, [], settings)
    assert list(table["patient_id"]) == ["P1", "P2"] and missing.empty
    late = [name for name in table if name.startswith("PVP_")]
    assert table.loc[1, late].isna().all() and table.drop(columns=late).notna().all(axis=None)
    assert manifest(settings) == manifest(SETTINGS)
    kept, excluded = without_regions(table.drop(columns="reader"))
    assert list(kept["patient_id"]) == ["P1"]
    assert excluded.to_numpy().tolist() == [["P2", "no features of PVP_rim, PVP_tumour"]]
    assert len(without_regions(table.drop(columns=["reader", *late]))[0]) == 2


def test_the_cache_changes_nothing_and_heals_itself(study):
    folder, common, _ = study
    stored = sorted((CACHE / "features").glob("*.npz"))
    assert len(stored) == 10
    before = [path.read_bytes() for path in stored]
    stored[0].write_bytes(b"half a fi")
    stored[1].unlink()
    made = stored[2].stat().st_mtime_ns
    run("features.py", *common, *outputs(folder, "b"))
    for file in ("{}.parquet", "{}.csv", "{}-missing.csv"):
        assert (folder / file.format("b")).read_bytes() == (folder / file.format("a")).read_bytes()
    assert [path.read_bytes() for path in stored] == before and stored[2].stat().st_mtime_ns == made


def test_the_cache_key_follows_case_and_settings():
    key = feature_key("a.npz", EXTRACTION)
    assert key == feature_key("a.npz", EXTRACTION | {"bin_width": 25.0})
    others = [{"bin_width": 20}, {"mode": "ibsi"}, {"resegment": [-50, 200]}]
    assert len({key, feature_key("b.npz", EXTRACTION), *(feature_key("a.npz", EXTRACTION | c) for c in others)}) == 5


@pytest.mark.slow  # compiles everything anew
def test_two_jobs_may_start_at_once_with_nothing_compiled(study, tmp_path):
    folder, common, _ = study
    one = tmp_path / "one.csv"
    read_table(folder / "cases.csv").iloc[4:6].to_csv(one, index=False)
    for name in read_table(one)["case"]:
        (tmp_path / name).write_bytes((CACHE / name).read_bytes())
    environment = {key: value for key, value in os.environ.items() if key != "NUMBA_CACHE_DIR"}
    start = [sys.executable, SCRIPTS / "features.py", "--cases", one, "--cache", tmp_path, "--settings", common[-1]]
    jobs = [subprocess.Popen([*start, *outputs(tmp_path, n)], env=environment) for n in range(2)]
    assert [job.wait() for job in jobs] == [0, 0]
    assert (tmp_path / "0.parquet").read_bytes() == (tmp_path / "1.parquet").read_bytes()
    expected = pd.read_parquet(folder / "a.parquet").query("patient_id == 'P2'").reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "0.parquet"), expected, rtol=0, atol=0)


def test_feature_table_joins_batches_and_says_what_it_holds(study, tmp_path):
    folder, common, _ = study
    table = pd.read_parquet(folder / "a.parquet")
    parts = [table.iloc[2:], table.iloc[:2], table.iloc[:0]]
    batches = [tmp_path / f"{n}.parquet" for n in range(3)]
    for part, path in zip(parts, batches, strict=True):
        part.to_parquet(path, index=False)
    output, path = tmp_path / "reader1.parquet", tmp_path / "manifest.json"
    arguments = ["--settings", common[-1], "--output", output, "--manifest", path]
    run("feature_table.py", "--batches", *batches, "--reader", "reader1", *arguments)
    merged = pd.read_parquet(output)
    pd.testing.assert_frame_equal(merged, table[table["reader"] == "reader1"].reset_index(drop=True))
    said = json.loads(path.read_text())
    assert (said["patients"], said["columns"], said["features_per_region_and_phase"]) == (3, 3384, 846)
    assert said["phases_and_regions"] == ["AP_tumour", "AP_rim", "PVP_tumour", "PVP_rim"]
    assert said["features_by_image_type_and_class"]["wavelet-LLH"]["glcm"] == 24
    assert said["extraction"]["feature_set"] == "ji846" and said["extraction"]["mode"] == "pyradiomics"
    assert said["images"]["normalise"] == "none" and "pyradiomics" in said["versions"]
    assert merged.attrs[MANIFEST] == said["manifest_sha256"] == manifest(SETTINGS)["manifest_sha256"]


def test_the_manifest_hash_follows_all_that_changes_a_value_and_nothing_else():
    def sha256(**change):
        return manifest(SETTINGS | change)["manifest_sha256"]

    def extracted(**change):
        return sha256(extraction=EXTRACTION | change)

    assert sha256() == sha256(phases=["AP", "PVP"]) == extracted(bin_width=25.0) == extracted(engine="plain")
    changed = [
        extracted(mode="ibsi"),
        extracted(bin_width=None, bin_count=32),
        extracted(resegment=[-100, 300]),
        extracted(spacing_mm=[1, 1, 1]),
        extracted(image_types=["Original"]),
        sha256(regions=["tumour"]),
        sha256(phases=["AP"]),
        sha256(images=SETTINGS["images"] | {"normalise": "zscore"}),
    ]
    assert len({sha256(), *changed}) == 1 + len(changed)


def test_other_versions_of_a_library_are_another_manifest(monkeypatch):
    before = manifest(SETTINGS)["manifest_sha256"]
    monkeypatch.setattr("recur.features.table.versions", lambda: {"pyradiomics": "3.1.0"})
    after = manifest(SETTINGS)["manifest_sha256"]
    assert after != before
    with pytest.raises(StudyError, match=f"the study pins {before}, this run would make {after} .*pyradiomics 3.1.0"):
        manifest(SETTINGS | {"pinned": before})


def test_a_pinned_manifest_stops_the_run_before_anything_is_extracted(study, tmp_path):
    _, common, _ = study
    pinned = SETTINGS | {"pinned": manifest(SETTINGS)["manifest_sha256"]}
    assert manifest(pinned) == manifest(SETTINGS)
    changed = pinned | {"extraction": EXTRACTION | {"bin_width": 20}}
    stopped = run("features.py", *common[:-1], json.dumps(changed), *outputs(tmp_path, "other"), check=False)
    assert stopped.returncode != 0 and not (tmp_path / "other.parquet").exists()
    assert "images.extraction_manifest: the study pins" in stopped.stderr and "Traceback" not in stopped.stderr


def test_batches_that_do_not_fit_are_refused(study):
    folder, _, _ = study
    table = pd.read_parquet(folder / "a.parquet")
    first, second = table.iloc[2:], table.iloc[:2]
    assert len(merge_batches([first, second], "reader9", SETTINGS)) == 0
    with pytest.raises(StudyError, match="^patient P2: in two batches"):
        merge_batches([first, second, first], "reader1", SETTINGS)
    with pytest.raises(StudyError, match="no case of any batch has features"):
        merge_batches([table.iloc[:0]], "reader1", SETTINGS)
    other = SETTINGS | {"extraction": EXTRACTION | {"bin_count": 32, "bin_width": None}}
    with pytest.raises(StudyError, match="^the batch of patient P2 was made with other settings") as refused:
        merge_batches([first, second], "reader1", other)
    assert len(refused.value.problems) == 2
    ragged = signed(first[[name for name in table.columns if "_rim_" not in name]], first.attrs[MANIFEST])
    with pytest.raises(StudyError, match="^the batch of patient P2 was made with other settings"):
        merge_batches([ragged, second], "reader1", SETTINGS)


def test_tables_of_two_manifests_are_not_comparable():
    first, second = (signed(pd.DataFrame({"a": [1.0]}), sha256) for sha256 in ("1" * 64, "2" * 64))
    assert one_manifest({"reader1": first, "reader2": first}) == "1" * 64
    assert one_manifest({"imported": pd.DataFrame()}) is None
    with pytest.raises(StudyError, match=r"^reader2 has features of another manifest \(2+\) than reader1 \(1+\)"):
        one_manifest({"reader1": first, "reader2": second})
