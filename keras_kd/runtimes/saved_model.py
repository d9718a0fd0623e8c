"""TensorFlow's SavedModel folders as Keras models.

A SavedModel is a program of TensorFlow operations, some of which read and write files: only folders
are loaded whose operations are known to compute alone, see `_saved_model_operations`.
"""

from __future__ import annotations

from pathlib import Path

import keras

from keras_kd.errors import ModelError
from keras_kd.models.heads import OutputKind
from keras_kd.runtimes import _saved_model_graph, _saved_model_operations

SIGNATURE = "serving_default"


def load(path: str | Path) -> keras.Model:
    """Load a folder whose signature `serving_default` takes one image.

    Returns:
        a model around Keras' TFSMLayer, its outputs by name; sizes that the folder leaves open are
        None, also of the batch.

    Raises:
        ModelError: the folder is no SavedModel, of another form, or does more than compute.
    """
    _saved_model_operations.require_computing(path)
    try:
        layer = keras.layers.TFSMLayer(str(path), call_endpoint=SIGNATURE)
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


def output_kind(model: keras.Model, head: str | None) -> OutputKind:
    """Tell from the graph what the numbers of an output of classes are; "unknown" without one."""
    if head is None:
        return "unknown"
    signature = model.layers[-1]._reloaded_obj.signatures[SIGNATURE]
    return _saved_model_graph.output_kind(signature, head)
