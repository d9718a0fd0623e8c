"""Exports of a small network with the layers of the students, run on LiteRT and compared with Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters, litert
from keras_kd.datasets import Samples
from keras_kd.errors import ExportError, OutputError

LITERT_FORMATS = ["dynamic", "float16", "float32", "int8"]


def _network(shape=(16, 16, 3), outputs=4, policy="float32"):
    """Convolution, batch norm, squeeze and excitation, strided residual and dense layers; random weights."""
    keras.utils.set_random_seed(3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    image = keras.Input(shape, name="image")
    x = layers.Rescaling(1 / 127.5, -1.0)(image)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.MaxPooling2D()(layers.ReLU()(x))
    squeezed = layers.Dense(2, activation="relu", use_bias=False)(layers.GlobalAveragePooling2D()(x))
    gate = layers.Dense(8, activation="sigmoid", use_bias=False)(squeezed)
    x = layers.Multiply()([x, layers.Reshape((1, 1, 8))(gate)])
    shortcut = layers.Conv2D(12, 1, strides=2)(x)
    x = layers.Conv2D(12, 3, strides=2)(layers.ZeroPadding2D()(x))
    x = layers.Dropout(0.5)(layers.ReLU()(layers.Add()([x, shortcut])))
    logits = layers.Dense(outputs, dtype="float32")(layers.GlobalAveragePooling2D()(x))
    keras.config.set_dtype_policy(before)
    model = keras.Model(image, logits, name="small")
    # Moving statistics away from 0 and 1, or a forgotten batch norm would not show.
    norm = next(layer for layer in model.layers if isinstance(layer, layers.BatchNormalization))
    norm.set_weights([np.full(8, 1.3), np.full(8, 0.2), np.full(8, 0.1), np.full(8, 0.5)])
    return model


def _blobs(count, shape=(16, 16, 3), seed=5):
    """Smooth random uint8 images, unlike one another."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, shape[2]), np.uint8)
    return coarse.repeat(shape[0] // 4, axis=1).repeat(shape[1] // 4, axis=2)


@pytest.mark.parametrize("format", LITERT_FORMATS)
def test_file_agrees_with_keras(format, tmp_path):
    model, images = _network(), _blobs(40)
    report = exporters.export(model, tmp_path / "model.tflite", format, samples=images)
    expected = model.predict(images, verbose=0)
    runtime = litert.LiteRTModel(report.path)
    found = runtime.predict(images)
    share = np.abs(found - expected).max() / np.ptp(expected)
    assert share <= {"float32": 1e-6, "float16": 2e-3}.get(format, 0.1)
    assert report.max_difference == pytest.approx(share, rel=0.6, abs=1e-6)
    assert list(runtime.output_shapes) == ["logits"] and runtime.input_shape == (16, 16, 3)
    assert report.bytes == report.path.stat().st_size
    assert report.operators["CONV_2D"] == 3 and not litert.custom_or_flex(report.path)


def test_formats_are_found_by_their_modules():
    assert set(LITERT_FORMATS) <= set(exporters.names())
    with pytest.raises(ExportError, match="Unknown format 'float8': expected one of .*float32"):
        exporters.export(_network(), "model.tflite", "float8")


def test_mixed_precision_is_exported_as_float32(tmp_path):
    mixed = _network(policy="mixed_bfloat16")
    plain = _network()
    plain.set_weights(mixed.get_weights())
    report = exporters.export(mixed, tmp_path / "model.tflite", "float32")
    images = _blobs(6)
    np.testing.assert_allclose(
        litert.LiteRTModel(report.path).predict(images), plain.predict(images, verbose=0), rtol=1e-4, atol=1e-5
    )
    assert keras.config.dtype_policy().name == "float32"


def test_heads_keep_their_names(tmp_path):
    trunk = _network()
    model = keras.Model(
        trunk.input, {"expression": trunk.outputs[0], "valence": layers.Dense(1)(trunk.layers[-2].output)}
    )
    report = exporters.export(model, tmp_path / "model.tflite", "float32")
    found = litert.LiteRTModel(report.path).predict_heads(_blobs(3))
    expected = model.predict(_blobs(3), verbose=0)
    assert set(found) == {"expression", "valence"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_samples_of_another_size_are_fitted(tmp_path):
    report = exporters.export(_network(), tmp_path / "model.tflite", "int8", samples=_blobs(20, (48, 48, 1)))
    assert report.operators["QUANTIZE"] == 1


def test_terminal_stays_clean(tmp_path, capfd):
    exporters.export(_network(), tmp_path / "model.tflite", "int8", samples=_blobs(8))
    assert capfd.readouterr() == ("", "")


def test_nan_weights_are_refused_by_name(tmp_path):
    model = _network()
    kernel = model.layers[-1].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(ExportError, match=f"{kernel.path} of small holds NaN"):
        exporters.export(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_several_inputs_are_refused(tmp_path):
    images = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    model = keras.Model(images, layers.GlobalAveragePooling2D()(layers.Add()(images)))
    with pytest.raises(ExportError, match="2 inputs"):
        exporters.export(model, tmp_path / "model.tflite")


def test_open_shapes_are_refused(tmp_path):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(image))
    with pytest.raises(ExportError, match=r"shape \(None, None, 3\): build it for images of one fixed size"):
        exporters.export(model, tmp_path / "model.tflite")


def test_class_names_must_match_the_outputs(tmp_path):
    with pytest.raises(ExportError, match="3 class names were given for the 4 outputs"):
        exporters.export(_network(), tmp_path / "model.tflite", class_names=("a", "b", "c"))


def test_int8_needs_samples(tmp_path):
    with pytest.raises(ExportError, match="calibrated on images"):
        exporters.export(_network(), tmp_path / "model.tflite", "int8")


@keras.saving.register_keras_serializable("test")
class _Determinant(layers.Layer):
    """A layer that LiteRT has no kernel for."""

    def call(self, x):
        return x * keras.ops.reshape(keras.ops.det(x[:, :2, :2, 0]), (-1, 1, 1, 1))


def test_a_layer_that_litert_lacks_is_refused(tmp_path):
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(_Determinant()(image)), name="odd")
    with pytest.raises(ExportError, match="odd can't be converted to LiteRT.*MatrixDeterminant"):
        exporters.export(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_too_much_is_refused(tmp_path, monkeypatch):
    from keras_kd.exporters import int8

    monkeypatch.setattr(int8, "TOLERANCE", 1e-6)
    with pytest.raises(ExportError, match="differs from Keras by .* more than the 1e-06 allowed"):
        exporters.export(_network(), tmp_path / "model.tflite", "int8", samples=_blobs(8))
    assert not list(tmp_path.iterdir())


def test_paths_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"ending in '\.tflite'"):
        exporters.export(_network(), tmp_path / "model.onnx")
    (tmp_path / "model.tflite").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        exporters.export(_network(), tmp_path / "model.tflite")


def test_doubtful_samples_are_warned_about(tmp_path):
    with pytest.warns(UserWarning, match=r"lie in 0\.\.1, but the model takes pixels 0\.\.255"):
        exporters.export(_network(), tmp_path / "model.tflite", "float32", samples=_blobs(8) / np.float32(255))
    one_class = Samples(_blobs(8), np.zeros(8, np.int64), ("a", "b", "c", "d"))
    with pytest.warns(UserWarning, match="All samples are of one class"):
        exporters.export(_network(), tmp_path / "model.tflite", "float32", samples=one_class)
