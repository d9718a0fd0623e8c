"""Scores of continuous values, as valence and arousal."""

from __future__ import annotations

import math

import numpy as np

from keras_kd._common.user_warnings import warn
from keras_kd.errors import DataError, ModelError

MOST_BEYOND = 0.1  # share of predictions beyond -1..1 that a model of that scale may have


class Regression:
    """Scores of one continuous value (valence, arousal) over all batches, as if computed over the
    whole set at once.

    Values lie in -1..1, and predictions are clipped to it. Means, squared deviations and the
    co-deviation are merged batch by batch in float64 (Chan, Golub and LeVeque 1983), which is
    stable where sums of squares cancel.
    """

    def __init__(self) -> None:
        self._count = 0
        self._mean = np.zeros(2)
        self._deviation = np.zeros((2, 2))
        self._squared_error = 0.0
        self._low, self._high = np.full(2, np.inf), np.full(2, -np.inf)
        self._equal_signs = 0

    def update(self, values: np.ndarray, predictions: np.ndarray) -> None:
        """Add one batch: finite true values in -1..1 and predictions, both float with N elements.

        Raises:
            DataError: a true value lies elsewhere.
            ModelError: a value or a prediction is not finite.
        """
        if (np.abs(values) > 1).any():
            raise DataError(
                "Continuous values must lie in -1..1, as valence and arousal do: scale them."
                f" Received: {np.min(values):g} to {np.max(values):g}."
            )
        pair = np.stack([np.ravel(values), np.clip(np.ravel(predictions), -1, 1)]).astype(
            np.float64
        )
        if not np.isfinite(pair).all():
            raise ModelError(
                "A value or a prediction is not finite: the model or its targets are broken."
            )
        count = pair.shape[1]
        if not count:
            return
        self._low = np.minimum(self._low, pair.min(axis=1))
        self._high = np.maximum(self._high, pair.max(axis=1))
        mean = pair.mean(axis=1)
        centred = pair - mean[:, None]
        step, total = mean - self._mean, self._count + count
        self._deviation += centred @ centred.T + np.outer(step, step) * (
            self._count * count / total
        )
        self._mean += step * (count / total)
        self._count = total
        self._squared_error += float(((pair[0] - pair[1]) ** 2).sum())
        self._equal_signs += int((np.sign(pair[0]) == np.sign(pair[1])).sum())

    def result(self) -> dict[str, float | None]:
        """Return the scores of all batches so far, with the population deviation (divided by N).

        Returns:
            ccc: concordance correlation, 2·cov / (var + var + (mean - mean)²) (Lin 1989); None if
                both sides are constant and equal.
            pcc: Pearson's correlation; None if either side is constant.
            rmse: root of the mean squared error.
            sagr: share of equal signs, where 0 is a sign of its own (Nicolaou et al. 2011).

        Raises:
            DataError: there is no sample.
        """
        if not self._count:
            raise DataError(
                "There are no values to score: the data set has no rows with continuous targets."
            )
        # The deviations of a constant are not 0 but what rounding left of it.
        varies = self._high > self._low
        scale = np.outer(varies, varies)
        deviation = np.where(scale, self._deviation / self._count, 0.0)
        (variance, covariance), (_, predicted_variance) = deviation
        offset = (self._mean if varies.any() else self._low) @ np.array([1, -1])
        return {
            "ccc": _ratio(2 * covariance, variance + predicted_variance + offset**2),
            "pcc": _ratio(covariance, math.sqrt(variance) * math.sqrt(predicted_variance)),
            "rmse": math.sqrt(self._squared_error / self._count),
            "sagr": self._equal_signs / self._count,
        }


def regression(
    values: np.ndarray, predictions: np.ndarray, name: str = "The value"
) -> dict[str, float | None]:
    """Score one continuous value at once; warn of predictions on another scale.

    Args:
        values: true values, float (N,) in -1..1; rows with NaN are left out.
        predictions: float (N,).
        name: what a warning calls the value.

    Returns:
        n, the number of rows with a value, and the scores of `Regression.result`.

    Raises:
        DataError: no row has a value, or one lies outside of -1..1.
        ModelError: a prediction is not finite.
    """
    known = ~np.isnan(values)
    beyond = np.abs(predictions[known]) > 1
    if known.any() and beyond.mean() > MOST_BEYOND:
        warn(
            f"{name}: {beyond.mean():.0%} of the predictions lie beyond -1..1"
            f" ({predictions[known].min():g} to {predictions[known].max():g}) and count as -1 or 1:"
            " if the model has another scale, as 1 to 9, these scores say nothing of it."
        )
    scores = Regression()
    scores.update(values[known], predictions[known])
    return {"n": int(known.sum()), **scores.result()}


def _ratio(numerator: float, denominator: float) -> float | None:
    return float(numerator / denominator) if denominator else None
