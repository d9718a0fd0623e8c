"""Callbacks by name, AdamW, and the event files that TensorBoard reads."""

from __future__ import annotations

import sys
from contextlib import nullcontext

import keras
import numpy as np
import pytest

from keras_kd.config import Config
from keras_kd.errors import ConfigError, OutputError
from keras_kd.pipelines import plan
from keras_kd.training import callbacks, logs, optimizers


def test_a_callback_is_made_of_its_name_and_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAKD_TRUSTED_MODULES", "")
    made = callbacks.create("EarlyStopping(patience=5, monitor='val_loss')")
    assert type(made) is keras.callbacks.EarlyStopping and made.patience == 5
    assert type(callbacks.create("TerminateOnNaN")) is keras.callbacks.TerminateOnNaN
    path = tmp_path / "mine.py"
    path.write_text(
        "import keras\nclass Mine(keras.callbacks.Callback): pass\ndef none(): return 1\n"
    )
    assert type(callbacks.create(f"{path}:Mine")).__name__ == "Mine"
    with pytest.raises(ConfigError, match="is a int: give a keras.callbacks.Callback"):
        callbacks.create(f"{path}:none")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("EarlyStoping", "did you mean EarlyStopping"),
        ("EarlyStopping(speed=1)", "can't be made.*speed"),
        ("EarlyStopping(5)", "NAME\\(setting=value"),
        ("EarlyStopping(patience=open('x'))", "NAME\\(setting=value"),
        ("nothing at all", "NAME\\(setting=value"),
        ("EarlyStopping(monitor=loss)", "texts in quotes.* 'EarlyStopping.monitor=\"val_loss\".'"),
    ],
)
def test_what_is_no_callback_is_told(source, told):
    with pytest.raises(ConfigError, match=told):
        callbacks.create(source)


def _steps(optimizer, steps=3):
    """A weight after some steps of the same gradients."""
    weight = keras.Variable(np.array([1.0, -2.0], "float32"))
    for step in range(steps):
        gradient = keras.ops.convert_to_tensor(np.array([0.5, 0.1 * step], "float32"))
        optimizer.apply([gradient], [weight])
    return np.asarray(weight)


def test_adamw_is_the_papers():
    """Algorithm 2 of arXiv 1711.05101, computed here by NumPy alone."""
    weight, m, v = np.array([1.0, -2.0]), np.zeros(2), np.zeros(2)
    for step in range(3):
        gradient = np.array([0.5, 0.1 * step])
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        steady = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        weight = weight - 0.01 * 0.1 * weight - 0.01 * steady[0] / (np.sqrt(steady[1]) + 1e-7)
    np.testing.assert_allclose(
        _steps(optimizers.adamw("plateau", 0.01, 0.1, 10)), weight, rtol=1e-5
    )


def test_adamws_factors_multiply_rate_and_decay():
    whole = _steps(optimizers.adamw("plateau", 0.005, 0.1, 10))
    optimizer = optimizers.adamw("plateau", 0.01, 0.1, 10, factors={"": 1.0})
    weight = keras.Variable(np.array([1.0, -2.0], "float32"))
    optimizer.factors = {weight.path: 0.5}
    for step in range(3):
        gradient = keras.ops.convert_to_tensor(np.array([0.5, 0.1 * step], "float32"))
        optimizer.apply([gradient], [weight])
    np.testing.assert_allclose(np.asarray(weight), whole, rtol=1e-5)


def test_adamw_has_its_own_rate_in_every_recipe():
    for recipe in ("paper", "best"):
        chosen = Config(optimizer="adamw", recipe=recipe).effective()
        assert (chosen.learning_rate, chosen.weight_decay) == (1e-3, 0.01)
        assert Config(optimizer="adamw", learning_rate=0.1).effective().learning_rate == 0.1


def test_tensorboard_reads_what_was_written(tmp_path):
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    with logs.logged([f"tensorboard:{tmp_path}"], "student C", {}, tmp_path) as write:
        for epoch in (1, 2):
            write({"epoch": epoch, "loss": 2.0 / epoch, "val_accuracy": 0.25 * epoch})
    (file,) = (tmp_path / "student-C").iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)):
        event = event_pb2.Event.FromString(record.numpy())
        for value in event.summary.value:
            found[event.step, value.tag] = float(tf.make_ndarray(value.tensor))
    assert found == {
        (1, "loss"): 2.0, (2, "loss"): 1.0, (1, "val_accuracy"): 0.25, (2, "val_accuracy"): 0.5,
    }  # fmt: skip
    with logs.logged([], "student C", {}, tmp_path) as write:
        write({"epoch": 1})


def test_mlflow_keeps_one_run_of_a_training_that_was_stopped(tmp_path):
    pytest.importorskip("mlflow.store.db", reason="needs MLflow: pip install mlflow")
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    settings = {"architecture": "C", "temperature": 3.0}
    for epoch, error in ((1, KeyboardInterrupt), (2, None)):
        with (
            nullcontext() if error is None else pytest.raises(error),
            logs.logged([f"mlflow:{uri}"], "student C", settings, tmp_path) as write,
        ):
            write({"epoch": epoch, "loss": 2.0 / epoch})
            if error:
                raise error
        client = MlflowClient(tracking_uri=uri)
        (experiment,) = [one for one in client.search_experiments() if one.name == "keras_kd"]
        (run,) = client.search_runs([experiment.experiment_id])
        assert run.info.status == ("KILLED" if error else "FINISHED")
    assert run.info.run_name == "student C"
    assert run.data.params == {"architecture": "C", "temperature": "3.0"}
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(1, 2.0), (2, 1.0)]


def test_a_logger_that_can_not_write_is_told(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"TensorBoard can't write to .*file/x .*--resume"),
        logs.logged([f"tensorboard:{tmp_path / 'file' / 'x'}"], "student C", {}, tmp_path) as write,
    ):
        write({"epoch": 1, "loss": 2.0})


def test_mlflows_folder_that_can_not_be_written_is_told(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs MLflow: pip install mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"MLflow can't write to file:.*--resume"),
        logs.logged([f"mlflow:file://{tmp_path / 'file' / 'x'}"], "student C", {}, tmp_path),
    ):
        raise AssertionError("nothing is trained")


def test_another_server_than_the_run_s_is_told(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs MLflow: pip install mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    with logs.logged([f"mlflow:file://{tmp_path / 'one'}"], "student C", {}, tmp_path) as write:
        write({"epoch": 1, "loss": 2.0})
    with (
        pytest.raises(OutputError, match=r"other doesn't know the run [0-9a-f]{32}.*--log"),
        logs.logged([f"mlflow:file://{tmp_path / 'other'}"], "student C", {}, tmp_path),
    ):
        raise AssertionError("nothing is trained")


def test_mlflow_is_asked_for_where_it_is_missing(tmp_path, monkeypatch):
    for name in ("mlflow", "mlflow.entities"):
        monkeypatch.setitem(sys.modules, name, None)
    with (
        pytest.raises(ConfigError, match="MLflow.*pip install mlflow"),
        logs.logged(["mlflow:sqlite:///x.db"], "student C", {}, tmp_path),
    ):
        raise AssertionError("nothing is trained")


@pytest.mark.parametrize("place", ["gs://bucket/logs", "s3://bucket/logs", "~/logs"])
def test_tensorboard_writes_on_this_machine_alone(place, tmp_path, monkeypatch):
    """A folder called `gs:` was made, and the log written there."""
    monkeypatch.chdir(tmp_path)
    for text in (f"tensorboard:{place}", f"mlflow:sqlite:///a.db;tensorboard:{place}"):
        with pytest.raises(OutputError, match="Can't write"):
            plan.resolve(Config(data="faces", student="C", teacher="t.keras", log=text))


@pytest.mark.parametrize("text", ["mlflow", "tensorboard", "tensorboard:", "tensorboard:a;b"])
def test_other_logs_are_told(text):
    with pytest.raises(ConfigError, match="log must be tensorboard:DIR or mlflow:URI"):
        Config(log=text)
