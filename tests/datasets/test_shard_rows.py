"""What a shard's rows hold: columns, samples and records of other layouts than expected."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_shards
from parquet_files import described

from keras_kd import datasets
from keras_kd.datasets import decoding, splits
from keras_kd.datasets.inspection import inspect
from keras_kd.datasets.readers import _shard_rows
from keras_kd.errors import DataError

pytest.importorskip("fsspec", reason="needs the extra shards")
pytest.importorskip("pyarrow", reason="needs the extra shards")


@pytest.mark.parametrize("names", ["img pixels", "img labels"])
def test_other_columns_serve_where_metadata_tells_them(tmp_path: Path, names: str) -> None:
    import pyarrow
    import pyarrow.parquet

    image, label = names.split()
    kinds = {
        image: {"_type": "Image"},
        label: {"_type": "ClassLabel", "names": ["night", "day"]},
        "id": {"_type": "Value", "dtype": "int64"},
    }
    for seed, split in enumerate(("train", "validation", "test")):
        contents = [{"bytes": file, "path": None} for file in small_shards.row_files(seed)[0] * 10]
        table = pyarrow.table({image: contents, label: [0, 1] * 30, "id": range(60)})
        file = tmp_path / f"{split}.parquet"
        pyarrow.parquet.write_table(described(table, kinds), file)
    for form in ("shards", "parquet"):
        data = splits.load(f"{form}:{tmp_path}", size=16)
        assert data.class_names == ("night", "day")
        assert data.counts()["train"] == {"night": 30, "day": 30}
    table = table.append_column("coarse", table[label])
    kinds["coarse"] = kinds[label]
    pyarrow.parquet.write_table(described(table, kinds), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="no column label: expected.*received.*coarse"):
        splits.load(f"shards:{tmp_path}", size=16)


@pytest.mark.parametrize(
    ("image", "label", "words"),
    [
        ([[1, 2], [3, 4]], "dark", "images as list.*not pixels"),
        (
            {"bytes": None, "path": "a.png"},
            "dark",
            r"row 0 \(the path 'a\.png' without.*can't be read",
        ),
        (b"", [0, 1], "several labels a row"),
        (b"", {"id": 1}, "labels of type struct"),
        (b"", True, "labels of type bool"),
        (b"", None, "has no labels: expected a class in the column label of each row"),
    ],
    ids=["pixels", "path", "list", "struct", "bool", "none"],
)
def test_columns_of_other_types_are_told(
    tmp_path: Path, image: object, label: object, words: str
) -> None:
    import pyarrow
    import pyarrow.parquet

    images = [image or small_shards.png(small_shards.pictures(1)[0][0])] * 20
    for number in range(3):
        table = pyarrow.table({"image": images, "label": [label] * 20})
        if label is None:
            table = table.set_column(1, "label", pyarrow.nulls(20, pyarrow.int64()))
        pyarrow.parquet.write_table(table, tmp_path / f"train-{number}.parquet")
    with pytest.raises(DataError, match=words):
        splits.load(f"shards:{tmp_path}", size=16)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("{0}.png {0}.txt", r"no labels, its first row is 0 with png, txt.*\.cls, or"),
        ("dark/{0}.png", r"no labels, its first row is dark/0 with png.*unpack it and give the"),
        ("img.{0}.png img.{0}.cls", r"row 0 \(img with 0\.png, 0\.cls.*can't be read"),
        ("{0}.npy {0}.cls", r"row 0 \(0 with npy, cls\) can't be read"),
        ("{0}.png {0}.cls {0}.png", r"has 0\.png twice"),
        ("{0}.png {0}.cls all.png", r"has all\.png twice|sample all in two places"),
        ("{0}.png {0}.json", r"has no labels, its first row is 0 with png, json"),
    ],
)
def test_samples_of_other_layouts_are_told(tmp_path: Path, lines: str, words: str) -> None:
    content = {"png": small_shards.row_files()[0][0], "cls": b"dark", "json": b'{"class": 3}'}
    for number in range(3):
        small_shards.write_members(
            tmp_path / f"train-{number}.tar",
            [
                (name, content.get(name.rpartition(".")[2], b"other"))
                for row in range(3)
                for name in lines.format(row).split()
            ],
        )
    with pytest.raises(DataError, match=words):
        splits.load(str(tmp_path), size=16)


def test_a_samples_json_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each pass over a shard parsed it for the label and again for persons."""
    members = []
    for row, file in enumerate(small_shards.row_files()[0]):
        about = json.dumps({"label": "ab"[row % 2], "subject": f"p{row}"}).encode()
        members += [(f"{row}.png", file), (f"{row}.json", about)]
    small_shards.write_members(tmp_path / "a.tar", members)
    parsed = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    found = [*_shard_rows.rows(tmp_path / "a.tar", str(tmp_path / "a.tar"))]
    assert [(row.label, row.groups) for row in found] == [
        ("ab"[row % 2], {"subject": f"p{row}"}) for row in range(6)
    ]
    assert len(parsed) == 6


def test_labels_in_json_and_fields_with_dots_are_read_and_other_files_passed_over(
    tmp_path: Path,
) -> None:
    for number in range(3):
        members = [("README.md", b"Faces."), ("labels.txt", b"dark\nbright\n")]
        for row, (file, name) in enumerate(zip(*small_shards.row_files(number), strict=True)):
            about = json.dumps({"label": name, "width": 16}).encode()
            members += [(f"./{row}.left.png", file), (f"./{row}.json", about)]
        small_shards.write_members(tmp_path / f"{number}.tar", members)
    data = splits.load(str(tmp_path), size=16)
    assert data.counts()["train"] == {"bright": 3, "dark": 3}
    np.testing.assert_array_equal(data.shards.read(0).images, small_shards.pictures(6, 2)[0])


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"a.png": b"x", "a.jpg": b"y", "a.cls": b"0"}, "a with png, jpg, cls has several images"),
        ({"a.png": b"x", "a.json": b"[" * 100_000}, "its JSON is damaged"),
    ],
)
def test_samples_that_could_be_read_in_two_ways_or_not_are_told(
    members: dict[str, bytes], told: str, tmp_path: Path
) -> None:
    for number in range(3):
        small_shards.write_members(tmp_path / f"{number}.tar", list(members.items()))
    with pytest.raises(DataError, match=told):
        splits.load(str(tmp_path), size=16)


@pytest.mark.skipif("HEIF" in decoding.formats(), reason="this installation reads HEIC")
def test_an_image_that_this_installation_can_not_read_is_told(tmp_path: Path) -> None:
    about = json.dumps({"label": "dark"}).encode()
    for number in range(3):
        members = [("b.heic", b"x"), ("b.json", about)]
        for row, (file, name) in enumerate(zip(*small_shards.row_files(number), strict=True)):
            about = json.dumps({"label": name}).encode()
            members += [(f"{row}.png", file), (f"{row}.json", about)]
        small_shards.write_members(tmp_path / f"{number}.tar", members)
    with pytest.raises(DataError, match="b with heic, json"):
        splits.load(str(tmp_path), size=16)


def test_a_label_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = small_shards.row_files()[0][0]
    for number in range(3):
        small_shards.write_members(
            tmp_path / f"{number}.tar", [("a.png", file), ("a.cls", "Ärger".encode("cp1252"))]
        )
    with pytest.raises(DataError, match=r"0\.tar, a with png, cls has a label that is no UTF-8"):
        splits.load(str(tmp_path), size=16)


def test_several_labels_in_a_record_are_told(tmp_path: Path) -> None:
    import tensorflow as tf

    file = tf.train.Feature(bytes_list=tf.train.BytesList(value=[small_shards.row_files()[0][0]]))
    marks = tf.train.Feature(int64_list=tf.train.Int64List(value=[0, 1]))
    share = tf.train.Feature(float_list=tf.train.FloatList(value=[1.0]))
    for wrong, words in (
        ({"label": marks}, "row 0 has 2 whole numbers or names"),
        ({"label": share}, "row 0 has 0 whole numbers or names"),
        ({"target": marks}, "no labels, its first row is with the features image, target"),
    ):
        example = tf.train.Example(features=tf.train.Features(feature={"image": file, **wrong}))
        for number in range(3):
            with tf.io.TFRecordWriter(str(tmp_path / f"{number}.tfrecord")) as writer:
                writer.write(example.SerializeToString())
        with pytest.raises(DataError, match=words):
            splits.load(str(tmp_path), size=16)


def test_kaggles_tfrec_files_are_found_by_their_folder(tmp_path: Path) -> None:
    """As of its flowers, whose classes stand in the feature class."""
    import tensorflow as tf

    for number, split in enumerate(datasets.SPLITS):
        (tmp_path / split).mkdir()
        with tf.io.TFRecordWriter(str(tmp_path / split / "00-16x16-6.tfrec")) as writer:
            for row, file in enumerate(small_shards.row_files(number)[0]):
                values = {"image": [file], "id": [b"10a"]}
                features = {
                    name: tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
                    for name, value in values.items()
                }
                marked = tf.train.Int64List(value=[row % 2])
                features["class"] = tf.train.Feature(int64_list=marked)
                example = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(example.SerializeToString())
    (tmp_path / "labels.txt").write_text("daisy\nrose\n")
    test = datasets.load(tmp_path, "test", size=16)
    assert test.class_names == ("daisy", "rose") and test.labels.tolist() == [0, 1] * 3
    np.testing.assert_array_equal(test.images, small_shards.pictures(6, 2)[0])


def test_a_row_of_a_path_among_contents_is_told_at_the_start_or_left_out(tmp_path: Path) -> None:
    """Training read it in its first epoch."""
    import pyarrow
    import pyarrow.parquet

    for number in range(3):
        files, names = small_shards.row_files(number)
        images = [{"bytes": file, "path": None} for file in files]
        images[4] = {"bytes": None, "path": "/data/a.png"}
        table = pyarrow.table({"image": images, "label": names})
        pyarrow.parquet.write_table(table, tmp_path / f"{number}.parquet")
    told = r"0\.parquet, row 4 \(the path '/data/a\.png' without the file's content\)"
    with pytest.raises(DataError, match=told):
        splits.load(f"shards:{tmp_path}", size=16)
    data = splits.load(f"shards:{tmp_path}", skip_bad_rows=True, size=16)
    assert data.shards.rows.tolist() == [5] and len(data.train.skipped) == 1


def _tar(path: Path, files: list[bytes], names: list[str], persons: list) -> None:
    members = []
    for row, (file, name, person) in enumerate(zip(files, names, persons, strict=True)):
        about = json.dumps({"label": name, "subjectId": person, "age": 3}).encode()
        # The class also stands alone, beside JSON that says who it is.
        alone = [(f"{row}.cls", name.encode())] * (row % 2)
        members += [(f"{row}.png", file), *alone, (f"{row}.json", about)]
    small_shards.write_members(path, members)


def _parquet(path: Path, files: list[bytes], names: list[str], persons: list) -> None:
    import pyarrow
    import pyarrow.parquet

    columns = {"image": files, "label": names, "subjectId": persons, "age": [3] * len(files)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def _tfrecord(path: Path, files: list[bytes], names: list[str], persons: list) -> None:
    import tensorflow as tf

    def feature(value: bytes | int | None) -> tf.train.Feature:
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        values = [value] * (value is not None)
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for file, name, person in zip(files, names, persons, strict=True):
            fields = {"image": file, "label": name.encode(), "subjectId": person, "age": 3}
            features = {name: feature(value) for name, value in fields.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


@pytest.mark.parametrize("write", [_tar, _parquet, _tfrecord])
def test_persons_in_the_shards_of_several_splits_are_told(write: Callable, tmp_path: Path) -> None:
    persons = {"train": [1, 2, 3, 1, 2, 3], "validation": [4, None] * 3, "test": [3, 5, None] * 2}
    suffix = {_tar: ".tar", _parquet: ".parquet", _tfrecord: ".tfrecord"}[write]
    for split, own in persons.items():
        write(tmp_path / f"{split}-0{suffix}", *small_shards.row_files(), own)
    (line,) = splits.load(f"shards:{tmp_path}", size=16).passed_over
    assert line.startswith("1 of 5 values of subjectId, 3 first, stand in several splits")
    assert inspect(f"shards:{tmp_path}")["passed_over"] == [line]
    # The index that was kept tells it, too; splits that are held out are of whole shards.
    for file in sorted(tmp_path.iterdir()):
        file.rename(tmp_path / f"part-{file.name.partition('-')[0][1:]}{suffix}")
    assert line in splits.load(f"shards:{tmp_path}", size=16).passed_over
