"""Which operators of a `.tflite` file runtimes compute, and which they compute wrongly.

The lists of `operator_support.toml` are those of the runtimes' sources, which it names.
"""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

from keras_kd.runtimes import tflite_graph
from keras_kd.runtimes.tflite_graph import Operator

TABLE = Path(__file__).with_suffix(".toml")
# What all of this project's files are made for, and what stands for a release to come.
OLDEST, UNKNOWN = "2.8", "unknown"
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
        A release, e.g. "2.8"; UNKNOWN if a version of an operator is newer than the table.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    releases = [_release(operator) for operator in tflite_graph.read(path)]
    if UNKNOWN in releases:
        return UNKNOWN
    return max([OLDEST, *releases], key=lambda release: [int(part) for part in release.split(".")])


def _release(operator: Operator) -> str:
    newer: dict[str, str] = _table()["versions"]["operators"].get(operator.name, {})
    release = newer.get(str(operator.version), OLDEST)
    if newer and operator.version > max(map(int, newer)):
        release = UNKNOWN
    weights = operator.inputs[1] if len(operator.inputs) > 1 else None
    if operator.name == "FULLY_CONNECTED" and release == OLDEST and weights and weights.scales > 1:
        # Older ones take the first channel's scale for all, and give one constant answer.
        return "2.10"
    return release


def wrong_on_gpus(path: str | Path) -> list[tuple[Operator, str]]:
    """Return the operators that LiteRT's GPU code computes wrongly without an error.

    Measured on LiteRT.js 2.5.3 with WebGPU. Its code, ML Drift, also serves OpenCL and Metal.

    Args:
        path: a `.tflite` file.

    Returns:
        Operators, each with what is wrong about it.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    found = ((one, _wrong_on_gpus(one)) for one in tflite_graph.read(path))
    return [(one, why) for one, why in found if why]


def _wrong_on_gpus(operator: Operator) -> str:
    constants = [tensor for tensor in operator.inputs if tensor.values is not None]
    if operator.name in _ARITHMETIC and any(one.dtype == "int32" for one in constants):
        return "whole numbers with constants, taken for zeros"
    if operator.name != "CONV_2D" or not constants or operator.inputs[1].dtype != "int8":
        return ""
    strided = max(operator.options.StrideH(), operator.options.StrideW()) > 1
    pointwise = operator.inputs[1].shape[1:3] == (1, 1)
    return "strides of 1x1 kernels, forgotten" if strided and pointwise else ""
