"""Batches from shards: every image once an epoch with its own label and outputs, in an order that
can be taken up anywhere and shared by processes.
"""

from __future__ import annotations

import itertools
import tracemalloc
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import pytest
import small_shards

from keras_kd.datasets import Samples, splits
from keras_kd.datasets.sharded import Shard, Shards
from keras_kd.teachers import degradation
from keras_kd.teachers.views import Views
from keras_kd.training import shard_batches
from keras_kd.training.shard_batches import ShardBatches

pytest.importorskip("fsspec", reason="needs the extra shards")
ROWS = (24, 10, 31, 17, 24)
TOTAL = sum(ROWS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> splits.Data:
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAKD_CACHE", str(folder / "cache"))
        for number, rows in enumerate(ROWS):
            small_shards.write(
                folder / "data" / f"train-{number}.tar", *small_shards.pictures(rows, number)
            )
        for name in ("validation", "test"):
            small_shards.write(folder / "data" / f"{name}.tar", *small_shards.pictures(6, 77))
        return splits.load(str(folder / "data"), size=16)


def _outputs(data: splits.Data, views: int) -> list[np.ndarray]:
    """For each shard float16 (rows, views, 3): shard, row and view."""
    return [
        np.stack(
            np.broadcast_arrays(number, np.arange(rows)[:, None], np.arange(views)), axis=-1
        ).astype(np.float16)
        for number, rows in enumerate(ROWS)
    ]


def _batches(data: splits.Data, batch: int = 8, kind: str = "mirror", **given) -> ShardBatches:
    views = Views(kind, int(data.shards.rows.max()), 4)
    outputs = _outputs(data, len(views))
    settings = {"buffer": 30, "teacher_logits": outputs.__getitem__, "live_teacher": None} | given
    return ShardBatches(data.shards, lambda labels: labels, views, batch, 3, **settings)


def _epoch(batches: ShardBatches, epoch: int, step: int = 0) -> list:
    return list(itertools.islice(batches.from_step(epoch, step), batches.steps - step))


def test_an_epoch_shows_each_image_once_with_its_own_label_and_outputs(data: splits.Data) -> None:
    batches = _batches(data, batch=TOTAL // 5)
    seen = []
    for pixels, y in _epoch(batches, 0):
        for picture, label, (number, row, view) in zip(
            pixels, y["label"], y["teacher"].astype(int), strict=True
        ):
            images, labels = small_shards.pictures(ROWS[number], number)
            shown = images[row, :, ::-1] if view else images[row]
            np.testing.assert_array_equal(picture, shown)
            assert label == 1 - labels[row]
            seen.append((number, row))
    assert len(set(seen)) == len(seen) == TOTAL // 5 * 5


def test_seeded_views_are_those_of_the_stores(data: splits.Data) -> None:
    """The pixels of a view are those that the teacher saw when its shard was a set of its own."""
    batches = _batches(data, kind="crops,jitter")
    for pixels, y in _epoch(batches, 1)[:4]:
        for picture, (number, row, view) in zip(pixels, y["teacher"].astype(int), strict=True):
            images, _ = small_shards.pictures(ROWS[number], number)
            own = Views("crops,jitter", len(images), 4)
            of_store = own.show(images, np.array([row]), np.array([view]))[0]
            np.testing.assert_array_equal(picture, of_store)


def _rows_of(batch: tuple) -> list[tuple[int, ...]]:
    return [tuple(row) for row in batch[1]["teacher"].astype(int).tolist()]


@pytest.mark.parametrize("step", [1, 5, 12])
def test_an_epoch_is_taken_up_at_any_step(data: splits.Data, step: int) -> None:
    batches = _batches(data)
    whole = [_rows_of(batch) for batch in _epoch(batches, 2)]
    assert [_rows_of(batch) for batch in _epoch(batches, 2, step)] == whole[step:]


@pytest.mark.parametrize(("hosts", "batch"), [(2, 8), (4, 8), (3, 10)])
def test_processes_share_the_batches_of_one(data: splits.Data, hosts: int, batch: int) -> None:
    whole = _epoch(_batches(data, batch), 0)
    parts = [_epoch(_batches(data, batch, host=host, hosts=hosts), 0) for host in range(hosts)]
    for number, one in enumerate(whole):
        joined = [row for part in parts for row in _rows_of(part[number])]
        assert joined == _rows_of(one)
        pixels = np.concatenate([part[number][0] for part in parts])
        np.testing.assert_array_equal(pixels, one[0])


@pytest.mark.parametrize("batch", [8, 500])
def test_degraded_images_are_those_of_the_whole_batch(data: splits.Data, batch: int) -> None:
    good = _epoch(_batches(data, batch), 1)
    parts = [
        _epoch(_batches(data, batch, degrade=True, host=host, hosts=3), 1) for host in range(3)
    ]
    changed = 0
    for number, (pixels, _) in enumerate(good):
        wanted = degradation.degraded(pixels, np.random.default_rng((3, 1, number, 2)))
        found = np.concatenate([part[number][0] for part in parts])
        np.testing.assert_array_equal(found, wanted)
        changed += (found != pixels).any(axis=(1, 2, 3)).sum()
    assert changed
    later = _epoch(_batches(data, 8, degrade=True), 1, step=2)[0][0]
    np.testing.assert_array_equal(later, _epoch(_batches(data, 8, degrade=True), 1)[2][0])


def test_a_live_teacher_sees_good_images(data: splits.Data) -> None:
    given = {"teacher_logits": None, "live_teacher": lambda pixels: pixels[:, 0, 0]}
    good, degraded = (_batches(data, degrade=spoilt, **given) for spoilt in (False, True))
    for (pixels, _), (_, y) in zip(_epoch(good, 0), _epoch(degraded, 0), strict=True):
        np.testing.assert_array_equal(y["teacher"], pixels[:, 0, 0])


def test_images_of_a_group_are_mixed_and_epochs_differ(data: splits.Data) -> None:
    batches = _batches(data, buffer=10_000)
    orders = [
        [row[:2] for one in _epoch(batches, epoch) for row in _rows_of(one)] for epoch in (0, 1)
    ]
    assert orders[0] != orders[1]
    shard_numbers = [number for number, _ in orders[0]]
    changes = sum(a != b for a, b in itertools.pairwise(shard_numbers))
    # Of a full shuffle 78 % of neighbours are from different shards.
    assert changes > 0.6 * len(shard_numbers)
    one_by_one = [
        number for one in _epoch(_batches(data, buffer=1), 0) for number, *_ in _rows_of(one)
    ]
    assert sum(a != b for a, b in itertools.pairwise(one_by_one)) == len(ROWS) - 1


def test_fewer_images_than_a_batch_make_a_smaller_one(data: splits.Data) -> None:
    batches = _batches(data, batch=500)
    assert batches.steps == 1 and [len(one[0]) for one in _epoch(batches, 0)] == [TOTAL]


def test_a_live_teacher_sees_the_pixels_of_the_batch(data: splits.Data) -> None:
    batches = _batches(data, teacher_logits=None, live_teacher=lambda pixels: pixels[:, 0, 0])
    for pixels, y in _epoch(batches, 0):
        np.testing.assert_array_equal(y["teacher"], pixels[:, 0, 0])


class _EarlyThreads(ThreadPoolExecutor):
    """Threads whose work is done before the caller goes on, as early as it can be."""

    def submit(self, *work: Any) -> Future[Any]:  # type: ignore[override]
        future = super().submit(*work)
        wait([future])
        return future


def test_two_groups_and_a_shard_are_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    side, shards, rows = 64, 12, 100
    shard = rows * side * side
    many = Shards(
        tuple(Shard(f"{number}", f"{number}", (rows,)) for number in range(shards)),
        ("one",),
        (side, side, 1),
    )

    def read(self: Shards, number: int, rows: np.ndarray) -> Samples:
        return Samples(
            np.zeros((len(rows), side, side, 1), np.uint8), np.zeros(len(rows), int), ("one",)
        )

    monkeypatch.setattr(Shards, "read", read)
    monkeypatch.setattr(shard_batches, "ThreadPoolExecutor", _EarlyThreads)
    views = Views("none", rows)
    batches = ShardBatches(many, lambda labels: labels, views, 8, 3, None, None, 3 * rows)
    tracemalloc.start()
    for _ in itertools.islice(batches.from_step(0, 0), batches.steps):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Groups have three shards, and one is read and changed; a little is for batches and positions.
    assert 4 * shard < peak < 8.5 * shard
