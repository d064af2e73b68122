"""The consistency check on the study's own tables, before they leave the house.

Numbers in tables have 10 digits, so nothing but these digits is tolerated; cells of Table 1 are rounded as printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.stats import norm

from recur.statistics.estimate import PROFILE, Z95
from recur.vocabulary import CORRECTED, NESTED, OUT_OF_BAG

COLUMNS = ["table", "check", "rows", "failed", "place", "printed", "recomputed", "note"]
TOLERANCE = 1e-6
SHOWN = 20  # failing rows a check
SHARES = ("c_", "auc", "brier", "ibs", "ici", "e50", "e90")  # metrics between 0 and 1
WALD = ("c_harrell", "c_gamma", "c_uno", "d_royston")  # metrics whose interval is estimate +/- 1.96 errors
RESAMPLED = (NESTED, OUT_OF_BAG, CORRECTED)  # cohorts whose intervals are of resamples
PLACE = ("analysis", "model", "cohort", "stage", "group", "variable", "level", "term", "model_a", "model_b", "metric")
PLACE += ("horizon_months",)
Check = tuple[str, pd.DataFrame, np.ndarray, pd.Series, pd.Series, str]
CELL = re.compile(r"(\d+) \((\d+\.\d+)\)")


def close(a: pd.Series, b: pd.Series, tolerance: float = TOLERANCE) -> np.ndarray:
    return np.isclose(a.to_numpy(float), b.to_numpy(float), rtol=tolerance, atol=1e-12, equal_nan=True)


def limits(rows: pd.DataFrame) -> pd.Series:
    """The intervals as text, also of no row."""
    text = [f"{lower:.6g} to {upper:.6g}" for lower, upper in zip(rows["lower"], rows["upper"], strict=True)]
    return pd.Series(text, rows.index, dtype=object)


def inside(frame: pd.DataFrame, estimate: str, what: str) -> Check:
    """The estimate within its limits, where it has both."""
    rows = frame.dropna(subset=[estimate, "lower", "upper"])
    slack = TOLERANCE * rows[estimate].abs() + 1e-12
    ok = (rows["lower"] - slack <= rows[estimate]) & (rows[estimate] <= rows["upper"] + slack)
    return f"{what} within its interval", rows, ok.to_numpy(), rows[estimate], limits(rows), ""


def counted(frame: pd.DataFrame, part: str, whole: str = "n") -> Check:
    rows = frame.dropna(subset=[part, whole])
    return f"{part} at most {whole}", rows, (rows[part] <= rows[whole]).to_numpy(), rows[part], rows[whole], ""


def performance_checks(frame: pd.DataFrame) -> Iterator[Check]:
    """Of validation/performance.csv."""
    yield inside(frame, "estimate", "estimate")
    rows = frame[frame["metric"].str.startswith(SHARES)].dropna(subset=["estimate"])
    yield (
        "share between 0 and 1",
        rows,
        rows["estimate"].between(0, 1).to_numpy(),
        rows["estimate"],
        rows["estimate"],
        "",
    )
    yield counted(frame, "events")
    rows = frame[has_wald_limits(frame)].dropna(subset=["estimate", "lower", "upper"])
    # clipped ones are left out
    rows = rows[~(rows["metric"].str.startswith(SHARES) & (rows["lower"].le(0) | rows["upper"].ge(1)))]
    middle = (rows["lower"] + rows["upper"]) / 2
    yield "interval symmetric", rows, close(rows["estimate"], middle), rows["estimate"], middle, ""


def has_wald_limits(frame: pd.DataFrame) -> pd.Series:
    """Whether the interval of each row of performance.csv is its estimate +/- 1.96 errors.

    Of outcomes in time also that of the AUC at a horizon (a binary outcome's is on the scale of log odds) and of the
    calibration slope, but with competing death.
    """
    metric = frame["metric"]
    of_analysis = frame.groupby("analysis")["metric"]
    in_time = of_analysis.transform(lambda metrics: metrics.eq("c_harrell").any())
    with_competing_death = of_analysis.transform(lambda metrics: metrics.eq("c_competing").any())
    is_wald = metric.isin(WALD) | (metric.eq("auc") & frame["horizon_months"].notna())
    is_wald |= metric.eq("calibration_slope") & in_time & ~with_competing_death
    return is_wald & ~frame["cohort"].isin(RESAMPLED)


def coefficient_checks(frame: pd.DataFrame) -> Iterator[Check]:
    """Of models/coefficients.csv: ratio, limits and P value from coefficient and error."""
    ratio = next((name for name in ("hr", "or", "odds_ratio") if name in frame), None)
    if ratio is None:
        return
    rows = frame.dropna(subset=["coef", ratio])
    yield f"{ratio} is exp(coef)", rows, close(rows[ratio], np.exp(rows["coef"])), rows[ratio], np.exp(rows["coef"]), ""
    yield inside(frame, ratio, ratio)
    rows = frame.dropna(subset=["coef", "lower", "upper"])
    rows = rows[(rows["lower"] > 0) & np.isfinite(rows["upper"])]
    middle = np.sqrt(rows["lower"] * rows["upper"])
    wald = rows[rows["limits"] != PROFILE]
    middle = middle.loc[wald.index]
    yield (
        "interval symmetric on the log scale",
        wald,
        close(np.exp(wald["coef"]), middle, 1e-5),
        wald[ratio],
        middle,
        "",
    )
    # pooled over imputations the limits and P values are of t distributions
    plain = wald[wald["stage"] != "multivariable_imputed"].dropna(subset=["se", "p"])
    p = pd.Series(2 * norm.sf((plain["coef"] / plain["se"]).abs()), index=plain.index)
    width = np.exp(plain["coef"] + Z95 * plain["se"])
    yield "P value from coefficient and error", plain, close(plain["p"], p, 1e-5), plain["p"], p, ""
    yield "upper limit from coefficient and error", plain, close(plain["upper"], width, 1e-5), plain["upper"], width, ""
    yield counted(frame, "events")


def comparison_checks(frame: pd.DataFrame) -> Iterator[Check]:
    """Of validation/comparisons.csv: P below 0.05 where, and only where, the interval leaves out 0."""
    yield inside(frame, "difference", "difference")
    rows = frame.dropna(subset=["difference", "lower", "upper", "p"])
    excludes = (rows["lower"] > 0) | (rows["upper"] < 0)
    edge = (rows["p"] - 0.05).abs() < 1e-6
    yield (
        "P value and interval agree",
        rows,
        ((rows["p"] < 0.05) == excludes).to_numpy() | edge.to_numpy(),
        rows["p"],
        limits(rows),
        "",
    )


def rate_checks(frame: pd.DataFrame) -> Iterator[Check]:
    """Of survival/rates.csv: counts, falling curves, groups that add up to their cohort."""
    yield inside(frame, "survival", "rate")
    yield counted(frame, "events")
    rows = frame.dropna(subset=["n_risk", "events", "n"])
    total = rows["n_risk"] + rows["events"]
    # an event at the horizon itself is counted among both
    yield (
        "events and patients at risk at most n",
        rows,
        (total <= rows["n"] + rows["events"].clip(upper=1)).to_numpy(),
        total,
        rows["n"],
        "",
    )
    keys = [name for name in ("analysis", "endpoint", "model", "cohort", "group") if name in frame]
    ordered = frame.sort_values([*keys, "horizon_months"])
    before = ordered.groupby(keys, dropna=False)["survival"].shift()
    rows = ordered[before.notna() & ordered["survival"].notna()]
    before = before.loc[rows.index]
    yield "rate falls with time", rows, (rows["survival"] <= before + 1e-12).to_numpy(), rows["survival"], before, ""
    yield groups_add_up(frame, keys[:-1])


def groups_add_up(frame: pd.DataFrame, keys: list[str]) -> Check:
    """The groups of a model against the row of the whole cohort, at its first horizon."""
    first = frame[frame["horizon_months"] == frame["horizon_months"].min()]
    whole = first[first["model"] == "all"].set_index(["analysis", "cohort"])["n"]
    groups = first[first["model"] != "all"].groupby(keys, dropna=False)["n"].sum().reset_index()
    expected = pd.Series(
        [whole.get((a, c), np.nan) for a, c in zip(groups["analysis"], groups["cohort"], strict=True)], dtype=float
    )
    rows = groups[expected.notna().to_numpy()]
    expected = expected[rows.index]
    note = "patients without a risk (missing predictors) are in no group"
    return "groups add up to at most the cohort", rows, (rows["n"] <= expected).to_numpy(), rows["n"], expected, note


def table1_checks(frame: pd.DataFrame) -> Iterator[Check]:
    """Of cohort/<analysis>/table1.csv: percentages of counts, levels that add up."""
    cohorts = [
        name for name in frame if name not in ("analysis", "endpoint", "variable", "level", "missing", "p", "smd")
    ]
    sizes = frame[frame["variable"] == "n"].iloc[0]
    cells = []
    for place, line in frame.iterrows():
        for cohort in cohorts:
            if match := CELL.fullmatch(str(line[cohort])):
                cells.append((place, cohort, int(match[1]), float(match[2]), float(sizes[cohort])))
    found = pd.DataFrame(cells, columns=["row", "cohort", "count", "percent", "size"])
    found["variable"] = frame.loc[found["row"], "variable"].to_numpy()
    found["level"] = frame.loc[found["row"], "level"].to_numpy()
    found["analysis"] = frame["analysis"].iloc[0] if "analysis" in frame else ""
    percent = 100 * found["count"] / found["size"]
    ok = (found["percent"] - percent).abs() <= 0.05 + 1e-9
    yield "percentage of its count", found, ok.to_numpy(), found["percent"], percent, ""
    sums = found.groupby(["analysis", "variable", "cohort"], sort=False)[["count", "size"]].agg(
        {"count": "sum", "size": "first"}
    )
    sums = sums.reset_index()
    yield (
        "levels add up to the cohort",
        sums,
        (sums["count"] == sums["size"]).to_numpy(),
        sums["count"],
        sums["size"],
        "",
    )


CHECKS: dict[str, Callable[[pd.DataFrame], Iterator[Check]]] = {
    "performance": performance_checks,
    "coefficients": coefficient_checks,
    "comparisons": comparison_checks,
    "rates": rate_checks,
    "table1": table1_checks,
}


def table_consistency(tables: dict[str, list[pd.DataFrame]]) -> pd.DataFrame:
    """Checks of the tables by kind (keys of CHECKS): a row a check with how many rows it saw and how many failed.

    The failing rows stand below it (place, printed, recomputed), the first SHOWN of them.
    """
    counts: dict[tuple[str, str, str], list[int]] = {}
    failing: dict[tuple[str, str, str], list[tuple]] = {}
    for kind, frames in tables.items():
        for frame in frames:
            for check, rows, ok, printed, recomputed, note in CHECKS[kind](frame) if len(frame) else ():
                seen = counts.setdefault((kind, check, note), [0, 0])
                seen[0] += len(rows)
                seen[1] += int((~ok).sum())
                failing.setdefault((kind, check, note), []).extend(
                    (place(rows.iloc[i]), number(printed.iloc[i]), number(recomputed.iloc[i]))
                    for i in np.flatnonzero(~ok)
                )
    lines = []
    for (kind, check, note), (rows, failed) in counts.items():
        lines.append((kind, check, rows, failed, "", "", "", note if failed else ""))
        lines += [(kind, check, "", "", *line, "") for line in failing[kind, check, note][:SHOWN]]
    return pd.DataFrame(lines, columns=COLUMNS)


def place(line: pd.Series) -> str:
    """Which row of its table: its labels, in order."""
    cells = [number(line[name]) for name in PLACE if name in line and pd.notna(line[name]) and line[name] != ""]
    return ", ".join(cells)


def number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
