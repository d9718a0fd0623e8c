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

    Attributes:
        pixels: the sizes between images and columns; () where there is one pixel.
        rows: what a row is, "images" or "pixels", for messages.
        columns: of the student's outputs.
        classes: as given.
    """

    def __init__(self, name: str, shape: tuple[int | None, ...], classes: int | None) -> None:
        inner = tuple(shape[1:-1])
        self.pixels = () if set(inner) <= {1} else inner
        self.rows = "pixels" if self.pixels else "images"
        self._shape, self.classes = tuple(shape), classes
        self.columns = shape[-1] if len(shape) > 1 else 1
        self._of = f" of head {name!r}" if name else ""

    def outputs(self, values: Any) -> Any:
        """Return the student's outputs as rows (R, C)."""
        return values if len(values.shape) == 2 else ops.reshape(values, (-1, self.columns))

    def teacher(self, values: Any) -> Any:
        """Return a teacher's outputs as rows (R, C).

        Args:
            values: (N, C), or maps as the student's; of one column, which may be the one logit of
                two classes, also (N,).

        Raises:
            ModelError: they have another shape.
        """
        given = _of_image(values)
        if given is None:
            return ops.reshape(values, (-1, self.columns))
        if self._is_one_column(given):
            return ops.reshape(values, (-1, 1))
        several = self.classes is None and given[-1:] not in ((1,), (None,))
        if not given or several or not self._of_pixels(given[:-1]):
            raise ModelError(
                f"The teacher's outputs{self._of} are of shape {_text(given)} and the "
                f"student's of {_text(self._shape[1:])}: {self._teacher_advice(given)}"
            )
        return ops.reshape(values, (-1, given[-1] or self.columns))

    def columns_of_teacher(self, values: Any) -> int:
        """Return the columns of a teacher's outputs, which for two classes may be one or two.

        Args:
            values: as for `teacher`; where their number is not known, the student's is returned.
        """
        given = _of_image(values)
        if given is None:
            return self.columns
        if not given or self._is_one_column(given):
            return 1
        return given[-1] or self.columns

    def _is_one_column(self, given: tuple[int | None, ...]) -> bool:
        """Whether this is the shape of one number for each image or pixel, of a head that can learn
        from it.
        """
        of_one = self.columns == 1 or self.classes == 2
        return of_one and (not given or bool(self.pixels and _alike(given, self.pixels)))

    def logits(self, teacher: Any) -> Any:
        """Return rows of a teacher's logits (R, C) in C columns: of two classes, one logit z as
        [0, z]. Continuous values are returned as they are.

        Raises:
            ModelError: they are of another number of classes.
        """
        if self.classes == 2 and 1 in (self.columns, teacher.shape[-1]):
            return losses.two_logits(teacher)
        if self.classes and teacher.shape[-1] not in (None, self.classes):
            raise ModelError(
                f"The teacher's logits{self._of} are of {teacher.shape[-1]} classes and the "
                f"student's logits of {self.classes}: both need the same classes in the same order."
            )
        return teacher

    def matched(self, teacher: Any, rows: Any) -> Any:
        """Return a teacher's rows, as many as the student's; None for none."""
        if teacher is None:
            return None
        return ops.reshape(teacher, (ops.shape(rows)[0], teacher.shape[-1]))

    def _teacher_advice(self, given: tuple[int | None, ...]) -> str:
        if len(given) == 2 and not self.pixels and given[-1] == self.columns:
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
        if given is None and self.classes is None:
            return ops.reshape(values, (count,))
        if given is None:
            raise DataError(
                f"The labels{self._of} have no known rank: state it in the data set, and evaluate "
                "labels of another form, such as (N,) and (N, C), by another Distiller."
            )
        if _alike(given, self.pixels) or self._of_pixels(given[:-1]) and given[-1:] == (1,):
            return _reshaped(values, (count,))
        if self.classes is None or not given or not self._of_pixels(given[:-1]):
            raise DataError(
                f"The labels{self._of} are of shape {_text(given)} and the student's "
                f"outputs of {_text(self._shape[1:])}: expected {self._expected()}."
            )
        # Shares of another number of classes are refused by the loss.
        return _reshaped(values, (count, given[-1] or self.classes))

    def _expected(self) -> str:
        last = () if self.classes is None else ((self.classes,),)
        return " or ".join(_text((*self.pixels, *columns)) for columns in ((), (1,), *last))

    def weights(self, values: Any, rows: Any, images: Any) -> Any:
        """Return the weight of each row, float32 (R,), or None for none.

        Args:
            values: one weight for each image, (N,) or (N, 1); of maps also one for each pixel,
                (N, H, W) or (N, H, W, 1).
            rows: the student's outputs as rows.
            images: N.

        Raises:
            DataError: they have another shape.
        """
        if values is None:
            return None
        given = _of_image(values)
        if given not in (None, (), (1,)) and not (self.pixels and self._of_each_pixel(given)):
            each = f", or for each pixel, {_text(self.pixels)}" if self.pixels else ""
            raise DataError(
                f"The sample_weight{self._of} is of shape {_text(given)}: expected one "
                f"number for each image, (N,){each}."
            )
        weights = ops.cast(values, "float32")
        if not self.pixels:
            return ops.reshape(weights, (ops.shape(rows)[0],))
        pixels = ops.reshape(ops.ones_like(rows[:, 0]), (images, -1))
        # If not even the rank is known, weights of another number of pixels fail here.
        of_pixels = ops.reshape(weights, (images, -1)) * ops.cast(pixels, "float32")
        return ops.reshape(of_pixels, (-1,))

    def _of_each_pixel(self, given: tuple[int | None, ...]) -> bool:
        """Whether these are the dimensions of the pixels, with or without one of one column."""
        return _alike(given, self.pixels) or (
            given[-1:] == (1,) and _alike(given[:-1], self.pixels)
        )

    def labels_of_metrics(self, values: Any, rows: Any) -> Any:
        """Return labels as Keras' metrics compare them with rows; (N, 1) is left as it is."""
        plain = not self.pixels and len(_of_image(values) or ()) <= 1
        return values if plain else self.labels(values, rows)

    def _of_pixels(self, inner: tuple[int | None, ...]) -> bool:
        """Whether these are the dimensions between images and columns."""
        return _alike(inner, self.pixels) if self.pixels else set(inner) <= {1, None}


def weights_of_images(values: Any, images: Any) -> Any:
    """Return one weight for each of N images, float32 (N,): of weights of pixels their mean; None
    for none.
    """
    if values is None:
        return None
    values, given = ops.cast(values, "float32"), _of_image(values)
    if given is None:
        return ops.mean(ops.reshape(values, (images, -1)), axis=-1)
    return ops.mean(values, axis=tuple(range(1, len(given) + 1)))


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
