"""Films of plain gray frames, and the frames that are read of a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from drawn_film import write

RATE = 10


def gray_frames(values, rate=RATE):
    """Gray frames (48, 64, 3)."""
    return [np.full((48, 64, 3), value, np.uint8) for value in values]


def gray_film(path, values=range(0, 200, 20)) -> Path:
    made = write(path.parent / f"plain{path.suffix}", gray_frames(values), RATE)
    return made.rename(path)


def frames_of(path):
    from keras_kd.sessions import _video

    with _video.Video(path) as source:
        return list(source.after())
