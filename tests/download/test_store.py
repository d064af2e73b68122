"""Public cohorts: what is selected, and how a download ends when the store or the way to it fails."""

import hashlib
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml
from public_cohort import make_patient
from s3 import BUCKET, s3_server
from small import ROOT, run_snakemake, small_project

from recur.check.check import check_tables
from recur.cohort.clinical import Cohort, read_cohort
from recur.contracts import problems_of_results
from recur.download import store as download
from recur.download.collection import SERIES, select_series
from recur.download.store import download_plan, fetch, is_whole, matches, series_path
from recur.study.file import resolve
from recur.tables import StudyError, write_table

CRLM, HCC = "colorectal_liver_metastases", "hcc_tace_seg"


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def store(server, monkeypatch):
    """The server without faults, and a client that gives up soon."""
    server.faults.clear()
    server.fetched.clear()
    monkeypatch.setattr(download, "CLIENT", [*download.CLIENT[:4], "1", *download.CLIENT[5:]])
    return server


def stored(store, patients: int = 2, files: int = 4, size: int = 30_000) -> pd.DataFrame:
    """Series of random bytes in the store, as select_series would list them."""
    rows = []
    for n in range(patients):
        name = str(uuid.uuid4())
        bodies = [os.urandom(size + k) for k in range(files)]
        for k, body in enumerate(bodies):
            store.put(f"{name}/{k}.dcm", body)
        rows.append([f"P{n}", "CT", f"1.2.{n}", "2", "PVP", files, sum(map(len, bodies)), f"s3://{BUCKET}/{name}/"])
    return pd.DataFrame(rows, columns=SERIES[:-2]).assign(licence="CC BY 4.0", doi="10.1/x")


def key(series: pd.DataFrame, row: int, file: int) -> str:
    return f"{series['url'][row].split('/')[3]}/{file}.dcm"


def whole(series: pd.DataFrame, folder: Path) -> list[str]:
    """Patients whose series is there under its own name."""
    return [row["patient_id"] for row in series.to_dict("records") if (folder / series_path(row)).exists()]


def problems(series: pd.DataFrame, folder: Path) -> list[str]:
    with pytest.raises(StudyError) as error:
        fetch(series, folder)
    return error.value.problems


# ---------------------------------------------------------------- what is selected


@pytest.mark.parametrize(
    ("collection", "ids", "patients", "gigabytes"),
    [(CRLM, "CRLM-CT-{}", 197, 10.9), (HCC, "HCC_{:03}", 105, 15.1)],
)
def test_the_shipped_index_has_both_collections(collection, ids, patients, gigabytes):
    """Facts of idc-index-data 25: every patient has one segmentation, and images in its examination."""
    numbers = range(1001, 1300) if collection == CRLM else range(1, 106)
    series = select_series(collection, pd.Series([ids.format(n) for n in numbers]))
    assert series["patient_id"].nunique() == patients
    assert (series[series["modality"] == "SEG"].groupby("patient_id").size() == 1).all()
    assert set(series[series["modality"] == "CT"]["patient_id"]) == set(series["patient_id"])
    assert series["bytes"].sum() / 1e9 == pytest.approx(gigabytes, abs=0.05)
    assert set(series["licence"]) == {"CC BY 4.0"}
    assert series["url"].str.fullmatch(download.URL.pattern).all()


def test_a_subset_is_the_first_patients_of_the_study():
    ids = pd.Series([f"HCC_{n:03}" for n in range(105, 0, -1)] + ["unknown"])
    series = select_series(HCC, ids, max_patients=3)
    assert sorted(set(series["patient_id"])) == ["HCC_001", "HCC_002", "HCC_003"]
    assert set(select_series(HCC, pd.Series(["HCC_050"]))["patient_id"]) == {"HCC_050"}


def test_an_unknown_collection_and_foreign_patients_are_refused():
    with pytest.raises(StudyError, match="did you mean 'hcc_tace_seg'"):
        select_series("hcc_tace_sg", pd.Series(["HCC_001"]))
    with pytest.raises(StudyError, match="no patient of the clinical table is in hcc_tace_seg"):
        select_series(HCC, pd.Series(["CRLM-CT-1001"]))


def test_the_plan_says_what_how_much_and_under_which_licence(tmp_path, monkeypatch):
    series = select_series(HCC, pd.Series(["HCC_001", "HCC_002"]))
    text = "\n".join(download_plan(HCC, series, tmp_path))
    assert "2 patients, 6 series (4 CT, 2 SEG), 353 files, 205 MB" in text
    assert "CC BY 4.0" in text and "https://doi.org/10.7937/tcia.5fna-0924" in text
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**8))
    with pytest.raises(StudyError, match="205 MB to fetch, 100 MB free"):
        download_plan(HCC, series, tmp_path)


# ---------------------------------------------------------------- how a download ends


def test_everything_arrives_once(store, tmp_path):
    series = stored(store)
    table = fetch(series, tmp_path)
    assert list(table["path"]) == [series_path(row) for row in series.to_dict("records")]
    for row in series.to_dict("records"):
        assert is_whole(tmp_path, row)
    again = fetch(series, tmp_path)
    pd.testing.assert_frame_equal(again, table)
    assert set(store.fetched.values()) == {1}


def test_a_folder_of_any_name(store, tmp_path):
    series = stored(store, patients=1)
    folder = tmp_path / 'my "data" $HOME `x` \\ é'
    fetch(series, folder)
    assert whole(series, folder) == ["P0"] and [path.name for path in folder.iterdir()] == ["P0"]


def test_a_missing_object_is_told_from_the_index(store, tmp_path):
    series = stored(store)
    store.remove(key(series, 0, 2))
    found = problems(series, tmp_path)
    assert "patient P0: CT series" in found[0] and "the store has 3 objects" in found[0] and "says 4" in found[0]
    assert whole(series, tmp_path) == ["P1"]


def test_an_object_that_vanishes_between_listing_and_fetching(store, tmp_path):
    series = stored(store)
    store.faults[key(series, 1, 0)] = "gone"
    found = problems(series, tmp_path)
    assert "P1" in found[0] and "0.dcm: the store no longer has this object" in found[0]
    assert whole(series, tmp_path) == ["P0"]


def test_a_truncated_object_is_told_from_the_index(store, tmp_path):
    series = stored(store)
    store.put(key(series, 0, 1), b"half")
    assert "the index says" in problems(series, tmp_path)[0]
    assert whole(series, tmp_path) == ["P1"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("cut", "the connection was cut"),
        ("short", "truncated: 15000 of 30000"),
        ("damaged", "checksum is not the store's"),
    ],
)
def test_what_arrives_wrong_is_not_taken_and_then_fetched_alone(store, tmp_path, fault, message):
    series = stored(store)
    store.faults[key(series, 0, 0)] = fault
    found = problems(series, tmp_path)
    assert message in found[0] and "0.dcm" in found[0] and "goes on from there" in found[-1]
    assert whole(series, tmp_path) == ["P1"]
    store.faults.clear()
    store.fetched.clear()
    fetch(series, tmp_path)
    assert list(store.fetched) == [key(series, 0, 0)], "only what was wrong is fetched again"
    assert whole(series, tmp_path) == ["P0", "P1"]


def test_a_passing_fault_is_healed_by_a_second_try(store, tmp_path):
    series = stored(store)
    store.faults[key(series, 0, 0)] = "damaged once"
    fetch(series, tmp_path)
    assert whole(series, tmp_path) == ["P0", "P1"] and store.fetched[key(series, 0, 0)] == 2


def test_a_busy_server_is_named_and_nothing_is_taken(store, tmp_path):
    series = stored(store)
    store.faults["*"] = "busy"
    found = problems(series, tmp_path)
    assert all("the store is busy" in text and "503" in text for text in found[:-1])
    assert whole(series, tmp_path) == []
    store.faults.clear()
    fetch(series, tmp_path)
    assert whole(series, tmp_path) == ["P0", "P1"]


def test_a_server_that_is_not_there(store, tmp_path, monkeypatch):
    monkeypatch.setenv("S3_ENDPOINT_URL", "http://127.0.0.1:9")
    assert "the store cannot be reached" in problems(stored(store), tmp_path)[0]


def test_a_killed_download_goes_on_where_it_was(store, tmp_path):
    series = stored(store, patients=3, files=20)
    write_table(series, tmp_path / "series.csv")
    store.faults["*"] = "slow"
    program = [sys.executable, str(ROOT / "scripts/download_series.py"), "--series", str(tmp_path / "series.csv")]
    program += ["--folder", str(tmp_path / "images"), "--batch", "0", "--batches", "1"]
    program += ["--output", str(tmp_path / "done.csv")]
    running = subprocess.Popen(program, start_new_session=True, stderr=subprocess.DEVNULL)
    part = tmp_path / "images" / download.PART
    deadline = time.monotonic() + 60
    while len(list(part.rglob("*.dcm"))) < 8:
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    assert not (tmp_path / "done.csv").exists()
    for name in whole(series, tmp_path / "images"):
        assert is_whole(tmp_path / "images", series[series["patient_id"] == name].iloc[0].to_dict())
    bodies = {row["url"]: row for row in series.to_dict("records")}
    sound = {
        f"{row['url'].split('/')[3]}/{path.name}"
        for row in bodies.values()
        for path in (part / series_path(row)).glob("?.dcm")
        if md5_of(store, f"{row['url'].split('/')[3]}/{path.name}") == hashlib.md5(path.read_bytes()).hexdigest()
    }
    assert sound
    store.faults.clear()
    store.fetched.clear()
    assert subprocess.run(program, stderr=subprocess.DEVNULL).returncode == 0
    assert not sound & set(store.fetched), "what had arrived is not fetched again"
    assert (pd.read_csv(tmp_path / "done.csv")["files"] == 20).all()
    assert whole(series, tmp_path / "images") == ["P0", "P1", "P2"]


def md5_of(store, name: str) -> str:
    return store.client.head_object(Bucket=BUCKET, Key=name)["ETag"].strip('"')


def test_a_series_that_lost_a_file_is_fetched_again(store, tmp_path):
    series = stored(store)
    fetch(series, tmp_path)
    next((tmp_path / series_path(series.iloc[0].to_dict())).iterdir()).unlink()
    fetch(series, tmp_path)
    assert whole(series, tmp_path) == ["P0", "P1"]
    assert all(store.fetched[key(series, 1, k)] == 1 for k in range(4))


def test_checksum_of_an_object_that_was_uploaded_in_parts(store, tmp_path):
    body = os.urandom(11 * download.MIB)
    upload = store.client.create_multipart_upload(Bucket=BUCKET, Key="parts.dcm")["UploadId"]
    parts = []
    for number, at in enumerate(range(0, len(body), 5 * download.MIB), 1):
        piece = body[at : at + 5 * download.MIB]
        answer = store.client.upload_part(
            Bucket=BUCKET, Key="parts.dcm", PartNumber=number, UploadId=upload, Body=piece
        )
        parts.append({"ETag": answer["ETag"], "PartNumber": number})
    store.client.complete_multipart_upload(
        Bucket=BUCKET, Key="parts.dcm", UploadId=upload, MultipartUpload={"Parts": parts}
    )
    etag = md5_of(store, "parts.dcm")
    assert etag.endswith("-3")
    path = tmp_path / "parts.dcm"
    path.write_bytes(body)
    assert matches(path, etag)
    path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    assert not matches(path, etag)


# ---------------------------------------------------------------- the clinical table, and all of it together


@pytest.mark.parametrize("name", ["crlm", "hcc-tace-seg"])
def test_a_clinical_table_that_is_not_there_is_asked_for_by_doi_and_path(name, tmp_path, monkeypatch):
    project = tmp_path / "studies"
    project.mkdir()
    (project / f"{name}.yaml").write_text((ROOT / "studies" / f"{name}.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    study = resolve(project / f"{name}.yaml")
    with pytest.raises(StudyError) as error:
        check_tables(study)
    (problem,) = error.value.problems
    assert problem.startswith("data/") and ".xlsx" in problem and f"https://doi.org/{study['public']['doi']}" in problem


@pytest.mark.parametrize("name", ["crlm", "hcc-tace-seg"])
def test_what_is_known_after_treatment_is_refused_in_preoperative_models(name, tmp_path):
    raw = yaml.safe_load((ROOT / "studies" / f"{name}.yaml").read_text())
    late = [key for key, variable in raw["clinical"]["variables"].items() if variable["timing"] == "post"]
    raw["candidates"] = {"pre": late}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(StudyError) as error:
        resolve(tmp_path / "study.yaml")
    assert late and all(any(f"candidates.pre: '{key}'" in text for text in error.value.problems) for key in late)


def published(name: str, table: Path) -> Cohort:
    """The clinical table of a public study, read as the study file says."""
    study = resolve(ROOT / "studies" / f"{name}.yaml")
    study["clinical"]["table"] = str(table)
    return read_cohort(study)


@pytest.mark.reference
def test_the_spreadsheet_of_the_metastases_is_read_as_published():
    path = Path(os.environ.get("REFERENCE_DATA", ""), "crlm_resection/clinical_tcia_october_2022.xlsx")
    if not path.exists():
        pytest.skip("REFERENCE_DATA is not set: no spreadsheet")
    cohort = published("crlm", path)
    assert len(cohort.clinical) == 197 and cohort.exclusions.empty
    assert cohort.endpoints["DFS_event"].sum() == 138 and cohort.endpoints["OS_event"].sum() == 107
    assert cohort.clinical["risk_score"].isna().sum() == 29, "-999 is a missing value"
    assert cohort.clinical["necrosis"].max() <= 1, "fractions"
    assert cohort.clinical["male"].sum() == 117


@pytest.mark.reference
def test_the_spreadsheet_of_the_chemoembolised_is_read_as_published(tmp_path):
    """Its columns and sheets with made-up cells: the table itself is not here."""
    source = Path(os.environ.get("REFERENCE_DATA", ""), "hcc_tace_seg_columns/SOURCE.md")
    if not source.exists():
        pytest.skip("REFERENCE_DATA is not set: no list of columns")
    columns = [line.split("\t") for line in source.read_text().splitlines() if line.count("\t") == 2]
    cells = {"str": "x", "int64": 1, "float64": 26.0}
    table = pd.DataFrame({name: [cells[kind]] * 4 for name, kind, _ in columns})
    table["TCIA_ID"] = [f"HCC_{n:03}" for n in range(1, 5)]
    table["Censored_0_progressed_1"] = [0, 1, 1, 0]
    table["Interval_BL"] = 30
    with pd.ExcelWriter(tmp_path / "table.xlsx") as book:
        table.to_excel(book, sheet_name="data table", index=False)
        pd.DataFrame({"term": ["TTP"]}).to_excel(book, sheet_name="glossary", index=False)
    cohort = published("hcc-tace-seg", tmp_path / "table.xlsx")
    assert cohort.exclusions.empty and list(cohort.endpoints["TTP_event"]) == [0, 1, 1, 0]
    assert cohort.endpoints["TTP_time"].to_numpy() == pytest.approx(26 * 7 / 30.4375), "weeks to months"
    assert set(cohort.clinical["scan_to_treatment"]) == {30}, "days"


@pytest.mark.slow
def test_a_public_cohort_from_the_store_to_its_features(server, tmp_path):
    """Three patients of the real index, whose objects are generated: fetched, listed, cut out, measured."""
    server.faults.clear()
    server.fetched.clear()
    ids = ["CRLM-CT-1040", "CRLM-CT-1085", "CRLM-CT-1090"]  # the smallest scans
    series = select_series(CRLM, pd.Series(ids))
    voxels = {patient: make_patient(rows, server, tmp_path / patient) for patient, rows in series.groupby("patient_id")}
    project = small_project(tmp_path / "project")
    study = yaml.safe_load((project / "studies/crlm.yaml").read_text())
    study |= {"batches": 2, "analyses": {}, "candidates": {}, "on_error": "stop"}
    del study["comparators"], study["primary"]
    study["images"]["extraction"]["image_types"] = ["Original"]
    study["clinical"]["table"] = "clinical.csv"
    columns = [variable["column"] for variable in study["clinical"]["variables"].values()]
    clinical = pd.DataFrame({"Patient-ID": [*ids, "CRLM-CT-1001x"]}).assign(**dict.fromkeys(columns, "1"))
    recorded = study["endpoints"].values()
    clinical = clinical.assign(**{e["time"]: "10" for e in recorded}, **{e["event"]: "1" for e in recorded})
    clinical.to_csv(project / "studies/clinical.csv", index=False)
    (project / "studies/crlm.yaml").write_text(yaml.safe_dump(study))

    target = "results/crlm/features/reader1.parquet"
    arguments = ("--cores", "2", "--config", "study=studies/crlm.yaml", "--", target)
    ran = run_snakemake(project, *arguments)
    assert ran.returncode == 0
    assert problems_of_results(project / "results/crlm") == []
    assert "3 patients, 6 series (3 CT, 3 SEG), 70 files, 43 MB" in ran.stderr
    manifest = pd.read_csv(project / "results/crlm/input/images.csv")
    assert list(manifest["patient_id"]) == ids and set(manifest["phase"]) == {"PVP"}
    features = pd.read_parquet(project / target).set_index("patient_id")
    for patient, count in voxels.items():
        volume = features.loc[patient, "PVP_tumour_original_shape_VoxelVolume"]
        assert volume == pytest.approx(count * 0.8 * 0.8 * 5, rel=0.05), "resampled to 1 mm"
        mean = features.loc[patient, "PVP_tumour_original_firstorder_Mean"]
        assert mean == pytest.approx(70, abs=3)
    assert set(server.fetched.values()) == {1}, "nothing is fetched twice"
    assert "Nothing to be done" in run_snakemake(project, *arguments).stderr
