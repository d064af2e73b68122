"""Coefficients of agreement of every two readers."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from recur import style, vocabulary

INPUTS = {"agreement": "diagnostic/agreement.csv"}
CAPTION = (
    "Agreement of readers with 95 % confidence intervals: share of equal readings (Wilson), Cohen's kappa (weighted "
    "for ordered levels), PABAK and Gwet's AC1, which a rare finding does not lower; ICC(2,1) of numbers. Of several "
    "lesions a patient, intervals are bootstrapped over patients."
)
CATEGORY = "Diagnostic"
NEEDS = "readers"
NAMES = {
    "agreement": "equal readings", "kappa": "kappa", "kappa_linear": "kappa, linear weights",
    "kappa_quadratic": "kappa, quadratic weights", "pabak": "PABAK", "gwet_ac1": "Gwet's AC1", "icc_2_1": "ICC(2,1)",
}  # fmt: skip


def draw(tables: dict[str, pd.DataFrame], context: dict) -> Figure:
    rows = []
    for (reading, a, b), part in tables["agreement"].groupby(["reading", "reader_a", "reader_b"], sort=False):
        rows.append({"label": f"{reading.replace('_', ' ')}: {a} and {b} ({part['n'].iloc[0]:.0f})"})
        for row in part.itertuples():
            text = vocabulary.interval_in_figure(row.estimate, row.lower, row.upper)
            limits = {"estimate": row.estimate, "lower": row.lower, "upper": row.upper}
            rows.append({"label": NAMES[row.coefficient], "texts": (text,)} | limits)
    if not rows:
        return style.message("no two readers can be compared")
    return style.forest(rows, "Coefficient", 0.0, ("Estimate (95 % CI)",), limits=(-1.0, 1.0))
