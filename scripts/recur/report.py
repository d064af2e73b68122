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
        extraction = study["images"]["extraction"]
        width = extraction["bin_width"]
        unit = " HU" if study["images"]["modality"] == "CT" and study["images"]["normalise"] == "none" else ""
        bins = f"bin width {width:g}{unit}" if width else f"{extraction['bin_count']} bins"
        text.append(
            f"{regions_text(study['images'], chosen.get('regions', ['tumour', 'rim']))} Pyradiomics 3.0.1 "
            f"computed the feature set {extraction['feature_set']} at "
            f"{' x '.join(f'{v:g}' for v in extraction['spacing_mm'])} mm, {bins}, "
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
    if "control" in chosen:
        text.insert(0, f"NEGATIVE CONTROL {chosen['control']}: {CONTROLS[chosen['control']]}.")
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
        return f"off (no further reading of at least {rule['min_patients']} training patients)"
    kept = f"{icc['stable'].astype(bool).sum()} of {len(icc)} features kept"
    measure = "lower 95 % limit" if rule["rule"] == "lower95" else "point estimate"
    n, readings = icc["n"].iloc[0], icc["readings"].iloc[0]
    how = f"read {readings} times"
    if rule.get("source") == "perturbations":
        how = f"read once, with {readings - 1} perturbed images and masks each (no second reader)"
    return f"{measure} of ICC(2,1) >= {rule['threshold']:g} on {n} training patients {how}; {kept}"


CONTROLS = {
    "shuffled_inside": "the voxels of each region changed places: shape and histogram are left, texture is not",
    "resampled_inside": "the voxels of each region were drawn anew from it: shape and about its histogram are left",
    "shuffled_outside": "the voxels outside all regions changed places: what the regions themselves hold is left",
    "resampled_outside": "the regions were filled with voxels drawn from around them: only size and shape are left",
}


def regions_text(images: dict[str, Any], regions: list[str]) -> str:
    """How scans and masks became regions, for the regions of one analysis."""
    made = images["regions"]
    widths = {"rim": [0, made["rim_mm"]]} | made["more_rims"]
    shells = [f"{name} {widths[name][0]:g} to {widths[name][1]:g} mm" for name in regions if name in widths]
    text = f"{images['modality']}"
    if images["n4"]:
        text += ", N4 bias field correction"
    if images["normalise"] != "none":
        text += f", normalised per scan ({images['normalise']}, SD 100)"
    text += f". Regions: {', '.join(name for name in regions if name not in widths) or 'no tumour'}"
    if shells:
        clip = (
            "the liver mask"
            if made["hu_window"] is None or images["modality"] != "CT"
            else (f"the liver mask, or without one to {made['hu_window'][0]:g} to {made['hu_window'][1]:g} HU")
        )
        text += (
            f"; {', '.join(shells)} from the tumour (Euclidean distance), clipped to {clip}, "
            "without other lesions and vessels where masks exist; "
            f"at least {100 * (made['min_shell_fraction'] or 0):.0f} % of a shell must be left"
        )
    lesions = {"together": "as one region", "largest": "the largest only"}.get(images["lesions"])
    lesions = lesions or f"one by one, a patient being their {images['lesion_aggregate'].replace('_', ' ')}"
    return f"{text}. Several lesions: {lesions}."


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


TRANSPORT = {
    "case_mix": "Case-mix",
    "membership": "Membership model",
    "overlap": "Range of the inputs",
    "truncated": "Up to the common time",
    "updating": "Updating (cross-fitted; not a validation)",
    "sample_size": "Size that a validation needs",
    "centres": "Between centres",
    "surveillance": "Months between visits",
}


def transport_section(results: Path, analysis: str, performance: pd.DataFrame) -> str:
    """How the headline model travels, as HTML; nothing where no cohort is held out."""
    transport = read(results, f"validation/{analysis}/transport.csv")
    if transport.empty:
        return ""
    text = "An external figure is to be read with its case-mix."
    return f"<h3>Transport</h3><p>{text}</p>" + table(transport_table(transport, headline_model(performance)))


def transport_cell(row: Any) -> str:
    """One cell of the table: the step chosen, a p-value, a number of patients, or an estimate with its interval."""
    if row.quantity == "closed_test_choice":
        return "chosen"
    if row.quantity.startswith(("n_for", "events_for")):
        return f"{row.estimate:.0f}"
    return f"p = {row.p:.3f}" if pd.notna(row.p) else interval(row)


def transport_table(transport: pd.DataFrame, model: str) -> pd.DataFrame:
    """How one model travels, as text: a row a quantity, a column a cohort."""
    mine = transport[transport["model"].fillna("").isin([model, ""])].copy()
    if mine.empty:
        return pd.DataFrame()
    for column in ("update", "method"):
        mine[column] = mine[column].fillna("")
    mine["value"] = [transport_cell(row) for row in mine.itertuples()]
    mine["topic"] = pd.Categorical(mine["topic"].map(TRANSPORT), list(TRANSPORT.values()))
    months = mine["horizon_months"].map(lambda value: "" if pd.isna(value) else f"{value:.0f} months")
    mine = mine.assign(horizon=months)
    keys = ["topic", "quantity", "update", "horizon"]
    order = {key: i for i, key in enumerate(dict.fromkeys(map(tuple, mine[keys].to_numpy())))}
    wide = mine.pivot_table(
        index=keys, columns="cohort", values="value", aggfunc="; ".join, observed=True, fill_value="", sort=False
    )
    wide = wide[list(dict.fromkeys(mine["cohort"]))].reset_index()
    places = [order[tuple(row)] for row in wide[keys].to_numpy()]
    wide["place"] = places
    return wide.sort_values(["topic", "place"]).drop(columns="place").rename_axis(columns=None).astype(str)


def performance_table(performance: pd.DataFrame) -> pd.DataFrame:
    """Harrell's C per model and cohort, as text with intervals."""
    c = performance[performance["metric"] == "c_harrell"].copy()
    c["value"] = [interval(row) for row in c.itertuples()]
    wide = c.pivot(index="model", columns="cohort", values="value")
    return wide.loc[list(dict.fromkeys(c["model"])), list(dict.fromkeys(c["cohort"]))].reset_index()


def sensitivity_section(results: Path, analysis: str) -> str:
    """How much rests on missing cells, on one phase or region, and on the number of patients."""
    text = []
    sizes = read(results, f"models/{analysis}/sample_size.csv")
    if len(sizes):
        shown = sizes[["scope", "events", "parameters", "events_per_parameter", "criterion", "required_n", "n", "met"]]
        source = f"Riley's criteria; Cox-Snell R2 {sizes['r2_cs'].iloc[0]:.3f}: {sizes['r2_source'].iloc[0]}."
        text.append(f"<h3>Sample size of the development</h3><p>{html.escape(source)}</p>{table(shown)}")
    for name, title in (
        ("missing_data", "Missing cells: imputations and complete cases"),
        ("ablations", "One phase or one region only"),
        ("learning_curve", "Learning curve"),
    ):
        found = read(results, f"validation/{analysis}/{name}.csv")
        if len(found):
            shown = found.drop(columns=["analysis", "endpoint", "horizon_months"], errors="ignore")
            text.append(f"<h3>{title}</h3>{table(shown)}")
    return "".join(text)
