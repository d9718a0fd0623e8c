"""Trainings that start from a trained model, as a user runs them."""

from __future__ import annotations

import dataclasses
import json

import keras
import numpy as np
import pandas as pd
import pytest
import striped_images
from small_network import NETWORK, network

from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import splits
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines import distill, plan, teach
from keras_kd.runtimes.predictors import KerasPredictor
from keras_kd.teachers.soft_labels import open_store

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


def _config(data, start=None, **options):
    fixed = {"image_size": 32, "batch_size": 8, "precision": "float32", "augment": "none"}
    return Config(
        data=str(data),
        teacher=NETWORK,
        teacher_epochs=1,
        start_from=start and str(start),
        **fixed,
        **options,
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
    model, spec = _taught(config, tmp_path, monkeypatch)
    assert spec.class_names == ("level", "upright") and model.output_shape == (None, 2)
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


@pytest.mark.parametrize("own_layers", [False, True])
def test_classes_in_another_order_are_kept_in_the_datas(
    data, tmp_path, monkeypatch, capsys, own_layers
):
    path = tmp_path / "start.keras"
    source = _saved(path, ("Upright", "level"))
    config = _config(data, None if own_layers else path, **STILL)
    if own_layers:
        config = dataclasses.replace(config, teacher=str(path), keep_weights=True, start_from=None)
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    model, spec = keras_file.load(teach.teach(config, tmp_path / "out", Terminal()))
    assert spec.class_names == ("level", "upright")
    kernel = np.asarray(source.get_layer("logits").kernel)[:, ::-1]
    np.testing.assert_allclose(model.get_layer("logits").kernel, kernel, atol=1e-6)
    told = f"starts from {path}; its head is kept, in the data's order of classes."
    assert capsys.readouterr().err.count(told) == 1


def test_why_a_head_is_new_is_told(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "start.keras"
    names_none = "the file names no classes"
    other = r"its classes (upright, oblique) are not the data's (level, upright)"
    for names, why in ((None, names_none), (("upright", "oblique"), other)):
        model = network(2, (32, 32, 1))
        keras_file.save(model, path, ModelSpec(names, input_shape=(32, 32, 1)))
        teach.teach(_config(data, path), terminal=Terminal())
        assert f"its head is new, because {why}." in capsys.readouterr().err


def test_a_teachers_file_is_trained_anew_unless_its_weights_are_kept(
    data, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "start.keras"
    _saved(path, ("level", "upright"))
    config = dataclasses.replace(_config(data), teacher=str(path), views=1)
    config = dataclasses.replace(config, soft_labels=str(tmp_path / "store"))
    trained, spec = keras_file.load(teach.teach(config, tmp_path / "out", Terminal()))
    told = f"The teacher start has the layers of {path} with new weights: --keep-weights would"
    assert told in capsys.readouterr().err
    # The soft labels are those of the teacher that was trained.
    images = splits.load(str(data), False, 32).train.images
    stored = open_store(tmp_path / "store").logits[:, 0]
    expected = KerasPredictor(trained, spec).logits(images)
    np.testing.assert_allclose(stored, expected, atol=0.01)


@pytest.mark.parametrize("kept", [True, False])
def test_frozen_layers_and_pixels_that_a_file_does_not_state_are_told(
    data, tmp_path, monkeypatch, capsys, kept
):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    source = network(2, (32, 32, 1))
    source.get_layer("conv8").trainable = False
    source.save(tmp_path / "mine.keras")
    config = dataclasses.replace(
        _config(data), teacher=str(tmp_path / "mine.keras"), keep_weights=kept
    )
    trained, _ = keras_file.load(teach.teach(config, tmp_path / "out", Terminal()))
    found = capsys.readouterr().err
    assert " 1 layer is frozen there, and not trained here: conv8." in found
    assert " The file does not say which pixels it takes, so 0..255 are assumed: " in found
    kernels = [one.get_layer("conv8").kernel for one in (trained, source)]
    np.testing.assert_array_equal(*kernels)


def test_pixels_that_are_stated_are_those_of_the_file_that_is_kept(data, tmp_path, monkeypatch):
    image = keras.Input((32, 32, 1))
    features = keras.layers.GlobalAveragePooling2D()(image)
    foreign = keras.Model(image, keras.layers.Dense(2)(features))
    foreign.save(tmp_path / "mine.keras")
    options = {**STILL, "teacher_range": "0,1", "teacher_classes": "upright,level"}
    config = dataclasses.replace(_config(data, **options), teacher=str(tmp_path / "mine.keras"))
    model, _ = _taught(dataclasses.replace(config, keep_weights=True), tmp_path, monkeypatch)
    expected = np.asarray(foreign(IMAGES / np.float32(255)))[:, ::-1]
    np.testing.assert_allclose(model(IMAGES), expected, atol=1e-4)
    with pytest.raises(ConfigError, match="^teacher_classes describes a file that"):
        teach.teach(config)
    # New weights are shown the same pixels.
    anew, plain = (
        teach.teach(dataclasses.replace(config, teacher_classes=None, teacher_range=given))
        for given in ("0,1", None)
    )
    assert anew != plain
    names = [{one.name for one in keras_file.load(path)[0].layers} for path in (anew, plain)]
    assert ["pixels_as_trained" in one for one in names] == [True, False]


def _of_means(path):
    """A file of Keras alone that tells the mean of an image."""
    image = keras.Input((32, 32, 1))
    features = keras.layers.GlobalAveragePooling2D()(image)
    model = keras.Model(image, keras.layers.Dense(2)(features))
    model.save(path)
    return model


def _student(data, folder, path, **options):
    fixed = {"image_size": 32, "batch_size": 8, "precision": "float32", "augment": "none"}
    config = Config(
        data=str(data), student=str(path), beta=0.0, epochs=1, formats="float32", **fixed, **options
    )
    return distill.distill(config, folder, Terminal())


def _stated_by_files_beside(folder):
    (folder / "labels.txt").write_text("upright\nlevel\n")
    told = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": False}
    (folder / "preprocessor_config.json").write_text(json.dumps(told))
    return {}


@pytest.mark.parametrize(
    "stated",
    [
        lambda folder: {"student_range": "0,1", "student_classes": "upright,level"},
        lambda folder: {
            "student_mean": "0",
            "student_std": "255",
            "student_classes": "upright,level",
        },
        _stated_by_files_beside,
    ],
)
def test_pixels_and_classes_of_a_students_file(data, tmp_path, capsys, stated):
    path = tmp_path / "mine.keras"
    foreign = _of_means(path)
    options = {**STILL, **stated(tmp_path), "keep_weights": True}
    results = _student(data, tmp_path / "run", path, **options)
    student, _ = keras_file.load(tmp_path / "run" / "student.keras")
    expected = np.asarray(foreign(IMAGES / np.float32(255)))[:, ::-1]
    np.testing.assert_allclose(student(IMAGES), expected, atol=1e-4)
    test = splits.load(str(data), False, 32).test
    right = np.asarray(foreign(test.images / np.float32(255)))[:, ::-1].argmax(1) == test.labels
    assert results["test"]["accuracy"] == right.mean()
    told = capsys.readouterr().err
    assert "its head is kept, in the data's order" in told and "assumed" not in told


def test_pixels_of_a_students_layers_with_new_weights(data, tmp_path, capsys):
    _of_means(tmp_path / "mine.keras")
    _student(data, tmp_path / "run", tmp_path / "mine.keras", student_range="-1,1")
    student, _ = keras_file.load(tmp_path / "run" / "student.keras")
    shown = keras.Model(student.input, student.get_layer("pixels_as_trained").output)
    np.testing.assert_allclose(shown(IMAGES), IMAGES / 127.5 - 1, atol=1e-6)
    assert "assumed" not in capsys.readouterr().err
    _student(data, tmp_path / "other", tmp_path / "mine.keras", student_classes="upright,level")
    told = capsys.readouterr().err
    assert "because the student's layers get new weights: student_classes." in told
    assert "0..255 are assumed: --student-range, mean, std and channel-order state" in told


def test_what_describes_no_file_of_a_student_is_refused(data, tmp_path):
    with pytest.raises(
        ConfigError, match=r"student_range describes .* student is built here \(C\)"
    ):
        plan.resolve(Config(student="C", student_range="0,1"))
    path = tmp_path / "start.keras"
    _saved(path, ("level", "upright"))
    start = {"start_from": str(path), "student_range": "0,1"}
    contradiction = "states the pixels --student-range 0,255, .* states --student-range 0,1"
    refusal = r"other pixels \(--student-range 0,1\) .* takes 0..255, .* --keep-weights"
    with pytest.warns(match=contradiction), pytest.raises(ModelError, match=refusal):
        _student(data, tmp_path / "run", NETWORK, **start)


def test_lists_beside_a_students_file_that_contradict_each_other(data, tmp_path):
    path = tmp_path / "mine.keras"
    _of_means(path)
    (tmp_path / "labels.txt").write_text("upright\nlevel\n")
    (tmp_path / "classes.txt").write_text("level\nupright\n")
    with pytest.raises(ModelError, match="contradict each other: .* --student-classes"):
        _student(data, tmp_path / "run", path, keep_weights=True)


def test_a_list_beside_the_file_makes_another_teacher_of_it(data, tmp_path, monkeypatch):
    path = tmp_path / "mine.keras"
    foreign = _of_means(path)
    config = dataclasses.replace(_config(data, **STILL), teacher=str(path), keep_weights=True)
    _taught(config, tmp_path, monkeypatch)
    _stated_by_files_beside(tmp_path)
    model, _ = _taught(config, tmp_path, monkeypatch)
    expected = np.asarray(foreign(IMAGES / np.float32(255)))[:, ::-1]
    np.testing.assert_allclose(model(IMAGES), expected, atol=1e-4)


def test_layers_of_two_files_are_refused(data, tmp_path):
    path = tmp_path / "start.keras"
    _saved(path, ("level", "upright"))
    (tmp_path / "other.keras").write_bytes(path.read_bytes())
    config = dataclasses.replace(_config(data, path), student=str(tmp_path / "other.keras"))
    with pytest.raises(ConfigError, match=r"start_from trains .* student='.*other.keras' would"):
        plan.resolve(config)


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
    with pytest.raises(ModelError, match="can't start from .*other shapes: conv1.* --keep-weights"):
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
    model, spec = _taught(config, tmp_path, monkeypatch)
    assert spec.class_names == ("level", "upright") and model.output_shape == (None, 2)
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
