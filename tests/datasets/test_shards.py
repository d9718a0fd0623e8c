"""Shards read in place, against the pictures that were written into them."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import small_shards
from command_line import called
from fuzz_bombs import masked_checksum
from PIL import Image

from keras_kd import datasets
from keras_kd._common import files
from keras_kd.datasets import images, splits
from keras_kd.datasets.readers import _shard_files, _shard_rows
from keras_kd.errors import DataError

pytest.importorskip("fsspec", reason="needs the extra shards")
pytest.importorskip("pyarrow", reason="needs the extra shards")
SUFFIXES = (".parquet", ".tar", ".tfrecord")


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAKD_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_form_gives_what_was_written(tmp_path: Path, suffix: str) -> None:
    folder = small_shards.write_splits(tmp_path / "data", suffix)
    data = splits.load(f"shards:{folder}", size=16)
    assert data.shards is not None and len(data.shards) == data.training_images == 4 * 24
    assert data.class_names == tuple(sorted(small_shards.NAMES))
    for number in range(4):
        images, labels = small_shards.pictures(24, number)
        found = data.shards.read(number)
        np.testing.assert_array_equal(found.images, images)
        np.testing.assert_array_equal(found.labels, 1 - labels)  # bright comes first
        some = data.shards.read(number, np.array([3, 20]))
        np.testing.assert_array_equal(some.images, images[[3, 20]])
    np.testing.assert_array_equal(data.test.images, small_shards.pictures(24, 5)[0])
    every = np.concatenate([small_shards.pictures(24, number)[1] for number in range(4)])
    assert data.counts()["train"] == {"bright": every.sum(), "dark": (every == 0).sum()}


def test_all_forms_have_the_same_images_and_a_folder_of_tar_files_needs_no_name(
    tmp_path: Path,
) -> None:
    found = []
    for suffix in SUFFIXES:
        folder = small_shards.write_splits(tmp_path / suffix[1:], suffix)
        path = f"shards:{folder}" if suffix == ".parquet" else str(folder)
        found.append(datasets.load(path, "train", size=16))
    for other in found[1:]:
        np.testing.assert_array_equal(other.images, found[0].images)
        np.testing.assert_array_equal(other.labels, found[0].labels)


def test_a_second_start_reads_new_shards_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    before = splits.load(str(folder), size=16)
    read = []
    on_disk = _shard_files.on_disk
    monkeypatch.setattr(_shard_files, "on_disk", lambda url: read.append(url) or on_disk(url))
    small_shards.write(folder / "train-9.tar", *small_shards.pictures(5, 99))
    after = datasets.find(str(folder))[0].training_shards(folder, False, 16)
    assert [Path(url).name for url in read] == ["train-9.tar"]
    assert len(after) == len(before.shards) + 5 and after.shards[:4] == before.shards.shards
    # A changed file of the same size is another shard.
    shutil.copy(folder / "train-001.tar", folder / "train-000.tar")
    os.utime(folder / "train-000.tar", (1, 1))
    changed = datasets.find(str(folder))[0].training_shards(folder, False, 16)
    assert changed.shards[0].content == before.shards.shards[1].content


def test_shards_may_be_indexed_by_two_processes_at_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".parquet")
    # As the other process does, which takes this one's new file for a leftover.
    monkeypatch.setattr(files, "forced", lambda path: path.unlink())
    assert splits.load(f"shards:{folder}", size=16).training_images == 4 * 24


def test_whole_shards_are_held_out_where_names_tell_no_split(tmp_path: Path) -> None:
    for number in range(11):
        small_shards.write(
            tmp_path / "data" / f"part-{number:02d}.tar", *small_shards.pictures(6, number)
        )
    data = splits.load(str(tmp_path / "data"), size=16)
    np.testing.assert_array_equal(
        data.validation.images,
        np.concatenate([small_shards.pictures(6, number)[0] for number in (0, 10)]),
    )
    np.testing.assert_array_equal(data.test.images, small_shards.pictures(6, 1)[0])
    assert len(data.shards) == 8 * 6


def test_a_url_and_a_pattern_are_read(tmp_path: Path) -> None:
    import fsspec

    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    here = datasets.load(str(folder), "train", size=16)
    by_pattern = datasets.load(f"{folder}/*-0*.tar", "train", size=16)
    np.testing.assert_array_equal(by_pattern.images, here.images)
    store = fsspec.filesystem("memory")
    for file in folder.iterdir():
        store.pipe(f"/bucket/faces/{file.name}", file.read_bytes())
    data = splits.load("memory://bucket/faces", size=16)
    assert data.shards.shards[0].url == "memory:///bucket/faces/train-000.tar"
    np.testing.assert_array_equal(data.shards.all().images, here.images)


def test_numbers_need_names_beside(tmp_path: Path) -> None:
    for number in range(3):
        images, labels = small_shards.pictures(6, number)
        files = [small_shards.png(image) for image in images]
        numbers = [str(label) for label in labels]
        small_shards.write_files(tmp_path / f"{number}.tar", files, numbers)
    with pytest.raises(DataError, match=r"labels\.txt"):
        splits.load(str(tmp_path), size=16)
    (tmp_path / "labels.txt").write_text("night\nday\n")
    assert splits.load(str(tmp_path), size=16).class_names == ("night", "day")
    (tmp_path / "labels.txt").write_text("night\nday\ndusk\n")
    assert splits.load(str(tmp_path), size=16).shards.counts[2] == 0


def test_bad_rows_are_named_or_left_out(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    images, _ = small_shards.pictures(4, 50)
    files = [small_shards.png(image) for image in images]
    small_shards.write_files(folder / "train-bad.tar", [*files[:3], b"no image"], ["dark"] * 4)
    with pytest.raises(DataError, match=r"train-bad\.tar, row 3.*can't be read"):
        splits.load(str(folder), size=16)
    skipping = splits.load(str(folder), skip_bad_rows=True, size=16)
    np.testing.assert_array_equal(skipping.shards.read(4).images, images[:3])
    assert len(skipping.train.skipped) == 1 and "row 3" in skipping.train.skipped[0]


def test_what_can_not_be_read_is_said_in_one_sentence(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    for path, words in (
        (f"shards:{tmp_path / 'nothing'}", "No data at"),
        ("nosuchstore://bucket/faces", "nosuchstore"),
        (f"{folder}/*.parquet", "No .parquet, .tar or .tfrecord files"),
        (f"{folder}/train*.tar", "too few"),
        (f"{folder}/train-{{000..007}}.tar", "write * in place of {first..last}"),
    ):
        with pytest.raises(DataError, match=re.escape(words)):
            splits.load(path, size=16)
    file = folder / "train-000.tar"
    file.write_bytes(file.read_bytes()[: 9 * 512 + 100])
    with pytest.raises(DataError, match=r"train-000\.tar"):
        splits.load(str(folder), size=16)


def test_a_tar_file_that_was_not_written_to_its_end_is_told(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    file = folder / "train-000.tar"
    with tarfile.open(file) as archive:
        end = archive.getmembers()[10].offset
    # Python's reader takes the end of the file for that of the archive.
    file.write_bytes(file.read_bytes()[:end])
    with pytest.raises(DataError, match=r"train-000\.tar is damaged.*cut short.*replace"):
        splits.load(str(folder), size=16)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_shard_that_is_gone_when_it_is_read_is_told(tmp_path: Path, suffix: str) -> None:
    folder = small_shards.write_splits(tmp_path / "data", suffix, rows=4)
    shards = splits.load(f"shards:{folder}", size=16).shards
    (folder / f"train-002{suffix}").unlink()
    with pytest.raises(DataError, match=rf"train-002\{suffix} can't be read.*check it"):
        shards.read(2)


@pytest.mark.parametrize("form", ["shards", "parquet"])
def test_a_file_that_is_missing_by_its_number_is_noted(tmp_path: Path, form: str) -> None:
    for number in (0, 1, 3, 4):
        file = tmp_path / f"train-{number:05d}-of-00005.parquet"
        small_shards.write(file, *small_shards.pictures(12, number))
    missing = tmp_path / "train-00002-of-00005.parquet"
    lines = (f"4 of 5 files are there, {missing} is not",)
    found = splits.load(f"{form}:{tmp_path}", size=16).passed_over
    assert tuple(line.partition(":")[0] for line in found) == lines
    small_shards.write(missing, *small_shards.pictures(12, 2))
    assert not splits.load(f"{form}:{tmp_path}", size=16).passed_over


def test_names_that_differ_by_a_capital_are_noted(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", rows=4)
    files = [small_shards.png(picture) for picture in small_shards.pictures(2)[0]]
    small_shards.write_files(folder / "train-9.tar", files, ["Dark", "bright"])
    found = splits.load(str(folder), size=16)
    assert found.passed_over == ("Dark and dark are different classes here",)


def test_inspect_counts_every_image(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    assert called("data", "inspect", str(folder)) == 0
    assert "96" in capsys.readouterr().out


def test_shards_whose_names_tell_no_split_are_not_lost_beside_others(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    small_shards.write(folder / "more-0.tar", *small_shards.pictures(6, 50))
    with pytest.raises(DataError, match="1 whose names tell no split.*more-0.tar.*call them train"):
        splits.load(f"shards:{folder}", False, None)


def test_shards_that_name_their_classes_differently_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for number, names in enumerate((["dark", "bright"], ["bright", "dark"], ["dark", "bright"])):
        path = folder / f"train-{number}.parquet"
        files = [small_shards.png(image) for image in small_shards.pictures(20, number)[0]]
        small_shards.write_files(path, files, [0, 1] * 10)
        small_shards.write_metadata(path, names)
    for form in ("shards", "parquet"):
        with pytest.raises(DataError, match="names its classes.*expected one list in one order"):
            splits.load(f"{form}:{folder}", False, None)


def test_a_shard_that_was_replaced_by_one_of_as_many_rows_is_told(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    data = splits.load(str(folder), size=16)
    shutil.copy(folder / "train-001.tar", folder / "train-000.tar")
    with pytest.raises(DataError, match=r"train-000\.tar changed since it was indexed"):
        data.shards.read(0)


def test_rows_that_are_used_are_part_of_a_shard_s_identity(tmp_path: Path) -> None:
    images, _ = small_shards.pictures(6, 0)
    files = [small_shards.png(image) for image in images]
    for number in range(3):
        names = ["dark", "bright", "dim"] * 2
        small_shards.write_files(tmp_path / "data" / f"{number}.tar", files, names)
    found = {}
    for names in ("dark bright", "dark dim", "dim dark"):
        (tmp_path / "data" / "labels.txt").write_text(names.replace(" ", "\n"))
        shards = splits.load(str(tmp_path / "data"), skip_bad_rows=True, size=16).shards
        assert shards.rows.tolist() == [4]
        found[names] = shards.image_fingerprint(0)
    # Two rows of three, but not the same ones; the order of classes moves no image.
    assert found["dark bright"] != found["dark dim"] == found["dim dark"]


@pytest.mark.parametrize("skip_bad_rows", [False, True])
def test_a_shard_in_colour_among_gray_ones_is_told_at_once(
    tmp_path: Path, skip_bad_rows: bool
) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG")
    small_shards.write_files(folder / "train-9.tar", [file.getvalue()], ["dark"])
    with pytest.raises(DataError, match=r"train-9\.tar holds images in colour.*train-000\.tar"):
        datasets.find(str(folder))[0].training_shards(folder, skip_bad_rows, 16)
    # Gray among colours loses nothing, and each size is brought to one.
    (folder / "train-9.tar").rename(folder / "train-0.tar")
    small_shards.write(folder / "train-8.tar", *small_shards.pictures(3, 0, side=20))
    shards = datasets.find(str(folder))[0].training_shards(folder, skip_bad_rows, 16)
    assert shards.read(1).images.shape == (24, 16, 16, 3)
    assert shards.read(5).images.shape == (3, 16, 16, 3)


def test_names_and_numbers_as_labels_are_not_guessed(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    files = [small_shards.png(image) for image in small_shards.pictures(2, 0)[0]]
    small_shards.write_files(folder / "train-9.tar", files, ["0", "1"])
    with pytest.raises(DataError, match=r"names and numbers as labels.*labels\.txt"):
        splits.load(str(folder), size=16)
    (folder / "labels.txt").write_text("dark\nbright\n")
    assert splits.load(str(folder), size=16).shards.counts.sum() == 98


def test_names_of_a_later_shard_s_metadata_serve_all(tmp_path: Path) -> None:
    for number in range(3):
        files = [small_shards.png(image) for image in small_shards.pictures(2, number)[0]]
        small_shards.write_files(tmp_path / f"train-{number}.parquet", files, [0, 1])
    small_shards.write_metadata(tmp_path / "train-1.parquet", ["night", "day"])
    for place in (f"shards:{tmp_path}", f"shards:{tmp_path}/*.parquet"):
        assert splits.load(place, size=16).class_names == ("night", "day")


def _row_files(seed: int = 0) -> tuple[list[bytes], list[str]]:
    pictures, _ = small_shards.pictures(6, seed)
    return [small_shards.png(picture) for picture in pictures], ["dark", "bright"] * 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_shards_without_images_are_noted(tmp_path: Path, suffix: str) -> None:
    folder = small_shards.write_splits(tmp_path / "data", suffix, rows=6)
    small_shards.write_files(folder / f"train-9{suffix}", [], [])
    data = splits.load(f"shards:{folder}", size=16)
    assert data.training_images == 24
    assert data.passed_over == (f"{folder}/train-9{suffix}: without images",)


def test_shards_of_the_same_bytes_are_noted(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", rows=6)
    shutil.copy(folder / "train-000.tar", folder / "test-0.tar")
    (note,) = splits.load(str(folder), size=16).passed_over
    assert re.search(r"test-0\.tar of test and \S*train-000\.tar of train: .*bytes", note)


def test_splits_of_one_class_are_refused(tmp_path: Path) -> None:
    for number in range(12):
        files, _ = _row_files(number)
        names = [small_shards.NAMES[number % 2]] * 6
        small_shards.write_files(tmp_path / f"part-{number:02d}.tar", files, names)
    with pytest.raises(DataError, match=r"validation shards.*1 of 2 classes: mix"):
        splits.load(str(tmp_path), size=16)


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
    told = {"huggingface": json.dumps({"info": {"features": kinds}})}
    for seed, split in enumerate(("train", "validation", "test")):
        contents = [{"bytes": file, "path": None} for file in _row_files(seed)[0] * 10]
        table = pyarrow.table({image: contents, label: [0, 1] * 30, "id": range(60)})
        file = tmp_path / f"{split}.parquet"
        pyarrow.parquet.write_table(table.replace_schema_metadata(told), file)
    for form in ("shards", "parquet"):
        data = splits.load(f"{form}:{tmp_path}", size=16)
        assert data.class_names == ("night", "day")
        assert data.counts()["train"] == {"night": 30, "day": 30}
    table = table.append_column("coarse", table[label])
    kinds["coarse"] = kinds[label]
    told = {"huggingface": json.dumps({"info": {"features": kinds}})}
    pyarrow.parquet.write_table(table.replace_schema_metadata(told), tmp_path / "train.parquet")
    with pytest.raises(DataError, match="no column label: expected.*received.*coarse"):
        splits.load(f"shards:{tmp_path}", size=16)


@pytest.mark.parametrize(
    ("image", "label", "words"),
    [
        ([[1, 2], [3, 4]], "dark", "images as list.*paths or pixels"),
        ({"bytes": None, "path": "a.png"}, "dark", "images as struct.*paths or pixels"),
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
        ("dark/{0}.png", r"no labels, its first row is dark/0 with png"),
        ("img.{0}.png img.{0}.cls", r"row 0 \(img with 0\.png, 0\.cls.*can't be read"),
        ("{0}.npy {0}.cls", r"row 0 \(0 with npy, cls\) can't be read"),
        ("{0}.png {0}.cls {0}.png", r"has 0\.png twice"),
        ("{0}.png {0}.cls all.png", r"has all\.png twice|sample all in two places"),
        ("{0}.png {0}.json", r"has no labels, its first row is 0 with png, json"),
    ],
)
def test_samples_of_other_layouts_are_told(tmp_path: Path, lines: str, words: str) -> None:
    content = {"png": _row_files()[0][0], "cls": b"dark", "json": b'{"class": 3}'}
    for number in range(3):
        _write_tar(
            tmp_path / f"train-{number}.tar",
            [
                (name, content.get(name.rpartition(".")[2], b"other"))
                for row in range(3)
                for name in lines.format(row).split()
            ],
        )
    with pytest.raises(DataError, match=words):
        splits.load(str(tmp_path), size=16)


def _write_tar(path: Path, members: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_labels_in_json_and_fields_with_dots_are_read_and_other_files_passed_over(
    tmp_path: Path,
) -> None:
    for number in range(3):
        members = [("README.md", b"Faces."), ("labels.txt", b"dark\nbright\n")]
        for row, (file, name) in enumerate(zip(*_row_files(number), strict=True)):
            about = json.dumps({"label": name, "width": 16}).encode()
            members += [(f"./{row}.left.png", file), (f"./{row}.json", about)]
        _write_tar(tmp_path / f"{number}.tar", members)
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
        _write_tar(tmp_path / f"{number}.tar", list(members.items()))
    with pytest.raises(DataError, match=told):
        splits.load(str(tmp_path), size=16)


@pytest.mark.skipif("HEIF" in images.formats(), reason="this installation reads HEIC")
def test_an_image_that_this_installation_can_not_read_is_told(tmp_path: Path) -> None:
    about = json.dumps({"label": "dark"}).encode()
    for number in range(3):
        members = [("b.heic", b"x"), ("b.json", about)]
        for row, (file, name) in enumerate(zip(*_row_files(number), strict=True)):
            about = json.dumps({"label": name}).encode()
            members += [(f"{row}.png", file), (f"{row}.json", about)]
        _write_tar(tmp_path / f"{number}.tar", members)
    with pytest.raises(DataError, match="b with heic, json"):
        splits.load(str(tmp_path), size=16)


def test_a_label_that_is_no_text_is_told(tmp_path: Path) -> None:
    file = _row_files()[0][0]
    for number in range(3):
        _write_tar(
            tmp_path / f"{number}.tar", [("a.png", file), ("a.cls", "Ärger".encode("cp1252"))]
        )
    with pytest.raises(DataError, match=r"0\.tar, a with png, cls has a label that is no UTF-8"):
        splits.load(str(tmp_path), size=16)


def test_a_tar_file_with_a_damaged_or_an_appended_part_is_told(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=2)
    file = folder / "train-000.tar"
    whole = file.read_bytes()
    with tarfile.open(file) as archive:
        header = archive.getmembers()[10].offset
    # Python's reader takes either for the end of the archive.
    for content in (whole[:header] + b"\xff" * 100 + whole[header + 100 :], whole + whole):
        file.write_bytes(content)
        with pytest.raises(DataError, match=r"train-000\.tar is damaged after byte.*replace it"):
            splits.load(str(folder), size=16)


@pytest.mark.parametrize("size", [2**40, 2**62, images.MAX_BYTES + 1])
@pytest.mark.parametrize("packed", [False, True])
def test_a_record_that_declares_more_than_an_image_holds_is_refused(
    size: int, packed: bool, tmp_path: Path
) -> None:
    """TensorFlow takes that much memory, and ended the process (SIGSEGV)."""
    folder = small_shards.write_splits(tmp_path / "data", ".tfrecord", train=1)
    path = folder / "train-000.tfrecord"
    whole, length = path.read_bytes(), size.to_bytes(8, "little")
    # What the test computes is what TensorFlow wrote.
    assert masked_checksum(whole[:8]) == whole[8:12]
    content = whole + length + masked_checksum(length) + bytes(100)
    path.unlink()
    if packed:
        path = path.with_name(f"{path.name}.gz")
        content = gzip.compress(content)
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"is damaged .a record declares {size:,} bytes.: replace"):
        splits.load(f"shards:{folder}", size=16)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (tarfile.GNUTYPE_LONGNAME, "names or attributes of 2,000,000 bytes"),
        (tarfile.XHDTYPE, "names or attributes of 2,000,000 bytes"),
        (tarfile.GNUTYPE_SPARSE, "a member with holes: write the archive without"),
    ],
)
def test_headers_that_grow_without_bound_are_refused(
    kind: bytes, message: str, tmp_path: Path
) -> None:
    """Packed, a few kB of them are any number of bytes, which Python's reader takes at once."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    path = folder / "train-000.tar"
    for before in (path.read_bytes()[: 2 * tarfile.BLOCKSIZE], b""):
        member = tarfile.TarInfo("./@LongLink")
        member.type, member.size = kind, 2_000_000
        header = member.tobuf(tarfile.GNU_FORMAT)
        path.unlink(missing_ok=True)
        path.with_name("train-000.tar.gz").write_bytes(
            gzip.compress(before + header + bytes(2_000_384))
        )
        with pytest.raises(DataError, match=f"train-000.tar.gz is damaged .{message}"):
            splits.load(str(folder), size=16)


def test_a_sample_of_many_large_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a sample is in memory at once, and packed zeros take no room in the file."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    monkeypatch.setattr(images, "MAX_BYTES", 10_000)
    with tarfile.open(folder / "train-000.tar", "a") as archive:
        for number in range(3):
            member = tarfile.TarInfo(f"x.{number}")
            member.size = 4_000
            archive.addfile(member, io.BytesIO(bytes(4_000)))
    with pytest.raises(DataError, match=r"x\.2 and what belongs to it are 12,000 bytes long"):
        splits.load(str(folder), size=16)


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_headers_of_headers_are_refused(kind: bytes, tmp_path: Path) -> None:
    """Python's reader calls itself for each; it ended in a traceback."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    member = tarfile.TarInfo("x")
    member.type, content = kind, b"11 path=ab\n"
    member.size = len(content)
    header = member.tobuf(tarfile.GNU_FORMAT) + content.ljust(tarfile.BLOCKSIZE, b"\0")
    (folder / "train-000.tar").write_bytes(header * 3000)
    with pytest.raises(DataError, match="train-000.tar is damaged .maximum recursion depth"):
        splits.load(str(folder), size=16)


def test_a_map_of_holes_that_stands_in_a_member_is_refused(tmp_path: Path) -> None:
    """Packed, 18 kB of it took 230 MB."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=1)
    facts = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "2"}
    # One part of two bytes, from byte 0 on.
    content = b"1\n0\n2\n".ljust(tarfile.BLOCKSIZE, b"\0") + b"ab"
    with tarfile.open(folder / "train-000.tar", "a", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("x.cls")
        member.size, member.pax_headers = len(content), facts
        archive.addfile(member, io.BytesIO(content))
    with tarfile.open(folder / "train-000.tar") as archive:
        assert archive.extractfile("x.cls").read() == b"ab"  # Python's reader knows it
    with pytest.raises(DataError, match="a member with holes: write the archive without"):
        splits.load(str(folder), size=16)


def test_members_that_are_no_samples_take_no_memory(tmp_path: Path) -> None:
    """Packed, a few kB are any number of them."""
    path = tmp_path / "train-0.tar"
    folder = tarfile.TarInfo("a")
    folder.type = tarfile.DIRTYPE
    path.write_bytes(folder.tobuf() * 5000 + bytes(2 * tarfile.BLOCKSIZE))
    tracemalloc.start()
    try:
        assert not list(_shard_rows.rows(path, str(path)))
        assert tracemalloc.get_traced_memory()[1] < 2e6  # megabytes more if all are kept
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"), (b"<html>", "of HTML")],
)
def test_a_packed_record_file_that_is_something_else_is_told(
    content: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "train-0.tfrecord.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        list(_shard_rows.rows(path, str(path)))


def test_several_labels_in_a_record_are_told(tmp_path: Path) -> None:
    import tensorflow as tf

    file = tf.train.Feature(bytes_list=tf.train.BytesList(value=[_row_files()[0][0]]))
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


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_pointer_of_git_lfs_is_told(tmp_path: Path, suffix: str) -> None:
    folder = small_shards.write_splits(tmp_path / "data", suffix, train=2, rows=6)
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"
    (folder / f"train-001{suffix}").write_text(text)
    with pytest.raises(DataError, match=rf"train-001\{suffix}.*Git LFS pointer"):
        splits.load(f"shards:{folder}", size=16)
