"""The grammar of feature names: `<source>_<region>_<image type>_<class>_<feature>`, made, read and chosen from here.

The source is what was measured: the phase or sequence of a scan. The region is what it was measured in: the tumour, a
rim. The last three parts are the measure, named as pyradiomics names it. Neither a source nor a region has an
underscore. Ready tables may bring other names: what their parts mean is not known, and parsed gives None.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

MEASURE = re.compile(
    r"(?P<source>[^_]+)_(?P<region>.+?)_(?P<image>original|wavelet-\w+|log-sigma-[\w-]+)_(?P<kind>[a-z0-9]+)_(?P<name>\w+)"
)

# names as pyradiomics writes them, behind any prefix
FEATURE = re.compile(r"(?:^|_)(?:shape(?:2D)?|firstorder|glcm|gldm|glrlm|glszm|ngtdm)_[A-Za-z0-9]+$")
SIZE = re.compile(r"_shape(?:2D)?_.*(?:Volume|Area|Diameter|Length|Surface)")


class Feature(NamedTuple):
    """The parts of a feature's name."""

    source: str
    region: str
    image: str  # type: original, wavelet-LLH, log-sigma-1-0-mm-3D
    kind: str  # class: shape, firstorder, glcm
    name: str


def parsed(column: str) -> Feature | None:
    """The parts of a column's name; None of a name of another make."""
    match = MEASURE.fullmatch(column)
    return Feature(**match.groupdict()) if match else None


def joined(*parts: str) -> str:
    """The name of these parts in the grammar's order, from any part to any other."""
    return "_".join(parts)


def column_names(sources: Iterable[str], regions: Iterable[str], measures: list[str]) -> list[str]:
    """Columns of a table: sources in the order given, then regions, then measures."""
    return [joined(source, region, measure) for source in sources for region in regions for measure in measures]


def source_of(column: str) -> str:
    """The source of a column; of a name without parts, the name."""
    return column.split("_")[0]


def region_of(column: str) -> str:
    """The region of a column, or of a place; empty where the name has one part only."""
    return ([*column.split("_"), ""])[1]


def place_of(column: str) -> str:
    """`<source>_<region>` of a column."""
    return joined(*column.split("_")[:2])


def within_source(column: str) -> str:
    """A column's name without its source; empty where it has one part only."""
    return column.partition("_")[2]


def measure_of(column: str) -> str:
    """`<image type>_<class>_<feature>` of a column; the last part of a name that has fewer than three."""
    return column.split("_", 2)[-1]


def measure_parts(measure: str) -> tuple[str, str, str]:
    """Image type, class and feature of `<image type>_<class>_<feature>`."""
    image, kind, name = measure.split("_", 2)
    return image, kind, name


def selected(columns: Iterable[str], sources: list[str] | None, regions: list[str] | None) -> list[str]:
    """The columns of the wanted sources and regions, in their order; None keeps all."""
    kept = [name for name in columns if sources is None or source_of(name) in sources]
    return [name for name in kept if regions is None or region_of(name) in regions]
