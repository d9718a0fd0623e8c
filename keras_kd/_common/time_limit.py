"""Ending work that takes too long, in whichever thread it runs."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_AGAIN = 1.0  # seconds


class _Over(BaseException):
    """No `Exception`, so that nothing within the work takes it for a fault of its own."""


@contextmanager
def limited(seconds: float, error: Exception) -> Iterator[None]:
    """Raise `error` where a block takes longer than `seconds`.

    Python code ends between two of its steps, native code when it returns to Python.
    """
    thread, lock = ctypes.c_ulong(threading.get_ident()), threading.Lock()
    done = threading.Event()

    def end() -> None:
        wait = seconds
        while not done.wait(wait):
            # Never after the block: the exception would hit what runs then.
            with lock:
                if not done.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Over))
            # Again, as Python drops an exception that hits a finalizer.
            wait = _AGAIN

    watch = threading.Thread(target=end, daemon=True)
    try:
        watch.start()
        try:
            yield
        finally:
            with lock:
                done.set()
    except _Over:
        done.set()
        raise error from None
