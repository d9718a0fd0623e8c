"""Video files as files: names and texts of theirs reach nothing else, covers are no films, joined
times go on."""

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
from gray_film import RATE, frames_of, gray_film, gray_frames

from keras_kd.errors import DataError

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("av") is None,
    reason="PyAV is not installed: pip install 'keras-kd[sessions]'",
)


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
        assert len(frames_of(gray_film(Path(name)))) == 10, name
    for name in (f"http://127.0.0.1:{port}/x.mp4", f"http:127.0.0.1:{port}?gone.mp4", "pipe:0"):
        with pytest.raises(DataError, match="not there"):
            frames_of(name)
    assert asked == []


def test_texts_that_name_other_files_open_none_of_them(server, tmp_path):
    port, asked = server
    gray_film(tmp_path / "secret.mp4")
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
            frames_of(tmp_path / name)
    assert asked == []


def test_a_camera_that_is_not_there_is_not_to_be_copied_again():
    from keras_kd.sessions import _video

    with pytest.raises(DataError, match="Camera 99 can't be opened .*: connect it, close") as told:
        _video.Video("99", camera=True)
    assert "copy it again" not in str(told.value)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    for path in (tmp_path / "pipe.mp4", tmp_path, Path("/dev/zero")):
        with pytest.raises(DataError, match="no regular file"):
            frames_of(path)


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
                for frame in gray_frames(range(0, 200, 20))
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
    frames = frames_of(_with_cover(tmp_path / "cover.mp4", True))
    assert [frame.pixels.shape for frame in frames] == [(48, 64, 3)] * 10
    with pytest.raises(DataError, match="no video"):
        frames_of(_with_cover(tmp_path / "sound.mp4", False))


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
    for frame in frames_of(tmp_path / "film.mp4"):
        assert frame.pixels.shape == (*expected.shape, 3)
        assert ((frame.pixels[..., 0] > 128) == expected).mean() > 0.97


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
        for frame in gray_frames(range(0, 200, 20)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            made.mux(stream.encode(picture.reformat(format=pixels)))
        made.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("suffix", "codec", "pixels"), CODECS)
def test_what_cameras_and_recorders_write_is_decoded(suffix, codec, pixels, tmp_path):
    assert len(frames_of(_coded(tmp_path / f"a.{suffix}", codec, pixels))) == 10


@pytest.mark.parametrize(
    ("codec", "pixels"),
    # CVE-2026-8461 is of the first one's decoder; the others are some of many that none needs.
    [("magicyuv", "gbrp"), ("asv1", "yuv420p"), ("zmbv", "bgr0"), ("snow", "yuv420p")],
)
def test_decoders_that_no_camera_needs_see_no_frame(codec, pixels, tmp_path):
    with pytest.raises(DataError, match="of a form that isn't decoded here: save it as H.264"):
        frames_of(_coded(tmp_path / "a.avi", codec, pixels))
