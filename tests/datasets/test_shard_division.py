"""Too few shards to hold whole ones out are divided by rows, against what was written into them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import small_shards

from keras_kd.datasets import splits
from keras_kd.errors import DataError

pytest.importorskip("fsspec", reason="needs the extra shards")
pytest.importorskip("pyarrow", reason="needs the extra shards")


@pytest.mark.parametrize("suffix", small_shards.SUFFIXES)
@pytest.mark.parametrize("names", [("train-0", "test-0"), ("a",), ("a", "b")])
def test_too_few_shards_to_hold_whole_ones_out_are_divided_by_rows(
    names: tuple[str, ...], suffix: str, tmp_path: Path
) -> None:
    """TensorFlow Datasets' MNIST has one training shard and one of test, and was refused."""
    for number, name in enumerate(names):
        small_shards.write(tmp_path / f"{name}{suffix}", *small_shards.pictures(40, number))
    data = splits.load(f"shards:{tmp_path}", size=16)
    training = [number for number, name in enumerate(names) if not name.startswith("test")]
    images = np.concatenate([small_shards.pictures(40, number)[0] for number in training])
    labels = np.concatenate([small_shards.pictures(40, number)[1] for number in training])
    missing = ["validation"] if "test-0" in names else ["validation", "test"]
    in_turn = np.zeros(len(images), int)  # of the rows of a class in a shard
    for shard, label in itertools.product(range(len(training)), range(2)):
        own = (np.arange(len(images)) // 40 == shard) & (labels == label)
        in_turn[own] = np.arange(own.sum())
    rows = (in_turn - 1) % 10  # the first one is for training
    for tenth, split in enumerate(missing):
        found = getattr(data, split)
        np.testing.assert_array_equal(found.images, images[rows == tenth])
        np.testing.assert_array_equal(found.labels, 1 - labels[rows == tenth])
    learnt = images[rows >= len(missing)]
    assert data.shards is not None and data.training_images == len(data.shards) == len(learnt)
    np.testing.assert_array_equal(data.shards.all().images, learnt)
    np.testing.assert_array_equal(data.shards.read(0, np.array([5])).images, learnt[[5]])
    (note,) = data.passed_over
    assert f"hold whole ones out for {' and '.join(missing)}, so that every tenth row" in note


@pytest.mark.parametrize("classes", [10, 20])
def test_rows_whose_classes_take_turns_are_divided_class_by_class(
    classes: int, tmp_path: Path
) -> None:
    files, _ = small_shards.row_files()
    labels = [*range(classes)] * 3
    small_shards.write_files(tmp_path / "train-0.parquet", (files * 10)[: len(labels)], labels)
    (tmp_path / "labels.txt").write_text("\n".join(f"class {label}" for label in range(classes)))
    data = splits.load(f"shards:{tmp_path}", size=16)
    assert data.shards is not None
    for part in (data.validation, data.test, data.shards.all()):
        assert sorted(part.labels) == [*range(classes)]


def test_too_few_rows_to_hold_some_out_are_told(tmp_path: Path) -> None:
    files, _ = small_shards.row_files()
    names = ["dark", "bright", "dark", "dark"]
    small_shards.write_files(tmp_path / "train-0.parquet", files[:4], names)
    with pytest.raises(DataError, match="too few images of each class to hold some out for valid"):
        splits.load(f"shards:{tmp_path}", size=16)


def test_persons_whom_a_division_by_rows_may_divide_are_told(tmp_path: Path) -> None:
    files, _ = small_shards.row_files()
    members = []
    for row, file in enumerate(files * 4):
        fields = json.dumps({"label": "ab"[row // 2 % 2], "subject": str(row % 7)})
        members += [(f"{row:03d}.png", file), (f"{row:03d}.json", fields.encode())]
    small_shards.write_members(tmp_path / "data" / "train.tar", members)
    notes = " ".join(splits.load(str(tmp_path / "data"), size=16).passed_over)
    assert "images of one subject may fall into several splits" in notes
    assert "stand in several splits" not in notes
