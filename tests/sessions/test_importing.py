"""Other programs' exports as sessions: numbers worked out by hand, and py-feat's real files."""

from __future__ import annotations

import csv
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from command_line import called

from keras_kd.errors import DataError
from keras_kd.sessions import _exported_by_others as others

MEDIA = Path(os.environ.get("KERAKD_MEDIA", Path(__file__).parents[2] / "build" / "media"))
UNITS = (1, 2, 4, 5, 6, 7, 9, 12, 15, 20, 23, 26)


def _openface(path: Path) -> Path:
    """Ten frames: a smile of intensity 4 in the second half, the last frame failed."""
    names = [f"AU{unit:02}_r" for unit in UNITS]
    lines = [", ".join(["frame", "timestamp", "confidence", "success", "pose_Rz", *names])]
    for frame in range(10):
        units = [4.0 if frame > 4 and unit in (6, 12) else 0.0 for unit in UNITS]
        head = [frame + 1, frame / 10, 0.98, int(frame < 9), np.pi / 6]
        lines.append(", ".join(map(str, [*head, *units])))
    path.write_text("\n".join(lines) + "\n")
    return path


def _facereader(path: Path) -> Path:
    path.write_text(
        "Video analysis detailed log\nFace Model:\tGeneral\n\n"
        "Video Time\tNeutral\tHappy\tSad\tAngry\tSurprised\tScared\tDisgusted\tValence\tArousal\n"
        "00:00:00.000\t0.9\t0.1\t0\t0\t0\t0\t0\t0.1\t0.2\n"
        "00:00:00.500\t0,2\t0,6\t0\t0\t0\t0\t0\t0,6\t0,4\n"
        "00:00:01.000\tFIT_FAILED\tFIT_FAILED\tFIT_FAILED\tFIT_FAILED\tFIT_FAILED\tFIT_FAILED"
        "\tFIT_FAILED\tFIT_FAILED\tFIT_FAILED\n"
    )
    return path


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_openface_gives_shares_of_its_action_units(tmp_path, capsys):
    _openface(tmp_path / "p1.csv")
    command = ["analyze", str(tmp_path / "p1.csv"), "--from", "openface", "--json"]
    assert called(*command, "--out", str(tmp_path / "A"), "--baseline", "0.4") == 0
    rows = _rows(tmp_path / "A" / "p1.csv")
    # Both units of a smile at 4 of 5: 0.8, neutral 0.2; nothing else.
    assert float(rows[5]["p_happy"]) == pytest.approx(0.8)
    assert float(rows[5]["p_neutral"]) == pytest.approx(0.2)
    assert float(rows[0]["p_neutral"]) == 1 and float(rows[0]["roll"]) == pytest.approx(30)
    assert rows[9]["face_id"] == "" and float(rows[8]["quality"]) == pytest.approx(0.98)
    session = json.loads(capsys.readouterr().out)["p1"]["session"]
    assert session["found"] == pytest.approx(0.9) and session["seconds"] == pytest.approx(1)
    page = (tmp_path / "A" / "p1" / "report.html").read_text("utf-8")
    assert "They are no probabilities" in page and "imported from openface" in page
    assert called(*command, "--out", str(tmp_path / "A")) == 2
    assert "already there" in capsys.readouterr().err


def test_what_openface_could_not_compute_is_no_face(tmp_path):
    path = _openface(tmp_path / "p1.csv")
    # As OpenFace for Windows writes it.
    lines = path.read_text().splitlines()
    lines[3] = ", ".join([*lines[3].split(", ")[:4], *["-nan(ind)"] * (1 + len(UNITS))])
    path.write_text("\n".join(lines) + "\n")
    assert called("analyze", str(path), "--from", "openface", "--out", str(tmp_path / "A")) == 0
    rows = _rows(tmp_path / "A" / "p1.csv")
    assert [bool(row["face_id"]) for row in rows] == [True, True, False, *[True] * 6, False]


def test_a_broken_export_stops_no_other(tmp_path, capsys):
    (tmp_path / "p0.csv").write_text("a,b\n1,2\n")
    files = [str(tmp_path / "p0.csv"), str(_openface(tmp_path / "p1.csv"))]
    asked = ["--from", "openface", "--out", str(tmp_path / "A"), "--baseline", "0.4", "--json"]
    assert called("analyze", *files, *asked) == 2
    shown = capsys.readouterr()
    assert "p0.csv lacks timestamp" in shown.err and list(json.loads(shown.out)) == ["p1"]
    assert {path.name for path in (tmp_path / "A").iterdir()} == {"p1.csv", "p1"}
    # The mended one is given alone.
    _openface(tmp_path / "p0.csv")
    assert called("analyze", *files, *asked) == 2
    assert "leave out the exports whose sessions are there" in capsys.readouterr().err
    assert called("analyze", files[0], *asked) == 0


def test_a_number_that_rounding_brought_below_0_is_0(tmp_path):
    """Divided by the small sum of its row it was out of range in the recording made of it."""
    path = _facereader(tmp_path / "p2.txt")
    path.write_text(path.read_text().replace("0.9\t0.1\t0\t", "0.03\t0.01\t-0.0009\t"))
    command = ["analyze", str(path), "--from", "facereader", "--out", str(tmp_path / "A")]
    assert called(*command) == 0
    first = _rows(tmp_path / "A" / "p2.csv")[0]
    assert [float(first[f"p_{name}"]) for name in ("neutral", "happy", "sad")] == [0.75, 0.25, 0]


def test_facereader_s_failures_are_no_face(tmp_path):
    _facereader(tmp_path / "p2.txt")
    command = ["analyze", str(tmp_path / "p2.txt"), "--from", "facereader"]
    assert called(*command, "--out", str(tmp_path / "A"), "--baseline", "0.4") == 0
    rows = _rows(tmp_path / "A" / "p2.csv")
    assert [row["face_id"] for row in rows] == ["1", "1", ""]
    # Intensities 0.6 happy and 0.2 neutral.
    assert float(rows[1]["p_happy"]) == pytest.approx(0.75)
    assert [float(row["valence"]) for row in rows[:2]] == [0.1, 0.6]
    assert called("compare", str(tmp_path / "A" / "p2.csv")) == 0


def test_what_is_no_export_is_told(tmp_path, capsys):
    units = ",".join(f"AU{unit:02}_r" for unit in UNITS)
    for text, word in (
        ("a,b\n1,2\n", "lacks timestamp"),
        ("", "has no line"),
        ("timestamp,confidence,success\n0,1,1\n", "lacks AU01_r"),
        (f"timestamp,confidence,success,{units}\nx,1,1\n", "text where a number belongs: 'x'"),
        (
            f"timestamp,confidence,success,{units}\n0,1,1\n,1,1\n",
            "bad.csv: row 2 of its data has no",
        ),
    ):
        (tmp_path / "bad.csv").write_text(text)
        out = ["--out", str(tmp_path / "B")]
        assert called("analyze", str(tmp_path / "bad.csv"), "--from", "openface", *out) == 2
        assert word in capsys.readouterr().err
    assert called("analyze", str(tmp_path), "--from", "openface", *out) == 2
    assert f"{tmp_path} is a folder: give the path of an export" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    [
        *("--rate 2", "--seconds 1", "--one-person", "--crop 1.17", "--score 0.5", "--redact"),
        *("--detector auto", "--calibrate faces", "--classes a,b", "--range 0,1", "--resume"),
    ],
)
def test_options_that_need_a_film_or_a_model_are_refused(option, capsys):
    # Also where the value is the default.
    assert called("analyze", "a.csv", "--from", "openface", *option.split()) == 2
    assert f"leave out {option.split()[0]}." in capsys.readouterr().err


def test_a_marker_gives_an_export_s_offset(tmp_path, capsys):
    _openface(tmp_path / "p1.csv")
    (tmp_path / "events.csv").write_text("time,name\n0:07,clap\n0:07.5,paid\n")
    command = ["analyze", str(tmp_path / "p1.csv"), "--from", "openface", "--baseline", "0.4"]
    events = ["--events", str(tmp_path / "events.csv"), "--marker", "clap=0.2"]
    assert called(*command, *events, "--out", str(tmp_path / "A")) == 0
    lines = (tmp_path / "A" / "p1" / "intervals.jsonl").read_text("utf-8").splitlines()
    times = {one["value"]: one["start_s"] for one in map(json.loads, lines)}
    # The clap of 7 s is at 0.2 s of the recording.
    assert times["clap"] == pytest.approx(0.2) and times["paid"] == pytest.approx(0.7)
    for options, words in (
        ([*events, "--offset", "1"], "leave out --offset"),
        (["--offset", "nan"], "must be a finite number"),
    ):
        assert called(*command, *options, "--out", str(tmp_path / "B")) == 2
        assert words in capsys.readouterr().err and not (tmp_path / "B" / "p1.csv").exists()


def test_exports_of_one_name_are_refused_before_any_is_written(tmp_path, capsys):
    for group in "ab":
        (tmp_path / group).mkdir()
        _openface(tmp_path / group / "p1.csv")
    files = [str(tmp_path / group / "p1.csv") for group in "ab"]
    assert called("analyze", *files, "--from", "openface", "--out", str(tmp_path / "A")) == 2
    assert "the same name, p1" in capsys.readouterr().err and not (tmp_path / "A").exists()


def test_a_failed_import_leaves_nothing_in_the_next_one_s_way(tmp_path, monkeypatch):
    from keras_kd.errors import OutputError
    from keras_kd.sessions import _page, importing
    from keras_kd.sessions._options import Options

    def full(*_: object) -> str:
        raise OutputError("The disk is full.")

    asked = [str(_openface(tmp_path / "p1.csv"))], tmp_path / "A", "openface", Options(baseline=0.4)
    with monkeypatch.context() as patch:
        patch.setattr(_page, "page", full)
        with pytest.raises(OutputError, match="disk is full"):
            importing.import_sessions(*asked)
    assert not (tmp_path / "A").exists()
    assert set(importing.import_sessions(*asked)) == {"p1"}


def test_large_exports_are_read_row_by_row(tmp_path):
    path = _openface(tmp_path / "p1.csv")
    head, *rows = path.read_text().splitlines()
    # Columns that nobody needs, long instead of many as OpenFace's: 73 MB in all.
    more, cells = "".join(f", X_{n}" for n in range(8)), f", {'1' * 1100}" * 8
    with path.open("w") as file:
        file.write(f"{head}{more}\n")
        for number in range(8200):
            frame, _, *rest = rows[number % 10].split(", ")
            file.write(f"{', '.join([frame, f'{number / 30:.4f}', *rest])}{cells}\n")
    assert path.stat().st_size > 67_108_864
    tracemalloc.start()
    found = others.openface(path)
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()
    assert len(found.times) == 8200 and found.times[-1] == pytest.approx(8199 / 30, abs=1e-4)
    assert found.chances["happy"][[5, 8199]].tolist() == pytest.approx([0.8, 0.8])


def test_exports_are_utf_16_with_its_mark_or_utf_8(tmp_path, capsys):
    text = _facereader(tmp_path / "p2.txt").read_text().replace("General", "Fran\u00e7ois")
    (tmp_path / "p3.txt").write_text(text, encoding="utf-16")
    (tmp_path / "p4.txt").write_text(text, encoding="latin-1")
    assert others.facereader(tmp_path / "p3.txt").chances["happy"][1] == 0.6
    command = ["analyze", "--from", "facereader", "--out", str(tmp_path / "A")]
    assert called(*command, str(tmp_path / "p4.txt")) == 2
    told = capsys.readouterr().err.strip()
    assert "p4.txt, after line " in told and "save the file as UTF-8" in told and "\n" not in told


def test_semicolons_and_decimal_commas_are_read(tmp_path):
    plain = others.openface(_openface(tmp_path / "p1.csv"))
    text = (tmp_path / "p1.csv").read_text().replace(", ", ";").replace(".", ",")
    (tmp_path / "p2.csv").write_text(text)
    found = others.openface(tmp_path / "p2.csv")
    assert found.times.tolist() == plain.times.tolist() and found.quality[0] == 0.98
    tabs = _facereader(tmp_path / "p3.txt").read_text()
    (tmp_path / "p3.txt").write_text(tabs.replace("\t", ";"))
    assert others.facereader(tmp_path / "p3.txt").chances["happy"][1] == 0.6
    # 0,2 and 0,6 between commas are four cells.
    (tmp_path / "p3.txt").write_text(tabs.replace("\t", ","))
    with pytest.raises(DataError, match="line 6: 14 cells for 10 columns, as decimal.* with tabs"):
        others.facereader(tmp_path / "p3.txt")


@pytest.mark.parametrize("separator", [",", ";"])
def test_cells_between_commas_may_be_quoted_and_between_tabs_quotes_are_text(tmp_path, separator):
    path = _imotions(tmp_path / "p1.txt", [('7" screen', 0), ("ad", 40)])
    assert [task.name for task in others.imotions(path).tasks] == ['7" screen', "ad"]
    table = list(csv.reader(path.read_text().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    table[2] = [cell.replace("7", f"{separator}7") for cell in table[2]]
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows(table)
    assert [task.name for task in others.imotions(path).tasks] == [f'{separator}7" screen', "ad"]


def test_openface_s_times_count_from_its_first_row(tmp_path, capsys):
    path = _openface(tmp_path / "p1.csv")
    text = path.read_text()
    for frame in range(10):
        text = text.replace(f"\n{frame + 1}, 0.{frame}, ", f"\n{frame + 1}, 100.{frame}, ")
    text = text.replace("\n1, 0.0, ", "\n1, 100.0, ")
    path.write_text(text)
    command = ["analyze", str(path), "--from", "openface", "--baseline", "0.4"]
    assert called(*command, "--out", str(tmp_path / "A")) == 0
    assert [float(row["time_s"]) for row in _rows(tmp_path / "A" / "p1.csv")] == pytest.approx(
        [frame / 10 for frame in range(10)]
    )
    assert "begin at 100.0 s" in (told := capsys.readouterr().err) and "--offset -100.000" in told


def test_times_in_milliseconds_are_doubted(tmp_path, capsys):
    head, *rows = _openface(tmp_path / "p1.csv").read_text().splitlines()
    cells = [row.split(", ") for row in rows]
    slow = [", ".join([one[0], f"{1000 * float(one[1]):.0f}", *one[2:]]) for one in cells]
    command = ["analyze", "--from", "openface", str(tmp_path / "p1.csv"), "--out"]
    assert called(*command, str(tmp_path / "A")) == 0
    assert "apart" not in capsys.readouterr().err
    (tmp_path / "p1.csv").write_text("\n".join([head, *slow]))
    assert called(*command, str(tmp_path / "B")) == 0
    assert "p1: its rows are 100.0 s apart" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "before", "after", "told"),
    [
        # An action unit has 0 to 5, a confidence and an intensity 0 to 1, valence -1 to 1.
        ("openface", ", 4.0", ", 40.0", "happy is 8 in row 6 of its data"),
        ("openface", ", 0.98,", ", 98,", "the confidence is 98 in row 1"),
        ("facereader", "\t0.9\t", "\t90\t", "neutral is 90 in row 1"),
        ("facereader", "\t0,6\t0,4", "\t60\t40", "valence is 60 in row 2"),
    ],
)
def test_numbers_of_another_unit_are_refused_and_nothing_is_left(
    program, before, after, told, tmp_path, capsys
):
    made = {"openface": _openface, "facereader": _facereader}[program](tmp_path / "p.csv")
    text = made.read_text()
    assert before in text
    made.write_text(text.replace(before, after))
    command = ["analyze", str(made), "--from", program, "--out", str(tmp_path / "A")]
    assert called(*command) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "A" / "p.csv").exists()
    made.write_text(text)
    assert called(*command, "--baseline", "0.4") == 0


def _imotions(path: Path, rows: list[tuple[str, int]]) -> Path:
    """Rows of stimulus and milliseconds; a face without evidence for or against anything."""
    names = [f"{name} Evidence" for name in others.EMOTIENT]
    head = [*names, "EventSource", "Name", "NoOfFaces", "StimulusName", "Timestamp"]
    lines = ["\t".join(["StudyName", *head])]
    for stimulus, time in rows:
        cells = ["0"] * len(names), "Emotient FACET", "P1", "1", stimulus, str(time)
        lines.append("\t".join(["study", *cells[0], *cells[1:]]))
    path.write_text("Study name : x\n" + "\n".join(lines) + "\n")
    return path


def test_stimuli_whose_times_start_again_are_counted_on(tmp_path, capsys):
    once = [40, 80, 80, 120, 160]
    path = _imotions(
        tmp_path / "p1.txt", [(name, time) for name in ("ad1", "ad2") for time in once]
    )
    found = others.imotions(path)
    # The row that is there twice counts once; the second stimulus begins one step after the first.
    assert found.times == pytest.approx([0.04 * frame for frame in range(8)])
    assert [(task.name, task.start, task.end) for task in found.tasks] == [
        ("ad1", 0, pytest.approx(0.16)),
        ("ad2", pytest.approx(0.16), pytest.approx(0.32)),
    ]
    command = ["analyze", "--from", "imotions", "--out", str(tmp_path / "A"), "--baseline", "0.1"]
    assert called(*command, str(path)) == 0
    assert "its times start again at 0.2 s" in capsys.readouterr().err
    path = _imotions(tmp_path / "p2.txt", [("ad1", 40), ("ad1", 80), ("ad1", 40)])
    with pytest.raises(DataError, match="go back within the stimulus 'ad1', after 0.08 s"):
        others.imotions(path)


def test_stimuli_shown_again_get_names_that_can_be_compared(tmp_path, capsys):
    shown = ["ad1", "rest", "ad1", "ad1 (2)", "whole session"]
    rows = [(name, 40 * n) for n, name in enumerate(np.repeat(shown, 5))]
    path = _imotions(tmp_path / "p1.txt", rows)
    out = tmp_path / "A"
    command = ["analyze", "--from", "imotions", "--out", str(out), "--baseline", "ad1"]
    assert called(*command, str(path)) == 0
    assert "tasks with a number: ad1 (3), whole session (2)." in capsys.readouterr().err
    names = [row["task"] for row in _rows(out / "p1" / "tasks.csv")]
    own = ["ad1", "rest", "ad1 (3)", "ad1 (2)", "whole session (2)"]
    assert names == ["whole session", *own]
    assert called("compare", str(out / "p1.csv")) == 0


def test_tasks_beyond_an_export_are_told(tmp_path, capsys):
    (tmp_path / "tasks.csv").write_text("start_s,end_s,task\n0,0.5,a\n0:59,1:02,pay <b>\n")
    command = ["analyze", str(_openface(tmp_path / "p1.csv")), "--from", "openface"]
    given = ["--segments", str(tmp_path / "tasks.csv"), "--out", str(tmp_path / "A")]
    assert called(*command, *given) == 0
    assert (
        "p1: Tasks beyond the recording, which count nothing: pay <b>;" in capsys.readouterr().err
    )
    page = (tmp_path / "A" / "p1" / "report.html").read_text("utf-8")
    assert "<b>Times.</b> Tasks beyond the recording, which count nothing: pay &lt;b&gt;;" in page


def test_an_export_without_facet_is_told(tmp_path):
    names = [f"{name} Evidence" for name in others.EMOTIENT]
    head = [*names, "EventSource", "Name", "NoOfFaces", "StimulusName", "Timestamp"]
    cells = [*["0"] * len(names), "Shimmer GSR", "P1", "1", "film", "0"]
    lines = ["\t".join(["StudyName", *head]), "\t".join(["study", *cells])]
    (tmp_path / "p1.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="no row of FACET in its column EventSource"):
        others.imotions(tmp_path / "p1.txt")


@pytest.mark.skipif(
    not (MEDIA / "iMotions_Test_v5.txt").is_file(), reason="no py-feat files: `make media`"
)
def test_real_exports_are_read():
    fourth = others.imotions(MEDIA / "iMotions_Test_v5.txt")
    assert [task.name for task in fourth.tasks] == ["Emotient_Baseline", "screen_data"]
    # The file's first row of Emotient: evidence of joy -4.683284, of neutral 1.598063.
    assert fourth.chances["happy"][0] == pytest.approx(1 / (1 + 10**4.683284))
    assert fourth.chances["neutral"][0] == pytest.approx(1 / (1 + 10**-1.598063))
    # Its first times, 36, 71 and 211 ms.
    assert fourth.times[:3] == pytest.approx([0, 0.035, 0.175])
    found = others.openface(MEDIA / "OpenFace_Test.csv")
    assert len(found.times) == 100 and found.quality[0] == pytest.approx(0.883333)
    # Landmarks 277.276 to 380.6 across in the first frame.
    assert found.boxes[0, 0] == pytest.approx(277.276) and found.boxes[0, 2] > 90
