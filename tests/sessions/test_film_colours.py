"""Colours of films are those that players show."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from gray_film import RATE, frames_of, gray_frames

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("av") is None,
    reason="PyAV is not installed: pip install 'keras-kd[sessions]'",
)


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
    (frame,) = frames_of(_coloured(tmp_path / "film.mkv", *size, coded, stated))
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
    for frame in frames_of(tmp_path / "film.mp4"):
        assert np.abs(_stripes(frame.pixels).astype(int) - COLOURS).max() <= 5


@pytest.mark.parametrize(("coding", "told"), [(16, "PQ"), (18, "HLG"), (1, None)])
def test_a_high_dynamic_range_is_seen(coding, told, tmp_path):
    import av

    from keras_kd.sessions import _video

    with av.open(str(tmp_path / "film.mp4"), "w") as container:
        film = container.add_stream("libx264", rate=RATE)
        film.height, film.width, film.pix_fmt = 48, 64, "yuv420p10le"
        film.codec_context.color_trc = coding
        for pixels in gray_frames(range(3)):
            container.mux(film.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(film.encode(None))
    with _video.Video(tmp_path / "film.mp4") as source:
        assert source.hdr == told
