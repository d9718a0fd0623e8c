"""Soft labels of shards, made by several workers at once, one of which may be lost."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_kd.datasets.sharded import Shard, Shards
from keras_kd.errors import DataError
from keras_kd.teachers import shard_labels
from keras_kd.teachers.shard_labels import ShardSoftLabels
from keras_kd.teachers.soft_labels import Key
from keras_kd.teachers.views import Views

VIEWS = Views("mirror", 8)
SHARDS = Shards(
    tuple(Shard(f"{number}.tar", f"content {number}", (3, 5)) for number in range(12)),
    ("one", "two"),
    (4, 4, 1),
)


def _found(folder: Path) -> ShardSoftLabels:
    return ShardSoftLabels(Key("mean", "", VIEWS.names, ("one", "two")), SHARDS, folder)


def _images(number: int) -> np.ndarray:
    return np.full((8, 4, 4, 1), number, np.uint8)


def _teacher(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels.mean(axis=(1, 2)), 2, axis=1).astype(np.float32)


def test_workers_share_the_shards(tmp_path: Path) -> None:
    found, asked = _found(tmp_path / "store"), Counter()

    def images(number: int) -> np.ndarray:
        asked[number] += 1
        time.sleep(0.02)
        return _images(number)

    with ThreadPoolExecutor(3) as pool:
        work = [pool.submit(shard_labels.fill, found, images, VIEWS, _teacher) for _ in range(3)]
        done = [one.result() for one in work]
    assert sum(done) == 12 and min(done) >= 1
    assert asked == dict.fromkeys(range(12), 1)
    for number in range(12):
        assert (found.store(number).logits == number).all()


def test_after_a_loss_only_missing_shards_are_labelled(tmp_path: Path) -> None:
    found, calls = _found(tmp_path / "store"), []

    def mortal(pixels: np.ndarray) -> np.ndarray:
        calls.append(len(pixels))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return _teacher(pixels)

    with pytest.raises(KeyboardInterrupt):
        shard_labels.fill(found, _images, VIEWS, mortal)
    assert len(found.missing()) == 8
    assert shard_labels.fill(found, _images, VIEWS, _teacher) == 8
    assert not found.missing() and shard_labels.holds_stores(tmp_path / "store")


def test_equal_shards_share_a_store(tmp_path: Path) -> None:
    twice = Shards((*SHARDS.shards, SHARDS.shards[3]), SHARDS.class_names, SHARDS.shape)
    found = ShardSoftLabels(_found(tmp_path).key, twice, tmp_path / "store")
    assert len(found.missing()) == 12 and found.folder_of(3) == found.folder_of(12)


def test_a_store_that_is_missing_or_another_teacher_s_is_told_before_a_training(
    tmp_path: Path,
) -> None:
    found = _found(tmp_path / "store")
    shard_labels.fill(found, _images, VIEWS, _teacher)
    shard_labels.require_all(found)
    shutil.rmtree(found.folder_of(7))
    with pytest.raises(DataError, match=r"1 of 12 shards.*7\.tar.*kerakd teach --soft-labels"):
        shard_labels.require_all(found)
    other = replace(found, key=replace(found.key, teacher="another"))
    shard_labels.fill(other, _images, VIEWS, _teacher)
    with pytest.raises(DataError, match="made for something else: teacher"):
        shard_labels.require_all(found)
