"""The checklists: complete, with the published weights; met only with evidence, open where a human must say."""

import numpy as np
import pandas as pd
import pytest

from recur.report.checklists import DECLARED, HUMAN, MET, NONE, UNMET, judge, metrics_score, points, rqs_score, sheets

WEIGHTS = [
    0.0368, 0.0735, 0.0919, 0.0438, 0.0292, 0.0438, 0.0292, 0.0337, 0.0225, 0.0112, 0.0622, 0.0311, 0.0415, 0.0200,
    0.0200, 0.0300, 0.0200, 0.0599, 0.0300, 0.0352, 0.0234, 0.0176, 0.0117, 0.0293, 0.0176, 0.0375, 0.0749, 0.0075,
    0.0075, 0.0075,
]  # fmt: skip
TRIPOD = [
    "1", "2", "3a", "3b", "3c", "4", "5a", "5b", "6a", "6b", "6c", "7", "8a", "8b", "8c", "9a", "9b", "9c", "10",
    "11", "12a", "12b", "12c", "12d", "12e", "12f", "12g", "13", "14", "15", "16", "17", "18a", "18b", "18c", "18d",
    "18e", "18f", "19", "20a", "20b", "20c", "21", "22", "23a", "23b", "24", "25", "26", "27a", "27b", "27c",
]  # fmt: skip


def test_every_item_of_every_checklist_is_there_once():
    items = {name: [item["item"] for item in sheet["items"]] for name, sheet in sheets().items()}
    assert items["tripod_ai"] == TRIPOD
    assert items["clear"] == [str(i) for i in range(1, 59)]
    assert items["metrics"] == [str(i) for i in range(1, 31)]
    assert items["rqs"] == [str(i) for i in range(1, 17)]


def test_metrics_has_the_published_weights():
    assert [item["weight"] for item in sheets()["metrics"]["items"]] == WEIGHTS


def test_rqs_runs_from_minus_8_to_36_less_the_points_that_the_texts_leave_to_a_human():
    items = sheets()["rqs"]["items"]
    assert sum(item.get("otherwise", 0) for item in items) == -8
    # 1 (a public protocol), 9 and 10 (resampling) and 12 (several external sets) could each have more
    assert 28 <= sum(item["points"] for item in items) <= 36


def metrics_table(status: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"checklist": "METRICS", "status": status, "weight": WEIGHTS})


def test_the_score_divides_by_what_applies_and_open_items_are_no_points():
    status = [MET] * 30
    assert metrics_score(metrics_table(status)) == pytest.approx((100, 100))
    status[26] = UNMET  # no external test
    assert metrics_score(metrics_table(status))[0] == pytest.approx(100 * (1 - 0.0749 / sum(WEIGHTS)))
    status[16] = NONE  # no deep learning
    whole = sum(WEIGHTS) - 0.0200
    assert metrics_score(metrics_table(status))[0] == pytest.approx(100 * (whole - 0.0749) / whole)
    status[1], status[27] = HUMAN, DECLARED
    low, high = metrics_score(metrics_table(status))
    assert low == pytest.approx(100 * (whole - 0.0749 - 0.0735 - 0.0075) / whole)
    assert high == pytest.approx(100 * (whole - 0.0749) / whole)


def test_points_that_are_lost_count_as_losses_and_open_ones_as_neither():
    items = {item["item"]: item for item in sheets()["rqs"]["items"]}
    assert points(items["12"], MET, {}) == 3
    assert points(items["12"], UNMET, {"held_out": True}) == 2
    assert points(items["12"], UNMET, {"held_out": False}) == -5
    assert points(items["11"], HUMAN, {}) is None
    table = pd.DataFrame({"checklist": "RQS 1.0", "item": ["12", "5", "11"], "status": [UNMET, MET, HUMAN],
                          "points": [-5.0, 3.0, np.nan]})  # fmt: skip
    assert rqs_score(table) == (-2, 5)


def test_an_item_is_met_only_where_its_file_is_there(tmp_path):
    item = {"item": "x", "by": "run", "needs": ["external"], "evidence": ["validation/{a}/performance.csv"]}
    study = {"reporting": {}}
    status, there, note = judge(item, {"external": True}, tmp_path, study, "main")
    assert status == UNMET and there == [] and "validation/main/performance.csv" in note
    (tmp_path / "validation/main").mkdir(parents=True)
    (tmp_path / "validation/main/performance.csv").write_text("model\n")
    assert judge(item, {"external": True}, tmp_path, study, "main") == (MET, ["validation/main/performance.csv"], "")
    assert judge(item, {"external": False}, tmp_path, study, "main")[0] == UNMET
    assert judge(item | {"if": "images"}, {"images": False}, tmp_path, study, "main")[0] == NONE


def test_what_only_a_human_knows_is_open_until_the_study_file_says_it(tmp_path):
    item = {"item": "17", "by": "human", "ask": "ethics", "say": "Name the committee."}
    assert judge(item, {}, tmp_path, {}, "main") == (HUMAN, [], "Name the committee.")
    said = judge(item, {}, tmp_path, {"reporting": {"ethics": "Board A, 2024-1"}}, "main")
    assert said == (DECLARED, [], "Board A, 2024-1")
