"""ONNX in float32, for ONNX Runtime and other frameworks. Needs the extra `onnx` (tf2onnx, onnxruntime)."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import tensorflow as tf

from keras_kd.errors import ExportError
from keras_kd.exporters._serving import Serving
from keras_kd.quiet import native_output_hidden

SUFFIX = ".onnx"
TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float", "app")
OPSET = 18


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the file; `images` are not needed."""
    with native_output_hidden():
        proto, _ = _needed("tf2onnx").convert.from_function(
            tf.function(serving), input_signature=[serving.specification()], opset=OPSET
        )
    path.write_bytes(proto.SerializeToString())


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the file's outputs by name with ONNX Runtime, float32 (N, ...)."""
    session = _needed("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    as_input = images.astype(np.uint8 if image.type == "tensor(uint8)" else np.float32)
    rows = [session.run(None, {image.name: row[None]}) for row in as_input]
    names = [output.name for output in session.get_outputs()]
    return {name: np.concatenate(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}


def _needed(package: str) -> ModuleType:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ExportError(f"The format onnx needs {package}: pip install 'keras-kd[onnx]'.") from error
