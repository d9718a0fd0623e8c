"""A Keras model around a student: what is trained, saved and named is the student's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from keras_kd.distiller._saving import (
    load_training_state,
    require_folder,
    save_student,
    save_weights,
)
from keras_kd.errors import ConfigError


class StudentModel(keras.Model):
    """What the Distiller shows of its student.

    Attributes:
        student: the model that is trained and saved.
        teachers: models of which nothing is trained or saved.
        projections: for each match of features, the layer that is trained for it, or None.
        temperature, alpha, beta: of the loss.
    """

    student: keras.Model
    teachers: list[keras.Model]
    projections: list[keras.Layer | None]
    temperature: float
    alpha: float
    beta: float

    def __repr__(self) -> str:
        """Return one line: whom it teaches what."""
        by = ", ".join(teacher.name for teacher in self.teachers) or "stored outputs or none"
        settings = f"temperature={self.temperature:g}, alpha={self.alpha:g}, beta={self.beta:g}"
        return f"<Distiller of {self.student.name}, taught by {by}: {settings}>"

    @property
    def metrics_names(self) -> list[str]:
        """Names of what `evaluate` gives, in its order; those of `compile`'s metrics once data have
        been seen.
        """
        measured = self._compile_metrics
        names = list(measured.result()) if measured is not None and measured.built else []
        ordered = self._flatten_metrics_in_order({name: name for name in ["loss", *names]})
        return ordered if isinstance(ordered, list) else [ordered]

    @property
    def trainable(self) -> bool:
        """The student's `trainable`. Setting it sets that of student and projections, and leaves
        the teachers' as they are.
        """
        return self.student.trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for part in (self.student, *filter(None, self.projections)):
            part.trainable = value

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """Those of the student and of the projections; none of the teacher's, whatever its layers
        say.
        """
        return self._without_teacher(super().trainable_variables)

    @property
    def trainable_weights(self) -> list[keras.Variable]:
        """As `trainable_variables`."""
        return self._without_teacher(super().trainable_weights)

    @property
    def non_trainable_variables(self) -> list[keras.Variable]:
        """All other variables."""
        trained = {id(variable) for variable in self.trainable_variables}
        return [variable for variable in self.variables if id(variable) not in trained]

    @property
    def non_trainable_weights(self) -> list[keras.Variable]:
        """All other weights."""
        trained = {id(variable) for variable in self.trainable_weights}
        return [variable for variable in self.weights if id(variable) not in trained]

    def _without_teacher(self, variables: list[keras.Variable]) -> list[keras.Variable]:
        of_teacher = {id(one) for teacher in self.teachers for one in teacher.variables}
        return [variable for variable in variables if id(variable) not in of_teacher]

    def save(
        self, filepath: str | Path, overwrite: bool = True, zipped: bool | None = None
    ) -> None:
        """Write the student, as its own `save` does; the file is whole or absent.

        `keras.models.load_model` gives the student back. The settings are in `get_config()`, the
        teacher in its file. `keras.saving.save_model(distiller, ...)` is another thing: it writes
        the Distiller, with the teacher's weights.

        Raises:
            ModelError: the student holds what Keras can't save.
            OutputError: the file can't be written, or exists and `overwrite` is False.
        """
        if zipped is False:
            raise ConfigError("The Distiller writes one file, not a folder: leave zipped out.")
        save_student(self.student, filepath, overwrite)

    def get_compile_config(self) -> None:
        """Return nothing: what is loaded has no teacher yet, and has to be compiled."""

    def export(
        self,
        filepath: str | Path,
        format: str = "tf_saved_model",
        verbose: Any = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Export the student for inference, as its own `export` does; `keras_kd.export` makes
        checked `.tflite` files.

        Raises:
            OutputError: a SavedModel, which is a folder, has the name of a `.tflite` or `.onnx`.
        """
        if format == "tf_saved_model":
            require_folder(filepath)
        self.student.export(filepath, format, verbose, input_signature, **kwargs)

    def quantize(self, mode: str | None = None, config: Any = None, **kwargs: Any) -> None:
        """Quantize the student, as its own `quantize` does, and not the teacher."""
        self.student.quantize(mode, config, **kwargs)
        # Traced steps hold the weights from before.
        self.train_function = self.test_function = self.predict_function = None

    def save_weights(
        self, filepath: str | Path, overwrite: bool = True, max_shard_size: None = None
    ) -> None:
        """Write the student's weights, which `student.load_weights` reads, and beside them what
        training continues from: projections, random numbers and the optimizer. The file is whole or
        absent.

        Raises:
            OutputError: the file can't be written, or exists and `overwrite` is False.
        """
        if max_shard_size is not None:
            raise ConfigError(
                "The Distiller writes one file of weights: call distiller.student.save_weights for "
                "shards."
            )
        save_weights(self, filepath, overwrite)

    def load_weights(
        self, filepath: str | Path, skip_mismatch: bool = False, **kwargs: Any
    ) -> None:
        """Read the student's weights, and what `save_weights` wrote beside them.

        As in Keras, an optimizer is restored if it is built, which
        `keras.callbacks.BackupAndRestore` sees to; what does not fit is left, with a warning.
        """
        self.student.load_weights(filepath, skip_mismatch, **kwargs)
        load_training_state(self, filepath)
