"""How a command ends that is stopped: by Ctrl-C, by SIGTERM, which machines send before they are
taken back, or by SIGHUP, which it gets when its terminal is closed.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

# A signal so soon after another is the same wish to stop: what cleans up goes on undisturbed.
SAME_SECONDS = 2.0
# A stop that nothing has passed on for so long was swallowed.
SWALLOWED_SECONDS = 2.0
DESTRUCTOR_SECONDS = 0.05
# As shells do: 128 and the signal's number.
_SIGNALLED = 128
# What each signal does in a program that says nothing of it; Windows has no SIGHUP.
_USUAL = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    **({signal.SIGHUP: signal.SIG_DFL} if hasattr(signal, "SIGHUP") else {}),
}
EXIT_CODES = tuple(_SIGNALLED + number for number in _USUAL)


class _Interrupt(KeyboardInterrupt):
    """Raised for a signal, whose number it has, and raised again where it was swallowed.

    TensorFlow's native code calls Python's, as `TensorShape.__len__`, and drops the errors of some
    such calls. A stop that arrives in one would be lost.
    """

    def __del__(self) -> None:
        _stop.swallowed(*self.args)


class _Stop:
    """What a signal does: it raises KeyboardInterrupt with its number.

    Attributes:
        number: of the last signal that stopped something; None before the first.
        time: when that was, on the monotonic clock.
        insists: whether a stop that is swallowed is raised again.
    """

    def __init__(self) -> None:
        self.insists = False
        self.forget()

    def forget(self) -> None:
        self.number: int | None = None
        self.time = -math.inf

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self.time >= SAME_SECONDS:
            self.number, self.time = number, now
            raise _Interrupt(number)

    def swallowed(self, number: int) -> None:
        """Stop again, unless the program ends or is stopped anew meanwhile."""
        if self.insists:
            _later(SWALLOWED_SECONDS, self._insist, number, self.time)

    def _insist(self, number: int, time: float) -> None:
        if self.insists and self.time == time:
            self.again(number)

    def again(self, number: int) -> None:
        """Stop the main thread, however recently it was stopped."""
        self.forget()
        main = threading.main_thread().ident
        if main is not None and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, number)
        else:  # Windows, where any thread may
            signal.raise_signal(number)


_stop = _Stop()


def heed() -> None:
    """Have Ctrl-C, SIGTERM and SIGHUP stop the program, unless whoever started it had them ignored,
    as nohup does.
    """
    _stop.forget()
    _stop.insists = True
    # Python lets only the main thread say what a signal does.
    if threading.current_thread() is threading.main_thread():
        for number, usual in _USUAL.items():
            if signal.getsignal(number) is usual:
                signal.signal(number, _stop)


def ignore() -> None:
    """Have nothing disturb a program that has only to end; it would print a traceback."""
    for number in _USUAL:
        signal.signal(number, signal.SIG_IGN)


def unraisable(ignored: UnraisableHookArgs) -> None:
    """Stop again what was stopped in a destructor, from which Python lets no exception out
    (a `sys.unraisablehook`).
    """
    if not isinstance(ignored.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(ignored)
        return
    # Later, when the destructor has ended: it would swallow this one too.
    _later(DESTRUCTOR_SECONDS, _stop.again, _number(ignored.exc_value))


def _later(seconds: float, function: Callable[..., None], *arguments: float) -> None:
    timer = threading.Timer(seconds, function, arguments)
    timer.daemon = True
    timer.start()


@contextmanager
def recognized() -> Iterator[None]:
    """Raise KeyboardInterrupt for whatever a library makes of it, as TensorFlow an UnknownError."""
    try:
        yield
    except Exception as error:
        if _stop.number is None:
            raise
        # A library turned the signal's KeyboardInterrupt into an error of its own.
        raise KeyboardInterrupt(_stop.number) from error


@contextmanager
def with_advice(how: str, insists: bool = True) -> Iterator[None]:
    """Tell the user of a block that is stopped how to go on, and end the program.

    Args:
        how: a sentence.
        insists: whether a stop that is caught in the block is raised again; False where it has a
            use of its own, as the end of a recording.

    Yields:
        Nothing.
    """
    _stop.insists = insists
    try:
        with recognized():
            yield
    except KeyboardInterrupt as stop:
        end(stop, how)


def end(stop: BaseException | None, how: str = "") -> NoReturn:
    """End the program with the exit code that belongs to what stopped it: 130 for Ctrl-C, 143 for
    SIGTERM, 129 for SIGHUP.
    """
    _stop.insists = False
    if sys.stderr:
        with suppress(OSError):  # nobody reads it
            sys.stderr.write(f"\nStopped. {how}".rstrip() + "\n")
            sys.stderr.flush()
    sys.exit(_SIGNALLED + _number(stop))


def leave(code: int) -> NoReturn:
    """End a stopped process after Python's own clean-up, but without that of native libraries.

    Their threads may be at work still, and with what they use destroyed under them the process
    would be aborted.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


def _number(stop: BaseException | None) -> int:
    """The signal that stopped something: Python's own KeyboardInterrupt doesn't say."""
    given = stop.args if isinstance(stop, KeyboardInterrupt) else ()
    return next(iter(given), signal.SIGINT)
