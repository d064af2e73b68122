"""Which model is the main one: a single definition that every sentence, table, figure and the calculator use."""

import re
from importlib import import_module

import pandas as pd
import pytest
from matplotlib.text import Text

from recur import style
from recur.report import calculator, manuscript
from recur.sources import ROOT
from recur.validation import published_scores
from recur.vocabulary import main_model, main_models, model_title, study_words

WORDS = study_words({"wording": {"treatment": "radiotherapy"}})
FEATURES = ["signature", "clinical_pre", "combined_pre", "clinical_post", "combined_post", "size_only", "volume_only"]
KINDS = {
    "with features": (FEATURES, "combined_pre", ["combined_pre", "combined_post"]),
    "clinical only": (["clinical_pre", "clinical_post"], "clinical_pre", ["clinical_pre", "clinical_post"]),
    "without postoperative terms": (["signature", "clinical_pre", "combined_pre"], "combined_pre", ["combined_pre"]),
    "without preoperative terms": (
        ["signature", "clinical_post", "combined_post"],
        "signature",
        ["signature", "combined_post"],
    ),
    "features only": (["signature", "volume_only"], "signature", ["signature"]),
    "postoperative terms only": (["clinical_post"], "clinical_post", ["clinical_post"]),
}
FIGURES = ROOT / "scripts" / "figures"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turned", [False, True])
def test_the_order_of_rows_never_decides(kind, turned):
    names, main, both = KINDS[kind]
    names = names[::-1] if turned else names
    assert main_model(names) == main and main_models(names) == both


def test_nothing_is_the_main_model_of_nothing():
    assert main_model([]) is None and main_models([]) == []
    assert main_model(["all", float("nan")]) == "all"


@pytest.mark.parametrize("kind", KINDS)
def test_calculator_and_the_manuscripts_table_lead_with_the_main_model(kind):
    names, main, both = KINDS[kind]
    assert calculator.ordered({name: {} for name in names[::-1]})[0][0] == main
    terms = pd.DataFrame({"model": names, "stage": "multivariable", "term": "t", "label": "t", "p": 0.5, "n": 9})
    terms = terms.assign(events=5, hr=1.0, lower=0.5, upper=2.0, likelihood="maximum likelihood", limits="Wald")
    heads = manuscript.cox(terms, WORDS).heads
    assert [head.split(":")[0] for head in heads[3::2]] == [model_title(name, WORDS) for name in both]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["cutpoint_scan", "lp_distribution"])
def test_figures_show_the_main_model_whatever_the_order_of_rows(kind, name):
    names, main, _ = KINDS[kind]
    parts = [pd.DataFrame({"model": [m] * 3, "cohort": "train", "lp": [0.0, 1.0, 2.0]}) for m in names[::-1]]
    table = pd.concat(parts).assign(cutpoint=lambda t: t["lp"], statistic=1.0, chosen=0, p_corrected=0.5)
    none = pd.DataFrame(columns=["model", "cohort", "quantity", "estimate", "value"])
    module = import_module(f"figures.{name}")
    context = {"endpoint": "rfs", "words": WORDS | {"c": "C"}, "primary_horizon": 24, "main": main}
    figure = module.draw({"scan": table, "risks": table, "transport": none}, context)
    assert figure.get_label() == style.model_label(main, context)


MAIN_ONLY = {  # figure of the main model -> the table that it draws
    "calibration": "calibration", "cutpoint_scan": "scan", "km": "km", "lp_distribution": "risks",
    "nomogram": "nomogram", "subgroups": "subgroups", "incidence": "incidence",
}  # fmt: skip


@pytest.mark.parametrize("name", MAIN_ONLY)
def test_a_figure_without_a_row_of_the_main_model_says_so_and_draws_no_other(name):
    """Kaplan-Meier curves of clinical groups stood under the name of the main model, which had no cut-point."""
    module = import_module(f"figures.{name}")
    tables = {key: pd.DataFrame({"model": ["clinical_pre"] * 3, "cohort": "train"}) for key in module.INPUTS}
    tables[MAIN_ONLY[name]] = tables[MAIN_ONLY[name]].assign(
        statistic=1.0, points=1.0, lp=[0.0, 1.0, 2.0], estimate=0.5
    )
    context = {"endpoint": "rfs", "words": WORDS | {"c": "C"}, "primary_horizon": 24, "main": "combined_pre"}
    shown = [text.get_text() for text in module.draw(tables, context).findobj(Text)]
    assert any(text.startswith("Main model (Combined, pre-treatment): ") for text in shown)


def test_no_program_chooses_a_main_model_by_itself():
    """Three definitions lived side by side: pictures showed one model, the summary and the calculator another."""
    own = re.compile(r"""headline_model|style\.main_model|models\[0\]|def main_models?\(""")
    files = [path for path in ROOT.glob("scripts/**/*.py") if path.name != "vocabulary.py"]
    assert {path.name: own.findall(path.read_text()) for path in files if own.search(path.read_text())} == {}
    said = [path for path in FIGURES.glob("*.py") if "the main model" in path.read_text().split("def draw")[0]]
    assert len(said) > 8 and [path.name for path in said if "main_of(" not in path.read_text()] == []
    assert published_scores.main_models is main_models
