"""Rows of the feature extractor against pyradiomics (API and command line) and the other extractors."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench import cases
from bench.common import ROOT, Worker, command, interleaved, row

FOLDER = ROOT / "results" / "bench"
PATIENTS = 10  # of two regions and two phases: 40 rows of the command line
SLOW = "mirp"  # minutes a turn: measured once and cold, its compiling is not what takes them
# what keeps a peer from the same values: printed with its rows
PEERS = {
    "flash": "flash-radiomics 1.0.0: pyradiomics' definitions, pre-cropped; writes HDF5",
    "pictologics": "pictologics 0.9.0, warm: IBSI definitions, other interpolator, filter border and bin origin",
    "mirp": "MIRP 2.7.0: IBSI definitions, other filter border",
    "nyxus": "nyxus 0.11.0: original image only, no resampling, wavelet or LoG (217 values instead of 1130)",
}


def made_cases(big: bool) -> dict[str, Path]:
    """Folders of the cases, made where they are not there yet."""
    folder = FOLDER / "cases"
    found = {}
    makers = {"liver40": lambda to: cases.liver(to, 40), "liver100": lambda to: cases.liver(to, 100)}
    if big:
        makers["slices400"] = lambda to: cases.liver(to, 40, slices=400)
    source = cases.lung2_source()
    if source:
        makers["lung2" if "cropped" not in source[0].name else "lung2_cropped"] = lambda to: cases.lung2(to, *source)
    else:
        print("lung2: not in $PYRADIOMICS_DATA or $REFERENCE_DATA, skipped")
    for name, make in makers.items():
        found[name] = folder / name
        if not (folder / name / "rim.nii.gz").exists():
            make(folder / name)
    return found


def rows(rounds: int = 3, big: bool = True) -> Iterator[dict[str, Any]]:
    """Every comparison, one row at a time. CPU seconds a patient; wall seconds for the command line."""
    found = made_cases(big)
    alone = found.pop("slices400", None)
    for name, case in found.items():
        size = cases.voxels(case)
        ours = worker("ours", case)
        try:
            for peer in ("pyradiomics", *PEERS):
                yield from against(name, case, ours, peer, size, rounds)
        finally:
            ours.close()
    if alone:
        ours = worker("ours", alone)
        used = ours.turn()
        ours.close()
        yield row("slices400", "", used.cpu, math.nan, size=cases.voxels(alone), peak_mib=used.peak_mib)
    yield command_line(found["liver40"])


def worker(tool: str, case: Path) -> Worker:
    """A worker of the tool, in the peers' own environment unless it is the project's."""
    python = sys.executable
    if tool in PEERS:
        python = os.environ.get(f"BENCH_{tool.upper()}", FOLDER / "venv" / tool / "bin" / "python")
    return Worker([python, Path(__file__).with_name("worker.py"), tool, case], FOLDER / f"{tool}.log")


def against(name: str, case: Path, ours: Worker, peer: str, size: str, rounds: int) -> Iterator[dict[str, Any]]:
    try:
        theirs = worker(peer, case)
    except OSError:
        print(f"{peer}: not installed (make bench-peers), skipped")
        return
    if peer in PEERS:
        print(PEERS[peer])
    try:
        ours.turn()  # first calls compile and warm up: not counted
        if peer != SLOW:
            theirs.turn()
        a, b = interleaved(ours.turn, theirs.turn, 1 if peer == SLOW else rounds)
        difference = largest_difference(case) if peer == "pyradiomics" else None
        yield row(name, peer, a.cpu, b.cpu, max_rel_diff=difference, size=size, peak_mib=a.peak_mib)
        if peer == "pyradiomics":
            print(f"{name}: peak memory of pyradiomics {b.peak_mib:.0f} MiB, ours {a.peak_mib:.0f} MiB")
    except RuntimeError as error:
        print(f"{peer}: {error}")
    finally:
        theirs.close()


def largest_difference(case: Path) -> float:
    """Largest relative difference of a value from plain pyradiomics; infinite where the names differ."""
    ours, theirs = (json.loads((case / f"{tool}.json").read_text()) for tool in ("ours", "pyradiomics"))
    if set(ours) != set(theirs):
        return math.inf
    pairs = [(ours[name], theirs[name]) for name in theirs]
    return max(0.0 if a == b or (a != a and b != b) else abs(a - b) / abs(b) if b else math.inf for a, b in pairs)


def command_line(case: Path) -> dict[str, Any]:
    """pyradiomics -j 2 on 40 rows against two processes of ours, wall seconds with every start-up.

    Values are not compared: the command line truncates int16 images when it resamples them.
    """
    folder = FOLDER / "cases" / "batch"
    patients = [folder / f"patient{n}" for n in range(PATIENTS)]
    for patient in patients:
        if not patient.exists():
            shutil.copytree(case, patient, ignore=shutil.ignore_patterns("*.json", "*.h5"))
    batch, parameters = folder / "batch.csv", folder / "parameters.yaml"
    with batch.open("w", newline="") as stream:
        lines = csv.writer(stream)
        lines.writerow(["ID", "Image", "Mask"])
        for patient in patients:
            for phase in cases.PHASES:
                for region in ("tumour", "rim"):
                    files = patient / f"{phase}.nii.gz", patient / f"{region}.nii.gz"
                    lines.writerow([f"{patient.name}_{phase}_{region}", *files])
    classes = ("shape", "firstorder", "glcm", "glrlm", "glszm", "gldm", "ngtdm")
    settings = {"binWidth": 25, "resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkBSpline", "padDistance": 10}
    images = {"Original": {}, "Wavelet": {}, "LoG": {"sigma": [1.0, 3.0, 5.0]}}
    settings["geometryTolerance"] = 1e-4
    parameters.write_text(
        yaml.safe_dump({"setting": settings, "imageType": images, "featureClass": dict.fromkeys(classes)})
    )
    cli = [Path(sys.executable).with_name("pyradiomics"), batch, "-o", folder / "out.csv", "-f", "csv"]
    cli += ["-p", parameters, "-j", "2", "-v", "1"]

    def theirs():
        (folder / "out.csv").unlink(missing_ok=True)
        return command(cli, FOLDER / "cli.log")

    def ours():
        return command([sys.executable, Path(__file__).with_name("batch.py"), *patients], FOLDER / "batch.log")

    a, b = interleaved(ours, theirs, 1)
    size = f"{4 * PATIENTS} rows, 2 processes, wall"
    return row("liver40 batch", "pyradiomics -j 2", a.wall, b.wall, size=size)
