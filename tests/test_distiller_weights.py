"""Weights of images and of classes that a Distiller takes, or refuses in one sentence."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr, softmax
from small_students import IMAGES, LABELS, LOGITS, WEIGHTS, compiled, expected_step, linear
from test_distiller_entries import first_step, refusal
from test_distiller_heads import VALUES, joint

from keras_kd.distiller import Distiller
from keras_kd.errors import ConfigError, DataError


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_sample_weights_that_make_no_loss_are_refused_by_the_row(bad):
    weights = np.where(np.arange(24) == 13, bad, WEIGHTS)
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    before = distiller.student.get_weights()[0].copy()
    facts = (f"The sample_weight in row 13 is {bad:g}", "0 or more", "1 of 24")
    given = {"sample_weight": weights}
    for call in (
        lambda: distiller.fit(IMAGES, LABELS, **given, verbose=0),
        lambda: distiller.fit(IMAGES, LABELS, sample_weight=weights[:, None], verbose=0),
        lambda: distiller.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS, weights), verbose=0),
        lambda: distiller.train_on_batch(IMAGES, LABELS, weights),
        lambda: distiller.evaluate(IMAGES, LABELS, **given, verbose=0),
        lambda: distiller.test_on_batch(IMAGES, LABELS, **given),
    ):
        refusal(call, DataError, *facts)
    np.testing.assert_array_equal(distiller.student.get_weights()[0], before)

    def batches():
        while True:
            for start in range(0, 24, 8):
                batch = slice(start, start + 8)
                yield IMAGES[batch], LABELS[batch], weights[batch]

    of = "row 13 of" if keras.backend.backend() == "tensorflow" else "The sample_weight in row"
    facts = (of, f"is {bad:g}", "0 or more")
    refusal(lambda: distiller.evaluate(batches(), steps=3, verbose=0), DataError, *facts)
    refusal(lambda: distiller.fit(batches(), steps_per_epoch=3, verbose=0), DataError, *facts)


def test_a_sample_weight_of_one_of_several_heads_is_refused_by_its_name():
    weights = {"kind": WEIGHTS, "size": np.where(np.arange(24) == 4, np.nan, WEIGHTS)}
    labels = {"kind": LABELS, "size": VALUES}
    distiller = compiled(joint(), beta=0.0, bound_weight=0)
    refusal(
        lambda: distiller.train_on_batch(IMAGES, labels, weights),
        DataError,
        "The sample_weight of head 'size' in row 4 is nan",
    )


@pytest.mark.parametrize(
    ("weights", "facts"),
    [
        (WEIGHTS.tolist(), ("sample weights are a list of 24", "numpy.array")),
        (WEIGHTS[:7], ("24 images and 7 sample weights", "one for each image")),
        ({"kind": WEIGHTS[:7], "size": WEIGHTS}, ("7 sample weights of head 'kind'",)),
        (np.float32(2), ("one number", "(N,)")),
        ({"kind": WEIGHTS.tolist()}, ("weights of head 'kind' are a list of 24", "numpy.array")),
        ({"knd": WEIGHTS}, ("for knd", "heads kind, size", "(N,)")),
    ],
)
def test_sample_weights_of_no_image_or_head_are_refused(weights, facts):
    labels = {"kind": LABELS, "size": VALUES}
    distiller = compiled(joint(), beta=0.0, bound_weight=0)
    for step in (distiller.train_on_batch, distiller.test_on_batch):
        refusal(lambda: step(IMAGES, labels, weights), DataError, *facts)  # noqa: B023


def test_batches_with_weights_of_heads_that_a_student_has_not_are_refused():
    def batches():
        yield IMAGES, LABELS, {"kind": WEIGHTS}

    told = ("for kind", "one head", "one array (N,)")
    distiller = compiled(linear(), beta=0.0, alpha=1.0)
    refusal(lambda: distiller.fit(batches(), verbose=0), DataError, *told)


@pytest.mark.parametrize(
    "given", [np.array([0.5, 1.0, 3.0]), {0: 0.5, 2: 3.0}, {"": {0: 0.5, 2: 3.0}}]
)
def test_class_weights_are_taken_as_keras_gives_them(given):
    kernel = linear().get_weights()[0]
    _, _, after = expected_step(kernel, LOGITS, 3.0, 0.15, 0.85, (0.5, 1.0, 3.0))
    _, found = first_step(
        compiled(linear(), class_weights=given), {"label": LABELS, "teacher": LOGITS}
    )
    np.testing.assert_allclose(found, after, atol=1e-6)


def test_class_weight_of_fit_weighs_the_labels_term_of_that_fit():
    y = {"label": LABELS, "teacher": LOGITS}
    weighed = expected_step(linear().get_weights()[0], LOGITS, 3.0, 0.15, 0.85, (0.5, 1.0, 3.0))
    plain = expected_step(linear().get_weights()[0], LOGITS, 3.0, 0.15, 0.85)
    distiller = compiled(linear(), optimizer=keras.optimizers.SGD(0.0))
    for _ in range(2):
        logs = distiller.fit(
            IMAGES, y, batch_size=24, class_weight={0: 0.5, 2: 3.0}, verbose=0
        ).history
        assert logs["hard_loss"][0] == pytest.approx(weighed[0], rel=1e-5)
        assert logs["soft_loss"][0] == pytest.approx(weighed[1], rel=1e-5)
        logs = distiller.fit(IMAGES, y, batch_size=24, verbose=0).history
        assert logs["hard_loss"][0] == pytest.approx(plain[0], rel=1e-5)
    twice = compiled(linear(), class_weights=[1, 2, 3])
    refusal(
        lambda: twice.fit(IMAGES, y, class_weight={0: 1.0}, verbose=0),
        ConfigError,
        "class_weights",
        "one of the two",
    )
    refusal(lambda: Distiller(linear(), class_weights={7: 1.0}), ConfigError, "0 to 2", "7")
    refusal(lambda: Distiller(linear(), class_weights=2.0), ConfigError, "one for each class")
    refusal(lambda: Distiller(linear(), class_weights=[1, -1, 1]), ConfigError, "0 or more")


def test_class_weight_of_one_batch_traces_a_step_once():
    """Tracing takes seconds, and a loop of one's own gives the same weights with each batch."""
    traced = []

    def soft_loss(labels, teacher, student, temperature):
        traced.append(temperature)
        return keras.ops.sum((teacher - student) ** 2, axis=-1)

    distiller = compiled(linear(), optimizer=keras.optimizers.SGD(0.0), soft_loss=soft_loss)
    y = {"label": LABELS, "teacher": LOGITS}

    def step(class_weight):
        logs = distiller.train_on_batch(IMAGES, y, class_weight=class_weight, return_dict=True)
        return float(logs["hard_loss"]), len(traced)

    kernel = linear().get_weights()[0]
    for weights in (None, {0: 0.5, 2: 3.0}, {1: 2.0}):
        each = [1.0, 1.0, 1.0] if weights is None else [weights.get(one, 1.0) for one in range(3)]
        expected = expected_step(kernel, LOGITS, 3.0, 0.15, 0.85, each)[0]
        distiller.reset_metrics()
        first, count = step(weights)
        assert first == pytest.approx(expected, rel=1e-5)
        assert step(weights)[1] == step(weights)[1] == count


def test_normalised_weights_divide_by_their_sum_as_pytorch_does():
    student, weights = linear(), np.array([0.5, 1.0, 3.0])
    logits = student.predict(IMAGES, verbose=0)
    distiller = compiled(student, class_weights=weights, weights_normalised=True)
    logs = distiller.train_on_batch(
        IMAGES, {"label": LABELS, "teacher": LOGITS}, WEIGHTS, return_dict=True
    )
    each = -log_softmax(logits.astype(float), -1)[np.arange(24), LABELS]
    both = weights[LABELS] * WEIGHTS
    assert logs["hard_loss"] == pytest.approx((both * each).sum() / both.sum(), rel=1e-5)
    soft = 9 * rel_entr(softmax(LOGITS / 3, -1), softmax(logits / 3, -1)).sum(-1)
    assert logs["soft_loss"] == pytest.approx((WEIGHTS * soft).sum() / WEIGHTS.sum(), rel=1e-5)
    torch = pytest.importorskip("torch", reason="torch is not installed")
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(logits), torch.tensor(LABELS), torch.tensor(weights).float()
    )
    found = compiled(linear(), class_weights=weights, weights_normalised=True)
    logs = found.train_on_batch(IMAGES, {"label": LABELS, "teacher": LOGITS}, return_dict=True)
    assert logs["hard_loss"] == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("normalised", [False, True])
def test_a_batch_that_weighs_nothing_changes_nothing(normalised):
    student = linear()
    before = [weight.copy() for weight in student.get_weights()]
    distiller = compiled(student, weights_normalised=normalised)
    y = {"label": LABELS, "teacher": LOGITS}
    logs = distiller.train_on_batch(IMAGES, y, np.zeros(24), return_dict=True)
    assert logs["loss"] == 0
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
