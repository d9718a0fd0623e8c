"""Times of films: beginnings, sound that goes on longer, and recordings that were joined."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from gray_film import RATE, frames_of, gray_film, gray_frames

from keras_kd.errors import DataError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("av") is None,
    reason="PyAV is not installed: pip install 'keras-kd[sessions]'",
)


def _joined(path: Path) -> Path:
    """Two streams of a second each, one behind the other: the times start again."""
    parts = [
        gray_film(path.parent / f"part{number}.ts", values)
        for number, values in enumerate([[50] * 10, [200] * 10])
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def test_a_film_that_begins_late_declares_its_own_length(tmp_path):
    import av

    from keras_kd.sessions import _video

    with av.open(str(tmp_path / "late.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number, pixels in enumerate(gray_frames(range(10))):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = 50 + number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with _video.Video(tmp_path / "late.mkv") as source:
        times = [frame.time for frame in source.after()]
        assert times == pytest.approx(np.arange(10) / RATE)
        assert source.seconds == pytest.approx(1, abs=0.11)


def _with_sound(path: Path, begins: float, lasts: float) -> Path:
    """Sound of so many seconds, and a film of one second that begins later."""
    import av

    with av.open(str(path), "w") as container:
        film = container.add_stream("libx264", rate=RATE)
        film.height, film.width, film.pix_fmt = 48, 64, "yuv420p"
        sound = container.add_stream("aac", rate=48_000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 48_000
        for number in range(round(lasts * 48_000 / 1024)):
            silence.pts = 1024 * number
            container.mux(sound.encode(silence))
        for number, pixels in enumerate(gray_frames(range(10))):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = round(begins * RATE) + number, Fraction(1, RATE)
            container.mux(film.encode(picture))
        for stream in (sound, film):
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_film_that_begins_behind_its_sound_has_the_times_of_players(suffix, tmp_path):
    from keras_kd.sessions import _video

    # Chromium 156 shows the first picture of such files at 3 s.
    with _video.Video(_with_sound(tmp_path / f"late.{suffix}", 3, 4)) as source:
        frames = list(source.after())
        assert [frame.time for frame in frames] == pytest.approx(3 + np.arange(10) / RATE)
        assert source.seconds == pytest.approx(4, abs=0.11)
        assert source.begins == pytest.approx(3)
    with _video.Video(tmp_path / f"late.{suffix}") as source:
        rest = list(source.after(4, round(frames[4].time, 4)))
    assert [(frame.number, frame.time) for frame in rest] == [
        (frame.number, frame.time) for frame in frames[5:]
    ]


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_that_ends_later_makes_no_film_cut_short(suffix, tmp_path):
    from keras_kd.sessions import _video

    with _video.Video(_with_sound(tmp_path / f"long.{suffix}", 0, 5)) as source:
        assert source.seconds == pytest.approx(1, abs=0.11)


def test_times_that_start_again_are_counted_on(tmp_path):
    from keras_kd.sessions import _video

    path = _joined(tmp_path / "joined.ts")
    with _video.Video(path) as source:
        frames = list(source.after())
        assert source.joins == pytest.approx([1.0])
    assert [frame.time for frame in frames] == pytest.approx(np.arange(20) / RATE, abs=1e-3)
    assert [round(frame.pixels.mean(), -1) for frame in frames] == [50] * 10 + [200] * 10


@pytest.mark.parametrize("after", [4, 13])
def test_a_joined_recording_goes_on_where_it_stood(tmp_path, after):
    from keras_kd.sessions import _video

    whole = frames_of(path := _joined(tmp_path / "joined.ts"))
    with _video.Video(path) as source:
        rest = list(source.after(after, round(whole[after].time, 4)))
    assert [(frame.number, frame.time) for frame in rest] == [
        (frame.number, frame.time) for frame in whole[after + 1 :]
    ]


def test_joined_recordings_can_be_written_again(tmp_path):
    from keras_kd.sessions import _video

    path = _joined(tmp_path / "joined.ts")
    _video.write(tmp_path / "P:1.mp4", ((frame.time, frame.pixels) for frame in frames_of(path)))
    assert len(frames_of(tmp_path / "P:1.mp4")) == 20


def test_a_recording_whose_times_go_back_is_refused(tmp_path):
    from drawn_timeline import mostly
    from drawn_timeline import write as write_rows

    from keras_kd.sessions import _timeline

    path = write_rows(tmp_path / "a.csv", mostly("happy", 2))
    lines = path.read_text().splitlines()
    lines[11:] = [
        line.replace(f",{number / 10:.4f},", f",{(number - 10) / 10:.4f},", 1)
        for number, line in enumerate(lines[11:], 10)
    ]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="times go back at frame 10"):
        _timeline.load(path, _timeline.Options())


@pytest.mark.parametrize("rate", [7.5, 29.97, 0.4])
def test_written_films_keep_their_times(rate, tmp_path):
    from keras_kd.sessions import _video

    frames = [(number / rate, np.full((32, 48, 3), 5 * number, np.uint8)) for number in range(12)]
    _video.write(tmp_path / "film.mp4", iter(frames))
    with _video.Video(tmp_path / "film.mp4") as film:
        found = [frame.time for frame in film.after()]
    np.testing.assert_allclose(found, [time for time, _ in frames], atol=1e-3)
