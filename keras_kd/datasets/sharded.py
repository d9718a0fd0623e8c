"""A training split that stays in its shards: what is known of each shard, and reading one at a
time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from keras_kd._common.arrays import fingerprint, large_array
from keras_kd.datasets import Samples, decoding, images
from keras_kd.datasets.images import Size
from keras_kd.datasets.readers import _parquet_labels, _shard_files, _shard_index, _shard_rows
from keras_kd.errors import DataError

# A sample is read from so many shards.
SAMPLED = 8
SAMPLE = 2000  # images
TENTHS = 10  # of the rows of a label, by which splits share a shard


@dataclass(frozen=True)
class Shard:
    """What the index knows of a shard.

    Attributes:
        url: a path or URL.
        content: fingerprint of the file.
        counts: the number of images of each class.
        unreadable: rows whose image can't be read, which are left out.
        left_out: labels that name no class, whose rows are left out, as Python writes them.
        tenths: of a shard that several splits share, the rows of each label that are used, by the
            remainders of their numbers among those of the label and TENTHS; () for all.
    """

    url: str
    content: str
    counts: tuple[int, ...]
    unreadable: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()
    tenths: tuple[int, ...] = ()

    @property
    def rows(self) -> int:
        """The number of its images that are used."""
        return sum(self.counts)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the images that are used, before resizing."""
        parts = [self.content, str(self.unreadable), str(self.rows), *self.left_out]
        return fingerprint([*parts, f"tenths {self.tenths}"] if self.tenths else parts)


@dataclass(frozen=True)
class Shards:
    """Images that stay in their shards.

    Attributes:
        shards: the shards, in order.
        class_names: the name of each class number.
        shape: height, width and channels that each image is brought to.
        skipped: one line for every row that is left out.
        notes: sentences on the shards of all splits, see `datasets.passed_over`.
    """

    shards: tuple[Shard, ...]
    class_names: tuple[str, ...]
    shape: tuple[int, int, int]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.rows.sum())

    def at(self, size: Size) -> Shards:
        """The same images, brought to another size as for `datasets.load`."""
        return replace(self, shape=(*images.height_width(size), self.shape[2]))

    @cached_property
    def rows(self) -> np.ndarray:
        """The number of images of each shard, int64 (shards,)."""
        return np.array([shard.rows for shard in self.shards], np.int64)

    @property
    def counts(self) -> np.ndarray:
        """The number of images of each class, int64 (classes,)."""
        return np.array([shard.counts for shard in self.shards], np.int64).sum(axis=0)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of all images and labels, in order."""
        return fingerprint([str(self.shape), *(shard.fingerprint for shard in self.shards)])

    def image_fingerprint(self, number: int) -> str:
        """Return the fingerprint of a shard's images at this size, for a store's key."""
        return fingerprint([str(self.shape), self.shards[number].fingerprint])

    def read(self, number: int, rows: np.ndarray | None = None) -> Samples:
        """Read one shard.

        Args:
            number: of the shard.
            rows: int (n,), sorted, to decode no others; None for all.

        Returns:
            The samples of these rows, in the order of the shard.

        Raises:
            DataError: an image or the file can't be read, or the file changed since it was indexed.
        """
        shard = self.shards[number]
        chosen = np.arange(shard.rows) if rows is None else rows
        pictures = large_array((len(chosen), *self.shape))
        labels = np.zeros(len(chosen), np.int64)
        for row, (content, label, name) in enumerate(self._used(shard)):
            place = int(np.searchsorted(chosen, row))
            if place < len(chosen) and chosen[place] == row:
                pictures[place] = self._decoded(content, name)
                labels[place] = label
        return Samples(pictures, labels, self.class_names)

    def _used(self, shard: Shard) -> Iterator[tuple[bytes, int, str]]:
        """Content, class number and name of the rows of a shard that have both."""
        with _shard_files.on_disk(shard.url) as path:
            if _shard_files.digest(path, shard.url) != shard.content:
                raise DataError(
                    f"{shard.url} changed since it was indexed, at the start: start again."
                )
            before: Counter[int | str | None] = Counter()
            for number, row in enumerate(_shard_rows.rows(path, shard.url)):
                label = _parquet_labels.number(row.label, self.class_names)
                if label < 0 or number in shard.unreadable:
                    continue
                if not shard.tenths or before[row.label] % TENTHS in shard.tenths:
                    yield row.content or b"", label, _shard_index.called(shard.url, number, row)
                before[row.label] += 1

    def _decoded(self, content: bytes, name: str) -> np.ndarray:
        picture = decoding.decoded(content, name)
        return images.fitted(picture[None], self.shape)[0]

    def sample(self, count: int = SAMPLE) -> Samples:
        """Return about `count` images from up to SAMPLED shards, spread evenly."""
        chosen = self.spread()
        each = -(-count // len(chosen))
        spread = [
            np.unique(np.linspace(0, self.rows[number] - 1, each).astype(int)) for number in chosen
        ]
        return self._joined([self.read(*one) for one in zip(chosen, spread, strict=True)])

    def spread(self) -> list[int]:
        """Return the numbers of up to SAMPLED shards, spread evenly."""
        return np.unique(np.linspace(0, len(self.shards) - 1, SAMPLED).astype(int)).tolist()

    def all(self) -> Samples:
        """Return all images, as an array that is mapped from disk if it is large."""
        pictures = large_array((len(self), *self.shape))
        labels, start = np.zeros(len(self), np.int64), 0
        for number, count in enumerate(self.rows.tolist()):
            part = self.read(number)
            pictures[start : start + count], labels[start : start + count] = (
                part.images,
                part.labels,
            )
            start += count
        return Samples(pictures, labels, self.class_names, skipped=self.skipped)

    def _joined(self, parts: list[Samples]) -> Samples:
        return Samples(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.labels for part in parts]),
            self.class_names,
            skipped=self.skipped,
        )
