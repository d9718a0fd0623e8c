"""TensorFlow's converter: a SavedModel in, a `.tflite` file out; see `_conversion_process` for who
calls it in a process of its own.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_kd._common.collector import known_objects_set_aside
from keras_kd._common.files import written_whole
from keras_kd.errors import ModelError
from keras_kd.exporters import _float_parts, _layer_errors
from keras_kd.exporters._tflite_passes import (
    first_convolution,
    float_splits,
    gray_pixels,
    int16_squares,
    integer_weights,
)
from keras_kd.runtimes import litert, tflite_graph

_INTEGERS = {
    "int8": (tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.int8),
    "int16": (
        tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
        tf.int16,
    ),
}


@dataclass(frozen=True)
class Request:
    """What to convert.

    Attributes:
        saved_model: folder of a SavedModel with one signature.
        exact: file of the same SavedModel in float32, which the first request that needs it writes.
        file: where to write.
        weights: their dtype, "float32", "float16" or "int8".
        activations: their dtype, "float32", or "int8" or "int16" in ranges that `samples` set.
        samples: `.npy` of (N, H, W, C) as the signature takes them, which calibrate and compare;
            None for none.
        integer_io: of integer activations: whether input and output are such too.
        float_tensors: of int8 activations: outputs of operators that stay float32, by the tensors'
            names.
    """

    saved_model: str
    exact: str
    file: str
    weights: str = "float32"
    activations: str = "float32"
    samples: str | None = None
    integer_io: bool = False
    float_tensors: tuple[str, ...] = ()


def convert(request: Request) -> None:
    """Write the file.

    Raises:
        Exception: the converter refuses, with exceptions of its own that have no public name.
    """
    content = gray_pixels.with_float_gray(_content(request))
    content = float_splits.without_splits(first_convolution.of_fewer_channels(content))
    if request.activations == "int16":
        content = int16_squares.without_squared_differences(content)
    if request.weights == "int8":
        content = integer_weights.right_on_all_runtimes(content)
    Path(request.file).write_bytes(content)


def run_once(request: Request) -> None:
    """Compute the written file on nothing, which ends this process if it would end another.

    int8 files that are refused for what is in them are left alone.

    Raises:
        RuntimeError: LiteRT refuses to compute an operator, which is named with its output.
    """
    int8 = request.activations == "int8"
    if int8 and any(map(_float_parts.out_of_range, tflite_graph.read(request.file))):
        return
    try:
        with contextlib.suppress(ModelError):
            litert.LiteRTModel(request.file, trusted=True).compute()
    except RuntimeError as error:
        raise RuntimeError(litert.stopped(request.file, error)) from error


def errors(request: Request) -> list[_layer_errors.Added]:
    """Return what the operators of the written file add to the error, the largest first; nothing
    for formats that don't round, or without samples.
    """
    if request.samples is None or request.weights != "int8":
        return []
    return _layer_errors.added(_exact(request), Path(request.file).read_bytes(), _samples(request))


def _exact(request: Request) -> bytes:
    """Return the SavedModel in float32, which formats that don't round and errors share."""
    file = Path(request.exact)
    if not file.exists():
        with known_objects_set_aside(), written_whole(file) as temporary:
            temporary.write_bytes(_converter(request).convert())
    return file.read_bytes()


def _samples(request: Request) -> np.ndarray:
    return np.load(str(request.samples), mmap_mode="r")


def _converter(request: Request) -> tf.lite.TFLiteConverter:
    return tf.lite.TFLiteConverter.from_saved_model(request.saved_model)


@known_objects_set_aside()
def _content(request: Request) -> bytes:
    if request.weights == "float32":
        return _exact(request)
    converter = _converter(request)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if request.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if request.activations == "float32":
        return converter.convert()
    samples = _samples(request)
    # A function, because the converter goes through the images several times.
    converter.representative_dataset = lambda: ([image[None]] for image in samples)
    if request.activations == "int8" and not request.integer_io:
        return _float_parts.converted(converter, request.float_tensors)
    operators, dtype = _INTEGERS[request.activations]
    converter.target_spec.supported_ops = [operators]
    if request.integer_io:
        # Integers at both ends exclude float32 within: the converter refuses what it can't round.
        converter.inference_input_type = converter.inference_output_type = dtype
    else:
        converter.target_spec.supported_ops += [tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter.convert()
