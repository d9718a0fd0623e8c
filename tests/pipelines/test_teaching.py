"""Who teaches: several teachers' files, what is stated of them, and stores that are there
already.
"""

from __future__ import annotations

from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers
from small_network import WIDE

from keras_kd import config
from keras_kd import models as architectures
from keras_kd._common.progress import Terminal
from keras_kd.config import Config
from keras_kd.datasets import Samples
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.datasets.splits import Data
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import keras_file
from keras_kd.models.spec import ModelSpec
from keras_kd.pipelines import plan, supervision, teacher_setup
from keras_kd.training import initial_model

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
NAMES = ("a", "b", "c")
SAMPLES = Samples(PIXELS, np.array([0, 1, 2, 0, 1]), NAMES)
DATA = Data("folder", SAMPLES, SAMPLES, SAMPLES)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """One model, of images 0..1: our file, which tells all, and a foreign one that gives the
    classes backwards.
    """
    folder = tmp_path_factory.mktemp("teachers")
    keras.utils.set_random_seed(5)
    image = keras.Input((4, 4, 1))
    dense = layers.Dense(3)
    ours = keras.Model(image, dense(layers.Flatten()(image)))
    keras_file.save(
        ours,
        folder / "ours.keras",
        ModelSpec(DATA.class_names, PixelValues((0.0, 1.0)), input_shape=(4, 4, 1)),
    )
    foreign = keras.models.clone_model(ours)
    foreign.set_weights([weight[..., ::-1] for weight in ours.get_weights()])
    foreign.save(folder / "foreign.keras")
    return str(folder / "ours.keras"), str(folder / "foreign.keras"), np.asarray(ours(PIXELS / 255))


STATED = {"teacher_classes": "c,b,a", "teacher_range": "0,1"}


def test_what_is_stated_is_of_the_teachers_that_do_not_tell(models):
    ours, foreign, expected = models
    for teacher, stated in ((ours, {}), (foreign, STATED), (f"{ours};{foreign}", STATED)):
        planned = plan.resolve(Config(teacher=teacher, **stated))
        found = teacher_setup.teacher(planned, DATA, Terminal(quiet=True)).predict("train").logits
        np.testing.assert_allclose(found, expected, atol=1e-5)
    # Of one teacher the user knows better than its file.
    planned = plan.resolve(Config(teacher=ours, teacher_classes="c,b,a"))
    found = teacher_setup.teacher(planned, DATA, Terminal(quiet=True)).predict("train").logits
    np.testing.assert_allclose(found, expected[:, ::-1], atol=1e-5)


def test_nothing_can_be_stated_of_a_teacher_that_is_trained_here():
    with pytest.raises(
        ConfigError,
        match=r"teacher_range describes a model file, but the teacher is trained here \(B\)",
    ):
        planned = plan.resolve(Config(teacher="B", teacher_range="0,1"))
        teacher_setup.teacher(planned, DATA, Terminal(quiet=True))


def test_a_resumed_run_keeps_the_teacher_that_filled_the_store(tmp_path):
    store, out = tmp_path / "store", tmp_path / "out"
    asked = Config(soft_labels=str(store))
    started = plan.resolve_run(asked, out, resume=False)
    assert started.options["teacher"]
    store.mkdir(), out.mkdir()
    (store / "store.json").write_text("{}")
    (out / "config.toml").write_text(config.dump(started.options, {}))
    assert plan.resolve_run(asked, out, resume=True).options == started.options
    # Another run that is given the same store learns from it alone.
    other = plan.resolve_run(asked, tmp_path / "other", resume=False)
    assert other.options["teacher"] is None and other.teaching.kind == "stored"


@pytest.mark.parametrize("student", ["C", "A"])  # of 6 and of 86 million
def test_a_student_that_computes_more_than_its_teacher_is_told(models, capsys, student):
    terminal, planned = Terminal(), plan.resolve(Config(student=student, teacher=models[0]))
    built = architectures.build(student, len(NAMES), (64, 64, 3))
    teacher = SimpleNamespace(multiply_accumulates=7_000_000, values=())
    teacher_setup.remark_on_work(teacher, built, planned, terminal)
    told = capsys.readouterr().err
    assert told.startswith("Note: the student A computes more") == (student == "A")
    assert ("against 7,000,000 multiply-accumulates" in told) == (student == "A")


def test_the_work_of_small_models_is_told_in_numbers_above_zero(models, capsys):
    planned = plan.resolve(Config(student=models[0], teacher=models[0]))
    teacher = SimpleNamespace(multiply_accumulates=40, values=())
    teacher_setup.remark_on_work(teacher, keras_file.load(models[0])[0], planned, Terminal())
    # 16 pixels times 3 classes.
    assert " 48 against 40 multiply-accumulates an image" in capsys.readouterr().err


def test_a_store_of_the_same_answers_is_told_without_its_teacher(models, tmp_path, capsys):
    constant = tmp_path / "constant.keras"
    model, form = keras_file.load(models[0])
    model.layers[-1].set_weights([np.zeros((16, 3)), np.array([0.0, 9.0, 0.0])])
    keras_file.save(model, constant, form)
    store = {"augment": "none", "soft_labels": str(tmp_path / "store"), "precision": "float32"}
    for teacher in (str(constant), None):
        planned = plan.resolve(Config(student=WIDE, teacher=teacher, **store))
        supervision = teacher_setup.prepare(planned, DATA, Terminal())
        assert supervision.soft_labels.logits[:, 0].tolist() == [[0, 9, 0]] * 5
        told = capsys.readouterr().err
        assert told.count("Note: the teacher gives the same output for all images") == 1


def _of_four_classes(path):
    """A softmax of classes in another order, one of which the data lack; and its probabilities of
    the data's classes."""
    keras.utils.set_random_seed(6)
    image = keras.Input((4, 4, 1))
    small = layers.Rescaling(1 / 255)(image)
    model = keras.Model(image, layers.Dense(4, "softmax")(layers.Flatten()(small)))
    keras_file.save(model, path, ModelSpec(("c", "spare", "a", "b"), PixelValues()))
    return np.asarray(model(PIXELS.astype("float32")))[:, [2, 3, 0]]


@pytest.mark.parametrize("live", [False, True])
def test_a_teacher_of_more_classes_teaches_the_datas_classes(live, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "more.keras"
    probabilities = _of_four_classes(path)
    options = {"augment": "none", "live_teacher": live, "precision": "float32"}
    planned = plan.resolve(Config(student=WIDE, teacher=str(path), **options))
    supervision = teacher_setup.prepare(planned, DATA, Terminal())
    assert supervision.outputs == (NAMES, ())
    found = (
        supervision.teacher.model.logits(PIXELS) if live else supervision.soft_labels.logits[:, 0]
    )
    shares = np.exp(found.astype(float)) / np.exp(found.astype(float)).sum(1, keepdims=True)
    expected = probabilities / probabilities.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, expected, atol=1e-3)
    told = capsys.readouterr().err
    assert f"The teacher {path} has 1 class more than the data (spare): their logits are" in told
    assert told.count("spare") == 1


def test_a_teacher_without_a_class_of_the_data_is_refused(models):
    planned = plan.resolve(Config(teacher=models[0], teacher_classes="a,b,spare"))
    with pytest.raises(ModelError, match="the model lacks c and has spare besides"):
        teacher_setup.teacher(planned, DATA, Terminal(quiet=True))


def test_a_file_whose_layers_get_new_weights_is_read_once(models, tmp_path, monkeypatch):
    planned = plan.resolve(Config(student=models[0], alpha=1.0))
    job = supervision.student_job(planned, DATA, supervision.Supervision(), tmp_path)
    load, read = keras_file.load, []
    monkeypatch.setattr(keras_file, "load", lambda path: (read.append(path), load(path))[1])
    student = initial_model.build(job, planned.training, DATA)
    assert len(read) == 1
    # Its pixels 0..1 stay.
    assert "pixels_as_trained" in [layer.name for layer in student.layers]
