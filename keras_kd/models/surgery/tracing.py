"""A graph around models whose `call` is code."""

from __future__ import annotations

from typing import Any

import keras

from keras_kd.errors import ModelError
from keras_kd.models.surgery.keras_internals import GRAPHS, is_graph


def with_graph(model: keras.Model) -> keras.Model:
    """Return a model whose inputs and outputs are known.

    Args:
        model: any Keras model with one input.

    Returns:
        A subclassed model that was called, or a graph with a `call` of its own, wrapped; others as
            they are.

    Raises:
        ModelError: the subclassed model was never called, or can't be called on a symbolic image.
    """
    if isinstance(model, GRAPHS) and not model.inputs:
        raise ModelError(_never_called(model))
    if is_graph(model):
        return model
    image = _image_of(model)
    try:
        return keras.Model(image, model(image), name=model.name)
    except Exception as error:  # A foreign `call` may raise anything.
        raise ModelError(
            f"The subclassed model {model.name} ({type(model).__name__}) can't be traced "
            f"({type(error).__name__}): write its `call` with layers and keras.ops."
        ) from error


def _image_of(model: keras.Model) -> keras.KerasTensor:
    if isinstance(model, GRAPHS):
        return keras.Input(batch_shape=model.inputs[0].shape, dtype=model.inputs[0].dtype)
    shape: Any = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if not (isinstance(shape, list | tuple) and all(isinstance(n, int | None) for n in shape)):
        raise ModelError(_never_called(model))
    return keras.Input(shape[1:])


def _never_called(model: keras.Model) -> str:
    return (
        f"The input of {model.name} ({type(model).__name__}) is not known: call it once on one "
        "array of images, or give it a keras.Input, before exporting."
    )
