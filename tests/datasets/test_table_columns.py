"""Which columns of a table are the file, the class and the split, and what their words mean."""

from __future__ import annotations

import numpy as np
import pytest
from table_files import rows, values

from keras_kd import datasets
from keras_kd.errors import DataError


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


def test_class_names_that_differ_by_a_capital_are_remarked_on(tmp_path):
    lines = rows(tmp_path, ("Cat", "cat"))
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    found = datasets.passed_over(tmp_path / "labels.csv")
    assert found == ("Cat and cat are different classes here",)


def test_of_several_columns_the_first_is_taken_and_that_is_told(tmp_path):
    lines = [f"{line},old,train,test,x" for line in rows(tmp_path, ("a", "b"))]
    header = "file,category,label,set,split,label_name"
    (tmp_path / "all.csv").write_text("\n".join([header, *lines]))
    assert datasets.load(tmp_path, "train").class_names == ("a", "b")
    assert list(datasets.passed_over(tmp_path)) == [
        "all.csv is read by its column category, and not by label and label_name",
        "all.csv is read by its column set, and not by split",
    ]


def test_of_columns_that_may_be_the_file_the_one_that_tells_most_is_taken(tmp_path):
    """`image`, a number, or `filename`, which stood in two folders, were taken, and refused."""
    lines = rows(tmp_path, ("a",), where="one/") + rows(tmp_path, ("b",), 50, where="two/")
    for file in (tmp_path / "two").iterdir():
        file.rename(file.with_stem(str(int(file.stem) - 50)))
    lines = [line.replace("two/5", "two/") for line in lines]
    lines = [f"{n},{line.split('/')[1].split(',')[0]},{line}" for n, line in enumerate(lines)]
    (tmp_path / "all.csv").write_text("\n".join(["image,filename,path,label", *lines]))
    train = datasets.load(tmp_path / "all.csv", "train")
    assert [value >= 50 for value in values(train)] == train.labels.astype(bool).tolist()
    told = "all.csv is read by its column path, and not by filename and image"
    assert told in datasets.passed_over(tmp_path / "all.csv")


def test_a_longer_path_of_another_name_is_not_taken_for_the_file(tmp_path):
    """Of what the images were made of, on another machine, say."""
    lines = [f"{line},/archive/raw/shot.tif" for line in rows(tmp_path, ("a", "b"))]
    (tmp_path / "all.csv").write_text("\n".join(["filename,label,path", *lines]))
    assert datasets.load(tmp_path / "all.csv", "train").class_names == ("a", "b")


@pytest.mark.parametrize("form", ["folders", "tables"])
@pytest.mark.parametrize("skip_bad_rows", [False, True])
def test_numbers_of_a_test_that_count_from_another_first_are_refused(tmp_path, form, skip_bad_rows):
    """Without those that training lacks, as advised, all others were scored as wrong classes."""
    for split, numbers in (("train", "123"), ("test", "012")):
        lines = rows(tmp_path / split, numbers)
        (tmp_path / f"{split}.csv").write_text("\n".join(["file,label", *lines]))
        for line in lines if form == "folders" else ():
            file, number = line.split(",")
            (tmp_path / split / number).mkdir(exist_ok=True)
            (tmp_path / split / file).rename(tmp_path / split / number / file)
    with pytest.raises(DataError, match=r"run from 0 to 2, expected 1 to 3: .*classes; add 1\."):
        datasets.load(tmp_path, "test", skip_bad_rows=skip_bad_rows)


def test_a_number_of_thousands_of_digits_is_no_class(tmp_path):
    """Python makes no number of them: a traceback."""
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *rows(tmp_path, ["1", "9" * 5000])]))
    with pytest.raises(DataError, match="the class name '9*' is not 1 to 200 printable"):
        datasets.load(tmp_path, "train")


def test_column_names_that_stand_there_again_are_told(tmp_path):
    """As of tables that were put behind each other: "no file of the name 'file'"."""
    lines = ["file,label", *rows(tmp_path, "ab")]
    (tmp_path / "all.csv").write_text("\n".join([*lines, *lines]))
    with pytest.raises(DataError, match="line 8: its column names stand here again; mend or"):
        datasets.load(tmp_path, "train")


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


def test_columns_that_splits_may_depend_on_are_told(tmp_path):
    lines = [f"{line},{n % 2},p{n % 3},{n},0" for n, line in enumerate(rows(tmp_path, "ab"))]
    header = "file,label,is_test,subject_id,id,kfold"
    (tmp_path / "all.csv").write_text("\n".join([header, *lines]))
    assert datasets.passed_over(tmp_path) == (
        "all.csv: the column is_test is not read, so no split is taken from it",
        "all.csv: the column subject_id is not read: images of one subject_id may fall into"
        " several splits",
        "all.csv: the column kfold is not read, so no split is taken from it",
    )
    # Who has all splits keeps persons apart, or does not.
    parts = [
        f"{line},p,{split}" for split in ("train", "val", "test") for line in rows(tmp_path, "ab")
    ]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,person,split", *parts]))
    assert datasets.passed_over(tmp_path)[0] == (
        "1 of 1 values of person, p first, stand in several splits: scores are of some"
        " that were trained on"
    )
    apart = [line.replace(",p,", f",{line.rpartition(',')[2]},") for line in parts]
    (tmp_path / "all.csv").write_text("\n".join(["file,label,person,split", *apart]))
    assert not any("person" in line for line in datasets.passed_over(tmp_path))
    # Of an age group each split should have some.
    for header in ("age_group,split", "PatientGroup,fold"):
        (tmp_path / "all.csv").write_text("\n".join([f"file,label,{header}", *parts]))
        assert not any("group" in line.lower() for line in datasets.passed_over(tmp_path))


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
    skipped = datasets.load(tmp_path, "validation", skip_bad_rows=True).skipped
    whys = (
        "with 1 in dog and Cat:",
        "with 1 in no column of a class:",
        "with '0.3' in Cat where 0",
    )
    assert all(why in line for why, line in zip(whys, skipped, strict=True))


def test_a_column_of_true_and_false_for_each_class_and_numbers_of_rows(tmp_path):
    lines = [
        f"{number},{line.replace(',a', ',True,False').replace(',b', ',False,True')}"
        for number, line in enumerate(rows(tmp_path, ("a", "b")))
    ]
    (tmp_path / "all.csv").write_text("\n".join(["id,file,a,b", *lines]))
    train = datasets.load(tmp_path, "train")
    assert train.class_names == ("a", "b") and train.labels.tolist() == [0, 1]


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


def test_columns_of_the_chest_x_rays_of_the_nih(tmp_path):
    lines = [
        line.replace(",", ",Hernia," if number % 2 else ",No Finding,")
        for number, line in enumerate(rows(tmp_path, ["7"], count=20))
    ]
    (tmp_path / "all.csv").write_text("\n".join(["Image Index,Finding Labels,Patient ID", *lines]))
    assert datasets.load(tmp_path, "train").class_names == ("Hernia", "No Finding")
    told = "\n".join(datasets.passed_over(tmp_path))
    assert "all.csv is read by its columns Image Index and Finding Labels" in told
    assert "the column Patient ID is not read: images of one Patient ID may fall" in told


def test_several_labels_of_an_image_in_one_field_are_told(tmp_path):
    lines = rows(tmp_path, ("cat", "dog", "dog|cat", "hot dog"))
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines]))
    told = datasets.passed_over(tmp_path)
    assert told == ("the class dog|cat may be several labels of one image",)
    (tmp_path / "all.csv").write_text("\n".join(["file,label", *lines[:-5]]))
    with pytest.raises(DataError, match="has 1 image, .*; the class dog.cat may be several labels"):
        datasets.load(tmp_path, "train")


def test_label_studio_s_table(tmp_path):
    lines = [f"/data/local-files/?d={line},7" for line in rows(tmp_path, "ab", where="images/")]
    (tmp_path / "export.csv").write_text("\n".join(["image,choice,annotator", *lines]))
    assert len(datasets.load(tmp_path, "train")) == 2


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("file,width,height,label,xmin,ymin,xmax,ymax", "xmin, ymin, xmax, ymax"),
        ("x,y,w,h,file,label", "x, y, w, h"),
        # As those of traffic signs and cars, which have one row an image.
        ("Width,Height,Roi.X1,Roi.Y1,Roi.X2,Roi.Y2,label,path", "Roi.X1, Roi.Y1, Roi.X2, Roi.Y2"),
        ("bbox_x1,bbox_y1,bbox_x2,bbox_y2,label,file", "bbox_x1, bbox_y1, bbox_x2, bbox_y2"),
        ("file,label,bbox", "bbox"),
        ("file,label,x_center,y_center,width,height", "x_center, y_center, width, height"),
        ("file,label,width,height,x,bbox_count", ""),
    ],
)
def test_boxes_are_told_and_several_of_one_image_refused(header, told, tmp_path):
    names = header.split(",")

    def line(pair):
        file, label = pair.split(",")
        cells = {"file": file, "path": file, "label": label}
        return ",".join(cells.get(name, "3") for name in names)

    lines = [line(pair) for pair in rows(tmp_path, "ab", count=5)]
    (tmp_path / "all.csv").write_text("\n".join([header, *lines]))
    expected = (
        f"all.csv: boxes ({told}) are not read, and whole images are: cut them out first if the"
        " classes are theirs"
    )
    assert datasets.passed_over(tmp_path) == ((expected,) if told else ())
    assert len(datasets.load(tmp_path, "train")) == 6
    (tmp_path / "all.csv").write_text("\n".join([header, *lines, lines[2], line("2.png,b")]))
    if not told:
        assert len(datasets.load(tmp_path, "train")) == 8
        return
    with pytest.raises(DataError) as refused:
        datasets.load(tmp_path, "train")
    assert f"({told}) and several rows for 1 file, 2.png first" in str(refused.value)
