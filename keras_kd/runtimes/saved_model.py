"""TensorFlow's SavedModel folders as Keras models.

A SavedModel is a program of TensorFlow operations, some of which read and write files. A folder is
only loaded if all its operations are known to compute and nothing else, see
`_saved_model_operations`.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_kd._common.folders import files_below
from keras_kd._common.text import first_line
from keras_kd.errors import ModelError
from keras_kd.models.output_kinds import OutputKind
from keras_kd.runtimes import _saved_model_graph, _saved_model_operations, trial

SIGNATURE = "serving_default"
# Height, width and channels where a model leaves them open.
OPEN = (64, 64, 3)


def load(path: str | Path) -> keras.Model:
    """Load a folder whose signature `serving_default` takes one image.

    Args:
        path: the folder.

    Returns:
        A model around Keras' TFSMLayer, its outputs by name. Sizes that the folder leaves open are
            None, including that of the batch.

    Raises:
        ModelError: the folder is no SavedModel, has another form, has operations that do more
            than compute, loops without end, or takes too much memory for one image.
    """
    if _saved_model_operations.require_computing(path):
        # Nothing ends an operation in this process.
        trial.require_survival(Path(path), "TensorFlow", __name__, needs_keras=True)
    return _tried(path)


def _tried(path: str | Path) -> keras.Model:
    """Load a folder and compute once, in bounded memory."""
    import tensorflow as tf

    with trial.memory_bounded(_size(path)):
        model = _loaded(path)
        batch, *sides = model.input_shape
        shape = [side or usual for side, usual in zip(sides, OPEN, strict=False)]
        try:
            model.predict_on_batch(np.zeros((batch or 1, *shape), model.input.dtype))
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            raise ModelError(
                f"{path} takes more than {trial.MEMORY:,} bytes of memory for one image: give a"
                " smaller model."
            ) from error
        except Exception as error:
            # The model may take another size: whether it runs shows with its own images.
            logging.getLogger(__name__).debug("%s: %s", path, error)
    return model


def _loaded(path: str | Path) -> keras.Model:
    try:
        layer = keras.layers.TFSMLayer(str(path), call_endpoint=SIGNATURE)
        # TFSMLayer has no public name for the signature's input.
        taken = layer._reloaded_obj.signatures[SIGNATURE].structured_input_signature[1].values()
        image = _image(path, list(taken))
        # Keras would turn halves into float32, which the signature does not take.
        layer.autocast = False
        inputs = keras.Input(batch_shape=tuple(image.shape), dtype=image.dtype.name, name="image")
        outputs = layer(inputs)
    except ModelError:
        raise
    except Exception as error:
        # TensorFlow raises what its operations raise: no narrower type covers a folder that is no
        # classifier.
        raise ModelError(
            f"{path} can't be loaded as a SavedModel of one image in: {first_line(error)}"
        ) from error
    return keras.Model(inputs, outputs)


def _image(path: str | Path, taken: list[Any]) -> Any:
    """The specification of the only input, if that is images."""
    if len(taken) != 1 or taken[0].dtype.name == "string" or len(taken[0].shape) != 4:
        shown = ", ".join(f"{one.name} ({one.dtype.name}, {one.shape})" for one in taken)
        raise ModelError(
            f"{path} takes {shown}: expected one input of images (N, height, width, channels), so"
            " export a function of these alone."
        )
    return taken[0]


def _try(path: str, seconds: int, memory: int) -> None:
    with trial.bounded(_size(path), seconds, memory):
        _tried(path)


def _size(folder: str | Path) -> int:
    return sum(file.stat().st_size for file in files_below(folder))


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
    _try(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
