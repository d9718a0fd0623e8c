"""Temperature scaling against logits whose temperature is known."""

import numpy as np
import pytest

from keras_kd.errors import DataError, ModelError
from keras_kd.evaluation import calibration, metrics


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


def test_answers_that_are_all_right_or_all_by_chance_give_no_temperature() -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 1, (5_000, 3))
    for labels in (logits.argmax(axis=1), generator.integers(0, 3, 5_000)):
        with pytest.raises(
            DataError,
            match="No temperature from 0.05 to 20 fits the 5,000 images: .*; calibrate on more",
        ):
            calibration.temperature(4 * logits, labels)


def test_probabilities_divide_the_logits() -> None:
    np.testing.assert_allclose(calibration.probabilities(np.log([[1.0, 9.0]]), 2.0), [[0.25, 0.75]])


def test_logits_that_are_no_numbers_are_named_as_such() -> None:
    logits = np.zeros((5, 3))
    logits[2, 1] = np.nan
    with pytest.raises(ModelError, match="output for image 2 holds NaN or infinity"):
        calibration.temperature(logits, np.arange(5) % 3)
