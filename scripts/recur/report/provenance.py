"""Where results come from (provenance.json, an RO-Crate), and whether a second run gives the same ones."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd
from rocrate.rocrate import ROCrate

from recur.sources import ROOT
from recur.tables import read_json, read_made

CODE = ("Snakefile", "rules", "scripts", "schemas", "presets", "scores", "notebooks")
LOCK = ("envs/build.txt", "envs/requirements.txt", "envs/pyradiomics.txt")
# What is the same on every run of one machine type and lock; pages with times or of other programs are not.
SAME = ("*.csv", "*.parquet", "*.json", "*.svg", "*.pdf", "*.png")
NOT_COMPARED = ("input", "settings", "report", "provenance.json", "ro-crate-metadata.json")
NOT_LISTED = {("images", "qc"), ("images", "inventory")}  # pictures of patients; paths and times of files
KINDS = {".csv": "text/csv", ".json": "application/json", ".html": "text/html", ".svg": "image/svg+xml"}


def sha256_of(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def provenance(study: dict[str, Any], study_file: Path, results: Path) -> dict[str, Any]:
    """What the results in a folder were made from, as JSON: study, inputs, code, lock, packages, machine, outputs.

    Hashes are SHA-256. `images` is one hash over the keys of all cases, each the hash of a case's image, masks,
    settings and code. `packages` are those of the environment that this runs in.
    """
    return {
        "study": study["study"],
        "synthetic": study["synthetic"],
        "seed": study["seed"],
        "study_file": {"name": study_file.name, "sha256": sha256_of(study_file)},
        "settings": study,
        "inputs": inputs_of(study, results),
        "code": {"sha256": code_hash(), **git_state()},
        "lock": {name: sha256_of(ROOT / name) for name in LOCK},
        "packages": locked_packages(),
        "machine": {
            "system": platform.system(),
            "release": platform.release(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
        },
        "outputs": {str(path.relative_to(results)): sha256_of(path) for path in outputs_of(results)},
    }


def inputs_of(study: dict[str, Any], results: Path) -> dict[str, str]:
    """Name in the study file -> hash of each input table, and one hash over all cases."""
    places = [("clinical", "table"), ("images", "manifest"), ("features", "table"), ("features", "repeat")]
    tables = {f"{key}.{item}": study.get(key, {}).get(item) for key, item in places}
    found = {name: sha256_of(Path(path)) for name, path in tables.items() if path}
    cases = sorted(results.glob("images/batch-*.csv"))
    if cases:
        keys = sorted(pd.concat([read_made(path)["case"] for path in cases]).dropna().astype(str))
        found["images"] = hashlib.sha256("\n".join(keys).encode()).hexdigest()
    return found


def outputs_of(results: Path) -> list[Path]:
    """The files of a results folder that a second run must give again, sorted."""
    found = {path for pattern in SAME for path in results.rglob(pattern) if path.is_file()}
    inside = {path: path.relative_to(results).parts for path in found}
    return sorted(path for path in found if inside[path][0] not in NOT_COMPARED and inside[path][:2] not in NOT_LISTED)


def code_hash() -> str:
    """One hash over the names and contents of everything that computes."""
    files = [path for name in CODE for path in (ROOT / name).rglob("*") if path.is_file()] + [ROOT / "Snakefile"]
    digest = hashlib.sha256()
    for path in sorted(set(files)):
        if "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(ROOT)} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def git_state() -> dict[str, Any]:
    """The commit, and whether files were changed since; nothing in a copy without git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return {}


def locked_packages() -> dict[str, str]:
    """Versions, as installed here, of the packages that the lock names."""
    names = re.findall(r"^([a-z0-9._-]+)==", (ROOT / "envs/requirements.txt").read_text(), re.M)
    found = {}
    for name in [*names, "pyradiomics"]:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_crate(record: dict[str, Any], title: str, results: Path) -> None:
    """Write `ro-crate-metadata.json` into a results folder: its tables, models, figures and pages, and the action that
    made them. Dated with the commit (nothing else has a date that a second run would share). Images are not in it.
    """
    crate = ROCrate(gen_preview=False)
    crate.name = title
    crate.description = ("Synthetic data. " if record["synthetic"] else "") + "Results of a radiomics study"
    crate.datePublished = commit_date()
    software = crate.add_jsonld(
        {
            "@id": "#workflow",
            "@type": ["SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "radiomics study workflow",
            "programmingLanguage": "Snakemake",
            "version": record["code"].get("commit", record["code"]["sha256"]),
        }
    )
    pages = [path for path in sorted(results.glob("report/*.html")) if path.is_file()]
    files = [crate.add_file(dest_path=str(path.relative_to(results)), properties=described(path, record, results))
             for path in [*outputs_of(results), *pages, results / "provenance.json"]]  # fmt: skip
    crate.add_jsonld(
        {
            "@id": "#run",
            "@type": "CreateAction",
            "name": f"run of study {record['study']}",
            "instrument": {"@id": software.id},
            "result": [{"@id": file.id} for file in files],
        }
    )
    crate.metadata.write(results)


def described(path: Path, record: dict[str, Any], results: Path) -> dict[str, Any]:
    name = str(path.relative_to(results))
    facts = {"name": name, "contentSize": str(path.stat().st_size)}
    facts |= {"encodingFormat": KINDS[path.suffix]} if path.suffix in KINDS else {}
    return facts | ({"sha256": record["outputs"][name]} if name in record["outputs"] else {})


def commit_date() -> str:
    try:
        done = subprocess.run(
            ["git", "log", "-1", "--format=%cI"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()[:10]
    except (OSError, subprocess.CalledProcessError):
        return "1970-01-01"


def differences(one: Path, other: Path) -> pd.DataFrame:
    """Files of two results folders that are not the same bytes: file, what (missing, new, differs), and for tables the
    largest relative difference of a number. `one` is the record: its provenance.json is believed, not its files.
    """
    stored = read_json(one / "provenance.json")["outputs"]
    again = {str(path.relative_to(other)): path for path in outputs_of(other)}
    rows = [(name, "missing", "") for name in sorted(set(stored) - set(again))]
    rows += [(name, "new", "") for name in sorted(set(again) - set(stored))]
    for name in sorted(set(stored) & set(again)):
        if sha256_of(again[name]) != stored[name]:
            rows.append((name, "differs", table_difference(one / name, again[name])))
    return pd.DataFrame(rows, columns=["file", "what", "difference"])


def table_difference(one: Path, other: Path) -> str:
    """The largest relative difference of a number between two CSV files, in words; empty for other files."""
    if one.suffix != ".csv" or not one.exists():
        return ""
    a, b = (pd.read_csv(path, keep_default_na=False) for path in (one, other))
    if a.shape != b.shape or list(a) != list(b):
        return f"{len(a)} rows of {len(a.columns)} columns against {len(b)} of {len(b.columns)}"
    numbers = [c for c in a if pd.api.types.is_float_dtype(a[c]) and pd.api.types.is_float_dtype(b[c])]
    if not a.drop(columns=numbers).equals(b.drop(columns=numbers)):
        return "text differs"
    gap = ((a[numbers] - b[numbers]).abs() / a[numbers].abs().clip(lower=1e-300)).max().max()
    return f"at most {gap:.1e} relative"


def environment() -> dict[str, str]:
    """The environment of a second run: this one's, without settings of Python that could change results."""
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
