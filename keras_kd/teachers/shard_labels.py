"""A teacher's outputs for images that stay in their shards: one store a shard, so that a new shard
costs only itself.

Each store is one of `soft_labels`, in a folder that is named after the content of its shard.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common.folders import cache_folder
from keras_kd.datasets.sharded import Shards
from keras_kd.teachers import soft_labels
from keras_kd.teachers.soft_labels import Key, SoftLabels


@dataclass(frozen=True)
class ShardLogits:
    """A teacher's outputs shard by shard.

    Attributes:
        of_shard: a function of a shard's number that returns float16 (rows, views, classes), or a
            dict of these by head.
    """

    of_shard: Callable[[int], Any]


@dataclass(frozen=True)
class ShardSoftLabels:
    """The stores of all shards.

    Attributes:
        key: identity of all logits; `images` is that of all shards.
        shards: the shards.
        folder: folder that holds the stores; None for the one in the cache.
    """

    key: Key
    shards: Shards
    folder: Path | None

    def key_of(self, number: int) -> Key:
        """Return the key of a shard's store."""
        return replace(self.key, images=self.shards.image_fingerprint(number))

    def folder_of(self, number: int) -> Path:
        """Return the folder of a shard's store."""
        key = self.key_of(number)
        return self.folder / key.images if self.folder else cache_folder("soft_labels") / key.short

    def store(self, number: int) -> SoftLabels:
        """Open the store of a shard.

        Raises:
            DataError: as `soft_labels.open_store`.
        """
        return soft_labels.open_store(self.folder_of(number), self.key_of(number))

    def missing(self) -> list[int]:
        """Return the numbers of the shards that have no store yet; of equal shards the first."""
        folders: dict[Path, int] = {}
        for number in range(len(self.shards.shards)):
            folders.setdefault(self.folder_of(number), number)
        return [
            number
            for folder, number in folders.items()
            if not (folder / soft_labels.RECORD).exists()
        ]

    def logits(self, select: Callable[[np.ndarray], Any]) -> ShardLogits:
        """Return the outputs for training.

        Args:
            select: turns a store's float16 (rows, views, columns) into those of the heads.
        """
        return ShardLogits(lambda number: select(self.store(number).logits))


def holds_stores(folder: Path) -> bool:
    """Return whether a folder has stores of shards.

    Args:
        folder: the folder.

    Returns:
        True or False.
    """
    return any(folder.glob(f"*/{soft_labels.RECORD}"))
