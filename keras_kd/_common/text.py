"""Words from outside made safe for where they are shown: a terminal, a shell, a spreadsheet."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# "[Errno 13] Permission denied: 'file'", pyarrow's "[errno 13] Permission denied", and HDF5's.
_SYSTEM = re.compile(
    r"\[errno \d+\] ([^:\n]+?)(?:: '.*|\Z)|error message = '(.+?)'", re.IGNORECASE | re.DOTALL
)
# What spreadsheets take for the beginning of a formula.
FORMULA = ("=", "+", "-", "@")
# Between these, Keras' errors have their reason; TensorFlow's names its operators in it.
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"
_OF_WINDOWS = re.compile(r"^[^\"]*[&|<>^(){};,`'$@#%!]")
_OPERATOR = re.compile(r"\{\{.*?\}\} ?| ?\[Op:\w+\]( name:)?")


def printable(text: str) -> str:
    """Return one line that no terminal takes for a command: what isn't printable stands as its
    escape, e.g. \\x1b.
    """
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def encodable(text: str) -> str:
    """Return text that UTF-8 can hold: bytes of a file's name that are no UTF-8, which Python keeps
    as lone surrogates, stand as their escapes, e.g. \\udcff.
    """
    return text.encode(errors="backslashreplace").decode()


def plain_reason(error: BaseException) -> str:
    """Return an error's message; of the operating system's the plain words alone, without their
    number and the file, also where pyarrow or HDF5 put them into words of their own.
    """
    words = str((isinstance(error, OSError) and error.strerror) or error).rstrip("\n")
    found = _SYSTEM.search(words)
    return next(filter(None, found.groups())) if found else words


def first_line(error: Exception, after: str = "") -> str:
    """Return the first line of an error's message, or of what stands in it after the last `after`;
    the error's type where it says nothing.
    """
    message = plain_reason(error)
    lines = (message.rpartition(after)[2] if after else message).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def reason_of_call(error: Exception) -> str:
    """Return why a model can't compute, as Keras or TensorFlow say: a line without a full stop."""
    said = str(error).rpartition(_BOLD)[2].partition(_PLAIN)[0]
    lines = _OPERATOR.sub("", said).strip().splitlines()
    return lines[0].strip().rstrip(".") if lines else type(error).__name__


def command_line(words: Iterable[object]) -> str:
    """Return the words of a command as the user's shell takes them: on Windows cmd and PowerShell,
    elsewhere those of POSIX.
    """
    if os.name != "nt":
        return shlex.join(map(str, words))
    quoted = [subprocess.list2cmdline([str(word)]) for word in words]
    # Of words without blanks, it leaves what ends a command or begins a variable.
    return " ".join(f'"{word}"' if _OF_WINDOWS.search(word) else word for word in quoted)


def counted(count: int, what: str) -> str:
    """Return a number with what it counts: 1 image, 2,000 images."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def cut(name: str, most: int) -> str:
    """Return a name that is longer than `most` letters cut to so many, the last of them "…"."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def some(names: Iterable[object], most: int = 8) -> str:
    """Return the first `most` names with commas between them, and ", …" where there are more."""
    first = [*map(str, itertools.islice(names, most + 1))]
    return ", ".join(first[:most]) + ", …" * (len(first) > most)


def sides(shape: Iterable[int | None]) -> str:
    """Return a shape as 64x64x3, an open side of it as any."""
    return "x".join("any" if side is None else str(side) for side in shape)


def csv(table: pd.DataFrame) -> str:
    """Return a table without its index as csv, in which no spreadsheet finds a formula.

    Text and headers that begin like one get an apostrophe before them; numbers and all other text
    stay as they are.
    """
    return table.map(_no_formula).rename(columns=_no_formula).to_csv(index=False)


def _no_formula(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.lstrip().startswith(FORMULA) else cell


def quoted(name: str) -> str:
    """Return a name as it stands in a list that commas join: with a comma, in double quotes, as in
    csv files.
    """
    return '"{}"'.format(name.replace('"', '""')) if "," in name or name.startswith('"') else name
