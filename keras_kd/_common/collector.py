"""How often Python looks for objects that only refer to each other."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Make Python's collector of cycles run less often; call it before TensorFlow is imported.

    `kerakd` calls it by itself; importing keras_kd does not. Keras and TensorFlow make more than a
    million objects that stay, and Python would walk them all again and again: that is a fifth of
    the time of their import, and of that of a short training.
    """
    # Short-lived cycles are still found soon; only walks over all objects get rare.
    gc.set_threshold(50_000, 20, 50)
