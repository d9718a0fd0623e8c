"""Small gray stripes, upright or level: class folders that a student learns in an epoch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def draw(folder: Path) -> Path:
    """Write 16 training, 4 validation and 4 test images of 32x32 of each of two classes."""
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("validation", 4), ("test", 4)):
        for name, axis in (("upright", 1), ("level", 0)):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                wave = 100 * np.sin(np.arange(32) * random.uniform(0.5, 1)) + 120
                pixels = np.broadcast_to(wave if axis else wave[:, None], (32, 32))
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(folder / split / name / f"{number}.png")
    return folder
