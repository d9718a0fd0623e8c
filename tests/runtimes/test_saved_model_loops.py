"""SavedModels with loops, which may never end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_kd.errors import ModelError
from keras_kd.runtimes import saved_model


class _Counting(tf.Module):
    """Adds 1 to both of its outputs until they are `end`, which numbers of 24 bits can't reach."""

    def __init__(self, end: float) -> None:
        super().__init__()
        self._end = end

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32)])
    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        start = tf.reshape(image, (-1, 16))[:, :2]
        body, end = lambda value: value + 1, self._end
        return {"logits": tf.while_loop(lambda value: value[0, 0] < end, body, [start])[0]}


def _saved(folder: Path, end: float) -> Path:
    model = _Counting(end)
    tf.saved_model.save(model, str(folder), signatures=model.__call__)
    return folder


def test_a_loop_that_ends_is_computed(tmp_path: Path) -> None:
    model = saved_model.load(_saved(tmp_path / "model", 5))
    found = model.predict(np.zeros((3, 4, 4, 1), np.float32), verbose=0)
    np.testing.assert_array_equal(found["logits"], np.full((3, 2), 5))


def test_a_loop_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_model, "TRIAL", 2)
    with pytest.raises(ModelError, match="loops for more than 2 s of the processor's time"):
        saved_model.load(_saved(tmp_path / "model", 2**30))
