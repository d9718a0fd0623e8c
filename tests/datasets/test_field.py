"""Situations that people told of in public trackers, see docs/reliability.md, not tested elsewhere.

Each test names the thread that it is from.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.errors import DataError

PIXELS = " ".join(["7"] * 2304)


def _images(folder: Path, values: range, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for value in values:
        Image.new("L", (6, 6), value).save(folder / f"{value:03}{suffix}")


def _two(root: Path) -> Path:
    for number, name in enumerate(("cat", "dog")):
        _images(root / name, range(100 * number, 100 * number + 10))
    return root


def test_suffixes_in_capitals_and_rare_ones_are_read(tmp_path: Path) -> None:
    """huggingface/datasets#4514, keras-team/keras#17182, FlyMyAI/flymyai-lora-trainer#72"""
    suffixes = (".JPEG", ".JPG", ".jpeg", ".tif", ".TIFF", ".webp", ".jfif", ".bmp", ".jp2", ".jpe")
    for name in ("cat", "dog"):
        for number, suffix in enumerate(suffixes):
            _images(tmp_path / name, range(number, number + 1), suffix)
    assert sum(len(datasets.load(tmp_path, split)) for split in datasets.SPLITS) == 20
    assert datasets.passed_over(tmp_path) == ()


def test_images_under_another_format_s_suffix_are_read(tmp_path: Path) -> None:
    """tensorflow/models#2194: PNG and GIF files called .jpg in Oxford-IIIT Pet"""
    _two(tmp_path)
    for name, form in (("png", "PNG"), ("gif", "GIF")):
        Image.new("L", (6, 6), 77).save(tmp_path / "cat" / f"{name}.jpg", form)
    assert sum(len(datasets.load(tmp_path, split)) for split in datasets.SPLITS) == 22


def _gzipped() -> bytes:
    file = io.BytesIO()
    Image.new("L", (6, 6)).save(file, "JPEG")
    return gzip.compress(file.getvalue())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (bytes(4096), "none of .*JPEG.*, or damaged"),  # tensorflow/tensorflow#45019
        (_gzipped(), "a gzip archive: unpack it"),  # nothings/stb#427: 26 of ImageNet's
        (b"../all/12.jpg", "none of .*JPEG"),  # CAMMA-public/Endoscapes#1: links unzipped as text
    ],
)
def test_what_only_has_an_image_s_name_is_named(content: bytes, words: str, tmp_path: Path) -> None:
    (_two(tmp_path) / "cat" / "bad.jpg").write_bytes(content)
    with pytest.raises(DataError, match=f"cat/bad.jpg can't be read as an image: it is {words}"):
        for split in datasets.SPLITS:
            datasets.load(tmp_path, split)
    loaded = [datasets.load(tmp_path, split, skip_bad_rows=True) for split in datasets.SPLITS]
    assert sum(map(len, loaded)) == 20 and sum(len(samples.skipped) for samples in loaded) == 1


def test_a_test_split_without_a_class_keeps_the_numbers_of_the_others(tmp_path: Path) -> None:
    """ultralytics#13936, pytorch-image-models#957: later classes took the number of the missing
    one
    """
    for split in ("train", "val", "test"):
        for number, name in enumerate(("0", "180", "270", "90")):
            if (split, name) != ("test", "180"):
                _images(tmp_path / split / name, range(10 * number, 10 * number + 4))
    with pytest.raises(DataError, match="test has no folder of the class 180, of which there are"):
        datasets.load(tmp_path, "test")
    samples = datasets.load(tmp_path, "test", skip_bad_rows=True)
    assert samples.class_names == ("0", "180", "270", "90")
    assert (samples.labels == samples.images[:, 0, 0, 0] // 10).all() and len(samples) == 12


def test_a_validation_folder_without_classes_stops_the_run(tmp_path: Path) -> None:
    """pytorch-image-models#147 and #1081: ImageNet's val/ as it is downloaded"""
    _two(tmp_path / "train")
    _images(tmp_path / "val", range(20))
    with pytest.raises(DataError, match="val holds images but has no class folders"):
        datasets.load(tmp_path, "train")


def test_images_beside_a_single_folder_are_no_second_class(tmp_path: Path) -> None:
    """huggingface/datasets#5153"""
    _images(tmp_path, range(5))
    _images(tmp_path / "data", range(5))
    with pytest.raises(DataError, match="has 1 class folder with images, expected two or more"):
        datasets.load(tmp_path, "train")


def test_notebooks_checkpoints_are_no_class(tmp_path: Path) -> None:
    """tensorflow/tensorflow#46595, open-mmlab/mmpretrain#507"""
    _images(_two(tmp_path) / ".ipynb_checkpoints", range(5))
    assert datasets.load(tmp_path, "train").class_names == ("cat", "dog")
    assert datasets.passed_over(tmp_path) == ("1 hidden or system item",)


def test_classes_named_in_the_files_names_are_told(tmp_path: Path) -> None:
    """jolibrain/deepdetect#752: dog.0.jpg and cat.1.jpg in one folder"""
    for number in range(4):
        Image.new("L", (6, 6)).save(tmp_path / f"{'cat' if number % 2 else 'dog'}.{number}.jpg")
    with pytest.raises(DataError, match="4 .jpg .*sort images into a folder for each class"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        # omarsayed7/Deep-Emotion#6, #12, #13: the challenge's test.csv and train.csv
        ("pixels", PIXELS, "no column emotion, Usage: expected emotion, pixels, Usage"),
        ("emotion,pixels", f"0,{PIXELS}", "no column Usage"),
        # isseu/emotion-recognition-neural-networks#19: text after the last row
        ("emotion,pixels,Usage", "./fer2013/0000644,a,b,c,d,e", "line 2: Usage is 'b'"),
    ],
)
def test_csv_files_of_other_forms(header: str, row: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text(f"{header}\n{row}\n")
    with pytest.raises(DataError, match=f"train.csv.*{words}"):
        datasets.load(tmp_path / "train.csv", "train")


def test_images_of_a_common_split_come_by_a_link(tmp_path: Path) -> None:
    """fastai/fastai#2270, huggingface/datasets#6853"""
    _two(tmp_path / "valid")
    for name in ("first", "second"):
        _two(tmp_path / name / "train")
        _two(tmp_path / name / "test")
        (tmp_path / name / "valid").symlink_to(tmp_path / "valid")
    samples = datasets.load(tmp_path / "second", "validation")
    assert np.bincount(samples.labels).tolist() == [10, 10]
