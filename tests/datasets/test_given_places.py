"""Places given as data: links, folders that can't be read, and what is no data set but named as
what it is.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from gray_images import counts, write_images, write_splits

from keras_kd import datasets
from keras_kd.errors import DataError


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write_images(tmp_path / "store" / "cats", 10)
    (tmp_path / "data" / "dog").mkdir(parents=True)
    write_images(tmp_path / "data" / "dog", 10)
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "store" / "cats")
    (tmp_path / "store" / "cats" / "up").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "dog" / "self").symlink_to(tmp_path / "data" / "dog")
    assert counts(tmp_path / "data", "train") == [8, 8]


def test_a_link_that_leads_nowhere_is_missing_data(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    (tmp_path / "cat" / "lost.png").symlink_to(tmp_path / "annex" / "1.png")
    with pytest.raises(DataError, match="lost.png is a link to .*annex/1.png, where nothing lies"):
        datasets.load(tmp_path, "train")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    (tmp_path / "cat" / "deeper").mkdir(mode=0)
    with pytest.raises(DataError, match=r"cat/deeper can't be read \(Permission denied\)"):
        datasets.load(tmp_path, "train")


def test_folders_nested_beyond_any_path_end_in_a_sentence(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        write_images(tmp_path / name, 10)
    start = os.getcwd()
    try:
        os.chdir(tmp_path / "cat")
        for _ in range(1500):
            os.mkdir("deeper")
            os.chdir("deeper")
    finally:
        os.chdir(start)
    try:
        with pytest.raises(
            DataError, match=r"can't be read \(File name too long\): check the path"
        ):
            datasets.load(tmp_path, "train")
    finally:
        subprocess.run(["rm", "-r", str(tmp_path / "cat")], check=True)  # Python's rmtree recurses


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("photos.zip", "it is an archive: unpack it and give the folder"),
        ("face.jpg", "it is one image: give a folder of class folders, or .* `kerakd predict`"),
        ("notes.docx", "a file of another kind"),
        ("digits.npz", "it holds arrays of NumPy: save its images as files in a folder for each"),
        ("d/test_batch", "test_batch is not read: it is pickled, which may run code"),
        ("cifar.pkl", "it is pickled, which may run code: save its images as files"),
        ("d/a/1.dcm", "1.dcm is not read: it is a medical image: save it as PNG"),
        (
            "d/dataset_dict.json",
            "is not read: it is Hugging Face's own form on disk: load it there",
        ),
        ("d/cars.mat", "cars.mat is not read: it is a MATLAB file: save its images as files"),
        ("test.parquet", "it is one Parquet file: give its folder"),
        ("d/data.parquet", "for each class; .*data.parquet is not read: call it train.parquet"),
        ("d/cat.zip", "for each class; .*cat.zip is not read: unpack it into a folder of its name"),
    ],
)
def test_other_things_given_as_data_are_told_apart(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"\x80" if name.endswith("batch") else b"x")
    given = tmp_path / name.partition("/")[0]
    with pytest.raises(DataError, match=f"{given} has none of the known forms .*{words}"):
        datasets.load(given, "train")


def test_images_without_class_folders_are_told(tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    with pytest.raises(
        DataError, match="it holds 3 .png and no folders, but no images in class folders: sort"
    ):
        datasets.load(tmp_path, "train")


def test_what_has_a_known_form_inside_is_named(tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv").write_text("emotion,pixels,Usage\n")
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(DataError, match="it holds .*fer2013.csv of the form fer2013: give that"):
        datasets.load(tmp_path, "train")


def test_a_folder_around_the_data_is_named(tmp_path: Path) -> None:
    write_splits(tmp_path / "archive", {"train": "train", "test": "test"})
    with pytest.raises(
        DataError, match="archive has the splits test and train inside: give .*archive if it"
    ):
        datasets.load(tmp_path, "train")
