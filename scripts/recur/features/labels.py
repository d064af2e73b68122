"""Names of features as figures write them."""

from __future__ import annotations

import re
from typing import Any

from recur.features.names import measure_parts, parsed
from recur.style import plain, shorten

SHORTER = {
    "GrayLevel": "GL",
    "NonUniformity": "NonUnif",
    "Normalized": "Norm",
    "Emphasis": "Emph",
    "Dependence": "Dep",
    "Difference": "Diff",
    "Correlation": "Corr",
    "Variance": "Var",
    "Contribution": "Contr",
    "MeanAbsoluteDeviation": "MAD",
    "RootMeanSquared": "RMS",
}
SHORTEST = {"wavelet-": "wav-", "first-order": "FO", "Small": "Sm", "Large": "Lg", "High": "Hi", "Low": "Lo"}
CLASSES = {"firstorder": "first-order", "shape": "shape"}  # the others are abbreviations
LOG = re.compile(r"log-sigma-(\d+)-(\d+)-mm-3D")


def feature_label(feature: Any, characters: int = 48) -> str:
    """`AP_tumour_wavelet-LLH_glcm_Contrast` as `AP tumour · wavelet-LLH GLCM Contrast`.

    A name of another make (a study that brings its own features) is kept as it is, cut to length.
    """
    text = plain(feature)
    parts = parsed(text)
    if parts is None:
        return shorten(text, characters)
    where = f"{parts.source} {parts.region} · "
    return shorten(where + _abbreviated(parts.image, parts.kind, parts.name, characters - len(where)), characters)


def measure_label(measure: Any, characters: int = 48) -> str:
    """`wavelet-LLH_glcm_Contrast` as `wavelet-LLH GLCM Contrast`."""
    return shorten(_abbreviated(*measure_parts(plain(measure)), characters), characters)


def _abbreviated(image: str, kind: str, name: str, characters: int) -> str:
    """Image type, class and feature in words, shortened in steps where they have more than this many characters."""
    if sigma := LOG.fullmatch(image):
        image = f"LoG {sigma[1]}.{sigma[2]} mm"
    text = f"{image} {CLASSES.get(kind, kind.upper())} {name}"
    for words in (SHORTER, SHORTEST):
        if len(text) > characters:
            for long, short in words.items():
                text = text.replace(long, short)
    return text
