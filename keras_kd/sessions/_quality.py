"""The quality of a face for reading: size, blur, light, contrast, noise, covered parts and turn.

Each part is 1 where it costs nothing, and 0.5 where FER2013's test images, changed that way, lose
some ten points of accuracy. `benchmarks/degradation.py` measures it, docs/sessions.md shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_kd.datasets import images
from keras_kd.sessions._faces import Face

# Views worse than this are not read into a timeline.
LOWEST_QUALITY = 0.5
# Where the eyes and the mouth are in an upright crop of 64x64: rows, columns.
PLACES = (
    (slice(14, 30), slice(10, 30)),
    (slice(14, 30), slice(34, 54)),
    (slice(40, 56), slice(18, 46)),
)
# What each part is at 0.5 and at 1; between and beyond a straight line.
LIMITS = {
    "size": (24.0, 48.0),
    "sharpness": (0.03, 0.06),
    "contrast": (16.0, 24.0),
    "brightness": (32.0, 64.0),
    "overexposure": (0.5, 0.25),
    "noise": (0.13, 0.07),
    "second look": (0.70, 0.80),
    "cover": (0.50, 0.62),
    "turn": (0.8, 0.4),
}


@dataclass(frozen=True)
class Quality:
    """How well a face can be read.

    Attributes:
        overall: 0..1, the worst part.
        limit: name of that part, one of LIMITS.
        sharpness: variance of the Laplacian over the variance of the pixels, at 64x64.
        roll: degrees, clockwise in the image; None without points.
        turn: sideways, nose from the middle of the eyes in halves of their distance; None without
            points.
        brightness: mean gray level, 0..255.
        contrast: standard deviation of the gray levels.
        noise: standard deviation of the noise over that of the gray levels.
        second: score of a closer look at the face, 0..1; None where nobody looked.
    """

    overall: float
    limit: str
    sharpness: float
    roll: float | None
    turn: float | None
    brightness: float
    contrast: float
    noise: float
    second: float | None


def quality(face: Face, cut: np.ndarray) -> Quality:
    """Judge a face by its box, its points, a closer look and its crop, uint8 (S, S, 3)."""
    gray = images.fitted(cut[None], (64, 64, 1))[0, :, :, 0].astype(np.float32)
    contrast = float(gray.std())
    sharpness, noise = _sharpness(gray), _noise(gray) / max(contrast, 1.0)
    turn = None if face.points is None else _turn(face.points)
    measured = {
        "size": min(face.box[2:]),
        "sharpness": sharpness,
        "contrast": contrast,
        "brightness": float(gray.mean()),
        "overexposure": float((gray >= 250).mean()),
        "noise": noise,
        "second look": face.second,
        "cover": _detail(gray),
        "turn": None if turn is None else abs(turn),
    }
    parts = {
        name: _part(value, *LIMITS[name]) for name, value in measured.items() if value is not None
    }
    limit = min(parts, key=parts.__getitem__)
    roll = None if face.points is None else face.roll
    brightness = measured["brightness"] or 0.0
    return Quality(
        parts[limit], limit, sharpness, roll, turn, brightness, contrast, noise, face.second
    )


def _part(value: float, half: float, full: float) -> float:
    return float(np.clip(0.5 + 0.5 * (value - half) / (full - half), 0, 1))


def _sharpness(gray: np.ndarray) -> float:
    inner = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * inner
    return float(laplacian.var() / max(gray.var(), 1.0))


def _noise(gray: np.ndarray) -> float:
    """Standard deviation of the noise: J. Immerkaer, "Fast noise variance estimation", 1996."""
    rows = gray[:-2] - 2 * gray[1:-1] + gray[2:]
    both = rows[:, :-2] - 2 * rows[:, 1:-1] + rows[:, 2:]
    return float(np.sqrt(np.pi / 2) * np.abs(both).mean() / 6)


def _detail(gray: np.ndarray) -> float:
    """The least that eyes and mouth change downwards, as a share of the whole crop: what is covered
    by a hand lacks it.

    Of 138 of FER2013's faces 98 % have 0.62 or more; with a hand over the mouth or one eye, drawn
    smooth or with fingers, 90 % have less than 0.5.
    """
    changes = np.abs(gray[:-2, 1:-1] - 2 * gray[1:-1, 1:-1] + gray[2:, 1:-1])
    return float(min(changes[place].mean() for place in PLACES) / max(changes.mean(), 1e-6))


def _turn(points: np.ndarray) -> float:
    right, left, nose = points[:3]
    across = left - right
    half = max(float(np.hypot(*across)) / 2, 1e-6)
    return float((nose - (right + left) / 2) @ across) / (2 * half * half)
