"""The Distiller against NumPy: a linear student has every step in closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax, rel_entr, softmax

import keras_kd
from keras_kd import losses
from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError, ModelError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (24, 4, 4, 1), dtype=np.uint8)
LABELS = RANDOM.integers(0, 3, 24)
WEIGHTS = RANDOM.uniform(0, 2, 24).astype(np.float32)
LOGITS = RANDOM.normal(0, 3, (24, 3)).astype(np.float32)
RATE = 0.5


@keras.saving.register_keras_serializable("test")
class Count(layers.Layer):
    """Passes its input on and counts how often it is computed, not how often it is traced."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", dtype="int32", trainable=False)

    def call(self, x):
        self.calls.assign_add(1)
        return x


def linear(seed=0, classes=3, regulariser=None, count=False):
    """softmax regression on pixels 0..1."""
    image = keras.Input((4, 4, 1))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    x = Count(name="count")(x) if count else x
    kernel = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
    return keras.Model(
        image, layers.Dense(classes, kernel_initializer=kernel, kernel_regularizer=regulariser)(x)
    )


def deep(seed=0, dropout=0.3, policy="float32"):
    """Convolution, batch norm and dropout; the logits are float32."""
    image = keras.Input((4, 4, 1))
    x = layers.Rescaling(1 / 255, dtype=policy)(image)
    kernels = [keras.initializers.HeUniform(3 * seed + index) for index in range(2)]
    x = layers.Conv2D(4, 3, padding="same", kernel_initializer=kernels[0], dtype=policy)(x)
    x = layers.ReLU(dtype=policy)(layers.BatchNormalization(momentum=0.9, dtype=policy)(x))
    x = layers.Dropout(dropout, seed=seed, dtype=policy)(layers.Flatten(dtype=policy)(x))
    return keras.Model(image, layers.Dense(3, kernel_initializer=kernels[1], dtype="float32")(x))


def compiled(student, teacher=None, optimizer=None, **options):
    compiling = {
        name: options.pop(name)
        for name in ("metrics", "weighted_metrics", "jit_compile")
        if name in options
    }
    distiller = Distiller(student, teacher, **options)
    distiller.compile(optimizer or keras.optimizers.SGD(RATE), **compiling)
    return distiller


def expected_step(kernel, logits, temperature, alpha, beta, class_weights=(1, 1, 1), weights=1):
    """(hard, soft, kernel after one step of SGD) of a linear student without bias, in float64."""
    pixels = IMAGES.reshape(24, 16) / 255
    student, teacher, shares = (
        pixels @ kernel.astype(float),
        logits.astype(float),
        np.eye(3)[LABELS] * np.array(class_weights),
    )
    weights = np.broadcast_to(weights, 24)
    hard = weights * -(shares * log_softmax(student, -1)).sum(-1)
    p, q = softmax(teacher / temperature, -1), softmax(student / temperature, -1)
    soft = weights * temperature**2 * rel_entr(p, q).sum(-1)
    of_hard = shares.sum(-1, keepdims=True) * softmax(student, -1) - shares
    slope = weights[:, None] * (alpha * of_hard + beta * temperature * (q - p)) / 24
    return hard.mean(), soft.mean(), kernel - RATE * pixels.T @ slope


@pytest.mark.parametrize(
    ("options", "beta"),
    [
        ({"temperature": 3.0, "alpha": 0.15}, 0.85),
        (
            {
                "temperature": 4.0,
                "alpha": 0.5,
                "beta": 2.0,
                "class_weights": np.array([0.5, 1.0, 3.0]),
            },
            2.0,
        ),
    ],
)
@pytest.mark.parametrize("live", [True, False])
def test_a_step_is_the_one_of_the_formula(options, beta, live):
    student, teacher = linear(), linear(1)
    kernel, logits = student.get_weights()[0], teacher.predict(IMAGES, verbose=0)
    class_weights = options.get("class_weights", (1, 1, 1))
    hard, soft, after = expected_step(
        kernel, logits, options["temperature"], options["alpha"], beta, class_weights, WEIGHTS
    )
    distiller = compiled(student, teacher if live else None, **options)
    y = LABELS if live else {"label": LABELS, "teacher": logits}
    logs = distiller.train_on_batch(IMAGES, y, WEIGHTS, return_dict=True)
    assert logs["hard_loss"] == pytest.approx(hard, rel=1e-5)
    assert logs["soft_loss"] == pytest.approx(soft, rel=1e-5)
    assert logs["loss"] == pytest.approx(options["alpha"] * hard + beta * soft, rel=1e-5)
    np.testing.assert_allclose(student.get_weights()[0], after, atol=1e-6)


def test_labels_as_shares_are_learnt_alike():
    student = linear()
    _, _, after = expected_step(student.get_weights()[0], LOGITS, 3.0, 0.15, 0.85)
    y = {"label": np.eye(3, dtype=np.float32)[LABELS], "teacher": LOGITS}
    compiled(student).train_on_batch(IMAGES, y)
    np.testing.assert_allclose(student.get_weights()[0], after, atol=1e-6)


def test_without_beta_no_teacher_is_needed():
    student = linear()
    hard, _, after = expected_step(student.get_weights()[0], LOGITS, 3.0, 1.0, 0.0)
    logs = compiled(student, alpha=1.0).train_on_batch(IMAGES, LABELS, return_dict=True)
    assert logs["loss"] == pytest.approx(hard, rel=1e-5) and "soft_loss" not in logs
    np.testing.assert_allclose(student.get_weights()[0], after, atol=1e-6)


def test_a_live_teacher_and_its_stored_logits_train_alike():
    ends = []
    for live in (True, False):
        student, teacher = deep(), deep(1)
        y = LABELS if live else {"label": LABELS, "teacher": teacher.predict(IMAGES, verbose=0)}
        distiller = compiled(student, teacher if live else None, metrics=["accuracy"])
        history = distiller.fit(IMAGES, y, batch_size=8, epochs=3, shuffle=False, verbose=0).history
        ends.append((history, student.get_weights()))
    for name, values in ends[0][0].items():
        assert values == pytest.approx(ends[1][0][name], rel=1e-5), name
    for live, stored in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(live, stored, atol=1e-6)


def test_forward_passes_are_counted():
    student, teacher = linear(count=True), linear(1, count=True)
    calls = [model.get_layer("count").calls for model in (student, teacher)]
    distiller = compiled(student, teacher)
    distiller.fit(IMAGES, LABELS, batch_size=8, epochs=2, verbose=0)
    assert [int(count) for count in calls] == [6, 6]
    distiller.evaluate(IMAGES, LABELS, batch_size=8, verbose=0)
    assert [int(count) for count in calls] == [9, 6]
    distiller.fit(IMAGES, {"label": LABELS, "teacher": LOGITS}, batch_size=8, verbose=0)
    assert [int(count) for count in calls] == [12, 6]


def test_the_teacher_stays_as_it_is():
    student, teacher = deep(), deep(1)
    before = [np.asarray(variable).copy() for variable in teacher.variables]
    distiller = compiled(student, teacher, keras.optimizers.SGD(RATE, 0.9, weight_decay=0.1))
    distiller.fit(IMAGES, LABELS, batch_size=8, verbose=0)
    assert all(np.array_equal(old, new) for old, new in zip(before, teacher.variables, strict=True))
    assert len(distiller.trainable_variables) == len(student.trainable_variables) == 6


def test_zero_weights_give_zero_loss_and_no_step():
    student = linear()
    before = student.get_weights()
    logs = compiled(student, linear(1)).train_on_batch(
        IMAGES, LABELS, np.zeros(24), return_dict=True
    )
    assert (logs["loss"], logs["hard_loss"], logs["soft_loss"]) == (0, 0, 0)
    assert all(
        np.array_equal(old, new) for old, new in zip(before, student.get_weights(), strict=True)
    )


def test_regularisers_of_the_student_alone_count():
    student, teacher = (
        linear(regulariser=keras.regularizers.L2(0.01)),
        linear(1, regulariser=keras.regularizers.L2(1)),
    )
    kernel = student.get_weights()[0]
    distiller = compiled(student, teacher)
    logs = distiller.train_on_batch(IMAGES, LABELS, np.zeros(24), return_dict=True)
    assert logs["loss"] == pytest.approx(0.01 * (kernel.astype(float) ** 2).sum(), rel=1e-5)
    np.testing.assert_allclose(student.get_weights()[0], kernel * (1 - RATE * 0.02), atol=1e-7)


def test_evaluate_gives_the_plain_cross_entropy_and_changes_nothing():
    student = deep()
    distiller = compiled(
        student, deep(1), class_weights=np.array([5.0, 1.0, 1.0]), metrics=["accuracy"]
    )
    distiller.fit(IMAGES, LABELS, batch_size=8, verbose=0)
    state = [*student.variables, *distiller.teacher.variables, *distiller.optimizer.variables]
    assert any("seed" in variable.path for variable in state)
    before = [np.asarray(variable).copy() for variable in state]
    logits = student.predict(IMAGES, verbose=0)
    expected = -(log_softmax(logits.astype(float), -1)[np.arange(24), LABELS])
    # Batches of 8 and 8 and 8: the mean is over images.
    for y in (LABELS, {"label": LABELS, "teacher": LOGITS}):
        logs = distiller.evaluate(IMAGES, y, batch_size=8, verbose=0, return_dict=True)
        assert set(logs) == {"loss", "accuracy"}
        assert logs["loss"] == pytest.approx(expected.mean(), rel=1e-5)
        assert logs["accuracy"] == pytest.approx((logits.argmax(-1) == LABELS).mean())
    weighted = distiller.evaluate(
        IMAGES, LABELS, sample_weight=WEIGHTS, verbose=0, return_dict=True
    )
    assert weighted["loss"] == pytest.approx((WEIGHTS * expected).mean(), rel=1e-5)
    assert all(np.array_equal(old, new) for old, new in zip(before, state, strict=True))


def test_history_counts_every_image_alike():
    """Batches of 10, 10 and 4: the mean of means would be another number."""
    student = linear()
    hard, soft, _ = expected_step(student.get_weights()[0], LOGITS, 3.0, 0.15, 0.85)
    distiller = compiled(student, optimizer=keras.optimizers.SGD(0.0), metrics=["accuracy"])
    y = {"label": LABELS, "teacher": LOGITS}
    history = distiller.fit(
        IMAGES, y, batch_size=10, epochs=2, validation_data=(IMAGES, y), verbose=0
    ).history
    assert set(history) == {
        "loss",
        "hard_loss",
        "soft_loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
    }
    assert history["hard_loss"] == pytest.approx([hard] * 2, rel=1e-5)
    assert history["soft_loss"] == pytest.approx([soft] * 2, rel=1e-5)
    assert history["loss"] == pytest.approx([0.15 * hard + 0.85 * soft] * 2, rel=1e-5)
    assert history["val_loss"] == pytest.approx([hard] * 2, rel=1e-5)
    assert history["accuracy"] == pytest.approx(history["val_accuracy"])


def test_tf_data_trains_as_arrays_do():
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    y, ends = {"label": LABELS, "teacher": LOGITS}, []
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, y, WEIGHTS)).batch(8)
    arrays = {"x": IMAGES, "y": y, "sample_weight": WEIGHTS, "batch_size": 8, "shuffle": False}
    for data in ({"x": dataset, "shuffle": False}, arrays):
        distiller = compiled(linear(), weighted_metrics=["accuracy"])
        history = distiller.fit(**data, validation_data=dataset, verbose=0).history
        ends.append((history, distiller.student.get_weights()[0]))
    for name, values in ends[0][0].items():
        assert ends[1][0][name] == pytest.approx(values, rel=1e-5), name
    np.testing.assert_allclose(ends[0][1], ends[1][1], atol=1e-6)


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


def test_predict_gives_the_students_logits():
    student = deep()
    np.testing.assert_array_equal(
        compiled(student, deep(1)).predict(IMAGES, verbose=0), student.predict(IMAGES, verbose=0)
    )


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
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature must be above 0 and finite. Received: temperature=0."),
        ({"temperature": float("nan")}, "Received: temperature=nan."),
        ({"temperature": float("inf")}, "Received: temperature=inf."),
        ({"alpha": 1.5}, "alpha must be between 0 and 1. Received: alpha=1.5."),
        ({"alpha": -0.1}, "Received: alpha=-0.1."),
        ({"beta": -1}, "beta must be 0 or more and finite. Received: beta=-1."),
        (
            {"class_weights": [1, 2]},
            "one value for each of the student's 3 classes. Received: 2 values.",
        ),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        Distiller(linear(), **options)
    assert message in str(caught.value)


def test_a_missing_teacher_is_told_in_one_sentence():
    with pytest.raises(ModelError) as caught:
        compiled(linear()).fit(IMAGES, LABELS, verbose=0)
    assert str(caught.value).startswith(
        "No teacher to learn from: give Distiller a teacher, or batches whose y is"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [1, 5])
def test_a_teacher_of_other_classes_is_told_in_one_sentence(classes):
    with pytest.raises(ModelError) as caught:
        compiled(linear(), linear(1, classes)).fit(IMAGES, LABELS, verbose=0)
    assert str(caught.value).startswith(
        f"The teacher's logits are of {classes} classes and the student's logits of 3"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", losses.soft_loss_names())
def test_every_soft_loss_is_what_the_step_adds(name):
    student = linear()
    logits = student.predict(IMAGES, verbose=0)
    expected = float(np.mean(losses.soft_loss(name)(LABELS, LOGITS, logits, 3.0)))
    logs = compiled(student, soft_loss=name).train_on_batch(
        IMAGES, {"label": LABELS, "teacher": LOGITS}, return_dict=True
    )
    assert logs["soft_loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("class_weights", [None, (1.0, 2.0, 1.0)])
def test_a_sequential_student_learns(class_weights):
    student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    distiller = Distiller(student, teacher, class_weights=class_weights)
    distiller.compile("sgd")
    before = student.get_weights()[0].copy()
    history = distiller.fit(np.eye(4), np.array([0, 1, 2, 0]), verbose=0).history
    assert np.isfinite(history["loss"][0]) and np.abs(student.get_weights()[0] - before).max() > 0


def test_a_student_whose_outputs_are_unknown_is_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    for student in (
        Subclassed(name="open"),
        keras.Sequential([keras.layers.Dense(3)], name="open"),
    ):
        with pytest.raises(
            ModelError, match="The outputs of the student open are unknown before it runs: begin"
        ):
            Distiller(student)


@pytest.mark.parametrize(
    "rate", [0.5, keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.1])]
)
def test_labels_and_teacher_have_momenta_of_their_own(rate):
    """DOT in NumPy: two velocities, of the labels' and of the teacher's gradient at one point."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the two gradients are taken apart on TensorFlow")
    student, y = linear(), {"label": LABELS, "teacher": LOGITS}
    kernel, v, u = student.get_weights()[0].astype(float), 0.0, 0.0
    optimizer = keras_kd.DistillationOrientedSGD(rate, momentum=0.7, difference=0.2)
    distiller = compiled(student, optimizer=optimizer)
    bias, v_bias, u_bias = np.zeros(3), 0.0, 0.0
    pixels, (p, shares) = IMAGES.reshape(24, 16) / 255, (softmax(LOGITS / 3, -1), np.eye(3)[LABELS])
    for step in range(3):
        distiller.train_on_batch(IMAGES, y)
        logits = pixels @ kernel + bias
        of_labels = 0.15 * (softmax(logits, -1) - shares) / 24
        of_teacher = 0.85 * 3 * (softmax(logits / 3, -1) - p) / 24
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
    # Two velocities of two weights, two counts of steps, one learning rate that is no schedule.
    assert len(optimizer.variables) == 6 + (rate == 0.5)


def test_momenta_apart_need_float32():
    student = deep(policy="mixed_float16")
    with pytest.raises(
        ConfigError, match="DistillationOrientedSGD needs the TensorFlow backend and float32"
    ):
        compiled(student, deep(1), keras_kd.DistillationOrientedSGD())
    with pytest.raises(ConfigError, match="momentum=0.95, difference=0.075"):
        keras_kd.DistillationOrientedSGD(momentum=0.95)
