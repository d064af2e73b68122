"""ComBat: equal to neuroCombat on its own ground, learnt on training centres only, frozen in the signature."""

import json

import numpy as np
import pytest

from recur.fit.whole import fit, predict
from recur.statistics.combat import apply_combat, learn_combat
from recur.statistics.estimate import NotEstimable
from tests.fit.test_whole import as_bytes, cohort, settings

COMBAT = {"kind": "combat", "reference": None, "unseen_centre": "error"}
CENTRES = np.repeat(["A", "B", "C"], [14, 9, 7])


def scans():
    """Six features of three centres, the second and third with their own location and scale."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(30, 6)) * np.array([1, 2, 5, 0.5, 10, 3]) + np.array([0, 5, -3, 1, 100, 7])
    x[14:23] = x[14:23] * 1.5 + 2
    x[23:] = x[23:] * 0.7 - 1
    return np.round(x, 3)


def test_values_are_those_of_neurocombat():
    # neuroCombat 0.2.12, ref_batch "A", its convergence limit set to 1e-13 (numpy.int restored)
    shift = {
        "B": [2.10096127, 3.17444102, 1.31430324, 4.99887039, 5.30162423, 0.98168806],
        "C": [-0.55635044, -1.00727775, 0.73759393, -3.04960987, -3.20438642, -1.10816549],
    }
    variance = {
        "B": [2.09199152, 1.84329416, 1.73528575, 2.29027974, 2.26920054, 2.44968551],
        "C": [0.29448474, 0.27821663, 0.5788554, 0.37560335, 0.68425437, 0.25515918],
    }
    rows = {
        0: [-6.52000000e-01, 4.65100000e00, 5.31900000e00, 1.33000000e00, 8.35860000e01, 6.98400000e00],
        14: [-1.20471060e00, 5.56866853e00, -1.13013752e01, 1.08197569e00, 8.39433203e01, 4.65944990e00],
        29: [1.31946700e-01, 5.60702366e00, -6.60555200e-02, 1.58354300e00, 9.14616520e01, 9.92634845e00],
    }
    combat = learn_combat(scans(), CENTRES, COMBAT)
    assert combat["reference"] == "A"
    for name in ("B", "C"):
        np.testing.assert_allclose(combat["centres"][name][0], shift[name], rtol=1e-6)
        np.testing.assert_allclose(combat["centres"][name][1] ** 2, variance[name], rtol=1e-6)
    done = apply_combat(combat, scans(), CENTRES)
    for row, values in rows.items():
        np.testing.assert_allclose(done[row], values, rtol=1e-6)


def test_one_training_centre_switches_it_off_with_a_note():
    combat = learn_combat(scans(), np.repeat("A", 30), COMBAT)
    assert combat["kind"] == "none"
    assert "one training centre" in combat["note"]


def test_a_centre_of_four_is_refused():
    with pytest.raises(NotEstimable, match="centre 'B' has 4 training patients"):
        learn_combat(scans(), np.repeat(["A", "B"], [26, 4]), COMBAT)


class TestUnseenCentre:
    def frozen(self, rule):
        return learn_combat(scans()[:23], CENTRES[:23], COMBAT) | {"unseen_centre": rule}

    def test_it_is_an_error_unless_declared(self):
        with pytest.raises(NotEstimable, match="centre 'C' was not in training; declare harmonisation.unseen_centre"):
            apply_combat(self.frozen("error"), scans()[23:], CENTRES[23:])

    def test_none_leaves_its_rows_as_they_are(self):
        np.testing.assert_array_equal(apply_combat(self.frozen("none"), scans()[23:], CENTRES[23:]), scans()[23:])

    def test_its_own_features_give_the_reference_location_and_scale(self):
        frozen = self.frozen("features_only")
        new = np.random.default_rng(0).normal(size=(40, 6)) * 7 + 50
        done = apply_combat(frozen, new, np.repeat("D", 40))
        np.testing.assert_allclose(done.mean(axis=0), frozen["mean"], rtol=1e-9)
        np.testing.assert_allclose(done.std(axis=0, ddof=1), frozen["sd"], rtol=1e-9)

    def test_a_single_patient_of_a_new_centre_is_refused(self):
        with pytest.raises(NotEstimable, match="is new and has 1 patients"):
            apply_combat(self.frozen("features_only"), scans()[:1], np.array(["D"]))


class TestInsideTheFit:
    def train(self, effect=True):
        train = cohort(n=160)
        centre = np.where(np.arange(160) % 2, "A", "B").astype(object)
        features = train.features.copy()
        if effect:
            features[centre == "B"] = features[centre == "B"] * 1.8 + 4
        return train._replace(features=features, repeats=train.repeats[:, :0], centre=centre)

    def chosen(self):
        return settings() | {"harmonisation": COMBAT}

    def test_the_planted_feature_is_found_in_spite_of_the_centres(self):
        with_combat = fit(self.train(), self.chosen(), 1)
        assert with_combat.signature["features"][0]["name"] == "AP_tumour_f0"
        plain = fit(self.train(effect=False), settings(), 1)
        weights = [frozen.signature["features"][0]["weight"] for frozen in (with_combat, plain)]
        assert weights[0] == pytest.approx(weights[1], rel=0.35)

    def test_the_parameters_of_the_chosen_features_are_frozen_as_json(self):
        train = self.train()
        frozen = fit(train, self.chosen(), 1)
        kept = frozen.signature["harmonisation"]
        assert kept["reference"] == "A"
        assert len(kept["mean"]) == len(frozen.signature["features"])
        again = frozen._replace(signature=json.loads(json.dumps(frozen.signature)))
        rows = train.clinical, train.features, train.names, train.centre
        np.testing.assert_array_equal(predict(frozen, *rows)["signature"], predict(again, *rows)["signature"])

    def test_outcomes_do_not_reach_it(self):
        train = self.train()
        other = train._replace(outcome=train.outcome._replace(event=1 - train.outcome.event))
        columns = np.arange(train.features.shape[1])
        parameters = [learn_combat(t.features[:, columns], t.centre, COMBAT) for t in (train, other)]
        np.testing.assert_array_equal(parameters[0]["centres"]["B"], parameters[1]["centres"]["B"])

    def test_a_fit_is_the_same_bytes_twice(self):
        assert as_bytes(fit(self.train(), self.chosen(), 1)) == as_bytes(fit(self.train(), self.chosen(), 1))
