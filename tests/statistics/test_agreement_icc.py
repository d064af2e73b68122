import numpy as np
import oracle
import pytest

from recur.statistics.agreement import icc_2_1

# Shrout & Fleiss 1979, table 2: six targets, four judges; ICC(2,1) = 0.29
JUDGES = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


@pytest.mark.reference
def test_equal_to_psych():
    data = oracle.table("icc_readers")
    r = oracle.items("icc_readers", "icc")["icc_anova"]["values"]
    readings = [data[data["reader"] == k].sort_values("subject")[r["feature"]].to_numpy() for k in ("r1", "r2")]
    ours = icc_2_1(np.stack(readings, axis=1))
    for column, name in (("icc", "icc"), ("lower", "lower95"), ("upper", "upper95")):
        assert oracle.worst(ours[column], r["ICC2"][name]) < 1e-8


def test_shrout_and_fleiss():
    ours = icc_2_1(JUDGES).iloc[0]
    assert ours["icc"] == pytest.approx(0.2898, abs=1e-4)
    assert ours["lower"] == pytest.approx(0.019, abs=1e-3) and ours["upper"] == pytest.approx(0.761, abs=1e-3)


def test_features_do_not_touch_each_other_and_units_do_not_matter():
    ratings = np.stack([JUDGES, 1e9 + 1e-3 * JUDGES[::-1], 1e-200 * JUDGES], axis=2)
    ours = icc_2_1(ratings)
    for column in ours:
        assert ours[column].to_numpy() == pytest.approx([icc_2_1(JUDGES)[column][0]] * 3, rel=1e-3)


def test_perfect_agreement_and_no_variation():
    same = np.repeat(JUDGES[:, :1], 2, axis=1)
    ours = icc_2_1(np.stack([same, np.ones((6, 2))], axis=2))
    assert ours.iloc[0].to_list() == [1, 1, 1] and ours.iloc[1].isna().all()


def test_what_cannot_be_rated_is_refused():
    with pytest.raises(ValueError, match="two readers"):
        icc_2_1(JUDGES[:, :1])
    with pytest.raises(ValueError, match="missing"):
        icc_2_1(np.where(JUDGES == 10, np.nan, JUDGES))
