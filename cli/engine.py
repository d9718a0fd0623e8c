"""The parts of keras_kd that need TensorFlow, imported when a command first needs them and without
its chatter.
"""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

from keras_kd._common.allocator import tune_allocator
from keras_kd._common.collector import collect_rarely
from keras_kd._common.imports import hidden
from keras_kd._common.quiet import native_output_hidden

from . import surroundings

# What computes on whole data sets. A session may last for hours: there, kept memory saved no time
# and grew by 1.9 KB a frame.
_KEEP_MEMORY = (
    "evaluation.scoring",
    "pipelines.distill",
    "pipelines.export",
    "pipelines.rerun",
    "pipelines.sweep",
    "pipelines.teach",
)


def load(name: str) -> ModuleType:
    """Import `keras_kd.<name>`, and with it Keras and TensorFlow, which takes seconds."""
    surroundings.prepare()
    collect_rarely()
    if name in _KEEP_MEMORY:
        tune_allocator()
    # TensorFlow writes about CUDA and oneDNN to stderr before its own log level takes hold.
    with native_output_hidden(), hidden("sklearn", "matplotlib"):
        import tensorflow as tf

        # Makes TensorFlow look for GPUs now, while what it says about them is hidden.
        tf.config.list_physical_devices()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    return importlib.import_module(f"keras_kd.{name}")
