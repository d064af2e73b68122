"""Follow-up times, and censoring that differs between centres."""

import numpy as np
import pandas as pd
import pytest

from recur.cohort.follow_up import follow_up_table


def frame(scale_b=1.0):
    rng = np.random.default_rng(0)
    n = 300
    centre = np.where(np.arange(n) % 2 == 0, "A", "B")
    limit = rng.uniform(20, 80, n) * np.where(centre == "B", scale_b, 1.0)
    time = rng.exponential(60, n)
    return pd.DataFrame(
        {
            "cohort": np.where(centre == "A", "train", "external-B"),
            "centre": centre,
            "time": np.minimum(time, limit),
            "event": (time <= limit).astype(int),
        }
    )


def test_follow_up_is_that_of_the_censored_not_of_the_observed_times():
    table = follow_up_table(frame()).set_index(["by", "group"])
    assert table.loc[("all", "all"), "median_months"] == pytest.approx(50, abs=4)
    assert frame()["time"].median() < 40


def test_equal_censoring_is_not_told_apart_and_unequal_is():
    assert follow_up_table(frame()).set_index(["by", "group"]).loc[("centre", "(test)"), "p_censoring"] > 0.05
    assert follow_up_table(frame(0.5)).set_index(["by", "group"]).loc[("centre", "(test)"), "p_censoring"] < 1e-6


def test_a_competing_death_is_not_censoring():
    plain = frame()
    died = plain.assign(competing=(1 - plain["event"]) * (np.arange(len(plain)) % 3 == 0))
    table = follow_up_table(died).set_index(["by", "group"])
    assert table.loc[("all", "all"), "censored"] == int(((died["event"] + died["competing"]) == 0).sum())


def test_one_centre_needs_no_comparison():
    table = follow_up_table(frame().assign(centre="A", cohort="train"))
    assert set(table["by"]) == {"all"}
