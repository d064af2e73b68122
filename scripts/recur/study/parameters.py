"""How many columns of a model the declared candidates ask for, and whether there are events enough for them."""

from __future__ import annotations

from typing import Any

from recur.study.facts import is_replicate

TOO_FEW_EVENTS = 5  # per candidate column
FEWEST_EVENTS = 10  # of a model


def column_count(terms: list[str], variables: dict[str, Any], interactions: list[list[str]] | None = None) -> int:
    """Columns that the terms and the interactions between them will have at most."""
    columns = {}
    for term in terms:
        variable = variables[term]
        spline = variable["knots"] - 1 if variable.get("transform") == "rcs" else 1
        columns[term] = len(variable["levels"]) - 1 if variable["kind"] == "categorical" else spline
    products = [columns.get(a, 0) * columns.get(b, 0) for a, b in interactions or []]
    return sum(columns[term] for term in terms) + sum(products)


def smaller_class(event: Any, known: Any = None) -> int:
    """Patients of the rarer outcome, which limit a logistic model as events limit a Cox model; of those known only."""
    event = event if known is None else event[known]
    return int(min(event.sum(), len(event) - event.sum()))


def candidate_terms(settings: dict[str, Any], with_signature: bool) -> list[tuple[str, int]]:
    """(preoperative or postoperative, candidate columns): each level of a category but the first, each part of a spline
    and each product counts one, a signature one."""
    candidates, variables = settings["candidates"], settings["variables"]
    models = [("preoperative", candidates["pre"])]
    if candidates["post"]:
        models.append(("postoperative", candidates["pre"] + candidates["post"]))
    return [
        (timing, column_count(terms, variables, candidates.get("interactions")) + with_signature)
        for timing, terms in models
    ]


def too_few_events(settings: dict[str, Any], analysis: str, events: int, with_signature: bool) -> list[str]:
    """Guard 11 as an error under `recommended`: fewer than 10 events, or fewer than 5 per candidate column of a model.

    settings: preset, candidates, variables. A declared `*_replicate` is flagged only.
    """
    if is_replicate(analysis, settings):
        return []
    if events < FEWEST_EVENTS:
        return [f"analysis {analysis}: {events} training events; no model is fitted on fewer than {FEWEST_EVENTS}"]
    return [
        f"analysis {analysis}: {events} training events for {terms} candidate columns of the {timing} model, "
        f"fewer than {TOO_FEW_EVENTS} each; name fewer candidates"
        for timing, terms in candidate_terms(settings, with_signature)
        if terms and events / terms < TOO_FEW_EVENTS
    ]
