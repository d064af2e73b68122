"""The pictures of a patient: the right slice, true proportions, the patient's sides, both readers, nothing hidden."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recur.images.case_file import LIVER, RIM, TUMOUR, Case
from recur.images.montage import (
    COLOURS,
    GAP,
    HU_WINDOW,
    PANEL,
    Reading,
    _edges,
    draw_montage,
    draw_thumbnail,
    overlap,
    save_picture,
    view_of,
)

SHAPE = (24, 90, 90)  # z, y, x
SPACING = (1.0, 1.0, 4.0)  # x, y, z
AXIAL = np.eye(3)
SAGITTAL = np.array([[0, 0, 1], [1, 0, 0], [0, -1, 0]])  # columns: x runs to posterior, y to the feet, z to the left


def ball(radius, centre=(48, 45, 45), shape=SHAPE, spacing=SPACING):
    """Voxels within `radius` mm of a point (z, y, x in mm)."""
    z, y, x = np.indices(shape)
    distances = [(a * step - c) ** 2 for a, step, c in zip((z, y, x), spacing[::-1], centre, strict=True)]
    return sum(distances) <= radius**2


def made(labels, image=None, direction=AXIAL, offset=(0, 0, 0), full_size=None, facts=None, spacing=SPACING):
    if image is None:
        image = np.where(labels & TUMOUR, 120, 80)
    return Case(
        image.astype(np.float32), labels.astype(np.uint8), np.array(spacing, float),
        np.ravel(direction).astype(float), np.array(full_size or labels.shape[::-1]), np.array(offset), np.zeros(3),
        {"regions": {"tumour": TUMOUR, "rim": RIM, "liver": LIVER}} | (facts or {}),
    )  # fmt: skip


def regions(tumour=15, rim=25, liver=None, **where):
    inner, outer = ball(tumour, **where), ball(rim, **where)
    labels = inner * TUMOUR + (outer & ~inner) * RIM
    return labels + (ball(liver) * LIVER if liver else 0)


def panels(picture: Image.Image, columns: int = 4) -> list[np.ndarray]:
    """The panels of the last row of a montage: overview, one per region, across."""
    pixels = np.asarray(picture)[-PANEL - GAP : -GAP]
    return [pixels[:, GAP + i * (PANEL + GAP) :][:, :PANEL] for i in range(columns)]


def coloured(pixels, name):
    return (pixels == COLOURS[name]).all(axis=2)


def test_every_region_has_its_panel_and_its_contour():
    picture = draw_montage("P1", {"AP": [Reading("reader1", made(regions(liver=43)), "note")]})
    overview, tumour, rim, across = panels(picture)
    for name in COLOURS:
        assert coloured(overview, name).sum() > 100, name
    assert coloured(tumour, "tumour").any() and not coloured(tumour, "rim").any()
    assert all(coloured(rim, name).any() for name in ("rim", "tumour"))
    assert coloured(across, "tumour").any() and coloured(across, "rim").any()
    without = draw_montage("P1", {"AP": [Reading("reader1", made(regions()), "note")]})
    assert not coloured(np.asarray(without), "liver").any()


def test_thick_slices_keep_true_proportions():
    _, tumour, _, across = panels(draw_montage("P1", {"AP": [Reading("reader1", made(regions(tumour=16)), "")]}))
    for panel, tolerance in ((tumour, 0.04), (across, 0.15)):  # a slice is an eighth of this tumour
        y, x = np.nonzero(coloured(panel, "tumour"))
        assert np.ptp(y) == pytest.approx(np.ptp(x), rel=tolerance)


def test_a_region_is_shown_on_the_slice_of_its_largest_extent():
    labels = np.zeros(SHAPE, dtype=int)
    labels[8, 40:50, 40:50] = labels[17, 40:55, 40:55] = TUMOUR
    labels[5, 35:60, 35:60] = labels[6, 35:50, 35:60] = RIM
    brightness = np.broadcast_to(np.arange(24)[:, None, None] * 10.0 - 50, SHAPE)
    case = made(labels, brightness, offset=(0, 0, 100), full_size=(90, 90, 200))
    overview, tumour, rim, _ = panels(draw_montage("P1", {"AP": [Reading("reader1", case, "")]}))

    def slice_of(panel):
        grey = panel[PANEL // 2 + 20, PANEL // 2 + 20, 0] / 255 * (HU_WINDOW[1] - HU_WINDOW[0]) + HU_WINDOW[0]
        return round((grey + 50) / 10)

    assert [slice_of(panel) for panel in (overview, tumour, rim)] == [17, 17, 5]


@pytest.mark.parametrize(("direction", "flips"), [(np.diag([-1, -1, 1]), (1, 2)), (np.diag([1, -1, 1]), (1,))])
def test_the_patient_lies_the_same_way_however_the_voxels_are_stored(direction, flips):
    labels = regions(tumour=10, rim=16, centre=(48, 30, 25))
    image = np.random.default_rng(1).normal(80, 20, SHAPE)
    stored = made(np.flip(labels, flips), np.flip(image, flips), direction)
    pictures = [draw_montage("P1", {"AP": [Reading("r", case, "")]}) for case in (made(labels, image), stored)]
    assert pictures[0].tobytes() == pictures[1].tobytes()


def test_a_sagittal_series_is_shown_in_its_own_plane_front_to_the_left_head_up():
    labels = np.zeros((20, 60, 80), dtype=int)
    labels[10, 5:15, 60:70] = TUMOUR  # near the head, to the back
    view = view_of([Reading("r", made(labels, direction=SAGITTAL), "")])
    assert view.slices == 2 and view.image.shape == (60, 80, 20)
    np.testing.assert_allclose(view.spacing, (1, 1, 4))
    overview = panels(draw_montage("P1", {"T1": [Reading("r", made(labels, direction=SAGITTAL), "")]}), 3)[0]
    y, x = np.nonzero(coloured(overview, "tumour"))
    assert y.mean() < PANEL / 2 < x.mean()


def test_the_second_readers_contour_lies_where_it_was_drawn_although_cropped_otherwise():
    first, second = regions(tumour=12), regions(tumour=16)
    cut = (slice(3, 21), slice(10, 80), slice(5, 85))
    second_case = made(second[cut], offset=(5, 10, 3), full_size=(90, 90, 24))
    view = view_of([Reading("reader1", made(first), ""), Reading("reader2", second_case, "")])
    assert overlap(made(first), second_case) == 2 * ball(12).sum() / (ball(12).sum() + ball(16).sum())
    np.testing.assert_array_equal((view.labels[1] & TUMOUR) > 0, (second & TUMOUR) > 0)
    alone = draw_montage("P1", {"AP": [Reading("reader1", made(first), "")]})
    both = draw_montage("P1", {"AP": [Reading("reader1", made(first), ""), Reading("reader2", second_case, "")]})
    more = coloured(panels(both)[1], "tumour").sum() - coloured(panels(alone)[1], "tumour").sum()
    assert more > 100
    mask = np.zeros((5, 5), dtype=bool)
    mask[1:4, 1:4] = True
    lengths = [np.abs(np.diff(_edges(mask, dashed), axis=1)).sum() for dashed in (False, True)]
    assert lengths[0] == 12 and lengths[1] == pytest.approx(0.55 * 12)


def test_a_reader_on_another_grid_is_not_drawn():
    other = made(regions(), spacing=(1.0, 1.0, 4.5))
    view = view_of([Reading("reader1", made(regions()), ""), Reading("reader2", other, "")])
    assert view.labels[1] is None and overlap(made(regions()), other) is None


def test_mr_and_normalised_images_take_their_grey_scale_from_the_regions():
    labels = regions(liver=43)
    noise = np.random.default_rng(2).normal(0, 1, SHAPE)
    for facts in ({"modality": "MR"}, {"normalise": "zscore"}):
        view = view_of([Reading("r", made(labels, noise, facts=facts), "")])
        assert -4 < view.low < -2 and 2 < view.high < 4
    ct = view_of([Reading("r", made(labels), "")])
    assert (ct.low, ct.high) == HU_WINDOW
    raw = view_of([Reading("r", made(labels, noise * 100 + 1100), "")])  # rescaling was lost: still something to see
    assert raw.low > 500


def test_a_phase_without_any_case_leaves_its_reason_and_a_further_rim_its_panel():
    gone = [Reading("reader1", None, "image gone.nii.gz: no such file", excluded=True)]
    picture = draw_montage("P1", {"AP": [Reading("reader1", made(regions()), "")], "PVP": gone})
    alone = draw_montage("P1", {"AP": [Reading("reader1", made(regions()), "")]})
    assert alone.height < picture.height < alone.height + 40
    assert draw_thumbnail(gone) is None
    labels = regions() | np.where(ball(32) & ~ball(25), 8, 0)
    names = {"tumour": TUMOUR, "rim": RIM, "liver": LIVER, "rim20": 8}
    wide = draw_montage("P1", {"AP": [Reading("reader1", made(labels, facts={"regions": names}), "")]})
    assert wide.width == alone.width + PANEL + GAP


def test_pictures_have_the_same_bytes_every_time_and_say_synthetic(tmp_path):
    phases = {"AP": [Reading("reader1", made(regions()), "note")]}
    for name in ("a", "b"):
        save_picture(draw_montage("P1", phases), tmp_path / f"{name}.png")
        save_picture(draw_thumbnail(phases["AP"]), tmp_path / f"{name}.jpg")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.jpg").read_bytes() == (tmp_path / "b.jpg").read_bytes()
    assert len((tmp_path / "a.jpg").read_bytes()) < 12_000
    labelled = np.asarray(draw_montage("P1", phases, synthetic=True)).astype(int)
    plain = np.asarray(draw_montage("P1", phases)).astype(int)
    assert (labelled != plain).any(axis=2)[:24].sum() > 200 and (labelled[60:] == plain[60:]).all()
