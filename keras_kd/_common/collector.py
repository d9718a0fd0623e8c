"""How often, and among which, Python looks for objects that only refer to each other."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Python 3.12 has set 375 objects aside when a program begins.
_OF_PYTHON = 1000


def collect_rarely() -> None:
    """Make Python's collector of cycles run less often; call it before TensorFlow is imported.

    `kerakd` calls it by itself; importing keras_kd does not. Keras and TensorFlow make more than a
    million objects that stay, and Python would walk them all again and again: that is a fifth of
    the time of their import, and of that of a short training.
    """
    # Short-lived cycles are still found soon; only walks over all objects get rare.
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def known_objects_set_aside() -> Iterator[None]:
    """Leave all objects that exist out of collections until the block ends; it decorates functions,
    too.

    TensorFlow's converter collects in each conversion, and Python would walk all that the imports
    made: that takes longer than the conversion of a small model. A program that has set objects
    aside itself, by `gc.freeze`, is left as it is.
    """
    if gc.get_freeze_count() > _OF_PYTHON:
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        # Cycles that the block leaves behind are found now, while they are few to walk.
        gc.collect()
        gc.unfreeze()
