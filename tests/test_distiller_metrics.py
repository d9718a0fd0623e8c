"""Metrics of Keras that fit neither the labels nor logits are refused; those that fit are right."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import log_softmax
from small_students import IMAGES, LABELS, WEIGHTS, compiled, linear
from test_distiller_heads import VALUES, joint

from keras_kd.distiller import DistillationOrientedSGD, Distiller
from keras_kd.errors import ConfigError, DataError

ROWS = keras.utils.to_categorical(LABELS, 3)


def wrapped(function, **settings):
    return keras.metrics.MeanMetricWrapper(function, name="mean", **settings)


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
        (keras.metrics.binary_accuracy, ROWS, "binary_accuracy takes probabilities"),
        (wrapped(keras.metrics.sparse_categorical_crossentropy), LABELS, "from_logits=True"),
        (wrapped(keras.losses.CategoricalCrossentropy()), ROWS, "from_logits=True"),
        (wrapped(keras.losses.huber), ROWS, "takes probabilities"),
        (wrapped(keras.metrics.categorical_accuracy), LABELS, "compares rows of shares"),
        (keras.metrics.OneHotMeanIoU(3), LABELS, "compares rows of shares"),
        (keras.metrics.MeanIoU(3, sparse_y_pred=False, name="iou"), ROWS, "compares class numbers"),
        (keras.metrics.BinaryIoU(), ROWS, "takes probabilities"),
        (keras.metrics.CategoricalHinge(), LABELS, "compares rows of shares"),
    ],
)
@pytest.mark.parametrize(("kind", "entry"), [("metrics", "fit"), ("weighted_metrics", "evaluate")])
def test_a_metric_that_does_not_fit_is_refused(metric, labels, words, kind, entry):
    """By both entries: `evaluate` traces no gradients, which takes half of the time of `fit`."""
    with pytest.raises(ConfigError, match=words) as caught:
        getattr(compiled(linear(), linear(1), **{kind: [metric]}), entry)(IMAGES, labels, verbose=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "entry"), [("metrics", "evaluate"), ("weighted_metrics", "fit")])
def test_each_entry_refuses_metrics_of_either_kind(kind, entry):
    distiller = compiled(linear(), linear(1), **{kind: [keras.metrics.Precision()]})
    with pytest.raises(ConfigError, match="takes probabilities"):
        getattr(distiller, entry)(IMAGES, ROWS, verbose=0)


@pytest.mark.parametrize("optimizer", ["sgd", DistillationOrientedSGD()])
def test_a_metric_is_refused_before_the_first_step_in_eager_mode(optimizer):
    student = linear()
    before = student.get_weights()
    distiller = Distiller(student, linear(1))
    distiller.compile(optimizer, metrics=["categorical_accuracy"], run_eagerly=True)
    with pytest.raises(ConfigError, match="compares rows of shares"):
        distiller.train_on_batch(IMAGES, LABELS)
    np.testing.assert_array_equal(student.get_weights()[0], before[0])


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
    function = keras.metrics.sparse_categorical_crossentropy
    for labels, metrics in (
        (LABELS, [keras.metrics.MeanMetricWrapper(function, name="e", from_logits=True)]),
        (LABELS, [keras.metrics.MeanMetricWrapper(lambda y, z: function(y, z, True), name="e")]),
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
    stored = {"teacher": np.zeros((len(IMAGES), 3))}
    for data in ((IMAGES, stored), (tf.data.Dataset.from_tensors((IMAGES, stored)),)):
        with pytest.raises(DataError, match="no labels"):
            compiled(linear()).fit(*data, verbose=0)
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


def test_metrics_of_heads_are_looked_at_and_right():
    student = joint()
    logits = student.predict(IMAGES, verbose=0)
    y = {"kind": LABELS, "size": VALUES}
    plain = {"alpha": 1.0, "beta": 0.0, "bound_weight": 0.0}
    for wrong in (keras.metrics.SparseCategoricalCrossentropy(), keras.metrics.AUC(), "precision"):
        for given in ({"kind": [wrong], "size": ["mae"]}, [[wrong], ["mae"]]):
            distiller = compiled(student, **plain, metrics=given)
            with pytest.raises(ConfigError, match="of head 'kind' takes probabilities"):
                distiller.fit(IMAGES, y, verbose=0)
    with pytest.raises(ConfigError, match="is a loss"):
        compiled(student, metrics={"kind": keras.losses.SparseCategoricalCrossentropy()})
    for unknown in ({"sort": "accuracy"}, ["accuracy"]):
        with pytest.raises(ConfigError, match="dict by head, e.g. {'kind': .'accuracy'.}"):
            compiled(student, metrics=unknown)
    right = keras.metrics.SparseCategoricalCrossentropy(from_logits=True, name="xe")
    distiller = compiled(student, **plain, metrics={"kind": [right, "accuracy"], "size": "mae"})
    found = distiller.evaluate(IMAGES, y, verbose=0, return_dict=True)
    entropy = -log_softmax(logits["kind"].astype(float), -1)[np.arange(24), LABELS].mean()
    assert found["kind_xe"] == pytest.approx(entropy, rel=1e-5)
    assert found["kind_accuracy"] == pytest.approx((logits["kind"].argmax(-1) == LABELS).mean())
    error = np.abs(logits["size"][:, 0] - VALUES)
    assert found["size_mae"] == pytest.approx(error.mean(), rel=1e-5)
    weighted = {"kind": [], "size": "mae"}
    distiller = compiled(student, **plain, metrics=weighted, weighted_metrics=weighted)
    for weights, expected in (
        ({"kind": WEIGHTS}, error.mean()),
        ({"size": WEIGHTS}, np.average(error, weights=WEIGHTS)),
    ):
        logs = distiller.test_on_batch(IMAGES, y, sample_weight=weights, return_dict=True)
        assert float(logs["size_weighted_mae"]) == pytest.approx(expected, rel=1e-5)
        distiller.reset_metrics()


def test_unknown_values_are_left_out_of_metrics_too():
    known, values = np.arange(24) % 5 != 0, VALUES.copy()
    values[~known] = np.nan
    given = ["mae", keras.metrics.RootMeanSquaredError(name="rmse")]
    distiller = compiled(
        linear(classes=1), binary=[], bound_weight=0.0, metrics=given, weighted_metrics=["mse"]
    )
    error = distiller.student.predict(IMAGES, verbose=0)[:, 0] - VALUES
    for labels in (values, values[:, None]):
        found = distiller.evaluate(
            IMAGES, labels, sample_weight=WEIGHTS, batch_size=7, verbose=0, return_dict=True
        )
        assert found["mae"] == pytest.approx(np.abs(error[known]).mean(), rel=1e-5)
        assert found["rmse"] == pytest.approx(np.sqrt((error[known] ** 2).mean()), rel=1e-5)
        weighted = np.average(error[known] ** 2, weights=WEIGHTS[known])
        assert found["mse"] == pytest.approx(weighted, rel=1e-5)


def test_metrics_of_one_logit_see_its_sigmoid_and_the_class_of_rows():
    student, yes = linear(classes=1), LABELS > 0
    logits = student.predict(IMAGES, verbose=0)[:, 0].astype(float)
    student.layers[-1].bias.assign([-np.median(logits)])
    logits -= np.median(logits)
    share = 1 / (1 + np.exp(-logits))
    given = [
        "accuracy",
        keras.metrics.BinaryCrossentropy(name="xe"),
        keras.metrics.Recall(name="r"),
    ]
    distiller = compiled(student, alpha=1.0, beta=0.0, metrics=given)
    rows = np.where(np.stack([~yes, yes], 1), 0.9, 0.1)
    of_two = np.stack([~yes, yes], 1).astype("float32")
    for labels in (of_two, rows, yes[:, None].astype(int), yes.astype("uint8")):
        found = distiller.evaluate(IMAGES, labels, verbose=0, return_dict=True)
        assert found["accuracy"] == pytest.approx(((logits > 0) == yes).mean())
        entropy = -np.log(np.where(yes, share, 1 - share)).mean()
        assert found["xe"] == pytest.approx(entropy, rel=1e-4)
        assert found["r"] == pytest.approx((logits > 0)[yes].mean())
    for wrong, words in (
        (keras.metrics.BinaryAccuracy(threshold=0.0), "the threshold 0.5 for a logit of 0"),
        (keras.metrics.Precision(thresholds=[0.0]), "the threshold 0.5"),
        (keras.metrics.BinaryCrossentropy(from_logits=True), "make it without from_logits"),
        (keras.losses.BinaryCrossentropy(from_logits=True), "make it without from_logits"),
        (keras.metrics.CategoricalAccuracy(), "compares columns"),
        (keras.metrics.MeanIoU(2), "compares columns"),
    ):
        distiller = compiled(student, alpha=1.0, beta=0.0, metrics=[wrong])
        with pytest.raises(ConfigError, match=words):
            distiller.evaluate(IMAGES, yes.astype(int)[:, None], verbose=0)


def test_weighted_metrics_count_fits_class_weight_as_keras_does():
    keras_own = linear()
    keras_own.compile(
        keras.optimizers.SGD(0.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=["accuracy"],
    )
    distiller = compiled(
        linear(), linear(1), keras.optimizers.SGD(0.0), weighted_metrics=["accuracy"]
    )
    right = linear().predict(IMAGES, verbose=0).argmax(-1) == LABELS
    for weights in (None, WEIGHTS):
        options = {"class_weight": {0: 3.0}, "sample_weight": weights, "verbose": 0}
        options["validation_data"] = (IMAGES, LABELS)
        each = np.where(LABELS == 0, 3.0, 1.0) * (1.0 if weights is None else weights)
        # Keras takes only one of the two.
        for model in (distiller, keras_own) if weights is None else (distiller,):
            logs = model.fit(IMAGES, LABELS, **options).history
            name = next(name for name in logs if name.endswith("accuracy") and "val" not in name)
            assert logs[name] == pytest.approx([np.average(right, weights=each)], rel=1e-5)
            assert logs[f"val_{name}"] == pytest.approx([right.mean()], rel=1e-5)
