"""Events typed while a camera records: each key is an event at that time."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_kd._common.files import refusals
from keras_kd.errors import OutputError

try:
    import termios
    import tty
except ImportError:
    # Windows, whose terminals have no such settings.
    termios = None  # type: ignore[assignment]

# Seconds between looks whether the recording is over.
PAUSE = 0.1


@contextmanager
def typed(
    path: Path, now: Callable[[], float], keyboard: int | None = None
) -> Iterator[list[OutputError]]:
    """Append an event to the csv at `path` for each key that is pressed while the block runs.

    Args:
        path: csv with the columns time and name.
        now: returns the recording's time in seconds.
        keyboard: file descriptor of a terminal; None: the standard input, if it is a terminal.

    Yields:
        A list that gets the error, once the block is done, where an event couldn't be written: what
        was recorded beside it is worth more than the key.
    """
    refused: list[OutputError] = []
    if keyboard is None:
        with suppress(ValueError, OSError):
            keyboard = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
    if keyboard is None or termios is None or _in_background(keyboard):
        yield refused
        return
    over = threading.Event()

    def read() -> None:
        try:
            _read(path, now, keyboard, over)
        except OutputError as error:
            refused.append(error)

    reader = threading.Thread(target=read, name=path.name, daemon=True)
    before = termios.tcgetattr(keyboard)
    # Keys come at once, and Ctrl-C still interrupts.
    tty.setcbreak(keyboard)
    reader.start()
    try:
        yield refused
    finally:
        over.set()
        reader.join()
        # A terminal that hung up has no settings.
        with suppress(termios.error):
            termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _in_background(keyboard: int) -> bool:
    """Whether the shell runs this process beside others, so that the system would stop it for
    touching the terminal.
    """
    try:
        return os.tcgetpgrp(keyboard) != os.getpgrp()
    except OSError:
        # Not the terminal that the process was started from: nothing is stopped for it.
        return False


def _read(path: Path, now: Callable[[], float], keyboard: int, over: threading.Event) -> None:
    while not over.is_set():
        if not select.select([keyboard], [], [], PAUSE)[0]:
            continue
        try:
            key = os.read(keyboard, 1)
        except OSError:
            return
        if not key:  # The terminal hung up.
            return
        if (letter := key.decode("ascii", "ignore")).isalnum():
            _append(path, now(), letter)


def _append(path: Path, time: float, key: str) -> None:
    with refusals(path), path.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("time,name\n")
        file.write(f"{time:.3f},key {key}\n")
