"""SavedModels that loop without end, or take too much memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from keras_kd.errors import ModelError
from keras_kd.runtimes import saved_model, trial


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
    monkeypatch.setattr(trial, "SECONDS", 1)
    with pytest.raises(ModelError, match="more than 1 s of the processor's time"):
        saved_model.load(_saved(tmp_path / "model", 2**30))


class _Large(tf.Module):
    """Adds the sum of 3 GB of numbers; in a model with a loop or without."""

    def __init__(self, loop: bool) -> None:
        super().__init__()
        self._loop = loop

    @tf.function(input_signature=[tf.TensorSpec((None, 4, 4, 1), tf.float32)])
    def __call__(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        side, row = tf.shape(image)[1] * 7000, tf.reshape(image, (-1, 16))[:, :2]
        if self._loop:
            (row,) = tf.while_loop(lambda row: row[0, 0] > 1, lambda row: (row / 2,), [row])
        return {"logits": row + tf.reduce_sum(tf.fill([side, side], image[0, 0, 0, 0]))}


@pytest.mark.parametrize("loop", [False, True])
def test_memory_of_one_image_is_bounded(
    loop: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _Large(loop)
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=model.__call__)
    monkeypatch.setattr(trial, "MEMORY", 2**30)
    with pytest.raises(ModelError, match="takes more than .* bytes of memory for one image"):
        saved_model.load(tmp_path / "model")


def test_a_trial_that_is_killed_is_no_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system kills it where memory runs out."""
    killed = tmp_path / "python"
    killed.write_text("#!/bin/sh\nkill -KILL $$\n")
    killed.chmod(0o755)
    monkeypatch.setattr(trial.sys, "executable", str(killed))
    with pytest.raises(ModelError, match="killed TensorFlow .* where memory runs out"):
        saved_model.load(_saved(tmp_path / "model", 5))
