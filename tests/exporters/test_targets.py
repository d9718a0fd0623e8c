"""Files for a place to run: what is chosen, what is proven, and which operators refuse them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import keras_kd
from keras_kd.errors import ConfigError, ExportError
from keras_kd.exporters import bundle, targets
from keras_kd.pipelines import export as pipeline
from keras_kd.pipelines.export_settings import QAT, TUNED, ExportSettings, resolved
from keras_kd.runtimes import micro, operator_support, tflite_graph, tflite_operators
from keras_kd.runtimes.litert import LiteRTModel

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 12, 12, 1), np.uint8)
CLASSES = ("one", "two", "three")


def _network(activation="relu"):
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 1))
    x = layers.Conv2D(8, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.Conv2D(8, 1, strides=2, activation=activation)(x)
    return keras.Model(image, layers.Dense(3)(layers.Flatten()(x)))


@pytest.fixture(scope="module")
def model():
    return _network()


def _exported(model, path, target, **settings):
    return keras_kd.export(
        model, path, samples=IMAGES, target=target, app_input=(12, 12, 1), min_agreement=0.5,
        class_names=CLASSES, **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "format", "dtype"),
    [
        ("phone", "int8", np.uint8),
        ("web", "int8", np.uint8),
        ("gpu", "float16", np.float32),
        ("npu", "int8", np.int8),
        ("microcontroller", "int8", np.int8),
        ("any", "float32", np.float32),
    ],
)
def test_a_target_chooses_format_and_input_and_says_what_it_proved(
    target, format, dtype, model, tmp_path
):
    report = _exported(model, tmp_path / "m.tflite", target)
    file = LiteRTModel(report.path)
    assert (report.format, file.input_dtype) == (format, dtype)
    assert str(sum(tflite_operators.counts(report.path).values())) in report.proof[0]
    types = {one.dtype for operator in tflite_graph.read(report.path) for one in operator.outputs}
    assert types == {"int8"} or dtype != np.int8
    assert set(targets.summaries()) == set(targets.TARGETS)


def test_int16_activations_are_for_chips_of_integers_and_not_for_gpus(model, tmp_path):
    path = tmp_path / "m.tflite"
    report = _exported(model, path, "npu", format="int16x8")
    file = LiteRTModel(path)
    types = {one.dtype for operator in tflite_graph.read(path) for one in operator.outputs}
    assert types == {"int16"} and file.input_dtype == np.int16 and report.proof
    for target in ("gpu", "web"):
        with pytest.raises(ExportError, match=f"the target {target}.*int16"):
            _exported(model, path, target, format="int16x8")


@pytest.mark.parametrize("target", ["phone", "web"])
def test_without_samples_the_weights_alone_are_rounded(target, model, tmp_path):
    path = tmp_path / "m.tflite"
    report = keras_kd.export(model, path, target=target, app_input=(12, 12, 1))
    assert report.format == "dynamic"


@pytest.mark.parametrize(
    ("target", "settings", "named"),
    [
        ("npu", {"io": "app"}, ("CAST", "QUANTIZE", "float32")),
        ("npu", {"format": "float32", "io": "float"}, ("x CONV_2D", "float32")),
        ("microcontroller", {"format": "dynamic", "io": "float"}, ("CONV_2D", "float32")),
        ("gpu", {"format": "int8", "io": "float"}, ("CONV_2D", "int8")),
        ("gpu", {"io": "app"}, ("CAST", "uint8")),
        ("any", {"format": "float16"}, ("DEQUANTIZE", "float16")),
    ],
)
def test_operators_in_the_way_are_named_and_no_file_is_left(
    target, settings, named, model, tmp_path
):
    with pytest.raises(ExportError) as refusal:
        _exported(model, tmp_path / "m.tflite", target, **settings)
    assert all(word in str(refusal.value) for word in (target, *named))
    assert not list(tmp_path.iterdir())


def test_pixels_that_are_resized_inside_are_wrong_on_webgpu(model, tmp_path):
    with pytest.raises(ExportError, match=r"(?s)web.*MUL.*whole numbers.*--app-input"):
        keras_kd.export(model, tmp_path / "m.tflite", target="web", app_input=(20, 20, 3))


def test_a_layer_of_newer_operators_is_refused_by_name(tmp_path):
    gelu = _network("gelu")
    with pytest.raises(ExportError, match=r"GELU.*2\.9"):
        _exported(gelu, tmp_path / "m.tflite", "phone")
    with pytest.raises(ExportError, match=r"GELU.*microcontrollers"):
        _exported(gelu, tmp_path / "m.tflite", "microcontroller")
    assert _exported(gelu, tmp_path / "m.tflite", "gpu").format == "float16"


def test_integers_need_images_and_unknown_targets_are_refused(model, tmp_path):
    with pytest.raises(ExportError, match="samples"):
        keras_kd.export(model, tmp_path / "m.tflite", target="npu")
    with pytest.raises(ExportError, match=r"'fridge'.*phone"):
        keras_kd.export(model, tmp_path / "m.tflite", target="fridge")
    with pytest.raises(ExportError, match=r"target gpu.*\.tflite.*onnx"):
        keras_kd.export(model, tmp_path / "m.onnx", "onnx", target="gpu")


@pytest.mark.parametrize("format", [QAT, TUNED])
def test_ways_that_choose_the_format_take_no_target(format):
    with pytest.raises(ConfigError, match="--target"):
        resolved(ExportSettings(format, "data", target="npu"))


def test_a_bundle_for_integers_says_how_pixels_are_written(model, tmp_path):
    report = bundle.export_bundle(
        model, tmp_path, CLASSES, IMAGES, IMAGES[0], app_input=(12, 12, 1), target="npu"
    )
    given = json.loads((tmp_path / bundle.PREPROCESSING_FILE).read_text())["input"]
    file = LiteRTModel(tmp_path / bundle.MODEL_FILE)
    assert given["dtype"] == "int8" and given["shape"] == [1, 12, 12, 1]
    scale, zero = given["quantization"]["scale"], given["quantization"]["zero_point"]
    pixels = np.arange(144).reshape(1, 12, 12, 1).astype(np.float32)
    written = np.clip(np.round(pixels / scale) + zero, -128, 127)
    np.testing.assert_array_equal(file.as_input(pixels), written)
    card = (tmp_path / bundle.CARD_FILE).read_text()
    assert report.proof[0] in card and f"+ {zero}" in card
    example = json.loads((tmp_path / bundle.EXAMPLE_FILE).read_text())
    found = file.predict(IMAGES[:1].astype(np.float32))[0]
    assert list(example["logits"].values()) == pytest.approx(found.tolist(), abs=1e-5)


def test_the_command_line_s_way_writes_the_target_s_file(model, tmp_path):
    path = tmp_path / "m.keras"
    model.save(path)
    result = pipeline.export(path, ExportSettings(target="any"), tmp_path / "m.tflite")
    assert result["format"] == "float32" and "microcontrollers" in result["proof"][0]


def test_the_lists_name_operators_of_the_schema_and_their_sources():
    known = set(vars(tflite_graph.schema.BuiltinOperator))
    table = operator_support.TABLE.read_text("utf-8")
    words = {word.strip('" ,') for line in table.splitlines() if line.startswith("  ")
             for word in line.split(",")} - {""}  # fmt: skip
    assert words and words <= known
    assert table.count('source = "https://github.com/') == 3


@pytest.mark.runtimes
def test_microcontrollers_run_it_and_the_arena_is_measured(model, tmp_path, monkeypatch):
    root = Path(__file__).parents[2] / "build" / "runtimes"
    found = next(root.glob("tflite-micro*/lib/python3.11/site-packages/tflite_micro"), None)
    if found is None:
        pytest.skip("tflite-micro is not installed; `make runtimes` does it")
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "tflite_micro").symlink_to(found)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.syspath_prepend(str(tmp_path / "packages"))
    report = _exported(model, tmp_path / "m.tflite", "microcontroller")
    needed = micro.arena(report.path)
    assert f"{needed:,} bytes" in report.proof[1]
    # At least the largest tensor that is computed, at most a hundred times that.
    assert 10 * 10 * 8 < needed < 100 * 10 * 10 * 8
    shutil.copy(report.path, tmp_path / "copy.tflite")
    assert micro.arena(tmp_path / "copy.tflite") == needed
