"""The grammar of feature names: what is read of a column, and what is not known of a name of another make."""

import pytest

from recur.features.names import Feature, column_names, measure_of, parsed, place_of, region_of, selected, within_source

COLUMNS = column_names(["AP", "PVP"], ["tumour", "rim5"], ["original_shape_Sphericity", "wavelet-LLH_glcm_Contrast"])


def test_columns_stand_by_source_then_region_then_measure():
    assert [place_of(name) for name in COLUMNS[::2]] == ["AP_tumour", "AP_rim5", "PVP_tumour", "PVP_rim5"]
    assert COLUMNS[1] == "AP_tumour_wavelet-LLH_glcm_Contrast"


def test_what_is_made_is_read():
    assert parsed(COLUMNS[-1]) == Feature("PVP", "rim5", "wavelet-LLH", "glcm", "Contrast")
    assert parsed("AP_rim_log-sigma-1-0-mm-3D_firstorder_Mean").image == "log-sigma-1-0-mm-3D"
    assert (within_source(COLUMNS[0]), measure_of(COLUMNS[0])) == (
        "tumour_original_shape_Sphericity",
        "original_shape_Sphericity",
    )


@pytest.mark.parametrize("name", ["age", "original_shape_Sphericity", "a_b_c_d_e", "AP_tumour_x", ""])
def test_names_of_another_make_have_no_parts(name):
    assert parsed(name) is None


def test_a_column_is_chosen_by_its_source_and_its_region():
    assert selected(COLUMNS, ["PVP"], ["rim5"]) == COLUMNS[-2:]
    assert selected(COLUMNS, None, ["tumour"]) == [name for name in COLUMNS if region_of(name) == "tumour"]
    assert selected(["AP"], ["AP"], None) == ["AP"] and selected(["AP"], None, ["tumour"]) == []
