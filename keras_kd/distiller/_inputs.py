"""The images of a batch, by the inputs of a model."""

from __future__ import annotations

from typing import Any

import keras

from keras_kd.errors import DataError
from keras_kd.models.surgery.keras_internals import Functional


def named(images: Any, *models: keras.Model) -> Any:
    """Return what a dict has under the names of a model's inputs, as Keras takes it, and none of
    its other arrays: of the first model whose names are all there. Everything else is returned as
    it is.
    """
    for model in models if isinstance(images, dict) else ():
        names = input_names(model)
        if names and set(names) <= set(images):
            return {name: images[name] for name in names}
    return images


def only(images: Any, *models: keras.Model) -> Any:
    """Return the images for models of one input: what a dict or list holds alone, or a dict of
    several has under the name of an input. Everything else is returned as by `named`.
    """
    own = named(images, *models)
    flat = keras.tree.flatten(own) if isinstance(own, (dict, list, tuple)) else []
    return flat[0] if len(flat) == 1 else own


def input_names(model: keras.Model) -> list[str]:
    """Return the names by which a dict has a model's arrays, in the order of `model.inputs`; of a
    model without a graph those that it was built with, none if that was an array.
    """
    if isinstance(model, Functional) and isinstance(model.input, dict):
        return sorted(model.input)  # as Keras flattens a dict
    if inputs := getattr(model, "inputs", None):
        return [one.name for one in inputs]
    built_with = (model.get_build_config() or {}).get("input_shape")
    return sorted(built_with) if isinstance(built_with, dict) else []


def as_taken(images: Any, model: keras.Model) -> Any:
    """Return the images of a model of one input in the structure that it was built with; those of
    others as they are, by the names of its inputs.
    """
    if len(model.inputs) != 1 or keras.tree.is_nested(only(images, model)):
        return named(images, model)
    structure = model.input if isinstance(model, Functional) else model.inputs[0]
    return keras.tree.pack_sequence_as(structure, [only(images, model)])


def require_shape(images: Any, student: keras.Model) -> None:
    """Refuse images of other inputs or another shape than the student takes.

    Raises:
        DataError: a size differs, the graph doesn't even know how many axes they have, they are a
            list, or one image without an axis of images; or they are not one for each of the
            student's inputs.
    """
    _require_rank(images, student)
    if len(student.inputs) > 1:
        _require_inputs(images, student)
        return
    images = only(images, student)
    if isinstance(images, (dict, list, tuple)) and len(images) != 1:
        parts = f" ({', '.join(map(str, images))})" if isinstance(images, dict) else ""
        raise DataError(
            f"The images are a {type(images).__name__} of {len(images)} parts{parts}, and the"
            f" student {student.name} takes one array: make one of them, numpy.stack(images), or"
            " give the one that it takes."
        )
    taken, given = tuple(student.inputs[0].shape), shape_of(images)
    if len(taken) == 4 and given == taken[1:]:
        raise DataError(
            f"The images are of shape {given}, one image without an axis of images: batch the data"
            " set, dataset.batch(32), or give images[None]."
        )
    if _differ(given, taken):
        raise DataError(
            f"The images are of shape {given[1:]}, and the student {student.name} takes"
            f" {taken[1:]}: resize or convert them, or build it for their shape."
        )


def _require_rank(images: Any, student: keras.Model) -> None:
    """Refuse images of which the graph of a step knows no axes: DataError."""
    ranks = [
        getattr(getattr(one, "shape", ()), "rank", 0)
        for one in keras.tree.flatten(named(images, student))
    ]
    if None in ranks:
        shape = (None, *student.inputs[ranks.index(None) % len(student.inputs)].shape[1:])
        raise DataError(
            "It isn't known how many axes the images have: arrays (N, H, W) that follow others"
            " (N, H, W, 1) need one more, images[..., None], and of a data set that leaves it open,"
            " as tf.io.decode_image and tf.py_function do, state them in it, dataset.map(lambda"
            f" image, label: (tf.ensure_shape(image, {shape}), label)) after batch, or give"
            " decode_image expand_animations=False."
        )


def _require_inputs(images: Any, student: keras.Model) -> None:
    """Refuse what is not one array for each of several inputs: DataError."""
    names, images = input_names(student), named(images, student)
    inputs = f"the student {student.name} takes {len(names)} inputs, {', '.join(names)}"
    if hasattr(images, "shape"):
        raise DataError(f"The images are one array, and {inputs}: give a dict or list of these.")
    nested = len(names) != len(student.inputs)
    if nested or not isinstance(images, (dict, list, tuple)):
        return  # A data set is looked at by its batches, and Keras knows deeper structures.
    if isinstance(images, dict) and set(images) != set(names):
        raise DataError(
            f"The images are a dict of {', '.join(map(str, images))}, and {inputs}: give a dict of"
            " these."
        )
    if len(images) != len(names):
        raise DataError(
            f"The images are a {type(images).__name__} of {len(images)} parts, and {inputs}: give"
            " one for each."
        )
    given = images if isinstance(images, dict) else dict(zip(names, images, strict=True))
    for name, tensor in zip(names, student.inputs, strict=True):
        shape, own = shape_of(given[name]), shape_of(tensor)
        if _differ(shape, own):
            raise DataError(
                f"The input {name!r} is of shape {shape[1:]}, and the student {student.name} takes"
                f" {own[1:]}: resize or convert it, or build the student for its shape."
            )


def shape_of(values: Any) -> tuple[int | None, ...]:
    """The shape of an array or tensor; () of anything else, and where not even the rank is
    known.
    """
    shape = getattr(values, "shape", ())
    return () if getattr(shape, "rank", 0) is None else tuple(shape)


def _differ(given: tuple[int | None, ...], taken: tuple[int | None, ...]) -> bool:
    """Whether sizes of as many dimensions differ, but for the number of images."""
    return len(given) == len(taken) and any(
        None not in (own, size) and own != size
        for own, size in zip(taken[1:], given[1:], strict=True)
    )
