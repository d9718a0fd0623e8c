"""Students and teachers that are no shipped architecture, as a user runs them."""

from __future__ import annotations

import dataclasses
import json

import keras
import numpy as np
import pandas as pd
import pytest
import striped_images
from command_line import called
from keras import layers
from small_network import NETWORK, network

from keras_kd.config import Config
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import keras_file
from keras_kd.pipelines import distill, sweep, teach

OWN = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("own_net")
class Half(layers.Layer):
    def call(self, x):
        return x / 255

def net(num_classes, input_shape):
    image = keras.Input(input_shape)
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(Half()(image))
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(num_classes)(x))
"""
TRAINING = {"batch_size": 8, "augment": "none", "precision": "float32", "image_size": 32}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return striped_images.draw(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAKD_TRUSTED_MODULES", "")
    (tmp_path / "own.py").write_text(OWN)
    return f"{tmp_path / 'own.py'}:net"


def _shallow(include_top, weights, input_tensor, pooling):
    """Called as networks of keras.applications are, and trained in a tenth of MobileNet's time."""
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(input_tensor)
    (image,) = keras.utils.get_source_inputs(input_tensor)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize("shallow", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_own_student_learns_from_an_application_and_is_exported(
    shallow, data, own, tmp_path, monkeypatch, capsys
):
    if shallow:  # tests/models/test_sources.py builds real ones
        monkeypatch.setattr(_shallow, "__module__", keras.applications.MobileNet.__module__)
        monkeypatch.setattr(keras.applications, "MobileNet", _shallow)
    code = called(
        *f"distill --data {data} --student {own} --teacher keras:MobileNet".split(),
        *[
            "--image-size",
            "32x24",
            "--batch-size",
            "8",
            "--augment",
            "none",
            "--epochs",
            "1",
            "--teacher-epochs",
            "1",
        ],
        *f"--precision float32 --formats float32,int8,gpu --json --out {tmp_path / 'run'}".split(),
    )
    shown = capsys.readouterr()
    assert code == 0, shown.err
    found = json.loads(shown.out)
    assert found["student"] == "own.net" and found["teacher"]["name"] == "MobileNet"
    assert set(found["exported"]) == {"float32", "int8", "gpu"}
    assert found["exported"]["float32"]["max_logit_difference"] < 1e-3
    assert found["exported"]["gpu"]["max_logit_difference"] < 1e-2
    assert "# Student own.net, distilled from MobileNet" in (
        tmp_path / "run" / "README.md"
    ).read_text("utf-8")
    (teacher,) = (tmp_path / "cache").glob("*/*/teacher.keras")
    assert teacher.parent.name.startswith("MobileNet-")
    for file in (teacher, tmp_path / "run" / "student.keras"):
        assert keras_file.load(file)[0].input_shape[1:3] == (32, 24)
    assert 'image_size = "32x24"' in (tmp_path / "run" / "config.toml").read_text("utf-8")


DEEP = """
import keras
from keras import layers

@keras.saving.register_keras_serializable("deep_net")
class Block(layers.Layer):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        self.conv = layers.Conv2D(8, 3, strides=2, use_bias=False)
        self.norm = layers.BatchNormalization(momentum=0.999)

    def build(self, shape):
        self.conv.build(shape)
        self.norm.build(self.conv.compute_output_shape(shape))

    def call(self, x, training=None):
        return keras.ops.relu(self.norm(self.conv(x), training=training))

def net(num_classes, input_shape):
    image = x = keras.Input(input_shape)
    for stage in range(2):
        x = layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.999)(x))
    x = Block()(x)
    return keras.Model(image, layers.Dense(num_classes)(layers.GlobalAveragePooling2D()(x)))
"""


def test_a_network_whose_averages_span_a_thousand_steps_learns_in_thirty_two(data, tmp_path):
    (tmp_path / "deep.py").write_text(DEEP)
    student = f"{tmp_path / 'deep.py'}:net"
    config = Config(
        data=str(data), student=student, beta=0.0, epochs=8, formats="float32", **TRAINING
    )
    found = distill.distill(config, tmp_path / "run")
    assert found["test"]["accuracy"] >= 0.75
    kept = keras_file.load(tmp_path / "run" / "student.keras")[0]
    momenta = {one.momentum for one in kept.layers if isinstance(one, layers.BatchNormalization)}
    assert momenta == {0.999}


def test_code_that_a_run_folder_names_runs_only_when_it_is_trusted(data, own, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n" + OWN)
    config = f'student = "{own}"\ndata = "{data}"\nbeta = 0.0\nbatch_size = 8\nimage_size = 32\n'
    (tmp_path / "run" / "config.toml").write_text(config + "epochs = 1\nformats = 'float32'\n")
    arguments = ["distill", "--resume", "--out", str(tmp_path / "run")]
    assert called(*arguments) == 2
    assert "names code to run" in (told := capsys.readouterr().err) and "--trust-module" in told
    assert not (tmp_path / "ran").exists()
    assert called(*arguments, "--trust-module", own.rpartition(":")[0]) == 0
    assert (tmp_path / "ran").exists()


def test_an_own_student_that_was_stopped_goes_on_to_the_same_end(data, own, tmp_path):
    config = Config(data=str(data), student=own, beta=0.0, epochs=3, formats="float32", **TRAINING)

    class Stop(Exception):
        pass

    class Terminal(distill.Terminal):
        def say(self, text: str) -> None:
            if "epoch 2/3" in text:
                raise Stop

    whole = distill.distill(config, tmp_path / "whole")
    with pytest.raises(Stop):
        distill.distill(config, tmp_path / "run", Terminal(quiet=True))
    resumed = distill.distill(config, tmp_path / "run", resume=True)
    assert resumed["fingerprints"]["weights"] == whole["fingerprints"]["weights"]


def _stop_after_one_epoch(config, folder):
    """Begin a run that is interrupted as its first and only epoch ends."""

    class Terminal(distill.Terminal):
        def say(self, text: str) -> None:
            if "epoch 1/1" in text:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distill.distill(config, folder, Terminal(quiet=True))


def test_changed_code_is_another_student_and_another_teacher(data, own, tmp_path):
    config = Config(data=str(data), teacher=own, teacher_epochs=1, **TRAINING)
    first = teach.teach(config)
    assert teach.teach(config) == first
    source = tmp_path / "own.py"
    source.write_text(OWN + "# changed\n")
    assert teach.teach(config) != first
    config = Config(data=str(data), student=own, beta=0.0, epochs=1, **TRAINING)
    _stop_after_one_epoch(config, tmp_path / "run")
    source.write_text(OWN + "# changed again\n")
    with pytest.raises(ConfigError, match="the student's layers changed"):
        distill.distill(config, tmp_path / "run", resume=True)


def test_an_early_stop_and_the_epoch_that_is_kept_are_told(data, tmp_path, capsys):
    config = Config(data=str(data), student=NETWORK, beta=0.0, epochs=4, **TRAINING)
    stop = 'EarlyStopping(monitor="val_loss",patience=1,min_delta=1000.0)'
    config = dataclasses.replace(config, callback=stop, formats="float32")
    results = distill.distill(config, tmp_path / "run", distill.Terminal())
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    trained, kept = len(history), int(history["epoch"][history["val_accuracy"].argmax()])
    assert trained == 2
    assert (results["trained_epochs"], results["best_epoch"]) == (trained, kept)
    assert history["val_accuracy"][kept - 1] == pytest.approx(results["validation"]["accuracy"])
    assert f": stopped after epoch {trained} of 4" in capsys.readouterr().err
    assert (
        f"; the weights are those after epoch {kept}, " in (tmp_path / "run/README.md").read_text()
    )


def test_another_file_to_start_from_is_another_run(data, tmp_path):
    path = tmp_path / "start.keras"
    network(2, (32, 32, 1)).save(path)
    config = Config(
        data=str(data), student=NETWORK, start_from=str(path), beta=0.0, epochs=1, **TRAINING
    )
    _stop_after_one_epoch(config, tmp_path / "run")
    network(2, (32, 32, 1)).save(path)
    with pytest.raises(ConfigError, match="the file that the student starts from changed"):
        distill.distill(config, tmp_path / "run", resume=True)


def test_a_files_weights_are_new_unless_they_are_kept(data, tmp_path):
    image = keras.Input((32, 32, 1))
    maps = layers.Conv2D(4, 3, strides=2, activation="relu", name="first")(image)
    features = layers.GlobalAveragePooling2D()(maps)
    file = keras.Model(image, layers.Dense(5, activation="softmax")(features))
    file.save(tmp_path / "mine.keras")
    options = {"student": str(tmp_path / "mine.keras"), "beta": 0.0, "epochs": 1}
    config = Config(
        data=str(data), formats="float32", learning_rate=1e-12, weight_decay=0.0, **options,
        **TRAINING
    )  # fmt: skip
    for kept in (False, True):
        out = tmp_path / f"run-{kept}"
        found = distill.distill(Config(**{**vars(config), "keep_weights": kept}), out)
        assert found["student"] == "mine"
        student = keras_file.load(out / "student.keras")[0]
        assert student.output_shape == (None, 2)
        same = np.allclose(
            student.get_layer("first").kernel, file.get_layer("first").kernel, atol=1e-6
        )
        assert same == kept
    with pytest.raises(ConfigError, match="keep_weights .* give a .keras file as student"):
        distill.distill(Config(student="C", keep_weights=True), tmp_path / "none")


def test_a_sweep_takes_own_students(data, own, tmp_path):
    shared = {**vars(Config(data=str(data), beta=0.0, epochs=1, **TRAINING))}
    space = sweep.space([f"student={own}"])
    frame = sweep.sweep(shared, space, tmp_path / "sweep")
    assert list(frame["student"]) == [own]
    assert set(frame["state"]) == {"complete"}


@pytest.mark.parametrize("function", ["none", "net:", "missing"])
def test_a_students_code_that_fails_is_told_before_a_teacher_is_trained(data, tmp_path, function):
    bad = tmp_path / "bad.py"
    bad.write_text(OWN + "\ndef none(): return None\n" + ("def (:\n" if function == "net:" else ""))
    config = Config(student=f"{bad}:{function.strip(':')}", data=str(data), **TRAINING)
    words = r"bad\.py.*(returned a NoneType|SyntaxError.*: mend it|no function)"
    with pytest.raises(ModelError, match=words):
        distill.distill(config, tmp_path / "run")
    assert not (tmp_path / "cache" / "teachers").exists()
