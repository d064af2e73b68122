"""Feature tables as strangers write them: what enters, what is refused, what is said."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from recur.cohort.analysis_set import tumour_burden
from recur.cohort.clinical import read_cohort
from recur.features.complete import complete_enough, complete_only, import_feature_table
from recur.features.doubts import doubts, in_words
from recur.features.imported import read_features
from recur.features.leaks import leak_problems, outcome_rows
from recur.features.tumour_size import burden_column
from recur.predict.new_patients import read_new_features
from recur.study.file import resolve
from recur.study.settings import write_settings
from recur.tables import StudyError

IDS = [f"p{i:03d}" for i in range(60)]
SETTINGS = {"id": "id", "pattern": "^(?!patient_id$|reader$)"}


def table(**columns):
    rng = np.random.default_rng(1)
    plain = {"original_firstorder_Mean": rng.normal(80, 9, 60), "original_glcm_Contrast": rng.lognormal(1, 1, 60)}
    return pd.DataFrame({"id": IDS} | plain | columns)


def read(frame, tmp_path, reserved=None, **settings):
    path = tmp_path / "features.csv"
    frame.to_csv(path, index=False)
    return read_features(SETTINGS | settings, path, reserved)


class TestRowsAndIds:
    @pytest.mark.parametrize("kind", ["csv", "xlsx", "parquet"])
    def test_a_row_without_an_id_is_left_out_and_said(self, tmp_path, kind):
        frame = table()
        frame.loc[60] = [None, 80.0, 1.0]
        path = tmp_path / f"f.{kind}"
        {"csv": frame.to_csv, "xlsx": frame.to_excel, "parquet": frame.to_parquet}[kind](path, index=False)
        found = read_features(SETTINGS, path)
        assert len(found.features) == 60
        assert found.remarks == ["1 rows without a patient id left out (line 62)"]
        assert len(import_feature_table(path, "id", "^original_")[0]) == 60

    def test_the_scorer_passes_over_such_a_row_or_lists_it(self, tmp_path):
        signature = {"features_manifest": None, "features": [{"name": "original_firstorder_Mean"}]}
        frame = table().rename(columns={"id": "patient_id"})
        frame.loc[60] = [None, 80.0, 1.0]
        frame.to_csv(tmp_path / "f.csv", index=False)
        read, wrong = read_new_features(tmp_path / "f.csv", signature, pd.Series(IDS))
        assert len(read) == 60 and not wrong
        read, wrong = read_new_features(tmp_path / "f.csv", signature, None)
        assert len(read) == 60 and [(problem.line, problem.text) for problem in wrong] == [(62, "patient id missing")]

    def test_ids_that_a_binary_format_holds_as_numbers_are_whole_numbers(self, tmp_path):
        frame = table().assign(id=np.arange(60.0))
        frame.loc[60] = [np.nan, 80.0, 1.0]
        frame.to_parquet(tmp_path / "f.parquet")
        assert list(read_features(SETTINGS, tmp_path / "f.parquet").features["patient_id"][:2]) == ["0", "1"]

    def test_equal_problems_are_one_line(self, tmp_path):
        frame = table()
        with pytest.raises(StudyError, match=r"5 patients \(p000, p001, p002, ...\) stand there twice") as stopped:
            read(pd.concat([frame, frame[:5]]), tmp_path)
        assert len(stopped.value.problems) == 1 and "features.lesion_aggregate" in str(stopped.value)

    def test_rows_of_several_phases_are_told_by_their_column(self, tmp_path):
        frame = pd.concat([table(phase="ART"), table(phase="PORT")])
        with pytest.raises(StudyError, match=r"60 patients .* stand there twice \(their rows differ in phase\)"):
            read(frame, tmp_path)

    def test_columns_are_sorted_by_name_whatever_their_order(self, tmp_path):
        frame = table()
        one = read(frame, tmp_path).features
        pd.testing.assert_frame_equal(one, read(frame[list(frame)[::-1]][::-1], tmp_path).features)
        assert list(one) == ["patient_id", "original_firstorder_Mean", "original_glcm_Contrast"]


class TestColumns:
    def test_a_feature_that_is_text_stops(self, tmp_path):
        frame = table(original_glcm_Idm=["0,5"] * 60, necrosis=["70%"] * 60)
        with pytest.raises(StudyError, match="2 columns hold text where numbers are expected: necrosis, .*'70%'"):
            read(frame, tmp_path)

    def test_other_text_is_left_out_and_said(self, tmp_path):
        frame = table(version=["3.0.1"] * 60, remark=["good"] * 60, nothing=[None] * 60)
        frame["diagnostics_Image-original_Mean"] = 5.0
        frame["Unnamed: 0"] = range(60)
        found = read(frame, tmp_path)
        assert list(found.features)[1:] == ["original_firstorder_Mean", "original_glcm_Contrast"]
        assert found.remarks == [
            "2 columns left out, text: remark, version",
            "1 columns left out, empty: nothing",
            "1 columns left out, row numbers: Unnamed: 0",
            "1 columns left out, of the extraction's diagnostics: diagnostics_Image-original_Mean",
        ]

    def test_outcomes_dates_and_centres_are_refused_whatever_the_pattern(self, tmp_path):
        reserved = {"DFS_months": "endpoints.E.time", "centre": "clinical.centre"}
        frame = table(dfs_months=np.arange(60.0), centre=[1, 2] * 30)
        expected = (
            r"centre \(clinical.centre\), dfs_months \(endpoints.E.time\).*narrow features.pattern .*\^\(original_\)"
        )
        with pytest.raises(StudyError, match=expected):
            read(frame, tmp_path, reserved)
        assert len(read(frame, tmp_path, reserved, pattern="^original_").features) == 60

    def test_a_code_of_missing_cells_is_missing_where_declared(self, tmp_path):
        frame = table()
        frame.loc[3, "original_glcm_Contrast"] = -999
        assert read(frame, tmp_path).features["original_glcm_Contrast"].min() == -999
        found = read(frame, tmp_path, missing_values=["-999"])
        assert found.missing.to_numpy().tolist() == [["p003", "original_glcm_Contrast", "missing"]]

    def test_a_cell_of_one_phase_costs_the_analyses_of_that_phase_only(self, tmp_path):
        frame = table().rename(columns={"original_firstorder_Mean": "AP_t_x", "original_glcm_Contrast": "PVP_t_x"})
        frame.loc[0, "PVP_t_x"] = np.nan
        found = read(frame, tmp_path)
        features, gone = complete_enough(found, [{"phases": ["AP"]}, {}])
        assert len(features) == 60 and gone.empty
        assert len(complete_only(features[["patient_id", "AP_t_x"]])[0]) == 60
        kept, excluded = complete_only(features)
        assert len(kept) == 59
        assert excluded.to_numpy().tolist() == [["p000", "1 of 2 features missing (PVP_t_x: missing)"]]
        assert complete_enough(found, [{}])[1]["patient_id"].tolist() == ["p000"]


class TestLesions:
    frame = pd.DataFrame(
        {
            "id": ["a", "a", "b"],
            "original_shape_MeshVolume": [100.0, 300.0, 50.0],
            "original_firstorder_Mean": [10.0, 20.0, 7.0],
        }
    )

    @pytest.mark.parametrize(
        ("how", "mean"), [("volume_weighted_mean", 17.5), ("mean", 15.0), ("max", 20.0), ("largest", 20.0)]
    )
    def test_several_lesions_become_one_row_as_those_of_images_do(self, tmp_path, how, mean):
        found = read(self.frame, tmp_path, lesion_aggregate=how)
        assert found.features["original_firstorder_Mean"].tolist() == [mean, 7.0]
        assert found.remarks == [f"3 lesions of 2 patients joined by {how}"]

    def test_the_order_of_the_rows_changes_nothing(self, tmp_path):
        one = read(self.frame, tmp_path, lesion_aggregate="largest").features
        pd.testing.assert_frame_equal(one, read(self.frame[::-1], tmp_path, lesion_aggregate="largest").features)

    def test_a_weight_needs_a_volume(self, tmp_path):
        with pytest.raises(StudyError, match="needs each lesion's volume; name its column"):
            read(self.frame.drop(columns="original_shape_MeshVolume"), tmp_path, lesion_aggregate="largest")


def long_table():
    """Three patients of two classes whose numbers begin anew, in two phases; A_2 lacks PORT."""
    rows = [("A", 1, "ART"), ("A", 1, "PORT"), ("B", 1, "ART"), ("B", 1, "PORT"), ("A", 2, "ART")]
    frame = pd.DataFrame(rows, columns=["class", "number", "phase"])
    return frame.assign(original_shape_MeshVolume=[10.0, 11, 20, 21, 30], original_glcm_Idm=[0.1, 0.2, 0.3, 0.4, 0.5])


class TestLongTables:
    settings = {"id": "class + number", "phase": "phase", "phases": ["ART", "PORT"], "pattern": "^original_"}

    def read(self, frame, tmp_path, **more):
        return read(frame, tmp_path, **self.settings | more)

    def test_a_row_a_phase_becomes_a_row_a_patient(self, tmp_path):
        found = self.read(long_table(), tmp_path)
        assert list(found.features["patient_id"]) == ["A_1", "A_2", "B_1"]
        assert found.features["ART_original_shape_MeshVolume"].tolist() == [10, 30, 20]
        assert found.features["PORT_original_glcm_Idm"].dropna().tolist() == [0.2, 0.4]
        assert found.remarks == ["5 rows, one a phase, of 3 patients (ART 3, PORT 2)"]
        kept, gone = complete_enough(found, [{}])
        assert kept["patient_id"].tolist() == ["A_1", "B_1"]
        assert gone["reason"].tolist() == ["2 of 4 features missing (PORT_original_glcm_Idm: no row of phase PORT)"]
        assert len(complete_enough(found, [{"phases": ["ART"]}])[0]) == 3

    def test_the_order_of_rows_and_columns_changes_nothing(self, tmp_path):
        one, frame = self.read(long_table(), tmp_path).features, long_table()
        pd.testing.assert_frame_equal(one, self.read(frame[list(frame)[::-1]][::-1], tmp_path).features)

    def test_the_default_pattern_takes_neither_id_nor_phase(self, tmp_path):
        found = self.read(long_table(), tmp_path, pattern=SETTINGS["pattern"])
        assert list(found.features)[1:] == list(self.read(long_table(), tmp_path).features)[1:]

    def test_phases_may_be_numbers(self, tmp_path):
        frame = long_table().assign(phase=[1.0, 2.0, 1.0, 2.0, 1.0])
        assert "2_original_glcm_Idm" in self.read(frame, tmp_path, phases=[1, 2]).features

    @pytest.mark.parametrize(
        ("change", "more", "said"),
        [
            (lambda t: pd.concat([t, t[:1]]), {}, "patient A_1 with phase ART stands there twice; remove the rows"),
            (lambda t: t.replace("PORT", "port"), {}, r"2 patients \(A_1, B_1\): column phase holds 'port', beyond"),
            (lambda t: t.assign(phase=["ART", None, "ART", "PORT", "ART"]), {}, "patient A_1: column phase holds ''"),
            (lambda t: t, {"phases": ["ART", "PORT", "TARD"]}, "column phase nowhere holds TARD .features.phases"),
            (lambda t: t.drop(columns="phase"), {}, "no column 'phase' .features.phase"),
            (lambda t: t.drop(columns="number"), {}, r"no column 'class \+ number' .features.id"),
        ],
    )
    def test_what_cannot_be_one_row_a_phase_stops(self, tmp_path, change, more, said):
        with pytest.raises(StudyError, match=said):
            self.read(change(long_table()), tmp_path, **more)

    def test_a_column_that_a_phase_lacks_is_left_out_and_said(self, tmp_path):
        frame = long_table()
        frame.loc[frame["phase"] == "PORT", "original_glcm_Idm"] = None
        found = self.read(frame, tmp_path)
        assert "PORT_original_glcm_Idm" not in found.features
        assert found.remarks[1] == "1 columns left out, empty in their phase: PORT_original_glcm_Idm"

    def test_several_lesions_are_joined_in_each_phase(self, tmp_path):
        more = pd.DataFrame([("A", 1, "ART", 30.0, 0.5)], columns=list(long_table()))
        found = self.read(pd.concat([long_table(), more]), tmp_path, lesion_aggregate="volume_weighted_mean")
        assert found.features["ART_original_glcm_Idm"][0] == pytest.approx((10 * 0.1 + 30 * 0.5) / 40)

    def test_the_same_table_is_the_clinical_table_from_the_settings_of_the_rule_too(self, tmp_path):
        (tmp_path / "f.csv").write_text(long_table().assign(size=[1, 1, 2, 2, 3]).to_csv(index=False))
        endpoint = {"kind": "binary", "column": "class", "positive": "B", "negative": "A"}
        size = {"column": "size", "kind": "numeric", "timing": "pre"}
        raw = {
            "study": "long",
            "clinical": {"table": "f.csv", "id": "class + number", "variables": {"size": size}},
            "features": self.settings | {"table": "f.csv"},
            "endpoints": {"E": endpoint},
            "analyses": {"main": {"preset": "recommended", "endpoint": "E"}},
        }
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw))
        study = resolve(tmp_path / "study.yaml")
        keys = ("clinical", "endpoints", "split", "splits", "seed", "on_error", "used", "row_a_phase")
        write_settings(study, tmp_path / "settings", {"cohort": keys}, {})
        for settings in (study, json.loads((tmp_path / "settings/cohort.json").read_text())):
            cohort = read_cohort(settings)
            assert cohort.clinical[["patient_id", "size"]].to_numpy().tolist() == [["A_1", 1], ["A_2", 3], ["B_1", 2]]
            assert "5 rows, one a phase, are 3 patients" in cohort.warnings
        (tmp_path / "f.csv").write_text(long_table().assign(size=[1, 9, 2, 2, 3]).to_csv(index=False))
        with pytest.raises(StudyError, match="patient 'A_1'.*the same patient id on several rows"):
            read_cohort(study)

    def test_the_scorer_reads_the_same_table(self, tmp_path):
        self.read(long_table(), tmp_path)
        signature = {"features_manifest": None, "features": [{"name": "PORT_original_glcm_Idm"}]}
        inputs = {"feature_id": "class + number", "feature_phase": "phase", "phases": ["ART", "PORT"]}
        ids = pd.Series(["B_1", "A_1", "A_2"])
        table, problems = read_new_features(tmp_path / "features.csv", signature, ids, inputs)
        assert table["PORT_original_glcm_Idm"].tolist()[:2] == [0.4, 0.2]
        assert [(p.who, p.text[:32]) for p in problems] == [("A_2", "PORT_original_glcm_Idm is missin")]
        pd.concat([long_table(), long_table()[:1]]).to_csv(tmp_path / "features.csv", index=False)
        _, problems = read_new_features(tmp_path / "features.csv", signature, ids, inputs)
        assert problems[0].text.startswith("stands in the feature table twice")


class TestTumourColumn:
    mesh = "original_shape_MeshVolume"

    @pytest.mark.parametrize(
        ("prefixes", "chosen"),
        [
            ([""], ""),
            (["Liver_", "Tumor_"], "Tumor_"),
            (["LIVER_", "peritumoral_", "HCC_"], "HCC_"),
            (["liver_tumour_", "liver_"], "liver_tumour_"),
            (["PVP_tumour_", "AP_tumour_", "AP_rim5_"], "AP_tumour_"),
            (["Liver_"], None),
            (["tumour_rim_"], None),
            ([], None),
        ],
    )
    def test_it_is_taken_where_one_only_can_be_meant(self, prefixes, chosen):
        names = [f"{prefix}{self.mesh}" for prefix in prefixes]
        for order in (names, names[::-1]):
            assert burden_column(order, "volume", None) == (None if chosen is None else f"{chosen}{self.mesh}")

    @pytest.mark.parametrize("prefixes", [["A_", "B_"], ["lesion1_", "lesion2_"], ["GTV_", "tumor_"], ["", "x_"]])
    def test_otherwise_it_is_refused_until_it_is_named(self, prefixes):
        names = [f"{prefix}{self.mesh}" for prefix in prefixes]
        with pytest.raises(StudyError, match=f"2 columns could be the tumour's volume: {min(names)}.*tumour_volume"):
            burden_column(names, "volume", None)
        assert burden_column(names, "volume", names[1]) == names[1]
        with pytest.raises(StudyError, match="features.tumour_volume: 'other' is no feature column"):
            burden_column(names, "volume", "other")

    def test_phases_that_the_study_names_are_no_regions(self):
        names = [f"{phase}_{self.mesh}" for phase in ("ART", "PORT")]
        assert burden_column(names, "volume", None, ["PORT", "ART"]) == names[1]

    def test_phases_go_in_their_declared_order(self):
        names = [f"{phase}_tumour_{self.mesh}" for phase in ("AP", "PVP")]
        assert burden_column(names, "volume", None, ["PVP", "AP"]) == names[1]

    def test_the_volume_of_the_liver_is_never_the_tumours(self):
        features = pd.DataFrame({"patient_id": ["a"], f"Liver_{self.mesh}": [1.5e6], f"Tumour_{self.mesh}": [900.0]})
        burden = tumour_burden(features, features[["patient_id"]], {}, [])
        assert burden["tumour_volume"].tolist() == [900.0] and "tumour_size" not in burden


def survival():
    rng = np.random.default_rng(2)
    time, event = rng.exponential(20, 60), (rng.random(60) < 0.6).astype(int)
    return pd.DataFrame({"patient_id": IDS, "E_time": time, "E_event": event}), rng.normal(size=60)


class TestLeaks:
    @pytest.mark.parametrize(
        ("leak", "said"),
        [
            (lambda e: e["E_event"], "the event of E: AUC 1.000"),
            (lambda e: 1 - e["E_event"], "the event of E: AUC 1.000"),
            (lambda e: -np.log(e["E_time"]), "the time of E: rank correlation 1.000"),
            (lambda e: e["E_time"].where(e["E_event"] == 1, -1.0), "the time of E among events"),
            (lambda e: ((e["E_time"] <= 12) & (e["E_event"] == 1)) * 1.0, "E by 12 months: AUC 1.000"),
        ],
    )
    def test_a_feature_that_determines_the_outcome_stops(self, leak, said):
        endpoints, noise = survival()
        predictors = pd.DataFrame({"noise": noise, "leak": leak(endpoints).to_numpy(float)}, index=IDS)
        outcomes = outcome_rows(endpoints, [12.0])
        [line] = leak_problems(predictors, outcomes, "f.csv", "take it out")
        assert line.startswith("f.csv: leak (") and said in line and "noise" not in line

    def test_strong_honest_predictors_do_not(self):
        endpoints, noise = survival()
        strong = endpoints["E_event"].to_numpy() * 2 + noise  # AUC above 0.9
        predictors = pd.DataFrame({"strong": strong, "noise": noise}, index=IDS)
        assert leak_problems(predictors, outcome_rows(endpoints, [12.0]), "f.csv", "") == []


class TestDoubts:
    def said(self, frame, tmp_path, centres=None):
        found = read(frame, tmp_path)
        return doubts(found, pd.Series("A" if centres is None else centres, index=IDS))

    def test_a_sound_table_raises_none(self, tmp_path):
        assert self.said(table(), tmp_path, ["A"] * 30 + ["B"] * 30).empty

    def test_lost_decimal_points_and_codes_are_counted_by_column(self, tmp_path):
        frame = table()
        frame.loc[[4, 9], "original_firstorder_Mean"] = [80123456, 79123456]
        frame.loc[[1, 2, 3, 4], "original_glcm_Contrast"] = -999
        found = self.said(frame, tmp_path)
        assert found[["problem", "column", "patients", "first"]].to_numpy().tolist() == [
            ["a decimal point is lost", "original_firstorder_Mean", 2, "p004, p009"],
            ["a code of missing cells", "original_glcm_Contrast", 4, "p001, p002, p003"],
        ]
        expected = (
            "a decimal point is lost: 1 column, 2 patients (p004, p009; original_firstorder_Mean: such as 80123456); "
            "write the column anew from its source"
        )
        assert in_words(found)[0] == expected

    def test_shapes_that_cannot_be_are_counted(self, tmp_path):
        rng = np.random.default_rng(3)
        diameter = rng.uniform(20, 90, 60)
        mesh = 0.3 * diameter**3
        frame = table(original_shape_Maximum3DDiameter=diameter, original_shape_MeshVolume=mesh)
        frame["original_shape_VoxelVolume"] = mesh * 1.02
        frame["original_shape_Sphericity"] = 0.7
        assert self.said(frame, tmp_path).empty
        frame.loc[:9, "original_shape_MeshVolume"] /= 1000  # ml
        frame.loc[5, "original_shape_Sphericity"] = 1.3
        found = self.said(frame, tmp_path).set_index("problem")["patients"]
        assert found.to_dict() == {
            "outside 0 to 1": 1,
            "mesh and voxel volume disagree": 10,
            "volume and diameter disagree": 10,
        }

    def test_a_centre_in_another_unit_or_beyond_all_others_is_named(self, tmp_path):
        frame = table(original_shape_MeshVolume=np.random.default_rng(4).lognormal(9, 2, 60))
        frame.loc[40:, "original_shape_MeshVolume"] /= 1000
        frame.loc[40:, "original_firstorder_Mean"] += 500
        found = self.said(frame, tmp_path, ["A"] * 40 + ["B"] * 20)
        assert {(row.problem, row.column) for row in found.itertuples()} == {
            ("a centre in another unit", "original_shape_MeshVolume"),
            ("a centre beyond all others", "original_firstorder_Mean"),
        }
        assert all("elsewhere" in text for text in found["detail"]) and len(found) == 2

    def test_a_centre_that_overlaps_hardly_is_named_too(self, tmp_path):
        frame = table()
        frame.loc[40:, "original_firstorder_Mean"] += 26  # nearly three SD
        found = self.said(frame, tmp_path, ["A"] * 40 + ["B"] * 20)
        assert found["column"].unique().tolist() == ["original_firstorder_Mean"]
        frame.loc[40:, "original_firstorder_Mean"] -= 18
        assert self.said(frame, tmp_path, ["A"] * 40 + ["B"] * 20).empty

    def test_other_spacings_are_named_where_images_were_resampled(self, tmp_path):
        resampled = ["(1.0, 1.0, 1.0)"] * 40 + ["(0.9999999, 1.0, 1.0)"] * 15 + ["(2.0, 2.0, 2.0)"] * 5
        frame = table(**{"diagnostics_Image-interpolated_Spacing": resampled})
        [line] = self.said(frame, tmp_path).to_dict("records")
        assert (line["patients"], line["detail"]) == (5, "(1.0, 1.0, 1.0) / (2.0, 2.0, 2.0); centres A")
        free = [f"({0.5 + i / 100}, 0.7, 5.0)" for i in range(60)]
        assert self.said(table(**{"diagnostics_Image-interpolated_Spacing": free}), tmp_path).empty

    def test_other_extraction_settings_are_named(self, tmp_path):
        frame = table()
        frame["diagnostics_Configuration_Settings"] = ["{'binWidth': 25, 'label': 1}"] * 50 + ["{'binWidth': 10}"] * 10
        [line] = self.said(frame, tmp_path, ["A"] * 50 + ["B"] * 10).to_dict("records")
        assert (line["problem"], line["patients"]) == ("extracted with other settings", 10)
        assert line["detail"] == "binWidth 25 / 10, label 1 / None; centres B"

    def test_z_scores_in_place_of_sizes_are_flagged_and_negative_sizes_stop(self, tmp_path):
        volume = np.random.default_rng(5).lognormal(8, 1, 60)
        z = (volume - volume.mean()) / volume.std(ddof=1)
        found = self.said(table(original_shape_MeshVolume=z), tmp_path)
        assert found["problem"].tolist() == ["z-scores of all patients"]
        volume[[2, 3, 4, 5]] = -999
        with pytest.raises(
            StudyError, match=r"4 patients \(p002, p003, p004, ...\): original_shape_MeshVolume is -999"
        ):
            read(table(original_shape_MeshVolume=volume), tmp_path)
