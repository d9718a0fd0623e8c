"""`kerakd analyze` on films: the files that it leaves, resuming, and its refusals."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from command_line import called
from drawn_film import colour_model, needs_extra, scene, write
from drawn_timeline import mostly
from drawn_timeline import write as write_rows

from keras_kd.datasets.readers import faces as drawn
from keras_kd.errors import ConfigError
from keras_kd.sessions import _timeline
from keras_kd.sessions._timeline import Options


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A film of four seconds, a model, tasks, and the analysed session."""
    root = tmp_path_factory.mktemp("session")
    units = np.repeat(drawn.prototype("happy")[None], 40, axis=0)
    film = write(root / "p1.mp4", [scene(picture) for picture in drawn.film(units, 7)])
    (root / "tasks.csv").write_text("start_s,end_s,task\n0,2,rest\n2,4,find\n")
    arguments = [
        "analyze",
        str(film),
        "--model",
        str(colour_model(root)),
        "--segments",
        str(root / "tasks.csv"),
    ]
    arguments += ["--out", str(root / "A"), "--baseline", "rest"]
    assert called(*arguments, "--redact") == 0
    return root, arguments


@needs_extra
def test_a_session_is_a_csv_and_a_folder(session):
    root, _ = session
    assert {path.name for path in (root / "A").iterdir()} == {"p1.csv", "p1"}
    assert {path.name for path in (root / "A" / "p1").iterdir()} == {
        *("session.json", "tasks.csv", "report.html", "redacted.mp4"),
        *(f"intervals.{suffix}" for suffix in ("csv", "jsonl", "vtt", "eaf")),
        *("events.tsv", "events.json"),
    }
    tasks = list(csv.DictReader((root / "A" / "p1" / "tasks.csv").open()))
    assert [task["task"] for task in tasks] == ["whole session", "rest", "find"]
    assert [float(task["seconds"]) for task in tasks] == pytest.approx([4, 2, 2])
    assert all(float(task["found"]) == 1 for task in tasks)
    stored = json.loads((root / "A" / "p1" / "session.json").read_text())
    assert stored["video"]["name"] == "p1.mp4" and str(root) not in json.dumps(stored)


@needs_extra
@pytest.mark.parametrize("name", ["p1", "p1.csv"])
def test_results_are_not_written_through_a_link(session, name, tmp_path, capsys):
    root, arguments = session
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "elsewhere")
    elsewhere = [str(tmp_path / "out") if one == str(root / "A") else one for one in arguments]
    assert called(*elsewhere) == 2
    assert f"{name} is a link, and results are not written through one" in capsys.readouterr().err
    assert {path.name for path in tmp_path.rglob("*")} == {"out", name}


@needs_extra
def test_events_are_on_the_page_and_in_the_exports(session, tmp_path):
    root, arguments = session
    (tmp_path / "events.csv").write_text("time,name\n0:01,<b>opened</b>\n2,paid\n")
    assert (
        called(*arguments, "--resume", "--events", str(tmp_path / "events.csv"), "--offset", "0.5")
        == 0
    )
    page = (root / "A" / "p1" / "report.html").read_text("utf-8")
    assert "&lt;b&gt;opened&lt;/b&gt;" in page and 'class="event"' in page
    lines = (root / "A" / "p1" / "intervals.jsonl").read_text("utf-8").splitlines()
    events = [one for one in map(json.loads, lines) if one["tier"] == "event"]
    assert [(one["start_s"], one["value"]) for one in events] == [
        (1.5, "<b>opened</b>"),
        (2.5, "paid"),
    ]
    assert "00:00:01.500 --> 00:00:02.500\n* &lt;b&gt;opened" in (
        root / "A" / "p1" / "intervals.vtt"
    ).read_text("utf-8")


@needs_extra
def test_when_people_were_informed_is_kept_and_its_lack_is_told(session, capsys):
    root, arguments = session
    record, page = root / "A" / "p1" / "session.json", root / "A" / "p1" / "report.html"
    assert called(*arguments, "--resume") == 0
    stored = json.loads(record.read_text())
    assert stored["informed"] is None and "No notice recorded" in page.read_text("utf-8")
    assert stored["pixels"] == [640, 480] and stored["frames_a_second"] == 10
    assert stored["model_name"] == "colours.tflite" and stored["version"] and stored["made"]
    assert called(*arguments, "--resume", "--informed", "2026-11-20") == 0
    assert "were informed on 2026-11-20" in page.read_text("utf-8")
    # A new timeline keeps it.
    assert called(*arguments, "--resume") == 0
    assert json.loads(record.read_text())["informed"] == "2026-11-20"
    assert "No notice recorded" not in page.read_text("utf-8")
    assert "emotion recognition system" in page.read_text("utf-8")
    assert called(*arguments, "--resume", "--informed", "2999-01-01") == 2
    assert "must not be in the future" in capsys.readouterr().err


@needs_extra
def test_a_whole_recording_gets_a_new_timeline_with_resume(session, capsys):
    root, arguments = session
    rows = (root / "A" / "p1.csv").read_bytes()
    assert called(*arguments) == 2
    assert "already there" in capsys.readouterr().err
    earlier = root / "A" / "p1" / "clips"
    earlier.mkdir()
    (earlier / "01-negative.mp4").write_bytes(b"faces")
    assert called(*arguments, "--resume", "--smooth", "1", "--json") == 0
    assert not list(earlier.iterdir())
    earlier.rmdir()
    result = json.loads(capsys.readouterr().out)["p1"]
    assert result["time_by_step"] == {} or sum(result["time_by_step"].values()) == pytest.approx(1)
    assert result["session"]["found"] == 1 and (root / "A" / "p1.csv").read_bytes() == rows
    assert json.loads((root / "A" / "p1" / "session.json").read_text())["options"]["smooth"] == 1


@needs_extra
def test_a_broken_video_stops_no_other(session, tmp_path, capsys):
    root, arguments = session
    (tmp_path / "p0.mp4").write_bytes(b"no film")
    videos = [str(tmp_path / "p0.mp4"), arguments[1], str(tmp_path / "p2.mp4")]
    asked = ["--model", str(root / "colours.tflite"), "--out", str(tmp_path / "A")]
    assert called("analyze", *videos, *asked, "--json") == 2
    shown = capsys.readouterr()
    assert list(json.loads(shown.out)) == ["p1"]
    told = "2 of 3 recordings can't be read: .*p0.mp4 can't be opened .*p2.mp4 is not there"
    assert re.search(told, shown.err)
    assert (tmp_path / "A" / "p1" / "report.html").is_file()
    assert {path.name for path in (tmp_path / "A").iterdir()} == {"p1.csv", "p1"}


@needs_extra
def test_a_redacted_film_shows_no_face_and_all_else(session):
    from keras_kd.sessions import _detectors, _video

    root, _ = session
    detector = _detectors.load()
    with (
        _video.Video(root / "p1.mp4") as film,
        _video.Video(root / "A" / "p1" / "redacted.mp4") as redacted,
    ):
        pairs = list(zip(film.after(), redacted.after(), strict=True))
    assert len(pairs) == 40
    for frame, hidden in pairs[::8]:
        assert detector.find(frame.pixels) and not detector.find(hidden.pixels)
        # The wall on the right stays as it was, but for what video coding changes.
        assert np.abs(frame.pixels[:, 520:].astype(int) - hidden.pixels[:, 520:]).max() < 12


@needs_extra
def test_a_clip_of_each_moment_is_written_and_redacted_on_demand(tmp_path):
    from keras_kd.sessions import _detectors, _redaction, _video

    units = np.repeat(drawn.prototype("happy")[None], 60, axis=0)
    film = write(tmp_path / "p1.mp4", [scene(picture) for picture in drawn.film(units, 7)])
    rows = write_rows(
        tmp_path / "p1.csv", [*mostly("neutral", 2), *mostly("happy", 2), *mostly("neutral", 2)]
    )
    timeline = _timeline.load(rows, Options(0.0, baseline=2.0))
    for redact, seen in ((False, 1), (True, 0)):
        clips = tmp_path / "clips"
        clips.mkdir(exist_ok=True)
        # As an earlier timeline with more moments, a killed process and the user left them.
        for name in ("03-negative.mp4", ".02-positive-partial-x.mp4", "01-mine.mp4"):
            (clips / name).write_bytes(b"")
        _redaction.clips(str(film), rows, timeline.moments, clips, redact)
        assert {path.name for path in clips.iterdir()} == {"01-positive.mp4", "01-mine.mp4"}
        with _video.Video(clips / "01-positive.mp4") as made:
            frames = list(made.after())
        # The moment from 2 to 4 s, a second before and one after, at ten frames a second.
        assert [frame.time for frame in frames] == pytest.approx(np.arange(40) / 10, abs=1e-3)
        assert len(_detectors.load().find(frames[20].pixels)) == seen


@needs_extra
def test_a_marker_aligns_a_screen_recording(session, tmp_path, capsys):
    root, arguments = session
    (tmp_path / "events.csv").write_text("time,name\n0:05,clap\n0:06,paid\n")
    (tmp_path / "tasks.csv").write_text("start_s,end_s,task\n5,6,rest\n6,9,pay\n")
    more = ["--resume", "--events", str(tmp_path / "events.csv")]
    tasks = str(root / "tasks.csv")
    arguments = [str(tmp_path / "tasks.csv") if one == tasks else one for one in arguments] + more
    assert called(*arguments, "--marker", "clap=0:01") == 0
    lines = (root / "A" / "p1" / "intervals.jsonl").read_text("utf-8").splitlines()
    tiers = {one["value"]: one["start_s"] for one in map(json.loads, lines)}
    assert tiers["clap"] == 1 and tiers["paid"] == 2 and tiers["pay"] == 2
    for marker, word in (
        ("bang=1", "0 events named"),
        ("clap", "a time, as clap"),
        ("x=y", "time"),
    ):
        assert called(*arguments, "--marker", marker) == 2
        assert word in capsys.readouterr().err


@needs_extra
def test_a_session_that_another_version_began_is_told(session, tmp_path):
    from keras_kd.sessions import _session_files

    root, _ = session
    known = json.loads((root / "A" / "p1" / "session.json").read_text())
    stated = {key: known[key] for key in ("video", "model", "classes", "recipe")}
    del known["recipe"]["one_person"]
    record = tmp_path / "session.json"
    record.write_text(json.dumps(known))
    stated["recipe"] = {**known["recipe"], "one_person": False}
    with pytest.raises(
        ConfigError, match="Another version .* noted no one_person: go on with that"
    ):
        _session_files.claim(record, root / "A" / "p1.csv", stated, resume=True)


@needs_extra
def test_a_session_that_goes_on_otherwise_is_told_what_differs(session, capsys):
    _, arguments = session
    for more, told in (
        (["--rate", "5"], "with another --rate (none then, 5.0 now): resume"),
        (["--one-person"], "with another --one-person (no then, yes now): resume"),
        (["--crop", "1.5"], "with another --crop (1.17 then, 1.5 now): resume"),
        (["--range", "0,1"], "with another model: resume"),
    ):
        assert called(*arguments, "--resume", *more) == 2
        assert told in capsys.readouterr().err


@needs_extra
def test_mistakes_are_told_in_one_sentence(session, tmp_path, capsys):
    root, arguments = session
    model = arguments[3]
    (tmp_path / "p1.mp4").write_bytes(b"no video")
    film, out = str(root / "p1.mp4"), ["--model", model, "--out", str(tmp_path / "out")]
    for given, word in (
        ([], "--camera"),
        ([film, "--camera", "0"], "--camera"),
        ([str(tmp_path / "p1.mp4"), *out], "can't be opened"),
        ([film, str(tmp_path / "p1.mp4"), *out], "same name"),
        (["--camera", "0", "--redact", *out], "--redact"),
        (["--camera", "987", *out], "can't be opened"),
        ([film, *out, "--segments", str(tmp_path / "none.csv")], "none.csv can't be read"),
        ([film, *out, "--baseline", "calm"], "baseline 'calm' is neither a time nor a task"),
        ([film, *out, "--baseline", "0"], "a time above 0"),
        ([film, *out, "--baseline", "inf"], "baseline 'inf' is neither a time"),
    ):
        assert called("analyze", *given) == 2
        message = capsys.readouterr().err
        assert word in message and "Traceback" not in message


@needs_extra
def test_a_film_cut_short_is_told(session, tmp_path, capsys):
    import av

    root, arguments = session

    with av.open(str(root / "p1.mp4")) as whole, av.open(str(tmp_path / "cut.mkv"), "w") as made:
        stream = made.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                made.mux(packet)
    content = (tmp_path / "cut.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(content[: len(content) // 2])
    out = ["--out", str(tmp_path / "S")]
    assert called("analyze", str(tmp_path / "cut.mkv"), "--model", arguments[3], *out) == 0
    assert "s that it declares: it may be cut short or damaged." in capsys.readouterr().err
    page = (tmp_path / "S" / "cut" / "report.html").read_text("utf-8")
    assert (
        "neither its file nor this analysis" in page and "Probabilities are calibrated" not in page
    )


@needs_extra
def test_a_stream_without_an_index_is_gone_on_with(session, tmp_path):
    import av

    root, arguments = session

    with av.open(str(root / "p1.mp4")) as whole, av.open(str(tmp_path / "raw.h264"), "w") as made:
        stream = made.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 480, 640, "yuv420p"
        for frame in whole.decode(video=0):
            frame.pts = None
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
    command = [
        "analyze",
        str(tmp_path / "raw.h264"),
        "--model",
        arguments[3],
        "--out",
        str(tmp_path / "S"),
    ]
    # Such a stream has no times, and counts as 25 frames a second.
    assert called(*command, "--seconds", "1") == 0
    assert called(*command, "--resume") == 0
    rows = list(csv.DictReader((tmp_path / "S" / "raw.csv").open()))
    assert [int(row["frame"]) for row in rows] == list(range(40))


@needs_extra
def test_a_film_without_a_frame_leaves_nothing_in_the_next_one_s_way(session, tmp_path, capsys):
    _, arguments = session
    whole = write(tmp_path / "p.mkv", [np.full((48, 64, 3), 90, np.uint8)] * 10)
    content = whole.read_bytes()
    # Behind the head of Matroska's first cluster, which holds all frames.
    whole.write_bytes(content[: content.index(b"\x1f\x43\xb6\x75") + 20])
    command = ["analyze", str(whole), *arguments[2:4], "--out", str(tmp_path / "A")]
    assert called(*command) == 2
    assert "p.mkv gave no frame" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "A").rglob("*") if path.suffix]
    whole.write_bytes(content)
    assert called(*command) == 0
