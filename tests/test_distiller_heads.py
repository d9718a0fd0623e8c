"""The Distiller with several heads and with feature maps, against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import log_softmax
from small_students import (
    IMAGES,
    LABELS,
    LOGITS,
    RANDOM,
    RATE,
    Count,
    compiled,
    expected_step,
    linear,
)

from keras_kd.distiller import Distiller, FeatureMatch
from keras_kd.errors import ConfigError, DataError, ModelError
from keras_kd.training.concordance import Concordance

VALUES = RANDOM.uniform(-1, 1, 24).astype(np.float32)
OF_TEACHER = np.clip(VALUES + RANDOM.normal(0, 0.9, 24), -1, 1).astype(np.float32)


def joint(seed=0):
    """Linear heads: three classes and one value, without biases."""
    image = keras.Input((4, 4, 1))
    x = layers.Flatten()(layers.Rescaling(1 / 255)(image))
    kernels = [
        keras.initializers.RandomNormal(stddev=0.3, seed=2 * seed + number) for number in range(2)
    ]
    heads = {
        "kind": layers.Dense(3, use_bias=False, kernel_initializer=kernels[0], name="kind")(x),
        "size": layers.Dense(1, use_bias=False, kernel_initializer=kernels[1], name="size")(x),
    }
    return keras.Model(image, heads)


def kernels(student):
    return [student.get_layer(name).get_weights()[0].astype(float) for name in ("kind", "size")]


Y = {"label": {"kind": LABELS, "size": VALUES}, "teacher": {"kind": LOGITS, "size": OF_TEACHER}}


def test_a_step_of_two_heads_is_the_one_of_their_formulas():
    student = joint()
    of_classes, of_value = kernels(student)
    hard, soft, after = expected_step(of_classes, LOGITS, 3.0, 0.15, 0.85)
    pixels = IMAGES.reshape(24, 16) / 255
    error = (pixels @ of_value)[:, 0] - VALUES
    bounded = error**2 + 0.05 > (OF_TEACHER - VALUES) ** 2
    assert 0 < bounded.sum() < 24
    distiller = compiled(student, value_weight=2.0, bound_weight=0.7, margin=0.05)
    logs = distiller.train_on_batch(IMAGES, Y, return_dict=True)
    squared, of_bound = (error**2).mean(), (error**2 * bounded).mean()
    assert logs["hard_loss"] == pytest.approx(hard + squared, rel=1e-5)
    assert logs["soft_loss"] == pytest.approx(soft + of_bound, rel=1e-5)
    assert logs["loss"] == pytest.approx(
        0.15 * hard + 0.85 * soft + 2 * (squared + 0.7 * of_bound), rel=1e-5
    )
    slope = 2 * 2 * error * (1 + 0.7 * bounded) / 24
    found = kernels(student)
    np.testing.assert_allclose(found[0], after, atol=1e-6)
    np.testing.assert_allclose(found[1], of_value - RATE * pixels.T @ slope[:, None], atol=1e-6)


@pytest.mark.parametrize(
    "y", [Y, {"label": Y["label"]}, Y["label"]], ids=["both", "label", "plain"]
)
def test_weights_by_head_of_arrays_are_each_heads_own(y):
    """Keras asks for weights in the structure of y, which has the teacher's outputs too."""
    weights = {"size": np.linspace(2, 0, 24), "kind": np.linspace(0, 1, 24)}
    student = joint()
    of_classes, of_value = (IMAGES.reshape(24, 16) / 255 @ one for one in kernels(student))
    rows = -log_softmax(of_classes, axis=1)[np.arange(24), LABELS]
    error = (of_value[:, 0] - VALUES) ** 2
    hard = (rows * weights["kind"]).mean() + (error * weights["size"]).mean()
    distiller = Distiller(student, alpha=1.0, beta=0.0, bound_weight=0.0)
    distiller.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    validation = (IMAGES, y, weights)
    history = distiller.fit(
        IMAGES, y, 24, verbose=0, sample_weight=weights, validation_data=validation
    ).history
    assert [history["loss"][0], history["val_loss"][0]] == pytest.approx([hard, hard], rel=1e-5)
    for given in (weights, {"label": weights}):
        found = distiller.evaluate(IMAGES, y, 24, verbose=0, sample_weight=given)
        assert found == pytest.approx(hard, rel=1e-5)
    with pytest.raises(DataError, match="by the heads kind, and the labels by kind, size: give"):
        distiller.fit(IMAGES, y, verbose=0, sample_weight={"kind": weights["kind"]})


def test_unknown_values_leave_the_mean():
    known = np.arange(24) % 3 > 0
    student = joint()
    of_classes, of_value = kernels(student)
    pixels = IMAGES.reshape(24, 16) / 255
    error = ((pixels @ of_value)[:, 0] - VALUES)[known]
    y = {"kind": LABELS, "size": np.where(known, VALUES, np.nan).astype(np.float32)}
    logs = compiled(student, beta=0.0, bound_weight=0.0).train_on_batch(IMAGES, y, return_dict=True)
    hard, _, after = expected_step(of_classes, LOGITS, 3.0, 0.15, 0.0)
    assert logs["loss"] == pytest.approx(0.15 * hard + (error**2).mean(), rel=1e-5)
    found = kernels(student)
    np.testing.assert_allclose(found[0], after, atol=1e-6)
    step = pixels[known].T @ (2 * error / known.sum())[:, None]
    np.testing.assert_allclose(found[1], of_value - RATE * step, atol=1e-6)
    scores = compiled(student).evaluate(IMAGES, y, verbose=0, return_dict=True)
    outputs = student.predict(IMAGES, verbose=0)
    entropy = -log_softmax(outputs["kind"].astype(float), -1)[np.arange(24), LABELS].mean()
    squared = (outputs["size"][:, 0] - VALUES)[known].astype(float) ** 2
    assert scores["loss"] == pytest.approx(entropy + squared.mean(), rel=1e-5)


def test_heads_train_alike_from_a_live_teacher_and_from_its_stored_outputs():
    ends = []
    for live in (True, False):
        student, teacher = joint(), joint(1)
        y = Y["label"] if live else {**Y, "teacher": teacher.predict(IMAGES, verbose=0)}
        distiller = compiled(student, teacher if live else None)
        history = distiller.fit(IMAGES, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        ends.append((history, kernels(student)))
    for name, values in ends[0][0].items():
        assert ends[1][0][name] == pytest.approx(values, rel=1e-5), name
    for live, stored in zip(ends[0][1], ends[1][1], strict=True):
        np.testing.assert_allclose(live, stored, atol=1e-6)


def test_a_head_that_the_teacher_lacks_learns_from_the_labels_alone():
    student = joint()
    _, of_value = kernels(student)
    pixels = IMAGES.reshape(24, 16) / 255
    error = (pixels @ of_value)[:, 0] - VALUES
    compiled(student).train_on_batch(IMAGES, {**Y, "teacher": {"kind": LOGITS}})
    np.testing.assert_allclose(
        kernels(student)[1], of_value - RATE * pixels.T @ (2 * error / 24)[:, None], atol=1e-6
    )


def test_evaluate_of_heads_gives_cross_entropy_and_squared_error():
    student = joint()
    metrics = {"kind": ["accuracy"], "size": [Concordance()]}
    distiller = compiled(student, metrics=metrics)
    before = student.get_weights()
    logs = distiller.evaluate(IMAGES, Y, batch_size=8, verbose=0, return_dict=True)
    outputs = student.predict(IMAGES, verbose=0)
    entropy = -(log_softmax(outputs["kind"].astype(float), -1)[np.arange(24), LABELS]).mean()
    found, y = outputs["size"][:, 0].astype(float), VALUES.astype(float)
    clipped = np.clip(found, -1, 1)
    concordance = (
        2
        * np.cov(y, clipped, bias=True)[0, 1]
        / (y.var() + clipped.var() + (y.mean() - clipped.mean()) ** 2)
    )
    assert logs["loss"] == pytest.approx(entropy + ((found - y) ** 2).mean(), rel=1e-5)
    assert logs["kind_accuracy"] == pytest.approx((outputs["kind"].argmax(-1) == LABELS).mean())
    assert logs["size_ccc"] == pytest.approx(concordance, abs=1e-5)
    assert all(
        np.array_equal(old, new) for old, new in zip(before, student.get_weights(), strict=True)
    )


def test_shake_shake_lies_between_its_terms_and_changes_from_step_to_step():
    student = joint()
    pixels = IMAGES.reshape(24, 16) / 255
    values = (pixels @ kernels(student)[1])[:, 0]
    covariance = np.cov(VALUES, values, bias=True)
    offset = VALUES.mean() - values.mean()
    terms = [
        ((values - VALUES) ** 2).mean(),
        1 - covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1]),
        1 - 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + offset**2),
    ]
    optimizer = keras.optimizers.SGD(0.0)
    distiller = compiled(
        student,
        optimizer=optimizer,
        beta=0.0,
        alpha=0.0,
        bound_weight=0.0,
        value_loss="shake-shake",
    )
    found = [distiller.train_on_batch(IMAGES, Y["label"], return_dict=True)["loss"]]
    for _ in range(4):
        distiller.reset_metrics()
        found.append(distiller.train_on_batch(IMAGES, Y["label"], return_dict=True)["loss"])
    assert all(min(terms) < loss < max(terms) for loss in found)
    assert len(set(found)) == 5


def convolved(seed, channels, count=False):
    image = keras.Input((4, 4, 1))
    x = layers.Rescaling(1 / 255)(image)
    x = Count(name="count")(x) if count else x
    x = layers.Conv2D(channels, 3, padding="same", name="maps")(x)
    model = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    drawn = np.random.default_rng(seed)  # the same on every backend, unlike Keras' initializers
    for variable in model.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(
                drawn.normal(0, (2 / np.prod(variable.shape[:-1])) ** 0.5, variable.shape)
            )
    return model


@pytest.mark.parametrize("kind", ["hint", "attention"])
def test_feature_maps_are_matched_in_one_pass_of_each_model(kind):
    student, teacher = convolved(0, 2, count=True), convolved(1, 5, count=True)
    match = FeatureMatch("maps", "maps", kind, weight=3.0)
    plain = compiled(convolved(0, 2), convolved(1, 5)).train_on_batch(
        IMAGES, LABELS, return_dict=True
    )
    optimizer = keras.optimizers.SGD(0.02)
    distiller = compiled(student, teacher, optimizer, features=[match], metrics=["accuracy"])
    size = len(student.weights)
    maps = [
        keras.Model(model.input, model.get_layer("maps").output).predict(IMAGES, verbose=0)
        for model in (student, teacher)
    ]
    counts = [model.get_layer("count") for model in (student, teacher)]
    if kind == "hint":
        kernel, bias = (np.asarray(weight) for weight in distiller.projections[0].weights)
        expected = ((maps[0] @ kernel[0, 0] + bias - maps[1]) ** 2).mean()
    else:
        energies = [(of.astype(float) ** 2).sum(-1).reshape(24, -1) for of in maps]
        unit = [energy / np.linalg.norm(energy, axis=-1, keepdims=True) for energy in energies]
        expected = ((unit[0] - unit[1]) ** 2).sum(-1).mean()
    logs = distiller.train_on_batch(IMAGES, LABELS, return_dict=True)
    assert logs["feature_loss"] == pytest.approx(3 * expected, rel=1e-4)
    assert logs["loss"] == pytest.approx(plain["loss"] + 3 * expected, rel=1e-4)
    # Before the first batch, the teacher was asked whether its outputs depend on the others.
    before = [count.calls for count in counts]
    distiller.train_on_batch(IMAGES, LABELS)
    assert [count.calls - one for count, one in zip(counts, before, strict=True)] == [1, 1]
    assert len(student.weights) == size  # The projection is not the student's.
    first = [np.asarray(weight).copy() for weight in distiller.trainable_variables]
    history = distiller.fit(IMAGES, LABELS, batch_size=8, epochs=6, verbose=0).history
    assert history["feature_loss"][-1] < 0.9 * history["feature_loss"][0]
    assert len(first) == len(student.trainable_variables) + (2 if kind == "hint" else 0)
    assert not any(
        np.array_equal(old, new)
        for old, new in zip(first, distiller.trainable_variables, strict=True)
    )
    assert distiller.predict(IMAGES, verbose=0).shape == (24, 3)
    assert set(distiller.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)) == {
        "loss",
        "accuracy",
    }


def test_mistakes_with_heads_and_features_are_told_in_one_sentence():
    with pytest.raises(
        ModelError, match="has a head 'size' but y has labels for kind only: add them."
    ):
        compiled(joint()).train_on_batch(
            IMAGES, {"label": {"kind": LABELS}, "teacher": Y["teacher"]}
        )
    with pytest.raises(
        ModelError,
        match="student gives a dict of kind, size, and the labels or the teacher give one array",
    ):
        compiled(joint(), linear(1)).train_on_batch(IMAGES, Y["label"])
    with pytest.raises(
        ModelError,
        match="student gives one array, and the labels or the teacher give a dict of kind, size",
    ):
        compiled(linear(), joint(1)).train_on_batch(IMAGES, LABELS)
    with pytest.raises(ModelError, match='dict of labels, .*y with stored outputs is {"label":'):
        compiled(linear()).train_on_batch(IMAGES, {"labels": LABELS, "teacher": LOGITS})
    with pytest.raises(ModelError, match="stored outputs are of Kind, and the student's heads are"):
        compiled(joint()).train_on_batch(IMAGES, {**Y, "teacher": {"Kind": LOGITS}})
    with pytest.raises(ModelError, match="no layer 'map' to match"):
        Distiller(convolved(0, 2), convolved(1, 5), features=[FeatureMatch("map", "maps")])
    with pytest.raises(ModelError, match="matched with those of a live teacher"):
        Distiller(convolved(0, 2), features=[FeatureMatch("maps", "maps")])
    with pytest.raises(ConfigError, match="soft_loss must be one of .*kl.*Received.*kullback"):
        Distiller(linear(), soft_loss="kullback")
    with pytest.raises(
        ConfigError, match="bound_weight must be 0 or more and finite. Received: bound_weight=-1"
    ):
        Distiller(joint(), bound_weight=-1)
