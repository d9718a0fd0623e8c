"""The parts of a batch, labels, teacher's outputs and weights, by the student's heads."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd.distiller import _inputs, _labels
from keras_kd.errors import DataError, ModelError

PARTS = {"label", "teacher"}  # of y


@dataclass
class Targets:
    """What a batch is compared with.

    Attributes:
        label: labels, an array or a dict by head.
        teacher: teacher's logits and values by head.
        features: maps of the live teacher, where some are matched.
    """

    label: Any
    teacher: dict[str, Any] = field(default_factory=dict)
    features: Any = None


def label(y: Any) -> Any:
    """Return the labels' part of y.

    Of the sample weights too, which Keras gives the structure of y when it slices arrays.
    """
    if isinstance(y, Targets):
        return y.label
    # A student may itself have a head "label".
    return y["label"] if isinstance(y, dict) and "label" in y and set(y) <= PARTS else y


def teacher(y: Any) -> Any:
    """Return the teacher's outputs that y brings, or None."""
    return y["teacher"] if isinstance(y, dict) and "teacher" in y and set(y) <= PARTS else None


def by_head(values: Any, outputs: Any) -> dict[str, Any]:
    """Return values by head; the one head of a student that doesn't name it goes by "".

    Args:
        values: what is compared with the outputs, in their structure.
        outputs: the student's, or its heads by name.

    Raises:
        ModelError: one is a dict and the other is not, or the values are a list.
    """
    if isinstance(values, (list, tuple)):
        raise ModelError(
            f"The labels or the teacher give a {type(values).__name__} of {len(values)} parts: "
            'expected one array, a dict by head, or y={"label": labels, "teacher": logits}.'
        )
    named = isinstance(outputs, dict) and "" not in outputs
    if named and set(outputs) <= PARTS and not isinstance(values, dict):
        raise ModelError(
            f"The student's heads are called {', '.join(outputs)}, and y's own parts are too: give "
            'y={"label": labels by head}, or name the heads otherwise.'
        )
    if named != isinstance(values, dict):
        raise ModelError(
            f"The student gives {_described(outputs if named else None)}, and the labels or the "
            f"teacher give {_described(values)}: both need the same heads (teacher_head=NAME "
            "chooses one of a teacher's; y with stored outputs is "
            '{"label": labels, "teacher": logits}).'
        )
    return dict(values) if named else {"": values}


def _described(values: Any) -> str:
    return f"a dict of {', '.join(map(str, values))}" if isinstance(values, dict) else "one array"


def weights(sample_weight: Any, heads: Collection[str]) -> dict[str, Any]:
    """Return sample weights by head: one array is for all of them.

    Raises:
        DataError: some are for a head that there is not.
    """
    given = label(sample_weight)
    if not isinstance(given, dict):
        return {} if given is None else dict.fromkeys(heads, given)
    if others := [str(name) for name in given if name not in heads]:
        named = ", ".join(filter(None, heads))
        known = f"the heads {named}: give a dict by these names, or" if named else "one head: give"
        raise DataError(
            f"The sample weights are for {', '.join(others)}, and the student has {known} one"
            " array (N,)."
        )
    return given


def weights_like(y: Any, sample_weight: Any) -> Any:
    """Return sample weights in the structure of y, which Keras asks for where it slices arrays: by
    head as the labels are, or one array.

    Raises:
        DataError: the heads are not those of the labels.
    """
    given, labels = label(sample_weight), label(y)
    if not isinstance(given, dict) or not are_data(labels):
        return given
    heads = list(labels) if isinstance(labels, dict) else []
    if set(given) != set(heads):
        raise DataError(
            f"The sample weights are by the heads {', '.join(map(str, given))}, and the labels"
            f" {'by ' + ', '.join(map(str, heads)) if heads else 'are one array'}: give one array"
            " (N,) for all heads, or one for each head of the labels."
        )
    if labels is y:
        return given
    stored = teacher(y)
    if stored is None:
        return {"label": given}
    # The teacher's part is not read; a head that the labels lack needs any array.
    any_weights = next(iter(given.values()))
    return {"label": given, "teacher": {name: given.get(name, any_weights) for name in stored}}


def required(labels: dict[str, Any], name: str) -> Any:
    """Return the labels of one head; ModelError where y has none."""
    if name not in labels:
        known = ", ".join(labels)
        raise ModelError(
            f"The student has a head {name!r} but y has labels for {known} only: add them, or train"
            " keras.Model(student.input, outputs), with outputs = {name: student.output[name] for"
            f" name in {list(labels)}}}, which shares its layers."
        )
    return labels[name]


def rows(outputs: Any) -> Any:
    """Return the number of images in a batch."""
    return ops.shape(keras.tree.flatten(outputs)[0])[0]


def require_arrays(images: Any, y: Any, sample_weight: Any = None) -> None:
    """Refuse labels, teacher's outputs or sample weights that are lists or of another number of
    images.

    Raises:
        DataError: one is.
    """
    count = _length(images)
    several = images if isinstance(images, (dict, list, tuple)) else [images]
    counts = [_length(one) for one in keras.tree.flatten(several) if hasattr(one, "shape")]
    if len(set(counts) - {None}) > 1:
        raise DataError(
            f"The inputs have {' and '.join(map(str, counts))} rows: give one row of each input for"
            " each image."
        )
    parts = {"labels": label(y), "outputs of the teacher": teacher(y)}
    for name, values in {**parts, "sample weights": label(sample_weight)}.items():
        for head, one in (values if isinstance(values, dict) else {"": values}).items():
            of = f" of head {head!r}" if head else ""
            _require_array(one, name + of)
            _labels.require_unmasked(one, name + of)
            if name != "labels":  # Words among them have a sentence of their own.
                _require_numbers(one, name + of)
            length = _length(one)
            if None not in (count, length) and length != count:
                raise DataError(
                    f"There are {count} images and {length} {name}{of}: give one for each image."
                )


def _require_array(values: Any, name: str) -> None:
    """Refuse a list of numbers, of words or of rows, which Keras takes for as many arrays."""
    first = values
    while isinstance(first, (list, tuple)) and first:
        first = first[0]
    if first is not values and np.ndim(first) == 0:
        raise DataError(
            f"The {name} are a list of {len(values)} numbers, words or rows: expected an array,"
            " which numpy.array makes of it."
        )


def _require_numbers(values: Any, name: str) -> None:
    """Refuse arrays of words or of Python's objects, which TensorFlow can't read."""
    if isinstance(values, np.ndarray) and values.dtype.kind in "OSU":
        raise DataError(
            f"The {name} are an array of {values.dtype}: expected numbers, which"
            " array.astype('float32') makes of numbers."
        )


def _length(values: Any) -> int | None:
    """The number of images in arrays, as far as it is known."""
    flat = keras.tree.flatten(values) if isinstance(values, (dict, list, tuple)) else [values]
    known = _inputs.shape_of(flat[0]) if flat else ()
    return known[0] if known else None


def require_given(labels: Any, images: Any = None, student: keras.Model | None = None) -> None:
    """Refuse batches without labels.

    Args:
        labels: of the batch; a dict of the teacher's part alone has none.
        images: of the batch, in which rows of a data set have their labels, too.
        student: whose inputs these images are.

    Raises:
        DataError: there are none.
    """
    if labels is None or (isinstance(labels, dict) and set(labels) == {"teacher"}):
        inputs = _inputs.input_names(student) if student else []
        if inputs and isinstance(images, dict) and set(images) - set(inputs) and len(images) > 1:
            raise DataError(
                f"The batches are dicts of {', '.join(map(str, images))}, and pairs of images and"
                " labels are expected: dataset.map(lambda row: (row['image'], row['label'])) makes"
                " them, with the names of the two."
            )
        raise DataError(
            "The images have no labels: give them, or learn from the teacher alone with its answers"
            " as the labels, keras.ops.softmax(teacher.predict(images)), and alpha=0."
        )


def require_labels(images: Any, labels: Any) -> None:
    """Refuse arrays without images or without labels, and pandas' categories.

    Raises:
        DataError: there are none, or Keras can't read their type.
    """
    if not are_data(images):
        return  # Data sets and generators bring their own labels.
    require_given(labels)
    if hasattr(images, "shape") and images.shape[:1] == (0,):
        raise DataError("There are no images: give one or more.")
    if str(getattr(labels, "dtype", "")) == "category":
        raise DataError(
            "The labels are categories of pandas: give their numbers, labels.cat.codes, whose order"
            " labels.cat.categories tells."
        )


def are_data(values: Any) -> bool:
    """Whether these are arrays or tensors, or a dict or tuple of them, and no data set."""
    if isinstance(values, dict):
        return all(are_data(value) for value in values.values())
    if isinstance(values, tuple):
        return bool(values) and all(are_data(value) for value in values)
    return values is not None and (
        ops.is_tensor(values) or hasattr(values, "__array__") or isinstance(values, list)
    )
