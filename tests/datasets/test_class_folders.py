"""Which folders are which splits and classes; what may be read in two ways is told or refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from gray_images import COUNTS, counts, write_images, write_splits

from keras_kd import datasets
from keras_kd.errors import DataError


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Train", "Validation", "Test"),
        ("TRAIN", "VAL", "TESTING"),
        ("training", "dev", "testing"),
        ("train", "Valid", "TEST"),
        ("training_set", "val2017", "seg_test"),
    ],
)
def test_split_folders_are_known_in_any_case(
    train: str, validation: str, test: str, tmp_path: Path
) -> None:
    write_splits(tmp_path, {"train": train, "validation": validation, "test": test})
    assert {split: counts(tmp_path, split) for split in COUNTS} == {
        split: [n, n] for split, n in COUNTS.items()
    }
    assert datasets.passed_over(tmp_path) == ()


def test_splits_without_train_are_no_classes(tmp_path: Path) -> None:
    write_splits(tmp_path, {"validation": "val", "test": "Test"})
    with pytest.raises(DataError, match="has no train folder beside Test, val: add it"):
        datasets.load(tmp_path, "test")


def test_a_folder_within_one_of_its_name_is_the_archive_s(tmp_path: Path) -> None:
    """Kaggle's Intel scenes: seg_train/seg_train/sea"""
    write_splits(tmp_path, {"train": "seg_train/seg_train", "test": "seg_test/seg_test"})
    assert counts(tmp_path, "test") == [4, 4] and counts(tmp_path, "train") == [9, 9]


def test_one_split_given_as_the_data_is_told(tmp_path: Path) -> None:
    write_splits(tmp_path, {"train": "train", "test": "test"})
    line = f"{tmp_path / 'test'} beside it: give {tmp_path} for all splits"
    assert line in datasets.passed_over(tmp_path / "train")


def test_a_folder_that_only_speaks_of_a_split_gives_way_to_the_split_s(tmp_path: Path) -> None:
    write_splits(tmp_path, {"train": "train", "validation": "val", "test": "Test"})
    write_images(tmp_path / "test_results" / "cat", 2)
    assert counts(tmp_path, "test") == [4, 4]
    left = f"2 images in {tmp_path / 'test_results'}, in no class or split"
    assert datasets.passed_over(tmp_path) == (left,)


def test_people_named_as_splits_are_no_splits(tmp_path: Path) -> None:
    for name in ("cat/Val", "cat/anna", "dog/Val", "dog/anna"):
        write_images(tmp_path / name, 10)
    assert counts(tmp_path, "train") == [16, 16]


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("car", "plane", "train"):
        write_images(tmp_path / name, 10)
    assert datasets.load(tmp_path, "train").class_names == ("car", "plane", "train")


def test_splits_without_class_folders_are_no_classes(tmp_path: Path) -> None:
    for name in ("train", "test"):
        write_images(tmp_path / name, 10)
    with pytest.raises(
        DataError, match="has the folders test, train, which are splits without class folders"
    ):
        datasets.load(tmp_path, "train")


def test_splits_inside_of_classes_are_not_mixed(tmp_path: Path) -> None:
    for name in ("cat/train", "cat/test", "dog/train", "dog/test"):
        write_images(tmp_path / name, 5)
    with pytest.raises(
        DataError,
        match="cat has the splits test and train inside: .*turn the folders round, .*test/cat",
    ):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("inner", "words"), [("cat", "is the name of no split"), (".", "has no class folders")]
)
def test_images_that_might_be_a_missing_split_stop_the_run(
    inner: str, words: str, tmp_path: Path
) -> None:
    write_splits(tmp_path, {"train": "train", "test": "test"})
    write_images(tmp_path / "evaluation" / inner, 5)
    with pytest.raises(
        DataError,
        match=f"evaluation holds images but {words}, .*no folder of classes for validation: rename",
    ):
        datasets.load(tmp_path, "train")
    assert counts(tmp_path, "test", skip_bad_rows=True) == [4, 4]
    write_splits(tmp_path, {"validation": "val"})
    assert counts(tmp_path, "test") == [4, 4]
    assert datasets.passed_over(tmp_path) == (
        f"5 images in {tmp_path / 'evaluation'}, in no class or split",
    )


def test_images_in_deeper_folders_belong_to_their_class(tmp_path: Path) -> None:
    for number, name in enumerate(("cat", "dog")):
        write_images(tmp_path / name, 2, 100 * number)
        write_images(tmp_path / name / "anna" / "2024", 5, 100 * number + 10)
        write_images(tmp_path / name / "ben", 3, 100 * number + 20)
    loaded = [datasets.load(tmp_path, split) for split in COUNTS]
    values = sorted(value for samples in loaded for value in samples.images[:, 0, 0, 0].tolist())
    each = [0, 1, *range(10, 15), *range(20, 23)]
    assert values == each + [100 + value for value in each]
    assert all((samples.images[:, 0, 0, 0] // 100 == samples.labels).all() for samples in loaded)
    assert datasets.passed_over(tmp_path) == (
        (
            f"16 images in deeper folders, {tmp_path / 'cat/anna/2024'} for one, count as their"
            " class folder's; those of one folder, of one person perhaps, may fall into several"
            " splits"
        ),
    )


def test_composed_and_decomposed_umlauts_are_one_class(tmp_path: Path) -> None:
    for split, form in (("train", "NFD"), ("val", "NFC"), ("test", "NFC")):
        for number, name in enumerate(("fröhlich", "wütend")):
            write_images(tmp_path / split / unicodedata.normalize(form, name), 3, 10 * number)
    # One class in both writings within a split, as a second archive unpacked over the first leaves
    # it.
    write_images(tmp_path / "train" / unicodedata.normalize("NFC", "wütend"), 2, 50)
    for split, count in (("train", [3, 5]), ("validation", [3, 3]), ("test", [3, 3])):
        samples = datasets.load(tmp_path, split)
        assert samples.class_names == ("fröhlich", "wütend")
        assert all(unicodedata.is_normalized("NFC", name) for name in samples.class_names)
        assert np.bincount(samples.labels).tolist() == count


def test_names_that_mean_the_same_are_one_class_across_splits_and_that_is_told(
    tmp_path: Path,
) -> None:
    write_splits(tmp_path, {"train": "train"}, ("happy", "sad"))
    write_splits(tmp_path, {"validation": "val", "test": "test"}, ("Happiness", "SAD"))
    samples = datasets.load(tmp_path, "test")
    assert samples.class_names == ("happy", "sad") and np.bincount(samples.labels).tolist() == [
        4,
        4,
    ]
    assert f"{tmp_path / 'test/Happiness'} counts as happy" in datasets.passed_over(tmp_path)
    write_images(tmp_path / "test" / "happy", 2)
    with pytest.raises(
        DataError, match="test/Happiness and .*test/happy both mean the class happy"
    ):
        datasets.load(tmp_path, "test")


def test_letters_in_both_cases_stay_two_classes_and_that_is_told(tmp_path: Path) -> None:
    write_splits(tmp_path, {"train": "train", "validation": "val", "test": "test"}, ("A", "a"))
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
    write_splits(
        tmp_path, {"train": "train", "validation": "val", "test": "test"}, tuple("0123456")
    )
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
    names[2] = names[5]  # as ImageNet's labels have crane twice
    (tmp_path / "labels.txt").write_text("\n".join(names) + "\n")
    named = datasets.load(tmp_path, "test")
    assert named.class_names[2] == "surprise (2)" and named.class_names[5] == "surprise (5)"
    np.testing.assert_array_equal(named.labels, samples.labels)
    (tmp_path / "labels.txt").write_text("a\nb\n")
    with pytest.raises(
        DataError, match="labels.txt has 2 lines, .*a name for each of the 7 classes"
    ):
        datasets.load(tmp_path, "test")


def test_numbers_are_named_in_their_order_not_in_the_alphabet_s(tmp_path: Path) -> None:
    write_splits(
        tmp_path,
        {"train": "train", "validation": "val", "test": "test"},
        tuple(map(str, range(12))),
    )
    assert "so output 2 is of 10" in datasets.passed_over(tmp_path)[0]
    (tmp_path / "labels.txt").write_text("".join(f"class {letter}\n" for letter in "abcdefghijkl"))
    samples = datasets.load(tmp_path, "test")
    assert samples.class_names[2] == "class c" and samples.class_names[10] == "class k"
    assert samples.images[samples.labels == 1, 0, 0, 0].tolist() == [20, 21, 22, 23]


@pytest.mark.parametrize("train", ["train", ""])
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("ten 10\ntwo 2\none 1\n", ("ten 10", "two 2", "one 1")),
        ("10 many\n2 few\n1 single\n", ("single", "few", "many")),
        ("10: coins\n2: coins\n1: coin\n", ("1: coin", "2: coins", "10: coins")),
        ("5 cents\n2 cents\n1 cent\n", ("5 cents", "2 cents", "1 cent")),
    ],
)
def test_a_number_before_a_name_is_its_class(
    train: str, lines: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    for value, number in enumerate(("1", "2", "10")):
        write_images(tmp_path / train / number, 3, 20 * value)
    (tmp_path / "labels.txt").write_text(lines)
    samples = datasets.load(tmp_path, "train")
    assert samples.class_names == expected
    np.testing.assert_array_equal(samples.images[:, 0, 0, 0] // 20, samples.labels)
    # It is told no longer that the classes are numbers.
    assert not datasets.passed_over(tmp_path)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (("fold_0", "fold_1", "fold_2"), "which seem to be the classes: call the folders train"),
        (("trn", "vld", "tst"), "which seem to be the classes: call the folders train"),
        ((".", "augmented"), "augmented is no class, its folders cat, dog are called as"),
    ],
)
def test_folders_that_hold_all_classes_are_no_classes(
    parts: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    for number, part in enumerate(parts):
        for name in ("cat", "dog"):
            write_images(tmp_path / part / name, 5, 10 * number)
    with pytest.raises(DataError, match=words):
        datasets.load(tmp_path, "train")


def test_a_folder_that_repeats_the_classes_can_be_passed_over(tmp_path: Path) -> None:
    for part in (".", "augmented"):
        for name in ("cat", "dog"):
            write_images(tmp_path / part / name, 5)
    assert counts(tmp_path, "train", skip_bad_rows=True) == [3, 3]
    left = f"10 images in {tmp_path / 'augmented'}, in no class or split"
    assert datasets.passed_over(tmp_path) == (left,)


def test_which_of_two_layers_of_folders_are_the_classes_is_told(tmp_path: Path) -> None:
    for number, part in enumerate(("day", "night")):
        for name in ("cat", "dog"):
            write_images(tmp_path / part / name, 5, 10 * number)
    (line,) = datasets.passed_over(tmp_path)
    assert "the classes are day, night, each with the folders cat, dog: if those" in line
    write_images(tmp_path / "day", 1, 70)
    (line,) = datasets.passed_over(tmp_path)
    assert "if those" not in line


def test_a_test_folder_whose_labels_are_secret_is_told_as_such(tmp_path: Path) -> None:
    write_splits(tmp_path, {"train": "train", "validation": "val"})
    write_images(tmp_path / "test", 4)
    with pytest.raises(DataError, match="no folder of classes for test: sort it"):
        datasets.load(tmp_path, "train")
    (tmp_path / "test").rename(tmp_path / "images")
    (tmp_path / "test").mkdir()
    (tmp_path / "images").rename(tmp_path / "test" / "images")
    with pytest.raises(DataError, match="images is no class, expected the classes of the train"):
        datasets.load(tmp_path, "train")
