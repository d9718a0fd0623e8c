"""JSON and TOML that others may have written, checked against a schema."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_kd._common.files import refuse_special

# A run's metrics.json takes some 10 kB.
LARGEST_TEXT = 64 * 2**20


def read_json(text: str | bytes, schema: Any) -> Any:
    """Parse JSON and check it against a schema.

    Args:
        text: JSON.
        schema: a type (float: any finite number, int: of 64 bits), or None, also for what may be
            missing; a tuple of schemas, one of which must fit; [schema] for a list; {name: schema}
            for an object that holds these and may hold others; {str: schema} for one whose values
            all fit.

    Raises:
        ValueError: it is no JSON, nested too deeply, holds a null character, or does not fit;
            the message names the place.
    """
    return _read(json.loads, text, schema)


def _read(parse: Callable[[Any], Any], text: str | bytes, schema: Any) -> Any:
    try:
        value = parse(text)
        if _has_null(value):
            raise ValueError("a text in it has a null character, which no name of a file can have")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if problem := _misfit(value, schema, "it"):
        raise ValueError(problem)
    return value


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_null(part) for part in (*value, *value.values()))
    if isinstance(value, list):
        return any(map(_has_null, value))
    return isinstance(value, str) and "\0" in value


def read_toml(text: str, schema: Any = dict) -> dict[str, Any]:
    """Parse TOML and check it, see `read_json`.

    Raises:
        ValueError: it is no TOML, nested too deeply, or does not fit.
    """
    return _read(tomllib.loads, text, schema)


def read_text(path: str | Path) -> str:
    """Read a text file of a reasonable size as UTF-8, with a byte-order mark or without.

    Raises:
        ValueError: it is no regular file, larger than LARGEST_TEXT, or no UTF-8.
        OSError: it can't be read.
    """
    path = Path(path)
    refuse_special(path)
    if (size := path.stat().st_size) > LARGEST_TEXT:
        raise ValueError(f"it is {size:,} bytes long, more than {LARGEST_TEXT:,}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"it is not UTF-8 text from byte {error.start + 1:,} on: save the file as UTF-8"
        ) from error


def _misfit(value: Any, schema: Any, place: str) -> str | None:
    """What of `value` doesn't fit `schema`; None where all does."""
    if isinstance(schema, tuple):
        problems = [_misfit(value, one, place) for one in schema]
        return None if None in problems else problems[0]
    if isinstance(schema, dict) and isinstance(value, dict):
        parts = dict.fromkeys(value, schema[str]) if str in schema else schema
        problems = [_misfit(value.get(name), part, repr(name)) for name, part in parts.items()]
    elif isinstance(schema, list) and isinstance(value, list):
        problems = [_misfit(one, schema[0], f"a part of {place}") for one in value]
    else:
        problems = [None if _is(value, schema) else f"{place} is {_shown(value)}"]
    return next(filter(None, problems), None)


def _is(value: Any, schema: Any) -> bool:
    # By type, since isinstance takes True for a number; JSON's NaN and Infinity fail the bound.
    if schema is float:
        return type(value) in (int, float) and abs(value) < 1e300
    if schema is int:
        return type(value) is int and abs(value) < 2**63
    return value is None if schema is None else type(value) is schema


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return (
        f"{str(value)[:40]!r}"
        if isinstance(value, (str, int, float))
        else f"a {type(value).__name__}"
    )
