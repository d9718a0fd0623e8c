"""The first convolution of gray images in int8, and the choice of it by measuring."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from command_line import called
from keras import layers
from PIL import Image

from keras_kd import datasets, exporters
from keras_kd.datasets.images import fitted
from keras_kd.errors import ExportError
from keras_kd.exporters import measuring
from keras_kd.exporters._tflite_passes import integer_pixels
from keras_kd.runtimes import tflite_graph
from keras_kd.runtimes.litert import LiteRTModel

IMAGES = np.random.default_rng(0).integers(0, 256, (32, 10, 12, 1), np.uint8)
MEAN, DEVIATION = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)  # ImageNet's
OFF = (255.0, 0.0, 30.0)  # far from each other, so that wrong borders show


def _network(kernel=(3, 3), padding="same", strides=1, mean=MEAN, channels=3):
    keras.utils.set_random_seed(1)
    image = keras.Input((10, 12, channels))
    x = layers.Normalization(mean=mean, variance=np.square(DEVIATION))(image)
    x = layers.Conv2D(8, kernel, strides, padding, activation="relu",
                      bias_initializer="random_normal")(x)  # fmt: skip
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


def _export(model, path, **settings):
    how = {"io": "app", "app_input": (10, 12, 1), "value_range": (0, 255), "min_agreement": 0.5}
    return exporters.export(model, path, "int8", IMAGES, **{**how, **settings})


def _first_convolution(path):
    """The first one that is higher than a pixel: rows are chosen by others."""
    return next(
        one
        for one in tflite_graph.read(path)
        if one.name == "CONV_2D" and max(one.inputs[1].shape[1:3]) > 1
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mean": OFF, "kernel": (5, 4), "strides": (1, 2)},
        {"mean": OFF, "strides": 2},
        {"padding": "valid"},
        {"mean": (0, 0, 0)},
    ],
)
def test_it_computes_what_the_one_in_float32_does_borders_included(settings, tmp_path):
    path = _export(_network(**settings), tmp_path / "m.tflite").path
    before = LiteRTModel(path).predict(IMAGES)
    content = integer_pixels.with_integer_pixels(path.read_bytes())
    (tmp_path / "i.tflite").write_bytes(content)
    first = _first_convolution(tmp_path / "i.tflite")
    assert (first.inputs[0].dtype, first.inputs[1].shape[2]) == ("int8", 1)
    after = LiteRTModel(tmp_path / "i.tflite").predict(IMAGES)
    assert np.abs(after - before).max() < 0.05
    assert np.abs(before).max() > 0.5


@pytest.mark.parametrize("filters", [slice(0, 3), slice(None)])
def test_filters_of_zeros_give_their_bias(filters, tmp_path):
    model = _network()
    kernel, bias = model.layers[2].get_weights()
    kernel[..., filters], bias[:] = 0, 0.5
    model.layers[2].set_weights([kernel, bias])
    path = _export(model, tmp_path / "m.tflite").path
    before = LiteRTModel(path).predict(IMAGES)
    path.write_bytes(integer_pixels.with_integer_pixels(path.read_bytes()))
    assert np.abs(LiteRTModel(path).predict(IMAGES) - before).max() < 0.05


def test_an_odd_row_and_colours_are_left_alone(tmp_path):
    odd = _export(_network((3, 2), "valid"), tmp_path / "odd.tflite").path.read_bytes()
    assert integer_pixels.with_integer_pixels(odd) is odd
    colour = _export(_network(), tmp_path / "c.tflite", app_input=(10, 12, 3), measure=True)
    assert (colour.choice.first_convolution, colour.choice.int8) == ("float32", None)
    assert "for gray images" in str(colour.choice)


@pytest.mark.parametrize(("least", "dtype"), [(-9.0, "int8"), (1.0, "float32")])
def test_the_faster_one_is_written_and_told(least, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "LEAST_GAIN", least)
    report = _export(_network(), tmp_path / "m.tflite", measure=True)
    assert _first_convolution(report.path).inputs[0].dtype == dtype
    choice = report.choice
    assert choice.first_convolution == dtype and min(choice.float32, choice.int8) > 0
    assert f"is {dtype}" in str(choice) and f"{choice.int8:.3g} ms" in str(choice)


def test_a_hundredfold_gain_is_seen(tmp_path):
    path = tmp_path / "m.tflite"
    content = _export(_network(), path).path.read_bytes()
    slow = keras.Sequential([keras.Input((64, 64, 3)), layers.Conv2D(64, 5)])
    exporters.export(slow, tmp_path / "slow.tflite", "float32")
    models = [LiteRTModel(tmp_path / "slow.tflite"), LiteRTModel(path)]
    before, after = measuring.timing.medians([model.compute for model in models], 0.2)
    assert before > 10 * after > 0
    assert path.read_bytes() == content


@pytest.mark.parametrize("settings", [{"io": "float"}, {"io": "int8"}, {"format": "dynamic"}])
def test_measuring_without_a_choice_is_refused(settings, tmp_path):
    how = {"format": "int8", "io": "app", **settings}
    with pytest.raises(ExportError, match="int8 files that take pixels.*Received"):
        exporters.export(_network(), tmp_path / "m.tflite", samples=IMAGES, measure=True, **how)
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("few_faces")
def test_the_command_says_it_and_the_card_holds_it(tmp_path, capsys):
    keras.utils.set_random_seed(0)
    image = keras.Input((48, 48, 3))
    x = layers.Rescaling(1 / 127.5, -1)(image)
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    model = keras.Model(image, layers.Dense(7)(x))
    model.save(tmp_path / "m.keras")
    given = ["--data", "faces", "--format", "int8", "--min-agreement", "0.1", "--range", "0,255"]
    source, bundle = str(tmp_path / "m.keras"), tmp_path / "bundle"
    given += ["--app-input", "48x48x1", "--measure"]
    table = tmp_path / "errors.csv"
    more = ["--layer-errors", str(table), "--bundle", "--out", str(bundle)]
    assert called("export", source, *given, *more) == 0
    said = capsys.readouterr().out
    card = (bundle / "README.md").read_text()
    assert "on one thread of the machine that made it" in said
    assert "- Measured: its first convolution is " in card
    _same_recall(card, bundle / "model.tflite")
    _worst_first(table, said, {layer.name for layer in model.layers})
    assert called("export", source, *given) == 2
    assert "io='app'" in capsys.readouterr().err


def _same_recall(card: str, path: Path) -> None:
    """The card's recall of each class is that of the file on the test images, counted here."""
    test = datasets.load("faces", "test", size=48)
    file = LiteRTModel(path)
    found = file.predict(fitted(test.images, file.input_shape)).argmax(axis=1)
    for number, name in enumerate(test.class_names):
        shown = found[test.hard_labels == number]
        assert f"| {name} | {100 * np.mean(shown == number):.1f} % |" in card


def _worst_first(table: Path, said: str, layers: set[str]) -> None:
    frame = pd.read_csv(table)
    assert list(frame.columns) == ["layer", "operator", "error"]
    assert frame["error"].is_monotonic_decreasing and frame["error"].min() >= 0
    told = [set(name.split(" + ")) for name in frame["layer"]]
    assert all(names <= layers | {"the input's preparation"} for names in told)
    assert f"Rounding adds most in {frame['layer'][0]} ({frame['operator'][0]})" in said
    with Image.open(table.with_suffix(".png")) as picture:
        assert picture.format == "PNG" and picture.width > picture.height / 3


@pytest.mark.parametrize(
    "given, told",
    [
        (["--format", "float16", "--data", "faces"], "dynamic, int16x8, int8.*format float16"),
        (["--format", "dynamic"], "give --data.*data None"),
    ],
)
def test_layer_errors_need_a_file_that_rounds_and_images(given, told, tmp_path, capsys):
    _network().save(tmp_path / "m.keras")
    where = ["--layer-errors", str(tmp_path / "e.csv")]
    assert called("export", str(tmp_path / "m.keras"), *given, *where) == 2
    assert re.search(told, " ".join(capsys.readouterr().err.split()))
    assert [path.name for path in tmp_path.iterdir()] == ["m.keras"]
