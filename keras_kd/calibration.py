"""One temperature that makes a classifier's probabilities mean what they say.

Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return T > 0 that minimises the mean negative log-likelihood of softmax(logits / T).

    Args:
        logits: float (N, C) of images that training has not seen.
        labels: int (N,) class numbers.
    """
    scores, rows = np.asarray(logits, np.float64), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(scores / np.exp(log_temperature), axis=1)[rows, labels].mean())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))


def probabilities(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return softmax(logits / T), float64 (N, C)."""
    return softmax(np.asarray(logits, np.float64) / temperature, axis=1)
