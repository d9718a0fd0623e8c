from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.datasets.readers import rafdb
from keras_kd.errors import DataError

CLASSES = ("surprise", "fear", "disgust", "happy", "sad", "anger", "neutral")


def write_image(path, number):
    """A gray square whose value tells the image's number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (10, 10), (number, number, number)).save(path)


def entries():
    """(name, label 1..7, number): ten training images and two test images of each class, in mixed
    order.
    """
    train = [(f"train_{number:05d}", number % 7 + 1, number) for number in range(1, 71)]
    test = [(f"test_{number:05d}", number % 7 + 1, number) for number in range(101, 115)]
    return test[:5] + train + test[5:]


def write_official(root, list_folder="."):
    for name, _, number in entries():
        write_image(root / "Image/aligned" / f"{name}_aligned.png", number)
    (root / list_folder).mkdir(exist_ok=True)
    path = root / list_folder / "list_patition_label.txt"
    path.write_text("".join(f"{name}.png {label}\n" for name, label, _ in entries()))
    return path


def write_kaggle(root, with_tables=True):
    for half in ("train", "test"):
        own = [entry for entry in entries() if entry[0].startswith(half)]
        for name, label, number in own:
            write_image(root / "DATASET" / half / str(label) / f"{name}_aligned.png", number)
        if with_tables:
            lines = [f"{name}_aligned.png,{label}\n" for name, label, _ in own]
            (root / f"{half}_labels.csv").write_text("image,label\n" + "".join(lines))


def numbers(samples):
    return samples.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(
    "form",
    [
        write_official,
        lambda root: write_official(root, "EmoLabel"),
        write_kaggle,
        lambda root: write_kaggle(root, with_tables=False),
    ],
    ids=["official", "official in EmoLabel", "Kaggle", "Kaggle without csv"],
)
def test_every_form_holds_the_same(tmp_path, form):
    form(tmp_path)
    train, validation, test = (datasets.load(tmp_path, split) for split in datasets.SPLITS)
    for samples in (train, validation, test):
        assert samples.class_names == CLASSES
        assert samples.images.shape[1:] == (64, 64, 3)
        assert samples.labels.tolist() == [number % 7 for number in numbers(samples)]
    assert sorted(numbers(test)) == list(range(101, 115))
    assert sorted(numbers(train) + numbers(validation)) == list(range(1, 71))
    # 10 % of each class.
    assert np.bincount(validation.labels).tolist() == [1] * 7
    assert numbers(validation) == numbers(datasets.load(tmp_path, "validation"))
    assert test.sizes.tolist() == [[10, 10]] * 14


def test_dataset_itself_can_be_the_path(tmp_path):
    write_kaggle(tmp_path)
    assert len(datasets.load(tmp_path / "DATASET", "test")) == 14


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("train_00001.png 9", "the label is '9', expected 1 to 7"),
        ("train_00001.png 0", "the label is '0'"),
        ("train_00001.png", "the label is ''"),
        ("train_00001.png happy", "the label is 'happy'"),
        ("train_77777.png 2", "there is no image .*train_77777_aligned.png"),
        ("other_00001.png 2", "there is no image .*other_00001_aligned.png"),
    ],
)
def test_a_bad_line_of_the_list_is_named_or_skipped_once(tmp_path, line, problem):
    path = write_official(tmp_path, "EmoLabel")
    lines = path.read_text().splitlines()
    assert lines[5].startswith("train_00001")
    path.write_text("\n".join([*lines[:5], line, *lines[6:]]))
    with pytest.raises(DataError, match=rf"list_patition_label\.txt, line 6: {problem}"):
        datasets.load(tmp_path, "train")
    loaded = [datasets.load(tmp_path, split, skip_bad_rows=True) for split in datasets.SPLITS]
    assert sum(map(len, loaded)) == 83
    assert [len(samples.skipped) for samples in loaded] == [1, 0, 0]


def test_a_table_that_contradicts_the_folders_is_refused(tmp_path):
    write_kaggle(tmp_path)
    table = tmp_path / "test_labels.csv"
    lines = table.read_text().splitlines()
    lines[2] = lines[2][:-1] + ("1" if lines[2][-1] != "1" else "2")
    table.write_text("\n".join(lines))
    with pytest.raises(
        DataError, match=r"test_labels\.csv, line 3: there is no image .*DATASET/test/[12]/test_"
    ):
        datasets.load(tmp_path, "test")
    samples = datasets.load(tmp_path, "test", skip_bad_rows=True)
    assert len(samples) == 13
    # The row without its image, and the image without its row.
    assert len(samples.skipped) == 2
    assert "which test_labels.csv does not list" in samples.skipped[1]


def test_a_broken_image_is_named_or_skipped(tmp_path):
    write_official(tmp_path)
    broken = tmp_path / "Image/aligned/test_00101_aligned.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.raises(DataError, match=r"test_00101_aligned\.png can't be read as an image"):
        datasets.load(tmp_path, "test")
    samples = datasets.load(tmp_path, "test", skip_bad_rows=True)
    assert len(samples) == 13
    assert len(samples.skipped) == 1


def test_an_empty_class_is_named(tmp_path):
    write_kaggle(tmp_path, with_tables=False)
    for file in (tmp_path / "DATASET/test/3").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no test images of class 3, disgust"):
        datasets.load(tmp_path, "test")


def test_published_counts_add_up():
    assert (sum(rafdb.COUNTS["train"]), sum(rafdb.COUNTS["test"])) == (12_271, 3_068)


def test_a_validation_folder_of_one_s_own_is_read(tmp_path):
    for split, start in (("train", 0), ("valid", 100), ("test", 150)):
        for number in range(start, start + 21):
            write_image(tmp_path / split / str(number % 7 + 1) / f"{split}_{number}.png", number)
    validation = datasets.load(tmp_path, "validation")
    assert sorted(numbers(validation)) == [*range(100, 121)]
    assert len(datasets.load(tmp_path, "train")) == 21
    assert any("RAF-DB numbers 1 surprise" in line for line in datasets.passed_over(tmp_path))
