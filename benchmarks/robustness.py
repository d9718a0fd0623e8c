"""Accuracy of models on FER2013's PrivateTest (or PublicTest, to choose by) as it is, and on the
same images spoilt in one way each.

    python benchmarks/robustness.py data/fer2013.csv exports/*/model.tflite [--out
    docs/results/robustness] [--split validation]

Images are spoilt at their own 48 pixels, before a model's own size is made of them. Writes
OUT.csv, one row a model, and OUT.png; prints the same as Markdown. Two minutes a model.
"""

from __future__ import annotations

import argparse
import io
import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import matplotlib
import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from keras_kd import datasets
from keras_kd._common.markdown import table
from keras_kd.datasets.images import Size, height_width
from keras_kd.datasets.readers import fer2013
from keras_kd.runtimes import predictors

matplotlib.use("Agg")
from matplotlib import pyplot

Spoil = Callable[[Image.Image], Image.Image]
SETS = {"validation": "PublicTest", "test": "PrivateTest"}
JPEG_QUALITY, SMALL, BLUR, DARK, ANGLE, SHARE = 20, 24, 1.5, 0.4, 15, 0.15


def _encoded(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return Image.open(file)


def _shrunk(image: Image.Image) -> Image.Image:
    small = image.resize((SMALL, SMALL), Image.Resampling.BILINEAR)
    return small.resize(image.size, Image.Resampling.BILINEAR)


def _mean(image: Image.Image) -> int:
    return int(np.asarray(image).mean())


def _turned(image: Image.Image) -> Image.Image:
    return image.rotate(ANGLE, Image.Resampling.BILINEAR, fillcolor=_mean(image))


def _closer(image: Image.Image) -> Image.Image:
    """A face box that is 15 % too small."""
    side = image.width
    margin = SHARE / 2 * side
    box = (margin, margin, side - margin, side - margin)
    return image.resize(image.size, Image.Resampling.BILINEAR, box)


def _farther(image: Image.Image) -> Image.Image:
    """A face box that is 15 % too large."""
    side = image.width
    inner = round(side / (1 + SHARE))
    small = image.resize((inner, inner), Image.Resampling.BILINEAR)
    before = (side - inner) // 2
    return ImageOps.expand(
        small, (before, before, side - inner - before, side - inner - before), _mean(image)
    )


def _shifted(image: Image.Image) -> Image.Image:
    moved = (1, 0, SHARE * image.width, 0, 1, SHARE * image.height)
    return image.transform(image.size, Image.Transform.AFFINE, moved, fillcolor=_mean(image))


def _covered(left: float, top: float, right: float, bottom: float) -> Spoil:
    """A part of the image, in 0..1, has the image's mean."""

    def spoil(image: Image.Image) -> Image.Image:
        side = image.width
        covered = image.copy()
        covered.paste(
            _mean(image), tuple(round(edge * side) for edge in (left, top, right, bottom))
        )
        return covered

    return spoil


SPOILT: dict[str, Spoil] = {
    "as it is": lambda image: image,
    f"JPEG {JPEG_QUALITY}": _encoded,
    f"{SMALL} pixels": _shrunk,
    f"blur {BLUR}": lambda image: image.filter(ImageFilter.GaussianBlur(BLUR)),
    f"dark x{DARK}": lambda image: ImageEnhance.Brightness(image).enhance(DARK),
    f"turned {ANGLE}°": _turned,
    "15 % closer": _closer,
    "15 % farther": _farther,
    "shifted 15 %": _shifted,
    "mouth covered": _covered(0, 0.5, 1, 1),
    "eyes covered": _covered(0, 0, 1, 0.5),
    "left half covered": _covered(0, 0, 0.5, 1),
}


def spoilt(images: np.ndarray, spoil: Spoil) -> np.ndarray:
    """Gray uint8 (N, H, W, 1), each image spoilt."""
    done = [np.asarray(spoil(Image.fromarray(image[:, :, 0])).convert("L")) for image in images]
    return np.stack(done)[..., None]


def resized(images: np.ndarray, size: Size | None) -> np.ndarray:
    """Gray uint8 (N, height, width, 1), as data sets are loaded."""
    if size is None or height_width(size) == images.shape[1:3]:
        return images
    size = height_width(size)[::-1]
    done = [
        np.asarray(Image.fromarray(image[:, :, 0]).resize(size, Image.Resampling.BILINEAR))
        for image in images
    ]
    return np.stack(done)[..., None]


def accuracies(path: Path, sets: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, float]:
    """Percent right by the name of each set."""
    predictor = predictors.load(path)
    names = predictor.spec.class_names
    ordered = predictors.reordered(predictor, names, fer2013.CLASS_NAMES)
    right = {
        name: ordered.predict(resized(images, predictor.spec.size)).logits.argmax(axis=1) == labels
        for name, images in sets.items()
    }
    return {name: 100 * float(hits.mean()) for name, hits in right.items()}


def picture(frame: pd.DataFrame, called: str, path: Path) -> None:
    """A bar for each model and each way of spoiling."""
    figure, axes = pyplot.subplots(figsize=(11, 4.5), layout="constrained")
    frame.T.plot.bar(ax=axes, width=0.8)
    axes.set_ylabel(f"right on {called}, %")
    axes.set_ylim(0, 80)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.tick_params(axis="x", labelrotation=30)
    axes.legend(ncols=len(frame), loc="upper right", frameon=False)
    figure.savefig(path, dpi=130)


def main() -> None:
    """Spoil, score, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="fer2013.csv or its folders")
    parser.add_argument("models", nargs="+", type=Path, help="model files")
    parser.add_argument("--out", type=Path, default=Path("docs/results/robustness"))
    parser.add_argument("--split", choices=SETS, default="test", help="validation is PublicTest")
    given = parser.parse_args()
    called = SETS[given.split]
    test = datasets.load(f"fer2013:{given.data}", given.split, size=48)
    sets = {name: spoilt(test.images, spoil) for name, spoil in SPOILT.items()}
    rows = {path.parent.name: accuracies(path, sets, test.hard_labels) for path in given.models}
    frame = pd.DataFrame.from_dict(rows, orient="index").round(2)
    frame.to_csv(given.out.with_suffix(".csv"), index_label="model")
    picture(frame, called, given.out.with_suffix(".png"))
    cells = [(name, *(f"{score:.1f}" for score in row)) for name, row in frame.T.iterrows()]
    print(table((f"{called}, % right", *frame.index), cells))


if __name__ == "__main__":
    main()
