"""A graph in the form that runtimes compute right and fast; equal to the original but for rounding.

Three changes: rescalings become 1x1 convolutions, additions of maps of one pixel stay additions of
rank 4, and three equal channels become one.
"""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np

from keras_kd.models.surgery.at_rest import without_augmentation
from keras_kd.models.surgery.compaction import CompactConv2D, CompactPadding2D, compact
from keras_kd.models.surgery.copies import as_functional, copied
from keras_kd.models.surgery.keras_internals import calls, layer_of, readers
from keras_kd.models.surgery.weights import is_plain


class PlainAdd(keras.layers.Layer):
    """The sum of its inputs by TensorFlow's own addition.

    Keras turns the sum of (1, 1, 1, C) into BiasAdd of (C,), which needs one more RESHAPE.
    """

    def call(self, inputs: list[Any]) -> Any:
        import tensorflow as tf

        return functools.reduce(lambda x, y: tf.raw_ops.AddV2(x=x, y=y), inputs)


def compacted(model: keras.Model) -> keras.Model:
    """Return the model without augmentation and taps that can't matter, its rescaling as 1x1
    convolution.
    """
    return _with_convolved_rescaling(compact(without_augmentation(model)))


def runtime_form(model: keras.Model, gray: bool = False) -> keras.Model:
    """Return the model without taps that can't matter, in the form that runtimes compute best.

    Args:
        model: Functional or Sequential, float32, of one input of fixed shape.
        gray: whether its images are gray, so that three channels are equal.

    Returns:
        A model of one channel where `gray` allows it, else of the same input.
    """
    return _single_channel(_with_plain_adds(compacted(model)), gray)


def _with_plain_adds(model: keras.Model) -> keras.Model:
    sums = {layer for layer in model.layers
            if type(layer) is keras.layers.Add and _of_one_pixel(layer)}  # fmt: skip
    if not sums:
        return model
    return copied(
        model, lambda layer: PlainAdd(dtype="float32", name=layer.name) if layer in sums else None
    )


def _of_one_pixel(layer: keras.layers.Add) -> bool:
    shapes = [tuple(tensor.shape) for call in calls(layer) for tensor in call.input_tensors]
    # Keras gives inputs of other ranks axes in the middle, which TensorFlow puts in front.
    return all(len(shape) == 4 for shape in shapes) and any(
        shape[1:3] == (1, 1) for shape in shapes
    )


def _with_convolved_rescaling(model: keras.Model) -> keras.Model:
    """Runtimes convolve faster than they multiply by a vector: 5 % of Student B's time, 19 % of
    C's. Of a normalisation by channel, tf2onnx would leave the constants open.
    """
    rescaled = {layer for layer in model.layers if _rescales(layer) and _takes_few_channels(layer)}
    if not rescaled:
        return model

    def replaced(layer: keras.Layer) -> keras.Layer | None:
        if layer in rescaled:
            return keras.layers.Conv2D(layer.output.shape[3], 1, dtype="float32", name=layer.name)
        return None

    def adapted(layer: keras.Layer) -> list[np.ndarray]:
        if layer not in rescaled:
            return layer.get_weights()
        scale, offset = _scale_and_offset(layer)
        return [np.diag(scale)[None, None], offset]

    return copied(model, replaced, adapted=adapted)


def _takes_few_channels(layer: keras.Layer) -> bool:
    """Whether every call takes maps in floats, of one small number of channels."""
    tensors = [tensor for call in calls(layer) for tensor in call.input_tensors]
    return (
        all(len(one.shape) == 4 and keras.backend.is_float_dtype(one.dtype) for one in tensors)
        and len({one.shape[3] for one in tensors}) == 1
        and tensors[0].shape[3] <= 4
    )


def _rescales(layer: keras.Layer) -> bool:
    """Whether it multiplies each channel by a number and adds another."""
    if type(layer) is keras.layers.Normalization:
        return tuple(layer.axis) in ((-1,), (3,)) and not layer.invert
    if type(layer) is not keras.layers.Rescaling:
        return False
    # An array of more axes may differ by the place in the image.
    return all(len(np.shape(one)) <= 1 for one in (layer.scale, layer.offset))


def _scale_and_offset(layer: keras.Layer) -> tuple[np.ndarray, np.ndarray]:
    ones = np.ones(layer.output.shape[3])
    if isinstance(layer, keras.layers.Rescaling):
        return ones * layer.scale, ones * layer.offset
    mean, variance = (
        keras.ops.convert_to_numpy(values).astype(np.float64).reshape(-1)
        for values in (layer.mean, layer.variance)
    )
    # As Keras' Normalization, which bounds the deviation and not the variance.
    scale = ones / np.maximum(np.sqrt(variance), keras.backend.epsilon())
    return scale, -mean * scale


def _single_channel(model: keras.Model, gray: bool) -> keras.Model:
    """Sum the first convolution's kernel over three input channels that are equal.

    Exact, zeros around the image included: what lies between the image and that convolution treats
    all channels alike, and makes one channel of one.
    """
    channels = model.inputs[0].shape[3]
    if channels != 1 and not (gray and channels == 3):
        return model
    graph = as_functional(model)
    repeat, chain = _equal_channels(graph)
    if not chain:
        return model
    first = chain[-1]

    def replaced(layer: keras.Layer) -> keras.Layer | None:
        if layer is first or layer not in chain or not layer.weights:
            return None
        return keras.layers.Conv2D(1, 1, dtype="float32", name=layer.name)

    def adapted(layer: keras.Layer) -> list[np.ndarray]:
        weights = layer.get_weights()
        if layer is first:
            # Equal channels: w1 x + w2 x + w3 x = (w1 + w2 + w3) x.
            return [weights[0].sum(axis=2, keepdims=True), *weights[1:]]
        if layer in chain and weights:
            return [weights[0][:, :, :1, :1], weights[1][:1]]
        return weights

    def called(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        skipped = repeat is not None and layer.name == repeat.name
        return args[0][0] if skipped else layer(*args, **kwargs)

    image = keras.Input((*graph.inputs[0].shape[1:3], 1), name=graph.inputs[0].name)
    return copied(graph, replaced, called, adapted, image)


def _equal_channels(model: keras.Model) -> tuple[keras.Layer | None, list[keras.Layer]]:
    """Return the layer that repeats a single channel, if one does, and the layers from there to the
    first convolution; no layers where anything else comes between.
    """
    image = model.inputs[0]
    layer, repeat, chain = layer_of(image), None, []
    if image.shape[3] == 1:
        repeat = layer = _only_reader(layer, model)
        if not isinstance(layer, keras.layers.Concatenate) or layer.axis not in (-1, 3):
            return None, []
        if any(tensor is not image for tensor in calls(layer)[0].input_tensors):
            return None, []
    while True:
        layer = _only_reader(layer, model)
        if layer is None:
            return None, []
        chain.append(layer)
        if not _treats_channels_alike(layer):
            break
    kinds = (keras.layers.Conv2D, CompactConv2D)
    # A subclass may compute otherwise, as by standardised weights, and LoRA's have other shapes.
    fits = any(is_plain(layer, kind) for kind in kinds) and layer.groups == 1
    return (repeat, chain) if fits else (None, [])


def _only_reader(layer: keras.Layer, model: keras.Model) -> keras.Layer | None:
    """Return what reads a layer of the graph, where that is one layer or operation that is called
    once.
    """
    # Layers know readers in other models, too; only this graph's count.
    others = set(readers(layer)) & set(model.operations)
    other = others.pop() if len(others) == 1 else None
    given = set(map(layer_of, model.outputs))
    return other if other is not None and len(calls(other)) == 1 and layer not in given else None


def _treats_channels_alike(layer: keras.Layer) -> bool:
    """Whether it pads, or is a 1x1 convolution that scales and shifts all channels by the same."""
    if type(layer) in (keras.layers.ZeroPadding2D, CompactPadding2D):
        return True
    if type(layer) is not keras.layers.Conv2D or layer.kernel_size != (1, 1) or not layer.use_bias:
        return False
    kernel, bias = layer.get_weights()
    alike = layer.filters == kernel.shape[2] and layer.activation is keras.activations.linear
    return bool(
        alike
        and np.array_equal(kernel[0, 0], kernel[0, 0, 0, 0] * np.eye(layer.filters))
        and (bias == bias[0]).all()
    )
