"""Models in files together with what they take and give; nothing in a file is run."""

from __future__ import annotations

import json
import os
import re
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from keras_kd import models
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ModelError, OutputError
from keras_kd.models import fingerprints, keras_file, sources
from keras_kd.models.spec import ModelSpec
from keras_kd.models.surgery.compaction import compact
from keras_kd.runtimes import predictors

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8)
SPEC = ModelSpec(("böse", "froh", "müde"), PixelValues((-1.0, 1.0)), "probabilities", (8, 8, 1))


def _model(seed=0, shape=(8, 8, 1)):
    image = keras.Input(shape)
    x = layers.Conv2D(2, 3, kernel_initializer=keras.initializers.HeUniform(seed))(image)
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    return keras.Model(
        image, layers.Dense(3, kernel_initializer=keras.initializers.HeUniform(seed + 1))(x)
    )


def _rewritten(path, content):
    """The same archive with another `keras_kd.json`."""
    with zipfile.ZipFile(path) as archive:
        entries = {
            name: archive.read(name) for name in archive.namelist() if name != keras_file.ENTRY
        }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {
            **entries,
            **({} if content is None else {keras_file.ENTRY: content}),
        }.items():
            archive.writestr(name, data)


def test_model_and_form_come_back(tmp_path):
    model, path = _model(), tmp_path / "model.keras"
    keras_file.save(model, path, SPEC)
    loaded, spec = keras_file.load(path)
    assert spec == SPEC
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))
    assert fingerprints.of_weights(loaded) == fingerprints.of_weights(model)
    # Keras alone reads it too.
    np.testing.assert_array_equal(keras.models.load_model(path)(IMAGES), model(IMAGES))
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


def test_compact_models_come_back_without_being_asked(tmp_path):
    model = compact(models.build("C", input_shape=(16, 16, 1), seed=1))
    keras_file.save(model, tmp_path / "model.keras", ModelSpec())
    loaded, spec = keras_file.load(tmp_path / "model.keras")
    assert loaded.count_params() == model.count_params() and spec.input_shape == (16, 16, 1)


@pytest.mark.parametrize("content", [None, json.dumps(ModelSpec().facts())])
def test_foreign_files_have_the_usual_form_and_their_own_input(content, tmp_path):
    path = tmp_path / "model.keras"
    keras_file.save(_model(), path, SPEC)
    _rewritten(path, content)
    assert keras_file.load(path)[1] == ModelSpec(
        None, content and PixelValues(), "logits", (8, 8, 1)
    )


def test_an_open_input_size_stays_open(tmp_path):
    _model(shape=(None, None, 1)).save(tmp_path / "model.keras")
    assert keras_file.load(tmp_path / "model.keras")[1].input_shape is None


def test_what_is_given_beats_the_file():
    assert SPEC.with_given(None, None, None) == SPEC
    assert SPEC.with_given((4, 4, 3), PixelValues((0.0, 1.0)), "logits") == ModelSpec(
        SPEC.class_names, PixelValues((0.0, 1.0)), "logits", (4, 4, 3)
    )


@pytest.mark.parametrize("content", ["{", "[1]", "{}", '{"class_names": 3, "value_range": 1}'])
def test_a_damaged_form_is_refused(content, tmp_path):
    path = tmp_path / "model.keras"
    keras_file.save(_model(), path, SPEC)
    _rewritten(path, content)
    with pytest.raises(
        ModelError, match=r"holds a damaged keras_kd.json \(.*\): write the model again"
    ):
        keras_file.load(path)


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "model.txt"])
@pytest.mark.parametrize("content", ["", "no model", "half"])
def test_broken_files_are_refused_in_one_sentence(name, content, tmp_path):
    keras_file.save(_model(), tmp_path / "whole.keras", SPEC)
    whole = (tmp_path / "whole.keras").read_bytes()
    path = tmp_path / name
    path.write_bytes(whole[: len(whole) // 2] if content == "half" else content.encode())
    with pytest.raises(ModelError) as caught:
        keras_file.load(path)
    assert str(caught.value).startswith(f"{path} is cut short, damaged") and "\n" not in str(
        caught.value
    )


def test_a_missing_file_is_told(tmp_path):
    path = tmp_path / "none.keras"
    with pytest.raises(ModelError, match=rf"No model at {path}: check the path\.$"):
        keras_file.load(path)


def test_a_folder_that_holds_models_names_them(tmp_path):
    with pytest.raises(ModelError, match="is no SavedModel: .*; check the path"):
        keras_file.load(tmp_path)
    for name in ("student_int8.tflite", "student.keras", "metrics.json"):
        (tmp_path / name).touch()
    with pytest.raises(ModelError, match=r"lies in it \(student.keras\)"):
        keras_file.load(tmp_path)
    with pytest.raises(ModelError, match=r"lies in it \(student.keras, student_int8.tflite\)"):
        predictors.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("m.tflite", b"\x1c\0\0\0TFL3", r"m\.tflite is a \.tflite file, from which no Keras model"),
        ("m.keras", b"\x1c\0\0\0TFL3", r"m\.keras is a \.tflite file"),
        ("m.onnx", b"\x08\x07", r"m\.onnx is an \.onnx file, .* give the \.keras or \.h5 file"),
        ("m.pt", b"PK\x03\x04", r"m\.pt is PyTorch's: .*kerakd import"),
    ],
)
def test_a_model_of_another_kind_is_called_by_its_kind(name, content, words, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=words):
        keras_file.load(path)
    if name != "m.keras":
        with pytest.raises(ModelError, match=words):
            sources.require_known("student", str(path))
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    with pytest.raises(ModelError, match="saved is a SavedModel, from which no Keras model"):
        keras_file.load(folder)


def test_code_in_a_file_is_not_run(tmp_path):
    path, mark = tmp_path / "model.keras", str(tmp_path / "ran")
    image = keras.Input((8, 8, 1))
    x = layers.Lambda(lambda x: (open(mark, "w").close(), x)[1], output_shape=(8, 8, 1))(image)
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    model.save(path)
    model(IMAGES)
    os.remove(mark)
    with pytest.raises(ModelError) as caught:
        keras_file.load(path)
    assert "Lambda" in str(caught.value) and "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["model.keras"]


def test_layers_that_nobody_knows_are_refused(tmp_path):
    class Unknown(layers.Layer):
        def call(self, x):
            return x

    image = keras.Input((8, 8, 1))
    keras.Model(image, Unknown()(image)).save(tmp_path / "model.keras")
    with pytest.raises(ModelError) as caught:
        keras_file.load(tmp_path / "model.keras")
    assert re.search(
        r"its layer 'unknown.*' \(Unknown\) .*Unknown.*--trust-module", str(caught.value)
    )


def test_models_of_two_inputs_are_refused(tmp_path):
    images = [keras.Input((8, 8, 1)), keras.Input((8, 8, 1))]
    keras.Model(images, layers.GlobalAveragePooling2D()(layers.Add()(images))).save(
        tmp_path / "two.keras"
    )
    with pytest.raises(
        ModelError, match="two.keras has 2 inputs: only models of one image input can be used"
    ):
        keras_file.load(tmp_path / "two.keras")


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "model.keras"
    keras_file.save(_model(), path, SPEC)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        keras_file.save(_model(1), path, ModelSpec(class_names={"not": "json", object(): 1}))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.keras"]
    with pytest.raises(OutputError, match="part of the path is a file"):
        keras_file.save(_model(), path / "model.keras", SPEC)


def test_of_two_writers_of_a_model_one_wins_whole(tmp_path):
    """Found by two imports at the same moment: the loser published an archive without a model."""
    path, spec = tmp_path / "model.keras", keras_file.ModelSpec(("a", "b"))
    image = keras.Input((4, 4, 1))
    outputs = keras.layers.Dense(2)(keras.layers.Flatten()(image))

    class Disturbed(keras.Model):
        def save(self, filepath):
            super().save(filepath)
            keras_file.save(keras.Model(image, outputs), path, spec)

    with pytest.raises(OutputError, match="another process wrote it at the same time"):
        keras_file.save(Disturbed(image, outputs), path, spec)
    assert keras_file.load(path)[0].count_params() == 34 and list(tmp_path.iterdir()) == [path]
