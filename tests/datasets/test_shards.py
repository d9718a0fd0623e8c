"""Shards read in place, against the pictures that were written into them."""

from __future__ import annotations

import io
import os
import re
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import small_shards
from command_line import called
from drawn_film import colour_model
from PIL import Image

from keras_kd import datasets
from keras_kd._common import files
from keras_kd.datasets import splits
from keras_kd.datasets.readers import _shard_files
from keras_kd.errors import DataError

pytest.importorskip("fsspec", reason="needs the extra shards")
pytest.importorskip("pyarrow", reason="needs the extra shards")


@pytest.mark.parametrize("suffix", small_shards.SUFFIXES)
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
    for suffix in small_shards.SUFFIXES:
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
    after = datasets.find(str(folder))[0].shards(folder, False, 16)["train"]
    assert [Path(url).name for url in read] == ["train-9.tar"]
    assert len(after) == len(before.shards) + 5 and after.shards[:4] == before.shards.shards
    # A changed file of the same size is another shard.
    shutil.copy(folder / "train-001.tar", folder / "train-000.tar")
    os.utime(folder / "train-000.tar", (1, 1))
    changed = datasets.find(str(folder))[0].shards(folder, False, 16)["train"]
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
    (tmp_path / "labels.txt").write_text("day\nday\n")
    assert splits.load(str(tmp_path), size=16).class_names == ("day (0)", "day (1)")


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
        (f"{folder}/test*.tar", "no training shard with images"),
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


@pytest.mark.parametrize("suffix", small_shards.SUFFIXES)
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


@pytest.mark.parametrize("skip_bad_rows", [False, True])
def test_labels_that_count_from_1_are_no_rows_to_leave_out(
    tmp_path: Path, skip_bad_rows: bool
) -> None:
    files, _ = small_shards.row_files()
    for split in datasets.SPLITS:
        small_shards.write_files(tmp_path / f"{split}-0.tar", files, ["1", "2"] * 3)
    (tmp_path / "labels.txt").write_text("dark\nbright\n")
    with pytest.raises(DataError, match=r"-0.tar: the class numbers run from 1 to 2, expected"):
        splits.load(f"shards:{tmp_path}", skip_bad_rows)


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
def test_an_image_in_colour_among_gray_ones_of_any_shard_makes_all_rgb(
    tmp_path: Path, skip_bad_rows: bool
) -> None:
    """Behind the first of its shard it ended the training at its row, as the first the start."""
    folder = small_shards.write_splits(tmp_path / "data", ".tar", train=2)
    file = io.BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG")
    shown = small_shards.pictures(4, 9)[0]
    files = [*map(small_shards.png, shown)]
    files[2] = file.getvalue()
    small_shards.write_files(folder / "train-9.tar", files, ["dark", "bright"] * 2)
    # Each size is brought to one, too.
    small_shards.write(folder / "train-8.tar", *small_shards.pictures(3, 0, side=20))
    shards = datasets.find(str(folder))[0].shards(folder, skip_bad_rows, 16)["train"]
    assert [len(shards.read(number)) for number in range(4)] == [24, 24, 3, 4]
    found = shards.read(3).images
    np.testing.assert_array_equal(found[:2], np.repeat(shown[:2], 3, axis=3))
    assert (found[2] == (255, 0, 0)).all() and shards.read(0).images.shape[3] == 3
    (folder / "train-9.tar").unlink()
    gray = datasets.find(str(folder))[0].shards(folder, skip_bad_rows, 16)["train"]
    assert gray.shape == (16, 16, 1)


def test_names_and_numbers_as_labels_are_not_guessed(tmp_path: Path) -> None:
    folder = small_shards.write_splits(tmp_path / "data", ".tar")
    files = [small_shards.png(image) for image in small_shards.pictures(2, 0)[0]]
    small_shards.write_files(folder / "train-9.tar", files, ["0", "1"])
    with pytest.raises(DataError, match=r"names and numbers as labels.*labels\.txt"):
        splits.load(str(folder), size=16)
    (folder / "train-9.tar").rename(folder / "test-9.tar")
    with pytest.raises(DataError, match=r"names and numbers as labels.*labels\.txt"):
        splits.load(str(folder), size=16)
    (folder / "test-9.tar").rename(folder / "train-9.tar")
    (folder / "labels.txt").write_text("dark\nbright\n")
    assert splits.load(str(folder), size=16).shards.counts.sum() == 98
    texts = small_shards.write_splits(tmp_path / "texts", ".parquet")
    small_shards.write_files(texts / "test-9.parquet", files, ["0", "1"])
    with pytest.raises(DataError, match=r"names and numbers as labels.*labels\.txt"):
        splits.load(f"shards:{texts}", size=16)


def test_names_of_a_later_shard_s_metadata_serve_all(tmp_path: Path) -> None:
    for number in range(3):
        files = [small_shards.png(image) for image in small_shards.pictures(2, number)[0]]
        small_shards.write_files(tmp_path / f"train-{number}.parquet", files, [0, 1])
    small_shards.write_metadata(tmp_path / "train-1.parquet", ["night", "day"])
    for place in (f"shards:{tmp_path}", f"shards:{tmp_path}/*.parquet"):
        assert splits.load(place, size=16).class_names == ("night", "day")


@pytest.mark.parametrize("suffix", small_shards.SUFFIXES)
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
    assert datasets.passed_over(str(folder)) == (note,)


def test_a_score_of_shards_tells_what_training_on_them_tells(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Copies of training shards in the test made scores too good without a word."""
    folder = tmp_path / "data"
    for number, split in enumerate(datasets.SPLITS):
        files, _ = small_shards.row_files(number)
        small_shards.write_files(folder / f"{split}-0.tar", [*files, b""], [*"rgrgrgr"])
    shutil.copy(folder / "train-0.tar", folder / "test-0.tar")
    (folder / "notes.bin").touch()
    given = ["--data", f"shards:{folder}", "--range", "0,255", "--skip-bad-rows"]
    assert called("evaluate", str(colour_model(tmp_path)), *given, "--json") == 0
    told = " ".join(capsys.readouterr().err.split())
    notes = splits.load(f"shards:{folder}", skip_bad_rows=True, size=16).passed_over
    assert len(notes) == 2 and f"Notes on the data: {'; '.join(notes)}" in told
    assert told.count("skipped: ") == 1


def test_shards_of_other_splits_alone_are_refused(tmp_path: Path) -> None:
    for number, name in enumerate(("test-0", "validation-0")):
        small_shards.write(tmp_path / f"{name}.tar", *small_shards.pictures(6, number))
    with pytest.raises(DataError, match="no training shard with images: name files after"):
        splits.load(str(tmp_path), size=16)


def test_splits_of_one_class_are_refused(tmp_path: Path) -> None:
    for number in range(12):
        files, _ = small_shards.row_files(number)
        names = [small_shards.NAMES[number % 2]] * 6
        small_shards.write_files(tmp_path / f"part-{number:02d}.tar", files, names)
    with pytest.raises(DataError, match=r"validation shards.*1 of 2 classes: mix"):
        splits.load(str(tmp_path), size=16)
