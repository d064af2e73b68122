"""A killed bootstrap goes on where it was: nothing done is done again, and the table is the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from recur.fit.model_checks import diagnose
from recur.fit.whole import fit
from recur.resampling.nested import nested_performance
from recur.resume import fingerprint, finished, forget, kept_file, resumed
from recur.sources import ROOT
from recur.tables import write_table
from tests.fit.test_whole import TWICE, N, cohort, settings

RESAMPLES = 12
PROGRAM = ROOT / "scripts" / "resample.py"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The training files of an analysis, as the rule `resample` gets them."""
    folder, train = tmp_path_factory.mktemp("study"), cohort()
    frame = train.clinical.assign(
        patient_id=train.patient_id, centre="A", cohort="train", time=train.outcome.time, event=train.outcome.event
    )
    write_table(frame, folder / "train.csv")
    write_table(
        pd.DataFrame(train.features, columns=train.names).assign(patient_id=train.patient_id), folder / "t.parquet"
    )
    again = pd.DataFrame(train.repeats[:TWICE, 0], columns=train.names)
    write_table(again.assign(patient_id=train.patient_id[:TWICE], reader="reader2"), folder / "r.parquet")
    chosen = settings() | {"internal_validation": {"resamples": RESAMPLES, "nested_folds": 3, "nested_repeats": 2}}
    (folder / "fit.json").write_text(json.dumps(chosen))
    assert len(frame) == N
    return folder


def start(study, output):
    command = [sys.executable, ROOT / "scripts" / "resample.py", "--cohort", study / "train.csv"]
    command += ["--features", study / "t.parquet", "--repeats", study / "r.parquet", "--settings", study / "fit.json"]
    command += ["--seed", "1", "--chunk", "0", "--size", "50", "--output", output]
    return subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE, text=True)


def lines(path):
    return path.read_text().split("\n")[1:-1] if path.exists() else []


def test_a_killed_bootstrap_goes_on_where_it_was(study, tmp_path):
    whole, killed = tmp_path / "whole.csv", tmp_path / "killed.csv"
    assert start(study, whole).wait() == 0
    first = start(study, killed)
    while len(lines(kept_file(killed))) < 3:
        assert first.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL and not killed.exists()
    done = lines(kept_file(killed))
    assert 3 <= len(done) < RESAMPLES
    with kept_file(killed).open("a") as file:
        file.write('[11, [{"resample": 11, "mo')  # as a line looks whose write was cut
    second = start(study, killed)
    said = second.communicate()[1]
    assert second.returncode == 0, said
    assert f"({len(done)} were done before)" in said
    assert f"{RESAMPLES - len(done)} of {RESAMPLES - len(done)} done" in said
    assert killed.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed.csv", "whole.csv"]


def test_nothing_finished_is_done_again(tmp_path):
    output, worked = tmp_path / "table.csv", []

    def work(number):
        worked.append(number)
        if number == 3 and len(worked) < 5:
            raise KeyboardInterrupt
        return {"c": number / 7}

    with pytest.raises(KeyboardInterrupt):
        resumed(output, "key", range(5), work, "items")
    assert [item["c"] for item in resumed(output, "key", range(5), work, "items")] == [i / 7 for i in range(5)]
    assert worked == [0, 1, 2, 3, 3, 4]
    forget(output)
    assert not os.listdir(tmp_path)


def test_what_other_data_gave_is_not_used(tmp_path):
    output, table = tmp_path / "table.csv", tmp_path / "train.csv"
    table.write_text("a")
    before = fingerprint(PROGRAM, [table], {"alpha": 1})
    resumed(output, before, range(2), lambda number: number, "items")
    table.write_text("b")
    assert len({before, fingerprint(PROGRAM, [table], {"alpha": 1}), fingerprint(PROGRAM, [table], {"alpha": 2})}) == 3
    assert finished(kept_file(output), before) == {0: 0, 1: 1}
    now = fingerprint(PROGRAM, [table], {"alpha": 1})
    assert resumed(output, now, range(2), lambda number: -number, "items") == [0, -1]


def test_loops_of_more_than_ten_seconds_say_how_far_they_are(capsys):
    """Those of a program that has no other loop around them: internal_validation and diagnostics."""
    train = cohort()
    nested = pd.DataFrame({"model": "m", "repeat": 1, "fold": 1, "patient_id": train.patient_id, "failed": ""})
    nested_performance(nested.assign(time=train.outcome.time, event=train.outcome.event, lp=train.features[:, 0]), 1)
    assert "intervals of the nested cross-validation: 1 of 1 models done" in capsys.readouterr().err
    _, models = fit(train, settings(), 1)
    diagnose(train, np.zeros(N), {"clinical_pre": models["clinical_pre"]}, settings(), 1)
    said = capsys.readouterr().err
    assert "diagnostics: 1 of 1 models done" in said and "shuffled features: 3 of 3 done" in said
