"""Labels that are no class of the data: the first row is named, with what the numbers mean."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from parquet_files import png, with_names
from PIL import Image

from keras_kd import datasets
from keras_kd.errors import DataError

PIXELS = " ".join(["7"] * 2304)


def _png(value: int) -> bytes:
    return png(np.full((6, 6), value, np.uint8))


def _parquet(
    path: Path, labels: list, names: tuple[str, ...] = (), count: int | None = None
) -> Path:
    """A file of one image a label, their pixels counting from 0, as Hugging Face writes them."""
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": _png(row % 256), "path": None} for row in range(len(labels))]
    if count is not None:
        images, labels = images[:1] * count, labels[:1] * count
    table = pyarrow.table({"image": images, "label": labels})
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(with_names(table, names), path)
    return path


def _three(folder: Path, labels: list, names: tuple[str, ...] = ("sun", "moon")) -> Path:
    for split in datasets.SPLITS:
        _parquet(folder / f"{split}.parquet", labels, names)
    return folder


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 0, 7], "row 3: the label is 7, expected one of the 2 classes 0 sun, 1 moon; mend"),
        ([1, 1, 2, None], "row 2: the class numbers run from 1 to 2, .* wrong classes; subtract 1"),
        ([1.0, 2.0], "row 1: the class numbers run from 1 to 2, expected 0 to 1: they seem"),
        (["1", "2"], "row 1: the class numbers run from 1 to 2, expected 0 to 1"),
        ([0, 1, -1, -1], "row 2: the label is -1, .*-1 stands for no label, as in test splits"),
        ([0, None, 1], "row 1: the label is missing"),
        ([0.0, float("nan"), 1.0], "row 1: the label is missing"),
        ([0.0, 1.0, 0.5], "row 2: the label is 0.5"),
        (
            ["sun", "Mars"],
            "row 1: the label is 'Mars', expected one of the 2 classes 0 sun, 1 moon",
        ),
        ([[0], [0, 1]], r"several labels a row \(list<.*>\): one class an image is expected"),
        ([True, False], "labels of type bool: expected whole numbers or names"),
    ],
)
def test_parquet_labels_of_no_class_are_named_with_their_row(
    labels: list, words: str, tmp_path: Path
) -> None:
    _three(tmp_path, labels)
    with pytest.raises(DataError, match=f"train.parquet.*{words}"):
        datasets.load(tmp_path, "train")
    if "run from 1" in words:
        # Without the rows of the last number, those of the others would be of wrong classes.
        with pytest.raises(DataError, match=words):
            datasets.load(tmp_path, "train", skip_bad_rows=True)


def test_numbers_as_names_of_classes_count_from_where_they_do(tmp_path: Path) -> None:
    """A row without a label beside classes 1 and 2 made them seem to count from another number."""
    _three(tmp_path, ["1", "2", None, "2"], ())
    train = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert (train.class_names, train.labels.tolist()) == (("1", "2"), [0, 1, 1])


def test_parquet_rows_without_a_class_are_left_out_when_asked(tmp_path: Path) -> None:
    _three(tmp_path, [0, 5, 1, None, 0])
    samples = datasets.load(tmp_path, "test", skip_bad_rows=True)
    assert samples.images[:, 0, 0, 0].tolist() == [0, 2, 4] and samples.labels.tolist() == [0, 1, 0]
    assert [line.partition("test.parquet, ")[2] for line in samples.skipped] == [
        "row 1: the label is 5",
        "row 3: the label is missing",
    ]


def test_whole_numbers_as_floats_are_classes(tmp_path: Path) -> None:
    _three(tmp_path, [1.0, 0.0, 1.0])
    samples = datasets.load(tmp_path, "test")
    assert samples.labels.tolist() == [1, 0, 1] and samples.labels.dtype == np.int64


def test_labels_of_pandas_categories_and_decomposed_letters_are_names(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    labels = ["wu\u0308tend", "froh", "w\u00fctend"]
    for split in datasets.SPLITS:
        images = [{"bytes": _png(row), "path": None} for row in range(3)]
        table = pandas.DataFrame({"image": images, "label": pandas.Categorical(labels)})
        table.to_parquet(tmp_path / f"{split}.parquet")
    samples = datasets.load(tmp_path, "test")
    assert samples.class_names == ("froh", "w\u00fctend") and samples.labels.tolist() == [1, 0, 1]


def test_text_of_any_type_of_pyarrow_is_a_name(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    texts, contents = ["sun", "moon", "sun"], [b"sun", b"moon", b"sun"]
    for kind, labels in (
        (pyarrow.binary(), contents),
        (pyarrow.binary_view(), contents),
        (pyarrow.string_view(), texts),
    ):
        samples = datasets.load(_three(tmp_path, pyarrow.array(labels, kind), ()), "train")
        assert samples.class_names == ("moon", "sun") and samples.labels.tolist() == [1, 0, 1]


def test_a_type_of_labels_is_refused_where_no_names_are_stated_either(tmp_path: Path) -> None:
    _three(tmp_path, [True, False, True], ())
    with pytest.raises(DataError, match="labels of type bool: expected whole numbers or names"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("stated", [True, False])
def test_a_name_that_stands_twice_is_known_by_its_number_alone(
    stated: bool, tmp_path: Path
) -> None:
    names = ("cat", "dog", "cat")
    _three(tmp_path, [0, 1, 2], names if stated else ())
    (tmp_path / "labels.txt").write_text("\n".join(names))
    if stated:
        (tmp_path / "labels.txt").unlink()
    samples = datasets.load(tmp_path, "train")
    assert samples.class_names == ("cat (0)", "dog", "cat (2)")
    assert samples.labels.tolist() == [0, 1, 2]
    _three(tmp_path, ["dog", "cat", "dog"], names if stated else ())
    with pytest.raises(DataError, match=r"label is 'cat', expected one of the 3 .*0 cat \(0\)"):
        datasets.load(tmp_path, "train")


def test_a_split_without_rows_is_refused(tmp_path: Path) -> None:
    _three(tmp_path, ["sun", "moon"] * 2, ())
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    _parquet(tmp_path / "test.parquet", pyarrow.array([], pyarrow.string()))
    with pytest.raises(DataError, match="The test split of .* has no images: add some, or remove"):
        datasets.load(tmp_path, "test")


def test_a_folder_of_a_split_without_files_is_refused_with_the_reason(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(3 if split == "train" else 0):
                (tmp_path / split / name / f"{number}.png").write_bytes(_png(number))
    with pytest.raises(DataError, match="has no images: .*test.a is a class without images"):
        datasets.load(tmp_path, "test", skip_bad_rows=True)


def test_numbers_without_names_are_offered_a_known_data_set_s(tmp_path: Path) -> None:
    _three(tmp_path, [1, 2, 3, 4, 5, 6, 7], ())
    with pytest.raises(DataError, match="does not name its classes") as raised:
        datasets.load(tmp_path, "train")
    # The order of RAF-DB's own readme.
    known = "RAF-DB numbers 1 surprise, 2 fear, 3 disgust, 4 happy, 5 sad, 6 anger, 7 neutral"
    assert known in str(raised.value) and "labels.txt" in str(raised.value)


def test_a_file_that_declares_more_rows_than_it_can_hold_is_refused_at_once(tmp_path: Path) -> None:
    path = _parquet(tmp_path / "train.parquet", [0], ("sun", "moon"), count=1_000_000)
    assert path.stat().st_size < 100_000
    start = time.perf_counter()
    with pytest.raises(DataError, match="train.parquet has 1,000,000 rows or more in .* bytes, f"):
        datasets.load(tmp_path, "train")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("emotion", ["7", "-1", "3.0", "nan", "", "happy"])
def test_csv_labels_of_no_class_are_named_with_their_row_and_numbering(
    emotion: str, tmp_path: Path
) -> None:
    rows = [f"0,{PIXELS},Training", f"{emotion},{PIXELS},Training"]
    (tmp_path / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    numbering = "0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral"
    with pytest.raises(DataError, match=f"line 3: emotion is '{emotion}', .*{numbering}"):
        datasets.load(tmp_path / "fer2013.csv", "train")


def test_raf_db_s_numbers_are_told_where_a_list_counts_from_0(tmp_path: Path) -> None:
    (tmp_path / "Image" / "aligned").mkdir(parents=True)
    for number in range(7):
        Image.new("L", (4, 4)).save(tmp_path / f"Image/aligned/train_{number}_aligned.png")
    lines = "".join(f"train_{number}.png {number}\n" for number in range(7))
    (tmp_path / "list_patition_label.txt").write_text(lines)
    numbering = "1 surprise, 2 fear, 3 disgust, 4 happy, 5 sad, 6 anger, 7 neutral"
    with pytest.raises(DataError, match=f"line 1: the label is '0', expected 1 to 7 .{numbering}"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("name", ["fer2013:data.csv", "parquet:.", "folder:."])
def test_pipes_are_refused_at_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for pipe in ("data.csv", "train.parquet", "labels.txt"):
        os.mkfifo(tmp_path / pipe)
    for number in range(7):
        (tmp_path / str(number)).mkdir()
        for row in range(3):
            (tmp_path / str(number) / f"{row}.png").write_bytes(_png(row))
    if name == "folder:.":
        assert len(datasets.load(name, "test")) == 7  # labels.txt is passed over
        return
    with pytest.raises(DataError, match="can't be read.*it is no regular file but a"):
        datasets.load(name, "train")
