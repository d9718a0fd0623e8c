"""Accuracy of models on FER2013 by protocol: single view, with the mirror image, ten crops.

    python benchmarks/protocols.py data/fer2013.csv runs/teacher-face/teacher.keras... [--split
    test]

The logits of a protocol's views are averaged. Ten crops are those of 90 % of the side in the four
corners and the middle, resized to the model's input, and their mirror images. With several models
the last row is their average. PrivateTest (`--split test`) is for final scores alone: choose by
PublicTest (`--split validation`). Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

from keras_kd import datasets
from keras_kd._common.markdown import table
from keras_kd.datasets.readers import fer2013
from keras_kd.runtimes import predictors

CROP = 0.9
# Left and top of the crops, as a share of what is left beside them.
CORNERS = ((0.5, 0.5), (0, 0), (1, 0), (0, 1), (1, 1))
HEADER = ("model", "single view", "mirrored", "ten crops")


def crops(images: np.ndarray, left: float, top: float) -> np.ndarray:
    """One crop of each gray uint8 (N, H, W, 1), at the size of the image."""
    side = images.shape[1]
    kept, space = CROP * side, (1 - CROP) * side
    box = (left * space, top * space, left * space + kept, top * space + kept)
    done = [
        np.asarray(
            Image.fromarray(image[:, :, 0]).resize((side, side), Image.Resampling.BILINEAR, box)
        )
        for image in images
    ]
    return np.stack(done)[..., None]


def by_protocol(path: Path, data: str, split: str) -> tuple[list[np.ndarray], np.ndarray]:
    """A model's mean logits by each protocol, in FER2013's order of classes, and the labels."""
    predictor = predictors.load(path)
    names = predictor.spec.class_names
    ordered = predictors.reordered(predictor, names, fer2013.CLASS_NAMES)
    samples = datasets.load(f"fer2013:{data}", split, size=predictor.spec.size)

    def both(images: np.ndarray) -> list[np.ndarray]:
        return [ordered.predict(view).logits for view in (images, images[:, :, ::-1])]

    plain = both(samples.images)
    ten = [logits for corner in CORNERS for logits in both(crops(samples.images, *corner))]
    return [plain[0], np.mean(plain, axis=0), np.mean(ten, axis=0)], samples.hard_labels


def row(name: str, logits: list[np.ndarray], labels: np.ndarray) -> tuple[str, ...]:
    """Percent right by protocol."""
    right = [100 * float((one.argmax(axis=1) == labels).mean()) for one in logits]
    return (name, *(f"{accuracy:.2f}" for accuracy in right))


def main() -> None:
    """Score and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="fer2013.csv or its folders")
    parser.add_argument("models", nargs="+", type=Path, help="model files")
    parser.add_argument("--split", choices=datasets.SPLITS, default="validation")
    given = parser.parse_args()
    rows, members = [], []
    for path in given.models:
        logits, labels = by_protocol(path, given.data, given.split)
        rows.append(row(f"{path.parent.name}/{path.stem}", logits, labels))
        members.append(logits)
    if len(members) > 1:
        average = [np.mean(views, axis=0) for views in zip(*members, strict=True)]
        rows.append(row("average", average, labels))
    print(table(HEADER, rows))


if __name__ == "__main__":
    main()
