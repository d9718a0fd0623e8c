"""Layouts of data sets that people publish and that tools export, beside those that are read."""

from __future__ import annotations

import json
import tarfile

import pytest
import small_shards
from table_files import picture, rows, values

from keras_kd import datasets
from keras_kd.datasets.readers import _image_files, shards
from keras_kd.errors import DataError


def write_pictures(folder, count=10, start=0):
    for number in range(start, start + count):
        picture(folder / f"{number}.png", number)


def notes(root):
    return "\n".join(datasets.passed_over(root))


@pytest.mark.parametrize("name", ["labels", "masks"])
def test_a_folder_of_labels_or_masks_is_no_class(tmp_path, name):
    """As of YOLO: "labels is a class without images"; masks of segmentation were a class."""
    for split in ("train", "valid"):
        write_pictures(tmp_path / split / "images")
        write_pictures(tmp_path / split / name)
        for file in (tmp_path / split / name).iterdir() if name == "labels" else ():
            file.rename(file.with_suffix(".txt"))
    suffix = "txt" if name == "labels" else "png"
    for skip in (False, True):
        with pytest.raises(
            DataError, match=f"{name} has a .{suffix} file for each image in .*images, as"
        ):
            datasets.load(tmp_path, "train", skip_bad_rows=skip)
    # Of other pictures it is a class as any other.
    for split in ("train", "valid"):
        write_pictures(tmp_path / split / "images", start=100)
    write_pictures(tmp_path / "train" / "masks", start=50)
    if name == "masks":
        assert datasets.load(tmp_path, "train").class_names == ("images", "masks")
        for face in ("mask", "no_mask"):
            write_pictures(tmp_path / "faces" / face)
        assert datasets.load(tmp_path / "faces", "train").class_names == ("mask", "no_mask")


def test_masks_in_a_folder_of_annotations_are_no_class(tmp_path):
    """As of Oxford's pets: `annotations` and `images` were two classes."""
    write_pictures(tmp_path / "images")
    write_pictures(tmp_path / "annotations" / "trimaps")
    (tmp_path / "annotations" / "list.txt").write_text("0 1 1 1\n")
    for skip in (False, True):
        with pytest.raises(
            DataError, match="annotations has a .png file for each image in .*images"
        ):
            datasets.load(tmp_path, "train", skip_bad_rows=skip)


@pytest.mark.parametrize("where", ["", "train"])
def test_an_archive_beside_the_folders_that_it_was_unpacked_to_is_no_shard(tmp_path, where):
    """It was read in place of the folders, and refused as one without labels."""
    for start, name in enumerate("ab"):
        write_pictures(tmp_path / where / name, start=10 * start)
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        archive.add(tmp_path / where / "a", "a")
    assert datasets.load(tmp_path, "train").class_names == ("a", "b")
    assert "1 .tar file, not read" in notes(tmp_path)


def test_of_class_folders_beside_an_archive_two_are_listed_to_know_them(tmp_path, monkeypatch):
    """All of ImageNet's were, before they were read."""
    for start, name in enumerate("abcde"):
        write_pictures(tmp_path / name, count=1, start=start)
    (tmp_path / "images.tar").touch()
    list_images, listed = _image_files.image_files, []
    monkeypatch.setattr(
        _image_files, "image_files", lambda folder: listed.append(folder) or list_images(folder)
    )
    assert not shards.matches(tmp_path) and len(listed) == 2


def test_shards_beside_a_folder_of_examples_are_shards(tmp_path):
    """They were to be unpacked; beside a table such a folder has its images."""
    for number, split in enumerate(datasets.SPLITS):
        small_shards.write(tmp_path / f"{split}-0.tar", *small_shards.pictures(6, number))
    write_pictures(tmp_path / "examples", count=10)
    assert datasets.load(tmp_path, "train").class_names == ("bright", "dark")
    lines = [f"{number}.png,{'ab'[number % 2]}" for number in range(10)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    assert datasets.load(tmp_path, "train").class_names == ("a", "b")


def test_masks_in_the_folders_of_classes_are_told(tmp_path):
    for name in ("COVID", "Normal"):
        for part in ("images", "masks"):
            write_pictures(tmp_path / name / part)
    assert "20 images in folders such as" in notes(tmp_path)
    assert "COVID/masks count as images of the class: move them away if" in notes(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("_annotations.coco.json", "{}", "_annotations.coco.json is not read: save it as a csv"),
        (
            "metadata.csv",
            "file_name,text\n0.png,a cat\n",
            "metadata.csv is not read: none of its columns, file_name, text, is that of the class",
        ),
        (
            "metadata.jsonl",
            json.dumps({"file_name": "0.png", "objects": {"bbox": []}}),
            "metadata.jsonl is not read: each line .* its first has file_name, objects",
        ),
        (
            "0.xml",
            "<annotation>\n",
            "0.xml is not read: it holds boxes in images, as annotations of Pascal VOC, ImageNet,",
        ),
        (
            "a.json",
            '{"licenses": [], "images": [], "annotations": []}',
            "a.json is not read: it holds boxes in images, as .*COCO and LabelMe do: classes of",
        ),
        (
            "labels.csv",
            "file,cat,dog\n0.png,0.8,0.2\n",
            "call that label, or if cat, dog hold shares or votes of classes, write the one with",
        ),
        (
            "data.rec",
            "",
            "data.rec is not read: it holds MXNet's records: save its images as files",
        ),
        ("train-images-idx3-ubyte.gz", "", "idx3-ubyte.gz is not read: it is in MNIST's IDX form"),
    ],
)
def test_what_lies_beside_the_images_of_splits_is_named(tmp_path, file, content, told):
    """The sentence asked for class folders, and said nothing of the file."""
    for split in ("train", "valid"):
        write_pictures(tmp_path / split)
        (tmp_path / split / file).write_text(content)
    with pytest.raises(DataError, match=f"splits without class folders: .*each class; .*{told}"):
        datasets.load(tmp_path, "train")


def test_parts_of_a_download_are_doubted_as_classes(tmp_path):
    """As of HAM10000, whose table has the classes."""
    for number in (1, 2):
        write_pictures(tmp_path / f"HAM10000_images_part_{number}", start=10 * number)
    lines = [f"HAM_{n // 2},{n}.png,{('nv', 'mel')[n % 2]}" for n in range(10, 30)]
    table = tmp_path / "HAM10000_metadata.csv"
    table.write_text("\n".join(["lesion_id,image_id,dx", *lines]))
    told = notes(tmp_path)
    assert "the classes are HAM10000_images_part_1, HAM10000_images_part_2: if these are parts" in (
        told
    )
    assert "HAM10000_metadata.csv with the columns image_id, dx is not read" in told
    assert datasets.load(table, "train").class_names == ("mel", "nv")
    assert "column lesion_id is not read: images of one lesion_id may fall" in notes(table)
    for name in ("level_1", "level_2"):
        write_pictures(tmp_path / "levels" / name)
    assert datasets.passed_over(tmp_path / "levels") == ()


def test_a_competitions_table_called_train_labels_and_its_sample_of_answers(tmp_path):
    """CIFAR-10's: both were tables of no split, and images of train/ and test/ had one name."""
    for split in ("train", "test"):
        write_pictures(tmp_path / split, start=1)
    lines = [f"{number},{('cat', 'dog')[number % 2]}" for number in range(1, 11)]
    (tmp_path / "trainLabels.csv").write_text("\n".join(["id,label", *lines]))
    (tmp_path / "sampleSubmission.csv").write_text("id,label\n1,cat\n")
    assert len(datasets.load(tmp_path, "train")) == 6
    assert "sampleSubmission.csv with the columns id, label is not read, beside" in notes(tmp_path)
    (tmp_path / "trainLabels.csv").rename(tmp_path / "answers.csv")
    (tmp_path / "sampleSubmission.csv").unlink()
    told = "2 files of the name '1', .*test/1.png and .*train/1.png first: name its folder, too"
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path, "train")


def test_tables_of_splits_beside_class_folders_are_offered(tmp_path):
    """As of traffic signs on Kaggle, whose test images have no folders of classes."""
    for start, name in enumerate("01"):
        write_pictures(tmp_path / "Train" / name, start=10 * start)
    write_pictures(tmp_path / "Test", start=20)
    for split, numbers in (("Train", range(20)), ("Test", range(20, 30))):
        places = [f"Train/{n // 10}" if split == "Train" else "Test" for n in numbers]
        lines = [f"{place}/{n}.png,{n // 10 % 2}" for place, n in zip(places, numbers, strict=True)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["Path,ClassId", *lines]))
    told = (
        f"skip-bad-rows; the table Test.csv .* give table:{tmp_path} to read the tables of its sp"
    )
    with pytest.raises(DataError, match=told):
        datasets.load(tmp_path, "train")
    assert len(datasets.load(f"table:{tmp_path}", "test")) == 10


def test_numbers_of_classes_in_a_table_go_behind_their_names(tmp_path):
    """As of traffic signs, whose table was none; `ShapeId` was a class."""
    lines = [f"3,{line}" for line in rows(tmp_path, "01", count=5)]
    (tmp_path / "Train.csv").write_text("\n".join(["Width,Path,ClassId", *lines]))
    (tmp_path / "Meta.csv").write_text("Path,ClassId,ShapeId\n0.png,0,1\n")
    assert datasets.load(tmp_path, "train").class_names == ("0", "1")
    named = [f"{line},{'ab'[int(line[-1])]}" for line in lines]
    (tmp_path / "Train.csv").write_text("\n".join(["Width,Path,ClassId,labels", *named]))
    assert datasets.load(tmp_path, "train").class_names == ("a", "b")


@pytest.mark.parametrize("before", ["", "0a1b2c3d-"])
def test_files_that_were_uploaded_to_label_studio(tmp_path, before):
    """Named as it serves them, with eight digits that the user's own files have not."""
    lines = [f"/data/upload/7/{before}{line},1" for line in rows(tmp_path / "mine", "ab", count=5)]
    (tmp_path / "project.csv").write_text("\n".join(["image,choice,annotator", *lines]))
    train = datasets.load(tmp_path, "train")
    assert train.class_names == ("a", "b") and len(values(train)) == 6
    picture(tmp_path / "mine" / "0a1b2c3d-0.png", 99)
    every = [values(datasets.load(tmp_path, split)) for split in datasets.SPLITS]
    assert (99 in sum(every, [])) == bool(before)
    lines[2] = lines[2].replace("/data/upload", "https://labels.example/data/upload")
    (tmp_path / "project.csv").write_text("\n".join(["image,choice,annotator", *lines]))
    with pytest.raises(DataError, match="line 4: .* is an address: download the image and name"):
        datasets.load(tmp_path, "train")


def test_a_split_whose_classes_stand_in_a_text_is_told(tmp_path):
    """As of Tiny ImageNet, whose validation images lie in one folder."""
    for start, name in enumerate(("n01", "n02")):
        write_pictures(tmp_path / "train" / name / "images", start=10 * start)
    write_pictures(tmp_path / "val" / "images")
    lines = [f"{number}.png\tn0{1 + number % 2}\t0\t0\t9\t7" for number in range(10)]
    (tmp_path / "val" / "val_annotations.txt").write_text("\n".join(lines))
    with pytest.raises(
        DataError, match="val/images is no class, .*val_annotations.txt is not read"
    ):
        datasets.load(tmp_path, "validation")


@pytest.mark.parametrize("before", ["", "TRAIN,"])
def test_a_table_without_column_names_is_told(tmp_path, before):
    """Its first row was called its columns, which were to be renamed."""
    lines = [f"{before}{line}" for line in rows(tmp_path, "ab", where="images/")]
    (tmp_path / "import.csv").write_text("\n".join(lines))
    told = f"its first line, {before.replace(',', ', ')}images/0.png, a, names an image and no col"
    for data in (tmp_path, tmp_path / "import.csv"):
        with pytest.raises(DataError, match=told):
            datasets.load(data, "train")


@pytest.mark.parametrize("form", ["folder", "table"])
def test_names_that_begin_alike_are_told_where_images_are_drawn_for_splits(tmp_path, form):
    """As of the persons in CK+ and the tracks of traffic signs, which no column names."""
    lines = ["file,label"]
    for number in range(24):
        file = f"{'ab'[number % 2]}/S{10 + number // 4:03}_00{number % 4}_{number:08}.png"
        picture(tmp_path / file, number)
        lines.append(f"{file},{'ab'[number % 2]}")
    if form == "table":
        (tmp_path / "all.csv").write_text("\n".join(lines))
    data = tmp_path / "all.csv" if form == "table" else tmp_path
    assert "24 images have names that begin alike, as S010 of 4: those of one" in notes(data)
    # Splits of the user's own; names that tell the class, or are each their own.
    for split in ("train", "val", "test"):
        for name in "ab":
            for number in range(8):
                picture(tmp_path / "split" / split / name / f"S{number // 4}_{number}.png", number)
    assert "alike" not in notes(tmp_path / "split")
    for number in range(24):
        name = "abc"[number % 3]
        picture(tmp_path / "plain" / name / f"{number % 3}_{number}.png", number)
        picture(tmp_path / "dated" / name / f"IMG_{20240100 + number}_12.png", number)
    picture(tmp_path / "plain" / "a" / "one.png", 24)
    assert "alike" not in notes(tmp_path / "plain") and "alike" not in notes(tmp_path / "dated")


def test_a_folder_of_what_has_no_label_is_doubted_as_a_class(tmp_path):
    for name in ("cat", "dog", "unlabeled"):
        write_pictures(tmp_path / name)
    assert notes(tmp_path) == "the class unlabeled may stand for no label"


def test_images_of_classes_beside_a_folder_of_something_else(tmp_path):
    """As of Stanford Dogs and COCO: "Annotation is a class without images"."""
    for start, name in enumerate(("n02-Chi", "n03-Pug")):
        write_pictures(tmp_path / "Images" / name, start=10 * start)
        (tmp_path / "Annotation" / name).mkdir(parents=True)
    with pytest.raises(DataError, match="Annotation is a class .*or give .*Images if its folders"):
        datasets.load(tmp_path, "train")


def test_tables_beside_the_classes_of_splits_are_named(tmp_path):
    """As of Hugging Face's: "2 .csv files, not read"."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            write_pictures(tmp_path / split / name)
        (tmp_path / split / "metadata.csv").write_text("file_name,label\ncat/0.png,dog\n")
    assert f"taken for the classes: give table:{tmp_path} to read the tables" in notes(tmp_path)


def test_what_a_class_without_images_holds_is_named(tmp_path):
    """As of COCO's annotations, or photos of a camera's own form: "add images"."""
    for name in ("images", "owls"):
        write_pictures(tmp_path / name)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "train.json").write_text('{"annotations": []}')
    with pytest.raises(
        DataError, match="without images: it holds 1 .json file, not read; .*boxes in images"
    ):
        datasets.load(tmp_path, "train")


def test_the_folder_that_an_unpacked_archive_holds_far_below_is_named(tmp_path):
    """The first of several folders in each other was named, which is refused as well."""
    deep = tmp_path / "archive" / "data" / "data"
    for name in ("train/a", "train/b"):
        write_pictures(deep / name)
    write_pictures(deep / "test" / "a")
    with pytest.raises(DataError, match=f"or give {deep} if its folders are the classes"):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("form", ["table", "column"])
def test_a_split_without_any_label_is_taken_from_the_training_rows_and_told(tmp_path, form):
    """A competition's test whose column of classes is empty, or -1: each of its rows was bad."""
    train, test = rows(tmp_path, "01", count=10), rows(tmp_path, ("", "-1"), 50)
    if form == "table":
        (tmp_path / "train.csv").write_text("\n".join(["file,label", *train]))
        (tmp_path / "test.csv").write_text("\n".join(["file,label", *test]))
    else:
        lines = [*(f"{line},train" for line in train), *(f"{line},test" for line in test)]
        (tmp_path / "all.csv").write_text("\n".join(["file,label,split", *lines]))
    assert [len(datasets.load(tmp_path, split)) for split in datasets.SPLITS] == [16, 2, 2]
    told = "no row of test has a label; the images of test are taken from those of training"
    assert told in notes(tmp_path)
    # One label is enough for a test.
    for table in tmp_path.glob("*.csv"):
        table.write_text(table.read_text().replace("52.png,", "52.png,1"))
    with pytest.raises(DataError, match="the label is missing"):
        datasets.load(tmp_path, "test")
    assert len(datasets.load(tmp_path, "test", skip_bad_rows=True)) == 1


def test_mxnets_lists_are_tables_without_names_of_columns(tmp_path):
    lines = [line.split(",") for line in rows(tmp_path / "root", ["0", "1", "10"], count=10)]
    lines = [f"{number}\t{label}.000000\ta {file}" for number, (file, label) in enumerate(lines)]
    for file in (tmp_path / "root").iterdir():
        file.rename(file.with_name(f"a {file.name}"))
    (tmp_path / "data_train.lst").write_text("\n".join(lines[::2]))
    (tmp_path / "data_val.lst").write_text("\n".join(lines[1::2]))
    found = {split: datasets.load(tmp_path, split) for split in datasets.SPLITS}
    assert [len(samples) for samples in found.values()] == [12, 15, 3]
    assert values(found["validation"]) == [*range(1, 30, 2)]
    assert found["train"].class_names == ("0", "1", "10")
    # Of several labels, as boxes have them, none is that of the image.
    (tmp_path / "data_val.lst").write_text("0\t2\t5\t1\t0.1\t0.2\t0.5\t0.6\ta 1.png\n")
    with pytest.raises(DataError, match="data_val.lst is not read .line 1: 9 fields, expected thr"):
        datasets.load(tmp_path, "train")
