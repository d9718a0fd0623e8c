"""The student's files, whole or absent, and the Distiller's settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras import ops

from keras_kd import losses
from keras_kd._common.files import written_whole
from keras_kd._common.user_warnings import warn
from keras_kd.distiller._features import FeatureMatch
from keras_kd.errors import ConfigError, ModelError, OutputError

MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")
WEIGHTS_SUFFIX = ".weights.h5"
_OTHER_FILES = (
    "files of other runtimes are written by keras_kd.export(distiller.student, path, format=...)."
)
STATE = "distiller"  # the group in a file of weights that has what else training continues from


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


def save_weights(distiller: Any, path: str | Path, overwrite: bool) -> None:
    """Write the student's weights as the student does, and the state of training beside them.

    Raises:
        OutputError: as for `save_student`.
    """
    path = _checked(path, (WEIGHTS_SUFFIX,), overwrite)
    with written_whole(path) as temporary:
        # Keras wants this suffix, of which the temporary file's name has the last part.
        whole = temporary.with_suffix(WEIGHTS_SUFFIX)
        distiller.student.save_weights(whole)
        with h5py.File(whole, "a") as file:
            for part, variables in _training_state(distiller).items():
                group = file.create_group(f"{STATE}/{part}")
                for number, variable in enumerate(variables):
                    group[str(number)] = _stored(variable)
        whole.replace(temporary)


def load_training_state(distiller: Any, path: str | Path) -> None:
    """Restore the state of training where a file of weights has it; warn of what does not fit."""
    if not str(path).endswith(WEIGHTS_SUFFIX) or not Path(path).is_file():
        return
    with h5py.File(path, "r") as file:
        for part, variables in _training_state(distiller).items():
            if f"{STATE}/{part}" in file:
                group = file[f"{STATE}/{part}"]
                stored = [group[str(number)][()] for number in range(len(group))]
                _assign(part, variables, stored, path)
        optimizer = getattr(distiller, "optimizer", None)
        if f"{STATE}/optimizer" in file and optimizer is not None and not optimizer.built:
            warn(
                f"{path} has an optimizer's state, and the optimizer that was compiled has no"
                " variables yet, so it starts anew: to go on with the state call"
                " distiller.optimizer.build(distiller.trainable_variables) before load_weights."
            )


def _training_state(distiller: Any) -> dict[str, list[keras.Variable]]:
    """All variables that decide how training goes on, but for the student's weights."""
    of_others = [*distiller.student.weights, *distiller.metrics_variables]
    known = {id(one) for one in of_others}
    known |= {id(one) for teacher in distiller.teachers for one in teacher.variables}
    # Projections and the states of random numbers.
    state = {"variables": [one for one in distiller.variables if id(one) not in known]}
    optimizer = getattr(distiller, "optimizer", None)
    if optimizer is not None and optimizer.built:
        state["optimizer"] = list(optimizer.variables)
    return state


def _stored(variable: keras.Variable) -> np.ndarray:
    # HDF5 has no bfloat16, and float32 holds all of its numbers.
    is_short = keras.backend.standardize_dtype(variable.dtype) == "bfloat16"
    return ops.convert_to_numpy(ops.cast(variable, "float32") if is_short else variable)


def _assign(
    part: str, variables: Sequence[keras.Variable], stored: Sequence[np.ndarray], path: str | Path
) -> None:
    if [tuple(one.shape) for one in variables] == [one.shape for one in stored]:
        for variable, value in zip(variables, stored, strict=True):
            variable.assign(value)
    elif variables:
        what = "optimizer" if part == "optimizer" else "projections and random numbers"
        warn(
            f"{path} has the student's weights and the {what} of another training: the {what} of "
            "this one stay as they are."
        )


def require_folder(path: str | Path) -> None:
    """Refuse a file's name for the folder that Keras exports.

    Raises:
        OutputError: it ends as the files of other runtimes do.
    """
    if Path(path).suffix in (".tflite", ".onnx"):
        raise OutputError(
            f"Can't write {path}: Distiller.export writes a folder, TensorFlow's SavedModel;"
            f" {_OTHER_FILES}"
        )


def _checked(path: str | Path, suffixes: tuple[str, ...], overwrite: bool) -> Path:
    path = Path(path)
    if not path.name.endswith(suffixes):
        raise OutputError(
            f"Can't write {path}: its name must end in {' or '.join(suffixes)}; {_OTHER_FILES}"
        )
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


def arguments(config: dict[str, Any], teacher: Any) -> dict[str, Any]:
    """Return the arguments of a Distiller with a new student.

    Args:
        config: as `config` returned it.
        teacher: the model or models, or None. Without one no features are matched.
    """
    student = keras.saving.deserialize_keras_object(config["student"])
    features = [FeatureMatch(**match) for match in config["features"]]
    given = config | {"student": student, "teacher": teacher, "features": features}
    # Without a teacher these would be refused.
    return given if teacher is not None else given | {"features": (), "teacher_weights": None}


def _name(soft_loss: Any) -> str:
    if not isinstance(soft_loss, str):
        raise ConfigError(
            "A soft_loss that is a function has no name to be stored: name it by an entry point of "
            f"the group {losses.ENTRY_POINTS}. Received: {soft_loss!r}."
        )
    return soft_loss
