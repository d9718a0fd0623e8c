"""The layers and operations that a twin in Keras 2 carries, and those that are refused by name."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
import tf_keras
from keras import layers

from keras_kd.errors import ExportError
from keras_kd.exporters._quantization.twin import built, ending
from keras_kd.exporters._quantization.twin_description import describe
from keras_kd.exporters._quantization.twin_layers import ACTIVATION_LAYERS, CARRIED
from keras_kd.exporters.quantization_aware import export_quantization_aware


def _one(layer, shape=(8, 8, 4)):
    image = keras.Input(shape)
    return keras.Model(image, layer(image), name="odd")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            layers.Conv2D(2, 3, activation="selu", name="mine"),
            "mine of odd has the activation selu",
        ),
        (layers.Conv2D(2, 3, activation=layers.LeakyReLU(), name="mine"), "mine .* LeakyReLU"),
        (layers.MaxPooling2D(2, data_format="channels_first", name="mine"), "mine .*data_format"),
        (layers.BatchNormalization(renorm=True, name="mine"), "mine of odd has renorm=True"),
    ],
)
def test_settings_that_can_not_be_carried_are_named(layer, message):
    with pytest.raises(ExportError, match=message):
        describe(_one(layer))


def test_every_setting_of_the_table_is_one_of_both_kerases():
    """Keras 3's own settings are carried or known."""
    for kind, names in CARRIED.items():
        taken = set()
        for base in getattr(tf_keras.layers, kind).__mro__:
            taken |= set(inspect.signature(base.__init__).parameters)
        assert set(names) <= taken, (kind, set(names) - taken)
    made = {"Conv2D": (2, 3), "SeparableConv2D": (2, 3),
            "DepthwiseConv2D": (3,), "Dense": (2,), "Activation": ("relu",), "Dropout": (0.1,),
            "SpatialDropout2D": (0.1,), "Reshape": ((4, 8, 8),), "Permute": ((2, 1, 3),),
            "AveragePooling2D": (2,), "Rescaling": (1.0,)}  # fmt: skip
    merges = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Concatenate")
    made |= {"Conv1D": made["Conv2D"], "AveragePooling1D": (2,)}
    for kind in set(CARRIED) - {"InputLayer", *merges}:
        shape = (8, 4) if kind.endswith("1D") else (8, 8, 4)
        describe(_one(getattr(layers, kind)(*made.get(kind, ())), shape))
    for kind in merges:
        image = keras.Input((8, 8, 4))
        describe(keras.Model(image, getattr(layers, kind)()([image, layers.ReLU()(image)])))


@pytest.mark.parametrize("layer", [layers.GroupNormalization(3), layers.Conv2DTranspose(2, 3)])
def test_layers_without_twin_are_refused(layer):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(layer(image)), name="odd")
    kind = type(layer).__name__
    with pytest.raises(ExportError, match=f"of odd is a {kind}, which can't be quantized"):
        describe(model)


def test_operations_are_carried_where_they_mean_what_the_layer_of_their_name_does():
    image = keras.Input((8, 8, 3))
    assert describe(keras.Model(image, image + layers.ReLU()(image))).layers[-1]["kind"] == "Add"
    average = keras.ops.average(image, axis=1)
    whole = np.ones((8, 8, 3), np.float32)
    for made, name in ((image + whole, "Add"), (1.0 / image, "TrueDivide"), (average, "Average")):
        with pytest.raises(ExportError, match=f"is the operation {name} of keras.ops, which can't"):
            describe(keras.Model(image, made))


def _with_constants(x):
    x = layers.Multiply()([2.0 - x / 4.0, 0.5 * x - 1])
    return x + np.float32([1, 2, 3])


def _on_rows(x):
    x = layers.Conv1D(6, 3, strides=2, padding="same", activation="relu")(x)
    x = layers.Conv1D(4, 3, dilation_rate=2, groups=2, activation="elu")(x)
    x = layers.AveragePooling1D(2, 1, "same")(layers.MaxPooling1D(2)(x))
    return layers.Add()([layers.GlobalMaxPooling1D()(x), layers.GlobalAveragePooling1D()(x)])


def _augmented(x):
    x = layers.RandomRotation(0.1)(layers.RandomFlip()(x))
    return layers.Identity()(layers.GaussianNoise(0.5)(x))


# What Keras 2 has not, or computes otherwise, on inputs of either sign.
OTHERWISE = {
    **{name: ((8, 8, 3), layers.Activation(name)) for name in ACTIVATION_LAYERS},
    "constants": ((8, 8, 3), _with_constants),
    "rows": ((12, 3), _on_rows),
    "augmentation": ((8, 8, 3), _augmented),
    "log_softmax": ((5,), layers.Dense(3, "log_softmax")),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_keras_2_has_not_is_computed_by_layers_that_it_has(name, tmp_path):
    shape, layer = OTHERWISE[name]
    keras.utils.set_random_seed(3)
    image = keras.Input(shape)
    model, given = keras.Model(image, layer(image)), 9 * keras.random.normal((4, *shape))
    found = describe(model)
    numbered = {f"{i}.{j}": each for i, own in enumerate(found.weights)
                for j, each in enumerate(own)}  # fmt: skip
    np.savez(tmp_path / "weights.npz", **numbered)
    twin = built(found.layers, tmp_path / "weights.npz")
    computed = ending({"end": found.end})(twin(np.asarray(given)))
    np.testing.assert_allclose(computed, model(given, training=False), 1e-5, 1e-5)


def test_what_acts_in_training_alone_is_told():
    found = describe(keras.Model(image := keras.Input((8, 8, 3)), layers.ReLU()(_augmented(image))))
    assert [layer["kind"] for layer in found.layers] == ["InputLayer", "ReLU"]
    assert [name.rstrip("_0123456789") for name in found.left_out] == [
        "random_flip", "random_rotation", "gaussian_noise", "identity",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "layer", "message"),
    [
        ((8, 3), layers.Conv1D(2, 3, padding="causal", name="mine"), "mine .* padding='causal'"),
        ((8, 8, 3), layers.Conv2D(2, 3, activation="log_softmax", name="mine"), "log_softmax"),
        ((8, 8, 3), layers.RandomCrop(4, 4, name="mine"), "mine of odd is a RandomCrop"),
    ],
)
def test_what_a_twin_would_compute_otherwise_is_refused(shape, layer, message):
    image = keras.Input(shape)
    model = keras.Model(image, layers.ReLU()(layer(image)), name="odd")
    with pytest.raises(ExportError, match=message):
        describe(model)


class Foreign(keras.Model):
    def __init__(self):
        super().__init__(name="foreign")
        self.classes = layers.Dense(3)

    def call(self, image):
        return self.classes(layers.GlobalAveragePooling2D()(image))


def test_a_subclassed_model_has_no_twin(tmp_path):
    model, images = Foreign(), np.zeros((4, 8, 8, 3), np.uint8)
    model(images.astype(np.float32))
    with pytest.raises(ExportError, match="is a Foreign, which can't be quantized in training"):
        export_quantization_aware(model, tmp_path / "m.tflite", images, np.zeros(4, int))


def test_a_separable_convolution_is_carried_as_its_two_parts():
    layer = layers.SeparableConv2D(5, 3, strides=2, depth_multiplier=2, activation="relu")
    first, second = describe(_one(layer)).layers[1:3]
    assert (first["kind"], second["kind"]) == ("DepthwiseConv2D", "Conv2D")
    assert first["arguments"]["depth_multiplier"] == 2 and not first["arguments"]["use_bias"]
    assert second["arguments"]["filters"] == 5 and second["arguments"]["activation"] == "relu"
