"""Exports of a small network with the layers of the students, run on LiteRT and compared with
Keras."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from scipy.special import softmax
from small_student import blobs, network

from keras_kd import exporters
from keras_kd.errors import ExportError, OutputError
from keras_kd.exporters import _float_parts
from keras_kd.runtimes import litert, tflite_graph, tflite_operators

LITERT_FORMATS = exporters.litert_names()


@pytest.fixture(scope="module")
def shared():
    """The network, images, and an exporter, which prepares once what all formats share."""
    model, images = network(), blobs(40)
    return model, images, exporters.Exporter(model, images)


@pytest.mark.parametrize("format", LITERT_FORMATS)
def test_file_agrees_with_keras(format, shared, tmp_path):
    model, images, exporter = shared
    report = exporter.export(tmp_path / "model.tflite", format)
    expected = model.predict(images, verbose=0)
    runtime = litert.LiteRTModel(report.path)
    found = runtime.predict(images)
    share = np.abs(found - expected).max() / np.ptp(expected)
    assert share <= {"float32": 1e-6, "float16": 2e-3}.get(format, 0.1)
    assert report.max_difference == pytest.approx(share, rel=0.6, abs=1e-6)
    assert list(runtime.output_shapes) == ["logits"] and runtime.input_shape == (16, 16, 3)
    assert report.bytes == report.path.stat().st_size
    # The rescaling is a convolution too.
    assert report.operators["CONV_2D"] == 4 and not tflite_operators.custom_or_flex(report.path)


def test_int8_file_takes_and_gives_int8(tmp_path):
    model, images = network(), blobs(40)
    report = exporters.export(model, tmp_path / "model.tflite", "int8", images, io="int8")
    runtime = litert.LiteRTModel(report.path)
    expected = model.predict(images, verbose=0)
    assert runtime.input_dtype == np.int8 and "QUANTIZE" not in report.operators
    assert np.abs(runtime.predict(images) - expected).max() <= 0.1 * np.ptp(expected)
    with pytest.raises(ExportError, match="offers io='float' or 'app'. Received: io='int8'"):
        exporters.export(model, tmp_path / "model.tflite", "float16", io="int8")


def test_saved_model_takes_any_number_of_images(tmp_path):
    model, images = network(), blobs(5)
    report = exporters.export(model, tmp_path / "saved", "saved_model", images)
    found = tf.saved_model.load(str(report.path)).signatures["serving_default"](
        image=tf.constant(images, tf.float32)
    )
    np.testing.assert_allclose(found["logits"], model.predict(images, verbose=0), atol=1e-5)
    exporters.export(model, report.path, "saved_model")
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_saved_model_replaces_no_other_folder(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="exists already and holds no saved_model.pb"):
        exporters.export(network(), tmp_path / "mine", "saved_model")
    (tmp_path / "mine" / "saved_model.pb").touch()
    with pytest.raises(OutputError, match="since letter.txt in it would be lost"):
        exporters.export(network(), tmp_path / "mine", "saved_model")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("io", ["float", "app"])
def test_onnx_agrees_with_keras(io, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    model, images = network(), blobs(4)
    report = exporters.export(
        model, tmp_path / "model.onnx", "onnx", images, io=io, app_input=(16, 16, 3)
    )
    session = onnxruntime.InferenceSession(str(report.path))
    as_input = images if io == "app" else images.astype(np.float32)
    found = np.concatenate([session.run(None, {"image": image[None]})[0] for image in as_input])
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, softmax(logits, axis=1) if io == "app" else logits, atol=1e-5)


def test_formats_are_found_by_their_modules():
    assert {"dynamic", "float16", "float32", "int8"} <= set(LITERT_FORMATS)
    with pytest.raises(ExportError, match="Unknown format 'float8': expected one of .*float32"):
        exporters.export(network(), "model.tflite", "float8")


def test_mixed_precision_is_exported_as_float32(tmp_path):
    mixed = network(policy="mixed_bfloat16")
    plain = network()
    plain.set_weights(mixed.get_weights())
    report = exporters.export(mixed, tmp_path / "model.tflite", "float32")
    images = blobs(6)
    np.testing.assert_allclose(
        litert.LiteRTModel(report.path).predict(images),
        plain.predict(images, verbose=0),
        rtol=1e-4,
        atol=1e-5,
    )
    assert keras.config.dtype_policy().name == "float32"


def test_heads_keep_their_names(tmp_path):
    trunk = network()
    model = keras.Model(
        trunk.input,
        {"expression": trunk.outputs[0], "valence": layers.Dense(1)(trunk.layers[-2].output)},
    )
    report = exporters.export(model, tmp_path / "model.tflite", "float32")
    found = litert.LiteRTModel(report.path).predict_heads(blobs(3))
    expected = model.predict(blobs(3), verbose=0)
    assert set(found) == {"expression", "valence"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_samples_of_another_size_are_fitted(tmp_path):
    report = exporters.export(
        network(), tmp_path / "model.tflite", "int8", samples=blobs(20, (48, 48, 1))
    )
    assert report.operators["QUANTIZE"] == 1


def test_terminal_stays_clean(tmp_path, capfd):
    exporters.export(network(), tmp_path / "model.tflite", "int8", samples=blobs(8))
    assert capfd.readouterr() == ("", "")


def test_int16_activations_are_nearer_to_float_than_int8(tmp_path):
    model, images = network(), blobs(40)
    found = {
        format: exporters.export(
            model, tmp_path / f"{format}.tflite", format, images, min_agreement=0
        )
        for format in ("int8", "int16x8")
    }
    assert found["int16x8"].max_difference < found["int8"].max_difference
    assert found["int16x8"].bytes < 1.2 * found["int8"].bytes


def test_a_layer_that_no_image_gets_through_leaves_int16_right(tmp_path):
    model, images = network(), blobs(20)
    squeeze = next(layer for layer in model.layers if isinstance(layer, layers.Dense))
    squeeze.set_weights([-np.ones_like(squeeze.get_weights()[0])])
    for io in ("float", "int8"):
        path = tmp_path / f"{io}.tflite"
        exporters.export(model, path, "int16x8", images, io, min_agreement=0)


def test_a_layer_that_no_image_gets_through_stays_float(tmp_path):
    """All values of the squeeze are 0, so int8 would divide by next to nothing, which XNNPACK
    refuses to load.
    """
    model, images = network(), blobs(20)
    squeeze = next(layer for layer in model.layers if isinstance(layer, layers.Dense))
    squeeze.set_weights([-np.ones_like(squeeze.get_weights()[0])])
    report = exporters.export(model, tmp_path / "model.tflite", "int8", images)
    expected = model.predict(images, verbose=0)
    assert np.abs(litert.LiteRTModel(report.path).predict(images) - expected).max() <= 0.1 * np.ptp(
        expected
    )
    with pytest.raises(ExportError, match="too different sizes for int8 .FULLY_CONNECTED"):
        exporters.export(model, tmp_path / "int8.tflite", "int8", images, io="int8")
    assert not (tmp_path / "int8.tflite").exists()


@pytest.mark.parametrize(
    ("name", "scales", "output", "refused"),
    [
        ("ADD", (0.135, 2.44e8), 3.86, True),  # of an untrained EmoNet; LiteRT aborts on it
        ("ADD", (0.053, 0.065), 0.035, False),
        ("FULLY_CONNECTED", (0.0289, 0.004), 7.84e-9, True),  # of an untrained B; XNNPACK fails
        ("CONV_2D", (0.032, 0.004), 0.0406, False),
        ("CONV_2D", (0.0, 0.0), 0.0, False),  # float32
    ],
)
def test_operators_that_can_not_be_rescaled_are_told_apart(name, scales, output, refused):
    tensors = [
        tflite_graph.Tensor(number, "", (), "int8", None, scale)
        for number, scale in enumerate((*scales, output))
    ]
    operator = tflite_graph.Operator(name, tuple(tensors[:2]), tuple(tensors[2:]), None)
    assert _float_parts.out_of_range(operator) == refused


def test_onnx_knows_gelu(tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    trunk = network()
    model = keras.Model(trunk.input, layers.Activation("gelu")(trunk.output))
    assert exporters.export(model, tmp_path / "model.onnx", "onnx", blobs(4)).max_difference < 1e-5
