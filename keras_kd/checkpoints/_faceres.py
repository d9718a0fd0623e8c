"""FaceRes' published weights, in TensorFlow.js' form, as the model `mobilenet-face` without a head.

The file's last layers predict age and gender; they are left out, and the model ends in the 1024
features of a face. Batch normalisation is folded in the file: convolutions of 1x1 hold the scale in
their kernels, depthwise ones have it beside them. Here each becomes a normalisation with the mean 0
and the variance 1 that computes the same, see `keras_kd.models.surgery.fine_tuning`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
from keras import layers

from keras_kd import models
from keras_kd.checkpoints import _tensorflow_js
from keras_kd.checkpoints._tensorflow_js import Step
from keras_kd.errors import ModelError
from keras_kd.models.architectures import mobilenet_face
from keras_kd.models.surgery.keras_internals import layer_of

NAME = mobilenet_face.NAMES[0]


def load(path: str | Path, input_shape: tuple[int, int, int] | None) -> keras.Model:
    """Read the network up to its features.

    Raises:
        ModelError: the file is damaged, or its graph is another one.
    """
    graph = _tensorflow_js.read(path)
    built = models.build(NAME, input_shape=input_shape)
    try:
        steps = iter(graph.chain("Mean"))
        for layer in built.layers:
            _fill(layer, steps)
        _average(next(steps))
    except (ValueError, LookupError, TypeError, StopIteration) as error:
        reason = "it has fewer operations" if isinstance(error, StopIteration) else error
        raise ModelError(
            f"{path} holds another graph than {NAME}'s ({reason}): give FaceRes' faceres.json."
        ) from error
    features = built.get_layer(mobilenet_face.FEATURES).output
    return keras.Model(built.input, features, name=NAME)


def _fill(layer: layers.Layer, steps: Iterator[Step]) -> None:
    """Set a layer's weights from the next operations, which must be its own."""
    if isinstance(layer, layers.DepthwiseConv2D):
        layer.set_weights([_kernel(next(steps), "DepthwiseConv2dNative", layer)])
    elif isinstance(layer, layers.Conv2D):
        kernel = _kernel(next(steps), "Conv2D", layer)
        # The file takes blue, green, red, the model red, green, blue.
        layer.set_weights([kernel[:, :, ::-1] if kernel.shape[2] == 3 else kernel])
    elif isinstance(layer, layers.BatchNormalization):
        depthwise = isinstance(layer_of(layer.input), layers.DepthwiseConv2D)
        ones = np.ones(layer.gamma.shape, np.float32)
        scale = _array(next(steps), "Mul", ones.shape) if depthwise else ones
        shift = _array(next(steps), "Add", ones.shape)
        # The variance and epsilon together are 1.
        layer.set_weights([scale, shift, 0 * ones, (1 - layer.epsilon) * ones])
    elif isinstance(layer, layers.ReLU):
        _array(next(steps), "Relu", None)
        for operation, bound in (("Minimum", 6), ("Maximum", 0)):
            if _array(next(steps), operation, ()) != bound:
                raise ValueError(f"an activation is not held within 0 and 6 by {operation}")


def _array(step: Step, operation: str, shape: tuple[int, ...] | None) -> np.ndarray | None:
    """The array of an operation, float32; it must be this one, of this shape, finite."""
    found = None if step.array is None else step.array.shape
    if step.operation != operation or found != shape:
        raise ValueError(f"{step.operation} {found} where {operation} {shape} belongs")
    if step.array is None:
        return None
    if step.array.dtype.kind != "f" or not np.isfinite(step.array).all():
        raise ValueError(f"the numbers of a {operation} are not all finite")
    return step.array.astype(np.float32)


def _kernel(
    step: Step, operation: str, layer: layers.Conv2D | layers.DepthwiseConv2D
) -> np.ndarray:
    kernel = _array(step, operation, tuple(layer.kernel.shape))
    strides, layout = (1, *layer.strides, 1), (step.text("padding"), step.text("data_format"))
    if step.strides != strides or layout != ("SAME", "NHWC"):
        raise ValueError(f"{layer.name} has strides {step.strides} and {' '.join(layout)[:40]}")
    return kernel


def _average(step: Step) -> None:
    if step.operation != "Mean" or step.array is None or step.array.tolist() != [1, 2]:
        raise ValueError("the features are no average over height and width")
