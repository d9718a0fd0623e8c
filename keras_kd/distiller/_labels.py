"""Checks of labels: before training if they are arrays, and in the training step otherwise."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd.distiller import _backend
from keras_kd.errors import DataError

COUNTING = " Some data sets count from 1, as RAF-DB does: subtract 1 from those."
SHARES_TOLERANCE = 1e-2  # of a sum of 1, for shares that were kept in float16


def on_host(values: Any) -> np.ndarray | None:
    """Return values as an array if they are known now; None for tensors on a device or computed
    later.
    """
    if values is None or isinstance(values, keras.KerasTensor):
        return None
    if not ops.is_tensor(values):
        return np.asarray(values)
    # TensorFlow's tensors have this method where they are computed at once.
    eager = keras.backend.backend() == "tensorflow" and hasattr(values, "numpy")
    return values.numpy() if eager else None


def require_classes(labels: np.ndarray, classes: int, head: str) -> None:
    """Refuse labels that are no class numbers 0..C-1 and no shares of the C classes.

    Args:
        labels: (N,), (N, 1) or (N, C).
        classes: C; 2 for one logit.
        head: its name for the message, "" for the only one.

    Raises:
        DataError: a label is a word, NaN, no whole number or outside 0..C-1, or a row's shares
            don't sum to 1. The message names the first such row.
    """
    of = f" of head {head!r}" if head else ""
    labels = _numbers(labels, classes, of)
    if labels.ndim > 1 and labels.shape[-1] == classes and classes > 1:
        _require_shares(labels, of)
    elif labels.ndim == 1 or labels.shape[-1] == 1:
        _require_numbers(labels.reshape(-1), classes, of)


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


def _require_numbers(labels: np.ndarray, classes: int, of: str) -> None:
    bad = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    if not bad.any():
        return
    row = int(bad.argmax())
    raise DataError(
        f"The label{of} in row {row} is {labels[row]:g}: expected class numbers 0 to {classes - 1},"
        f" and {int(bad.sum())} of {len(labels)} labels are none.{_hint(labels, classes)}"
    )


def _hint(labels: np.ndarray, classes: int) -> str:
    if labels.min() == 1 and labels.max() == classes:
        return f" They run from 1 to {classes}, as RAF-DB's do: subtract 1."
    if labels.min() == -1:
        return " -1 often stands for an image without a label: leave those rows out."
    return COUNTING


def _require_shares(labels: np.ndarray, of: str) -> None:
    bad = ~((labels.min(axis=-1) >= 0) & (np.abs(labels.sum(axis=-1) - 1) <= SHARES_TOLERANCE))
    if not bad.any():
        return
    row = int(bad.argmax())
    shares = ", ".join(f"{share:g}" for share in labels[row][:8])
    raise DataError(
        f"The labels{of} in row {row} are [{shares}]: expected shares of the classes that sum to "
        "1. "
        "An image of several classes (multi-label) needs one head of one column for each class, "
        "named in binary=[...]."
    )


def require_values(values: np.ndarray, head: str, declared: bool) -> None:
    """Check the labels of a continuous head.

    Raises:
        DataError: a label is a word or infinite, or all are 0 or 1 and nobody declared the head.
    """
    of = f" of head {head!r}" if head else ""
    numbers = _numbers(values, 2, of).reshape(-1)
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise DataError(f"The value{of} in row {row} is infinite: give NaN where it is unknown.")
    if not declared and set(np.unique(numbers)) == {0.0, 1.0}:
        raise DataError(
            f"The labels{of} are all 0 or 1 and it has one column: say what it learns, "
            f"Distiller(..., binary=[{head!r}]) for two classes by one logit, or binary=[] for a "
            "continuous value."
        )


class Faults(keras.metrics.Metric):
    """Records the first bad label in batches seen in the graph."""

    def __init__(self, heads: dict[str, int]) -> None:
        super().__init__(name="faults")
        self._heads, self._replicas = heads, _backend.replicas()
        # A traced step can't raise: what it finds waits in variables until the step has ended.
        for part in ("row", "label", "head", "seen"):
            setattr(self, part, self.add_weight(shape=(), initializer="zeros", name=part))

    def update_state(self, labels: dict[str, Any], count: Any) -> None:
        """Check one batch.

        Args:
            labels: labels by head of classes, as for `require_classes`.
            count: number of images.
        """
        for number, (name, classes) in enumerate(self._heads.items()):
            if name in labels:
                self._look(number, *_bad_rows(labels[name], classes))
        self.seen.assign_add(ops.cast(count, "float32"))

    def _look(self, number: int, bad: Any, labels: Any) -> None:
        index = ops.argmax(bad)
        first = ops.logical_and(ops.any(bad), self.row == 0)
        found = {
            "label": ops.take(labels, index),
            "head": float(number),
            "row": self.seen + ops.cast(index, "float32") + 1,
        }
        for part, value in found.items():
            variable = getattr(self, part)
            variable.assign(ops.where(first, value, ops.convert_to_tensor(variable)))

    def result(self) -> Any:
        """Return the row of the epoch's first bad label, counted from 1; 0 for none."""
        return self.row

    def refuse(self) -> None:
        """Raise for a recorded fault; to be called outside of traced code.

        Raises:
            DataError: a label is outside its classes.
        """
        parts = (self.row, self.label, self.head)
        # On several replicas this adds up theirs: that something was found is all that is known.
        row, label, head = (_backend.number(part) for part in parts)
        if row and self._replicas > 1:
            raise DataError("A label in the batches is outside the classes of its head." + COUNTING)
        if row:
            name, classes = list(self._heads.items())[int(head)]
            of = f" of head {name!r}" if name else ""
            raise DataError(
                f"The label{of} in row {int(row) - 1} of the batches is {label:g}: expected class "
                f"numbers 0 to {classes - 1}, or shares that sum to 1.{COUNTING}"
            )


def _bad_rows(labels: Any, classes: int) -> tuple[Any, Any]:
    """Which rows no head can learn, bool (N,), and a number of each row to name it by: its label or
    its sum.
    """
    labels = ops.cast(labels, "float32")
    if len(labels.shape) == 1 or labels.shape[-1] == 1:
        flat = ops.reshape(labels, (-1,))
        good = ops.logical_and(ops.logical_and(flat >= 0, flat < classes), flat == ops.floor(flat))
        return ops.logical_not(good), flat
    total = ops.sum(labels, axis=-1)
    good = ops.logical_and(ops.min(labels, axis=-1) >= 0, ops.abs(total - 1) <= SHARES_TOLERANCE)
    return ops.logical_not(good), total
