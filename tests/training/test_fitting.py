"""Schedules, and training that is stopped anywhere and ends as if it never was."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import small_training
from small_training import STEPS, VALIDATION, new_distiller, training_batches

from keras_kd.distiller import Distiller
from keras_kd.errors import TrainingError
from keras_kd.training import optimizers, state
from keras_kd.training.fitting import fit, load_weights
from keras_kd.training.scores import best_epoch


class Stop(Exception):
    """Stands for the end of the process."""


class _StopAfter(keras.callbacks.Callback):
    def __init__(self, steps):
        super().__init__()
        self.left = steps

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Stop


def _trained(folder, epochs=4, stops=(), callbacks=list, **options):
    """Train in `folder`, broken off after each of `stops` steps; return the history and all final
    weights.
    """
    for steps in stops:
        with pytest.raises(Stop):
            fit(
                new_distiller(**options),
                training_batches(),
                VALIDATION,
                epochs,
                folder,
                [*callbacks(), _StopAfter(steps)],
            )
    distiller = new_distiller(**options)
    history = fit(distiller, training_batches(), VALIDATION, epochs, folder, callbacks())
    return [
        {k: v for k, v in row.items() if k != "seconds"} for row in history
    ], distiller.student.get_weights()


def _assert_same(one, other):
    assert one[0] == other[0]
    assert all(np.array_equal(left, right) for left, right in zip(one[1], other[1], strict=True))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A training of four epochs that was never stopped."""
    return _trained(tmp_path_factory.mktemp("unbroken"))


@pytest.fixture
def every_step_saved(monkeypatch):
    monkeypatch.setattr(state, "SAVE_SECONDS", -1)


@pytest.mark.parametrize(
    ("options", "stops"),
    [
        # Stopped within the first epoch, at its very end, and within the third.
        ({}, (2, 3, 7)),
        ({"schedule": "plateau", "policy": "mixed_float16"}, (12,)),
        ({"ema": 0.9}, (12,)),
    ],
    ids=["cosine", "plateau", "average"],
)
def test_a_training_stopped_within_epochs_ends_bit_equal(
    options, stops, unbroken, tmp_path, every_step_saved
):
    if options:
        unbroken = _trained(tmp_path / "one", **options)
    broken = _trained(tmp_path / "other", stops=stops, **options)
    assert [row["epoch"] for row in unbroken[0]] == [1, 2, 3, 4]
    _assert_same(unbroken, broken)


def test_two_epochs_and_two_more_are_four(unbroken, tmp_path):
    half = new_distiller()
    assert len(fit(half, training_batches(), VALIDATION, 2, tmp_path / "other")) == 2
    _assert_same(unbroken, _trained(tmp_path / "other"))


def _watchful():
    """Nothing is ever good enough for these: halve the rate every second epoch, stop after five."""
    watched = {"monitor": "loss", "mode": "min", "min_delta": 100}
    return [
        keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=2, **watched),
        keras.callbacks.EarlyStopping(patience=5, **watched),
    ]


def test_plateau_and_early_stopping_remember_across_stops(tmp_path, every_step_saved):
    options = {"epochs": 12, "callbacks": _watchful}
    unbroken = _trained(tmp_path / "one", schedule="plateau", **options)
    assert len(unbroken[0]) == 6
    rates = [row["learning_rate"] for row in unbroken[0]]
    assert rates == pytest.approx([0.1, 0.1, 0.05, 0.05, 0.025, 0.025])
    _assert_same(
        unbroken, _trained(tmp_path / "other", stops=(7, 7), schedule="plateau", **options)
    )
    # What stopped early stays stopped.
    _assert_same(unbroken, _trained(tmp_path / "one", schedule="plateau", **options))


def test_the_best_epochs_weights_remain(tmp_path):
    """A learning rate that destroys: the best epoch is not the last one."""
    distiller = new_distiller("plateau")
    seen = []
    remember = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            (logs["val_accuracy"], distiller.student.get_weights())
        )
    )
    history = fit(distiller, training_batches(), VALIDATION, 6, tmp_path, [remember])
    scores = [row["val_accuracy"] for row in history]
    best = scores.index(max(scores))
    assert scores == [score for score, _ in seen] and best < 5
    assert best_epoch(history) == best + 1
    for found, expected in zip(distiller.student.get_weights(), seen[best][1], strict=True):
        np.testing.assert_array_equal(found, expected)
    predicted = distiller.student.predict(VALIDATION[0], verbose=0).argmax(1)
    assert (predicted == VALIDATION[1]).mean() == pytest.approx(max(scores))


def test_averaged_weights_are_scored_and_kept(tmp_path):
    """a = w after the first step, then 0.9·a + 0.1·w, in float64."""
    distiller, averages = new_distiller("plateau", ema=0.9), []

    def average(batch, logs):
        weights = [np.asarray(weight, float) for weight in distiller.student.trainable_weights]
        averages[:] = (
            [0.9 * a + 0.1 * w for a, w in zip(averages, weights, strict=True)]
            if averages
            else weights
        )

    watch = keras.callbacks.LambdaCallback(on_train_batch_end=average)
    history = fit(distiller, training_batches(), VALIDATION, 1, tmp_path, [watch])
    for weight, expected in zip(distiller.student.trainable_weights, averages, strict=True):
        np.testing.assert_allclose(np.asarray(weight), expected, atol=1e-6)
    predicted = distiller.student.predict(VALIDATION[0], verbose=0).argmax(1)
    assert (predicted == VALIDATION[1]).mean() == pytest.approx(history[0]["val_accuracy"])


def test_history_and_progress_tell_everything(tmp_path):
    rows, images = [], []
    distiller = new_distiller("plateau")
    history = fit(
        distiller,
        training_batches(),
        VALIDATION,
        2,
        tmp_path,
        report=rows.append,
        advance=images.append,
    )
    assert rows == history and sum(images) == 2 * STEPS * 8
    expected = {
        "epoch",
        "loss",
        "hard_loss",
        "soft_loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
    }
    assert all(set(row) == expected | {"seconds"} for row in history)
    assert history[0]["loss"] == pytest.approx(
        0.15 * history[0]["hard_loss"] + 0.85 * history[0]["soft_loss"], rel=1e-5
    )
    assert history[0]["learning_rate"] == pytest.approx(0.1)


def test_an_epoch_is_reported_once_though_its_report_ended_the_training(tmp_path):
    rows = []

    def report(row):
        rows.append(row["epoch"])
        if len(rows) == 1:
            raise OSError("the logger's server is gone")

    with pytest.raises(OSError, match="gone"):
        fit(new_distiller(), training_batches(), VALIDATION, 2, tmp_path, report=report)
    fit(new_distiller(), training_batches(), VALIDATION, 2, tmp_path, report=report)
    assert rows == [1, 2]


def test_nan_stops_with_one_sentence(tmp_path):
    distiller = new_distiller()
    distiller.compile(optimizers.sgd("cosine", 1e30, 1e-3, STEPS * 4))
    with pytest.raises(TrainingError) as caught:
        fit(distiller, training_batches(), VALIDATION, 2, tmp_path)
    told = str(caught.value)
    assert re.match("The loss became (nan|inf) in epoch 1: lower --learning-rate", told)
    assert "\n" not in str(caught.value)
    with np.load(tmp_path / "state.npz") as stored:
        assert json.loads(str(stored["state"]))["epoch"] == 0
        count = json.loads(str(stored["state"]))["variables"]
        assert all(np.isfinite(stored[f"variable{index}"]).all() for index in range(count))


@pytest.mark.parametrize("other", [{"units": 4}, {"schedule": "plateau"}])
def test_the_state_of_another_training_is_refused(other, tmp_path):
    fit(new_distiller(), training_batches(), VALIDATION, 1, tmp_path)
    with pytest.raises(
        TrainingError, match="state.npz is the state of another model or optimizer: start again"
    ):
        fit(new_distiller(**other), training_batches(), VALIDATION, 2, tmp_path)


def test_a_state_without_a_step_decides_nothing(tmp_path, monkeypatch):
    """A training that was stopped before its first step goes on with other classes, too."""

    def stop(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Distiller, "fit", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(new_distiller(units=4), training_batches(), VALIDATION, 1, tmp_path)
    assert (tmp_path / "state.npz").exists() and not state.has_steps(tmp_path)
    history = fit(new_distiller(), training_batches(), VALIDATION, 1, tmp_path)
    assert [row["epoch"] for row in history] == [1] and state.has_steps(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"no archive"])
def test_a_damaged_state_is_refused(content, tmp_path):
    (tmp_path / "state.npz").write_bytes(content)
    with pytest.raises(
        TrainingError, match="state.npz is damaged .*: start again without --resume"
    ):
        fit(new_distiller(), training_batches(), VALIDATION, 1, tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off"])
def test_damaged_weights_of_the_best_epoch_are_told(content, tmp_path):
    fit(new_distiller(), training_batches(), VALIDATION, 1, tmp_path)
    best = tmp_path / "best.npz"
    best.unlink() if content is None else best.write_bytes(content)
    with pytest.raises(TrainingError, match="best.npz is damaged or gone .*: start again"):
        load_weights(new_distiller().student, best)


KILLED = """
import sys
from pathlib import Path
from keras_kd._common import quick_start
quick_start.prepare()
import keras
from small_training import VALIDATION, new_distiller, training_batches
from keras_kd.training import fitting, state
state.SAVE_SECONDS = -1
step = keras.callbacks.LambdaCallback(
    on_train_batch_end=lambda batch, logs: print("step", flush=True)
)
print("start", flush=True)
fitting.fit(new_distiller(), training_batches(), VALIDATION, 4, Path(sys.argv[1]), [step])
print("end", flush=True)
"""


def _started(folder):
    return subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder)],
        cwd=Path(small_training.__file__).parent,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_process_is_taken_up_bit_equal(unbroken, tmp_path):
    """kill -9 at random moments, saving included, as each step here saves."""
    random, waits = np.random.default_rng(), []
    for steps in (3, 9):
        process = _started(tmp_path / "killed")
        seen = 0
        while seen < steps and (line := process.stdout.readline()):
            seen += line == "step\n"
        waits.append(random.uniform(0, 0.03))
        time.sleep(waits[-1])
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, process.stderr.read()[-2000:]
    left = sorted(
        path.name for path in (tmp_path / "killed").iterdir() if not path.name.startswith(".")
    )
    assert set(left) <= {"best.npz", "state.npz"} and "state.npz" in left
    killed = _trained(tmp_path / "killed")
    assert killed[0] == unbroken[0], f"killed {waits} seconds after the steps"
    _assert_same(unbroken, killed)
