"""What ONNX can't hold is refused with the layer's name."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import export
from keras_kd.errors import ExportError


def test_a_convolution_in_groups_is_refused_by_name(tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    stack = [layers.Conv2D(8, 3, groups=4, name="grouped"), layers.Flatten(), layers.Dense(2)]
    model = keras.Sequential([keras.Input((8, 8, 4)), *stack])
    images = np.zeros((2, 8, 8, 4), np.uint8)
    with pytest.raises(ExportError, match="convert grouped, .*groups of a convolution") as caught:
        export(model, tmp_path / "model.onnx", "onnx", images)
    assert len(str(caught.value)) < 250 and not list(tmp_path.iterdir())
