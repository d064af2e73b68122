"""The guards (docs/methods.md 12): what a study must not do, or say loudly that it did.

Each has a mode: B blocked by construction, E the run stops, F flagged in the report while the run goes on. `evaluate`
gives one row a guard; the functions below are the flags, each numbered and titled by its decorator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from recur.cohort.linkage import copies
from recur.features.doubts import in_words
from recur.predict.inputs import BURDEN
from recur.predict.strata import strata_of
from recur.statistics.ipcw import censoring_weights
from recur.statistics.linear_predictor import clinical_terms
from recur.study.endpoints import is_weighted
from recur.study.facts import candidates_of, endpoint_of, outcome_kind, split_of, timed_endpoint, uses_features
from recur.study.parameters import candidate_terms
from recur.validation.judgement import SAYS, departures, judged_cohorts
from recur.vocabulary import (
    NESTED,
    analysis_words,
    censors_death,
    cohort_title,
    endpoint_words,
    first_upper,
    interval,
    listed,
    main_model,
    missing_cells,
    model_title,
    p_said,
    study_words,
)

COLUMNS = ["guard", "mode", "status", "title", "text"]
FEW_AT_RISK = 10
FEW_EVENTS = 10  # per candidate column
THICK_SLICE_MM = 3.0
CENTRE_AUC = 0.7
VOLUME_RHO = 0.8


OUTSIDE, OUTSIDE_MEAN = 0.2, 0.1  # share of a held-out cohort beyond the training values of one predictor, of all
TOO_GOOD = 0.95
LARGE_WEIGHT = 10  # patients that one stands for, where others were censored before the horizon


OF_SURVIVAL = {12, 14, 15, 40}  # guards of times and hazards
# the text of a flag, "" when all is well, None when it does not apply; or the status and its text
Check = Callable[[dict[str, Any]], str | None | tuple[str, str]]

# number, mode, title, and what blocks the error or stops the run before this table is made
BLOCKED = [
    (1, "B", "Fitted before the split or outside the folds",
     "rules that fit a model read training files only; the fit is one function, called whole by resamples and folds"),
    (2, "B", "Stability filter on held-out patients",
     "repeat readings of held-out patients are dropped before floor 4, which reads training files only"),
    (3, "B/E", "Harmonisation fitted on held-out patients or with the outcome",
     "ComBat is part of the fit and its design holds no outcome; an unseen centre stops the run unless declared"),
    (16, "B", "C-indices compared as independent or one-sided",
     "comparisons are paired and two-sided; the published convention stands under its own name"),
    (24, "E", "Rim in air",
     "the rim is clipped to the {organ}, and a median below the declared HU floor excludes the case"),
    (27, "E", "Units mixed up", "plausible ranges and medians are checked per column; nothing is converted silently"),
    (28, "E", "Comparator mis-coded", "every score in scores/ reproduces its test patients before the run starts"),
    (29, "B", "Comparator not recalibrated",
     "calibration and net benefit of a score use a baseline and slope recalibrated on training patients"),
    (30, "B", "{Postoperative} variable in a {preoperative} model",
     "every variable declares its timing; a study file that mixes them is refused"),
    (32, "B", "Tuning on the test set", "no rule whose fit or choice is kept can read held-out files"),
    (35, "E", "Events after the cut-off, future dates",
     "dates are checked against each other and against the cut-off before any job"),
    (36, "B", "Results that change from run to run",
     "one seed, one thread a job, byte-identical tables whatever the number of cores"),
    (37, "E", "Changed software defaults",
     "the lock pins every package, and a changed feature manifest stops the run"),
]  # fmt: skip
CHECKS: dict[int, tuple[str, str, Check]] = {}  # number -> mode, title, check


def guard(number: int, mode: str, title: str) -> Callable[[Check], Check]:
    """Register a check under its number."""

    def register(check: Check) -> Check:
        CHECKS[number] = (mode, title, check)
        return check

    return register


def is_binary(facts: dict[str, Any]) -> bool:
    return outcome_kind(facts["study"], facts["analysis"]) == "binary"


def evaluate(facts: dict[str, Any]) -> pd.DataFrame:
    """Every guard of an analysis (COLUMNS): status `fired`, `clear`, `blocked` or `not applicable`.

    facts: study, analysis, models (name -> JSON), signature (JSON or None), evaluations (hashes of the frozen models
    that the held-out patients were shown to), train and heldout (rows), and the tables performance, rates, risks,
    net_benefit, coefficients, diagnostics, univariable, frequencies, weights, acquisition, splits (empty if there is
    none).
    """
    words = analysis_words(facts["study"], facts["analysis"])
    words["Postoperative"] = first_upper(words["postoperative"])
    rows = []
    for number, mode, title, held_by in BLOCKED:
        possible = number not in NEEDS or NEEDS[number](facts)
        text = held_by.format_map(words) if possible else ""
        rows.append((number, mode, "blocked" if possible else "not applicable", title.format_map(words), text))
    for number, (mode, title, check) in CHECKS.items():
        text = None if number in OF_SURVIVAL and is_binary(facts) else check(facts)
        if isinstance(text, tuple):
            status, text = text
        else:
            status = "not applicable" if text is None else "fired" if text else "clear"
        rows.append((number, mode, status, title.format_map(words), text or ""))
    return pd.DataFrame(sorted(rows), columns=COLUMNS)


def chosen(facts: dict[str, Any]) -> dict[str, Any]:
    return facts["study"]["analyses"][facts["analysis"]]


def has_signature(facts: dict[str, Any]) -> bool:
    return uses_features(facts["study"], facts["analysis"])


def has_images(facts: dict[str, Any]) -> bool:
    return "images" in facts["study"]


# what a run must have for an error to be possible in it: without it nothing was blocked either
NEEDS: dict[int, Callable[[dict[str, Any]], bool]] = {
    2: has_signature,
    3: has_signature,
    24: has_images,
    27: lambda facts: any({"range", "median"} & set(v) for v in facts["study"]["clinical"]["variables"].values()),
    28: lambda facts: "comparators" in facts["study"],
    29: lambda facts: "comparators" in facts["study"],
    35: lambda facts: bool(facts["study"]["clinical"].get("dates")),
}


def nothing_known(table: pd.DataFrame, *columns: str) -> bool:
    """Whether a table holds no number to judge: no row, no such column, or NaN in all rows."""
    return not any(name in table and table[name].notna().any() for name in columns)


def diagnostics(facts: dict[str, Any], number: int, *measures: str) -> pd.DataFrame:
    table = facts["diagnostics"]
    return table if table.empty else table[(table["guard"] == number) & table["measure"].isin(measures)]


def held_out(table: pd.DataFrame) -> pd.DataFrame:
    return table[~table["cohort"].str.startswith("train")] if len(table) else table


@guard(4, "E/F", "One patient in two sets")
def one_patient_twice(facts):
    """Images stop the run before; here the values of the clinical table and the outcomes are compared."""
    study = facts["study"]
    compared = "Ids are unique"
    if "images" in study:
        compared += ", images were compared by content"
    if "features" in study:
        compared += ", rows of the feature table by `snakemake check`"
    both = pd.concat([facts["train"], facts["heldout"]], ignore_index=True)
    if "patient_id" not in both or not study["clinical"]["variables"]:
        status = "blocked" if {"images", "features"} & set(study) else "not applicable"
        return status, f"{compared}; clinical rows were not compared."
    cohort = both.set_index("patient_id")["cohort"]
    values = both.drop(columns=["patient_id", "centre", "cohort"], errors="ignore")
    found = [[f"{name} ({cohort[name]})" for name in names] for names in copies(values, both["patient_id"])]
    if found:
        same = listed([" and ".join(names) for names in found])
        return f"Patients with the same values of all clinical variables and outcomes, one under two ids?: {same}."
    return "blocked", f"{compared}, and no two patients have the same values of all clinical variables and outcomes."


@guard(5, "F", "Random split sold as external")
def random_split(facts):
    kind = split_of(facts["study"], facts["analysis"])["kind"]
    if kind == "none":
        return "No held-out patients: judge by nested cross-validation or out-of-bag rows only."
    if facts["heldout"].empty:
        return None
    return "The split is random: the test set is internal validation, not external." if kind == "random" else ""


@guard(6, "F", "Lucky split")
def lucky_split(facts):
    if split_of(facts["study"], facts["analysis"])["kind"] != "random":
        return None
    splits = facts["splits"]
    if splits.empty:
        return "The split was fixed by the seed, but other splits were not tried: how lucky it is stays unknown."
    texts, judged = [], False
    for model, part in splits.groupby("model", sort=False):
        others = part.loc[~part["used"].astype(bool), "c_test"].dropna()
        own = part.loc[part["used"].astype(bool), "c_test"].dropna()
        if len(others) and len(own):
            judged = True
            centile = 100 * float((others < own.iloc[0]).mean())
            if not 10 <= centile <= 90:
                texts.append(
                    f"{model}: C {own.iloc[0]:.3f} at centile {centile:.0f} of {len(others)} other splits, "
                    f"median {others.median():.3f}"
                )
    if not judged:
        return None
    return f"The split used is an unusual one. {'; '.join(texts)}." if texts else ""


@guard(7, "B/F", "Cut-point optimised")
def optimised_cutpoint(facts):
    cuts = {name: model["cutpoint"] for name, model in facts["models"].items() if model.get("cutpoint")}
    if all(pd.isna(cut["p_corrected"]) for cut in cuts.values()):
        return None
    texts = []
    spread = diagnostics(facts, 7, "cutpoint_lp_lower").merge(
        diagnostics(facts, 7, "cutpoint_lp_upper"), on="model", suffixes=("_low", "_high")
    )
    for name, cut in cuts.items():
        p = cut["p_corrected"]
        if pd.notna(p) and p >= 0.05:
            own = spread[spread["model"] == name]
            where = f", bootstrap {own['value_low'].iloc[0]:.2f} to {own['value_high'].iloc[0]:.2f}" if len(own) else ""
            texts.append(f"{name} {cut['lp']:.2f} (corrected {p_said(p)}{where})")
    return f"Cut-points of training rows that the search alone explains: {'; '.join(texts)}." if texts else ""


@guard(8, "F", "Many features, few events")
def multiplicity(facts):
    if not has_signature(facts):
        return None
    table, signature = facts["univariable"], facts["signature"]
    if table.empty or signature is None:
        return None
    events = signature["events"]
    texts = [f"{len(table)} features for {events} events"]
    if not nothing_known(table, "p"):
        texts.append(
            f"{int((table['p'] < 0.05).sum())} have p < 0.05 alone, "
            f"{int((table['q'] < 0.05).sum())} after Benjamini-Hochberg"
        )
    real, shadow = (diagnostics(facts, 8, f"{kind}_features_kept") for kind in ("real", "shadow"))
    if len(shadow):
        texts.append(
            f"with as many shuffled twins offered, {real['value'].iloc[0]:.1f} features "
            f"and {shadow['value'].iloc[0]:.1f} twins are kept"
        )
    if not signature["features"]:
        texts.append("the signature is empty: no feature was kept, and the models hold clinical terms only")
    if chosen(facts)["ranking"]["kind"] != "none":
        texts.append("features were ranked one by one, and such ranks are unstable")
    return "; ".join(texts) + "." if len(table) > events else ""


@guard(9, "F", "Screen or stepwise selection, then naive intervals")
def post_selection(facts):
    stage = chosen(facts)["second_stage"]
    if stage["selection"] == "none" and stage["screen_p"] is None:
        return ""
    return "Terms were selected by their p-values or AIC: hazard or odds ratios and intervals are post-selection."


@guard(10, "B/F", "Optimism not corrected")
def optimism(facts):
    plan, performance = chosen(facts)["internal_validation"], facts["performance"]
    if plan["nested_repeats"]:
        nested = performance[performance["cohort"] == NESTED]
        if len(nested) and nothing_known(nested, "estimate"):
            return "Nested cross-validation was asked for and gave no estimate: results on training rows are apparent."
        return None if nothing_known(performance, "estimate") else ""
    if plan["resamples"]:
        return "No nested cross-validation: the bootstrap corrects too little when features outnumber patients."
    return "Optimism is not corrected: results on the training rows are apparent."


@guard(11, "F/E", "Too few events per variable")
def events_per_term(facts):
    study = facts["study"]
    settings = {"candidates": candidates_of(study, facts["analysis"]), "variables": study["clinical"]["variables"]}
    model = next(iter(facts["models"].values()), None)
    if model is None:
        return None
    events = model["events"]
    if is_binary(facts):
        known = model["n"] - model.get("weighting", {}).get("censored", 0)
        events = min(events, known - events)
    counted, words = candidate_terms(settings, has_signature(facts)), study_words(study)
    if not any(terms for _, terms in counted):
        return None
    texts = [
        f"{words[timing]} model: {events} events for {terms} candidate columns ({events / terms:.1f} each)"
        for timing, terms in counted
        if terms and events / terms < FEW_EVENTS
    ]
    return f"Fewer than {FEW_EVENTS} events per candidate. {'; '.join(texts)}." if texts else ""


@guard(12, "F", "Proportional hazards violated")
def proportional_hazards(facts):
    table = diagnostics(facts, 12, "proportional_hazards_chi2")
    if nothing_known(table, "p"):
        return None
    broken = table[table["p"] < 0.05]
    texts = [f"{row.model} {row.term} {p_said(row.p)}" for row in broken.itertuples()]
    return (
        f"Hazards are not proportional for {listed(texts)}: "
        "read the early and late hazard ratios and the restricted mean in diagnostics.csv; a clinical variable of few "
        "levels can have a baseline hazard for each instead (candidates.strata)."
        if texts
        else ""
    )


@guard(13, "F", "Non-linearity ignored")
def nonlinearity(facts):
    table = diagnostics(facts, 13, "spline_lr_chi2", "spline_wald_chi2")
    if nothing_known(table, "p"):
        return None
    bent = table[table["p"] < 0.05]
    texts = [f"{row.model} {row.term} ({p_said(row.p)})" for row in bent.itertuples()]
    return (
        f"A spline fits better than a straight line for {listed(texts)}; a clinical number may have one "
        "(clinical.variables: transform: rcs)."
        if len(bent)
        else ""
    )


@guard(14, "F", "Conventions of the C-index")
def c_conventions(facts):
    performance = facts["performance"]
    c = {
        m: performance[performance["metric"] == m].set_index(["model", "cohort"])["estimate"]
        for m in ("c_harrell", "c_gamma", "c_uno")
    }
    gap = (c["c_gamma"] - c["c_harrell"]).abs().dropna()
    other = (c["c_uno"] - c["c_harrell"]).abs().dropna()
    if gap.empty and other.empty:
        return None
    texts = [f"dropping tied risks changes C by {v:.3f} ({m}, {k})" for (m, k), v in gap.items() if v > 0.02]
    texts += [f"Uno's C differs from Harrell's by {v:.3f} ({m}, {k})" for (m, k), v in other.items() if v > 0.05]
    return f"C depends on its convention here: {listed(texts, 3)}." if texts else ""


@guard(15, "F", "C-index used for risks at a time")
def horizon_claims(facts):
    performance = facts["performance"]
    at = performance[performance["metric"].isin(["auc", "brier"])]
    if at.empty:
        return None
    at = at[at["estimate"].isna()]
    where = listed(f"{r.model} in {r.cohort} at {r.horizon_months:g} months" for r in at.itertuples())
    return (
        f"AUC or Brier score could not be estimated for {where}: the C-index says nothing about risks at that time."
        if len(at)
        else ""
    )


@guard(17, "F", "Calibration missing or by crude proportions")
def crude_rates(facts):
    rates, risks = facts["rates"], facts["risks"]
    if nothing_known(facts["performance"], "estimate"):
        return None
    texts = []
    held = held_out(facts["performance"])
    slope = held[held["metric"] == "calibration_slope"]
    if len(held) and slope["estimate"].isna().all():
        texts.append("no calibration slope could be estimated in a held-out cohort")
    models = dict.fromkeys(facts["performance"]["model"])
    if not any(judged_cohorts(facts["performance"], model) for model in models):
        texts.append("calibration was judged on the rows that were fitted only")
    whole = rates[(rates["model"] == "all")] if len(rates) else rates
    first = risks.drop_duplicates("patient_id") if len(risks) else risks
    for row in whole.itertuples():
        part = first[first["cohort"] == row.cohort]
        ended = part["event"] + (part.get("competing", 0))
        # who is censored after the last event by then leaves the Kaplan-Meier estimate at k/n, as it should be
        last = part.loc[(part["event"] == 1) & (part["time"] <= row.horizon_months), "time"].max()
        before = ((part["time"] < last) & (ended == 0)).sum()
        crude = 1 - ((part["time"] <= row.horizon_months) & (part["event"] == 1)).mean()
        if before and abs(crude - row.survival) < 1e-9:
            texts.append(
                f"the rate of {row.cohort} at {row.horizon_months:g} months is k/n, "
                f"although {before} were censored before the last event by then"
            )
    return "; ".join(texts) + "." if texts else ""


@guard(18, "F", "Death censored in time to {event}")
def censored_death(facts):
    study, name = facts["study"], chosen(facts)["endpoint"]
    if timed_endpoint(study, facts["analysis"]) is None:
        return None
    event = endpoint_words(study, name)["the_event"]
    if censors_death(study, study["endpoints"][name].get("of", name)):
        return f"Death without {event} is censored: absolute risks of {event} are overestimated."
    return ""


@guard(19, "E/F", "Conditioning on the future")
def future_conditioning(facts):
    months = chosen(facts).get("min_follow_up_months")
    endpoint = endpoint_of(facts["study"], facts["analysis"])
    if "of" in endpoint and not is_weighted(endpoint):
        return "Patients censored before the horizon were left out, as published: that conditions on the future."
    if timed_endpoint(facts["study"], facts["analysis"]) is None and "of" not in endpoint:
        return None
    if months:
        return (
            f"Patients without the event and followed for less than {months:g} months were left out, as published: "
            "that conditions on the future."
        )
    return ""


@guard(20, "F", "Decision curve on training data or over thresholds that were not stated")
def decision_curve(facts):
    table = facts["net_benefit"]
    if nothing_known(table, "net_benefit"):
        return None
    table = table[table["net_benefit"].notna()]
    texts = []
    if not len(held_out(table)) and NESTED not in set(table["cohort"]):
        texts.append("the decision curve rests on training rows only")
    if "thresholds" not in facts["study"]:
        low, high = table["threshold"].min(), table["threshold"].max()
        texts.append(
            f"thresholds run from {low:.2f} to {high:.2f}, a range that was not stated beforehand (`thresholds` of the "
            "study file): read only those at which one would act"
        )
    return "; ".join(texts) + "." if texts else ""


@guard(21, "F", "Signature is tumour volume in disguise")
def volume_in_disguise(facts):
    weights = facts["weights"]
    if not has_signature(facts) or nothing_known(weights, "volume_rho"):
        return None
    weights = weights[weights["volume_rho"].notna()]
    high = weights[weights["volume_rho"].abs() > VOLUME_RHO]
    return (
        f"{len(high)} of {len(weights)} features of the signature follow tumour volume (|rho| > {VOLUME_RHO}): "
        f"{listed(high['feature'])}."
        if len(high)
        else ""
    )


@guard(22, "F", "Scanner or centre learnt")
def centre_signal(facts):
    texts = []
    found, ranges = diagnostics(facts, 22, "centre_auc"), facts["ranges"]
    held = facts["risks"]
    held = held[held["cohort"] != "train"] if len(held) else held
    if nothing_known(found, "value") and nothing_known(held, "lp") and nothing_known(ranges, "share"):
        return None
    if len(found) and found["value"].iloc[0] > CENTRE_AUC:
        texts.append(f"the features tell the training centres apart (AUC {found['value'].iloc[0]:.2f})")
    for cohort, share in share_outside(facts["risks"], {n: m["lp_range"] for n, m in facts["models"].items()}).items():
        if share > 0.1:
            texts.append(
                f"{100 * share:.0f} % of {cohort} lie outside the training range of the linear predictor, "
                "where risks are extrapolated"
            )
    texts += beyond_training(ranges)
    if not texts and has_signature(facts) and nothing_known(found, "value"):
        return "not applicable", "Whether the features tell the training centres apart was not judged."
    return "; ".join(texts) + "." if texts else ""


def beyond_training(ranges: pd.DataFrame) -> list[str]:
    """Held-out cohorts beyond the training values of what the models use, as measured, a line a cohort."""
    texts = []
    for cohort, part in ranges.groupby("cohort") if len(ranges) else []:
        far = part[part["share"] > OUTSIDE]
        if far.empty and not part["share"].mean() > OUTSIDE_MEAN:
            continue
        shown = far if len(far) else part
        shown = shown.sort_values(["share", "predictor"], ascending=[False, True])
        named = listed([f"{row.predictor} {row.outside} of {row.n}" for row in shown.itertuples()], 3)
        texts.append(f"values of {cohort} lie outside the training range, as measured: {named}")
    return texts


def share_outside(risks: pd.DataFrame, lp_range: dict[str, list[float]]) -> dict[str, float]:
    """Share of each held-out cohort beyond the training linear predictors of a model, the largest over models."""
    held = risks[(risks["cohort"] != "train") & risks["lp"].notna()] if len(risks) else risks
    if held.empty:
        return {}
    low = held["model"].map(lambda name: lp_range[name][0])
    high = held["model"].map(lambda name: lp_range[name][1])
    outside = ((held["lp"] < low) | (held["lp"] > high)).groupby([held["cohort"], held["model"]]).mean()
    return outside.groupby("cohort").max().to_dict()


@guard(23, "F", "Slice thickness, kernel, contrast timing ignored")
def acquisition(facts):
    if "images" not in facts["study"]:
        return None
    table = facts["acquisition"]
    known = table.dropna(axis=1, how="all") if len(table) else pd.DataFrame()
    if "slice_thickness_mm" not in known and "kernel" not in known:
        return (
            "Acquisition parameters are unknown: images without DICOM headers say nothing of slice thickness, kernel "
            "or contrast timing."
        )
    texts = []
    if "slice_thickness_mm" in known:
        thick = known.loc[known["slice_thickness_mm"] > THICK_SLICE_MM, "patient_id"].nunique()
        if thick:
            texts.append(f"{thick} patients have slices above {THICK_SLICE_MM:g} mm")
    for column, name in (
        ("kernel", "kernels"),
        ("slice_thickness_mm", "slice thicknesses"),
        ("manufacturer", "vendors"),
    ):
        if column in known and known[column].nunique() > 1:
            texts.append(f"{known[column].nunique()} {name}")
    if texts:
        return f"Acquisition varies: {', '.join(texts)}; see images/acquisition.csv."
    unknown = unknown_acquisition(table, facts["study"]["images"].get("modality", "CT"))
    return ("not applicable", f"Nothing varies in what is known; not known: {unknown}.") if unknown else ""


def unknown_acquisition(table: pd.DataFrame, modality: str) -> str:
    """What the headers do not tell: columns without a value, or of how many patients; an MR scan has no kernel."""
    names = {"slice_thickness_mm": "slice thickness", "kernel": "kernel"}
    if modality != "CT":
        del names["kernel"]
    texts = []
    for column, name in names.items():
        cells = table.reindex(columns=[column])[column]
        lacking = table.loc[cells.isna(), "patient_id"].nunique()
        if lacking:
            texts.append(name if cells.isna().all() else f"{name} of {lacking} patients")
    return listed(texts)


@guard(25, "F", "Reader not blinded")
def blinding(facts):
    images = facts["study"].get("images")
    if images is None:
        return None
    blinded = images.get("readers_blinded")
    if blinded:
        return ""
    return (
        "Masks were drawn with knowledge of the outcome."
        if blinded is False
        else "The study does not say whether the masks were drawn blind to the outcome (images.readers_blinded)."
    )


@guard(26, "F", "Missing data dropped silently")
def missing_data(facts):
    terms = {term for model in facts["models"].values() for term in clinical_terms(model["terms"])}
    texts = missing_cells(facts["train"].assign(cohort="train"), terms)
    if len(facts["heldout"]):
        texts += missing_cells(facts["heldout"], terms)
    unseen = without_stratum(facts["models"], facts["heldout"])
    if not texts:
        nobody = not terms or facts["train"].empty
        return None if nobody and not unseen else unseen
    said = (
        f"Missing cells were imputed by a model learnt on training predictors ({'; '.join(texts)}); complete cases "
        f"stand beside it in coefficients.csv and performance.csv.{' ' * bool(unseen)}{unseen}"
    )
    words = study_words(facts["study"])
    differing = coefficients_that_disagree(facts["coefficients"], words)
    differing += c_that_disagrees(facts["performance"], words)
    if differing:
        said += f" Main estimates and those of complete cases disagree: {listed(differing)}."
    return said


def without_stratum(models: dict[str, dict[str, Any]], heldout: pd.DataFrame) -> str:
    """Held-out patients whom a stratified model cannot predict, by the stratum they lack or training lacked."""
    model = next((model for model in models.values() if "strata" in model), None)
    if model is None or not len(heldout):
        return ""
    known = {level["stratum"] for level in model["strata"]["levels"]}
    strata = pd.Series(strata_of(heldout, model["strata"]["variables"]), heldout["cohort"])
    unseen = strata[~strata.isin(known)].replace("", "stratum missing")
    texts = [
        f"{count} of {cohort_title(cohort)} ({name})"
        for (cohort, name), count in unseen.groupby([unseen.index, unseen]).size().items()
    ]
    return f"Patients of strata that training did not have get no prediction: {listed(texts)}." if texts else ""


def disagree(main: Any, other: Any, no_effect: float) -> bool:
    """Whether two estimates with limits lead to different conclusions: one lies outside the limits of the other, or
    only one interval excludes `no_effect`.
    """
    outside = not other.lower <= main.estimate <= other.upper or not main.lower <= other.estimate <= main.upper
    excludes = [not row.lower <= no_effect <= row.upper for row in (main, other)]
    return outside or excludes[0] != excludes[1]


def coefficients_that_disagree(table: pd.DataFrame, words: dict[str, str]) -> list[str]:
    """Hazard or odds ratios whose complete-case estimate and main one `disagree`."""
    if table.empty:
        return []
    ratio = "or" if "or" in table else "hr"
    table = table.rename(columns={ratio: "estimate"})
    main = {(row.model, row.term): row for row in table[table["stage"] == "multivariable"].itertuples()}
    texts = []
    for row in table[table["stage"] == "multivariable_complete_cases"].itertuples():
        own = main[row.model, row.term]
        if pd.isna(own.lower):
            continue
        where = f"{ratio.upper()} of {row.label} ({model_title(row.model, words)}) {interval(own, 2)}"
        if pd.isna(row.lower):
            texts.append(f"{where}, on complete cases not estimable")
        elif disagree(own, row, 1.0):
            texts.append(f"{where}, on complete cases {interval(row, 2)}")
    return texts


def c_that_disagrees(performance: pd.DataFrame, words: dict[str, str]) -> list[str]:
    """C (AUC) whose estimate of complete cases and main one `disagree`."""
    texts = []
    for metric in ("c_harrell", "auc"):
        main = {(row.model, row.cohort): row for row in performance[performance["metric"] == metric].itertuples()}
        complete = performance[performance["metric"] == f"{metric}_complete_cases"]
        for row in complete[complete["lower"].notna()].itertuples():
            own = main[row.model, row.cohort]
            if pd.notna(own.lower) and disagree(own, row, 0.5):
                where = f"C (AUC) of {model_title(row.model, words)} in {cohort_title(row.cohort)} {interval(own, 2)}"
                texts.append(f"{where}, on complete cases {interval(row, 2)}")
    return texts


@guard(31, "F", "Gain of a nested model")
def nested_gain(facts):
    table = diagnostics(facts, 31, "added_lr_chi2", "added_wald_chi2")
    if table.empty:
        return (
            None
            if not has_signature(facts)
            else "Clinical and combined models are not nested (their terms were selected apart): "
            "judge the gain by the difference in C (AUC) alone."
        )
    if nothing_known(table, "p"):
        return None
    weak = table[table["p"] >= 0.05]
    tests = {"added_lr_chi2": "likelihood-ratio", "added_wald_chi2": "Wald"}
    texts = [f"{row.model}: {tests[row.measure]} {p_said(row.p)}" for row in weak.itertuples()]
    return f"The signature adds nothing significant to the clinical terms ({listed(texts)})." if len(weak) else ""


@guard(33, "F", "Held-out patients looked at repeatedly")
def pristine(facts):
    if split_of(facts["study"], facts["analysis"])["kind"] == "none":
        return None
    count = len(dict.fromkeys(facts["evaluations"]))
    if not count:
        return None
    return (
        f"Not pristine: the held-out patients have been shown {count} different sets of frozen models of this "
        "analysis (evaluations.jsonl)."
        if count > 1
        else ""
    )


@guard(34, "F", "Horizon beyond the support")
def unsupported_horizon(facts):
    timed = timed_endpoint(facts["study"], facts["analysis"])
    if timed is None or is_binary(facts):
        return None if timed is None else weak_weights(facts["risks"], timed["horizon_months"])
    table = facts["performance"]
    # a model without any term says nothing of the horizon: it ranks nobody anywhere
    without = [name for name, model in facts["models"].items() if not model["terms"]]
    table = table[table["horizon_months"].notna() & ~table["model"].isin(without)]
    if table.empty:
        return None
    blank = table[table["estimate"].isna()]
    where = listed(
        f"{cohort} at {months:g} months"
        for cohort, months in blank[["cohort", "horizon_months"]].drop_duplicates().itertuples(index=False)
    )
    return f"Left blank, too few at risk or no event by then: {where}." if len(blank) else ""


def weak_weights(risks: pd.DataFrame, months: float) -> str | None:
    """Cohorts in which hardly anybody is followed to the horizon of a binary outcome, so that few stand for many."""
    if nothing_known(risks, "follow_up"):
        return None
    texts = []
    for cohort, part in risks.drop_duplicates("patient_id").groupby("cohort", sort=False):
        followed = int((part["follow_up"] >= months * (1 - 1e-9)).sum())
        largest = censoring_weights(part["follow_up"], part["event"].notna()).max()
        if followed < FEW_AT_RISK:
            texts.append(f"{followed} patients of {cohort} were followed to {months:g} months")
        elif largest > LARGE_WEIGHT:
            texts.append(f"one patient of {cohort} stands for {largest:.0f} (the others were censored)")
    return f"Weights for censoring rest on few patients: {'; '.join(texts)}." if texts else ""


@guard(38, "F", "Zero weights read as irrelevance")
def zero_weights(facts):
    if not has_signature(facts) or nothing_known(facts["frequencies"], "frequency") or not facts["signature"]:
        return None
    frequency = facts["frequencies"].set_index("feature")["frequency"]
    kept = [f["name"] for f in facts["signature"]["features"]]
    weak = [name for name in kept if frequency.get(name, 0.0) < 0.5]
    often = frequency[(frequency >= 0.5) & ~frequency.index.isin(kept)]
    if not kept and not len(often):
        return None
    texts = [f"{len(weak)} of {len(kept)} kept features are chosen in fewer than half of the resamples"] if weak else []
    texts += [f"{len(often)} features chosen in half or more are not in the signature"] if len(often) else []
    return "; ".join(texts) + ": a zero weight does not mean irrelevant." if texts else ""


@guard(39, "F", "Only the favourable endpoint or horizon reported")
def primary_declared(facts):
    study = facts["study"]
    if study.get("primary"):
        return ""
    several = len(study["analyses"]) > 1
    return "No primary analysis is declared (key `primary`): all analyses are secondary." if several else ""


@guard(40, "F", "Certainty from a handful of patients")
def few_at_risk(facts):
    rates = facts["rates"]
    groups = rates[rates["model"] != "all"] if len(rates) else rates
    if nothing_known(groups, "n_risk"):
        return None
    small = groups[groups["n_risk"] < FEW_AT_RISK]
    return (
        f"{len(small)} survival rates of risk groups rest on fewer than {FEW_AT_RISK} patients at risk."
        if len(small)
        else ""
    )


@guard(41, "F", "Second stage on in-sample signature scores")
def in_sample_scores(facts):
    if not has_signature(facts) or not (facts["signature"] or {}).get("features"):
        return None
    if chosen(facts)["second_stage"]["scores"] != "in_sample":
        return ""
    return "The second-stage model was fitted on the signature's own training scores, which inflates it."


@guard(42, "F", "Signature reversed out of fold")
def reversed_signature(facts):
    """Seen where a signature holds no signal, as in studies/sts.yaml."""
    if not has_signature(facts):
        return None
    uses = {name: model.get("signature_use") or {} for name, model in facts["models"].items()}
    if not any(use.get("status") in ("used", "bounded") for use in uses.values()):
        return None
    held = [f"{name} {use['unbounded']:.2f}" for name, use in uses.items() if use.get("status") == "bounded"]
    if not held:
        return ""
    where = "Out of fold" if chosen(facts)["second_stage"]["scores"] == "out_of_fold" else "In training"
    return (
        f"{where} the signature points the other way (coefficients without a bound: {listed(held)}). Its weight is "
        "therefore 0: these models hold no signature. Read nested cross-validation."
    )


@guard(43, "F", "Calibration off in patients not fitted on")
def miscalibration(facts):
    """The main model's estimates in words, the other models by name; models of size or volume alone
    are for comparison only.
    """
    performance = facts["performance"]
    models = [name for name in dict.fromkeys(performance["model"]) if name not in BURDEN]
    judged = [(model, cohort) for model in models for cohort in judged_cohorts(performance, model)]
    known = performance[performance["metric"].isin(SAYS) & performance["estimate"].notna()]
    if not set(judged) & set(zip(known["model"], known["cohort"], strict=True)):
        return None
    found = {(model, cohort): departures(performance, model, cohort) for model, cohort in judged}
    main, words = main_model(performance["model"]), study_words(facts["study"])
    texts = [
        f"{model_title(model, words)}, {cohort_title(cohort)}: {'; '.join(texts)}"
        for (model, cohort), texts in found.items()
        if texts and model == main
    ]
    others = [f"{model_title(m, words)} ({cohort_title(c)})" for (m, c), texts in found.items() if texts and m != main]
    if others:
        texts.append(f"{'also off' if texts else 'off'}: {listed(others)}; see performance.csv")
    return f"{'. '.join(texts)}." if texts else ""


@guard(44, "F", "Too good to be true")
def too_good(facts):
    """No study of prognosis discriminates so well; an outcome among the predictors does."""
    table = facts["performance"]
    judged = table[table["metric"].isin(["c_harrell", "c_uno", "c_competing", "auc"]) & table["estimate"].notna()]
    judged = judged[(judged["cohort"] == NESTED) | ~judged["cohort"].astype(str).str.startswith("train")]
    if judged.empty:
        return None
    judged = judged[judged["estimate"] > TOO_GOOD]
    measures, words = judged["metric"].map({"auc": "AUC"}).fillna("C"), study_words(facts["study"])
    texts = [
        f"{model_title(row.model, words)}, {cohort_title(row.cohort)}: {measure} {row.estimate:.3f}"
        for row, measure in zip(judged.itertuples(), measures, strict=True)
    ]
    if not texts:
        return ""
    return (
        f"{listed(texts)}: above {TOO_GOOD} in patients not fitted on. Look for a predictor that holds the outcome, or "
        "one patient on both sides of the split, before believing it."
    )


@guard(45, "F", "Doubtful values in a feature table")
def doubtful_features(facts):
    """What recur.features.doubts finds in tables that others made."""
    if "features" not in facts["study"] or not has_signature(facts) or "problem" not in facts["doubts"]:
        return None
    lines = in_words(facts["doubts"]) if len(facts["doubts"]) else []
    return f"{'; '.join(lines)}; see features/doubts.csv." if lines else ""


def flags(guards: pd.DataFrame) -> list[tuple[int, str]]:
    """(number, text) of the guards that fired."""
    fired = guards[guards["status"] == "fired"]
    return list(zip(fired["guard"].astype(int), fired["text"], strict=True))
