"""JSON and TOML that others may have written, of a stated form."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_kd._common.files import refuse_special

# A run's metrics.json takes some 10 kB.
LARGEST_TEXT = 64 * 2**20


def read_json(text: str | bytes, form: Any) -> Any:
    """Parse JSON and check its form.

    Args:
        text: JSON.
        form: a type (float: any finite number, int: of 64 bits), or None, also for what may be
            missing; a tuple of forms, one of which must fit; [form] for a list; {name: form} for an
            object that holds these and may hold others; {str: form} for one whose values all fit.

    Raises:
        ValueError: it is no JSON, nested too deeply, of another form, or holds a null character;
            the message names the place.
    """
    return _read(json.loads, text, form)


def _read(parse: Callable[[Any], Any], text: str | bytes, form: Any) -> Any:
    try:
        value = parse(text)
        if _has_null(value):
            raise ValueError("a text in it has a null character, which no name of a file can have")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if problem := _misfit(value, form, "it"):
        raise ValueError(problem)
    return value


def _has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_null(part) for part in (*value, *value.values()))
    if isinstance(value, list):
        return any(map(_has_null, value))
    return isinstance(value, str) and "\0" in value


def read_toml(text: str, form: Any = dict) -> dict[str, Any]:
    """Parse TOML and check its form, see `read_json`.

    Raises:
        ValueError: it is no TOML, nested too deeply, or of another form.
    """
    return _read(tomllib.loads, text, form)


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
    return path.read_text(encoding="utf-8-sig")


def _misfit(value: Any, form: Any, place: str) -> str | None:
    """What of `value` doesn't fit `form`; None where all does."""
    if isinstance(form, tuple):
        problems = [_misfit(value, one, place) for one in form]
        return None if None in problems else problems[0]
    if isinstance(form, dict) and isinstance(value, dict):
        parts = dict.fromkeys(value, form[str]) if str in form else form
        problems = [_misfit(value.get(name), part, repr(name)) for name, part in parts.items()]
    elif isinstance(form, list) and isinstance(value, list):
        problems = [_misfit(one, form[0], f"a part of {place}") for one in value]
    else:
        problems = [None if _is(value, form) else f"{place} is {_shown(value)}"]
    return next(filter(None, problems), None)


def _is(value: Any, form: Any) -> bool:
    # By type, since isinstance takes True for a number; JSON's NaN and Infinity fail the bound.
    if form is float:
        return type(value) in (int, float) and abs(value) < 1e300
    if form is int:
        return type(value) is int and abs(value) < 2**63
    return value is None if form is None else type(value) is form


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    return (
        f"{str(value)[:40]!r}"
        if isinstance(value, (str, int, float))
        else f"a {type(value).__name__}"
    )
