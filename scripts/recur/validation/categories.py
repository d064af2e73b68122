"""Ordinal and categorical endpoints (a grade, a macroscopic type): regression, one-vs-rest AUC and tests over levels.

Multinomial models of prespecified clinical terms are statsmodels' MNLogit, proportional-odds models are fitted here;
both are frozen as JSON and applied from it. The trend tests are written by hand, since scipy and statsmodels have
neither with ties: Jonckheere-Terpstra with the variance of Lehmann (Nonparametrics 1975, appendix), Cochran-Armitage
(Armitage, Biometrics 1955). Checked against R's nnet::multinom, rms::lrm, cor.test (Kendall) and prop.trend.test.

Everywhere: `level` (n,) the place of the outcome among its levels.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit, softmax
from scipy.stats import chi2_contingency, false_discovery_control, kruskal, norm
from statsmodels.discrete.discrete_model import MNLogit
from statsmodels.stats.proportion import proportion_confint

from recur.cohort.training import TRAIN, Training
from recur.fit.models import applied_design, combinations, designs_of, imputed_terms, remedy
from recur.statistics.concordance import harrell_c
from recur.statistics.estimate import NotEstimable
from recur.statistics.folds import grouped_folds
from recur.statistics.linear_predictor import linear_sum
from recur.statistics.roc import auc
from recur.validation.survival import PERFORMANCE_COLUMNS, apparent

LARGEST = 15.0  # log odds per SD of a covariate: beyond it levels are separated
DRAWS = 500
MAX_STEPS = 100
COEFFICIENTS = ["model", "level", "term", "label", "coef", "se", "or", "lower", "upper", "p", "n", "smallest_level"]
TESTS = ["kind", "variable", "cohort", "test", "statistic", "df", "p", "q", "n", "reason"]
WHOLE = {  # metric -> method
    "auc_mean": "mean of the one-vs-rest AUCs",
    "c_ordinal": "C of the expected level over pairs of different levels",
}
LEVELS_DIFFER, TREND = "levels differ", "trend over the levels"


# ---------------------------------------------------------------- models


def category_models(train: Training, settings: dict[str, Any], seed: int) -> dict[str, dict[str, Any]]:
    """name -> frozen model: `multinomial_pre` and, of an ordinal endpoint, `ordinal_pre`; the same with the terms known
    after the operation (`_post`). A model that cannot be estimated holds the reason under `failed`.
    """
    found, candidates = {}, settings["candidates"]
    for timing, terms in (("pre", candidates["pre"]), ("post", candidates["pre"] + candidates["post"])):
        if not terms or (timing == "post" and not candidates["post"]):
            continue
        imputed = imputed_terms(train, terms, settings, seed)
        _, x, columns, imputer = designs_of(train, terms, None, settings, imputed)
        for kind in ("multinomial", "ordinal") if settings["ordered"] else ("multinomial",):
            try:
                fitted = fit_multinomial(x, train.event) if kind == "multinomial" else fit_ordinal(x, train.event)
            except NotEstimable as error:
                fitted = {"failed": f"{error}{blame_levels(x, columns, train.event, settings['levels'])}"}
            counts = np.bincount(train.event, minlength=len(settings["levels"]))
            found[f"{kind}_{timing}"] = fitted | {
                "kind": kind, "timing": timing, "levels": [str(level) for level in settings["levels"]],
                "terms": columns, "imputer": imputer, "n": len(train.event), "counts": counts.tolist(),
            }  # fmt: skip
    return found


def blame_levels(x: np.ndarray, columns: list[dict[str, Any]], level: np.ndarray, names: list[Any]) -> str:
    """Which columns (n, p) separate the outcome's levels (n,), and what to do, to follow the reason of a failed fit.

    A value of a binary column that a level has none of, numbers of a level beyond those of all others, and columns that
    are a sum of others.
    """
    found = []
    for j, column in enumerate(columns):
        values = np.unique(x[:, j])
        for place in np.unique(level):
            own, others = x[level == place, j], x[level != place, j]
            if len(values) == 2 and np.ptp(own) == 0:
                which = "without it" if own[0] == values[0] else "with it"
                found.append(f"{column['label']}: all {len(own)} training patients of level {names[place]} are {which}")
            elif len(values) > 2 and (own.min() >= others.max() or own.max() <= others.min()):
                side = "above" if own.min() >= others.max() else "below"
                found.append(f"{column['label']}: level {names[place]} lies {side} all others")
    return remedy(found + combinations(x, columns))


def standard(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centre, scale = x.mean(axis=0), x.std(axis=0)
    return (x - centre) / scale, centre, scale


def checked(converged: bool, coef: np.ndarray) -> None:
    """Raise NotEstimable for a fit that did not converge or ran away."""
    if not converged:
        raise NotEstimable("no convergence: a coefficient is probably infinite")
    if not np.isfinite(coef).all() or np.abs(coef).max(initial=0) > LARGEST:
        raise NotEstimable("a coefficient is infinite (the covariates separate the levels)")


def fit_multinomial(x: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    """Log odds of each level against the first: seen (k,), intercept (k - 1,), coef and se (k - 1, p), loglik."""
    z, centre, scale = standard(x)
    seen, code = np.unique(level, return_inverse=True)
    design = np.column_stack([np.ones(len(z)), z])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is checked below
        try:
            result = MNLogit(code, design).fit(method="newton", maxiter=100, tol=1e-12, disp=0)
            errors = np.asarray(result.bse).T[:, 1:]
        except (np.linalg.LinAlgError, ValueError) as error:
            raise NotEstimable("the covariates separate the levels or are collinear") from error
    params = np.asarray(result.params).T
    checked(result.mle_retvals["converged"], params[:, 1:])
    coef = params[:, 1:] / scale
    return {
        "seen": seen.tolist(), "intercept": (params[:, 0] - coef @ centre).tolist(), "coef": coef.tolist(),
        "se": (errors / scale).tolist(), "loglik": float(result.llf),
    }  # fmt: skip


def fit_ordinal(x: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    """Proportional odds, logit P(level <= j) = threshold_j - x coef: seen, threshold (k - 1,), coef, se (1, p), loglik.

    Newton's method with the observed information (McCullagh, J R Stat Soc B 1980), as R's polr; statsmodels'
    OrderedModel differentiates numerically and stops short of the sixth digit.
    """
    z, centre, scale = standard(x)
    seen, code = np.unique(level, return_inverse=True)
    cuts, n = len(seen) - 1, len(z)
    theta = np.concatenate([logit(np.cumsum(np.bincount(code))[:-1] / n), np.zeros(z.shape[1])])
    # the limits of each row's level as linear functions of theta; beyond the ends they are infinite
    upper, lower = (np.column_stack([np.eye(cuts + 1)[:, :cuts][np.minimum(code - k, cuts)], -z]) for k in (0, 1))
    top, bottom = code == cuts, code == 0

    def terms(theta: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Log-likelihood, gradient and observed information."""
        above, below = expit(upper @ theta), expit(lower @ theta)
        above[top], below[bottom] = 1.0, 0.0
        share = above - below
        if not (share > 0).all():
            return -np.inf, theta, np.eye(len(theta))
        slopes = above * (1 - above), below * (1 - below)
        first = (slopes[0][:, None] * upper - slopes[1][:, None] * lower) / share[:, None]
        bends = slopes[0] * (1 - 2 * above) / share, slopes[1] * (1 - 2 * below) / share
        information = first.T @ first - (upper * bends[0][:, None]).T @ upper + (lower * bends[1][:, None]).T @ lower
        return float(np.log(share).sum()), first.sum(axis=0), information

    value, gradient, information = terms(theta)
    converged = False
    for _ in range(MAX_STEPS):
        try:
            step = np.linalg.solve(information, gradient)
        except np.linalg.LinAlgError as error:
            raise NotEstimable("the covariates are collinear") from error
        converged = np.abs(step).max() < 1e-10
        if converged:
            break
        found = terms(theta + step)
        while found[0] < value - 1e-12 * (1 + abs(value)):
            step = step / 2
            found = terms(theta + step)
        theta = theta + step
        value, gradient, information = found
    coef = theta[cuts:]
    checked(converged, coef)
    error = np.sqrt(np.diag(np.linalg.inv(information))[cuts:])
    return {
        "seen": seen.tolist(), "threshold": (theta[:cuts] + coef / scale @ centre).tolist(),
        "coef": [(coef / scale).tolist()], "se": [(error / scale).tolist()], "loglik": value,
    }  # fmt: skip


def probabilities(model: dict[str, Any], clinical: pd.DataFrame) -> np.ndarray:
    """Predicted probability (n, levels) of every level by a frozen model; 0 for a level that training never saw."""
    x = applied_design(model, clinical, None)
    coef = np.array(model["coef"], float)
    if model["kind"] == "multinomial":
        odds = np.array(model["intercept"]) + np.column_stack([linear_sum(x, row) for row in coef])
        own = softmax(np.column_stack([np.zeros(len(x)), odds]), axis=1)
    else:
        below = expit(np.array(model["threshold"]) - linear_sum(x, coef[0])[:, None])
        own = np.diff(np.column_stack([np.zeros(len(x)), below, np.ones(len(x))]), axis=1)
    result = np.zeros((len(x), len(model["levels"])))
    result[:, model["seen"]] = own
    return result


def coefficient_rows(models: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Odds ratios with Wald limits (COEFFICIENTS): of a level against the reference, or per step up the levels."""
    rows = []
    for name, model in models.items():
        if "failed" in model:
            rows.append({"model": name, "term": "", "label": f"not estimated: {model['failed']}", "n": model["n"]})
            continue
        levels = [model["levels"][j] for j in model["seen"][1:]] if model["kind"] == "multinomial" else ["each step up"]
        for level, coefs, errors in zip(levels, model["coef"], model["se"], strict=True):
            for column, coef, se in zip(model["terms"], coefs, errors, strict=True):
                rows.append(
                    {"model": name, "level": level, "term": column["name"], "label": column["label"], "coef": coef}
                    | {"se": se, "or": np.exp(coef), "lower": np.exp(coef - norm.ppf(0.975) * se)}
                    | {"upper": np.exp(coef + norm.ppf(0.975) * se), "p": 2 * norm.sf(abs(coef / se))}
                    | {"n": model["n"], "smallest_level": min(c for c in model["counts"] if c)}
                )
    return pd.DataFrame(rows, columns=COEFFICIENTS)


def cross_validated(train: Training, settings: dict[str, Any], seed: int) -> pd.DataFrame:
    """Probabilities of every training patient by models fitted without their fold: model, patient_id, level, p_<level>.

    Folds are stratified on whether the level is the commonest; a fold whose model cannot be estimated has no rows.
    """
    plan, parts = settings["internal_validation"], []
    for repeat in range(plan["nested_repeats"]):
        rng = np.random.default_rng([seed, 4, repeat])
        fold = grouped_folds(
            train.patient_id, train.event == np.bincount(train.event).argmax(), plan["nested_folds"], rng
        )
        for number in np.unique(fold):
            held = np.flatnonzero(fold == number)
            models = category_models(train.rows(np.flatnonzero(fold != number)), settings, seed)
            for name, model in models.items():
                if "failed" not in model:
                    table = risk_rows(name, model, train.rows(held).clinical, train.event[held], train.patient_id[held])
                    parts.append(table.assign(repeat=repeat, cohort="train-nested_cv"))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def risk_rows(
    name: str, model: dict[str, Any], clinical: pd.DataFrame, level: np.ndarray, patient_id: np.ndarray
) -> pd.DataFrame:
    table = pd.DataFrame(probabilities(model, clinical), columns=[f"p_{name}" for name in model["levels"]])
    table.insert(0, "level", level)
    table.insert(0, "patient_id", patient_id)
    table.insert(0, "model", name)
    return table


# ---------------------------------------------------------------- judged


def category_performance(risks: pd.DataFrame, levels: list[str], ordered: bool, seed: int) -> pd.DataFrame:
    """One-vs-rest AUC of each level (DeLong), their mean and, of an ordinal endpoint, C over pairs of different levels
    (bootstrap over patients), and accuracy (Wilson), by model and cohort; cross-validated rows are means over repeats.
    """
    rows = []
    for (model, cohort), part in risks.groupby(["model", "cohort"], sort=False):
        repeats = [own for _, own in part.groupby("repeat")] if cohort == "train-nested_cv" else [part]
        for metric, method, value in judged(repeats, levels, ordered, seed):
            reason = value.get("reason")
            rows.append(
                {"model": model, "cohort": apparent(cohort), "metric": metric, "horizon_months": np.nan}
                | {key: value.get(key, np.nan) for key in ("estimate", "lower", "upper")}
                | {"n": part["patient_id"].nunique(), "events": value["events"]}
                | {"method": f"not estimated: {reason}" if reason else method}
            )
    return pd.DataFrame(rows, columns=PERFORMANCE_COLUMNS)


def judged(
    repeats: list[pd.DataFrame], levels: list[str], ordered: bool, seed: int
) -> list[tuple[str, str, dict[str, Any]]]:
    """(metric, method, estimate) of the predictions of a model; estimates of several repeats are means."""
    outcome = [own["level"].to_numpy(int) for own in repeats]
    risk = [own[[f"p_{name}" for name in levels]].to_numpy() for own in repeats]
    found = []
    for place, name in enumerate(levels):
        each = [auc(y == place, p[:, place]) for y, p in zip(outcome, risk, strict=True)]
        value = each[0] if len(each) == 1 else {"estimate": np.mean([v["estimate"] for v in each])}
        value["events"] = int((outcome[0] == place).sum())
        found.append((f"auc_{name}", "this level against the others" + ("; DeLong" if len(each) == 1 else ""), value))

    def means(rows: np.ndarray) -> dict[str, float]:
        each = [whole(y[rows], p[rows], ordered) for y, p in zip(outcome, risk, strict=True)]
        return pd.DataFrame(each).mean().to_dict()

    n, rng = min(map(len, outcome)), np.random.default_rng([seed, 11])
    aligned = len({tuple(sorted(own["patient_id"])) for own in repeats}) == 1
    drawn = pd.DataFrame([means(rng.integers(0, n, n)) for _ in range(DRAWS)]) if aligned else None
    for metric, estimate in means(np.arange(n)).items():
        low, high = drawn[metric].quantile([0.025, 0.975]) if drawn is not None else (np.nan, np.nan)
        value = {"estimate": estimate, "lower": low, "upper": high, "events": n}
        found.append((metric, WHOLE[metric] + "; bootstrap over patients", value))
    right = np.array([(p.argmax(axis=1) == y).mean() for y, p in zip(outcome, risk, strict=True)])
    low, high = proportion_confint(right.mean() * n, n, method="wilson")
    value = {"estimate": right.mean(), "lower": low, "upper": high, "events": n}
    return [*found, ("accuracy", "the likeliest level; Wilson", value)]


WHOLE = {
    "auc_mean": "mean of the one-vs-rest AUCs",
    "c_ordinal": "C of the expected level over pairs of different levels",
}


def whole(level: np.ndarray, risk: np.ndarray, ordered: bool) -> dict[str, float]:
    """Mean one-vs-rest AUC, and of an ordinal outcome the share of pairs of different levels in the right order."""
    each = [
        auc(level == j, risk[:, j])["estimate"] for j in range(risk.shape[1]) if 0 < (level == j).sum() < len(level)
    ]
    result = {"auc_mean": float(np.mean(each)) if each else np.nan}
    if ordered:
        expected = linear_sum(risk, np.arange(risk.shape[1]))
        # the higher level as the earlier event: Harrell's pairs are then those of different levels
        result["c_ordinal"] = harrell_c(-level.astype(float), np.ones(len(level)), expected)["estimate"]
    return result


# ---------------------------------------------------------------- tests over the levels


def jonckheere(values: ArrayLike, level: ArrayLike) -> dict[str, Any]:
    """Jonckheere-Terpstra test of a trend of values over ordered levels, two-sided, normal, variance with ties."""
    values, level = np.asarray(values, float), np.asarray(level)
    groups = [values[level == k] for k in np.unique(level)]
    if len(groups) < 2:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level"}
    n, sizes = len(values), np.array([len(group) for group in groups])
    total = sum(
        (np.sign(later[:, None] - earlier) + 1).sum() / 2
        for i, earlier in enumerate(groups)
        for later in groups[i + 1 :]
    )
    ties = np.unique(values, return_counts=True)[1]

    def third(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1) * (2 * np.asarray(m) + 5)))

    def pairs(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1)))

    def triples(m: np.ndarray | int) -> float:
        return float(np.sum(np.asarray(m, float) * (np.asarray(m) - 1) * (np.asarray(m) - 2)))

    variance = (third(n) - third(sizes) - third(ties)) / 72
    variance += triples(sizes) * triples(ties) / (36 * triples(n)) if n > 2 else 0.0
    variance += pairs(sizes) * pairs(ties) / (8 * pairs(n))
    if not variance > 0:
        return {"statistic": np.nan, "p": np.nan, "reason": "all values are equal"}
    z = (total - (n**2 - (sizes**2).sum()) / 4) / np.sqrt(variance)
    return {"statistic": float(z), "p": float(2 * norm.sf(abs(z))), "reason": ""}


def cochran_armitage(positive: ArrayLike, level: ArrayLike) -> dict[str, Any]:
    """Cochran-Armitage test of a trend of a share over ordered levels scored 0, 1, ..., two-sided (z)."""
    positive, score = np.asarray(positive, float), np.asarray(level, float)
    share, n = positive.mean(), len(positive)
    spread = ((score - score.mean()) ** 2).sum()
    if not spread > 0 or not 0 < share < 1:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    z = ((score - score.mean()) * positive).sum() / np.sqrt(share * (1 - share) * spread)
    return {"statistic": float(z), "p": float(2 * norm.sf(abs(z))), "reason": "", "n": n}


def kruskal_wallis(values: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    groups = [values[level == k] for k in np.unique(level)]
    if len(groups) < 2 or np.ptp(values) == 0:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    found = kruskal(*groups)
    return {"statistic": float(found.statistic), "df": len(groups) - 1, "p": float(found.pvalue), "reason": ""}


def chi_square(codes: np.ndarray, level: np.ndarray) -> dict[str, Any]:
    table = pd.crosstab(codes, level).to_numpy()
    if min(table.shape) < 2:
        return {"statistic": np.nan, "p": np.nan, "reason": "only one level or one value"}
    found = chi2_contingency(table, correction=False)
    few = (found.expected_freq < 5).mean() > 0.2
    reason = "expected counts below 5 in more than a fifth of the cells: unreliable" if few else ""
    return {"statistic": float(found.statistic), "df": int(found.dof), "p": float(found.pvalue), "reason": reason}


def level_tests(frame: pd.DataFrame, variables: dict[str, Any], features: pd.DataFrame, ordered: bool) -> pd.DataFrame:
    """Kruskal-Wallis or chi-square of every clinical variable over the levels and, of an ordinal endpoint, a trend
    (Jonckheere-Terpstra, Cochran-Armitage), in every cohort; of every feature (n, p; rows of frame) in training, with q
    (Benjamini-Hochberg over the features of a test). Missing cells leave a patient out of that test.
    """
    rows = []
    for cohort, at in frame.groupby("cohort", sort=False).indices.items():
        part = frame.iloc[at]
        for name, variable in variables.items():
            if variable["kind"] == "list":
                continue
            known = part[name].notna().to_numpy()
            values, level = part[name].to_numpy(float)[known], part["level"].to_numpy()[known]
            if not len(values):
                continue
            label, kind = variable["label"] or name, variable["kind"]
            of_numbers = kind in ("numeric", "ordinal")
            tests = {("Kruskal-Wallis", LEVELS_DIFFER): kruskal_wallis} if of_numbers else {
                ("chi-square", LEVELS_DIFFER): chi_square}  # fmt: skip
            if ordered and of_numbers:
                tests["Jonckheere-Terpstra", TREND] = jonckheere
            elif ordered and kind == "binary":
                tests["Cochran-Armitage", TREND] = cochran_armitage
            rows += [
                {"kind": "clinical", "variable": label, "cohort": cohort, "test": f"{test}: {what}"}
                | function(values, level)
                | {"n": len(values)}
                for (test, what), function in tests.items()
            ]
        if cohort != TRAIN:
            continue
        for name in features.columns:
            values, level = features[name].to_numpy(float)[at], part["level"].to_numpy()
            tests = {f"Kruskal-Wallis: {LEVELS_DIFFER}": kruskal_wallis}
            tests |= {f"Jonckheere-Terpstra: {TREND}": jonckheere} if ordered else {}
            base = {"kind": "feature", "variable": name, "cohort": cohort, "n": len(values)}
            rows += [base | {"test": test} | function(values, level) for test, function in tests.items()]
    table = pd.DataFrame(rows, columns=TESTS)
    for _, part in table[table["kind"] == "feature"].groupby("test"):
        known = part["p"].notna()
        table.loc[part.index[known], "q"] = false_discovery_control(part.loc[known, "p"])
    return table
