"""What floor 3 costs: nothing is computed twice, and a long job does not grow."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from recur.features.batch import case_features
from recur.images.case_cache import cached_cases

SCRIPTS = Path(__file__).parents[2] / "scripts"
EXTRACTION = {
    "spacing_mm": [2, 2, 2],
    "bin_width": 25,
    "image_types": ["Original", "LoG"],
    "log_sigma_mm": [3],
    "feature_set": "full851",
    "interpolator": "sitkBSpline",
    "pad_distance": 5,
}
REGIONS = {"rim_mm": 4, "more_rims": {}, "pad_mm": 13.0, "on_error": "exclude"}


def write_patient(folder, seed):
    """image.nii.gz and mask.nii.gz of a small scan; the manifest row that names them."""
    rng = np.random.default_rng(seed)
    shape = (18, 40, 44)
    distance = np.linalg.norm((np.indices(shape).T - [9, 20, 22]) * [2.5, 1, 1], axis=-1).T
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"image": rng.normal(90, 30, shape).astype(np.int16), "mask": (distance < 7).astype(np.uint8)}
    for name, array in arrays.items():
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.0, 1.0, 2.5))
        sitk.WriteImage(image, folder / f"{name}.nii.gz")
    return {name: str(folder / f"{name}.nii.gz") for name in arrays}


def run(rows, regions, extraction, cache):
    """Floors 2 and 3 of some rows from the cache: file -> (inode, time written) of everything in it."""
    for row in rows:
        for name, _ in cached_cases(row, regions, cache):
            case_features(cache, name, extraction, None)
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in sorted(cache.rglob("*.npz"))}


def test_a_case_whose_content_and_settings_stay_is_never_computed_again(tmp_path):
    rows = [write_patient(tmp_path / "images" / name, seed) for seed, name in enumerate("abc")]
    cache = tmp_path / "cache"
    first = run(rows, REGIONS, EXTRACTION, cache)
    assert len(first) == 6, "a case and its features for each of three patients"
    assert run(rows[::-1], REGIONS, EXTRACTION, cache) == first, "row order"
    for row in rows:
        os.utime(row["image"], (1, 1))
    assert run(rows, REGIONS, EXTRACTION, cache) == first, "file times"
    shutil.copytree(tmp_path / "images", tmp_path / "moved")
    moved = [{key: path.replace("/images/", "/moved/") for key, path in row.items()} for row in rows]
    assert run([row | {"patient_id": "X"} for row in moved], REGIONS, EXTRACTION, cache) == first, "place and ids"
    assert run(rows, REGIONS | {"on_error": "stop"}, EXTRACTION, cache) == first, "other parts of the study file"
    reordered = dict(reversed(EXTRACTION.items())) | {"bin_width": 25.0}
    assert run(rows, REGIONS | {"rim_mm": 4.0}, reordered, cache) == first, "order of keys, 25 and 25.0"
    more = run(rows, REGIONS, EXTRACTION | {"bin_width": 20}, cache)
    assert first.items() <= more.items() and len(more) == 9, "another setting: features only, the old ones stay"
    write_patient(tmp_path / "images" / "a", seed=9)
    assert len(run(rows, REGIONS, EXTRACTION, cache)) == 11, "another content: one case, its features"


# not getrusage: its maximum starts at what this process had when it forked
PEAK_MIB = "int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) // 1024"
GROWTH = f"""
import re
import numpy as np
from recur.features.extract import extract_case
from recur.images.case_file import Case

def case(seed):
    rng = np.random.default_rng(seed)
    shape = (16 + seed % 5, 34 + seed % 7, 36)  # every case has another size
    labels = np.zeros(shape, np.uint8)
    labels[3:9, 8 : 20 + seed % 3, 9:20], labels[9:13, 8:22, 9:22] = 1, 2
    return Case(
        image=np.rint(rng.normal(90, 30, shape)).astype(np.float32), labels=labels, spacing=np.array([1.0, 1.0, 2.5]),
        direction=np.eye(3).ravel(), full_size=np.array(shape[::-1]), offset=np.zeros(3, int), full_origin=np.zeros(3),
        facts={{"regions": {{"tumour": 1, "rim": 2}}}},
    )

extraction = {{
    "spacing_mm": [1, 1, 1], "bin_width": 25, "image_types": ["Original", "Wavelet", "LoG"], "log_sigma_mm": [1, 3],
    "feature_set": "full851", "interpolator": "sitkBSpline", "pad_distance": 5,
}}
for n in range(1, 501):
    extract_case(case(n), extraction)
    if n in (50, 500):
        print({PEAK_MIB})
"""


@pytest.mark.slow
def test_a_job_of_500_cases_does_not_grow():
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, env=environment, check=True)
    at_50, at_500 = map(int, done.stdout.split())
    assert at_500 - at_50 < 50, f"{at_50} MiB after 50 cases, {at_500} after 500"


@pytest.mark.slow
def test_a_scan_of_400_slices_fits_into_1536_mib(tmp_path):
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(0, 30, (40, 512, 512)).astype(np.float32), 0.7).astype(np.int16)
    image = np.concatenate([noise] * 10)
    mask = np.zeros(image.shape, np.uint8)
    mask[180:220, 200:260, 200:260] = 1
    for name, array in (("image", image), ("mask", mask)):
        made = sitk.GetImageFromArray(array)
        made.SetSpacing((0.75, 0.75, 1.0))
        sitk.WriteImage(made, tmp_path / f"{name}.nii.gz", True)
    one_mm = EXTRACTION | {"spacing_mm": [1, 1, 1], "pad_distance": 10}
    code = (
        "import re\n"
        "from recur.features.extract import extract_case\n"
        "from recur.images.case import make_case\n"
        f"row = {{'image': {str(tmp_path / 'image.nii.gz')!r}, 'mask': {str(tmp_path / 'mask.nii.gz')!r}}}\n"
        f"extract_case(make_case(row, {{'rim_mm': 10}}), {one_mm!r})\n"
        f"print({PEAK_MIB})"
    )
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) < 1536
