"""What of a data set is learnt, and the teacher's columns by head."""

from __future__ import annotations

import numpy as np
import pytest

from keras_kd.datasets import Samples, duplicates, splits
from keras_kd.datasets.splits import Data, Heads
from keras_kd.errors import ConfigError

NAMES = ("a", "b", "c")


def _samples(count: int, valence: float = 0.5) -> Samples:
    values = {
        "valence": np.full(count, valence, np.float32),
        "arousal": np.zeros(count, np.float32),
    }
    labels = np.arange(count) % 3
    return Samples(
        np.zeros((count, 4, 4, 1), np.uint8), labels, NAMES, values, label_name="expression"
    )


DATA = Data("drawn", _samples(6), _samples(3), _samples(3))


def test_without_a_wish_it_is_the_classes_and_the_teachers_values() -> None:
    assert splits.chosen(None, DATA, ()) == Heads("expression", NAMES)
    assert splits.chosen(None, DATA, ("arousal", "gaze")) == Heads(
        "expression", NAMES, ("arousal",)
    )


def test_a_wish_counts_in_the_datas_order() -> None:
    joint = splits.chosen(
        (
            "arousal",
            "expression",
            "valence",
        ),
        DATA,
        (),
    )
    assert joint == Heads("expression", NAMES, ("valence", "arousal"))
    assert joint.widths == {"expression": 3, "valence": None, "arousal": None} and not joint.single
    alone = splits.chosen(("valence",), DATA, ("arousal",))
    assert alone == Heads(None, (), ("valence",)) and alone.widths == {"valence": None}
    with pytest.raises(
        ConfigError, match="heads must be among those of drawn, expression, valence, arousal"
    ):
        splits.chosen(
            (
                "expression",
                "gaze",
            ),
            DATA,
            (),
        )


def test_targets_have_the_form_that_the_distiller_takes() -> None:
    assert splits.chosen(None, DATA, ()).targets(DATA.test).tolist() == [0, 1, 2]
    joint = splits.chosen(
        (
            "expression",
            "valence",
        ),
        DATA,
        (),
    ).targets(DATA.test)
    assert (
        joint["expression"].tolist() == [0, 1, 2]
        and joint["valence"].tolist() == [0.5] * 3
        and len(joint) == 2
    )


def test_the_stores_columns_go_to_their_heads() -> None:
    stored = np.arange(2 * 1 * 5).reshape(2, 1, 5)
    joint = Heads("expression", NAMES, ("valence", "arousal"))
    parts = joint.teacher(stored, NAMES, ("arousal", "valence"))
    assert parts["expression"][1, 0].tolist() == [5, 6, 7]
    assert (parts["arousal"][1, 0], parts["valence"][1, 0]) == (8, 9)
    assert list(joint.teacher(stored[..., :3], NAMES, ())) == ["expression"]
    assert list(joint.teacher(stored[..., 3:], (), ("arousal", "valence"))) == [
        "valence",
        "arousal",
    ]
    assert Heads("expression", NAMES).teacher(stored, NAMES, ("arousal", "valence")).shape == (
        2,
        1,
        3,
    )


def test_a_teacher_of_nothing_in_common_is_known() -> None:
    assert Heads("expression", NAMES).shared(NAMES, ()) and not Heads("expression", NAMES).shared(
        (), ("valence",)
    )
    assert not Heads(None, (), ("valence",)).shared(NAMES, ("arousal",)) and Heads(
        None, (), ("valence",)
    ).shared((), ("valence",))


def test_other_values_are_another_data_set() -> None:
    other = Data("drawn", _samples(6, 0.4), _samples(3), _samples(3))
    same = Data("drawn", _samples(6), _samples(3), _samples(3))
    assert DATA.fingerprint == same.fingerprint != other.fingerprint


def test_the_digests_of_training_images_are_computed_once(monkeypatch) -> None:
    """They were for exact copies, and again for near ones."""
    seen: list[int] = []
    compute = duplicates.digests
    monkeypatch.setattr(
        duplicates, "digests", lambda images: [seen.append(len(images)), compute(images)][1]
    )
    data = Data("drawn", _samples(6), _samples(3), _samples(4))
    # Blank images, which are exact copies and no near ones.
    assert data.scored_copies() == {"validation": 3, "test": 4}
    assert data.scored_near_copies() == {"validation": 0, "test": 0}
    assert sorted(seen) == [3, 4, 6]
