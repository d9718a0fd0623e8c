"""ONNX in float32, for ONNX Runtime and other frameworks. Needs the extra `onnx`.

The extra holds tf2onnx, which converts, and onnxruntime, which checks the file.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_kd._common.quiet import native_output_hidden
from keras_kd._common.text import first_line
from keras_kd.errors import ExportError
from keras_kd.exporters._operator_layers import layers_of
from keras_kd.exporters._serving import Serving
from keras_kd.runtimes.onnx_runtime import TYPES

SUFFIX = ".onnx"
TOLERANCE = 1e-4
NEEDS_SAMPLES = False
IO = ("float", "app")
OPSET = 18
_INSTEAD = "use the format float32 or saved_model."


def write(serving: Serving, path: Path, images: np.ndarray | None) -> None:
    """Write the file; the images are not used. Arguments: see `exporters`."""
    tf2onnx = _needed("tf2onnx")
    for operation, handler in _MISSING.items():
        importlib.import_module("tf2onnx.handler").tf_op(operation)(handler)
    function, signature = tf.function(serving), [serving.specification()]
    try:
        with native_output_hidden():
            proto, _ = tf2onnx.convert.from_function(
                function, input_signature=signature, opset=OPSET
            )
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError) as error:
        raise ExportError(
            f"tf2onnx can't convert {serving.model.name} ({first_line(error)}): {_INSTEAD}"
        ) from error
    _require_known(proto, serving)
    _hold_constants(proto, function.get_concrete_function(*signature))
    _keep_padding(proto)
    path.write_bytes(proto.SerializeToString())


def _require_known(proto: Any, serving: Serving) -> None:
    """Refuse functions of TensorFlow, which tf2onnx passes on: Keras computes the groups of a
    convolution in one.
    """
    left = [node.name for node in proto.graph.node if node.op_type.endswith("PartitionedCall")]
    if left:
        layers = {name for node in left for name in layers_of(node, serving.model)}
        raise ExportError(
            f"tf2onnx can't convert {', '.join(sorted(layers)) or left[0]}, which TensorFlow"
            " computes in a function of its own, as it does the groups of a convolution:"
            f" {_INSTEAD}"
        )


def _hold_constants(proto: Any, computed: Any) -> None:
    """Put the tensors of layers that are no weights, as the mean of a Normalization, into the file:
    tf2onnx leaves them open, as inputs.
    """
    helper, graph = importlib.import_module("onnx").numpy_helper, proto.graph
    held = {inner.name: outer for outer, inner in computed.graph.captures}
    for left in [one for one in graph.input if one.name in held]:
        graph.initializer.append(helper.from_array(held[left.name].numpy(), left.name))
        graph.input.remove(left)


def _keep_padding(proto: Any) -> None:
    """Put the smallest float in place of zeros around maps whose maxima are taken next: ONNX
    Runtime would leave zeros out, which differs where all of a map is negative
    (github.com/microsoft/onnxruntime/issues/24737).
    """
    helper = importlib.import_module("onnx").numpy_helper
    graph, smallest = proto.graph, "smallest_float"
    zeros = {one.name for one in graph.initializer if not np.any(helper.to_array(one))} | {""}
    pooled = {name for node in graph.node if node.op_type == "MaxPool" for name in node.input}
    for node in graph.node:
        given = [*node.input, "", ""]
        if node.op_type == "Pad" and node.output[0] in pooled and given[2] in zeros:
            del node.input[2:]
            node.input.extend([smallest, *given[3 : len(given) - 2]])
    if any(smallest in node.input for node in graph.node):
        graph.initializer.append(helper.from_array(np.finfo(np.float32).tiny, smallest))


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


class _Expm1:
    """TensorFlow's elu of another slope computes with expm1, which ONNX lacks: exp(x) - 1."""

    @classmethod
    def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
        dtype, shape = graph.get_dtype(node.output[0]), graph.get_shape(node.output[0])
        outputs = list(node.output)
        graph.remove_node(node.name)
        power = graph.make_node("Exp", node.input, shapes=[shape], dtypes=[dtype])
        one = graph.make_const(f"{node.name}_one", np.ones((), np.float32))
        inputs = [power.output[0], one.output[0]]
        graph.make_node(
            "Sub", inputs, name=node.name, outputs=outputs, shapes=[shape], dtypes=[dtype]
        )


# TensorFlow's operations that tf2onnx passes on though ONNX has none of their names.
_MISSING = {"Erfc": _Erfc, "Expm1": _Expm1}


def run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the file's outputs with ONNX Runtime. Arguments: see `exporters`."""
    runtime = _needed("onnxruntime")
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's exceptions have no public type in common
        raise ExportError(
            f"ONNX Runtime can't load the converted file ({first_line(error)}): {_INSTEAD}"
        ) from error
    (image,) = session.get_inputs()
    as_input = images.astype(TYPES[image.type])
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
