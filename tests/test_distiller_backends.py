"""The Distiller on other backends and on several replicas, against itself on one."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from command_line import QUICK
from small_students import IMAGES, LABELS, LOGITS, WEIGHTS, compiled, deep, linear
from test_distiller_heads import Y, joint

from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError


def five_steps(strategy=None, policy="float32"):
    """Losses of five steps, and of evaluate after them; initial weights that every backend draws
    alike.
    """
    random = np.random.default_rng(3)
    models = [deep(0, 0.0, policy), deep(1, 0.0)]
    for model in models:
        model.set_weights([random.uniform(0.1, 1, weight.shape) for weight in model.get_weights()])
    distiller = compiled(*models, keras.optimizers.SGD(0.05, 0.9), metrics=["accuracy"])
    found = []
    for _ in range(5):
        logs = distiller.fit(
            IMAGES, LABELS, sample_weight=WEIGHTS, batch_size=24, verbose=0
        ).history
        found += [logs[name][0] for name in ("loss", "hard_loss", "soft_loss")]
    y = {"label": LABELS, "teacher": LOGITS}
    logs = distiller.fit(
        IMAGES, y, batch_size=24, validation_data=(IMAGES, LABELS), epochs=2, verbose=0
    ).history
    heads = joint()
    heads.set_weights([random.normal(0, 0.3, weight.shape) for weight in heads.get_weights()])
    of_heads = (
        compiled(heads, margin=0.05).fit(IMAGES, Y, batch_size=24, epochs=3, verbose=0).history
    )
    found += of_heads["loss"] + of_heads["soft_loss"]
    return found + logs["loss"] + logs["val_loss"] + logs["soft_loss"]


def _elsewhere(code, **environment):
    process = subprocess.run(
        [sys.executable, "-c", f"{QUICK}import json, test_distiller_backends as t\n{code}"],
        cwd=Path(__file__).parent,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_equal_losses(backend):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    found = _elsewhere("print(json.dumps(t.five_steps()))", KERAS_BACKEND=backend)
    assert found == pytest.approx(five_steps(), rel=1e-4)


TWO_REPLICAS = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    print(json.dumps({**t.two_epochs(), "short": t.short_batches()}))
"""


def two_epochs():
    """History and final kernel; no batch norm, whose statistics are each replica's own."""
    import tensorflow as tf

    student = linear(regulariser=keras.regularizers.L2(0.01))
    distiller = compiled(student, linear(1), metrics=["accuracy"])
    history = distiller.fit(
        IMAGES,
        LABELS,
        sample_weight=WEIGHTS,
        batch_size=8,
        epochs=2,
        shuffle=False,
        validation_data=(IMAGES, LABELS),
        verbose=0,
    ).history
    return {
        "replicas": tf.distribute.get_strategy().num_replicas_in_sync,
        "history": history,
        "kernel": student.get_weights()[0].tolist(),
    }


def short_batches():
    """Final kernels of Keras' own training, of the Distiller's on labels alone, and of its with
    teachers, live and stored; the last batch of an epoch has one image, and so one replica none.
    """
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain, alone, live, stored = (linear() for _ in range(4))
    plain.compile(keras.optimizers.SGD(0.1), loss)
    alone_distiller = compiled(alone, optimizer=keras.optimizers.SGD(0.1), alpha=1.0, beta=0.0)
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    plain.fit(IMAGES[:17], LABELS[:17], **options)
    alone_distiller.fit(IMAGES[:17], LABELS[:17], **options)
    compiled(live, linear(1)).fit(IMAGES[:17], LABELS[:17], **options)
    y = {"label": LABELS[:17], "teacher": linear(1).predict(IMAGES[:17], verbose=0)}
    compiled(stored).fit(IMAGES[:17], y, **options)
    return [model.get_weights()[0].tolist() for model in (plain, alone, live, stored)]


@pytest.fixture(scope="module")
def two_replicas():
    pytest.importorskip("tensorflow", reason="MirroredStrategy is TensorFlow's")
    return _elsewhere(TWO_REPLICAS)


def test_a_replica_without_images_changes_nothing(two_replicas):
    plain, alone, live, stored = map(np.array, two_replicas["short"])
    np.testing.assert_allclose(alone, plain, atol=1e-6)
    np.testing.assert_allclose(live, stored, atol=1e-6)
    assert np.isfinite(live).all()


def test_two_replicas_train_as_one(two_replicas):
    two, one = two_replicas, two_epochs()
    assert (two["replicas"], one["replicas"]) == (2, 1)
    for name, values in one["history"].items():
        assert two["history"][name] == pytest.approx(values, rel=1e-5), name
    np.testing.assert_allclose(two["kernel"], one["kernel"], atol=1e-6)


def test_a_distribution_without_effect_is_refused():
    pytest.importorskip("tensorflow", reason="it has an effect on other backends")
    with (
        keras.distribution.DataParallel(devices=["cpu:0"]).scope(),
        pytest.raises(ConfigError, match="has no effect"),
    ):
        Distiller(linear())


@pytest.mark.parametrize("inside", ["student", "Distiller", "compile", "fit", "evaluate"])
def test_a_student_of_another_scope_than_its_distiller_is_told_in_one_sentence(inside):
    tf = pytest.importorskip("tensorflow", reason="tf.distribute is TensorFlow's")
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])

    def within(step, work):
        with strategy.scope() if step == inside else contextlib.nullcontext():
            return work()

    def all_steps():
        student = within("student", linear)
        distiller = within("Distiller", lambda: Distiller(student, beta=0))
        within("compile", lambda: distiller.compile("sgd"))
        within("fit", lambda: distiller.fit(IMAGES, LABELS, verbose=0))
        within("evaluate", lambda: distiller.evaluate(IMAGES, LABELS, verbose=0))

    with pytest.raises(ConfigError, match="was not built in the scope of tf.distribute") as caught:
        all_steps()
    assert "\n" not in str(caught.value)


def test_a_distiller_made_with_its_student_in_a_scope_trains_outside_of_it():
    tf = pytest.importorskip("tensorflow", reason="tf.distribute is TensorFlow's")
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        distiller = compiled(linear(), beta=0)
    steps = (distiller.train_on_batch, distiller.test_on_batch)
    assert all(np.isfinite(step(IMAGES, LABELS, return_dict=True)["loss"]) for step in steps)
