"""Exports of a small network with the layers of the students, run on LiteRT and compared with
Keras.
"""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from PIL import Image
from scipy.special import softmax
from sklearn.datasets import load_sample_images

from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.distiller import Distiller
from keras_kd.errors import ExportError, OutputError
from keras_kd.exporters import _float_parts, _front_end
from keras_kd.exporters.formats import int8
from keras_kd.runtimes import litert, tflite_graph

LITERT_FORMATS = exporters.litert_names()


def _network(shape=(16, 16, 3), outputs=4, policy="float32"):
    """Convolution, batch norm, squeeze and excitation, strided residual and dense layers; random
    weights.
    """
    keras.utils.set_random_seed(3)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    image = keras.Input(shape, name="image")
    x = layers.Rescaling(1 / 127.5, -1.0)(image)
    x = layers.Conv2D(8, 3, padding="same")(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.MaxPooling2D()(layers.ReLU()(x))
    squeezed = layers.Dense(2, activation="relu", use_bias=False)(
        layers.GlobalAveragePooling2D()(x)
    )
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
    # The rescaling is a convolution too.
    assert report.operators["CONV_2D"] == 4 and not litert.custom_or_flex(report.path)


@pytest.mark.parametrize("format", LITERT_FORMATS)
@pytest.mark.parametrize("app_input", [(12, 12, 1), (20, 30, 3)])
def test_an_app_feeds_raw_bytes_and_gets_probabilities(format, app_input, tmp_path):
    """As an app does it: bytes of pixels into plain LiteRT; the reference is Pillow, then Keras."""
    model, pictures = _network(), _blobs(12, (40, 60, 3))
    raw = np.stack(
        [
            np.asarray(Image.fromarray(picture).convert("L" if app_input[2] == 1 else "RGB"))
            for picture in pictures
        ]
    ).reshape(12, 40, 60, -1)[:, : app_input[0], : app_input[1]]
    report = exporters.export(
        model, tmp_path / "app.tflite", format, raw, io="app", app_input=app_input, min_agreement=0
    )
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
    assert image["dtype"] == np.uint8 and not litert.custom_or_flex(report.path)


@pytest.mark.parametrize("app_input", [(48, 48, 1), (200, 160, 3)])
def test_app_file_agrees_with_pillow_and_keras_on_photographs(app_input, tmp_path):
    height, width, channels = app_input
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    shown = [
        picture.resize((width, height)).convert("L" if channels == 1 else "RGB")
        for picture in photographs
    ]
    model = _network((64, 64, 3))
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
    model, images = _network(), _blobs(4)
    report = exporters.export(model, tmp_path / "app.tflite", "float32", io="app", target=target)
    file = litert.LiteRTModel(report.path)
    assert file.input_shape == model.input_shape[1:]
    logits = model.predict(images, verbose=0)
    np.testing.assert_allclose(file.predict(images), softmax(logits, axis=1), atol=1e-6)


def test_a_model_that_mixes_the_images_of_a_batch_is_refused(tmp_path):
    image = keras.Input((8, 8, 3))
    tokens = layers.Reshape((64, 3))(image)
    # (N, 64, 3) + (N, 3) is right for one image alone.
    summed = keras.ops.add(tokens, layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(summed)))
    with pytest.raises(ExportError, match="can't compute .* images at once"):
        exporters.export(model, tmp_path / "m.tflite", "float32", samples=_blobs(4, (8, 8, 3)))
    assert not list(tmp_path.iterdir())


def test_an_app_gives_gray_or_rgb_images(tmp_path):
    path, four = tmp_path / "app.tflite", _network((16, 16, 4))
    with pytest.raises(ExportError, match="takes images of 4 channels.*use io='float'"):
        exporters.export(four, path, "float32", io="app")
    for wrong in [(16, 16, 2), (16, 16), (0, 16, 3)]:
        with pytest.raises(ExportError, match="1 for gray or 3 for RGB"):
            exporters.export(_network(), path, "float32", io="app", app_input=wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("softmax", [layers.Softmax(), keras.ops.softmax])
def test_app_file_of_a_model_that_ends_in_softmax_has_one_softmax(softmax, inside, tmp_path):
    trunk = _network()
    model = keras.Model(trunk.input, softmax(trunk.output))
    if inside:
        model = keras.Sequential([keras.Input(trunk.input_shape[1:]), model])
    images = _blobs(4)
    report = exporters.export(
        model, tmp_path / "app.tflite", "float32", io="app", app_input=(16, 16, 3)
    )
    found = litert.LiteRTModel(report.path).predict(images)
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=1e-6)


def test_int8_file_takes_and_gives_int8(tmp_path):
    model, images = _network(), _blobs(40)
    report = exporters.export(model, tmp_path / "model.tflite", "int8", images, io="int8")
    runtime = litert.LiteRTModel(report.path)
    expected = model.predict(images, verbose=0)
    assert runtime.input_dtype == np.int8 and "QUANTIZE" not in report.operators
    assert np.abs(runtime.predict(images) - expected).max() <= 0.1 * np.ptp(expected)
    with pytest.raises(ExportError, match="offers io='float' or 'app'. Received: io='int8'"):
        exporters.export(model, tmp_path / "model.tflite", "float16", io="int8")


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


def test_saved_model_takes_any_number_of_images(tmp_path):
    model, images = _network(), _blobs(5)
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
        exporters.export(_network(), tmp_path / "mine", "saved_model")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize("io", ["float", "app"])
def test_onnx_agrees_with_keras(io, tmp_path):
    pytest.importorskip("tf2onnx", reason="the extra `onnx` is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `onnx` is not installed")
    model, images = _network(), _blobs(4)
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
        exporters.export(_network(), "model.tflite", "float8")


def test_mixed_precision_is_exported_as_float32(tmp_path):
    mixed = _network(policy="mixed_bfloat16")
    plain = _network()
    plain.set_weights(mixed.get_weights())
    report = exporters.export(mixed, tmp_path / "model.tflite", "float32")
    images = _blobs(6)
    np.testing.assert_allclose(
        litert.LiteRTModel(report.path).predict(images),
        plain.predict(images, verbose=0),
        rtol=1e-4,
        atol=1e-5,
    )
    assert keras.config.dtype_policy().name == "float32"


def test_heads_keep_their_names(tmp_path):
    trunk = _network()
    model = keras.Model(
        trunk.input,
        {"expression": trunk.outputs[0], "valence": layers.Dense(1)(trunk.layers[-2].output)},
    )
    report = exporters.export(model, tmp_path / "model.tflite", "float32")
    found = litert.LiteRTModel(report.path).predict_heads(_blobs(3))
    expected = model.predict(_blobs(3), verbose=0)
    assert set(found) == {"expression", "valence"}
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5)


def test_samples_of_another_size_are_fitted(tmp_path):
    report = exporters.export(
        _network(), tmp_path / "model.tflite", "int8", samples=_blobs(20, (48, 48, 1))
    )
    assert report.operators["QUANTIZE"] == 1


def test_terminal_stays_clean(tmp_path, capfd):
    exporters.export(_network(), tmp_path / "model.tflite", "int8", samples=_blobs(8))
    assert capfd.readouterr() == ("", "")


def test_int16_activations_are_nearer_to_float_than_int8(tmp_path):
    model, images = _network(), _blobs(40)
    found = {
        format: exporters.export(
            model, tmp_path / f"{format}.tflite", format, images, min_agreement=0
        )
        for format in ("int8", "int16x8")
    }
    assert found["int16x8"].max_difference < found["int8"].max_difference
    assert found["int16x8"].bytes < 1.2 * found["int8"].bytes


def test_a_layer_that_no_image_gets_through_leaves_int16_right(tmp_path):
    model, images = _network(), _blobs(20)
    squeeze = next(layer for layer in model.layers if isinstance(layer, layers.Dense))
    squeeze.set_weights([-np.ones_like(squeeze.get_weights()[0])])
    for io in ("float", "int8"):
        path = tmp_path / f"{io}.tflite"
        exporters.export(model, path, "int16x8", images, io, min_agreement=0)


def test_a_layer_that_no_image_gets_through_stays_float(tmp_path):
    """All values of the squeeze are 0, so int8 would divide by next to nothing, which XNNPACK
    refuses to load.
    """
    model, images = _network(), _blobs(20)
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
    trunk = _network()
    model = keras.Model(trunk.input, layers.Activation("gelu")(trunk.output))
    assert exporters.export(model, tmp_path / "model.onnx", "onnx", _blobs(4)).max_difference < 1e-5


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
    with pytest.raises(
        ExportError, match=r"takes images of any size, \(None, None, 3\): state one by --input"
    ):
        exporters.export(model, tmp_path / "model.tflite")


def test_class_names_must_match_the_outputs(tmp_path):
    with pytest.raises(ExportError, match="3 class names were given for the 4 outputs"):
        exporters.export(_network(), tmp_path / "model.tflite", class_names=("a", "b", "c"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("model.keras", "must be a keras.Model. Received: 'model.keras'.*load_model reads a file"),
        (keras.Sequential([layers.Flatten(), layers.Dense(2)]), "begin it with keras.Input"),
        (Distiller(_network(), _network()), "give distiller.student"),
    ],
)
def test_what_is_no_model_to_export_is_told_what_to_give(model, words, tmp_path):
    with pytest.raises(ExportError, match=words):
        exporters.export(model, tmp_path / "model.tflite", "float32")


@pytest.mark.parametrize("samples", [[*_blobs(3)], tf.data.Dataset.from_tensors(_blobs(3))])
def test_samples_that_are_no_array_are_told_how_to_become_one(samples, tmp_path):
    with pytest.raises(ExportError, match="numpy.stack.images.*dataset.take"):
        exporters.export(_network(), tmp_path / "model.tflite", "int8", samples=samples)


def test_few_different_samples_are_warned_about(tmp_path):
    model = _network()
    same = np.repeat(_blobs(1), 30, axis=0)
    with pytest.warns(UserWarning, match="calibrated on 1 different image, whose ranges"):
        exporters.export(model, tmp_path / "same.tflite", "int8", samples=same)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exporters.export(model, tmp_path / "other.tflite", "int8", samples=_blobs(30))


def test_int8_needs_samples(tmp_path):
    with pytest.raises(ExportError, match=r"calibrated on images: give .* \(--data\)"):
        exporters.export(_network(), tmp_path / "model.tflite", "int8")


@keras.saving.register_keras_serializable("test")
def test_nan_outputs_are_named_as_such(tmp_path):
    trunk = _network()
    model = keras.Model(trunk.input, keras.ops.log(trunk.output - 1e6))
    with pytest.raises(ExportError, match="The model's output .* holds NaN or infinity for one of"):
        exporters.export(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


class _Determinant(layers.Layer):
    """A layer that LiteRT has no kernel for."""

    def call(self, x):
        return x * keras.ops.reshape(keras.ops.det(x[:, :2, :2, 0]), (-1, 1, 1, 1))


def test_a_layer_that_litert_lacks_is_refused(tmp_path):
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(_Determinant()(image)), name="odd")
    for format in ("float32", "float16"):  # one right after the other
        with pytest.raises(
            ExportError, match="odd can't be converted to LiteRT \\(it lacks MatrixDeterminant\\)"
        ):
            exporters.export(model, tmp_path / "model.tflite", format)
    assert not list(tmp_path.iterdir())


def test_a_file_that_differs_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "TOLERANCE", 1e-6)
    with pytest.raises(ExportError, match="differs from Keras by .* more than the 1e-06 allowed"):
        exporters.export(_network(), tmp_path / "model.tflite", "int8", samples=_blobs(8))
    assert not list(tmp_path.iterdir())


def test_paths_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"ending in \.tflite"):
        exporters.export(_network(), tmp_path / "model.onnx")
    (tmp_path / "model.tflite").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        exporters.export(_network(), tmp_path / "model.tflite")


def test_samples_of_another_range_are_refused_and_of_one_class_warned_about(tmp_path):
    with pytest.raises(ExportError, match=r"lie in 0\.\.1, .*stated to take 0\.\.255.*value_range"):
        exporters.export(
            _network(), tmp_path / "model.tflite", "float32", samples=_blobs(8) / np.float32(255)
        )
    one_class = Samples(_blobs(8), np.zeros(8, np.int64), ("a", "b", "c", "d"))
    with pytest.warns(UserWarning, match="All samples are of one class"):
        exporters.export(_network(), tmp_path / "model.tflite", "float32", samples=one_class)
