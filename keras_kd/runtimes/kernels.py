"""How far a `.tflite` file's outputs depend on the kernels that compute them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from keras_kd._common.quiet import native_output_hidden
from keras_kd.runtimes.multiply_accumulates import of_tflite

# XNNPACK, LiteRT's own kernels, and the plain ones that define what is right.
KERNELS = (
    OpResolverType.AUTO,
    OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    OpResolverType.BUILTIN_REF,
)
# A step of rounded probabilities; float32 sums in another order, as a share of the largest output.
STEP, SUMS = 1 / 256, 1e-4
# Multiply-accumulates of an image that the reference kernels compute in some seconds.
_MOST_BY_REFERENCE = 1_000_000_000


def operators_inside(interpreter: Interpreter) -> list[dict[str, Any]]:
    """Return what an interpreter will run: a list of operators with their tensors, for which LiteRT
    has no public name.

    Args:
        interpreter: with its tensors allocated.

    Returns:
        Of each operator `op_name`, and the tensors' numbers as `inputs` and `outputs`. Delegates
        stand behind the operators that they took, and are called DELEGATE.
    """
    return interpreter._get_ops_details()


def measured_tolerance(path: str | Path, image: np.ndarray) -> tuple[float, float]:
    """Measure how far outputs may differ from those of this machine's XNNPACK and still be right.

    Args:
        path: a `.tflite` file that was loaded before, which tried it.
        image: in the file's dtype and shape.

    Returns:
        The largest difference of an output between the kernels; the reference kernels are left out
        for models of more than 1e9 multiply-accumulates. A bound for other processors:
        twice that, and of the largest output (of 1 at least) 1/256 if the file has integers of 8
        bits inside, or else 1e-4.
    """
    kernels = KERNELS if of_tflite(path) <= _MOST_BY_REFERENCE else KERNELS[:2]
    found = [_outputs(Path(path), image, one) for one in kernels]
    # Kernels that lack an operator have no outputs.
    others = [one for one in found[1:] if one is not None]
    difference = max((float(np.abs(one - found[0]).max()) for one in others), default=0.0)
    largest = max(1.0, float(np.abs(found[0]).max()))
    floor = largest * (STEP if _has_integers(Path(path)) else SUMS)
    return difference, float(f"{2 * difference + floor:.3g}")


def _has_integers(path: Path) -> bool:
    with native_output_hidden():
        details = Interpreter(model_content=path.read_bytes()).get_tensor_details()
    return any(one["dtype"] is np.int8 for one in details)


def _outputs(path: Path, image: np.ndarray, kernels: OpResolverType) -> np.ndarray | None:
    """All outputs in one row; None where kernels other than the first lack an operator."""
    try:
        with native_output_hidden():
            interpreter = Interpreter(
                model_content=path.read_bytes(), experimental_op_resolver_type=kernels
            )
            interpreter.allocate_tensors()
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
            # Some kernels refuse what they are given only when they compute.
            interpreter.invoke()
    except (RuntimeError, ValueError):
        if kernels is KERNELS[0]:
            raise
        return None
    outputs = [interpreter.get_tensor(one["index"]) for one in interpreter.get_output_details()]
    return np.concatenate([np.ravel(output).astype(np.float64) for output in outputs])
