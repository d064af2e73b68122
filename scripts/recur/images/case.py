"""From one row of the image manifest to its cropped cases: what is read, checked and put on one scale."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from recur.images.case_file import Case
from recur.images.cut import cut_case
from recur.images.flags import added, flag, kind_of
from recur.images.grid import in_anatomical_order, rounded
from recur.images.normalise import normalised, without_bias
from recur.images.plausible import check_extent, hu_problem, hu_remark
from recur.images.read import EmptyMask, Volume, read_image, read_mask
from recur.images.regions import bounding_box, lesions
from recur.tables import StudyError

MASKS = ("mask", "liver_mask", "vessel_mask", "lesions_mask", "aorta_mask")
THICK_SLICE_RATIO = 3.0


def make_case(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> Case:
    """The one case of a manifest row, or that of its largest lesion: see make_cases."""
    return make_cases(row, regions)[0]


def make_cases(row: Mapping[str, str | None], regions: Mapping[str, Any]) -> list[Case]:
    """Read image and masks of one manifest row, check them, normalise, make the rims, crop.

    `regions`: rim_mm (None or 0: no rim), more_rims (name -> [inner, outer] mm), min_shell_fraction, hu_window,
    rim_hu_floor, each may be None; pad_mm, the room left for resampling, only where extraction pads more than 10
    voxels of 1 mm; lesions (together, largest, each), modality (CT, MR), normalise (none, zscore, liver), n4.
    One case, but one a lesion, largest first, for `lesions: each`.
    Raises StudyError with the cause in one line; the caller adds patient, phase and reader.
    """
    nonuniform = regions.get("nonuniform") or "refuse"
    image = _named("image", read_image, row["image"], row.get("series"), nonuniform, as_stored=True)
    masks, flags, mask_offset = _masks(row, image, regions.get("mask_grid") or "same")
    if regions.get("orientation", "anatomical") == "anatomical":
        image, masks = in_anatomical_order(image, masks)
    image = image._replace(grid=rounded(image.grid))
    check_extent(masks["mask"], "tumour")
    read = image.facts | {"mask_offset_mm": mask_offset, "image_hash": image_hash(image.voxels)}
    read["tumour_hash"] = tumour_hash(image.voxels, masks["mask"])
    read["mask_hash"] = hashlib.sha256(np.packbits(masks["mask"]).tobytes()).hexdigest()
    spacing = image.grid.spacing
    if max(spacing) > THICK_SLICE_RATIO * min(spacing):
        flags.append(flag("thick", f"slice/in-plane ratio {max(spacing) / min(spacing):.1f}"))
    if regions.get("modality", "CT") == "CT":
        flags += _odd_grey_values(image.voxels, regions)
    image, facts = _on_scale(image, masks, regions)
    facts = read | facts | _organ_medians(image.voxels, masks)
    return _cases_of_lesions(image, masks, regions, facts, flags)


def _cases_of_lesions(
    image: Volume,
    masks: Mapping[str, np.ndarray],
    regions: Mapping[str, Any],
    facts: dict[str, Any],
    flags: list[str],
) -> list[Case]:
    """One case, or one a lesion for `lesions: each`; what is not in a case's tumour belongs to its other lesions."""
    how = regions.get("lesions", "together")
    box, numbers = lesions(masks["mask"], image.grid.spacing)
    count = int(numbers.max())
    cases: list[Case] = []
    for number in range(1, count + 1 if how == "each" else 2):
        lesion = masks["mask"]
        other_lesions = masks.get("lesions_mask")
        if how != "together":
            lesion = np.zeros_like(lesion)
            lesion[box] = numbers == number
            other_lesions = masks["mask"] if other_lesions is None else masks["mask"] | other_lesions
        if other_lesions is not None:
            other_lesions = other_lesions & ~lesion
        if how == "each" and number > 1 and min(side.stop - side.start for side in bounding_box(lesion)) < 2:
            added(cases[0].facts, flag("left_out", f"lesion {number} left out: one slice"))
            continue
        of_lesion = facts | {"lesion": number, "lesions": count}
        cases.append(cut_case(image, lesion, masks | {"lesions_mask": other_lesions}, regions, of_lesion, flags))
    return cases


def _odd_grey_values(voxels: np.ndarray, regions: Mapping[str, Any]) -> list[str]:
    """Remarks on a CT's grey values; StudyError where they are no HU, unless the study takes them (`not_hu: flag`)."""
    problem = hu_problem(voxels)
    if problem and regions.get("not_hu", "exclude") == "exclude":
        raise StudyError(f"image: {problem}; give the CT in HU, or declare images.modality: MR or images.not_hu: flag")
    if problem:
        return [flag("not_hu", problem)]
    remark = hu_remark(voxels)
    return [flag("not_hu", remark)] if remark else []


def _organ_medians(voxels: np.ndarray, masks: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """Median grey values of liver (without lesions and vessels) and aorta: what tells a phase from another."""
    medians: dict[str, float | None] = {"liver_median": None, "aorta_median": None}
    for organ, without in (("liver", ("mask", "lesions_mask", "vessel_mask")), ("aorta", ())):
        if f"{organ}_mask" not in masks:
            continue
        box = bounding_box(masks[f"{organ}_mask"])
        tissue = masks[f"{organ}_mask"][box].copy()
        for column in without:
            if column in masks:
                tissue &= ~masks[column][box]
        if tissue.any():
            medians[f"{organ}_median"] = float(np.median(voxels[box][tissue]))
    return medians


def image_hash(voxels: np.ndarray) -> str:
    """SHA-256 over a coarse sample of the image (z, y, x) and its shape: two patients with one image are found."""
    sample = np.round(voxels[::2, ::8, ::8]).astype(np.int32)
    return hashlib.sha256(repr(voxels.shape).encode() + sample.tobytes()).hexdigest()


def tumour_hash(voxels: np.ndarray, mask: np.ndarray) -> str:
    """SHA-256 over the grey values in the mask (z, y, x): a copy of the image that was cropped has it, too."""
    box = bounding_box(mask)
    values = np.rint(voxels[box][mask[box]]).astype(np.int32)
    shape = repr(mask[box].shape).encode() + np.packbits(mask[box]).tobytes()
    return hashlib.sha256(shape + values.tobytes()).hexdigest()


def _masks(
    row: Mapping[str, str | None], image: Volume, mask_grid: str
) -> tuple[dict[str, np.ndarray], list[str], float]:
    """Every mask of the row by its column (bool, whole image), remarks on image and masks, offset of the tumour's."""
    masks: dict[str, np.ndarray] = {}
    flags = list(image.flags)
    offset = 0.0
    for column in MASKS:
        if not row.get(column):
            continue
        what = column.replace("_", " ")
        label = row.get(label_column(column))
        try:
            mask = _named(what, read_mask, row[column], label, image, mask_grid)
        except EmptyMask:
            if column in ("vessel_mask", "lesions_mask", "aorta_mask"):
                continue  # no vessel and no other lesion is a finding, not an error; the aorta may lie outside
            raise
        masks[column] = mask.voxels
        if column == "mask":
            offset = mask.offset_mm
            flags += [text for text in mask.flags if text not in flags]  # one header's fault is often the other's
        else:
            organ = what.removesuffix("mask")
            flags += [flag(kind_of(text), f"{organ}{text}") for text in mask.flags]
    return masks, flags, offset


def label_column(mask: str) -> str:
    return "mask_label" if mask == "mask" else mask.replace("mask", "label")


def _on_scale(image: Volume, masks: Mapping[str, np.ndarray], regions: Mapping[str, Any]) -> tuple[Volume, dict]:
    """The image after N4 and normalisation, and the columns that say so."""
    how = regions.get("normalise", "none")
    n4 = bool(regions.get("n4"))
    if n4 or how != "none":
        image = image._replace(voxels=image.voxels.astype(np.float32, copy=False))
    facts = {"modality": regions.get("modality", "CT"), "normalise": how, "n4": n4}
    facts |= {"normalise_mean": None, "normalise_sd": None}
    if n4:
        image = image._replace(voxels=without_bias(image.voxels, image.grid.spacing))
    liver = masks.get("liver_mask")
    if how == "liver" and liver is not None:
        liver = liver.copy()
        for column in ("mask", "lesions_mask", "vessel_mask"):
            if column in masks:
                liver &= ~masks[column]
    voxels, scale = normalised(image.voxels, how, liver)
    return image._replace(voxels=voxels), facts | scale


def _named(what: str, read: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return read(*arguments, **options)
    except EmptyMask as error:
        raise EmptyMask(f"{what} {error}") from None
    except StudyError as error:
        raise StudyError(f"{what} {error}") from None
