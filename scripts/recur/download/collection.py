"""Which series of a public collection a study needs, from the index of the Imaging Data Commons that idc-index ships.

The index is a file of the package idc-index-data, so nothing is asked over the network, and a release of the package is
a release of the data: the same lock selects the same series.
"""

from __future__ import annotations

import difflib
from pathlib import Path

import idc_index_data
import pandas as pd
import pyarrow.parquet as pq

from recur.download.store import URL
from recur.tables import PATIENT_ID, StudyError

INDEX = Path(idc_index_data.IDC_INDEX_PARQUET_FILEPATH)
COLUMNS = [
    "collection_id",
    "analysis_result_id",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "SeriesNumber",
    "SeriesDescription",
    "instanceCount",
    "series_size_MB",
    "series_aws_url",
    "license_short_name",
    "source_DOI",
]
SERIES = ["patient_id", "modality", "series_uid", "number", "description", "files", "bytes", "url", "licence", "doi"]


def select_series(
    collection: str,
    patients: pd.Series,
    modality: str = "CT",
    max_patients: int | None = None,
    index: Path = INDEX,
) -> pd.DataFrame:
    """The segmentations of a collection and the images of the examinations they belong to: one row (SERIES) a series.

    Only patients of the study and only what the collection itself holds: segmentations that others derived from it
    have an analysis_result_id in the index. Other examinations of the patient (after treatment) have no segmentation
    and are left. `max_patients` keeps the first by id. Raises StudyError: unknown collection, nobody left.
    """
    table = pd.read_parquet(index, columns=COLUMNS, filters=[("collection_id", "==", collection)])
    if table.empty:
        known = pq.read_table(index, columns=["collection_id"]).column(0).unique().to_pylist()
        near = difflib.get_close_matches(collection, known, 1)
        raise StudyError(
            f"public.collection: {collection!r} is not in the index (idc-index-data {idc_index_data.__version__})"
            + (f"; did you mean {near[0]!r}?" if near else "")
        )
    table = table[table["analysis_result_id"].isna()]
    masks = table[table["Modality"] == "SEG"]
    table = table[table["StudyInstanceUID"].isin(masks["StudyInstanceUID"]) & table["Modality"].isin([modality, "SEG"])]
    here = sorted(set(table["PatientID"]) & set(patients))[:max_patients]
    if not here:
        raise StudyError(
            f"public.collection: no patient of the clinical table is in {collection} with images and a segmentation; "
            "is clinical.id the column of the collection's patient ids?"
        )
    table = table[table["PatientID"].isin(here)].copy()
    unsafe = [p for p in here if not PATIENT_ID.fullmatch(p)]
    unsafe += [url for url in table["series_aws_url"] if not URL.fullmatch(url.removesuffix("*"))]
    if unsafe:
        raise StudyError(f"public.collection: {text!r} in the index cannot name a folder" for text in unsafe)
    series = pd.DataFrame(
        {
            "patient_id": table["PatientID"],
            "modality": table["Modality"],
            "series_uid": table["SeriesInstanceUID"],
            "number": table["SeriesNumber"].fillna(""),
            "description": table["SeriesDescription"].fillna(""),
            "files": table["instanceCount"].astype(int),
            "bytes": (table["series_size_MB"] * 1e6).round().astype(int),
            "url": table["series_aws_url"].str.removesuffix("*"),
            "licence": table["license_short_name"],
            "doi": table["source_DOI"],
        }
    )
    return series[SERIES].sort_values(["patient_id", "modality", "series_uid"], ignore_index=True)
