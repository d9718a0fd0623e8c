"""Tables with a column for each pixel, as of the digits on Kaggle and of HAM10000."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from table_files import rows, values

from keras_kd import datasets
from keras_kd.errors import DataError


def _images(count: int, channels: int) -> np.ndarray:
    random = np.random.default_rng(channels)
    return random.integers(0, 256, (count, 4, 4, channels), np.uint8)


def _write(path: Path, names: list[str], images: np.ndarray, labels: list[str] | None) -> None:
    """The columns of pixels by their names, and behind them the label."""
    lines = [",".join([*names, *(["label"] if labels else [])])]
    for row, image in enumerate(images):
        cells = [*map(str, image.ravel().tolist()), *([labels[row]] if labels else [])]
        lines.append(",".join(cells))
    path.write_text("\n".join(lines))


NAMES = {
    "pixel0": [f"pixel{number}" for number in range(48)],
    "pixel0001": [f"pixel{number:04}" for number in range(1, 49)],
    "1x1": [f"{row}x{column}" for row in range(1, 5) for column in range(1, 5)],
}


@pytest.mark.parametrize(
    ("names", "channels"), [("pixel0", 1), ("pixel0001", 1), ("pixel0", 3), ("1x1", 1)]
)
def test_a_row_of_pixels_is_an_image(tmp_path: Path, names: str, channels: int) -> None:
    """It was told to be written into image files."""
    columns = NAMES[names][: 16 * channels]
    images = _images(40, channels)
    labels = ["9", "10"] * 20
    _write(tmp_path / "train.csv", columns, images[:30], labels[:30])
    # Without a class, as that of a competition.
    _write(tmp_path / "test.csv", columns, images[30:], None)
    found = {split: datasets.load(tmp_path, split, size=4) for split in datasets.SPLITS}
    assert [len(samples) for samples in found.values()] == [22, 4, 4]
    pairs = {
        (image.tobytes(), samples.class_names[label])
        for samples in found.values()
        for image, label in zip(samples.images, samples.labels.tolist(), strict=True)
    }
    assert pairs == {
        (image.tobytes(), label) for image, label in zip(images[:30], labels[:30], strict=True)
    }
    train = found["train"]
    assert train.class_names == ("9", "10") and train.images.shape[3] == channels
    assert train.sizes is not None and (train.sizes == 4).all()
    notes = "\n".join(datasets.passed_over(tmp_path))
    read = f"train.csv is read by its columns {columns[0]} to {columns[-1]}, images of 4x4 pixels"
    assert f"{read} row by row{', red, green and blue' * (channels == 3)}" in notes
    assert f"not read: none of its columns, {columns[0]}, {columns[-1]}, is that of" in notes
    assert "the images of test are taken from those of training" in notes


def test_a_table_of_pixels_that_lies_there_twice_is_read_once(tmp_path: Path) -> None:
    """As the archive of Sign Language MNIST has it: its rows were doubled without a word."""
    for split in ("train", "test"):
        folder = tmp_path / f"sign_mnist_{split}"
        folder.mkdir()
        table = tmp_path / f"sign_mnist_{split}.csv"
        _write(table, NAMES["pixel0"][:16], _images(20, 1), ["a", "b"] * 10)
        (folder / table.name).write_bytes(table.read_bytes())
    counts = [len(datasets.load(tmp_path, split, size=4)) for split in datasets.SPLITS]
    assert counts == [18, 2, 20]
    notes = "\n".join(datasets.passed_over(tmp_path))
    copy, first = tmp_path / "sign_mnist_test/sign_mnist_test.csv", tmp_path / "sign_mnist_test.csv"
    assert f"the table {copy} is not read: its bytes are those of {first}" in notes


def test_columns_of_rows_and_columns_tell_the_shape(tmp_path: Path) -> None:
    """48 of them were taken for 4x4 pixels in three colours, and 12x3 for 6x6."""
    images = np.random.default_rng(0).integers(0, 256, (20, 12, 4, 1), np.uint8)
    names = [f"{row}x{column}" for row in range(12) for column in range(4)]
    _write(tmp_path / "all.csv", names, images, ["a", "b"] * 10)
    every = [datasets.load(tmp_path / "all.csv", split, size=(12, 4)) for split in datasets.SPLITS]
    shown = {image.tobytes() for samples in every for image in samples.images}
    assert shown == {image.tobytes() for image in images}
    assert "images of 12x4 pixels row by row" in "".join(datasets.passed_over(tmp_path))


def test_columns_of_pixels_stand_in_any_order(tmp_path: Path) -> None:
    """pandas may sort them as words: pixel0, pixel1, pixel10."""
    images = _images(20, 1)
    order = sorted(range(16), key=str)
    shuffled = images.reshape(20, 16)[:, order]
    names = [f"pixel{number}" for number in order]
    _write(tmp_path / "all.csv", names, shuffled, ["a", "b"] * 10)
    every = [datasets.load(tmp_path / "all.csv", split, size=4) for split in datasets.SPLITS]
    shown = {image.tobytes() for samples in every for image in samples.images}
    assert shown == {image.tobytes() for image in images}


def test_a_table_of_pixels_is_not_parsed_for_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsing all numbers once more took a third of a start."""
    _write(tmp_path / "train.csv", NAMES["1x1"], _images(20, 1), ["a", "b"] * 10)
    monkeypatch.setattr("keras_kd.datasets.readers._table_rows.rows", lambda table: 1 / 0)
    assert datasets.sources(tmp_path) == [tmp_path / "train.csv", tmp_path / "labels.txt"]


def test_pixels_of_json_lines_are_numbers_and_may_be_missing(tmp_path: Path) -> None:
    """A missing one was told as a pixel 'None', which the file does not hold."""
    images = _images(20, 1)
    rows = [
        {"label": "ab"[row % 2], **dict(zip(NAMES["1x1"], image.ravel().tolist(), strict=True))}
        for row, image in enumerate(images)
    ]
    table = tmp_path / "all.jsonl"
    table.write_text("\n".join(map(json.dumps, rows)))
    every = [datasets.load(table, split, size=4) for split in datasets.SPLITS]
    shown = {image.tobytes() for samples in every for image in samples.images}
    assert shown == {image.tobytes() for image in images}
    table.write_text("\n".join(map(json.dumps, [*rows[:19], rows[19] | {"2x3": None}])))
    with pytest.raises(DataError, match="all.jsonl, line 20: 15 pixels, expected 16"):
        [datasets.load(table, split, size=4) for split in datasets.SPLITS]


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("256", "a pixel is 256, expected 0 to 255"),
        ("0.5", "pixels hold '0.5', expected whole numbers 0 to 255"),
        ("", "15 pixels, expected 16"),
    ],
)
def test_a_row_of_bad_pixels_is_named_or_left_out(tmp_path: Path, cell: str, told: str) -> None:
    _write(tmp_path / "all.csv", NAMES["1x1"], _images(20, 1), ["a", "b"] * 10)
    lines = (tmp_path / "all.csv").read_text().splitlines()
    lines[5] = ",".join([cell, *lines[5].split(",")[1:]])
    (tmp_path / "all.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"all.csv, line 6: {told}; mend or remove the row"):
        [datasets.load(tmp_path, split) for split in datasets.SPLITS]
    every = [datasets.load(tmp_path, split, skip_bad_rows=True) for split in datasets.SPLITS]
    assert sum(map(len, every)) == 19
    (skipped,) = sum((samples.skipped for samples in every), ())
    assert f"line 6: {told}" in skipped


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ["label", *NAMES["pixel0"][:15]],
            "15 columns of pixels, pixel0 to pixel14, are those of no",
        ),
        (["label", *NAMES["pixel0"][1:10], *NAMES["pixel0"][11:18]], "pixel1 to pixel17, .* a gap"),
        (["label", *NAMES["pixel0"][:8], "pixel999999999"], "pixel0 to pixel999999999, are those"),
        (["label", *NAMES["1x1"][:8], "9x9"], "9 columns of pixels, 1x1 to 9x9, are those of no"),
        (
            NAMES["pixel0"][:16],
            "none of its columns, pixel0, .*, is that of the class: call that label",
        ),
        (["0"] * 17, "first line, 0, 0, 0, 0 …, holds numbers .* label and pixel0 and so on"),
        (["0", "0.1", "0.2"], "holds numbers and no names of columns: write their names above it;"),
    ],
)
def test_columns_of_pixels_that_say_too_little_are_told(
    tmp_path: Path, names: list[str], told: str
) -> None:
    rows = [",".join(names), ",".join("0" * len(names))]
    (tmp_path / "train.csv").write_text("\n".join(rows))
    for data in (tmp_path, tmp_path / "train.csv"):
        with pytest.raises(DataError, match=told.removesuffix(";")):
            datasets.load(data, "train")


def test_a_table_of_files_may_have_columns_called_as_pixels(tmp_path: Path) -> None:
    lines = [f"{line},{','.join('0' * 9)}" for line in rows(tmp_path, "ab", count=5)]
    names = ",".join(["file", "label", *NAMES["pixel0"][:9]])
    (tmp_path / "all.csv").write_text("\n".join([names, *lines]))
    shown = [values(datasets.load(tmp_path, split)) for split in datasets.SPLITS]
    assert sorted(sum(shown, [])) == [*range(10)]
