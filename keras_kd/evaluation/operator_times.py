"""The time of each operator of a `.tflite` file, and which accelerators would take it.

LiteRT's Python API does not profile. So each operator is timed as a file of its own, on one thread,
in turns; the time of an addition of two numbers, which is the calling alone, is subtracted.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from ai_edge_litert.interpreter import Interpreter

from keras_kd._common.quiet import native_output_hidden
from keras_kd.errors import ModelError
from keras_kd.models import bundles
from keras_kd.runtimes import (
    kernels,
    operator_support,
    single_operators,
    tflite_graph,
    timing,
)
from keras_kd.runtimes.litert import LiteRTModel
from keras_kd.runtimes.tflite_graph import Operator

_YES = "yes"


@dataclass(frozen=True)
class OperatorTime:
    """An operator of the main graph.

    Attributes:
        number: its place, from 0.
        operator: its name, e.g. CONV_2D.
        output: the first output's shape, e.g. 1x24x24x16.
        types: dtypes of the first input and the first output.
        milliseconds: of the processor's time for one image, the median; None where it can't run
            alone.
        share: of the sum of all operators' times, 0..1; None likewise.
        xnnpack: "yes" if XNNPACK takes it here, as it was seen; "no"; or "?" where it can't run
            alone.
        gpu: "yes", or why LiteRT's GPU delegate leaves it to the CPU or computes it wrongly.
        integers: "yes", or the type that accelerators of integers lack.
        microcontroller: "yes", or why TensorFlow Lite for Microcontrollers lacks it.
    """

    number: int
    operator: str
    output: str
    types: str
    milliseconds: float | None
    share: float | None
    xnnpack: str
    gpu: str
    integers: str
    microcontroller: str


@dataclass(frozen=True)
class OperatorTimes:
    """All operators of a file.

    Attributes:
        operators: in the order they run.
        whole: milliseconds of the whole file for one image, likewise.
    """

    operators: tuple[OperatorTime, ...]
    whole: float

    @property
    def sum(self) -> float:
        """Milliseconds of all operators, each alone."""
        return sum(one.milliseconds or 0.0 for one in self.operators)


def measure(path: str | Path, seconds: float = 5.0) -> OperatorTimes:
    """Time each operator of a file, and the file.

    Args:
        path: a `.tflite` file of one image, or a bundle's folder.
        seconds: of timing altogether.

    Returns:
        The times.

    Raises:
        ModelError: it is another file, or leaves the size of its images open.
    """
    path = bundles.model_file(path)
    if path.suffix != ".tflite":
        raise ModelError(
            f"{path} is no .tflite file, the only kind whose operators can be timed: export it"
            " first (`kerakd export`)."
        )
    tflite_graph.require_one_size(path)
    model = LiteRTModel(path)
    model.predict_heads(np.zeros((model.batch, *model.input_shape), np.uint8))
    operators = tflite_graph.read(path, "main")
    alone = [_loaded(content) for content in single_operators.files(path)]
    smallest = _loaded(single_operators.smallest())
    runs = [model.compute, *(one and one.invoke for one in (smallest, *alone))]
    whole, calling, *each = timing.medians(runs, seconds)
    spent = [None if one is None else max(one - (calling or 0.0), 0.0) for one in each]
    total = sum(one or 0.0 for one in spent) or 1.0
    rows = enumerate(zip(operators, alone, spent, strict=True))
    return OperatorTimes(tuple(_row(number, *row, total) for number, row in rows), whole or 0.0)


def table(times: OperatorTimes) -> pd.DataFrame:
    """Return the times as a table.

    Args:
        times: as `measure` returned them.

    Returns:
        One row for each operator, with the attributes of `OperatorTime` as columns.
    """
    return pd.DataFrame([dataclasses.asdict(one) for one in times.operators]).set_index("number")


def _loaded(content: bytes) -> Interpreter | None:
    """A file of one operator, computed once; None where it can't be."""
    try:
        with native_output_hidden():
            interpreter = Interpreter(model_content=content, num_threads=1)
            interpreter.allocate_tensors()
            interpreter.invoke()
    except (RuntimeError, ValueError):
        return None
    return interpreter


def _row(
    number: int, operator: Operator, alone: Interpreter | None, spent: float | None, total: float
) -> OperatorTime:
    first = operator.inputs[0].dtype if operator.inputs else "–"
    output = operator.outputs[0]
    on_gpu = operator_support.not_on_gpus(operator) or operator_support.wrong_on_gpus(operator)
    return OperatorTime(
        number,
        operator.name,
        "x".join(map(str, output.shape)) or "1",
        first if first == output.dtype else f"{first} → {output.dtype}",
        spent,
        None if spent is None else spent / total,
        _on_xnnpack(alone),
        on_gpu or _YES,
        operator_support.not_integers(operator) or _YES,
        operator_support.not_on_microcontrollers(operator) or _YES,
    )


def _on_xnnpack(alone: Interpreter | None) -> str:
    if alone is None:
        return "?"
    inside = {one["op_name"] for one in kernels.operators_inside(alone)}
    return _YES if "DELEGATE" in inside else "no"
