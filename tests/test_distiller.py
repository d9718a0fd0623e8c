"""The Distiller against NumPy: a linear student has every step in closed form."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax
from small_students import (
    IMAGES,
    LABELS,
    LOGITS,
    RATE,
    WEIGHTS,
    compiled,
    deep,
    expected_step,
    linear,
)

from keras_kd import losses
from keras_kd.distiller import Distiller


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
    counts = [model.get_layer("count") for model in (student, teacher)]
    distiller = compiled(student, teacher)
    distiller.fit(IMAGES, LABELS, batch_size=8, epochs=2, verbose=0)
    # Once more with two batches, to see whether the teacher computes each image by itself.
    assert [count.calls for count in counts] == [6, 6 + 2]
    distiller.evaluate(IMAGES, LABELS, batch_size=8, verbose=0)
    assert [count.calls for count in counts] == [9, 8]
    distiller.fit(IMAGES, {"label": LABELS, "teacher": LOGITS}, batch_size=8, verbose=0)
    assert [count.calls for count in counts] == [12, 8]


def test_the_teacher_stays_as_it_is():
    student, teacher = deep(), deep(1)
    before = [np.asarray(variable).copy() for variable in teacher.variables]
    distiller = compiled(student, teacher, keras.optimizers.SGD(RATE, 0.9, weight_decay=0.1))
    distiller.fit(IMAGES, LABELS, batch_size=8, verbose=0)
    assert all(np.array_equal(old, new) for old, new in zip(before, teacher.variables, strict=True))
    assert len(distiller.trainable_variables) == len(student.trainable_variables) == 6


class InTraining(keras.Model):
    """A network whose own code calls its normalisation and dropout as in training."""

    def __init__(self):
        super().__init__()
        self.flatten, self.dense = layers.Flatten(), layers.Dense(3)
        self.norm, self.dropout = layers.BatchNormalization(momentum=0.5), layers.Dropout(0.5)

    def call(self, image):
        x = self.norm(self.flatten(keras.ops.cast(image, "float32")), training=True)
        return self.dense(self.dropout(x, training=True))


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_a_teacher_that_is_in_training_by_its_own_code_keeps_its_statistics(run_eagerly):
    teacher = InTraining()
    teacher(IMAGES)
    weights = teacher.get_weights()
    [seed] = [one for one in teacher.variables if all(one is not own for own in teacher.weights)]
    drawn = np.asarray(seed).tolist()
    distiller = Distiller(linear(), teacher)
    distiller.compile("sgd", run_eagerly=run_eagerly)
    distiller.fit(IMAGES, LABELS, batch_size=8, verbose=0)
    for before, after in zip(weights, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    # Or each batch would be shown the same dropout.
    assert np.asarray(seed).tolist() != drawn


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


def test_losses_that_a_layer_adds_for_each_image_are_summed_as_keras_does():
    class Penalised(keras.layers.Layer):
        def call(self, logits):
            self.add_loss(0.1 * keras.ops.mean(logits**2, axis=-1))
            return logits

    def student():
        model = linear()
        return keras.Model(model.input, Penalised()(model.output))

    plain, distilled = student(), student()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.SGD(RATE), loss)
    expected = plain.train_on_batch(IMAGES, LABELS)
    distiller = compiled(distilled, alpha=1.0, beta=0.0)
    logs = distiller.train_on_batch(IMAGES, LABELS, return_dict=True)
    assert logs["loss"] == pytest.approx(float(expected), rel=1e-5)
    for one, other in zip(distilled.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


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


def test_predict_gives_the_students_logits():
    student = deep()
    np.testing.assert_array_equal(
        compiled(student, deep(1)).predict(IMAGES, verbose=0), student.predict(IMAGES, verbose=0)
    )


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
