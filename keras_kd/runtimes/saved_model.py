"""TensorFlow's SavedModel folders as Keras models.

A SavedModel is a program of TensorFlow operations, some of which read and write files. A folder is
only loaded if all its operations are known to compute and nothing else, see
`_saved_model_operations`.
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

    Args:
        path: the folder.

    Returns:
        A model around Keras' TFSMLayer, its outputs by name. Sizes that the folder leaves open are
            None, including that of the batch.

    Raises:
        ModelError: the folder is no SavedModel, has another form, or has operations that do more
            than compute.
    """
    _saved_model_operations.require_computing(path)
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
