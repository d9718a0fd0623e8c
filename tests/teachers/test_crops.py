"""Crops of many images at once: equal to Pillow's, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keras_kd.teachers.crops import cropped


def _by_pillow(
    image: np.ndarray, side: np.float32, top: np.float32, left: np.float32
) -> np.ndarray:
    height, width, channels = image.shape
    y, x = top * (1 - side) * height, left * (1 - side) * width
    whole = Image.fromarray(image if channels == 3 else image[:, :, 0])
    box = (x, y, x + side * width, y + side * height)
    part = whole.resize((width, height), Image.Resampling.BILINEAR, box=box)
    return np.asarray(part).reshape(image.shape)


@pytest.mark.parametrize("shape", [(64, 64, 1), (48, 48, 3), (40, 57, 1), (1, 5, 3)])
def test_crops_equal_pillows(shape: tuple[int, int, int]) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (300, *shape), dtype=np.uint8)
    side, top, left = random.random((3, 300), dtype=np.float32)
    side = 0.5 + side / 2
    side[:20], top[10:40], left[20:50] = 1, 0, 1 - 2**-24  # the whole image, and its edges
    side[50:90] = np.round(side[50:90] * 64) / 64  # pixels that lie right between two
    expected = [_by_pillow(*part) for part in zip(images, side, top, left, strict=True)]
    np.testing.assert_array_equal(cropped(images, side, top, left), expected)


def test_no_images_give_no_crops() -> None:
    nothing = np.zeros(0, np.float32)
    assert cropped(np.zeros((0, 8, 8, 1), np.uint8), nothing, nothing, nothing).shape == (
        0,
        8,
        8,
        1,
    )
