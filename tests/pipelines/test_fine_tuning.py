"""Trainings that start from a trained model, as a user runs them."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest
import striped_images
from small_network import NETWORK, network

from keras_kd.config import Config
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import keras_file
from keras_kd.models.form import ModelSpec
from keras_kd.pipelines import distill, teach

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
# So little that nothing changes beyond rounding.
STILL = {"learning_rate": 1e-12, "weight_decay": 0.0, "conv_dropout": 0.0, "dense_dropout": 0.0}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return striped_images.draw(tmp_path_factory.mktemp("stripes"))


def _saved(path, classes, shape=(32, 32, 1)):
    keras.utils.set_random_seed(1)
    model = network(len(classes), shape)
    keras_file.save(model, path, ModelSpec(classes, input_shape=shape))
    return model


def _config(data, start, **options):
    fixed = {"image_size": 32, "batch_size": 8, "precision": "float32", "augment": "none"}
    return Config(
        data=str(data), teacher=NETWORK, teacher_epochs=1, start_from=str(start), **fixed, **options
    )


def _taught(config, folder, monkeypatch):
    monkeypatch.setenv("KERAKD_CACHE", str(folder / "cache"))
    return keras_file.load(teach.teach(config, folder / "out"))


def test_a_teacher_of_other_classes_keeps_its_body_up_to_the_frozen_layer(
    data, tmp_path, monkeypatch
):
    source = _saved(tmp_path / "start.keras", ("a", "b", "c"))
    config = _config(
        data, tmp_path / "start.keras", freeze_until="relu8", head_rate=0.1, body_rate=0.01
    )
    model, form = _taught(config, tmp_path, monkeypatch)
    assert form.class_names == ("level", "upright") and model.output_shape == (None, 2)
    same = {
        name: np.array_equal(source.get_layer(name).kernel, model.get_layer(name).kernel)
        for name in ("conv8", "conv16")
    }
    assert same == {"conv8": True, "conv16": False}
    # The file can be trained further as a whole.
    assert all(layer.trainable for layer in model.layers)


def test_with_the_datas_classes_the_head_is_kept_too(data, tmp_path, monkeypatch):
    source = _saved(tmp_path / "start.keras", ("level", "upright"))
    model, _ = _taught(_config(data, tmp_path / "start.keras", **STILL), tmp_path, monkeypatch)
    expected = np.asarray(source(IMAGES))
    assert np.ptp(expected) > 0.1
    # After a step of training each batch has moved the statistics a little.
    np.testing.assert_allclose(model(IMAGES), expected, atol=0.2 * np.ptp(expected))
    kernels = [one.get_layer("logits").kernel for one in (model, source)]
    np.testing.assert_allclose(*kernels, atol=1e-6)


def test_a_student_starts_from_a_file_and_its_teacher_does_not(data, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    source = _saved(tmp_path / "start.keras", ("a", "b", "c"))
    config = _config(data, tmp_path / "start.keras", freeze_until="relu8")
    options = {"student": NETWORK, "epochs": 1, "formats": "float32", "views": 1}
    distill.distill(
        Config(
            **{**{name: getattr(config, name) for name in config.__dataclass_fields__}, **options}
        ),
        tmp_path / "run",
    )
    student, _ = keras_file.load(tmp_path / "run" / "student.keras")
    np.testing.assert_array_equal(
        student.get_layer("conv8").kernel, source.get_layer("conv8").kernel
    )
    (teacher,) = (tmp_path / "cache" / "teachers").glob("*/teacher.keras")
    kernel = keras_file.load(teacher)[0].get_layer("conv8").kernel
    assert not np.array_equal(kernel, source.get_layer("conv8").kernel)


def test_a_student_that_can_not_start_is_refused_before_the_teacher_labels_images(
    data, tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    _saved(tmp_path / "start.keras", ("level", "upright"))
    config = _config(data, tmp_path / "start.keras")
    with pytest.raises(ModelError, match="can't start from .*other shapes: conv1"):
        distill.distill(dataclasses.replace(config, student="C"), tmp_path / "run")
    assert not list(tmp_path.rglob("*.npy"))


def test_a_foreign_file_is_trained_by_its_own_layers(data, tmp_path, monkeypatch):
    image = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(4, 3, activation="relu", name="first")(image)
    features = keras.layers.GlobalAveragePooling2D()(maps)
    foreign = keras.Model(image, keras.layers.Dense(5, activation="softmax")(features))
    foreign.save(tmp_path / "mine.keras")
    options = {"image_size": 32, "batch_size": 8, "teacher_epochs": 1, "freeze_until": "first"}
    config = Config(data=str(data), start_from=str(tmp_path / "mine.keras"), **options)
    model, form = _taught(config, tmp_path, monkeypatch)
    assert form.class_names == ("level", "upright") and model.output_shape == (None, 2)
    assert list((tmp_path / "cache" / "teachers").glob("mine-*/teacher.keras"))
    np.testing.assert_array_equal(
        model.get_layer("first").kernel, foreign.get_layer("first").kernel
    )


def test_validation_accuracy_is_the_models_with_smoothed_labels_too(data, tmp_path):
    options = {"image_size": 32, "batch_size": 8, "epochs": 1, "formats": "float32"}
    config = Config(data=str(data), student=NETWORK, beta=0.0, label_smoothing=0.2, **options)
    results = distill.distill(config, tmp_path / "run")
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["val_accuracy"].iloc[-1] == pytest.approx(results["validation"]["accuracy"])


def test_what_can_not_start_is_told(data, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    with pytest.raises(ModelError, match="No model at .*none.keras to start from"):
        teach.teach(_config(data, tmp_path / "none.keras"))
    with pytest.raises(ConfigError, match="freeze_until='relu8' would freeze .* start_from"):
        Config(freeze_until="relu8")
    _saved(tmp_path / "start.keras", ("a", "b"))
    config = _config(data, tmp_path / "start.keras", freeze_until="rellu8")
    with pytest.raises(ModelError, match="has no layer 'rellu8': did you mean relu8"):
        teach.teach(config)
