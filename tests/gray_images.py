"""Folders of small gray images for tests; an image's gray tells which one it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from keras_kd import datasets

COUNTS = {"train": 10, "validation": 3, "test": 4}


def write_images(folder: Path, count: int, start: int = 0, suffix: str = ".png") -> None:
    """Write `count` images of the grays from `start` on, named by them."""
    folder.mkdir(parents=True, exist_ok=True)
    for gray in range(start, start + count):
        Image.new("L", (6, 6), gray).save(folder / f"{gray}{suffix}")


def write_splits(
    root: Path, names: dict[str, str], classes: tuple[str, ...] = ("cat", "dog")
) -> None:
    """Write split folders of the given names, COUNTS images in each class, from gray 20 · class
    on.
    """
    for split, name in names.items():
        for number, class_name in enumerate(classes):
            write_images(root / name / class_name, COUNTS[split], 20 * number)


def counts(root: Path, split: str, skip_bad_rows: bool = False) -> list[int]:
    """Return how many images of each class are loaded."""
    return np.bincount(datasets.load(root, split, skip_bad_rows).labels).tolist()
