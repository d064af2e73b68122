"""Bootstrap optimism of a fixed Cox model equals rms::validate, resample by resample of R's own random stream."""

import numpy as np
import oracle
import pandas as pd
import pytest

from recur.resampling.bootstrap import resample_performance
from recur.statistics import cox
from recur.statistics.concordance import harrell_c
from recur.statistics.outcome import Outcome
from recur.statistics.risk_draws import drawn_outcomes, slopes


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
