"""Class names of a model file: in a `labels.txt` beside it, or inside a `.tflite` file."""

from __future__ import annotations

import zipfile
from pathlib import Path

from keras_kd.datasets import class_names
from keras_kd.datasets.class_names import LABELS_FILE
from keras_kd.errors import ModelError

# Limit for a list of names, because a zip member may declare any size.
LARGEST = 2**20


def of_model(path: Path) -> tuple[str, ...] | None:
    """Return the class names of a model file or folder, from beside it or else from inside it.

    Args:
        path: the file or folder.

    Returns:
        The names in the order of the outputs; None if there are none.

    Raises:
        ModelError: they can't be read, or both places have names and these differ.
    """
    beside, inside = _beside(path), _inside(path)
    if beside and inside and beside != inside:
        raise ModelError(
            f"{path} holds the class names {', '.join(inside)}, and {LABELS_FILE} beside it has "
            f"{', '.join(beside)}: remove the wrong {LABELS_FILE}."
        )
    return beside or inside


def _beside(path: Path) -> tuple[str, ...] | None:
    labels = path.with_name(LABELS_FILE)
    if not labels.is_file():
        return None
    try:
        return _checked(class_names.read(labels))
    except (ValueError, OSError) as error:
        raise ModelError(
            f"{labels} can't be read as one class name a line ({error}): mend it."
        ) from error


def _inside(path: Path) -> tuple[str, ...] | None:
    """The one text file in the archive that TFLite metadata appends to a `.tflite`."""
    if path.suffix != ".tflite" or not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [entry for entry in archive.infolist() if entry.filename.endswith(".txt")]
            named = [entry for entry in texts if entry.filename == LABELS_FILE] or texts
            if len(named) != 1:
                return None
            if named[0].file_size > LARGEST:
                raise ValueError(f"it declares {named[0].file_size:,} bytes")
            lines = archive.read(named[0]).decode("utf-8-sig").splitlines()
        return _checked(class_names.parsed(lines))
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"The class names inside {path} can't be read ({error}): export it again."
        ) from error


def _checked(names: list[str]) -> tuple[str, ...] | None:
    if wrong := class_names.problem(names):
        raise ValueError(wrong)
    return tuple(names) or None
