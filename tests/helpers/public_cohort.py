"""Generated CT and segmentations under the identities, numbers of files and sizes that the index has for real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
from pydicom.uid import generate_uid
from s3 import Store

from recur.demo.dicom import Scanner, write_ct_series, write_seg

SPACING = (0.8, 0.8, 5.0)
TUMOUR_MM = 16.0  # radius


SCANNER = Scanner(SPACING, (512, 512, 24), "SHARP", 0, 0, 0)


def make_patient(series: pd.DataFrame, store: Store, folder: Path, pixels: int = 512) -> int:
    """Generate one CT and one SEG for a patient's two rows (collection.SERIES), put them in the store.

    Every object is padded so that the series has exactly the bytes of the index. Returns the tumour's voxels.
    """
    ct = series[series["modality"] == "CT"].iloc[0]
    seg = series[series["modality"] == "SEG"].iloc[0]
    patient = ct["patient_id"]
    image, masks = phantom((int(ct["files"]), pixels, pixels), int(patient[-2:]))
    files = write_ct_series(image, SCANNER, patient, "PVP", folder / "ct")
    for path in files:
        data = pydicom.dcmread(path)
        data.SeriesInstanceUID, data.SeriesDescription = ct["series_uid"], ct["description"]
        data.save_as(path)
    spread(files, int(ct["bytes"]))
    write_seg(masks, files, "reader1", folder / "seg.dcm")
    data = pydicom.dcmread(folder / "seg.dcm")
    data.SeriesInstanceUID, data.SeriesDescription = seg["series_uid"], seg["description"]
    data.save_as(folder / "seg.dcm")
    spread([folder / "seg.dcm"], int(seg["bytes"]))
    for row, paths in ((ct, files), (seg, [folder / "seg.dcm"])):
        for k, path in enumerate(paths):
            name = generate_uid(entropy_srcs=[row["url"], str(k)])
            store.put(f"{row['url'].split('/', 3)[3]}{name}.dcm", path.read_bytes())
    return int(masks["Tumor_1"].sum())


def phantom(shape: tuple[int, int, int], seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Grey values (z, y, x) and masks: a liver of 110 HU with a tumour of 70 HU, air outside the body."""
    rng = np.random.default_rng(seed)
    z, y, x = (np.arange(n) - n / 2 for n in shape)
    place = np.meshgrid(z * SPACING[2], y * SPACING[1], x * SPACING[0], indexing="ij")
    width = shape[2] * SPACING[0]
    body = np.hypot(place[1], place[2]) < 0.45 * width
    liver = np.hypot(place[1], place[2]) < 0.25 * width
    tumour = np.sqrt(place[0] ** 2 + (place[1] - 10) ** 2 + place[2] ** 2) < TUMOUR_MM
    image = np.where(body, 40, -1000) + 70 * liver - 40 * tumour
    image = image + np.where(body, rng.normal(0, 12, shape), 0)
    return image.astype(np.int16), {"Liver": liver & ~tumour, "Tumor_1": tumour}


def spread(files: list[Path], total: int) -> None:
    """Pad DICOM files at their end (DataSetTrailingPadding) so that together they have `total` bytes."""
    sizes = [path.stat().st_size for path in files]
    each = total // len(files) // 2 * 2
    rest = total - each * len(files)
    for k, (path, size) in enumerate(zip(files, sizes, strict=True)):
        missing = each + (rest if k == 0 else 0) - size - 12  # of the element's own head
        assert missing >= 0, f"{path}: {size} bytes, more than the index says"
        with path.open("ab") as stream:
            stream.write(b"\xfc\xff\xfc\xffOB\0\0" + missing.to_bytes(4, "little") + bytes(missing))
