"""ONNX in float32, for ONNX Runtime and other frameworks. Needs the extra `onnx` (tf2onnx,
onnxruntime).
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_kd._common.quiet import native_output_hidden
from keras_kd.errors import ExportError
from keras_kd.exporters._serving import Serving

SUFFIX = ".onnx"
TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float", "app")
OPSET = 18


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the file; `images` are not needed."""
    tf2onnx = _needed("tf2onnx")
    importlib.import_module("tf2onnx.handler").tf_op("Erfc")(_Erfc)
    with native_output_hidden():
        proto, _ = tf2onnx.convert.from_function(
            tf.function(serving), input_signature=[serving.specification()], opset=OPSET
        )
    path.write_bytes(proto.SerializeToString())


class _Erfc:
    """TensorFlow's gelu computes with erfc, which tf2onnx and ONNX lack: 1 - erf."""

    @classmethod
    def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
        dtype = graph.get_dtype(node.output[0])
        shape = graph.get_shape(node.output[0])
        outputs = list(node.output)
        graph.remove_node(node.name)
        erf = graph.make_node("Erf", node.input, shapes=[shape], dtypes=[dtype])
        one = graph.make_const(f"{node.name}_one", np.ones((), np.float32))
        graph.make_node(
            "Sub",
            [one.output[0], erf.output[0]],
            name=node.name,
            outputs=outputs,
            shapes=[shape],
            dtypes=[dtype],
        )


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the file's outputs by name with ONNX Runtime, float32 (N, ...)."""
    session = _needed("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    as_input = images.astype(np.uint8 if image.type == "tensor(uint8)" else np.float32)
    rows = [session.run(None, {image.name: row[None]}) for row in as_input]
    names = [output.name for output in session.get_outputs()]
    return {
        name: np.concatenate(values)
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }


def _needed(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ExportError(
            f"The format onnx needs {package}: pip install 'keras-kd[onnx]'."
        ) from error
