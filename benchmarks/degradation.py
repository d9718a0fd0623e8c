"""How accuracy falls as FER2013's test images get darker, blurred, covered, smaller, and whether
quality sees it.

    python benchmarks/degradation.py DATA [--model exports/B] [--images 300] [--turn-images 1500]
    [--out FOLDER]

Each image is hung at 128 pixels on a gray wall of 320, the face found once, and the picture
changed. Accuracy counts all of these faces; `kept` is the share whose quality is high enough to be
read, `accuracy_kept` that of those. `turn` and `tilt` are the pictures' own: faces by how far the
nose lies aside, and pictures turned by so many degrees. Writes curves.csv and curves.png. DATA is
anything that --data takes. Ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from keras_kd import datasets
from keras_kd.sessions import _detectors, _reader
from keras_kd.sessions._faces import Face, crop, square
from keras_kd.sessions._quality import LOWEST_QUALITY, quality

FACE, WALL = 128, 320
LEVELS: dict[str, tuple[float, ...]] = {
    "darkness": (1, 0.5, 0.35, 0.25, 0.12, 0.03),
    "overexposure": (1, 1.5, 2, 3, 5),
    "contrast": (1, 0.5, 0.35, 0.25, 0.12),
    "noise": (0, 10, 20, 40, 80),
    "blur": (0, 1, 2, 3, 4, 6),
    "size": (96, 48, 32, 24, 16),
    "covered from below": (0, 0.2, 0.35, 0.5),
    "covered from above": (0, 0.2, 0.35, 0.5),
    "covered by a hand": (0, 0.2, 0.35, 0.5),
    "tilt": (0, 15, 30, 45, 60),
}
TURNS = (0, 0.15, 0.3, 0.45, 0.6, 0.8, 1, 9)
Change = Callable[[np.ndarray, float, Face, np.random.Generator], np.ndarray]


def _shown(picture: np.ndarray, tilt: float = 0) -> np.ndarray:
    """Hang a picture (48, 48, 1) on the wall, turned clockwise: uint8 (WALL, WALL, 3)."""
    wall = Image.new("L", (WALL, WALL), 128)
    face = Image.fromarray(picture[:, :, 0]).resize((FACE, FACE), Image.Resampling.BICUBIC)
    wall.paste(face, ((WALL - FACE) // 2,) * 2)
    turned = wall.rotate(-tilt, Image.Resampling.BICUBIC, fillcolor=128)
    return np.repeat(np.asarray(turned)[:, :, None], 3, axis=-1)


def _scaled(image: np.ndarray, factor: float, middle: float = 0) -> np.ndarray:
    return np.clip(middle + factor * (image - np.float32(middle)), 0, 255).astype(np.uint8)


def _blurred(image: np.ndarray, radius: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def _noisy(image: np.ndarray, sigma: float, generator: np.random.Generator) -> np.ndarray:
    noise = generator.normal(0, sigma, (*image.shape[:2], 1))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _covered(
    image: np.ndarray, share: float, face: Face, kind: str, generator: np.random.Generator
) -> np.ndarray:
    left, top, size = square(face.box)
    high = round(share * size)
    begin = top if kind == "above" else top + size - high
    rows, columns = (
        slice(max(at, 0), max(at + length, 0)) for at, length in ((begin, high), (left, size))
    )
    result = image.copy()
    part = result[rows, columns]
    if not part.size:
        return image
    if kind == "hand":
        # Four fingers: skin with a shadow between each.
        fingers = (
            130 + 30 * np.cos(np.arange(part.shape[1]) / part.shape[1] * 8 * np.pi)[None, :, None]
        )
        part[:] = np.clip(fingers + generator.normal(0, 3, (*part.shape[:2], 1)), 0, 255)
    else:
        part[:] = np.median(image[top : top + size, left : left + size])
    return result


CHANGES: dict[str, Change] = {
    "darkness": lambda image, level, face, generator: _noisy(_scaled(image, level), 1, generator),
    "overexposure": lambda image, level, face, generator: _scaled(image, level),
    "contrast": lambda image, level, face, generator: _scaled(image, level, 128),
    "noise": lambda image, level, face, generator: _noisy(image, level, generator),
    "blur": lambda image, level, face, generator: _blurred(image, level),
    "covered from below": lambda image, level, face, generator: _covered(
        image, level, face, "below", generator
    ),
    "covered from above": lambda image, level, face, generator: _covered(
        image, level, face, "above", generator
    ),
    "covered by a hand": lambda image, level, face, generator: _covered(
        image, level, face, "hand", generator
    ),
}


def _at(
    change: str, level: float, picture: np.ndarray, face: Face, generator: np.random.Generator
) -> tuple[np.ndarray, Face]:
    """The changed picture, and the face where it is now."""
    image = _shown(picture, level if change == "tilt" else 0)
    if change == "size":
        factor = level / max(face.box[2:])
        side = max(1, round(WALL * factor))
        image = np.asarray(
            Image.fromarray(image).resize(
                (side, side), Image.Resampling.BOX if factor < 0.5 else Image.Resampling.BILINEAR
            )
        )
        points = None if face.points is None else face.points * factor
        return image, replace(face, box=tuple(factor * value for value in face.box), points=points)
    return CHANGES[change](image, level, face, generator) if change in CHANGES else image, face


def measured(
    samples: datasets.Samples, reader: _reader.Reader, detector: _detectors.Detector
) -> Iterator[dict]:
    """Yield a row a change and level."""
    labels = np.array(
        [reader.class_names.index(samples.class_names[label]) for label in samples.hard_labels]
    )
    found = [detector.find(_shown(picture)) for picture in samples.images]
    places = [number for number, faces in enumerate(found) if faces]
    for change, levels in LEVELS.items():
        for level in levels:
            generator = np.random.default_rng(0)
            cuts, grades, rows, seen = [], [], [], 0
            for number in places:
                image, face = _at(
                    change, level, samples.images[number], found[number][0], generator
                )
                near = detector.find(image)
                seen += bool(near)
                if change == "tilt":
                    if not near:
                        continue
                    face = near[0]
                # A face that is not found any more is judged where it was, as if the closer look
                # saw none.
                face = replace(face, second=near[0].second if near else 0.0)
                cuts.append(crop(image, face.box, roll=face.roll))
                grades.append(quality(face, cuts[-1]))
                rows.append(number)
            right = reader.read(cuts)[0].argmax(1) == labels[rows]
            kept = np.array([grade.overall >= LOWEST_QUALITY for grade in grades])
            yield _row(change, level, right, kept, seen / len(places), grades)


def turns(
    samples: datasets.Samples, reader: _reader.Reader, detector: _detectors.Detector
) -> Iterator[dict]:
    """Yield a row a stretch of turn, as the pictures are."""
    names = [samples.class_names[label] for label in samples.hard_labels]
    cuts, grades, labels = [], [], []
    for picture, name in zip(samples.images, names, strict=True):
        image = _shown(picture)
        for face in detector.find(image)[:1]:
            cuts.append(crop(image, face.box, roll=face.roll))
            grades.append(quality(face, cuts[-1]))
            labels.append(reader.class_names.index(name))
    right = reader.read(cuts)[0].argmax(1) == labels
    aside = np.array([abs(grade.turn or 0) for grade in grades])
    kept = np.array([grade.overall >= LOWEST_QUALITY for grade in grades])
    for low, high in zip(TURNS[:-1], TURNS[1:], strict=True):
        chosen = np.flatnonzero((aside >= low) & (aside < high))
        if len(chosen):
            part = [grades[number] for number in chosen]
            yield _row("turn", low, right[chosen], kept[chosen], 1.0, part)


def _row(
    change: str, level: float, right: np.ndarray, kept: np.ndarray, found: float, grades: list
) -> dict:
    middle = {
        name: np.median([getattr(grade, name) or 0 for grade in grades])
        for name in ("sharpness", "brightness", "contrast", "noise", "second")
    }
    return {
        "change": change,
        "level": level,
        "faces": len(right),
        "found": round(found, 3),
        "accuracy": round(float(right.mean()), 4),
        "kept": round(float(kept.mean()), 3),
        "accuracy_kept": round(float(right[kept].mean()), 4) if kept.any() else None,
        **{name: round(float(value), 4) for name, value in middle.items()},
    }


def draw(table: pd.DataFrame, path: Path) -> None:
    """Draw a curve a change: accuracy of all faces, of those that are kept, and the share kept."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    changes = list(dict.fromkeys(table["change"]))
    figure, axes = pyplot.subplots(3, 4, figsize=(14, 9), layout="constrained", sharey=True)
    for change, axis in zip(changes, axes.flat, strict=False):
        part = table[table["change"] == change]
        places = np.arange(len(part))
        axis.plot(
            places, 100 * part["accuracy"], "o-", color="#3b6fb5", label="right, of all faces"
        )
        # A share of fewer than ten faces says nothing.
        enough = part["kept"] * part["faces"] >= 10
        axis.plot(
            places,
            100 * part["accuracy_kept"].where(enough),
            "s--",
            color="#c8403a",
            label="right, of those that are read",
        )
        axis.bar(
            places,
            100 * part["kept"] * part["found"],
            color="#d8dde2",
            zorder=0,
            label="found and read",
        )
        axis.set_xticks(places, [f"{level:g}" for level in part["level"]])
        axis.set_title(change)
        axis.set_ylim(0, 100)
    for axis in axes.flat[len(changes) :]:
        axis.set_axis_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("%")
    axes.flat[len(changes)].legend(*axes.flat[0].get_legend_handles_labels(), loc="center")
    figure.savefig(path, dpi=100)


def _part(samples: datasets.Samples, count: int) -> datasets.Samples:
    rows = np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)
    return replace(samples, images=samples.images[rows], labels=samples.labels[rows])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data")
    parser.add_argument("--model", default="exports/B")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--turn-images", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=Path("docs/results/degradation"))
    asked = parser.parse_args()
    samples = datasets.load(asked.data, "test", size=48)
    few, many = _part(samples, asked.images), _part(samples, asked.turn_images)
    reader, _ = _reader.load(asked.model)
    asked.out.mkdir(parents=True, exist_ok=True)
    table = []
    detector = _detectors.load()
    for row in itertools.chain(measured(few, reader, detector), turns(many, reader, detector)):
        table.append(row)
        print(*(f"{name} {value}" for name, value in row.items()), sep="  ", flush=True)
    made = pd.DataFrame(table)
    made.to_csv(asked.out / "curves.csv", index=False)
    draw(made, asked.out / "curves.png")


if __name__ == "__main__":
    main()
