"""What a model gives for images, and whether an image's outputs are its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_kd.models.surgery.keras_internals import (
    Functional,
    all_layers,
    is_graph,
    is_native_layer,
)

# Of a model of which `depends_on_batch` is true.
DEPENDS = "gives an image other outputs beside other images, as statistics of a batch do"
COMPUTE_APART = (
    "let it compute each image without the others, e.g. by moving averages (training=False) or"
    " along axes of one image"
)
# Of the largest output. In half precision, rounding alone makes less of a difference.
_LEAST = 0.05
_ALIKE = 32  # images at most, where any number of them may be alike


def unchanged(model: keras.Layer, *arguments: Any, **options: Any) -> Any:
    """Return what a model or layer gives for a batch, called with training=False, and keep its
    weights.

    A `call` of one's own may move statistics all the same, as BatchNormalization with
    `training=True` does. What draws random numbers goes on to the next.

    Args:
        model: built.
        *arguments: of its call: the images, in the structure that it takes.
        **options: of its call.

    Returns:
        Its outputs.
    """
    kept = {id(weight) for weight in model.weights}
    # By their values of now: on JAX, a step has other ones than the variables.
    values = [(variable, variable.value) for variable in model.variables]
    with keras.StatelessScope(values) as scope:
        outputs = model(*arguments, **options | {"training": False})
    for variable in model.variables:
        if id(variable) not in kept:
            variable.assign(scope.get_current_value(variable))
    return outputs


def depends_on_batch(
    model: keras.Model, images: Any, outputs: Callable[[], Any] | None = None
) -> bool:
    """Whether a model's outputs for an image change with the other images of its batch.

    Args:
        model: built. If all of its layers are Keras' own and none works along the axis of the
            batch, nothing is computed.
        images: arrays of at least 2 images that differ, in the structure that it takes.
        outputs: gives the model's outputs for just these images, where they serve others too.

    Returns:
        True if the outputs for the last image beside others and beside itself differ by more than a
            twentieth of the largest one; False for models that draw random numbers, that take one
            image at a time, or that can't compute the images.
    """
    own_count = _batch_size(model)
    if own_count == 1 or _computes_each_alone(model):
        return False
    count = len(keras.tree.flatten(images)[0])
    # The first may be all black.
    last = np.full(own_count or min(count, _ALIKE), count - 1)
    others = np.append(np.resize(np.arange(count), (own_count or count) - 1), last[-1])
    try:
        mixed = _rows(images, others)
        together = outputs() if outputs else unchanged(model, mixed)
        alone = unchanged(model, _rows(images, last))
        replaced = keras.tree.map_structure(_with_last, together, alone)
        # Two equal batches tell random numbers apart.
        return differ(together, replaced) and not differ(together, unchanged(model, mixed))
    except Exception:  # Code of other authors, which raises where the model is used, too.
        return False


def _batch_size(model: keras.Model) -> int | None:
    """The number of images that a model takes at once; None for any. Keras writes down that of the
    first call of a Sequential model without an Input, too.
    """
    sizes = [tensor.shape[0] for tensor in getattr(model, "inputs", None) or ()]
    return next((size for size in sizes if size is not None), None)


def _computes_each_alone(model: keras.Model) -> bool:
    layers = [*all_layers(model)]
    graphs = [layer for layer in layers if isinstance(layer, Functional)]
    operations = [one for graph in graphs for one in graph.operations]
    return all(map(_is_within_images, [*layers, *operations]))


def _is_within_images(operation: Any) -> bool:
    if is_graph(operation):
        return True
    kind = type(operation)
    own = is_native_layer(kind) or kind.__module__.startswith("keras_kd.")
    axes = _settings(operation, "axis", "axes")
    functions = _settings(operation, "activation", "recurrent_activation")
    return (
        own
        and kind is not keras.layers.Lambda
        and all(axis == -1 or axis > 0 for axis in axes)
        and all(str(getattr(one, "__module__", "")).startswith("keras.") for one in functions)
    )


def _settings(layer: keras.Layer, *names: str) -> list[Any]:
    given = keras.tree.flatten([getattr(layer, name, None) for name in names])
    return [value for value in given if value is not None]


def _rows(images: Any, places: np.ndarray) -> Any:
    return keras.tree.map_structure(lambda values: keras.ops.take(values, places, axis=0), images)


def _with_last(outputs: Any, others: Any) -> Any:
    return keras.ops.concatenate([outputs[:-1], others[-1:]])


def differ(outputs: Any, others: Any, least: float = _LEAST) -> bool:
    """Whether outputs differ by more than rounding, also that of half precision.

    Args:
        outputs: one array, or a structure of several; those of no floats are left out.
        others: of the same shapes.
        least: share of the largest number of an array, by which two of it differ.

    Returns:
        True if two numbers differ by more.
    """
    for one, other in zip(keras.tree.flatten(outputs), keras.tree.flatten(others), strict=True):
        if keras.backend.is_float_dtype(keras.backend.standardize_dtype(one.dtype)):
            ours, theirs = (
                keras.ops.convert_to_numpy(values).astype(np.float64) for values in (one, other)
            )
            if not np.abs(ours - theirs).max(initial=0) <= least * np.abs(ours).max(initial=0):
                return True
    return False
