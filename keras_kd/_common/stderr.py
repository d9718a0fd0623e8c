"""A stderr that nobody reads any more, whose errors end nothing."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any, TextIO, cast


class _Stderr:
    """stderr without its errors: a pipe's reader goes, a terminal is closed, a disk is full, and
    the work goes on.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def outlive_its_reader() -> None:
    """Let this process go on where nobody reads its stderr any more."""
    if not isinstance(sys.stderr, _Stderr):
        sys.stderr = cast("TextIO", _Stderr(sys.stderr))
