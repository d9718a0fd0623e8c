"""The error that rounding adds to a quantized file, operator by operator.

Both files, float32 and quantized, are run on plain kernels with all tensors kept. The error of a
tensor is the root mean square of the difference, as a share of the float tensor's standard
deviation. An operator adds what its output's error exceeds its inputs' errors by: so the operator
at fault is found, and not the last one, where all errors have come together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_kd._common.arrays import evenly
from keras_kd.runtimes import kernels

IMAGES = 8


@dataclass(frozen=True)
class Added:
    """The error that one operator adds.

    Attributes:
        tensor: name of its output.
        operator: e.g. CONV_2D.
        error: a share of the output's standard deviation, 0 or more.
    """

    tensor: str
    operator: str
    error: float


def added(exact: bytes, quantized: bytes, images: np.ndarray) -> list[Added]:
    """Return the errors that a quantized file's operators add, the largest first.

    Args:
        exact: the float32 `.tflite` of the same graph.
        quantized: the file to look into.
        images: (N, H, W, C) as the float32 file takes them; IMAGES of them are used, spread
            evenly.
    """
    expected, found = _ReadableFile(exact), _ReadableFile(quantized)
    values = [(expected.run(image), found.run(image)) for image in evenly(images, IMAGES)]
    common = [name for name in values[0][0] if name in values[0][1]]
    pairs = {name: [np.stack([run[side][name] for run in values]) for side in (0, 1)]
             for name in common}  # fmt: skip
    errors = {name: _error(*pair) for name, pair in pairs.items()}
    total: dict[int, float] = {}
    result = []
    for operator, inputs, output, name in found.operators:
        before = max((total.get(index, 0.0) for index in inputs), default=0.0)
        total[output] = errors.get(name, before)
        result.append(Added(name, operator, max(0.0, total[output] - before)))
    return sorted(result, key=lambda one: -one.error)


def _error(expected: np.ndarray, found: np.ndarray) -> float:
    if expected.shape != found.shape or expected.dtype != np.float32:
        return 0.0
    # What is constant over image and place has no spread to compare with.
    spread = max(float(expected.std()), 1e-6)
    return float(np.sqrt(np.mean((expected - found.astype(np.float64)) ** 2)) / spread)


class _ReadableFile:
    """A `.tflite` on plain kernels, whose tensors can all be read."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = Interpreter(
            model_content=content,
            experimental_preserve_all_tensors=True,
            # XNNPACK fuses operators, and their tensors would be gone.
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        tensors = {t["index"]: t for t in self._interpreter.get_tensor_details()}
        self._tensors = tensors
        self.operators = [
            (operation["op_name"], [int(i) for i in operation["inputs"]], int(output),
             tensors[int(output)]["name"])
            for operation in kernels.operators_inside(self._interpreter)
            for output in operation["outputs"]
            if int(output) in tensors
        ]  # fmt: skip

    def run(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Compute one image; return every operator's output by name, as float32."""
        self._interpreter.set_tensor(self._input["index"], self._as_input(image[None]))
        self._interpreter.invoke()
        return {name: self._value(output) for *_, output, name in self.operators}

    def _as_input(self, image: np.ndarray) -> np.ndarray:
        scale, zero = self._input["quantization"]
        if not scale:
            return image.astype(self._input["dtype"])
        limits = np.iinfo(self._input["dtype"])
        rounded = np.round(image / scale) + zero
        return np.clip(rounded, limits.min, limits.max).astype(self._input["dtype"])

    def _value(self, index: int) -> np.ndarray:
        tensor = self._interpreter.get_tensor(index)
        scale, zero = self._tensors[index]["quantization"]
        return (tensor.astype(np.float32) - zero) * np.float32(scale) if scale else tensor
