"""Agreement of readers against R (psych, vcd), irrCAC and geometry."""

import numpy as np
import oracle
import pytest
import SimpleITK as sitk

from recur.images.mask_agreement import mask_agreement
from recur.statistics import agreement as ag
from recur.statistics.agreement import icc_2_1

TWO, THREE = [[58, 14], [15, 26]], [[17, 23, 24], [2, 11, 4], [9, 16, 7]]


@pytest.mark.reference
@pytest.mark.parametrize("item", ["poor_vs_s100b>0.205", "s100b>0.205_vs_ndka>11.08", "three_levels"])
def test_kappa_equals_psych_and_vcd(item):
    r = oracle.items("asah", "agreement")[f"kappa/{item}"]["values"]
    plain, weighted = ag.kappa(r["table"]), ag.kappa(r["table"], "quadratic")
    ours = [plain["estimate"], plain["lower"], plain["upper"], plain["se"], weighted["estimate"]]
    keys = ["kappa", "lower95", "upper95", "vcd_ase", "weighted_kappa_quadratic"]
    assert oracle.worst(ours, [r[key] for key in keys]) < 1e-9


def test_weighted_kappa_equals_vcd():
    """unlist(vcd::Kappa(t)) and Kappa(t, weights = "Fleiss-Cohen"). psych's error of a weighted kappa differs."""
    linear, quadratic = ag.kappa(THREE, "linear"), ag.kappa(THREE, "quadratic")
    assert [linear["estimate"], linear["se"]] == pytest.approx([-0.0329407889318950, 0.0659587591692650], rel=1e-9)
    assert [quadratic["estimate"], quadratic["se"]] == pytest.approx(
        [-0.0861254412163996, 0.0843857337563536], rel=1e-9
    )


@pytest.mark.parametrize(
    ("table", "ac1", "se"), [(TWO, 0.524831436236, 0.08212941335938), (THREE, -0.029101841852, 0.06590398647882)]
)
def test_ac1_equals_irrcac_and_the_delta_method(table, ac1, se):
    """Values of irrCAC 0.4.4 (table.CAC.gwet; error to 8 digits) and of R by a numerical gradient."""
    ours = ag.gwet_ac1(table)
    assert ours["estimate"] == pytest.approx(ac1, abs=1e-11)
    assert ours["se"] == pytest.approx(se, abs=1e-9)


def test_pabak_is_twice_the_agreement_less_one():
    ours = ag.pabak(TWO)
    assert ours["estimate"] == pytest.approx(2 * 84 / 113 - 1)
    assert [ours["lower"], ours["upper"]] == pytest.approx(
        [2 * x - 1 for x in (0.655761320031388, 0.814962005020583)], abs=1e-9
    )


def test_a_rare_finding_lowers_kappa_but_not_ac1():
    rare = [[95, 2], [2, 1]]
    assert ag.kappa(rare)["estimate"] < 0.35
    assert ag.gwet_ac1(rare)["estimate"] > 0.94


def test_levels_keep_their_order_and_unused_ends_do_not_count():
    table = ag.cross_table(["a", "b", "c"], ["a", "c", "c"], ["z", "a", "b", "c"])
    assert table.tolist() == [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert ag.kappa(table, "linear")["estimate"] == ag.kappa(table[1:, 1:], "linear")["estimate"]
    with pytest.raises(ValueError, match="outside the levels: d"):
        ag.cross_table(["d"], ["a"], ["a", "b"])


def test_without_variation_there_is_no_kappa():
    assert "same level" in ag.kappa([[0, 0], [0, 9]])["reason"]
    rows = {row["coefficient"]: row for row in ag.categories([[0, 0], [0, 9]], ordinal=False)}
    assert rows["agreement"]["estimate"] == 1 and np.isnan(rows["kappa"]["estimate"])
    assert "no error" in ag.kappa([[4, 0], [0, 5]])["reason"]


def box(corner, size=(6, 5, 4), shape=(24, 20, 16), spacing=(0.5, 1.0, 2.0)):
    array = np.zeros(shape[::-1], np.uint8)
    x, y, z = corner
    array[z : z + size[2], y : y + size[1], x : x + size[0]] = 1
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    return image


@pytest.mark.parametrize(("shift", "mm"), [((2, 0, 0), 1.0), ((0, 3, 0), 3.0), ((0, 0, 1), 2.0)])
def test_a_shifted_mask_is_as_far_away_as_it_was_shifted(shift, mm):
    first, second = box((5, 5, 5)), box(tuple(np.add((5, 5, 5), shift)))
    row = mask_agreement(first, second)
    step = max(shift)
    kept = dict(zip((2, 3, 1), (4 / 6, 2 / 5, 3 / 4), strict=True))[step]
    assert row["dice"] == pytest.approx(kept)
    assert row["hausdorff_mm"] == pytest.approx(mm)
    assert row["volume_a_ml"] == pytest.approx(6 * 5 * 4 * 1.0 / 1000)
    reference = sitk.HausdorffDistanceImageFilter()
    reference.Execute(first, second)
    assert row["hausdorff_mm"] == pytest.approx(reference.GetHausdorffDistance())


def test_one_stray_voxel_moves_hausdorff_and_not_its_95th_percentile():
    first, second = box((5, 5, 5), (10, 8, 6)), box((5, 5, 5), (10, 8, 6))
    second[23, 19, 15] = 1
    row = mask_agreement(first, second)
    assert row["hausdorff_mm"] > 10 and row["hd95_mm"] == 0


def test_a_mask_on_the_border_and_an_empty_mask():
    same = mask_agreement(box((0, 0, 0)), box((0, 0, 0)))
    assert (same["dice"], same["hausdorff_mm"]) == (1, 0)
    empty = mask_agreement(box((0, 0, 0)), box((0, 0, 0), (0, 0, 0)))
    assert empty["dice"] == 0 and np.isnan(empty["hausdorff_mm"])
    with pytest.raises(ValueError, match="grid"):
        mask_agreement(box((0, 0, 0)), box((0, 0, 0), spacing=(1, 1, 1)))


def test_icc_of_two_readers_is_that_of_the_feature_floor():
    ratings = np.random.default_rng(0).normal(size=(20, 1)) + np.random.default_rng(1).normal(size=(20, 2)) / 3
    assert ag.icc(ratings)["estimate"] == icc_2_1(ratings)["icc"].iloc[0]
