"""What a variant draws depends on the case and the settings, never on the text of the code that draws it."""

import numpy as np
import pytest

from recur.features.batch import Variant
from recur.features.variants import make_variant
from recur.images.case_file import Case

FACTS = {"image_hash": "a1", "tumour_hash": "b2"}


def case(**facts) -> Case:
    one, three = np.zeros((1, 1, 1), np.float32), np.ones(3)
    return Case(one, one.astype(np.uint8), three, np.eye(3).ravel(), three, three, three, FACTS | facts)


def draws(variant: Variant, drawn_on: Case) -> list[float]:
    return variant.generator(drawn_on).random(3).tolist()


@pytest.mark.parametrize("name", ["p1", "shuffled_inside"])
def test_an_edit_of_the_code_makes_another_key_but_draws_the_same_numbers(name):
    variant = make_variant(name, {"kinds": ["noise"]}, 1)
    edited = variant._replace(code=["another checksum"])
    assert variant.code and variant.code != edited.code
    assert draws(variant, case()) == draws(edited, case())


@pytest.mark.parametrize("changed", [{"image_hash": "c3"}, {"tumour_hash": "c3"}])
def test_other_grey_values_or_another_tumour_draw_other_numbers(changed):
    variant = make_variant("p1", {"kinds": ["noise"]}, 1)
    assert draws(variant, case()) != draws(variant, case(**changed))


def test_every_variant_seed_and_setting_draws_its_own_numbers():
    choices = [("p1", ["noise"], 1), ("p2", ["noise"], 1), ("p1", ["rotation"], 1), ("p1", ["noise"], 2)]
    drawn = [draws(make_variant(name, {"kinds": kinds}, seed), case()) for name, kinds, seed in choices]
    assert len({tuple(numbers) for numbers in drawn}) == len(choices)
