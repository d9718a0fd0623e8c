"""Drawn squares and discs, so that the examples need no data of yours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("disc", "square")


def drawn(count: int, seed: int = 0, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 (count, side, side, 1) pictures and int64 (count,) numbers of CLASSES."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(CLASSES)
    pictures = []
    for label in labels:
        picture = Image.new("L", (side, side), int(random.integers(0, 80)))
        x, y, size = random.integers(2, 8), random.integers(2, 8), random.integers(12, 22)
        draw = ImageDraw.Draw(picture)
        shape = draw.rectangle if CLASSES[label] == "square" else draw.ellipse
        shape((x, y, x + size, y + size), fill=int(random.integers(150, 256)))
        pictures.append(np.asarray(picture)[..., None])
    return np.stack(pictures), labels


def write(folder: Path, count: int = 60) -> None:
    """Write class folders of pictures, as `kerakd distill --data FOLDER` reads them."""
    images, labels = drawn(count)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = folder / CLASSES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[..., 0]).save(path)
