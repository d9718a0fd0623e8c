"""Learning rates by layer against SGD written out, and smoothed labels against numbers by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd.training import optimizers, targets
from keras_kd.training.layer_rates import LayerRatesSGD

GRADIENTS = [np.array([1.0, -2.0], "float32"), np.array([0.5, 3.0], "float32")]


def _variables():
    values = (np.array([1.0, 2.0], "float32"), np.array([-1.0, 4.0], "float32"))
    return [keras.Variable(value, name=name) for value, name in zip(values, "ab", strict=True)]


def _stepped(optimizer, steps=3):
    variables = _variables()
    for _ in range(steps):
        optimizer.apply(GRADIENTS, variables)
    return [np.asarray(variable) for variable in variables]


def test_each_variable_learns_and_decays_at_its_own_rate():
    optimizer = LayerRatesSGD(
        0.1, momentum=0.9, nesterov=True, factors={"b": 0.25}, weight_decay=0.5
    )
    found = _stepped(optimizer)
    for start, gradient, rate, value in zip(
        _variables(), GRADIENTS, (0.1, 0.025), found, strict=True
    ):
        expected, momentum = np.asarray(start), 0
        for _ in range(3):
            expected = expected * (1 - rate * 0.5)
            momentum = 0.9 * momentum - rate * gradient
            expected = expected + 0.9 * momentum - rate * gradient
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_without_factors_it_is_keras_own():
    options = {"momentum": 0.9, "nesterov": True, "global_clipnorm": 1.0, "use_ema": True}
    own = LayerRatesSGD(0.1, factors={}, weight_decay=0.5, **options)
    for found, expected in zip(
        _stepped(own), _stepped(keras.optimizers.SGD(0.1, weight_decay=0.5, **options)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    again = LayerRatesSGD.from_config(own.get_config())
    assert again.get_config() == own.get_config()


class _Counted(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that falls with each step, and how often it was asked for."""

    asked = 0

    def __call__(self, step):
        self.asked += 1
        return 0.1 / (1 + keras.ops.cast(step, "float32"))

    def get_config(self):
        return {}


@pytest.mark.parametrize(("make", "own"), [
    (optimizers.sgd, lambda rate: keras.optimizers.SGD(
        rate, momentum=0.9, nesterov=True, weight_decay=2 / (1 - 0.9))),
    (optimizers.adamw, lambda rate: keras.optimizers.AdamW(rate, weight_decay=2)),
])  # fmt: skip
def test_a_schedule_is_asked_once_a_step_and_all_else_is_keras_own(make, own, monkeypatch):
    schedule = _Counted()
    monkeypatch.setattr(optimizers, "_scheduled", lambda *_: schedule)
    found = _stepped(make("cosine", 0.1, 2, 3))
    assert schedule.asked == 3
    for one, expected in zip(found, _stepped(own(_Counted())), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.parametrize("labels", [np.array([2, 0]), np.array([[0, 0, 1.0], [1.0, 0, 0]])])
def test_smoothed_labels(labels):
    expected = [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]
    np.testing.assert_allclose(targets.smoothed(labels, 3, 0.3), expected, rtol=1e-6)
