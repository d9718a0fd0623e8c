"""Scores against scikit-learn, scipy, closed forms and figures worked out by hand."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from keras_kd.errors import DataError, ModelError
from keras_kd.evaluation import calibration, metrics
from keras_kd.evaluation.regression import Regression, regression

NAMES = ("angry", "happy", "sad", "neutral")


def _sample(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = random.choice(4, n, p=[0.5, 0.3, 0.15, 0.05])
    return random.normal(size=(n, 4)) + 1.5 * np.eye(4)[labels], labels


def test_classification_equals_scikit_learn() -> None:
    logits, labels = _sample()
    predicted = logits.argmax(axis=1)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = metrics.classification(logits, labels, NAMES)
    assert result["n"] == 400
    assert result["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert result["balanced_accuracy"] == pytest.approx(
        reference.balanced_accuracy_score(labels, predicted)
    )
    assert result["macro_f1"] == pytest.approx(
        reference.f1_score(labels, predicted, average="macro")
    )
    assert result["nll"] == pytest.approx(reference.log_loss(labels, probabilities))
    assert result["confusion"] == reference.confusion_matrix(labels, predicted).tolist()
    expected = dict(
        zip(NAMES, reference.recall_score(labels, predicted, average=None), strict=True)
    )
    assert result["recall"] == pytest.approx(expected)


def test_wilson_interval_equals_scipy() -> None:
    for right, n in ((0, 7), (7, 7), (2187, 3589), (1, 1)):
        interval = stats.binomtest(right, n).proportion_ci(method="wilson")
        assert metrics.wilson_interval(right, n) == pytest.approx(
            [interval.low, interval.high], abs=1e-12
        )


def test_figures_worked_out_by_hand() -> None:
    # Confidences 0.5, 0.8, 0.8, 0.8, of which the second and the fourth are right; rows: two a, one
    # b, one c.
    logits = np.log([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    labels = np.array([1, 0, 0, 2])
    labels[2] = 1
    result = metrics.classification(logits, labels, ("a", "b", "c"))
    assert result["confusion"] == [[1, 0, 0], [2, 0, 0], [0, 0, 1]]
    assert result["recall"] == {"a": 1.0, "b": 0.0, "c": 1.0}
    assert result["accuracy"] == 0.5
    assert result["balanced_accuracy"] == pytest.approx(2 / 3)
    assert result["macro_f1"] == pytest.approx((0.5 + 0 + 1) / 3)
    # Bin of 0.5: one of one wrong, gap 0.5; bin of 0.8: two of three right, gap 0.8 - 2/3.
    assert result["ece"] == pytest.approx(0.25 * 0.5 + 0.75 * (0.8 - 2 / 3))
    # A bin of variance 0.25 and one of 3 * 0.16, in which a normal deviate is off by this much.
    by_chance = (2 / np.pi) ** 0.5 * (0.25**0.5 + 0.48**0.5) / 4
    assert result["ece_by_chance"] == pytest.approx(by_chance)
    assert result["nll"] == pytest.approx(-np.log([0.3, 0.8, 0.1, 0.8]).mean())


def test_the_error_by_chance_is_that_of_labels_drawn_from_the_probabilities() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (1000, 7))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    errors = []
    for _ in range(50):
        labels = (shares.cumsum(axis=1) < random.random((1000, 1))).sum(axis=1)
        scores = metrics.classification(logits, labels, "abcdefg")
        errors.append(scores["ece"])
    assert scores["ece_by_chance"] == pytest.approx(np.mean(errors), rel=0.1)


def test_a_sure_model_that_is_wrong_has_ece_one_and_a_fair_coin_zero() -> None:
    sure = np.array([[1000.0, 0.0]] * 3)
    assert metrics.classification(sure, np.array([1, 1, 1]), "ab")["ece"] == 1.0
    assert metrics.classification(sure, np.array([1, 1, 1]), "ab")["nll"] == 1000.0
    assert metrics.classification(np.zeros((4, 2)), np.array([0, 1, 0, 1]), "ab")[
        "ece"
    ] == pytest.approx(0)


def test_bins_are_closed_above_and_keep_every_sample() -> None:
    logits, labels = _sample()
    curve = metrics.reliability(logits, labels)
    assert sum(curve["count"]) == 400
    for low, confidence, high in zip(curve["low"], curve["confidence"], curve["high"], strict=True):
        assert low < confidence <= high
    assert metrics.reliability(np.zeros((1, 2)), np.array([0]), bins=2)["high"] == [0.5]


def test_an_absent_class_has_no_recall_and_no_part_in_the_averages() -> None:
    logits = np.array([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0], [0, 2.0, 0]])
    result = metrics.classification(logits, np.array([0, 1, 1, 1]), ("a", "b", "absent"))
    assert result["recall"] == {"a": 1.0, "b": pytest.approx(2 / 3), "absent": None}
    assert result["balanced_accuracy"] == pytest.approx((1 + 2 / 3) / 2)
    assert result["macro_f1"] == pytest.approx((1 + 0.8) / 2)
    assert "NaN" not in json.dumps(result)


def test_shares_of_votes_count_by_their_majority_and_wholly_in_the_likelihood() -> None:
    logits = np.log([[0.5, 0.5], [0.1, 0.9]])
    shares = np.array([[0.2, 0.8], [0.0, 1.0]], np.float32)
    result = metrics.classification(logits, shares, "ab")
    assert result["confusion"] == [[0, 0], [1, 1]]
    assert result["nll"] == pytest.approx((np.log(2) - np.log(0.9)) / 2)


def test_what_does_not_fit_is_refused() -> None:
    logits, labels = _sample(10)
    with pytest.raises(DataError, match="10, 4.*9,"):
        metrics.classification(logits, labels[:9], NAMES)
    with pytest.raises(DataError, match=r"0\.\.3.*to 4"):
        metrics.classification(logits, labels * 0 + 4, NAMES)
    with pytest.raises(DataError, match="4 classes and the data 2"):
        metrics.classification(logits, labels, NAMES[:2])
    with pytest.raises(DataError, match="at least one"):
        metrics.classification(logits[:0], labels[:0], NAMES)
    logits[7, 1] = np.nan
    with pytest.raises(ModelError, match="image 7"):
        metrics.classification(logits, labels, NAMES)


def test_agreement_is_of_the_largest_logits() -> None:
    student = np.array([[1.0, 2.0], [3.0, 2.0], [0.0, 1.0], [5.0, 1.0]])
    teacher = np.array([[0.0, 9.0], [3.0, 2.9], [1.0, 0.0], [1.0, 0.0]])
    assert metrics.agreement(student, teacher) == 0.75
    with pytest.raises(DataError, match="equal shape"):
        metrics.agreement(student, teacher[:2])


def _values(n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    values = random.uniform(-1, 1, n)
    return values, 0.7 * values + random.normal(0.1, 0.5, n)


def _streamed(values: np.ndarray, predictions: np.ndarray, size: int) -> dict:
    regression = Regression()
    for start in range(0, len(values), size):
        regression.update(values[start : start + size], predictions[start : start + size])
    return regression.result()


@pytest.mark.parametrize("size", [1, 7, 64, 2000])
@pytest.mark.parametrize("ordered", [False, True])
def test_regression_over_batches_equals_the_whole_set(size: int, ordered: bool) -> None:
    values, predictions = _values()
    order = values.argsort() if ordered else slice(None)
    result = _streamed(values[order], predictions[order], size)
    predictions = predictions.clip(-1, 1)
    covariance = np.cov(values, predictions, ddof=0)
    offset = values.mean() - predictions.mean()
    assert result["ccc"] == pytest.approx(
        2 * covariance[0, 1] / (np.trace(covariance) + offset**2), rel=1e-12
    )
    assert result["pcc"] == pytest.approx(stats.pearsonr(values, predictions).statistic, rel=1e-12)
    assert result["rmse"] == pytest.approx(
        reference.root_mean_squared_error(values, predictions), rel=1e-12
    )
    assert result["sagr"] == pytest.approx(np.mean((values > 0) == (predictions > 0)))


def test_regression_by_hand_with_clipping_and_zero_as_a_sign() -> None:
    # Clipped predictions 1, 0, -1: the same as the values but for the middle one.
    result = _streamed(np.array([1.0, 0.5, -1.0]), np.array([3.0, 0.0, -1.0]), 2)
    assert result["sagr"] == pytest.approx(2 / 3)
    assert result["rmse"] == pytest.approx(np.sqrt(0.25 / 3))
    # Means 1/6 and 0; variances 13/18 and 2/3; covariance 2/3.
    assert result["ccc"] == pytest.approx((4 / 3) / (13 / 18 + 2 / 3 + 1 / 36))


def test_regression_keeps_its_digits_where_sums_of_squares_cancel() -> None:
    spread = np.tile([-1e-9, 1e-9], 500)
    result = _streamed(0.9 + spread, 0.9 + spread, 10)
    assert result["ccc"] == pytest.approx(1, abs=1e-6)
    assert result["pcc"] == pytest.approx(1, abs=1e-6)


def test_regression_without_spread_or_samples() -> None:
    constant = _streamed(np.array([0.1, 0.5]), np.array([0.25, 0.25]), 2)
    assert constant["pcc"] is None
    assert constant["ccc"] == 0
    assert _streamed(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 1)["ccc"] is None
    with pytest.raises(DataError, match="no values"):
        Regression().result()
    with pytest.raises(ModelError, match="not finite"):
        Regression().update(np.array([0.0]), np.array([np.nan]))


def test_steps_of_int8_do_not_hang_on_the_edges_of_bins() -> None:
    # 51/255 of 1 is 3/15 exactly: the edge belongs to the bin below, whichever way it was rounded.
    for nudge in (0.0, 1e-7, -1e-7):
        sure = np.float32([0.6 + nudge, 0.2, 0.2 - nudge])
        curve = metrics.reliability(np.log(sure)[None], np.array([0]))
        assert (curve["low"], curve["high"]) == ([pytest.approx(8 / 15)], [pytest.approx(9 / 15)])


def test_a_probability_of_one_lies_in_the_last_bin_with_others() -> None:
    # Mean probability .975 and accuracy 1/2 of one bin; two bins would give .525.
    outputs = np.log(np.float32([[0.95, 0.05], [1, 1e-30]]))
    result = metrics.classification(outputs, np.array([0, 1]), "ab")
    assert result["ece"] == pytest.approx(0.475, abs=1e-6)


def test_equal_highest_outputs_are_counted() -> None:
    outputs = np.log(np.float32([[0.5, 0.5, 1e-7], [0.5, 0.25, 0.25], [0.25, 0.25, 0.25]]))
    result = metrics.classification(outputs, np.array([0, 0, 1]), "abc")
    assert (result["ties"], result["ece_bins"]) == (2, 15)
    assert result["accuracy_interval_method"] == "Wilson, 95 %"


def test_kappa_is_agreement_beyond_chance() -> None:
    # Observed 3/4; by chance 3/4 * 2/4 + 1/4 * 2/4 = 1/2.
    logits = np.eye(2)[[0, 0, 1, 1]]
    assert metrics.classification(logits, np.array([0, 0, 0, 1]), "ab")[
        "cohen_kappa"
    ] == pytest.approx(0.5)
    assert metrics.classification(logits[:2], np.array([0, 0]), "ab")["cohen_kappa"] is None


@pytest.mark.parametrize("constant", [0.1, -1 / 3, 0.7])
def test_a_constant_correlates_with_nothing(constant: float) -> None:
    values = np.linspace(-1, 1, 999)
    same = np.full(999, np.float32(constant))
    for left, right in ((values, same), (same, values)):
        result = regression(left, right)
        assert result["pcc"] is None and result["ccc"] == 0
    assert regression(same, same)["ccc"] is None
    assert regression(same, np.clip(same + 0.1, -1, 1))["ccc"] == 0


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0.0, 1.0, 2.0], r"integer type, .*received float64 \(3,\)"),
        (["angry", "sad", "sad"], "integer type"),
        ([1, 2, 4], r"lie in 0\.\.3"),
        ([-1, 0, 2], r"lie in 0\.\.3"),
        ([[0], [1], [2]], r"labels \(3, 1\)"),
        ([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]], r"sample 0 are \[1, 1, 0, 0\]: .*sum to 1"),
        ([[1, 0, 0, 0], [1.5, -0.5, 0, 0], [0, 0, 1, 0]], r"sample 1 are \[1.5, -0.5.*below 0"),
    ],
)
def test_labels_that_stand_for_no_class_are_refused(labels: list, words: str) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 4))
    for score in (
        lambda: metrics.classification(logits, np.array(labels), NAMES),
        lambda: calibration.temperature(logits, np.array(labels)),
    ):
        with pytest.raises(DataError, match=words):
            score()


def test_values_outside_of_their_range_are_refused_and_not_clipped() -> None:
    ages = np.array([20.0, np.nan, 57.0])
    with pytest.raises(DataError, match=r"lie in -1\.\.1.*20 to 57"):
        regression(ages, ages)


def test_predictions_on_another_scale_are_warned_of():
    values = np.linspace(-1, 1, 101)
    with pytest.warns(UserWarning, match=r"valence: 99% of .* \(1 to 9\) and count as -1 or 1"):
        regression(values, 5 + 4 * values, "valence")
    with warnings.catch_warnings(action="error"):
        # A head without tanh passes 1 here and there.
        regression(values, 1.05 * values, "valence")
