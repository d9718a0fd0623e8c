"""Keras callbacks that the user names: `EarlyStopping(patience=5)` or `package.module:function`."""

from __future__ import annotations

import ast
import difflib
from typing import Any

import keras

from keras_kd._common import trust
from keras_kd._common.text import first_line
from keras_kd.errors import ConfigError
from keras_kd.models import trusted_modules


def create(source: str) -> keras.callbacks.Callback:
    """Create the callback that a text names.

    Args:
        source: a class of keras.callbacks, with settings in parentheses if needed; or a function or
            class of the user, which is called without arguments and whose code is run.

    Returns:
        The callback.

    Raises:
        ConfigError: there is no such callback, or it can't be created. The message states the
            reason.
    """
    settings: dict[str, Any] = {}
    if code := trust.code(source):
        module, name = code
        make = getattr(trusted_modules.trust(module), name, None)
    else:
        name, settings = _parsed(source)
        make = getattr(keras.callbacks, name, None)
    if not callable(make):
        near = difflib.get_close_matches(name, dir(keras.callbacks), 1)
        hint = f": did you mean {near[0]}?" if near else " of keras.callbacks or your module."
        raise ConfigError(f"There is no callback {source!r}{hint}")
    try:
        callback = make(**settings)
    except Exception as error:  # Keras' and the user's code raise anything.
        raise ConfigError(
            f"The callback {source!r} can't be made ({first_line(error)})."
        ) from error
    if not isinstance(callback, keras.callbacks.Callback):
        raise ConfigError(
            f"The callback {source!r} is a {type(callback).__name__}: give a"
            " keras.callbacks.Callback, or a function that returns one."
        )
    return callback


def _parsed(source: str) -> tuple[str, dict[str, Any]]:
    """The name and the settings of NAME or NAME(setting=value, ...)."""
    try:
        tree = ast.parse(source, mode="eval").body
        if isinstance(tree, ast.Name):
            return tree.id, {}
        if not isinstance(tree, ast.Call) or tree.args:
            raise ValueError("only settings by name are read")
        settings = {one.arg: ast.literal_eval(one.value) for one in tree.keywords}
        return ast.unparse(tree.func), settings
    except (SyntaxError, ValueError, TypeError) as error:
        raise ConfigError(
            "A callback is NAME, NAME(setting=value, ...), with texts in quotes, or"
            " package.module:function; the shell asks for quotes around it all, as in"
            """ 'EarlyStopping(monitor="val_loss")'."""
            f" Received: {source}."
        ) from error
