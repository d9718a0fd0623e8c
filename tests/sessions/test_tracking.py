"""Faces followed through gaps and absences, false hits held back."""

from __future__ import annotations

import numpy as np
import pytest

from keras_kd.sessions._tracking import GAP, PERSISTENCE, Track, Tracker, longest_gap

BOX = (100.0, 100.0, 50.0, 50.0)


def _moved(by: float):
    return (BOX[0] + by, BOX[1], BOX[2], BOX[3])


def test_a_face_has_a_number_after_it_has_stayed() -> None:
    tracker = Tracker()
    numbers = [
        tracker.update(step / 10, [_moved(2 * step)])[0].number for step in range(PERSISTENCE + 2)
    ]
    assert numbers == [None] * (PERSISTENCE - 1) + [1] * 3


def test_the_number_reaches_back_to_the_first_frame() -> None:
    tracker = Tracker()
    first = tracker.update(0.0, [BOX])[0]
    for step in range(1, PERSISTENCE):
        tracker.update(step / 10, [BOX])
    assert first.number == 1


def test_a_false_hit_never_gets_a_number_nor_uses_one_up() -> None:
    tracker = Tracker()
    hit = tracker.update(0.0, [BOX])[0]
    tracker.update(0.1, [])
    again = tracker.update(0.2, [BOX])[0]
    assert again is not hit and hit.number is None
    for step in range(3, 3 + PERSISTENCE):
        again = tracker.update(step / 10, [BOX])[0]
    assert again.number == 1


def test_a_face_keeps_its_number_through_a_short_gap_only() -> None:
    for gap, number in ((0.9 * GAP, 1), (1.1 * GAP, 2)):
        tracker = Tracker()
        for step in range(PERSISTENCE):
            tracker.update(step / 10, [BOX])
        last = (PERSISTENCE - 1) / 10
        for step in range(PERSISTENCE):
            track = tracker.update(last + gap + step / 10, [_moved(10)])[0]
        assert track.number == number


def test_two_faces_that_move_towards_each_other_are_told_apart() -> None:
    tracker = Tracker()
    for step in range(12):
        left, right = _moved(4 * step), _moved(110 - 4 * step)
        # The detector names them in any order.
        boxes = [right, left] if step % 2 else [left, right]
        tracks = tracker.update(step / 30, boxes)
        if step == PERSISTENCE:
            first = {box[0] < 160: track.number for box, track in zip(boxes, tracks, strict=True)}
    last = {box == left: track.number for box, track in zip(boxes, tracks, strict=True)}
    assert first == last and set(last.values()) == {1, 2}


def test_a_recording_that_goes_on_knows_its_faces() -> None:
    tracker = Tracker([Track(BOX, 5.0, PERSISTENCE, 4)], 7)
    known, new = tracker.update(5.1, [_moved(5), (400.0, 0.0, 50.0, 50.0)])
    assert known.number == 4
    for step in range(2, 2 + PERSISTENCE):
        new = tracker.update(5 + step / 10, [(400.0, 0.0, 50.0, 50.0)])[0]
    assert new.number == 7


def test_frames_that_come_seldom_make_no_gap() -> None:
    assert longest_gap(0.1) == GAP
    tracker = Tracker(gap=longest_gap(2.5))
    numbers = [tracker.update(2.5 * step, [BOX])[0].number for step in range(PERSISTENCE)]
    assert numbers[-1] == 1
    tracker.update(2.5 * PERSISTENCE + 2.6, [BOX])
    assert tracker.update(2.5 * PERSISTENCE + 5.1, [BOX])[0].number is None


ANNA, BERT = np.full(27, 64.0), np.tile([84.0, 64.0, 44.0], 9)
AWAY = 10 * GAP


def _stay(tracker: Tracker, start: float, people: dict[str, tuple[float, np.ndarray]]) -> dict:
    """Let people sit at some places for a while; return their numbers."""
    numbers = {}
    for step in range(PERSISTENCE):
        boxes = [_moved(place) for place, _ in people.values()]
        tracks = tracker.update(start + step / 10, boxes, [look for _, look in people.values()])
        numbers = {name: track.number for name, track in zip(people, tracks, strict=True)}
    return numbers


def test_who_comes_back_keeps_the_number_and_somebody_else_gets_a_new_one() -> None:
    tracker = Tracker()
    assert _stay(tracker, 0, {"Anna": (0, ANNA)}) == {"Anna": 1}
    # Somewhere else in the picture, in slightly other light.
    assert _stay(tracker, AWAY, {"Anna": (300, ANNA + 1)}) == {"Anna": 1}
    assert _stay(tracker, 2 * AWAY, {"Bert": (300, BERT)}) == {"Bert": 2}
    both = {"Bert": (0, BERT), "Anna": (300, ANNA)}
    assert _stay(tracker, 3 * AWAY, both) == {"Bert": 2, "Anna": 1}


def test_people_side_by_side_stay_apart_even_if_they_look_alike() -> None:
    tracker = Tracker()
    assert _stay(tracker, 0, {"Anna": (0, ANNA), "her twin": (200, ANNA)}) == {
        "Anna": 1,
        "her twin": 2,
    }
    # One leaves and comes back: the other's number isn't free.
    _stay(tracker, AWAY, {"Anna": (0, ANNA)})
    assert _stay(tracker, 2 * AWAY, {"Anna": (0, ANNA), "her twin": (200, ANNA)}) == {
        "Anna": 1,
        "her twin": 2,
    }


@pytest.mark.parametrize(("one_person", "number"), [(True, 1), (False, 2)])
def test_of_one_person_no_look_makes_another(one_person: bool, number: int) -> None:
    tracker = Tracker(one_person=one_person)
    _stay(tracker, 0, {"Anna": (0, ANNA)})
    assert _stay(tracker, AWAY, {"Anna, masked": (300, BERT)}) == {"Anna, masked": number}
    beside = {"Anna": (300, BERT), "somebody": (0, np.roll(BERT, 1))}
    assert _stay(tracker, AWAY + 0.5, beside)["somebody"] == number + 1


def test_a_recording_that_goes_on_knows_who_left() -> None:
    gone = Track(BOX, 0.0, PERSISTENCE, 4)
    gone.see(ANNA)
    tracker = Tracker([gone], 7)
    assert _stay(tracker, AWAY, {"Anna": (300, ANNA)}) == {"Anna": 4}


def test_somebody_who_is_covered_for_a_moment_is_known_again() -> None:
    tracker = Tracker()
    _stay(tracker, 0, {"Anna": (0, ANNA)})
    # Somebody passes in front of her, and she is seen by halves until she is gone.
    for step in range(20):
        tracker.update(1 + step / 10, [_moved(0)], [np.where(np.arange(27) < 14, ANNA, BERT + 40)])
    assert _stay(tracker, AWAY, {"Anna": (300, ANNA)}) == {"Anna": 1}
