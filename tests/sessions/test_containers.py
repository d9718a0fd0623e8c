"""Video files as files: names and texts of theirs reach nothing else, covers are no films, joined
times go on.
"""

from __future__ import annotations

import importlib.util
import os
import struct
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from drawn_film import write

from keras_kd.errors import DataError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("av") is None,
    reason="PyAV is not installed: pip install 'keras-kd[sessions]'",
)
RATE = 10


def _flat(values, rate=RATE):
    """Gray frames (48, 64, 3)."""
    return [np.full((48, 64, 3), value, np.uint8) for value in values]


def _film(path, values=range(0, 200, 20)) -> Path:
    made = write(path.parent / f"plain{path.suffix}", _flat(values), RATE)
    return made.rename(path)


def _frames(path):
    from keras_kd.sessions import _video

    with _video.Video(path) as source:
        return list(source.after())


@pytest.fixture
def server():
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *args):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=running.serve_forever, daemon=True).start()
    yield running.server_port, asked
    running.shutdown()
    running.server_close()


def test_a_name_that_reads_like_an_address_is_a_file(server, tmp_path, monkeypatch):
    port, asked = server
    monkeypatch.chdir(tmp_path)
    for name in (
        f"http:127.0.0.1:{port}?x.mp4",
        "P01:baseline.mp4",
        "concat:a.mp4|b.mp4",
        "-i.mp4",
        "%03d.mp4",
    ):
        assert len(_frames(_film(Path(name)))) == 10, name
    for name in (f"http://127.0.0.1:{port}/x.mp4", f"http:127.0.0.1:{port}?gone.mp4", "pipe:0"):
        with pytest.raises(DataError, match="not there"):
            _frames(name)
    assert asked == []


def test_texts_that_name_other_files_open_none_of_them(server, tmp_path):
    port, asked = server
    _film(tmp_path / "secret.mp4")
    texts = {
        "list.mp4": "ffconcat version 1.0\nfile secret.mp4\n",
        "list.m3u8": f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n#EXT-X-ENDLIST\n",
        "near.m3u8": "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n",
        "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
        "session.sdp": "v=0\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match="can't be opened as a video"):
            _frames(tmp_path / name)
    assert asked == []


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match="no regular file"):
            _frames(path)


def _with_cover(path: Path, film: bool) -> Path:
    """A cover picture as the first video stream, then sound or a film of ten frames."""
    import av
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 96, 64, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        second = (
            container.add_stream("libx264", rate=RATE)
            if film
            else container.add_stream("aac", rate=44100)
        )
        if film:
            second.width, second.height, second.pix_fmt = 64, 48, "yuv420p"
            packets = [
                second.encode(av.VideoFrame.from_ndarray(frame))
                for frame in _flat(range(0, 200, 20))
            ]
        else:
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            sound.sample_rate = 44100
            packets = [second.encode(sound)]
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8))))
        for packet in [*packets, cover.encode(None), second.encode(None)]:
            container.mux(packet)
    return path


def test_a_cover_picture_is_no_film(tmp_path):
    frames = _frames(_with_cover(tmp_path / "cover.mp4", True))
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 10
    with pytest.raises(DataError, match="no video"):
        _frames(_with_cover(tmp_path / "sound.mp4", False))


def _joined(path: Path) -> Path:
    """Two streams of a second each, one behind the other: the times start again."""
    parts = [
        _film(path.parent / f"part{number}.ts", values)
        for number, values in enumerate([[50] * 10, [200] * 10])
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turned", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [None, Fraction(3, 2), Fraction(10, 11)])
def test_a_film_is_read_as_players_show_it(turned, mirrored, aspect, tmp_path):
    import av

    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:16, :32] = 255  # the upper left corner
    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode(None))
    # ISO 14496-12, 8.3.2: the track header's matrix a, b, u, c, d, v, x, y, w in 16.16; players
    # turn by it, clockwise.
    plain, whole = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30), 1 << 16
    a, b = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turned]
    x, y = (-whole if mirrored else whole), whole
    matrix = struct.pack(">9i", a * x, b * y, 0, -b * x, a * y, 0, 0, 0, 1 << 30)
    head, tail = (tmp_path / "film.mp4").read_bytes().split(b"tkhd")
    (tmp_path / "film.mp4").write_bytes(head + b"tkhd" + tail.replace(plain, matrix, 1))
    width = round(64 * (aspect or 1))
    expected = np.zeros((48, width), bool)
    expected[:16, : width // 2] = True
    expected = np.rot90(expected, -turned // 90)
    expected = expected[:, ::-1] if mirrored else expected
    for frame in _frames(tmp_path / "film.mp4"):
        assert frame.pixels.shape == (*expected.shape, 3)
        assert ((frame.pixels[..., 0] > 128) == expected).mean() > 0.97


COLOURS = np.array([(220, 60, 40), (40, 180, 60), (50, 60, 200), (200, 160, 130)])
# ITU-R BT.601 and BT.709: the weights of red and of blue; and their numbers in ITU-T H.273.
WEIGHTS = {601: (0.299, 0.114), 709: (0.2126, 0.0722)}
NUMBERS = {601: 5, 709: 1, None: 2}


def _coloured(path: Path, width: int, height: int, coded: int, stated: int | None) -> Path:
    """A lossless film of four stripes of COLOURS, whose luma and chroma are worked out here."""
    import av

    (red, blue), stripes = WEIGHTS[coded], COLOURS / 255
    luma = stripes @ (red, 1 - red - blue, blue)
    chroma = [(stripes[:, 2] - luma) / (1 - blue) / 2, (stripes[:, 0] - luma) / (1 - red) / 2]
    values = np.array([16 + 219 * luma, *(128 + 224 * one for one in chroma)])
    planes = np.repeat(np.repeat(np.round(values)[:, None], height, 1), width // 4, 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv444p"
        stream.codec_context.colorspace = NUMBERS[stated]
        picture = av.VideoFrame.from_ndarray(planes.astype(np.uint8), format="yuv444p")
        picture.colorspace = NUMBERS[stated]
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _stripes(pixels: np.ndarray) -> np.ndarray:
    width = pixels.shape[1]
    return pixels[pixels.shape[0] // 2, width // 8 :: width // 4]


# Chromium shows those without a statement so too: films of 720 rows or more by BT.709.
@pytest.mark.parametrize(
    ("size", "coded", "stated"),
    [
        ((640, 480), 601, None),
        ((1280, 720), 709, None),
        ((720, 1280), 709, None),
        ((640, 480), 709, 709),
        ((1280, 720), 601, 601),
    ],
)
def test_colours_are_those_that_players_show(size, coded, stated, tmp_path):
    (frame,) = _frames(_coloured(tmp_path / "film.mkv", *size, coded, stated))
    assert np.abs(_stripes(frame.pixels).astype(int) - COLOURS).max() <= 3


@pytest.mark.parametrize("size", [(640, 480), (1280, 720)])
def test_written_films_state_the_coding_that_players_guess(size, tmp_path):
    import av

    from keras_kd.sessions import _video

    pixels = np.repeat(COLOURS[None], size[1], 0).repeat(size[0] // 4, 1).astype(np.uint8)
    _video.write(tmp_path / "film.mp4", iter([(0.0, pixels), (0.1, pixels)]))
    with av.open(str(tmp_path / "film.mp4")) as container:
        picture = next(container.decode(video=0))
    assert picture.colorspace == NUMBERS[709 if size[1] == 720 else 601]
    for frame in _frames(tmp_path / "film.mp4"):
        assert np.abs(_stripes(frame.pixels).astype(int) - COLOURS).max() <= 5


def test_a_film_that_begins_late_declares_its_own_length(tmp_path):
    import av

    from keras_kd.sessions import _video

    with av.open(str(tmp_path / "late.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number, pixels in enumerate(_flat(range(10))):
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
        for number, pixels in enumerate(_flat(range(10))):
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


@pytest.mark.parametrize(("coding", "told"), [(16, "PQ"), (18, "HLG"), (1, None)])
def test_a_high_dynamic_range_is_seen(coding, told, tmp_path):
    import av

    from keras_kd.sessions import _video

    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        film = container.add_stream("libx264", rate=RATE)
        film.height, film.width, film.pix_fmt = 48, 64, "yuv420p10le"
        film.codec_context.color_trc = coding
        for pixels in _flat(range(3)):
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(film.encode(None))
    with _video.Video(tmp_path / "film.mp4") as source:
        assert source.hdr == told


def test_further_films_of_a_file_are_told(tmp_path):
    """As OBS records a screen and a camera."""
    import av

    from keras_kd.sessions import _video

    path = tmp_path / "obs.mkv"
    with av.open(str(path), "w") as container:
        films = [container.add_stream("libx264", rate=RATE) for _ in range(2)]
        for film, size in zip(films, ((64, 48), (96, 64)), strict=True):
            (film.width, film.height), film.pix_fmt = size, "yuv420p"
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels)))
        for film in films:
            container.mux(film.encode(None))
    with _video.Video(path) as source:
        assert source.pixels == (64, 48) and source.others == ["96x64"]
    with _video.Video(_with_cover(tmp_path / "cover.mp4", True)) as source:
        assert source.others == []


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

    whole = _frames(path := _joined(tmp_path / "joined.ts"))
    with _video.Video(path) as source:
        rest = list(source.after(after, round(whole[after].time, 4)))
    assert [(frame.number, frame.time) for frame in rest] == [
        (frame.number, frame.time) for frame in whole[after + 1 :]
    ]


def test_joined_recordings_can_be_written_again(tmp_path):
    from keras_kd.sessions import _video

    path = _joined(tmp_path / "joined.ts")
    _video.write(tmp_path / "P:1.mp4", ((frame.time, frame.pixels) for frame in _frames(path)))
    assert len(_frames(tmp_path / "P:1.mp4")) == 20


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


CODECS = [
    ("mp4", "libx264", "yuv420p"),
    ("webm", "libvpx", "yuv420p"),
    ("webm", "libvpx-vp9", "yuv420p"),
    ("avi", "mjpeg", "yuvj420p"),
    ("avi", "mpeg4", "yuv420p"),
    ("mpg", "mpeg1video", "yuv420p"),
    ("mkv", "ffv1", "yuv420p"),
    ("mov", "prores", "yuv422p10le"),
    ("wmv", "wmv2", "yuv420p"),
    ("flv", "flv", "yuv420p"),
]


def _coded(path: Path, codec: str, pixels: str) -> Path:
    import av

    with av.open(str(path), "w") as made:
        stream = made.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for frame in _flat(range(0, 200, 20)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            made.mux(stream.encode(picture.reformat(format=pixels)))
        made.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("suffix", "codec", "pixels"), CODECS)
def test_what_cameras_and_recorders_write_is_decoded(suffix, codec, pixels, tmp_path):
    assert len(_frames(_coded(tmp_path / f"a.{suffix}", codec, pixels))) == 10


@pytest.mark.parametrize(
    ("codec", "pixels"),
    # CVE-2026-8461 is of the first one's decoder; the others are some of many that none needs.
    [("magicyuv", "gbrp"), ("asv1", "yuv420p"), ("zmbv", "bgr0"), ("snow", "yuv420p")],
)
def test_decoders_that_no_camera_needs_see_no_frame(codec, pixels, tmp_path):
    with pytest.raises(DataError, match="of a form that isn't decoded here: save it as H.264"):
        _frames(_coded(tmp_path / "a.avi", codec, pixels))
