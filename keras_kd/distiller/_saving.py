"""The student's files, whole or absent, and the Distiller's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_kd import losses
from keras_kd._common.files import written_whole
from keras_kd.errors import ConfigError, ModelError, OutputError

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


def config(distiller: Any) -> dict[str, Any]:
    """Return the student's architecture and all settings of a Distiller, as JSON can hold them.

    Raises:
        ConfigError: its soft_loss is a function, which has no name.
    """
    weights = {name: list(given) for name, given in distiller.class_weights.items()}
    return {
        "student": keras.saving.serialize_keras_object(distiller.student),
        "temperature": distiller.temperature,
        "alpha": distiller.alpha,
        "beta": distiller.beta,
        "class_weights": weights or None,
        "soft_loss": _name(distiller.soft_loss_name),
        "value_loss": distiller.value_loss_name,
        "value_weight": distiller.value_weight,
        "bound_weight": distiller.bound_weight,
        "margin": distiller.margin,
        "features": [match.get_config() for match in distiller.features],
        "seed": distiller.seed,
        "binary": distiller.binary,
        "weights_normalised": distiller.weights_normalised,
        "teacher_head": distiller.teacher_head,
        "teacher_output": distiller.teacher_output,
        "teacher_weights": distiller.teacher_weights,
    }


def _name(soft_loss: Any) -> str:
    if not isinstance(soft_loss, str):
        raise ConfigError(
            "A soft_loss that is a function has no name to be stored: name it by an entry point of "
            f"the group {losses.ENTRY_POINTS}. Received: {soft_loss!r}."
        )
    return soft_loss
