"""Lossless shrinking: convolution taps that only ever meet zero padding are cut away.

On a 1x1 map, a 3x3 kernel with padding 1 sees eight zeros and one number; the eight taps never
touch the data, whatever their values. `compact` finds such taps from the shapes alone and returns a
model without them that computes the same; `expand` puts zeros back in their place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_kd.models.surgery.copies import as_functional, copied, remade
from keras_kd.models.surgery.keras_internals import (
    Functional,
    all_layers,
    calls,
    calls_in_order,
    is_graph,
    layer_of,
    readers,
)
from keras_kd.models.surgery.weights import is_plain


@keras.saving.register_keras_serializable("keras_kd")
class CompactConv2D(layers.Conv2D):
    """A Conv2D without its dead taps; `original` is the configuration of the layer it replaces.

    Args:
        original: configuration (as of `get_config`) of the full Conv2D.
        first_tap: row and column of the full kernel where the kept taps begin.
    """

    def __init__(
        self, *args: Any, original: dict[str, Any], first_tap: tuple[int, int], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.original = original
        self.first_tap = tuple(first_tap)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments by name."""
        return {**super().get_config(), "original": self.original, "first_tap": self.first_tap}


@keras.saving.register_keras_serializable("keras_kd")
class CompactPadding2D(layers.ZeroPadding2D):
    """The padding in front of a CompactConv2D; `original` is the configuration of the layer it
    replaces.

    Args:
        original: configuration of the full ZeroPadding2D, or None where the convolution padded by
            itself.
    """

    def __init__(self, *args: Any, original: dict[str, Any] | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.original = original

    def get_config(self) -> dict[str, Any]:
        """Return the arguments by name."""
        return {**super().get_config(), "original": self.original}


@dataclass(frozen=True)
class _Axis:
    """What is left of a convolution along one axis: taps [first, first + size) and the zeros around
    the input.
    """

    first: int
    size: int
    before: int
    after: int


@dataclass(frozen=True)
class _Cut:
    """What is left of a convolution along both axes, and the layer that pads it, where one does."""

    axes: tuple[_Axis, _Axis]
    padding: layers.ZeroPadding2D | None

    @property
    def zeros(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """The zeros before and behind the input along both axes."""
        rows, columns = self.axes
        return (rows.before, rows.after), (columns.before, columns.after)

    @property
    def needs_padding(self) -> bool:
        """Whether zeros are left that no layer puts there."""
        return self.padding is None and any(any(pair) for pair in self.zeros)


def _live(size: int, kernel: int, stride: int, before: int, after: int) -> _Axis:
    """Keep the taps that meet at least one of the `size` real positions; `before` and `after` zeros
    surround them.
    """
    outputs = (size + before + after - kernel) // stride + 1
    positions = np.arange(outputs)[:, None] * stride + np.arange(kernel) - before
    live = np.flatnonzero(((positions >= 0) & (positions < size)).any(axis=0))
    if (
        not live.size
    ):  # Strides that step over all data: the output is the bias, and a kernel needs a tap.
        return _Axis(0, kernel, before, after)
    first, kept = int(live[0]), int(live[-1] - live[0] + 1)
    needed = (outputs - 1) * stride + kept
    # What the original needed in front is never less than what it cut there, see `first`.
    return _Axis(first, kept, before - first, max(0, needed - size - (before - first)))


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    # An odd zero lies behind, where TensorFlow puts it.
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _graphs(model: keras.Model) -> Iterator[keras.Model]:
    """The model and the models nested in it."""
    yield model
    for layer in filter(is_graph, model.layers):
        yield from _graphs(layer)


def _plan(model: keras.Model) -> dict[layers.Layer, _Cut]:
    """The convolutions that have dead taps, in the model and in models nested in it."""
    plan: dict[layers.Layer, _Cut] = {}
    _, *nested = graphs = list(_graphs(model))
    # Two models may have a layer in common, as a network and one that ends in its features do.
    inner = {layer for graph in nested for layer in graph.layers}
    shown = {layer_of(output) for graph in graphs for output in graph.outputs}
    for layer in itertools.chain.from_iterable(graph.layers for graph in graphs):
        if (
            # A layer called twice has two inputs, which may have other dead taps.
            not is_plain(layer, layers.Conv2D)
            or len(calls(layer)) != 1
            or layer.dilation_rate != (1, 1)
        ):
            continue
        if layer.data_format != "channels_last" or None in layer.input.shape[1:3]:
            continue
        padding = None if layer.padding == "same" else _padding_of(layer, shown)
        cut = _Cut((_axis(layer, 0, padding), _axis(layer, 1, padding)), padding)
        pairs = zip(cut.axes, layer.kernel_size, strict=True)
        # A nested model is called as a whole: no padding can be put inside it.
        hindered = layer in inner and cut.needs_padding
        if any(live.size < kernel for live, kernel in pairs) and not hindered:
            plan[layer] = cut
    return plan


def _axis(layer: layers.Conv2D, axis: int, padding: layers.ZeroPadding2D | None) -> _Axis:
    size, kernel, stride = layer.input.shape[1 + axis], layer.kernel_size[axis], layer.strides[axis]
    if layer.padding == "same":
        return _live(size, kernel, stride, *_same_padding(size, kernel, stride))
    if padding is None:
        return _live(size, kernel, stride, 0, 0)
    before, after = padding.padding[axis]
    return _live(size - before - after, kernel, stride, before, after)


def _padding_of(layer: layers.Conv2D, shown: set[layers.Layer]) -> layers.ZeroPadding2D | None:
    """The ZeroPadding2D that feeds this convolution and nothing else, no output of a model."""
    source = layer_of(layer.input)
    # A subclass may put something else than zeros there.
    if not is_plain(source, layers.ZeroPadding2D) or len(readers(source)) != 1:
        return None
    if source.data_format != "channels_last":  # It pads width and channels.
        return None
    # An output would show the zeros that are cut away.
    return None if source in shown else source


def compact(model: keras.Model) -> keras.Model:
    """Return an exactly equal model without the convolution taps that only ever meet zero padding.

    The taps are found by analysis of the shapes. The original is not changed. A compact model is
    returned as it is.

    Args:
        model: Functional or Sequential keras.Model with a fixed input height and width. In models
            nested in it, a convolution keeps its taps if zeros would have to be put before it.

    Returns:
        Functional keras.Model with the same inputs, outputs, layer names and dtypes. At 64x64
            pixels ResEmoteNet shrinks from 80.2 to 36.2 million parameters, and its students A, B,
            C by the same factor.

    Raises:
        ModelError: the model is neither Functional nor Sequential, has a `call` of its own, or has
            no input shape yet; or a layer can't be made anew from its configuration, so that both
            models would share it, or computes something else then.
    """
    graph = as_functional(model)
    plan = _plan(graph)
    if not plan:
        return model
    paddings = {cut.padding: cut for cut in plan.values() if cut.padding is not None}
    # Of padding="same", the zeros that are left may differ before and behind, which a convolution
    # of Keras can't say.
    padded: dict[layers.Layer, CompactPadding2D] = {}

    def replaced(layer: layers.Layer) -> layers.Layer | None:
        if layer in paddings:
            original = layer.get_config()
            return _padding(layer, paddings[layer], layer.name, original)
        if layer not in plan:
            return None
        new = _compact_conv(layer, plan[layer].axes)
        if plan[layer].needs_padding:
            name = _free_name(f"{layer.name}_zeros", graph)
            padded[new] = _padding(layer, plan[layer], name, None)
        return new

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        if layer in padded:
            args = (padded[layer](args[0]), *args[1:])
        return layer(*args, **kwargs)

    def adapted(layer: layers.Layer) -> list[np.ndarray]:
        values = layer.get_weights()
        if layer in plan:
            values[0] = values[0][
                tuple(slice(axis.first, axis.first + axis.size) for axis in plan[layer].axes)
            ]
        return values

    return copied(graph, replaced, call, adapted)


def dead_weights(model: keras.Model) -> int:
    """Count the weights that `compact` leaves out, from the shapes alone.

    Args:
        model: as for `compact`; Functional, its weights need no memory.

    Returns:
        The number.

    Raises:
        ModelError: as for `compact`.
    """
    plan = _plan(as_functional(model))
    return sum(
        math.prod(layer.kernel.shape)
        - math.prod(axis.size for axis in cut.axes) * math.prod(layer.kernel.shape[2:])
        for layer, cut in plan.items()
    )


def _free_name(name: str, graph: keras.Model) -> str:
    taken = {operation.name for operation in graph.operations}
    while name in taken:
        name += "_"
    return name


def _padding(
    layer: layers.Layer, cut: _Cut, name: str, original: dict[str, Any] | None
) -> CompactPadding2D:
    return CompactPadding2D(cut.zeros, original=original, name=name, dtype=layer.dtype_policy)


def _compact_conv(layer: layers.Conv2D, axes: tuple[_Axis, _Axis]) -> CompactConv2D:
    changes = {
        "kernel_size": (axes[0].size, axes[1].size),
        "padding": "valid",
        "original": layer.get_config(),
        "first_tap": (axes[0].first, axes[1].first),
    }
    return remade(layer, lambda config: config | changes, CompactConv2D)


def expand(model: keras.Model) -> keras.Model:
    """Undo `compact`: return an exactly equal model of the published shape, with zeros as the dead
    taps.

    Args:
        model: as `compact` returned it, or with such models nested in it.

    Returns:
        Functional keras.Model with the same inputs, outputs and layer names. Where `compact` has
            put zeros before a convolution of what is now a nested model, an Identity stays. Zeros
            that an output or another layer than a convolution shows stay as they are, with the
            convolution behind them.

    Raises:
        ModelError: the model is neither Functional nor Sequential.
    """
    graph = as_functional(model)
    if not any(isinstance(layer, CompactConv2D) for layer in all_layers(model)):
        return model
    # In place of what `compact` has added: only a nested model keeps these.
    idle: set[layers.Layer] = set()
    shown = _shown_zeros(graph)

    def replaced(layer: layers.Layer) -> layers.Layer | None:
        if layer in shown:
            return None
        if isinstance(layer, CompactConv2D):
            return remade(layer, lambda _: layer.original, layers.Conv2D)
        if not isinstance(layer, CompactPadding2D):
            return None
        if layer.original is not None:
            return remade(layer, lambda _: layer.original, layers.ZeroPadding2D)
        # By the name: with a policy as an object Keras finds no configuration of this layer.
        new = layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)
        idle.add(new)
        return new

    def call(layer: layers.Layer, *args: Any, **kwargs: Any) -> Any:
        return args[0] if layer in idle else layer(*args, **kwargs)

    def adapted(layer: layers.Layer) -> list[np.ndarray]:
        return layer.get_weights() if layer in shown else _published_weights(layer)

    return copied(graph, replaced, call, adapted)


def _shown_zeros(model: keras.Model) -> set[layers.Layer]:
    """The paddings of `compact` whose zeros an output or another layer shows, and the convolutions
    that read them.
    """
    graphs = list(_graphs(model))
    readings = [pair for graph in graphs for pair in _readings(graph)]
    shown = {layer_of(output) for graph in graphs for output in graph.outputs}
    shown |= {source for source, reader in readings if not isinstance(reader, CompactConv2D)}
    paddings = {layer for layer in shown if isinstance(layer, CompactPadding2D)}
    return paddings | {reader for source, reader in readings if source in paddings}


def _readings(graph: keras.Model) -> Iterator[tuple[Any, Any]]:
    """Each layer or operation of a graph with one that reads it."""
    if not isinstance(graph, Functional):
        yield from itertools.pairwise(graph.layers)
        return
    for call in calls_in_order(graph):
        for tensor in call.input_tensors:
            yield layer_of(tensor), call.operation


def _published_weights(layer: layers.Layer) -> list[np.ndarray]:
    values = layer.get_weights()
    if isinstance(layer, CompactConv2D):
        # Any values would do, as nothing but zeros meets these taps.
        kernel = np.zeros((*layer.original["kernel_size"], *values[0].shape[2:]), values[0].dtype)
        rows, columns = layer.first_tap
        height, width = layer.kernel_size
        kernel[rows : rows + height, columns : columns + width] = values[0]
        values[0] = kernel
    return values
