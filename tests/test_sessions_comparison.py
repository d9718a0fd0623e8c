"""Participants against each other: against values worked out by hand and by other means."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest
from command_line import called
from test_sessions_timeline import mostly, write

from keras_kd.errors import DataError
from keras_kd.sessions import comparison


def test_hedges_g_of_a_case_worked_out_by_hand():
    first, second = np.array([1.0, 2, 3, 4, 5]), np.array([3.0, 4, 5, 6, 7])
    # Means 3 and 5, both variances 2.5: d = 2 / sqrt(2.5); J = 1 - 3 / (4·8 - 1).
    assert comparison.hedges_g(first, second) == pytest.approx(2 / np.sqrt(2.5) * (1 - 3 / 31))
    assert np.isnan(comparison.hedges_g(np.ones(3), np.ones(3)))
    assert np.isnan(comparison.hedges_g(np.ones(1), np.ones(3)))


def test_intervals_hold_the_truth_as_often_as_they_say():
    generator = np.random.default_rng(0)
    hits, trials = 0, 40
    for trial in range(trials):
        rows = pd.DataFrame(
            {
                "task": "t",
                "group": ["A"] * 40 + ["B"] * 40,
                "participant": range(80),
                "x": np.concatenate([generator.normal(0, 1, 40), generator.normal(0.5, 2, 40)]),
            }
        )
        (found,) = comparison.compare(rows, seed=trial)
        hits += found.difference.low < 0.5 < found.difference.high
    # 95 % of 40 is 38, standard deviation 1.4.
    assert hits >= 34


def test_the_interval_of_a_mean_is_that_of_the_normal_law_for_many():
    values = np.random.default_rng(1).normal(3, 2, 400)
    rows = pd.DataFrame({"task": "t", "group": "A", "participant": range(400), "x": values})
    (found,) = comparison.compare(rows)
    half = 1.96 * values.std(ddof=1) / 20
    assert found.means["A"].value == pytest.approx(values.mean())
    assert (found.means["A"].low, found.means["A"].high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=0.04
    )
    assert found.difference is None


@pytest.fixture
def study(tmp_path):
    """Two designs: in A everybody is happy for half of the time, in B for a fifth."""
    for group, share in (("A", 0.5), ("B", 0.2)):
        (tmp_path / group).mkdir()
        for number in range(4):
            seconds = 20 * share + number
            chances = [*mostly("neutral", 20 - seconds), *mostly("happy", seconds)]
            write(tmp_path / group / f"p{number}.csv", chances)
    return tmp_path


def test_folders_name_the_groups(study, capsys):
    files = [str(path) for path in sorted(study.glob("?/*.csv"))]
    assert called("compare", *files, "--json", "--csv", str(study / "all.csv"), "--out", str(study / "all.html")) == 0
    rows = {row["measure"]: row for row in json.loads(capsys.readouterr().out)}
    happy = rows["share_happy"]
    # Averaging over half a second moves each border by a frame at most.
    assert happy["A_n"] == happy["B_n"] == 4
    assert happy["A_mean"] == pytest.approx(0.575, abs=0.03) and happy["B_mean"] == pytest.approx(0.275, abs=0.03)
    assert happy["difference"] == pytest.approx(-0.3, abs=0.01)
    assert happy["difference_low"] < -0.3 < happy["difference_high"] < 0
    # Participants lie 5 points apart: standard deviation 6.45.
    assert happy["hedges_g"] == pytest.approx(-0.3 / 0.0645 * (1 - 3 / 23), rel=0.05)
    # Nobody is angry, all alike: no effect size.
    assert rows["share_angry"]["difference"] == 0 and rows["share_angry"]["hedges_g"] is None
    assert len(list(csv.DictReader((study / "all.csv").open()))) == len(rows)
    page = (study / "all.html").read_text()
    assert "A and B" in page and "default-src &#x27;none" not in page and "<script" not in page


def test_one_group_is_summed_up(study, capsys):
    assert called("compare", *map(str, sorted(study.glob("A/*.csv")))) == 0
    shown = capsys.readouterr().out
    assert "A, n = 4" in shown and "Hedges" not in shown and "too narrow" in shown


def test_tasks_come_from_the_sessions_own_folder(study):
    for number in range(2):
        tasks = [{"start": 0, "end": 5, "name": "find"}]
        options = {"smooth": 0, "confidence": 0.5, "baseline": 10.0, "faces": [], "tasks": tasks}
        (study / "A" / f"p{number}").mkdir()
        (study / "A" / f"p{number}" / "session.json").write_text(json.dumps({"options": options}))
    rows = comparison.participants(sorted(study.glob("A/*.csv")))
    assert rows.groupby("task").size().to_dict() == {"find": 2, "whole session": 4}
    found = {(row.task, row.measure): row for row in comparison.compare(rows)}
    assert found["find", "share_neutral"].counts == {"A": 2}
    assert found["find", "share_neutral"].means["A"].value == 1


def test_mistakes_are_told(study, capsys):
    files = sorted(study.glob("?/*.csv"))
    (study / "C").mkdir()
    write(study / "C" / "p.csv", mostly("happy", 2))
    with pytest.raises(DataError, match="Two groups"):
        comparison.compare(comparison.participants([*files, study / "C" / "p.csv"]))
    with pytest.raises(DataError, match="twice"):
        comparison.participants([files[0], files[0]])
    (study / "A" / "p0").mkdir()
    (study / "A" / "p0" / "session.json").write_text("{}")
    with pytest.raises(DataError, match="--resume"):
        comparison.participants(files)
    assert called("compare", str(study / "none.csv")) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_folders_of_one_name_are_two_groups(study):
    for place, group in (("x", "A"), ("y", "B")):
        (study / place).mkdir()
        (study / group).rename(study / place / "S")
    rows = comparison.participants(sorted(study.glob("?/S/*.csv")))
    assert set(rows["group"]) == {"x/S", "y/S"}


def test_recordings_of_different_models_are_not_compared(study):
    for number in range(2):
        (study / "A" / f"p{number}").mkdir()
        options = {"smooth": 0, "confidence": 0.5, "baseline": 10.0, "faces": [], "tasks": []}
        record = {"options": options, "model": f"model {number}"}
        (study / "A" / f"p{number}" / "session.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"p0.csv and .*p1.csv were analysed by different models"):
        comparison.participants(sorted(study.glob("A/*.csv")))
