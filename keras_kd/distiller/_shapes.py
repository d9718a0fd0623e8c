"""The shapes of labels, teacher's outputs and weights that belong to a student's head."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_kd import losses
from keras_kd.errors import ConfigError, DataError, ModelError


class HeadShape:
    """The shape of a head's outputs, and everything that is compared with them as rows.

    A row is an image; for maps (N, H, W, C) of several pixels it is a pixel, R = N·H·W. A map of
    one pixel, (N, 1, 1, C), is an image's. No loss sees another shape, since a dimension too many
    would pair every image with every other.

    Args:
        name: the head's name for messages, "" for the only head.
        shape: of the student's outputs, (N, C) or (N, H, W, C), with None for what is unknown.
        classes: C, or 2 for one logit; None for a continuous value.
    """

    def __init__(self, name: str, shape: tuple[int | None, ...], classes: int | None) -> None:
        inner = tuple(shape[1:-1])
        self.pixels = () if set(inner) <= {1} else inner
        self._shape, self._classes = tuple(shape), classes
        self._columns = shape[-1] if len(shape) > 1 else 1
        self._of = f" of head {name!r}" if name else ""

    def outputs(self, values: Any) -> Any:
        """Return the student's outputs as rows (R, C)."""
        return values if len(values.shape) == 2 else ops.reshape(values, (-1, self._columns))

    def teacher(self, values: Any) -> Any:
        """Return a teacher's outputs as rows (R, C).

        Args:
            values: (N, C), or maps as the student's; of one column also (N,).

        Raises:
            ModelError: they have another shape.
        """
        given = _of_image(values)
        if given is None:
            return ops.reshape(values, (-1, self._columns))
        if self._columns == 1 and (not given or (self.pixels and _alike(given, self.pixels))):
            return ops.reshape(values, (-1, 1))
        several = self._classes is None and given[-1:] not in ((1,), (None,))
        if not given or several or not self._of_pixels(given[:-1]):
            raise ModelError(
                f"The teacher's outputs{self._of} are of shape {_text(given)} and the "
                f"student's of {_text(self._shape[1:])}: {self._teacher_advice(given)}"
            )
        return ops.reshape(values, (-1, given[-1] or self._columns))

    def matched(self, teacher: Any, rows: Any) -> Any:
        """Return a teacher's rows, as many as the student's; None for none.

        Raises:
            ModelError: they have one column and the student several.
        """
        if teacher is None:
            return None
        if teacher.shape[-1] == 1:
            # One column would be spread over all classes without a word.
            losses.require_classes("teacher's logits", teacher, rows)
        return ops.reshape(teacher, (ops.shape(rows)[0], teacher.shape[-1]))

    def _teacher_advice(self, given: tuple[int | None, ...]) -> str:
        if len(given) == 2 and not self.pixels and given[-1] == self._columns:
            return (
                f"both need the same one. If these are {given[0]} views of each image, give one, "
                "logits[:, 0], or their mean, logits.mean(axis=1)."
            )
        return "both need the same one."

    def labels(self, values: Any, rows: Any = None) -> Any:
        """Return labels as rows: class numbers or values (R,), or shares (R, C).

        Args:
            values: (N,), (N, 1) or shares (N, C); of maps (N, H, W), (N, H, W, 1) or (N, H, W, C).
            rows: the student's outputs as rows; None for an array that is looked at on its own.

        Raises:
            DataError: they have another shape, or are words.
        """
        given = _of_image(values)
        if "string" in str(values.dtype):
            raise DataError(f"The labels{self._of} are words: expected numbers of classes.")
        count = -1 if rows is None else ops.shape(rows)[0]
        if given is None and self._classes is None:
            return ops.reshape(values, (count,))
        if given is None:
            raise DataError(
                f"The labels{self._of} have no known rank: state it in the data set, and evaluate "
                "labels of another form, such as (N,) and (N, C), by another Distiller."
            )
        if _alike(given, self.pixels) or self._of_pixels(given[:-1]) and given[-1:] == (1,):
            return _reshaped(values, (count,))
        if self._classes is None or not given or not self._of_pixels(given[:-1]):
            raise DataError(
                f"The labels{self._of} are of shape {_text(given)} and the student's "
                f"outputs of {_text(self._shape[1:])}: expected {self._expected()}."
            )
        # Shares of another number of classes are refused by the loss.
        return _reshaped(values, (count, given[-1] or self._classes))

    def _expected(self) -> str:
        last = () if self._classes is None else ((self._classes,),)
        return " or ".join(_text((*self.pixels, *columns)) for columns in ((), (1,), *last))

    def weights(self, values: Any, rows: Any) -> Any:
        """Return an image's weight for each row, float32 (R,), or None for none."""
        if values is None:
            return None
        given = _of_image(values)
        if given not in (None, (), (1,)):
            raise DataError(
                f"The sample_weight{self._of} is of shape {_text(given)}: expected one "
                "number for each image, (N,)."
            )
        weights = ops.reshape(ops.cast(values, "float32"), (-1, 1))
        if not self.pixels:
            return ops.reshape(weights, (ops.shape(rows)[0],))
        pixels = ops.reshape(ops.ones_like(rows[:, 0]), (ops.shape(weights)[0], -1))
        return ops.reshape(weights * ops.cast(pixels, "float32"), (-1,))

    def labels_of_metrics(self, values: Any, rows: Any) -> Any:
        """Return labels as Keras' metrics compare them with rows; (N, 1) is left as it is."""
        plain = not self.pixels and len(_of_image(values) or ()) <= 1
        return values if plain else self.labels(values, rows)

    def _of_pixels(self, inner: tuple[int | None, ...]) -> bool:
        """Whether these are the dimensions between images and columns."""
        return _alike(inner, self.pixels) if self.pixels else set(inner) <= {1, None}


def require_each(values: Any, rows: Any) -> Any:
    """Return what a soft loss gives if it is one number for each row, (R,).

    Raises:
        ConfigError: it has another shape.
    """
    shape, known = tuple(values.shape), rows.shape[0]
    if len(shape) != 1 or (None not in (shape[0], known) and shape[0] != known):
        raise ConfigError(
            f"soft_loss must return one number for each image, of shape (N,). "
            f"Received: shape {shape}. A loss of keras.losses does so with reduction=None."
        )
    # If N is unknown in the graph, a wrong size is found here.
    return ops.reshape(values, (ops.shape(rows)[0],))


def _of_image(values: Any) -> tuple[int | None, ...] | None:
    """The shape of one image's numbers; None if not even their rank is known in the graph."""
    # TensorFlow gives up the rank in a step that has seen two of them.
    return None if getattr(values.shape, "rank", 0) is None else tuple(values.shape[1:])


def _reshaped(values: Any, shape: tuple[Any, ...]) -> Any:
    return values.reshape(shape) if isinstance(values, np.ndarray) else ops.reshape(values, shape)


def _alike(given: tuple[int | None, ...], own: tuple[int | None, ...]) -> bool:
    """Whether two shapes are the same as far as they are known."""
    return len(given) == len(own) and all(
        None in pair or pair[0] == pair[1] for pair in zip(given, own, strict=True)
    )


def _text(of_image: tuple[int | None, ...]) -> str:
    """The shape of N images, of which one has this shape."""
    sizes = ", ".join("?" if size is None else str(size) for size in of_image)
    return f"(N, {sizes})" if sizes else "(N,)"
