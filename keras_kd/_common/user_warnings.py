"""Warnings whose place is the user's own line, however deep in the library they arise."""

from __future__ import annotations

import sys
import traceback
import warnings
from types import FrameType

# Packages whose code may stand between the user's line and a warning: this one, those that call its
# methods, and what Python's own decorators, contexts and threads run.
_BETWEEN = {
    *("keras_kd", "keras", "tensorflow", "jax", "torch"),
    *("contextlib", "functools", "threading", "concurrent", "multiprocessing"),
}
_GENERATED = "__autograph_generated"  # the module of code that TensorFlow writes while it traces


def warn(message: str) -> None:
    """Issue a UserWarning whose place is the line that called the library; none in a thread that
    the library began.

    Args:
        message: one sentence: what happened, and what to do.
    """
    callers = [frame for frame, _ in traceback.walk_stack(sys._getframe(1))]
    outside = (level for level, frame in enumerate(callers, 2) if _is_users(frame))
    # Beyond the stack, Python names no line of any file.
    warnings.warn(message, UserWarning, stacklevel=next(outside, len(callers) + 2))


def _is_users(frame: FrameType) -> bool:
    name = str(frame.f_globals.get("__name__", ""))
    return name.partition(".")[0] not in _BETWEEN and not name.startswith(_GENERATED)
