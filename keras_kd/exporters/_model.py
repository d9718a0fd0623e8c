"""The conditions on a Keras model for export, and the form that converts best."""

from __future__ import annotations

import math
import re
from typing import Any

import keras
import numpy as np

from keras_kd.datasets.class_names import problem
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.errors import ExportError, ModelError
from keras_kd.exporters import _output_kinds
from keras_kd.models import heads
from keras_kd.models.inference import COMPUTE_APART, DEPENDS, depends_on_batch
from keras_kd.models.keras_config import SCOPE
from keras_kd.models.output_kinds import OutputKind, images_of_noise, unclear_number
from keras_kd.models.spec import ModelSpec, require_whole_pixels
from keras_kd.models.surgery.copies import INSTEAD_OF_LAMBDA
from keras_kd.models.surgery.keras_internals import all_layers
from keras_kd.models.surgery.tracing import with_graph

# Modes of Keras' model.quantize that can't be exported.
UNREADABLE = ("int8", "float8")


def require(model: Any) -> None:
    """Refuse what is no Keras model with a known input.

    Raises:
        ExportError: it is a path, a Distiller, or a Sequential without an input.
    """
    if not isinstance(model, keras.Model):
        raise ExportError(
            f"The model must be a keras.Model. Received: {model!r} of type {type(model).__name__};"
            " keras.models.load_model reads a file."
        )
    if isinstance(getattr(model, "student", None), keras.Model):
        raise ExportError("The Distiller is exported by its student: give distiller.student.")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ExportError(
            f"The input of {model.name} is not known: begin it with keras.Input, or call it once on"
            " one array of images."
        )


def graph_of(model: keras.Model) -> keras.Model:
    """Return a model whose inputs and outputs are known: a subclassed one that was called, wrapped;
    others as they are.

    Raises:
        ExportError: the subclassed model was never called, or can't be called on a symbolic image.
    """
    try:
        return with_graph(model)
    except ModelError as error:
        raise ExportError(str(error)) from error


def for_io(
    model: keras.Model,
    io: str,
    class_names: tuple[str, ...] | None,
    stated: OutputKind | None,
) -> tuple[keras.Model, OutputKind | None]:
    """Return the model with the outputs that a profile asks for: an app gets a probability for each
    of two named classes, where the model gives one number for both.

    Args:
        model: with known outputs.
        io: the profile.
        class_names: as far as they are named.
        stated: what the user says that the outputs are, or None.

    Returns:
        The model, and what its outputs are known to be: `stated`, or for both classes what they
            are.

    Raises:
        ExportError: neither graph nor statement shows what that number is, or they contradict each
            other.
    """
    if io != "app" or class_names is None or not heads.separates_two_classes(model, class_names):
        return model, stated
    kind = _output_kinds.known_of_two_classes(model, stated)
    if kind is None:
        raise ExportError(
            unclear_number(
                model.name,
                "end it in Dense(1), with or without activation='sigmoid', state output='logits'"
                " or 'probabilities' (--output), or export it with io='float'",
            )
        )
    both: OutputKind = "logits" if kind == "logits" else "probabilities"
    return heads.in_two_columns(model, kind), both


def require_pixels(model: keras.Model, pixels: PixelValues) -> None:
    """Refuse pixel values that a model of whole numbers can't take.

    Raises:
        ExportError: it is one, and `pixels` are not 0..255.
    """
    if keras.backend.is_float_dtype(model.inputs[0].dtype):
        return
    try:
        require_whole_pixels(ModelSpec(pixels=pixels))
    except ModelError as error:
        raise ExportError(f"{model.name} can't be exported: {error}") from error


def require_apart(model: keras.Model, pixels: PixelValues) -> None:
    """Refuse a model that computes an image with the others of its batch.

    Raises:
        ExportError: it does.
    """
    (image,) = model.inputs
    noise = pixels.of(images_of_noise(image.shape[1:])).astype(image.dtype)
    if depends_on_batch(model, noise):
        raise ExportError(
            f"{model.name} {DEPENDS}, and a file takes one image at a time: {COMPUTE_APART}."
        )


def app_input(
    model: keras.Model, io: str, given: tuple[int, int, int] | None
) -> tuple[int, int, int]:
    """Return the (H, W, C) of the image that an app gives: the given one, or the model's own.

    Raises:
        ExportError: it is neither gray nor RGB.
    """
    if given is not None and not _is_shape(given):
        raise ExportError(
            f"app_input is (height, width, 1 for gray or 3 for RGB). Received: {given!r}."
        )
    height, width, channels = given or model.inputs[0].shape[1:]
    if io == "app" and channels not in (1, 3):
        raise ExportError(
            f"{model.name} takes images of {channels} channels, and io='app' gray or RGB ones: use"
            " io='float'."
        )
    return height, width, channels


def _is_shape(given: Any) -> bool:
    return (
        isinstance(given, (tuple, list))
        and len(given) == 3
        and all(isinstance(size, (int, np.integer)) and size > 0 for size in given)
        and given[2] in (1, 3)
    )


def check(model: keras.Model, class_names: tuple[str, ...] | None) -> None:
    """Refuse what no format can hold: several inputs, open shapes, Lambda layers, NaN weights,
    labels of another number or in no line.

    Raises:
        ExportError: one of these.
    """
    _check_images(model)
    _check_outputs(model)
    for layer in all_layers(model):
        _check_layer(layer, model)
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ExportError(
                f"{weight.path} of {model.name} holds NaN or infinite values: train the model"
                " again."
            )
    _check_class_names(model, class_names)


def _check_outputs(model: keras.Model) -> None:
    outputs = heads.structure(model)
    if isinstance(outputs, dict) and any(
        keras.tree.is_nested(output) for output in outputs.values()
    ):
        raise ExportError(
            f"{model.name} gives outputs in a dict inside of another structure: build it with one"
            " dict, each output by a name of its own."
        )


def _check_images(model: keras.Model) -> None:
    """Refuse inputs that are not images of one size."""
    if len(model.inputs) != 1:
        raise ExportError(
            f"{model.name} has {len(model.inputs)} inputs: only models of one image input can be"
            " exported."
        )
    shape = model.inputs[0].shape[1:]
    if len(shape) != 3:
        raise ExportError(
            f"{model.name} takes inputs of shape {shape}: expected images, (height, width,"
            " channels), so put a layer before it that makes its input of them,"
            f" {_reshaped(shape)}."
        )
    if None in shape:
        raise ExportError(
            f"{model.name} takes images of any size, {shape}: state one by --input"
            " HEIGHTxWIDTHxCHANNELS, or in Python by set_weights of"
            " keras.models.clone_model(model, keras.Input((64, 64, 3)))."
        )


def _reshaped(shape: tuple[int | None, ...]) -> str:
    """A layer that makes inputs of a shape of an image with as many numbers."""
    if len(shape) < 2:
        return "e.g. keras.layers.Flatten() behind keras.Input((28, 28, 1))"
    if None in shape:
        return "e.g. keras.layers.Reshape((28, 28)) behind keras.Input((28, 28, 1))"
    image = (*shape, 1) if len(shape) == 2 else (math.prod(shape[:-2]), *shape[-2:])
    return f"keras.layers.Reshape({shape}) behind keras.Input({image})"


def _check_layer(layer: keras.Layer, model: keras.Model) -> None:
    """Refuse layers that no format can hold."""
    mode = getattr(layer.dtype_policy, "quantization_mode", None)
    if mode in UNREADABLE:
        raise ExportError(
            f"{layer.name} of {model.name} was quantized to {mode} by model.quantize,"
            " which LiteRT's converter can't read: export the model as it was before; the"
            " formats int8 and dynamic quantize it."
        )
    if not isinstance(layer, keras.layers.InputLayer):
        _check_name(layer, model)
    if isinstance(layer, keras.layers.Lambda):
        raise ExportError(
            f"{layer.name} of {model.name} is a Lambda layer, whose function no format can hold"
            f" safely: {INSTEAD_OF_LAMBDA}."
        )


def _check_name(layer: keras.Layer, model: keras.Model) -> None:
    """Refuse names that TensorFlow can't call. Keras names a layer of a private class `_Mine`
    `__mine`, which may begin no weight's path.
    """
    begins = layer is model or any(
        weight.path.startswith(f"{layer.name}/") for weight in layer.weights
    )
    beginning = "[A-Za-z0-9.]" if begins else ""
    if not SCOPE.fullmatch(layer.name) or not re.match(beginning, layer.name):
        kind = "a model" if isinstance(layer, keras.Model) else "a layer"
        raise ExportError(
            f"TensorFlow can't store {kind} of the name {layer.name[:100]!r}: give it a name of"
            " letters, digits, dots, hyphens and underscores that begins with a letter, e.g."
            " name='mine'."
        )


def _check_class_names(model: keras.Model, class_names: tuple[str, ...] | None) -> None:
    if wrong := problem(class_names or ()):
        raise ExportError(f"{model.name} can't be exported, {wrong}: rename the class.")
    outputs = keras.tree.flatten(model.outputs)
    if class_names is not None and len(outputs) == 1 and outputs[0].shape[-1] != len(class_names):
        if len(class_names) == 2 and heads.gives_one_number(model):
            return
        raise ExportError(
            f"{len(class_names)} class names were given for the {outputs[0].shape[-1]} outputs of"
            f" {model.name}: give one for each, in the order of the outputs."
        )
