"""Which operators of a `.tflite` file runtimes compute, and which they compute wrongly.

The lists of `operator_support.toml` are those of the runtimes' sources, which it names.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_kd.runtimes import tflite_graph
from keras_kd.runtimes.tflite_graph import Operator, Tensor

TABLE = Path(__file__).with_suffix(".toml")
# What all of this project's files are made for, and what stands for a release to come.
OLDEST, UNKNOWN = "2.8", "unknown"
_MOST_GPU_AXES = 4
_SLICES = ("SLICE", "STRIDED_SLICE")
_ARITHMETIC = ("ADD", "SUB", "MUL", "DIV", "FLOOR_DIV")


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(TABLE.read_text("utf-8"))


def oldest_tensorflow_lite(path: str | Path) -> str:
    """Return the oldest TensorFlow Lite, from 2.8 on, that knows a file's operators and computes
    them right.

    Args:
        path: a `.tflite` file.

    Returns:
        A release, e.g. "2.8"; UNKNOWN if the table lacks an operator, or its version.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    releases = [_release(operator) for operator in tflite_graph.read(path)]
    if UNKNOWN in releases:
        return UNKNOWN
    return max([OLDEST, *releases], key=lambda release: [int(part) for part in release.split(".")])


@functools.cache
def _versions_of_oldest() -> dict[str, int]:
    known = _table()["versions"]["known"]
    return {name: int(version) for version, names in known.items() for name in names}


def _release(operator: Operator) -> str:
    newer: dict[str, str] = _table()["versions"]["operators"].get(operator.name, {})
    old = operator.version <= _versions_of_oldest().get(operator.name, 0)
    release = OLDEST if old else newer.get(str(operator.version), UNKNOWN)
    weights = operator.inputs[1] if len(operator.inputs) > 1 else None
    if operator.name == "FULLY_CONNECTED" and release == OLDEST and weights and weights.scales > 1:
        # Older ones take the first channel's scale for all, and give one constant answer.
        return "2.10"
    return release


def against(path: str | Path, rule: Callable[[Operator], str]) -> list[tuple[Operator, str]]:
    """Return the operators of a file that a rule speaks against, each with the reason.

    Args:
        path: a `.tflite` file.
        rule: one of the functions below.

    Returns:
        Operators and reasons; empty if the rule has nothing against the file.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    found = ((one, rule(one)) for one in tflite_graph.read(path))
    return [(one, why) for one, why in found if why]


def custom(operator: Operator) -> str:
    """Return why plain LiteRT lacks an operator.

    Args:
        operator: of a file.

    Returns:
        The reason; an empty text if it has the operator.
    """
    foreign = operator.name.startswith(("CUSTOM:", "UNKNOWN:"))
    return "not built in" if foreign else ""


def of_equal_ranks() -> tuple[str, ...]:
    """Return the operators whose computed int8 operands must have one rank for WebGPU."""
    return tuple(_table()["webgpu"]["equal_ranks"])


def wrong_on_gpus(operator: Operator) -> str:
    """Return what LiteRT's GPU code computes wrongly, without an error, about an operator.

    Measured on LiteRT.js 2.5.3 with WebGPU. Its code, ML Drift, also serves OpenCL and Metal.
    Arguments: see `runtimes.operator_support.custom`.
    """
    constants = [tensor for tensor in operator.inputs if tensor.values is not None]
    if operator.name in _ARITHMETIC and any(one.dtype == "int32" for one in constants):
        return "whole numbers with constants, taken for zeros"
    if operator.name == "CONV_2D" and constants and operator.inputs[1].dtype == "int8":
        strided = max(operator.options.StrideH(), operator.options.StrideW()) > 1
        pointwise = operator.inputs[1].shape[1:3] == (1, 1)
        return "strides of 1x1 kernels, forgotten" if strided and pointwise else ""
    return _wrong_forms_on_gpus(operator)


def _wrong_forms_on_gpus(operator: Operator) -> str:
    if not operator.inputs or not operator.outputs:
        return ""
    ranks, output = [len(one.shape) for one in operator.inputs], operator.outputs[0]
    if operator.name == "SOFTMAX" and ranks == [1]:
        return "of one axis"
    if operator.name in ("SPLIT", "SPLIT_V") and output.dtype.startswith("float"):
        return "floats, whose parts are combined wrongly"
    if not all(one.dtype == "int8" for one in operator.inputs[:2]):
        return ""
    computed = all(one.values is None for one in operator.inputs)
    if operator.name in of_equal_ranks() and computed and len(set(ranks)) > 1:
        return "int8 operands of different ranks, one taken for zeros"
    rows = operator.name == "FULLY_CONNECTED" and len(output.shape) == 2 and output.shape[0] > 1
    wrong = rows and ranks[0] > 2
    return "int8 rows of an input of more axes, all but the first forgotten" if wrong else ""


def refused_on_web(operator: Operator) -> str:
    """Return why LiteRT.js may refuse an operator by WebGPU.

    Measured on LiteRT.js 2.5.3: it runs some files of int16, and refuses others.
    Arguments: see `runtimes.operator_support.custom`.
    """
    computed = _computed(operator)
    if any(tensor.dtype == "int16" for tensor in computed):
        return "int16, which LiteRT.js may refuse by WebGPU"
    if operator.name in _table()["webgpu"]["refused"]:
        return "which LiteRT.js refuses by WebGPU"
    ranks = [len(tensor.shape) for tensor in computed]
    if max(ranks, default=1) > _MOST_GPU_AXES or min(ranks, default=1) < 1:
        return "of no axis or more than four, which LiteRT.js refuses by WebGPU"
    left_out = operator.name == "STRIDED_SLICE" and ranks[-1] < ranks[0]
    return "leaves an axis out, which LiteRT.js refuses by WebGPU" if left_out else ""


def not_on_gpus(operator: Operator) -> str:
    """Return why LiteRT's GPU delegate leaves an operator to the CPU; nothing if it takes it.

    int8 tensors with a scale are taken, too: the GPU computes them as floats.
    Arguments: see `runtimes.operator_support.custom`.
    """
    if operator.name not in _table()["gpu"]["operators"]:
        return "not in the GPU delegate's list"
    for tensor in _computed(operator):
        quantized = tensor.scales and tensor.dtype in ("int8", "uint8")
        if not (quantized or tensor.dtype in ("float32", "float16", "bool")):
            return tensor.dtype
        if len(tensor.shape) > _MOST_GPU_AXES:
            return f"{len(tensor.shape)} axes"
    first = operator.inputs[0].shape if operator.inputs else ()
    if operator.name in _SLICES and len(first) not in (3, 4):
        return f"of {len(first)} axes instead of 3 or 4"
    return ""


def not_floats(operator: Operator) -> str:
    """Return the type of what an operator reads or writes, if it is no float: GPUs gain nothing by
    integers, and weights may be float16.

    Arguments: see `runtimes.operator_support.custom`.
    """
    others = [one.dtype for one in _computed(operator) if not one.dtype.startswith("float")]
    return others[0] if others else ""


def not_integers(operator: Operator) -> str:
    """Return the type that keeps an operator from accelerators of int8 and int16 alone.

    Arguments: see `runtimes.operator_support.custom`.
    """
    floats = [one.dtype for one in (*operator.inputs, *operator.outputs) if "float" in one.dtype]
    others = [one.dtype for one in _computed(operator) if one.dtype not in ("int8", "int16")]
    return next(iter([*floats, *others]), "")


def not_on_microcontrollers(operator: Operator) -> str:
    """Return why TensorFlow Lite for Microcontrollers lacks an operator; nothing if it has it.

    Arguments: see `runtimes.operator_support.custom`.
    """
    if operator.name not in _table()["micro"]["operators"]:
        return "without a kernel for microcontrollers"
    types = {one.dtype for one in (*operator.inputs, *operator.outputs)}
    if "float16" in types:
        return "float16"
    return "float32 with int8 weights" if _is_hybrid(operator) else ""


def _is_hybrid(operator: Operator) -> bool:
    weighted = operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    return weighted and [one.dtype for one in operator.inputs[:2]] == ["float32", "int8"]


def _computed(operator: Operator) -> list[Tensor]:
    """The tensors that are no constants."""
    return [one for one in (*operator.inputs, *operator.outputs) if one.values is None]


def newer(operator: Operator) -> str:
    """Return since which TensorFlow Lite an operator's version is known, if that is not 2.8.

    Arguments: see `runtimes.operator_support.custom`.
    """
    release = _release(operator)
    if release == UNKNOWN:
        return "in no release known here"
    return "" if release == OLDEST else f"right since TensorFlow Lite {release}"
