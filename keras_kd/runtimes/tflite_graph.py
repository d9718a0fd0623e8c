"""The graph of a `.tflite` file, read without running it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_kd.errors import ModelError
from keras_kd.runtimes import _graph_tail, tflite_file
from keras_kd.runtimes._graph_tail import Step

if TYPE_CHECKING:
    # Its room imports Keras, which trying a file in another process must not wait for.
    from keras_kd.models.output_kinds import OutputKind

_NAMES = {
    number: name
    for name, number in vars(schema.BuiltinOperator).items()
    if not name.startswith("_")
}
_DTYPES = {
    number: name.lower()
    for name, number in vars(schema.TensorType).items()
    if not name.startswith("_")
}
MOST_TENSORS, MOST_AXES = 1_000_000, 8
# Operators that run other subgraphs, and the fields that have the numbers of these.
_LOOP = ("CondSubgraphIndex", "BodySubgraphIndex")
_BODIES = {
    "CALL": (schema.CallOptions, ("Subgraph",)),
    "CALL_ONCE": (schema.CallOnceOptions, ("InitSubgraphIndex",)),
    "IF": (schema.IfOptions, ("ThenSubgraphIndex", "ElseSubgraphIndex")),
    "STABLEHLO_COMPOSITE": (schema.StableHLOCompositeOptions, ("DecompositionSubgraphIndex",)),
    "STABLEHLO_WHILE": (schema.StablehloWhileOptions, _LOOP),
    "WHILE": (schema.WhileOptions, _LOOP),
}
_OPTIONS = {
    "CONV_2D": schema.Conv2DOptions,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptions,
}


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        index: its number, which is the same in every operator of its graph.
        name: its name from the converter.
        shape: with the batch axis; empty for a scalar.
        dtype: of its elements, in small letters as NumPy's, e.g. int8.
        values: raw bytes of a constant, or None.
        scale: the largest of its quantization scales; 0 if it is not quantized.
        scales: number of its quantization scales: 1, or one for each channel; 0 if it is not
            quantized.
        is_variable: whether it keeps its numbers from one run to the next, as the state of an LSTM.
        graph: the number of its subgraph.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    values: np.ndarray | None
    scale: float = 0.0
    scales: int = 0
    is_variable: bool = False
    graph: int = 0

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """An operator, e.g. CONV_2D; a custom one is called `CUSTOM:name`. Missing optional inputs are
    left out. The version is that of the operator's definition, which grows with its abilities.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: Any
    version: int = 1


def read(path: str | Path, graphs: Literal["all", "main", "run"] = "all") -> list[Operator]:
    """Return the operators of the subgraphs, in the order they run.

    Args:
        path: the file.
        graphs: "all"; "main": without the bodies of loops and branches; "run": the main graph and
            the bodies that it runs, without the graphs of other signatures.

    Returns:
        The operators.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    data = tflite_file.content(path)
    with tflite_file.damage_reported(path):
        model = schema.Model.GetRootAs(data, 0)
        # Tables may share their content, so that a small file can unfold to any length.
        operators = list(itertools.islice(_places(model, graphs), MOST_TENSORS))
        if (
            sum(operator.InputsLength() + operator.OutputsLength() for _, operator in operators)
            > MOST_TENSORS
        ):
            raise ValueError("it has more operators than any model")
        return [_operator(model, number, operator) for number, operator in operators]


def _places(model: schema.Model, graphs: str) -> Iterator[tuple[int, schema.Operator]]:
    """The subgraphs' numbers and operators; those of bodies behind those of what runs them."""
    count = model.SubgraphsLength()
    numbers = list(range(count if graphs == "all" else min(count, 1)))
    known = set(numbers)
    for number in numbers:
        graph = model.Subgraphs(number)
        for place in range(graph.OperatorsLength()):
            operator = graph.Operators(place)
            yield number, operator
            bodies = _bodies(model, operator) if graphs == "run" else []
            for body in bodies:
                if not 0 <= body < count:
                    raise ValueError(f"it runs graph {body} of {count}")
                if body not in known:
                    known.add(body)
                    numbers.append(body)


def _bodies(model: schema.Model, operator: schema.Operator) -> list[int]:
    """The numbers of the subgraphs that an operator runs."""
    name = _name(model.OperatorCodes(operator.OpcodeIndex()))
    if name not in _BODIES:
        return []
    kind, fields = _BODIES[name]
    later = name.startswith("STABLEHLO_")
    options, table = kind(), operator.BuiltinOptions2() if later else operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return [getattr(options, field)() for field in fields]


def _operator(model: schema.Model, number: int, operator: schema.Operator) -> Operator:
    code = model.OperatorCodes(operator.OpcodeIndex())
    name = _name(code)
    inputs = [operator.Inputs(i) for i in range(operator.InputsLength())]
    outputs = [operator.Outputs(i) for i in range(operator.OutputsLength())]
    return Operator(
        name,
        # An optional input that is left out has the index -1.
        tuple(_tensor(model, number, index) for index in inputs if index >= 0),
        tuple(_tensor(model, number, index) for index in outputs),
        _options(name, operator),
        code.Version(),
    )


def _name(code: schema.OperatorCode) -> str:
    # Numbers up to 127 stand in the old field of one byte, later ones in the new field.
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return f"CUSTOM:{(code.CustomCode() or b'').decode(errors='replace')}"
    return _NAMES.get(number, f"UNKNOWN:{number}")


def _tensor(model: schema.Model, number: int, index: int) -> Tensor:
    tensor = model.Subgraphs(number).Tensors(index)
    buffer = model.Buffers(tensor.Buffer())
    values = buffer.DataAsNumpy() if buffer.DataLength() else None
    name = (tensor.Name() or b"").decode(errors="replace")
    if tensor.ShapeLength() > MOST_AXES:
        raise ValueError(f"{name} has {tensor.ShapeLength()} axes")
    return Tensor(
        index,
        name,
        tuple(tensor.Shape(i) for i in range(tensor.ShapeLength())),
        _DTYPES.get(tensor.Type(), f"type {tensor.Type()}"),
        values,
        *_scales(tensor),
        bool(tensor.IsVariable()),
        number,
    )


def _scales(tensor: schema.Tensor) -> tuple[float, int]:
    quantization = tensor.Quantization()
    count = quantization.ScaleLength() if quantization else 0
    return (float(quantization.ScaleAsNumpy().max()), count) if count else (0.0, 0)


def _options(name: str, operator: schema.Operator) -> Any:
    if name not in _OPTIONS:
        return None
    # A flatbuffer's union doesn't say its type: the operator's name does.
    options, table = _OPTIONS[name](), operator.BuiltinOptions()
    options.Init(table.Bytes, table.Pos)
    return options


def is_open(path: str | Path) -> bool:
    """Whether the first input of the main graph leaves sides of its images open.

    Args:
        path: the file.

    Returns:
        False where the number of images alone is open. The shapes in such a graph, which `read`
            gives, have 1 for each side that isn't known.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    data = tflite_file.content(path)
    with tflite_file.damage_reported(path):
        graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
        if not graph.InputsLength():
            return False
        image = graph.Tensors(graph.Inputs(0))
        count = min(image.ShapeSignatureLength(), MOST_AXES)
        return any(image.ShapeSignature(axis) < 0 for axis in range(1, count))


def require_one_size(path: str | Path) -> None:
    """Check that a file takes images of one size, as apps give them and operators are timed.

    Args:
        path: the file.

    Raises:
        ModelError: it leaves sides open, or is missing, damaged or no `.tflite`.
    """
    if is_open(path):
        raise ModelError(
            f"{path} leaves sides of its images open, and apps and the times of operators are of"
            " images of one size: convert the model for it."
        )


def output_kind(path: str | Path, output: int) -> OutputKind:
    """Find out from the graph of what kind an output is, by the operators that compute it.

    Args:
        path: the file.
        output: the tensor's index.

    Returns:
        As `models.heads.output_kind`; "unknown" if the last operators do not show it.
    """
    makers = {
        tensor.index: Step(
            operator.name, tuple(one.index for one in operator.inputs if one.values is None)
        )
        for operator in read(path, "main")
        for tensor in operator.outputs
    }
    return _graph_tail.output_kind(output, makers.get)
