"""The app's folder: read as an app would, by plain LiteRT, zip and, where installed, MediaPipe."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter
from flatbuffers import encode, number_types
from flatbuffers.table import Table
from keras import layers
from PIL import Image

from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ConfigError, DataError, ExportError, OutputError
from keras_kd.exporters.bundle import export_bundle, write
from keras_kd.runtimes.litert import LiteRTModel

CLASSES = ("fröhlich", "sad", "neutral")


@pytest.fixture(
    scope="module", params=[(10, 10, 1), (16, 12, 3), (16, 16, 3)], ids=["gray", "RGB", "same"]
)
def bundle(request, tmp_path_factory):
    keras.utils.set_random_seed(1)
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(6, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)), name="tiny")
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    example = np.random.default_rng(2).integers(0, 256, (40, 30, 3), np.uint8)
    report = export_bundle(
        model,
        folder,
        CLASSES,
        None,
        example,
        app_input=request.param,
        description="Three faces.",
        version="2.0.1",
    )
    return model, folder, report


def test_the_folder_is_complete(bundle):
    _, folder, report = bundle
    assert {file.name for file in folder.iterdir()} == {
        "model.tflite",
        "labels.txt",
        "preprocess.json",
        "example.png",
        "example.json",
        "README.md",
    }
    card = (folder / "README.md").read_text("utf-8")
    assert "fröhlich, sad, neutral" in card and "not scored" in card
    assert report.path == folder / "model.tflite" and report.bytes == report.path.stat().st_size
    assert (folder / "labels.txt").read_text("utf-8").splitlines() == list(CLASSES)


def test_an_older_bundle_stays_whole_where_a_file_cannot_be_written(bundle, tmp_path):
    model, folder, _ = bundle
    older = shutil.copytree(folder, tmp_path / "older")
    (older / "example.json").unlink()
    (older / "example.json" / "folder").mkdir(parents=True)
    contents = {file: file.read_bytes() for file in older.iterdir() if file.is_file()}
    example = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(OutputError, match=r"example\.json"):
        export_bundle(model, older, CLASSES, None, example, version="3.0.0")
    assert {file: file.read_bytes() for file in older.iterdir() if file.is_file()} == contents


def test_the_card_can_be_filed(bundle):
    """Version and date, the file's own digest, where it is right, and what an app must give."""
    _, folder, _ = bundle
    card = (folder / "README.md").read_text("utf-8")
    digest = hashlib.sha256((folder / "model.tflite").read_bytes()).hexdigest()
    assert digest in card and f"Version 2.0.1, made on {datetime.date.today():%d %B %Y}" in card
    example = json.loads((folder / "example.json").read_text("utf-8"))
    assert f"± {example['tolerance']:g}" in card and 0 < example["tolerance"] < 0.02
    assert "Runs right on: LiteRT 1.0 and TensorFlow Lite 2." in card


SHIPPED = sorted((Path(__file__).parents[2] / "exports").glob("*/model.tflite"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_shipped_cards_have_what_an_app_team_files(path):
    card = path.with_name("README.md").read_text("utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in card
    assert "- Runs right on: " in card and "\n- Run on " in card
    assert re.search(r"- Version \d+\.\d+\.\d+, made on \d+ \w+ \d{4}\.", card)
    labels = path.with_name("labels.txt").read_text("utf-8").splitlines()
    assert all(re.search(rf"\| {label} \| \d+\.\d % \|", card) for label in labels)


def test_the_version_stands_in_the_metadata(bundle):
    _, folder, _ = bundle
    data = (folder / "model.tflite").read_bytes()
    model = schema.Model.GetRootAs(data, 0)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    buffer = next(one.Buffer() for one in entries if one.Name() == b"TFLITE_METADATA")
    content = model.Buffers(buffer).DataAsNumpy().tobytes()
    root = Table(content, encode.Get(number_types.UOffsetTFlags.packer_type, content, 0))
    version = root.String(root.Pos + number_types.UOffsetTFlags.py_type(root.Offset(4 + 2 * 2)))
    assert version == b"2.0.1"
    oldest = next(one.Buffer() for one in entries if one.Name() == b"min_runtime_version")
    assert model.Buffers(oldest).DataAsNumpy().tobytes().rstrip(b"\0") == b"2.8.0"


@pytest.mark.skipif(shutil.which("minisign") is None, reason="minisign is not installed")
def test_a_signed_model_is_verified_as_the_docs_say(bundle, tmp_path):
    model, keys = tmp_path / "model.tflite", ["-p", tmp_path / "minisign.pub"]
    shutil.copyfile(bundle[1] / "model.tflite", model)
    secret = ["-s", tmp_path / "minisign.key"]
    subprocess.run(["minisign", "-G", "-W", *keys, *secret], check=True, capture_output=True)
    subprocess.run(["minisign", "-Sm", model, *secret], check=True, capture_output=True)
    assert subprocess.run(["minisign", "-Vm", model, *keys], capture_output=True).returncode == 0
    assert LiteRTModel(model).input_dtype == np.uint8
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    assert subprocess.run(["minisign", "-Vm", model, *keys], capture_output=True).returncode == 1


@pytest.mark.parametrize("version", ["2", "1.2", "v1.2.3", "1.02.3", "1.2.3\n"])
def test_versions_that_are_none_are_refused(bundle, tmp_path, version):
    model, _, _ = bundle
    with pytest.raises(ConfigError, match=r"three numbers, as 1\.2\.3"):
        write(model, tmp_path, CLASSES, np.zeros((4, 4, 3), np.uint8), None,
              version=version)  # fmt: skip


def test_mean_deviation_and_channel_order_stand_in_the_bundle_and_are_obeyed(tmp_path):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(image)))
    caffe = PixelValues(mean=(100.0, 110.0, 120.0), std=(10.0, 20.0, 40.0), channel_order="bgr")
    example = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    export_bundle(model, tmp_path, CLASSES, None, example, "float32", (8, 8, 3), value_range=caffe)
    preprocess = json.loads((tmp_path / "preprocess.json").read_text("utf-8"))
    assert preprocess["normalisation"] == {
        "value_range": [0, 255],
        "mean": [100, 110, 120],
        "std": [10, 20, 40],
        "channel_order": "bgr",
    }
    said = "normalisation (--range 0,255 --mean 100,110,120 --std 10,20,40 --channel-order bgr)"
    assert preprocess["inside_the_file"] == [said, "softmax"]
    assert said in (tmp_path / "README.md").read_text("utf-8")
    values = (example[..., ::-1].mean(axis=(0, 1)) - [100, 110, 120]) / [10, 20, 40]
    found = json.loads((tmp_path / "example.json").read_text("utf-8"))["probabilities"]
    expected = np.exp(values) / np.exp(values).sum()
    np.testing.assert_allclose(list(found.values()), expected, atol=1e-4)


def test_the_worked_example_works(bundle):
    model, folder, _ = bundle
    preprocess = json.loads((folder / "preprocess.json").read_text("utf-8"))
    example = json.loads((folder / "example.json").read_text("utf-8"))
    resized, coloured = ["resize to 16x16, bilinear, exactly as Pillow"], ["gray to RGB"]
    steps = {(10, 10, 1): resized + coloured, (16, 12, 3): resized, (16, 16, 3): []}
    own = steps[tuple(preprocess["input"]["shape"][1:])]
    assert preprocess["inside_the_file"] == [*own, "normalisation", "softmax"]
    pixels = np.asarray(Image.open(folder / "example.png")).reshape(preprocess["input"]["shape"])
    interpreter = Interpreter(str(folder / "model.tflite"))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
    np.testing.assert_allclose(
        found, [example["probabilities"][name] for name in CLASSES], atol=1e-5
    )
    picture = (
        Image.open(folder / "example.png")
        .convert("RGB")
        .resize((16, 16), Image.Resampling.BILINEAR)
    )
    expected = keras.ops.softmax(model(np.asarray(picture, np.float32)[None]))[0]
    np.testing.assert_allclose(found, expected, atol=example["tolerance"])


def test_compiled_model_gives_the_same(bundle):
    _, folder, _ = bundle
    example = json.loads((folder / "example.json").read_text("utf-8"))
    compiled = CompiledModel.from_file(str(folder / "model.tflite"))
    inputs, outputs = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    inputs[0].write(np.ascontiguousarray(Image.open(folder / "example.png")))
    compiled.run_by_index(0, inputs, outputs)
    found = outputs[0].read(3, np.float32)
    np.testing.assert_allclose(found, list(example["probabilities"].values()), atol=1e-5)


def test_labels_can_be_unzipped_from_the_model(bundle):
    _, folder, _ = bundle
    with zipfile.ZipFile(folder / "model.tflite") as archive:
        assert archive.namelist() == ["labels.txt", "keras_kd.json"]
        assert archive.read("labels.txt").decode() == "fröhlich\nsad\nneutral\n"


def test_mediapipe_reads_labels_and_description(bundle):
    pytest.importorskip("mediapipe", reason="mediapipe is not installed")
    from mediapipe import Image as MediaPipeImage
    from mediapipe import ImageFormat
    from mediapipe.tasks.python import vision

    _, folder, _ = bundle
    if Image.open(folder / "example.png").mode == "L":
        pytest.skip("MediaPipe's ImageClassifier takes three channels")
    example = json.loads((folder / "example.json").read_text("utf-8"))
    pixels = np.ascontiguousarray(Image.open(folder / "example.png"))
    with vision.ImageClassifier.create_from_model_path(str(folder / "model.tflite")) as classifier:
        result = classifier.classify(MediaPipeImage(image_format=ImageFormat.SRGB, data=pixels))
    found = {
        category.category_name: category.score for category in result.classifications[0].categories
    }
    assert found == pytest.approx(example["probabilities"], abs=0.02)


def test_a_bundles_file_is_not_tried_again_and_another_one_is(tmp_path, monkeypatch):
    # A bundle of its own: what another test has opened would not be tried again either.
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, layers.Dense(3)(layers.Flatten()(image)))
    export_bundle(model, tmp_path, CLASSES, None, np.zeros((4, 4, 3), np.uint8))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    made = tmp_path / "model.tflite"
    assert LiteRTModel(made).input_dtype == np.uint8
    other = tmp_path / "other.tflite"
    other.write_bytes(made.read_bytes() + b"x")
    with pytest.raises(FileNotFoundError):
        LiteRTModel(other)


def test_bad_examples_and_labels_are_refused(bundle, tmp_path):
    model, _, _ = bundle
    with pytest.raises(DataError, match="uint8"):
        export_bundle(model, tmp_path, CLASSES, None, np.zeros((4, 4, 3), np.float32))
    with pytest.raises(ExportError, match="2 class names were given for the 3 outputs"):
        export_bundle(model, tmp_path, CLASSES[:2], None, np.zeros((4, 4, 3), np.uint8))
    assert not list(tmp_path.iterdir())
