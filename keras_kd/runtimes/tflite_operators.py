"""The operators in a `.tflite` file, read from its graph without running it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from keras_kd.runtimes import tflite_graph

_VARIABLE_OPERATORS = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}


def counts(path: str | Path) -> Counter[str]:
    """Count the operators of a `.tflite` file by name.

    Args:
        path: the file.

    Returns:
        Counts by name, e.g. CONV_2D; a custom operator is called `CUSTOM:name`.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    return Counter(operator.name for operator in tflite_graph.read(path))


def keeps_state(path: str | Path) -> bool:
    """Whether a file goes on from the image before, unless its interpreter is reset.

    Args:
        path: a `.tflite` file.

    Returns:
        True if an operator, such as an LSTM, keeps numbers from one run to the next.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    return any(
        tensor.is_variable for operator in tflite_graph.read(path) for tensor in operator.inputs
    )


def custom_or_flex(path: str | Path) -> list[str]:
    """Return the operators that plain LiteRT has no kernel for, and those that keep state.

    Args:
        path: a `.tflite` file.

    Returns:
        Names of operators.

    Raises:
        ModelError: the file is missing, damaged or no `.tflite`.
    """
    return [
        name
        for name in counts(path)
        if name.startswith(("CUSTOM:", "UNKNOWN:")) or name in _VARIABLE_OPERATORS
    ]
