"""Every guard of docs/methods.md 12: a sound analysis fires none, and each one fires on what it is there for."""

import ast
import json
import re
from functools import cache

import numpy as np
import pandas as pd
import pytest

from recur.report.summary import summary
from recur.resampling.splits import joined, split_distribution
from recur.sources import ROOT
from recur.study.parameters import too_few_events
from recur.tables import StudyError, write_json, write_table
from recur.validation.evaluations import log_evaluation, read_evaluations
from recur.validation.guards import BLOCKED, CHECKS, evaluate, flags, share_outside
from recur.validation.judgement import calibration_reading
from recur.validation.ranges import outside_training, predictors_used
from tests.fit.test_whole import cohort, settings

MODEL = {
    "terms": [
        {"term": "afp", "name": "afp", "kind": "numeric"},
    ],
    "cutpoint": {"lp": 0.5, "p_corrected": 0.001},
    "lp_range": [-3.0, 3.0],
    "events": 90,
    "n": 160,
}
DIAGNOSTICS = pd.DataFrame(
    [
        (7, "combined_pre", "", "cutpoint_lp_lower", 0.2, np.nan, np.nan),
        (7, "combined_pre", "", "cutpoint_lp_upper", 0.9, np.nan, np.nan),
        (8, "signature", "", "real_features_kept", 4.0, np.nan, np.nan),
        (8, "signature", "", "shadow_features_kept", 1.0, np.nan, np.nan),
        (12, "combined_pre", "afp", "proportional_hazards_chi2", 0.1, 1, 0.75),
        (13, "combined_pre", "afp", "spline_lr_chi2", 0.1, 1, 0.75),
        (22, "features", "", "centre_auc", 0.55, np.nan, np.nan),
        (31, "combined_pre", "signature", "added_lr_chi2", 20.0, 1, 1e-5),
    ],
    columns=["guard", "model", "term", "measure", "value", "df", "p"],
)


def sound():
    """What the guards see of an analysis that does everything right."""
    performance = pd.DataFrame(
        [
            ("combined_pre", cohort_, metric, months, estimate, estimate - 0.2, estimate + 0.2, 40)
            for cohort_ in ("train-apparent", "external-B")
            for metric, months, estimate in [
                ("c_harrell", np.nan, 0.75),
                ("c_harrell_complete_cases", np.nan, 0.74),
                ("c_gamma", np.nan, 0.75),
                ("c_uno", 60, 0.75),
                ("calibration_slope", np.nan, 0.9),
                ("oe_ratio", 24, 1.1),
                ("auc", 24, 0.75),
                ("brier", 24, 0.2),
                ("ipa", 24, 0.1),
            ]
        ],
        columns=["model", "cohort", "metric", "horizon_months", "estimate", "lower", "upper", "events"],
    )
    risks = pd.DataFrame(
        {
            "model": "combined_pre",
            "patient_id": ["a", "b", "c", "d"],
            "cohort": ["train", "train", "external-B", "external-B"],
            "time": [10.0, 30.0, 12.0, 40.0],
            "event": [1, 0, 0, 1],
            "lp": [0.1, -0.2, 0.3, -0.4],
        }
    )
    study = {
        "primary": "a",
        "thresholds": [0.05, 0.6],
        "analyses": {
            "a": {
                "preset": "recommended",
                "endpoint": "E",
                "use_features": True,
                "second_stage": {"scores": "out_of_fold", "selection": "none", "screen_p": None},
                "internal_validation": {"resamples": 200, "nested_repeats": 4},
                "ranking": {"kind": "none"},
            }
        },
        "endpoints": {"E": {"kind": "overall_survival"}},
        "candidates": {"pre": ["afp"], "post": []},
        "clinical": {"variables": {"afp": {"kind": "numeric"}}},
        "images": {"readers_blinded": True},
        "split": {"kind": "centre"},
    }
    return {
        "study": study,
        "analysis": "a",
        "models": {"combined_pre": MODEL},
        "signature": {"features": [{"name": "f1"}], "events": 90},
        "evaluations": ["one"],
        "performance": performance,
        "risks": risks,
        "rates": pd.DataFrame(
            {"model": "all", "cohort": "external-B", "horizon_months": [24.0], "survival": [0.6], "n_risk": [50]}
        ),
        "net_benefit": pd.DataFrame({"cohort": ["external-B"] * 2, "threshold": [0.05, 0.6], "net_benefit": 0.1}),
        "coefficients": coefficients(2.0, 1.9),
        "diagnostics": DIAGNOSTICS,
        "univariable": pd.DataFrame({"feature": ["f1", "f2"], "p": [0.001, 0.5], "q": [0.002, 0.5]}),
        "frequencies": pd.DataFrame({"feature": ["f1", "f2"], "frequency": [0.9, 0.2]}),
        "weights": pd.DataFrame({"feature": ["f1"], "volume_rho": [0.3]}),
        "acquisition": pd.DataFrame({"patient_id": ["a", "b"], "slice_thickness_mm": [1.0, 1.0], "kernel": ["k", "k"]}),
        "splits": pd.DataFrame(),
        "ranges": pd.DataFrame(
            {"cohort": "external-B", "predictor": ["f1", "afp"], "n": 60, "outside": 3, "share": 0.05}
        ),
        "doubts": pd.DataFrame(),
        "train": pd.DataFrame({"cohort": "train", "afp": [1.0, 2.0]}),
        "heldout": pd.DataFrame({"cohort": "external-B", "afp": [1.0, 2.0, 3.0]}),
    }


def coefficients(main, complete, ratio="hr"):
    """Ratios of one term of a model, and on complete cases; limits a factor of 1.5 and 1.8 away."""
    rows = [("multivariable", main, 1.5), ("multivariable_complete_cases", complete, 1.8)]
    table = [("combined_pre", stage, "afp", "AFP", r, r / factor, r * factor) for stage, r, factor in rows]
    return pd.DataFrame(table, columns=["model", "stage", "term", "label", ratio, "lower", "upper"])


def fired(facts):
    return {number for number, _ in flags(evaluate(facts))}


def analysis(**changes):
    def change(facts):
        facts["study"]["analyses"]["a"] |= changes

    return change


def measured(measure, **changes):
    def change(facts):
        table = facts["diagnostics"].copy()
        for column, value in changes.items():
            table.loc[table["measure"] == measure, column] = value
        facts["diagnostics"] = table

    return change


def column(table, **changes):
    def change(facts):
        facts[table] = facts[table].assign(**changes)

    return change


def in_study(path, value):
    def change(facts):
        *where, last = path.split(".")
        place = facts["study"]
        for key in where:
            place = place[key]
        place[last] = value

    return change


def blank(metric):
    def change(facts):
        table = facts["performance"].copy()
        table.loc[table["metric"] == metric, "estimate"] = np.nan
        facts["performance"] = table

    return change


def shifted(metric, by):
    def change(facts):
        table = facts["performance"].copy()
        table.loc[table["metric"] == metric, "estimate"] += by
        facts["performance"] = table

    return change


def other_splits(facts):
    facts["study"]["split"] = {"kind": "random"}
    rows = [("combined_pre", i, int(i == 0), 0.8, 0.9 if i == 0 else 0.6) for i in range(20)]
    facts["splits"] = pd.DataFrame(rows, columns=["model", "split", "used", "c_train", "c_test"])


def many_features(facts):
    n = 500
    facts["univariable"] = pd.DataFrame({"feature": [f"f{i}" for i in range(n)], "p": 0.2, "q": 0.9})


def uncorrected_cut(facts):
    facts["models"] = {"combined_pre": MODEL | {"cutpoint": {"lp": 0.5, "p_corrected": 0.2}}}


def few_events(facts):
    facts["models"] = {"combined_pre": MODEL | {"events": 15}}


def crude(facts):
    """One of four was censored before the event at 20 months: 3/4 is no Kaplan-Meier estimate of it."""
    facts["risks"] = of_times([12.0, 20.0, 40.0, 50.0], [0, 1, 0, 0])
    facts["rates"]["survival"] = 0.75


def of_times(time, event):
    """A risks table of held-out patients with these outcomes."""
    ids = [f"p{i}" for i in range(len(time))]
    return pd.DataFrame(
        {"model": "combined_pre", "patient_id": ids, "cohort": "external-B", "time": time, "event": event, "lp": 0.1}
    )


def missing_cells(facts):
    facts["train"] = pd.DataFrame({"cohort": "train", "afp": [1.0, None]})


def measured_as(metric, cohort="external-B", **values):
    """The rows of a metric of a cohort with other estimates or limits."""

    def change(facts):
        table = facts["performance"].copy()
        table.loc[(table["metric"] == metric) & (table["cohort"] == cohort), list(values)] = list(values.values())
        facts["performance"] = table

    return change


def shown_twice(facts):
    facts["evaluations"] = ["one", "two"]


def two_analyses(facts):
    facts["study"]["analyses"]["b"] = dict(facts["study"]["analyses"]["a"])
    del facts["study"]["primary"]


def of_signature(weight):
    term = {"term": "signature", "name": "signature", "kind": "signature", "coef": weight}
    return MODEL | {"terms": [term], "events": 90}


def turned_round(facts):
    held = MODEL | {"terms": [], "events": 90, "signature_use": {"status": "bounded", "unbounded": -0.2}}
    facts["models"] = facts["models"] | {"signature": held}


def doubtful(facts):
    del facts["study"]["images"]
    facts["study"]["features"] = {"table": "f.csv"}
    line = ("a code of missing cells", "f1", 12, "a, b, c", "-999 stands for a number")
    facts["doubts"] = pd.DataFrame([line], columns=["problem", "column", "patients", "first", "detail"])


def same_rows(facts):
    """A training patient stands under another id in the held-out centre."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame({name: rng.normal(60, 10, 60) for name in ("time", "afp", "size")}).assign(event=1)
    rows["patient_id"], rows["cohort"] = [f"p{i}" for i in range(60)], ["train"] * 40 + ["external-B"] * 20
    rows.loc[50, ["time", "afp", "size"]] = rows.loc[3, ["time", "afp", "size"]]
    facts["train"], facts["heldout"] = rows[:40], rows[40:]


FIRE = {
    4: same_rows,
    5: in_study("split", {"kind": "random"}),
    6: other_splits,
    7: uncorrected_cut,
    8: many_features,
    9: analysis(second_stage={"scores": "out_of_fold", "selection": "backward_aic", "screen_p": 0.05}),
    10: analysis(internal_validation={"resamples": 0, "nested_repeats": 0}),
    11: few_events,
    12: measured("proportional_hazards_chi2", p=0.001),
    13: measured("spline_lr_chi2", p=0.001),
    14: shifted("c_gamma", 0.05),
    15: blank("brier"),
    17: crude,
    18: in_study("endpoints.E.kind", "time_to_recurrence"),
    19: analysis(min_follow_up_months=24),
    20: column("net_benefit", cohort="train"),
    21: column("weights", volume_rho=-0.95),
    22: measured("centre_auc", value=0.9),
    23: column("acquisition", slice_thickness_mm=[1.0, 5.0]),
    25: in_study("images.readers_blinded", None),
    26: missing_cells,
    31: measured("added_lr_chi2", p=0.4),
    33: shown_twice,
    34: blank("auc"),
    38: column("frequencies", frequency=[0.2, 0.9]),
    39: two_analyses,
    40: column("rates", model="combined_pre", n_risk=4),
    41: analysis(second_stage={"scores": "in_sample", "selection": "none", "screen_p": None}),
    42: turned_round,
    43: measured_as("oe_ratio", estimate=0.24, lower=0.15, upper=0.38),
    44: measured_as("c_harrell", estimate=0.988),
    45: doubtful,
}


def test_every_guard_exists_once_with_its_mode():
    numbers = [number for number, *_ in BLOCKED] + list(CHECKS)
    assert sorted(numbers) == list(range(1, 46))
    assert set(FIRE) == set(CHECKS)


@cache
def named_in(path):
    """Functions and methods of a file, as `function` and `Class::method`."""
    found = set()
    for node in ast.parse((ROOT / path).read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else []
        found |= {f"{node.name}::{child.name}" for child in inside if isinstance(child, ast.FunctionDef)}
        found |= {node.name} if isinstance(node, ast.FunctionDef) else set()
    return found


def test_every_guard_has_its_place_and_its_tests_in_the_table_of_the_docs():
    lines = re.findall(r"^\| (\d+) \| (.*) \|$", (ROOT / "docs/guards.md").read_text(), re.M)
    table = {int(number): line.split(" | ") for number, line in lines}
    words = {"event": "recurrence", "Postoperative": "Postoperative", "preoperative": "preoperative"}
    expected = {number: [mode, title.format_map(words)] for number, mode, title, _ in BLOCKED}
    expected |= {number: [mode, title.format_map(words)] for number, (mode, title, _) in CHECKS.items()}
    assert {number: cells[:2] for number, cells in table.items()} == expected and len(lines) == len(table)
    for number, (_, _, code, tests) in table.items():
        path, function = re.fullmatch(r"(\S+) `(\w+)`", code).groups()
        assert function in named_in(path), f"guard {number}: {path} has no {function}"
        assert tests, f"guard {number} has no test"
        for test in tests.split(", "):
            file, name = re.fullmatch(r"`((?:\w+/)?test_\w+\.py)::(\S+)`", test).groups()
            assert name in named_in(f"tests/{file}"), f"guard {number}: tests/{file} has no {name}"
    for number, (_, _, check) in CHECKS.items():
        assert f"`{check.__name__}`" in table[number][2]


def rules():
    """rule -> what it reads and writes below results/{study}/, as rule files and input functions have it."""
    found = {}
    functions = re.split(r"^def (?=\w+\()", (ROOT / "rules/common.smk").read_text(), flags=re.M)[1:]
    unpacked = {function.split("(")[0]: function for function in functions}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for text in re.split(r"^(?=(?:rule|checkpoint) \w+:)", path.read_text(), flags=re.M)[1:]:
            named = r"unpack\((\w+)\)|(?<==)(\w+_file|training_scores)(?=,)"
            text = re.sub(named, lambda match: unpacked[match[1] or match[2]], text)
            parts = [re.search(rf"^    {part}:\n(.*?)(?=^    \w+:)", text, re.M | re.S) for part in ("input", "output")]
            files = [re.findall(r'results/\{study\}/([^"]*)"', part[1] if part else "") for part in parts]
            found[re.match(r"\w+ (\w+)", text)[1]] = files
    return found


def test_rules_that_fit_have_training_files_only():
    """Who fits needs the repeat readings; split_distribution refits on other splits and keeps no model of them."""
    everything = rules()
    fit = {name: read for name, (read, _) in everything.items() if any("/train_repeats" in file for file in read)}
    del fit["split_distribution"]
    for name, read in fit.items():
        rows = [file for file in read if file.startswith(("cohort/", "features/", "validation/"))]
        assert all(re.match(r"(cohort|features)/\{analysis\}/train|cohort/score_notes", file) for file in rows), name
    kept = ("signature/{analysis}/signature.json", "signature/{analysis}/icc.csv", "models/{analysis}/")
    made = {name for name, (_, made) in everything.items() if any(file.startswith(kept) for file in made)}
    assert made - set(fit) == {"equations"}  # of frozen models
    assert {"resample", "nested_cv", "learning_fits", "ablation_fits"} <= set(fit)


def test_a_sound_analysis_fires_none():
    table = evaluate(sound())
    assert fired(sound()) == set()
    assert list(table["guard"]) == list(range(1, 46))
    assert set(table["status"]) <= {"clear", "blocked", "not applicable"}


@pytest.mark.parametrize("number", sorted(FIRE))
def test_the_guard_fires_on_its_error(number):
    facts = sound()
    FIRE[number](facts)
    found = dict(flags(evaluate(facts)))
    assert number in found and found[number].endswith((".", ")"))


def test_guard_4_says_what_was_compared():
    facts = sound()
    same_rows(facts)
    assert (
        "same values of all clinical variables and outcomes, one under two ids?: p3 (train) and p50 (external-B)."
        in (dict(flags(evaluate(facts)))[4])
    )
    facts["heldout"] = facts["heldout"].assign(time=facts["heldout"]["time"] + 1)
    row = evaluate(facts).set_index("guard").loc[4]
    assert row["status"] == "blocked" and row["text"] == (
        "Ids are unique, images were compared by content, and no two patients have the same values of all clinical "
        "variables and outcomes."
    )


def test_thresholds_that_were_not_stated_beforehand_are_flagged():
    facts = sound()
    del facts["study"]["thresholds"]
    assert "a range that was not stated beforehand" in dict(flags(evaluate(facts)))[20]


@pytest.mark.parametrize(
    ("cohort_", "said"), [("train-apparent", True), ("train-nested_cv", False), ("train-oob", False)]
)
def test_calibration_on_fitted_rows_only_is_flagged(cohort_, said):
    facts = sound()
    facts["performance"] = facts["performance"].query("cohort == 'external-B'").assign(cohort=cohort_)
    text = dict(flags(evaluate(facts))).get(17, "")
    assert ("calibration was judged on the rows that were fitted only" in text) == said


def test_a_study_without_images_or_features_needs_no_guard_of_theirs():
    facts = sound() | {"signature": None, "weights": pd.DataFrame(), "univariable": pd.DataFrame()}
    del facts["study"]["images"]
    status = evaluate(facts).set_index("guard")["status"]
    assert (status[[8, 21, 23, 25, 38, 41, 42]] == "not applicable").all()


def test_fewer_than_five_events_per_candidate_stop_the_recommended_analysis_only():
    declared = settings() | {"preset": "recommended", "candidates": {"pre": ["afp"], "post": []}}
    assert too_few_events(declared, "a", 10, True) == []
    assert "9 training events; no model is fitted on fewer than 10" in too_few_events(declared, "a", 9, False)[0]
    two = declared | {"candidates": {"pre": ["afp", "afp"], "post": []}}
    assert "14 training events for 3 candidate columns" in too_few_events(two, "a", 14, True)[0]
    assert too_few_events(two, "a", 14, False) == []
    assert too_few_events(declared, "trial_replicate", 9, True) == []
    assert too_few_events(declared | {"preset": "ji2020"}, "a", 9, True) == []


def test_each_level_of_a_category_counts_as_a_candidate():
    grade = {"kind": "categorical", "levels": ["a", "b", "c", "d"]}
    declared = {"preset": "recommended", "candidates": {"pre": ["grade"], "post": []}, "variables": {"grade": grade}}
    assert "for 4 candidate columns" in too_few_events(declared, "a", 19, True)[0]


def test_patients_beyond_the_training_range_are_counted():
    risks = sound()["risks"]
    assert share_outside(risks, {"combined_pre": [-0.3, 1.0]}) == {"external-B": 0.5}


class TestCalibration:
    def text(self, *changes):
        facts = sound()
        for change in changes:
            change(facts)
        return dict(flags(evaluate(facts))).get(43, "")

    def test_each_kind_of_departure_is_named(self):
        too_high = measured_as("oe_ratio", estimate=0.24, lower=0.15, upper=0.38)
        assert "predicted risks are too high: observed / expected 0.24 (0.15 to 0.38) at 24 months" in self.text(
            too_high
        )
        assert "risks are too low" in self.text(measured_as("oe_ratio", estimate=1.5, lower=1.1, upper=2.0))
        assert "too extreme: slope 0.50" in self.text(measured_as("calibration_slope", estimate=0.5, upper=0.8))
        assert "not extreme enough" in self.text(measured_as("calibration_slope", estimate=1.6, lower=1.2, upper=2.0))
        worse = measured_as("ipa", estimate=-2.1, lower=np.nan, upper=np.nan)
        assert "the observed one: IPA -2.10 at 24 months" in self.text(worse)
        later = {"horizon_months": 60.0, "estimate": 0.4, "lower": 0.3, "upper": 0.6}

        def at_both_horizons(facts):
            table = facts["performance"]
            own = table[(table["metric"] == "oe_ratio") & (table["cohort"] == "external-B")]
            facts["performance"] = pd.concat([table, own.assign(**later)])

        once = self.text(too_high, at_both_horizons)
        assert "expected 0.24 (0.15 to 0.38) at 24 months, 0.40 (0.30 to 0.60) at 60 months." in once
        both = self.text(too_high, worse)
        assert both.startswith("Clinical and signature, before treatment, Centre B, external: ") and "IPA" in both

    def test_training_rows_that_were_fitted_are_not_judged(self):
        assert self.text(measured_as("ipa", "train-apparent", estimate=-1.0)) == ""

    def test_where_nobody_is_held_out_nested_predictions_are_judged(self):
        def nested_only(facts):
            table = facts["performance"]
            facts["performance"] = table.replace({"cohort": {"external-B": "train-nested_cv"}})

        off = measured_as("calibration_slope", "train-nested_cv", estimate=0.5, lower=0.3, upper=0.7)
        assert "Training, nested cross-validation: predictions are too extreme" in self.text(nested_only, off)

    def test_nested_predictions_that_are_off_are_said_beside_a_sound_external_centre(self):
        """A nested slope of 0.41 (0.05 to 0.89) stood beside "no departure was seen" in a small centre."""
        table = sound()["performance"]
        nested = table[table["cohort"] == "external-B"].assign(cohort="train-nested_cv")
        off = nested.copy()
        off.loc[off["metric"] == "calibration_slope", ["estimate", "lower", "upper"]] = 0.41, 0.05, 0.89
        said = calibration_reading(pd.concat([table, off]), "combined_pre")
        assert "Centre B, external: no departure was seen" in said
        assert "nested cross-validation: predictions are too extreme: slope 0.41 (0.05 to 0.89)" in said
        assert "nested" not in calibration_reading(pd.concat([table, nested]), "combined_pre")

    def test_other_models_are_named_and_the_size_of_the_tumour_alone_is_not(self):
        def more_models(facts):
            table = facts["performance"]
            ours = [table.assign(model=name) for name in ("combined_post", "size_only")]
            for part in ours:
                part.loc[part["metric"] == "ipa", "estimate"] = -0.2
            facts["performance"] = pd.concat([table, *ours])

        expected = "off: Clinical and signature, after treatment (Centre B, external); see performance.csv."
        assert self.text(more_models) == expected

    def test_it_is_not_applicable_where_nothing_could_be_judged(self):
        facts = sound()
        for metric in ("oe_ratio", "calibration_slope", "ipa"):
            measured_as(metric, estimate=np.nan, lower=np.nan, upper=np.nan)(facts)
        assert evaluate(facts).set_index("guard")["status"][43] == "not applicable"

    def test_the_summary_says_it_in_a_sentence(self):
        performance = sound()["performance"]
        said = calibration_reading(performance, "combined_pre")
        assert said.startswith("Calibration, Centre B, external: no departure was seen (40 events)")
        facts = sound()
        measured_as("ipa", estimate=-0.3)(facts)
        assert "predictions err more" in calibration_reading(facts["performance"], "combined_pre")
        blank_ = performance.assign(estimate=np.nan, lower=np.nan, upper=np.nan)
        assert (
            calibration_reading(blank_, "combined_pre") == "Calibration, Centre B, external: it could not be estimated."
        )

    def test_the_summary_of_the_report_holds_the_sentence(self, tmp_path):
        facts = sound()
        measured_as("oe_ratio", estimate=0.24, lower=0.15, upper=0.38)(facts)
        write_table(facts["performance"].assign(n=90), tmp_path / "validation/a/performance.csv")
        study = facts["study"] | {"horizons_months": [24], "endpoints": {"E": {"kind": "overall_survival"}}}
        assert "Calibration, Centre B, external: predicted risks are too high" in str(summary(tmp_path, study, "a"))


class TestMissingData:
    def text(self, **facts):
        return dict(flags(evaluate(sound() | facts))).get(26, "")

    def test_cells_of_held_out_patients_count(self):
        heldout = pd.DataFrame({"cohort": "external-B", "afp": [1.0, None, None]})
        said = self.text(heldout=heldout)
        assert "(Centre B, external, of 3 patients: afp 2)" in said and "disagree" not in said

    @pytest.mark.parametrize("ratio", ["hr", "or"])
    def test_complete_cases_that_disagree_are_said(self, ratio):
        train = pd.DataFrame({"cohort": "train", "afp": [1.0, None]})
        assert "disagree" not in self.text(train=train, coefficients=coefficients(2.0, 1.9, ratio))
        outside = self.text(train=train, coefficients=coefficients(4.0, 2.0, ratio))
        model = "Clinical and signature, before treatment"
        ours = f"{ratio.upper()} of AFP ({model}) 4.00 (2.67 to 6.00), on complete cases 2.00 (1.11 to 3.60)"
        assert f"Main estimates and those of complete cases disagree: {ours}." in outside
        assert "complete cases 1.60" in self.text(
            train=train, coefficients=coefficients(1.7, 1.6, ratio)
        )  # 1 is inside
        unknown = coefficients(2.0, np.nan, ratio)
        assert "on complete cases not estimable" in self.text(train=train, coefficients=unknown)

    def test_concordance_of_complete_cases_that_disagrees_is_said(self):
        facts = sound()
        facts["heldout"] = pd.DataFrame({"cohort": "external-B", "afp": [1.0, None, None]})
        measured_as("c_harrell_complete_cases", estimate=0.52, lower=0.4, upper=0.64)(facts)
        assert "in Centre B, external 0.75 (0.55 to 0.95), on complete cases 0.52" in self.text(**facts)


class TestEvaluations:
    def files(self, tmp_path, weight):
        write_json({"coef": weight}, tmp_path / "frozen" / "m.json")
        write_table(pd.DataFrame({"patient_id": ["a"]}), tmp_path / "heldout.csv")
        return tmp_path / "log.jsonl", tmp_path / "frozen", None, tmp_path / "heldout.csv"

    def test_the_same_models_are_logged_once_and_others_again(self, tmp_path):
        for weight in (1.0, 1.0, 2.0, 2.0):
            log_evaluation(*self.files(tmp_path, weight))
        assert len(set(read_evaluations(tmp_path / "log.jsonl"))) == 2

    def test_a_line_changed_by_hand_is_found(self, tmp_path):
        for weight in (1.0, 2.0, 3.0):
            log_evaluation(*self.files(tmp_path, weight))
        log = tmp_path / "log.jsonl"
        lines = log.read_text().splitlines()
        log.write_text("\n".join([lines[0], lines[2]]) + "\n")
        with pytest.raises(StudyError, match="line 2 was changed by hand"):
            read_evaluations(log)

    def test_a_log_without_lines_is_no_evaluation(self, tmp_path):
        assert read_evaluations(tmp_path / "none.jsonl") == []


def test_other_splits_refit_everything_and_the_used_one_is_marked():
    train = cohort()
    rows = np.arange(80, 120)
    frame = train.clinical.iloc[rows].assign(
        patient_id=train.patient_id[rows], time=train.outcome.time[rows], event=train.outcome.event[rows], centre="A"
    )
    everyone = joined(train.rows(np.arange(80)), frame.reset_index(drop=True), train.features[rows])
    assert list(everyone.patient_id) == list(train.patient_id)
    chosen = settings() | {"models": ["signature", "clinical_pre"]}
    split = {"kind": "random", "train_fraction": 2 / 3}
    table = split_distribution(everyone, np.arange(120) < 80, split, chosen, 1, 2)
    assert table.groupby("model").size().to_dict() == {"clinical_pre": 3, "signature": 3}
    assert table.groupby("split")["used"].max().tolist() == [1, 0, 0]
    assert table["c_test"].between(0, 1).all() and table.groupby("model")["c_test"].nunique().min() > 1
    again = split_distribution(everyone, np.arange(120) < 80, split, chosen, 1, 2)
    pd.testing.assert_frame_equal(table, again)
    assert json.loads(table.to_json())


class TestBeyondTheTrainingValues:
    """60 patients of an external centre all lay outside and guard 22 was clear: it saw winsorised values only."""

    def ranges(self, shift):
        rng = np.random.default_rng(1)
        train = pd.DataFrame({"cohort": "train", "f1": rng.normal(size=150), "afp": rng.normal(size=150)})
        held = pd.DataFrame({"cohort": "external-B", "f1": rng.normal(shift, 1, 60), "afp": rng.normal(size=60)})
        return outside_training(train, held, {"f1": "feature", "afp": "clinical"})

    def test_a_cohort_of_the_same_kind_is_clear(self):
        assert 22 not in fired(sound() | {"ranges": self.ranges(0)})

    def test_a_cohort_outside_is_named_with_the_predictor_and_the_count(self):
        table = self.ranges(50)
        assert table.set_index("predictor")["outside"].to_dict()["f1"] == 60
        text = dict(flags(evaluate(sound() | {"ranges": table})))[22]
        assert text == "values of external-B lie outside the training range, as measured: f1 60 of 60."

    def test_what_the_models_use_is_judged_and_nothing_else(self):
        model = {"terms": [{"term": "afp", "kind": "numeric"}, {"term": "sex", "kind": "binary"}]}
        assert predictors_used({"m": model}, {"features": [{"name": "f1"}]}) == {"f1": "feature", "afp": "clinical"}


def test_discrimination_in_training_alone_may_be_perfect_before_nested_folds():
    facts = sound()
    measured_as("c_harrell", "train-apparent", estimate=0.99)(facts)
    assert 44 not in fired(facts)
    facts["performance"]["cohort"] = facts["performance"]["cohort"].replace("train-apparent", "train-nested_cv")
    assert 44 in fired(facts)


def statuses(**facts):
    return evaluate(sound() | facts).set_index("guard")["status"]


def nothing(facts):
    """The facts of a run whose tables hold rows without a number."""
    for name, value in facts.items():
        if isinstance(value, pd.DataFrame):
            numbers = value.select_dtypes("number").columns
            facts[name] = value.assign(**dict.fromkeys(numbers, np.nan))


def no_rows(facts):
    """The facts of a run that made none of the tables that guards read, or tables without rows."""
    for name, value in facts.items():
        if isinstance(value, pd.DataFrame):
            facts[name] = value.iloc[:0]
    facts["evaluations"] = []


COUNTS = {5, 8, 11, 26, 33, 41}  # judge counts of rows, terms and runs, which are there
MEASURED = [6, 7, 12, 13, 14, 15, 17, 20, 21, 22, 31, 34, 38, 40, 43, 44]  # guards that judge numbers of tables


@pytest.mark.parametrize("absent", [nothing, no_rows])
def test_a_guard_whose_numbers_are_missing_is_never_clear(absent):
    """Guard 21 was clear on correlations that were all NaN, as if no feature followed the volume."""
    facts = sound()
    facts["models"] = {"combined_pre": MODEL | {"cutpoint": {"lp": 0.5, "p_corrected": None}}}
    absent(facts)
    status = evaluate(facts).set_index("guard")["status"]
    assert status[MEASURED][status[MEASURED] == "clear"].index.tolist() == []


def no_models(facts):
    """The facts of a run that froze nothing and held out nobody."""
    no_rows(facts)
    facts["models"], facts["signature"] = {}, None


def clinical_only(facts):
    """The facts of a study of a clinical table without any candidate, before its tables are there."""
    no_models(facts)
    facts["study"]["analyses"]["a"]["use_features"] = False
    facts["study"]["candidates"] = {"pre": [], "post": []}
    del facts["study"]["images"]


def timeless(facts):
    no_models(facts)
    facts["study"]["endpoints"]["E"] = {"kind": "binary", "column": "x"}
    facts["study"]["clinical"]["variables"]["afp"]["column"] = "afp"


# guards of settings alone: no table, model or patient is needed to judge them
OF_SETTINGS = {9, 18, 19, 25, 39}
ABSENT = [nothing, no_rows, no_models, clinical_only, timeless]


@cache
def statuses_without(absent):
    facts = sound()
    facts["models"] = {"combined_pre": MODEL | {"cutpoint": {"lp": 0.5, "p_corrected": None}}}
    absent(facts)
    return evaluate(facts).set_index("guard")["status"]


@pytest.mark.parametrize("absent", ABSENT)
@pytest.mark.parametrize("number", sorted(set(CHECKS) - OF_SETTINGS))
def test_a_guard_that_had_nothing_to_judge_is_never_clear(number, absent):
    if absent in (nothing, no_rows) and number in COUNTS:
        return
    assert statuses_without(absent)[number] != "clear"


def test_errors_that_need_dates_scores_or_ranges_are_blocked_only_where_there_are_any():
    assert (statuses()[[27, 28, 29, 35]] == "not applicable").all()
    facts = sound()
    facts["study"]["comparators"] = {}
    facts["study"]["clinical"]["dates"] = {"t0": "t"}
    facts["study"]["clinical"]["variables"]["afp"]["range"] = [0, 1]
    assert (evaluate(facts).set_index("guard")["status"][[27, 28, 29, 35]] == "blocked").all()


@pytest.mark.parametrize(
    "known, status",
    [({}, "clear"), ({"slice_thickness_mm": np.nan}, "not applicable"), ({"kernel": None}, "not applicable")],
)
def test_acquisition_of_which_a_part_is_unknown_is_not_clear(known, status):
    table = sound()["acquisition"].assign(**known)
    row = evaluate(sound() | {"acquisition": table}).set_index("guard").loc[23]
    assert row["status"] == status and ("not known: " in row["text"]) == (status != "clear")


def test_centres_that_the_features_were_not_tried_on_are_not_clear():
    found = DIAGNOSTICS[DIAGNOSTICS["guard"] != 22]
    assert statuses(diagnostics=found)[22] == "not applicable" and statuses()[22] == "clear"


def test_a_part_of_the_correlations_is_judged_and_counted():
    weights = pd.DataFrame({"feature": ["f1", "f2", "f3"], "volume_rho": [0.9, 0.1, np.nan]})
    assert "1 of 2 features of the signature" in dict(flags(evaluate(sound() | {"weights": weights})))[21]


def test_rates_equal_to_proportions_are_right_where_censoring_came_after_the_last_event():
    rates = sound()["rates"].assign(survival=0.75)
    assert statuses(risks=of_times([10.0, 12.0, 14.0, 40.0], [1, 0, 0, 0]), rates=rates)[17] == "clear"
    assert statuses(risks=of_times([12.0, 20.0, 40.0, 50.0], [0, 1, 0, 0]), rates=rates)[17] == "fired"


def test_a_model_without_terms_says_nothing_of_the_horizon():
    """An empty signature ranks nobody: its blank AUC is no lack of follow-up."""
    table = sound()["performance"]
    empty = table[table["metric"] == "auc"].assign(model="signature", estimate=np.nan)
    models = {"combined_pre": MODEL, "signature": MODEL | {"terms": []}}
    assert statuses(performance=pd.concat([table, empty]), models=models)[34] == "clear"
    only = {"signature": MODEL | {"terms": []}}
    risks = sound()["risks"].assign(model="signature")
    assert statuses(performance=empty, models=only, risks=risks)[34] == "not applicable"


def test_errors_that_a_study_of_tables_cannot_make_are_not_called_blocked():
    facts = sound()
    del facts["study"]["images"]
    facts["study"]["analyses"]["a"]["use_features"] = False
    facts["study"]["clinical"]["variables"] = {}
    facts["study"]["candidates"] = {"pre": [], "post": []}
    status = evaluate(facts).set_index("guard")["status"]
    assert (status[[2, 3, 4, 24]] == "not applicable").all() and status[1] == "blocked"


def test_patients_without_a_prediction_are_not_counted_as_inside_the_training_range():
    risks = of_times([1.0, 2.0, 3.0], [0, 0, 0]).assign(lp=[9.0, np.nan, np.nan])
    assert share_outside(risks, {"combined_pre": [-3.0, 3.0]}) == {"external-B": 1.0}
