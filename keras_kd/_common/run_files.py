"""Names of the files in a run's folder, by which such a folder is recognised."""

from __future__ import annotations

from pathlib import Path

from keras_kd._common.checked_files import read_json, read_text
from keras_kd.errors import OutputError

OPTIONS = "config.toml"
HISTORY = "history.csv"
STUDENT = "student.keras"
METRICS = "metrics.json"  # written last: where it is, the run is complete
CARD = "README.md"
STATE = ".state"
BEGINNING = "began-with.json"  # in the state: what the run began with
ORIGINAL = "original.json"  # in it: the learning rate and clipping that the run began with


def refuse_run(folder: Path) -> None:
    """Check that a folder to write into is not a run's, whose card and labels are its own.

    Args:
        folder: the folder, which may be missing.

    Raises:
        OutputError: a run is there.
    """
    if any((folder / name).exists() for name in (METRICS, HISTORY, STUDENT, STATE)):
        raise OutputError(f"{folder} is already in use, by a run: choose another --out.")


def exported_file(format: str) -> str:
    """Name of the student's file in a `.tflite` format."""
    return f"student_{format}.tflite"


def is_exported_by_run(file: Path) -> bool:
    """Return whether a file is there that the finished run in its folder exported and scored.

    Args:
        file: the file, which may be missing.
    """
    try:
        found = read_json(read_text(file.parent / METRICS), {"exported": ({str: dict}, None)})
    except (OSError, ValueError):
        return False
    return file.exists() and file.name in map(exported_file, found.get("exported") or ())
