"""How far a `.tflite` file's outputs depend on the kernels that compute them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_kd._common.quiet import native_output_hidden

# XNNPACK, LiteRT's own kernels, and the plain ones that define what is right.
KERNELS = (
    OpResolverType.AUTO,
    OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    OpResolverType.BUILTIN_REF,
)
# A step of rounded probabilities; float32 sums in another order, as a share of the largest output.
STEP, SUMS = 1 / 256, 1e-4


def measured_tolerance(path: str | Path, image: np.ndarray) -> tuple[float, float]:
    """Measure how far outputs may differ from those of this machine's XNNPACK and still be right.

    Args:
        path: a `.tflite` file that was loaded before, which tried it.
        image: in the file's dtype and shape.

    Returns:
        The largest difference of an output between the kernels. A bound for other processors:
        twice that, and of the largest output (of 1 at least) 1/256 if the file has integers of 8
        bits inside, or else 1e-4.
    """
    found = [_outputs(Path(path), image, kernels) for kernels in KERNELS]
    difference = max(float(np.abs(other - found[0]).max()) for other in found[1:])
    largest = max(1.0, float(np.abs(found[0]).max()))
    floor = largest * (STEP if _has_integers(Path(path)) else SUMS)
    return difference, float(f"{2 * difference + floor:.3g}")


def _has_integers(path: Path) -> bool:
    with native_output_hidden():
        details = Interpreter(model_content=path.read_bytes()).get_tensor_details()
    return any(one["dtype"] is np.int8 for one in details)


def _outputs(path: Path, image: np.ndarray, kernels: OpResolverType) -> np.ndarray:
    """All outputs in one row."""
    with native_output_hidden():
        interpreter = Interpreter(
            model_content=path.read_bytes(), experimental_op_resolver_type=kernels
        )
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]
    return np.concatenate([np.ravel(output).astype(np.float64) for output in outputs])
