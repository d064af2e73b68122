"""A diagnostic study on the cohort floor: index tests against a reference standard, and readers.

Rows are units: patients, or lesions of patients. Cut-points that the study file does not declare are chosen in the
training cohort and applied to the others as they are. With several lesions of a patient, intervals are bootstrapped
over patients and tests that take units as independent are left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import statsmodels.api as sm
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from recur.cohort.cells import cells_of
from recur.cohort.coding_problems import variable_problems
from recur.cohort.exclusions import by_id
from recur.cohort.variables import read_variables
from recur.statistics import roc
from recur.statistics.accuracy import accuracy, clustered_accuracy, compare_tests, two_by_two
from recur.statistics.agreement import categories, cross_table, icc
from recur.statistics.estimate import bootstrap_interval
from recur.statistics.linear_predictor import linear_sum
from recur.tables import Problem, StudyError, grouped, read_table
from recur.vocabulary import TRAIN

COMBINATION = "combination"
TABLES = ("participants", "accuracy", "auc", "roc", "band", "comparisons")
BAND = np.round(np.linspace(0, 1, 51), 2)  # specificities of the confidence band
ACCURACY = ["cohort", "test", "cutoff", "cutoff_from", "metric", "x", "n", "estimate", "lower", "upper"]
ACCURACY += ["lower_exact", "upper_exact", "method"]
AUC = ["cohort", "test", "estimate", "se", "lower", "upper", "p", "n", "diseased", "method"]
COMPARISONS = ["cohort", "test_a", "test_b", "metric", "n", "difference", "lower", "upper", "p", "method"]
PARTICIPANTS = ["cohort", "test", "cutoff", "cutoff_from", "eligible", "no_index_test", "no_reference", "analysed"]
PARTICIPANTS += ["tp", "fp", "fn", "tn", "positive_no_reference", "negative_no_reference"]
AGREEMENT = ["cohort", "reading", "reader_a", "reader_b", "coefficient", "estimate", "se", "lower", "upper", "p", "n"]
AGREEMENT += ["reason"]


def read_lesions(settings: dict[str, Any], patients: pd.Series) -> pd.DataFrame:
    """The table of lesions: patient_id, lesion (1, 2, ... in the order of the table) and its variables as numbers.

    Raises StudyError with every problem: unknown patients, cells that cannot be read.
    """
    lesions = settings["diagnostic"]["lesions"]
    path = lesions["table"]
    wanted = [lesions["id"], *(variable["column"] for variable in lesions["variables"].values())]
    table = read_table(path, lesions.get("sheet"), set(wanted).__contains__)
    if missing := [name for name in wanted if name not in table]:
        raise StudyError([f"{path}: no column {name!r} (diagnostic.lesions)" for name in missing])
    missing = settings["clinical"]["missing_values"]
    table, _ = cells_of(table, path, missing, lesions["variables"], set(wanted), {lesions["id"]: None})
    ids = table[lesions["id"]]
    values, problems = read_variables(table, lesions["variables"], ids)
    known = set(patients)
    lines = [f"{path}: {text}" for text in variable_problems(table, lesions["variables"])]
    problems += [Problem(row, "is no patient of the clinical table") for row in ids.index if ids[row] not in known]
    if lines or problems:
        raise StudyError(lines + grouped(by_id(problems, ids), path))
    frame = pd.concat([ids.rename("patient_id"), values], axis=1)
    frame.insert(1, "lesion", frame.groupby("patient_id").cumcount() + 1)
    return frame.sort_values(["patient_id", "lesion"], ignore_index=True)


def variables_of(settings: dict[str, Any]) -> dict[str, Any]:
    """The variables that tests and readings are: of the lesions where there is such a table."""
    holder = settings["diagnostic"].get("lesions") or settings["clinical"]
    return holder["variables"]


def by_cohort(units: pd.DataFrame, assigned: pd.DataFrame, split: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """Cohort -> its units, training first; `all` where the study has no split."""
    cohort = units["patient_id"].map(assigned.set_index("patient_id")["cohort"]).fillna("")
    if split["kind"] == "none":
        return {"all": units[cohort != ""].reset_index(drop=True)}
    names = sorted(set(cohort) - {""}, key=lambda name: (name != TRAIN, name))
    return {name: units[cohort == name].reset_index(drop=True) for name in names}


def score_of(frame: pd.DataFrame, name: str, test: dict[str, Any]) -> pd.Series:
    """The test with higher meaning diseased."""
    return -frame[name] if test["direction"] == "lower" else frame[name]


def declared_cutoffs(name: str, test: dict[str, Any], variable: dict[str, Any]) -> list[tuple[str, float]]:
    """(label, cut-off on the scale of score_of; positive above it) that the study file gives, or that a binary has."""
    sign = -1 if test["direction"] == "lower" else 1
    if variable["kind"] == "binary":
        return [("", sign * 0.5)]
    cutoffs = []
    for level in test.get("positive_from", []):
        place = (
            [str(x) for x in variable["levels"]].index(str(level)) if variable["kind"] == "ordinal" else float(level)
        )
        # positive from this level or value on: the cut lies just below it
        cutoffs.append((str(level), np.nextafter(sign * place, -np.inf)))
    return cutoffs


def chosen_cutoffs(truth: np.ndarray, score: np.ndarray, specificity: float) -> list[tuple[str, float]]:
    """(how, cut-off) of the training rows: Youden, and the lowest with the wanted specificity."""
    points = {
        "youden": roc.youden(truth, score),
        f"specificity {specificity:g}": roc.at_specificity(truth, score, specificity),
    }
    return [(how, point["threshold"]) for how, point in points.items() if point and np.isfinite(point["threshold"])]


def evaluate_tests(cohorts: dict[str, pd.DataFrame], settings: dict[str, Any], seed: int) -> dict[str, pd.DataFrame]:
    """participants, accuracy, auc, roc, band and comparisons of every index test in every cohort, and of their
    combination.
    """
    plan = settings["diagnostic"]
    tests, reference = plan["tests"], plan["reference"]
    resamples = plan["resamples"]
    variables = variables_of(settings)
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    frozen: dict[str, list[tuple[str, float, str]]] = {}
    model = None
    for cohort, units in cohorts.items():
        scores = {}
        for name, test in tests.items():
            frame = units.dropna(subset=[reference, name])
            truth = frame[reference].to_numpy(bool)
            score = score_of(frame, name, test).to_numpy(float)
            scores[name] = pd.Series(score, frame.index)
            if name not in frozen:
                given = [(label, cut, "declared") for label, cut in declared_cutoffs(name, test, variables[name])]
                where = "these units: optimistic" if cohort == "all" else "training"
                chosen = [
                    ("", cut, f"{how}, {where}") for how, cut in chosen_cutoffs(truth, score, plan["specificity"])
                ]
                frozen[name] = given or chosen
            cuts = [
                (label or cutoff_text(cut, test, variables[name]), origin, cut) for label, cut, origin in frozen[name]
            ]
            parts["participants"].append(participants(units, reference, [name], test, cuts).assign(cohort=cohort))
            for shown, origin, cut in cuts:
                rows = unit_accuracy(frame["patient_id"], truth, score > cut, seed, resamples)
                parts["accuracy"].append(rows.assign(cohort=cohort, test=name, cutoff=shown, cutoff_from=origin))
            if variables[name]["kind"] != "binary":
                parts["auc"].append(
                    area(frame["patient_id"], truth, score, seed, resamples).assign(cohort=cohort, test=name)
                )
                parts["roc"].append(roc.roc_points(truth, score).assign(cohort=cohort, test=name))
                if frame["patient_id"].is_unique:
                    band = roc.roc_band(truth, score, BAND, seed, resamples)
                    parts["band"].append(band.assign(cohort=cohort, test=name))
        parts["comparisons"].append(
            compare_pairs(units, scores, frozen, variables, plan | {"seed": seed}).assign(cohort=cohort)
        )
        if plan["combination"]:
            model, rows = combination(units, plan, model, cohort, seed)
            parts["auc"].append(rows)
            rows = participants(units, reference, plan["combination"], {}, [])
            parts["participants"].append(rows.assign(cohort=cohort, test=COMBINATION))
    columns = {"participants": PARTICIPANTS, "accuracy": ACCURACY, "auc": AUC, "comparisons": COMPARISONS}
    columns |= {"roc": ["cohort", "test", "threshold", "sensitivity", "specificity"]}
    columns |= {"band": ["cohort", "test", "specificity", "sensitivity", "lower", "upper"]}
    result = {
        name: pd.concat([pd.DataFrame(columns=columns[name]), *frames])[columns[name]] for name, frames in parts.items()
    }
    finite = result["roc"]["threshold"].astype(float)
    result["roc"]["threshold"] = finite.where(np.isfinite(finite))
    return result


def participants(
    units: pd.DataFrame, reference: str, names: list[str], test: dict[str, Any], cuts: list[tuple[str, str, float]]
) -> pd.DataFrame:
    """The flow of STARD 2015 for one index test, or for several that must all be there: a row a cut-off (PARTICIPANTS).

    eligible units = no_index_test (missing or indeterminate) + no_reference (of those with the index test) + analysed;
    analysed = tp + fp + fn + tn. cuts: (label, origin, cut-off on the scale of score_of); without one these are blank.
    """
    tested = units[names].notna().all(axis=1)
    known = units[reference].notna()
    row: dict[str, Any] = {"test": names[0], "eligible": len(units), "no_index_test": int((~tested).sum())}
    row |= {"no_reference": int((tested & ~known).sum()), "analysed": int((tested & known).sum())}
    rows = []
    for label, origin, cut in cuts:
        positive = score_of(units, names[0], test) > cut
        truth = units[reference] == 1
        counts = two_by_two(truth[tested & known], positive[tested & known])
        unknown = {"positive_no_reference": int((tested & ~known & positive).sum())}
        unknown["negative_no_reference"] = row["no_reference"] - unknown["positive_no_reference"]
        rows.append(row | {"cutoff": label, "cutoff_from": origin} | counts | unknown)
    return pd.DataFrame(rows or [row])


def cutoff_text(cut: float, test: dict[str, Any], variable: dict[str, Any]) -> str:
    """A chosen cut-off in the units of its variable, or as the level that begins what is positive."""
    sign = -1 if test["direction"] == "lower" else 1
    if variable["kind"] == "binary":
        return variable["negative"] if sign < 0 else variable["positive"]
    if variable["kind"] == "ordinal":
        levels = variable["levels"]
        return f"{levels[int(np.floor(-cut))]} or below" if sign < 0 else f"{levels[int(np.ceil(cut))]} or above"
    return f"{'<' if sign < 0 else '>'} {sign * cut:.6g}"


def unit_accuracy(
    patients: pd.Series, truth: np.ndarray, positive: np.ndarray, seed: int, resamples: int
) -> pd.DataFrame:
    """Accuracy with Wilson and exact limits, or of several units a patient with bootstrapped ones."""
    if patients.is_unique:
        rows = accuracy(**two_by_two(truth, positive))
        exact = rows["metric"].isin(("lr_positive", "lr_negative"))
        return rows.assign(method=np.where(exact, "log", "Wilson; exact: Clopper-Pearson"))
    rows = clustered_accuracy(patients, truth, positive, seed, resamples)
    return rows.assign(lower_exact=np.nan, upper_exact=np.nan, method=f"bootstrap of {patients.nunique()} patients")


def area(patients: pd.Series, truth: np.ndarray, score: np.ndarray, seed: int, resamples: int) -> pd.DataFrame:
    """The AUC of one test: DeLong on the logit scale, or of several units a patient with bootstrapped limits."""
    row = roc.auc(truth, score, "logit")
    method = row.pop("reason") or "DeLong, interval on the logit scale"
    if not patients.is_unique:
        drawn = cluster_bootstrap(patients, lambda rows: roc.auc(truth[rows], score[rows])["estimate"], seed, resamples)
        row |= {key: drawn[key] for key in ("se", "lower", "upper")} | {"p": np.nan}
        method = drawn["reason"] or f"bootstrap of {patients.nunique()} patients"
    row |= {"n": len(truth), "diseased": int(truth.sum()), "method": method}
    return pd.DataFrame([row]).drop(columns="z")


def cluster_bootstrap(patients: pd.Series, function: Any, seed: int, resamples: int) -> dict:
    """bootstrap_interval over whole patients: `function(rows)` sees all units of those drawn."""
    members = units_of(patients)
    return bootstrap_interval(
        lambda drawn: function(np.concatenate([members[i] for i in drawn])), len(members), seed, resamples
    )


def units_of(patients: pd.Series) -> list[np.ndarray]:
    """The places of each patient's units, patients in the order of their ids."""
    _, index = np.unique(patients, return_inverse=True)
    return [np.flatnonzero(index == i) for i in range(index.max() + 1)]


class Pair(NamedTuple):
    """Two tests on the n units that have both, and the reference."""

    patients: pd.Series  # (n,) ids; a patient may have several units
    truth: np.ndarray  # (n,) bool, the reference
    first: np.ndarray  # (n,) score, higher is more suspicious
    second: np.ndarray
    cuts: tuple[float, float] | None  # above which each is positive; None where one of them has no cut-off


def compare_pairs(
    units: pd.DataFrame,
    scores: dict[str, pd.Series],
    cutoffs: dict[str, list[tuple[str, float, str]]],
    variables: dict[str, Any],
    plan: dict[str, Any],
) -> pd.DataFrame:
    """Every two tests on the units that have both: AUC by DeLong, accuracy at the first cut-off by McNemar.

    cutoffs: of each test (label, cut-off, origin); plan: `diagnostic` of the study file, with the study's seed.
    """
    rows = []
    for a, b in combinations(scores, 2):
        both = scores[a].index.intersection(scores[b].index)
        has_cuts = cutoffs.get(a) and cutoffs.get(b)
        pair = Pair(
            patients=units.loc[both, "patient_id"],
            truth=units.loc[both, plan["reference"]].astype(bool).to_numpy(),
            first=scores[a][both].to_numpy(),
            second=scores[b][both].to_numpy(),
            cuts=(cutoffs[a][0][1], cutoffs[b][0][1]) if has_cuts else None,
        )
        has_curves = "binary" not in (variables[a]["kind"], variables[b]["kind"])
        for row in pair_rows(pair, has_curves):
            if not pair.patients.is_unique:
                row |= clustered_difference(pair, row["metric"], plan["seed"], plan["resamples"])
            rows.append({"test_a": a, "test_b": b} | row)
    return pd.DataFrame(rows, columns=[name for name in COMPARISONS if name != "cohort"])


def pair_rows(pair: Pair, has_curves: bool) -> list[dict[str, Any]]:
    """Rows of comparisons.csv that take the units as independent: of the AUC where both tests have a curve, and of
    accuracy where both have a cut-off.
    """
    rows = []
    if has_curves:
        difference = roc.auc_difference(pair.truth, pair.first, pair.second)
        row = {"metric": "auc", "n": len(pair.truth), "difference": difference["estimate"]}
        row |= {key: difference[key] for key in ("lower", "upper", "p")}
        rows.append(row | {"method": difference["reason"] or "DeLong, paired"})
    if pair.cuts is not None:
        positive = [score > cut for score, cut in zip((pair.first, pair.second), pair.cuts, strict=True)]
        rows += compare_tests(pair.truth, *positive).to_dict("records")
    return rows


def clustered_difference(pair: Pair, metric: str, seed: int, resamples: int) -> dict[str, Any]:
    """Limits of a difference between two tests of several units a patient, by bootstrap over patients."""

    def value(rows: np.ndarray) -> float:
        truth = pair.truth[rows]
        scores = (pair.first[rows], pair.second[rows])
        if metric == "auc":
            return roc.auc(truth, scores[0])["estimate"] - roc.auc(truth, scores[1])["estimate"]
        counted = {"sensitivity": truth, "specificity": ~truth, "accuracy": np.ones(len(truth), bool)}[metric]
        if not counted.any():
            return np.nan
        right = [(score > cut) == truth for score, cut in zip(scores, pair.cuts, strict=True)]
        return float(right[0][counted].mean() - right[1][counted].mean())

    drawn = cluster_bootstrap(pair.patients, value, seed, resamples)
    method = f"bootstrap of {pair.patients.nunique()} patients; no p: units of a patient are not independent"
    return {"lower": drawn["lower"], "upper": drawn["upper"], "p": np.nan, "method": drawn["reason"] or method}


def combination(
    units: pd.DataFrame, plan: dict[str, Any], model: dict | None, cohort: str, seed: int
) -> tuple[dict, pd.DataFrame]:
    """Logistic combination of the tests that the study file names: fitted once in training, applied to the others.

    In training the AUC is given as it appears, and less the optimism of `resamples` bootstrap fits over patients
    (Harrell). Returns the model and the rows of the AUC table.
    """
    names, reference = plan["combination"], plan["reference"]
    frame = units.dropna(subset=[reference, *names])
    x, truth = frame[names].to_numpy(float), frame[reference].to_numpy(bool)
    base = {"cohort": cohort, "test": COMBINATION, "n": len(frame), "diseased": int(truth.sum())}
    if model is not None:
        if "coef" not in model:
            return model, pd.DataFrame([base | {"method": model["reason"]}])
        row = roc.auc(truth, linear_sum(x, model["coef"][1:]), "logit")
        row |= base | {"method": row.pop("reason") or "DeLong; the training model as it is"}
        return model, pd.DataFrame([row])
    coef = fit_combination(x, truth)
    if coef is None:
        model = {"reason": "the tests separate the diseased from the others: no finite model"}
        return model, pd.DataFrame([base | {"method": model["reason"]}])
    apparent = roc.auc(truth, linear_sum(x, coef[1:]), "logit")
    optimism = [drawn - here for drawn, here in resampled_aucs(frame["patient_id"], x, truth, seed, plan["resamples"])]
    few = min(truth.sum(), (~truth).sum()) / len(names)
    less = float(np.mean(optimism)) if optimism else np.nan
    note = f"{few:.1f} events per variable"
    corrected = {"estimate": apparent["estimate"] - less}
    corrected["method"] = f"apparent less optimism {less:.4f}, {len(optimism)} resamples; {note}"
    label = {"cohort": f"{cohort}-apparent"}, {"cohort": f"{cohort}-optimism_corrected"}
    shown = {key: apparent[key] for key in ("estimate", "se", "lower", "upper")}
    first = base | shown | {"method": f"DeLong, on the data that fitted it: optimistic; {note}"} | label[0]
    return {"coef": coef}, pd.DataFrame([first, base | corrected | label[1]])


def resampled_aucs(
    patients: pd.Series, x: np.ndarray, truth: np.ndarray, seed: int, resamples: int
) -> Iterator[tuple[float, float]]:
    """AUC of the combination fitted on each resample of patients: there, and on all units (n, tests)."""
    members = units_of(patients)
    for i in range(resamples):
        drawn = np.random.default_rng([seed, i]).integers(0, len(members), len(members))
        rows = np.concatenate([members[k] for k in drawn])
        again = fit_combination(x[rows], truth[rows])
        if again is not None:
            there = roc.delong(truth[rows], linear_sum(x[rows], again[1:]))[0][0]
            yield there, roc.delong(truth, linear_sum(x, again[1:]))[0][0]


def fit_combination(x: np.ndarray, truth: np.ndarray) -> np.ndarray | None:
    """Intercept and coefficients of a logistic model, None where they are not finite."""
    if truth.all() or not truth.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error", PerfectSeparationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            fitted = sm.GLM(
                truth.astype(float), sm.add_constant(x, has_constant="add"), family=sm.families.Binomial()
            ).fit()
        except (PerfectSeparationWarning, np.linalg.LinAlgError, ValueError):
            return None
    return fitted.params if fitted.converged and np.isfinite(fitted.params).all() else None


def coefficients(pair: np.ndarray, variable: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of agreement.csv of two readers' readings (n, 2), as codes or numbers; none without a pair."""
    if variable["kind"] == "numeric":
        few = len(pair) < 3
        reason = {"reason": "fewer than 3 pairs" if few else ""}
        return [{"coefficient": "icc_2_1", "n": len(pair)} | reason | ({} if few else icc(pair))]
    levels = range(2 if variable["kind"] == "binary" else len(variable["levels"]))
    return categories(cross_table(*pair.astype(int).T, levels), variable["kind"] == "ordinal") if len(pair) else []


def clustered_agreement(
    patients: pd.Series, rows: list[dict[str, Any]], pair: np.ndarray, variable: dict[str, Any], plan: dict[str, Any]
) -> list[dict[str, Any]]:
    """The rows with limits and errors by bootstrap over patients: several units of a patient are not independent."""
    known: dict[bytes, list[dict[str, Any]]] = {}  # a resample's coefficients are computed together

    def drawn_value(drawn: np.ndarray, place: int) -> float:
        if (key := drawn.tobytes()) not in known:
            known[key] = coefficients(pair[drawn], variable)
        return known[key][place].get("estimate", np.nan)

    result = []
    for place, row in enumerate(rows):
        drawn = cluster_bootstrap(patients, partial(drawn_value, place=place), plan["seed"], plan["resamples"])
        keep = {"se": drawn["se"], "lower": drawn["lower"], "upper": drawn["upper"], "p": np.nan}
        result.append(row | keep | {"reason": row["reason"] or drawn["reason"]})
    return result


def reader_agreement(cohorts: dict[str, pd.DataFrame], settings: dict[str, Any]) -> pd.DataFrame:
    """Every two readers of every reading, over all cohorts together: kappa and the like, or ICC of numbers; of several
    units a patient with limits by bootstrap over patients and no p.
    """
    units = pd.concat(cohorts.values(), ignore_index=True)
    variables = variables_of(settings)
    agreements = []
    plan = settings["diagnostic"] | {"seed": settings["seed"]}
    for reading, names in settings["diagnostic"]["readers"].items():
        for a, b in combinations(names, 2):
            pair = units[["patient_id", a, b]].dropna()
            rows = coefficients(pair[[a, b]].to_numpy(float), variables[a])
            if not pair["patient_id"].is_unique:
                rows = clustered_agreement(pair["patient_id"], rows, pair[[a, b]].to_numpy(float), variables[a], plan)
            agreements += [{"cohort": "all", "reading": reading, "reader_a": a, "reader_b": b} | row for row in rows]
    return pd.DataFrame(agreements, columns=AGREEMENT)
