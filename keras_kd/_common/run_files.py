"""Names of the files in a run's folder, by which such a folder is recognised."""

from __future__ import annotations

OPTIONS = "config.toml"
HISTORY = "history.csv"
STUDENT = "student.keras"
METRICS = "metrics.json"  # written last: where it is, the run is complete
CARD = "README.md"
STATE = ".state"
BEGINNING = "began-with.json"  # in the state: what the run began with
ORIGINAL = "original.json"  # in it: the learning rate and clipping that the run began with


def exported_file(format: str) -> str:
    """Name of the student's file in a `.tflite` format."""
    return f"student_{format}.tflite"
