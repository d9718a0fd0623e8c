"""Copies of models in which some layers are replaced, the base of every rewriting of a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_kd._common.text import first_line, sides
from keras_kd.errors import ModelError
from keras_kd.models.inference import differ, unchanged
from keras_kd.models.surgery import weights
from keras_kd.models.surgery.keras_internals import (
    GRAPHS,
    Functional,
    all_layers,
    calls,
    is_graph,
    is_of_keras,
    is_of_keras_or_keras_kd,
    layer_of,
)

# Of a layer's largest output: by more than rounding, and where a copy is of another precision.
_ROUNDING, _PRECISION = 1e-3, 0.25

# What to do with a function that no file may hold, as it would be run.
INSTEAD_OF_LAMBDA = "write it as a layer class, or with keras.ops in the functional interface"

Replacement = Callable[[keras.Layer], keras.Layer | None]


def copied(
    model: keras.Model,
    replaced: Replacement = lambda layer: None,
    called: Callable[..., Any] | None = None,
    adapted: Callable[[keras.Layer], Sequence[np.ndarray]] = lambda layer: layer.get_weights(),
    inputs: Any = None,
) -> keras.Model:
    """Return a copy of a model, weights included, in which some layers are replaced.

    Layers of nested models are copied and replaced, too. A layer that is called twice stays one
    layer.

    Args:
        model: Functional, or Sequential with a known input.
        replaced: returns the new layer for a layer, with the same inputs and outputs; None to
            rebuild the same layer.
        called: calls a new layer, instead of `layer(*args, **kwargs)`; only for Functional models,
            and not for layers of nested ones.
        adapted: returns the weights of the new layer, given the old one.
        inputs: symbolic tensors to build the copy on; None for those of the model.

    Returns:
        The copy.

    Raises:
        ModelError: a layer can't be rebuilt from its configuration, or computes something else
            then; or the model is of another class or has a `call` of its own.
    """
    if not is_graph(model):
        raise ModelError(
            f"{model.name} is a subclassed model ({type(model).__name__}), whose layers can't be "
            "copied without its `call`: build it with the functional interface or as"
            " keras.Sequential."
        )
    copies: dict[int, tuple[keras.Layer, keras.Layer]] = {}

    def copy(layer: Any) -> Any:
        if id(layer) not in copies:
            copies[id(layer)] = layer, made(layer)
        return copies[id(layer)][1]

    def made(layer: Any) -> Any:
        if is_graph(layer):
            return _cloned(layer, copy, None, None)
        new = replaced(layer) if isinstance(layer, keras.Layer) else None
        return remade(layer) if new is None else new

    whole = _cloned(model, copy, called, inputs)
    for old, new in copies.values():
        if not is_graph(old) and getattr(new, "weights", []):
            _put(adapted(old), old, new, inputs is not None)
        if not is_of_keras_or_keras_kd(old):
            _require_equal(old, new)
    return whole


def _require_equal(old: keras.Layer, new: keras.Layer) -> None:
    """Refuse a copy of other authors' layer that computes something else, by its last call with
    noise: a setting that its configuration lacks is lost.
    """
    if type(old) is not type(new) or not calls(new):
        return
    given = calls(new)[-1].arguments
    arguments, options = keras.tree.map_structure(_noise, (given.args, given.kwargs))
    try:
        least = _ROUNDING if _precisions(old) == _precisions(new) else _PRECISION
        first, again, found = (unchanged(layer, *arguments, **options) for layer in (old, old, new))
        # What draws random numbers differs from itself.
        is_equal = differ(first, again, least / 100) or not differ(first, found, least)
    except Exception:  # Their own code may raise anything, which says so where the model is used.
        return
    if not is_equal:
        raise ModelError(
            f"{old.name} is a {type(old).__name__} that computes something else when it is made"
            " anew from its configuration: let its get_config return all arguments of its __init__"
            " and what is set later, and its __init__ take them."
        )


def _precisions(layer: keras.Layer) -> list[str]:
    """What a layer and those inside of it compute in."""
    return [part.compute_dtype for part in all_layers(layer)]


def _noise(value: Any) -> Any:
    """An array for a symbolic tensor of two images; anything else as it is."""
    if not isinstance(value, keras.KerasTensor):
        return value
    shape = [2, *(8 if size is None else size for size in value.shape[1:])]
    return np.random.default_rng(0).normal(size=shape).astype(value.dtype)


def _put(
    values: Sequence[np.ndarray], old: keras.Layer, new: keras.Layer, other_inputs: bool
) -> None:
    try:
        weights.put(values, new)
    except ValueError as error:
        if other_inputs:  # The caller knows the sizes.
            raise
        raise ModelError(
            f"{old.name} is a {type(old).__name__} that has other weights than one made from its"
            " configuration, so it can't be copied: give the model as it was before"
            " model.quantize, or let the layer make all its weights in `build`."
        ) from error
    weights.keep_lora_scale(old, new)


def _cloned(
    model: keras.Model, copy: Callable[[Any], Any], called: Callable | None, inputs: Any
) -> keras.Model:
    if isinstance(model, Functional):
        # Keras would give inputs without a name of the user's another one.
        inputs = keras.tree.map_structure(_like, model.input) if inputs is None else inputs
        return keras.models.clone_model(
            model, input_tensors=inputs, clone_function=copy, call_function=called
        )
    # Keras would also compile the copy of a Sequential model, which fails for losses, metrics and
    # optimizers of the user's own.
    parts = [copy(layer) for layer in model.layers]
    image = map(_like, getattr(model, "inputs", ())) if inputs is None else [inputs]
    return keras.Sequential([*image, *parts], name=model.name, trainable=model.trainable)


def _like(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """A new input like a model's."""
    return keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype, name=layer_of(tensor).name)


def layers_sharing_a_weight(model: keras.Model) -> tuple[str, str] | None:
    """Return the names of two layers that share a weight, of which a copy would make two.

    Args:
        model: Functional or Sequential.

    Returns:
        The names of the first two; None where each layer has its own weights. A layer that is
            called twice is one layer.
    """
    owners: dict[int, keras.Layer] = {}
    for layer in layers_of_graph(model):
        for weight in layer.weights:
            owner = owners.setdefault(id(weight), layer)
            if owner is not layer:
                return owner.name, layer.name
    return None


def layers_of_graph(model: keras.Model) -> Iterator[keras.Layer]:
    """Iterate over the layers that a copy can replace.

    Args:
        model: Functional or Sequential.

    Yields:
        The layers of the model and of such models nested in it, and none inside of other layers.
    """
    for layer in model.layers:
        if is_graph(layer):
            yield from layers_of_graph(layer)
        else:
            yield layer


def of_size(
    model: keras.Model, input_shape: tuple[int, int, int], option: str = "--input"
) -> keras.Model:
    """Return a model of open sizes as one of images of one size.

    Args:
        model: with known inputs and outputs.
        input_shape: height, width and channels.
        option: by which the user gives the size, for messages.

    Returns:
        A copy, or a model of this shape itself.

    Raises:
        ModelError: it takes images of another shape, or a layer can't work on this size.
    """
    own = tuple(model.inputs[0].shape[1:])
    if own == input_shape:
        return model
    if len(own) != 3 or any(
        size not in (None, given) for size, given in zip(own, input_shape, strict=True)
    ):
        raise ModelError(
            f"The model takes inputs of shape {own}, not images of shape {input_shape}: give"
            f" {option} a size that fits, or leave it out."
        )
    image = keras.Input(input_shape, dtype=model.inputs[0].dtype, name=model.inputs[0].name)
    try:
        # In the structure, as a dict, that the model takes.
        return copied(model, inputs=keras.tree.map_structure(lambda _: image, model.input))
    except ModelError:
        raise
    except Exception as error:  # Keras raises what its layers raise.
        size = sides(input_shape)
        raise ModelError(
            f"{model.name} can't be built for images of {size}"
            f" ({first_line(error).rstrip('.')}): give a larger {option}."
        ) from error


def remade(
    layer: Any,
    changed: Callable[[dict], dict] = lambda config: config,
    kind: type[keras.Layer] | None = None,
) -> Any:
    """Return a layer or operation rebuilt from its configuration.

    Args:
        layer: the layer or operation.
        changed: returns the configuration to use, given the old one.
        kind: the class of the new one; None for the same.

    Returns:
        The new layer or operation.

    Raises:
        ModelError: its class can't be rebuilt. The message names the layer.
    """
    if isinstance(layer, keras.layers.Lambda):
        raise ModelError(
            f"{layer.name} is a Lambda layer, whose function can't be copied or stored safely: "
            f"{INSTEAD_OF_LAMBDA}."
        )
    try:
        return (kind or type(layer)).from_config(changed(layer.get_config()))
    except Exception as error:  # A foreign layer's own code may raise anything.
        if is_of_keras(layer):
            raise ModelError(
                f"{layer.name} ({type(layer).__name__}) can't be made anew from its configuration"
                f" ({type(error).__name__}): if it holds a function or class of your own, decorate"
                " that with @keras.saving.register_keras_serializable(), and give a lambda a name"
                " as a function."
            ) from error
        raise ModelError(
            f"{layer.name} is a {type(layer).__name__}, which can't be made anew from its "
            f"configuration ({type(error).__name__}): give the class a get_config that returns "
            "all arguments of its __init__."
        ) from error


def as_functional(model: keras.Model) -> keras.Model:
    """Return a Functional model of the same layers.

    Args:
        model: Functional or Sequential.

    Returns:
        The new model; a Functional model itself.

    Raises:
        ModelError: the model is subclassed, has a `call` of its own, or is Sequential without a
            known input.
    """
    if is_graph(model) and isinstance(model, Functional):
        return model
    if is_graph(model) and model.built:
        # Layers of a Sequential may have been called once for each `add`, those of its copy are
        # called once.
        copy = copied(model)
        return keras.Model(copy.inputs[0], copy.outputs[0], name=model.name)
    raise ModelError(
        "Only Functional models and Sequential ones with an Input can be rewritten. "
        f"Received: {type(model).__name__}"
        + (", which has a `call` of its own." if isinstance(model, GRAPHS) and model.built else ".")
    )
