from __future__ import annotations

import pytest
from table_files import picture, rows, values

from keras_kd import datasets
from keras_kd.errors import DataError


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


def test_metadata_beside_the_images_of_each_split(tmp_path):
    for start, split in ((0, "train"), (50, "validation"), (100, "test")):
        lines = rows(tmp_path / split, ("a", "b"), start)
        (tmp_path / split / "metadata.csv").write_text("\n".join(["file_name,label", *lines]))
    assert values(datasets.load(tmp_path, "validation")) == list(range(50, 56))


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
        (
            {"one.csv": "file,a,b\n0.png,1,1\n1.png,1,0\n"},
            "fewer than two classes .*one.csv, line 2, with 1 in a and b: no class, or several",
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


def test_a_split_of_bad_rows_alone_is_told(tmp_path):
    lines = [f"{line},train" for line in rows(tmp_path, ("a", "b"))]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,split", *lines, "x.png,a,test"]))
    with pytest.raises(DataError, match="None of 1 rows.*line 8: .* no file of the name 'x.png'"):
        datasets.load(tmp_path, "test", skip_bad_rows=True)


def test_a_class_without_any_file_is_refused_and_a_name_too_long_is_a_bad_row(
    tmp_path,
):
    lines = [*rows(tmp_path, ("a", "b")), "x" * 300 + ".png,a"]
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
    assert len(datasets.load(tmp_path, "train", skip_bad_rows=True).skipped) == 1
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines, "y.png,c"]))
    with pytest.raises(DataError, match="no training image of the class c that can be found"):
        datasets.load(tmp_path, "train", skip_bad_rows=True)


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


@pytest.mark.parametrize("name", ["patientId", "PersonID", "personid", "Session ID", "user"])
def test_columns_of_persons_are_known_however_they_are_written(tmp_path, name):
    lines = [f"{line},p{n % 3},{n}" for n, line in enumerate(rows(tmp_path, "ab"))]
    (tmp_path / "all.csv").write_text("\n".join([f"file,label,{name},patient_age", *lines]))
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
        "1 of 5 values of subject, D first, stand in several" in line
        for line in datasets.passed_over(tmp_path)
    )


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (
            "filename,w,h\n0.png,9,7\n",
            "labels.csv is not read: .*filename, w, h, is that of the class: call that label",
        ),
        ("file,label\n0.png,w\xfctend\n", "labels.csv, .*: not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_a_table_that_is_not_read_is_named_where_its_folder_is_refused(tmp_path, table, words):
    rows(tmp_path, "ab", where="images/")
    (tmp_path / "labels.csv").write_text(table, encoding="latin-1")
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


def test_a_comma_in_an_unquoted_label_gives_no_other_class(tmp_path):
    lines = [f"{line},{split}" for split in datasets.SPLITS for line in rows(tmp_path, ("a", "b"))]
    lines[3] = lines[3].replace(",b", ",a, b")
    (tmp_path / "all.csv").write_text("\n".join(["file,label,split", *lines]))
    with pytest.raises(DataError, match="line 5: 4 cells for 3 columns"):
        datasets.load(tmp_path, "train")
    train = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert train.class_names == ("a", "b") and train.labels.tolist() == [0, 0, 0, 1, 1]
    assert len(train.skipped) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "test.csv",
            "file,label\n0.png,süß".encode("cp1252"),
            "not UTF-8 text; save the file as",
        ),
        (
            "val/metadata.csv",
            b"file,Klasse\n0.png,a\n1.png,\n",
            "none of its columns, file, Klasse, is that of the c",
        ),
        ("test.csv", b"file,Klasse\n0.png,A\n", "file, Klasse, is that of the class"),
        ("test.csv", b"number,label\n", "none of its columns, number, label, is that of the file"),
        ("test.xlsx", b"PK", ".xlsx files are not: save it as a csv file with the columns file"),
        ("test.csv", b"", "it is empty"),
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,id_code\n,7\n", "none of its columns, name, id_code, is that of the class"),
        ("id_code,diagnosis\n", "it has no rows"),
        ("id_code,remark\n7,\n", "none of its columns, id_code, remark, is that of the class"),
        # What the training rows don't tell: other values than theirs are no classes.
        ("id_code,url\n7,a.org\n", "none of its columns, id_code, url, is that of the class"),
        ("number,age\n7,12\n", "none of its columns, number, age, is that of the file"),
    ],
)
def test_a_test_without_classes_is_taken_from_the_training_rows_and_told(tmp_path, content, words):
    """As a competition's: such a folder was refused, by `export` without a way around it."""
    lines = [f"{line},x" for line in rows(tmp_path, "ab", count=10)]
    (tmp_path / "train.csv").write_text("\n".join(["id_code,diagnosis,name", *lines]))
    (tmp_path / "test.csv").write_text(content)
    assert [len(datasets.load(tmp_path, split)) for split in datasets.SPLITS] == [16, 2, 2]
    told = f"{words}; the images of test are taken from those of training"
    assert f"the table test.csv is not read: {told}" in datasets.passed_over(tmp_path)


@pytest.mark.parametrize("skip_bad_rows", [True, False])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,Güte\n", "after line 1: not"),
        ("Foto,Klasse\n0.png,a\n", "none of its columns, Foto"),
    ],
)
def test_training_rows_that_can_t_be_read_are_not_to_be_passed_over(
    tmp_path, content, words, skip_bad_rows
):
    (tmp_path / "test.csv").write_text("\n".join(["file,label", *rows(tmp_path, "ab")]))
    (tmp_path / "train.csv").write_bytes(content.encode("cp1252"))
    with pytest.raises(
        DataError, match=rf"train.csv is not read \({words}.* rows of train: mend the tab"
    ) as refused:
        datasets.load(tmp_path, "train", skip_bad_rows=skip_bad_rows)
    assert "--skip-bad-rows" not in str(refused.value)


def test_a_table_of_another_encoding_is_told_beside_others_and_alone(tmp_path):
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *rows(tmp_path, "ab", count=5)]))
    (tmp_path / "notes.csv").write_bytes("Datei;Güte".encode("cp1252"))
    assert "notes.csv" in datasets.passed_over(tmp_path)[0]
    (tmp_path / "all.csv").unlink()
    with pytest.raises(
        DataError, match="each class; .*notes.csv, after line 1: not UTF-8 text; sa"
    ):
        datasets.load(tmp_path, "train")


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


def test_a_column_of_values_is_no_column_of_classes_and_told(tmp_path):
    """Ages, each of one image: each is a class too small to split, and that alone was told."""
    lines = rows(tmp_path, [f"{20 + 1.5 * number}" for number in range(8)], count=1)
    (tmp_path / "ages.csv").write_text("\n".join(["file,target", *lines]))
    with pytest.raises(DataError, match="too few to split.* the 8 classes are numbers with fract"):
        datasets.load(tmp_path, "train")
