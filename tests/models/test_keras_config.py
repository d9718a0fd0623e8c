"""What Keras writes is read back: all that computes, trusted own layers, the layers of Keras 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from keras import layers, ops
from keras_config_files import IMAGES, conv_model, model_around

from keras_kd._common import trust
from keras_kd.errors import ModelError
from keras_kd.models import _keras_2, keras_file, trusted_modules

BODIES: dict[str, Callable[[Any], Any]] = {
    "activations": lambda x: layers.Activation(keras.activations.gelu)(
        layers.Conv2D(2, 3, activation=layers.LeakyReLU(0.2))(
            layers.Dense(2, activation=ops.sin)(x)
        )
    ),
    "initializers": lambda x: layers.Conv2D(
        2,
        3,
        kernel_initializer=keras.initializers.HeNormal(keras.random.SeedGenerator(1)),
        kernel_regularizer="l2",
        kernel_constraint=keras.constraints.MaxNorm(2.0),
        bias_initializer=keras.initializers.Constant(0.1),
    )(x),
    "operations": lambda x: ops.concatenate(
        [x / 127.5 - 1, x[:, ::-1, :, :2] * np.array([0.5, 2], "float32")], -1
    ),
    "recurrent": lambda x: layers.Reshape((4, 2, 4))(
        layers.Bidirectional(
            layers.LSTM(2, return_sequences=True),
            backward_layer=layers.GRU(2, go_backwards=True, return_sequences=True),
        )(
            layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)], return_sequences=True)(
                layers.TimeDistributed(layers.Dense(2))(layers.Reshape((8, 384))(x))
            )
        )
    ),
    "nested": lambda x: keras.Sequential(
        [layers.Rescaling(1 / 255), conv_model(), layers.Reshape((1, 1, 3))]
    )(x),
    "preprocessing": lambda x: layers.RandomRotation(0.1)(
        layers.Pipeline([layers.RandomFlip(), layers.Resizing(24, 24)])(
            layers.Normalization(mean=[1.0, 2, 3], variance=[1.0, 2, 3])(x)
        )
    ),
    "policies": lambda x: layers.Conv2D(2, 3, dtype="mixed_bfloat16")(
        layers.Conv2D(2, 3, dtype=keras.dtype_policies.DTypePolicy("mixed_float16"))(x)
    ),
    "wrapped": lambda x: layers.SpectralNormalization(layers.Conv2D(2, 3))(
        layers.GroupNormalization(3)(x)
    ),
    "attention": lambda x: layers.Reshape((4, 2, 3))(
        layers.MultiHeadAttention(2, 2)(
            *2 * [layers.Resizing(4, 2)(x) if False else layers.Reshape((8, 384))(x)]
        )[:, :, :3]
    ),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_keras_writes_is_read(name: str, tmp_path: Path) -> None:
    model = model_around(BODIES[name])
    model.compile("adam", "mse", metrics=["accuracy"])
    model.save(tmp_path / "model.keras")
    loaded, _ = keras_file.load(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded(IMAGES, training=False), model(IMAGES, training=False), rtol=1e-5
    )
    assert not loaded.compiled


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["ConvNeXtTiny", "EfficientNetV2B0", "InceptionResNetV2", "MobileNetV3Small"]
)
def test_the_applications_of_keras_are_read(name: str, tmp_path: Path) -> None:
    model = getattr(keras.applications, name)(weights=None, classes=3, input_shape=(96, 96, 3))
    model.save(tmp_path / "model.keras")
    assert keras_file.load(tmp_path / "model.keras")[0].count_params() == model.count_params()


def test_own_layers_are_read_where_their_module_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.VARIABLE, "")
    source = tmp_path / "numpy.py"  # a name that must not hide another module
    source.write_text(
        "import keras\nclass Twice(keras.layers.Layer):\n    def call(self, x):\n        return 2"
        " * x\n"
    )
    space: dict[str, Any] = {"__name__": "mine"}
    exec(source.read_text(), space)
    model = model_around(space["Twice"](name="twice"))
    model.save(tmp_path / "model.keras")
    with pytest.raises(ModelError, match=r"its layer 'twice' \(Twice\) .*--trust-module"):
        keras_file.load(tmp_path / "model.keras")
    trusted_modules.trust(str(source))
    np.testing.assert_array_equal(
        keras_file.load(tmp_path / "model.keras")[0](IMAGES), model(IMAGES)
    )
    with pytest.raises(ModelError, match="none.py can't be imported"):
        trusted_modules.trust(str(tmp_path / "none.py"))


def test_own_layers_stand_for_those_of_keras_2_that_keras_3_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.VARIABLE, "")
    source = tmp_path / "own.py"
    source.write_text(
        "import keras\nclass ThresholdedReLU(keras.layers.Layer):\n"
        "    def __init__(self, theta, interpolation=None, **options):\n"
        "        super().__init__(**options)\n        self.theta = theta\n"
        "    def call(self, x):\n        return x * keras.ops.cast(x > self.theta, x.dtype)\n"
    )

    class Old(tf_keras.layers.ThresholdedReLU):
        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "interpolation": "gaussian"}

    Old.__name__ = "ThresholdedReLU"
    model = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), Old(0.5)])
    model.save(tmp_path / "model.h5")
    trusted_modules.trust(str(source))
    images = np.random.default_rng(0).uniform(size=(2, 8, 8, 3)).astype(np.float32)
    loaded, _ = keras_file.load(tmp_path / "model.h5")
    np.testing.assert_array_equal(loaded(images), model(images))


def test_the_layers_of_keras_2_are_read_from_h5_files(tmp_path: Path) -> None:
    old = tf_keras.layers
    image = tf_keras.Input((32, 32, 3))
    inner = tf_keras.Input((30, 30, 4))
    x = old.SeparableConv2D(4, 3)(old.Rescaling(1 / 255)(image))
    x = tf_keras.Model(inner, old.ReLU(6.0)(old.DepthwiseConv2D(3)(inner)))(x)
    x = tf_keras.Sequential(
        [old.Conv2DTranspose(3, 3), old.BatchNormalization(), old.SpatialDropout2D(0.1)]
    )(x)
    x = old.Reshape((-1, 3))(old.Resizing(4, 4)(old.RandomFlip()(x)))
    x = old.GRU(3)(
        old.Bidirectional(old.LSTM(2, return_sequences=True))(old.MultiHeadAttention(2, 2)(x, x))
    )
    model = tf_keras.Model(image, old.Dense(3)(x))
    model.save(tmp_path / "model.h5")
    loaded, _ = keras_file.load(tmp_path / "model.h5")
    # Keras 3's RandomFlip flips unless it is told not to.
    found = loaded(IMAGES, training=False)
    np.testing.assert_allclose(found, model(IMAGES, training=False), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model.keras")
    with pytest.raises(
        ModelError, match=r"model.keras .*written by Keras 2.*: save it as .h5 there"
    ):
        keras_file.load(tmp_path / "model.keras")


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_models_of_keras_2_within_a_sequential_one_are_read(policy: str, tmp_path: Path) -> None:
    """As transfer learning and Teachable Machine make them, with layers around a network."""
    old, types = tf_keras.layers, {"dtype": tf_keras.mixed_precision.Policy(policy)}
    inner = tf_keras.Input((8, 8, 3))
    x = old.Conv2D(4, 3, **types)(inner / 255.0)
    x = old.experimental.SyncBatchNormalization(**types)(old.BatchNormalization(**types)(x))
    network = tf_keras.Model(inner, old.Activation("relu", **types)(x) + x)
    around = tf_keras.Sequential([tf_keras.Model(inner, network(inner)), old.Conv2D(2, 1)])
    model = tf_keras.Sequential([around, old.GlobalAveragePooling2D(), old.Dense(3, **types)])
    model.save(tmp_path / "model.h5")
    images = IMAGES[:, :8, :8]
    loaded, _ = keras_file.load(tmp_path / "model.h5")
    assert loaded.layers[-1].compute_dtype == policy.removeprefix("mixed_")
    found, expected = (np.asarray(one(images), np.float32) for one in (loaded, model))
    np.testing.assert_allclose(found, expected, atol=1e-5 if policy == "float32" else 0.02)


@pytest.mark.parametrize(
    ("module", "found"), [("keras.layers.experimental", "keras.layers"), ("mine.layers",) * 2]
)
def test_only_keras_own_batch_norms_are_named_anew(module: str, found: str) -> None:
    layer = {"module": module, "class_name": "BatchNormalization", "config": {"axis": [3]}}
    assert _keras_2.named(layer)["module"] == found


def _tutorial(image: Any) -> Any:
    """As the guides of TensorFlow 2 begin: preprocessing by operations, in names with slashes."""
    x = tf_keras.applications.mobilenet_v2.preprocess_input(image)
    x = tf_keras.layers.Conv2D(3, 3, padding="same", name="stage/conv")(x)
    x = tf_keras.layers.ReLU(6.0)(x + 3.0) * (1 / 6) * x
    return x - image


def _torch(image: Any) -> Any:
    x = tf.nn.bias_add(image / 255.0, [-0.485, -0.456, -0.406])
    return x / np.float32([0.229, 0.224, 0.225])


@pytest.mark.parametrize("body", [_tutorial, _torch])
def test_operations_of_tensorflow_in_models_of_keras_2_become_layers(
    body: Callable[[Any], Any], tmp_path: Path
) -> None:
    image = tf_keras.Input((32, 32, 3))
    x = tf_keras.layers.GlobalAveragePooling2D(name="head/pool")(body(image))
    model = tf_keras.Model(image, tf_keras.layers.Dense(3, name="head/scores")(x))
    model.save(tmp_path / "model.h5")
    loaded, _ = keras_file.load(tmp_path / "model.h5")
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-4)


def test_mobilenet_v3_of_keras_2_is_read(tmp_path: Path) -> None:
    model = tf_keras.applications.MobileNetV3Small((32, 32, 3), weights=None, classes=3)
    model.save(tmp_path / "model.h5")
    loaded, _ = keras_file.load(tmp_path / "model.h5")
    np.testing.assert_allclose(loaded(IMAGES), model(IMAGES), atol=1e-5)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (lambda x: tf_keras.layers.Conv2D(2, 3, activation="hard_sigmoid")(x), "activation hard_s"),
        (lambda x: tf_keras.layers.Activation("hard_sigmoid")(x), "activation hard_sigmoid of"),
        (lambda x: x[..., ::-1], r"tf.__operators__.getitem.* does not read from .h5"),
        (lambda x: tf.nn.relu(x), r"tf.nn.relu' \(TFOpLambda\) is one that Keras 3 does not read"),
        (tf_keras.layers.Resizing(9, 9, interpolation="gaussian"), "the interpolation gaussian of"),
        (tf_keras.layers.UpSampling2D(2, interpolation="mitchellcubic"), "mitchellcubic of Keras"),
        (tf_keras.layers.RandomCrop(9, 9), "cuts images outside of training too in Keras 2"),
        (tf_keras.layers.RandomHeight(0.1), r"\(RandomHeight\) is one that Keras 3 has not"),
        (tf_keras.layers.ThresholdedReLU(0.1), "one that Keras 3 has not"),
        (tf_keras.layers.Activation(tf.nn.log_softmax), "log_softmax_v2, which is none of Keras 3"),
        (tf_keras.layers.LayerNormalization(axis=[1, 2, 3]), "several axes, which Keras 3 does"),
        (tf_keras.layers.Softmax(axis=[1, 2]), r"\(Softmax\) works along several axes, which"),
    ],
)
def test_what_keras_3_computes_otherwise_than_keras_2_is_refused_with_the_way_out(
    body: Callable[[Any], Any], told: str, tmp_path: Path
) -> None:
    image = tf_keras.Input((32, 32, 3))
    pooled = tf_keras.layers.GlobalAveragePooling2D()(body(image))
    tf_keras.Model(image, tf_keras.layers.Dense(3)(pooled)).save(tmp_path / "model.h5")
    with pytest.raises(ModelError, match=f"{told}.* save the model as a SavedModel where"):
        keras_file.load(tmp_path / "model.h5")


def test_a_layer_that_is_not_read_from_h5_files_within_a_sequential_model(tmp_path: Path) -> None:
    """As transfer learning makes them of ConvNeXt; a module stands beside its name there."""
    image = tf_keras.Input((32, 32, 3))
    scaled = tf_keras.src.applications.convnext.LayerScale(1e-6, 3)(image)
    model = tf_keras.Sequential([tf_keras.Model(image, scaled), tf_keras.layers.Conv2D(2, 1)])
    model.save(tmp_path / "model.h5")
    with pytest.raises(ModelError, match=r"\(LayerScale\) is one that .* as a SavedModel where"):
        keras_file.load(tmp_path / "model.h5")


def test_several_axes_that_keras_loses_from_h5_files_are_refused(tmp_path: Path) -> None:
    model = model_around(keras.layers.UnitNormalization(axis=(1, 2)))
    model.save(tmp_path / "model.h5")
    with pytest.raises(ModelError, match="several axes, .* from .h5 files: save the .* as .keras"):
        keras_file.load(tmp_path / "model.h5")


def test_hard_sigmoid_and_operations_of_keras_3(tmp_path: Path) -> None:
    model = conv_model(activation="hard_sigmoid")
    model.save(tmp_path / "model.h5")
    np.testing.assert_array_equal(keras_file.load(tmp_path / "model.h5")[0](IMAGES), model(IMAGES))
    model_around(lambda image: image / 127.5).save(tmp_path / "operation.h5")
    with pytest.raises(ModelError, match=r"\(TrueDivide\) is one .*: save the model as .keras"):
        keras_file.load(tmp_path / "operation.h5")
