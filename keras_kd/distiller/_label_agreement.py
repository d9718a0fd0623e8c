"""Tells of teachers that have nothing to do with the labels, as where classes, or the images of
stored outputs, are in another order.
"""

from __future__ import annotations

import math

import numpy as np

from keras_kd._common.user_warnings import warn
from keras_kd.distiller._same_answers import FEWEST

_MOST = 4096  # rows that are compared, but no fewer than FEWEST images of maps
_DEVIATIONS = 2  # above chance, which one teacher in 40 without any relation to the labels exceeds


def compared(images: int, pixels: int) -> int:
    """Return how many of N images are compared, whose maps may not all fit into memory at once.

    Args:
        images: N.
        pixels: that have a label each, of one image; 1 where the image has one.
    """
    return min(images, max(FEWEST, _MOST // pixels))


def warn_of_chance(
    labels: np.ndarray, logits: np.ndarray, name: str, rows: str, whose: str, advice: str
) -> None:
    """Warn where a teacher's classes are the labels no more often than chance has it.

    By chance they are with the probability e = Σ_c p(label is c)·p(answer is c), within
    ± sqrt(e·(1 - e) / R).

    Args:
        labels: class numbers (R,), or shares (R, C).
        logits: (R, C), of the same rows.
        name: the head's.
        rows: what has a label each, "images" or "pixels".
        whose: the teacher, as the beginning of a sentence.
        advice: the end of that sentence.
    """
    numbers = labels.argmax(axis=-1) if labels.ndim == 2 else labels.astype(int)
    answers, (count, classes) = logits.argmax(axis=-1), logits.shape
    shares = [np.bincount(given, minlength=classes) / count for given in (numbers, answers)]
    # Of one class, labels stand for none, and a teacher is told of elsewhere.
    if count < FEWEST or any(share.max() == 1 for share in shares):
        return
    chance, right = float(shares[0] @ shares[1]), float((numbers == answers).mean())
    if right <= chance + _DEVIATIONS * math.sqrt(chance * (1 - chance) / count):
        warn(
            f"{whose} chooses the labels' class{f' in head {name!r}' if name else ''} for"
            f" {right:.0%} of {count:,} {rows}, and chance would for {chance:.0%}: {advice}."
        )
