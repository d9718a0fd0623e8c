"""Samples that fit the model are used by its classes; others are refused in one sentence."""

from __future__ import annotations

import json
import warnings

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import exporters
from keras_kd.datasets import Samples
from keras_kd.datasets.pixel_values import USUAL
from keras_kd.errors import ConfigError, ExportError
from keras_kd.exporters import _fitting_samples, bundle, tuning
from keras_kd.models.surgery.compaction import compact
from keras_kd.runtimes import predictors
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.sessions._reader import Reader

NAMES = ("red", "green", "blue")


def _colours(classes=3):
    """A model whose first three classes name the brightest channel, images, and their classes."""
    image = keras.Input((8, 8, 3))
    scaled = layers.Rescaling(1 / 255)(image)
    model = keras.Model(image, layers.Dense(classes)(layers.GlobalAveragePooling2D()(scaled)))
    model.set_weights([9 * np.eye(3, classes), np.zeros(classes)])
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 100, (60, 8, 8, 3), np.uint8)
    images[np.arange(60), :, :, labels] += 150
    return model, images, labels


def _shares(labels):
    return np.eye(3, dtype=np.float32)[labels] * np.float32(0.7) + np.float32(0.1)


@pytest.mark.parametrize("form", ["numbers", "column", "shares"])
@pytest.mark.parametrize("value_range", [(0, 255), None])
def test_labels_are_read_by_the_samples_names(form, value_range, tmp_path):
    model, images, labels = _colours()
    turned = ("blue", "red", "green")  # no order that is its own inverse
    numbers = np.array([turned.index(NAMES[label]) for label in labels])
    given = {"numbers": numbers, "column": numbers[:, None], "shares": _shares(numbers)}[form]
    report = exporters.export(
        model, tmp_path / "m.tflite", "int8", Samples(images, given, turned), "float", NAMES,
        value_range=value_range,
    )  # fmt: skip
    assert (report.answers.accuracy, report.answers.keras_accuracy) == (1, 1)


def test_the_smallest_file_is_chosen_by_the_samples_names(tmp_path):
    model, images, labels = _colours()
    turned = ("blue", "red", "green")
    samples = Samples(images, np.array([turned.index(NAMES[label]) for label in labels]), turned)
    _, attempts = tuning.tune(
        model, tmp_path / "m.tflite", samples, samples, value_range=(0, 255), class_names=NAMES
    )
    assert attempts[0].accuracy == 1


def test_other_classes_are_named(tmp_path):
    model, images, labels = _colours()
    samples = Samples(images, labels, ("red", "green", "violet"))
    with pytest.raises(ExportError, match="class_names are not those of the export.*violet"):
        exporters.export(model, tmp_path / "m.tflite", "float32", samples, class_names=NAMES)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (lambda images: images[..., 0], r"shape \(60, 8, 8\); images\[..., None\]"),
        (lambda images: images[0], r"shape \(8, 8, 3\).*images\[None\]"),
        (lambda images: images.transpose(0, 3, 1, 2), r"shape \(3, 8, 8\).*channels last"),
        (lambda images: np.concatenate([images, images[..., :1]], -1), "leaves the alpha channel"),
        (lambda images: np.where(images > 240, np.nan, images), "Image 0 .* holds NaN"),
    ],
)
def test_images_that_do_not_fit_are_refused(changed, told, tmp_path):
    model, images, _ = _colours()
    images[0, 0, 0, 0] = 250
    with pytest.raises(ExportError, match=told):
        exporters.export(model, tmp_path / "m.tflite", "int8", changed(images))


def test_colour_images_for_a_model_of_four_channels_are_refused(tmp_path):
    image = keras.Input((8, 8, 4))
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(image)))
    with pytest.raises(ExportError, match=r"\(8, 8, 3\), and the model takes \(8, 8, 4\)"):
        exporters.export(model, tmp_path / "m.tflite", "int8", _colours()[1])


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.zeros(10, int), "60 images and 10 labels"),
        (np.arange(60) % 3 + 1, "Label 3 is none of the 3 classes"),
        (np.arange(60) % 3 - 1, "Label -1 is none"),
        (np.zeros(60), r"whole numbers \(N,\).*float64 \(60,\)"),
        (np.full((60, 3), 0.5), "each row must sum to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, told, tmp_path):
    model, images, _ = _colours()
    samples = Samples(images, labels, ())
    with pytest.raises(ExportError, match=told):
        exporters.export(model, tmp_path / "m.tflite", "float32", samples)


def test_shares_of_votes_are_kept():
    shares = _shares(np.array([0, 2, 1, 1]))
    np.testing.assert_array_equal(_fitting_samples.class_labels(shares, 3), shares)


@pytest.mark.parametrize(
    ("names", "told"),
    [((0, 1, 2), "class_names must be one name for each"), ("abc", "one name for each")],
)
def test_class_names_that_are_none_are_refused(names, told, tmp_path):
    with pytest.raises(ExportError, match=told):
        exporters.export(_colours()[0], tmp_path / "m.tflite", "float32", class_names=names)


def test_equal_class_names_are_told_apart_by_their_number(tmp_path):
    """Two of ImageNet's names are crane."""
    model, images, labels = _colours(classes=20)
    others = tuple(f"bird_{number}" for number in range(17))
    names, numbered = ("red", "crane", "crane", *others), ("red", "crane (1)", "crane (2)", *others)
    samples = Samples(images, labels, names)
    report = bundle.export_bundle(model, tmp_path, names, samples, images[0], "float32")
    assert report.answers.accuracy == 1
    assert (tmp_path / "labels.txt").read_text().split() == list(names)
    assert Reader(predictors.load(report.path)).class_names == numbered
    told = json.loads((tmp_path / "example.json").read_text())
    assert tuple(told["probabilities"]) == numbered


def test_pixels_are_judged_by_the_classes_that_the_samples_have(tmp_path):
    """Most answers are of the third class, dim, and dark with pixels of 0..1."""
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(image)))
    model.set_weights([np.array([[2.0, 1.0, 0.0]]), np.array([-210.0, -60.0, 0.0])])
    levels = np.r_[66:106, 106:146].astype(np.uint8)
    images = np.broadcast_to(levels[:, None, None, None], (80, 4, 4, 1))
    samples = Samples(images, np.repeat([1, 0], 40), ("bright", "dark"))
    names, path = ("bright", "dim", "dark"), tmp_path / "m.tflite"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*(better than chance|Pixels of 0)")
        exporters.export(model, path, "float32", samples, "float", names)
    assert predictors.load(path).spec.pixels == USUAL


def test_class_names_may_be_an_array(tmp_path):
    model, images, labels = _colours()
    report = exporters.export(
        model, tmp_path / "m.tflite", "float32", Samples(images, labels, NAMES),
        class_names=np.array(NAMES),
    )  # fmt: skip
    assert report.answers.accuracy == 1


def test_a_range_by_a_word_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="range must be numbers. Received: 'imagenet'"):
        exporters.export(_colours()[0], tmp_path / "m.tflite", "float32", value_range="imagenet")


@pytest.mark.parametrize("io", ["app", "float"])
def test_a_model_of_whole_numbers_takes_no_other_pixels(io, tmp_path):
    image = keras.Input((8, 8, 3), dtype="uint8")
    pooled = layers.GlobalAveragePooling2D()(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(3)(pooled))
    with pytest.raises(ExportError, match="takes whole numbers, but is stated to take --range 0,1"):
        exporters.export(
            model, tmp_path / "m.tflite", "float32", _colours()[1], io, value_range=(0, 1)
        )


def test_outputs_inside_of_a_dict_in_a_dict_are_refused(tmp_path):
    image = keras.Input((8, 8, 3))
    pooled = layers.GlobalAveragePooling2D()(image)
    outputs = {"a": layers.Dense(4)(pooled), "b": {"c": layers.Dense(2)(pooled)}}
    with pytest.raises(ExportError, match="in a dict inside of another structure"):
        exporters.export(keras.Model(image, outputs), tmp_path / "m.tflite", "float32")


def test_an_exporter_writes_the_model_of_now(tmp_path):
    model, images, _ = _colours()
    exporter = exporters.Exporter(model)
    exporter.export(tmp_path / "m.tflite", "float32")
    model.layers[-1].bias.assign([5.0, 0.0, -5.0])
    exporter.export(tmp_path / "m.tflite", "float32")
    shares = images.mean(axis=(1, 2)) / 255
    found = LiteRTModel(tmp_path / "m.tflite").predict(images)
    np.testing.assert_allclose(found, 9 * shares + [5, 0, -5], atol=1e-4)
    model.layers[-1].activation = keras.activations.relu
    exporter.export(tmp_path / "m.tflite", "float32")
    found = LiteRTModel(tmp_path / "m.tflite").predict(images)
    np.testing.assert_allclose(found, np.maximum(9 * shares + [5, 0, -5], 0), atol=1e-4)


def test_a_convolution_with_lora_keeps_its_taps(tmp_path):
    image = keras.Input((2, 2, 3))
    convolution = layers.Conv2D(4, 5, padding="same")
    model = keras.Model(image, layers.Flatten()(convolution(image)))
    convolution.enable_lora(2)
    convolution.lora_kernel_b.assign(np.ones(convolution.lora_kernel_b.shape))
    images = np.random.default_rng(0).random((5, 2, 2, 3)).astype(np.float32)
    expected = model.predict(images, verbose=0)
    np.testing.assert_allclose(compact(model).predict(images, verbose=0), expected, atol=1e-6)
    exporters.export(model, tmp_path / "m.tflite", "float32")
    found = LiteRTModel(tmp_path / "m.tflite").predict(images)
    np.testing.assert_allclose(found, expected, atol=1e-5)
