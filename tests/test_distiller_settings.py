"""A Distiller's settings: changed between fits and within one, as JSON values, and refused."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_students import IMAGES, LABELS, RATE, compiled, expected_step, linear
from test_distiller_entries import refusal
from test_distiller_heads import convolved

from keras_kd.distiller import Distiller, FeatureMatch
from keras_kd.errors import ConfigError

STILL = 0.0  # a learning rate that leaves the weights as they are


def of_a_step(temperature, alpha, beta):
    """The loss of linear(0), taught by linear(1), in closed form."""
    kernel, logits = linear().get_weights()[0], linear(1).predict(IMAGES, verbose=0)
    hard, soft, _ = expected_step(kernel, logits, temperature, alpha, beta)
    return alpha * hard + beta * soft


@pytest.mark.parametrize("compile_again", [False, True])
def test_numbers_in_the_loss_may_change_between_fits(compile_again):
    distiller = compiled(linear(), linear(1), keras.optimizers.SGD(STILL), temperature=2, alpha=0.3)
    before = distiller.fit(IMAGES, LABELS, verbose=0).history["loss"]
    assert before == pytest.approx([of_a_step(2, 0.3, 0.7)], rel=1e-5)
    distiller.temperature, distiller.alpha = 8, np.float32(0.75)
    if compile_again:
        distiller.compile(keras.optimizers.SGD(STILL))
    after = distiller.fit(IMAGES, LABELS, verbose=0).history["loss"]
    assert after == pytest.approx([of_a_step(8, 0.75, 0.25)], rel=1e-5)
    distiller.beta = 0.5
    last = distiller.train_on_batch(IMAGES, LABELS, return_dict=True)["loss"]
    assert float(last) == pytest.approx(of_a_step(8, 0.75, 0.5), rel=1e-5)


def test_a_callback_anneals_them_and_class_weights_stay():
    class Annealing(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.temperature = 2.0 + epoch

    distiller = compiled(linear(), linear(1), keras.optimizers.SGD(STILL), alpha=0.3)
    found = distiller.fit(
        IMAGES, LABELS, epochs=3, verbose=0, callbacks=[Annealing()], class_weight={1: 3.0}
    ).history
    kernel, logits = linear().get_weights()[0], linear(1).predict(IMAGES, verbose=0)
    expected = [expected_step(kernel, logits, t, 0.3, 0.7, (1, 3, 1)) for t in (2, 3, 4)]
    assert found["hard_loss"] == pytest.approx([hard for hard, _, _ in expected], rel=1e-5)
    assert found["soft_loss"] == pytest.approx([soft for _, soft, _ in expected], rel=1e-5)
    kept = distiller.fit(IMAGES, LABELS, verbose=0).history["hard_loss"]
    assert kept == pytest.approx([expected_step(kernel, logits, 4, 0.3, 0.7)[0]], rel=1e-5)


def test_what_can_not_be_changed_says_so():
    distiller = Distiller(linear(), linear(1))
    for name in ("class_weights", "soft_loss", "teacher", "seed", "value_loss"):
        refusal(lambda n=name: setattr(distiller, n, None), ConfigError, name, "can't be changed")
    refusal(lambda: setattr(distiller, "temperature", 0), ConfigError, "above 0")
    refusal(lambda: setattr(distiller, "alpha", 2), ConfigError, "between 0 and 1")
    assert (distiller.temperature, distiller.alpha) == (3.0, 0.15)


def test_numbers_of_numpy_become_json_values():
    match = FeatureMatch("maps", "maps", "attention", np.float32(2))
    distiller = Distiller(
        convolved(0, 2),
        convolved(1, 5),
        temperature=np.float32(2),
        alpha=np.float64(0.25),
        beta=np.float16(0.5),
        seed=np.int64(4),
        value_weight=np.float32(0.5),
        class_weights=np.ones(3, np.float32),
        teacher_weights=np.array([1.0]),
        weights_normalised=np.bool_(True),
        features=match,
    )
    config = json.loads(json.dumps(distiller.get_config()))
    again = Distiller.from_config(config, teacher=convolved(1, 5))
    assert again.get_config() == config | {"student": again.get_config()["student"]}
    assert again.features == (match,)


@pytest.mark.parametrize(
    "given",
    [None, 3, keras.losses.KLDivergence, keras.losses.KLDivergence(), lambda teacher, student: 0],
)
def test_a_soft_loss_that_is_no_function_of_four_is_refused(given):
    refusal(lambda: Distiller(linear(), soft_loss=given), ConfigError, "soft_loss must be one of")


def test_class_weights_by_name_are_of_a_head_that_there_is():
    assert Distiller(linear(), class_weights={"dense": [1, 2, 3]}).class_weights == {"": (1, 2, 3)}
    for wrong in ({"0": 1.0, "1": 2.0, "2": 1.0}, {"a": [1] * 3, "b": [1] * 3}):
        words = (repr(next(iter(wrong))), "integers")
        refusal(lambda w=wrong: Distiller(linear(), class_weights=w), ConfigError, *words)
    refusal(lambda: Distiller(linear(), binary="dense"), ConfigError, "['dense']")
    refusal(lambda: Distiller(linear(), binary=True), ConfigError, "list of names", "True")


def test_a_teacher_and_maps_of_another_size_are_compiled_by_xla():
    """Keras compiles by XLA by itself where there is a GPU."""
    pytest.importorskip("tensorflow", reason="XLA compiles all of JAX's steps anyway")

    def net(size, channels):
        keras.utils.set_random_seed(size)
        parts = [
            keras.layers.Conv2D(channels, 3, name="maps"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
        return keras.Sequential([keras.Input((size, size, 1)), *parts])

    def loss(jit_compile):
        matches = [FeatureMatch("maps", "maps", kind) for kind in ("hint", "attention")]
        distiller = compiled(net(4, 2), net(9, 5), features=matches, jit_compile=jit_compile)
        return distiller.fit(IMAGES, LABELS, epochs=2, shuffle=False, verbose=0).history["loss"]

    with pytest.warns(UserWarning, match="resized for the teacher"):
        assert loss(True) == pytest.approx(loss(False), rel=1e-4)


def test_a_step_of_ones_own_needs_to_report_no_metrics():
    class Own(Distiller):
        def train_step(self, data):
            images, labels = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(images, labels, self(images, training=True))
            weights = self.trainable_weights
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            return {"loss": loss}

    student, teacher = linear(), linear(1)
    *_, after = expected_step(
        student.get_weights()[0], teacher.predict(IMAGES, verbose=0), 3.0, 0.15, 0.85
    )
    distiller = Own(student, teacher)
    distiller.compile(keras.optimizers.SGD(RATE))
    distiller.fit(IMAGES, LABELS, batch_size=24, verbose=0)
    np.testing.assert_allclose(student.get_weights()[0], after, atol=1e-5)
