"""TensorFlow's converter and AI Edge Quantizer: the same students, calibrated on the same images.

    .venv/bin/python benchmarks/quantizers.py student.keras… --data fer2013.csv

Files lie below build/quantizers; ai-edge-quantizer gets an environment of its own below
build/runtimes. It is given the converter's float32 file of the compacted student, without this
library's rewriting of the first convolution, which it would round badly. Each file is scored on the
validation images (FER2013's PublicTest) and compared with the float32 file; `--images` takes some
of them, evenly. The time is that of the processor for one image on one thread, as a ratio to the
converter's int8 file: the files run in turns, and the median over the turns is taken, so that other
load on the machine matters little. Prints the table of docs/export.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from runtime_list import DRIVERS, HERE, environment
from scipy.special import softmax

import keras_kd
from keras_kd import datasets, exporters
from keras_kd._common.markdown import table
from keras_kd.datasets import Samples
from keras_kd.datasets.images import fitted
from keras_kd.models import keras_file
from keras_kd.models.surgery.precision import in_float32
from keras_kd.runtimes.litert import LiteRTModel

BUILD = Path(__file__).parents[1] / "build"
PACKAGE = "ai-edge-quantizer==0.10.0"
CALIBRATION, TURNS = 500, 200
FORMATS = ("float32", "float16", "dynamic", "int8", "int16x8")
# Of ai_edge_quantizer.recipe. The last leaves the first convolution in float32, as `int8` does.
RECIPES = {
    "dynamic": "dynamic_wi8_afp32",
    "int8": "static_wi8_ai8",
    "int8, first convolution float": "static_wi8_ai8",
    "int16x8": "static_wi8_ai16",
}
USUAL = "int8"


@dataclass(frozen=True)
class Score:
    """A file's answers on the validation images.

    Attributes:
        probabilities: float32 (N, classes).
        accuracy: 0..1.
        milliseconds: of the processor for one image, in each turn.
    """

    probabilities: np.ndarray
    accuracy: float
    milliseconds: np.ndarray


def converted(student: Path, train: Samples, folder: Path) -> dict[str, Path]:
    """Write the converter's files, by format."""
    model, spec = keras_file.load(student)
    exporter = exporters.Exporter(
        model, train, "float", spec.class_names, value_range=spec.expected_pixels
    )
    paths = {}
    for format in FORMATS:
        paths[format] = folder / f"{format}.tflite"
        if not paths[format].exists():
            exporter.export(paths[format], format, min_agreement=0.5)
    return paths


def plain(student: Path, folder: Path) -> Path:
    """Write the float32 file of TensorFlow's converter alone."""
    path = folder / "plain.tflite"
    if not path.exists():
        model = in_float32(keras_kd.compact(keras_file.load(student)[0]))
        image, saved = tf.TensorSpec((1, *model.input_shape[1:])), str(folder / "saved")
        model.export(saved, verbose=False, input_signature=[image])
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        path.write_bytes(converter.convert())
    return path


def quantized(exact: Path, train: Samples, folder: Path) -> dict[str, Path]:
    """Write AI Edge Quantizer's files of a float32 file, by name."""
    python = environment(BUILD / "runtimes", HERE, (PACKAGE,))
    model, images = LiteRTModel(exact, trusted=True), folder / "images.npy"
    np.save(images, model.as_input(fitted(train.images, model.input_shape)))
    paths = {}
    for name, recipe in RECIPES.items():
        paths[name] = folder / f"ai-edge {name}.tflite"
        if not paths[name].exists():
            kept = str(int("first convolution" in name))
            driver = str(DRIVERS / "quantizer.py")
            words = [recipe, str(exact), str(images), str(paths[name]), kept]
            subprocess.run([str(python), driver, *words], check=True, capture_output=True)
    return paths


def scored(files: dict[str, Path], samples: Samples) -> dict[str, Score]:
    """Score and time files, one image of each in turn."""
    models = {name: LiteRTModel(path) for name, path in files.items()}
    rows: dict[str, list[np.ndarray]] = {name: [] for name in files}
    times: dict[str, list[float]] = {name: [] for name in files}
    size = next(iter(models.values())).input_shape
    for number, image in enumerate(fitted(samples.images, size)):
        for name, model in models.items():
            rows[name].append(model.predict(image[None])[0])
            if number < TURNS:
                begun = time.process_time()
                model.compute()
                times[name].append(1e3 * (time.process_time() - begun))
    return {name: _score(np.stack(rows[name]), times[name], samples) for name in files}


def _score(rows: np.ndarray, times: list[float], samples: Samples) -> Score:
    accuracy = float((rows.argmax(axis=1) == samples.hard_labels).mean())
    return Score(softmax(rows, axis=1), accuracy, np.array(times))


def lines(student: str, files: dict[str, Path], scores: dict[str, Score]) -> Iterator[list[str]]:
    """Yield the table's rows of a student."""
    exact, usual = scores["float32"], scores[USUAL]
    for name, path in files.items():
        score = scores[name]
        same = score.probabilities.argmax(axis=1) == exact.probabilities.argmax(axis=1)
        difference = np.abs(score.probabilities - exact.probabilities).max()
        yield [
            student,
            name,
            f"{path.stat().st_size / 1e3:,.0f}",
            f"{100 * score.accuracy:.2f}",
            f"{100 * same.mean():.1f}",
            f"{difference:.2g}",
            f"{np.median(score.milliseconds):.3g}",
            f"{np.median(score.milliseconds / usual.milliseconds):.3g}",
        ]


def _evenly(samples: Samples, count: int) -> Samples:
    return samples[np.linspace(0, len(samples) - 1, min(count, len(samples))).astype(int)]


def _name(path: Path) -> str:
    return path.parent.name if path.stem == "student" else path.stem


def main() -> None:
    """Write, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("students", nargs="+", type=Path, help=".keras files")
    parser.add_argument("--data", required=True)
    parser.add_argument("--images", type=int, default=100_000)
    given = parser.parse_args()
    train = _evenly(datasets.load(given.data, "train"), CALIBRATION)
    validation = _evenly(datasets.load(given.data, "validation"), given.images)
    heading = ("student", "file", "kB", "validation %", "as float32 %", "largest difference",
               "ms", "to int8")  # fmt: skip
    found = []
    for path in given.students:
        folder = BUILD / "quantizers" / _name(path)
        folder.mkdir(parents=True, exist_ok=True)
        files = converted(path, train, folder)
        others = quantized(plain(path, folder), train, folder)
        files |= {f"AI Edge {name}": other for name, other in others.items()}
        found += lines(_name(path), files, scored(files, validation))
        print(table(heading, found), flush=True)


if __name__ == "__main__":
    main()
