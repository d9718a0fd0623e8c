from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from keras_kd import datasets
from keras_kd.datasets.readers import fer2013
from keras_kd.errors import DataError

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
USAGE = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}


def drawn(count=7, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 48, 48), np.uint8)


def text(image):
    return " ".join(map(str, image.ravel().tolist()))


def write_csv(path, rows, header=("emotion", "pixels", "Usage")):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def good_rows(images, usages=("Training", "Training", "PublicTest", "PrivateTest")):
    return [[row % 7, text(image), usages[row % len(usages)]] for row, image in enumerate(images)]


def resized(images):
    pictures = [
        Image.fromarray(image).resize((64, 64), Image.Resampling.BILINEAR) for image in images
    ]
    return np.stack(pictures)[..., None]


def test_the_csv_is_split_by_usage_and_resized_as_pillow_does(tmp_path):
    images = drawn(8)
    path = write_csv(tmp_path / "fer2013.csv", good_rows(images))
    for split, rows in {"train": [0, 1, 4, 5], "validation": [2, 6], "test": [3, 7]}.items():
        samples = datasets.load(path, split)
        assert samples.images.dtype == np.uint8
        np.testing.assert_array_equal(samples.images, resized(images[rows]))
        assert samples.labels.dtype == np.int64
        assert samples.labels.tolist() == [row % 7 for row in rows]
        assert samples.class_names == CLASSES
        assert samples.sizes.tolist() == [[48, 48]] * len(rows)


def test_emotions_that_count_from_1_are_no_rows_to_leave_out(tmp_path):
    """Without the rows of 7, as advised, each other was of the class behind its own."""
    rows = [[label + 1, *others] for label, *others in good_rows(drawn(8))]
    path = write_csv(tmp_path / "fer2013.csv", rows)
    with pytest.raises(DataError, match=r"run from 1 to 7, expected 0 to 6: .*; subtract 1\."):
        datasets.load(path, "train", skip_bad_rows=True)


def test_what_is_written_into_the_images_is_not_there_when_they_are_loaded_again(tmp_path):
    images = drawn(8)
    path = write_csv(tmp_path / "fer2013.csv", good_rows(images))
    first = datasets.load(path, "validation", size=48)
    first.images[:], first.labels[:] = 0, 5
    again = datasets.load(path, "validation", size=48)
    np.testing.assert_array_equal(again.images[..., 0], images[[2, 6]])
    assert again.labels.tolist() == [2, 6]


def as_bom(rows):
    return "\ufeffemotion,pixels,Usage\n" + "".join(
        f"{label},{pixels},{usage}\n" for label, pixels, usage in rows
    )


def as_quoted(rows):
    return '"emotion","pixels","Usage"\r\n' + "".join(f'"{a}", "{b}","{c}"\r\n' for a, b, c in rows)


def as_reordered(rows):
    return "Usage,id,pixels,emotion\n" + "".join(f"{c},x,{b},{a}\n" for a, b, c in rows)


def as_icml(rows):
    return "emotion, Usage, pixels\n" + "".join(f"{a},{c},{b}\n" for a, b, c in rows) + "\n"


@pytest.mark.parametrize("form", [as_bom, as_quoted, as_reordered, as_icml])
def test_other_forms_of_the_csv_hold_the_same(tmp_path, form):
    images = drawn(4)
    path = tmp_path / "icml_face_data.csv"
    path.write_text(form(good_rows(images)), encoding="utf-8", newline="")
    samples = datasets.load(path, "train")
    np.testing.assert_array_equal(samples.images, resized(images[:2]))
    assert samples.labels.tolist() == [0, 1]


BAD_ROWS = [
    (["0", " ".join(["7"] * 2303), "Training"], "2303 pixels, expected 2304"),
    (["0", " ".join(["7"] * 2305), "Training"], "2305 pixels, expected 2304"),
    (["0", "", "Training"], "0 pixels, expected 2304"),
    (["0", " ".join(["7"] * 2303 + ["256"]), "Training"], "a pixel is 256, expected 0 to 255"),
    (["0", " ".join(["-1"] + ["7"] * 2303), "Training"], "a pixel is -1, expected 0 to 255"),
    (["0", " ".join(["7"] * 2303 + ["black"]), "Training"], "'black', expected whole numbers"),
    (["0", " ".join(["7"] * 2304 + ["x"]), "Training"], "'x', expected whole numbers"),
    (["0", " ".join(["7.5"] + ["7"] * 2303), "Training"], "'7.5', expected whole numbers"),
    (["0", " ".join(["é"] + ["7"] * 2303), "Training"], "'é', expected whole numbers"),
    (["9", " ".join(["7"] * 2304), "Training"], "emotion is '9', expected 0 to 6"),
    (["-1", " ".join(["7"] * 2304), "Training"], "emotion is '-1', expected 0 to 6"),
    (["happy", " ".join(["7"] * 2304), "Training"], "emotion is 'happy', expected 0 to 6"),
    (
        ["0", " ".join(["7"] * 2304), "Testing"],
        "Usage is 'Testing', expected Training, PublicTest, PrivateTest",
    ),
    (["0"], "Usage is '', expected"),
]


@pytest.mark.parametrize(("row", "problem"), BAD_ROWS)
def test_a_bad_row_is_named_by_file_and_line_or_skipped(tmp_path, row, problem):
    images = drawn(4)
    path = write_csv(
        tmp_path / "fer2013.csv", good_rows(images)[:1] + [row] + good_rows(images)[1:]
    )
    with pytest.raises(DataError) as raised:
        datasets.load(path, "train")
    assert f"{path}, line 3: " in str(raised.value)
    assert problem in str(raised.value)
    assert str(raised.value).endswith("--skip-bad-rows.")
    loaded = [datasets.load(path, split, skip_bad_rows=True) for split in datasets.SPLITS]
    np.testing.assert_array_equal(loaded[0].images, resized(images[:2]))
    assert [len(samples) for samples in loaded] == [2, 1, 1]
    (skipped,) = loaded[0].skipped + loaded[1].skipped + loaded[2].skipped
    assert skipped.startswith(f"{path}, line 3: ")
    assert problem in skipped


def test_labels_of_the_other_splits_are_checked_too(tmp_path):
    rows = good_rows(drawn(4))
    rows[3][0] = 7
    path = write_csv(tmp_path / "fer2013.csv", rows)
    with pytest.raises(DataError, match="line 5: emotion is '7'"):
        datasets.load(path, "train")
    assert datasets.load(path, "train", skip_bad_rows=True).skipped == ()


def test_wrong_columns_are_named(tmp_path):
    path = write_csv(tmp_path / "train.csv", [[0, text(drawn(1)[0])]], header=("emotion", "pixels"))
    with pytest.raises(
        DataError, match=r"train\.csv has no column Usage: expected emotion, pixels, Usage"
    ):
        datasets.load(path, "train")


def test_any_other_csv_is_told_its_columns(tmp_path):
    path = write_csv(tmp_path / "list.csv", [["a.png", "cat"]], header=("photo", "title"))
    with pytest.raises(
        DataError, match=r"list\.csv has none of .*emotion, pixels, Usage .*received photo, title"
    ):
        datasets.load(path, "train")


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "fer2013.csv").touch()
    with pytest.raises(DataError, match=r"fer2013\.csv has none of .*received nothing"):
        datasets.load(tmp_path / "fer2013.csv", "train")


def test_a_missing_split_is_named(tmp_path):
    path = write_csv(tmp_path / "fer2013.csv", good_rows(drawn(2)))
    with pytest.raises(DataError, match="no usable rows with Usage PrivateTest, the test split"):
        datasets.load(path, "test")


def test_no_path_is_refused():
    with pytest.raises(DataError, match="fer2013 needs a path"):
        datasets.load("fer2013", "train")


FILES = {
    "train/angry/Training_1.png": 0,
    "train/neutral/Training_2.png": 6,
    "train/sad/Training_3.png": 4,
    "test/angry/PublicTest_4.png": 0,
    "test/neutral/PrivateTest_5.png": 6,
    "test/sad/PrivateTest_6.png": 4,
    "test/sad/PublicTest_7.png": 4,
}


def write_folders(root):
    images = dict(zip(FILES, drawn(len(FILES)), strict=True))
    for name, image in images.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return images


def test_in_class_folders_the_file_name_tells_the_split(tmp_path):
    images = write_folders(tmp_path)
    for split, usage in USAGE.items():
        samples = datasets.load(tmp_path, split)
        names = [name for name in FILES if f"/{usage}_" in name]
        np.testing.assert_array_equal(samples.images, resized([images[name] for name in names]))
        # Neutral stands before sad in the folders, after it in the class order.
        assert samples.class_names == CLASSES
        assert samples.labels.tolist() == [FILES[name] for name in names]


def test_colour_copies_of_the_gray_faces_become_gray(tmp_path):
    images = write_folders(tmp_path)
    first = images["train/angry/Training_1.png"]
    Image.fromarray(np.stack([first] * 3, axis=-1)).save(tmp_path / "train/angry/Training_1.png")
    samples = datasets.load(tmp_path, "train")
    np.testing.assert_array_equal(samples.images[:1], resized([first]))


def test_a_broken_file_in_the_folders_is_named_or_skipped(tmp_path):
    write_folders(tmp_path)
    broken = tmp_path / "train/neutral/Training_2.png"
    broken.write_bytes(b"")
    with pytest.raises(DataError, match="Training_2.png can't be read as an image"):
        datasets.load(tmp_path, "train")
    samples = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert samples.labels.tolist() == [0, 4]
    assert len(samples.skipped) == 1
    assert str(broken) in samples.skipped[0]


def test_a_file_without_a_split_in_its_name_is_named_or_skipped_once(tmp_path):
    write_folders(tmp_path)
    Image.fromarray(drawn(1)[0]).save(tmp_path / "test/sad/8.png")
    with pytest.raises(DataError, match=r"sad/8\.png does not tell its split"):
        datasets.load(tmp_path, "validation")
    skipped = [
        datasets.load(tmp_path, split, skip_bad_rows=True).skipped for split in datasets.SPLITS
    ]
    assert [len(lines) for lines in skipped] == [1, 0, 0]


def test_a_folder_of_another_class_is_named(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "train/sad").rename(tmp_path / "train/sleepy")
    with pytest.raises(DataError, match=r"train/sleepy is no class of FER2013: expected angry"):
        datasets.load(tmp_path, "train")


def test_subsets_leave_out_copies_of_training_images(tmp_path):
    images = drawn(8)
    images[3] = images[4]
    path = write_csv(tmp_path / "fer2013.csv", good_rows(images))
    masks = fer2013.subsets(*(datasets.load(path, split) for split in datasets.SPLITS))
    assert masks["private_without_copies"][1].tolist() == [False, True]
    assert [int(mask.sum()) for mask in masks["both"]] == [2, 2]


def test_the_real_set_has_its_published_counts_and_copies(real_fer2013):
    path = real_fer2013 / "fer2013.csv"
    splits = [datasets.load(path, split) for split in datasets.SPLITS]
    for split, samples in zip(datasets.SPLITS, splits, strict=True):
        assert tuple(np.bincount(samples.labels)) == fer2013.COUNTS[split]
    masks = fer2013.subsets(*splits)
    counts = {
        name: (int(public.sum()), int(private.sum())) for name, (public, private) in masks.items()
    }
    assert counts == {
        "public": (3589, 0),
        "private": (0, 3589),
        "both": (3589, 3589),
        "private_without_copies": (0, 3589 - 288),
    }
