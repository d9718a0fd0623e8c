from __future__ import annotations

import csv

import numpy as np
import pytest

from keras_kd import datasets
from keras_kd.datasets.readers import ferplus
from keras_kd.errors import DataError

CLASSES = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
HEADER = ("Usage", "Image name", *CLASSES, "unknown", "NF")
# Usage, image name, ten votes.
ROWS = [
    ("Training", "fer0.png", 4, 0, 0, 1, 3, 2, 0, 0, 0, 0),
    (
        "Training",
        "fer1.png",
        0,
        5,
        0,
        0,
        0,
        0,
        0,
        0,
        5,
        0,
    ),  # a tie: an emotion has as many votes as unknown
    ("Training", "fer2.png", 1, 2, 0, 0, 0, 0, 0, 0, 7, 0),  # most voted: unknown
    ("Training", "", 0, 0, 0, 0, 0, 0, 0, 0, 0, 10),  # not a face
    ("Training", "fer4.png", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),  # no votes at all
    ("PublicTest", "fer5.png", 0, 0, 10, 0, 0, 0, 0, 0, 0, 0),
    ("PrivateTest", "fer6.png", 0, 0, 0, 0, 0, 0, 2, 2, 1, 0),
]


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def write_both(folder, rows=ROWS, votes_header=HEADER):
    # Every pixel of row i is i, so that an image tells its row.
    pixels = [(0, " ".join([str(row)] * 48**2), usage) for row, (usage, *_) in enumerate(ROWS)]
    write(folder / "fer2013.csv", [("emotion", "pixels", "Usage"), *pixels])
    return write(folder / "fer2013new.csv", [votes_header, *rows])


def test_votes_become_shares_of_the_eight_emotions(tmp_path):
    votes = write_both(tmp_path)
    for path in (tmp_path, votes):
        samples = datasets.load(path, "train")
        assert samples.class_names == CLASSES
        assert samples.labels.dtype == np.float32
        np.testing.assert_allclose(
            samples.labels, [[0.4, 0, 0, 0.1, 0.3, 0.2, 0, 0], [0, 1, 0, 0, 0, 0, 0, 0]]
        )
        assert samples.hard_labels.tolist() == [0, 1]
        assert samples.images.shape == (2, 64, 64, 1)
        assert samples.images[:, 0, 0, 0].tolist() == [0, 1]
        assert samples.skipped == ()
    validation, test = datasets.load(tmp_path, "validation"), datasets.load(tmp_path, "test")
    assert (validation.images.max(), test.images.max()) == (5, 6)
    np.testing.assert_allclose(test.labels, [[0, 0, 0, 0, 0, 0, 0.5, 0.5]])


def test_the_image_name_is_not_needed(tmp_path):
    write_both(
        tmp_path,
        [(usage, *votes) for usage, _, *votes in ROWS],
        ("Usage", *CLASSES, "unknown", "NF"),
    )
    assert datasets.load(tmp_path, "validation").hard_labels.tolist() == [2]


def test_files_with_different_numbers_of_rows_are_refused(tmp_path):
    write_both(tmp_path, ROWS[:-1])
    with pytest.raises(
        DataError, match=r"fer2013new\.csv has 6 rows and .*fer2013\.csv has 7: the rows are joined"
    ):
        datasets.load(tmp_path, "train")


def test_files_in_different_orders_are_refused(tmp_path):
    write_both(tmp_path, [*ROWS[:4], ROWS[5], ROWS[4], ROWS[6]])
    with pytest.raises(
        DataError,
        match=r"fer2013new\.csv, line 6: Usage is PublicTest, in .*fer2013\.csv it is Train",
    ):
        datasets.load(tmp_path, "train")


@pytest.mark.parametrize("vote", ["-1", "x", "", "2.5", "99999999999999999999999"])
def test_a_bad_vote_is_named_or_skipped(tmp_path, vote):
    write_both(tmp_path, [(*ROWS[0][:4], vote, *ROWS[0][5:]), *ROWS[1:]])
    with pytest.raises(
        DataError, match=rf"fer2013new\.csv, line 2: the votes are 4,0,{vote},1.*expected ten whole"
    ):
        datasets.load(tmp_path, "train")
    samples = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert samples.images[:, 0, 0, 0].tolist() == [1]
    assert len(samples.skipped) == 1
    assert datasets.load(tmp_path, "test", skip_bad_rows=True).skipped == ()


def test_a_bad_row_of_the_pixels_keeps_the_join(tmp_path):
    write_both(tmp_path)
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    lines[1] = "0,1 2 3,Training"
    (tmp_path / "fer2013.csv").write_text("\n".join(lines))
    samples = datasets.load(tmp_path, "train", skip_bad_rows=True)
    assert samples.images[:, 0, 0, 0].tolist() == [1]
    assert samples.hard_labels.tolist() == [1]
    assert "fer2013.csv, line 2: 3 pixels" in samples.skipped[0]


def test_a_missing_column_is_named(tmp_path):
    write_both(tmp_path, votes_header=[name.replace("contempt", "scorn") for name in HEADER])
    with pytest.raises(DataError, match=r"fer2013new\.csv has no column contempt"):
        datasets.load(tmp_path, "train")


def test_missing_pixels_are_asked_for(tmp_path):
    votes = write_both(tmp_path)
    (tmp_path / "fer2013.csv").unlink()
    with pytest.raises(
        DataError, match="holds 0 csv files of FER2013 pixels.*put fer2013.csv and the votes"
    ):
        datasets.load(votes, "train")


def test_two_files_of_votes_are_refused(tmp_path):
    votes = write_both(tmp_path)
    (tmp_path / "copy.csv").write_bytes(votes.read_bytes())
    with pytest.raises(DataError, match="holds 2 csv files of FER"):
        datasets.load(tmp_path, "train")


def test_a_split_without_votes_for_emotions_is_refused(tmp_path):
    write_both(tmp_path, [*ROWS[:-1], ("PrivateTest", "", *[0] * 9, 10)])
    with pytest.raises(DataError, match="no votes for an emotion in the test split"):
        datasets.load(tmp_path, "test")


def test_subsets_cover_what_is_left(tmp_path):
    write_both(tmp_path)
    masks = ferplus.subsets(*(datasets.load(tmp_path, split) for split in datasets.SPLITS))
    assert [mask.tolist() for mask in masks["private_without_copies"]] == [[False], [True]]


def test_the_real_votes_join_their_images(real_fer2013, real_fer2013_arrays):
    samples = datasets.load(real_fer2013, "validation")
    rows = real_fer2013_arrays["usage"] == 1
    votes, pixels = real_fer2013_arrays["ferplus"][rows], real_fer2013_arrays["pixels"][rows]
    # argmax takes the first of equals, so an emotion goes before unknown and NF.
    kept = (votes.argmax(axis=1) < 8) & (votes.sum(axis=1) > 0)
    assert len(samples) == kept.sum()
    np.testing.assert_allclose(
        samples.labels, [row[:8] / sum(row[:8]) for row in votes[kept]], rtol=1e-6
    )
    # Corner pixels of the resized image are mixtures of the original's first ones.
    np.testing.assert_allclose(samples.images[:, 0, 0, 0], pixels[kept][:, 0, 0], atol=1)
