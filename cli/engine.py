"""The parts of keras_kd that need TensorFlow, imported when a command first needs them and without
its chatter.
"""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

from keras_kd._common.allocator import tune_allocator
from keras_kd._common.quiet import native_output_hidden

from . import surroundings


def load(name: str) -> ModuleType:
    """Import `keras_kd.<name>`, and with it Keras and TensorFlow, which takes seconds."""
    surroundings.prepare()
    tune_allocator()
    # TensorFlow writes about CUDA and oneDNN to stderr before its own log level takes hold.
    with native_output_hidden():
        import tensorflow as tf

        # Makes TensorFlow look for GPUs now, while what it says about them is hidden.
        tf.config.list_physical_devices()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return importlib.import_module(f"keras_kd.{name}")
