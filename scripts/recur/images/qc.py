"""The picture to look at before any feature is believed: largest tumour slice per phase, regions outlined."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from recur.images.case import LIVER, RIM, TUMOUR, Case

WIDTH = 600  # pixels
LINE = 16
# Okabe-Ito colours: distinct in every form of colour blindness; liver first, so that the tumour is drawn on top
COLOURS = {LIVER: (240, 228, 66), RIM: (86, 180, 233), TUMOUR: (213, 94, 0)}
NAMES = {LIVER: "liver", RIM: "rim", TUMOUR: "tumour"}


def draw_patient(patient_id: str, phases: list[tuple[str, Case | None, str]], synthetic: bool = False) -> Image.Image:
    """One panel per phase with its caption (flags, or the reason of its exclusion); deterministic pixels.

    `phases`: (phase, case or None, caption). Pillow draws it in a few milliseconds, a plotting library in 150.
    """
    font = ImageFont.load_default(size=12)
    width = WIDTH // max(len(phases), 2)
    panels = [_panel(case, width - 6) if case else None for _, case, _ in phases]
    height = max((p.height for p in panels if p), default=LINE)
    captions = [textwrap.wrap(f"{phase}: {text}", width // 7) for phase, _, text in phases]
    title = textwrap.wrap(patient_id + ("   SYNTHETIC" if synthetic else ""), WIDTH // 8)
    top = LINE * (len(title) + 1) + 4
    picture = Image.new("RGB", (WIDTH, top + height + LINE * max(map(len, captions), default=0) + 8), "white")
    draw = ImageDraw.Draw(picture)
    for i, line in enumerate(title):
        draw.text((4, 2 + LINE * i), line, fill="black", font=ImageFont.load_default(size=14))
    x = 4
    for bit in (TUMOUR, RIM, LIVER):
        draw.rectangle((x, top - LINE + 2, x + 10, top - 6), fill=COLOURS[bit], outline="black")
        draw.text((x + 15, top - LINE - 2), NAMES[bit], fill="black", font=font)
        x += 80
    for i, (panel, lines) in enumerate(zip(panels, captions, strict=True)):
        if panel:
            picture.paste(panel, (i * width + 3, top))
        for j, line in enumerate(lines):
            draw.text((i * width + 4, top + height + 2 + LINE * j), line, fill="black", font=font)
    return picture


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write the PNG under a temporary name first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    picture.save(partial, format="PNG", compress_level=1)
    partial.replace(path)


def _panel(case: Case, side: int) -> Image.Image:
    """The slice with the largest tumour area, in true proportions, the patient's front up and right side left."""
    z = int(((case.labels & TUMOUR) > 0).sum(axis=(1, 2)).argmax())
    image, labels = case.image[z], case.labels[z]
    if case.direction[0] < 0:
        image, labels = image[:, ::-1], labels[:, ::-1]
    if case.direction[4] < 0:
        image, labels = image[::-1], labels[::-1]
    # the regions' own values set the grey scale, so that CT and MR need no settings
    low, high = np.percentile(image[(labels & (TUMOUR | RIM)) > 0], (1, 99))
    reach = max(high - low, 1.0)
    grey = np.clip((image - low + reach / 2) / (2 * reach), 0, 1) * 255
    millimetres = np.array(image.shape[::-1]) * case.spacing[:2]
    size = np.maximum(np.round(millimetres * side / millimetres.max()), 1).astype(int).tolist()
    panel = np.stack(
        [np.asarray(Image.fromarray(grey.astype(np.uint8)).resize(size, Image.Resampling.BILINEAR))] * 3, 2
    )
    large = np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    for bit, colour in COLOURS.items():
        panel[_outline((large & bit) > 0)] = colour
    return Image.fromarray(panel)


def _outline(mask: np.ndarray) -> np.ndarray:
    """The outermost two pixels of a region."""
    inner = mask
    for _ in range(2):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inner
