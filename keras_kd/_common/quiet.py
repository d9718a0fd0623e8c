"""Keeping native libraries' chatter off the terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

# Of two threads within, the second would keep nowhere, and put it back for good.
_ONE = threading.RLock()


@contextmanager
def native_output_hidden() -> Iterator[None]:
    """Send what anything, C++ included, writes to stdout and stderr to nowhere until the block
    ends; one thread at a time.
    """
    with _ONE:
        # What Python has buffered until here is to be seen.
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            try:
                yield
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                for descriptor, copy in enumerate(kept, start=1):
                    os.dup2(copy, descriptor)
                    os.close(copy)


@cache
def tensorflow() -> Any:
    """Return TensorFlow: it writes about CUDA and oneDNN to stderr, when it is imported and when it
    first looks for GPUs, before its own log level takes hold.
    """
    with native_output_hidden():
        import tensorflow as tf

        tf.config.list_physical_devices()
    return tf
