import numpy as np
import oracle
import pytest

from recur.predict import nomogram as n
from tests.statistics.test_linear_predictor import fitted

TERMS = [
    {"name": "size", "coef": 0.2, "values": [0, 5, 10]},
    {"name": "margin", "coef": -0.5, "values": [0, 1]},
    {"name": "stage", "values": ["I", "II", "III"], "effects": [0, 0.4, 1.1]},
]


@pytest.mark.reference
def test_equal_to_rms_with_given_axes():
    v = oracle.items("rotterdam_gbsg", "nomogram")["nomogram_given_axes"]["values"]
    coef = v["coef"]
    terms = [
        {"name": "age", "coef": coef["age"], "values": list(range(20, 91, 10))},
        {
            "name": "size_cat",
            "values": ["<=20", "20-50", ">50"],
            "effects": [0, coef["size_cat=20-50"], coef["size_cat=>50"]],
        },
        {"name": "grade3", "coef": coef["grade3"], "values": [0, 1]},
        {"name": "enodes", "coef": coef["enodes"], "values": np.arange(11) / 10},
    ]
    equation = n.nomogram_equation(terms)
    assert equation["points_per_lp"] == pytest.approx(v["points_per_lp_unit"], rel=1e-12)
    assert equation["lp_at_zero"] - v["center"] == pytest.approx(v["lp_at_zero_points"], abs=1e-12)
    s2 = v["surv2_at_total_points"][0] ** np.exp(-v["lp_at_zero_points"])
    r = v["axis_fun_S2"]
    table = n.nomogram_points(terms, {"risk_2": s2}, v["center"], [1 - float(s) for s in r["value"]]).groupby("axis")
    for axis in v["points"]:
        points = table.get_group(axis["variable"])["points"]
        assert np.abs(points.to_numpy() - axis["points"]).max() < 1e-9
    # rms reads its survival axis off a grid by interpolation
    assert np.abs(table.get_group("risk_2")["points"].to_numpy() - r["total_points"]).max() < 1e-4
    total = n.total_points(np.array(v["first20_lp"]) + v["center"], equation)
    assert np.abs(total - v["first20_total_points"]).max() < 1e-9
    lp = equation["lp_at_zero"] + total / equation["points_per_lp"] - v["center"]
    assert np.abs(s2 ** np.exp(lp) - v["first20_surv2"]).max() < 1e-9


def test_points_add_up_to_the_linear_predictor():
    equation = n.nomogram_equation(TERMS)
    table = n.nomogram_points(TERMS)
    points = {axis: rows["points"].to_list() for axis, rows in table.groupby("axis")}
    assert points["size"] == pytest.approx([0, 50, 100]) and points["margin"] == pytest.approx([25, 0])
    lp = 0.2 * 5 - 0.5 + 1.1
    total = points["size"][1] + points["margin"][1] + points["stage"][2]
    assert n.total_points(lp, equation) == pytest.approx(total)
    assert equation["lp_at_zero"] + total / equation["points_per_lp"] == pytest.approx(lp, abs=1e-12)
    assert equation["max_points"] == pytest.approx(180)


def test_risk_axis_is_the_models_risk():
    table = n.nomogram_points(TERMS, {"risk_24": 0.8}, center=0.7, risks=[0.001, 0.2, 0.5, 0.999])
    axis, equation = table[table["axis"] == "risk_24"], n.nomogram_equation(TERMS)
    assert list(axis["value"]) == [0.2, 0.5]
    lp = equation["lp_at_zero"] + axis["points"] / equation["points_per_lp"]
    assert (1 - 0.8 ** np.exp(lp - 0.7)).to_numpy() == pytest.approx(axis["value"].to_numpy(), abs=1e-12)


def column(name, coef, mean, low, high, kind="numeric", transform="none"):
    return {
        "name": name,
        "term": name,
        "coef": coef,
        "mean": mean,
        "low": low,
        "high": high,
        "kind": kind,
        "transform": transform,
    }


def test_tables_of_frozen_models():
    model = {
        "terms": [
            column("afp", 0.135, 4.0, 2.0, 35000.0, transform="ln"),
            column("margin", 0.608, 0.4, 0.0, 1.0, kind="binary"),
            column("grade", 0.3, 2.0, 1.0, 4.0, kind="ordinal"),
            column("signature", 1.26, 0.1, -1.3, 2.2, kind="signature"),
        ],
        "baseline": {"time": [12.0, 24.0], "survival": [0.9, 0.75]},
        "horizons_months": [24, 60, 120],
        "follow_up_months": 100.0,  # an axis of the risk by 120 months would be extrapolated
    }
    table = n.nomogram_tables({"combined_pre": model, "empty": model | {"terms": []}})
    assert set(table["model"]) == {"combined_pre"}
    axes = {axis: rows for axis, rows in table.groupby("axis")}
    assert list(axes) == ["afp", "grade", "margin", "risk_24", "risk_60", "signature", "total"]
    assert list(axes["afp"]["value"]) == [2, 10, 100, 1000, 10000, 35000]
    assert list(axes["grade"]["value"]) == [1, 2, 3, 4] and axes["signature"]["points"].max() == pytest.approx(100)
    # a patient's points on every axis give the model's own linear predictor and risk
    picked = {"afp": 100, "margin": 1, "grade": 3, "signature": 1}
    total = sum(axes[a].loc[axes[a]["value"] == v, "points"].iloc[0] for a, v in picked.items())
    lp = 0.135 * (np.log(100) - 4) + 0.608 * 0.6 + 0.3 + 1.26 * 0.9
    assert np.interp(total, axes["total"]["points"], axes["total"]["value"]) == pytest.approx(lp, abs=1e-9)
    risk = axes["risk_24"]
    at_risk = np.log(np.log1p(-risk["value"]) / np.log(0.75))
    assert np.interp(risk["points"], axes["total"]["points"], axes["total"]["value"]) == pytest.approx(
        at_risk, abs=1e-9
    )
    assert n.nomogram_tables({}).columns.to_list() == ["model", "axis", "value", "points", "label"]


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [(0.03, 0.89, [0, 0.2, 0.4, 0.6, 0.8, 1]), (29, 83, [20, 30, 40, 50, 60, 70, 80, 90]), (4, 4, [4])],
)
def test_pretty(low, high, values):
    assert list(n.pretty(low, high)) == values


def test_no_effect_no_nomogram():
    with pytest.raises(ValueError, match="no term"):
        n.nomogram_equation([{"name": "a", "coef": 0.0, "values": [0, 1]}])


@pytest.mark.parametrize("kind", ["youden", "horizon"])
def test_a_logistic_model_has_one_risk_axis_without_a_time(kind):
    _, model, _ = fitted(1, kind, ["b0", "size"])
    table = n.nomogram_tables({"clinical_pre": model})
    assert list(dict.fromkeys(table["axis"])) == ["b0", "size", "total", "risk"]
