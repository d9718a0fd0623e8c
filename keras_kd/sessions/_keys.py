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

try:
    import termios
    import tty
except ImportError:
    # Windows, whose terminals have no such settings.
    termios = None  # type: ignore[assignment]

# Seconds between looks whether the recording is over.
PAUSE = 0.1


@contextmanager
def typed(path: Path, now: Callable[[], float], keyboard: int | None = None) -> Iterator[None]:
    """Append an event to the csv at `path` for each key that is pressed while the block runs.

    Args:
        path: csv with the columns time and name.
        now: returns the recording's time in seconds.
        keyboard: file descriptor of a terminal; None: the standard input, if it is a terminal.
    """
    if keyboard is None:
        with suppress(ValueError, OSError):
            keyboard = sys.stdin.fileno() if sys.stdin and sys.stdin.isatty() else None
    if keyboard is None or termios is None:
        yield
        return
    over = threading.Event()
    reader = threading.Thread(target=_read, args=(path, now, keyboard, over), daemon=True)
    before = termios.tcgetattr(keyboard)
    try:
        # Keys come at once, and Ctrl-C still interrupts.
        tty.setcbreak(keyboard)
        reader.start()
        yield
    finally:
        over.set()
        reader.join()
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _read(path: Path, now: Callable[[], float], keyboard: int, over: threading.Event) -> None:
    while not over.is_set():
        if select.select([keyboard], [], [], PAUSE)[0]:
            key = os.read(keyboard, 1).decode("ascii", "ignore")
            if key.isalnum():
                _append(path, now(), key)


def _append(path: Path, time: float, key: str) -> None:
    with refusals(path), path.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("time,name\n")
        file.write(f"{time:.3f},key {key}\n")
