"""Recordings that were analysed otherwise than each other are not compared, or that is told."""

from __future__ import annotations

import warnings

import pytest
from command_line import called
from drawn_timeline import write_settings

from keras_kd.errors import DataError
from keras_kd.sessions import comparison


def test_recordings_without_their_folder_are_told(study):
    files = sorted(study.glob("A/*.csv"))
    write_settings(study, 0)
    with pytest.warns(UserWarning, match="usual settings and no tasks") as caught:
        comparison.participants(files)
    told = str(caught[0].message)
    assert "p1.csv" in told and "p0.csv" not in told
    for number in (1, 2, 3):
        write_settings(study, number)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison.participants(files)


def test_recordings_of_different_models_are_not_compared(study):
    for number in range(2):
        write_settings(study, number, model=f"model {number}")
    with pytest.raises(DataError, match=r"p0.csv and .*p1.csv were analysed by different models"):
        comparison.participants(sorted(study.glob("A/*.csv")))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({"confidence": 0.9}, {}, "--confidence 0.9, .* with 0.5, .*--resume"),
        ({"smooth": 2.0}, {}, "--smooth 2.0"),
        # Another recording has no folder, and so the usual settings.
        ({"smooth": 2.0}, {"smooth": 2.0}, "--smooth 2.0, .* with 0.5"),
        ({"recipe": {"side": 1.5}}, {"recipe": {"side": 1.17}}, "--crop 1.5, .* with 1.17"),
        (
            {"recipe": {"detector": "auto 0.5"}},
            {"recipe": {"detector": "cascade 0.5"}},
            "--detector",
        ),
    ],
)
def test_recordings_of_different_settings_are_not_compared(study, first, second, told):
    write_settings(study, 0, **first)
    write_settings(study, 1, **second)
    with pytest.raises(DataError, match=told):
        comparison.participants(sorted(study.glob("A/*.csv")))


def test_recordings_of_different_classes_are_not_compared(study):
    path = study / "A" / "p1.csv"
    path.write_text(path.read_text().replace("p_angry", "p_sad", 1))
    with pytest.raises(DataError, match="the classes angry, happy, neutral, .* with sad, happy"):
        comparison.participants(sorted(study.glob("A/*.csv")))


def test_baselines_of_their_own_are_told(study, capsys):
    write_settings(study, 0, baseline="median")
    files = sorted(map(str, study.glob("A/*.csv")))
    assert called("compare", *files) == 0
    told = capsys.readouterr().out
    assert "baselines (the first 10 s in 3, the median of the session in 1)" in told
    assert called("compare", *files[1:]) == 0
    assert "baselines" not in capsys.readouterr().out
