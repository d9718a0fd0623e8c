"""What quantization costs a student: every format, and fine-tuning with int8's rounding against
static int8.

    .venv/bin/python benchmarks/quantization.py student.keras --data fer2013.csv --soft-labels store

`kerakd distill --soft-labels store …` makes both. Prints each fine-tuning's progress, then the
table of docs/export.md: sizes, how often a file answers as float32 does, and accuracy in percent.
Choose by the validation images (FER2013's PublicTest); each file is scored once on the test images.
A run that was stopped goes on.
"""

import argparse
import gzip
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pandas as pd

from keras_kd import datasets
from keras_kd._common.progress import Terminal
from keras_kd.datasets import Samples
from keras_kd.exporters.quantization_aware import FineTuning
from keras_kd.models import keras_file
from keras_kd.pipelines import export
from keras_kd.pipelines.export_settings import QAT, ExportSettings
from keras_kd.runtimes import predictors

FORMATS = ("float32", "float16", "dynamic", "int8")
SMALLER = {
    "prune .75": {"prune": 0.75},
    "cluster 16": {"cluster": 16},
    "both": {"prune": 0.75, "cluster": 16},
}


def plan(arguments: argparse.Namespace) -> dict[str, ExportSettings]:
    """All files by name, float32 first."""
    settings = {format: ExportSettings(format, arguments.data) for format in FORMATS}
    ways = {f"qat seed {seed}": {"seed": seed} for seed in range(arguments.seeds)}
    if arguments.smaller:
        ways |= {f"qat {name}": how for name, how in SMALLER.items()}
    for name, how in ways.items():
        fine_tuning = FineTuning(epochs=arguments.epochs, **how)
        settings[name] = ExportSettings(
            QAT, arguments.data, fine_tuning=fine_tuning, soft_labels=arguments.soft_labels
        )
    return settings


def answers(path: Path, student: str, samples: Samples) -> np.ndarray:
    """The class that a file gives to each sample, in the data's order of classes."""
    _, spec = keras_file.load(student)
    file = predictors.reordered(
        predictors.LiteRTPredictor(path, spec), spec.class_names, samples.class_names
    )
    return file.logits(samples.images).argmax(axis=1)


def main() -> None:
    """Write, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("student", help=".keras file")
    parser.add_argument("--data", required=True)
    parser.add_argument(
        "--soft-labels", required=True, help="the store that the student learnt from"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--smaller", action="store_true", help="also pruned and clustered")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/quantization"),
        help="folder of the files and the csv",
    )
    arguments = parser.parse_args()
    record = arguments.out / "quantization.csv"
    rows = pd.read_csv(record).to_dict("records") if record.exists() else []
    validation = datasets.load(arguments.data, "validation")
    for name, settings in plan(arguments).items():
        if name in [row["file"] for row in rows]:
            continue
        path = arguments.out / f"{name.replace(' ', '_')}.tflite"
        result = export.export(arguments.student, settings, path, Terminal())
        given = answers(path, arguments.student, validation)
        as_float = answers(arguments.out / "float32.tflite", arguments.student, validation)
        row = {
            "file": name,
            "kB": path.stat().st_size / 1e3,
            "gzip kB": len(gzip.compress(path.read_bytes())) / 1e3,
        }
        row |= {"agreement": 100 * np.mean(given == as_float)}
        row |= {
            "validation": 100 * np.mean(given == validation.hard_labels),
            "test": 100 * result["test"]["accuracy"],
        }
        rows.append(row)
        pd.DataFrame(rows).to_csv(record, index=False)
    print(pd.DataFrame(rows).to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    main()
