"""How an option is declared: its default, help and check."""

from __future__ import annotations

import functools
import itertools
import math
import os
import re
import types
import typing
from collections.abc import Callable, Collection
from dataclasses import Field, field
from typing import Any

from keras_kd import losses
from keras_kd._common.vocabulary import (
    CHANGES,
    DEGRADE,
    FACE_MIRROR,
    MAX_PIXELS,
    MIXTURES,
    MLFLOW,
    TENSORBOARD,
)
from keras_kd.config._text import listed
from keras_kd.errors import ConfigError

Check = tuple[Callable[[Any], bool], str]
POSITIVE: Check = (lambda value: value > 0, "above 0")
NOT_NEGATIVE: Check = (lambda value: value >= 0, "0 or more")
SHARE: Check = (lambda value: 0 <= value <= 1, "between 0 and 1")
BELOW_ONE: Check = (lambda value: 0 <= value < 1, "0 or more and below 1")


def _is_size(value: int | str) -> bool:
    if isinstance(value, int):
        return value > 0 and value**2 <= MAX_PIXELS
    if not re.fullmatch("[1-9][0-9]{0,8}x[1-9][0-9]{0,8}", value):
        return False
    return math.prod(map(int, value.split("x"))) <= MAX_PIXELS


SIZE: Check = (
    _is_size,
    f"a whole number above 0, or HEIGHTxWIDTH, as 48x64, of at most {MAX_PIXELS:,} pixels, as no"
    " larger image is read",
)


def _is_soft_loss(text: str) -> bool:
    try:
        return bool(losses.parsed(text))
    except ConfigError:
        return False


def _are_matches(text: str) -> bool:
    try:
        return all(losses.parsed_match(match) for match in separated(text))
    except ConfigError:
        return False


SOFT_LOSS: Check = (
    _is_soft_loss,
    f"one of {', '.join(losses.soft_loss_names())}, with numbers by name",
)


AUGMENTATIONS = (*CHANGES, FACE_MIRROR, *MIXTURES, DEGRADE)


def _is_augmentation(text: str) -> bool:
    words = listed(text)
    return text == "none" or (set(words) <= set(AUGMENTATIONS) and len(set(words)) == len(words))


AUGMENTATION: Check = (
    _is_augmentation,
    f"none, or of {', '.join(AUGMENTATIONS)}, each once, joined by commas",
)


# Between the values of an option that may be given several times.
SEPARATOR = ";"


def separated(text: str | None) -> tuple[str, ...]:
    """Return the values of an option that may be given several times; none for None."""
    return tuple(text.split(SEPARATOR)) if text else ()


def _are_logs(text: str) -> bool:
    return all(
        any(target.startswith(form) and target != form for form in (TENSORBOARD, MLFLOW))
        for target in separated(text)
    )


MATCHES: Check = (
    _are_matches,
    f"STUDENT_LAYER:TEACHER_LAYER:KIND, with KIND one of {', '.join(losses.feature_loss_names())}"
    " or KIND(weight=NUMBER)",
)
LOG: Check = (_are_logs, f"{TENSORBOARD}DIR or {MLFLOW}URI")


def option(
    default: Any,
    help: str,
    check: Check | None = None,
    choices: Collection[str] = (),
    flag: str | None = None,
    several: bool = False,
    is_list: bool = False,
    is_quoted: bool = False,
    is_size: bool = False,
    runs_code: bool = False,
) -> Any:
    """Declare an option of a run.

    Args:
        default: the default; if it is None, None is also an allowed value.
        help: the help text for the command line.
        check: a predicate of the value and its description; `choices` brings its own.
        choices: the allowed values; empty allows any.
        flag: the name on the command line, if it differs from the field's.
        several: whether the option may be given several times.
        is_list: whether its text is a list joined by commas.
        is_quoted: whether a part of that list that has a comma stands in double quotes.
        is_size: whether its number of pixels may also be a text of two, HEIGHTxWIDTH.
        runs_code: whether a value can name code that is run.

    Returns:
        A dataclass field with these facts as its metadata.
    """
    if choices:
        check = (lambda value: value in choices, f"one of {', '.join(choices)}")
    spec = {
        "help": help,
        "check": check,
        "choices": tuple(choices),
        "flag": flag,
        "several": several,
        "is_list": is_list,
        "is_quoted": is_quoted,
        "is_size": is_size,
        "runs_code": runs_code,
    }
    return field(default=default, metadata=spec)


# What a user may state about a model file without metadata, by the option's name.
_STATEMENTS = {
    "input": "HEIGHTxWIDTHxCHANNELS of the image that a {} file expects, if the file has no"
    " metadata. FILE=HxWxC sets it for one of several files; the same holds for the next options.",
    "range": "LOW,HIGH: the values that a {} file expects for pixels 0 and 255.",
    "mean": "Mean of each channel, which a {} file expects to be subtracted after the range is"
    " applied, in the file's channel order.",
    "std": "Standard deviation of each channel, by which a {} file expects pixels to be divided.",
    "channel_order": "Order of a {} file's channels: rgb or bgr.",
    "output": "Kind of a {} file's outputs: logits or probabilities.",
    "classes": "A,B,C: class names of a {} file, in the order of its outputs; one with a comma in"
    " double quotes.",
    "head": "Name of the class output to learn from, if a {} file has several.",
}


def statement(name: str, model: str) -> Any:
    """Declare an option that states something about a model file.

    Args:
        name: of the statement.
        model: "teacher", of which there may be several, or "student".

    Returns:
        A dataclass field, as `option`.
    """
    is_list = name in ("range", "mean", "std", "classes")
    help = _STATEMENTS[name].format(model)
    return option(
        None, help, several=model == "teacher", is_list=is_list, is_quoted=name == "classes"
    )


def type_of(options: type, name: str) -> type:
    """Return the type of an option's value: str, int, float or bool; of a size, int.

    Args:
        options: the dataclass of all options.
        name: the field's name.
    """
    hint = _hints(options)[name]
    if isinstance(hint, types.UnionType):
        return next(part for part in typing.get_args(hint) if part is not type(None))
    return hint


@functools.cache
def _hints(options: type) -> dict[str, Any]:
    return typing.get_type_hints(options)


# TensorFlow counts steps in 64 bits, which hold this many epochs of this many steps.
_LARGEST = 2**31 - 1
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def require(name: str, spec: Field, kind: type, value: Any, where: str = "") -> None:
    """Check the type and range of an option's value.

    Raises:
        ConfigError: the value has another type or is out of its range.
    """
    if value is None and spec.default is None:
        return
    kinds = _KINDS[kind]
    if spec.metadata["is_size"]:
        kind, kinds = (str if isinstance(value, str) else kind), spec.metadata["check"][1]
    fits = isinstance(value, (int, float) if kind is float else kind)
    # To Python, true is a whole number.
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{name}{where} must be {kinds}. Received: {name}={value!r}.")
    # An empty path would be the working folder.
    if kind is str and not value.strip():
        raise ConfigError(
            f"{name}{where} is empty: give a value, or leave it out. Received: {name}={value!r}."
        )
    if kind is int and abs(value) > _LARGEST:
        raise ConfigError(f"{name}{where} must be at most {_LARGEST:,}. Received: {name}={value}.")
    # Whole numbers that are too large for a float are refused here, too.
    if kind is float and not abs(value) < math.inf:
        raise ConfigError(f"{name}{where} must be a finite number. Received: {name}={value!r}.")
    if spec.metadata["several"]:
        _require_uncut(name, value, where)
    check = spec.metadata["check"]
    if check and not check[0](value):
        raise ConfigError(f"{name}{where} must be {check[1]}. Received: {name}={value!r}.")


def _require_uncut(name: str, value: str, where: str) -> None:
    """Refuse the path of a file or folder that the separator of several values would cut."""
    parts = value.split(SEPARATOR)
    for start, end in itertools.combinations(range(len(parts) + 1), 2):
        path = SEPARATOR.join(parts[start:end])
        # Code is named as file.py:function.
        if end > start + 1 and any(map(os.path.exists, (path, path.rpartition(":")[0]))):
            raise ConfigError(
                f"{name}{where} names {path!r}, whose {SEPARATOR!r} would separate two values: give"
                f" it another name, or a link to it. Received: {name}={value!r}."
            )
