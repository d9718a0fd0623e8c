"""The guide's programs of some files, written where compilers find them, and what their crops must
give.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from keras_kd.datasets.class_names import are_expressions
from keras_kd.datasets.images import fitted
from keras_kd.exporters import _guide_code
from keras_kd.sessions import SIDE, _faces

APPS = Path(__file__).parent / "apps"
PACKAGES = APPS / "node_modules"
MISSING = "the compilers of `make apps` are not installed"


# A face that shrinks, upright and tilted; one that grows; one that leaves the picture.
FACES = [
    ((60.0, 50.0, 90.0, 80.0), 0.0),
    ((60.0, 50.0, 90.0, 80.0), 25.0),
    ((40.0, 60.0, 12.0, 14.0), -10.0),
    ((-20.0, -10.0, 90.0, 80.0), 0.0),
]


def write(found: _guide_code.Facts, folder: Path, *names: str) -> None:
    """Write programs for a file into a folder."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(_guide_code.program(found, name) + "\n", encoding="utf-8")


@functools.cache
def picture() -> np.ndarray:
    """Smooth colours, uint8 (160, 200, 3)."""
    down, right = np.mgrid[:160, :200] / 30
    waves = [np.sin(right + shift) * np.cos(down * 0.8 - shift) for shift in (0, 1, 2)]
    return (127.5 + 120 * np.stack(waves, axis=-1)).astype(np.uint8)


def arguments(
    box: tuple[float, float, float, float], degrees: float, found: _guide_code.Facts
) -> list[str]:
    """What the programs' crops take: a face's box and tilt in radians, or, where the classes are no
    expressions, the middle and size of its square.
    """
    x, y, width, height = box
    tilt, rise, side = np.radians(degrees), _faces.RISE * height, SIDE * max(width, height)
    middle = x + width / 2 + rise * np.sin(tilt), y + height / 2 - rise * np.cos(tilt)
    place = box if are_expressions(found.class_names) else (*middle, side, side)
    return [repr(float(value)) for value in (*place, tilt)]


def expected(box: tuple[float, float, float, float], degrees: float, found: _guide_code.Facts):
    """The same by Python's crop and resizing, as the file takes it."""
    cut = _faces.crop(picture(), box, SIDE, degrees)
    return found.pixels.of(fitted(cut[None], found.shape))[0].ravel().astype(np.float64)


def assert_like(values, box, degrees, found) -> None:
    """Python's square lies on whole pixels: up to half a pixel from the programs'."""
    wanted = expected(box, degrees, found)
    scale, _ = found.pixels.line(found.shape[2])
    levels = np.abs(np.asarray(values, np.float64) - wanted).reshape(-1, found.shape[2]) / scale
    assert levels.mean() < 2 and levels.max() < 9
