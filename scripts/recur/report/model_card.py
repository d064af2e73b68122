"""The model card of a study: what its frozen models are, for whom, how well they did, and how they are applied.

After Mitchell et al. 2019 (Model cards for model reporting) and TRIPOD+AI. One list of blocks becomes Markdown and
HTML.
"""

from __future__ import annotations

import html
import re
from typing import Any

import numpy as np
import pandas as pd
import yaml

from recur.predict.inputs import input_fields, value_text
from recur.predict.support import last_month, why_no_risk
from recur.report.calculator import NOT_FOR, WITHOUT, endpoint_label, ordered
from recur.report.pages import Block
from recur.statistics.cox import survival_at
from recur.statistics.logistic import ML
from recur.study.coding import input_label
from recur.study.facts import outcome_kind, split_of, uses_features
from recur.validation.judgement import calibration_reading
from recur.vocabulary import (
    APPARENT,
    CORRECTED,
    METRICS,
    NESTED,
    OUT_OF_BAG,
    VALIDATION,
    about,
    cohort_title,
    interval,
    main_model,
    model_title,
    no_signature,
    study_words,
)

DISCRIMINATION = ("c_harrell", "c_competing")
OF_BINARY = ("auc", "sensitivity", "specificity")
CALIBRATION = ("calibration_slope", "oe_ratio", "ici", "ipa")
COHORT_ORDER = (NESTED, CORRECTED, OUT_OF_BAG)
NOT_OF_IMAGES = ("manifest", "root", "readers", "readers_blinded", "perturbations", "extraction_manifest")
LICENCE = "Code: {} licence. The models are the study's own; their data are not part of them."


def card(facts: dict[str, Any]) -> list[Block]:
    """The blocks of a study's card.

    facts: study (settings), models (analysis -> model -> JSON), signatures (analysis -> JSON), cohorts (analysis ->
    rows of train.csv and heldout.csv), methods (analysis -> headings and
    paragraphs, recur.report.methods), performance, guards, versions (name -> number),
    licence, manifest (the first reader's feature manifest, None without images).
    """
    study = facts["study"]
    blocks: list[Block] = [("h1", f"Model card: {study.get('title') or study['study']}")]
    outcomes = ", ".join(dict.fromkeys(endpoint_label(study, analysis) for analysis in facts["models"]))
    if study.get("synthetic"):
        blocks.append(("alarm", "SYNTHETIC DATA: generated patients. These models say nothing about real ones."))
    blocks += [
        ("h2", "Intended use"),
        ("ul", [
            f"Research on {about(study)} ({outcomes}): reproduction, external validation, comparison with others.",
            "Users: researchers who can judge the cohort below, the inputs and their units, with a statistician.",
            "Output: a risk (of an outcome in time: at fixed times) with its group, for patients like those below.",
        ]),
        ("h2", "Not for"),
        ("ul", [*NOT_FOR, "Not for patients or scans outside the training ranges: the scorer marks them."]),
        ("h2", "Data"),
        data_table(facts),
    ]  # fmt: skip
    for analysis in facts["models"]:
        blocks += analysis_blocks(facts, analysis)
    blocks += [("h2", "Limits"), ("ul", limits(facts)), ("h2", "How to apply"), *how_to_apply(facts)]
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    blocks += [("h2", "Versions and licence"), ("p", versions), ("p", LICENCE.format(facts["licence"]))]
    return blocks


def data_table(facts: dict[str, Any]) -> Block:
    """Patients, events and centres of each analysis and cohort."""
    rows = []
    for analysis, frame in facts["cohorts"].items():
        for cohort, part in frame.groupby("cohort", sort=False):
            centres = ", ".join(
                f"{name} ({n})" for name, n in part["centre"].dropna().value_counts().sort_index().items()
            )
            competing = int(part["competing"].sum()) if "competing" in part else ""
            endpoint = endpoint_label(facts["study"], analysis)
            counts = [len(part), int(part["event"].sum()), competing]
            rows.append([analysis, endpoint, cohort_title(cohort), *counts, centres])
    return "table", (["Analysis", "Endpoint", "Cohort", "Patients", "Events", "Competing events", "Centres"], rows)


def analysis_blocks(facts: dict[str, Any], analysis: str) -> list[Block]:
    study = facts["study"]
    models = facts["models"][analysis]
    words = study_words(study)
    binary = outcome_kind(study, analysis) == "binary"
    blocks: list[Block] = [
        ("h2", f"Analysis {analysis}: {endpoint_label(study, analysis)}"),
        ("h3", "Training procedure"),
        *(("p", f"{title}: {text}") for title, text in facts["methods"][analysis]),
        ("h3", "Performance and calibration"),
        ("p", f"Validation: {VALIDATION[split_of(study, analysis)['kind']]}. The nested cross-validation repeats the "
         "whole fit and is the figure of the training patients; apparent figures are left out. 95 % intervals."),
        performance_block(facts["performance"], analysis, OF_BINARY if binary else DISCRIMINATION, words),
        performance_block(facts["performance"], analysis, CALIBRATION, words),
        *calibration_sentence(facts["performance"], analysis),
        ("h3", "Guards that fired"),
        ("ul", fired(facts["guards"], analysis) or ["None."]),
    ]  # fmt: skip
    for name, model in ordered(models):
        blocks += model_blocks(words, name, model)
    signature = facts["signatures"].get(analysis)
    return blocks + (signature_blocks(signature) if signature else [])


def performance_block(
    performance: pd.DataFrame, analysis: str, metrics: tuple[str, ...], words: dict[str, str]
) -> Block:
    """One row a model and cohort, one column a metric and horizon; the main model and nested rows first."""
    mine = performance[(performance["analysis"] == analysis) & performance["metric"].isin(metrics)]
    mine = mine[mine["cohort"] != APPARENT]
    if mine.empty:
        return "p", f"{', '.join(METRICS[metric][0] for metric in metrics)}: nothing but apparent figures exists."
    keys = mine[["metric", "horizon_months"]].drop_duplicates()
    keys = sorted(keys.itertuples(index=False), key=lambda key: metrics.index(key[0]))
    heads = [f"{METRICS[m][0]}{'' if pd.isna(h) else f', {h:g} months'}" for m, h in keys]
    models = list(dict.fromkeys(mine["model"]))
    first = main_model(mine["model"])
    rows = []
    for model in [first, *(name for name in models if name != first)]:
        part = mine[mine["model"] == model]
        cohorts = sorted(dict.fromkeys(part["cohort"]), key=lambda c: (c not in COHORT_ORDER, c))
        for cohort in cohorts:
            own = part[part["cohort"] == cohort]
            cells = []
            for metric, months in keys:
                at = own[(own["metric"] == metric) & (own["horizon_months"].isna() if pd.isna(months)
                                                      else own["horizon_months"] == months)]  # fmt: skip
                cells.append(interval(at.iloc[0]) if len(at) else "")
            counts = [f"{own[count].iloc[0]:.0f}" for count in ("n", "events")]
            rows.append([model_title(model, words), cohort_title(cohort), *counts, *cells])
    return "table", (["Model", "Cohort", "n", "Events", *heads], rows)


def calibration_sentence(performance: pd.DataFrame, analysis: str) -> list[Block]:
    """How the main model's calibration is judged, where there is anything to judge it by."""
    own = performance[performance["analysis"] == analysis]
    said = calibration_reading(own, main_model(own["model"])) if len(own) else ""
    return [("p", said)] if said else []


def fired(guards: pd.DataFrame, analysis: str) -> list[str]:
    """Numbers and texts of the guards that fired in an analysis."""
    mine = guards[(guards["analysis"] == analysis) & (guards["status"] == "fired")]
    return [f"Guard {row.guard}, {row.title}: {row.text}" for row in mine.itertuples()]


def model_blocks(words: dict[str, str], name: str, model: dict[str, Any]) -> list[Block]:
    """Inputs, equation, baseline and cut-point of one model."""
    size = f"{model['n']} patients, {model['events']} events"
    if "weighting" in model:
        size += f", {model['weighting']['censored']} censored before the horizon and weighted for"
    blocks: list[Block] = [("h3", f"{name}: {model_title(name, words)} ({size})")]
    if not model["terms"]:
        blocks.append(("p", "No term was left: everyone has the same risk."))
    else:
        blocks += [inputs_table(model), equation_table(model)]
    if no_signature(model):
        blocks.append(("p", f"{no_signature(model)}."))
    text = "Linear predictor: sum of coefficient x (value - mean); categories count 1 for their level, else 0. "
    cut = model["cutpoint"]
    group = "no cut-point" if cut is None else f"high risk above a linear predictor of {cut['lp']:.6g} ({cut['rule']})"
    if "intercept" in model:
        text += f"Risk: 1 / (1 + exp(-({model['intercept']:.6g} + linear predictor))); {model['likelihood']}."
        return [*blocks, ("p", f"{text} Groups: {group}.")]
    if model.get("likelihood", ML) != ML:
        text += f"Coefficients by penalised likelihood ({model['likelihood']}): groups were separated in training. "
    if "competing" in model:
        text += "Risk by t: cumulative incidence from this hazard and that of the competing event, "
        text += f"{model['competing']['reason'] or 'on the same terms'} (model JSON). "
    else:
        text += "Risk by t: 1 - S0(t)^exp(linear predictor). "
    baseline = baseline_texts(model, model["baseline"]) if "strata" not in model else []
    for level in model.get("strata", {}).get("levels", []):
        said = f"{level['stratum']} (adds {level['offset']:.6g} to the linear predictor)"
        baseline.append(f"{said}: {', '.join(baseline_texts(model, level))}")
    return [*blocks, ("p", f"{text}{'; '.join(baseline)}. Groups: {group}. Training follow-up ends at "
            f"{model['follow_up_months']:.1f} months.")]  # fmt: skip


def baseline_texts(model: dict[str, Any], baseline: dict[str, Any]) -> list[str]:
    """The baseline survival, of a stratum or of all, at every horizon."""
    timed = baseline if "follow_up_months" in baseline else model
    return [
        f"S0({months:g} months) = {survival_at(baseline['time'], baseline['survival'], months):.6g}"
        if months <= last_month(timed)
        else f"no risk at {months:g} months ({why_no_risk(timed, months)})"
        for months in model["horizons_months"]
    ]


def inputs_table(model: dict[str, Any]) -> Block:
    rows = []
    for field in input_fields(model):
        signature = field["kind"] == "signature"
        column = "score of the signature" if signature else model["inputs"]["variables"][field["term"]]["column"]
        limits = "" if field["range"] is None else f"{field['range'][0]:g} to {field['range'][1]:g}"
        trained = " to ".join(value_text(field, value) for value in (field["low"], field["high"]))
        missing = "refused" if field.get("required") else "filled in by the frozen imputer"
        use = "equation" if field["used"] else "only fills in others"
        options = ", ".join(field["options"]) or "number"
        rows.append([field["label"], column, field["unit"], options, trained, limits, missing, use])
    heads = ["Input", "Column", "Unit", "Values", "Training range", "Plausible range", "If missing", "Used in"]
    return "table", (heads, rows)


def equation_table(model: dict[str, Any]) -> Block:
    rows = []
    ratio = "Odds" if "intercept" in model else "Hazard"
    for column in model["terms"]:
        name = f"ln({input_label(column['label'], 'ln')})" if column["transform"] == "ln" else column["label"]
        coef = column["coef"]
        se = column["se"]
        middle, low, high = np.exp([coef, coef - 1.959963984540054 * se, coef + 1.959963984540054 * se])
        text = f"{middle:.3f} ({low:.3f} to {high:.3f})"
        rows.append([name, f"{column['mean']:.6g}", f"{coef:.6g}", f"{se:.6g}", text])
    return "table", (["Term", "Mean", "Coefficient", "SE", f"{ratio} ratio (95 % interval)"], rows)


TRANSFORMS = {  # of the signature's features, as the card prints them
    "none": "the value itself",
    "signed_log": "sign(u) ln(1 + |u|) of u = (value - centre) / scale",
    "yeo_johnson": "Yeo and Johnson's transform with the power beside it, of u = (value - centre) / scale",
    "robust": "u = (value - centre) / scale, the training median and interquartile range / 1.349",
}


def signature_blocks(signature: dict[str, Any]) -> list[Block]:
    """The features of the signature with what standardises them."""
    blocks: list[Block] = [("h3", "Radiomics signature")]
    if not signature["features"]:
        return [*blocks, ("p", "Empty: no feature was kept; its score is 0 for everyone.")]
    limit = signature["winsorise_sd"]
    cut = "" if limit is None else f", cut at {limit:g} SD"
    kind = signature["features"][0].get("transform", {}).get("kind", "none")
    keys = {"none": [], "yeo_johnson": ["centre", "scale", "power"]}.get(kind, ["centre", "scale"])
    rows = [
        [f["name"], *(f"{v:.6g}" for v in (f["weight"], *(f["transform"][key] for key in keys), f["mean"], f["sd"]))]
        for f in signature["features"]
    ]
    text = f"Score: sum of weight x (f(value) - mean) / SD{cut}, where f is {TRANSFORMS[kind]}. "
    text += f"Harmonisation: {signature['harmonisation']['kind']}. "
    text += f"Feature manifest {signature.get('features_manifest') or 'unknown (a table from elsewhere)'}."
    head = ["Feature", "Weight", *(key.capitalize() for key in keys), "Mean", "SD"]
    return [*blocks, ("p", text), ("table", (head, rows))]


def limits(facts: dict[str, Any]) -> list[str]:
    """What the numbers do not hold, for this study."""
    texts = [f"A risk's interval in the calculator leaves out {'; '.join(WITHOUT)}."]
    kinds = {split_of(facts["study"], analysis)["kind"] for analysis in facts["models"]}
    if "centre" not in kinds:
        texts.append("No patient of another centre was seen: discrimination and calibration elsewhere are unknown.")
    texts.append("Baseline risks are those of the training patients and years; recalibrate before any other use.")
    texts.append("Fairness by sex, age or origin was not examined beyond the subgroups that the report shows.")
    texts.append("Nobody has studied whether showing such a risk changes a decision or an outcome.")
    return texts


def how_to_apply(facts: dict[str, Any]) -> list[Block]:
    """The scorer's command, and for images the study file that makes comparable features."""
    study = facts["study"]
    analysis = next(iter(facts["models"]))
    name, _ = ordered(facts["models"][analysis])[0]
    folder = f"results/{study['study']}"
    features = uses_features(study, analysis)
    lines = [f"python scripts/score.py --models {folder}/models/{analysis}/frozen/{name}.json"]
    lines += (
        [f"--signature {folder}/signature/{analysis}/signature.json --features features.parquet"] if features else []
    )
    lines += ["--clinical patients.csv --output scores.csv"]
    blocks: list[Block] = [
        ("p", "The clinical table has the columns and cells listed above (a heading may add a unit: column [unit]); "
         "an empty cell is a missing value. Refused: a missing column, another unit, other features; and of "
         "single patients an unknown level, a value outside the plausible range, a missing feature: they get a reason "
         "instead of a score. One patient at a time: report/calculator.html."),
        ("code", " \\\n    ".join(lines)),
    ]  # fmt: skip
    if features and facts["manifest"]:
        blocks += [
            ("p", "From images: write this study file beside a clinical table and an image manifest "
             "(schemas/images.schema.yaml), run snakemake --config study=new.yaml, and give "
             "results/new/features/reader1.parquet to the scorer. The pinned hash stops a run whose settings or "
             "versions would make other features."),
            ("code", study_of_images(study, facts["manifest"]["manifest_sha256"])),
        ]  # fmt: skip
    return blocks


def study_of_images(study: dict[str, Any], manifest_sha256: str) -> str:
    """A study file (YAML) that makes features of new images as this study made its own."""
    images = {key: value for key, value in study["images"].items() if key not in NOT_OF_IMAGES}
    own = {"manifest": "new_images.csv", "readers": ["reader1"], "extraction_manifest": manifest_sha256}
    clinical = {"table": "patients.csv", "id": study["clinical"]["id"]}
    whole = {"study": "new", "seed": study["seed"], "on_error": "exclude", "clinical": clinical, "images": own | images}
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, default_flow_style=None)


def markdown(blocks: list[Block]) -> str:
    """The blocks as Markdown; nothing in their text is taken for markup."""
    parts = []
    for kind, content in blocks:
        if kind in ("h1", "h2", "h3"):
            parts.append(f"{'#' * int(kind[1])} {_plain(content)}")
        elif kind == "ul":
            parts.append("\n".join(f"- {_plain(text)}" for text in content))
        elif kind == "code":
            parts.append("\n".join(f"    {line}" for line in content.splitlines()))
        elif kind == "table":
            heads, rows = content
            lines = [heads, ["---"] * len(heads), *rows]
            parts.append("\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines))
        else:
            parts.append(f"**{_plain(content)}**" if kind == "alarm" else _plain(content))
    return "\n\n".join(parts) + "\n"


def _cell(cell: Any) -> str:
    return "---" if cell == "---" else _plain(str(cell))


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    flat = re.sub(r"\s+", " ", text)
    return re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", html.escape(flat, quote=False))
