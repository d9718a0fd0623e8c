"""Whether a file is right enough to be kept, and what to do where it isn't."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from keras_kd.errors import ExportError

if TYPE_CHECKING:
    from keras_kd.exporters._comparison import Answers, Comparison
    from keras_kd.exporters._layer_errors import Added
    from keras_kd.exporters._serving import Serving

# The share of samples on which a file that rounds must name the same class as Keras.
MIN_AGREEMENT = 0.97
# The least such share of the samples of any one class: all samples hide a class that is rare.
_MIN_OF_A_CLASS = 0.5
# Layers whose error is at least this share of the worst one are named, too.
_MANY = 0.25
_NAMED = 12  # layers that a sentence can name
_PREPARATION = "the input's preparation"


class DisagreementError(ExportError):
    """Rounding changed too many answers.

    Args:
        message: what the user is told.
        layers: the layers that are better kept in float32; none where that is no help.
    """

    def __init__(self, message: str, layers: tuple[str, ...] = ()):
        super().__init__(message)
        self.layers = layers


@dataclass(frozen=True)
class LayerError:
    """The error that rounding adds in one operator.

    Attributes:
        layer: name of the Keras layer; several, joined by " + ", where the file has fused them.
        operator: e.g. CONV_2D.
        error: root mean square, as a share of the standard deviation of the operator's output.
        layers: the names of the layers; none for the input's preparation.
    """

    layer: str
    operator: str
    error: float
    layers: tuple[str, ...] = ()


def by_layer(errors: Sequence[Added] | None, serving: Serving) -> tuple[LayerError, ...]:
    """Return the errors with their layers, in the same order."""
    from keras_kd.exporters._operator_layers import layers_of

    found = [sorted(layers_of(error.tensor, serving.model)) for error in errors or ()]
    return tuple(
        LayerError(" + ".join(layers) or _PREPARATION, error.operator, error.error, tuple(layers))
        for layers, error in zip(found, errors or (), strict=True)
    )


def require_right(
    format: str,
    module: ModuleType,
    comparison: Comparison,
    errors: Sequence[LayerError],
    min_agreement: float,
) -> None:
    """Raise ExportError for a file whose answers or values are too far from Keras'."""
    if getattr(module, "ROUNDS", False) and comparison.answers is not None:
        advice = _advice(format, errors)
        layers = kept_layers(errors) if format == "int8" else ()
        require_same_answers(format, comparison.answers, min_agreement, advice, layers)
    # Written so that NaN is refused, too.
    if not comparison.difference <= module.TOLERANCE:
        raise ExportError(
            f"The {format} file differs from Keras by {comparison.difference:.2g} of the outputs' "
            f"spread, more than the {module.TOLERANCE:.2g} allowed: {_advice(format, errors)}"
        )


def require_share(min_agreement: float) -> None:
    """Refuse what is no share."""
    if not isinstance(min_agreement, (int, float, np.number)) or not 0 <= min_agreement <= 1:
        raise ExportError(f"min_agreement must be 0..1. Received: min_agreement={min_agreement!r}.")


def kept_layers(errors: Sequence[LayerError]) -> tuple[str, ...]:
    """Return the layers that a file gains most by keeping in float32; none where they are many."""
    found = _bad_layers(errors)
    return found if len(found) <= _NAMED else ()


def _bad_layers(errors: Sequence[LayerError]) -> tuple[str, ...]:
    """Return the layers of the largest error, and those that add a quarter of it or more."""
    many = [one.layers for one in errors if one.error >= _MANY * errors[0].error]
    return tuple(dict.fromkeys(layer for layers in many for layer in layers))


def require_same_answers(
    format: str,
    answers: Answers,
    min_agreement: float,
    advice: str,
    layers: tuple[str, ...] = (),
) -> None:
    """Raise DisagreementError, with advice and layers, where too few answers are those of Keras, of
    all samples or of those of one class.
    """
    said = (
        f"The {format} file predicts the same class as Keras on {100 * answers.same:.1f} % of "
        f"{answers.images} samples"
    )
    if _too_few(answers, min_agreement):
        raise DisagreementError(
            f"{said}, less than the {100 * min_agreement:g} % required{_accuracies(answers)}:"
            f" {advice}",
            layers,
        )
    worst, least = answers.worst_class, min(_MIN_OF_A_CLASS, min_agreement)
    if worst is not None and worst.same < least:
        raise DisagreementError(
            f"{said}, but on {100 * worst.same:.1f} % of the {worst.images} on which Keras predicts"
            f" {worst.name}, less than the {100 * least:g} % required of each class: {advice}",
            layers,
        )


def _too_few(answers: Answers, min_agreement: float) -> bool:
    """Whether too few answers are the same; of few samples one may always differ, as one of 16 is
    6 % of them already.
    """
    others = round((1 - answers.same) * answers.images)
    return answers.same < min_agreement and others > 1


def _accuracies(answers: Answers) -> str:
    if answers.accuracy is None or answers.keras_accuracy is None:
        return ""
    return f" (accuracy {100 * answers.accuracy:.1f} %, Keras {100 * answers.keras_accuracy:.1f} %)"


def _advice(format: str, errors: Sequence[LayerError]) -> str:
    exact = "saved_model" if format == "float32" else "float32"
    if not errors:
        return f"use the format {exact}."
    worst, bad = errors[0], _bad_layers(errors)
    finding = (
        f"rounding adds most in {worst.layer} ({worst.operator}, {worst.error:.2g} of its spread)"
    )
    if format != "int8" or not bad:
        return f"{finding}, so use the format float16."
    if len(bad) > _NAMED:
        return (
            f"{finding}, and a quarter of that or more in {len(bad)} layers: use the"
            " format float16, or fine-tune the model with its rounding (the format qat)."
        )
    names = ",".join(bad)
    return (
        f"{finding}, so keep it in float32 (kerakd export --keep-float {names}) or use the format"
        " float16."
    )
