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


@pytest.fixture(scope="module")
def slow_file(tmp_path_factory):
    """A file of 470 thousand million multiply-accumulates: at least 3 seconds of a processor."""
    image = keras.Input((288, 288, 3), batch_size=1)
    x = layers.Conv2D(128, 15, padding="same")(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(192, 15, padding="same")(x))
    model = keras.Model(image, layers.Dense(2)(x))
    path = tmp_path_factory.mktemp("trial") / "slow.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def test_a_file_is_refused_by_the_processors_time(slow_file, monkeypatch):
    monkeypatch.setattr(trial, "SECONDS", 1)
    with pytest.raises(ModelError, match="more than 1 s of the processor's time"):
        litert.LiteRTModel(slow_file)


def test_a_busy_machine_does_not_refuse_a_file(slow_file, monkeypatch):
    monkeypatch.setattr(trial, "CLOCK", 0.2)
    with pytest.raises(ModelError, match="when the machine is less busy"):
        litert.LiteRTModel(slow_file)
    monkeypatch.undo()
    # By the clock it takes longer than the bound above, and is run.
    assert litert.LiteRTModel(slow_file).predict(np.zeros((1, 288, 288, 3))).shape == (1, 2)
