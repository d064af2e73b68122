"""The slices around a tumour for the page of the images: grey values and masks in a script that the page loads.

A page opened from a folder may load scripts, but reads neither files nor the pixels of pictures; so the voxels are in
a script, and the grey values are whole: the page sets window and level itself.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence

import numpy as np

from recur.images.montage import Reading, has_hu, view_of
from recur.images.regions import bounding_box, widen

AROUND_MM = 20.0  # tissue around the tumour and its rims
LEVELS = 4095  # grey values of images without HU


def slices_script(readings: Sequence[Reading]) -> str:
    """A line of script: `slices(<JSON>)` for the tumour of one phase; the readings must have a case among them.

    JSON: size and spacing (mm) of slices, rows, columns, which run upwards, to the back and to the patient's left;
    image, grey values as whole numbers, value = offset + step x number; labels, for each reader, bits of `regions`
    (null where its image has another lattice); low, high, the window to begin with; unit; first, flipped, total, axis:
    how the whole image numbers its slices. Image: differences along the columns, zigzag, all low
    bytes, then all high bytes; image and labels deflated, base64.
    """
    view = view_of(readings)
    case = readings[view.base].case
    regions = np.uint8(sum(bit for name, bit in view.bits.items() if name != "liver"))
    inside = (view.labels[view.base] & regions) > 0
    margin = [int(np.ceil(AROUND_MM / step)) for step in view.spacing]
    box = widen(bounding_box(inside), margin, inside.shape)
    image = view.image[box]
    offset, step = 0.0, 1.0
    if not has_hu(case):
        offset = float(image.min())
        step = max(float(np.ptp(image)), 1e-6) / LEVELS
    numbers = np.clip(np.round((image - offset) / step), -32768, 32767).astype(np.int16)
    start, stop = box[view.slices].start, box[view.slices].stop
    cut = view.image.shape[view.slices] - stop if view.flipped else start
    shown = np.uint8(sum(view.bits.values()))
    drawn = [labels if labels is None else labels[box] & shown for labels in view.labels]
    value = {
        "size": list(numbers.shape),
        "spacing": [float(f"{mm:.6g}") for mm in view.spacing],
        "offset": float(f"{offset:.6g}"),
        "step": float(f"{step:.6g}"),
        "low": float(f"{view.low:.6g}"),
        "high": float(f"{view.high:.6g}"),
        "unit": "HU" if has_hu(case) else "",
        "axis": view.slices,
        "first": view.first + cut,
        "flipped": bool(view.flipped),
        "total": view.total,
        "regions": view.bits,
        "readers": [reading.reader for reading in readings],
        "image": _packed(_zigzag(numbers)),
        "labels": [labels if labels is None else _packed(labels) for labels in drawn],
    }
    return f"slices({json.dumps(value, separators=(',', ':'))});\n"


def _zigzag(numbers: np.ndarray) -> np.ndarray:
    """Differences along the last axis (modulo 65536), small ones of both signs as small numbers; their bytes apart."""
    steps = np.diff(numbers, axis=2, prepend=np.int16(0))
    folded = ((steps << 1) ^ (steps >> 15)).astype("<u2")
    return np.stack([folded & 255, folded >> 8]).astype(np.uint8)


def _packed(array: np.ndarray) -> str:
    # noise has no matches but runs of 0: as small as with a search for matches, in half the time
    deflate = zlib.compressobj(6, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    return base64.b64encode(deflate.compress(array.tobytes()) + deflate.flush()).decode()
