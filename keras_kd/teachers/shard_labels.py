"""A teacher's outputs for images that stay in their shards: one store a shard, so that a new shard
costs only itself.

Each store is one of `soft_labels`, in a folder that is named after the content of its shard.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_kd._common.files import locked
from keras_kd._common.folders import cache_folder, private
from keras_kd._common.text import command_line
from keras_kd.datasets.sharded import Shards
from keras_kd.errors import DataError
from keras_kd.teachers import soft_label_pass, soft_labels
from keras_kd.teachers.soft_labels import Key, SoftLabels
from keras_kd.teachers.views import Images, Views


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


def fill(
    found: ShardSoftLabels,
    images: Callable[[int], Images],
    views: Views,
    teacher: Callable[[Images], np.ndarray],
    advance: Callable[[int], None] = lambda count: None,
    waiting: Callable[[str], None] = lambda line: None,
) -> int:
    """Fill the stores that are missing. Several processes, on any hosts that see the folder, share
    the shards among them.

    Args:
        found: the stores.
        images: reads the images of a shard, as `soft_label_pass.fill` takes them.
        views: the views to store.
        teacher: as for `soft_label_pass.fill`.
        advance: called with the number of views done.
        waiting: told where another process is at work on the shards that are left.

    Returns:
        The number of shards that this process labelled.
    """
    missing, done = found.missing(), 0
    # Each process begins elsewhere, so that they seldom meet at a shard.
    for number in np.random.default_rng().permutation(missing).tolist():
        own = fill_one(found, number, images, views, teacher, advance, waiting)
        done += own
        if not own:
            advance(int(found.shards.rows[number]) * len(views))
    return done


def fill_one(
    found: ShardSoftLabels,
    number: int,
    images: Callable[[int], Images],
    views: Views,
    teacher: Callable[[Images], np.ndarray],
    advance: Callable[[int], None] = lambda count: None,
    waiting: Callable[[str], None] = lambda line: None,
) -> bool:
    """Fill the store of one shard, if no other process does so meanwhile.

    Args:
        found: the stores.
        number: of the shard.
        images: as for `fill`.
        views: as for `fill`.
        teacher: as for `fill`.
        advance: as for `fill`.
        waiting: as for `fill`.

    Returns:
        Whether it was filled here.
    """
    folder = found.folder_of(number)
    with nullcontext() if found.folder else private(), locked(folder, waiting):
        if (folder / soft_labels.RECORD).exists():
            return False
        key = found.key_of(number)
        soft_label_pass.fill(folder, key, images(number), views, teacher, advance)
    return True


def require_all(found: ShardSoftLabels) -> None:
    """Check that each shard has its store, before a training meets it.

    Args:
        found: the stores.

    Raises:
        DataError: a shard has none, or one that is damaged or has another key.
    """
    if missing := found.missing():
        first = found.shards.shards[missing[0]].url
        command = command_line(["kerakd", "teach", "--soft-labels", found.folder])
        raise DataError(
            f"{len(missing)} of {len(found.shards.shards)} shards have no soft labels, {first}"
            f" first: make them with `{command}` on the same data."
        )
    for number in range(len(found.shards.shards)):
        found.store(number)


def holds_stores(folder: Path) -> bool:
    """Return whether a folder has stores of shards.

    Args:
        folder: the folder.

    Returns:
        True or False.
    """
    return any(folder.glob(f"*/{soft_labels.RECORD}"))
