"""Whether a model's weights are still those that Keras drew, before any training."""

from __future__ import annotations

import math

import keras
import numpy as np


def is_untrained(model: keras.Model) -> bool:
    """Whether a model has learnt nothing, as far as its weights show it.

    Keras begins with biases of 0 and with kernels that are drawn evenly between
    ±sqrt(6 / (fan in + fan out)) (Glorot and Bengio 2010, equation 16); the biases of an LSTM's
    forget gate begin with 1. A step of training changes biases, and kernels set by hand have zeros.

    Args:
        model: any built model.

    Returns:
        True if all of its biases are these and all of its kernels lie within these bounds; False
            also for models without biases and for those with other initial weights.
    """
    biases = [weight for weight in model.weights if weight.name == "bias"]
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    if not biases or not kernels or not all(_is_first(_values(bias)) for bias in biases):
        return False
    return all(_is_drawn(_values(kernel)) for kernel in kernels)


def _is_first(bias: np.ndarray) -> bool:
    gates = np.zeros_like(bias)
    if bias.ndim == 1 and len(bias) % 4 == 0:
        gates[len(bias) // 4 : len(bias) // 2] = 1
    return not bias.any() or bool((bias == gates).all())


def _is_drawn(kernel: np.ndarray) -> bool:
    if kernel.ndim < 2:
        return False
    *field, fan_in, fan_out = kernel.shape
    fans = [math.prod(field) * (fan_in + fan_out)]
    if kernel.ndim == 3:  # Or those of an attention's heads: (in, heads, size), (heads, size, out).
        fans += [math.prod(kernel.shape[:axis]) + math.prod(kernel.shape[axis:]) for axis in (1, 2)]
    bound = math.sqrt(6 / min(fans))
    return bool((kernel != 0).all() and np.abs(kernel).max() <= bound * (1 + 1e-6))


def _values(weight: keras.Variable) -> np.ndarray:
    return keras.ops.convert_to_numpy(weight.value)
