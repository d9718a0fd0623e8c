"""Temperature scaling against logits whose temperature is known."""

import numpy as np
import pytest

from keras_kd import calibration, metrics


def test_the_temperature_of_overconfident_logits_is_found() -> None:
    generator = np.random.default_rng(0)
    true = generator.normal(0, 1.5, (40_000, 5))
    noise = generator.gumbel(size=true.shape)
    # Labels drawn from softmax(true), by the Gumbel-max trick.
    labels = (true + noise).argmax(axis=1)
    assert calibration.temperature(2.5 * true, labels) == pytest.approx(2.5, rel=0.02)
    assert calibration.temperature(0.4 * true, labels) == pytest.approx(0.4, rel=0.02)


def test_calibrated_probabilities_are_as_often_right_as_they_say() -> None:
    generator = np.random.default_rng(1)
    true = generator.normal(0, 1.5, (20_000, 4))
    labels = (true + generator.gumbel(size=true.shape)).argmax(axis=1)
    names = tuple("abcd")
    logits = 3 * true
    found = calibration.temperature(logits, labels)
    before = metrics.classification(logits, labels, names)["ece"]
    after = metrics.classification(logits / found, labels, names)["ece"]
    assert before > 0.1 and after < 0.015


def test_probabilities_divide_the_logits() -> None:
    np.testing.assert_allclose(calibration.probabilities(np.log([[1.0, 9.0]]), 2.0), [[0.25, 0.75]])
