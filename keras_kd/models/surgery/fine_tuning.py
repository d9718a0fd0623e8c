"""A trained network as the start of another training: its body is kept and its head is replaced."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_kd._common.text import sides
from keras_kd.datasets.pixel_values import USUAL, PixelValues
from keras_kd.errors import ModelError
from keras_kd.models import heads as model_heads
from keras_kd.models.architectures._parts import Heads, Seeds, outputs, rgb
from keras_kd.models.surgery import weights
from keras_kd.models.surgery.compaction import expand
from keras_kd.models.surgery.copies import as_functional, copied, remade
from keras_kd.models.surgery.keras_internals import GRAPHS, all_layers, calls, layer_of, producer

# Of the layers that `with_new_head` adds.
_NAMES = frozenset({"image", "gray_to_rgb", "pixels_as_trained", "features", "logits"})


def head_layers(model: keras.Model) -> list[layers.Layer]:
    """Return the layers that compute the outputs, which are replaced for other classes.

    Args:
        model: a model with known outputs.

    Returns:
        The layers of the heads.
    """
    return [layer_of(output) for output in model.outputs]


def take_over(source: keras.Model, target: keras.Model, order: Sequence[int] | None = None) -> None:
    """Copy a trained network's weights into a new one of the same architecture, except the head.

    Args:
        source: the trained network, of any input size and with any head.
        target: a network with the same layer names.
        order: also copy the head; column i of its classes is then the source's column `order[i]`.

    Raises:
        ModelError: layers of the target are missing in the source or have other shapes there, or
            its classes can't be reordered.
    """
    skipped = head_layers(target) if order is None else ()
    # By name, not by place: the two may differ in their heads and in layers without weights.
    found = {layer.name: layer for layer in expand(source).layers}
    wanted = [layer for layer in target.layers if layer.weights and layer not in skipped]
    differing = [
        layer.name
        for layer in wanted
        if layer.name not in found or _shapes(found[layer.name]) != _shapes(layer)
    ]
    if differing:
        raise ModelError(
            "The new model can't start from these weights, because layers of it are missing there"
            f" or have other shapes: {', '.join(differing[:5])}{' ...' * (len(differing) > 5)}."
            " --keep-weights trains a file's own layers."
        )
    for layer in wanted:
        weights.put(found[layer.name].get_weights(), layer)
    if order is not None and list(order) != sorted(order):
        _reorder(target, order)


def _reorder(model: keras.Model, order: Sequence[int]) -> None:
    """Put the columns of the classes in another order."""
    for output in (one for one in model.outputs if one.shape[-1] > 1):
        layer = layer_of(_logits(output))
        if _before_head(output) is output:
            raise ModelError(
                f"The head of {model.name} is not found, so its classes can't be put in the data's"
                f" order: it ends in {layer.name} ({type(layer).__name__}), not in a dense layer or"
                " a 1x1 convolution. Train it anew, without a start from a trained model."
            )
        layer.set_weights([weight[..., order] for weight in layer.get_weights()])


def with_new_head(
    model: keras.Model,
    heads: Heads,
    input_shape: tuple[int, int, int],
    pixels: PixelValues = USUAL,
    seed: int | None = None,
) -> keras.Model:
    """Return a copy of a trained network with the weights of its body and a new head.

    The body ends before the last dense layer, or the last convolution of single pixels that gives
    the classes, and the activations after it. A network that ends in features is a body as a whole;
    maps of features are averaged over height and width. Layers named as one of the new ones are
    renamed.

    Args:
        model: Functional or Sequential, with one image as its input.
        heads: as `keras_kd.models.build` takes them.
        input_shape: height, width and channels of the copy, for pixels in 0..255; gray is repeated
            for a body of three channels.
        pixels: the values that the model expects for pixels 0..255.
        seed: seed of the head's weights, or None.

    Returns:
        The copy, from pixels 0..255 to logits and values.

    Raises:
        ModelError: the body can't take such images, its outputs do not share one body, or the head
            is not found.
    """
    # Taps that were dead at the model's own size may live at another.
    graph = as_functional(expand(model))
    body = keras.Model(graph.inputs[0], _features(graph))
    image = keras.Input(input_shape, name="image")
    shown = _as_trained(image, body.input_shape[-1], pixels)

    def called(layer: layers.Layer, *arguments: Any, **options: Any) -> Any:
        # The body reads the new image by way of the pixels that it learnt with.
        given = (arguments, options)
        arguments, options = keras.tree.map_structure(lambda x: shown if x is image else x, given)
        return layer(*arguments, **options)

    taken = _NAMES | (set() if isinstance(heads, int) else set(heads))

    def renamed(layer: layers.Layer) -> layers.Layer | None:
        if layer.name not in taken:
            return None
        return remade(layer, lambda config: config | {"name": f"body_{layer.name}"})

    try:
        x = copied(body, renamed, called=called, inputs=image).outputs[0]
    except (ValueError, TypeError) as error:
        raise ModelError(_not_rebuilt(model, input_shape)) from error
    if len(x.shape) == 4:
        x = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(image, outputs(x, heads, "logits", Seeds(seed)), name=model.name)


def _as_trained(image: keras.KerasTensor, channels: int, pixels: PixelValues) -> keras.KerasTensor:
    """Pixels 0..255 in the channels and the range that a network learnt with."""
    x = rgb(image) if channels == 3 else image
    if pixels.plain:
        return x
    if channels == 3 and pixels.channel_order == "bgr":
        x = keras.ops.flip(x, axis=-1)
    if replace(pixels, channel_order="rgb").plain:
        return x
    scale, offset = (values.tolist() for values in pixels.line(channels))
    return layers.Rescaling(scale, offset, name="pixels_as_trained")(x)


def _features(model: keras.Model) -> keras.KerasTensor:
    """What the head reads."""
    # Tensors are compared by identity: == of Keras' tensors is an operation of the graph.
    found = {id(features): features for features in map(_before_head, model.outputs)}
    features = next(iter(found.values()))
    if len(found) > 1 or len(features.shape) not in (2, 4):
        raise ModelError(
            f"The outputs of {model.name} ({', '.join(model.output_names)}) don't share one body"
            " that ends in features, on which new heads could stand: give a file with one of them,"
            " keras.Model(model.input, model.outputs[0])."
        )
    last = layer_of(features)
    # Below a new head, what a kept one gives would be all that is left of the features.
    if model_heads.output_kind(keras.Model(model.inputs[0], features)) in (
        "probabilities",
        "log-probabilities",
    ) or (isinstance(last, GRAPHS) and any(_before_head(one) is not one for one in last.outputs)):
        raise ModelError(
            f"The head of {model.name} is not found: it ends in {last.name} "
            f"({type(last).__name__}), not in a dense layer or a 1x1 convolution with its "
            "activation. Give the network without its head."
        )
    return features


def _not_rebuilt(model: keras.Model, input_shape: tuple[int, int, int]) -> str:
    wanted, given = map(sides, (model.input_shape[1:], input_shape))
    advice = (
        "set --image-size to its own"
        if len(model.input_shape) == 4
        else "give a model of images, (height, width, channels)"
    )
    return f"{model.name} takes inputs of {wanted} and can't be rebuilt for {given}: {advice}."


def keep_head(source: keras.Model, target: keras.Model, order: Sequence[int] | None = None) -> None:
    """Copy the weights of the only head, for the same classes, into a model of `with_new_head`.

    Args:
        source: the trained network; one logit z of two classes becomes the logits (0, z).
        target: the model of `with_new_head`.
        order: the number in the source of each of the target's classes; None for the same order.

    Raises:
        ModelError: the source has no dense or convolutional head of this size.
    """
    (output,) = as_functional(source).outputs
    (head,) = head_layers(target)
    found = layer_of(_logits(output))
    has_head = _before_head(output) is not output
    if has_head and not any(weights.is_plain(found, one) for one in (layers.Dense, layers.Conv2D)):
        raise ModelError(
            f"The head of {source.name} can't be kept: {found.name} ({type(found).__name__}) is a"
            " layer of your own, or has LoRA or quantization, so its weights would mean something"
            " else in a dense layer. Give the network without its head."
        )
    values = found.get_weights() if has_head else []
    if values and isinstance(found, layers.Conv2D):
        values[0] = values[0][0, 0]  # of its only pixel
    if len(values) == 1:
        values.append(np.zeros(values[0].shape[-1:], np.float32))  # a head without biases
    if head.units == 2 and values and values[0].shape[-1] == 1:
        values = [np.concatenate([0 * value, value], axis=-1) for value in values]
    if [value.shape for value in values] != _shapes(head):
        raise ModelError(f"{source.name} ends in no dense layer of {head.units} classes.")
    head.set_weights(values if order is None else [value[..., order] for value in values])


def _logits(output: keras.KerasTensor) -> keras.KerasTensor:
    """The output before its activations, if they are layers, and before what only brings the
    classes of a convolution into rows.
    """
    while isinstance(layer_of(output), (layers.Activation, layers.Softmax)):
        output = _input(output)
    inner = output
    while isinstance(layer_of(inner), _INTO_ROWS):
        inner = _input(inner)
    return inner if _gives_classes(layer_of(inner), output.shape[-1]) else output


_INTO_ROWS = (layers.Flatten, layers.Reshape, layers.GlobalAveragePooling2D)


def _gives_classes(layer: layers.Layer, count: int) -> bool:
    """Whether a convolution is a dense layer at each place, whose places are averaged or one."""
    single = isinstance(layer, layers.Conv2D) and layer.kernel_size == layer.strides == (1, 1)
    linear = single and layer.activation is keras.activations.linear and layer.groups == 1
    return linear and layer.filters == count


def _before_head(output: keras.KerasTensor) -> keras.KerasTensor:
    logits = _logits(output)
    layer = layer_of(logits)
    # A network that ends in maps has no classes.
    ends = isinstance(layer, layers.Dense) or (
        len(output.shape) == 2 and _gives_classes(layer, output.shape[-1])
    )
    return _input(logits) if ends else output


def _input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """What the layer read that gave this tensor."""
    layer, call, _ = producer(tensor)
    return calls(layer)[call].input_tensors[0]


def _shapes(layer: layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def frozen_layers(model: keras.Model) -> list[str]:
    """Return the names of the frozen layers with weights, at any depth, without what holds them.

    Args:
        model: any built model.

    Returns:
        The names.
    """
    return [
        layer.name
        for layer in all_layers(model)
        if layer.weights and not layer.trainable and [*all_layers(layer)] == [layer]
    ]


def freeze_until(model: keras.Model, name: str) -> None:
    """Freeze the layers from the image to a layer, including that layer.

    Frozen batch normalisation uses its stored statistics in training, too.

    Args:
        model: the model, which is changed.
        name: name of the last layer to freeze.

    Raises:
        ModelError: no layer has this name, or only the head would be left to train.
    """
    names = [layer.name for layer in model.layers]
    if name not in names:
        near = difflib.get_close_matches(name, names, 3) or names[-3:]
        raise ModelError(f"The model has no layer {name!r}: did you mean {' or '.join(near)}?")
    for layer in model.layers[: names.index(name) + 1]:
        layer.trainable = False
    if not model.trainable_weights:
        raise ModelError(f"If the model is frozen until {name}, nothing is left to train.")
