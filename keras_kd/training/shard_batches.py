"""Batches of training images that stay in their shards: read group by group, while the model trains
on the group before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_kd.datasets.sharded import Shards
from keras_kd.teachers.degradation import degraded
from keras_kd.teachers.views import Views


@dataclass(frozen=True)
class ShardBatches:
    """Batches in an order that depends on seed and epoch alone.

    An epoch shuffles the shards, cuts them into groups of at least `buffer` images, and shuffles
    the images within each group. Two groups and a shard are in memory at a time.

    Args:
        shards: the training images.
        targets: turns class numbers, int64 (n,), into labels as `TrainingBatches` has them.
        views: the augmented views, of as many rows as the largest shard has.
        batch_size: images in a batch; the last incomplete batch is dropped.
        seed: seed of the order and of the choice of views.
        teacher_logits: a function of a shard's number that returns float16 (rows, views, classes)
            or a dict of these by head; or None without a teacher.
        live_teacher: a function of the batch's pixels instead, or None.
        buffer: images that are shuffled together, in whole shards.
        host: the number of this process among `hosts`, which reads its part of each batch alone.
        hosts: the number of processes that share each batch.
        degrade: as for `TrainingBatches`.
    """

    shards: Shards
    targets: Callable[[np.ndarray], Any]
    views: Views
    batch_size: int
    seed: int
    teacher_logits: Callable[[int], Any] | None
    live_teacher: Callable[[np.ndarray], Any] | None
    buffer: int
    host: int = 0
    hosts: int = 1
    degrade: bool = False

    @property
    def steps(self) -> int:
        """The number of steps in an epoch, at least 1."""
        return max(1, len(self.shards) // self.batch_size)

    def from_step(self, epoch: int, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        """Yield `(pixels, y)` without end, from a step of an epoch on, with y as Distiller expects
        it.
        """
        while True:
            for number, batch in enumerate(self._epoch(epoch, step), step):
                yield self._finished(batch, (self.seed, epoch, number))
            epoch, step = epoch + 1, 0

    def _epoch(self, epoch: int, step: int) -> Iterator[tuple[np.ndarray, Any]]:
        own = self._own(self.batch_size)
        rest: Any = None
        for part in self._read_ahead(self._groups(epoch), epoch, step):
            if rest is not None and len(rest[0]) + len(part[0]) < own:
                rest = _joined(rest, part)
                continue
            begin = 0 if rest is None else own - len(rest[0])
            if begin:
                yield _joined(rest, _rows(part, slice(begin)))
            end = len(part[0]) - own
            # Copied, because a view would keep its whole group in memory.
            while begin <= end:
                yield _joined(_rows(part, slice(begin, begin + own)))
                begin += own
            rest = _joined(_rows(part, slice(begin, None)))
            # The reading of a further group begins as soon as the next one is asked for.
            del part
        # If there are fewer images than a batch holds, they make one smaller batch.
        if rest is not None and len(self.shards) < self.batch_size:
            yield rest

    def _own(self, batch: int) -> int:
        """The number of images of a batch that are this process's."""
        return batch * (self.host + 1) // self.hosts - self._begin(batch)

    def _begin(self, batch: int) -> int:
        """The first image of a batch that is this process's."""
        return batch * self.host // self.hosts

    def _groups(self, epoch: int) -> list[list[int]]:
        """The shards of each group."""
        groups: list[list[int]] = [[]]
        # Every process draws the same order and takes its own rows of it.
        for number in np.random.default_rng((self.seed, epoch)).permutation(len(self.shards.rows)):
            if self.shards.rows[groups[-1]].sum() >= self.buffer:
                groups.append([])
            groups[-1].append(int(number))
        return groups

    def _read_ahead(self, groups: Sequence[list[int]], epoch: int, step: int) -> Iterator[Any]:
        """The rows of each group from a step on; the next group is read while one is used."""
        counts = [int(self.shards.rows[group].sum()) for group in groups]
        starts = np.cumsum([0, *counts]).tolist()
        first = step * self.batch_size
        left = [number for number, start in enumerate(starts[1:]) if start > first]
        with ThreadPoolExecutor(1) as pool:

            def begun(number: int) -> Any:
                seed = (self.seed, epoch, number)
                return pool.submit(self._group, groups[number], starts[number], first, seed)

            coming = begun(left[0])
            for following in [*left[1:], None]:
                part = coming.result()
                if following is not None:
                    coming = begun(following)
                yield part

    def _group(
        self, group: Sequence[int], start: int, first: int, seed: tuple[int, int, int]
    ) -> tuple[np.ndarray, Any]:
        """This process's rows of a group, shuffled, from position `first` of the epoch on."""
        rows = self.shards.rows[group]
        random = np.random.default_rng(seed)
        order = random.permutation(int(rows.sum()))
        views = random.integers(len(self.views), size=len(order))
        order = order[self._used(start + np.arange(len(order)), first)]
        begins = np.cumsum([0, *rows])
        found: Any = None
        for number, begin, end in zip(group, begins, begins[1:], strict=False):
            places = np.flatnonzero((order >= begin) & (order < end))
            places = places[np.argsort(order[places])]
            own = order[places]
            part = self._of_shard(number, own - begin, views[own])
            if found is None:
                found = keras.tree.map_structure(functools.partial(_room, len(order)), part)
            keras.tree.map_structure(functools.partial(_put, places), found, part)
        return found

    def _used(self, positions: np.ndarray, first: int) -> np.ndarray:
        """Which positions of an epoch are in its batches from `first` on, and this process's."""
        last = self.steps * self.batch_size
        batch = min(self.batch_size, len(self.shards))
        within = positions % self.batch_size
        begin = self._begin(batch)
        own = (within >= begin) & (within < begin + self._own(batch))
        return own & (positions >= first) & (positions < last)

    def _of_shard(self, number: int, rows: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, Any]:
        samples = self.shards.read(number, rows)
        pixels = self.views.changed(samples.images, rows, views)
        labels = self.targets(samples.labels)
        if self.teacher_logits is None:
            return pixels, labels if self.live_teacher is None else {"label": labels}
        logits = keras.tree.map_structure(
            lambda column: column[rows, views].astype(np.float32), self.teacher_logits(number)
        )
        return pixels, {"label": labels, "teacher": logits}

    def _finished(
        self, batch: tuple[np.ndarray, Any], seed: tuple[int, int, int]
    ) -> tuple[np.ndarray, Any]:
        clean, y = batch
        if self.live_teacher:
            y = y | {"teacher": self.live_teacher(clean)}
        return (self._degraded(clean, seed) if self.degrade else clean), y

    def _degraded(self, images: np.ndarray, seed: tuple[int, int, int]) -> np.ndarray:
        """This process's images as they are degraded in the batch of all."""
        before = self._begin(min(self.batch_size, len(self.shards)))
        return degraded(images, np.random.default_rng((*seed, 2)), before)


def _rows(batch: Any, rows: Any) -> Any:
    return keras.tree.map_structure(lambda column: column[rows], batch)


def _room(count: int, column: np.ndarray) -> np.ndarray:
    return np.empty((count, *column.shape[1:]), column.dtype)


def _put(places: np.ndarray, into: np.ndarray, column: np.ndarray) -> None:
    into[places] = column


def _joined(*batches: Any) -> Any:
    return keras.tree.map_structure(lambda *columns: np.concatenate(columns), *batches)
