"""Tells of teachers that answer the same to all images, from which a student learns nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._common.user_warnings import warn
from keras_kd.distiller import _backend

FEWEST = 32  # images; a few may well be of one class
STORED = "The teacher whose outputs the batches bring"
_ROWS = 1024  # of a store, which may be large, at a time; the first ones mostly differ


def warn_of_stored(
    outputs: np.ndarray, logits: Callable[[np.ndarray], np.ndarray], name: str
) -> None:
    """Warn of a teacher whose stored outputs are the same for all images.

    Args:
        outputs: of one head, (N, ...).
        logits: gives the logits (R, C) of some of them.
        name: the head's.
    """
    if len(outputs) < FEWEST:
        return
    first, differ = logits(outputs[:1])[0], False
    for start in range(0, len(outputs), _ROWS):
        given = logits(outputs[start : start + _ROWS])
        if (given.argmax(axis=-1) != first.argmax()).any():
            return
        differ = differ or bool((given != first).any())
    _warn(STORED, name, differ)


class SameAnswers(keras.metrics.Metric):
    """Records whether teachers' logits, live or stored, and the classes that they choose, differ
    between the images of an epoch.

    Args:
        columns: of the logits of the student's heads of classes, 2 or more.
        teachers: names of the live ones.
    """

    def __init__(self, columns: Mapping[str, int], teachers: Sequence[str]) -> None:
        super().__init__(name="same_answers")
        self._columns = dict(columns)
        self._teachers = [*(f"The teacher {name}" for name in teachers), STORED]
        self.seen = self.add_weight(shape=(), initializer="zeros", name="seen")
        # A weight for each teacher and head: the logits of the epoch's first row.
        # Keras' trees of variables need each to have a name of its own.
        self.first = {
            (number, name): self.add_weight(
                shape=(count,), initializer="zeros", name=f"first_{number}_{place}"
            )
            for number in range(len(self._teachers))
            for place, (name, count) in enumerate(self._columns.items())
        }
        # For each of them, whether logits and classes differed from those of the first row.
        self.differ = self.add_weight(
            shape=(len(self.first), 2), initializer="zeros", name="differ"
        )

    def update_state(
        self, teachers: Sequence[Mapping[str, Any]], count: Any, are_stored: bool
    ) -> None:
        """Compare the rows of one batch with the first of the epoch.

        Args:
            teachers: logits (R, C) by head of each live teacher, or the stored ones alone.
            count: number of images.
            are_stored: whether the batch brings them.
        """
        if not self.first:
            return
        nothing: list[Mapping[str, Any]] = [{}] * (len(self._teachers) - 1)
        given = [*nothing, *teachers] if are_stored else [*teachers, {}]
        differ = [self._compared(place, given[place[0]].get(place[1])) for place in self.first]
        self.differ.assign(ops.maximum(self.differ, ops.cast(ops.stack(differ), "float32")))
        self.seen.assign_add(ops.cast(count, "float32"))

    def _compared(self, place: tuple[int, str], logits: Any) -> Any:
        """Whether logits and classes differ, bool (2,); a head that the teacher lacks is not to be
        told of.
        """
        if logits is None:
            return ops.convert_to_tensor([True, True])
        rows = ops.reshape(ops.cast(logits, "float32"), (-1, self._columns[place[1]]))
        stored = ops.convert_to_tensor(self.first[place])
        # A device's share of a short batch may have no rows.
        first = ops.where(self.seen > 0, stored, ops.concatenate([rows, stored[None]])[0])
        self.first[place].assign(first)
        differ = [ops.any(rows != first), ops.any(ops.argmax(rows, axis=-1) != ops.argmax(first))]
        return ops.stack(differ)

    def result(self) -> Any:
        """Return the number of images seen."""
        return self.seen

    def warn(self) -> bool:
        """Warn of each teacher whose answers did not differ; to be called outside of traced code.

        Returns:
            Whether enough images were seen to tell.
        """
        seen, differ = _backend.number(self.seen), _backend.array(self.differ)
        if differ is None or not seen or seen < FEWEST:
            return False
        for (number, name), (logits, classes) in zip(self.first, differ, strict=True):
            if not classes:
                _warn(self._teachers[number], name, logits)
        return True


def _warn(whose: str, name: str, differ: Any) -> None:
    answers = "answers the same class" if differ else "gives the same output"
    warn(
        f"{whose} {answers}{f' in head {name!r}' if name else ''} for all images: check its weights"
        " and whether it takes the pixel values of these images."
    )


class AnswersCallback(keras.callbacks.Callback):
    """Warns after the first epoch of a `Distiller` of teachers that answer the same to all
    images.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told = False

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Look before validation, which begins all metrics anew."""
        self._told = self._told or self.model.same_answers.warn()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Look where there was no validation."""
        self._told = self._told or self.model.same_answers.warn()
