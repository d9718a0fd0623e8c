"""Models of any Keras user: a right file, or one sentence that names the layer."""

from __future__ import annotations

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_kd import exporters
from keras_kd.errors import ExportError, ModelError
from keras_kd.exporters import _conversion, _conversion_process, bundle
from keras_kd.exporters.formats import _tflite
from keras_kd.runtimes import predictors
from keras_kd.runtimes.litert import LiteRTModel

SHAPE = (16, 16, 3)


@pytest.mark.parametrize("kind", [layers.LSTM, pytest.param(layers.GRU, marks=pytest.mark.slow)])
def test_int8_of_a_recurrent_layer_ends_in_a_sentence_whose_advice_works(kind, tmp_path):
    image = keras.Input((32, 32, 1))
    x = layers.Reshape((32, 32))(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(2)(kind(8, name="memory")(x)))
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 1), np.uint8)
    with pytest.raises(
        ExportError, match=r"ended by SIG\w+ .*int8.* memory \((LSTM|GRU)\)"
    ) as told:
        exporters.export(model, tmp_path / "m.tflite", "int8", images)
    assert not list(tmp_path.iterdir())
    offered = [name for name in ("float16", "dynamic", "float32") if name in str(told.value)]
    assert len(offered) == 3
    for format in offered:
        assert exporters.export(model, tmp_path / "m.tflite", format).max_difference < 0.05
    _conversion_process.start()  # a new one after the end of the last


def test_a_conversion_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(_conversion_process, "LIMIT_SECONDS", 0.0)
    with pytest.raises(ExportError, match="ended by SIGKILL"):
        exporters.export(_plain(), tmp_path / "m.tflite", "int8", _images())
    assert not list(tmp_path.iterdir())


def test_a_process_that_ended_as_the_request_came_is_replaced(tmp_path, monkeypatch):
    """Idle for too long, it ends by itself with exit code 0."""
    ending = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(5)"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    monkeypatch.setattr(_conversion_process, "_running", ending)
    report = exporters.export(_plain(), tmp_path / "m.tflite", "int8", _images(), min_agreement=0)
    assert ending.returncode == 0 and report.bytes > 0


def _plain(*first, dtype="float32"):
    return keras.Sequential([
        keras.Input(SHAPE, dtype=dtype), *first, layers.Conv2D(4, 3),
        layers.GlobalAveragePooling2D(), layers.Dense(3),
    ])  # fmt: skip


def _images(count=30):
    return np.random.default_rng(1).integers(0, 256, (count, *SHAPE), np.uint8)


def _two_outputs(kind):
    image, head = keras.Input(SHAPE), layers.Dense(4, name="head")
    pooled = layers.GlobalAveragePooling2D()(image), layers.GlobalMaxPooling2D()(image)
    outputs = [head(pooled[0]), head(pooled[1])]
    return keras.Model(image, outputs if kind == "list" else {"b": outputs[0], "a": outputs[1]})


@pytest.mark.parametrize("format", ["float32", "saved_model"])
@pytest.mark.parametrize(("kind", "names"), [("list", ["head", "head_1"]), ("dict", ["b", "a"])])
def test_two_outputs_of_one_layer_have_names_of_their_own(kind, names, format, tmp_path):
    model, path = _two_outputs(kind), tmp_path / f"m{exporters.find(format).SUFFIX}"
    exporters.export(model, path, format)
    found = exporters.find(format).run(path, _images(3).astype(np.float32))
    expected = model.predict(_images(3), verbose=0)
    expected = expected if kind == "dict" else dict(zip(names, expected, strict=True))
    assert set(found) == set(names)
    for name in names:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-3)


def test_a_file_without_one_of_the_outputs_is_refused(tmp_path, monkeypatch):
    module = exporters.find("float32")
    monkeypatch.setattr(module, "run", lambda path, images: {"b": np.zeros((len(images), 4))})
    with pytest.raises(ExportError, match=r"outputs are b \(4,\), those of the model b .*a \(4,\)"):
        exporters.export(_two_outputs("dict"), tmp_path / "m.tflite", "float32")


def test_a_model_of_uint8_takes_uint8_in_its_file(tmp_path):
    model = _plain(layers.Rescaling(1 / 255), dtype="uint8")
    for format in ("float32", "int8"):
        exporters.export(model, tmp_path / "m.tflite", format, _images(), min_agreement=0.5)
        file = LiteRTModel(tmp_path / "m.tflite")
        assert file.input_dtype == np.uint8
        expected = model.predict(_images(), verbose=0)
        np.testing.assert_allclose(file.predict(_images()), expected, atol=0.02)


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.a, self.b = layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()

    def call(self, image):
        return self.b(self.a(image / 255.0))


class OwnCall(keras.Sequential):
    """A call that does more than its graph."""

    def call(self, image, training=None, mask=None):
        return 2.0 * super().call(image / 255.0, training=training)


def test_a_call_of_ones_own_beside_a_graph_is_in_the_file(tmp_path):
    model = OwnCall([keras.Input(SHAPE), layers.Rescaling(0.5), layers.Conv2D(2, 16),
                     layers.Conv2D(3, 3, padding="same"), layers.Flatten()])  # fmt: skip
    exporters.export(model, tmp_path / "m.tflite", "float32")
    expected = 2 * np.asarray(model._functional(_images(3) / np.float32(255)))
    found = LiteRTModel(tmp_path / "m.tflite").predict(_images(3))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_subclassed_model_is_exported_once_it_was_called(tmp_path):
    model = Own()
    with pytest.raises(ExportError, match="call it once"):
        exporters.export(model, tmp_path / "m.tflite", "float32")
    expected = np.asarray(model(_images(3).astype(np.float32)))
    exporters.export(model, tmp_path / "m.tflite", "float32")
    found = LiteRTModel(tmp_path / "m.tflite").predict(_images(3))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("model_name", "layer_name", "told"),
    [
        ("_mine", "mean", "model of the name '_mine'.*begins with a letter"),
        ("mine", "my mean", "layer of the name 'my mean'.*letters, digits"),
        ("mine", "mean+", "layer of the name 'mean\\+'.*letters, digits"),
        ("mine", "_scaled", "layer of the name '_scaled'.*begins with a letter"),
    ],
)
def test_a_name_that_tensorflow_refuses_is_told(model_name, layer_name, told, tmp_path):
    image = keras.Input(SHAPE, name="the image")
    kind = layers.BatchNormalization if "scaled" in layer_name else layers.GlobalAveragePooling2D
    model = keras.Model(image, kind(name=layer_name)(image), name=model_name)
    with pytest.raises(ExportError, match=told):
        exporters.export(model, tmp_path / "m.tflite", "float32")


def test_layers_of_private_classes_are_exported(tmp_path):
    """Keras calls a layer of a class `_Mean` `__mean`."""
    image = keras.Input((8, 8, 1))
    pooled = layers.GlobalAveragePooling2D(name="__mean")(image)
    model = keras.Model(image, layers.Dense(2)(pooled), name="mine")
    exporters.export(model, tmp_path / "mine.tflite", "float32")
    pixels = np.full((1, 8, 8, 1), 7, np.float32)
    found = LiteRTModel(tmp_path / "mine.tflite").predict(pixels)
    np.testing.assert_allclose(found, model(pixels), rtol=1e-5)


def test_a_float32_model_is_exported_under_any_global_policy(tmp_path):
    model = _plain(layers.Rescaling(1 / 255))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        report = exporters.export(model, tmp_path / "m.tflite", "float32")
    finally:
        keras.config.set_dtype_policy("float32")
    assert report.max_difference < 1e-5


def test_a_lambda_layer_is_refused_by_name(tmp_path):
    model = _plain(layers.Lambda(lambda image: image / 255, name="my_scale"))
    with pytest.raises(ExportError, match="my_scale of .* Lambda") as refused:
        exporters.export(model, tmp_path / "m.tflite", "float32")
    assert "safe_mode" not in str(refused.value)


def test_a_look_up_table_is_told(tmp_path):
    image = keras.Input(SHAPE)
    strongest = keras.ops.argmax(layers.GlobalAveragePooling2D()(image), axis=-1)
    found = layers.IntegerLookup(vocabulary=[0, 1, 2])(keras.ops.cast(strongest, "int64"))
    model = keras.Model(image, keras.ops.one_hot(found, 4), name="channels")
    with pytest.raises(ExportError, match="channels can't be .* look-up table: .* as saved_model"):
        exporters.export(model, tmp_path / "m.tflite", "float32")
    assert not list(tmp_path.iterdir())


def test_independent_sigmoids_stay_what_they_are_in_a_file_for_apps(tmp_path):
    image = keras.Input(SHAPE)
    outputs = layers.Dense(3, "sigmoid")(
        layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    )
    model = keras.Model(image, outputs)
    bundle.export_bundle(model, tmp_path, ("a", "b", "c"), None, _images(1)[0], "float32", SHAPE)
    (found,) = exporters.find("float32").run(tmp_path / "model.tflite", _images(5)).values()
    expected = model.predict(_images(5), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(found.sum(axis=1), 1, atol=0.05)
    said = json.loads((tmp_path / "preprocess.json").read_text())["inside_the_file"]
    assert said == ["normalisation", "sigmoids"]


def test_a_subclassed_model_is_bundled(tmp_path):
    class Small(keras.Model):
        def __init__(self):
            super().__init__(name="small")
            # Below zero, or a random model's numbers may lie in 0..1, which needs a statement.
            below = keras.initializers.RandomUniform(-3, -1, seed=1)
            self.classes = layers.Dense(2, kernel_initializer=below)

        def call(self, image):
            return self.classes(keras.ops.mean(image, axis=(1, 2)) / 255)

    model = Small()
    expected = keras.ops.softmax(model(_images(3).astype(np.float32)))
    bundle.export_bundle(model, tmp_path, ("a", "b"), None, _images(1)[0], "float32", SHAPE)
    (found,) = exporters.find("float32").run(tmp_path / "model.tflite", _images(3)).values()
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_saved_model_of_several_outputs_is_read_back(tmp_path):
    image = keras.Input(SHAPE)
    pooled = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    wide = keras.initializers.RandomNormal(stddev=20, seed=1)  # or logits could lie in 0..1
    outputs = {"kind": layers.Dense(3, kernel_initializer=wide)(pooled)}
    outputs["size"] = layers.Dense(1)(pooled)
    model = keras.Model(image, outputs)
    exporters.export(model, tmp_path / "folder", "saved_model")
    found = predictors.load(tmp_path / "folder").predict(_images(4))
    expected = model.predict(_images(4), verbose=0)
    np.testing.assert_allclose(found.logits, expected["kind"], atol=1e-4)
    np.testing.assert_allclose(found.values["size"], expected["size"][:, 0], atol=1e-5)


def test_a_saved_model_whose_augmentation_was_left_on_is_refused(tmp_path):
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.RandomFlip(), layers.Flatten(), layers.Dense(3)]
    )
    model.export(tmp_path / "of_keras", verbose=False)  # calls augmentation with training=True
    with pytest.raises(ModelError, match="other outputs for the same images each time"):
        predictors.load(tmp_path / "of_keras")
    exporters.export(model, tmp_path / "ours", "saved_model")
    found = predictors.load(tmp_path / "ours").logits(_images(3))
    np.testing.assert_allclose(found, model.predict(_images(3), verbose=0), rtol=1e-4, atol=1e-3)


def test_int8_that_litert_can_not_compute_names_the_operator(tmp_path):
    """Of a black image the divisor is next to 0, which int8 rounds to 0."""
    image = keras.Input(SHAPE)
    maps = layers.Conv2D(4, 3)(layers.Conv2D(4, 3)(image))
    ratio = keras.ops.divide(maps, layers.ReLU()(maps) + 1e-3)
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(ratio)))
    with pytest.raises(ExportError, match=r"DIV of .*truediv fails"):
        exporters.export(model, tmp_path / "m.tflite", "int8", _images(20))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["int8", "float8"])
def test_a_model_that_keras_quantized_is_refused_by_its_layer(mode, tmp_path):
    image = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, layers.Dense(4, name="last")(pooled), name="mine")
    model.quantize(mode)
    with pytest.raises(
        ExportError, match=f"last of mine was quantized to {mode} by model.quantize"
    ):
        exporters.export(model, tmp_path / "m.tflite", "float32")
    assert not list(tmp_path.iterdir())


def _with_a_large_variance():
    """Large beside the layer's epsilon, so that ADD could not be rescaled in int8."""
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    maps = layers.LayerNormalization()(layers.Conv2D(8, 3)(layers.Rescaling(1 / 25)(image)))
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(maps)))


def test_int16_normalisations_are_computed_without_squared_differences(tmp_path):
    model, path = _with_a_large_variance(), tmp_path / "m.tflite"
    report = exporters.export(model, path, "int16x8", _images(20))
    assert "SQUARED_DIFFERENCE" not in report.operators and report.operators["SUB"] == 1
    expected = model.predict(_images(40), verbose=0)
    found = LiteRTModel(path).predict(_images(40))
    assert np.abs(found - expected).max() < 0.02 * np.ptp(expected)


def test_int16_that_litert_can_not_compute_names_the_operator(tmp_path):
    archive, model = keras.export.ExportArchive(), _with_a_large_variance()
    archive.track(model)
    archive.add_endpoint("serve", model.call, [keras.InputSpec(shape=(1, *SHAPE), dtype="float32")])
    archive.write_out(tmp_path / "saved", verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path / "saved"))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    images = _images(20).astype(np.float32)
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.lite.OpsSet.TFLITE_BUILTINS,
    ]
    file = tmp_path / "m.tflite"
    file.write_bytes(converter.convert())
    request = _conversion.Request("", "", str(file), activations="int16")
    with pytest.raises(RuntimeError, match=r"SQUARED_DIFFERENCE of .* fails$"):
        _conversion.run_once(request)
    with pytest.raises(ExportError, match=r"LiteRT can't compute the file .*SQUARED_DIFFERENCE of"):
        _tflite.run(file, images)
