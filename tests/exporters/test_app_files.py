"""Files for apps: raw pixels in, probabilities out."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_sample_images
from small_student import blobs, network

from keras_kd import exporters
from keras_kd.errors import ExportError
from keras_kd.exporters import _front_end
from keras_kd.runtimes import litert, tflite_operators

LITERT_FORMATS = exporters.litert_names()


@functools.cache
def _shared(app_input):
    """The network, an app's images, and an exporter, which prepares once what all formats share."""
    model, pictures = network(), blobs(12, (40, 60, 3))
    raw = np.stack(
        [
            np.asarray(Image.fromarray(picture).convert("L" if app_input[2] == 1 else "RGB"))
            for picture in pictures
        ]
    ).reshape(12, 40, 60, -1)[:, : app_input[0], : app_input[1]]
    return model, raw, exporters.Exporter(model, raw, "app", app_input=app_input)


@pytest.mark.parametrize("format", LITERT_FORMATS)
@pytest.mark.parametrize("app_input", [(12, 12, 1), (20, 30, 3)])
def test_an_app_feeds_raw_bytes_and_gets_probabilities(format, app_input, tmp_path):
    """As an app does it: bytes of pixels into plain LiteRT; the reference is Pillow, then Keras."""
    model, raw, exporter = _shared(app_input)
    report = exporter.export(tmp_path / "app.tflite", format, min_agreement=0)
    interpreter = Interpreter(str(report.path))
    interpreter.allocate_tensors()
    image, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    found = []
    for pixels in raw:
        buffer = np.frombuffer(pixels.tobytes(), np.uint8).reshape(1, *app_input)
        interpreter.set_tensor(image["index"], buffer)
        interpreter.invoke()
        found.append(interpreter.get_tensor(output["index"])[0])
    resized = [
        Image.fromarray(pixels.squeeze()).convert("RGB").resize((16, 16), 2) for pixels in raw
    ]
    logits = model.predict(np.stack([np.asarray(picture) for picture in resized]), verbose=0)
    expected = softmax(logits, axis=1)
    limit = {"float32": 1e-6, "float16": 1e-3}.get(format, 0.05)
    np.testing.assert_allclose(np.stack(found), expected, atol=limit)
    assert image["dtype"] == np.uint8 and not tflite_operators.custom_or_flex(report.path)


@pytest.mark.parametrize("app_input", [(48, 48, 1), (200, 160, 3)])
def test_app_file_agrees_with_pillow_and_keras_on_photographs(app_input, tmp_path):
    height, width, channels = app_input
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    shown = [
        picture.resize((width, height)).convert("L" if channels == 1 else "RGB")
        for picture in photographs
    ]
    model = network((64, 64, 3))
    report = exporters.export(
        model, tmp_path / "app.tflite", "float32", io="app", app_input=app_input
    )
    found = litert.LiteRTModel(report.path).predict(
        np.stack([np.asarray(p).reshape(app_input) for p in shown])
    )
    # Rows first, as everywhere here; Pillow 13 would begin with the columns.
    resized = [
        picture.convert("RGB").resize((64, height), 2).resize((64, 64), 2) for picture in shown
    ]
    logits = model.predict(np.stack([np.asarray(picture) for picture in resized]), verbose=0)
    np.testing.assert_allclose(found, softmax(logits, axis=1), atol=1e-5)


@pytest.mark.parametrize("target", [None, "web"])
def test_an_app_gives_the_models_own_image_where_nothing_else_is_stated(target, tmp_path):
    model, images = network(), blobs(4)
    report = exporters.export(model, tmp_path / "app.tflite", "float32", io="app", target=target)
    file = litert.LiteRTModel(report.path)
    assert file.input_shape == model.input_shape[1:]
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(file.predict(images), softmax(logits, axis=1), atol=1e-6)


def test_an_app_gives_gray_or_rgb_images(tmp_path):
    path, four = tmp_path / "app.tflite", network((16, 16, 4))
    with pytest.raises(ExportError, match="takes images of 4 channels.*use io='float'"):
        exporters.export(four, path, "float32", io="app")
    for wrong in [(16, 16, 2), (16, 16), (0, 16, 3)]:
        with pytest.raises(ExportError, match="1 for gray or 3 for RGB"):
            exporters.export(network(), path, "float32", io="app", app_input=wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("softmax", [layers.Softmax(), keras.ops.softmax])
def test_app_file_of_a_model_that_ends_in_softmax_has_one_softmax(softmax, inside, tmp_path):
    trunk = network()
    model = keras.Model(trunk.input, softmax(trunk.output))
    if inside:
        model = keras.Sequential([keras.Input(trunk.input_shape[1:]), model])
    images = blobs(4)
    report = exporters.export(
        model, tmp_path / "app.tflite", "float32", io="app", app_input=(16, 16, 3)
    )
    found = litert.LiteRTModel(report.path).predict(images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((48, 48, 1), (64, 64, 3)),
        ((60, 45, 3), (32, 32, 3)),
        ((30, 100, 3), (64, 64, 1)),
        ((16, 40, 3), (16, 16, 3)),
    ],
)
def test_resize_in_the_graph_is_pillows(source, target):
    images = np.random.default_rng(1).integers(0, 256, (4, *source), np.uint8)
    mode = "L" if target[2] == 1 or source[2] == 1 else "RGB"
    expected = []
    for image in images:
        picture = Image.fromarray(image.squeeze()).convert(mode)
        picture = picture.resize((target[1], source[0]), Image.Resampling.BILINEAR)
        picture = picture.resize((target[1], target[0]), Image.Resampling.BILINEAR)
        expected.append(
            np.asarray(picture.convert("L" if target[2] == 1 else "RGB")).reshape(target)
        )
    np.testing.assert_array_equal(
        _front_end.pixels(tf.constant(images), target), np.stack(expected)
    )
