"""The file of each row of a table: found by its path, its folders or its name."""

from __future__ import annotations

import numpy as np
import pytest
from table_files import picture, rows, values

from keras_kd import datasets
from keras_kd.errors import DataError


def test_a_table_for_each_split_and_files_found_by_their_name(tmp_path):
    for start, split in ((0, "train"), (50, "test")):
        lines = rows(tmp_path / "pictures" / "deep", ("a", "b"), start, 20)
        if split == "test":  # Competitions leave out suffixes.
            lines = [line.replace(".png", "") for line in lines]
        (tmp_path / f"{split}.csv").write_text("\n".join(["image,class", *lines]))
    train, validation, test = (datasets.load(tmp_path, split) for split in datasets.SPLITS)
    assert np.bincount(validation.labels).tolist() == [2, 2]
    assert sorted(values(train) + values(validation)) == list(range(40))
    assert values(test) == list(range(50, 90))


def test_files_of_the_same_name_are_told_apart_by_their_folders(tmp_path):
    lines = [*rows(tmp_path, ("a",), 0, where="a/"), *rows(tmp_path, ("b",), 0, where="b/")]
    for number in range(3):
        picture(tmp_path / "b" / f"{number}.png", 100 + number)
    lines = [f"elsewhere/{line}".replace(".png", "") for line in lines]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    for split in datasets.SPLITS:
        samples = datasets.load(tmp_path / "labels.csv", split)
        assert samples.labels.tolist() == [0, 1]
        assert [value >= 100 for value in values(samples)] == [False, True]


def test_files_in_several_rows_are_remarked_on(tmp_path):
    lines = rows(tmp_path, ("a", "b"))
    several, differ = "1 file in several rows, 4.png", "the rows of 1 file, 4.png"
    for more, told in (([], []), (["4.png,b"], [several]), (["4.png,a"], [several, differ])):
        written = [*lines, *more]
        (tmp_path / "labels.csv").write_text("\n".join(["file,label", *written]))
        found = datasets.passed_over(tmp_path / "labels.csv")
        assert [line.partition(" first")[0] for line in found] == told


def test_absolute_paths_in_a_table_whose_own_path_is_relative(tmp_path, monkeypatch):
    lines = [f"{tmp_path}/set/{line}" for line in rows(tmp_path / "set", ("a", "b"))]
    (tmp_path / "set" / "all.csv").write_text("\n".join(["file,label", *lines]))
    monkeypatch.chdir(tmp_path)
    assert len(datasets.load("set", "train")) == 2
    (tmp_path / "set" / "all.csv").write_text("file,label\n/etc/passwd,a\n0.png,b\n")
    with pytest.raises(DataError, match="/etc/passwd lies outside of set"):
        datasets.load("set", "train")


def test_composed_letters_of_a_table_are_decomposed_ones_on_disk(tmp_path):
    lines = [line.replace("/", "/\u00fc") for line in rows(tmp_path, "ab", where="u\u0308/")]
    for file in tmp_path.glob("*/*.png"):
        file.rename(file.with_name(f"u\u0308{file.name}"))
    table = "\n".join(["file,label", *lines]).replace("u\u0308", "\u00fc")
    (tmp_path / "all.csv").write_text(table, encoding="utf-8")
    assert len(datasets.load(tmp_path, "train")) == 2


@pytest.mark.parametrize("where", ["/home/other/set/", "C:\\Users\\other\\set\\"])
def test_absolute_paths_of_another_machine_are_found_by_folder_and_name(tmp_path, where):
    lines = rows(tmp_path, "ab", where="train/") + rows(tmp_path, "ab", 10, where="test/")
    paths = [where + line.replace("/", where[-1]) for line in lines]
    (tmp_path / "all.csv").write_text(
        "\n".join(
            [
                "file,label,split",
                *(f"{path},{'train' if 'train' in path else 'test'}" for path in paths),
            ]
        )
    )
    assert values(datasets.load(tmp_path, "test")) == [*range(10, 16)]
    assert len(datasets.load(tmp_path, "train")) + len(datasets.load(tmp_path, "validation")) == 6


@pytest.mark.parametrize("where", ["", "images/"])
def test_files_of_one_name_are_those_of_the_row_s_split(tmp_path, where):
    """Kaggle numbers the images of train/ and test/ alike."""
    for start, split in ((0, "train"), (50, "test")):
        lines = ["file,label"]
        for number, gray in enumerate(range(start, start + 6)):
            picture(tmp_path / where / split / f"{number}.png", gray)
            lines.append(f"{number},{'ab'[number % 2]}")
        (tmp_path / f"{split}.csv").write_text("\n".join(lines))
    assert values(datasets.load(tmp_path, "test")) == [*range(50, 56)]
    (tmp_path / "test.csv").unlink()
    splits = [values(datasets.load(tmp_path, split)) for split in datasets.SPLITS]
    assert sorted(sum(splits, [])) == [*range(6)]
    (tmp_path / where / "train" / "3.png").unlink()
    with pytest.raises(
        DataError, match="line 5: the only file of the name '3' is .*test/3.png, no"
    ):
        datasets.load(tmp_path, "train")


def test_rows_of_validation_may_have_files_in_train(tmp_path):
    for start, split in ((0, "train"), (50, "val")):
        lines = rows(tmp_path / "train", ("a", "b"), start, 10)
        (tmp_path / f"{split}.csv").write_text("\n".join(["file,label", *lines]))
    assert values(datasets.load(tmp_path, "validation")) == [*range(50, 70)]


def test_capitals_of_file_names_may_differ_where_one_file_has_the_name(tmp_path):
    lines = [
        line.replace("deep/", "DEEP/").replace(".png", ".PNG")
        for line in rows(tmp_path, ("a", "b"), where="deep/")
    ]
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
    assert len(datasets.load(tmp_path, "train")) == 2
    picture(tmp_path / "deep" / "more" / "deep" / "0.PNG", 99)  # the exact name goes first
    (tmp_path / "all.csv").write_text("\n".join(["file,label", "0.PNG,a", *lines[1:]]))
    found = [value for split in datasets.SPLITS for value in values(datasets.load(tmp_path, split))]
    assert sorted(found) == [1, 2, 3, 4, 5, 99]
    picture(tmp_path / "deep" / "more" / "deep" / "1.pNg", 98)
    with pytest.raises(DataError, match="line 3: .*has 2 files of the name 'DEEP/1.PNG'"):
        datasets.load(tmp_path, "train")
