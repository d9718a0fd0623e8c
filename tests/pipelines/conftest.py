"""Small drawn data and an environment in which equal runs give equal bits."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from dark_and_bright import write_student
from matplotlib.figure import Figure
from PIL import Image

from keras_kd.reports import comparison_pictures, pictures


def _shape(kind: int, random: np.random.Generator) -> np.ndarray:
    """A bright bar, upright (0), level (1) or both (2), somewhere on noise."""
    image = random.integers(0, 80, (64, 64))
    at = random.integers(12, 46)
    if kind != 1:
        image[:, at : at + 8] += 150
    if kind != 0:
        image[at : at + 8] += 150
    return np.clip(image, 0, 255).astype(np.uint8)


@contextmanager
def _blank(path: Path, width: float, height: float) -> Iterator[Figure]:
    yield Figure((width, height))
    Image.new("L", (1, 1)).save(path)


@pytest.fixture(scope="module", autouse=True)
def blank_pictures() -> Iterator[None]:
    """A run's pictures are of one pixel: matplotlib takes a fifth of a small run's time to arrange
    and print them, and tests/reports judges them.
    """
    with pytest.MonkeyPatch.context() as patched:
        for module in (pictures, comparison_pictures):
            patched.setattr(module, "drawn", _blank)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bars")
    random = np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 10), ("test", 12)):
        for kind, name in enumerate(("upright", "level", "cross")):
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(_shape(kind, random)).save(place / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    # One thread and no reordering of sums: equal runs give equal bits.
    fixed = {"TF_DETERMINISTIC_OPS": "1", "TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **fixed, "KERAKD_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of a network that tells dark images from bright ones."""
    return write_student(tmp_path_factory.mktemp("model") / "student.keras")
