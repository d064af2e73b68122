"""How the report, the pages and the manuscript tables name things and print numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pandas as pd

VALIDATION = {
    "none": "internal only (cross-validation)",
    "random": "internal (random split)",
    "centre": "external centre",
    "column": "held-out set as declared",
}


TRAIN = "train"
APPARENT = "train-apparent"  # training rows judged by the model that was fitted on them
NESTED = "train-nested_cv"
OUT_OF_BAG = "train-oob"
CORRECTED = "train-optimism_corrected"
EXTERNAL = "external-"  # before the name of a centre


class Name(NamedTuple):
    """What one thing is called: in texts and tables, and in figures, where room is short."""

    title: str
    label: str


MODELS = {  # filled in with study_words
    "signature": Name("Radiomics signature alone", "Radiomics signature"),
    "clinical_pre": Name("Clinical, before {treatment}", "Clinical, {pre}"),
    "combined_pre": Name("Clinical and signature, before {treatment}", "Combined, {pre}"),
    "clinical_post": Name("Clinical, after {treatment}", "Clinical, {post}"),
    "combined_post": Name("Clinical and signature, after {treatment}", "Combined, {post}"),
    "size_only": Name("Tumour size alone", "Tumour size alone"),
    "volume_only": Name("Tumour volume alone", "Tumour volume alone"),
}
MAIN_BEFORE = ("combined_pre", "clinical_pre", "signature")  # the first that a study has is its main model
MAIN_AFTER = ("combined_post", "clinical_post")
MAIN_ORDER = (*MAIN_BEFORE, *MAIN_AFTER, "volume_only", "size_only")
# a model offered a signature -> the model of its other terms
WITHOUT_SIGNATURE = {"combined_pre": "clinical_pre", "combined_post": "clinical_post", "signature": "signature"}
NO_SIGNATURE = {  # status in a model's signature_use -> what to say of it
    "bounded": "The signature's weight would have been negative and is therefore 0: the model holds none",
    "eliminated": "The signature was eliminated: the model holds none",
    "empty": "The signature is empty (no feature was kept): the model holds none",
}
COHORTS = {  # in the order of legends
    TRAIN: Name("Training", "Training"),
    APPARENT: Name("Training, apparent", "Training, apparent"),
    CORRECTED: Name("Training, corrected for optimism", "Training, optimism-corrected"),
    OUT_OF_BAG: Name("Training, out-of-bag rows of the bootstrap", "Training, out-of-bag"),
    NESTED: Name("Training, nested cross-validation", "Training, nested CV"),
    "test": Name("Held-out patients", "Held-out test"),
}
REGIONS = {"tumour": "Tumour", "rim": "Rim", "liver": "Liver", "other_reader": "Tumour, second reader"}  # in figures
WORDS = {  # what captions and axes call the same thing of different outcomes
    "survival": {
        "c": "Harrell's C",
        "c_short": "C",
        "metric": "c_harrell",
        "model": "Cox",
        "ratio": "hazard",
        "forest": "random survival forest",
        "roc": "Time-dependent (cumulative/dynamic) ROC",
        "deviance": "Partial-likelihood deviance",
        "few": "10 events",
    },
    "binary": {
        "c": "AUC",
        "c_short": "AUC",
        "metric": "auc",
        "model": "logistic",
        "ratio": "odds",
        "forest": "random forest",
        "roc": "ROC",
        "deviance": "Deviance per patient",
        "few": "10 patients with or without it",
    },
}
OPERATIONS = ("resection", "surgery", "operation")  # treatments that the reports call the operation
OF_RECURRENCE = {  # kind of endpoint -> its event, what competes with it
    "time_to_recurrence": ("recurrence", "death without recurrence"),
    "recurrence_competing": ("recurrence", "death without recurrence"),
    "early_recurrence": ("recurrence", "death without recurrence"),
    "late_recurrence": ("recurrence", "death without recurrence"),
    "aggressive_recurrence": ("recurrence beyond Milan", "recurrence within Milan or death without recurrence"),
}
CURVES = {  # kind of an endpoint, or usual name of a recorded one -> what its survival curve shows, its event
    "overall_survival": ("Overall survival", "death"),
    "recurrence_free_survival": ("Recurrence-free survival", "recurrence or death"),
    "OS": ("Overall survival", "death"),
    "RFS": ("Recurrence-free survival", "recurrence or death"),
    "DFS": ("Disease-free survival", "recurrence or death"),
    "PFS": ("Progression-free survival", "progression or death"),
    "TTR": ("Free of recurrence", "recurrence"),
    "TTP": ("Free of progression", "progression"),
}
ONE_EVENT = ("TTR", "TTP")  # names that a declared event overrules
METRICS = {  # metric -> name, decimals
    "c_harrell": ("Harrell's C", 3),
    "c_competing": ("Wolbers' C", 3),
    "c_uno": ("Uno's C", 3),
    "auc": ("AUC", 3),
    "brier": ("Brier score", 3),
    "ipa": ("IPA", 3),
    "calibration_slope": ("Calibration slope", 2),
    "calibration_intercept": ("Calibration intercept", 2),
    "oe_ratio": ("Observed / expected", 2),
    "ici": ("ICI", 3),
    "sensitivity": ("Sensitivity", 2),
    "specificity": ("Specificity", 2),
    "ppv": ("Positive predictive value", 2),
    "npv": ("Negative predictive value", 2),
}
SHARES = {  # of a test against its reference, in figures
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "accuracy": "accuracy",
}


def is_of_ji(study: Mapping[str, Any], analysis: str) -> bool:
    """Whether an analysis is of what Ji et al. 2020 studied: the time to recurrence after resection of hepatocellular
    carcinoma, as the study file declares it.
    """
    words, endpoint = study.get("wording") or {}, study["endpoints"][study["analyses"][analysis]["endpoint"]]
    recorded = endpoint["kind"] == "recorded" and not endpoint.get("counts_death")
    recurrence = endpoint["kind"] in ("time_to_recurrence", "recurrence_competing")
    recurrence |= recorded and words.get("event") == "recurrence"
    return recurrence and (words.get("disease"), words.get("treatment")) == ("hepatocellular carcinoma", "resection")


def about(study: Mapping[str, Any]) -> str:
    """What the outcomes are of: `hepatocellular carcinoma after resection`; patients where nothing is declared."""
    words = study.get("wording") or {}
    after = f" after {words['treatment']}" if words.get("treatment") else ""
    return (words.get("disease") or "patients like those below") + after


def model_title(name: str, words: Mapping[str, Any]) -> str:
    """The title of a model; words: of the study (study_words)."""
    return MODELS[name].title.format_map(words) if name in MODELS else name


def study_words(study: Mapping[str, Any]) -> dict[str, str]:
    """What every text of a study calls its treatment: `treatment`, `preoperative`, `postoperative`, `pre` and `post`
    (of figures), `since` (the axis of time), `organ`. What is not declared is not said: `before treatment`, `Months`.
    """
    declared = study.get("wording") or {}
    start = start_of(study)
    treatment = declared.get("treatment") or start
    operated = treatment in OPERATIONS
    timing = ("preoperative", "postoperative", "pre-op", "post-op")
    if not operated:
        timing = ("pre-treatment", "post-treatment", "pre-treatment", "post-treatment")
    from_start = "treatment" if start in OPERATIONS else start
    of_liver = any(part in str(declared.get("disease")).lower() for part in ("hepat", "liver"))
    return {
        "treatment": ("the operation" if operated else treatment) or "treatment",
        **dict(zip(("preoperative", "postoperative", "pre", "post"), timing, strict=True)),
        "since": f"Months since {from_start}" if from_start else "Months",
        "organ": "liver" if of_liver else "organ",
    }


def start_of(study: Mapping[str, Any]) -> str | None:
    """What time counts from, as declared: the index treatment of the dates, else the treatment; None of neither."""
    dates = (study.get("clinical") or {}).get("dates") or {}
    return dates.get("t0_kind") or (study.get("wording") or {}).get("treatment")


def endpoint_words(study: Mapping[str, Any], name: str) -> dict[str, str]:
    """What the texts call the event of an endpoint: `event` (recurrence), `the_event` (the same in a sentence), `free`
    (what its survival curve shows), `other` (what competes with it), `competitor`, `treated_as` (how one minus
    Kaplan-Meier treats what competes) and `competes` (the sentence that something does).

    The kind of the endpoint says it; of recorded ones the study's `wording.event` or a usual name (OS, PFS).
    """
    endpoint = study["endpoints"].get(name, {"kind": "recorded"})
    if "of" in endpoint:
        return endpoint_words(study, endpoint["of"])
    kind, declared = endpoint["kind"], (study.get("wording") or {}).get("event")
    if kind in OF_RECURRENCE:
        event, other = OF_RECURRENCE[kind]
        still = "those who died as if they could still recur"
        return spoken(event, event, f"Free of {event}", (other, "death", still, f"{first_upper(other)} competes"))
    still = "those who had the other event as if the first could still come"
    competing = "the competing event", "another event", still, "Another event competes"
    if kind in CURVES or (kind == "recorded" and name in CURVES and not (declared and name in ONE_EVENT)):
        free, event = CURVES[kind if kind in CURVES else name]
        return spoken(event, event, free, competing)
    if kind != "recorded" or not declared:
        return spoken("event", "the event", f"Free of event ({' '.join(name.split())})", competing)
    if declared == "death":
        return spoken(declared, declared, "Survival", competing)
    event = f"{declared} or death" if endpoint.get("counts_death") else declared
    return spoken(event, event, f"Free of {event}", competing)


def spoken(event: str, the_event: str, free: str, competing: tuple[str, ...]) -> dict[str, str]:
    names = ("event", "the_event", "free", "other", "competitor", "treated_as", "competes")
    return dict(zip(names, (event, the_event, free, *competing), strict=True))


def analysis_words(study: Mapping[str, Any], analysis: str) -> dict[str, str]:
    """study_words and the endpoint_words of an analysis."""
    return study_words(study) | endpoint_words(study, study["analyses"][analysis]["endpoint"])


def censors_death(study: Mapping[str, Any], name: str) -> bool:
    """Whether an endpoint in time censors patients at their death."""
    endpoint, event = study["endpoints"][name], endpoint_words(study, name)["event"]
    if endpoint["kind"] == "recorded":
        dies = endpoint.get("counts_death") or event == "death" or event.endswith(" or death")
        return not dies and "competing_value" not in endpoint
    return endpoint["kind"] == "time_to_recurrence"


def lower_first(text: str) -> str:
    """The text as it stands within a sentence: a name such as TTR keeps its capitals."""
    if not text[1:2].islower():
        return text
    return text[:1].lower() + text[1:]


def first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def cohort_title(cohort: Any) -> str:
    """The title of a cohort or centre; a patient without a centre stands in a group without a name."""
    if pd.isna(cohort):
        return "not stated"
    cohort = str(cohort)
    if cohort.startswith(EXTERNAL):
        return f"Centre {cohort.removeprefix(EXTERNAL)}, external"
    if cohort in COHORTS:
        return COHORTS[cohort].title
    return "All" if cohort == "overall" else cohort


def model_label(name: Any, words: Mapping[str, Any]) -> str:
    """What figures call a model; words: of the study (study_words)."""
    return MODELS[name].label.format_map(words) if name in MODELS else str(name).replace("_", " ")


def cohort_label(cohort: Any) -> str:
    """What figures call a cohort."""
    if cohort in COHORTS:
        return COHORTS[cohort].label
    text = str(cohort)
    return f"External: {text.removeprefix(EXTERNAL)}" if text.startswith(EXTERNAL) else text


def main_model(names: Iterable[str]) -> str | None:
    """The main model among the models named, for every sentence, table, figure and the calculator; None without a name.

    Models known before the operation come before those that need its findings, with the signature before without it
    (MAIN_ORDER); unknown names come last, by name, so that the order of a table's rows never decides.
    """
    known = {name for name in names if isinstance(name, str)}
    return next((name for name in (*MAIN_ORDER, *sorted(known)) if name in known), None)


def main_models(names: Iterable[str]) -> list[str]:
    """The main model before the operation and the main model after it, where the names hold them; never models of
    the tumour's size or volume alone.
    """
    both = [main_model(set(names).intersection(timing)) for timing in (MAIN_BEFORE, MAIN_AFTER)]
    return [name for name in both if name is not None]


def no_signature(model: dict[str, Any]) -> str:
    """Why a frozen model that was offered a signature holds none, without a full stop; '' where it holds one or was
    offered none.
    """
    return NO_SIGNATURE.get((model.get("signature_use") or {}).get("status"), "")


def interval(row: Any, digits: int = 3) -> str:
    """The estimate of a row of a table with its limits, as texts and tables print it."""
    return interval_text(row.estimate, row.lower, row.upper, digits)


def interval_text(estimate: Any, lower: Any, upper: Any, digits: int = 3) -> str:
    """`0.72 (0.66 to 0.78)`: of a text, which says `not estimated` where there is nothing."""
    if pd.isna(estimate):
        return "not estimated"
    limits = "" if pd.isna(lower) else f" ({lower:z.{digits}f} to {upper:z.{digits}f})"
    return f"{estimate:z.{digits}f}{limits}"


def interval_in_figure(estimate: Any, lower: Any, upper: Any, digits: int = 2) -> str:
    """`0.72 (0.66–0.78)`: of a figure, where room is short, with the minus sign that its axes use. Blank where there is
    no estimate, without the bracket where there is no interval.
    """
    middle, low, high = [number(value, digits) for value in (estimate, lower, upper)]
    if not middle or not low or not high:
        return middle
    to = " to " if low.startswith("−") else "–"
    return f"{middle} ({low}{to}{high})"


def number(value: Any, digits: int = 2) -> str:
    """Fixed digits, of a figure; blank when there is no number."""
    if value is None or not math.isfinite(value):
        return ""
    return minus(f"{value:z.{digits}f}")


def minus(text: str) -> str:
    """A number with the minus sign that the axes of figures use."""
    return text.replace("-", "−")


def listed(names: Any, most: int = 5) -> str:
    """Names in a sentence; the rest as a count."""
    names = [str(name) for name in dict.fromkeys(names)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def missing_cells(frame: pd.DataFrame, terms: set[str]) -> list[str]:
    """`<cohort>: <term> <missing> of <patients>, ...` of the cohorts whose patients lack a term of a model."""
    texts = []
    for cohort, part in frame.groupby("cohort", sort=False):
        missing = part.reindex(columns=sorted(terms)).isna().sum()
        counts = [f"{name} {count}" for name, count in missing.items() if count]
        if counts:
            texts.append(f"{cohort_title(cohort)}, of {len(part)} patients: {listed(counts)}")
    return texts


def p_text(value: Any) -> str:
    """A p-value as journals print it: two decimals, three where two would blur 0.01 or 0.05, bounds at the ends."""
    if pd.isna(value) or value == "":
        return ""
    if isinstance(value, str) and value[0] in "<>":
        return value
    p = float(value)
    if p < 0.001:
        return "<0.001"
    if p > 0.99:
        return ">0.99"
    return f"{p:.3f}" if p < 0.01 or 0.045 <= p < 0.055 else f"{p:.2f}"


def p_said(value: Any, test: str = "") -> str:
    """`p = 0.03`, `p < 0.001` or `p > 0.99`, with the name of the test before it: the same digits as in a table's cell;
    blank when there is no p.
    """
    text = p_text(value)
    if not text:
        return ""
    return f"{test}p {text[0]} {text[1:]}" if text[0] in "<>" else f"{test}p = {text}"


def ratio_text(row: Any) -> str:
    """Hazard or odds ratio with its interval, two decimals."""
    ratio = "or" if "or" in row else "hr"
    if pd.isna(row[ratio]):
        return "not estimated"
    numbers = [f"{row[name]:.2f}" if row[name] < 1000 else ">1000" for name in (ratio, "lower", "upper")]
    return f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def apparent(cohort: str) -> str:
    """The name of a cohort in performance tables: a model on its own training rows is only ever `apparent`."""
    return APPARENT if cohort == TRAIN else cohort
