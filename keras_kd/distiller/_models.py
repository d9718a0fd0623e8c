"""Checks of the student and the teachers that a Distiller is given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import keras

from keras_kd._common.user_warnings import warn
from keras_kd.errors import ConfigError, ModelError
from keras_kd.models import heads
from keras_kd.models.surgery.keras_internals import all_layers, is_masked

SIGMOID = "Activation('sigmoid')"


def require_model(role: str, model: Any) -> None:
    """Refuse what is no Keras model, e.g. a path."""
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"The {role} must be a keras.Model. Received: {model!r} of type "
            f"{type(model).__name__}; a file is read by keras.models.load_model, an architecture "
            "is built by keras_kd.models.build."
        )


def warn_of_own_training(student: keras.Model) -> None:
    """Say that a student's own step or loss, which the Distiller replaces, is not used."""
    parts = ("train_step", "compute_loss")
    own = [name for name in parts if getattr(type(student), name) is not getattr(keras.Model, name)]
    if own:
        warn(
            f"The student {student.name} has its own {' and '.join(own)}, which the Distiller does "
            "not call: what they add to training belongs in a subclass of Distiller."
        )


def teachers(student: keras.Model, given: Any) -> list[keras.Model]:
    """Return the teachers as a list; refuse what is no model, or the student itself."""
    found = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
    for teacher in found:
        require_model("teacher", teacher)
        if teacher is student:
            raise ModelError(
                "Student and teacher are one model: give the teacher as a copy that stays as it is "
                "(keras.models.clone_model, then set_weights)."
            )
    return found


def warn_of_order(student: keras.Model, teachers: Sequence[keras.Model]) -> None:
    """Warn where student and teacher seem to be exchanged: `keras.distillation` takes the teacher
    first.
    """
    largest = max((teacher.count_params() for teacher in teachers if teacher.built), default=0)
    # A teacher that calls what is no Keras model has none.
    if 0 < largest < student.count_params():
        warn(
            f"The student {student.name} has {student.count_params():,} parameters and its teacher "
            f"{largest:,}: the student comes first, Distiller(student, teacher). Ignore this if "
            "the larger one is to learn."
        )


def columns_of_heads(student: keras.Model, binary: Collection[str] | None) -> dict[str, int | None]:
    """Return the columns of each of the student's heads: C, 1 for two classes by one logit, None
    for a value.

    Args:
        student: whose only output goes by "".
        binary: names of the heads of one column for two classes; None for the only output, if
            it has one.

    Raises:
        ModelError: the outputs are unknown, several without names, masked, or no logits.
        ConfigError: `binary` names what is no head of one column.
    """
    outputs = _named_outputs(student)
    if masked := [name for name, output in outputs.items() if is_masked(output)]:
        raise ModelError(
            f"The output{f' {masked[0]!r}' * bool(masked[0])} of the student {student.name} has a"
            " mask (of a Masking layer, or an Embedding with mask_zero), and the places that it"
            " leaves out would be learnt as all others: give one output for each sequence, or leave"
            " the mask out."
        )
    widths = {name: output.shape[-1] for name, output in outputs.items()}
    named = {""} & set(widths) if binary is None else set(binary)
    # The only output has no name; its layer's or any other stands for it.
    if binary and set(widths) == {""}:
        named = {""}
    wrong = {name for name in named if binary is not None and widths.get(name) != 1}
    if wrong:
        ones = [name or "the only output" for name, width in widths.items() if width == 1]
        raise ConfigError(
            f"binary must name heads of one column ({', '.join(ones) or 'the student has none'}). "
            f"Received: binary={list(binary)!r}."
        )
    columns = {
        name: width if width != 1 or name in named else None for name, width in widths.items()
    }
    for name in columns:
        if columns[name]:
            _require_logits(student, name, columns[name])
    return columns


def _named_outputs(student: keras.Model) -> dict[str, Any]:
    if not heads.has_graph(student):
        if isinstance(student, keras.Sequential):
            raise ModelError(
                f"The outputs of the student {student.name} are unknown before it runs: begin it"
                " with keras.Input."
            )
        raise ModelError(
            f"The outputs of the student {student.name}, a subclassed model, are unknown, even if"
            " it was called: give keras.Model(image, student(image)), with image ="
            " keras.Input(shape)."
        )
    outputs = heads.structure(student)
    if isinstance(outputs, dict):
        return outputs
    if isinstance(outputs, (list, tuple)) and len(student.outputs) > 1:
        raise ModelError(
            f"The student {student.name} gives {len(student.outputs)} outputs without names: give "
            "a dict of them, keras.Model(inputs, {'kind': logits, 'size': value})."
        )
    return {"": student.outputs[0]}


def _require_logits(student: keras.Model, name: str, columns: int) -> None:
    kind = heads.output_kind(student, name or None)
    if kind in ("probabilities", "sigmoids"):
        of = f"output {name!r} of the student" if name else "student"
        end, layer = ("softmax", "Softmax()") if kind == "probabilities" else ("sigmoid", SIGMOID)
        raise ModelError(
            f"The {of} {student.name} ends in a {end} and the Distiller learns logits: end it with "
            f"Dense({columns}) without activation, and add the {end} after training, "
            f"keras.Sequential([student, keras.layers.{layer}])."
        )


def require_trainable(student: keras.Model, teachers: Sequence[keras.Model]) -> None:
    """Refuse a student that can't be trained, or whose training would change a teacher.

    Raises:
        ModelError: see above.
    """
    modes = {layer.dtype_policy.quantization_mode for layer in all_layers(student)}
    if modes - {None, "float8"}:  # Keras trains in float8.
        raise ModelError(
            f"The student {student.name} was quantized by model.quantize, and its integer weights "
            "can't be trained: train it first and quantize it then."
        )
    trained = {id(variable): variable.path for variable in student.trainable_variables}
    if not trained:
        raise ModelError(
            f"The student {student.name} has no trainable weights: set `trainable` of its layers "
            "to True."
        )
    for layer in all_layers(student):
        # Its statistics are no trainable weights, and training moves them.
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            trained |= {id(variable): variable.path for variable in layer.weights}
    of_teachers = {id(variable) for teacher in teachers for variable in teacher.variables}
    shared = trained.keys() & of_teachers
    if shared:
        first = min(trained[number] for number in shared)
        raise ModelError(
            f"Student and teacher share weights that training changes ({first}), so the "
            "teacher would change with the student: freeze the shared layers, or give the "
            "student layers of its own (keras.models.clone_model, then set_weights)."
        )


def require_one_precision(optimizer: keras.optimizers.Optimizer, student: keras.Model) -> None:
    """Refuse a global norm of gradients in several precisions, which ends in a TypeError of
    TensorFlow's in the first step.

    Raises:
        ConfigError: the optimizer has a global_clipnorm, and trainable weights differ.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    kinds = {keras.backend.standardize_dtype(one.dtype) for one in student.trainable_variables}
    if inner.global_clipnorm and len(kinds) > 1 and keras.backend.backend() == "tensorflow":
        raise ConfigError(
            f"The optimizer has a global_clipnorm, and the student {student.name} has weights of"
            f" {' and '.join(sorted(kinds))}, whose gradients have no common norm in Keras: choose"
            " clipnorm or clipvalue, or one precision for all layers (mixed_float16 and"
            " mixed_bfloat16 keep weights in float32)."
        )
