"""What must hold around a command before it imports TensorFlow and Keras, which would end it."""

from __future__ import annotations

import importlib.util
import os

from keras_kd._common.folders import cache_folder
from keras_kd.errors import ConfigError

# Beside TensorFlow, which commands need, PyTorch can end the process.
BACKENDS = ("tensorflow", "jax")
# Address space, not memory: `evaluate` worked with 3.5 million kB and was aborted with 3 million.
ADDRESSES = 3_500_000 * 1024


def prepare() -> None:
    """Check the backend and the limit on memory; keep Keras away from the user's keras.json.

    Keras reads that file when it is imported, and writes it where there is none. Commands need what
    Keras does without it: channels last, float32, TensorFlow unless KERAS_BACKEND names another.

    Raises:
        ConfigError: KERAS_BACKEND names none that is installed, or `ulimit -v` is too low.
    """
    backend = os.environ.get("KERAS_BACKEND")
    if backend and (backend not in BACKENDS or importlib.util.find_spec(backend) is None):
        raise ConfigError(
            f"KERAS_BACKEND is {backend!r}, expected one of {', '.join(BACKENDS)} that is"
            " installed: unset it for TensorFlow."
        )
    _require_addresses()
    os.environ.setdefault("KERAS_HOME", str(cache_folder("keras")))
    # Pictures are drawn without a window; matplotlib refuses to be imported with a wrong name.
    os.environ.pop("MPLBACKEND", None)


def _require_addresses() -> None:
    try:
        import resource
    except ImportError:
        return  # Windows, which has no such limit.
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY and limit < ADDRESSES:
        raise ConfigError(
            f"`ulimit -v` is {limit // 1024:,} kB, and TensorFlow needs {ADDRESSES // 1024:,} kB to"
            " start: raise or lift it."
        )
