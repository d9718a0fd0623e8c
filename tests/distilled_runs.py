"""The command that distills in a process of its own, and the files that it leaves."""

import sys
from pathlib import Path

from small_network import NETWORK

KERAKD = [sys.executable, "-c", "from keras_kd.cli.main import main; main()"]
TRAINING = [
    "--batch-size",
    "8",
    "--views",
    "2",
    "--learning-rate",
    "0.05",
    "--precision",
    "float32",
]
RUN_FILES = {
    "README.md",
    "config.toml",
    "confusion.png",
    "cost.png",
    "curves.png",
    "reliability.png",
    "history.csv",
    "labels.txt",
    "metrics.json",
    "student.keras",
    "student_float32.tflite",
    "student_int8.tflite",
}


def distill_command(data: Path, out: Path, *more: str) -> list[str]:
    fixed = f"--student {NETWORK} --teacher {NETWORK} --teacher-epochs 6 --epochs 6"
    command = [*KERAKD, "distill", "--data", str(data), *fixed.split(), *TRAINING]
    return [*command, "--out", str(out), *more]
