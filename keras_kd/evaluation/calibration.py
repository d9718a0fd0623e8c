"""Temperature scaling, which makes a classifier's probabilities agree with its accuracy.

Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks",
ICML 2017, section 4.2.
"""

from __future__ import annotations

import re

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from keras_kd.datasets import Samples
from keras_kd.errors import DataError, ModelError
from keras_kd.evaluation.metrics import hard_labels
from keras_kd.runtimes.predictors import Predictor, reordered

LOWEST, HIGHEST = 0.05, 20.0


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the T > 0 that minimises the mean negative log-likelihood of softmax(logits / T).

    Args:
        logits: float (N, C) of images that training has not seen.
        labels: int (N,) class numbers, or float (N, C) shares of votes, of which the largest
            counts.

    Returns:
        T, between 0.05 and 20.

    Raises:
        ModelError: a logit is NaN or infinite.
        DataError: labels don't fit the logits, or the best T is not within 0.05 and 20, e.g.
            because all predictions are right.
    """
    scores = np.asarray(logits, np.float64)
    labels = hard_labels(scores, np.asarray(labels))
    rows = np.arange(len(labels))

    # In the logarithm T stays above 0, and half and twice as much are equally far.
    def loss(log_temperature: float) -> float:
        return -float(log_softmax(scores / np.exp(log_temperature), axis=1)[rows, labels].mean())

    found = float(
        np.exp(minimize_scalar(loss, bounds=(np.log(LOWEST), np.log(HIGHEST)), method="bounded").x)
    )
    # At a bound the search found no minimum: likelihood still rises beyond it.
    all_right = (scores.argmax(axis=1) == labels).all()
    if all_right or not 1.01 * LOWEST < found < 0.99 * HIGHEST:
        raise DataError(
            f"No temperature from {LOWEST} to {HIGHEST:g} fits the {len(labels):,} images:"
            f" {_reason(all_right)}; calibrate on more and other images, or leave --calibrate out,"
            " which leaves the probabilities as they are."
        )
    return found


def _reason(all_right: bool) -> str:
    if all_right:
        return "all predictions are right, which tells nothing of how sure they should be"
    return "predictions are no better than by chance, or far too sure or unsure"


def statement(temperature: float, images: int) -> str:
    """Return the sentence by which an exported file states its calibration; `stated` reads it.

    Args:
        temperature: T.
        images: number of images that T was fitted on.

    Returns:
        The sentence.
    """
    return (
        f"Calibrated: the logits are divided by {temperature:.3f}, the temperature that fits"
        f" {images:,} validation images best."
    )


def stated(content: bytes) -> float | None:
    """Return the temperature stated in a file.

    Args:
        content: the bytes of the file.

    Returns:
        T; None if the file states none.
    """
    found = re.search(rb"Calibrated: the logits are divided by (\d{1,4}\.\d{3}),", content)
    return float(found.group(1)) if found else None


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return softmax(logits / T).

    Args:
        logits: float (N, C).
        temperature: T, above 0.

    Returns:
        float64 (N, C), rows sum to 1.
    """
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)


def fitted_temperature(predictor: Predictor, samples: Samples) -> float:
    """Return the temperature at which a model's probabilities fit the samples best, see
    `temperature`.

    Args:
        predictor: a model with classes. If it does not name them, the samples' classes in their
            order are assumed.
        samples: images that training has not seen.

    Returns:
        T, above 0.

    Raises:
        ModelError: the model has no classes, or lacks one of the samples'.
        DataError: no temperature fits.
    """
    if not predictor.tells_classes:
        raise ModelError("The model has no classes to calibrate: give a model with classes.")
    ordered = reordered(predictor, predictor.spec.class_names, samples.class_names)
    return temperature(ordered.logits(samples.images), samples.hard_labels)
