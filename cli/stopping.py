"""How a command ends that is stopped: by Ctrl-C, or by SIGTERM, which machines send before they are
taken back.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click


def heed_termination() -> None:
    """Have SIGTERM stop the program as Ctrl-C does, unless whoever started it had it ignored."""
    # Python lets only the main thread say what a signal does.
    of_main = threading.current_thread() is threading.main_thread()
    if of_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(number)


@contextmanager
def with_advice(how: str) -> Iterator[None]:
    """Tell the user of a block that is stopped how to go on, and end the program."""
    try:
        yield
    except KeyboardInterrupt as stop:
        end(stop, how)


def end(stop: BaseException | None, how: str = "") -> NoReturn:
    """End the program with the exit code that belongs to what stopped it: 130 for Ctrl-C, 143 for
    SIGTERM.
    """
    click.echo(f"\nStopped. {how}".rstrip(), err=True)
    number = (
        next(iter(stop.args), signal.SIGINT)
        if isinstance(stop, KeyboardInterrupt)
        else signal.SIGINT
    )
    sys.exit(128 + number)
