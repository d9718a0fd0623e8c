"""Data sets and generators of Python code, whose batches are checked where they are made."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

import keras

from keras_kd.errors import DataError


def checked(data: Any, check: Callable[..., Any]) -> Any:
    """Return a generator or a `keras.utils.PyDataset` whose batches are checked, and other data as
    they are.

    What other processes make is not checked, because they would need the check's model.

    Args:
        data: images, or any data set that Keras takes.
        check: takes images, labels and sample weights as far as a batch has them.
    """
    if isinstance(data, types.GeneratorType):
        return _batches(data, check)
    if isinstance(data, keras.utils.PyDataset) and not data.use_multiprocessing:
        return _CheckedDataset(data, check)
    return data


def _batches(batches: Iterator[Any], check: Callable[..., Any]) -> Iterator[Any]:
    for number, batch in enumerate(batches):
        yield _checked_batch(batch, number, check)


def _checked_batch(batch: Any, number: int, check: Callable[..., Any]) -> Any:
    try:
        if isinstance(batch, (tuple, list)) and 1 < len(batch) < 4:  # Keras refuses others.
            check(*batch)
    except DataError as error:
        raise DataError(f"Batch {number}: {error}") from error
    return batch


class _CheckedDataset(keras.utils.PyDataset):
    def __init__(self, data: keras.utils.PyDataset, check: Callable[..., Any]) -> None:
        super().__init__(data.workers, data.use_multiprocessing, data.max_queue_size)
        self._data, self._check = data, check

    @property
    def num_batches(self) -> int | None:
        return self._data.num_batches

    def __getitem__(self, index: int) -> Any:
        return _checked_batch(self._data[index], index, self._check)

    def on_epoch_begin(self) -> None:
        self._data.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._data.on_epoch_end()
