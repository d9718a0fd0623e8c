"""Losses as pure functions of `keras.ops`: float32 inside, one value per image or one scalar out.

Notation: z teacher's, s student's logits, (N, C); T the temperature; w one weight per image.
`labels` has those with the labels, `values` those of continuous values, `relations` those between
images, `soft` what a teacher's logits are learnt by, `features` what its features are. All
functions can be had from here, e.g. `losses.soft_target_kl`, and Keras is imported when the first
is used.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
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
    """Return the names of the losses of a teacher's logits, those of other packages included."""
    return _names(soft, ENTRY_POINTS)


def feature_loss_names() -> list[str]:
    """Return the names of the losses of features."""
    return _names(features)


def parsed(text: str) -> tuple[str, dict[str, float]]:
    """Return name and settings of a loss as text, e.g. "decoupled(other_weight=4)".

    Raises:
        ConfigError: no such loss, or settings that can't be read.
    """
    name, opening, rest = str(text).partition("(")
    if name not in soft_loss_names():
        known = ", ".join(soft_loss_names())
        raise ConfigError(f"soft_loss must be one of {known}. Received: soft_loss={text!r}.")
    try:
        call = ast.parse(f"f({rest}" if opening else "f()", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError(text)
        settings = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
        if not all(type(value) in (int, float) for value in settings.values()):
            raise ValueError(text)
        return name, settings
    except (SyntaxError, TypeError, ValueError) as error:
        raise ConfigError(
            "The settings of a soft_loss are numbers by name, e.g. decoupled(other_weight=4). "
            f"Received: soft_loss={text!r}."
        ) from error


def soft_loss(text: str) -> Callable[[Any, Any, Any, float], Any]:
    """Return the loss of a name, with its settings where some are given in parentheses.

    Returns:
        Of labels, teacher's logits, student's logits and temperature: float32 (N,).

    Raises:
        ConfigError: no such loss, or it has no such setting.
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
    return functools.partial(loss, **settings) if settings else loss


def feature_loss(name: str) -> Callable[[Any, Any], Any]:
    """Return the loss of a name, of teacher's and student's features: float32 (N,)."""
    return named_module(features, name).loss


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
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
