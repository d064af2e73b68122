"""Which columns a second-stage model keeps: univariable screen, backward elimination, bound of the signature."""

from __future__ import annotations

from typing import Any

import numpy as np

from recur.cohort.training import Training
from recur.fit.regression import PENALTIES, fit_columns, pooled_fit
from recur.predict.design import terms_in
from recur.statistics.cox import backward, term_test
from recur.statistics.estimate import NotEstimable


def term_groups(columns: list[dict[str, Any]]) -> dict[str, list[int]]:
    """Columns of each term: the levels of a category are tested, kept and dropped together."""
    groups: dict[str, list[int]] = {}
    for j, column in enumerate(columns):
        groups.setdefault(column["term"], []).append(j)
    return groups


def bounded_fit(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, stage: dict[str, Any]
) -> tuple[list[int], dict[str, Any], float | None]:
    """Columns left by screen and elimination, their pooled fit, and the weight that the signature would have below its
    lower bound of 0; None where the bound does not bind.

    A stacked score takes no negative weight (Breiman, Machine Learning 1996): out of fold a signature without signal
    often points the other way, and turned round it would be applied against what it was built for. Where its best
    weight is negative the best one allowed is 0, since likelihoods are concave: the model then holds no signature, and
    its other terms are chosen without it. Scores of its own training rows have the same bound.
    """
    penalty = PENALTIES[stage["separated"]]
    keep = screened_columns(designs, columns, train, stage)
    steps = ["screen"]
    if stage["selection"] != "none":
        steps.append("elimination")
    for step in steps:
        if step == "elimination":
            keep = eliminated(designs, columns, train, stage, keep)
        result = pooled_fit([x[:, keep] for x in designs], train, penalty)
        weights = [result["coef"][i] for i, j in enumerate(keep) if columns[j]["kind"] == "signature"]
        if weights and weights[0] < 0:  # the signature is the last column
            without = bounded_fit([x[:, :-1] for x in designs], columns[:-1], train, stage)
            return *without[:2], float(weights[0])
    return keep, result, None


def screened_columns(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, stage: dict[str, Any]
) -> list[int]:
    """Columns left by the univariable screen (joint test of a term; the signature always passes).

    An interaction is not screened: it stays where both its terms do. Over m imputations the screen uses the stacked
    rows with weight 1/m (Wood, White & Royston 2008; docs/methods.md 6.1).
    """
    groups = term_groups(columns)
    if stage["screen_p"] is not None:
        x = np.vstack(designs)
        penalty = PENALTIES[stage["separated"]]
        single = {term: at for term, at in groups.items() if columns[at[0]]["kind"] != "interaction"}
        p = {term: joint_p(x[:, at], train, len(designs), penalty) for term, at in single.items()}
        passed = {term for term in single if term == "signature" or p[term] < stage["screen_p"]}
        groups = {term: at for term, at in groups.items() if passed.issuperset(terms_in(columns[at[0]]))}
    return sorted(j for at in groups.values() for j in at)


def eliminated(
    designs: list[np.ndarray], columns: list[dict[str, Any]], train: Training, stage: dict[str, Any], keep: list[int]
) -> list[int]:
    """Those of the columns `keep` that backward elimination leaves; imputations stacked as for the screen. The terms of
    an interaction stay as long as it does.
    """
    if not keep:
        return keep
    copies = len(designs)
    x = np.vstack(designs)
    groups = {term: at for term, at in term_groups(columns).items() if at[0] in keep}
    names = list(groups)
    penalty = PENALTIES[stage["separated"]]
    parents = parent_places(names, [columns[at[0]] for at in groups.values()])
    p_remove = None
    if stage["selection"] == "backward_p":
        p_remove = stage["p_remove"]

    def fit(places: list[int]) -> dict[str, Any]:
        return fit_columns(x[:, places], train, penalty, copies)

    kept, _ = backward(fit, names, list(groups.values()), copies, p_remove, parents)
    return sorted(j for term in kept for j in groups[term])


def parent_places(names: list[str], columns: list[dict[str, Any]]) -> list[list[int]]:
    """Per term (a column of each) the places of the terms that it is a product of."""
    factors = [terms_in(column) if column["kind"] == "interaction" else [] for column in columns]
    return [[names.index(term) for term in terms] for terms in factors]


def joint_p(x: np.ndarray, train: Training, copies: int, separated: str) -> float:
    """p-value of all columns of one term together (cox.term_test: penalised likelihood ratio where it separates); 1
    where it cannot be estimated.
    """
    try:
        fitted = fit_columns(x, train, separated, copies)
    except NotEstimable:
        return 1.0
    return term_test(fitted, range(x.shape[1]), copies)["p"]
