"""Metrics of Keras that fit neither the labels nor logits are refused; those that fit are right."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from small_students import IMAGES, LABELS, compiled, linear

from keras_kd.errors import ConfigError, DataError

ROWS = keras.utils.to_categorical(LABELS, 3)


@pytest.mark.parametrize(
    ("metric", "labels", "words"),
    [
        ("categorical_accuracy", LABELS, "compares rows of shares, .*to_categorical.labels, 3"),
        ("top_k_categorical_accuracy", LABELS[:, None], "compares rows of shares"),
        (keras.metrics.F1Score(), LABELS, "f1_score compares rows of shares"),
        ("sparse_categorical_accuracy", ROWS, "compares class numbers.*labels.argmax"),
        ("sparse_categorical_crossentropy", LABELS, "made with from_logits=True"),
        (keras.metrics.CategoricalCrossentropy(), ROWS, "made with from_logits=True"),
        (keras.metrics.AUC(), ROWS, "made with from_logits=True"),
        (keras.metrics.Precision(), ROWS, "precision takes probabilities, .* keras.ops.softmax"),
        ("binary_accuracy", ROWS, "takes probabilities"),
        ("mse", LABELS, "takes probabilities"),
        (keras.metrics.F1Score(threshold=0.5), ROWS, "f1_score takes probabilities"),
        (keras.metrics.MeanIoU(3, name="iou"), LABELS, "iou .* sparse_y_pred=False"),
        (keras.losses.SparseCategoricalCrossentropy(), LABELS, "crossentropy is a loss"),
        (keras.losses.mean_absolute_error, ROWS, "mean_absolute_error is a loss"),
        ("poisson", LABELS, "takes probabilities"),
        (keras.metrics.AUC(from_logits=True), LABELS, "auc.* compares rows of shares"),
        (keras.metrics.Recall(top_k=1), LABELS, "recall.* compares rows of shares"),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_metric_that_does_not_fit_is_refused(metric, labels, words, weighted):
    given = {"weighted_metrics" if weighted else "metrics": [metric]}
    with pytest.raises(ConfigError, match=words) as caught:
        compiled(linear(), linear(1), **given).fit(IMAGES, labels, verbose=0)
    assert "\n" not in str(caught.value)


def test_validation_labels_of_another_form_are_refused():
    distiller = compiled(linear(), linear(1), metrics=["accuracy"])
    with pytest.raises(ConfigError, match="accuracy compares class numbers.*validation"):
        distiller.fit(IMAGES, LABELS, validation_data=(IMAGES, ROWS), verbose=0)


class RecallOfLogits(keras.metrics.Recall):
    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(y_true, keras.ops.softmax(y_pred), sample_weight)


def test_a_recall_of_the_largest_logit_or_by_ones_own_softmax_is_right():
    student = linear()
    logits = student.predict(IMAGES, verbose=0).astype(float)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = [keras.metrics.Recall(top_k=1, name="largest"), RecallOfLogits(name="half")]
    distiller = compiled(student, linear(1), metrics=given)
    found = distiller.evaluate(IMAGES, ROWS, verbose=0, return_dict=True)
    assert found["largest"] == pytest.approx((logits.argmax(axis=1) == LABELS).mean())
    own = shares[np.arange(len(LABELS)), LABELS]
    assert found["half"] == pytest.approx((own > 0.5).mean())


def test_metrics_that_fit_are_right():
    student = linear()
    logits = student.predict(IMAGES, verbose=0).astype(float)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = logits.argmax(axis=1) == LABELS
    entropy = -np.log(shares[np.arange(len(LABELS)), LABELS]).mean()
    for labels, metrics in (
        (LABELS, [keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="e")]),
        (ROWS, [keras.metrics.CategoricalCrossentropy(from_logits=True, name="e"), "acc"]),
    ):
        distiller = compiled(student, linear(1), metrics=[*metrics, "accuracy"])
        found = distiller.evaluate(IMAGES, labels, verbose=0, return_dict=True)
        assert found["e"] == pytest.approx(entropy, rel=1e-5)
        assert found["accuracy"] == pytest.approx(right.mean())


def test_images_without_labels_and_labels_of_pandas_are_refused():
    pandas = pytest.importorskip("pandas")
    with pytest.raises(DataError, match="no labels: .*keras.ops.softmax.teacher.predict"):
        compiled(linear(), linear(1)).fit(IMAGES, verbose=0)
    tf = pytest.importorskip("tensorflow")
    batches = tf.data.Dataset.from_tensor_slices(IMAGES).batch(4)
    with pytest.raises(DataError, match="no labels"):
        compiled(linear(), linear(1)).fit(batches, verbose=0)
    with pytest.raises(DataError, match="no images"):
        compiled(linear(), linear(1)).fit(IMAGES[:0], LABELS[:0], verbose=0)
    categories = pandas.Series(LABELS).astype("category")
    with pytest.raises(DataError, match="labels.cat.codes"):
        compiled(linear(), linear(1)).fit(IMAGES, categories, verbose=0)


def test_the_export_is_the_students(tmp_path):
    tf = pytest.importorskip("tensorflow")
    distiller = compiled(linear(), linear(1))
    distiller.fit(IMAGES, LABELS, verbose=0)
    distiller.export(tmp_path / "saved", verbose=False)
    saved = tf.saved_model.load(tmp_path / "saved")
    served = saved.serve(IMAGES)
    np.testing.assert_allclose(served, distiller.student.predict(IMAGES, verbose=0), atol=1e-5)
