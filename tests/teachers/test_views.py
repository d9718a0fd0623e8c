"""Views of training images: exact, repeatable, and of the size that they promise."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from PIL import Image

from keras_kd._common import arrays
from keras_kd.errors import ConfigError, DataError
from keras_kd.teachers import views as module
from keras_kd.teachers.views import AtSizes, Views

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 12, 16, 3), dtype=np.uint8)
ROWS = np.arange(20)


def _all(kind, images=IMAGES, count=4, seed=0):
    views = Views(kind, len(images), count, seed)
    return np.stack(
        [views.show(images, ROWS, np.full(20, number)) for number in range(len(views))], 1
    )


def test_names_say_what_the_views_are():
    assert Views("none", 5).names == ("identity",) and len(Views("mirror", 5)) == 2
    assert Views("mirror", 5).names == ("identity", "mirror")
    names = Views("crops,mirror,jitter", 5, 3, seed=7).names
    assert len(set(names)) == 3 and all("seed 7" in name and "0.82" in name for name in names)
    assert not set(names) & set(Views("crops,mirror,jitter", 5, 3, seed=8).names)
    assert Views("crops,mirror,jitter", 5, 2, seed=7).names == names[:2]


@pytest.mark.parametrize(
    "views",
    [
        Views("none", 5),
        Views("mirror", 5),
        Views("crops,mirror,jitter", 5, 3, seed=7),
        Views("strong,mirror", 5, 3, seed=7),
    ],
)
def test_views_are_found_by_their_names(views):
    found = module.named(views.names, 5)
    images, rows = IMAGES[:5], np.arange(5)
    last = np.full(5, len(views) - 1)
    np.testing.assert_array_equal(found.show(images, rows, last), views.show(images, rows, last))
    assert len(found) == len(views)


@pytest.mark.parametrize("names", [(), ("upside down",), ("crop 0: of another version, seed 0",)])
def test_unknown_names_are_refused(names):
    with pytest.raises(DataError, match="make the soft labels again"):
        module.named(names, 5)


def test_identity_and_mirror_are_exact():
    np.testing.assert_array_equal(_all("none")[:, 0], IMAGES)
    np.testing.assert_array_equal(_all("mirror")[:, 0], IMAGES)
    np.testing.assert_array_equal(_all("mirror")[:, 1], IMAGES[:, :, ::-1])


@pytest.mark.parametrize(
    "kind", ["none", "mirror", "crops,mirror,jitter", "strong,mirror", "jitter", "erase,crops"]
)
def test_a_view_is_the_same_in_any_batch_and_the_source_stays(kind):
    source = IMAGES.copy()
    together, views = _all(kind), Views(kind, 20, 4)
    rows, numbers = np.array([7, 3, 3, 19, 0]), np.array([3, 0, 2, 1, 3]) % len(views)
    np.testing.assert_array_equal(views.show(source, rows, numbers), together[rows, numbers])
    np.testing.assert_array_equal(
        views.show(source, rows[2:3], numbers[2:3])[0], together[3, numbers[2]]
    )
    assert views.show(source, rows, numbers).dtype == np.uint8
    np.testing.assert_array_equal(source, IMAGES)


def test_views_of_a_row_depend_on_the_seed_but_not_on_the_number_of_images():
    np.testing.assert_array_equal(_all("crops,mirror,jitter"), _all("crops,mirror,jitter"))
    assert not np.array_equal(_all("crops,mirror,jitter"), _all("crops,mirror,jitter", seed=1))
    fewer = Views("crops,mirror,jitter", 5, 4).show(IMAGES, ROWS[:5], np.full(5, 2))
    np.testing.assert_array_equal(fewer, _all("crops,mirror,jitter")[:5, 2])


def test_memory_mapped_images_are_read_alike(tmp_path):
    np.save(tmp_path / "images.npy", IMAGES)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(_all("crops,mirror,jitter", mapped), _all("crops,mirror,jitter"))
    np.testing.assert_array_equal(_all("mirror", mapped), _all("mirror"))


def test_the_numbers_of_many_views_are_on_disk_and_the_same(monkeypatch):
    in_memory = _all("crops,mirror,jitter")
    monkeypatch.setattr(module, "CHUNK", 7)
    monkeypatch.setattr(arrays, "LARGEST_IN_MEMORY", 100)
    assert isinstance(Views("crops,mirror,jitter", 20, 4)._numbers, np.memmap)
    np.testing.assert_array_equal(_all("crops,mirror,jitter"), in_memory)
    # Of view 1, drawn whole as NumPy draws them.
    np.testing.assert_array_equal(
        Views("crops,mirror,jitter", 20, 4)._numbers[1],
        np.random.default_rng((0, 1)).random((20, 6)).astype(np.float32),
    )


def test_gray_images_keep_their_one_channel():
    gray = _all("crops,mirror,jitter", IMAGES[..., :1])
    assert gray.shape == (20, 4, 12, 16, 1)
    # The crop is the same for every channel of a gray image in colour.
    colour = _all("crops,mirror,jitter", IMAGES[..., :1].repeat(3, -1))
    np.testing.assert_array_equal(colour, gray.repeat(3, -1))


@pytest.fixture
def no_jitter(monkeypatch):
    for kind, changes in module.CHANGES.items():
        monkeypatch.setitem(module.CHANGES, kind, dataclasses.replace(changes, jitter=0.0))


def _boxes(count=2000):
    """Left, right, top, bottom of each crop of 100x100, read off two ramps (0..200) that were
    cropped with it.
    """
    ramp = np.linspace(0, 200, 100)
    pixels = np.stack(
        [np.tile(ramp, (100, 1)), np.tile(ramp[:, None], (1, 100)), np.zeros((100, 100))], -1
    )
    image = np.round(pixels).astype(np.uint8)[None]
    views = Views("crops,mirror,jitter", 1, count)
    shown = views.show(image, np.zeros(count, int), np.arange(count)).astype(float) / 200 * 99 + 0.5
    mirrored = shown[:, 50, 0, 0] > shown[:, 50, -1, 0]
    shown[mirrored] = shown[mirrored, :, ::-1]
    side = [shown[:, 50, 90, 0] - shown[:, 50, 10, 0], shown[:, 90, 50, 1] - shown[:, 10, 50, 1]]
    centre = [shown[:, 50, 49:51, 0].mean(1), shown[:, 49:51, 50, 1].mean(1)]
    return np.array(side) / 80, np.array(centre), mirrored


def test_crops_are_as_large_as_they_say_within_the_image_and_half_are_mirrored(no_jitter):
    side, centre, mirrored = _boxes()
    np.testing.assert_allclose(side[0], side[1], atol=0.02)
    assert side.min() == pytest.approx(0.82, abs=0.015) and side.max() == pytest.approx(
        1, abs=0.015
    )
    assert side.mean() == pytest.approx(0.91, abs=0.01)
    # The edges stay within the image, and reach both ends of it.
    assert (centre - 50 * side).min() > -1.5 and (centre + 50 * side).max() < 101.5
    assert (centre - 50 * side).max() > 14 and (centre + 50 * side).min() < 86
    assert centre.mean() == pytest.approx(50, abs=0.5)
    assert abs(np.corrcoef(centre)[0, 1]) < 0.1
    assert mirrored.mean() == pytest.approx(0.5, abs=0.04)


def test_a_crop_is_pillows(no_jitter):
    side, top, left, mirror = Views("crops,mirror,jitter", 20, 4)._numbers[2, 3][:4]
    side = 0.82 + 0.18 * side
    y, x = top * (1 - side) * 12, left * (1 - side) * 16
    box = (x, y, x + side * 16, y + side * 12)
    expected = np.asarray(
        Image.fromarray(IMAGES[3]).resize((16, 12), Image.Resampling.BILINEAR, box=box)
    )
    expected = expected[:, ::-1] if mirror < 0.5 else expected
    assert np.abs(_all("crops,mirror,jitter")[3, 2].astype(int) - expected).max() <= 1


def test_jitter_changes_brightness_and_contrast_by_up_to_15_percent():
    flat = np.full((1, 4, 4, 1), 100, np.uint8)
    edge = (
        np.array([80, 120], np.uint8)[None, None, :, None]
        .repeat(8, 2)
        .repeat(16, 1)
        .reshape(1, 16, 16, 1)
    )
    zeros, numbers = np.zeros(1500, int), np.arange(1500)
    brightness = (
        Views("crops,mirror,jitter", 1, 1500).show(flat, zeros, numbers).mean((1, 2, 3)) / 100
    )
    assert 0.845 <= brightness.min() < 0.87 and 1.13 < brightness.max() <= 1.155
    assert brightness.mean() == pytest.approx(1, abs=0.01)
    shown = Views("crops,mirror,jitter", 1, 1500).show(edge, zeros, numbers).astype(float)
    contrast = (shown.max((1, 2, 3)) - shown.min((1, 2, 3))) / 40 / brightness
    assert 0.82 <= contrast.min() < 0.88 and 1.12 < contrast.max() <= 1.18
    assert abs(np.corrcoef(contrast, brightness)[0, 1]) < 0.1


def test_jitter_clips_at_black_and_white():
    ends = np.array([0, 255], np.uint8)[None, None, :, None].repeat(4, 1)
    shown = (
        Views("crops,mirror,jitter", 1, 50).show(ends, np.zeros(50, int), np.arange(50)).astype(int)
    )
    # An overflow would turn white into black.
    assert np.abs(shown[:, :, 1] - shown[:, :, 0]).min() > 150


@pytest.mark.parametrize(
    ("kind", "count", "message"),
    [("rotate", 8, "kind='rotate'"), ("crops,mirror,jitter", 0, "count=0")],
)
def test_unknown_views_are_refused(kind, count, message):
    with pytest.raises(ConfigError, match=message):
        Views(kind, 5, count)


def test_a_strong_view_is_turned_about_the_middle_of_its_crop(no_jitter, monkeypatch):
    monkeypatch.setitem(
        module.CHANGES, "strong", dataclasses.replace(module.CHANGES["strong"], erased=0.0)
    )
    # Brightness is the column, then the row: the gradient's direction is the angle, its length the
    # crop's side.
    ramp = np.tile(np.arange(100, dtype=np.uint8) * 2, (100, 1))
    image = np.stack([ramp, ramp.T, np.zeros_like(ramp)], -1)[None]
    views = Views("strong,mirror", 1, 400)
    shown = views.show(image, np.zeros(400, int), np.arange(400)).astype(float)[:, 40:60, 40:60] / 2
    across, down = (
        (shown[:, :, -1] - shown[:, :, 0]).mean(1) / 19,
        (shown[:, -1] - shown[:, 0]).mean(1) / 19,
    )
    across[across[:, 0] < 0] *= -1
    side = np.hypot(across[:, 0], across[:, 1])
    angle = np.degrees(np.arctan2(-down[:, 0], down[:, 1]))
    numbers = views._numbers[:, 0]
    np.testing.assert_allclose(side, 0.75 + 0.25 * numbers[:, 0], atol=0.02)
    np.testing.assert_allclose(np.abs(angle), np.abs(12 * (2 * numbers[:, 6] - 1)), atol=1.0)
    assert np.abs(angle).max() > 11 and abs(angle.mean()) < 1.5


def test_half_of_the_strong_views_have_a_square_of_their_mean(no_jitter):
    noise = np.random.default_rng(1).integers(0, 256, (1, 40, 40, 1), dtype=np.uint8)
    shown = Views("strong,mirror", 1, 400).show(noise, np.zeros(400, int), np.arange(400))[..., 0]
    # The mean is no rare value by itself, but never in a whole square of 6 by 6 pixels.
    windows = np.lib.stride_tricks.sliding_window_view(shown, (6, 6), axis=(1, 2))
    flat = np.ptp(windows, axis=(3, 4)) == 0
    erased = flat.any((1, 2))
    assert erased.mean() == pytest.approx(0.5, abs=0.08)
    # Windows of 6 fit (side - 5)² times into a square: sides from 15 to 45 % of 40 pixels.
    side = np.sqrt(flat[erased].sum((1, 2))) + 5
    assert side.min() >= 6 and 17 <= side.max() <= 19
    whole = shown[erased][0].mean()
    square = windows[erased][0][flat[erased][0]][0, 0, 0]
    assert abs(float(square) - whole) < 12


def test_what_lies_beyond_a_turned_image_is_its_mean(no_jitter):
    white = np.full((1, 40, 40, 1), 200, np.uint8)
    shown = Views("strong,mirror", 1, 50).show(white, np.zeros(50, int), np.arange(50)).astype(int)
    assert np.abs(shown - 200).max() <= 1


@pytest.mark.parametrize("kind", ["mirror", "crops", "strong"])
def test_a_view_is_the_same_region_at_every_size(kind):
    across, down = np.meshgrid(np.linspace(0, 3, 192), np.linspace(0, 5, 256))
    phases = np.random.default_rng(1).uniform(0, 6, (6, 2, 1, 1))
    large = 127 + 60 * np.sin(across + phases[:, 0]) + 60 * np.cos(down + phases[:, 1])
    large = large.round().astype(np.uint8)[..., None]
    # Means of 2x2 and of 2x3 pixels, by the original and of the view.
    sizes = {(128, 96): (2, 2), (128, 64): (2, 3)}

    def smaller(images, factors):
        n, height, width, _ = images.shape
        high, wide = factors
        blocks = images.reshape(n, height // high, high, width // wide, wide, 1)
        return blocks.mean(axis=(2, 4)).round().astype(np.uint8)

    images = AtSizes((large, *(smaller(large, factors) for factors in sizes.values())))
    views = Views(kind, 6, 8, seed=3)
    for number in range(len(views)):
        first, *others = views.show(images, np.arange(6), np.full(6, number)).arrays
        for shown, factors in zip(others, sizes.values(), strict=True):
            difference = np.abs(shown.astype(float) - smaller(first, factors))
            # Of a blot the edges alone may be a pixel apart.
            assert np.median(difference) <= 1 and (difference > 12).mean() < 0.015
