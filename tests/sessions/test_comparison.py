"""Participants against each other: against values worked out by hand and by other means."""

from __future__ import annotations

import csv
import json
import unicodedata
import xml.etree.ElementTree

import numpy as np
import pandas as pd
import pytest
from command_line import called
from drawn_timeline import mostly, write, write_settings
from scipy import stats

from keras_kd.errors import DataError
from keras_kd.sessions import _comparison_page, _estimates, _questionnaires, comparison


def test_folders_name_the_groups(study, capsys):
    files = [str(path) for path in sorted(study.glob("?/*.csv"))]
    assert (
        called(
            "compare",
            *files,
            "--json",
            "--csv",
            str(study / "all.csv"),
            "--out",
            str(study / "all.html"),
        )
        == 0
    )
    rows = {row["measure"]: row for row in json.loads(capsys.readouterr().out)}
    happy = rows["share_happy"]
    # Averaging over half a second moves each border by a frame at most.
    assert happy["A_n"] == happy["B_n"] == 4
    assert happy["A_mean"] == pytest.approx(0.575, abs=0.03) and happy["B_mean"] == pytest.approx(
        0.275, abs=0.03
    )
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
    assert " 4 " in shown and "Hedges" not in shown and "too narrow" in shown


def test_tasks_come_from_the_sessions_own_folder(study):
    for number in range(2):
        tasks = [{"start": 0, "end": 5, "name": "find"}]
        options = {"smooth": 0.5, "confidence": 0.5, "baseline": 10.0, "faces": [], "tasks": tasks}
        (study / "A" / f"p{number}").mkdir()
        (study / "A" / f"p{number}" / "session.json").write_text(json.dumps({"options": options}))
    rows = comparison.participants(sorted(study.glob("A/*.csv")))
    assert rows.groupby("task").size().to_dict() == {"find": 2, "whole session": 4}
    found = {(row.task, row.measure): row for row in comparison.compare(rows).rows}
    assert found["find", "share_neutral"].counts == {"A": 2}
    assert found["find", "share_neutral"].means["A"].value == 1


def _study(first, second, readable=1.0):
    """One measure of two groups, the participants of the same names in both."""
    names = [f"p{number}" for number in range(len(first))]
    parts = [
        pd.DataFrame(
            {
                "task": "pay",
                "group": group,
                "participant": names,
                "readable": readable,
                "share_sad": values,
            }
        )
        for group, values in (("A", first), ("B", second))
    ]
    return pd.concat(parts, ignore_index=True)


def test_pairs_are_compared_within_themselves():
    generator = np.random.default_rng(5)
    first = generator.normal(0.4, 0.2, 12)
    second = first + generator.normal(0.05, 0.02, 12)
    rows = _study(first, second)
    paired, unpaired = comparison.compare(rows, paired=True), comparison.compare(rows)
    (row,), (loose,) = paired.rows, unpaired.rows
    gains = second - first
    half = stats.t.ppf(0.975, 11) * gains.std(ddof=1) / np.sqrt(12)
    assert row.difference.value == pytest.approx(gains.mean())
    assert row.difference.high - row.difference.low == pytest.approx(2 * half, rel=0.25)
    assert loose.difference.high - loose.difference.low > 5 * half
    assert row.chance == pytest.approx(stats.wilcoxon(first, second).pvalue) and row.chance < 0.01
    assert (
        loose.chance == pytest.approx(stats.mannwhitneyu(first, second).pvalue)
        and loose.chance > 0.3
    )
    # Lakens, 2013, equation 10, and Hedges' correction for 11 degrees of freedom.
    spread = (first.std(ddof=1) + second.std(ddof=1)) / 2
    assert row.effect.value == pytest.approx(gains.mean() / spread * (1 - 3 / 43))
    assert unpaired.same_names and not paired.same_names


def test_who_was_hardly_seen_does_not_count_and_is_named():
    rows = _study([0.2, 0.4, 0.6], [0.3, 0.5, 0.9], readable=[1.0, 0.8, 1.0])
    rows.loc[5, "readable"] = 0.3  # p2 in B
    (row,) = (study := comparison.compare(rows)).rows
    assert row.counts == {"A": 3, "B": 2} and row.means["B"].value == pytest.approx(0.4)
    assert study.left_out == ["p2 in B, pay: 30% of the time was readable, less than 50%."]
    (row,) = (study := comparison.compare(rows, paired=True)).rows
    assert row.counts == {"A": 2, "B": 2} and row.means["A"].value == pytest.approx(0.3)
    assert study.left_out[1:] == ["p2, pay: counts in A alone, so not as a pair."]
    assert comparison.compare(rows, least=0.2).rows[0].counts == {"A": 3, "B": 3}


def test_an_unknown_rate_is_not_averaged_as_zero(tmp_path):
    (tmp_path / "A").mkdir()
    for number in range(5):
        write(tmp_path / "A" / f"p{number}.csv", [*mostly("neutral", 60), *mostly("angry", 60)])
    write(tmp_path / "A" / "p5.csv", [np.full(3, np.nan)] * 1200)
    study = comparison.compare(comparison.participants(sorted((tmp_path / "A").glob("*.csv"))))
    rates = next(row for row in study.rows if row.measure == "spikes_per_minute")
    # One moment in two minutes of each of the five who were seen; the sixth would make it 0.42.
    assert rates.means["A"].value == pytest.approx(0.5, abs=0.001) and rates.counts == {"A": 5}
    assert len(study.left_out) == 1 and "p5 in A" in study.left_out[0]


def test_what_was_not_recorded_of_a_task_was_not_readable(study):
    # The recordings last 20 s.
    tasks = [{"start": 10, "end": end, "name": name} for name, end in (("in", 20), ("cut", 100))]
    for number in range(4):
        write_settings(study, number, tasks=tasks)
    rows = comparison.participants([study / "A"])
    readable = rows.groupby("task")["readable"].mean()
    assert readable.to_dict() == pytest.approx(
        {"whole session": 1, "in": 1, "cut": 1 / 9}, abs=0.01
    )
    told = comparison.compare(rows).left_out
    assert len(told) == 4 and "p0 in A, cut: 11% of the time was readable" in told[0]


def test_tasks_of_one_group_alone_are_told(study):
    for number in range(4):
        write_settings(study, number, tasks=[{"start": 0, "end": 9, "name": "Login"}])
    told = comparison.compare(comparison.participants([study / "A", study / "B"])).left_out
    assert told == ["The task Login is in A alone: tasks are compared by their names."]
    assert not comparison.compare(comparison.participants([study / "A"])).left_out


def test_a_folder_stands_for_its_recordings_and_a_link_for_itself(study):
    expected = comparison.participants(sorted(study.glob("?/*.csv")))
    # A Mac's, on disks of other systems.
    hidden = study / "A" / "._p0.csv"
    hidden.write_bytes(b"\x00\x05\x16\x07")
    rows = comparison.participants([study / "A", study / "B"])
    assert rows.equals(expected)
    hidden.unlink()
    # Groups made of links to one folder.
    (study / "all").mkdir()
    for file in study.glob("?/*.csv"):
        linked = study / "all" / f"{file.parent.name}{file.name}"
        file.rename(linked)
        file.symlink_to(linked)
    again = comparison.participants([study / "A", study / "B"])
    assert again.equals(rows)


@pytest.mark.parametrize("paired", [False, True])
def test_the_effect_of_a_rare_event_has_an_interval_that_holds_none(paired):
    first, second = np.zeros(6), np.array([0, 0, 0, 0, 0, 7.5])
    # A resample is told by how many it has of the one who had it, B(6, 1/6): 0 has no effect.
    effect = _estimates.paired_g if paired else _estimates.hedges_g
    of = [effect(first, np.repeat([0, 7.5], [6 - count, count])) for count in range(1, 6)]
    low, high = stats.binom.ppf([0.025, 0.975], 6, 1 / 6).astype(int)
    assert (low, high) == (0, 3)
    found = _estimates.estimate([first, second], effect, 0, paired)
    assert found.value == pytest.approx(of[0]) and found.low == 0
    assert found.high == pytest.approx(of[high - 1])


def _people(root, groups, decomposed=()):
    """Four people of a name with an umlaut, each 10 s longer happy in the second group; names of
    files, tasks and answers are decomposed where they are named so.
    """
    for group, seconds in zip(groups, (0, 10), strict=True):
        form = "NFD" if group in decomposed else "NFC"
        for number in range(4):
            name = unicodedata.normalize(form, f"Jörg {number}")
            (root / group / name).mkdir(parents=True)
            happy = seconds + number
            chances = [*mostly("neutral", 30 - happy), *mostly("happy", happy)]
            write(root / group / f"{name}.csv", chances)
            task = {"start": 0, "end": 30, "name": unicodedata.normalize(form, "Auswählen")}
            options = {"smooth": 0.5, "confidence": 0.5, "faces": [], "tasks": [task]}
            options["baseline"] = task["name"]
            (root / group / name / "session.json").write_text(json.dumps({"options": options}))
    return sorted(root.glob("*/*.csv"))


def test_umlauts_of_a_mac_are_those_of_others(tmp_path):
    files = _people(tmp_path, ("A", "B"), decomposed="B")
    rows = comparison.participants(files)
    answers = tmp_path / "answers.csv"
    lines = [f"Jo\u0308rg {number},A,7" for number in range(4)]
    answers.write_text("\n".join(["participant,group,ease", *lines]), "utf-8")
    study = comparison.compare(_questionnaires.joined(rows, answers), paired=True)
    found = {(row.task, row.measure): row for row in study.rows}
    assert {task for task, _ in found} == {"whole session", "Auswählen", "questionnaire"}
    happy = found["Auswählen", "share_happy"]
    assert happy.counts == {"A": 4, "B": 4}
    assert happy.difference.value == pytest.approx(1 / 3, abs=0.02)


def test_what_is_rounding_alone_is_no_difference(tmp_path):
    # Nobody's anger changes, so all are 0 against their baseline, but for some 1e-16.
    generator = np.random.default_rng(3)
    for group, least in (("A", 0.11), ("B", 0.23)):
        (tmp_path / group).mkdir()
        for number in range(8):
            angry = round(least + 0.013 * number, 5)
            happy = np.repeat(generator.uniform(0, 0.6, 30), 10).round(5)
            chances = np.stack([np.full(300, angry), happy, 1 - angry - happy], axis=1)
            write(tmp_path / group / f"p{number}.csv", chances.round(5))
    rows = comparison.participants(sorted(tmp_path.glob("?/*.csv")))
    for paired in (False, True):
        found = {row.measure: row for row in comparison.compare(rows, paired).rows}
        assert found["negative"].always_zero and np.isnan(found["negative"].chance)
        assert not found["share_happy"].always_zero
    # Smoothed in float32, a rise of 0.1 for half of the time is 0.0500000026 or so.
    (tmp_path / "C").mkdir()
    for number in range(4):
        half = mostly("neutral", 20 + number)
        write(tmp_path / "C" / f"p{number}.csv", [*half, *(np.array(half) + [0.1, 0, -0.1])])
    assert set(comparison.participants([tmp_path / "C"])["negative"]) == {0.05}
    # 0.3 - 0.1 and 0.4 - 0.2 are one gain to people, and not to computers.
    gains = np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.4, 0.2])
    assert _estimates.chance(*gains, True) == stats.wilcoxon([2, 2, -1]).pvalue


def test_doubtful_baselines_and_single_participants_are_told(tmp_path, capsys):
    for group, people in (("A", 3), ("B", 1)):
        (tmp_path / group).mkdir()
        for number in range(people):
            # Shorter than the baseline.
            write(tmp_path / group / f"p{number}.csv", mostly("neutral", 8 if number < 2 else 40))
    assert called("compare", *map(str, sorted(tmp_path.glob("?/*.csv")))) == 0
    told = capsys.readouterr().out
    assert "baseline of 3 of 4 recordings is in doubt" in told and "is the whole recording" in told
    assert "One participant has no interval, and no test is possible." in told
    assert "With 3 in a group such intervals" in told and "With 1" not in told


@pytest.mark.parametrize(
    ("a", "b", "cells"),
    [
        ([0.0002, 0.0004], [0.0005, 0.0011], ("0.03 (0.02 to 0.04)", "0.08 (0.05 to 0.11)")),
        ([0.2, 0.4], [0.5, 0.75], ("30 (20 to 40)", "62 (50 to 75)")),
    ],
)
def test_numbers_beside_an_effect_are_not_rounded_to_nothing(a, b, cells):
    """ "0 (0 to 0)" and "0 (0 to 0)" had a difference of 0 and an effect of 1.45."""
    study = comparison.compare(_study(a, b))
    assert _comparison_page.shown(study)[1][3:5] == cells


def test_the_page_shows_a_chart_first_and_folds_what_is_zero(study):
    made = comparison.compare(comparison.participants(sorted(study.glob("?/*.csv"))))
    page = _comparison_page.page(made)
    assert 0 < page.index("<svg") < page.index("<table") and page.count('class="mark0"') > 2
    assert "0 for everybody, so not shown: whole session: angry" in page and "Holm" in page
    assert "--paired" in page and "Left out" not in page
    for part in page.split("<svg")[1:]:
        xml.etree.ElementTree.fromstring("<svg" + part.split("</svg>")[0] + "</svg>")


def test_mistakes_are_told(study, capsys):
    files = sorted(study.glob("?/*.csv"))
    (study / "C").mkdir()
    write(study / "C" / "p.csv", mostly("happy", 2))
    with pytest.raises(DataError, match="wo groups, named after"):
        comparison.compare(comparison.participants([*files, study / "C" / "p.csv"]))
    with pytest.raises(DataError, match="twice"):
        comparison.participants([files[0], files[0]])
    (study / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no recording"):
        comparison.participants([study / "A", study / "empty"])
    assert called("compare", str(files[0]), "--out", str(study / "page.csv")) == 2
    assert "whose name ends in .html; --csv writes numbers" in capsys.readouterr().err
    assert not (study / "page.csv").exists()
    (study / "A" / "p0").mkdir()
    (study / "A" / "p0" / "session.json").write_text("{}")
    with pytest.raises(DataError, match="--resume"):
        comparison.participants(files)
    assert called("compare", str(study / "none.csv")) == 2
    with pytest.raises(DataError, match="wo groups, named after"):
        comparison.compare(_study([1], [2]).iloc[:1], paired=True)
    apart = _study([1, 2], [2, 3])
    apart.loc[2:, "participant"] = ["q0", "q1"]
    with pytest.raises(DataError, match="No participant is in both"):
        comparison.compare(apart, paired=True)
    assert "Traceback" not in capsys.readouterr().err


def test_folders_of_one_name_are_two_groups(study):
    for place, group in (("x", "A"), ("y", "B")):
        (study / place).mkdir()
        (study / group).rename(study / place / "S")
    rows = comparison.participants(sorted(study.glob("?/S/*.csv")))
    assert set(rows["group"]) == {"x/S", "y/S"}


def test_a_recording_that_is_not_there_is_told_without_the_systems_words(tmp_path):
    from keras_kd.sessions import _rows

    with pytest.raises(DataError, match=r"There is no recording at .*none.csv: check the path\.$"):
        _rows.read(tmp_path / "none.csv")
