"""Options as text: TOML that is written, numbers that are read."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from typing import Any

from keras_kd.errors import ConfigError


def dump(options: Mapping[str, Any], made_with: Mapping[str, str]) -> str:
    """Return options as the TOML text of a run's config.toml.

    Args:
        options: values by option name; those that are None are left out.
        made_with: versions, fingerprints and the command, for the table `made_with`.

    Returns:
        The TOML text, which `load` reads back.
    """
    lines = [f"{name} = {_toml(value)}" for name, value in options.items() if value is not None]
    lines += [
        "",
        "[made_with]",
        *(f"{_toml(name)} = {_toml(value)}" for name, value in made_with.items()),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # All of JSON's escapes are TOML's; DEL alone must be escaped in TOML only.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)


def listed(text: str) -> tuple[str, ...]:
    """Return the parts of a text that commas join, without the blanks around them."""
    return tuple(part.strip() for part in text.split(","))


def listed_names(text: str) -> tuple[str, ...]:
    """Return the names in a text that commas join, without the blanks around them; a name with a
    comma stands in double quotes, as in csv files.

    Raises:
        ConfigError: a quotation mark is not closed, or stands where a comma is expected.
    """
    try:
        # A text in a file of options may go over several lines.
        line = " ".join(text.splitlines())
        (parts,) = csv.reader([line], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise ConfigError(
            f"Names must be joined by commas, one with a comma in double quotes ({error})."
            f" Received: {text}."
        ) from error
    return tuple(part.strip() for part in parts)


def numbers(name: str, text: str | None, separator: str, count: int, number: type) -> tuple | None:
    """Parse several numbers in one text, e.g. 64x64x1 or -1,1.

    Args:
        name: the option's name, for the message.
        text: the text, or None.
        separator: what separates the numbers.
        count: how many numbers are expected.
        number: their type, int or float.

    Returns:
        The numbers; None if the text is None.

    Raises:
        ConfigError: the text is not `count` numbers, or one of whole numbers is not above 0.
    """
    if text is None:
        return None
    try:
        parsed = tuple(number(part) for part in text.split(separator))
    except ValueError:
        parsed = ()
    if len(parsed) != count or (number is int and min(parsed) < 1):
        whole = ", whole and above 0" * (number is int)
        raise ConfigError(
            f"{name} must be {count} numbers separated by {separator!r}{whole}. Received:"
            f" {name}={text!r}."
        )
    return parsed
