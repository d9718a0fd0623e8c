"""The streamed concordance against its formula in float64."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from keras_kd.training.concordance import Concordance

RANDOM = np.random.default_rng(0)
VALUES = np.sort(RANDOM.uniform(-1, 1, 1000)).astype(np.float32)
PREDICTIONS = np.clip(0.6 * VALUES + 0.1 + RANDOM.normal(0, 0.3, 1000), -1, 1).astype(np.float32)


def _formula(values: np.ndarray, predictions: np.ndarray) -> float:
    values, predictions = values.astype(float), predictions.astype(float)
    covariance = np.cov(values, predictions, bias=True)[0, 1]
    return (
        2
        * covariance
        / (values.var() + predictions.var() + (values.mean() - predictions.mean()) ** 2)
    )


def _streamed(metric: keras.metrics.Metric, batch: int) -> float:
    for start in range(0, len(VALUES), batch):
        metric.update_state(VALUES[start : start + batch], PREDICTIONS[start : start + batch, None])
    return float(metric.result())


@pytest.mark.parametrize("batch", [1, 32, 1000])
def test_batches_do_not_matter(batch: int) -> None:
    assert _streamed(Concordance(), batch) == pytest.approx(_formula(VALUES, PREDICTIONS), abs=1e-5)


def test_keras_own_is_another_number_on_sorted_data() -> None:
    own = keras.metrics.ConcordanceCorrelation()
    for start in range(0, len(VALUES), 32):
        own.update_state(VALUES[start : start + 32, None], PREDICTIONS[start : start + 32, None])
    assert abs(float(np.mean(own.result())) - _formula(VALUES, PREDICTIONS)) > 0.3


def test_unknown_values_and_zero_weights_are_left_out() -> None:
    values, weights = VALUES.copy(), np.ones(1000)
    values[::3], weights[1::3] = np.nan, 0
    metric = Concordance()
    metric.update_state(values, PREDICTIONS, weights)
    assert float(metric.result()) == pytest.approx(
        _formula(VALUES[2::3], PREDICTIONS[2::3]), abs=1e-5
    )


def test_predictions_are_clipped_and_constants_give_zero() -> None:
    metric = Concordance()
    metric.update_state(VALUES, 5 * np.sign(VALUES))
    assert float(metric.result()) == pytest.approx(_formula(VALUES, np.sign(VALUES)), abs=1e-5)
    metric.reset_state()
    metric.update_state(np.zeros(4), np.zeros(4))
    assert float(metric.result()) == 0
