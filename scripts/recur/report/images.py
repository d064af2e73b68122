"""Regions in numbers and pictures, and the sheet of image processing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from markupsafe import Markup

from recur.report.analysis import category
from recur.report.pages import drawn
from recur.report.parts import by_analysis, table
from recur.report.processing_sheet import processing_sheet
from recur.report.results import Run
from recur.tables import read_made

MOST_PICTURES = 6


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


def section(run: Run) -> Markup:
    """The figures of the images of each analysis."""
    return by_analysis(run, lambda run, analysis: category(run, analysis, "Images"))


def regions(run: Run) -> Markup:
    """Numbers of each region over all cases."""
    found = region_summary(run.results)
    return drawn([("table", table(found))] if len(found) else [])


def pictures(run: Run) -> Markup:
    """The first pictures of images and regions."""
    paths = sorted(run.results.glob("images/qc/batch-*/*.png"))[:MOST_PICTURES]
    if "images" not in run.study or not paths:
        return Markup("")
    return drawn([("group", ("pictures", [("figure", (path, path.stem)) for path in paths]))])


def processing(run: Run) -> Markup:
    """The sheet of image processing."""
    if "images" not in run.study:
        return Markup("")
    sheet = processing_sheet(run.results, run.study, run.study["images"]["readers"][0])
    return drawn([("table", table(sheet))])
