"""A trained network as the start of another training: its body is kept and its head is replaced."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_kd.datasets.pixel_values import USUAL, PixelValues
from keras_kd.errors import ModelError
from keras_kd.models.architectures._parts import Heads, Seeds, outputs, rgb
from keras_kd.models.surgery import weights
from keras_kd.models.surgery.copies import as_functional, copied
from keras_kd.models.surgery.keras_internals import calls, layer_of, producer

# Images that the statistics are computed from, and how many of them at a time.
STATISTICS_IMAGES = 2048
_BATCH = 32
# Between a convolution as the head and the output.
_WITHOUT_WEIGHTS = (
    layers.Activation,
    layers.Softmax,
    layers.Reshape,
    layers.Flatten,
    layers.Dropout,
    layers.GlobalAveragePooling2D,
)


def head_layers(model: keras.Model) -> list[layers.Layer]:
    """Return the layers that compute the outputs, which are replaced for other classes.

    Args:
        model: a model with known outputs.

    Returns:
        The layers of the heads.
    """
    return [layer_of(output) for output in model.outputs]


def take_over(source: keras.Model, target: keras.Model, with_head: bool = False) -> None:
    """Copy a trained network's weights into a new one of the same architecture, except the head.

    Args:
        source: the trained network, of any input size and with any head.
        target: a network with the same layer names.
        with_head: also copy the head.

    Raises:
        ModelError: layers of the target are missing in the source or have other shapes there.
    """
    skipped = () if with_head else head_layers(target)
    # By name, not by place: the two may differ in their heads and in layers without weights.
    found = {layer.name: layer for layer in source.layers}
    wanted = [layer for layer in target.layers if layer.weights and layer not in skipped]
    differing = [
        layer.name
        for layer in wanted
        if layer.name not in found or _shapes(found[layer.name]) != _shapes(layer)
    ]
    if differing:
        raise ModelError(
            f"{target.name} can't start from {source.name}: these layers are missing there or have "
            f"other shapes: {', '.join(differing[:5])}{' ...' * (len(differing) > 5)}."
        )
    for layer in wanted:
        weights.put(found[layer.name].get_weights(), layer)


def with_new_head(
    model: keras.Model,
    heads: Heads,
    input_shape: tuple[int, int, int],
    pixels: PixelValues = USUAL,
    seed: int | None = None,
) -> keras.Model:
    """Return a copy of a trained network with the weights of its body and a new head.

    The body ends before the last dense layer and the activations after it; a convolution of single
    pixels in its place counts as one. A network that ends in
    features is a body as a whole; maps of features are averaged over height and width.

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
        ModelError: the body can't take such images, or its outputs do not share one body.
    """
    graph = as_functional(model)
    body = keras.Model(graph.inputs[0], _features(graph))
    image = keras.Input(input_shape, name="image")
    shown = _as_trained(image, body.input_shape[-1], pixels)

    def called(layer: layers.Layer, *arguments: Any, **options: Any) -> Any:
        # The body reads the new image by way of the pixels that it learnt with.
        given = (arguments, options)
        arguments, options = keras.tree.map_structure(lambda x: shown if x is image else x, given)
        return layer(*arguments, **options)

    try:
        x = copied(body, called=called, inputs=image).outputs[0]
    except (ValueError, TypeError) as error:
        wanted = "x".join(map(str, model.input_shape[1:]))
        raise ModelError(
            f"{model.name} takes images of {wanted} and can't be rebuilt for {input_shape}: set "
            "--image-size to its own."
        ) from error
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
        raise ModelError(f"The heads of {model.name} don't share one body that ends in features.")
    return features


def keep_head(source: keras.Model, target: keras.Model) -> None:
    """Copy the weights of the only head, for the same classes, into a model of `with_new_head`.

    Args:
        source: the trained network.
        target: the model of `with_new_head`.

    Raises:
        ModelError: the source has no dense head of this size.
    """
    (output,) = as_functional(source).outputs
    (head,) = head_layers(target)
    given = _given_by_head(output)
    found = [] if given is None else layer_of(given).get_weights()
    # A convolution of single pixels is a dense layer of each.
    found = [array.reshape(array.shape[-2:]) if array.ndim == 4 else array for array in found]
    if [array.shape for array in found] != _shapes(head):
        raise ModelError(f"{source.name} ends in no dense layer of {head.units} classes.")
    head.set_weights(found)


def _given_by_head(output: keras.KerasTensor) -> keras.KerasTensor | None:
    """What the last dense layer gives, before the activations after it, or a convolution of single
    pixels in its place, as in MobileNet; None without either.
    """
    found = output
    while isinstance(layer_of(found), (layers.Activation, layers.Softmax)):
        found = _input(found)
    if isinstance(layer_of(found), layers.Dense):
        return found
    while isinstance(layer_of(found), _WITHOUT_WEIGHTS):
        found = _input(found)
    last = layer_of(found)
    is_head = isinstance(last, layers.Conv2D) and last.kernel_size == (1, 1) and last.groups == 1
    return found if is_head and len(output.shape) == 2 else None


def _before_head(output: keras.KerasTensor) -> keras.KerasTensor:
    given = _given_by_head(output)
    return output if given is None else _input(given)


def _input(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """What the layer read that gave this tensor."""
    layer, call, _ = producer(tensor)
    return calls(layer)[call].input_tensors[0]


def _shapes(layer: layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


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
        raise ModelError(f"{model.name} has no layer {name!r}: did you mean {' or '.join(near)}?")
    for layer in model.layers[: names.index(name) + 1]:
        layer.trainable = False
    if not model.trainable_weights:
        raise ModelError(f"If {model.name} is frozen until {name}, nothing is left to train.")


def set_statistics(model: keras.Model, images: np.ndarray, seed: int = 0) -> None:
    """Set the statistics of batch normalisation to those of these images, without changing the
    output.

    If the statistics differed from those of the images, the network would compute something else
    from the first training step on. For each channel, with scale s = γ/√(σ² + ε) and shift t = β -
    μ·s before, and with mean m and variance v of the layer's inputs: μ = m, σ² = v, γ = s·√(v + ε),
    β = t + m·s.

    Args:
        model: Functional; frozen layers are not changed.
        images: uint8 (N, H, W, C); STATISTICS_IMAGES of them are drawn.
        seed: seed of the draw.
    """
    norms = [layer for layer in model.layers if _has_statistics(layer)]
    if not norms:
        return
    count = min(len(images), STATISTICS_IMAGES)
    # Drawn, as the first images may all be of one class; sorted, as they may lie in a mapped file.
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    for layer, (mean, variance) in zip(norms, _moments(model, norms, images, rows), strict=True):
        gamma, beta, old_mean, old_variance = layer.get_weights()
        scale = gamma / np.sqrt(old_variance + layer.epsilon)
        shift = beta - old_mean * scale
        new_gamma = scale * np.sqrt(variance + layer.epsilon)
        layer.set_weights([new_gamma, shift + mean * scale, mean, variance])


def _has_statistics(layer: layers.Layer) -> bool:
    plain = isinstance(layer, layers.BatchNormalization) and layer.center and layer.scale
    return plain and layer.trainable and layer.axis in (-1, len(layer.input.shape) - 1)


def _moments(
    model: keras.Model, norms: list[layers.Layer], images: np.ndarray, rows: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and variance of each channel that arrives at each of the layers."""
    probe = keras.Model(model.input, [layer.input for layer in norms])
    sums = [np.zeros((2, layer.input.shape[-1])) for layer in norms]
    counts = np.zeros(len(norms))
    for start in range(0, len(rows), _BATCH):
        arriving = keras.tree.flatten(probe(images[rows[start : start + _BATCH]], training=False))
        for number, maps in enumerate(arriving):
            # In float32 the difference of two large sums below would be mostly rounding.
            values = keras.ops.convert_to_numpy(maps).astype(np.float64)
            values = values.reshape(-1, values.shape[-1])
            sums[number] += values.sum(axis=0), (values**2).sum(axis=0)
            counts[number] += len(values)
    means = [(of_layer / count) for of_layer, count in zip(sums, counts, strict=True)]
    # Rounding may leave a variance a little below 0.
    return [(mean, np.maximum(square - mean**2, 0)) for mean, square in means]
