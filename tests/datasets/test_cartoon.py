"""Every action unit moves its part of the face, and that alone."""

from __future__ import annotations

import numpy as np
import pytest

from keras_kd.datasets._faces import cartoon, drawing, geometry, traits

UNITS = list(traits.UNITS)
PARTED = {16: 25}  # the lower lip's depressor shows the teeth where lips are parted


def middling(traits: dict[str, tuple[float, float]], count: int) -> np.ndarray:
    """`count` rows with the middle of every trait."""
    table = np.empty(count, [(name, float) for name in traits])
    for name, (low, high) in traits.items():
        table[name] = (low + high) / 2
    return table


def drawn(units: list[dict[int, float]]) -> np.ndarray:
    """A middling person from the front in even light without noise, one picture for each set of
    intensities.
    """
    table = np.array([[row.get(unit, 0.0) for unit in UNITS] for row in units])
    scenes = middling(drawing.SCENE, len(units))
    scenes["noise"] = 0
    return cartoon.draw(
        middling(traits.PERSON, len(units)), table, scenes, np.random.default_rng(0)
    ).astype(int)


def changed_rows(unit: int) -> np.ndarray:
    """Rows of the picture, as heights in face units, that the action unit changes."""
    rest = {PARTED[unit]: 1.0} if unit in PARTED else {}
    before, after = drawn([rest, {**rest, unit: 1.0}])
    rows = np.flatnonzero(np.abs(after - before).max(axis=(1, 2)) > 8)
    return (rows + 0.5 - 32) / np.mean(drawing.SCENE["scale"])


@pytest.mark.parametrize("unit", [1, 2, 4, 5, 7, 43])
def test_units_of_brows_and_lids_leave_the_mouth_alone(unit):
    rows = changed_rows(unit)
    assert len(rows) and rows.min() > -1.3 and rows.max() < 0.3


@pytest.mark.parametrize("unit", [15, 16, 17, 20, 23, 24, 25, 26])
def test_units_of_lips_and_jaw_leave_the_eyes_alone(unit):
    rows = changed_rows(unit)
    assert len(rows) and rows.min() > 0.3


@pytest.mark.parametrize("unit", [6, 9, 10, 12])
def test_units_of_the_cheeks_and_the_nose_change_the_middle_of_the_face(unit):
    rows = changed_rows(unit)
    assert len(rows) and rows.min() > -0.8 and rows.min() < 0.5 and rows.max() < 1.2


def test_only_the_jaw_moves_the_chin():
    assert (
        changed_rows(26).max() > 1.3 > max(changed_rows(unit).max() for unit in UNITS if unit != 26)
    )


def face(**units: float) -> cartoon.Face:
    """A middling face with intensities given as unit12=1.0."""
    table = np.array([[units.get(f"unit{unit}", 0.0) for unit in UNITS]])
    return cartoon.Face(middling(traits.PERSON, 1), table, middling(drawing.SCENE, 1))


def lines(**units: float) -> dict[str, np.ndarray]:
    return {name: line[0] for name, line in face(**units).mouth.items()}


def test_the_mouth_follows_its_muscles():
    rest = lines()
    np.testing.assert_allclose(rest["upper"], rest["lower"], atol=1e-12)
    assert lines(unit12=1.0)["upper"][0] < rest["upper"][0] < lines(unit15=1.0)["upper"][0], (
        "corners up, corners down"
    )
    assert np.ptp(lines(unit20=1.0)["x"]) > np.ptp(rest["x"]) > np.ptp(lines(unit23=1.0)["x"]), (
        "wide, narrow"
    )

    def gap(**units: float) -> float:
        mouth = lines(**units)
        return (mouth["lower"] - mouth["upper"]).max()

    assert gap(unit26=1.0) > gap(unit26=0.5) > gap(unit25=1.0) > 0.05
    assert lines(unit24=1.0)["bottom"][6] < rest["bottom"][6], "pressed lips are thin"


def test_the_brows_follow_their_muscles():
    def moved(**units: float) -> np.ndarray:
        """How far the inner and the outer end of the brow have gone down."""
        return (face(**units).brow_line(1)[1] - face().brow_line(1)[1])[0, [0, -1]]

    assert moved(unit1=1.0)[0] < -0.1 and moved(unit1=1.0)[1] == 0
    assert moved(unit2=1.0)[0] == 0 and moved(unit2=1.0)[1] < -0.1
    assert moved(unit4=1.0)[0] > 0.1 > moved(unit4=1.0)[1] >= 0
    assert np.abs(face(unit4=1.0).brow_line(-1)[0]).min() < np.abs(face().brow_line(-1)[0]).min(), (
        "drawn together"
    )


def test_the_lids_follow_their_muscles():
    def opening(**units: float) -> float:
        shown = face(**units)
        upper, lower = geometry.lids(shown.people, shown.action, 1, drawing.STEPS)
        return (lower - upper).max()

    assert (
        opening(unit5=1.0)
        > opening()
        > opening(unit7=1.0)
        > opening(unit43=1.0)
        == pytest.approx(0, abs=1e-12)
    )


def test_faces_do_not_depend_on_their_neighbours():
    generator = np.random.default_rng(0)
    people, scenes = (
        drawing.sample(generator, 140, traits) for traits in (traits.PERSON, drawing.SCENE)
    )
    scenes["noise"] = 0
    units = generator.uniform(0, 1, (140, len(UNITS)))
    together = cartoon.draw(people, units, scenes, generator)
    alone = cartoon.draw(people[130:131], units[130:131], scenes[130:131], generator)
    np.testing.assert_array_equal(together[130:131], alone)


def test_no_faces_are_an_empty_array():
    none = cartoon.draw(
        middling(traits.PERSON, 0),
        np.empty((0, 18)),
        middling(drawing.SCENE, 0),
        np.random.default_rng(0),
    )
    assert none.shape == (0, 64, 64, 3) and none.dtype == np.uint8
