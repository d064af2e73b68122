"""The IBSI processing sheet of a study: what happened to the images before and while features were computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from recur.features.names import region_of
from recur.tables import read_json, read_made

FILTERS = {
    "Original": "none",
    "Wavelet": "coif1, undecimated, one level, all eight bands; the box of the region and its padding, periodic",
}
TEXTURE = (
    "3-D, 26 neighbours, distance 1; GLCM symmetric, GLCM and GLRLM a matrix per direction (13), features averaged; "
    "GLSZM, GLDM (alpha 0) and NGTDM one matrix; no distance weighting"
)
DEVIATIONS = {
    "pyradiomics": [
        "grid of the interpolation aligned with the image's corner, not its centre",
        "mask by nearest neighbour",
        "interpolated HU not rounded",
        "bins of fixed width start at the multiple of the width below the region's minimum, not at the range's limit",
        "region re-segmented by pyradiomics' rules, where a range is given",
    ],
    "ibsi": [],
}
FORMULAS = [
    "kurtosis without the subtraction of 3",
    "covariance of the axis lengths over n, not n - 1",
]
FILTERED = "filters see the edge of a padded box, not of the scan"


UNKNOWN = "not known: no DICOM header gives it"
NOT_RUN = "not run"
NO_PHANTOM = "not run: REFERENCE_DATA was not set (the phantom is not part of this workflow)"


def processing_sheet(results: Path, study: dict[str, Any], reader: str) -> pd.DataFrame:
    """Item and value, as text, in the order of the IBSI reporting guideline (arXiv:1612.07003, chapter 4).

    Reads the feature manifest of `reader`, images/acquisition.csv, the case tables and the phantom self-test.
    """
    images = study["images"]
    manifest = read_json(results / "features" / f"{reader}.manifest.json")
    extraction = manifest["extraction"]
    ibsi = extraction["mode"] == "ibsi"
    filtered = [FILTERED] if len(extraction["image_types"]) > 1 else []
    rows = [("modality", images["modality"]), *acquisition_rows(results)]
    rows += [
        ("regions of interest", f"masks of {', '.join(images['readers'])}; {_regions(manifest)}"),
        ("intensities", _intensities(images)),
        ("interpolation of images", _interpolation(extraction, _hounsfield(images))),
        (
            "interpolation of masks",
            "trilinear, threshold 0.5, same grid" if ibsi else "nearest neighbour, same grid",
        ),
        ("re-segmentation", _resegmentation(extraction)),
        ("discretisation", _discretisation(extraction, _hounsfield(images))),
        ("image filters", _filters(extraction)),
        ("texture matrices", TEXTURE),
        ("features", _features(manifest)),
        ("software", ", ".join(f"{name} {version}" for name, version in sorted(manifest["versions"].items()))),
        ("deviations from IBSI", "; ".join(DEVIATIONS[extraction["mode"]] + FORMULAS + filtered)),
        ("self-test, IBSI digital phantom", _self_test(results)),
        ("manifest", manifest["manifest_sha256"]),
    ]
    return pd.DataFrame(rows, columns=["item", "value"])


def acquisition_rows(results: Path) -> list[tuple[str, str]]:
    """Scanners, kVp, kernels, slice thickness from the DICOM headers, where there were any; spacing from the cases."""
    path = results / "images" / "acquisition.csv"
    scans = read_made(path) if path.exists() else pd.DataFrame()
    known = [
        ("scanners", ["manufacturer", "model"]),
        ("kVp", ["kvp"]),
        ("field strength, T", ["field_strength_t"]),
        ("reconstruction kernel", ["kernel"]),
        ("slice thickness, mm", ["slice_thickness_mm"]),
        ("contrast delay, s", ["contrast_delay_s"]),
    ]
    rows = []
    for item, columns in known:
        there = [column for column in columns if column in scans and scans[column].notna().any()]
        if there:
            rows.append((item, _counted(scans, there)))
        elif item not in ("field strength, T", "contrast delay, s"):
            rows.append((item, UNKNOWN))
    parts = [read_made(path) for path in sorted(results.glob("images/batch-*.csv"))]
    spacing = pd.concat([part["spacing_z"] for part in parts]).dropna() if parts else pd.Series(dtype=float)
    if len(spacing):
        text = (
            f"median {spacing.median():.3g}, {spacing.min():.3g} to {spacing.max():.3g}, of {len(spacing)} masks' scans"
        )
        rows.append(("slice spacing, mm", text))
    return rows


def _counted(scans: pd.DataFrame, columns: list[str]) -> str:
    """Numbers as median and range, text as counts, the commonest first."""
    if len(columns) == 1 and pd.api.types.is_numeric_dtype(scans[columns[0]]):
        values = scans[columns[0]].dropna()
        return f"median {values.median():g}, {values.min():g} to {values.max():g} ({len(values)} of {len(scans)} scans)"
    text = scans[columns].astype("string").fillna("").agg(" ".join, axis=1).str.strip()
    counts = text[text.ne("")].value_counts().reset_index()
    counts = counts.sort_values(["count", counts.columns[0]], ascending=[False, True])
    return "; ".join(f"{name} ({n})" for name, n in counts.itertuples(index=False))


def _hounsfield(images: dict[str, Any]) -> bool:
    return images["modality"] == "CT" and images["normalise"] == "none"


def _regions(manifest: dict[str, Any]) -> str:
    regions = dict.fromkeys(region_of(place) for place in manifest["phases_and_regions"])
    return f"features of {', '.join(regions)}"


def _intensities(images: dict[str, Any]) -> str:
    scale = {
        "none": "HU as stored" if images["modality"] == "CT" else "as stored",
        "zscore": "z-scores of the scan",
        "liver": "standardised by the liver outside the tumour",
    }[images["normalise"]]
    return scale + (", after N4 bias field correction" if images["n4"] else "")


def _interpolation(extraction: dict[str, Any], hounsfield: bool) -> str:
    spline = extraction["interpolator"] == "sitkBSpline"
    if all(step == 0 for step in extraction["spacing_mm"]):
        return "none"
    grid = " x ".join(f"{step:g}" if step else "own" for step in extraction["spacing_mm"]) + " mm"
    how = "cubic B-spline" if spline else "trilinear"
    if extraction["mode"] == "ibsi":
        return f"{how}, {grid}, grid centred on the scan, {'rounded to whole HU' if hounsfield else 'not rounded'}"
    return f"{how}, {grid}, grid aligned with the scan's corner, float32, not rounded"


def _resegmentation(extraction: dict[str, Any]) -> str:
    limits = extraction["resegment"]
    outliers = extraction["outlier_sd"]
    parts = [f"{limits[0]:g} to {limits[1]:g}"] if limits else []
    parts += [f"within {outliers:g} SD of the mean"] if outliers else []
    return f"{', then '.join(parts)}; shape keeps the whole region" if parts else "none"


def _discretisation(extraction: dict[str, Any], hounsfield: bool) -> str:
    if extraction["bin_count"]:
        return f"fixed number of bins, {extraction['bin_count']}, over the region's own range"
    start = "the multiple of the width at or below the region's minimum"
    if extraction["mode"] == "ibsi":
        start = "the region's minimum"
        if extraction["resegment"]:
            start = f"{extraction['resegment'][0]:g} (filtered images: the region's minimum)"
    unit = " HU" if hounsfield else ""
    return f"fixed bin width, {extraction['bin_width']:g}{unit}, first bin at {start}"


def _filters(extraction: dict[str, Any]) -> str:
    sigmas = ", ".join(f"{sigma:g}" for sigma in extraction["log_sigma_mm"])
    log = f"Laplacian of Gaussian, sigma {sigmas} mm, of the padded box"
    return "; ".join(f"{kind}: {FILTERS.get(kind, log)}" for kind in extraction["image_types"])


def _features(manifest: dict[str, Any]) -> str:
    counts: dict[str, int] = {}
    for classes in manifest["features_by_image_type_and_class"].values():
        for name, n in classes.items():
            counts[name] = counts.get(name, 0) + n
    listed = ", ".join(f"{name} {n}" for name, n in counts.items())
    return f"{manifest['columns']} columns: {manifest['features_per_region_and_phase']} a region and phase ({listed})"


def _self_test(results: Path) -> str:
    """How many consensus values are met, the largest deviation of these, and what is not met and why."""
    path = results / "features" / "ibsi_self_test.csv"
    if not path.exists():
        return NOT_RUN
    table = read_made(path)
    if table.empty:
        return NO_PHANTOM
    met = table[table["within"].astype(bool)]
    text = (
        f"{len(met)} of {len(table)} consensus values within tolerance, largest relative deviation "
        f"{100 * met['deviation'].max():.2g} % (the consensus has three digits)"
    )
    others = table[~table["within"].astype(bool)]
    names = [f"{row.feature.removeprefix('original_')} ({row.known_deviation})" for row in others.itertuples()]
    return text + (f"; outside: {'; '.join(names)}" if names else "")
