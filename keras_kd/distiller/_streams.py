"""Data sets and generators, whose batches are checked by Python code where they are made."""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_kd.errors import DataError, KerasKDError


class Checks:
    """Checks each batch of a data set, and keeps what it refuses, which TensorFlow, where it asks
    for batches, makes an error of its own.

    Args:
        check: takes images, labels and sample weights as far as a batch has them, and refuses some
            by a DataError.
        look: takes the same of the first batch alone.
    """

    def __init__(self, check: Callable[..., Any], look: Callable[..., Any] | None = None) -> None:
        self._check, self._look = check, look
        self._refused: KerasKDError | None = None

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """Raise what a check has refused, whatever became of it."""
        try:
            yield
        except Exception:
            if self._refused is not None:
                raise self._refused from None
            raise

    def of_python(self, data: Any) -> Any:
        """Return a generator or a `keras.utils.PyDataset` whose batches are checked, and other data
        as they are.

        What other processes make is not checked, because they would need the check's model.
        """
        if isinstance(data, types.GeneratorType):
            return (self.batch(number, batch) for number, batch in enumerate(data))
        if isinstance(data, keras.utils.PyDataset) and not data.use_multiprocessing:
            return _CheckedDataset(data, self)
        return data

    def of_images(self, data: Any) -> Any:
        """Return the same, and a `tf.data.Dataset` whose images are checked."""
        return self._mapped(data, 1, self.batch)

    def of_first(self, data: Any) -> Any:
        """Return the same, and a `tf.data.Dataset` of which the first batch is looked at, and
        nothing checked.
        """
        return self._mapped(data, 2, self._first, first_only=True)

    def _mapped(
        self, data: Any, most: int, work: Callable[[int, Any], Any], first_only: bool = False
    ) -> Any:
        """Have TensorFlow's data sets call Python code for the first `most` parts of batches."""
        tensorflow = sys.modules.get("tensorflow")
        if tensorflow is None or not isinstance(data, tensorflow.data.Dataset):
            return self.of_python(data)
        if isinstance(data.element_spec, (tuple, list)) and len(data.element_spec) > 3:
            return data  # Keras refuses others.

        def mapped(number: Any, batch: Any) -> Any:
            given = keras.utils.unpack_x_y_sample_weight(batch)[:most]
            parts = [part for part in given if part is not None]
            flat = keras.tree.flatten(parts)

            def called(number: Any, *parts_now: Any) -> None:
                arrays = [part.numpy() for part in parts_now]
                work(int(number), keras.tree.pack_sequence_as(parts, arrays))

            def ask() -> bool:
                tensorflow.py_function(called, [number, *flat], [])
                return True

            # Others are sparse or ragged.
            if all(isinstance(part, tensorflow.Tensor) for part in flat):
                tensorflow.cond(number == 0, ask, lambda: True) if first_only else ask()
            return batch

        return data.enumerate().map(mapped)

    def _first(self, number: int, parts: Sequence[Any]) -> None:
        look, self._look = self._look, None
        try:
            if look is not None:
                look(*parts)
        except KerasKDError as error:
            self._refused = error
            raise

    def batch(self, number: int, batch: Any) -> Any:
        """Return a batch that has been checked.

        Raises:
            DataError: the check refuses it.
        """
        parts = batch if isinstance(batch, (tuple, list)) else (batch,)
        try:
            if len(parts) < 4:  # Keras refuses others.
                self._check(*parts)
                self._first(number, parts)
        except DataError as error:
            self._refused = DataError(f"Batch {number}: {error}")
            raise self._refused from error
        return batch


class _CheckedDataset(keras.utils.PyDataset):
    def __init__(self, data: keras.utils.PyDataset, checks: Checks) -> None:
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._data, self._checks = data, checks

    @property
    def num_batches(self) -> int | None:
        return self._data.num_batches

    def __getitem__(self, index: int) -> Any:
        return self._checks.batch(index, self._data[index])

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()
