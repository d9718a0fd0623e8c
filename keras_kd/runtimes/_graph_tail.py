"""The kind of an output, found at the end of its graph: one table for all formats of files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from keras_kd.errors import ModelError

if TYPE_CHECKING:
    # Its room imports Keras, which trying a file in another process must not wait for.
    from keras_kd.models.output_kinds import OutputKind

# Operators by their names in TensorFlow Lite, ONNX and TensorFlow.
_FORM_ALONE = {
    *("DEQUANTIZE", "QUANTIZE", "RESHAPE", "CAST", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE"),
    *("DequantizeLinear", "QuantizeLinear", "Reshape", "Cast", "Squeeze", "Unsqueeze", "Flatten"),
    *("Identity", "ExpandDims", "Transpose", "StopGradient", "Dropout"),
}
_JOINED = {"CONCATENATION", "Concat", "ConcatV2"}
_AFFINE = {"ADD", "MUL", "SUB", "DIV", "Add", "AddV2", "Mul", "Sub", "Div", "RealDiv"}
_KINDS: dict[str, OutputKind] = {
    **dict.fromkeys(("SOFTMAX", "Softmax"), "probabilities"),
    **dict.fromkeys(("LOG_SOFTMAX", "LogSoftmax"), "log-probabilities"),
    **dict.fromkeys(("LOGISTIC", "Sigmoid"), "sigmoids"),
    **dict.fromkeys(("FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL"), "logits"),
    **dict.fromkeys(("Gemm", "MatMul", "Conv", "BiasAdd", "Conv2D", "BatchMatMulV2"), "logits"),
}
_SORTED = {"TOPK_V2", "TopK", "TopKV2"}
_DEEPEST = 200


@dataclass(frozen=True)
class Step:
    """An operator of a graph.

    Attributes:
        operation: its name.
        inputs: what names the computed tensors that it reads, in order; constants are left out.
    """

    operation: str
    inputs: tuple[Any, ...]


def output_kind(
    output: Any, maker: Callable[[Any], Step | None], depth: int = _DEEPEST
) -> OutputKind:
    """Tell what an output's numbers are by the operators that make them.

    Args:
        output: what names its tensor.
        maker: gives the operator that makes a tensor, or None for a constant or an input.
        depth: how many operators to follow.

    Returns:
        As `models.heads.output_kind`; "unknown" if the last operators do not show it: look at the
        values.

    Raises:
        ModelError: the numbers are sorted, so that a column is no class.
    """
    # A damaged file's operators may read each other in a ring.
    for left in range(depth, 0, -1):
        step = maker(output)
        if step is None:
            return "unknown"
        if step.operation in _SORTED:
            raise ModelError(
                "The output of classes is sorted by its numbers (top k), so that its columns are no"
                " classes: give a model that returns the scores of all classes in their own order."
            )
        if step.operation in _JOINED:
            # Half the depth for each input: branches of branches would multiply without end.
            kinds = {output_kind(one, maker, left // 2) for one in step.inputs}
            # Two softmaxes side by side are no probabilities of one set of classes.
            return kinds.pop() if kinds in ({"logits"}, {"sigmoids"}) else "unknown"
        if step.operation in _AFFINE and len(step.inputs) == 1:
            # A bias or a temperature leaves logits logits, and nothing else what it is.
            kind = output_kind(step.inputs[0], maker, left - 1)
            return "logits" if kind == "logits" else "unknown"
        if step.operation not in _FORM_ALONE or not step.inputs:
            return _KINDS.get(step.operation, "unknown")
        output = step.inputs[0]
    return "unknown"
