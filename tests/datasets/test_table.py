from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.errors import DataError


def picture(path, value, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (9, 7), value if mode == "L" else (value, 0, 0)).save(path)


def rows(folder, labels, start=0, count=3, where=""):
    """`count` lines a label, `FILE,LABEL`, and their pictures of gray values from `start` on."""
    lines = []
    for label in labels:
        for _ in range(count):
            picture(folder / where / f"{start}.png", start)
            lines.append(f"{where}{start}.png,{label}")
            start += 1
    return lines


def values(samples):
    return samples.images[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_table_with_splits_in_any_order_and_spelling(tmp_path, delimiter):
    words = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
    lines = ["id,Label, File_Name ,Usage"]
    for place, (split, word) in enumerate(words.items()):
        own = rows(tmp_path, ("dog", "cat"), 10 * place, where=f"images/{split}/")
        lines += [",".join(("7", *reversed(line.split(",")), word)) for line in own]
    table = tmp_path / ("all.tsv" if delimiter == "\t" else "all.csv")
    table.write_text("\ufeff" + "\r\n".join(lines).replace(",", delimiter), encoding="utf-8")
    for path in (table, tmp_path):
        for place, split in enumerate(words):
            samples = datasets.load(path, split)
            assert samples.class_names == ("cat", "dog")
            assert values(samples) == [10 * place + number for number in range(6)]
            assert samples.labels.tolist() == [1, 1, 1, 0, 0, 0]
            assert samples.images.shape == (6, 64, 64, 1)
    assert not datasets.passed_over(tmp_path)


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


def test_metadata_beside_the_images_of_each_split(tmp_path):
    for start, split in ((0, "train"), (50, "validation"), (100, "test")):
        lines = rows(tmp_path / split, ("a", "b"), start)
        (tmp_path / split / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    assert values(datasets.load(tmp_path, "validation")) == list(range(50, 56))


def test_numbers_are_classes_in_their_order_or_by_their_names(tmp_path):
    lines = rows(tmp_path, ("10.0", "9", "2"))
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    assert datasets.load(tmp_path, "train").class_names == ("2", "9", "10")
    for path in (tmp_path, tmp_path / "labels.csv"):
        assert any("classes are numbers" in line for line in datasets.passed_over(path))
    (tmp_path / "labels.txt").write_text("two\nnine\nten\n")
    named = datasets.load(tmp_path, "train")
    assert named.class_names == ("two", "nine", "ten") and set(named.labels) == {0, 1, 2}
    # The first three rows, of which one is left for train, are of class 10.
    assert values(named)[named.labels.tolist().index(2)] < 3
    (tmp_path / "labels.txt").write_text("two\ncrane\ncrane\n")
    twice = datasets.load(tmp_path, "train")
    assert twice.class_names == ("two", "crane (1)", "crane (2)")
    np.testing.assert_array_equal(twice.labels, named.labels)
    (tmp_path / "labels.txt").write_text("two\nnine\n")
    with pytest.raises(DataError, match=r"labels\.txt has 2 lines.*each of the 3 classes 2, 9, 10"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("none.png,a", r"line 8: .* has no file of the name 'none\.png'"),
        ("same.png,a", "line 8: .* has 2 files of the name"),
        ("0.png,", "line 8: the label is missing"),
        ("../outside.png,a", "line 8: .*lies outside of"),
        (",a", "line 8: .* has no file of the name ''"),
        ("three/same.png,a", "line 8: .* has no file of the name 'three/same.png'"),
        ("0.png,b, bad", "line 8: 3 cells for 2 columns: put a cell that holds a separator in"),
    ],
)
def test_a_row_without_an_image_or_class_is_named_or_passed_over(tmp_path, line, words):
    picture(tmp_path / "outside.png", 0)
    data = tmp_path / "data"
    for folder in ("one", "two"):
        picture(data / folder / "same.png", 0)
    lines = [*rows(data, ("a", "b")), line]
    (data / "labels.csv").write_text("\n".join(["file,label", *lines]))
    with pytest.raises(DataError, match=words):
        datasets.load(data / "labels.csv", "train")
    samples = datasets.load(data / "labels.csv", "train", skip_bad_rows=True)
    assert len(samples) == 2 and len(samples.skipped) == 1


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        (
            {"one.csv": "file,label\n0.png,a\n"},
            "fewer than two classes in its training rows, .'a'.",
        ),
        ({"test.csv": "file,label\n0.png,a\n"}, "rows of the splits test: expected train"),
        ({"one.csv": "file,label,split\n0.png,a,first\n"}, "rows of the splits first"),
        ({"one.csv": "file,label\n", "two.csv": "path,class\n"}, "the tables one.csv, two.csv"),
        ({"one.csv": "file,name\n"}, "none of the known forms"),
        ({"one.csv": "file,label,label\n0.png,a,b\n"}, "2 columns label in its first line: keep"),
        ({"one.csv": "file,label\n"}, "has no rows: add one for each image"),
        ({"one.csv": "file,label\n1,0.png,a\n"}, "line 2: 3 cells for 2 columns"),
        ({"one.csv": "file,label,split\n0.png,a,\n"}, r"rows of the splits '' .empty.: expected"),
    ],
)
def test_tables_that_do_not_say_enough_are_refused(tmp_path, tables, words):
    picture(tmp_path / "0.png", 0)
    for name, content in tables.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("where", ["", "train"])
def test_class_folders_beside_tables_stay_class_folders(tmp_path, where):
    for place, name in enumerate(("a", "b")):
        rows(tmp_path / where / name, ("x",), 10 * place, 4)
    for table in ("list.csv", "other.csv"):
        (tmp_path / table).write_text("file,label\na/0.png,c\n")
    assert datasets.load(tmp_path, "train").class_names == ("a", "b")


def test_a_column_of_splits_goes_before_the_tables_name(tmp_path):
    lines = [f"{line},val" for line in rows(tmp_path, ("a", "b"))]
    lines += [f"{line},other" for line in rows(tmp_path, ("a", "b"), 50)]
    table = tmp_path / "training_data.csv"
    table.write_text("\n".join(["file,label,split", *lines, ",,"]))
    assert values(datasets.load(table, "validation")) == list(range(6))
    assert min(values(datasets.load(table, "train"))) >= 50


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


def test_a_split_of_bad_rows_alone_is_told(tmp_path):
    lines = [f"{line},train" for line in rows(tmp_path, ("a", "b"))]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,split", *lines, "x.png,a,test"]))
    with pytest.raises(DataError, match="None of 1 rows.*line 8: .* no file of the name 'x.png'"):
        datasets.load(tmp_path, "test", skip_bad_rows=True)


def test_files_in_several_rows_are_remarked_on(tmp_path):
    lines = rows(tmp_path, ("a", "b"))
    for written, told in ((lines, []), ([*lines, "4.png,a"], ["1 file in several rows, 4.png"])):
        (tmp_path / "labels.csv").write_text("\n".join(["file,label", *written]))
        found = datasets.passed_over(tmp_path / "labels.csv")
        assert [line.partition(" first")[0] for line in found] == told


def test_class_names_that_differ_by_a_capital_are_remarked_on(tmp_path):
    lines = rows(tmp_path, ("Cat", "cat"))
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    found = datasets.passed_over(tmp_path / "labels.csv")
    assert found == ("Cat and cat are different classes here",)


def test_a_class_without_any_file_is_refused_and_a_name_too_long_is_a_bad_row(
    tmp_path,
):
    lines = [*rows(tmp_path, ("a", "b")), "x" * 300 + ".png,a"]
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
    assert len(datasets.load(tmp_path, "train", skip_bad_rows=True).skipped) == 1
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines, "y.png,c"]))
    with pytest.raises(DataError, match="no training image of the class c that can be found"):
        datasets.load(tmp_path, "train", skip_bad_rows=True)


def test_of_several_columns_the_first_is_taken_and_that_is_told(tmp_path):
    lines = [f"{line},old,train,test" for line in rows(tmp_path, ("a", "b"))]
    (tmp_path / "all.csv").write_text("\n".join(["file,category,label,set,split", *lines]))
    assert datasets.load(tmp_path, "train").class_names == ("a", "b")
    assert list(datasets.passed_over(tmp_path)) == [
        "all.csv is read by its column category, which stands before label",
        "all.csv is read by its column set, which stands before split",
    ]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (("-1", "1", "0"), ("0", "1")),
        (("nan", "1.0", "0.0"), ("0", "1")),
        (("-1.00", "1.00", "10"), ("1", "10")),
        (("-1", "1.0", "x"), ("-1", "1.0", "x")),
        (("1", "01", "2"), ("01", "1", "2")),
    ],
)
def test_labels_that_stand_for_none_and_numbers_among_words(tmp_path, labels, names):
    lines = rows(tmp_path, labels)
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
    samples = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert samples.class_names == names and len(samples.skipped) == 3 * (3 - len(names))
    if samples.skipped:
        with pytest.raises(DataError, match="line 2: the label is missing .or nan, or -1 among"):
            datasets.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (('"1,0"', '"0,0"', '"0,00"'), ("0", "1")),
        (('"1,000"', "0", '"2,5"'), ("0", "1,000", "2,5")),
    ],
)
def test_labels_with_a_decimal_comma_are_whole_numbers(tmp_path, labels, names):
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *rows(tmp_path, labels)]))
    assert datasets.load(tmp_path, "train").class_names == names


def test_labels_that_may_stand_for_none_or_be_one_number_are_remarked_on(tmp_path):
    for labels, words in (
        (("None", "a"), "class None may stand"),
        (("<NA>", "a"), "class <NA> may stand"),
        (("1", "01"), "01 and 1 are"),
        (("“cat”", "dog"), "class “cat” has quotation marks"),
        (("“cat”", "cat"), "cat and “cat” are different classes here"),
    ):
        lines = rows(tmp_path, labels)
        (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
        assert any(words in line for line in datasets.passed_over(tmp_path))


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


@pytest.mark.parametrize(
    ("other", "header"), [("other.csv", "img,breed"), ("train.csv", "file,label")]
)
def test_a_table_that_is_not_read_beside_another_is_told(tmp_path, other, header):
    lines = rows(tmp_path, ("a", "b"))
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
    before = datasets.passed_over(tmp_path)
    (tmp_path / other).write_text("\n".join([header, *lines[1:]]))
    read, left = ("train.csv", "all.csv") if other == "train.csv" else ("all.csv", other)
    columns = "file, label" if left == "all.csv" else "img, breed"
    told = f"the table {left} with the columns {columns} is not read, beside {read}: give it"
    assert not any("beside" in line for line in before)
    assert any(line.startswith(told) for line in datasets.passed_over(tmp_path))


def test_labels_txt_of_class_folders_is_noted_only_where_it_is_not_read(tmp_path):
    (tmp_path / "labels.txt").write_text("one\ntwo\n")
    for first, noted in (("1", False), ("a", True)):
        for name in (first, "2"):
            picture(tmp_path / name / "0.png", 0)
        lines = datasets.passed_over(tmp_path)
        assert any(".txt file" in line for line in lines) == noted


def test_columns_that_splits_may_depend_on_are_told(tmp_path):
    lines = [f"{line},{n % 2},p{n % 3},{n}" for n, line in enumerate(rows(tmp_path, "ab"))]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,is_test,subject_id,id", *lines]))
    assert datasets.passed_over(tmp_path) == (
        "all.csv: the column is_test is not read, so no split is taken from it",
        "all.csv: the column subject_id is not read: images of one subject_id may fall into"
        " several splits",
    )
    # Who has all splits keeps persons apart, or does not.
    parts = [
        f"{line},p,{split}" for split in ("train", "val", "test") for line in rows(tmp_path, "ab")
    ]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,person,split", *parts]))
    assert datasets.passed_over(tmp_path)[0] == (
        "1 of 1 values of the column person, p first, stand in several splits: scores are of some"
        " that were trained on"
    )
    apart = [line.replace(",p,", f",{line.rpartition(',')[2]},") for line in parts]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,person,split", *apart]))
    assert not any("person" in line for line in datasets.passed_over(tmp_path))


@pytest.mark.parametrize("name", ["patientId", "PersonID", "personid", "Session ID", "user"])
def test_columns_of_persons_are_known_however_they_are_written(tmp_path, name):
    lines = [f"{line},p{n % 3},{n}" for n, line in enumerate(rows(tmp_path, "ab"))]
    (tmp_path / "all.csv").write_text("\n".join([f"file,label,{name},grid", *lines]))
    told = datasets.passed_over(tmp_path)
    assert told == (
        f"all.csv: the column {name} is not read: images of one {name} may fall into several"
        " splits",
    )


def test_persons_in_the_tables_of_two_splits_are_told(tmp_path):
    for start, split, persons in ((0, "train", "ABCD"), (50, "test", "DE")):
        lines = rows(tmp_path, "ab", start, 10)
        lines = [f"{line},{persons[n % len(persons)]}" for n, line in enumerate(lines)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["file,label,subject", *lines]))
    assert any(
        "1 of 5 values of the column subject, D first, stand in several" in line
        for line in datasets.passed_over(tmp_path)
    )


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


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("filename,w,h\n0.png,9,7\n", "labels.csv is not read: .*received filename, w, h"),
        ("file,label\n0.png,w\xfctend\n", "labels.csv, .*: not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_a_table_that_is_not_read_is_named_where_its_folder_is_refused(tmp_path, table, words):
    rows(tmp_path, "ab", where="images/")
    (tmp_path / "labels.csv").write_text(table, encoding="latin-1")
    with pytest.raises(DataError, match=words):
        datasets.load(tmp_path, "train")


def test_hugging_face_s_metadata_in_json_lines(tmp_path):
    for start, split in ((0, "train"), (50, "test")):
        lines = rows(tmp_path / split, ("wütend", "froh"), start, 10)
        pairs = (line.split(",") for line in lines)
        (tmp_path / split / "metadata.jsonl").write_text(
            "\n\n".join(
                json.dumps({"text": None, "file_name": file, "label": label, "boxes": [1, 2]})
                for file, label in pairs
            ),
            encoding="utf-8-sig",
        )
    test = datasets.load(tmp_path, "test")
    assert test.class_names == ("froh", "wütend")
    assert values(test) == [*range(50, 70)] and test.labels.tolist() == [1] * 10 + [0] * 10
    assert datasets.passed_over(tmp_path) == ()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"file_name": "0.png", "label": ["a", "b"]}', "line 7 has several values as its label"),
        ('{"file_name": "0.png", "label": "a"', "line 7: not one JSON object a line"),
        ('["0.png", "a"]', "line 7: not one JSON object a line"),
        ('{"file_name": "0.png"}', "line 7: the label is missing"),
        ('{"file_name": null, "label": "a"}', "line 7: .*has no file of the name ''"),
    ],
)
def test_a_bad_line_of_json_is_named(tmp_path, line, words):
    pairs = [one.split(",") for one in rows(tmp_path, ("a", "b"))]
    lines = [json.dumps({"file_name": file, "label": label}) for file, label in pairs]
    (tmp_path / "metadata.jsonl").write_text("\n".join([*lines, line]))
    with pytest.raises(DataError, match=words):
        datasets.load(tmp_path, "train")


def test_metadata_in_the_only_folder(tmp_path):
    lines = rows(tmp_path / "images", ("a", "b"))
    (tmp_path / "images" / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    assert len(datasets.load(tmp_path, "train")) == 2
    # Class folders beside a table stay class folders.
    for name in ("cat", "dog"):
        rows(tmp_path / "images" / name, "x")
    with pytest.raises(DataError, match="images if its folders are the classes"):
        datasets.load(tmp_path, "train")


def test_a_table_beside_one_folder_that_is_sorted_into_classes(tmp_path):
    lines = ["file,label,split"]
    for start, split in ((0, "train"), (50, "validation"), (70, "test")):
        for name in ("b", "a"):
            own = rows(tmp_path, (name,), start, where=f"images/{name}/{split}/")
            lines += [f"{line},{split}" for line in own]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    test = datasets.load(tmp_path, "test")
    assert test.class_names == ("a", "b") and values(test) == [70, 71, 72] * 2


def test_a_column_for_each_class_as_roboflow_writes_them(tmp_path):
    for start, split in ((0, "train"), (50, "valid"), (70, "test")):
        lines = [
            line.replace(",dog", ", 1, 0").replace(",Cat", ", 0, 1")
            for line in rows(tmp_path / split, ("dog", "Cat"), start)
        ]
        (tmp_path / split / "_classes.csv").write_text(
            "\n".join(["filename, dog, Cat", *lines]) + "\n"
        )
    validation = datasets.load(tmp_path, "validation")
    assert validation.class_names == ("Cat", "dog") and values(validation) == [*range(50, 56)]
    assert validation.labels.tolist() == [1, 1, 1, 0, 0, 0]
    assert datasets.passed_over(tmp_path) == (
        "_classes.csv is read by its columns dog, Cat of 0 and 1, each a class",
    )
    with (tmp_path / "valid" / "_classes.csv").open("a") as table:
        table.write("50.png, 1, 1\n51.png, 0, 0\n52.png, 1, 0.3\n")
    with pytest.raises(DataError, match="line 8, with 1 in dog and Cat: the label is missing"):
        datasets.load(tmp_path, "validation")
    assert len(datasets.load(tmp_path, "validation", skip_bad_rows=True).skipped) == 3


def test_a_column_of_true_and_false_for_each_class_and_numbers_of_rows(tmp_path):
    lines = [
        f"{number},{line.replace(',a', ',True,False').replace(',b', ',False,True')}"
        for number, line in enumerate(rows(tmp_path, ("a", "b")))
    ]
    (tmp_path / "all.csv").write_text("\n".join(["id,file,a,b", *lines]))
    train = datasets.load(tmp_path, "train")
    assert train.class_names == ("a", "b") and train.labels.tolist() == [0, 1]


def test_a_comma_in_an_unquoted_label_gives_no_other_class(tmp_path):
    lines = [f"{line},{split}" for split in datasets.SPLITS for line in rows(tmp_path, ("a", "b"))]
    lines[3] = lines[3].replace(",b", ",a, b")
    (tmp_path / "all.csv").write_text("\n".join(["file,label,split", *lines]))
    with pytest.raises(DataError, match="line 5: 4 cells for 3 columns"):
        datasets.load(tmp_path, "train")
    train = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert train.class_names == ("a", "b") and train.labels.tolist() == [0, 0, 0, 1, 1]
    assert len(train.skipped) == 1


def test_columns_of_splits_are_no_classes(tmp_path):
    lines = [f"{line.split(',')[0]},1,0" for line in rows(tmp_path, ("a", "b"))]
    (tmp_path / "all.csv").write_text("\n".join(["file,is_train,is_test", *lines]))
    with pytest.raises(DataError, match="none of the known forms"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("header", ["id_code,diagnosis", "image_id,label", "Filepaths,Labels"])
def test_columns_of_competitions_are_read_and_told(tmp_path, header):
    lines = [line.replace(".png", "") for line in rows(tmp_path, ("a", "b"), where="deep/")]
    (tmp_path / "labels.csv").write_text("\n".join([header, *lines]))
    (tmp_path / "sample.csv").write_text("id\n0\n")
    assert values(datasets.load(tmp_path, "test")) and len(datasets.load(tmp_path, "train")) == 2
    names = " and ".join(header.split(","))
    assert f"labels.csv is read by its columns {names}" in datasets.passed_over(tmp_path)
    # Beside a table of usual columns such a one is none.
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *(f"{one}" for one in lines)]))
    assert not any("read by" in line for line in datasets.passed_over(tmp_path))


def test_several_labels_of_an_image_in_one_field_are_told(tmp_path):
    lines = rows(tmp_path, ("cat", "dog", "dog|cat", "hot dog"))
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
    told = datasets.passed_over(tmp_path)
    assert told == ("the class dog|cat may be several labels of one image",)
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines[:-5]]))
    with pytest.raises(DataError, match="has 1 image, .*; the class dog.cat may be several labels"):
        datasets.load(tmp_path, "train")


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


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("test.csv", "file,label\n0.png,süß".encode("cp1252"), "not UTF-8 text; save the file as"),
        (
            "val/metadata.csv",
            b"file,Klasse\n",
            "none of its columns, file, Klasse, is that of the c",
        ),
        ("test.csv", b"number,label\n", "none of its columns, number, label, is that of the file"),
        ("test.xlsx", b"PK", ".xlsx files are not: save it as a csv file with the columns file"),
    ],
)
def test_a_split_whose_table_is_not_read_is_not_cut_out_of_training(tmp_path, name, content, words):
    """It was, and the only line about it was `1 .csv file`."""
    (tmp_path / "train.csv").write_text("\n".join(["file,label", *rows(tmp_path, "ab", count=10)]))
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)
    for data in (tmp_path, f"table:{tmp_path}"):
        with pytest.raises(DataError, match=f"{name} is not read .*{words}.*move it away, or pass"):
            datasets.load(data, "train")
    assert len(datasets.load(tmp_path, "train", skip_bad_rows=True)) == 16
    told = [line for line in datasets.passed_over(tmp_path) if words in line]
    assert len(told) == 1 and name.split("/")[-1] in told[0]
    # A column of splits that has these rows makes the table none of theirs.
    own = [f"{line},{split}" for split in datasets.SPLITS for line in rows(tmp_path, "ab", 30)]
    (tmp_path / "train.csv").write_text("\n".join(["file,label,split", *own]))
    assert len(datasets.load(tmp_path, "test")) == 6


def test_a_table_of_another_encoding_is_told_beside_others_and_alone(tmp_path):
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *rows(tmp_path, "ab", count=5)]))
    (tmp_path / "notes.csv").write_bytes("Datei;Güte".encode("cp1252"))
    assert "notes.csv" in datasets.passed_over(tmp_path)[0]
    (tmp_path / "all.csv").unlink()
    with pytest.raises(
        DataError, match="each class; .*notes.csv, after line 1: not UTF-8 text; sa"
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


def test_label_studio_s_table(tmp_path):
    lines = [f"/data/local-files/?d={line},7" for line in rows(tmp_path, "ab", where="images/")]
    (tmp_path / "export.csv").write_text("\n".join(["image,choice,annotator", *lines]))
    assert len(datasets.load(tmp_path, "train")) == 2


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("labels.xlsx", "save it as a csv file with the columns file and label"),
        ("labels.json", "save it as a csv file with the columns file and label"),
        ("list.txt", "save it as a csv file with the columns file and label"),
        ("labels.csv.gz", "unpack it"),
        ("labels.zip", "unpack it"),
    ],
)
def test_tables_of_other_kinds_are_named_where_their_folder_is_refused(tmp_path, name, mend):
    lines = rows(tmp_path, "ab", where="images/")
    (tmp_path / name).write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"{name} is not read: {mend}"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize(
    ("name", "head", "line"),
    [
        ("labels.csv", "file,label", "the table labels.csv with the columns file, label is not re"),
        ("list.txt", "images", "list.txt is not read: save it as a csv file with the columns file"),
        ("labels.csv.gz", "", "labels.csv.gz is not read: unpack it"),
    ],
)
def test_a_table_beside_class_folders_is_named(tmp_path, name, head, line):
    lines = [row for folder in "ab" for row in rows(tmp_path, "cd", where=f"{folder}/")]
    (tmp_path / name).write_text("\n".join([head, *lines]))
    (tmp_path / "readme.txt").write_text("Some pictures are .png files,\nsome a.png.\n")
    assert datasets.load(tmp_path, "train").class_names == ("a", "b")
    told = datasets.passed_over(tmp_path)
    assert told[0].startswith(line) and not any("readme" in one for one in told)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"file_name": "images/0.png"', r"labels.jsonl, line 1: not one .* the line\.( See|$)"),
        ('{"kind": 1, "of": 2}', "has the fields file and label; its first has kind, of; name"),
    ],
)
def test_json_lines_that_are_no_table_are_told_why(tmp_path, line, told, alone):
    rows(tmp_path, "ab", where="images/")
    (tmp_path / "labels.jsonl").write_text(line)
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path / "labels.jsonl" if alone else tmp_path, "train")
