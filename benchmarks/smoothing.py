"""What averaging over time gains, on FER2013's test images shown as films.

    python benchmarks/smoothing.py DATA [--model exports/B] [--images 200] [--out FOLDER]

Each image is shown for three seconds at ten frames a second, one after the other, as a filmed face
is: it drifts, turns, grows, gets darker and lighter, and each frame has noise of its own. The table
gives accuracy and macro F1 of all frames for each `--smooth`, without and with the steadying of
labels, and the gain in F1 over no smoothing with its 95 % interval (images resampled). Stills in
place of films: what a face does between two expressions is not in it. Writes smoothing.csv.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from keras_kd import datasets
from keras_kd.sessions import _labels, _reader

RATE, SECONDS = 10, 3
WINDOWS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0)
RESAMPLES = 500
# Pixels around an image.
BORDER = 16


def shown(picture: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the frames of an image (48, 48, 1): uint8 (48, 48, 3)."""
    steps = generator.normal(0, 1, (RATE * SECONDS, 5))
    # Slow changes: each is 0.8 of the one before.
    state = np.zeros(5)
    # Its border goes on, so that no frame has corners without a picture.
    face = Image.fromarray(np.pad(picture[:, :, 0], BORDER, mode="edge"))
    side = 48 + 2 * BORDER
    for step in steps:
        state = 0.8 * state + 0.6 * step
        x, y, degrees, scale, light = state * [0.8, 0.8, 3.0, 0.03, 0.08]
        factor = 1 / (1 + scale)
        left, top = (side / 2 * (1 - factor) + shift for shift in (x, y))
        moved = face.rotate(degrees, Image.Resampling.BILINEAR).transform(
            (side, side),
            Image.Transform.AFFINE,
            (factor, 0, left, 0, factor, top),
            Image.Resampling.BILINEAR,
        )
        moved = moved.crop((BORDER, BORDER, BORDER + 48, BORDER + 48))
        noisy = (1 + light) * np.asarray(moved, np.float32) + generator.normal(0, 4, (48, 48))
        gray = np.clip(noisy, 0, 255).astype(np.uint8)
        yield np.repeat(gray[:, :, None], 3, axis=-1)


def macro_f1(labels: np.ndarray, found: np.ndarray, classes: int) -> float:
    """Return the mean over classes of 2 · hits / (there + found); -1 in `found` is no class."""
    pairs = [((labels == one), (found == one)) for one in range(classes)]
    return float(np.mean([2 * (a & b).sum() / max(a.sum() + b.sum(), 1) for a, b in pairs]))


def gain(labels: np.ndarray, before: np.ndarray, after: np.ndarray, classes: int) -> np.ndarray:
    """Return the gain in F1: its value and its 95 % interval over images."""
    frames = RATE * SECONDS
    rows = np.arange(len(labels)).reshape(-1, frames)
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(RESAMPLES):
        chosen = rows[generator.integers(0, len(rows), len(rows))].ravel()
        first, second = (macro_f1(labels[chosen], one[chosen], classes) for one in (before, after))
        drawn.append(second - first)
    whole = macro_f1(labels, after, classes) - macro_f1(labels, before, classes)
    return np.array([whole, *np.quantile(drawn, [0.025, 0.975])])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--model", default="exports/B")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--out", type=Path, default=Path("docs/results/smoothing"))
    asked = parser.parse_args()
    samples = datasets.load(asked.data, "test", size=48)
    reader, _ = _reader.load(asked.model)
    classes = len(reader.class_names)
    generator = np.random.default_rng(0)
    order = generator.permutation(len(samples))[: asked.images]
    names = [samples.class_names[samples.hard_labels[row]] for row in order]
    labels = np.repeat([reader.class_names.index(name) for name in names], RATE * SECONDS)
    frames = [frame for row in order for frame in shown(samples.images[row], generator)]
    chances = reader.read(frames)[0]
    times, valid = np.arange(len(frames)) / RATE, np.ones(len(frames), bool)
    before = chances.argmax(axis=1)
    table = []
    for window in WINDOWS:
        smooth = _labels.smoothed(times, chances, valid, window)
        for name, found in (
            ("most probable", smooth.argmax(axis=1)),
            ("steadied", _labels.steadied(times, smooth, 0.0)),
        ):
            change = gain(labels, before, found, classes)
            table.append(
                {
                    "smooth_s": window,
                    "label": name,
                    "frames": len(frames),
                    "accuracy": round(float((found == labels).mean()), 4),
                    "macro_f1": round(macro_f1(labels, found, classes), 4),
                    **dict(
                        zip(
                            ("gain", "gain_low", "gain_high"), change.round(4).tolist(), strict=True
                        )
                    ),
                    "changes_a_minute": round(60 * RATE * float(np.mean(np.diff(found) != 0)), 1),
                }
            )
            print(*(f"{key} {value}" for key, value in table[-1].items()), sep="  ", flush=True)
    asked.out.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_csv(asked.out / "smoothing.csv", index=False)


if __name__ == "__main__":
    main()
