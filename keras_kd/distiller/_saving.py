"""The student's files, whole or absent."""

from __future__ import annotations

from pathlib import Path

import keras

from keras_kd._common.files import written_whole
from keras_kd.errors import ModelError, OutputError

MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


def save_student(student: keras.Model, path: str | Path, overwrite: bool) -> None:
    """Write the student's architecture and weights.

    Raises:
        OutputError: the file exists and `overwrite` is False, its name has another suffix, or it
            can't be written.
        ModelError: the student holds what Keras can't save.
    """
    path = _checked(path, MODEL_SUFFIXES, overwrite)
    try:
        with written_whole(path) as temporary:
            student.save(temporary)
    except (NotImplementedError, TypeError, ValueError) as error:
        raise ModelError(
            f"The student {student.name} can't be saved to {path}: {error} Save its weights with "
            "distiller.save_weights('student.weights.h5')."
        ) from error


def save_student_weights(student: keras.Model, path: str | Path, overwrite: bool) -> None:
    """Write the student's weights.

    Raises:
        OutputError: as for `save_student`.
    """
    path = _checked(path, (".weights.h5",), overwrite)
    with written_whole(path) as temporary:
        # Keras wants this suffix, of which the temporary file's name has the last part.
        whole = temporary.with_suffix(".weights.h5")
        student.save_weights(whole)
        whole.replace(temporary)


def _checked(path: str | Path, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    path = Path(path)
    if not path.name.endswith(suffixes):
        raise OutputError(f"Can't write {path}: its name must end in {' or '.join(suffixes)}.")
    if path.exists() and not overwrite:
        raise OutputError(f"{path} exists: choose another name, or overwrite=True.")
    return path
