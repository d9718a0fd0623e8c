"""What kind of numbers a teacher's outputs are, and the logits that they stand for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_kd._common.arrays import evenly
from keras_kd._common.user_warnings import warn
from keras_kd.distiller import _backend
from keras_kd.errors import DataError, ModelError
from keras_kd.models import output_kinds
from keras_kd.models.output_kinds import SMALLEST_PROBABILITY, SUM_TOLERANCE, OutputKind

PROBED_ROWS = 4096  # of a teacher's outputs, to find out their kind
_MOST_NUMBERS = 2**24  # of a store, which may be larger than memory, at a time
_FLOOR = math.log(SMALLEST_PROBABILITY)
# Where a trace can't raise, what it finds of a head's outputs waits as one flag for each of these.
_FLAGS = ("not_finite", "beyond", "probabilities", "percentages", "inside", "outside")


@dataclass(frozen=True)
class Outputs:
    """One teacher's outputs for a batch.

    Attributes:
        values: by head, as the teacher gives them: (N, C), (N, 1) or (N,).
        kinds: by head of classes, what they are as far as is known; others are continuous values.
    """

    values: dict[str, Any]
    kinds: dict[str, OutputKind]

    def logits(self) -> dict[str, Any]:
        """Return the logits of classes, and the continuous values as they are."""
        return {
            name: as_logits(self.kinds[name], values) if name in self.kinds else values
            for name, values in self.values.items()
        }


def as_logits(kind: OutputKind, outputs: Any) -> Any:
    """Return finite logits for outputs of a known kind: log p, or log(p / (1 - p)) for a sigmoid.

    A probability below 1e-12 counts as 1e-12, also where it is given as the logit -inf.
    """
    outputs = ops.cast(outputs, "float32")
    if kind == "sigmoids":
        # Each part has its own floor, so that a sigmoid of exactly 0 or 1 has a finite logit.
        return _log(outputs) - _log(1 - outputs)
    if kind == "probabilities":
        return _log(outputs)
    if _in_one_column(outputs):
        return ops.where(ops.isinf(outputs), -_FLOOR * ops.sign(outputs), outputs)
    lowest = ops.logsumexp(outputs, axis=-1, keepdims=True) + _FLOOR
    return ops.where(outputs == -math.inf, lowest, outputs)


def _log(probabilities: Any) -> Any:
    return ops.log(ops.maximum(probabilities, SMALLEST_PROBABILITY))


def _in_one_column(outputs: Any) -> bool:
    return len(outputs.shape) < 2 or outputs.shape[-1] == 1


def kind_of(outputs: np.ndarray, columns: int) -> OutputKind:
    """Find out of what kind the outputs of one head are, see `output_kinds.kind_of_values`; of maps
    some of the pixels show it.
    """
    rows = np.reshape(outputs, (-1, 1 if columns == 1 else outputs.shape[-1]))
    return output_kinds.kind_of_values(evenly(rows, PROBED_ROWS))


def require_kind(kind: OutputKind, name: str, columns: int) -> None:
    """Refuse independent sigmoids for classes of which each image has one, and what may be either
    sigmoids or logits.
    """
    if kind == "undecided":
        raise ModelError(
            output_kinds.unclear(
                f"of the teacher's output{f' {name!r}' if name else ''} for the first images",
                "Say which by Distiller(teacher_output='logits') or 'sigmoids'",
            )
        )
    if kind == "sigmoids" and columns > 1:
        raise ModelError(
            f"The teacher's output{f' {name!r}' if name else ''} is {columns} independent sigmoids "
            "(several classes an image), which have no logits of one class an image: give a "
            "teacher whose last layer has no activation, or a student with one head of one column "
            "for each class."
        )


def require_scaled(outputs: Any, name: str) -> None:
    """Refuse whole numbers of 8 bits, which stand for others in a quantized file.

    Raises:
        DataError: the outputs are uint8 or int8.
    """
    dtype = keras.backend.standardize_dtype(outputs.dtype)
    if dtype in ("uint8", "int8"):
        raise DataError(
            f"The teacher's outputs{f' of head {name!r}' if name else ''} are {dtype}, as a"
            " quantized file gives them: give the numbers that they stand for, (outputs -"
            " zero_point) * scale in float32, or say what they are by teacher_output."
        )


def warn_of_kind(kind: OutputKind, whose: str) -> None:
    """Say once that probabilities were found and what is done with them."""
    if kind in ("probabilities", "sigmoids"):
        form = "probabilities p" if kind == "probabilities" else "sigmoids p"
        taken = "log p is" if kind == "probabilities" else "log(p / (1 - p)) is"
        warn(f"{whose} gives {form}, not logits: {taken} learnt from.")


def require_fit(kind: OutputKind, outputs: np.ndarray, name: str, columns: int) -> None:
    """Refuse outputs that are known now and are not of the kind that they are taken for.

    Raises:
        DataError: one is not finite, or outside 0..1 though a probability; or all rows are
            probabilities or percentages and none is expected.
        ModelError: logits are expected, and all are in 0..1.
    """
    step = max(1, _MOST_NUMBERS // max(1, outputs[:1].size))
    parts = [outputs[start : start + step] for start in range(0, max(1, len(outputs)), step)]
    found = np.stack([ops.convert_to_numpy(_flags(kind, part)) for part in parts])
    of_all_rows = [flag in ("probabilities", "percentages") for flag in _FLAGS]
    _refuse(np.where(of_all_rows, found.min(axis=0), found.max(axis=0)), name, columns)


class OutputFaults(keras.metrics.Metric):
    """Records outputs of teachers that are not of the kind that they are taken for, in batches seen
    in the graph.

    Args:
        columns: of the student's heads of classes.
        teachers: how many give outputs.
    """

    def __init__(self, columns: dict[str, int], teachers: int) -> None:
        super().__init__(name="output_faults")
        self._columns = columns
        shape = (teachers, len(columns), len(_FLAGS))
        self.found = self.add_weight(shape=shape, initializer="zeros", name="found")

    def update_state(self, teachers: Sequence[Outputs]) -> None:
        """Check one batch.

        Args:
            teachers: the outputs of each.
        """
        none = ops.zeros(len(_FLAGS))
        flags = [
            _flags(one.kinds[name], one.values[name]) if name in one.kinds else none
            for one in teachers
            for name in self._columns
        ]
        if flags:
            batch = ops.reshape(ops.stack(flags), (len(teachers), *self.found.shape[1:]))
            rest = ops.zeros((self.found.shape[0] - len(teachers), *self.found.shape[1:]))
            self.found.assign(ops.maximum(self.found, ops.concatenate([batch, rest])))

    def result(self) -> Any:
        """Return the number of flags that are set."""
        return ops.sum(self.found)

    def refuse(self) -> None:
        """Raise as `require_fit` for what was recorded; to be called outside of traced code."""
        found = _backend.array(self.found)
        for teacher in () if found is None else found:
            for flags, (name, columns) in zip(teacher, self._columns.items(), strict=True):
                _refuse(flags, name, columns)


def _flags(kind: OutputKind, outputs: Any) -> Any:
    """The `_FLAGS` of a head's outputs, 0 or 1 each."""
    outputs = ops.cast(outputs, "float32")
    bad = ops.isnan(outputs)
    if not _in_one_column(outputs):
        # One logit of +-inf is a probability of 1 or 0; a row of -inf alone is no distribution.
        bad = ops.logical_or(bad, outputs == math.inf)
        bad = ops.logical_or(bad, ops.all(outputs == -math.inf, axis=-1, keepdims=True))
    flags: dict[str, Any] = {"not_finite": ops.any(bad)}
    if kind in ("probabilities", "sigmoids"):
        flags["beyond"] = _any_outside(outputs)
    if kind == "unknown":
        flags |= _flags_of_unknown(outputs)
    unset = ops.convert_to_tensor(False)
    return ops.cast(ops.stack([flags.get(name, unset) for name in _FLAGS]), "float32")


def _flags_of_unknown(outputs: Any) -> dict[str, Any]:
    """What tells other numbers from logits."""
    outside = _any_outside(outputs)
    inside = ops.any(ops.logical_and(outputs > 0, outputs < 1))
    flags = {"inside": inside, "outside": outside}
    if not _in_one_column(outputs):
        sums = ops.sum(outputs, axis=-1)
        # A device's share of a short batch may have no rows, of which anything holds.
        sums_to_1 = _all(ops.abs(sums - 1) < SUM_TOLERANCE)
        sum_to_100 = _all(ops.abs(sums / 100 - 1) < SUM_TOLERANCE)
        flags["probabilities"] = ops.logical_and(sums_to_1, ops.logical_not(outside))
        flags["percentages"] = ops.logical_and(sum_to_100, ops.min(outputs) >= 0)
    return flags


def _any_outside(outputs: Any) -> Any:
    """Whether a number lies outside 0..1."""
    return ops.any(ops.logical_or(outputs < -SUM_TOLERANCE, outputs > 1 + SUM_TOLERANCE))


def _all(conditions: Any) -> Any:
    return ops.logical_and(ops.size(conditions) > 0, ops.all(conditions))


def _refuse(flags: np.ndarray, name: str, columns: int) -> None:
    found = dict(zip(_FLAGS, flags > 0, strict=True))
    outputs = f"The teacher's outputs{f' of head {name!r}' if name else ''} in the batches"
    if found["not_finite"]:
        raise DataError(
            f"{outputs} have NaN, inf or a row of -inf: expected logits or probabilities of each "
            "image, so correct the teacher or leave those images out."
        )
    if found["beyond"]:
        raise DataError(
            f"{outputs} are taken for probabilities or sigmoids, and some lie outside 0..1: give "
            "probabilities of all images, or state teacher_output='logits'."
        )
    if found["probabilities"]:
        raise DataError(
            f"{outputs} are probabilities (rows in 0..1 that sum to 1), and logits are expected: "
            "state teacher_output='probabilities', or give their logarithms, "
            "numpy.log(numpy.maximum(probabilities, 1e-12))."
        )
    if found["percentages"]:
        raise DataError(
            f"{outputs} are rows that sum to 100, as percentages do, and logits are expected: give "
            "probabilities, outputs / 100, or state teacher_output='logits'."
        )
    if found["inside"] and not found["outside"]:
        require_kind("undecided", name, columns)
