"""Resizing by matrix products is Keras' antialiased bilinear resizing."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd._common.resizing import bilinear


@pytest.mark.parametrize("size", [(5, 9), (7, 7), (20, 3), (48, 48), (13, 1)])
def test_maps_of_another_size_are_those_of_keras(size):
    images = np.random.default_rng(0).uniform(0, 255, (2, 13, 9, 3)).astype(np.float32)
    expected = keras.ops.image.resize(images, size, "bilinear", antialias=True)
    np.testing.assert_allclose(bilinear(images, *size), expected, rtol=2e-6, atol=2e-4)
