"""Bad inputs of every kind (bad_inputs.yaml): a line that names file, place and remedy, or an exclusion with a reason.

Each entry is one change of a small sound study. Nothing gives a traceback, and nothing is taken in silently.
"""

from __future__ import annotations

import datetime
import gzip
import json
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pydicom
import pytest
import scanner
import SimpleITK as sitk
import yaml

from recur.check.check import check_tables
from recur.check.training import training_warnings
from recur.cohort.clinical import Cohort, read_cohort
from recur.cohort.flow import explain_absence
from recur.cohort.split import assign_all
from recur.features.complete import import_feature_table
from recur.images.batch import process
from recur.images.duplicates import shared_images
from recur.images.inventory import image_root, inventory
from recur.images.manifest_table import read_manifest
from recur.study.file import resolve
from recur.tables import StudyError, read_frozen, write_frozen
from tests.images.test_case import write_rtstruct

ROOT = Path(__file__).parents[2]
LIST = yaml.safe_load(Path(__file__).parents[1].joinpath("bad_inputs.yaml").read_text())
LATER = [e for e in LIST if e["change"][0] in ("same image", "model")]  # known when images or models are read
SHAPE = (24, 28, 32)  # z, y, x
SPACING = (1.0, 1.2, 1.5)
ORIGIN = (-40.0, 30.0, 100.0)
STUDY = {
    "study": "small",
    "seed": 1,
    "synthetic": True,
    "on_error": "exclude",
    "clinical": {
        "table": "clinical.csv",
        "id": "patient_id",
        "centre": "centre",
        "variables": {
            "age": {"column": "age", "kind": "numeric", "timing": "pre", "unit": "years", "range": [18, 110]},
            "ln_afp": {"column": "afp", "kind": "numeric", "transform": "ln", "floor": 0.3, "timing": "pre"},
            "size": {"column": "size", "kind": "numeric", "timing": "pre", "unit": "cm", "median": [0.5, 30]},
            "stage": {"column": "stage", "kind": "ordinal", "levels": ["I", "II", "III"], "timing": "pre"},
            "mvi": {"column": "mvi", "kind": "binary", "timing": "post"},
        },
        "dates": {
            "t0": "surgery_date",
            "t0_kind": "surgery",
            "recurrence": "recurrence_date",
            "death": "death_date",
            "last_contact": "last_contact_date",
        },
    },
    "endpoints": {"TTR": {"kind": "time_to_recurrence"}},
    "horizons_months": [24],
    "split": {"kind": "centre", "train": ["A"], "external": ["B"]},
    "images": {"manifest": "images.csv", "phases": ["AP"], "readers": ["reader1"], "regions": {"rim_mm": 3}},
    "candidates": {"pre": ["age"], "post": ["mvi"]},
    "comparators": {"recorded": ["ln_afp", "size"]},
    "analyses": {"main": {"preset": "recommended", "endpoint": "TTR"}},
}


def write_image(path: Path, voxels: np.ndarray, spacing=SPACING, origin=ORIGIN, direction=None, **more) -> None:
    image = sitk.GetImageFromArray(voxels, **more)
    if image.GetDimension() == 3:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        if direction:
            image.SetDirection(direction)
    sitk.WriteImage(image, str(path))


def volumes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """HU of a noisy organ, and a round tumour in it."""
    z, y, x = (np.indices(SHAPE)[k] - (SHAPE[k] - 1) / 2 for k in range(3))
    hu = np.random.default_rng(seed).normal(80, 15, SHAPE)
    return hu.astype(np.int16), ((z**2 + y**2 + x**2) < 36).astype(np.uint8)


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """A study of 40 patients, two of them with images, without a fault."""
    folder = tmp_path_factory.mktemp("sound")
    rng = np.random.default_rng(1)
    ids = [f"P{i:02d}" for i in range(1, 41)]
    surgery = pd.Timestamp("2015-01-01") + pd.to_timedelta(rng.integers(0, 700, 40), "D")
    recurrence = surgery + pd.to_timedelta(rng.integers(100, 1200, 40), "D")
    contact = surgery + pd.to_timedelta(rng.integers(1300, 2000, 40), "D")
    table = pd.DataFrame(
        {
            "patient_id": ids,
            "centre": ["A"] * 30 + ["B"] * 10,
            "age": rng.integers(40, 80, 40),
            "afp": rng.lognormal(3, 2, 40).round(1),
            "size": rng.uniform(1, 8, 40).round(1),
            "stage": rng.choice(["I", "II", "III"], 40),
            "mvi": rng.integers(0, 2, 40),
            "surgery_date": surgery.strftime("%Y-%m-%d"),
            "recurrence_date": np.where(rng.random(40) < 0.7, recurrence.strftime("%Y-%m-%d"), ""),
            "death_date": "",
            "last_contact_date": contact.strftime("%Y-%m-%d"),
        }
    )
    table.to_csv(folder / "clinical.csv", index=False)
    rows = []
    for seed, patient in enumerate(ids[:2]):
        (folder / patient).mkdir()
        hu, mask = volumes(seed)
        write_image(folder / patient / "image.nii.gz", hu)
        write_image(folder / patient / "mask.nii.gz", mask)
        files = {"image": f"{patient}/image.nii.gz", "mask": f"{patient}/mask.nii.gz"}
        rows.append({"patient_id": patient, "phase": "AP", "reader": "reader1"} | files | {"mask_label": ""})
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False))
    return folder


# --- one function a change; arguments as bad_inputs.yaml gives them --------------------------------------------------


def change_study(folder, keys):
    study = yaml.safe_load((folder / "study.yaml").read_text())
    for key, value in keys.items():
        *path, last = key.split(".")
        place = study
        for part in path:
            place = place[part]
        place[last] = value
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def change_file(folder, name, text):
    (folder / name).write_text(text)


def change_bytes(folder, name, content):
    (folder / name).write_bytes(bytes.fromhex(content))


def change_append(folder, name, text):
    with (folder / name).open("a") as stream:
        stream.write(text)


def change_replace(folder, name, old, new):
    text = (folder / name).read_bytes().decode()
    (folder / name).write_bytes(text.replace(old, new).encode())


def change_encoding(folder, name, encoding):
    (folder / name).write_bytes((folder / name).read_text().encode(encoding))


def edit(folder, name, change, encoding="utf-8"):
    table = pd.read_csv(folder / name, dtype=str, keep_default_na=False)
    table = change(table)
    table.to_csv(folder / name, index=False, encoding=encoding)


def change_cells(folder, name, patient, cells, encoding="utf-8"):
    def put(table):
        for column, value in cells.items():
            table.loc[table["patient_id"] == patient, column] = value
        return table

    edit(folder, name, put, encoding)


def change_cell(folder, name, patient, column, value):
    change_cells(folder, name, patient, {column: value})


def change_cell_latin_1(folder, name, patient, column, value):
    change_cells(folder, name, patient, {column: value}, "latin-1")


def change_column(folder, name, column, value):
    edit(folder, name, lambda table: table.assign(**{column: value}))


def change_scale(folder, name, column, factor):
    edit(folder, name, lambda table: table.assign(**{column: table[column].astype(float) * factor}))


def change_suffix(folder, name, column, text):
    edit(folder, name, lambda table: table.assign(**{column: table[column] + text}))


def change_rows(folder, name, count):
    edit(folder, name, lambda table: table[:count])


def change_twice(folder, name):
    edit(folder, name, lambda table: pd.concat([table, table[:1]]))


def change_only_event(folder, name):
    def keep(table):
        first = table.index[table["recurrence_date"] != ""][0]
        return table.assign(recurrence_date=table["recurrence_date"].where(table.index == first, ""))

    edit(folder, name, keep)


def change_no_event_in(folder, name, centre):
    def empty(table):
        return table.assign(recurrence_date=table["recurrence_date"].where(table["centre"] != centre, ""))

    edit(folder, name, empty)


def change_recorded(folder, patient, time, event="1"):
    edit(folder, "clinical.csv", lambda table: table.assign(time="30", event=[str(i % 2) for i in range(len(table))]))
    change_cells(folder, "clinical.csv", patient, {"time": time, "event": event})
    change_study(
        folder, {"endpoints": {"TTR": {"kind": "recorded", "time": "time", "event": "event", "unit": "months"}}}
    )


def change_status(folder, cells, keys):
    """A recorded endpoint whose event column has these cells in turn, declared with these keys."""
    change_recorded(folder, "P01", "30", "0")
    count = len(pd.read_csv(folder / "clinical.csv"))
    edit(folder, "clinical.csv", lambda table: table.assign(event=(cells * count)[:count]))
    endpoint = {"kind": "recorded", "time": "time", "event": "event", "unit": "months"}
    change_study(folder, {"endpoints": {"TTR": endpoint | keys}})


def change_times(folder, first, step, keys):
    """A recorded endpoint with times from `first` on, a `step` apart, declared with these keys."""
    change_status(folder, ["1", "0"], keys)
    edit(folder, "clinical.csv", lambda table: table.assign(time=[f"{first + step * i:g}" for i in range(len(table))]))


def change_in_turn(folder, name, column, cells, keys):
    """A column with these cells in turn, and keys of the study file."""
    count = len(pd.read_csv(folder / name))
    edit(folder, name, lambda table: table.assign(**{column: (cells * count)[:count]}))
    change_study(folder, keys)


def change_ids(folder, clinical, manifest):
    """Ids written in one way in the clinical table and in another in the manifest."""
    for name, form in (("clinical.csv", clinical), ("images.csv", manifest)):
        edit(
            folder, name, lambda table, form=form: table.assign(patient_id=table["patient_id"].str[1:].map(form.format))
        )


def change_copied_row(folder, patient, copy):
    def put(table):
        first = table[table["patient_id"] == patient].iloc[0]
        return table.apply(
            lambda row: first.where(first.index != "patient_id", copy) if row["patient_id"] == copy else row, axis=1
        )

    edit(folder, "clinical.csv", put)


def change_spreadsheet(folder, name, how):
    path = (folder / name).with_suffix(".xlsx")
    pd.read_csv(folder / name).to_excel(path, index=False)
    book = openpyxl.load_workbook(path)
    sheet = book.active
    match how:
        case "hidden first sheet":
            book.create_sheet("Codes", 0).append(["patient_id", "age"])
            book["Codes"].append(["P01", 1])
            book["Codes"].sheet_state = "hidden"
        case "readme first":
            book.create_sheet("README", 0).append(["Data of two centres"])
        case "two tables":
            book.create_sheet("old").append(["patient_id", "age"])
            book["old"].append(["P01", 1])
        case "hidden rows":
            sheet.row_dimensions[4].hidden = True
        case "merged":
            sheet.merge_cells("B3:B5")
        case "remarks beside the table":
            sheet.cell(3, 15).value = "Data of 2015"
            sheet.merge_cells("O3:Q5")
            sheet["O1"], sheet["P1"], sheet["Q1"], sheet["R1"] = "a", "b", "c", "=R2"
            sheet["R1"], sheet["R2"] = "total", "=SUM(C2:C5)"
        case "formulas below the table":
            sheet.cell(sheet.max_row + 3, 3).value = "=C2"
        case "two tables, one named":
            book.create_sheet("old").append(["patient_id", "age"])
            book["old"].append(["P01", 1])
            change_study(folder, {"clinical.sheet": "Sheet1"})
        case "a sheet that is not there":
            change_study(folder, {"clinical.sheet": "Data"})
        case "title":
            sheet.insert_rows(1)
            sheet["A1"] = "Cohort of 2015"
        case "same column twice":
            sheet["B1"] = sheet["C1"].value
        case "date cells":
            for row in range(2, sheet.max_row + 1):
                cell = next(cell for cell in sheet[row] if sheet.cell(1, cell.column).value == "surgery_date")
                cell.value = datetime.datetime.fromisoformat(cell.value)
        case "blank lines":
            sheet.cell(sheet.max_row + 5, 1).value = None
            sheet.insert_rows(6)
        case str() if how.startswith(("#", "=")):
            sheet.cell(4, [cell.value for cell in sheet[1]].index("age") + 1).value = how
    book.save(path)
    if how == "damaged":
        path.write_bytes(path.read_bytes()[:2000])
    if how == "password":
        path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(2000))
    change_study(folder, {"clinical.table": path.name})


def change_events(folder, how, keys):
    """A second row for every patient, as REDCap exports events: with the dates, or with another age."""

    def put(table):
        later = table.assign(redcap_event_name="visit_arm_1")
        first = table.assign(redcap_event_name="baseline_arm_1")
        if how == "contradict":
            return pd.concat([first, later.assign(age="99")])
        dates = [name for name in table if name.endswith("_date")]
        later[[name for name in table if name not in ("patient_id", *dates)]] = ""
        first[dates] = ""
        return pd.concat([first, later])

    edit(folder, "clinical.csv", put)
    change_study(folder, keys)


def change_full_width(folder, patient, column):
    digits = str.maketrans("0123456789", "０１２３４５６７８９")

    def put(table):
        here = table["patient_id"] == patient
        return table.assign(**{column: table[column].where(~here, table[column].str.translate(digits))})

    edit(folder, "clinical.csv", put)


def change_written(folder, form, named):
    """All dates written in another form, which the study names or not."""

    def put(table):
        for column in [name for name in table if name.endswith("_date")]:
            days = pd.to_datetime(table[column].where(table[column] != ""))
            table[column] = days.dt.strftime(form).fillna("")
        return table

    edit(folder, "clinical.csv", put)
    change_study(folder, {"clinical.date_format": named})


def change_manifest_sheet(folder, named):
    """The manifest as the second of two tables in a workbook."""
    with pd.ExcelWriter(folder / "images.xlsx") as book:
        pd.DataFrame({"code": [1, 2], "meaning": ["a", "b"]}).to_excel(book, sheet_name="Codes", index=False)
        pd.read_csv(folder / "images.csv").to_excel(book, sheet_name="Masks", index=False)
    change_study(folder, {"images.manifest": "images.xlsx", "images.sheet": named})


def change_remove(folder, name):
    (folder / name).unlink()


def change_cut(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


def change_loop(folder, name):
    (folder / name).unlink()
    (folder / name).symlink_to((folder / name).name)


def change_swap(folder, one, other):
    (folder / one).rename(folder / "aside")
    (folder / other).rename(folder / one)
    (folder / "aside").rename(folder / other)


def change_same_image(folder, one, other):
    shutil.copy(folder / one / "image.nii.gz", folder / other / "image.nii.gz")


def change_header(folder, name, offset, content):
    """Overwrite bytes of a NIfTI header (80: pixdim[1], 252: qform and sform code)."""
    raw = bytearray(gzip.decompress((folder / name).read_bytes()))
    new = bytes.fromhex(content)
    raw[offset : offset + len(new)] = new
    (folder / name).write_bytes(gzip.compress(bytes(raw)))


def change_voxels(folder, name, how):
    path = folder / name
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    noise = np.random.default_rng(5).normal(size=SHAPE)
    z, y, x = (size // 2 for size in SHAPE)
    more = {}
    match how:
        case "complex":
            voxels = voxels.astype(np.complex64)
        case "colour":
            voxels, more = np.stack([voxels] * 3, axis=-1).astype(np.uint8), {"isVector": True}
        case "4-D":
            voxels, more = np.stack([voxels, voxels]), {"isVector": False}
        case "2-D":
            voxels = voxels[z]
        case "nan" | "inf":
            voxels = voxels.astype(np.float32)
            voxels[z, y, x] = float(how)
        case "left-handed":
            more = {"direction": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -1.0)}
        case "swapped":
            voxels, more = np.ascontiguousarray(voxels.transpose(2, 1, 0)), {"spacing": SPACING[::-1]}
        case "shifted":
            more = {"origin": (0.0, 30.0, 100.0)}
        case "zero":
            voxels = np.zeros_like(voxels)
        case "noise":
            voxels = noise.astype(np.float32)
        case "constant":
            voxels = np.full(SHAPE, 60, np.int16)
        case "air":
            voxels = (voxels - 1000).astype(np.int16)
        case "one voxel":
            voxels = np.zeros_like(voxels)
            voxels[z, y, x] = 1
        case "one slice" | "one line":
            kept = np.zeros_like(voxels)
            kept[z, y if how == "one line" else slice(None)] = voxels[z, y if how == "one line" else slice(None)]
            voxels = kept
        case "flat":
            voxels = voxels[z : z + 1]
        case "z-scored":
            voxels = ((voxels - 80) / 15).astype(np.float32)
        case "from 0 to 1":
            voxels = ((voxels - voxels.min()) / np.ptp(voxels)).astype(np.float32)
        case "divided by 1000":
            voxels = (voxels / 1000).astype(np.float32)
        case "8 bits":
            voxels = np.clip((voxels - 40) * 255 / 80, 0, 255).astype(np.uint8)
    geometry = {key: more.pop(key) for key in ("direction", "spacing", "origin") if key in more}
    write_image(path, voxels, **geometry, **more)


def change_stored(folder, patient, kind, how):
    """The patient's image as NRRD or MetaImage, compressed, with what is wrong with it."""
    path = folder / patient / f"image.{kind}"
    image = sitk.ReadImage(str(folder / patient / "image.nii.gz"))
    sitk.WriteImage(image, str(path), useCompression=True)
    data = path.read_bytes()
    if how == "without a voxel size":
        field = rb"space directions:[^\n]*\n" if kind == "nrrd" else rb"ElementSpacing[^\n]*\n"
        data = re.sub(field, b"", data)
    elif how == "damaged":
        place = len(data) * 2 // 3
        data = data[:place] + bytes(8) + data[place + 8 :]
    elif how == "cut":
        data = data[: len(data) // 2]
    elif how == "text":
        data = data.replace(b"encoding: gzip", b"encoding: text")
    elif how == "dimensions":
        data = data.replace(b"NDims = 3", b"NDims = 1e30")
    elif how == "metres":
        data = data.replace(b"encoding:", b'space units: "m" "m" "m"\nencoding:')
    elif how == "other byte order":
        data = data.replace(b"endian: little", b"endian: big").replace(b"MSB = False", b"MSB = True")
    elif how == "bytes":
        data = data.replace(b"type: short", b"type: uchar").replace(b"MET_SHORT", b"MET_UCHAR")
    elif how == "two sizes":
        data = data.replace(b"encoding:", b"sizes: 32 28 12\nencoding:").replace(
            b"DimSize", b"DimSize = 32 28 12\nDimSize"
        )
    elif how == "half a number":
        data = re.sub(rb"ElementSpacing = \S+", b"ElementSpacing = 1.0.5", data)
        data = data.replace(b"space origin: (", b"space origin: (1e999,")
    elif how == "small letter":
        data = data.replace(b"CompressedData = ", b"compressedData = ")
    elif how == "half compressed":
        data = data.replace(b"CompressedData = True", b"CompressedData = 1e30")
    path.write_bytes(data)
    change_cell(folder, "images.csv", patient, "image", f"{patient}/{path.name}")


def faulty_slice(data, k, how):
    """What is done to slice k of a series."""
    if how == "lost intercept" and k == 4:
        del data.RescaleIntercept
    if how == "longer pixels":
        data.Rows -= 6
    if how == "own series":
        data.SeriesInstanceUID = scanner.uid("alone", k)
    if how == "two patients" and k > 20:
        data.PatientID = "PID4712"
    if how == "alternating phases":
        data.TemporalPositionIdentifier = k % 2 + 1


def change_dicom(folder, patient, how):
    """The patient's image as a DICOM series, with what is wrong with it."""
    series = folder / patient / "series"
    series.mkdir()
    change = lambda data, k: faulty_slice(data, k, how)  # noqa: E731
    slices = scanner.ct_slices(volumes(1)[0], change=change) if how != "empty" else []
    scanner.save(slices[:10] + slices[11:] if how == "gap" else slices, series)
    change_cell(folder, "images.csv", patient, "image", f"{patient}/series")
    if how == "other structures":
        square = [(-5.0, -5.0, -95.0), (5.0, -5.0, -95.0), (5.0, 5.0, -95.0), (-5.0, 5.0, -95.0)]
        path = write_rtstruct({"T": [square]}, folder / patient / "structures.dcm")
        structures = pydicom.dcmread(path)
        structures.PatientID = "PID9999"
        structures.save_as(path)
        change_cell(folder, "images.csv", patient, "mask", f"{patient}/structures.dcm")


def change_features(folder, patient, column, value):
    ids = pd.read_csv(folder / "clinical.csv")["patient_id"]
    table = pd.DataFrame({"patient_id": ids, "original_firstorder_Mean": 1.5, "original_shape_MeshVolume": 9.0})
    table.astype(str).to_csv(folder / "features.csv", index=False)
    change_cell(folder, "features.csv", patient, column, value)
    study = yaml.safe_load((folder / "study.yaml").read_text())
    del study["images"]
    study["features"] = {"table": "features.csv", "id": "patient_id", "pattern": "^original_"}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))


def change_features_column(folder, column, value):
    change_features(folder, "P01", "patient_id", "P01")
    change_column(folder, "features.csv", column, value)


def change_features_joined(folder, column, how):
    """A column of the clinical table stands in the feature table too, and the pattern takes all there is."""
    change_features(folder, "P01", "patient_id", "P01")
    cells = pd.read_csv(folder / "clinical.csv")[column]
    added = {
        "as it is": (column, cells),
        "codes": (column, cells.factorize()[0]),
        "days": (column, range(len(cells))),
        "flag": ("original_flag", cells.notna().astype(int)),
    }[how]
    edit(folder, "features.csv", lambda table: table.assign(**dict([added])))
    change_study(folder, {"features.pattern": "^(?!patient_id$)"})


def change_features_twice(folder, column):
    """Two regions, neither of which is called a tumour."""
    change_features(folder, "P01", "patient_id", "P01")
    edit(
        folder,
        "features.csv",
        lambda table: table.assign(**{f"B_{column}": "8"}).rename(columns={column: f"A_{column}"}),
    )
    change_study(folder, {"features.pattern": "original_"})


def change_candidate(folder, column):
    variable = {"column": column, "kind": "categorical", "levels": ["A", "B"], "timing": "pre"}
    change_study(folder, {"clinical.variables.disguised": variable, "candidates": {"pre": ["disguised"]}})


def change_candidate_flag(folder):
    edit(folder, "clinical.csv", lambda table: table.assign(flag=(table["recurrence_date"] != "").astype(int)))
    variable = {"column": "flag", "kind": "binary", "timing": "pre"}
    change_study(folder, {"clinical.variables.disguised": variable, "candidates": {"pre": ["disguised"]}})


def change_review(folder, *lines):
    """Notes on the masks, as the page of the images saves them."""
    head = "patient_id,phase,reader,verdict,note,mask_hash,image_hash"
    change_file(folder, "review.csv", "\n".join([*([] if lines[0].startswith("patient") else [head]), *lines]) + "\n")
    change_study(folder, {"images.review": "review.csv"})


def change_study_cell(folder, keys, *cell):
    change_cell(folder, *cell)
    change_study(folder, keys)


def change_study_features(folder, keys):
    change_features(folder, "P01", "patient_id", "P01")
    change_study(folder, keys)


def change_features_damaged(folder):
    change_features(folder, "P01", "patient_id", "P01")
    pd.read_csv(folder / "features.csv").to_parquet(folder / "features.parquet")
    change_cut(folder, "features.parquet")
    change_study(folder, {"features.table": "features.parquet"})


def change_model(folder, how):
    """A frozen model beside the study, with what is wrong with it."""
    path = folder / "model.json"
    write_frozen({"formula": "age", "coefficients": [0.5]}, path)
    match how:
        case "edited":
            change_replace(folder, path.name, "0.5", "0.6")
        case "cut":
            change_cut(folder, path.name)
        case "other":
            change_file(folder, path.name, '{"coefficients": [0.5]}')
        case "pickle":
            path.write_bytes(pickle.dumps({"coefficients": [0.5]}))


# --- what the study says ---------------------------------------------------------------------------------------------


def outcome(folder: Path) -> tuple[list[str], dict[str, str], Cohort | None]:
    """What floors 1 and 2 (or 3) say: lines that stop the run, reasons of excluded patients, the cohort."""
    try:
        study = resolve(folder / "study.yaml")
        check_tables(study)
        cohort = read_cohort(study)
        assigned = assign_all(study, cohort.clinical, cohort.cells)
        excluded = [cohort.exclusions, cohort.missing_endpoints]
        if "images" in study:
            manifest = read_manifest(study)
            rows = inventory(manifest, image_root(study["images"]), assigned, 0, 1)
            rows = rows.astype(object).where(rows.notna(), None).to_dict("records")
            regions = study["images"]["regions"] | {"modality": "CT", "on_error": "exclude"}
            found = pd.DataFrame([process(row, regions, folder / "cache").records[0] for row in rows])
            problems = shared_images(found)
            if problems:
                raise StudyError(problems)
            found["reason"] = found.get("reason", "")
            bad = found[found["status"] == "excluded"].assign(floor="images")
            present = set(found.loc[found["status"] == "ok", "patient_id"])
            excluded += [explain_absence(bad[["patient_id", "floor", "reason"]], assigned, present)]
        if "features" in study:
            features = study["features"]
            excluded += [import_feature_table(features["table"], features["id"], features["pattern"])[1]]
        for model in folder.glob("model.json"):
            read_frozen(model)
        return [], pd.concat(excluded).groupby("patient_id")["reason"].agg("; ".join).to_dict(), cohort
    except StudyError as error:
        return error.problems, {}, None


def changed(sound: Path, folder: Path, entry: dict) -> Path:
    shutil.copytree(sound, folder)
    what, *arguments = entry["change"]
    globals()[f"change_{what.replace(' ', '_').replace('-', '_')}"](folder, *arguments)
    return folder


def test_the_sound_study_is_sound(sound):
    stops, excluded, cohort = outcome(sound)
    assert not stops and len(cohort.clinical) == 40
    assert {"P01", "P02"}.isdisjoint(excluded)


@pytest.mark.parametrize("entry", LIST, ids=[entry["name"] for entry in LIST])
def test_it_is_told_in_a_line_or_excluded_with_a_reason(sound, tmp_path, entry):
    stops, excluded, cohort = outcome(changed(sound, tmp_path / "study", entry))
    assert all("\n" not in line and "Traceback" not in line for line in [*stops, *excluded.values()])
    if "stops" in entry:
        assert any(re.search(entry["stops"], line) for line in stops), stops or excluded
    elif "excludes" in entry:
        patient, words = entry["excludes"]
        assert not stops
        assert re.search(words, excluded.get(patient, "")), excluded.get(patient, "is not excluded")
    elif "warns" in entry:
        said = [] if stops else [*cohort.warnings, *training_warnings(resolve(tmp_path / "study/study.yaml"), cohort)]
        assert any(re.search(entry["warns"], text) or entry["warns"] in text for text in said), stops or said
    else:
        assert not stops
        pd.testing.assert_frame_equal(cohort.clinical, outcome(sound)[2].clinical)


@pytest.mark.slow
@pytest.mark.parametrize("entry", [e for e in LIST if "stops" in e and e not in LATER], ids=lambda entry: entry["name"])
def test_the_command_ends_with_that_line(sound, tmp_path, entry):
    """`snakemake check` itself, as a user starts it."""
    folder = changed(sound, tmp_path / "study", entry)
    command = [sys.executable, "-m", "snakemake", "check", "--config", f"study={folder / 'study.yaml'}"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    said = done.stdout + done.stderr
    assert done.returncode and "Traceback" not in said
    assert re.search(entry["stops"], said), said


def test_the_list_has_sixty_kinds():
    assert len({json.dumps(entry["change"]) for entry in LIST}) == len(LIST) >= 60
