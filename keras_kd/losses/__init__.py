"""Losses as pure functions of `keras.ops`, computed in float32: one value per image, or one scalar.

Notation: z are the teacher's logits and s the student's, both (N, C); T is the temperature; w is
one weight per image. `labels` has the losses on labels, `values` those on continuous values and
`relations` those between images. `soft` has the losses on a teacher's logits and `features` those
on its feature maps. All functions can be imported from here, e.g. `losses.soft_target_kl`; they
take lists for tensors, as Keras' own losses do. Keras is imported when the first function is used.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import math
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from keras_kd._common.modules import module as named_module
from keras_kd._common.modules import module_names
from keras_kd.errors import ConfigError
from keras_kd.losses import features, soft

ENTRY_POINTS = "keras_kd.losses"  # of other packages, each a module as those of `soft`
VALUE_LOSSES = ("mse", "shake-shake")  # what continuous values can be learnt by
TEMPERATURE, ALPHA = 3.0, 0.15  # the defaults of T and of the labels' weight


def soft_loss_names() -> list[str]:
    """Return the names of the losses on a teacher's logits, including those of other packages."""
    return _names(soft, ENTRY_POINTS)


def feature_loss_names() -> list[str]:
    """Return the names of the losses on a teacher's features."""
    return _names(features)


def parsed(text: str) -> tuple[str, dict[str, float]]:
    """Split the text of a soft loss into its name and its settings.

    Args:
        text: a name, with settings in parentheses if any, e.g. "decoupled(other_weight=4)".

    Returns:
        The name, and the settings by name.

    Raises:
        ConfigError: there is no such loss, or the settings are not numbers by name.
    """
    name = str(text).partition("(")[0]
    if name not in soft_loss_names():
        known = ", ".join(soft_loss_names())
        raise ConfigError(f"soft_loss must be one of {known}. Received: soft_loss={text!r}.")
    settings = _settings(text)
    if settings is None:
        raise ConfigError(
            "The settings of a soft_loss are numbers by name, e.g. decoupled(other_weight=4). "
            f"Received: soft_loss={text!r}."
        )
    return name, settings


def parsed_match(text: str) -> tuple[str, str, str, float]:
    """Split the text of two layers to match into its parts.

    Args:
        text: STUDENT_LAYER:TEACHER_LAYER:KIND, with KIND one of `feature_loss_names()`, and its
            weight in parentheses if it is not 1, e.g. "relu3:relu3_2:hint(weight=0.5)".

    Returns:
        The two layers, the kind, and the weight, 0 or more.

    Raises:
        ConfigError: the text has another form.
    """
    layers, _, kind = text.rpartition(":")
    student, _, teacher = layers.partition(":")
    settings = _settings(kind)
    name = kind.partition("(")[0]
    known = feature_loss_names()
    if (
        not (student and teacher and name in known)
        or settings is None
        or not (settings.keys() <= {"weight"} and 0 <= settings.get("weight", 1) < math.inf)
    ):
        raise ConfigError(
            f"match must be STUDENT_LAYER:TEACHER_LAYER:KIND, with KIND one of {', '.join(known)},"
            f" or KIND(weight=NUMBER). Received: match={text!r}."
        )
    return student, teacher, name, float(settings.get("weight", 1))


def _settings(text: str) -> dict[str, float] | None:
    """The numbers by name in NAME(setting=number, ...); None if they are anything else."""
    _, opening, rest = str(text).partition("(")
    try:
        # Parsed and not evaluated, so that nothing in the text is run.
        call = ast.parse(f"f({rest}" if opening else "f()", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            return None
        settings = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, TypeError, ValueError):
        return None
    return settings if all(type(value) in (int, float) for value in settings.values()) else None


def soft_loss(text: str) -> Callable[[Any, Any, Any, float], Any]:
    """Return the loss function of a name, with its settings applied.

    Args:
        text: as for `parsed`.

    Returns:
        A function of labels, teacher's logits (N, C), student's logits (N, C) and temperature,
            which returns float32 (N,).

    Raises:
        ConfigError: there is no such loss, or it has no such setting.
    """
    name, settings = parsed(text)
    loss = named_module(soft, name, ENTRY_POINTS).loss
    known = list(inspect.signature(loss).parameters)[4:]
    wrong = [setting for setting in settings if setting not in known]
    if wrong:
        raise ConfigError(
            f"The soft_loss {name} has the settings {', '.join(known) or 'none'}. Received: "
            f"{wrong[0]}."
        )
    return functools.partial(_on_tensors, loss, **settings)


def feature_loss(name: str) -> Callable[[Any, Any], Any]:
    """Return the loss function of features by its name.

    Args:
        name: one of `feature_loss_names()`.

    Returns:
        A function of teacher's and student's features, which returns float32 (N,).
    """
    return functools.partial(_on_tensors, named_module(features, name).loss)


def _on_tensors(loss: Callable[..., Any], /, *arguments: Any, **settings: Any) -> Any:
    """What a loss gives for lists and tables, too; a partial of it can be pickled."""
    return _of_array_likes(loss)(*arguments, **settings)


@functools.cache
def _of_array_likes(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which takes lists and tables for tensors."""

    @functools.wraps(function)
    def called(*arguments: Any, **settings: Any) -> Any:
        named = {name: _tensor(value) for name, value in settings.items()}
        return function(*map(_tensor, arguments), **named)

    called.__module__ = __name__  # where pickle finds it, and not the function without this
    return called


def _tensor(value: Any) -> Any:
    is_list = isinstance(value, (list, tuple))
    if not is_list and not type(value).__module__.startswith("pandas."):
        return value
    from keras import ops

    return ops.convert_to_tensor(value)


def _names(package: ModuleType, group: str | None = None) -> list[str]:
    return [name.replace("_", "-") for name in module_names(package, group)]


def _modules() -> Iterator[ModuleType]:
    for name in ("labels", "values", "relations", "_tensors"):
        yield importlib.import_module(f"{__name__}.{name}")
    for package in (soft, features):
        for name in module_names(package):
            yield named_module(package, name)


def __getattr__(name: str) -> Any:
    # Each module of a loss has a `loss` of its own.
    if not name.startswith("_") and name != "loss":
        for module in _modules():
            if hasattr(module, name):
                found = getattr(module, name)
                return _of_array_likes(found) if inspect.isfunction(found) else found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
