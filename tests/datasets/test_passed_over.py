"""What lies in a data set's folder and is not read is told; what may be read in two ways is told or
refused.
"""

from __future__ import annotations

import os
import subprocess
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from PIL import Image

from keras_kd import datasets
from keras_kd.datasets.inspection import inspect
from keras_kd.errors import DataError

COUNTS = {"train": 10, "validation": 3, "test": 4}


def _images(folder: Path, count: int, start: int = 0, suffix: str = ".png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        Image.new("L", (6, 6), number).save(folder / f"{number}{suffix}")


def _splits(root: Path, names: dict[str, str], classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Split folders of the given names, COUNTS images in each of their classes."""
    for split, name in names.items():
        for number, class_name in enumerate(classes):
            _images(root / name / class_name, COUNTS[split], 20 * number)
    return root


def _counts(root: Path, split: str, **options: bool) -> list[int]:
    return np.bincount(datasets.load(root, split, **options).labels).tolist()


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Validation", "Test"),
        ("TRAIN", "VAL", "TESTING"),
        ("training", "dev", "testing"),
        ("train", "Valid", "TEST"),
    ],
)
def test_split_folders_are_known_in_any_case(
    train: str, validation: str, test: str, tmp_path: Path
) -> None:
    _splits(tmp_path, {"train": train, "validation": validation, "test": test})
    assert {split: _counts(tmp_path, split) for split in COUNTS} == {
        split: [n, n] for split, n in COUNTS.items()
    }
    assert datasets.passed_over(tmp_path) == ()


def test_splits_without_train_are_no_classes(tmp_path: Path) -> None:
    _splits(tmp_path, {"validation": "val", "test": "Test"})
    with pytest.raises(DataError, match="has no train folder beside Test, val: add it"):
        datasets.load(tmp_path, "test")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("car", "plane", "train"):
        _images(tmp_path / name, 10)
    assert datasets.load(tmp_path, "train").class_names == ("car", "plane", "train")


def test_splits_without_class_folders_are_no_classes(tmp_path: Path) -> None:
    for name in ("train", "test"):
        _images(tmp_path / name, 10)
    with pytest.raises(
        DataError, match="has the folders test, train, which are splits without class folders"
    ):
        datasets.load(tmp_path, "train")


def test_splits_inside_of_classes_are_not_mixed(tmp_path: Path) -> None:
    for name in ("cat/train", "cat/test", "dog/train", "dog/test"):
        _images(tmp_path / name, 5)
    with pytest.raises(
        DataError, match="cat has the split test inside: .*turn the folders round, .*test/cat"
    ):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("inner", "words"), [("cat", "is the name of no split"), (".", "has no class folders")]
)
def test_images_that_might_be_a_missing_split_stop_the_run(
    inner: str, words: str, tmp_path: Path
) -> None:
    _splits(tmp_path, {"train": "train", "test": "test"})
    _images(tmp_path / "evaluation" / inner, 5)
    with pytest.raises(
        DataError, match=f"evaluation holds images but {words}, .*no folder for validation: rename"
    ):
        datasets.load(tmp_path, "train")
    assert _counts(tmp_path, "test", skip_bad_rows=True) == [4, 4]
    _splits(tmp_path, {"validation": "val"})
    assert _counts(tmp_path, "test") == [4, 4]
    assert datasets.passed_over(tmp_path) == (
        f"5 images in {tmp_path / 'evaluation'}, in no class or split",
    )


def test_images_in_deeper_folders_belong_to_their_class(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        _images(tmp_path / name, 2, 100 * number)
        _images(tmp_path / name / "anna" / "2024", 5, 100 * number + 10)
        _images(tmp_path / name / "ben", 3, 100 * number + 20)
    loaded = [datasets.load(tmp_path, split) for split in COUNTS]
    values = sorted(value for samples in loaded for value in samples.images[:, 0, 0, 0].tolist())
    each = [0, 1, *range(10, 15), *range(20, 23)]
    assert values == each + [100 + value for value in each]
    assert all((samples.images[:, 0, 0, 0] // 100 == samples.labels).all() for samples in loaded)
    assert datasets.passed_over(tmp_path) == (
        f"16 images lie in deeper folders, {tmp_path / 'cat/anna/2024'} for one",
    )


def test_composed_and_decomposed_umlauts_are_one_class(tmp_path: Path) -> None:
    for split, form in (("train", "NFD"), ("val", "NFC"), ("test", "NFC")):
        for number, name in enumerate(("fröhlich", "wütend")):
            _images(tmp_path / split / unicodedata.normalize(form, name), 3, 10 * number)
    # One class in both writings within a split, as a second archive unpacked over the first leaves
    # it.
    _images(tmp_path / "train" / unicodedata.normalize("NFC", "wütend"), 2, 50)
    for split, count in (("train", [3, 5]), ("validation", [3, 3]), ("test", [3, 3])):
        samples = datasets.load(tmp_path, split)
        assert samples.class_names == ("fröhlich", "wütend")
        assert all(unicodedata.is_normalized("NFC", name) for name in samples.class_names)
        assert np.bincount(samples.labels).tolist() == count


def test_names_that_mean_the_same_are_one_class_across_splits_and_that_is_told(
    tmp_path: Path,
) -> None:
    _splits(tmp_path, {"train": "train"}, ("happy", "sad"))
    _splits(tmp_path, {"validation": "val", "test": "test"}, ("Happiness", "SAD"))
    samples = datasets.load(tmp_path, "test")
    assert samples.class_names == ("happy", "sad") and np.bincount(samples.labels).tolist() == [
        4,
        4,
    ]
    assert f"{tmp_path / 'test/Happiness'} counts as happy" in datasets.passed_over(tmp_path)
    _images(tmp_path / "test" / "happy", 2)
    with pytest.raises(
        DataError, match="test/Happiness and .*test/happy both mean the class happy"
    ):
        datasets.load(tmp_path, "test")


def test_letters_in_both_cases_stay_two_classes_and_that_is_told(tmp_path: Path) -> None:
    _splits(tmp_path, {"train": "train", "validation": "val", "test": "test"}, ("A", "a"))
    samples = datasets.load(tmp_path, "test")
    assert samples.class_names == ("A", "a") and samples.images[:, 0, 0, 0].tolist() == [
        0,
        1,
        2,
        3,
        20,
        21,
        22,
        23,
    ]
    assert datasets.passed_over(tmp_path) == ("A and a are different classes here",)


def test_numbered_classes_are_offered_the_names_of_known_data_sets(tmp_path: Path) -> None:
    _splits(tmp_path, {"train": "train", "validation": "val", "test": "test"}, tuple("0123456"))
    line = datasets.passed_over(tmp_path)[0]
    assert "the classes are numbers" in line and "labels.txt" in line
    # The order of Kaggle's fer2013.csv, as its data page gives it.
    assert (
        "FER2013 numbers 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, 6 neutral" in line
    )
    names = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    (tmp_path / "labels.txt").write_text("\n".join(names) + "\n", encoding="utf-8-sig")
    samples = datasets.load(tmp_path, "test")
    assert samples.class_names == tuple(names)
    assert samples.images[:, 0, 0, 0].tolist() == [20 * n + k for n in range(7) for k in range(4)]
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(
        DataError, match="labels.txt has 2 lines, .*a name for each of the 7 class folders"
    ):
        datasets.load(tmp_path, "test")


def test_numbers_are_named_in_their_order_not_in_the_alphabet_s(tmp_path: Path) -> None:
    _splits(
        tmp_path,
        {"train": "train", "validation": "val", "test": "test"},
        tuple(map(str, range(12))),
    )
    assert "so output 2 is of 10" in datasets.passed_over(tmp_path)[0]
    (tmp_path / "labels.txt").write_text("".join(f"class {letter}\n" for letter in "abcdefghijkl"))
    samples = datasets.load(tmp_path, "test")
    assert samples.class_names[2] == "class c" and samples.class_names[10] == "class k"
    assert samples.images[samples.labels == 1, 0, 0, 0].tolist() == [20, 21, 22, 23]


def test_what_is_not_read_is_listed_by_kind_and_count(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("cat", "dog"):
        _images(tmp_path / name, 10)
    for name in ("a.HEIC.txt", "b.txt", "c.psd", "noted"):
        (tmp_path / "cat" / name).write_text("x")
    _images(tmp_path, 3)
    (tmp_path / "Thumbs.db").touch()
    (tmp_path / ".DS_Store").touch()
    _images(tmp_path / "__MACOSX" / "cat", 4)
    (tmp_path / "dog" / "._1.png").write_bytes(b"\0\5\26\7")
    (tmp_path / "dog" / "again").symlink_to(tmp_path)
    lines = (
        f"3 images in {tmp_path}, in no class or split",
        f"{tmp_path / 'dog/again'}, a link to a folder above it",
        "2 .txt files",
        "1 .psd files",
        "1 files without a suffix",
        "4 hidden or system entries",
    )
    assert datasets.passed_over(tmp_path) == lines
    assert len(datasets.load(tmp_path, "train")) == 16
    assert called("data", "inspect", str(tmp_path)) == 0
    shown = capsys.readouterr().out
    assert all(f"note: {line}" in shown for line in lines)


def test_what_is_done_with_images_is_counted(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        _images(tmp_path / name, 10)
    Image.new("RGBA", (6, 6)).save(tmp_path / "cat" / "hole.png")
    assert inspect(tmp_path)["traits"] == {"transparency, shown on white": 1}


@pytest.mark.parametrize("where", ["run", "runs/1", "cat/run"])
def test_results_of_a_run_are_no_class(where: str, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        _images(tmp_path / name, 10)
    _images(tmp_path / where, 5)
    (tmp_path / where / "config.toml").write_text("student = 'B'\n")
    assert datasets.load(tmp_path, "train").class_names == ("cat", "dog")
    assert len(datasets.load(tmp_path, "train")) == 16
    assert datasets.passed_over(tmp_path) == (
        f"the folder {tmp_path / where}, which holds results of a run",
    )


def test_a_run_within_its_own_data_leaves_results_out_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for name in ("cat", "dog", "results/first"):
        _images(tmp_path / name, 10)
    (tmp_path / "results" / "first" / "metrics.json").write_text("{}")
    # Stopped by the teacher that is missing, once the data are read.
    ends = [
        "--teacher",
        str(tmp_path / "none.keras"),
        "--out",
        str(tmp_path / "results" / "second"),
    ]
    assert called("distill", "--student", "C", "--data", str(tmp_path), *ends) == 2
    told = capsys.readouterr().err
    assert "16 train, 2 validation, 2 test images of 2 classes" in told
    first, second = tmp_path / "results" / "first", tmp_path / "results" / "second"
    each = "the folder {}, which holds results of a run"
    assert f"Notes on the data: {each.format(first)}; {each.format(second)}" in told


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    _images(tmp_path / "store" / "cats", 10)
    (tmp_path / "data" / "dog").mkdir(parents=True)
    _images(tmp_path / "data" / "dog", 10)
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "store" / "cats")
    (tmp_path / "store" / "cats" / "up").symlink_to(tmp_path / "store")
    (tmp_path / "data" / "dog" / "self").symlink_to(tmp_path / "data" / "dog")
    assert _counts(tmp_path / "data", "train") == [8, 8]


def test_a_link_that_leads_nowhere_is_missing_data(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        _images(tmp_path / name, 10)
    (tmp_path / "cat" / "lost.png").symlink_to(tmp_path / "annex" / "1.png")
    with pytest.raises(DataError, match="lost.png does not exist"):
        datasets.load(tmp_path, "train")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        _images(tmp_path / name, 10)
    (tmp_path / "cat" / "deeper").mkdir(mode=0)
    with pytest.raises(DataError, match=r"cat/deeper can't be read \(Permission denied\)"):
        datasets.load(tmp_path, "train")


def test_folders_nested_beyond_any_path_end_in_a_sentence(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        _images(tmp_path / name, 10)
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
    ],
)
def test_other_things_given_as_data_are_told_apart(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=f"{name} has none of the known forms .*{words}"):
        datasets.load(tmp_path / name, "train")


def test_images_without_class_folders_are_told(tmp_path: Path) -> None:
    _images(tmp_path, 3)
    with pytest.raises(
        DataError, match="it holds 3 .png and no folders, but no images in class folders: sort"
    ):
        datasets.load(tmp_path, "train")


def test_a_folder_around_the_data_is_named(tmp_path: Path) -> None:
    _splits(tmp_path / "archive", {"train": "train", "test": "test"})
    with pytest.raises(DataError, match="archive"):
        datasets.load(tmp_path, "train")
