from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.errors import DataError


def write_images(folder, values, mode="L", size=(9, 7)):
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(folder / f"{value}.png")


def values(samples):
    return samples.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("validation", ["validation", "valid", "val"])
def test_split_folders_keep_their_images(tmp_path, validation):
    for start, folder in ((0, "train"), (100, validation), (200, "test")):
        write_images(tmp_path / folder / "dog", range(start + 10, start + 13))
        write_images(tmp_path / folder / "Cat", range(start, start + 2))
    for start, split in ((0, "train"), (100, "validation"), (200, "test")):
        samples = datasets.load(tmp_path, split)
        assert samples.class_names == ("Cat", "dog")
        assert values(samples) == [start, start + 1, start + 10, start + 11, start + 12]
        assert samples.labels.tolist() == [0, 0, 1, 1, 1]
        assert samples.images.shape == (5, 64, 64, 1)
        assert samples.sizes.tolist() == [[7, 9]] * 5


def test_class_folders_alone_are_split_80_10_10_by_class(tmp_path):
    write_images(tmp_path / "a", range(20))
    write_images(tmp_path / "b", range(100, 150))
    write_images(tmp_path / "c", range(200, 203))
    loaded = {split: datasets.load(tmp_path, split) for split in datasets.SPLITS}
    counts = {split: np.bincount(samples.labels).tolist() for split, samples in loaded.items()}
    assert counts == {"train": [16, 40, 1], "validation": [2, 5, 1], "test": [2, 5, 1]}
    together = sum(map(values, loaded.values()), [])
    assert sorted(together) == [*range(20), *range(100, 150), *range(200, 203)]
    for samples in loaded.values():
        assert [value // 100 for value in values(samples)] == samples.labels.tolist()
    assert values(datasets.load(tmp_path, "test")) == values(loaded["test"])


def test_a_missing_validation_folder_is_held_out_of_train(tmp_path):
    for start, folder in ((0, "train"), (100, "test")):
        write_images(tmp_path / folder / "a", range(start, start + 20))
        write_images(tmp_path / folder / "b", range(start + 20, start + 40))
    train, validation, test = (datasets.load(tmp_path, split) for split in datasets.SPLITS)
    assert np.bincount(validation.labels).tolist() == [2, 2]
    assert sorted(values(train) + values(validation)) == list(range(40))
    assert values(test) == list(range(100, 140))


def test_one_coloured_file_makes_every_split_rgb(tmp_path):
    for folder in ("train", "val", "test"):
        write_images(tmp_path / folder / "a", [1, 2])
        write_images(tmp_path / folder / "b", [3], mode="RGB" if folder == "test" else "L")
    train, test = datasets.load(tmp_path, "train"), datasets.load(tmp_path, "test")
    assert train.images.shape[3] == test.images.shape[3] == 3
    # Gray is repeated, red stays red.
    assert train.images[0, 0, 0].tolist() == [1, 1, 1]
    assert test.images[2, 0, 0].tolist() == [3, 0, 0]


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(20)])
def test_a_broken_image_is_named_or_skipped(tmp_path, content):
    for folder in ("train", "val", "test"):
        write_images(tmp_path / folder / "a", [1, 2])
        write_images(tmp_path / folder / "b", [3, 4])
    broken = tmp_path / "train" / "a" / "2.png"
    broken.write_bytes(content)
    with pytest.raises(DataError) as raised:
        datasets.load(tmp_path, "train")
    assert str(raised.value).startswith(f"{broken} can't be read as an image")
    samples = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert values(samples) == [1, 3, 4]
    assert samples.labels.tolist() == [0, 1, 1]
    assert len(samples.skipped) == 1
    assert str(broken) in samples.skipped[0]


def test_nothing_readable_is_refused_even_when_skipping(tmp_path):
    for folder in ("train", "val", "test"):
        write_images(tmp_path / folder / "a", [1])
        write_images(tmp_path / folder / "b", [2])
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / "test" / name).write_bytes(b"")
    with pytest.raises(
        DataError, match="None of the 2 images can be read; the first problem: .*1.png"
    ):
        datasets.load(tmp_path, "test", skip_bad_rows=True)


def test_an_empty_class_is_named_or_skipped_once(tmp_path):
    write_images(tmp_path / "a", range(10))
    write_images(tmp_path / "c", range(20, 30))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("none yet")
    with pytest.raises(DataError) as raised:
        datasets.load(tmp_path, "train")
    assert str(raised.value).startswith(f"{tmp_path / 'b'} is a class without images")
    loaded = [datasets.load(tmp_path, split, skip_bad_rows=True) for split in datasets.SPLITS]
    assert all(samples.class_names == ("a", "c") for samples in loaded)
    assert [len(samples.skipped) for samples in loaded] == [1, 0, 0]


def test_splits_with_other_classes_are_named_or_skipped(tmp_path):
    for folder in ("train", "val", "test"):
        write_images(tmp_path / folder / "a", [1])
        write_images(tmp_path / folder / "b", [2])
    write_images(tmp_path / "test" / "z", [3])
    with pytest.raises(
        DataError, match=r"test/z is no class, expected the classes of the train split: a, b"
    ):
        datasets.load(tmp_path, "test")
    assert values(datasets.load(tmp_path, "test", skip_bad_rows=True)) == [1, 2]
    (tmp_path / "val" / "b" / "2.png").unlink()
    with pytest.raises(DataError, match=r"val/b is a class without images"):
        datasets.load(tmp_path, "validation")


def test_one_class_is_too_few(tmp_path):
    write_images(tmp_path / "a", range(10))
    with pytest.raises(DataError, match="has 1 class folder with images, expected two or more"):
        datasets.load(tmp_path, "train")


def test_a_class_too_small_to_split_is_named(tmp_path):
    write_images(tmp_path / "a", range(10))
    write_images(tmp_path / "b", range(20, 22))
    with pytest.raises(
        DataError, match="Class b has 2 images, too few to split into train, validation, test"
    ):
        datasets.load(tmp_path, "train")


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    write_images(tmp_path / "a", range(10))
    write_images(tmp_path / "b", range(20, 30))
    write_images(tmp_path / ".cache", range(40, 43))
    write_images(tmp_path / "__MACOSX", range(50, 53))
    (tmp_path / "a" / "._1.png").write_bytes(b"\0\5\26\7")
    samples = datasets.load(tmp_path, "train")
    assert samples.class_names == ("a", "b")
    assert len(samples) == 16


def test_two_folders_for_one_split_are_refused(tmp_path):
    for split in ("train", "val", "validation"):
        for name in ("owl", "wren"):
            (tmp_path / split / name).mkdir(parents=True)
    with pytest.raises(
        DataError,
        match="has the validation images twice, in .*val and .*validation: keep one of them",
    ):
        datasets.load(f"folder:{tmp_path}", "train")
