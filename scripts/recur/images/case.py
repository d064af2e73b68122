"""From one row of the image manifest to a cropped case, stored under the hash of everything it depends on."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pydicom
import scipy
import SimpleITK as sitk

from recur.images.read import Grid, read_image, read_mask
from recur.images.regions import bounding_box, maximum_diameter, rim, widen
from recur.tables import StudyError

TUMOUR, RIM, LIVER = 1, 2, 4  # bits of the label map
BITS = {"tumour": TUMOUR, "rim": RIM, "liver": LIVER}

# The crop must hold the box that pyradiomics resamples (regions + padDistance, rounded outwards on the new grid) and 20
# input voxels more: there a cubic B-spline of the crop, in float32, equals that of the whole image bit for bit (its
# pole is 0.268: the influence of the cut falls 3.7 times a voxel).
SPLINE_VOXELS = 20
ROUNDING_VOXELS = 2
# (padDistance + 1.5) x output spacing for pyradiomics' 10 voxels of 1 mm; `pad_mm` in the settings overrides it.
PAD_MM = 11.5
THICK_SLICE_RATIO = 3.0


class Case(NamedTuple):
    """A cropped image with its regions, on the voxel lattice of the whole image.

    image (z, y, x) float32; labels (z, y, x) uint8 of bits TUMOUR, RIM, LIVER; spacing (3,) mm, direction (9,),
    origin (3,) of the crop, offset (3,) of its first voxel in the whole image, full_size (3,) and full_origin (3,) of
    the whole image, all in x, y, z order; facts: the columns of the case table that are measured here.
    """

    image: np.ndarray
    labels: np.ndarray
    spacing: np.ndarray
    origin: np.ndarray
    direction: np.ndarray
    full_size: np.ndarray
    offset: np.ndarray
    full_origin: np.ndarray
    facts: dict[str, Any]


def make_case(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> Case:
    """Read image and masks of one manifest row, check them, make the rim, crop.

    `regions`: rim_mm (None or 0: no rim), min_shell_fraction, hu_window, rim_hu_floor, each may be None; pad_mm, the
    room left for resampling, only where extraction pads more than 10 voxels of 1 mm.
    Raises StudyError with the cause in one line; the caller adds patient, phase and reader.
    """
    image = _named("image", read_image, row["image"])
    tumour = _named("mask", read_mask, row["mask"], row.get("mask_label"), image)
    flags = list(tumour.flags)
    liver = None
    if row.get("liver_mask"):
        liver = _named("liver mask", read_mask, row["liver_mask"], row.get("liver_label"), image)
        flags += [f"liver {flag}" for flag in liver.flags]
    spacing = image.grid.spacing
    if max(spacing) > THICK_SLICE_RATIO * min(spacing):
        flags.append(f"slice/in-plane ratio {max(spacing) / min(spacing):.1f}")

    labels = tumour.voxels.astype(np.uint8) * TUMOUR
    if liver is not None:
        labels |= liver.voxels.astype(np.uint8) * LIVER
    rim_mm, shell_fraction = regions.get("rim_mm") or 0, None
    if rim_mm:
        window = regions.get("hu_window")
        made = rim(tumour.voxels, spacing, rim_mm, liver.voxels if liver else None, image.voxels, window)
        shell_fraction = made.shell_fraction
        flags += [made.flag] if made.flag else []
        _check_rim(made.voxels, shell_fraction, image.voxels, regions)
        labels |= made.voxels.astype(np.uint8) * RIM

    box = bounding_box((labels & (TUMOUR | RIM)) > 0)
    pad_mm = regions.get("pad_mm", PAD_MM)
    margin = [int(np.ceil(pad_mm / step)) + SPLINE_VOXELS + ROUNDING_VOXELS for step in spacing[::-1]]
    box = widen(box, margin, labels.shape)
    counts = {name: int(((labels & bit) > 0).sum()) for name, bit in (("tumour", TUMOUR), ("rim", RIM))}
    ml = float(np.prod(spacing)) / 1000
    facts = {
        "flags": ";".join(flags),
        "tumour_voxels": counts["tumour"],
        "tumour_ml": counts["tumour"] * ml,
        "rim_voxels": counts["rim"],
        "rim_ml": counts["rim"] * ml,
        "shell_fraction": shell_fraction,
        "diameter_mm": maximum_diameter(tumour.voxels, spacing),
        **dict(zip(("spacing_x", "spacing_y", "spacing_z"), spacing, strict=True)),
        **dict(zip(("size_x", "size_y", "size_z"), image.grid.size, strict=True)),
        "bits": image.source,
    }
    return _crop(image.voxels, labels, image.grid, box, facts)


def _crop(voxels: np.ndarray, labels: np.ndarray, grid: Grid, box: tuple[slice, ...], facts: dict[str, Any]) -> Case:
    offset = np.array([s.start for s in box[::-1]])
    affine = np.reshape(grid.direction, (3, 3)) * np.asarray(grid.spacing)
    return Case(
        image=np.ascontiguousarray(voxels[box]),
        labels=np.ascontiguousarray(labels[box]),
        spacing=np.array(grid.spacing),
        origin=np.array(grid.origin) + affine @ offset,
        direction=np.array(grid.direction),
        full_size=np.array(grid.size),
        offset=offset,
        full_origin=np.array(grid.origin),
        facts=facts,
    )


def _check_rim(voxels: np.ndarray, fraction: float, image: np.ndarray, regions: Mapping[str, Any]) -> None:
    """Refuse a rim of which too little is left, or which lies in air (wrong mask, lung, bowel)."""
    least, floor = regions.get("min_shell_fraction"), regions.get("rim_hu_floor")
    if not voxels.any() or (least is not None and fraction < least):
        raise StudyError(
            f"rim: {100 * fraction:.0f} % of the {regions['rim_mm']:g} mm shell is left after clipping, "
            f"at least {100 * (least or 0):.0f} % is needed; check the liver mask and the field of view"
        )
    median = float(np.median(image[voxels]))
    if floor is not None and median < floor:
        raise StudyError(f"rim: median {median:.0f} HU is below {floor:g}, it lies in air; check mask and image")


def _named(what: str, read: Any, *arguments: Any) -> Any:
    try:
        return read(*arguments)
    except StudyError as error:
        raise StudyError(f"{what} {error}") from None


def case_image(case: Case) -> sitk.Image:
    """The cropped image for ITK and pyradiomics (float32)."""
    image = sitk.GetImageFromArray(case.image)
    image.SetSpacing(case.spacing.tolist())
    image.SetOrigin(case.origin.tolist())
    image.SetDirection(case.direction.tolist())
    return image


def case_mask(case: Case, region: str) -> sitk.Image:
    """One region (tumour, rim, liver) as a uint8 mask on the grid of the *whole* image.

    Passed together with `case_image` to pyradiomics' `resampleImage`, which takes its grid from the mask, it gives
    the very resampled voxels of the whole image.
    """
    full = np.zeros(case.full_size[::-1], dtype=np.uint8)
    x, y, z = case.offset
    depth, height, width = case.labels.shape
    full[z : z + depth, y : y + height, x : x + width] = (case.labels & BITS[region]) > 0
    mask = sitk.GetImageFromArray(full)
    mask.SetSpacing(case.spacing.tolist())
    mask.SetOrigin(case.full_origin.tolist())
    mask.SetDirection(case.direction.tolist())
    return mask


def save_case(case: Case, path: Path) -> None:
    """Write the case as .npz, equal bytes for equal cases, under a temporary name first.

    Deflated at the lowest level: a third of the size; higher levels gain another tenth for ten times the time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    arrays = case._asdict() | {"facts": np.frombuffer(json.dumps(case.facts).encode(), dtype=np.uint8)}
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:  # a name, not a file, has a fixed date
                np.lib.format.write_array(stream, array, allow_pickle=False)
    partial.replace(path)


def load_case(path: Path) -> Case:
    """Read a stored case; raises StudyError when the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in Case._fields}
        return Case(**arrays | {"facts": json.loads(arrays["facts"].tobytes())})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise StudyError(
            f"{path.name}: not a readable case ({type(error).__name__}); delete it and run again"
        ) from None


def cached_case(row: Mapping[str, str | None], regions: Mapping[str, Any], cache: Path) -> tuple[str, Case]:
    """The case of a manifest row and its file name in the cache, from there if it is there and whole."""
    name = f"{case_key(row, regions)}.npz"
    try:
        return name, load_case(cache / name)
    except StudyError:
        case = make_case(row, regions)
        save_case(case, cache / name)
        return name, case


def case_key(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> str:
    """SHA-256 over the bytes of image and masks, labels, settings, this package's sources and its libraries.

    Paths, ids and times are left out, so that studies share cases and a moved file is recognised.
    """
    settings = {k: v for k, v in regions.items() if k != "on_error"}
    parts = {
        "files": {what: content_hash(row[what]) if row.get(what) else None for what in ("image", "mask", "liver_mask")},
        "labels": [row.get("mask_label") or "", row.get("liver_label") or ""],
        "regions": json.loads(json.dumps(settings), parse_int=float),  # 10 and 10.0 are one setting
        "code": _code_version(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def content_hash(path: str | Path) -> str:
    """SHA-256 of a file, or of a folder's files in name order (their names do not count); "" if missing."""
    path = Path(path)
    if not path.exists():
        return ""
    digest = hashlib.sha256()
    try:
        for file in sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    except OSError as error:
        raise StudyError(f"{path.name}: cannot be opened ({error.strerror})") from None
    return digest.hexdigest()


def _code_version() -> list[str]:
    here = Path(__file__).parent
    sources = [hashlib.sha256((here / name).read_bytes()).hexdigest() for name in ("case.py", "read.py", "regions.py")]
    libraries = (np, scipy, sitk.Version, pydicom)
    versions = [v.VersionString() if v is sitk.Version else v.__version__ for v in libraries]
    return sources + versions
