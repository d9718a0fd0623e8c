"""What kind of numbers a model's outputs are, as far as the numbers tell; without Keras."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

OutputKind: TypeAlias = Literal[
    "logits", "probabilities", "log-probabilities", "sigmoids", "undecided", "unknown"
]
STATED_KINDS = ("logits", "probabilities", "sigmoids")  # that a user may name
# Outputs of one number by these names are continuous values, whatever bounds them.
VALUES = ("valence", "arousal")
# How far from 1 the sum of a row of probabilities may be, e.g. in float16.
SUM_TOLERANCE = 5e-3
SMALLEST_PROBABILITY = 1e-12  # in float32; its logarithm is taken for that of anything smaller
# What softmax makes of probabilities, for a warning.
TWICE = (
    "gives a softmax of probabilities, so that softmax is taken twice and none of them comes near 0"
    " or 1: leave out one of the two"
)
_FEWEST_ROWS = 16  # which tell softmax taken twice
_ROUNDED = 0.01  # by which logarithms of probabilities may be off in float16
_STEPS = 256  # of probabilities in a file of 8 bits
# Logits that happen to lie in 0..1 are spread over it; sigmoids crowd where they saturate.
_SATURATED = 0.02  # from 0 or 1
_CROWD = 0.2  # of all numbers; of evenly spread ones it is twice _SATURATED


def kind_of_values(outputs: np.ndarray) -> OutputKind:
    """Find out from the outputs for some images of what kind they are.

    Logits can't be distinguished from other numbers: they are "unknown". Numbers in 0..1 whose rows
    don't sum to 1 may be sigmoids or logits of a narrow range.

    Args:
        outputs: float (N, ..., C), for images that differ.

    Returns:
        As `heads.output_kind`: "probabilities" and "log-probabilities" are certain. "sigmoids" is
        likely: at least a fifth of the numbers lie within 0.02 of 0 or 1, some of them at either
        end. "undecided": all other numbers in 0..1, of which the user must say what they are.
    """
    outputs = np.asarray(outputs, np.float32)
    if not outputs.size or not np.isfinite(outputs[outputs != -np.inf]).all():
        return "unknown"
    low, high = outputs.min(), outputs.max()
    several = outputs.shape[-1] > 1  # A sigmoid near 1 alone in its row is no distribution.
    if low >= -SUM_TOLERANCE and high <= 1 + SUM_TOLERANCE:
        if several and np.abs(outputs.sum(axis=-1) - 1).max() < SUM_TOLERANCE:
            return "probabilities"
        return (
            _of_numbers_in_0_to_1(outputs) if low >= 0 and high <= 1 and low < high else "unknown"
        )
    sums = np.exp(outputs).sum(axis=-1) if several and high <= SUM_TOLERANCE else np.zeros(1)
    return "log-probabilities" if np.abs(sums - 1).max() < SUM_TOLERANCE else "unknown"


def unclear(numbers: str, advice: str) -> str:
    """Return why it can't be told what numbers are that are "sigmoids" or "undecided".

    Args:
        numbers: of what, e.g. "of the model".
        advice: how to say it, a sentence without its end.

    Returns:
        Two sentences.
    """
    return (
        f"All numbers {numbers} lie in 0..1, and the rows don't sum to 1: they may be logits or"
        f" independent sigmoids. {advice}."
    )


def unclear_number(model: str, advice: str) -> str:
    """Return why it can't be told what the one number of a classifier of two classes is.

    Args:
        model: its name.
        advice: what follows, without its end.

    Returns:
        One sentence.
    """
    return (
        f"{model} gives one number for two classes, and its graph does not show whether that is a"
        f" logit or the probability of the second class: {advice}."
    )


def are_softmax_twice(probabilities: np.ndarray) -> bool:
    """Whether probabilities look like softmax(p) of probabilities p themselves.

    Since log softmax(p) = p - log Σ exp p and a row p sums to 1, p = l - mean l + 1/C of the row's
    logarithms l. If no such p is below 0, they may have been probabilities; other rows are so only
    where all classes have nearly the same probability, as then have these p.

    Args:
        probabilities: (N, ..., C), for images that differ.

    Returns:
        False for fewer than three classes, or fewer than 16 rows, or where the rounding of 8 bits
            leaves too little of them.
    """
    classes = probabilities.shape[-1]
    rows = np.reshape(probabilities, (-1, classes))
    if classes < 3 or len(rows) < _FEWEST_ROWS:
        return False
    rows = rows.astype(np.float32)
    in_steps = bool((rows * _STEPS % 1 == 0).all())
    off = _ROUNDED + in_steps / _STEPS / max(rows.min(), SMALLEST_PROBABILITY)
    logarithms = log_probabilities(rows)
    inner = logarithms - logarithms.mean(axis=-1, keepdims=True) + 1 / classes
    return bool(
        off < 1 / classes and inner.min() >= -off and inner.max(axis=-1).mean() > 2 / classes
    )


def images_of_noise(shape: tuple[int, ...]) -> np.ndarray:
    """Return images whose outputs show their kind where a user gives none.

    Args:
        shape: height, width and channels.

    Returns:
        uint8 (8, *shape), noise from black to bright: logits of images that are too much alike may
            all lie in 0..1.
    """
    noise = np.random.default_rng(0).random((8, *shape))
    return (noise * np.linspace(0, 255, 8)[:, None, None, None]).astype(np.uint8)


def log_probabilities(probabilities: np.ndarray) -> np.ndarray:
    """Return logarithms, of a probability that was rounded to 0 too.

    Args:
        probabilities: float32 or float64; in float16 the smallest one would be 0.

    Returns:
        log p in the same shape and type.
    """
    return np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))


def _of_numbers_in_0_to_1(outputs: np.ndarray) -> OutputKind:
    at_0, at_1 = np.mean(outputs <= _SATURATED), np.mean(outputs >= 1 - _SATURATED)
    return "sigmoids" if at_0 and at_1 and at_0 + at_1 >= _CROWD else "undecided"


def stated_kind(stated: OutputKind | None, columns: int | None) -> OutputKind | None:
    """Return what a user's statement says of an output: the probability of one column is a sigmoid,
    however it is called.

    Args:
        stated: of `STATED_KINDS`, or None.
        columns: of the output; None for a continuous value.

    Returns:
        The kind, or None.
    """
    return "sigmoids" if stated == "probabilities" and columns == 1 else stated
