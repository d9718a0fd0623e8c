"""Lin's concordance correlation as a Keras metric of the whole set, independent of the batches."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Concordance(keras.metrics.Metric):
    """2·cov / (var + var + (mean - mean)²) over all images, with predictions clipped to -1..1;
    NaN labels are left out.

    Lin 1989 ("A concordance correlation coefficient to evaluate reproducibility", Biometrics 45).
    Keras' own `ConcordanceCorrelation` averages over batches, which is another number: 0.007 on
    sorted data where 0.715 is right. This metric keeps sums, which several replicas add up; values
    within -1..1 lose no precision in them.
    """

    def __init__(self, name: str = "ccc") -> None:
        super().__init__(name=name)
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")
        self.sums = self.add_weight(shape=(2,), initializer="zeros", name="sums")
        self.products = self.add_weight(shape=(2, 2), initializer="zeros", name="products")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add a batch: values (N,) or (N, 1), predictions of the same size, and optional weights
        (N,).
        """
        values, predictions = (
            ops.reshape(ops.cast(part, "float32"), (-1,)) for part in (y_true, y_pred)
        )
        known = ops.logical_not(ops.isnan(values))
        weights = ops.cast(known, "float32")
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        pair = ops.stack([ops.where(known, values, 0.0), ops.clip(predictions, -1.0, 1.0)])
        self.count.assign_add(ops.sum(weights))
        self.sums.assign_add(ops.sum(pair * weights, axis=1))
        self.products.assign_add(ops.matmul(pair * weights, ops.transpose(pair)))

    def result(self) -> Any:
        """Return the concordance of all batches so far, float32 scalar; 0 if both sides are
        constant.
        """
        count = ops.maximum(self.count, 1e-7)
        means = self.sums / count
        moments = self.products / count - ops.outer(means, means)
        spread = moments[0, 0] + moments[1, 1] + (means[0] - means[1]) ** 2
        return 2 * moments[0, 1] / ops.maximum(spread, 1e-7)
