"""The parts of keras_kd that may need TensorFlow, imported when a command first needs them, and
TensorFlow without its chatter.
"""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Callable, Iterable
from types import ModuleType

from keras_kd._common import quiet
from keras_kd._common.allocator import tune_allocator
from keras_kd._common.collector import collect_rarely
from keras_kd._common.imports import hidden

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


# Files that are computed without Keras.
_OF_OTHER_RUNTIMES = (".tflite", ".onnx")


def loader(models: Iterable[str | None]) -> Callable[[str], ModuleType]:
    """Return `load` for a command that computes these model files alone: without Keras where none
    of them needs it.

    Args:
        models: files or folders, as the user names them; None for the bundle that stands in for a
            model that is not named.
    """
    from keras_kd.models import bundles

    suffixes = {bundles.model_file(model).suffix for model in models if model is not None}
    return functools.partial(load, with_keras=bool(suffixes - set(_OF_OTHER_RUNTIMES)))


def load(name: str, with_keras: bool = True) -> ModuleType:
    """Import `keras_kd.<name>`, and before it Keras and TensorFlow, which takes seconds."""
    surroundings.prepare()
    collect_rarely()
    if name in _KEEP_MEMORY:
        tune_allocator()
    if with_keras:
        _import_keras()
    return importlib.import_module(f"keras_kd.{name}")


def _import_keras() -> None:
    with hidden("sklearn", "matplotlib"):
        quiet.tensorflow()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
