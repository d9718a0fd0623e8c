"""Labels in Parquet files: numbers and their names, and splits that have none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from parquet_files import NAMES, pixels, png, write

from keras_kd import datasets
from keras_kd.datasets import splits
from keras_kd.errors import DataError

pytest.importorskip("pyarrow", reason="needs the extra parquet")


def test_numbers_are_named_by_labels_txt(tmp_path):
    write(tmp_path / "train.parquet", list(map(png, pixels(20))), [0, 1] * 10)
    with pytest.raises(
        DataError, match=r"does not name its classes, two or more: write them to .*labels\.txt"
    ):
        datasets.load(tmp_path, "train")
    (tmp_path / "labels.txt").write_text("day\nnight\n")
    assert datasets.load(tmp_path, "train").class_names == ("day", "night")
    (tmp_path / "labels.txt").write_text("day\nday\n")
    twice = datasets.load(tmp_path, "train")
    assert twice.class_names == ("day (0)", "day (1)") and set(twice.labels) == {0, 1}


def test_numbers_written_as_text_are_in_the_order_of_numbers_and_take_names(tmp_path: Path) -> None:
    labels = [str(number % 11) for number in range(33)]
    write(tmp_path / "train.parquet", [*map(png, pixels(33))], labels)
    in_order = tuple(map(str, range(11)))
    assert datasets.load(tmp_path, "train").class_names == in_order
    assert any("classes are numbers" in line for line in datasets.passed_over(tmp_path))
    names = tuple(f"digit {number}" for number in in_order)
    (tmp_path / "labels.txt").write_text("\n".join(names))
    named = datasets.load(tmp_path, "train")
    assert named.class_names == names and set(named.labels.tolist()) == set(range(11))


@pytest.mark.parametrize("of_numbers", [0, 1])
def test_names_and_numbers_in_files_of_one_split_are_refused(
    of_numbers: int, tmp_path: Path
) -> None:
    for number in (0, 1):
        labels = [0, 1] * 5 if number == of_numbers else ["sun", "moon"] * 5
        write(tmp_path / f"train-{number}.parquet", [*map(png, pixels(10))], labels)
    told = f"train-{of_numbers}.parquet and other files have names and numbers as labels"
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path, "train")


def test_a_training_file_without_any_label_does_not_hide_the_names_of_others(
    tmp_path: Path,
) -> None:
    """The names of the classes were asked for."""
    write(tmp_path / "train-0.parquet", [*map(png, pixels(10))], [None] * 10)
    write(tmp_path / "train-1.parquet", [*map(png, pixels(20))], ["sun", "moon"] * 10)
    with pytest.raises(DataError, match="train-0.parquet, row 0: the label is missing"):
        datasets.load(tmp_path, "train")
    found = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert (found.class_names, len(found), len(found.skipped)) == (("moon", "sun"), 16, 10)


@pytest.mark.parametrize("names", [("1", "2", "3"), NAMES])
def test_numbers_of_a_test_split_are_not_taken_for_places_among_training_names(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    """As 1 would be the second of the classes 1, 2 and 3."""
    write(tmp_path / "train.parquet", [*map(png, pixels(12))], [*names] * (12 // len(names)))
    write(tmp_path / "test.parquet", [*map(png, pixels(4))], [1, 2, 1, 1])
    told = r"test.parquet and other files have names and numbers as labels: .* to labels.txt"
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path, "test")
    assert len(datasets.load(tmp_path, "train"))
    (tmp_path / "labels.txt").write_text("\n".join(("zero", *names)))
    named = datasets.load(tmp_path, "test")
    assert [named.class_names[label] for label in named.labels] == [
        names[number - 1] for number in (1, 2, 1, 1)
    ]


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (["2", "0"], "test.parquet and other files have names and numbers as labels"),
        ([-1, 7], "row 0: the label is -1, expected one of the 3 classes"),
    ],
)
def test_labels_of_a_test_split_beside_training_names_are_told_by_what_they_are(
    labels: list, told: str, tmp_path: Path
) -> None:
    write(tmp_path / "train.parquet", [*map(png, pixels(12))], ["1", "2", "3"] * 4)
    write(tmp_path / "test.parquet", [*map(png, pixels(2))], labels)
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path, "test")


@pytest.mark.parametrize("labels", [[-1] * 6, [None, "", "-1"] * 2, [None] * 6])
def test_a_test_split_without_labels_is_held_out_and_told(labels: list, tmp_path: Path) -> None:
    """As of ImageNet: refused, and with --skip-bad-rows it had no images."""
    names = NAMES if labels[0] == -1 else ()
    own = [0, 1] * 10 if names else ["sun", "moon"] * 10
    for split, written, count in (("train", own, 20), ("test", labels, 6)):
        write(tmp_path / f"{split}.parquet", [*map(png, pixels(count))], written, names)
    told = "no row of test has a label; the images of test are taken from those of training"
    assert [len(datasets.load(tmp_path, split)) for split in datasets.SPLITS] == [16, 2, 2]
    assert told in datasets.passed_over(tmp_path)
    # In place, every tenth shard of the training is taken.
    pytest.importorskip("fsspec", reason="needs the extra shards")
    for number in range(2):
        shutil.copy(tmp_path / "train.parquet", tmp_path / f"train-{number}.parquet")
    data = splits.load(f"shards:{tmp_path}", size=16)
    assert (len(data.test), data.training_images) == (20, 20) and told in data.passed_over


def test_a_list_of_names_that_contradicts_the_files_own_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", [*map(png, pixels(10))], [0, 1] * 5, NAMES)
    (tmp_path / "labels.txt").write_text("moon\nsun\n")
    with pytest.raises(DataError, match="names the classes moon, sun, and the Parquet files.* sun"):
        datasets.load(tmp_path, "train")
    # Other names, as in another language, are the user's.
    (tmp_path / "labels.txt").write_text("Sonne\nMond\n")
    assert datasets.load(tmp_path, "train").class_names == ("Sonne", "Mond")
