"""Pieces of the HTML report; every text that comes from a table is escaped."""

from __future__ import annotations

import base64
import html
from pathlib import Path
from typing import Any

import pandas as pd

from recur.study import split_of
from recur.tables import read_made

VALIDATION = {
    "none": "internal only (cross-validation)",
    "random": "internal (random split)",
    "centre": "external centre",
    "column": "held-out set as declared",
}


def read(results: Path, name: str) -> pd.DataFrame:
    """A table of the study, empty when the study has none of it."""
    path = results / name
    return read_made(path) if path.exists() else pd.DataFrame()


def guards_of(results: Path, analysis: str) -> pd.DataFrame:
    """The guards of an analysis, a row each (recur.guards)."""
    return read(results, f"validation/{analysis}/guards.csv").drop(columns=["analysis", "endpoint"])


def table(frame: pd.DataFrame, digits: int = 3) -> str:
    """A data frame as an HTML table."""
    return frame.to_html(
        index=False, border=0, na_rep="", escape=True, float_format=lambda value: f"{value:.{digits}f}"
    )


def interval(row: Any) -> str:
    """estimate (lower to upper)."""
    if pd.isna(row.estimate):
        return "not estimated"
    limits = "" if pd.isna(row.lower) else f" ({row.lower:.3f} to {row.upper:.3f})"
    return f"{row.estimate:.3f}{limits}"


def picture(path: Path, caption: str, width: str = "100%") -> str:
    """A PNG embedded in the page, with its caption."""
    data = base64.b64encode(path.read_bytes()).decode()
    text = html.escape(caption)
    image = f'<img style="max-width:{width}" alt="{text}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{text}</figcaption></figure>"


def headline_model(performance: pd.DataFrame) -> str:
    """The model that the summary speaks of: before surgery, with the signature where there is one."""
    names = list(dict.fromkeys(performance["model"]))
    return next(name for name in ("combined_pre", "clinical_pre", "signature", *names) if name in names)


def summary_box(study: dict[str, Any], analysis: str, performance: pd.DataFrame, flags: list[tuple[int, str]]) -> str:
    """What a clinician reads first: n, events, kind of validation, C with its interval, calibration, flags."""
    model = headline_model(performance)
    mine = performance[performance["model"] == model]
    endpoint = study["analyses"][analysis]["endpoint"]
    rows = [
        ("endpoint", study["endpoints"][endpoint].get("label", endpoint)),
        ("model", model),
        ("validation", VALIDATION[split_of(study, analysis)["kind"]]),
    ]
    for cohort, part in mine.groupby("cohort", sort=False):
        c = part[part["metric"] == "c_harrell"]
        slope = part[part["metric"] == "calibration_slope"]
        text = f"n = {part['n'].iloc[0]:.0f}, {part['events'].iloc[0]:.0f} events; Harrell's C {interval(c.iloc[0])}"
        if len(slope) and cohort != "train-apparent":
            text += f"; calibration slope {interval(slope.iloc[0])}"
        rows.append((cohort, text))
    cells = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows)
    fired = "".join(f"<li><b>flag {number}</b> {html.escape(text)}</li>" for number, text in flags)
    return f'<div class="box"><table>{cells}</table><ul class="flags">{fired}</ul></div>'


def methods(study: dict[str, Any], analysis: str, icc: pd.DataFrame) -> str:
    """The methods in one paragraph, with the parameters of this run."""
    chosen = study["analyses"][analysis]
    text = []
    if "images" in study:
        regions, extraction = study["images"]["regions"], study["images"]["extraction"]
        text.append(
            f"A rim of {regions['rim_mm']:g} mm (Euclidean distance) was clipped to the liver. Pyradiomics 3.0.1 "
            f"computed the feature set {extraction['feature_set']} at "
            f"{' x '.join(f'{v:g}' for v in extraction['spacing_mm'])} mm, bin width {extraction['bin_width']:g} HU, "
            f"in the phases {', '.join(study['images']['phases'])}."
        )
    stability, ranking, stage = chosen["stability"], chosen["ranking"], chosen["second_stage"]
    validation = chosen["internal_validation"]
    if "images" in study or "features" in study:
        text.append(
            f"Stability filter: {stability_text(stability, icc)}. "
            f"Redundancy limit: {chosen['redundancy']['spearman'] or 'none'}. Ranking: {ranking['kind']}. "
            f"Signature: elastic-net Cox model, L1 share {chosen['signature']['l1_ratio']:g}, "
            f"{chosen['signature']['folds']}-fold cross-validated deviance, "
            f"lambda {chosen['signature']['lambda_rule']}. "
            f"The second stage sees {stage['scores'].replace('_', ' ')} scores."
        )
    if "dates" in study["clinical"]:
        text.append(f"Time counts from the date of {study['clinical']['dates']['t0_kind']}.")
    text.append(
        f"Cox models with Efron ties; selection: {stage['selection']}; "
        f"univariable screen: {stage['screen_p'] or 'none'}. "
        f"Internal validation: {validation['resamples']} bootstrap resamples of the whole fit and "
        f"{validation['nested_repeats']} x {validation['nested_folds']} nested folds. "
        f"Seed {study['seed']}."
    )
    return f"<p>{html.escape(' '.join(text))}</p>"


def stability_text(rule: dict[str, Any], icc: pd.DataFrame) -> str:
    """What the stability filter did."""
    if icc.empty:
        return f"off (no second reading of at least {rule['min_patients']} training patients)"
    kept = f"{icc['stable'].astype(bool).sum()} of {len(icc)} features kept"
    measure = "lower 95 % limit" if rule["rule"] == "lower95" else "point estimate"
    return f"{measure} of ICC(2,1) >= {rule['threshold']:g} on {icc['n'].iloc[0]} training patients read twice; {kept}"


def performance_table(performance: pd.DataFrame) -> pd.DataFrame:
    """Harrell's C per model and cohort, as text with intervals."""
    c = performance[performance["metric"] == "c_harrell"].copy()
    c["value"] = [interval(row) for row in c.itertuples()]
    wide = c.pivot(index="model", columns="cohort", values="value")
    return wide.loc[list(dict.fromkeys(c["model"])), list(dict.fromkeys(c["cohort"]))].reset_index()
