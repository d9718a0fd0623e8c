"""Fingerprints of models: the same for one that is built again, another for one that computes
another thing.
"""

from __future__ import annotations

import importlib
import sys
import types

import keras
import numpy as np
from keras import layers

from keras_kd.models import fingerprints
from keras_kd.models.architectures.efficientformer import LayerScale


def _model(seed=0):
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(2, 3, kernel_initializer=keras.initializers.HeUniform(seed))(image)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    return keras.Model(
        image, layers.Dense(3, kernel_initializer=keras.initializers.HeUniform(seed + 1))(x)
    )


def test_fingerprints_tell_weights_and_their_order():
    model, same, other = _model(), _model(), _model(5)
    assert (
        fingerprints.of_weights(model)
        == fingerprints.of_weights(same)
        != fingerprints.of_weights(other)
    )
    same.layers[-1].bias.assign([0, 0, 1e-7])
    assert fingerprints.of_weights(model) != fingerprints.of_weights(same)
    # NumPy has no such type of its own.
    halves = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, dtype="bfloat16")])
    before = fingerprints.of_weights(halves)
    halves.layers[-1].bias.assign([1])
    assert len(before) == 16 and before != fingerprints.of_weights(halves)


def _scaled(scale=1 / 255, activation="relu", name=None):
    keras.utils.set_random_seed(0)
    parts = [layers.Rescaling(scale), layers.Conv2D(2, 3, activation=activation), layers.Flatten()]
    return keras.Sequential([keras.Input((4, 4, 3)), *parts], name=name)


def test_fingerprints_tell_what_a_model_computes():
    """A teacher whose pixels or activations were mended kept the soft labels of before."""
    model = fingerprints.of_model(_scaled())
    # Keras numbers the layers of the second otherwise.
    assert model == fingerprints.of_model(_scaled(name="other"))
    changed = _scaled()
    changed.layers[0].scale = 1 / 127.5
    others = [_scaled(1 / 127.5), _scaled(activation="tanh"), changed, _model()]
    found = [fingerprints.of_model(one) for one in others]
    assert model not in found and found[0] == found[2]


def _named(names, order=(0, 1)):
    """Two branches and an operation, under these names of layers."""
    keras.utils.set_random_seed(0)
    image = keras.Input((4,), name=names[0])
    shared = layers.Dense(3, activation="softmax", name=names[1])
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(3, name=names[2])], name=names[3])
    branches = [shared(image), inner(shared(image + 1))]
    difference = branches[order[0]] - branches[order[1]]
    last = layers.Bidirectional(layers.LSTM(2, dtype="float32"), name=names[4])
    return keras.Model(image, {"shown": last(difference[:, None])}, name=names[5])


def test_fingerprints_follow_no_names(monkeypatch):
    """A name that is also a setting's word was replaced there, and operations kept theirs."""
    monkeypatch.setattr(fingerprints, "of_weights", lambda model: "")
    plain = fingerprints.of_model(_named("abcdef"))
    words = ("softmax", "float32", "zeros", "shown", "tanh", "linear")
    for names in ("abcdef", "fedcba", "abacef", words):
        assert fingerprints.of_model(_named(names)) == plain
    assert fingerprints.of_model(_named("abcdef", order=(1, 0))) != plain


def test_fingerprints_stay_where_code_of_this_library_moves(monkeypatch):
    model = keras.Sequential([keras.Input((4, 4, 3)), LayerScale()])
    before = fingerprints.of_model(model)
    monkeypatch.setattr(LayerScale, "__module__", "keras_kd.elsewhere")
    assert fingerprints.of_model(model) == before


class _Odd(keras.Model):
    """Of a program that no file has, with settings that JSON can't hold."""

    __module__ = "of_standard_input"

    def __init__(self, settings=None):
        super().__init__()
        self.dense, self.settings = keras.layers.Dense(2), settings

    def call(self, images):
        return self.dense(images)

    def get_config(self):
        if self.settings is None:
            raise TypeError("no settings")
        return self.settings()


def test_fingerprints_are_had_of_models_of_any_code(monkeypatch):
    """A subclassed model of a program from standard input ended `export` in a FileNotFoundError."""
    module = types.ModuleType("of_standard_input")
    module.__file__ = "<stdin>"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    mixed = lambda: {1: object(), "b": {0}, "a": np.zeros(2)}  # noqa: E731
    found = []
    for settings in (None, mixed, lambda: {"a": 1}):
        model = _Odd(settings)
        model(np.zeros((1, 3)))
        model.dense.set_weights([np.ones((3, 2)), np.zeros(2)])
        found.append(fingerprints.of_model(model))
        assert found[-1] == fingerprints.of_model(model)
    assert len(set(found)) == 3


def test_fingerprints_tell_the_code_of_other_authors_layers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    code = (
        "import keras\n\n\n@keras.saving.register_keras_serializable('written')\n"
        "class Scaled(keras.layers.Layer):\n    def call(self, x):\n        return x * {}\n"
    )
    found = []
    for factor in (2, 3):
        (tmp_path / "written_layers.py").write_text(code.format(factor))
        module = importlib.import_module("written_layers")
        model = keras.Sequential([keras.Input((3,)), module.Scaled()])
        found.append(fingerprints.of_model(model))
    assert found[0] != found[1]
