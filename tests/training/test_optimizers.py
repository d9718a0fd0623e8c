"""Weights of classes, schedules and the optimizer against closed forms and PyTorch's formula."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd.training import optimizers, targets


def test_balanced_weights_are_n_over_c_times_n_c():
    weights = targets.balanced_weights(np.array([0, 0, 0, 1, 1, 3]), 4)
    np.testing.assert_allclose(weights, [6 / 12, 6 / 8, 0, 6 / 4])
    shares = np.array([[0.5, 0.5], [1, 0], [1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(targets.balanced_weights(shares, 2), [4 / 6, 4 / 2])


def test_cosine_warms_up_then_falls_to_zero():
    rate = optimizers.sgd("cosine", 0.4, 0, 200)._learning_rate
    found = [float(rate(step)) for step in (0, 5, 10, 105, 200)]
    assert found == pytest.approx([0, 0.2, 0.4, 0.2, 0], abs=1e-6)
    short = optimizers.sgd("cosine", 0.4, 0, 4)._learning_rate
    assert [float(short(step)) for step in range(5)] == pytest.approx(
        [0.2 * (1 + np.cos(np.pi * step / 4)) for step in range(5)], abs=1e-6
    )


def _pytorch_sgd(weight, gradients, rate, decay):
    """torch.optim.SGD with nesterov and momentum 0.9, from its documentation, in float64."""
    momentum = None
    for gradient in gradients:
        gradient = gradient + decay * weight
        momentum = gradient if momentum is None else 0.9 * momentum + gradient
        weight = weight - rate * (gradient + 0.9 * momentum)
    return weight


def test_sgd_ends_where_pytorchs_does():
    """The same direction and, in the long run, the same decay: torch has it inside the momentum,
    Keras outside.
    """
    for decay, steps, tolerance in ((0.0, 7, 1e-6), (1e-2, 300, 2e-2)):
        optimizer = optimizers.sgd("plateau", 0.05, decay, steps)
        variable = keras.Variable([1.0, -2.0])
        gradients = [np.array([0.3, -0.1]) * np.cos(step) for step in range(steps)]
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        expected = _pytorch_sgd(np.array([1.0, -2.0]), gradients, 0.05, decay)
        np.testing.assert_allclose(np.asarray(variable), expected, atol=tolerance)


def test_clipping_bounds_the_gradients_together():
    variables = [keras.Variable([0.0]), keras.Variable([0.0])]
    optimizer = optimizers.sgd("plateau", 0.5, 0, 10, clip_norm=1.0)
    optimizer.apply([keras.ops.convert_to_tensor([value]) for value in (3.0, 4.0)], variables)
    # (3, 4) has the norm 5; the first step of Nesterov is 1 + 0.9 times the gradient.
    assert [float(variable[0]) for variable in variables] == pytest.approx(
        [-0.5 * 1.9 * 0.6, -0.5 * 1.9 * 0.8]
    )


def test_callbacks_follow_the_recipe():
    plateau, stop = optimizers.schedule_callbacks("plateau", 15)
    assert (plateau.monitor, plateau.factor, plateau.patience, plateau.mode) == (
        "val_score",
        0.1,
        5,
        "max",
    )
    assert (stop.monitor, stop.patience, stop.mode) == ("val_score", 15, "max")
    assert optimizers.schedule_callbacks("cosine", 0) == []
