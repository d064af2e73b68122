"""Regions in numbers and pictures, and the sheet of image processing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recur.report.parts import picture, table
from recur.report.processing_sheet import processing_sheet
from recur.tables import read_made


def region_summary(results: Path) -> pd.DataFrame:
    """Per region, over all cases: how many, volume, share of the shell kept, what took the rest, how many left out."""
    parts = [read_made(path) for path in sorted(results.glob("images/regions/batch-*.csv"))]
    table = pd.concat([part for part in parts if len(part)]) if any(map(len, parts)) else pd.DataFrame()
    if table.empty:
        return table
    shares = [name for name in table if name == "shell_fraction" or name.startswith("lost_")]
    numbers = table.assign(**{name: pd.to_numeric(table[name]) for name in shares}).groupby("region", sort=False)
    return (
        pd.DataFrame(
            {
                "cases": numbers.size(),
                "left out": numbers["reason"].count(),
                "median ml": numbers["ml"].median(),
                "shell kept, median": numbers["shell_fraction"].median(),
                "shell kept, lowest": numbers["shell_fraction"].min(),
                **{f"{name.replace('_', ' to ')}, mean": numbers[name].mean() for name in shares[1:]},
            }
        )
        .dropna(axis=1, how="all")
        .reset_index()
    )


def images(results: Path, study: Mapping[str, Any]) -> str:
    """Regions, image processing, and the first pictures."""
    if "images" not in study:
        return ""
    regions = region_summary(results)
    text = f"<h2>Regions</h2>{table(regions)}" if len(regions) else ""
    pictures = sorted(results.glob("images/qc/batch-*/*.png"))[:6]
    if pictures:
        shown = "".join(picture(path, path.stem) for path in pictures)
        text += (
            "<h2>Regions in pictures</h2><p>The first patients; "
            '<a href="../images/qc/index.html">all, worst first</a>.</p>'
            f'<div class="pictures">{shown}</div>'
        )
    sheet = processing_sheet(results, study, study["images"]["readers"][0])
    return text + f'<h2 id="processing">Image processing (IBSI sheet)</h2>{table(sheet)}'
