"""Images in Parquet files, written by pyarrow as Hugging Face writes them."""

from __future__ import annotations

import io
import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.datasets import splits
from keras_kd.errors import DataError

pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet")
NAMES = ("sun", "moon")


def _pixels(count: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    shape = (count, 10, 10, 3) if channels == 3 else (count, 10, 10)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def _png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def _field(image: bytes | str | None) -> dict[str, bytes | str | None]:
    """As Hugging Face writes an image: its content, or its path alone."""
    is_path = isinstance(image, str)
    return {"bytes": None, "path": image} if is_path else {"bytes": image, "path": None}


def _write(
    path: Path,
    images: list[bytes | str | None],
    labels: list,
    names: tuple[str, ...] = (),
    struct: bool = True,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    column = [_field(image) for image in images] if struct else images
    table = pyarrow.table({"id": list(range(len(labels))), "image": column, "label": labels})
    if names:
        features = {
            "image": {"_type": "Image"},
            "label": {"names": list(names), "_type": "ClassLabel"},
        }
        table = table.replace_schema_metadata(
            {"huggingface": json.dumps({"info": {"features": features}})}
        )
    parquet.write_table(table, path, row_group_size=4)


def _three_splits(folder: Path, images: np.ndarray) -> None:
    parts = {
        "train-00000-of-00002": images[:7],
        "train-00001-of-00002": images[7:12],
        "test-00000-of-00001": images[12:],
    }
    for name, part in parts.items():
        labels = [number % 2 for number in range(len(part))]
        _write(folder / "data" / f"{name}.parquet", list(map(_png, part)), labels, NAMES)
    _write(
        folder / "data" / "validation.parquet",
        list(map(_png, images[12:])),
        [1] * len(images[12:]),
        NAMES,
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_shards_come_in_their_order_and_resized_as_pillow_does(tmp_path, channels):
    images = _pixels(14, channels)
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
    images = _pixels(40)
    labels = ["moon", "sun"] * 20
    _write(
        tmp_path / "shards" / "train" / "a.parquet",
        list(map(_png, images[:25])),
        labels[:25],
        struct=False,
    )
    _write(
        tmp_path / "shards" / "train" / "b.parquet",
        list(map(_png, images[25:])),
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


def test_numbers_are_named_by_labels_txt(tmp_path):
    _write(tmp_path / "train.parquet", list(map(_png, _pixels(20))), [0, 1] * 10)
    with pytest.raises(
        DataError, match=r"does not name its classes, two or more: write them to .*labels\.txt"
    ):
        datasets.load(tmp_path, "train")
    (tmp_path / "labels.txt").write_text("day\nnight\n")
    assert datasets.load(tmp_path, "train").class_names == ("day", "night")
    (tmp_path / "labels.txt").write_text("day\nday\n")
    twice = datasets.load(tmp_path, "train")
    assert twice.class_names == ("day (0)", "day (1)") and set(twice.labels) == {0, 1}


BAD = [
    (b"no image", 0, r"train\.parquet, row 17 can't be read as an image"),
    (None, 0, r"train\.parquet, row 17 can't be read as an image"),
    ("a.png", 0, r"train\.parquet, row 17: .* has no file of the name 'a\.png'; mend or remove"),
    ("../a.png", 0, r"train\.parquet, row 17: the image .*a\.png lies outside of"),
]


@pytest.mark.parametrize(("content", "label", "told"), BAD)
def test_a_bad_image_is_named_or_skipped(tmp_path, content, label, told):
    images = list(map(_png, _pixels(30)))
    images[17] = content
    _write(tmp_path / "train.parquet", images, [0, 1] * 15, NAMES)
    splits = ("train", "validation", "test")
    with pytest.raises(DataError, match=told):
        [datasets.load(tmp_path, split) for split in splits]
    loaded = [datasets.load(tmp_path, split, skip_bad_rows=True) for split in splits]
    assert sum(map(len, loaded)) == 29 and sum(len(samples.skipped) for samples in loaded) == 1
    assert all(len(samples.labels) == len(samples.sizes) == len(samples) for samples in loaded)


def test_what_is_no_such_table_is_told(tmp_path):
    images = list(map(_png, _pixels(20)))
    for name, labels in (("outside", [0, 2] * 10), ("empty", [0, None] * 10)):
        _write(tmp_path / name / "train.parquet", images, labels, NAMES)
        with pytest.raises(
            DataError,
            match=r"train\.parquet, row 1: the label is (2|missing), expected one of the 2 classes",
        ):
            datasets.load(tmp_path / name, "train")
    _write(tmp_path / "fractions" / "train.parquet", images, [0.5] * 20, NAMES)
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
    images = [*map(_png, _pixels(20))]
    for name, columns in (("train", {"label": ["sun", "moon"] * 10}), ("test", {})):
        table = pyarrow.table({"image": images, "id": [*range(20)]} | columns)
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=r"no column label: .*; rename .*, or move the file away"):
        datasets.load(tmp_path, "train")
    (tmp_path / "test.parquet").unlink()
    assert len(datasets.load(tmp_path, "test")) == 2  # from those of training, as it says


def test_files_of_the_same_bytes_are_told(tmp_path: Path) -> None:
    """Their images were doubled without a word."""
    table = pyarrow.table({"image": [*map(_png, _pixels(20))], "label": ["sun", "moon"] * 10})
    parquet.write_table(table, tmp_path / "train.parquet")
    copy = tmp_path / "data" / "train.parquet"
    copy.parent.mkdir()
    shutil.copy(tmp_path / "train.parquet", copy)
    (told,) = datasets.passed_over(tmp_path)
    assert told.startswith(f"the bytes of {copy} are those of {tmp_path / 'train.parquet'}: ")


@pytest.mark.parametrize("coloured", [None, ("validation", 3), ("train", 2)])
def test_images_are_gray_if_every_one_is_as_in_folders(tmp_path, coloured):
    """The first training image decided, and each in colour behind a gray one was refused."""
    gray, colour = _pixels(4), _pixels(1, 3)[0]
    for split in datasets.SPLITS:
        images = [*gray]
        if coloured and split == coloured[0]:
            images[coloured[1]] = colour
        _write(tmp_path / f"{split}.parquet", [*map(_png, images)], [0, 1, 0, 1], NAMES)
    channels = 3 if coloured else 1
    for split in datasets.SPLITS:
        expected = np.repeat(gray[..., None], channels, axis=3)
        if coloured and split == coloured[0]:
            expected[coloured[1]] = colour
        np.testing.assert_array_equal(datasets.load(tmp_path, split, size=10).images, expected)


@pytest.mark.parametrize("images", [[[1, 2], [3, 4]], [{"file": "a.png"}, {"file": "b.png"}]])
def test_pixels_instead_of_images_are_told(tmp_path, images):
    parquet.write_table(
        pyarrow.table({"image": images * 4, "label": NAMES * 4}), tmp_path / "train.parquet"
    )
    with pytest.raises(
        DataError, match="train.parquet has images as .*: expected the content of image files or"
    ):
        datasets.load(tmp_path, "train", skip_bad_rows=True)


@pytest.mark.parametrize("form", ["struct", "path", "text", "mixed", "absolute"])
def test_paths_in_place_of_contents_are_followed_within_the_folder(tmp_path, form):
    """As Hugging Face writes them where it is not told to embed the files: each was a bad row."""
    images = _pixels(40)
    (tmp_path / "images").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "images" / f"{number:02}.png")
    paths = [f"images/{number:02}.png" for number in range(40)]
    column = {
        "struct": [_field(path) for path in paths],
        "path": [{"path": path} for path in paths],
        "text": paths,
        "mixed": [_field(path if row % 2 else _png(images[row])) for row, path in enumerate(paths)],
        "absolute": [_field(str(tmp_path / path)) for path in paths],
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
    notes = datasets.passed_over(tmp_path)
    assert notes == (f"20 images in {tmp_path / 'images'}, in no class or split",) * bool(unread)


def test_a_parquet_file_may_be_a_table_of_files(tmp_path):
    """As Hugging Face's metadata.parquet: asked to rename its columns."""
    images = _pixels(20)
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


def test_a_path_that_leads_out_of_the_folder_is_not_followed(tmp_path):
    Image.fromarray(_pixels(1)[0]).save(tmp_path / "a.png")
    for number, path in enumerate(("../a.png", str(tmp_path / "a.png"))):
        folder = tmp_path / f"data{number}"
        images = [*map(_png, _pixels(30)), path]
        _write(folder / "train.parquet", images, [0, 1] * 15 + [0], NAMES)
        with pytest.raises(DataError, match="row 30: the image .*a.png lies outside of"):
            [datasets.load(folder, split) for split in datasets.SPLITS]


def test_rows_that_a_small_file_declares_are_refused_at_once(tmp_path):
    rows = 1_000_000
    image = pyarrow.array([{"bytes": _png(_pixels(1)[0]), "path": None}])
    table = pyarrow.table({
        "image": image.take(pyarrow.array(np.zeros(rows, np.int32))),
        "label": np.zeros(rows, np.int64),
    })  # fmt: skip
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 100_000
    started = time.process_time()
    with pytest.raises(DataError, match="has 1,000,000 rows or more in .* bytes, fewer than 1 for"):
        datasets.load(f"parquet:{tmp_path}", "train")
    assert time.process_time() - started < 1


def test_images_that_a_small_file_repeats_are_refused_before_all_are_read(tmp_path):
    """Rows of paths take fewer bytes than images."""
    image = pyarrow.array([{"bytes": _png(_pixels(1)[0]), "path": None}] * 20_000)
    salt = pyarrow.array([np.random.default_rng(row).bytes(2) for row in range(20_000)])
    table = pyarrow.table({"image": image, "label": NAMES * 10_000, "salt": salt})
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path, compression="zstd")
    assert 20_000 < path.stat().st_size < 160_000
    with pytest.raises(DataError, match=r"has \d?\d,\d+ images or more in .* fewer than 16 for"):
        datasets.load(f"parquet:{tmp_path}", "train")


@pytest.mark.parametrize("layout", ["bytes", "struct"])
def test_an_image_that_many_rows_name_is_copied_for_few_at_a_time(layout, tmp_path):
    """A dictionary holds 2 MB once; copied for each row they would be 512 MB."""
    content = pyarrow.array([_png(_pixels(1)[0]) + bytes(2_000_000)])
    held = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 256, "int32"), content)
    image = held if layout == "bytes" else pyarrow.StructArray.from_arrays([held], ["bytes"])
    salt = pyarrow.array([np.random.default_rng(row).bytes(32) for row in range(256)])
    table = pyarrow.table({"image": image, "label": ["a", "b"] * 128, "salt": salt})
    path = tmp_path / "train.parquet"
    # Without Arrow's own schema nothing says that a dictionary was written.
    parquet.write_table(table, path, compression="zstd", store_schema=False)
    assert path.stat().st_size < 20_000
    highest = pyarrow.default_memory_pool().max_memory
    allowed = max(highest(), 400_000_000)
    assert len(datasets.load(f"parquet:{tmp_path}", "train")) > 200
    assert highest() <= allowed


def test_labels_that_are_no_names_are_refused_before_they_are_copied(tmp_path):
    long = pyarrow.array(["a" * 2_000_000])
    held = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 64, "int32"), long)
    images = list(map(_png, _pixels(64)))
    table = pyarrow.table({"image": images, "label": held})
    parquet.write_table(table, tmp_path / "train.parquet", compression="zstd", store_schema=False)
    with pytest.raises(DataError, match="a label of 2,000,000 bytes, more than 2000"):
        datasets.load(f"parquet:{tmp_path}", "train")


@pytest.mark.parametrize("name", ["faces_train.parquet", "data.train.parquet", "Train01.parquet"])
def test_a_word_of_a_file_s_name_tells_its_split(tmp_path, name):
    _write(tmp_path / name, list(map(_png, _pixels(20))), ["sun", "moon"] * 10)
    _write(tmp_path / "val_1-of-2.parquet", list(map(_png, _pixels(3, seed=1))), ["sun"] * 3)
    assert len(datasets.load(tmp_path, "train")) == 18
    assert len(datasets.load(tmp_path, "validation")) == 3


def test_numbers_written_as_text_are_in_the_order_of_numbers_and_take_names(tmp_path: Path) -> None:
    labels = [str(number % 11) for number in range(33)]
    _write(tmp_path / "train.parquet", [*map(_png, _pixels(33))], labels)
    in_order = tuple(map(str, range(11)))
    assert datasets.load(tmp_path, "train").class_names == in_order
    assert any("classes are numbers" in line for line in datasets.passed_over(tmp_path))
    names = tuple(f"digit {number}" for number in in_order)
    (tmp_path / "labels.txt").write_text("\n".join(names))
    named = datasets.load(tmp_path, "train")
    assert named.class_names == names and set(named.labels.tolist()) == set(range(11))


def test_names_and_numbers_in_files_of_one_split_are_refused(tmp_path: Path) -> None:
    for number, labels in enumerate((["sun", "moon"] * 5, [0, 1] * 5)):
        _write(tmp_path / f"train-{number}.parquet", [*map(_png, _pixels(10))], labels)
    with pytest.raises(DataError, match="train-1.parquet has numbers as labels, and other files"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("names", [("1", "2", "3"), NAMES])
def test_numbers_of_a_test_split_are_not_taken_for_places_among_training_names(
    names: tuple[str, ...], tmp_path: Path
) -> None:
    """As 1 would be the second of the classes 1, 2 and 3."""
    _write(tmp_path / "train.parquet", [*map(_png, _pixels(12))], [*names] * (12 // len(names)))
    _write(tmp_path / "test.parquet", [*map(_png, _pixels(4))], [1, 2, 1, 1])
    told = r"test.parquet has numbers as labels, and other files have names: .* to labels.txt"
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
        (["2", "0"], "test.parquet has numbers as labels, and other files have names"),
        ([-1, 7], "row 0: the label is -1, expected one of the 3 classes"),
    ],
)
def test_labels_of_a_test_split_beside_training_names_are_told_by_what_they_are(
    labels: list, told: str, tmp_path: Path
) -> None:
    _write(tmp_path / "train.parquet", [*map(_png, _pixels(12))], ["1", "2", "3"] * 4)
    _write(tmp_path / "test.parquet", [*map(_png, _pixels(2))], labels)
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path, "test")


@pytest.mark.parametrize("labels", [[-1] * 6, [None, "", "-1"] * 2, [None] * 6])
def test_a_test_split_without_labels_is_held_out_and_told(labels: list, tmp_path: Path) -> None:
    """As of ImageNet: refused, and with --skip-bad-rows it had no images."""
    names = NAMES if labels[0] == -1 else ()
    own = [0, 1] * 10 if names else ["sun", "moon"] * 10
    for split, written, count in (("train", own, 20), ("test", labels, 6)):
        _write(tmp_path / f"{split}.parquet", [*map(_png, _pixels(count))], written, names)
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
    _write(tmp_path / "train.parquet", [*map(_png, _pixels(10))], [0, 1] * 5, NAMES)
    (tmp_path / "labels.txt").write_text("moon\nsun\n")
    with pytest.raises(DataError, match="names the classes moon, sun, and the Parquet files.* sun"):
        datasets.load(tmp_path, "train")
    # Other names, as in another language, are the user's.
    (tmp_path / "labels.txt").write_text("Sonne\nMond\n")
    assert datasets.load(tmp_path, "train").class_names == ("Sonne", "Mond")


def test_columns_that_splits_may_depend_on_and_doubtful_names_are_told(tmp_path: Path) -> None:
    images = [*map(_png, _pixels(30))]
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
        images = [*map(_png, _pixels(len(values)))]
        labels = ["sun", "moon", "sun"] * 10
        table = {"image": images, "label": labels[: len(values)], "subject": column}
        parquet.write_table(pyarrow.table(table), tmp_path / f"{split}.parquet")
    assert datasets.passed_over(tmp_path) == (
        "1 of 5 values of subject, 3 first, stand in several splits: scores are of some"
        " that were trained on",
    )
