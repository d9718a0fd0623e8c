"""What a file must satisfy where it is to run, the format for it, and the proof.

A target chooses the format and the input and output that are not stated. Whatever was chosen, the
written file decides: an operator that the place can't compute refuses it by name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from keras_kd.errors import ExportError, ModelError
from keras_kd.runtimes import micro, operator_support, tflite_graph
from keras_kd.runtimes.tflite_graph import Operator

_NAMED = 6  # reasons in a message


@dataclass(frozen=True)
class Target:
    """Where a file is to run.

    Attributes:
        summary: what it is, and what the file satisfies.
        calibrated: the format, if there are samples.
        plain: the format without samples.
        io: the profile of input and output.
        rules: of `operator_support`, each a function of an operator that says what is against it.
        proof: what a file that passed the rules satisfies, for its card.
    """

    summary: str
    calibrated: str
    plain: str
    io: str
    rules: tuple[Callable[[Operator], str], ...]
    proof: str


_GPU = (operator_support.not_on_gpus, operator_support.wrong_on_gpus)
_MICRO = operator_support.not_on_microcontrollers
TARGETS = {
    "phone": Target(
        "CPUs of phones: runs on TensorFlow Lite 2.8 and all later runtimes.",
        "int8", "dynamic", "app", (operator_support.custom, operator_support.newer),
        "all operators are those of TensorFlow Lite 2.8",
    ),
    "web": Target(
        "LiteRT.js: right by WASM and by WebGPU.",
        "int8", "dynamic", "app",
        (operator_support.custom, operator_support.wrong_on_gpus, operator_support.refused_on_web),
        "no operator is one that LiteRT.js computes wrongly or may refuse by WebGPU",
    ),
    "gpu": Target(
        "LiteRT's GPU delegate: floats, and no operator that is left to the CPU.",
        "float16", "float16", "float", (*_GPU, operator_support.not_floats),
        "LiteRT's GPU delegate lists all operators",
    ),
    "npu": Target(
        "Accelerators of integers: int8 from the input to the output.",
        "int8", "int8", "int8", (operator_support.custom, operator_support.not_integers),
        "all tensors are integers, input and output too",
    ),
    "microcontroller": Target(
        "TensorFlow Lite for Microcontrollers: int8 throughout, operators that it has.",
        "int8", "int8", "int8", (_MICRO, operator_support.not_integers),
        "all tensors are integers, and TensorFlow Lite for Microcontrollers has all operators",
    ),
    "any": Target(
        "Every runtime above: float32, operators that all have.",
        "float32", "float32", "float", (*_GPU, operator_support.newer, _MICRO),
        "TensorFlow Lite 2.8, the GPU delegate and microcontrollers have all operators",
    ),
}  # fmt: skip


def summaries() -> dict[str, str]:
    """Return what each target is, one line by name, for help."""
    return {name: target.summary for name, target in TARGETS.items()}


def find(name: str) -> Target:
    """Return a target.

    Args:
        name: of TARGETS.

    Returns:
        The target.

    Raises:
        ExportError: there is no such target.
    """
    if name not in TARGETS:
        raise ExportError(f"Unknown target {name!r}: expected one of {', '.join(TARGETS)}.")
    return TARGETS[name]


def formats_of(names: Iterable[str]) -> list[str]:
    """Return the formats of names of formats and targets, with samples.

    Args:
        names: of TARGETS, or of `exporters.names()`.

    Returns:
        Names of formats, in the same order.
    """
    return [TARGETS[name].calibrated if name in TARGETS else name for name in names]


def chosen(
    target: str | None, format: str | None, io: str | None, calibrated: bool
) -> tuple[str, str]:
    """Return the format and the profile of input and output: the stated ones, else the target's.

    Args:
        target: of TARGETS, or None.
        format: of `exporters.names()`, or None.
        io: "float", "app" or "int8", or None.
        calibrated: whether there are samples.

    Returns:
        Format and profile.

    Raises:
        ExportError: there is no such target.
    """
    if target is None:
        return format or "dynamic", io or "float"
    found = find(target)
    return format or (found.calibrated if calibrated else found.plain), io or found.io


def require_tflite(target: str | None, format: str, suffix: str) -> None:
    """Refuse a format of other runtimes for a target, before anything is converted.

    Args:
        target: of TARGETS, or None.
        format: the format's name.
        suffix: of its files.

    Raises:
        ExportError: it is no `.tflite`.
    """
    if target is not None and suffix != ".tflite":
        raise ExportError(
            f"The target {target} takes .tflite files: leave the format out, or choose another."
            f" Received: {format}."
        )


def prove(target: str, path: str | Path) -> tuple[str, ...]:
    """Check that a file satisfies its target.

    Args:
        target: of TARGETS.
        path: the `.tflite` file.

    Returns:
        What was proven, in words.

    Raises:
        ExportError: operators stand in the way, which are named, or a runtime refuses the file.
    """
    found = find(target)
    against = [pair for rule in found.rules for pair in operator_support.against(path, rule)]
    if against:
        raise ExportError(
            f"The file does not fit the target {target} ({found.summary.rstrip('.')}). In the way:"
            f" {_listed(against)}. {_advice(target)}"
        )
    count = len(tflite_graph.read(path))
    facts = [f"{found.proof} ({count} checked)"]
    return tuple(facts + (_arena(path) if target == "microcontroller" else []))


def _arena(path: str | Path) -> list[str]:
    if not micro.is_installed():
        return ["its arena was not measured: that needs the package tflite-micro"]
    try:
        needed = micro.arena(path)
    except ModelError as error:
        raise ExportError(str(error)) from error
    return [f"TensorFlow Lite for Microcontrollers ran it in an arena of {needed:,} bytes"]


def _listed(against: list[tuple[Operator, str]]) -> str:
    """Each operator and reason once, with the number and the first one's output."""
    counts = Counter((operator.name, why) for operator, why in against)
    first = {(one.name, why): one.outputs[0].name for one, why in reversed(against) if one.outputs}
    parts = []
    for (name, why), count in counts.items():
        times = f"{count} x " if count > 1 else ""
        place = first.get((name, why), "")[:60]
        parts.append(f"{times}{name} ({why}{f', at {place}' if place else ''})")
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return ", ".join(parts[:_NAMED]) + more


def _advice(target: str) -> str:
    if target == "web":
        return (
            "Leave the format to the target, and let the app resize: leave --app-input out."
            " Replace layers that make other operators."
        )
    if target == "phone":
        return "Replace the layers that make these operators."
    return "Replace the layers that make these operators, and leave format and io to the target."
