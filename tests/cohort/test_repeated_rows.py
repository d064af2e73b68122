"""Rows of one patient that an eligibility rule tells apart."""

import pandas as pd

from recur.cohort.repeated_rows import one_row_a_patient


def test_a_rule_on_a_column_that_differs_within_patients_chooses_rows():
    """R's colon has a row for recurrence (etype 1) and one for death (2), and was refused as duplicates."""
    table = pd.DataFrame({"id": ["1", "1", "2", "2", "3"], "etype": list("12121"), "time": ["5", "9", "7", "8", "4"]})
    rule = {"column": "etype", "keep": [2]}
    found, notes = one_row_a_patient(table.astype("string"), "id", {"id", "time"}, [rule])
    assert found["time"].tolist() == ["9", "8", "4"] and notes == []  # the third is not eligible, later and by name
    untouched, _ = one_row_a_patient(table.astype("string"), "id", {"id", "time"}, [])
    assert len(untouched) == 5
