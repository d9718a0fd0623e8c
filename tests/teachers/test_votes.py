"""People's votes as a teacher: what they say about the data set's own labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import called
from small_network import NETWORK

from keras_kd.errors import DataError
from keras_kd.teachers import votes

# P(label | what was voted), for three kinds of votes.
TABLE = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])


def _voted(count=3000):
    random = np.random.default_rng(0)
    kinds = random.integers(3, size=count)
    labels = (random.random(count) < TABLE[kinds, 1]).astype(int)
    # As many people voted alike on every image of a kind; how many is not to matter.
    people = random.integers(1, 11, count)
    return np.eye(3, dtype=int)[kinds] * people[:, None], labels, kinds


def test_votes_tell_the_shares_of_the_labels():
    told, labels, kinds = _voted()
    logits = votes.logits(told, labels, 2)
    assert logits.dtype == np.float32 and logits.shape == (3000, 2)
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, rtol=1e-5)
    for kind in range(3):
        np.testing.assert_allclose(
            np.exp(logits[kinds == kind]).mean(axis=0), TABLE[kind], atol=0.03
        )


def test_no_image_is_told_its_own_label():
    # Each image has votes of its own, so a model that had seen its label could repeat it.
    random = np.random.default_rng(1)
    told, labels = random.integers(0, 1000, (600, 6)), random.integers(2, size=600)
    told[:, 0] = 200 + 800 * labels * (random.random(600) < 0.5)
    logits = votes.logits(told, labels, 2)
    # The first column tells the class 1 half of the time: 75 % is all that can be known.
    assert 0.65 < np.mean(logits.argmax(axis=1) == labels) < 0.82


def test_votes_on_other_images_are_refused():
    told, labels, _ = _voted()
    with pytest.raises(DataError, match="they belong to other images, or are in another order"):
        votes.logits(told[np.random.default_rng(2).permutation(3000)], labels, 2)
    with pytest.raises(DataError, match="votes on 2999 training images and labels of 3000"):
        votes.logits(told[1:], labels, 2)
    with pytest.raises(DataError, match="A class has 0 training images, votes need 5"):
        votes.logits(told, labels, 3)


@pytest.fixture
def faces(tmp_path):
    """A small fer2013.csv of random pixels, and votes that agree with its labels on nine images of
    ten.
    """
    random = np.random.default_rng(0)
    rows, ballots = ["emotion,pixels,Usage"], []
    header = (
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    )
    columns = (4, 5, 6, 1, 3, 2, 0)  # of FER2013's classes among the votes
    for usage, count in (("Training", 60), ("PublicTest", 2), ("PrivateTest", 2)):
        for number in range(7 * count):
            label = number % 7
            pixels = " ".join(map(str, random.integers(0, 256, 48 * 48)))
            rows.append(f"{label},{pixels},{usage}")
            ballot = [0] * 10
            ballot[columns[label if number % 10 else (label + 1) % 7]] = 10
            ballots.append(f"{usage},,{','.join(map(str, ballot))}")
    (tmp_path / "fer2013.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "fer2013new.csv").write_text("\n".join([header, *ballots]) + "\n")
    return tmp_path


def test_a_student_learns_from_votes(faces, capsys):
    arguments = [
        "distill",
        "--data",
        faces / "fer2013.csv",
        "--votes",
        faces / "fer2013new.csv",
        "--student",
        NETWORK,
        "--epochs",
        1,
        "--image-size",
        16,
        "--formats",
        "float32",
        "--out",
        faces / "run",
    ]
    assert called(*map(str, arguments)) == 0
    metrics = json.loads((faces / "run" / "metrics.json").read_text())
    assert metrics["teacher"]["name"] == "people's votes" and metrics["fingerprints"][
        "teacher"
    ].startswith("votes ")
    assert "distilled from people's votes" in (faces / "run" / "README.md").read_text()
    history = (faces / "run" / "history.csv").read_text()
    assert "soft_loss" in history.splitlines()[0]
    capsys.readouterr()
    assert called(*map(str, [*arguments[:-1], faces / "other", "--teacher", "A"])) == 2
    assert "leave out --teacher" in capsys.readouterr().err
    assert not (faces / "other").exists()


def test_votes_of_no_training_image_are_refused(faces, capsys):
    path = faces / "fer2013new.csv"
    path.write_text(path.read_text().replace("Training", "PublicTest"))
    arguments = [
        "distill",
        "--data",
        faces / "fer2013.csv",
        "--votes",
        path,
        "--student",
        "C",
        "--out",
        faces / "run",
    ]
    assert called(*map(str, arguments)) == 2
    assert "no votes on images of Usage Training" in capsys.readouterr().err
