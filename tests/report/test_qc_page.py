"""The page to check the images: worst first; in a real browser it sorts, filters, shows, and leaks nothing."""

from __future__ import annotations

import base64
import json
import re
import runpy
import sys
import zlib
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import console, open_page, requested
from PIL import Image
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from recur.images.case_file import Case
from recur.images.montage import Reading
from recur.images.pictures import draw
from recur.images.review import COLUMNS, read_review, reviewed
from recur.images.slices import slices_script
from recur.report.qc_page import concerns, page

SCRIPT = Path(__file__).parents[2] / "scripts" / "qc_page.py"
GOOD = {
    "status": "ok", "reason": None, "flags": None, "tumour_ml": 20.0, "diameter_mm": 35.0, "modality": "CT",
    "normalise": "none", "lesion": 1, "lesions": 1, "spacing_x": 0.8, "spacing_y": 0.8, "spacing_z": 2.0,
}  # fmt: skip
RIM = {"voxels": 16000, "median": 90.0, "shell_fraction": 1.0}
TUMOUR = {"voxels": 12000, "median": 80.0, "shell_fraction": None}
EVIL = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def tables(*rows):
    """Case table and region table; a row is (patient, phase, changes), changes of a region under its name."""
    cases, regions = [], []
    for patient, phase, changes in rows:
        key = {"patient_id": patient, "phase": phase, "reader": "reader1"}
        own = {name: value for name, value in changes.items() if name not in ("tumour", "rim")}
        if own.get("status") == "excluded":
            own |= dict.fromkeys(["tumour_ml", "diameter_mm", "spacing_x", "spacing_y", "spacing_z", "lesion"], np.nan)
        else:
            for name, measured in (("tumour", TUMOUR), ("rim", RIM)):
                regions.append(key | {"lesion": 1, "region": name} | measured | changes.get(name, {}))
        cases.append(key | GOOD | own)
    columns = ["patient_id", "phase", "reader", "lesion", "region", "voxels", "median", "shell_fraction"]
    return pd.DataFrame(cases), pd.DataFrame(regions, columns=columns)


STUDY = (
    ("A1", "AP", {}),
    ("A1", "PVP", {"flags": "1 localizer slices left out", "flag_kinds": "other"}),
    ("A2", "AP", {"rim": {"shell_fraction": 0.62}}),
    ("A3", "AP", {"status": "excluded", "reason": f"AP reader1: mask {EVIL}: no such file"}),
    ("A4", "AP", {"tumour": {"voxels": 90}}),
    ("A5", "AP", {"tumour": {"median": -300.0}}),
    ("A10", "AP", {"spacing_z": 5.0, "flags": "slice/in-plane ratio 6.2", "flag_kinds": "thick"}),
    ("B1", "AP", {"tumour_ml": 100.0}),
    ("B1", "PVP", {"tumour_ml": 30.0, "dice": 0.81}),
    ("B2", "AP", {"dice": 0.644}),
    (EVIL, "AP", {}),
)


# the score


def test_each_concern_has_the_points_the_page_says():
    table, common = concerns(*tables(*STUDY))
    table = table.set_index(["patient_id", "phase"])
    assert common == []
    found = {key: (round(row["score"], 6), row["kinds"]) for key, row in table.iterrows()}
    assert found == {
        ("A3", "AP"): (100, "excluded"),
        ("A4", "AP"): (5, "few"),
        ("A5", "AP"): (5, "odd"),
        ("A2", "AP"): (3.8, "clipped"),
        ("B1", "AP"): (3, "volumes"),
        ("B1", "PVP"): (3, "volumes"),
        ("B2", "AP"): (3, "overlap"),
        ("A10", "AP"): (2, "thick"),
        ("A1", "PVP"): (1, "other"),
        ("A1", "AP"): (0, ""),
        (EVIL, "AP"): (0, ""),
    }
    assert list(table["score"]) == sorted(table["score"], reverse=True)
    assert table.loc[("A2", "AP"), "why"] == "38 % of the rim's shell lost"
    assert table.loc[("B1", "PVP"), "why"] == "tumour volumes of this patient differ 3.3-fold"


def test_hu_are_judged_in_ct_only_and_lesions_are_not_compared():
    odd = {"tumour": {"median": 900.0}}
    cases, regions = tables(("P1", "T1", odd | {"modality": "MR"}), ("P2", "T1", odd | {"normalise": "zscore"}))
    assert concerns(cases, regions)[0]["score"].tolist() == [0, 0]
    cases, regions = tables(("P1", "AP", {}), ("P1", "AP", {"tumour_ml": 1.0}))
    cases["lesion"], cases["lesions"] = [1, 2], 2
    regions["lesion"] = [1, 1, 2, 2]
    assert concerns(cases, regions)[0]["score"].tolist() == [0, 0]


def test_a_study_without_any_readable_case_has_a_page():
    cases, regions = tables(("P1", "AP", {"status": "excluded", "reason": "AP reader1: mask m.nii: no such file"}))
    html = page(*concerns(cases, regions), "lost")
    assert "mask m.nii: no such file" in html and "<b>1</b> excluded" in html


def test_no_text_of_a_table_becomes_markup():
    html = page(*concerns(*tables(*STUDY)), "study {{rows}} <b>")
    assert EVIL not in html and html.count("&lt;script&gt;") == 3 and "study {{rows}} &lt;b&gt;" in html
    assert html.count("<script") == 1 and not re.search(r"https?://", html)


def test_a_fault_weighs_what_it_means_and_not_how_many_remarks_there_are():
    """Each line of the issue's list: a mask that is inverted before one with three small remarks."""
    small = {
        "flags": "1 localizer slices left out;lossy compressed;2 specks below 0.05 ml",
        "flag_kinds": "other;lossy;pieces",
    }
    rows = [
        ("P1", "AP", small),
        ("P2", "AP", {"flags": "moved 4.0 mm since AP under one mask", "flag_kinds": "moved", "phase_shift_mm": 4.0}),
        ("P3", "AP", {"flags": "moved 14.0 mm since AP under one mask", "flag_kinds": "moved", "phase_shift_mm": 14.0}),
        ("P4", "AP", {"flags": "tumour touches the image's edge (9 voxels)", "flag_kinds": "edge"}),
        (
            "P5",
            "AP",
            {"flags": "lossy compressed;tumour mask covers the border: inverted?", "flag_kinds": "lossy;inverted"},
        ),
        ("P6", "AP", {"flags": "no value below 0 HU", "flag_kinds": "not_hu"}),
        ("P7", "AP", {"flags": "from a version that knew no kinds"}),
    ]
    table, _ = concerns(*tables(*rows))
    assert table["patient_id"].tolist() == ["P5", "P6", "P3", "P4", "P1", "P2", "P7"]
    assert table["why"][0].startswith("tumour mask covers")  # the worst is read first


def test_what_nearly_every_row_says_is_said_once_in_the_head_with_the_exceptions():
    rim = {"flag_kinds": "rim", "flags": "no liver mask: rim clipped to -100..300 HU"}
    rows = [(f"P{i:02d}", "AP", rim | {"spacing_z": 2.6 + 0.01 * i}) for i in range(19)]
    rows += [("Q1", "AP", {"flags": "tumour of 7 pieces", "flag_kinds": "pieces", "spacing_z": 3.0})]
    rows += [("X1", "AP", {"status": "excluded", "reason": "AP reader1: mask m.nii: no such file"})]
    table, common = concerns(*tables(*rows))
    assert common == [
        "spacing ratio … (20 of 20 cases)",
        "no liver mask: rim clipped to -100..300 HU (19 of 20 cases; not on Q1 AP)",
    ]
    assert table["why"].tolist()[:3] == ["excluded: AP reader1: mask m.nii: no such file", "tumour of 7 pieces", ""]
    assert table["score"].tolist()[2:] == [0] * 19
    assert table["more"][2] == "spacing ratio 3.2; no liver mask: rim clipped to -100..300 HU"
    html = page(table, common, "rims")
    assert html.count("On nearly every case") == 1 and "<b>19</b> nothing to remark" in html


def test_times_and_enhancement_that_contradict_the_phases_are_said_of_both():
    late = {"phase_time_s": 40.0, "aorta_median": 150.0, "liver_median": 110.0}
    early = {"phase_time_s": 0.0, "aorta_median": 300.0, "liver_median": 70.0}
    right, _ = concerns(*tables(("P1", "AP", early), ("P1", "PVP", late)))
    assert right["why"].tolist() == ["", ""]
    swapped, _ = concerns(*tables(("P1", "AP", late), ("P1", "PVP", early)))
    said = (
        "PVP was scanned before AP; aorta of PVP (300 HU) is brighter than of AP (150 HU); "
        "liver of AP (110 HU) is brighter than of PVP (70 HU)"
    )
    assert swapped["why"].tolist() == [said, said]


def test_an_aorta_without_contrast_is_no_portal_venous_phase():
    rows = (
        ("P1", "PVP", {"aorta_median": 43.0}),
        ("P2", "NC", {"aorta_median": 200.0}),
        ("P3", "NC", {"aorta_median": 43.0}),
    )
    table, _ = concerns(*tables(*rows))
    assert table["why"].tolist() == [
        "aorta of 43 HU in PVP: without contrast?",
        "aorta of 200 HU in NC: with contrast?",
        "",
    ]


def test_columns_that_a_study_has_no_value_for_are_left_out():
    measured = {
        "pieces": 2,
        "edge_voxels": 14,
        "liver_median": 104.4,
        "phase_time_s": 33.0,
        "series_description": "ART <1>",
    }
    cases, regions = tables(("P1", "AP", measured), ("P2", "AP", measured))
    cases["aorta_median"] = np.nan
    html = page(*concerns(cases, regions), "columns")
    heads = re.findall('<th scope="col"[^>]*>(.*?)</th>', html)
    assert {"Pieces", "Edge voxels", "Tumour HU", "Liver HU", "Seconds since first phase", "Series"} <= set(heads)
    assert "Aorta HU" not in heads
    assert all(cell in html for cell in ('<td class="n">14</td>', '<td class="n">104</td>', "<td>ART &lt;1&gt;</td>"))


# the page in a browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study's qc folder as the workflow leaves it, made by the program."""
    folder = tmp_path_factory.mktemp("results") / "images"
    cases, regions = tables(*STUDY)
    cases.insert(3, "case", "x.npz")
    for number in (0, 1):
        part = (cases["patient_id"] == "A4") == bool(number)
        for name, table in (("", cases), ("regions/", regions)):
            path = folder / f"{name}batch-{number}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            table[table["patient_id"].isin(cases.loc[part, "patient_id"])].to_csv(path, index=False)
        for patient, phase in cases.loc[part, ["patient_id", "phase"]].itertuples(index=False):
            if patient == EVIL:
                continue
            for path in (f"{patient}.png", f"thumbnails/{patient}_{phase}.jpg"):
                path = folder / "qc" / f"batch-{number}" / path
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (640, 400) if path.suffix == ".png" else (112, 112), "grey").save(path)
    assigned = cases[["patient_id"]].drop_duplicates().assign(cohort="train")
    assigned["centre"] = assigned["patient_id"].str[0].where(assigned["patient_id"] != EVIL, "Sankt Anna")
    assigned.to_csv(folder / "assigned.csv", index=False)
    arguments = [
        "--study", "demo", "--cases", *folder.glob("batch-*.csv"), "--regions", *folder.glob("regions/*.csv"),
        "--assigned", folder / "assigned.csv", "--output", folder / "qc" / "index.html", "--synthetic",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["qc_page.py", *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return folder / "qc"


@pytest.fixture
def opened(browser, folder):
    """The page, freshly opened; whatever a test does, it must end without an error and without asking the outside."""
    open_page(browser, folder / "index.html")
    yield browser
    assert console(browser) == []
    assert [url for url in requested(browser) if not url.startswith("file://")] == []
    assert browser.title == "Image check: demo"


CELLS = """
const column = [...document.querySelectorAll("th")].findIndex((head) => head.innerText.trim() === arguments[0]);
return [...document.querySelectorAll("tbody tr")].map((row) => row.cells[column].innerText.trim());
"""


def column(browser, name):
    """The cells of a column that are on the page, as they are read."""
    return browser.execute_script(CELLS, name)


def head(browser, name):
    return browser.find_element(By.XPATH, f"//th[normalize-space(.)='{name}']")


def test_opens_worst_first_with_counts_and_pictures(opened):
    assert column(opened, "Patient")[:4] == ["A3", "A4", "A5", "A2"]
    assert head(opened, "Score").get_attribute("aria-sort") == "descending"
    counts = opened.find_element(By.CLASS_NAME, "counts").text
    assert counts.splitlines()[:3] == ["9 patients", "11 cases", "1 excluded"]
    assert "2 volumes differ" in counts and "2 nothing to remark" in counts
    assert "SYNTHETIC" in opened.find_element(By.CLASS_NAME, "synthetic").text
    first = opened.find_element(By.CSS_SELECTOR, "td img")
    WebDriverWait(opened, 10).until(lambda b: b.execute_script("return arguments[0].naturalWidth", first) == 112)


def test_sorts_by_every_column_numbers_as_numbers_empty_cells_last(opened):
    names = [h.text for h in opened.find_elements(By.TAG_NAME, "th") if h.text != "Axial, coronal"]
    assert {"Patient", "Centre", "Why", "Tumour voxels", "Rim HU", "Rim kept, %", "Spacing ratio"} <= set(names)
    for name in names:
        button = head(opened, name).find_element(By.TAG_NAME, "button")
        numeric = "n" in head(opened, name).get_attribute("class").split()
        orders = {}
        for _ in range(2):
            button.click()
            orders[head(opened, name).get_attribute("aria-sort")] = column(opened, name)
        for order, cells in orders.items():
            filled = [cell for cell in cells if cell]
            assert cells == filled + [""] * (len(cells) - len(filled)), name
            if numeric:
                values = [float(cell.split()[0]) for cell in filled]
                assert values == sorted(values, reverse=order == "descending"), name
        assert set(orders) == {"ascending", "descending"}
        assert len(opened.find_elements(By.CSS_SELECTOR, "th[aria-sort]")) == 1
    head(opened, "Patient").find_element(By.TAG_NAME, "button").click()
    patients = [p for p in column(opened, "Patient") if p.startswith("A")]
    assert patients == ["A1", "A1", "A2", "A3", "A4", "A5", "A10"]


def test_filters_by_words_and_by_what_a_row_is(opened):
    text = opened.find_element(By.ID, "text")
    text.send_keys("pvp localizer")
    assert column(opened, "Patient") == ["A1"] and opened.find_element(By.ID, "shown").text == "1 to 1 of 1 rows"
    text.send_keys(" nowhere")
    assert column(opened, "Patient") == [] and opened.find_element(By.ID, "shown").text == "no rows"
    text.send_keys(Keys.CONTROL + "a" + Keys.NULL, Keys.DELETE)
    Select(opened.find_element(By.ID, "kinds")).select_by_visible_text("volumes differ")
    assert column(opened, "Patient") == ["B1", "B1"]
    Select(opened.find_element(By.ID, "phase")).select_by_visible_text("PVP")
    assert column(opened, "Phase") == ["PVP"]
    for name in ("kinds", "phase"):
        Select(opened.find_element(By.ID, name)).select_by_index(0)
    Select(opened.find_element(By.ID, "centre")).select_by_visible_text("Sankt Anna")
    assert column(opened, "Patient") == [EVIL]


def test_a_click_shows_the_large_picture_and_keys_lead_through_the_patients(opened):
    dialog = opened.find_element(By.TAG_NAME, "dialog")
    assert not dialog.is_displayed()
    opened.find_element(By.CSS_SELECTOR, "td a").click()
    assert dialog.is_displayed() and dialog.find_element(By.ID, "name").text == "A3"
    picture = dialog.find_element(By.TAG_NAME, "img")
    WebDriverWait(opened, 10).until(lambda b: b.execute_script("return arguments[0].naturalWidth", picture) == 640)
    assert picture.get_attribute("src").endswith("/qc/batch-0/A3.png")
    keys = ActionChains(opened)
    keys.send_keys(Keys.ARROW_RIGHT).perform()
    assert dialog.find_element(By.ID, "name").text == "A4"
    assert picture.get_attribute("src").endswith("/qc/batch-1/A4.png")
    assert dialog.find_element(By.ID, "about").text == "AP reader1; tumour of 90 voxels"
    assert dialog.find_element(By.ID, "full").get_attribute("href") == picture.get_attribute("src")
    keys.send_keys(Keys.ARROW_LEFT).perform()
    assert dialog.find_element(By.ID, "name").text == "A3"
    keys.send_keys(Keys.ESCAPE).perform()
    assert not dialog.is_displayed()


def test_everything_is_reached_by_the_keyboard(opened):
    def focused(attribute):
        return opened.execute_script(f"return document.activeElement.{attribute}")

    keys = ActionChains(opened)
    for _ in range(40):
        keys.send_keys(Keys.TAB).perform()
        if focused("textContent") == "Patient":
            break
    keys.send_keys(Keys.ENTER).perform()
    assert head(opened, "Patient").get_attribute("aria-sort") == "ascending"
    for _ in range(40):
        keys.send_keys(Keys.TAB).perform()
        if focused("tagName") == "A":
            break
    keys.send_keys(Keys.ENTER).perform()
    assert opened.find_element(By.TAG_NAME, "dialog").is_displayed()
    assert opened.find_element(By.ID, "name").text == "A1"
    keys.send_keys(Keys.ESCAPE).perform()
    assert focused("tagName") == "A"  # back where one was


def test_ten_thousand_rows_stay_quick(browser, tmp_path):
    rows = [(f"P{i}", "AP", {"rim": {"shell_fraction": 1 - i / 40_000}}) for i in range(10_000)]
    html = page(*concerns(*tables(*rows)), "large")
    (tmp_path / "large.html").write_text(html)
    assert len(html) < 8_000_000
    open_page(browser, tmp_path / "large.html")
    assert browser.find_element(By.ID, "shown").text == "1 to 100 of 10000 rows"
    took = browser.execute_script("return performance.timing.loadEventEnd - performance.timing.navigationStart")
    browser.execute_script("window.began = performance.now()")
    head(browser, "Rim kept, %").find_element(By.TAG_NAME, "button").click()
    sorting = browser.execute_script("return performance.now() - window.began")
    print(f"{len(html) / 1e6:.1f} MB, load {took} ms, sort {sorting:.0f} ms")
    assert took < 20_000 and sorting < 6000  # 2.2 s and 0.4 s on two idle cores; a busy machine must not fail it
    browser.find_element(By.ID, "next").click()
    assert browser.find_element(By.ID, "shown").text == "101 to 200 of 10000 rows"
    assert console(browser) == []


def test_heads_of_columns_stay_in_sight_below_the_filters(opened):
    opened.execute_script("document.body.style.paddingBottom = '3000px'; window.scrollTo(0, 900)")
    bar, head = (opened.find_element("css selector", name) for name in ("form", "thead th:nth-child(2)"))
    top = "return arguments[0].getBoundingClientRect()"
    below = opened.execute_script(top, bar)["bottom"]
    at = opened.execute_script(top, head)
    opened.execute_script("document.body.style.paddingBottom = ''; window.scrollTo(0, 0)")
    assert abs(at["bottom"] - at["height"] - below) < 2


def test_without_javascript_it_is_a_plain_table_with_links(browser, folder, tmp_path):
    html = re.sub("<script>.*?</script>", "", (folder / "index.html").read_text(), flags=re.S)
    (folder / "plain.html").write_text(html)
    open_page(browser, folder / "plain.html")
    assert column(browser, "Patient")[:2] == ["A3", "A4"] and len(column(browser, "Patient")) == 11
    assert not browser.find_element(By.TAG_NAME, "form").is_displayed()
    assert browser.find_element(By.CSS_SELECTOR, "td a").get_attribute("href").endswith("/qc/batch-0/A3.png")


# slices and notes

MASKS = {"P1": "a" * 64, "P2": "b" * 64, "P3": "c" * 64}


def ramp_case():
    """A tumour of 6 x 8 x 10 voxels in an image whose value tells where one is: HU = 100 z + 10 y + x - 1000."""
    z, y, x = np.indices((20, 30, 40))
    labels = np.zeros(z.shape, np.uint8)
    labels[7:13, 11:19, 15:25] = 1
    image = (100 * z + 10 * y + x - 1000).astype(np.float32)
    facts = {"modality": "CT", "normalise": "none", "regions": {"tumour": 1}}
    spacing = np.array([1.0, 1.0, 2.0])
    return Case(image, labels, spacing, np.eye(3).ravel(), np.array([40, 30, 20]), np.zeros(3, int),
                np.zeros(3), facts)  # fmt: skip


def review_folder(folder, review=None, masks=MASKS):
    """A qc folder of three cases with slices, as cases.py and qc_page.py leave it."""
    hashes = {patient: {"mask_hash": mask, "image_hash": "e" * 64} for patient, mask in masks.items()}
    cases, regions = tables(*[(patient, "AP", own) for patient, own in hashes.items()])
    for patient in masks:
        draw(patient, {"AP": [Reading("reader1", ramp_case(), "a ramp")]}, folder / "qc" / "batch-0", False)
    paths = {"cases": folder / "batch-0.csv", "regions": folder / "regions.csv", "assigned": folder / "assigned.csv"}
    cases.to_csv(paths["cases"], index=False)
    regions.to_csv(paths["regions"], index=False)
    cases[["patient_id"]].to_csv(paths["assigned"], index=False)
    arguments = ["--study", "demo", *[part for name, path in paths.items() for part in (f"--{name}", path)]]
    arguments += ["--output", folder / "qc" / "index.html", *(["--review", review] if review else [])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["qc_page.py", *map(str, arguments)])
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return folder / "qc" / "index.html"


def write_review(path, *rows):
    lines = ["patient_id,phase,reader,verdict,note,mask_hash,image_hash", *rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def slices_page(tmp_path_factory):
    return review_folder(tmp_path_factory.mktemp("slices"))


def opened_slices(browser, page_path, patient="P1"):
    open_page(browser, page_path)
    browser.execute_script("localStorage.clear()")
    open_page(browser, page_path)
    browser.find_element(By.XPATH, f"//td[.='{patient}']/..//a").click()
    WebDriverWait(browser, 10).until(lambda b: "slice" in b.find_element(By.ID, "where").text)


def set_number(browser, name, value):
    field = browser.find_element(By.ID, name)
    browser.execute_script(
        "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))", field, value
    )


GREY = """
const pen = document.querySelector("canvas").getContext("2d");
return [...pen.getImageData(arguments[0], arguments[1], 1, 1).data];
"""


def test_slices_scroll_and_keep_the_values_of_the_image(browser, slices_page):
    opened_slices(browser, slices_page)
    where = browser.find_element(By.ID, "where")
    assert where.text == "axial slice 8 of 20"  # the first of the tumour's equal slices
    keys = ActionChains(browser)
    keys.send_keys(Keys.ARROW_UP, Keys.ARROW_UP).perform()
    assert where.text == "axial slice 10 of 20"
    canvas = browser.find_element(By.TAG_NAME, "canvas")
    ActionChains(browser).move_to_element_with_offset(canvas, 5, 5).perform()
    # 40 x 30 voxels of 1 mm fill the width: just beyond the middle lie x = 20, y = 15 of slice 9 (counted from 0)
    assert browser.find_element(By.ID, "value").text == f"{100 * 9 + 10 * 15 + 20 - 1000} HU"
    assert console(browser) == []
    set_number(browser, "middle", 70)
    set_number(browser, "wide", 1)
    browser.find_element(By.ID, "outline").click()
    side = browser.execute_script("return document.querySelector('canvas').width")
    voxel, top = side / 40, (side - side / 40 * 30) / 2
    at = {x: browser.execute_script(GREY, int((x + 0.5) * voxel), int(top + 15.5 * voxel)) for x in (18, 22)}
    assert at[18][:3] == [0, 0, 0] and at[22][:3] == [255, 255, 255]  # 68 HU below, 72 above a window around 70
    canvas.send_keys(Keys.ARROW_RIGHT)
    WebDriverWait(browser, 10).until(lambda b: "slice 8 of" in b.find_element(By.ID, "where").text)
    assert browser.find_element(By.ID, "wide").get_attribute("value") == "1"  # the window stays for the next case
    Select(browser.find_element(By.ID, "plane")).select_by_visible_text("coronal")
    assert where.text.startswith("coronal 12 of")
    assert [u for u in requested(browser) if not u.startswith(("file://", "blob:"))] == []


def test_slices_that_come_late_are_never_shown_under_the_next_case(browser, tmp_path):
    """Whoever goes on at once saw the slices of the case before under the name of this one, until its own came."""
    page_path = review_folder(tmp_path)
    (page_path.parent / "batch-0" / "slices" / "P2_AP.js").unlink()
    open_page(browser, page_path)
    links = [browser.find_element(By.XPATH, f"//td[.='{patient}']/..//a") for patient in ("P1", "P2")]
    browser.execute_script("for (const link of arguments[0]) link.click()", links)
    where = browser.find_element(By.ID, "where")
    WebDriverWait(browser, 10).until(lambda b: where.text)
    browser.execute_async_script("setTimeout(arguments[0], 500)")
    assert browser.find_element(By.ID, "name").text == "P2"
    assert where.text == "the slices are not beside this page: copy the whole folder images/qc"


def test_the_outline_runs_along_the_edges_of_the_masks_voxels(browser, slices_page):
    opened_slices(browser, slices_page)
    side = browser.execute_script("return document.querySelector('canvas').width")
    voxel, top = side / 40, (side - side / 40 * 30) / 2
    left = browser.execute_script(GREY, int(15 * voxel), int(top + 15.5 * voxel))
    inside = browser.execute_script(GREY, int(17.5 * voxel), int(top + 15.5 * voxel))
    assert left[0] > left[2] + 60  # orange, between voxel 14 and 15
    assert abs(inside[0] - inside[2]) < 3
    ActionChains(browser).send_keys("o").perform()
    left = browser.execute_script(GREY, int(15 * voxel), int(top + 15.5 * voxel))
    assert abs(left[0] - left[2]) < 3


def test_notes_by_key_are_saved_read_and_put_in_place_by_the_next_run(browser, tmp_path):
    opened_slices(browser, review_folder(tmp_path))
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    keys = ActionChains(browser)
    keys.send_keys("s", Keys.ARROW_RIGHT, "r").perform()
    assert browser.find_element(By.ID, "name").text == "P2" and browser.find_element(By.ID, "verdict").text == "redraw"
    browser.find_element(By.ID, "note").send_keys('=HYPERLINK("x"), rim s')
    assert browser.find_element(By.ID, "verdict").text == "redraw"  # an s in a note is a letter
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert browser.find_element(By.ID, "unsaved").text == "2 unsaved notes"
    assert browser.find_element(By.ID, "count-seen").text == "1"
    browser.refresh()
    assert browser.find_element(By.ID, "unsaved").text == "2 unsaved notes"  # kept in the browser
    browser.find_element(By.ID, "save").click()
    saved = tmp_path / "review.csv"
    WebDriverWait(browser, 10).until(lambda _: saved.exists())
    lines = saved.read_text().splitlines()
    assert lines[1] == f"P1,AP,reader1,seen,,{'a' * 64},{'e' * 64}"
    assert lines[2].startswith("""P2,AP,reader1,redraw,"'=HYPERLINK(""x""), rim s",bbbb""")
    assert read_review(saved)["note"].tolist() == ["", '=HYPERLINK("x"), rim s']

    open_page(browser, review_folder(tmp_path, saved))
    assert column(browser, "Patient") == ["P2", "P3", "P1"]  # to redraw, nothing noted, seen
    assert column(browser, "Why") == ["noted redraw, and the mask is unchanged", "", ""]
    assert column(browser, "Note") == ['redraw: =HYPERLINK("x"), rim s', "", "seen"]
    assert browser.find_element(By.ID, "unsaved").text == ""
    Select(browser.find_element(By.ID, "noted")).select_by_visible_text("not seen yet")
    assert column(browser, "Patient") == ["P2", "P3"]

    open_page(browser, review_folder(tmp_path, saved, MASKS | {"P1": "d" * 64, "P2": "d" * 64}))
    assert dict(zip(column(browser, "Patient"), column(browser, "Why"), strict=True)) == {
        "P1": "noted seen on other voxels than now: look again",
        "P2": "noted redraw on other voxels than now: look again",
        "P3": "",
    }
    assert browser.find_element(By.ID, "count-seen").text == "0"
    assert console(browser) == []


def test_notes_on_former_masks_that_were_never_saved_are_not_taken_for_the_new_ones(browser, tmp_path):
    page_path = review_folder(tmp_path)
    opened_slices(browser, page_path)
    ActionChains(browser).send_keys("s").perform()
    open_page(browser, review_folder(tmp_path, masks=MASKS | {"P1": "d" * 64}))
    assert column(browser, "Note") == ["", "", ""]
    assert browser.find_element(By.ID, "unsaved").text == "1 on masks that have changed since left out"


def test_a_note_is_never_trusted_further_than_its_hashes_go():
    """Excluded cases are not put away as seen; a redraw without a hash, or of another image, still asks for a mask."""
    one, other, picture = "a" * 64, "d" * 64, "e" * 64
    excluded = {"status": "excluded", "reason": "AP reader1: mask m.nii: no such file", "mask_hash": np.nan}
    rows = [(patient, "AP", {"mask_hash": one, "image_hash": picture}) for patient in ("P1", "P2", "P3", "P4", "P5")]
    cases, regions = tables(("P0", "AP", excluded | {"image_hash": np.nan}), *rows)
    notes = {
        "P0": ("seen", "", ""),
        "P1": ("seen", one, picture),
        "P2": ("seen", one, other),
        "P3": ("seen", "", ""),
        "P4": ("redraw", one, other),
        "P5": ("redraw", "", ""),
    }
    lines = [(patient, "AP", "reader1", verdict, "", *hashes) for patient, (verdict, *hashes) in notes.items()]
    table, _ = concerns(reviewed(cases, pd.DataFrame(lines, columns=COLUMNS)), regions)
    again = "noted seen on other voxels than now: look again"
    assert table[["patient_id", "why"]].to_numpy().tolist() == [
        ["P0", "excluded: AP reader1: mask m.nii: no such file"],
        ["P4", "noted redraw, and the mask is unchanged"],
        ["P5", "noted redraw, of which voxels is not known"],
        ["P2", again],
        ["P3", again],
        ["P1", ""],
    ]


def test_notes_on_masks_of_another_study_are_told_in_a_line_and_kept(tmp_path):
    rows = (f"{patient},AP,reader1,seen,,," for patient in ("X1", "X2", "X3", "X4"))
    html = review_folder(tmp_path, write_review(tmp_path / "other.csv", *rows)).read_text()
    line = "4 notes are on no mask of this study (X1 AP reader1, X2 AP reader1, X3 AP reader1, ...)"
    assert html.count(line) == 1
    kept = json.loads(unescape(re.search('data-notes="(.*?)"', html)[1]))
    assert [note["patient_id"] for note in kept] == ["X1", "X2", "X3", "X4"]


def test_the_same_run_gives_the_same_bytes(tmp_path):
    first, second = (review_folder(tmp_path / name) for name in "ab")
    made = [{p.relative_to(page.parent): p.read_bytes() for p in page.parent.rglob("*.*")} for page in (first, second)]
    assert made[0] == made[1] and len(made[0]) == 10  # page; picture, thumbnail and slices of three


@pytest.mark.parametrize(
    ("spread", "normalise", "worst"), [(3000.0, "none", 0.5), (8.0, "zscore", 8 / 4095), (40_000.0, "none", 0.5)]
)
def test_slices_hold_what_was_measured(spread, normalise, worst):
    """Unpacked as the page does it: each value within half a step, each voxel of the mask."""
    case = ramp_case()
    noise = np.random.default_rng(1).uniform(-spread / 2, spread / 2, case.image.shape)
    case = case._replace(image=noise.astype(np.float32), facts=case.facts | {"normalise": normalise})
    given = json.loads(slices_script([Reading("reader1", case, "")]).removeprefix("slices(").removesuffix(");\n"))
    raw = np.frombuffer(zlib.decompress(base64.b64decode(given["image"])), np.uint8).reshape(2, *given["size"])
    folded = raw[0].astype(np.int64) + 256 * raw[1].astype(np.int64)
    numbers = np.cumsum((folded >> 1) ^ -(folded & 1), axis=2).astype(np.int16)
    assert np.abs(given["offset"] + given["step"] * numbers - case.image).max() <= worst
    labels = np.frombuffer(zlib.decompress(base64.b64decode(given["labels"][0])), np.uint8).reshape(given["size"])
    assert np.array_equal(labels, case.labels)
