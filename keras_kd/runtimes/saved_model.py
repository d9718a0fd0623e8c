"""TensorFlow's SavedModel folders as Keras models.

A SavedModel is a program of TensorFlow operations, some of which read and write files. A folder is
only loaded if all its operations are known to compute and nothing else, see
`_saved_model_operations`.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from keras_kd.errors import ModelError
from keras_kd.models.heads import OutputKind
from keras_kd.runtimes import _saved_model_graph, _saved_model_operations

SIGNATURE = "serving_default"
# Seconds of the processor's time, and of the clock, for one image of a model with loops; height,
# width and channels where it leaves them open.
TRIAL, TRIAL_CLOCK, OPEN = 60, 1200, (64, 64, 3)


def load(path: str | Path) -> keras.Model:
    """Load a folder whose signature `serving_default` takes one image.

    Args:
        path: the folder.

    Returns:
        A model around Keras' TFSMLayer, its outputs by name. Sizes that the folder leaves open are
            None, including that of the batch.

    Raises:
        ModelError: the folder is no SavedModel, has another form, has operations that do more
            than compute, or loops without end.
    """
    if _saved_model_operations.require_computing(path):
        _require_end(path)
    return _loaded(path)


def _loaded(path: str | Path) -> keras.Model:
    try:
        layer = keras.layers.TFSMLayer(str(path), call_endpoint=SIGNATURE)
        # TFSMLayer has no public name for the signature's input.
        (image,) = layer._reloaded_obj.signatures[SIGNATURE].structured_input_signature[1].values()
        inputs = keras.Input(batch_shape=tuple(image.shape), dtype=image.dtype.name, name="image")
        outputs = layer(inputs)
    except Exception as error:
        # TensorFlow raises what its operations raise: no narrower type covers a folder that is no
        # classifier.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"{path} can't be loaded as a SavedModel of one image in: {reason}"
        ) from error
    return keras.Model(inputs, outputs)


def _require_end(path: str | Path) -> None:
    """Compute once in another process: nothing ends an operation in this one.

    Whatever else happens there is told by the loading here.
    """
    command = [sys.executable, "-P", "-m", __name__, str(path), str(TRIAL)]
    try:
        code = subprocess.run(command, capture_output=True, timeout=TRIAL_CLOCK).returncode
    except subprocess.TimeoutExpired:
        code = None
    if code is None or (resource is not None and code in (-signal.SIGXCPU, -signal.SIGKILL)):
        raise ModelError(
            f"{path} loops for more than {TRIAL} s of the processor's time, or {TRIAL_CLOCK} s in"
            " all, on one image: export the model without that loop."
        )


def _try(path: str, seconds: int) -> None:
    model = _loaded(path)
    if resource is not None:
        own = resource.getrusage(resource.RUSAGE_SELF)
        end = int(own.ru_utime + own.ru_stime) + 1 + seconds
        # At the soft limit SIGXCPU tells the parent why; the hard one can't be ignored.
        resource.setrlimit(resource.RLIMIT_CPU, (end, end + 1))
    batch, *sizes = model.input_shape
    shape = [size or usual for size, usual in zip(sizes, OPEN, strict=True)]
    model.predict_on_batch(np.zeros((batch or 1, *shape), model.input.dtype))


def output_kind(model: keras.Model, head: str) -> OutputKind:
    """Find out from the graph of what kind an output of classes is.

    Args:
        model: as `load` returned it.
        head: the output's name.

    Returns:
        As `models.heads.output_kind`.
    """
    signature = model.layers[-1]._reloaded_obj.signatures[SIGNATURE]
    return _saved_model_graph.output_kind(signature, head)


if __name__ == "__main__":
    _try(sys.argv[1], int(sys.argv[2]))
