"""What must hold around a command before it imports TensorFlow and Keras, which would end it."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

from keras_kd._common import hardware
from keras_kd._common.checked_files import read_json, read_text
from keras_kd._common.folders import cache_folder
from keras_kd.errors import ConfigError

# Beside TensorFlow, which commands need, PyTorch can end the process.
BACKENDS = ("tensorflow", "jax")
# Keras would end each training early, and matplotlib refuse to be imported with a wrong name;
# pictures are drawn without a window.
_NOT_HEEDED = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED", "MPLBACKEND")
# What Keras does without a keras.json. KERAS_BACKEND goes before it.
_DEFAULTS = {
    "floatx": "float32",
    "epsilon": 1e-7,
    "backend": "tensorflow",
    "image_data_format": "channels_last",
}
# TensorFlow ends the process over a flag in these that it doesn't know, once it compiles by XLA.
_FLAGS = ("TF_XLA_FLAGS", "XLA_FLAGS")
_COMPILED = """
from keras_kd._common.imports import hidden
with hidden("keras", "sklearn", "matplotlib"):
    import tensorflow as tf
tf.function(lambda x: x + 1, jit_compile=True)(1.0)
"""
# Address space, not memory: `evaluate` worked with 3.5 million kB and was aborted with 3 million.
ADDRESSES = 3_500_000 * 1024


def prepare() -> None:
    """Check the backend and the limit on memory; keep the user's settings from Keras.

    Keras reads keras.json when it is imported, and writes it where there is none. Commands need
    what Keras does without it: channels last, float32, TensorFlow unless KERAS_BACKEND names
    another.

    Raises:
        ConfigError: KERAS_BACKEND names none that is installed, `ulimit -v` or `ulimit -u` is too
            low, or the variables for XLA's flags hold some that TensorFlow doesn't know.
    """
    backend = os.environ.get("KERAS_BACKEND")
    if backend and (backend not in BACKENDS or importlib.util.find_spec(backend) is None):
        raise ConfigError(
            f"KERAS_BACKEND is {backend!r}, expected one of {', '.join(BACKENDS)} that is"
            " installed: unset it for TensorFlow."
        )
    _require_addresses()
    _require_threads()
    _require_flags()
    os.environ["KERAS_HOME"] = _keras_home()
    for name in _NOT_HEEDED:
        os.environ.pop(name, None)


def _keras_home() -> str:
    """The user's KERAS_HOME, where weights of Keras may lie, unless its keras.json would change
    what Keras does; then a folder of the cache.
    """
    home = os.environ.get("KERAS_HOME")
    return home if home and _changes_nothing(Path(home)) else str(cache_folder("keras"))


def _changes_nothing(home: Path) -> bool:
    with contextlib.suppress(OSError):
        if not (home / "keras.json").exists():
            return True
    try:
        settings = read_json(read_text(home / "keras.json"), {})
    except (ValueError, OSError):
        return False
    return _DEFAULTS.items() >= settings.items()


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


@functools.cache
def _require_threads() -> None:
    # On two cores TensorFlow starts 19, and is aborted where it can't; LiteRT starts three at most.
    count = 4 * hardware.cores() + 15
    end, started = threading.Event(), list[threading.Thread]()
    try:
        for _ in range(count):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise ConfigError(
            f"The system lets this program start {len(started)} threads, and TensorFlow needs"
            f" {count}: close other programs, or raise `ulimit -u` or the container's limit."
        ) from error
    finally:
        end.set()
        for thread in started:
            thread.join()


@functools.cache
def _require_flags() -> None:
    given = [f"{name}={os.environ[name]}" for name in _FLAGS if os.environ.get(name)]
    if not given:
        return
    command = [sys.executable, "-P", "-c", _COMPILED]
    # Without GPUs, whose memory another program may have taken; with the errors that say why.
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    tried = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment
    )
    if tried.returncode:
        message = re.search(
            "(Unknown flag|Couldn't interpret value|Could not open file).*", tried.stderr
        )
        raise ConfigError(
            f"TensorFlow can't start with {' '.join(given)}"
            f" ({message[0][:200] if message else f'exit code {tried.returncode}'}): unset it, or"
            " correct the flags."
        )
