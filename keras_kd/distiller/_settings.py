"""Checks of the settings that a Distiller is given."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np

from keras_kd import losses
from keras_kd.errors import ConfigError
from keras_kd.models import output_kinds

# Numbers in the loss, which may be changed at any time.
OF_LOSS = ("temperature", "alpha", "beta", "value_weight", "bound_weight", "margin")
# What a Distiller is built with and keeps.
OF_BUILDING = (
    "student",
    "teacher",
    "teachers",
    "class_weights",
    "soft_loss",
    "soft_loss_name",
    "value_loss",
    "value_loss_name",
    "features",
    "seed",
    "binary",
    "weights_normalised",
    "teacher_head",
    "teacher_weights",
    "teacher_output",
)


def require_number(name: str, value: Any) -> None:
    """Refuse what is no real number: words, None, arrays, NaN, truth values."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ConfigError(
            f"{name} must be a number. Received: {name}={value!r} of type {type(value).__name__}."
        )


def require_temperature(temperature: Any) -> None:
    """Refuse T that is 0, below, infinite, or no number."""
    require_number("temperature", temperature)
    losses.require_temperature(temperature)


def require_share(name: str, value: Any) -> None:
    """Refuse what lies outside 0..1."""
    require_number(name, value)
    if not 0 <= value <= 1:
        raise ConfigError(f"{name} must be between 0 and 1. Received: {name}={value}.")


def require_not_negative(**values: Any) -> None:
    """Refuse numbers below 0 or infinite, by their names."""
    for name, value in values.items():
        require_number(name, value)
        if not 0 <= value < np.inf:
            raise ConfigError(f"{name} must be 0 or more and finite. Received: {name}={value}.")


def of_loss(name: str, value: Any) -> float:
    """Return one of the numbers in the loss, checked."""
    if name == "temperature":
        require_temperature(value)
    elif name == "alpha":
        require_share(name, value)
    else:
        require_not_negative(**{name: value})
    # NumPy's numbers are no JSON values.
    return float(value)


def refuse_change(name: str) -> None:
    """Refuse a new value of what the Distiller was built with."""
    if name in OF_BUILDING:
        raise ConfigError(
            f"{name} of a Distiller can't be changed: build another with it, "
            f"Distiller(distiller.student, ...); {', '.join(OF_LOSS)} can be set at any time."
        )


def soft_loss(given: Any) -> Any:
    """Return the function that a soft loss's name means, or the function that is given."""
    if isinstance(given, str):
        return losses.soft_loss(given)
    if not callable(given) or inspect.isclass(given) or not _takes_four(given):
        raise ConfigError(
            f"soft_loss must be one of {', '.join(losses.soft_loss_names())}, or a function of "
            "labels, teacher's logits, student's logits and temperature. "
            f"Received: soft_loss={given!r}."
        )
    return given


def _takes_four(function: Any) -> bool:
    try:
        inspect.signature(function).bind(*range(4))
    except TypeError:
        return False
    except ValueError:  # It is compiled, and has no signature to look at.
        return True
    return True


def names(binary: Any) -> list[str] | None:
    """Return the names of binary heads as a list; refuse one name that would be taken apart, and
    True or False.
    """
    if isinstance(binary, (str, bool)):
        example = "['gender'], or be left out" if isinstance(binary, bool) else f"[{binary!r}]"
        raise ConfigError(
            f"binary must be a list of names of heads, e.g. {example}. Received: {binary!r}."
        )
    return None if binary is None else list(binary)


def require_one_of(name: str, value: Any, choices: Collection[str]) -> None:
    """Refuse what is none of the choices."""
    if value not in choices:
        raise ConfigError(
            f"{name} must be one of {', '.join(choices)}. Received: {name}={value!r}."
        )


def value_loss(name: str) -> str:
    """Return the name of a loss of continuous values, checked."""
    require_one_of("value_loss", name, losses.VALUE_LOSSES)
    return name


def output_kind(stated: Any) -> output_kinds.OutputKind | None:
    """Return what the user states of the teacher's outputs, checked; None for no statement."""
    if stated is not None:
        require_one_of("teacher_output", stated, output_kinds.STATED_KINDS)
    return stated


def whole_seed(seed: Any) -> int:
    """Return a seed, checked, as Python's own integer."""
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise ConfigError(f"seed must be a whole number. Received: seed={seed!r}.")
    return int(seed)


def class_weights(columns: Mapping[str, int | None], given: Any) -> dict[str, tuple[float, ...]]:
    """Return class weights by head, checked.

    Args:
        columns: the student's heads, see `columns_of_heads`.
        given: weights of the first head of classes, or a dict of such by head; each one weight a
            class, or Keras' dict of weights by class number, in which a class that is left out
            weighs 1.

    Raises:
        ConfigError: not one weight for each class, or a weight below 0.
    """
    if given is None:
        return {}
    classes = {name: max(count, 2) for name, count in columns.items() if count}
    by_class = isinstance(given, Mapping) and all(isinstance(key, Integral) for key in given)
    if isinstance(given, Mapping) and not by_class:
        # The only output has no name; its layer's or any other stands for it.
        alone = set(classes) == {""} and len(given) == 1
        by_head = {"": next(iter(given.values()))} if alone else dict(given)
    else:
        by_head = dict.fromkeys(list(classes)[:1] or [""], given)
    unknown = [name for name in by_head if name not in classes]
    if unknown:
        known = ", ".join(map(repr, classes)) or "none"
        raise ConfigError(
            "class_weights must be by the student's heads of classes "
            f"({'it has one, without a name' if '' in classes else known}), or by class numbers, "
            f"which are integers. Received: weights for {unknown[0]!r}."
        )
    return {name: _weights_of(weights, classes[name]) for name, weights in by_head.items()}


def _weights_of(given: Any, classes: int) -> tuple[float, ...]:
    if isinstance(given, Mapping):
        wrong = [
            key for key in given if not isinstance(key, Integral) or not 0 <= int(key) < classes
        ]
        if wrong:
            raise ConfigError(
                f"class_weights must be by class number, 0 to {classes - 1}. Received: a weight "
                f"for {wrong[0]!r}."
            )
        given = [given.get(number, 1.0) for number in range(classes)]
    try:
        weights = tuple(float(weight) for weight in given)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"class_weights must be numbers, one for each class. Received: {given!r}."
        ) from error
    if len(weights) != classes:
        raise ConfigError(
            f"class_weights must have one value for each of the student's {classes} classes. "
            f"Received: {len(weights)} values."
        )
    for weight in weights:
        require_not_negative(class_weight=weight)
    return weights
