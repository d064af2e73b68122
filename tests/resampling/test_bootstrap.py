"""Resamples of the whole fit; bootstrap optimism of a fixed Cox model equals rms::validate, resample by resample."""

import numpy as np
import oracle
import pandas as pd
import pytest
from sksurv.metrics import concordance_index_censored

from recur.resampling.bootstrap import bootstrap_fit, resample_performance, resample_rows, resample_settings
from recur.resampling.nested import nested_performance, nested_predictions
from recur.statistics import cox
from recur.statistics.concordance import c_index, harrell_c
from recur.statistics.nested_concordance import bootstrap_concordance
from recur.statistics.outcome import Outcome
from recur.statistics.risk_draws import drawn_outcomes, slopes
from tests.fit.test_whole import TWICE, N, cohort, settings


class RandomOfR:
    """set.seed(seed); sample.int(n, replace = TRUE) of R >= 3.6: Mersenne Twister, inversion, rejection sampling."""

    def __init__(self, seed: int):
        words = []
        for _ in range(50 + 625):
            seed = (69069 * seed + 1) % 2**32
            words.append(seed)
        self.generator = np.random.MT19937()
        state = self.generator.state
        state["state"] = {"key": np.array(words[51:], np.uint32), "pos": 624}
        self.generator.state = state

    def sample(self, n: int) -> np.ndarray:
        """n indices below n, from 0."""
        bits, drawn = int(np.ceil(np.log2(n))), []
        assert bits < 16
        while len(drawn) < n:
            value = int(self.generator.random_raw() * 2.3283064365386963e-10 * 65536) & (2**bits - 1)
            if value < n:
                drawn.append(value)
        return np.array(drawn)


def test_the_stream_is_rs():
    assert list(RandomOfR(1).sample(10) + 1) == [
        9,
        4,
        7,
        1,
        2,
        7,
        2,
        3,
        1,
        5,
    ]  # set.seed(1); sample.int(10, replace = TRUE)


def slope_of(time, event, lp):
    return float(slopes(drawn_outcomes(Outcome(event, time)), lp)[0])


@pytest.mark.reference
@pytest.mark.slow
def test_optimism_equals_rms_validate():
    item = oracle.items("rotterdam_gbsg", "rms_validate")["validate_four_B200"]
    model = oracle.items("rotterdam_gbsg", "cox_multivariable")["train_nodepos/multi/four/efron"]
    data = oracle.rows(oracle.table("rotterdam_gbsg"), model)
    x, time, event = (data[model["input"][k]].to_numpy(float) for k in ("x", "time", "status"))
    coef = cox.fit_cox(x, time, event)["coef"]
    apparent = harrell_c(time, event, x @ coef)["estimate"]
    stream, rows = RandomOfR(item["input"]["seed"]), []
    for number in range(200):
        drawn = stream.sample(len(data))
        coef = cox.fit_cox(x[drawn], time[drawn], event[drawn])["coef"]
        c = {
            "c_resample": harrell_c(time[drawn], event[drawn], x[drawn] @ coef)["estimate"],
            "c_all": harrell_c(time, event, x @ coef)["estimate"],
            "calibration_slope_resample": slope_of(time[drawn], event[drawn], x[drawn] @ coef),
            "calibration_slope_all": slope_of(time, event, x @ coef),
            "calibration_slope_out_of_bag": np.nan,
        }
        rows.append({"resample": number, "model": "four", "failed": "", "c_out_of_bag": np.nan} | c)
    resamples = pd.DataFrame(rows)
    values = dict(zip(item["values"]["table"]["cols"], item["values"]["table"]["values"][0], strict=True))  # Dxy
    assert 2 * resamples["c_resample"].mean() - 1 == pytest.approx(values["training"], abs=1e-6)
    assert 2 * resamples["c_all"].mean() - 1 == pytest.approx(values["test"], abs=1e-6)
    measured = pd.DataFrame({"metric": ["c_harrell", "calibration_slope"], "estimate": [apparent, 1.0]})
    measured = measured.assign(model="four", horizon_months=np.nan, n=len(data), events=event.sum())
    table = resample_performance(resamples, measured).set_index(["cohort", "metric"])["estimate"]
    assert table["train-optimism_corrected", "c_harrell"] == pytest.approx(item["values"]["C_corrected"], abs=1e-6)
    slope = item["values"]["table"]["values"][item["values"]["table"]["rows"].index("Slope")][4]
    assert table["train-optimism_corrected", "calibration_slope"] == pytest.approx(slope, abs=1e-6)


class TestResampling:
    def test_every_resample_keeps_the_number_of_double_readings(self):
        train = cohort()
        for number in range(3):
            rows = resample_rows(train, 1, number)
            assert train.rows(rows).read_twice.sum() == TWICE
            assert len(rows) == N

    def test_a_resample_depends_on_its_number_only(self):
        train = cohort()
        chosen = resample_settings(train, settings())
        assert chosen["stability"]["rule"] == "point"
        assert bootstrap_fit(train, chosen, 1, 5) == bootstrap_fit(train, chosen, 1, 5)
        assert bootstrap_fit(train, chosen, 1, 5) != bootstrap_fit(train, chosen, 1, 6)

    def test_noise_looks_good_apparently_and_like_noise_out_of_bag_and_nested(self):
        out, apparent, nested = [], [], []
        for seed in range(6):
            train = cohort(seed, signal=0.0)
            train = train._replace(clinical=train.clinical.assign(margin=np.random.default_rng(seed).integers(0, 2, N)))
            time = np.random.default_rng(seed + 99).permutation(train.outcome.time)
            order = np.random.default_rng(seed + 99).permutation(N)
            train = train._replace(outcome=train.outcome._replace(time=time, event=train.outcome.event[order]))
            chosen = settings()
            chosen["stability"] = {"rule": "none", "threshold": 0.0, "min_patients": 10}
            rows = [row for row in bootstrap_fit(train, chosen, seed, 0) if row["model"] == "combined_pre"]
            out.append(rows[0]["c_out_of_bag"])
            apparent.append(rows[0]["c_resample"])
            table = nested_performance(nested_predictions(train, chosen, seed, 0, 4), seed)
            nested.append(table.set_index("model").loc["combined_pre", "estimate"])
        assert np.mean(apparent) > 0.58
        assert abs(np.mean(out) - 0.5) < 0.06
        assert abs(np.mean(nested) - 0.5) < 0.06

    def test_bootstrap_concordances_are_those_of_the_drawn_rows(self):
        rng = np.random.default_rng(3)
        time, event, lp = rng.integers(1, 60, 90).astype(float), rng.random(90) < 0.5, rng.normal(size=90).round(1)
        whole = {"place": np.arange(90), "time": time, "event": event, "lp": lp}
        estimate, draws = bootstrap_concordance([whole], Outcome(event, time), 20, np.random.default_rng(8))
        assert estimate == pytest.approx(c_index(lp, time, event), abs=1e-12)
        for value, rows in zip(draws, np.random.default_rng(8).integers(0, 90, (20, 90)), strict=True):
            assert value == pytest.approx(c_index(lp[rows], time[rows], event[rows]), abs=1e-12)
            assert value == pytest.approx(concordance_index_censored(event[rows], time[rows], lp[rows])[0], abs=1e-12)

    def test_corrected_is_apparent_less_mean_optimism(self):
        runs = pd.DataFrame(
            {"model": "m", "c_resample": [0.8, 0.9], "c_all": [0.7, 0.7], "c_out_of_bag": [0.6, 0.62], "failed": ""}
        )
        own = {"model": "m", "metric": "c_harrell", "estimate": 0.85, "lower": 0.8, "upper": 0.9, "n": 10, "events": 5}
        few = resample_performance(runs, pd.DataFrame([own])).set_index("cohort")
        assert few.loc["train-optimism_corrected", "estimate"] == pytest.approx(0.85 - 0.15)
        assert few[["lower", "upper"]].isna().all(axis=None)  # of two resamples they would be their extremes
        table = resample_performance(pd.concat([runs] * 10), pd.DataFrame([own])).set_index("cohort")
        assert table.loc["train-optimism_corrected", "lower"] == pytest.approx(0.8 - 0.15)
        assert table.loc["train-oob", "estimate"] == pytest.approx(0.61)
