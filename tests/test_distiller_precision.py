"""The Distiller's step in float16, in bfloat16, compiled by XLA, and with two momenta."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import softmax
from small_students import (
    IMAGES,
    LABELS,
    LOGITS,
    compiled,
    deep,
    linear,
)

import keras_kd
from keras_kd.errors import ConfigError


def test_compiled_by_xla_the_step_is_the_same():
    ends = []
    for jit_compile in (False, True):
        student = deep(dropout=0.0)
        logs = compiled(student, deep(1), jit_compile=jit_compile).train_on_batch(
            IMAGES, LABELS, return_dict=True
        )
        ends.append((logs["loss"], student.get_weights()))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-5)
    for plain, xla in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(plain, xla, atol=1e-5)


def _movement(policy, scale):
    """How far one step moves the kernel of the first convolution, at losses made tiny by
    `scale`.
    """
    student = deep(dropout=0.0, policy=policy)
    before = student.get_weights()[0]
    distiller = compiled(student, deep(1), keras.optimizers.SGD(0.1 / scale))
    distiller.train_on_batch(IMAGES, LABELS, np.full(24, scale, np.float32))
    return student.get_weights()[0] - before, distiller


def test_float16_learns_where_plain_gradients_would_vanish():
    scale = 1e-7
    exact, _ = _movement("float32", scale)
    found, distiller = _movement("mixed_float16", scale)
    assert isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    assert np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)
    # The same without scaling, to show that the test can tell.
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the plain step is TensorFlow's")
    import tensorflow as tf

    student = deep(dropout=0.0, policy="mixed_float16")
    with tf.GradientTape() as tape:
        logits = student(IMAGES, training=True)
        loss = scale * tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits)
        )
    gradient = tape.gradient(loss, student.trainable_variables[0]).numpy()
    assert np.linalg.norm(gradient) * 0.1 / scale < 0.5 * np.linalg.norm(exact)


def test_bfloat16_learns_as_float32_does():
    exact, _ = _movement("float32", 1.0)
    found, distiller = _movement("mixed_bfloat16", 1.0)
    assert not isinstance(distiller.optimizer, keras.optimizers.LossScaleOptimizer)
    assert np.linalg.norm(found - exact) < 0.1 * np.linalg.norm(exact)


@pytest.mark.parametrize(
    "rate", [0.5, keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.1])]
)
@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_labels_and_teacher_have_momenta_of_their_own(rate, clip_norm):
    """DOT in NumPy: two velocities, of the labels' and of the teacher's gradient at one point."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the two gradients are taken apart on TensorFlow")
    student, y = linear(), {"label": LABELS, "teacher": LOGITS}
    kernel, v, u = student.get_weights()[0].astype(float), 0.0, 0.0
    optimizer = keras_kd.DistillationOrientedSGD(
        rate, momentum=0.7, difference=0.2, clip_norm=clip_norm
    )
    distiller = compiled(student, optimizer=optimizer)
    bias, v_bias, u_bias = np.zeros(3), 0.0, 0.0
    pixels, (p, shares) = IMAGES.reshape(24, 16) / 255, (softmax(LOGITS / 3, -1), np.eye(3)[LABELS])
    for step in range(3):
        distiller.train_on_batch(IMAGES, y)
        logits = pixels @ kernel + bias
        of_labels = 0.15 * (softmax(logits, -1) - shares) / 24
        of_teacher = 0.85 * 3 * (softmax(logits / 3, -1) - p) / 24
        whole = np.concatenate([pixels.T, np.ones((1, 24))]) @ (of_labels + of_teacher)
        scale = min(1, clip_norm / np.linalg.norm(whole)) if clip_norm else 1.0
        assert (scale < 1) == (clip_norm > 0)
        of_labels, of_teacher = scale * of_labels, scale * of_teacher
        now = 0.5 if rate == 0.5 or step <= 1 else 0.1
        v, u = 0.5 * v - now * pixels.T @ of_labels, 0.9 * u - now * pixels.T @ of_teacher
        v_bias, u_bias = (
            0.5 * v_bias - now * of_labels.sum(0),
            0.9 * u_bias - now * of_teacher.sum(0),
        )
        kernel, bias = kernel + v + u, bias + v_bias + u_bias
    np.testing.assert_allclose(student.get_weights()[0], kernel, atol=2e-5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert (again.momentum, again.of_teacher.momentum) == pytest.approx((0.5, 0.9))
    assert again.clip_norm == clip_norm
    # Two velocities of two weights, two counts of steps, one learning rate that is no schedule.
    assert len(optimizer.variables) == 6 + (rate == 0.5)


def test_a_global_norm_of_two_precisions_is_refused():
    image = keras.Input((4, 4, 1))
    x = layers.Dense(4, dtype="float16")(layers.Flatten()(image))
    student = keras.Model(image, layers.Dense(3)(x))
    with pytest.raises(ConfigError, match="weights of float16 and float32.*choose clipnorm"):
        compiled(student, linear(1), keras.optimizers.SGD(0.1, global_clipnorm=1.0))
    clipped = compiled(student, linear(1), keras.optimizers.SGD(0.1, clipnorm=1.0))
    assert np.isfinite(clipped.train_on_batch(IMAGES, LABELS)[0])


class _Counted(keras.optimizers.schedules.LearningRateSchedule):
    asked = 0

    def __call__(self, step):
        self.asked += 1
        return keras.ops.cast(0.5, "float32")

    def get_config(self):
        return {}


def test_momenta_apart_decay_as_keras_does_and_ask_the_schedule_once_each():
    gradients = [np.array([1.0, -2.0], "float32"), np.array([0.5, 3.0], "float32")]
    values = [np.array([1.0, 2.0], "float32"), np.array([-1.0, 4.0], "float32")]

    def stepped(optimizer, apply):
        variables = [keras.Variable(value) for value in values]
        optimizer.build(variables)
        optimizer.exclude_from_weight_decay(var_list=variables[1:])
        for _ in range(3):
            apply(gradients, variables)
        return [np.asarray(variable) for variable in variables]

    rate = _Counted()
    # Nothing of a teacher: SGD with the momentum of the labels.
    apart = keras_kd.DistillationOrientedSGD(rate, 0.7, 0.2, weight_decay=0.1)
    zeros = [np.zeros_like(value) for value in values]
    found = stepped(apart, lambda labels, weights: apart.apply_parts(labels, zeros, weights))
    assert rate.asked == 2 * 3  # momenta, steps
    keras_own = keras.optimizers.SGD(_Counted(), 0.5, weight_decay=0.1)
    for one, expected in zip(found, stepped(keras_own, keras_own.apply), strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-6)
    assert apart.get_config()["weight_decay"] == apart.weight_decay == 0.1


def test_momenta_apart_need_float32():
    student = deep(policy="mixed_float16")
    with pytest.raises(
        ConfigError, match="DistillationOrientedSGD.*needs the TensorFlow backend and float32"
    ):
        compiled(student, deep(1), keras_kd.DistillationOrientedSGD())
    with pytest.raises(ConfigError, match="momentum=0.95, difference=0.075"):
        keras_kd.DistillationOrientedSGD(momentum=0.95)
