"""The painter of scenes, against what light and geometry demand."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keras_kd.datasets._faces import drawing


def scene(**traits: float) -> np.ndarray:
    """One scene seen from the front in even light, without noise or blur, but for the given
    traits.
    """
    table = np.zeros(1, [(name, float) for name in drawing.SCENE])
    for name, value in {"scale": 20.0, "brightness": 1.0, "contrast": 1.0, **traits}.items():
        table[name] = value
    return table


def square(half: float = 0.5, **traits: float) -> np.ndarray:
    """The gray picture (64, 64) of a white square of 2 x half around the origin."""
    sheet = drawing.Sheet(scene(**traits), np.ones(1))
    sheet.polygon([-half, half, half, -half], [-half, -half, half, half], (255, 255, 255))
    return sheet.pixels(np.random.default_rng(0))[0, :, :, 0].astype(int)


def centre(image: np.ndarray) -> np.ndarray:
    """Centre of mass, (x, y) in pixels from the middle."""
    rows, columns = np.indices(image.shape) - 31.5
    return np.array([(columns * image).sum(), (rows * image).sum()]) / image.sum()


def test_a_square_has_its_size_and_place():
    image = square(0.5)
    assert image.sum() / 255 == pytest.approx(20.0**2, rel=0.05)
    np.testing.assert_allclose(centre(image), (0, 0), atol=0.2)


def test_shift_and_scale():
    np.testing.assert_array_equal(square(x=3.0, y=-2.0), np.roll(square(), (-2, 3), (0, 1)))
    assert square(scale=24.0).sum() / square(scale=12.0).sum() == pytest.approx(4, rel=0.05)


def test_roll_turns_by_its_angle():
    def spot(roll: float) -> np.ndarray:
        sheet = drawing.Sheet(scene(roll=roll), np.ones(1))
        sheet.polygon(1 + 0.1 * drawing.CIRCLE_X, 0.1 * drawing.CIRCLE_Y, (255, 255, 255))
        return centre(sheet.pixels(np.random.default_rng(0))[0, :, :, 0])

    for roll in (-0.25, 0.25):
        np.testing.assert_allclose(
            spot(roll), 20 * np.array([np.cos(roll), np.sin(roll)]), atol=0.3
        )


def test_yaw_narrows_what_is_flat_and_moves_what_stands_out():
    def row(depth: float) -> np.ndarray:
        sheet = drawing.Sheet(scene(yaw=0.4), np.ones(1))
        sheet.polygon([-1, 1, 1, -1], [-0.5, -0.5, 0.5, 0.5], (255, 255, 255), depth=depth)
        return sheet.pixels(np.random.default_rng(0))[0, 32:33, :, 0].astype(int)

    assert row(0.0).sum() / 255 == pytest.approx(40 * np.cos(0.4), abs=0.5)
    assert centre(row(0.5))[0] - centre(row(0.0))[0] == pytest.approx(
        20 * 0.5 * np.sin(0.4), abs=0.5
    )


def test_light_scales_and_contrast_turns_around_gray():
    picture = Image.new("RGB", (64, 64), (100, 50, 200))
    still = np.random.default_rng(0)
    dim = drawing.lit(picture, scene(brightness=0.5)[0], still)
    np.testing.assert_array_equal(dim, np.broadcast_to([50, 25, 100], (64, 64, 3)))
    gray = drawing.lit(Image.new("RGB", (64, 64), (118, 118, 118)), scene(contrast=0.6)[0], still)
    assert (gray == 118).all()
    side = drawing.lit(picture, scene(light=0.3, light_x=1.0)[0], still)[:, :, 0]
    np.testing.assert_allclose(side[10, [0, 63]], [70, 130])
    assert (np.diff(side.astype(int), axis=1) >= 0).all() and (
        np.diff(side.astype(int), axis=0) == 0
    ).all()


def test_noise_has_its_standard_deviation_and_blur_keeps_the_mean():
    gray = Image.new("RGB", (64, 64), (128, 128, 128))
    noisy = drawing.lit(gray, scene(noise=8.0)[0], np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx(8, rel=0.05) and noisy.mean() == pytest.approx(128, abs=0.5)
    sharp, blurred = square(), square(blur=0.7)
    assert np.abs(np.diff(blurred)).max() < np.abs(np.diff(sharp)).max()
    assert blurred.mean() == pytest.approx(sharp.mean(), rel=0.02)


def test_traits_are_spread_evenly_between_their_limits():
    table = drawing.sample(np.random.default_rng(0), 4000, {"a": (0.0, 1.0), "b": (-3.0, 5.0)})
    assert table.dtype.names == ("a", "b") and table.shape == (4000,)
    quartiles = np.quantile(table["b"], [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(quartiles, [-3, -1, 1, 3, 5], atol=0.2)
    assert abs(np.corrcoef(table["a"], table["b"])[0, 1]) < 0.05


def test_colours_mix_and_lie_along_a_palette():
    black_to_red = drawing.palette(
        ((0, 0, 0), (100, 0, 0), (200, 0, 50)), np.array([0.0, 0.25, 0.75, 1.0])
    )
    np.testing.assert_allclose(black_to_red, [[0, 0, 0], [50, 0, 0], [150, 0, 25], [200, 0, 50]])
    mixed = drawing.mixed(np.full((2, 3), 100.0), (200, 0, 100), np.array([0.25, 7.0]))
    np.testing.assert_allclose(mixed, [[125, 75, 100], [200, 0, 100]])
