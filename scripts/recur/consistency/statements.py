"""What is printed in a paper, checked by arithmetic: shares, sums, intervals, P values, tests.

A statement (schemas/reported.schema.yaml) gives rows of id, check, printed, recomputed, verdict, note. Verdicts:
`consistent`; `inconsistent` (no numbers that round to what is printed could give it); `warning` (possible, but not as
it should be printed or done); `not reproducible` (too little is printed). Every printed number stands for all numbers
that round to it, so a verdict never hangs on a last digit. The share test is GRIM (Brown & Heathers 2017); the error of
an AUC under no discrimination is that of the rank sum (Hanley & McNeil 1982).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logit

from recur.statistics.accuracy import mcnemar_test, proportion
from recur.statistics.estimate import Z95
from recur.statistics.group_tests import chi2_2x2, contingency, t_from_summary
from recur.study.yaml_files import read_yaml, schema, schema_problems, twice
from recur.tables import StudyError, read_table

COLUMNS = ["id", "label", "check", "printed", "recomputed", "verdict", "note"]
SLACK = 1e-9  # for binary fractions at the edge of a rounding range
SMALLEST_P = 0.001  # smaller ones are often printed as this
FEW_EVENTS = 10  # per variable (Peduzzi et al. 1995)
RATIOS = ("hr", "or", "rr")
NULL = {"auc": 0.5, "hr": 1.0, "or": 1.0, "rr": 1.0}
Row = dict[str, Any]


class Printed:
    """A number as printed: its text, value (a share for a percentage), and the range of all that round to it."""

    def __init__(self, text: str):
        self.text = text
        scale = 100 if text.endswith("%") else 1
        number = text.rstrip("%")
        self.decimals = len(number.partition(".")[2])
        self.percent = scale == 100
        self.value = float(number) / scale
        self.half = 0.5 * 10**-self.decimals / scale
        self.low = self.value - self.half - SLACK
        self.high = self.value + self.half + SLACK

    def holds(self, value: float) -> bool:
        """Whether the value rounds to the number."""
        return self.low <= value <= self.high

    def show(self, value: float) -> str:
        """Another value as it would be printed."""
        scaled = value * (100 if self.percent else 1)
        rounded = floor(scaled * 10**self.decimals + 0.5 + SLACK) / 10**self.decimals
        unit = "%" if self.percent else ""
        return f"{rounded:.{self.decimals}f}{unit}"


def row(statement: Row, check: str, printed: str, recomputed: str, verdict: str, note: str = "") -> Row:
    label = statement.get("label", "")
    values = (statement["id"], label, check, printed, recomputed, verdict, note)
    return dict(zip(COLUMNS, values, strict=True))


def agreed(ok: bool) -> str:
    return "consistent" if ok else "inconsistent"


def grim(printed: Printed, n: int) -> list[int]:
    """Every numerator k whose k / n rounds to the printed share (or mean of whole numbers)."""
    return [k for k in range(max(ceil(printed.low * n), 0), floor(printed.high * n) + 1) if printed.holds(k / n)]


def truncated(printed: Printed, n: int) -> list[int]:
    """Every numerator whose share gives the printed one when digits are cut instead of rounded."""
    near = range(max(floor(printed.value * n), 0), ceil((printed.value + 2 * printed.half) * n) + 1)
    return [k for k in near if -SLACK <= k / n - printed.value < 2 * printed.half - SLACK]


def p_between(printed: str, low: float, high: float) -> bool:
    """Whether some P value from low to high could be printed so."""
    if printed[0] == "<":
        return low < float(printed[1:])
    if printed[0] == ">":
        return high > float(printed[1:])
    number = Printed(printed.lstrip("="))
    return low <= number.high and high >= number.low


def p_range_text(low: float, high: float) -> str:
    """A range of P values, or the one value it holds to two digits."""
    texts = [f"{value:.4f}" if value >= 0.001 else f"{value:.1e}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} to {texts[1]}"


def p_row(statement: Row, low: float, high: float, note: str = "") -> Row:
    """The printed P value against what the numbers allow."""
    printed = statement["p"]
    if printed[0] not in "<>" and float(printed.lstrip("=")) == 0:
        note = "; ".join(filter(None, ["a P value is never 0: print it as below its last digit", note]))
        verdict = "warning" if p_between(printed, low, high) else "inconsistent"
        return row(statement, "P value", printed, p_range_text(low, high), verdict, note)
    if p_between(printed, low, high):
        return row(statement, "P value", printed, p_range_text(low, high), "consistent", note)
    if printed[0] not in "<>" and high < (number := Printed(printed.lstrip("="))).low and number.value <= SMALLEST_P:
        note = "; ".join(filter(None, [f"smaller: print it as <{number.text}", note]))
        return row(statement, "P value", printed, p_range_text(low, high), "warning", note)
    return row(statement, "P value", printed, p_range_text(low, high), "inconsistent", note)


def check_proportion(statement: Row) -> list[Row]:
    printed = Printed(statement["printed"])
    n = statement["of"]
    counts = grim(printed, n)
    if statement.get("count") is None:
        rows = [possible_row(statement, printed, n, counts)]
    else:
        counts = [statement["count"]]
        rows = [counted_row(statement, printed, n, statement["count"])]
    if "lower" in statement and len(counts) == 1:
        rows.append(proportion_interval(statement, counts[0], n))
    return rows


def counted_row(statement: Row, printed: Printed, n: int, count: int) -> Row:
    """Whether a share is that of the count that is printed beside it."""
    share = printed.show(count / n)
    verdict = "inconsistent"
    note = f"{count}/{n} is {share}"
    if printed.holds(count / n):
        verdict = "consistent"
        note = ""
    elif count in truncated(printed, n):
        verdict = "warning"
        note += "; digits were cut, not rounded"
    return row(statement, "share of the count", printed.text, f"{count}/{n} = {share}", verdict, note)


def possible_row(statement: Row, printed: Printed, n: int, possible: list[int], what: str = "") -> Row:
    """Whether a share of n can be printed so, and by which count."""
    check = " ".join(filter(None, [what, "possible share"]))
    if possible:
        shown = " or ".join(f"{k}/{n}" for k in possible[:3]) + (" ..." if len(possible) > 3 else "")
        return row(statement, check, printed.text, shown, "consistent")
    below = floor(printed.value * n)
    near = " and ".join(f"{k}/{n} = {printed.show(k / n)}" for k in (below, below + 1) if 0 <= k <= n)
    if cut := truncated(printed, n):
        return row(statement, check, printed.text, f"{cut[0]}/{n}", "warning", f"only if digits were cut: {near}")
    note = f"no count of {n} gives it: the nearest are {near}"
    sizes = [m for m in range(1, 2 * n) if grim(printed, m)]
    around = sorted(sorted(sizes, key=lambda m: abs(m - n))[:3])
    note += f"; possible of {', '.join(map(str, around))}" if around else ""
    return row(statement, check, printed.text, "none", "inconsistent", note)


def proportion_interval(statement: Row, count: int, n: int) -> Row:
    """The printed limits of a proportion against Wilson, Clopper-Pearson and Wald."""
    lower, upper = Printed(statement["lower"]), Printed(statement["upper"])
    exact = proportion(count, n)
    share = count / n
    wald = Z95 * np.sqrt(share * (1 - share) / n)
    known = {
        "Wilson": (exact["lower"], exact["upper"]),
        "Clopper-Pearson": (exact["lower_exact"], exact["upper_exact"]),
        "Wald": (share - wald, share + wald),
    }
    fits = [name for name, (low, high) in known.items() if lower.holds(low) and upper.holds(high)]
    printed = f"{lower.text} to {upper.text}"
    shown = "; ".join(f"{name} {lower.show(low)} to {upper.show(high)}" for name, (low, high) in known.items())
    note = f"is {fits[0]}'s" if fits else "is none of the three usual intervals"
    return row(statement, "interval of a share", printed, shown, "consistent" if fits else "warning", note)


def check_integer_mean(statement: Row) -> list[Row]:
    printed = Printed(statement["printed"])
    n = statement["of"]
    possible = grim(printed, n)
    shown = f"{possible[0]}/{n}" if possible else "none"
    note = "" if possible else f"no sum of whole numbers over {n} patients gives it"
    return [row(statement, "possible mean", printed.text, shown, agreed(bool(possible)), note)]


def check_sum(statement: Row) -> list[Row]:
    total, parts = statement["total"], statement["parts"]
    shown = f"{' + '.join(map(str, parts))} = {sum(parts)}"
    return [row(statement, "parts and total", str(total), shown, agreed(sum(parts) == total))]


def check_accuracy(statement: Row) -> list[Row]:
    sensitivity, specificity = Printed(statement["sensitivity"]), Printed(statement["specificity"])
    if "total" in statement:
        return check_unknown_split(statement, sensitivity, specificity)
    diseased, healthy = statement["diseased"], statement["healthy"]
    positives, negatives = grim(sensitivity, diseased), grim(specificity, healthy)
    rows = [
        possible_row(statement, sensitivity, diseased, positives, "sensitivity:"),
        possible_row(statement, specificity, healthy, negatives, "specificity:"),
    ]
    # an impossible share is taken as its nearest count, so that the rest can still be looked at
    positives = positives or [round(sensitivity.value * diseased)]
    negatives = negatives or [round(specificity.value * healthy)]
    tables = [(tp, healthy - tn, diseased - tp, tn) for tp, tn in product(positives, negatives)]
    for name in ("accuracy", "ppv", "npv"):
        if name in statement:
            printed = Printed(statement[name])
            shares = [share_of(name, *cells) for cells in tables]
            ok = any(n and printed.holds(x / n) for x, n in shares)
            shown = " or ".join(f"{x}/{n} = {printed.show(x / n)}" for x, n in shares[:3] if n)
            rows.append(row(statement, name, printed.text, shown, agreed(ok)))
    return rows


def share_of(name: str, tp: int, fp: int, fn: int, tn: int) -> tuple[int, int]:
    return {"accuracy": (tp + tn, tp + fp + fn + tn), "ppv": (tp, tp + fp), "npv": (tn, tn + fn)}[name]


def check_unknown_split(statement: Row, sensitivity: Printed, specificity: Printed) -> list[Row]:
    """Sensitivity and specificity of which only the total of patients is known: every split that gives both."""
    total = statement["total"]
    splits = {}
    for how, counts in (("rounded", grim), ("cut", truncated)):
        splits[how] = [
            f"{tp[0]}/{m} and {tn[0]}/{total - m}"
            for m in range(1, total)
            if (tp := counts(sensitivity, m)) and (tn := counts(specificity, total - m))
        ]
    printed = f"{sensitivity.text} and {specificity.text}"
    if splits["rounded"]:
        shown = "; ".join(splits["rounded"][:4]) + ("; ..." if len(splits["rounded"]) > 4 else "")
        return [row(statement, "possible split", printed, shown, "consistent", f"of {total} patients")]
    if splits["cut"]:
        note = f"no split of {total} patients rounds to both; possible only if digits were cut"
        return [row(statement, "possible split", printed, "; ".join(splits["cut"][:4]), "warning", note)]
    return [
        row(statement, "possible split", printed, "none", "inconsistent", f"no split of {total} patients gives both")
    ]


def scales(measure: str) -> dict[str, Callable[[float], float]]:
    """The scales on which an interval of the measure may be symmetric."""
    if measure in RATIOS:
        return {"log": np.log}
    if measure == "correlation":
        return {"Fisher z": np.arctanh}
    return {"plain": float} | ({"logit": logit} if measure == "auc" else {})


def symmetric(estimate: Printed, lower: Printed, upper: Printed, f: Callable, g: Callable | None = None) -> bool:
    """Whether some numbers that round to the printed ones lie symmetrically on scale f (the estimate on g)."""
    with np.errstate(all="ignore"):
        low = (f(lower.low) + f(upper.low)) / 2
        high = (f(lower.high) + f(upper.high)) / 2
        g = g or f
        return bool(low <= g(estimate.high) and high >= g(estimate.low))


def check_interval(statement: Row) -> list[Row]:
    measure = statement["measure"]
    estimate, lower, upper = (Printed(statement[key]) for key in ("estimate", "lower", "upper"))
    printed = f"{estimate.text} ({lower.text} to {upper.text})"
    known = scales(measure)
    fits = [name for name, f in known.items() if symmetric(estimate, lower, upper, f)]
    clipped = measure == "auc" and upper.holds(1.0) and "plain" not in fits
    scale = fits[0] if fits else next(iter(known))
    f, g = known[scale], known[scale]
    middle = (lower.value + upper.value) / 2
    if fits:
        verdict = "consistent"
        shown = f"symmetric ({scale})"
        note = ""
    elif clipped and estimate.value - lower.value > upper.value - estimate.value:
        verdict = "consistent"
        shown = "symmetric, clipped at 1"
        note = ""
    elif measure == "coefficient" and lower.low > 0 and symmetric(estimate, lower, upper, np.log, float):
        shown = f"exp({estimate.text}) = {np.exp(estimate.value):.3f}, "
        shown += f"geometric mean of the limits {np.sqrt(lower.value * upper.value):.3f}"
        note = "the limits are of exp(coefficient), an odds or hazard ratio, not of the coefficient"
        verdict = "inconsistent"
        f = np.log
        g = float
    else:
        verdict = "inconsistent"
        shown = f"middle {middle:.4g}"
        sides = [f"{limit.value - estimate.value:+.3f}" for limit in (lower, upper)]
        note = f"the limits lie {sides[0]} and {sides[1]} from it: not a Wald interval"
        if not lower.value <= estimate.value <= upper.value:
            note = "the estimate is outside its interval"
    rows = [row(statement, "symmetry of the interval", printed, shown, verdict, note)]
    with np.errstate(all="ignore"):
        width = [(f(upper.low) - f(lower.high)) / (2 * Z95), (f(upper.high) - f(lower.low)) / (2 * Z95)]
    if "se" in statement:
        se = Printed(statement["se"])
        ok = se.low <= width[1] and se.high >= width[0]
        rows.append(row(statement, "error from the interval", se.text, se.show(sum(width) / 2), agreed(ok)))
    if "p" in statement:
        rows.append(interval_p(statement, estimate, width, f, g, clipped))
    return rows


def interval_p(statement: Row, estimate: Printed, width: list[float], f, g, clipped: bool) -> Row:
    """The printed P against that of estimate and interval, and for an AUC that of the rank sum."""
    null = 0.0 if g is not f else f(NULL.get(statement["measure"], 0.0))
    ends = [g(estimate.low) - null, g(estimate.high) - null]
    least = 0.0 if ends[0] * ends[1] <= 0 else min(map(abs, ends))
    if clipped or not np.isfinite(width).all() or width[0] <= 0:
        return row(statement, "P value", statement["p"], "", "not reproducible", "the interval gives no error")
    low, high = (2 * float(stats.norm.sf(z)) for z in (max(map(abs, ends)) / width[0], least / width[1]))
    result = p_row(statement, low, high, "from estimate and interval")
    if result["verdict"] != "consistent" and "positives" in statement:
        m, n = statement["positives"], statement["negatives"]
        error = np.sqrt((m + n + 1) / (12 * m * n))
        low, high = (2 * float(stats.norm.sf(z / error)) for z in (max(map(abs, ends)), least))
        by_rank = p_row(statement, low, high, f"by the error under no discrimination ({m} and {n} patients)")
        if by_rank["verdict"] == "consistent":
            return by_rank
        result["note"] += f"; {by_rank['note']} it would be {by_rank['recomputed']}"
    return result


def check_table(statement: Row) -> list[Row]:
    test = contingency(np.array(statement["counts"]))
    if test["reason"]:
        return [row(statement, "chi-square", statement.get("chi2", ""), "", "not reproducible", test["reason"])]
    kinds = {"uncorrected": (test["chi2"], test["p"]), "Yates": (test["chi2_yates"], test["p_yates"])}
    kinds = {name: pair for name, pair in kinds.items() if not np.isnan(pair[0])}
    rows = []
    if "chi2" in statement:
        printed = Printed(statement["chi2"])
        fits = [name for name, (value, _) in kinds.items() if printed.holds(value)]
        shown = "; ".join(f"{name} {printed.show(value)}" for name, (value, _) in kinds.items())
        note = fits[0] if fits else ""
        if printed.value < 0:
            note = "chi-square cannot be negative"
        rows.append(row(statement, "chi-square", printed.text, shown, agreed(bool(fits)), note))
    if "p" in statement:
        tests = [p for _, p in kinds.values()] + ([] if np.isnan(test["p_fisher"]) else [test["p_fisher"]])
        shown = "; ".join(f"{name} {p_range_text(p, p)}" for name, (_, p) in kinds.items())
        shown += "" if np.isnan(test["p_fisher"]) else f"; Fisher {p_range_text(test['p_fisher'], test['p_fisher'])}"
        ok = any(p_between(statement["p"], p, p) for p in tests)
        rows.append(row(statement, "P value", statement["p"], shown, agreed(ok)))
    if not rows:
        rows.append(
            row(
                statement, "chi-square", "", f"{test['chi2']:.3f}, P {p_range_text(test['p'], test['p'])}", "consistent"
            )
        )
    return rows


def margin_tables(rows: list[int], columns: list[int], chi2: Printed) -> list[tuple[str, int, float]]:
    """(test, upper left cell, chi-square) of every 2 x 2 table with these sums whose chi-square is the printed one."""
    a = np.arange(max(0, columns[0] - rows[1]), min(rows[0], columns[0]) + 1)
    cells = a, rows[0] - a, columns[0] - a, rows[1] - columns[0] + a
    tables = []
    for name, yates in (("uncorrected", False), ("Yates", True)):
        values = chi2_2x2(*cells, yates=yates)
        tables += [(name, int(k), float(value)) for k, value in zip(a, values, strict=True) if chi2.holds(value)]
    return tables


def check_margins(statement: Row) -> list[Row]:
    rows = statement["rows"]
    columns = statement["columns"]
    chi2 = Printed(statement["chi2"])
    if sum(rows) != sum(columns):
        note = f"rows add up to {sum(rows)}, columns to {sum(columns)}"
        return [row(statement, "cells from sums and chi-square", chi2.text, "", "inconsistent", note)]
    tables = margin_tables(rows, columns, chi2)
    shown = "; ".join(f"{a}/{rows[0]} and {columns[0] - a}/{rows[1]} ({name})" for name, a, _ in tables)
    note = "" if tables else "no cells with these sums give it"
    result = [row(statement, "cells from sums and chi-square", chi2.text, shown or "none", agreed(bool(tables)), note)]
    if "p" in statement:
        result.append(
            p_row(statement, *(float(stats.chi2.sf(x, 1)) for x in (chi2.high, chi2.low)), "of the chi-square")
        )
    return result


def check_paired(statement: Row) -> list[Row]:
    """McNemar's P from the sums alone: the discordant pairs are between their difference and all that fit."""
    n, a, b = statement["of"], statement["count_a"], statement["count_b"]
    both = range(max(0, a + b - n), min(a, b) + 1)
    values = [mcnemar_test(a - k, b - k)["p"] for k in both]
    note = f"McNemar over all {len(values)} joint tables that the sums allow"
    return [p_row(statement, min(values), max(values), note)]


def check_means(statement: Row) -> list[Row]:
    """Student's and Welch's t over all means and SDs that round to the printed ones."""
    means, sds = ([Printed(text) for text in statement[key]] for key in ("mean", "sd"))
    values: dict[str, list[float]] = {"t": [], "t_welch": [], "p": [], "p_welch": []}
    corners = [(number.low, number.high) for number in (*means, *sds)]
    for m1, m2, s1, s2 in product(*corners):
        test = t_from_summary(statement["n"], [m1, m2], [max(s1, 1e-12), max(s2, 1e-12)])
        for key in values:
            values[key].append(test[key])
    rows = []
    if "t" in statement:
        printed = Printed(statement["t"])
        spans = {key: sorted(map(abs, values[key])) for key in ("t", "t_welch")}
        spans = {key: (0.0 if min(values[key]) < 0 < max(values[key]) else v[0], v[-1]) for key, v in spans.items()}
        size = abs(printed.value)
        ok = any(low <= size + printed.half and high >= size - printed.half for low, high in spans.values())
        shown = "; ".join(
            f"{name} {low:.2f} to {high:.2f}"
            for name, (low, high) in zip(("Student", "Welch"), spans.values(), strict=True)
        )
        rows.append(row(statement, "t from means and SDs", printed.text, shown, agreed(ok), "sign ignored"))
    if "p" in statement:
        crossing = min(values["t"]) < 0 < max(values["t"])
        every = values["p"] + values["p_welch"] + [1.0] * crossing
        rows.append(p_row(statement, min(every), max(every), "from means and SDs, Student and Welch"))
    return rows


def check_statistic(statement: Row) -> list[Row]:
    """A P value from its statistic; where degrees of freedom are not printed, over all that there could be."""
    test = statement["test"]
    value = Printed(statement["value"])
    n = statement.get("n")
    if test in ("chi2", "f") and value.value < 0:
        return [row(statement, "sign", value.text, "0 or more", "inconsistent", f"{test} cannot be negative")]
    if test == "rank_z" and n and len(n) == 2:
        most = np.sqrt(3 * n[0] * n[1] / (sum(n) + 1))
        if abs(value.value) > most:
            note = f"with {n[0]} and {n[1]} patients a rank sum differs by at most {most:.2f} errors"
            return [row(statement, "size", value.text, f"at most {most:.2f}", "inconsistent", note)]
    sizes = sorted([abs(value.low), abs(value.high)])
    p_of, df, note = tail(test, statement.get("df"), n)
    if p_of is None:
        return [row(statement, "P value", statement["p"], "", "not reproducible", note)]
    values = [p_of(size, *free) for size in sizes for free in df]
    return [p_row(statement, min(values), max(values), note)]


def tail(test: str, df: list[int] | None, n: list[int] | None) -> tuple[Callable | None, list[tuple[int, ...]], str]:
    """The two-sided P of a statistic as a function of it and its degrees of freedom, which these may be, and why."""
    if test in ("z", "rank_z"):
        return lambda z: 2 * float(stats.norm.sf(z)), [()], "normal"
    if test == "r":
        if not n:
            return None, [], "the number of patients is not printed"
        free = n[0] - 2
        return lambda r: 2 * float(stats.t.sf(r * np.sqrt(free / (1 - r * r)), free)), [()], f"Pearson, {n[0]} patients"
    if test == "f" and (not df or len(df) < 2):
        return None, [], "F needs both degrees of freedom, which are not printed"
    if df is None:
        which = [(1,), (2,), (3,), (4,), (5,)] if test == "chi2" else [(5,), (10**6,)]
        note = (
            "degrees of freedom not printed: 1 to 5" if test == "chi2" else "degrees of freedom not printed: 5 or more"
        )
    else:
        which = [tuple(df)]
        note = f"df {', '.join(map(str, df))}"
    if test == "t":
        return lambda t, d: 2 * float(stats.t.sf(t, d)), which, note
    if test == "f":
        return lambda f, a, b: float(stats.f.sf(f, a, b)), which, note
    return lambda x, d: float(stats.chi2.sf(x, d)), which, note


def check_events_per_variable(statement: Row) -> list[Row]:
    events, predictors = statement["events"], statement["predictors"]
    ratio = events / predictors
    verdict = "consistent" if ratio >= FEW_EVENTS else "warning"
    note = "" if ratio >= FEW_EVENTS else f"below {FEW_EVENTS}: coefficients unstable, too extreme"
    return [
        row(statement, "events per variable", f"{events} events, {predictors} variables", f"{ratio:.1f}", verdict, note)
    ]


def check_not_reproducible(statement: Row) -> list[Row]:
    return [row(statement, "claim", statement["claim"], "", "not reproducible", statement["missing"])]


CHECKS: dict[str, Callable[[Row], list[Row]]] = {
    "proportion": check_proportion,
    "integer_mean": check_integer_mean,
    "sum": check_sum,
    "accuracy": check_accuracy,
    "interval": check_interval,
    "table": check_table,
    "margins": check_margins,
    "paired": check_paired,
    "means": check_means,
    "statistic": check_statistic,
    "events_per_variable": check_events_per_variable,
    "not_reproducible": check_not_reproducible,
}


def check_statements(statements: Iterable[Row]) -> pd.DataFrame:
    """Every check of every statement, in their order (COLUMNS)."""
    rows = [found for statement in statements for found in CHECKS[statement["kind"]](statement)]
    return pd.DataFrame(rows, columns=COLUMNS)


def read_statements(path: str | Path) -> list[Row]:
    """Statements from a YAML list, from `reported.statements` of a study file, or from a CSV with a row each.

    CSV: columns are the keys of schemas/reported.schema.yaml, empty cells are left out, `;` separates the numbers of a
    list. Raises StudyError with every problem.
    """
    path = Path(path)
    if path.suffix in (".yaml", ".yml"):
        value = read_yaml(path)
        if isinstance(value, dict):  # a study file
            value = value.get("reported", {}).get("statements")
    else:
        table = read_table(path)
        value = [typed(cells.dropna().to_dict()) for _, cells in table.iterrows()]
    checked_statements(value, str(path))
    return value


def checked_statements(value: Any, where: str) -> None:
    """Raises StudyError where the statements are not as schemas/reported.schema.yaml has them."""
    problems = list(schema_problems(value, schema("reported"), where))
    ids = [] if problems else [item["id"] for item in value]
    problems += [f"{where}: the id {name!r} stands there twice" for name in twice(ids)]
    if problems:
        raise StudyError(problems)


def typed(cells: dict[str, str]) -> Row:
    """Cells of a CSV as the schema has them: whole numbers and lists where it says so."""
    rules = schema("reported")["$defs"].get(cells.get("kind", ""), {}).get("properties", {})
    return {key: typed_cell(text.strip(), rules.get(key, {})) for key, text in cells.items()}


def typed_cell(text: str, rule: Row) -> Any:
    while "$ref" in rule:
        rule = schema("reported")["$defs"][rule["$ref"].rsplit("/", 1)[1]]
    if rule.get("type") == "array":
        parts = text.split("/" if rule["items"].get("$ref", "").endswith("counts") else ";")
        return [typed_cell(part.strip(), rule["items"]) for part in parts]
    return int(text) if rule.get("type") == "integer" and text.isdigit() else text
