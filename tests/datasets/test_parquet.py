"""Images in Parquet files, written by pyarrow as Hugging Face writes them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from parquet_files import NAMES, field, pixels, png, write
from PIL import Image

from keras_kd import datasets
from keras_kd.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet")


def _three_splits(folder: Path, images: np.ndarray) -> None:
    parts = {
        "train-00000-of-00002": images[:7],
        "train-00001-of-00002": images[7:12],
        "test-00000-of-00001": images[12:],
    }
    for name, part in parts.items():
        labels = [number % 2 for number in range(len(part))]
        write(folder / "data" / f"{name}.parquet", list(map(png, part)), labels, NAMES)
    write(
        folder / "data" / "validation.parquet",
        list(map(png, images[12:])),
        [1] * len(images[12:]),
        NAMES,
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_shards_come_in_their_order_and_resized_as_pillow_does(tmp_path, channels):
    images = pixels(14, channels)
    _three_splits(tmp_path, images)
    train = datasets.load(tmp_path, "train", size=10)
    np.testing.assert_array_equal(train.images, images[:12].reshape(12, 10, 10, channels))
    assert (
        train.labels.tolist() == [0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0]
        and train.labels.dtype == np.int64
    )
    assert train.class_names == NAMES and train.sizes.tolist() == [[10, 10]] * 12
    test = datasets.load(tmp_path, "test")
    expected = [
        Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR) for image in images[12:]
    ]
    np.testing.assert_array_equal(test.images, np.stack(expected).reshape(2, 64, 64, channels))
    assert datasets.load(tmp_path, "validation").labels.tolist() == [1, 1]


def test_a_split_without_a_file_is_held_out_as_with_class_folders(tmp_path):
    images = pixels(40)
    labels = ["moon", "sun"] * 20
    write(
        tmp_path / "shards" / "train" / "a.parquet",
        list(map(png, images[:25])),
        labels[:25],
        struct=False,
    )
    write(
        tmp_path / "shards" / "train" / "b.parquet",
        list(map(png, images[25:])),
        labels[25:],
        struct=False,
    )
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "folders" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "folders" / label / f"{number:02}.png")
    for split, count in (("train", 32), ("validation", 4), ("test", 4)):
        found, expected = (
            datasets.load(tmp_path / form, split, size=10) for form in ("shards", "folders")
        )
        assert len(found) == count and found.class_names == expected.class_names == ("moon", "sun")
        assert {
            (label, image.tobytes())
            for label, image in zip(found.labels, found.images, strict=True)
        } == {
            (label, image.tobytes())
            for label, image in zip(expected.labels, expected.images, strict=True)
        }


BAD = [
    (b"no image", 0, r"train\.parquet, row 17 can't be read as an image"),
    (None, 0, r"train\.parquet, row 17 can't be read as an image"),
    ("a.png", 0, r"train\.parquet, row 17: .* has no file of the name 'a\.png'; mend or remove"),
    ("../a.png", 0, r"train\.parquet, row 17: the image .*a\.png lies outside of"),
]


@pytest.mark.parametrize(("content", "label", "told"), BAD)
def test_a_bad_image_is_named_or_skipped(tmp_path, content, label, told):
    images = list(map(png, pixels(30)))
    images[17] = content
    write(tmp_path / "train.parquet", images, [0, 1] * 15, NAMES)
    splits = ("train", "validation", "test")
    with pytest.raises(DataError, match=told):
        [datasets.load(tmp_path, split) for split in splits]
    loaded = [datasets.load(tmp_path, split, skip_bad_rows=True) for split in splits]
    assert sum(map(len, loaded)) == 29 and sum(len(samples.skipped) for samples in loaded) == 1
    assert all(len(samples.labels) == len(samples.sizes) == len(samples) for samples in loaded)


def test_what_is_no_such_table_is_told(tmp_path):
    images = list(map(png, pixels(20)))
    for name, labels in (("outside", [0, 2] * 10), ("empty", [0, None] * 10)):
        write(tmp_path / name / "train.parquet", images, labels, NAMES)
        with pytest.raises(
            DataError,
            match=r"train\.parquet, row 1: the label is (2|missing), expected one of the 2 classes",
        ):
            datasets.load(tmp_path / name, "train")
    write(tmp_path / "fractions" / "train.parquet", images, [0.5] * 20, NAMES)
    with pytest.raises(DataError, match="row 0: the label is 0.5"):
        datasets.load(tmp_path / "fractions", "train")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "train.parquet").write_text("no Parquet")
    with pytest.raises(DataError, match="can't be read as Parquet"):
        datasets.load(tmp_path / "text", "train")
    parquet.write_table(pyarrow.table({"img": [1]}), tmp_path / "text" / "train.parquet")
    with pytest.raises(
        DataError,
        match="no column image and no column label: expected image and label, received img",
    ):
        datasets.load(tmp_path / "text", "train")


def test_a_test_file_without_a_column_of_classes_may_be_moved_away(tmp_path: Path) -> None:
    images = [*map(png, pixels(20))]
    for name, columns in (("train", {"label": ["sun", "moon"] * 10}), ("test", {})):
        table = pyarrow.table({"image": images, "id": [*range(20)]} | columns)
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"no column label: .*; rename .*, or move the file away"):
        datasets.load(tmp_path, "train")
    (tmp_path / "test.parquet").unlink()
    assert len(datasets.load(tmp_path, "test")) == 2  # from those of training, as it says


def test_files_of_the_same_bytes_are_told(tmp_path: Path) -> None:
    """Their images were doubled without a word; files without rows hold none to double."""
    table = pyarrow.table({"image": [*map(png, pixels(20))], "label": ["sun", "moon"] * 10})
    parquet.write_table(table, tmp_path / "train.parquet")
    for part in range(2):
        parquet.write_table(table[:0], tmp_path / f"train-{part}.parquet")
    assert datasets.passed_over(tmp_path) == ()
    copy = tmp_path / "data" / "train.parquet"
    copy.parent.mkdir()
    shutil.copy(tmp_path / "train.parquet", copy)
    (told,) = datasets.passed_over(tmp_path)
    assert told.startswith(f"the bytes of {copy} are those of {tmp_path / 'train.parquet'}: ")


@pytest.mark.parametrize("coloured", [None, ("validation", 3), ("train", 2)])
def test_images_are_gray_if_every_one_is_as_in_folders(tmp_path, coloured):
    """The first training image decided, and each in colour behind a gray one was refused."""
    gray, colour = pixels(4), pixels(1, 3)[0]
    for split in datasets.SPLITS:
        images = [*gray]
        if coloured and split == coloured[0]:
            images[coloured[1]] = colour
        write(tmp_path / f"{split}.parquet", [*map(png, images)], [0, 1, 0, 1], NAMES)
    channels = 3 if coloured else 1
    at_once = datasets.DataSet(tmp_path).load(datasets.SPLITS, 10)
    for split in datasets.SPLITS:
        expected = np.repeat(gray[..., None], channels, axis=3)
        if coloured and split == coloured[0]:
            expected[coloured[1]] = colour
        np.testing.assert_array_equal(datasets.load(tmp_path, split, size=10).images, expected)
        np.testing.assert_array_equal(at_once[split].images, expected)


@pytest.mark.parametrize("images", [[[1, 2], [3, 4]], [{"file": "a.png"}, {"file": "b.png"}]])
def test_pixels_instead_of_images_are_told(tmp_path, images):
    parquet.write_table(
        pyarrow.table({"image": images * 4, "label": NAMES * 4}), tmp_path / "train.parquet"
    )
    with pytest.raises(
        DataError, match="train.parquet has images as .*: expected the content of image files or"
    ):
        datasets.load(tmp_path, "train", skip_bad_rows=True)


@pytest.mark.parametrize("form", ["struct", "path", "text", "categories", "mixed", "absolute"])
def test_paths_in_place_of_contents_are_followed_within_the_folder(tmp_path, form):
    """As Hugging Face writes them where it is not told to embed the files: each was a bad row."""
    images = pixels(40)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "images" / f"{number:02}.png")
    paths = [f"images/{number:02}.png" for number in range(40)]
    column = {
        "struct": [field(path) for path in paths],
        "path": [{"path": path} for path in paths],
        "text": paths,
        "categories": pyarrow.array(paths).dictionary_encode(),
        "mixed": [field(path if row % 2 else png(images[row])) for row, path in enumerate(paths)],
        "absolute": [field(str(tmp_path / path)) for path in paths],
    }[form]
    table = pyarrow.table({"image": column, "label": NAMES * 20})
    parquet.write_table(table, tmp_path / "train.parquet", compression="zstd")
    found = {split: datasets.load(tmp_path, split, size=10) for split in datasets.SPLITS}
    assert [len(samples) for samples in found.values()] == [32, 4, 4]
    shown = {
        (image.tobytes(), label)
        for samples in found.values()
        for image, label in zip(samples.images, samples.labels.tolist(), strict=True)
    }
    # The classes in the alphabet's order are moon and sun.
    assert shown == {(image.tobytes(), 1 - row % 2) for row, image in enumerate(images)}
    unread = 20 if form == "mixed" else 0
    named = [file for file in datasets.sources(tmp_path) if file.suffix == ".png"]
    assert len(named) == 40 - unread
    notes = datasets.passed_over(tmp_path)
    assert notes == (f"20 images in {tmp_path / 'images'}, in no class or split",) * bool(unread)


def test_a_path_beside_a_content_may_be_of_any_type(tmp_path):
    """It was refused as pixels."""
    images = [{"bytes": png(image), "path": b"a.png"} for image in pixels(40)]
    table = pyarrow.table({"image": images, "label": NAMES * 20})
    parquet.write_table(table, tmp_path / "train.parquet")
    found = [datasets.load(tmp_path, split, size=10) for split in datasets.SPLITS]
    shown = {image.tobytes() for samples in found for image in samples.images}
    assert shown == {image.tobytes() for image in pixels(40)}


def test_a_parquet_file_may_be_a_table_of_files(tmp_path):
    """As Hugging Face's metadata.parquet: asked to rename its columns."""
    images = pixels(20)
    (tmp_path / "train").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "train" / f"{number}.png")
    names = [f"{number}.png" for number in range(20)]
    table = pyarrow.table({"file_name": names, "class": NAMES * 10, "text": names})
    parquet.write_table(table, tmp_path / "train" / "metadata.parquet")
    every = [datasets.load(tmp_path, split, size=10) for split in datasets.SPLITS]
    shown = {image.tobytes() for samples in every for image in samples.images}
    assert shown == {image.tobytes() for image in images}
    note = "images and labels are read from the columns file_name and class"
    assert datasets.passed_over(tmp_path) == (note,)
    # Of two that may be the class none is guessed.
    parquet.write_table(
        table.append_column("target", table["text"]), tmp_path / "train" / "a.parquet"
    )
    (tmp_path / "train" / "metadata.parquet").unlink()
    with pytest.raises(
        DataError, match="no column label: .* received file_name, class, text, target"
    ):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("name", ["faces_train.parquet", "data.train.parquet", "Train01.parquet"])
def test_a_word_of_a_file_s_name_tells_its_split(tmp_path, name):
    write(tmp_path / name, list(map(png, pixels(20))), ["sun", "moon"] * 10)
    write(tmp_path / "val_1-of-2.parquet", list(map(png, pixels(3, seed=1))), ["sun"] * 3)
    assert len(datasets.load(tmp_path, "train")) == 18
    assert len(datasets.load(tmp_path, "validation")) == 3


def test_columns_that_splits_may_depend_on_and_doubtful_names_are_told(tmp_path: Path) -> None:
    images = [*map(png, pixels(30))]
    labels = ["nan", "sun", "moon"] * 10
    columns = {"image": images, "label": labels, "split": ["train"] * 30, "subject": [1, 2, 3] * 10}
    parquet.write_table(pyarrow.table(columns), tmp_path / "train.parquet")
    assert datasets.passed_over(tmp_path) == (
        "the class nan may stand for no label",
        "the column split is not read, so no split is taken from it",
        "the column subject is not read: images of one subject may fall into several splits",
    )


@pytest.mark.parametrize("kind", ["int64", "string", "dictionary"])
def test_persons_in_several_splits_are_told(kind: str, tmp_path: Path) -> None:
    persons = {"train": [1, 2, 3] * 10, "validation": [4, None, 4], "test": [3, 5, 3, None]}
    for split, values in persons.items():
        texts = pyarrow.array(values, "int64").cast("string")
        column = texts.dictionary_encode() if kind == "dictionary" else texts.cast(kind)
        images = [*map(png, pixels(len(values)))]
        labels = ["sun", "moon", "sun"] * 10
        table = {"image": images, "label": labels[: len(values)], "subject": column}
        parquet.write_table(pyarrow.table(table), tmp_path / f"{split}.parquet")
    assert datasets.passed_over(tmp_path) == (
        "1 of 5 values of subject, 3 first, stand in several splits: scores are of some"
        " that were trained on",
    )
