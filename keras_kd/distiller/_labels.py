"""Checks of labels: before training if they are arrays, and in the training step otherwise, where
bad images are recorded with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._common.shares import TOLERANCE, are_shares, wrong
from keras_kd._common.tensors import on_host
from keras_kd.distiller import _backend
from keras_kd.errors import DataError

# A layer may swallow NaN, as ReLU does, and no loss tells of it.
FINITE = "expected finite numbers, so correct this image or leave it out"
WEIGHTS = "expected finite numbers of 0 or more"
_COUNTING = " Some data sets count from 1, as RAF-DB does: subtract 1 from those."
_CORRECT = " Correct such labels, or leave those images out."
_CONTINUOUS = (
    " If it is a continuous value, leave the head out of binary: Distiller(..., binary=[])."
)


def require_classes(
    labels: np.ndarray, classes: int, head: str, images: int, one_logit: bool
) -> None:
    """Refuse labels that are no class numbers 0..C-1 and no shares of the C classes.

    Args:
        labels: rows (R,) or (R, C).
        classes: C; 2 for one logit.
        head: its name for the message, "" for the only one.
        images: N, of which each has R / N rows.
        one_logit: whether the head has one column, which might as well be a continuous value.

    Raises:
        DataError: a label is a word, NaN, no whole number or outside 0..C-1, or a row's shares
            don't sum to 1. The message names the first such image.
    """
    of = f" of head {head!r}" if head else ""
    labels = _numbers(labels, classes, of)
    if labels.ndim == 1:
        _require_numbers(labels, classes, of, images, one_logit)
    elif labels.shape[-1] == classes:
        _require_shares(labels, of, images)


def _numbers(labels: np.ndarray, classes: int, of: str) -> np.ndarray:
    if labels.dtype.kind not in "OUS":
        return labels.astype(np.float64)
    word, advice = np.ravel(labels)[0], "labels.astype(int) gives."
    try:
        labels.astype(np.float64)
    except (TypeError, ValueError):
        advice = "numpy.unique(labels, return_inverse=True)[1] gives in alphabetical order."
    raise DataError(
        f"The labels{of} are words, {str(word)!r} in row 0: expected class numbers 0 to "
        f"{classes - 1}, which {advice}"
    )


def _first(bad: np.ndarray, images: int) -> tuple[int, int]:
    """The first bad row, and the number of its image."""
    row = int(bad.argmax())
    return row, row * images // len(bad)


def _require_numbers(
    labels: np.ndarray, classes: int, of: str, images: int, one_logit: bool
) -> None:
    bad = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    if not bad.any():
        return
    row, image = _first(bad, images)
    raise DataError(
        f"The label{of} in row {image} is {labels[row]:g}: expected class numbers 0 to "
        f"{classes - 1}, and {int(bad.sum())} of {len(labels)} labels are none."
        + _hint(labels, classes, len(labels) > images, one_logit)
    )


def _hint(labels: np.ndarray, classes: int, of_pixels: bool, one_logit: bool) -> str:
    lowest, highest = labels.min(), labels.max()
    if lowest == 1 and highest == classes:
        return f" They run from 1 to {classes}, as RAF-DB's do: subtract 1."
    if classes == 2 and set(np.unique(labels)) == {-1, 1}:
        return " They are -1 and 1: give (labels + 1) // 2."
    if of_pixels:
        return " A pixel that is not to be learnt gets any class and the sample_weight 0."
    if one_logit:
        return _CONTINUOUS
    if lowest == -1:
        return " -1 often stands for an image without a label: leave those rows out."
    if lowest and highest - lowest == classes - 1 and (labels == np.floor(labels)).all():
        change = f"subtract {lowest:g}" if lowest > 0 else f"add {-lowest:g}"
        return f" They run from {lowest:g} to {highest:g}: {change}."
    return _COUNTING if lowest > 0 and highest == classes else _CORRECT


def _require_shares(labels: np.ndarray, of: str, images: int) -> None:
    bad = ~are_shares(labels)
    if not bad.any():
        return
    row, image = _first(bad, images)
    raise DataError(
        f"The labels{of} in row {image} {wrong(labels[row])} An image of several classes"
        " (multi-label) needs one head of one column for each class, named in binary=[...];"
        " continuous values need one head of one column for each, binary=[]."
    )


def require_values(values: np.ndarray, head: str, declared: bool, images: int) -> None:
    """Check the labels of a continuous head, rows (R,) of N images.

    Raises:
        DataError: a label is a word or infinite, or all are 0 or 1 and nobody declared the head.
    """
    of = f" of head {head!r}" if head else ""
    numbers = _numbers(values, 2, of).reshape(-1)
    if np.isinf(numbers).any():
        _, image = _first(np.isinf(numbers), images)
        raise DataError(f"The value{of} in row {image} is infinite: give NaN where it is unknown.")
    if not declared and set(np.unique(numbers[~np.isnan(numbers)])) == {0.0, 1.0}:
        raise _undeclared(head)


def _undeclared(head: str) -> DataError:
    return DataError(
        f"The labels{f' of head {head!r}' if head else ''} are all 0 or 1 and it has one column: "
        f"say what it learns, Distiller(..., binary=[{head!r}]) for two classes by one logit, or "
        "binary=[] for a continuous value."
    )


def require_weights(weights: Any, head: str) -> bool:
    """Refuse sample weights that make the loss NaN or learn the opposite of the labels.

    Args:
        weights: one number for each image, (N,) or (N, 1); None for none; what is not known now is
            left to `Faults`.
        head: its name for the message, "" for all heads.

    Returns:
        Whether they are known now.

    Raises:
        DataError: a weight is NaN, infinite or below 0, of which the message names the first; or
            they are one number for all images.
    """
    known = on_host(weights) if hasattr(weights, "shape") else None
    if known is None or known.dtype.kind not in "biuf":
        return weights is None
    of = f" of head {head!r}" if head else ""
    if not known.ndim:
        raise DataError(f"The sample_weight{of} is one number: expected one for each image, (N,).")
    bad = ~(np.isfinite(known) & (known >= 0))
    if bad.any():
        row = int(np.argwhere(bad)[0][0])
        value = float(known[bad][0])
        raise DataError(
            f"The sample_weight{of} in row {row} is {value:g}: {WEIGHTS}, and {int(bad.sum())} of "
            f"{bad.size} weights are none; 0 leaves an image out."
        )
    return True


def require_unmasked(values: Any, name: str) -> None:
    """Refuse arrays of which some values are masked: Keras would take those below the mask."""
    if np.ma.is_masked(values):
        raise DataError(
            f"The {name} are masked in {np.ma.count_masked(values)} places, and Keras takes what"
            " lies below the mask: leave those rows out, or fill them, array.filled(value)."
        )


class Faults(keras.metrics.Metric):
    """Records the first bad image, label and sample weight in the graph's batches, and labels 0 and
    1 of heads that nobody declared.

    Args:
        heads: the number of classes of each head of classes.
        columns: the number of columns of each.
        undeclared: names of the heads of one column of which nobody said what they learn.
    """

    def __init__(
        self, heads: dict[str, int], columns: dict[str, int], undeclared: Sequence[str]
    ) -> None:
        super().__init__(name="faults")
        self._heads, self._columns, self._replicas = heads, columns, _backend.replicas()
        self._undeclared = list(undeclared)
        # A traced step can't raise: what it finds waits in variables until the step has ended.
        for part in ("image_row", "row", "label", "head", "weight_row", "weight", "seen"):
            setattr(self, part, self.add_weight(shape=(), initializer="zeros", name=part))
        # Whether zeros, ones and other labels were seen, of each undeclared head.
        shape = (len(self._undeclared), 3)
        self.values = self.add_weight(shape=shape, initializer="zeros", name="values")

    def update_state(
        self, bad_images: Any, labels: dict[str, Any], weights: Sequence[Any], count: Any
    ) -> None:
        """Check one batch.

        Args:
            bad_images: which hold NaN or infinity, bool (N,); None where none can.
            labels: rows of labels by head, (R,) or (R, C).
            weights: rows of sample weights, float32 (R,), of the heads that have some.
            count: number of images.
        """
        if bad_images is not None:
            self._record("image_row", {}, bad_images, count)
        for number, (name, classes) in enumerate(self._heads.items()):
            if name in labels:
                bad, shown = _bad_rows(labels[name], classes)
                self._record("row", {"label": shown, "head": number}, bad, count)
        for of_head in weights:
            self._record("weight_row", {"weight": of_head}, _bad_weights(of_head), count)
        # Without undeclared heads the variable is empty, and backends cannot compute with it.
        if self._undeclared:
            seen = [_zeros_ones_others(labels.get(name)) for name in self._undeclared]
            self.values.assign(ops.maximum(self.values, ops.stack(seen)))
        self.seen.assign_add(ops.cast(count, "float32"))

    def _record(self, place: str, shown: dict[str, Any], bad: Any, count: Any) -> None:
        """Keep the first bad row, counted from 1, in the variable `place`, and what to show of it:
        numbers, of which one may be of each row.
        """
        first = ops.logical_and(ops.any(bad), getattr(self, place) == 0)
        # A map has several rows, and a device's share of a short batch may have none.
        rows = ops.maximum(ops.size(bad), 1)
        index = ops.cast(ops.argmax(ops.append(bad, False)), "int32")
        row = self.seen + ops.cast(index * count // rows, "float32") + 1
        for part, values in {**shown, place: row}.items():
            variable, values = getattr(self, part), ops.convert_to_tensor(values, "float32")
            value = ops.take(ops.append(values, 0.0), index) if len(values.shape) else values
            variable.assign(ops.where(first, value, ops.convert_to_tensor(variable)))

    def result(self) -> Any:
        """Return the row of the epoch's first bad label, counted from 1; 0 for none."""
        return self.row

    def refuse(self) -> None:
        """Raise for a recorded fault; to be called outside of traced code.

        Raises:
            DataError: an image holds NaN or infinity, a label is outside its classes, a sample
                weight is not finite or below 0, or labels are 0 and 1 alone and their head is not
                declared.
        """
        self._refuse_image()
        self._refuse_label()
        self._refuse_weight()
        seen = _backend.array(self.values)
        pairs = [] if seen is None else zip(self._undeclared, seen, strict=True)
        for name, (zeros, ones, others) in pairs:
            if zeros and ones and not others:
                raise _undeclared(name)

    def _refuse_image(self) -> None:
        row = _backend.number(self.image_row)
        if row and self._replicas > 1:
            raise DataError(f"An image in the batches holds NaN or infinity: {FINITE}.")
        if row:
            raise DataError(
                f"The image in row {int(row) - 1} of the batches holds NaN or infinity: {FINITE}."
            )

    def _refuse_label(self) -> None:
        parts = (self.row, self.label, self.head)
        # With several replicas the numbers are sums over them, which show only that something was
        # found.
        row, label, head = (_backend.number(part) for part in parts)
        if row and self._replicas > 1:
            raise DataError("A label in the batches is outside the classes of its head." + _CORRECT)
        if row:
            name, classes = list(self._heads.items())[int(head)]
            of = f" of head {name!r}" if name else ""
            raise DataError(
                f"The label{of} in row {int(row) - 1} of the batches is {label:g}: expected class "
                f"numbers 0 to {classes - 1}, or shares that sum to 1." + self._hint(name, label)
            )

    def _hint(self, name: str, label: float) -> str:
        if label == self._heads[name]:
            return _COUNTING
        return _CONTINUOUS if self._columns[name] == 1 else _CORRECT

    def _refuse_weight(self) -> None:
        row, weight = (_backend.number(part) for part in (self.weight_row, self.weight))
        if row and self._replicas > 1:
            raise DataError(f"A sample_weight in the batches is wrong: {WEIGHTS}.")
        if row:
            raise DataError(
                f"The sample_weight in row {int(row) - 1} of the batches is {weight:g}: {WEIGHTS}; "
                "0 leaves an image out."
            )


def _zeros_ones_others(values: Any) -> Any:
    """Whether zeros, ones and other numbers are among labels, float32 (3,); None are no labels."""
    if values is None:
        return ops.zeros(3)
    values = ops.cast(values, "float32")
    zeros, ones = values == 0, values == 1
    others = ops.logical_not(ops.logical_or(ops.logical_or(zeros, ones), ops.isnan(values)))
    return ops.cast(ops.stack([ops.any(found) for found in (zeros, ones, others)]), "float32")


def _bad_weights(weights: Any) -> Any:
    """Which of the weights (N,) make no loss, bool (N,)."""
    return ops.logical_not(ops.logical_and(ops.isfinite(weights), weights >= 0))


def _bad_rows(labels: Any, classes: int) -> tuple[Any, Any]:
    """Which rows no head can learn, bool (N,), and a number of each row to name it by: its label or
    its sum.
    """
    labels = ops.cast(labels, "float32")
    if len(labels.shape) == 1:
        inside = ops.logical_and(labels >= 0, labels < classes)
        return ops.logical_not(ops.logical_and(inside, labels == ops.floor(labels))), labels
    total = ops.sum(labels, axis=-1)
    good = ops.logical_and(ops.min(labels, axis=-1) >= 0, ops.abs(total - 1) <= TOLERANCE)
    return ops.logical_not(good), total
