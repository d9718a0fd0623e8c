"""Every command that writes, on data so small that it ends in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from small_network import WIDE

QUICK = ["--batch-size", "8", "--augment", "none", "--precision", "float32"]


def data_options(given: Path) -> list[str]:
    return ["--data", str(given / "fer2013.csv"), *QUICK]


def teach_command(given: Path, place: Path) -> list[str]:
    return [
        "teach",
        *data_options(given),
        "--teacher",
        WIDE,
        "--teacher-epochs",
        "2",
        "--out",
        str(place),
    ]


def soft_labels_command(given: Path, place: Path) -> list[str]:
    return [*teach_command(given, given)[:-2], "--soft-labels", str(place / "store")]


def distil_command(given: Path, place: Path, epochs: int = 2) -> list[str]:
    options = ["--student", WIDE, "--alpha", "1", "--epochs", str(epochs), "--formats", "float32"]
    return ["distill", *data_options(given), *options, "--out", str(place / "out")]


def sweep_command(given: Path, place: Path) -> list[str]:
    options = ["--student", WIDE, "--alpha", "1", "--epochs", "1", "--vary", "seed=0,1"]
    return ["sweep", *data_options(given), *options, "--out", str(place / "out")]


def export_command(given: Path, place: Path) -> list[str]:
    return ["export", str(given / "teacher.keras"), "--out", str(place / "model.tflite")]


def bundle_command(given: Path, place: Path) -> list[str]:
    data = ["--data", str(given / "fer2013.csv")]
    return ["export", str(given / "teacher.keras"), *data, "--bundle", "--out", str(place / "out")]


def analyze_command(film: Path, place: Path) -> list[str]:
    return ["analyze", str(film), "--crop", "1.5", "--out", str(place / "out")]


Command = Callable[[Path, Path], list[str]]
WRITERS = {
    "soft labels": soft_labels_command,
    "distil": distil_command,
    "export": export_command,
    "bundle": bundle_command,
}
# Each writes to its disk all that a command writes.
COMMANDS = {"teach": teach_command, **WRITERS, "sweep": sweep_command, "analyze": analyze_command}
