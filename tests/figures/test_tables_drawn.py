"""The tables that only figures read: equations, balance, subgroups, incidence, clusters, cut-points, the example."""

import numpy as np
import pandas as pd
import pytest
from frozen import BASE, analyses, clinical_rows, training
from lifelines import AalenJohansenFitter
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.spatial.distance import pdist
from scipy.stats import norm

from recur.cohort.table1 import make_table1
from recur.features.example import NO_FEATURE, chosen_patient, example_tables, mapped_feature
from recur.fit.model_checks import cutpoint_scan
from recur.images.case_file import Case
from recur.predict.apply import apply_model
from recur.predict.equation import equation_table
from recur.statistics.roc import auc
from recur.validation.heatmap import annotation, heatmap, shown_features
from recur.validation.incidence import incidence_table
from recur.validation.subgroups import heterogeneity, subgroups


@pytest.fixture(scope="module")
def found():
    return analyses()


def test_the_equation_gives_the_models_risk(found):
    _, models = found["recommended"]
    model = models["combined_pre"]
    table = equation_table({"combined_pre": model})
    rows = clinical_rows(20, 5, 0.0)
    score = np.linspace(-1, 1, 20)
    lp = np.full(20, table.loc[table["part"] == "constant", "value"].iloc[0])
    for term in table[table["part"] == "term"].itertuples():
        values = score if term.name == "signature" else design(rows, term.name)
        lp += term.value * (np.log(values) if term.transform == "ln" else values)
    expected = apply_model(model, rows, score)
    np.testing.assert_allclose(lp, expected["lp"], rtol=1e-12, atol=1e-12)
    survival = table[table["part"] == "survival"].set_index("name")["value"]
    np.testing.assert_allclose(1 - survival["24"] ** np.exp(lp), expected["risk_24"], rtol=1e-12)
    levels = table[(table["part"] == "level") & (table["name"] == "margin")].set_index("value")["label"]
    assert levels.to_dict() == {0: "smooth", 1: "non-smooth"}
    assert set(table.loc[table["name"] == "afp", "label"]) == {"AFP"}


def design(rows: pd.DataFrame, name: str) -> np.ndarray:
    """The column of a term, or of one level of a category."""
    if name in rows:
        return rows[name].to_numpy()
    places = {"HBV": 0, "HCV": 1, "other <b>": 2}
    code = next(place for level, place in places.items() if place and name.endswith(("_" + level, f"_{place}", level)))
    return (rows["cause"] == code).to_numpy(float)


def test_with_a_competing_event_there_is_no_survival_to_raise_to_a_power(found):
    _, models = found["competing"]
    assert "survival" not in set(equation_table(models)["part"])


def test_balance_is_the_difference_of_means_in_standard_deviations():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"cohort": ["train"] * 60 + ["external-B, west"] * 40, "age": rng.normal(60, 8, 100)})
    frame.loc[60:, "age"] += 5
    frame = frame.assign(event=rng.integers(0, 2, 100), time=rng.uniform(1, 60, 100))
    age = BASE | {"column": "age", "kind": "numeric", "label": "Age", "unit": "years"}
    _, balance = make_table1(frame, {"age": age})
    row = balance[balance["variable"] == "Age (years)"].iloc[0]
    a, b = (frame.loc[frame["cohort"] == cohort, "age"] for cohort in ("train", "external-B, west"))
    assert row["smd"] == pytest.approx(abs(a.mean() - b.mean()) / np.sqrt((a.var() + b.var()) / 2), abs=6e-4)
    assert {row["cohort_a"], row["cohort_b"]} == {"train", "external-B, west"}


def held_out() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A model that ranks well in men and not at all in women."""
    rng = np.random.default_rng(2)
    n = 400
    male = np.arange(n) % 2
    lp = rng.normal(0, 1, n)
    time = rng.exponential(np.exp(-1.5 * lp * male)) * 20
    frame = pd.DataFrame({"patient_id": [f"p{i}" for i in range(n)], "cohort": "test", "male": male.astype(float)})
    frame = frame.assign(
        time=np.minimum(time, 60), event=(time < 60).astype(int), rare=(np.arange(n) < 8).astype(float)
    )
    return frame[["patient_id", "cohort", "time", "event"]].assign(model="signature", lp=lp, group="low"), frame


def test_subgroups_find_where_a_model_fails():
    risks, frame = held_out()
    variables = {
        "male": BASE | {"kind": "binary", "label": "Male"},
        "rare": BASE | {"kind": "binary", "label": "Rare"},
    }
    table = subgroups(risks, frame, ["male", "rare"], variables).set_index(["factor", "level"])
    assert table.loc[("Male", "yes"), "estimate"] > 0.75 > 0.55 > table.loc[("Male", "no"), "estimate"]
    assert table.loc[("Male", "yes"), "p_heterogeneity"] < 1e-6
    assert table.loc[("all", ""), "n"] == 400
    assert np.isnan(table.loc[("Rare", "yes"), "estimate"]) and table.loc[("Rare", "yes"), "n"] == 8


def test_subgroups_of_a_binary_outcome_have_the_auc_of_delong():
    risks, frame = held_out()
    own = frame.drop(columns="time").assign(event=(frame["time"] < 15).astype(int))
    risks = risks.drop(columns="time").assign(event=own["event"], risk=0.5)
    male = {"male": BASE | {"kind": "binary", "label": "Male"}}
    table = subgroups(risks, own, ["male"], male).set_index(["factor", "level"])
    assert set(table["metric"]) == {"auc"}
    part = own["male"] == 1
    value = auc(own.loc[part, "event"], risks.loc[part, "lp"])
    row = table.loc[("Male", "yes")]
    assert row[["estimate", "lower", "upper"]].tolist() == [value[key] for key in ("estimate", "lower", "upper")]
    assert row["p_heterogeneity"] < 1e-6 and row["events"] == own.loc[part, "event"].sum()
    few = risks.assign(event=(np.arange(400) < 391).astype(int))  # nine without it
    assert subgroups(few, own, [], {})["estimate"].isna().all()


def test_two_equal_estimates_are_not_heterogeneous_and_two_far_ones_give_the_z_test():
    assert heterogeneity([(0.7, 0.6, 0.8), (0.7, 0.6, 0.8)]) == pytest.approx(1)
    se = 0.1 / norm.ppf(0.975)
    z = 0.1 / np.hypot(se, se)
    assert heterogeneity([(0.7, 0.6, 0.8), (0.8, 0.7, 0.9)]) == pytest.approx(2 * norm.sf(z))
    assert np.isnan(heterogeneity([(0.7, 0.6, 0.8), (np.nan, np.nan, np.nan)]))


def test_incidence_of_both_causes_is_lifelines():
    rng = np.random.default_rng(4)
    n = 120
    endpoints = pd.DataFrame({"patient_id": [f"p{i}" for i in range(n)], "CR_time": rng.permutation(n) + 1.0})
    endpoints["CR_event"] = rng.choice([0, 1, 2, np.nan], n, p=[0.3, 0.4, 0.2, 0.1])
    risks = pd.DataFrame({"patient_id": endpoints["patient_id"], "model": "signature", "cohort": "test"})
    table = incidence_table(risks.assign(group=np.where(np.arange(n) % 2, "low", "high")), endpoints, "CR")
    known = endpoints.dropna()
    for cause, code in (("event", 1), ("competing", 2)):
        own = table[(table["model"] == "all") & (table["cause"] == cause)]
        fitted = AalenJohansenFitter(calculate_variance=False).fit(known["CR_time"], known["CR_event"], code)
        expected = fitted.cumulative_density_.iloc[:, 0]
        np.testing.assert_allclose(own["incidence"], expected.loc[own["time"]], atol=1e-12)
    assert set(table["group"]) == {"all", "low", "high"}


def test_every_cut_is_in_the_scan_and_the_frozen_one_is_the_best(found):
    train = training()
    _, models = found["recommended"]
    own = {"clinical_pre": models["clinical_pre"]}
    scan = cutpoint_scan(train, None, own)
    best = scan.loc[scan["statistic"].idxmax()]
    assert best["chosen"] == 1 and scan["chosen"].sum() == 1
    assert best["cutpoint"] == pytest.approx(own["clinical_pre"]["cutpoint"]["lp"], abs=1e-12)
    assert best["p_corrected"] == pytest.approx(own["clinical_pre"]["cutpoint"]["p_corrected"])
    assert best["p"] == pytest.approx(2 * norm.sf(best["statistic"])) and best["p"] < best["p_corrected"]
    assert scan["p_corrected"].notna().sum() == 1


def test_clusters_keep_alike_patients_and_features_together():
    rng = np.random.default_rng(6)
    kind = np.arange(40) % 2
    x = np.column_stack([kind * 8 + rng.normal(size=40), -kind * 8 + rng.normal(size=40), rng.normal(size=40)])
    ids = [f"p{i}" for i in range(40)]
    values, clusters = heatmap(ids, np.column_stack([x, np.ones(40)]), ["a", "b", "c", "constant"], 1)
    features, order = list(dict.fromkeys(values["feature"])), list(dict.fromkeys(values["patient_id"]))
    assert set(features) == {"a", "b", "c"} and abs(features.index("a") - features.index("b")) == 1
    kinds = [kind[ids.index(patient)] for patient in order]
    assert np.abs(np.diff(kinds)).sum() == 1  # one kind, then the other
    merges = clusters.loc[clusters["axis"] == "patient", ["left", "right", "height", "size"]].to_numpy()
    z = values.pivot(index="patient_id", columns="feature", values="z").loc[order].to_numpy()
    # the tree is that of the patients in the order they are shown
    np.testing.assert_allclose(cophenet(merges), cophenet(linkage(pdist(z), "average")), rtol=1e-9)
    assert len(merges) == 39 and merges[-1, 3] == 40


def test_a_heatmap_of_one_feature_or_none_is_no_error():
    values, clusters = heatmap(["p1", "p2", "p3"], np.array([[1.0], [2.0], [4.0]]), ["a"], 1)
    assert len(values) == 3 and set(clusters["axis"]) == {"patient"}
    values, clusters = heatmap(["p1", "p2"], np.zeros((2, 0)), [], 1)
    assert values.empty and clusters.empty


def test_the_signature_comes_before_what_enters_the_path():
    path = pd.DataFrame({"lambda": [0.3, 0.2, 0.2, 0.1], "feature": ["a", "a", "b", "c"], "coef": [0, 0.1, 0.2, 0.1]})
    weights = pd.DataFrame({"feature": ["c", "a"], "weight": [-0.5, 0.1]})
    assert shown_features(path, weights) == ["c", "a", "b"]


def test_annotation_has_names_of_levels_and_no_row_for_what_is_missing():
    frame = pd.DataFrame({"patient_id": ["p1", "p2"], "event": [0, 1], "mvi": [1.0, np.nan]})
    groups = pd.DataFrame({"patient_id": ["p1", "p2"], "group": ["low", "high"]})
    mvi = BASE | {"kind": "binary", "label": "MVI", "negative": "0", "positive": "1"}
    table = annotation(frame, groups, ["mvi"], {"mvi": mvi}).set_index(["patient_id", "name"])["text"]
    assert table["p1", "mvi"] == "yes" and ("p2", "mvi") not in table.index
    assert table["p2", "group"] == "high" and table["p1", "event"] == "no"


def cases() -> pd.DataFrame:
    rows = [
        (patient, phase, reader, "ok", str(ml))
        for patient, ml in (("a", 2.0), ("b", 5.0), ("c", 30.0), ("held", 5.0))
        for phase in ("AP", "PVP")
        for reader in ("reader1", "reader2")[: 1 if patient == "b" else 2]
    ]
    return pd.DataFrame(rows, columns=["patient_id", "phase", "reader", "status", "tumour_ml"])


def test_the_example_is_a_typical_training_patient_read_twice():
    assert chosen_patient(cases(), {"a", "b", "c"}, ["AP", "PVP"]) == "a"  # b is the median, but read once
    one = cases()[cases()["reader"] == "reader1"]
    assert chosen_patient(one, {"a", "b", "c"}, ["AP", "PVP"]) == "b"
    assert chosen_patient(one[one["phase"] == "AP"], {"a", "b"}, ["AP", "PVP"]) is None
    assert chosen_patient(one.assign(status="excluded"), {"a", "b"}, ["AP", "PVP"]) is None


def test_the_mapped_feature_is_the_heaviest_of_the_unfiltered_image():
    names = ["AP_rim_wavelet-LLH_glcm_Contrast", "AP_tumour_original_shape_Sphericity", "AP_rim_original_glcm_Idm"]
    assert mapped_feature(pd.DataFrame({"feature": names, "weight": [0.9, -0.8, 0.1]})) == "original_glcm_Idm"
    assert mapped_feature(pd.DataFrame({"feature": ["f12"], "weight": [1.0]})) == NO_FEATURE


def test_the_example_shows_the_slice_with_most_tumour_and_a_map_of_both_regions():
    z, y, x = np.indices((12, 40, 40))
    distance = np.sqrt((2.0 * (z - 6)) ** 2 + (y - 20) ** 2 + (x - 18) ** 2)
    labels = np.where(distance < 6, 1, np.where(distance < 10, 2, 4)).astype(np.uint8)
    image = np.where(distance < 6, 40.0, 100.0) + np.random.default_rng(1).normal(0, 1, distance.shape)
    eye = np.eye(3).ravel()
    facts = {"regions": {"tumour": 1, "rim": 2, "liver": 4}, "modality": "CT"}
    case = Case(image.astype(np.float32), labels, np.array([1.0, 1.0, 2.0]), eye, np.array([40, 40, 12]),
                np.zeros(3, int), np.zeros(3), facts)  # fmt: skip
    settings = {"spacing_mm": [1, 1, 1], "image_types": ["Original"], "feature_set": "full851", "bin_width": 25,
                "bin_count": None, "interpolator": "sitkBSpline", "pad_distance": 5, "resegment": None}  # fmt: skip
    pixels, views = example_tables({"AP": [case]}, "original_firstorder_Median", settings)
    assert views[["phase", "slice", "slices", "feature"]].values.tolist() == [
        ["AP", 7, 12, "original_firstorder_Median"]
    ]
    assert pixels["tumour"].sum() == (labels[6] == 1).sum() and pixels["rim"].sum() == (labels[6] == 2).sum()
    inside = pixels["tumour"] + pixels["rim"] > 0
    assert pixels.loc[inside, "map"].notna().all() and pixels.loc[~inside, "map"].isna().all()
    middle = pixels[pixels["tumour"] == 1]
    assert middle["map"].median() == pytest.approx(40, abs=1.5)
    assert not pixels["other_reader"].any()
