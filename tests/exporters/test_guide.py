"""The embedding guide: its worked input is run as an app would, and its Python code as it
stands.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from command_line import called
from drawn_film import colour_model

from keras_kd import export
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.exporters import _guide_code, guide


@pytest.fixture(scope="module", params=["plain", "values", "app"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return colour_model(folder, with_values=request.param == "values", app=request.param == "app")


def _worked(size):
    """The formula of the text, byte by byte."""
    return [(i * 37 + i // 64 * 11) % 256 for i in range(size)]


def test_the_worked_input_gives_what_the_guide_says_by_position_and_name(model):
    found = guide.facts(model)
    interpreter = Interpreter(str(model))
    interpreter.allocate_tensors()
    image = np.array(_worked(int(np.prod(found.shape))), found.dtype).reshape(1, *found.shape)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    outputs = [
        interpreter.get_tensor(tensor["index"])[0] for tensor in interpreter.get_output_details()
    ]
    # Swift, Dart and C know outputs by their position.
    for expected, values in zip(found.example.values(), outputs, strict=True):
        np.testing.assert_allclose(values, expected, atol=1e-4)
    if found.dtype == "float32":
        means = image[0].mean(axis=(0, 1)) / 25.5
        np.testing.assert_allclose(
            next(v for v in found.example.values() if len(v) == 3), means, atol=1e-3
        )


def test_a_file_that_goes_on_from_the_image_before_is_reset_before_each(model):
    found = guide.facts(model)
    resets = {
        "interpreter.reset_all_variables()": "interpreter.invoke()",
        "TfLiteInterpreterResetVariableTensors(interpreter)": "TfLiteInterpreterInvoke(",
        " interpreter.resetVariableTensors()": "interpreter.runForMultipleInputsOutputs(",
    }
    plain, text = guide.guide(found), guide.guide(replace(found, keeps_state=True))
    assert not found.keeps_state
    for reset, run in resets.items():
        assert reset not in plain
        assert text.index(reset) < text.index(run)
    # Swift, the web, React Native, Kotlin's CompiledModel, and Dart, where resetVariableTensors of
    # tflite_flutter 0.12.1 throws unless the interpreter is closed.
    advice = "new Model for each image: this class can't be reset"
    assert text.count(advice) == 5 and advice not in plain
    assert "_interpreter.resetVariableTensors" not in text
    assert "Reset the interpreter, because" in text


def test_the_guide_names_the_files_real_tensors(model, capsys):
    assert called("guide", str(model)) == 0
    text, found = capsys.readouterr().out, guide.facts(model)
    height, width, channels = found.shape
    assert f"1 × {height} × {width} × {channels}" in text and "0 r, 1 g, 2 b" in text
    for name in found.outputs:
        assert text.count(name) >= 6
    for language in ("kotlin", "swift", "dart", "c", "typescript", "python"):
        assert f"```{language}\n" in text
    assert json.loads(re.search(r"```json\n(.*)\n```", text)[1]) == found.example
    assert text.count(f"HEIGHT = {height}") >= 3
    assert ("The probabilities sum to 1.000" in text) is (found.output == "probabilities")


def test_the_guides_python_runs_and_can_fail(model, tmp_path):
    found = guide.facts(model)
    code = _guide_code.program(found, "check.python")
    wrong = code.replace(
        json.dumps(found.example), json.dumps({name: [9.0] for name in found.example})
    )
    for text, right in ((code, True), (wrong, False)):
        (tmp_path / "check.py").write_text(text)
        done = subprocess.run(
            [sys.executable, str(tmp_path / "check.py")],
            cwd=model.parent,
            capture_output=True,
            text=True,
            env=os.environ,
        )
        assert (done.returncode == 0) is right, done.stderr


CAFFE = PixelValues(mean=(103.939, 116.779, 123.68), std=(1.0, 2.0, 4.0), channel_order="bgr")


@pytest.fixture(scope="module")
def caffe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Means of the three channels, of a model for B, G, R less their means over deviations."""
    image = keras.Input((6, 7, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    path = tmp_path_factory.mktemp("caffe") / "caffe.tflite"
    export(model, path, "float32", class_names=("cat", "dog", "owl"), value_range=CAFFE)
    return path


def test_mean_deviation_and_channel_order_are_obeyed(
    caffe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = guide.facts(caffe)
    image = np.array(_worked(6 * 7 * 3)).reshape(6, 7, 3)[..., ::-1].mean(axis=(0, 1))
    expected = (image - [103.939, 116.779, 123.68]) / [1, 2, 4]
    np.testing.assert_allclose(next(iter(found.example.values())), expected, atol=1e-3)
    assert called("guide", str(caffe)) == 0
    text = capsys.readouterr().out
    levels = "B -103.939 + pixel · 1, G -58.3895 + pixel · 0.5, R -30.92 + pixel · 0.25"
    assert f"BGR; {levels}" in text
    assert not re.search(r"\b[Ff]ace", text) and "assumed" not in text
    assert "OFFSET[] = {-103.939" in text and "order = intArrayOf(2, 1, 0)" in text
    (tmp_path / "check.py").write_text(_guide_code.program(found, "check.python"))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "check.py")], cwd=caffe.parent, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_the_python_of_a_file_without_a_signature_runs(tmp_path: Path) -> None:
    import tensorflow as tf

    taken = tf.TensorSpec((1, 6, 7, 3), tf.float32, name="serving_default_x")
    function = tf.function(lambda x: tf.reduce_mean(x, [1, 2])).get_concrete_function(taken)
    path = tmp_path / "foreign.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())
    found = guide.facts(path)
    means = np.array(_worked(6 * 7 * 3)).reshape(6, 7, 3).mean(axis=(0, 1))
    np.testing.assert_allclose(next(iter(found.example.values())), means, atol=1e-3)
    (tmp_path / "check.py").write_text(_guide_code.program(found, "check.python"))
    done = subprocess.run(
        [sys.executable, str(tmp_path / "check.py")], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_pixels_that_the_file_does_not_state_are_called_assumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = keras.Input((6, 7, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    export(model, tmp_path / "m.tflite", "float32")
    assert called("guide", str(tmp_path / "m.tflite")) == 0
    assert "0 to 255, which is assumed" in capsys.readouterr().out


def _of_bytes(path: Path, **options: object) -> Path:
    """A network that takes uint8, whose logits are the means of the file's three channels."""
    image = keras.Input((6, 7, 3), dtype="uint8")
    means = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1.0)(image))
    export(keras.Model(image, means), path, "float32", **options)
    return path


def test_bytes_in_the_order_bgr_have_a_guide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _of_bytes(tmp_path / "bgr.tflite")
    assert called("guide", str(path), "--channel-order", "bgr", "--output", "logits") == 0
    text = capsys.readouterr().out
    assert "| uint8 | 1 × 6 × 7 × 3 | BGR; 0 to 255" in text
    expected = json.loads(re.search(r"```json\n(.*)\n```", text)[1])
    means = np.array(_worked(6 * 7 * 3)).reshape(6, 7, 3)[..., ::-1].mean(axis=(0, 1))
    np.testing.assert_allclose(next(iter(expected.values())), means, atol=1e-3)


def test_bytes_of_another_scale_are_refused_with_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _of_bytes(tmp_path / "m.tflite")
    assert called("guide", str(path), "--range", "0,1") == 2
    assert "whole numbers" in capsys.readouterr().err
    images = np.random.default_rng(0).integers(0, 256, (8, 6, 7, 3), np.uint8)
    image = keras.Input((6, 7, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    export(model, tmp_path / "int8.tflite", "int8", images, "int8", min_agreement=0)
    assert called("guide", str(tmp_path / "int8.tflite")) == 2
    assert re.search(r"takes int8 whose numbers stand for .* to 25\d", capsys.readouterr().err)


def test_outputs_of_bytes_are_refused_because_programs_read_floats(tmp_path, capsys):
    image = keras.Input((6, 7, 3))
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    images = np.random.default_rng(0).integers(0, 256, (8, 1, 6, 7, 3)).astype(np.float32)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images)
    converter.inference_output_type = tf.uint8
    (tmp_path / "m.tflite").write_bytes(converter.convert())
    assert called("guide", str(tmp_path / "m.tflite"), "--output", "logits") == 2
    assert re.search(r"gives uint8 as .*outputs are float32", capsys.readouterr().err)


WORDS = ("default", "7 up", "a b", "a-b", "größe", "_x", "logits", "namespace")
LABELS = ("class", "3d", 'a "b"', "back\\slash", "größe", "$x ${y}", "*/ end", "日本")


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory):
    found = guide.facts(colour_model(tmp_path_factory.mktemp("named")))
    outputs = dict.fromkeys(WORDS, 1)
    example = {word: [0.5] for word in WORDS}
    return replace(found, outputs=outputs, example=example, class_names=LABELS)


def test_outputs_of_any_name_become_different_members_in_c(oddly_named):
    program = _guide_code.program(oddly_named, "model.c")
    members = re.search(r"float ([^;]*);", program[program.index("typedef struct") :])[1].split(
        ", "
    )
    names = [member.removesuffix("[1]") for member in members]
    assert len(set(names)) == len(WORDS) and "logits" in names
    assert all(re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) for name in names)
    assert not {"default", "namespace"} & set(names)
    assert all(f"outputs->{name}, sizeof" in program for name in names)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_labels_of_any_name_are_strings_in_c(oddly_named, tmp_path):
    program = _guide_code.program(oddly_named, "model.c")
    labels = re.search(r"^static const char \*const LABELS.*$", program, re.MULTILINE)[0]
    body = f"int main(void) {{ for (int i = 0; i < {len(LABELS)}; i++) puts(LABELS[i]); }}"
    (tmp_path / "labels.c").write_text(f"#include <stdio.h>\n{labels}\n{body}\n", "utf-8")
    options = ["-std=c99", "-Wall", "-Werror", "-pedantic"]
    subprocess.run(["cc", *options, tmp_path / "labels.c", "-o", tmp_path / "labels"], check=True)
    done = subprocess.run([tmp_path / "labels"], capture_output=True, text=True)
    assert tuple(done.stdout.splitlines()) == LABELS


def test_files_that_apps_can_not_embed_are_refused(tmp_path, capsys):
    assert called("guide", str(tmp_path / "a.keras")) == 2
    assert "--bundle" in capsys.readouterr().err
