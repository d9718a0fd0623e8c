"""What an export refuses, and what it warns about."""

from __future__ import annotations

import ast
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from small_student import blobs, network

from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.distiller import Distiller
from keras_kd.errors import ExportError, OutputError
from keras_kd.exporters.formats import int8

LITERT_FORMATS = exporters.litert_names()


def test_a_model_that_mixes_the_images_of_a_batch_is_refused(tmp_path):
    image = keras.Input((8, 8, 3))
    tokens = layers.Reshape((64, 3))(image)
    # (N, 64, 3) + (N, 3) is right for one image alone.
    summed = keras.ops.add(tokens, layers.GlobalAveragePooling2D()(image))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(summed)))
    told = r"can't compute 4 images at once \(Incompatible shapes: \[4,64,3\] vs. \[4,3\]\): build"
    with pytest.raises(ExportError, match=told):
        exporters.export(model, tmp_path / "m.tflite", "float32", samples=blobs(4, (8, 8, 3)))
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_number_of_images_is_refused(tmp_path):
    """Keras' ValueError ended the export in a traceback."""
    image = keras.Input(batch_shape=(16, 8, 8, 3))
    model = keras.Model(image, layers.LSTM(2, stateful=True)(layers.Reshape((8, 24))(image)))
    told = (
        r"can't compute 4 images at once \(If an RNN is stateful, the batch size .* state\): build"
    )
    with pytest.raises(ExportError, match=told):
        exporters.export(model, tmp_path / "m.tflite", "float32", samples=blobs(4, (8, 8, 3)))
    assert not list(tmp_path.iterdir())


class _Never(layers.Layer):
    """Works while the graph is made, and not on images."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, x):
        raise ValueError("no such mode")


def test_a_model_that_computes_no_image_is_not_told_to_compute_one(tmp_path):
    """It was told that it can't compute 4 images at once."""
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(4)(layers.Flatten()(_Never()(image))), name="never")
    with pytest.raises(ExportError, match=r"can't compute an image of \(8, 8, 3\) \(no such mode"):
        exporters.export(model, tmp_path / "m.tflite", "float32", samples=blobs(4, (8, 8, 3)))
    assert not list(tmp_path.iterdir())


def test_an_output_of_text_is_refused_and_one_of_whole_numbers_goes_into_a_saved_model(tmp_path):
    """An output without an axis of columns ended the export in a TypeError."""
    image = keras.Input((8, 8, 3))
    number = keras.ops.argmax(layers.Dense(3)(layers.Flatten()(image)), axis=-1)
    look = layers.StringLookup(vocabulary=list("abc"), num_oov_indices=0, invert=True, name="text")
    with pytest.raises(
        ExportError, match="gives text in its output logits, and files give numbers"
    ):
        exporters.export(keras.Model(image, look(number)), tmp_path / "m.tflite")
    samples, whole = blobs(4, (8, 8, 3)), keras.Model(image, number)
    report = exporters.export(whole, tmp_path / "m", "saved_model", samples=samples)
    assert report.max_difference == 0


def test_nan_weights_are_refused_by_name(tmp_path):
    model = network()
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


@pytest.mark.parametrize("shape", [(10, 6), (4, 8, 8, 3)])
def test_the_layer_that_makes_other_inputs_of_images_is_named_and_fits(shape, tmp_path):
    inner = keras.Input(shape)
    model = keras.Model(inner, layers.Dense(2)(layers.Flatten()(inner)))
    with pytest.raises(ExportError, match="makes its input of them, keras.layers") as refused:
        exporters.export(model, tmp_path / "model.tflite")
    advice = r"keras.layers.Reshape\((\(.*\))\) behind keras.Input\((\(.*\))\)\."
    target, given = map(ast.literal_eval, re.search(advice, str(refused.value)).groups())
    image = keras.Input(given)
    assert len(given) == 3 and model(layers.Reshape(target)(image)).shape == (None, 2)


def test_class_names_must_match_the_outputs(tmp_path):
    with pytest.raises(ExportError, match="3 class names were given for the 4 outputs"):
        exporters.export(network(), tmp_path / "model.tflite", class_names=("a", "b", "c"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"class_names": ("cat", "dog", "cat", "cow")}, "the class name cat stands 2 times"),
        ({"io": "app", "app_input": 16}, r"app_input is \(height, .* Received: 16\."),
        ({"io": "app", "app_input": (16, 16.5, 3)}, "app_input is"),
        ({"min_agreement": "0.9"}, "min_agreement must be 0..1. Received: min_agreement='0.9'"),
    ],
)
def test_settings_of_another_type_are_refused(settings, words, tmp_path):
    with pytest.raises(ExportError, match=words):
        exporters.export(network(), tmp_path / "model.tflite", "float32", **settings)


def test_a_name_that_is_too_long_is_told_in_a_sentence(tmp_path):
    with pytest.raises(OutputError, match="Can't write .*too long"):
        exporters.export(network(), tmp_path / f"{'a' * 300}.tflite", "float32")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("model.keras", "must be a keras.Model. Received: 'model.keras'.*load_model reads a file"),
        (keras.Sequential([layers.Flatten(), layers.Dense(2)]), "begin it with keras.Input"),
        (Distiller(network(), network()), "give distiller.student"),
    ],
)
def test_what_is_no_model_to_export_is_told_what_to_give(model, words, tmp_path):
    with pytest.raises(ExportError, match=words):
        exporters.export(model, tmp_path / "model.tflite", "float32")


@pytest.mark.parametrize("samples", [[*blobs(3)], tf.data.Dataset.from_tensors(blobs(3))])
def test_samples_that_are_no_array_are_told_how_to_become_one(samples, tmp_path):
    with pytest.raises(ExportError, match="numpy.stack.images.*dataset.take"):
        exporters.export(network(), tmp_path / "model.tflite", "int8", samples=samples)
    listed = Samples([*blobs(3)], np.zeros(3, int), ("a", "b"))
    with pytest.raises(ExportError, match="Received: list; numpy.stack"):
        exporters.export(network(), tmp_path / "model.tflite", "int8", samples=listed)


def test_few_different_samples_are_warned_about(tmp_path):
    model = network()
    same = np.repeat(blobs(1), 30, axis=0)
    with pytest.warns(UserWarning, match="calibrated on 1 different image, whose ranges"):
        exporters.export(model, tmp_path / "same.tflite", "int8", samples=same)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        exporters.export(model, tmp_path / "other.tflite", "int8", samples=blobs(30))


def test_int8_needs_samples(tmp_path):
    with pytest.raises(ExportError, match=r"calibrated on images: give .* \(--data\)"):
        exporters.export(network(), tmp_path / "model.tflite", "int8")


@keras.saving.register_keras_serializable("test")
def test_nan_outputs_are_named_as_such(tmp_path):
    trunk = network()
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
    odd = _Determinant(name="area")(layers.ReLU()(image))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(odd), name="odd")
    for format in ("float32", "float16"):  # one right after the other
        with pytest.raises(
            ExportError,
            match="odd can't be converted .* \\(it lacks MatrixDeterminant, which area needs\\)",
        ):
            exporters.export(model, tmp_path / "model.tflite", format)
    assert not list(tmp_path.iterdir())


def test_operations_that_litert_lacks_are_named_by_the_layer_before_them(tmp_path):
    """As they are in no layer, the refusal named their operator alone, of TensorFlow."""
    image, small = keras.Input((4, 4, 1), name="photo"), keras.Input((4, 4, 1))
    maps = layers.Conv2D(1, 1, name="within")(small)
    inner = keras.Model(small, keras.ops.image.resize(maps, (5, 5), "bicubic"), name="inner")
    wide = keras.ops.image.resize(keras.ops.abs(image * image), (4, 4), "bicubic")
    x = inner(layers.ReLU()(wide))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x), name="odd")
    with pytest.raises(ExportError, match="it lacks ResizeBicubic, which") as told:
        exporters.export(model, tmp_path / "model.tflite")
    (makers,) = re.findall(r", which (.*) need\)", str(told.value))
    assert [re.sub(r"_\d+\b", "", maker) for maker in makers.split(" and ")] == [
        "the operation resize behind photo",
        "the operation resize behind within",
    ]


def test_a_file_that_differs_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "TOLERANCE", 1e-6)
    with pytest.raises(ExportError, match="differs from Keras by .* more than the 1e-06 allowed"):
        exporters.export(network(), tmp_path / "model.tflite", "int8", samples=blobs(8))
    assert not list(tmp_path.iterdir())


def test_paths_of_another_kind_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"ending in \.tflite"):
        exporters.export(network(), tmp_path / "model.onnx")
    (tmp_path / "model.tflite").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        exporters.export(network(), tmp_path / "model.tflite")


def test_samples_of_another_range_are_refused_and_of_one_class_warned_about(tmp_path):
    with pytest.raises(
        ExportError, match=r"lie in 0\.\.1, .*is stated the model takes 0\.\.255.*value_range"
    ):
        exporters.export(
            network(), tmp_path / "model.tflite", "float32", samples=blobs(8) / np.float32(255)
        )
    one_class = Samples(blobs(8), np.zeros(8, np.int64), ("a", "b", "c", "d"))
    with pytest.warns(UserWarning, match="All samples are of one class"):
        exporters.export(network(), tmp_path / "model.tflite", "float32", samples=one_class)
