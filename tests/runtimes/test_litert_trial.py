"""How long a foreign `.tflite` may take when it is tried: by the processor's time, not the
clock's.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_kd.errors import ModelError
from keras_kd.runtimes import litert, trial


def _file(path, side):
    """A file of 5.7 million multiply-accumulates a pixel."""
    image = keras.Input((side, side, 3), batch_size=1)
    x = layers.Conv2D(128, 15, padding="same")(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(192, 15, padding="same")(x))
    model = keras.Model(image, layers.Dense(2)(x))
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def test_a_file_is_refused_by_the_processors_time(tmp_path, monkeypatch):
    """470 thousand million multiply-accumulates take a processor at least 3 seconds."""
    slow = _file(tmp_path / "slow.tflite", 288)
    monkeypatch.setattr(trial, "SECONDS", 1)
    with pytest.raises(ModelError, match="more than 1 s of the processor's time"):
        litert.LiteRTModel(slow)


def test_a_busy_machine_does_not_refuse_a_file(tmp_path, monkeypatch):
    """93 thousand million take at least 0.6 seconds."""
    file = _file(tmp_path / "file.tflite", 128)
    monkeypatch.setattr(trial, "CLOCK", 0.2)
    with pytest.raises(ModelError, match="when the machine is less busy"):
        litert.LiteRTModel(file)
    monkeypatch.undo()
    # By the clock it takes longer than the bound above, and is run.
    assert litert.LiteRTModel(file).predict(np.zeros((1, 128, 128, 3))).shape == (1, 2)
