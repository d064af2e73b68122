"""Files of SPSS, Stata, SAS and R: the cells of a CSV, labels where the study names them, lines for what is damaged."""

from __future__ import annotations

import datetime
import os
import subprocess

import numpy as np
import pandas as pd
import pyreadr
import pyreadstat
import pytest
from rscript import needs_r

from recur import tables
from recur.cohort.clinical import Cohort, read_cohort
from recur.features.imported import read_features
from recur.predict.new_patients import read_new_patients
from recur.statfiles import READERS
from recur.tables import StudyError, read_table, write_table

N = 40
BASE = {"timing": "pre", "unit": "", "transform": "none"}
VARIABLES = {
    "afp": BASE | {"kind": "numeric", "column": "afp"},
    "age": BASE | {"kind": "numeric", "column": "age"},
    "sex": BASE | {"column": "sex", "kind": "binary", "negative": "1", "positive": "2"},
    "stage": BASE | {"column": "stage", "kind": "ordinal", "levels": ["I", "II", "III"]},
}
SEX, STAGE = {1: "male", 2: "female"}, {1: "I", 2: "II", 3: "III"}


def table() -> pd.DataFrame:
    """Typed as programs hold them: fractions, whole numbers beside gaps, dates, text of several lengths."""
    rng = np.random.default_rng(5)
    surgery = [datetime.date(2015, 1, 1) + datetime.timedelta(days=int(day)) for day in rng.integers(0, 700, N)]
    later = [
        day + datetime.timedelta(days=int(more)) for day, more in zip(surgery, rng.integers(200, 900, N), strict=True)
    ]
    found = pd.DataFrame({
        "id": [f"P{i:02d}" for i in range(N)], "afp": rng.lognormal(3, 2, N).round(1), "age": rng.integers(40, 80, N),
        "sex": rng.integers(1, 3, N).astype(float), "stage": rng.choice(["I", "II", "III"], N),
        "surgery": surgery, "contact": later,
    })  # fmt: skip
    found["relapse"] = [day if i % 3 else None for i, day in enumerate(later)]
    found.loc[[3, 7], "afp"], found.loc[4, "sex"], found.loc[5, "stage"] = np.nan, np.nan, None
    return found


def study(path, sheet=None, **variables) -> dict:
    dates = {"t0": "surgery", "t0_kind": "surgery", "recurrence": "relapse", "last_contact": "contact"}
    clinical = {"table": str(path), "id": "id", "centre": None, "missing_values": ["-9"], "dates": dates}
    changed = {name: variable | variables.get(name, {}) for name, variable in VARIABLES.items()}
    return {
        "clinical": clinical | {"variables": changed} | ({"sheet": sheet} if sheet else {}), "on_error": "exclude",
        "endpoints": {"TTR": {"kind": "time_to_recurrence"}}, "split": {"kind": "none"}, "analyses": {},
    }  # fmt: skip


def write(found: pd.DataFrame, path) -> None:
    """The table as the format of the suffix."""
    match path.suffix:
        case ".csv":
            found.to_csv(path, index=False)
        case ".xlsx":
            found.to_excel(path, index=False)
        case ".parquet":
            found.to_parquet(path, index=False)
        case ".sav" | ".zsav":
            pyreadstat.write_sav(found, path, compress=path.suffix == ".zsav")
        case ".por":
            pyreadstat.write_por(found.rename(columns=str.upper), path)
        case ".dta":
            pyreadstat.write_dta(found, path)
        case ".xpt":
            pyreadstat.write_xport(found, path, file_format_version=8)
        case ".rds":
            pyreadr.write_rds(path, found)
        case ".RData":
            pyreadr.write_rdata(path, found, df_name="clinical")


def bytes_of(cohort: Cohort, folder) -> list[bytes]:
    """The tables that floor 1 writes of a cohort."""
    folder.mkdir(exist_ok=True)
    names = ("clinical", "endpoints", "exclusions", "missing_endpoints")
    for name in names:
        write_table(getattr(cohort, name), folder / f"{name}.csv")
    return [(folder / f"{name}.csv").read_bytes() for name in names]


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> list[bytes]:
    """The cohort of the table as a CSV."""
    folder = tmp_path_factory.mktemp("csv")
    write(table(), folder / "t.csv")
    cohort = read_cohort(study(folder / "t.csv"))
    assert len(cohort.clinical) == N and not cohort.warnings
    return bytes_of(cohort, folder)


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet", ".sav", ".zsav", ".por", ".dta", ".xpt", ".rds", ".RData"])
def test_the_same_table_in_another_format_is_the_same_cohort(tmp_path, own, suffix):
    write(table(), tmp_path / f"t{suffix}")
    other = study(tmp_path / f"t{suffix}")
    if suffix == ".por":  # the format has capital letters only
        upper = {key: value if key == "t0_kind" else value.upper() for key, value in other["clinical"]["dates"].items()}
        other["clinical"] |= {"id": "ID", "dates": upper}
        for variable in other["clinical"]["variables"].values():
            variable["column"] = variable["column"].upper()
    found = read_cohort(other)
    assert bytes_of(found, tmp_path / "b") == own and not found.warnings


R_WRITES = """
d <- read.csv("t.csv", colClasses=c(surgery="Date", contact="Date", relapse="Date"))
clinical <- d; other <- d[1:3, ]; formula <- afp ~ age
saveRDS(d, "plain.rds")
d$stage <- factor(d$stage, levels=c("III", "II", "I")); d$surgery <- as.POSIXct(format(d$surgery), tz="UTC")
saveRDS(d, "factors.rds", compress="xz")
save(clinical, formula, file="one.RData"); save(clinical, other, formula, file="two.rda")
"""


@needs_r()
def test_files_that_r_itself_wrote(tmp_path, own):
    write(table(), tmp_path / "t.csv")
    subprocess.run(["Rscript", "-e", R_WRITES], cwd=tmp_path, check=True, capture_output=True)
    for name, sheet in (("plain.rds", None), ("factors.rds", None), ("one.RData", None), ("two.rda", "clinical")):
        assert bytes_of(read_cohort(study(tmp_path / name, sheet)), tmp_path / "b") == own, name
    with pytest.raises(StudyError, match=r"two.rda: several data frames: 'clinical', 'other'; name one .`sheet:`"):
        read_cohort(study(tmp_path / "two.rda"))
    with pytest.raises(StudyError, match=r"no data frame 'clincal'; its data frames are 'clinical', 'other'"):
        read_cohort(study(tmp_path / "two.rda", "clincal"))


R_ODD = """
saveRDS(list(1, "a"), "list.rds"); saveRDS(1:5, "vector.rds"); saveRDS(lm(dist ~ speed, cars), "model.rds")
d <- data.frame(id=c("P1", "P2"), x=c(TRUE, NA)); names(d) <- c("id", "id"); saveRDS(d, "twice.rds")
saveRDS(data.frame(n=1:2, x=c(TRUE, FALSE), row.names=c("P1", "P2")), "rows.rds")
saveRDS(data.frame(id="P1", at=as.POSIXct("2015-06-01", tz="Europe/Berlin")), "zone.rds")
saveRDS(cars, "ascii.rds", ascii=TRUE)
"""


@needs_r()
def test_what_r_holds_that_is_no_table_is_one_line(tmp_path):
    subprocess.run(["Rscript", "-e", R_ODD], cwd=tmp_path, check=True, capture_output=True)
    for name, words in (
        ("list", "holds no data frame; save one"), ("vector", "holds no data frame; save one"),
        ("model", "save one data frame of plain columns"), ("twice", "column 'id' stands there twice"),
        ("ascii", "without ascii"),
    ):  # fmt: skip
        with pytest.raises(StudyError, match=words):
            read_table(tmp_path / f"{name}.rds")
    rows = read_table(tmp_path / "rows.rds")
    assert rows.to_dict("list") == {"rownames": ["P1", "P2"], "n": ["1", "2"], "x": ["TRUE", "FALSE"]}
    # midnight elsewhere is another day in UTC: the time stays, so that nobody takes it for a date
    assert read_table(tmp_path / "zone.rds")["at"].tolist() == ["2015-05-31 22:00:00"]


class TestLabels:
    def write(self, tmp_path, found=None, kind="sav", **labels):
        found = table() if found is None else found
        labels = {"sex": SEX} | labels
        if kind == "dta":
            pyreadstat.write_dta(found, tmp_path / "t.dta", variable_value_labels=labels)
        else:
            pyreadstat.write_sav(found, tmp_path / "t.sav", variable_value_labels=labels)
        return tmp_path / f"t.{kind}"

    @pytest.mark.parametrize("kind", ["sav", "dta"])
    @pytest.mark.parametrize("negative, positive, how", [("1", "2", "codes"), ("male", "female", "labels")])
    def test_the_study_names_codes_or_labels(self, tmp_path, own, kind, negative, positive, how):
        path = self.write(tmp_path, kind=kind)
        cohort = read_cohort(study(path, sex={"negative": negative, "positive": positive}))
        assert bytes_of(cohort, tmp_path / "b") == own
        assert f"column sex has labels and is read by its {how}: 1 = male, 2 = female" in cohort.warnings

    def test_a_name_that_is_a_code_and_the_label_of_another_stops(self, tmp_path):
        path = self.write(tmp_path, sex={1: "2", 2: "1"})
        with pytest.raises(StudyError, match=r"t.sav: column sex: 1, 2 may be codes or labels .1 = 2, 2 = 1.; change"):
            read_cohort(study(path))

    def test_a_label_without_which_an_event_would_turn_round(self, tmp_path):
        """R's and SPSS's 1/2 labelled 0 and 1: the study's 1 is the label of 2."""
        path = self.write(tmp_path, sex={1: "0", 2: "1"})
        values = read_cohort(study(path, sex={"negative": "0", "positive": "1"})).clinical["sex"]
        assert values.tolist() == pytest.approx((table()["sex"] - 1).tolist(), nan_ok=True)

    def test_a_labelled_number_is_read_and_said(self, tmp_path):
        found = table()
        found.loc[[1, 2], "age"] = 999
        cohort = read_cohort(study(self.write(tmp_path, found, age={999: "unknown"})))
        said = "column age: 2 cells have a label (999 = unknown) and are read as numbers; declare missing_values"
        assert any(text.startswith(said) for text in cohort.warnings)

    def test_a_labelled_code_that_means_missing_is_gone_before_labels_are_read(self, tmp_path):
        found = table()
        found.loc[[1, 2], "sex"] = -9
        path = self.write(tmp_path, found, sex=SEX | {-9: "unknown"})
        cohort = read_cohort(study(path, sex={"negative": "male", "positive": "female"}))
        assert cohort.clinical["sex"].isna().sum() == 3 and cohort.exclusions.empty

    def test_the_scorer_reads_labels_too(self, tmp_path):
        path = self.write(tmp_path)
        named = VARIABLES | {"sex": VARIABLES["sex"] | {"negative": "male", "positive": "female"}}
        inputs = {"id": "id", "centre": None, "missing_values": [], "variables": named}
        frame, wrong = read_new_patients(path, {"m": {"inputs": inputs, "terms": [{"term": "sex"}]}})
        assert frame["sex"].isna().sum() == 1 and not any(wrong.values())


class TestDeclaredMissing:
    def test_of_spss(self, tmp_path):
        found = table()
        found.loc[[1, 2], "age"] = 999
        pyreadstat.write_sav(found, tmp_path / "t.sav", missing_ranges={"age": [{"lo": 900, "hi": 999}]})
        cohort = read_cohort(study(tmp_path / "t.sav"))
        assert cohort.clinical["age"].isna().tolist() == [i in (1, 2) for i in range(N)]
        assert "column age: 2 cells (999) are missing, as the file declares" in cohort.warnings

    def test_of_stata(self, tmp_path):
        found = table().drop(columns="stage").astype({"sex": object})
        found["sex"] = [1, "a", "z", *[2] * (N - 3)]
        pyreadstat.write_dta(found, tmp_path / "t.dta", missing_user_values={"sex": ["a", "z"]})
        one = study(tmp_path / "t.dta")
        del one["clinical"]["variables"]["stage"]
        cohort = read_cohort(one)
        assert cohort.clinical["sex"].isna().tolist() == [i in (1, 2) for i in range(N)]
        assert "column sex: 2 cells (a, z) are missing, as the file declares" in cohort.warnings


def test_numbers_of_32_bits_are_those_that_were_written(tmp_path):
    """4.1 as float32 is 4.099999904632568 in 64 bits: on the other side of a cut at 4.1."""
    found = pd.DataFrame({"id": ["P1", "P2"], "x": np.array([4.1, np.nan], "float32")})
    found.to_stata(tmp_path / "t.dta", write_index=False)
    found.to_parquet(tmp_path / "t.parquet")
    for suffix in ("dta", "parquet"):
        assert read_table(tmp_path / f"t.{suffix}")["x"].tolist()[0] == 4.1


@pytest.mark.parametrize("suffix", [".sav", ".dta", ".xpt", ".rds"])
def test_a_feature_table(tmp_path, suffix):
    rng = np.random.default_rng(2)
    names = [f"original_glcm_F{j}" for j in range(4)]
    found = pd.DataFrame(rng.normal(size=(20, 4)) * 10.0 ** np.arange(0, 12, 3), columns=names)
    found.insert(0, "id", np.arange(1, 21))
    settings = {"id": "id", "pattern": "^original_", "missing_values": []}
    for path in (tmp_path / "f.csv", tmp_path / f"f{suffix}"):
        write(found, path)
    one, other = (read_features(settings, tmp_path / name).features for name in ("f.csv", f"f{suffix}"))
    pd.testing.assert_frame_equal(one, other, rtol=1e-15)


@pytest.mark.parametrize("suffix", [*READERS, ".rds", ".RData"])
@pytest.mark.parametrize("damage", ["cut", "empty", "another"])
def test_a_damaged_file_is_one_line_with_cause_and_remedy(tmp_path, suffix, damage):
    path = tmp_path / f"t{suffix}"
    if suffix == ".sas7bdat":  # no library writes it
        path.write_bytes(b"\x00" * 12 + bytes.fromhex("c2ea8160b31411cfbd92080009c7318c181f1011") + b"\x00" * 400)
    else:
        write(table(), path)
    content = {"cut": path.read_bytes()[: path.stat().st_size // 2 - 3], "empty": b"", "another": b"id,age\nP1,60\n"}
    path.write_bytes(content[damage])
    with pytest.raises(StudyError, match=r"(?i)t\.\w+: .*(save|holds no)") as stopped:
        read_table(path)
    assert len(stopped.value.problems) == 1 and "\n" not in str(stopped.value)


def test_a_file_that_crashes_its_reader_is_named(tmp_path, monkeypatch):
    """The reader works in a process of its own: what kills that leaves a line."""
    write(table(), tmp_path / "t.sav")
    monkeypatch.setattr(pyreadstat, "read_sav", lambda path: os.abort())
    with pytest.raises(StudyError, match=r"t.sav: damaged: its reader crashed on it; open it in its own program"):
        read_table(tmp_path / "t.sav")


def test_every_format_is_named_where_an_unknown_one_is_refused(tmp_path):
    (tmp_path / "t.ods").write_text("x")
    with pytest.raises(StudyError, match=r"SPSS .*Stata .*SAS .*R "):
        read_table(tmp_path / "t.ods")
    assert set(READERS) < set(tables.STATISTICS)
