"""Metrics over a whole set of samples, in numpy and scikit-learn. Shares are 0..1, and nothing is
averaged over batches.

A class without samples has no recall: its recall is None, and it is left out of every average over
classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_kd._common.shares import are_shares, wrong
from keras_kd.errors import DataError, ModelError

BINS = 15
EDGE_DECIMALS = 4  # of a bin, to which a confidence counts as lying on its edge
INTERVAL = "Wilson, 95 %"
_Z_95 = 1.959963984540054  # the standard normal's 97.5 % quantile


def classification(
    logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]
) -> dict[str, Any]:
    """Score logits against labels; all values can be written as JSON.

    Args:
        logits: float (N, C), before the softmax.
        labels: int (N,) class numbers, or float (N, C) shares of votes that sum to 1. The class
            with most votes (the first of equals) is used for all metrics but `nll`, which uses the
            shares.
        class_names: the C names.

    Returns:
        n: number of samples.
        accuracy, accuracy_interval: share of right predictions and its 95 % interval [low, high]
            (Wilson 1927).
        accuracy_interval_method: "Wilson, 95 %".
        balanced_accuracy: mean recall of the classes that occur in the labels (unweighted average
            recall, UAR).
        macro_f1: mean F1 of the classes that occur in the labels; 0 for one that is never
            predicted.
        recall: {class name: share of its samples predicted right, or None if it has none}.
        ece: expected calibration error of the top class over 15 equal bins (Guo et al. 2017,
            equation 3).
        ece_by_chance: the ECE to be expected on so many samples of probabilities that are exactly
            right, because the share of right ones in a bin varies. A normal distribution stands
            for that of each bin, whose mean deviation is √(2/π) of the standard deviation.
        ece_bins: number of these bins.
        ties: number of samples whose highest logit is shared by several classes, as the steps of
            int8 cause; the first of these classes is the prediction.
        cohen_kappa: agreement with the labels beyond chance (Cohen 1960); None if all labels and
            predictions are one class.
        nll: mean negative log-likelihood in nats.
        confusion: C lists of C counts, one row for each true class, one column for each predicted
            class.

    Raises:
        DataError: there are no samples, or labels and class names do not fit the logits.
        ModelError: a logit is not finite.
    """
    # Imported here, as a prediction needs no scores and the import takes longer.
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    logits, labels = np.asarray(logits), np.asarray(labels)
    hard = hard_labels(logits, labels)
    classes = np.arange(logits.shape[1])
    if len(class_names) != len(classes):
        raise DataError(
            f"The model has {len(classes)} classes and the data {len(class_names)}: give a model of"
            " the data's classes."
        )
    predicted = logits.argmax(axis=1)
    scores = precision_recall_fscore_support(hard, predicted, labels=classes, zero_division=0)
    recall, f1, present = scores[1], scores[2], scores[3] > 0
    right = int((predicted == hard).sum())
    curve = reliability(logits, labels)
    gaps = np.abs(np.subtract(curve["accuracy"], curve["confidence"]))
    return {
        "n": len(hard),
        "accuracy": right / len(hard),
        "accuracy_interval": wilson_interval(right, len(hard)),
        "accuracy_interval_method": INTERVAL,
        "balanced_accuracy": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "recall": {
            str(name): float(recall[k]) if present[k] else None
            for k, name in enumerate(class_names)
        },
        # Equation 3: each bin counts by its samples.
        "ece": float(np.average(gaps, weights=curve["count"])),
        "ece_by_chance": sum(math.sqrt(2 / math.pi * one) for one in curve["variance"]) / len(hard),
        "ece_bins": BINS,
        "ties": int(((logits == logits.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum()),
        "cohen_kappa": _kappa(hard, predicted),
        "nll": _negative_log_likelihood(logits, labels),
        "confusion": confusion_matrix(hard, predicted, labels=classes).tolist(),
    }


def agreement(student_logits: np.ndarray, teacher_logits: np.ndarray) -> float:
    """Return the share of images on which student and teacher predict the same class.

    Args:
        student_logits: float (N, C).
        teacher_logits: float (N, C).

    Returns:
        The share, 0..1.
    """
    if student_logits.shape != teacher_logits.shape or not len(student_logits):
        raise DataError(
            "Agreement needs logits of equal shape and at least one row: "
            f"received {student_logits.shape} and {teacher_logits.shape}."
        )
    return float((student_logits.argmax(axis=1) == teacher_logits.argmax(axis=1)).mean())


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> dict[str, list]:
    """Group the predictions by the probability of the top class: the points of a reliability
    diagram.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equations 1 and 2; bin m is
    ((m-1)/bins, m/bins].

    Args:
        logits: float (N, C).
        labels: as for `classification`.
        bins: number of bins.

    Returns:
        Lists with one entry for each bin that holds a sample: its edges `low` and `high`, the
            `count` of samples, their mean `confidence` and their `accuracy` (these four in 0..1),
            and the `variance` of the number of right ones if each confidence were exactly right.
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    right = logits.argmax(axis=1) == hard_labels(logits, labels)
    confidence = np.exp(_log_softmax(logits).max(axis=1))
    # Steps of int8 lie on edges of bins, from which rounding would move them either way.
    number = np.clip(
        np.ceil(np.round(confidence * bins, EDGE_DECIMALS)).astype(int) - 1, 0, bins - 1
    )
    filled, index, count = np.unique(number, return_inverse=True, return_counts=True)
    return {
        "low": (filled / bins).tolist(),
        "high": ((filled + 1) / bins).tolist(),
        "count": count.tolist(),
        "confidence": (np.bincount(index, confidence) / count).tolist(),
        "accuracy": (np.bincount(index, right) / count).tolist(),
        "variance": np.bincount(index, confidence * (1 - confidence)).tolist(),
    }


def wilson_interval(right: int, n: int) -> list[float]:
    """Return the 95 % score interval of a share.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference", JASA
    22(158).

    Args:
        right: number of right predictions.
        n: number of predictions, above 0.

    Returns:
        [low, high], in 0..1.
    """
    share, spread = right / n, _Z_95**2 / n
    middle = share + spread / 2
    half = math.sqrt(spread * share * (1 - share) + spread**2 / 4)
    # Rounding can lead just past 0 and 1.
    return [max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))]


def _kappa(hard: np.ndarray, predicted: np.ndarray) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    # With one class chance agrees wholly too: kappa is 0/0.
    several = len(np.union1d(hard, predicted)) > 1
    return float(cohen_kappa_score(hard, predicted)) if several else None


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    # Shifted below 0, where exp can't overflow.
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _negative_log_likelihood(logits: np.ndarray, labels: np.ndarray) -> float:
    log_probabilities = _log_softmax(logits)
    if labels.ndim == 1:
        return float(-log_probabilities[np.arange(len(labels)), labels].mean())
    return float(-(labels * log_probabilities).sum(axis=1).mean())


def require_finite(logits: np.ndarray) -> None:
    """Check that a model's logits are finite.

    Args:
        logits: float (N, C).

    Raises:
        ModelError: a logit is NaN or infinite. The message names the image.
    """
    if not np.isfinite(logits).all():
        row = int(np.flatnonzero(~np.isfinite(logits).all(axis=1))[0])
        raise ModelError(
            f"The model's output for image {row} holds NaN or infinity: the model is broken, train"
            " it again."
        )


def hard_labels(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Check that logits and labels belong together.

    Args:
        logits: float (N, C).
        labels: as for `classification`.

    Returns:
        int (N,) class numbers.

    Raises:
        DataError: they don't.
        ModelError: a logit is not finite.
    """
    if logits.ndim != 2 or not len(logits) or labels.shape not in (logits.shape[:1], logits.shape):
        raise DataError(
            "Expected logits (samples, classes) with at least one sample and a label for each: "
            f"received logits {logits.shape} and labels {labels.shape}."
        )
    require_finite(logits)
    if labels.dtype.kind not in ("iu" if labels.ndim == 1 else "iuf"):
        raise DataError(
            "Labels must be class numbers of an integer type, (samples,), or shares of votes,"
            f" (samples, classes): received {labels.dtype} {labels.shape}."
        )
    if labels.ndim == 2 and not (fit := are_shares(labels)).all():
        row = int(fit.argmin())
        raise DataError(f"The labels of sample {row} {wrong(labels[row])}")
    hard = labels if labels.ndim == 1 else labels.argmax(axis=1)
    if hard.min() < 0 or hard.max() >= logits.shape[1]:
        raise DataError(
            f"Labels must lie in 0..{logits.shape[1] - 1}, one for each logit: received"
            f" {hard.min()} to {hard.max()}."
        )
    return hard
