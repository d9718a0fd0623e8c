"""Tables of tasks and events beside a recording: what they say, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn_timeline import mostly, write

from keras_kd.errors import DataError
from keras_kd.sessions import _baseline, _options, _session_files, _timeline
from keras_kd.sessions._options import Event
from keras_kd.sessions._timeline import Options, Task


def test_segments_are_read_and_mistakes_named(tmp_path):
    good = tmp_path / "good.csv"
    good.write_text("task,start_s,end_s\n NA ,0,1.5\nfind,2,3\n")
    assert _options.read_tasks(good) == (Task(0.0, 1.5, "NA"), Task(2.0, 3.0, "find"))
    good.write_text("start_s,end_s,task\n1:30,01:00:02.5,pay\n")
    assert _options.read_tasks(good) == (Task(90.0, 3602.5, "pay"),)
    for text, word in (
        ("task,start_s\na,1\n", "lacks end_s"),
        ("start_s,end_s,task\n0,x,a\n", "line 2"),
        ("start_s,end_s,task\n0,1,a\n5,4,b\n", "line 3"),
        ("start_s,end_s,task\n0,nan,a\n", "line 2"),
        ("start_s,end_s,task\n0,1:60,a\n", "line 2"),
        ("start_s,end_s,task\n0,1:2:3:4,a\n", "line 2"),
        ("start_s,end_s,task\n0,1,\n", "line 2"),
        ("", "lacks end_s, start_s, task"),
        ("start_s,end_s,task\n", "bad.csv has no rows below its column names"),
        ("start_s,end_s,task\n\n,,\n", "bad.csv has no rows below its column names"),
        ("start_s,end_s,task\n0,10,5,a\n", "line 2: 4 cells for 3 columns"),
        ("start_s,end_s,task,Task\n0,1,a,b\n", "the column task twice"),
        ("start_s,end_s,task\n\n0,1,a\n2,3,b\n5,6, a\n", "line 5: the task 'a' is .*line 3"),
        ("start_s,end_s,task\n0,1,whole session\n", "line 2: .* a row 'whole session'"),
        ("Participant,start_s,end_s,task\np1,0,1,a\np2,2,3,b\n", "column Participant, p1, p2: "),
    ):
        bad = tmp_path / "bad.csv"
        bad.write_text(text)
        with pytest.raises(DataError, match=word):
            _options.read_tasks(bad)
    with pytest.raises(DataError, match="none.csv can't be read .No such file"):
        _options.read_tasks(tmp_path / "none.csv")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_tables_may_be_those_of_a_spreadsheet(tmp_path, encoding):
    table = tmp_path / "t.csv"
    table.write_text("Start_s;END_S;task;;\n0;10,5;f\u00fcrst;;\n;;;;\n10,5;20;b;;\n", encoding)
    assert _options.read_tasks(table) == (Task(0.0, 10.5, "f\u00fcrst"), Task(10.5, 20.0, "b"))
    table.write_text("Time\tName\n1:02,5\tclap\n", encoding)
    assert _options.read_events(table) == (Event(62.5, "clap"),)


def test_tasks_and_events_beyond_the_recording_are_told(tmp_path):
    path = write(tmp_path / "a.csv", mostly("neutral", 30))
    tasks = Task(0, 5, "in"), Task(29, 30.9, "late"), Task(25, 120, "cut"), Task(30, 31, "far")
    events = Event(-1, "early"), Event(3, "in"), Event(500, "never")
    options = Options(tasks=tasks, events=events)
    timeline = _timeline.load(path, options)
    assert [line.split(";")[0] for line in timeline.doubtful_times] == [
        "Tasks beyond the recording, which count nothing: far",
        "Tasks that the recording does not hold whole, which are cut: cut",
        "Events outside the recording: early, never",
    ]
    assert all("is 30.0 s long: check --offset" in line for line in timeline.doubtful_times)
    assert not _timeline.load(path, Options(tasks=tasks[:2], events=events[1:2])).doubtful_times
    # A film that begins 5 s behind its sound.
    late = write(tmp_path / "b.csv", mostly("neutral", 5), times=5 + np.arange(50) / 10)
    tasks = Task(0, 4, "before"), Task(0, 8, "begun"), Task(4.5, 9, "in")
    options = Options(tasks=tasks, events=(Event(1, "unseen"), Event(4.5, "in")))
    assert [line.split(":")[1] for line in _timeline.load(late, options).doubtful_times] == [
        f" {name}; the recording goes from 5.0 s to 10.0 s"
        for name in ("before", "begun", "unseen")
    ]


def test_where_a_recording_has_no_frames_is_told(tmp_path):
    """As of a log that was paused: ten of its twenty seconds are unknown."""
    times = np.r_[np.arange(50), np.arange(150, 200)] / 10
    paused = write(tmp_path / "a.csv", mostly("neutral", 10), times=times)
    timeline = _timeline.load(paused, Options())
    assert [line.partition("): ")[0] for line in timeline.doubtful_times] == [
        "No frames for 10.1 of 20.0 s (4.9 to 15.0 s"
    ]
    # A slow recording has none, and a frame that is missed is no hole.
    slow = write(
        tmp_path / "b.csv", mostly("neutral", 4.9), times=np.delete(20 * times[:50], 7) / 4
    )
    assert not _timeline.load(slow, Options()).doubtful_times


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("0;2.5s;a\n62.5 s;1:03s;b", ((0, 2.5), (62.5, 63))),
        ("0;1,200;a\n1,200;1,500;b", r"line 2: end_s is 1,200, which may be 1200 or 1\.200"),
        ("0;1,200;a\n1,5;2,750;b", ((0, 1.2), (1.5, 2.75))),
        ("0,5;1.200;a", r"line 2: end_s is 1\.200, .*: write it without a point"),
        ("0:00,500;0:01,200;a", ((0.5, 1.2),)),
    ],
)
def test_times_are_what_they_say_or_refused(rows, expected, tmp_path):
    (tmp_path / "tasks.csv").write_text(f"start_s;end_s;task\n{rows}\n")
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            _options.read_tasks(tmp_path / "tasks.csv")
        return
    found = _options.read_tasks(tmp_path / "tasks.csv")
    assert tuple((task.start, task.end) for task in found) == expected


def test_umlauts_of_a_mac_are_those_of_others_in_tables_names_and_options(tmp_path):
    composed, decomposed = "W\u00fcste", "Wu\u0308ste"
    (tmp_path / f"{decomposed}.csv").write_text(f"start_s,end_s,task\n0,5,{decomposed}\n", "utf-8")
    (tmp_path / "events.csv").write_text(f"time,name\n5,{decomposed}\n", "utf-8")
    own = _session_files.planned_options(
        Options(baseline=decomposed), composed, tmp_path, tmp_path / "events.csv", 0.0, None
    )
    assert own.tasks == (Task(0, 5, composed),) and own.baseline == composed
    assert own.events == (Event(5, composed),)
    assert _options.offset_of_marker(tmp_path / "events.csv", decomposed, 7) == 2
    assert _baseline.at_rest(np.array([1.0, 6.0]), own).tolist() == [True, False]


def test_a_number_beyond_floats_is_no_time(tmp_path):
    (tmp_path / "tasks.csv").write_text(f"start_s,end_s,task\n{'9' * 400},2,a\n")
    with pytest.raises(DataError, match="no time in line 2"):
        _options.read_tasks(tmp_path / "tasks.csv")


def test_what_is_no_recording_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("frame,time_s\n0,0\n")
    with pytest.raises(DataError, match="as a recording .it lacks"):
        _timeline.load(tmp_path / "a.csv", Options())
    empty = write(tmp_path / "b.csv", np.empty((0, 3)))
    with pytest.raises(DataError, match="no frame"):
        _timeline.load(empty, Options())
    with pytest.raises(DataError, match="baseline 'calm' is neither a time nor a task"):
        _timeline.load(
            write(tmp_path / "c.csv", mostly("happy", 1)),
            Options(baseline="calm", tasks=(Task(0, 1, "x"),)),
        )


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"p_happy": 80.0}, "p_happy is 80 at frame 0, and lies between 0 and 1"),
        ({"p_angry": -0.1}, "p_angry is -0.1"),
        ({"quality": 85.0}, "quality is 85"),
    ],
)
def test_shares_of_another_unit_are_refused(change, fact, tmp_path):
    path = write(tmp_path / "a.csv", mostly("happy", 1))
    pd.read_csv(path).assign(**change).to_csv(path, index=False)
    with pytest.raises(DataError, match=fact):
        _timeline.load(path, Options())


@pytest.mark.parametrize("second", ["happy", None])
def test_rows_of_two_recordings_in_one_file_are_refused(second, tmp_path):
    faces = mostly(second, 2) if second else [np.full(3, np.nan)] * 20
    first, other = write(tmp_path / "a.csv", mostly("angry", 2)), write(tmp_path / "b.csv", faces)
    both = first.read_text() + "".join(other.read_text().splitlines(keepends=True)[1:])
    first.write_text(both)
    with pytest.raises(DataError, match="frame 0 stands there twice"):
        _timeline.load(first, Options())


def test_a_recording_whose_record_is_lost_is_told(tmp_path):
    rows = write(tmp_path / "p1.csv", mostly("happy", 1))
    with pytest.raises(DataError, match="session.json is missing, which states how .*p1.csv was"):
        _session_files.claim(tmp_path / "session.json", rows, {"model": "a"}, resume=True)


def test_events_are_read_in_order_and_times_shifted(tmp_path):
    (tmp_path / "e.csv").write_text("name,time\nclick,1:30\nerror,00:00:02.5\n")
    assert _options.read_events(tmp_path / "e.csv", 10) == (
        _options.Event(12.5, "error"),
        _options.Event(100.0, "click"),
    )
    (tmp_path / "t.csv").write_text("start_s,end_s,task\n0,20,a\n20,40,b\n")
    assert _options.read_tasks(tmp_path / "t.csv", -5) == (Task(0, 15, "a"), Task(15, 35, "b"))
    with pytest.raises(DataError, match="before the video begins"):
        _options.read_tasks(tmp_path / "t.csv", -20)
    for text, word in (
        ("time,name\nx,a\n", "no time in line 2"),
        ("time,name\n1, \n", "needs a name"),
        ("t,name\n", "lacks time"),
    ):
        (tmp_path / "e.csv").write_text(text)
        with pytest.raises(DataError, match=word):
            _options.read_events(tmp_path / "e.csv")
