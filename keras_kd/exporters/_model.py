"""What a Keras model must be to become a file, and its float32 form."""

from __future__ import annotations

import keras
import numpy as np

from keras_kd.datasets.class_names import problem
from keras_kd.errors import ExportError
from keras_kd.models.surgery import weights
from keras_kd.models.surgery.compaction import compact

# Functional has no public name.
_GRAPHS = (keras.Sequential, keras.src.models.Functional)


def check(model: keras.Model, class_names: tuple[str, ...] | None) -> None:
    """Refuse what no format can hold: several inputs, open shapes, NaN weights, labels of another
    number or in no line.

    Raises:
        ExportError: one of these.
    """
    inputs = model.inputs or []
    if len(inputs) != 1:
        raise ExportError(
            f"{model.name} has {len(inputs)} inputs: only models of one image input can be exported."
        )
    shape = inputs[0].shape[1:]
    if len(shape) != 3 or None in shape:
        raise ExportError(
            f"{model.name} takes inputs of shape {shape}: build it for images of one fixed size, e.g. (64, 64, 3)."
        )
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ExportError(
                f"{weight.path} of {model.name} holds NaN or infinite values: train the model again."
            )
    outputs = keras.tree.flatten(model.outputs)
    if wrong := problem(class_names or ()):
        raise ExportError(f"{model.name} can't be exported, {wrong}: rename the class.")
    if class_names is not None and len(outputs) == 1 and outputs[0].shape[-1] != len(class_names):
        raise ExportError(
            f"{len(class_names)} class names were given for the {outputs[0].shape[-1]} outputs of {model.name}: "
            "give one for each, in the order of the outputs."
        )


def in_float32(model: keras.Model) -> keras.Model:
    """Return a copy of the model whose layers compute in float32; the model itself where they all
    do already.

    Mixed precision would become Flex operators, which LiteRT refuses.

    Raises:
        ExportError: a model with layers of other precision is no Functional or Sequential model.
    """
    if all(
        layer.dtype_policy.name == "float32" for layer in model._flatten_layers(include_self=False)
    ):
        return model
    if not isinstance(model, _GRAPHS):
        raise ExportError(
            f"{model.name} mixes precisions and can't be rebuilt: build it with the policy float32."
        )
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # for layers that make others inside
    try:
        copy = keras.models.clone_model(model, clone_function=_float32_layer)
    finally:
        keras.config.set_dtype_policy(policy)
    weights.put(model.get_weights(), copy)
    return copy


def _float32_layer(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, _GRAPHS):
        return keras.models.clone_model(layer, clone_function=_float32_layer)
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def compacted(model: keras.Model) -> keras.Model:
    """Return the model without taps that can't matter, its rescaling as 1x1 convolution; a
    subclassed one as it is.
    """
    return _with_convolved_rescaling(compact(model)) if isinstance(model, _GRAPHS) else model


def _with_convolved_rescaling(model: keras.Model) -> keras.Model:
    """Runtimes convolve faster than they multiply by a vector: 5 % of Student B's time, 19 % of
    C's.
    """
    rescaled = {
        layer.name
        for layer in model.layers
        if type(layer) is keras.layers.Rescaling
        and len(layer.output.shape) == 4
        and layer.output.shape[3] <= 4
    }
    if not rescaled:
        return model

    def replaced(layer: keras.Layer) -> keras.Layer:
        if layer.name in rescaled:
            return keras.layers.Conv2D(layer.output.shape[3], 1, name=layer.name)
        return type(layer).from_config(layer.get_config())

    faster = keras.models.clone_model(model, clone_function=replaced)
    for layer in model.layers:
        if layer.name in rescaled:
            ones = np.ones(layer.output.shape[3])
            faster.get_layer(layer.name).set_weights(
                [np.diag(ones * layer.scale)[None, None], ones * layer.offset]
            )
        elif layer.weights:
            weights.put(layer.get_weights(), faster.get_layer(layer.name))
    return faster
