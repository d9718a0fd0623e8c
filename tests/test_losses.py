"""The losses against closed forms, SciPy in float64, and torch where it is installed."""

from __future__ import annotations

import math
import pickle

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.special import log_softmax, rel_entr, softmax

from keras_kd import losses
from keras_kd.errors import ConfigError, DataError, ModelError

STUDENT = (5 * np.sin(np.arange(12))).reshape(4, 3).astype(np.float32)
TEACHER = (5 * np.cos(np.arange(12))).reshape(4, 3).astype(np.float32)
# Of torch's KLDivLoss(reduction="batchmean", log_target=True) on log-softmax in float64, times T
# squared.
GOLDEN = {1.0: 5.334700, 4.0: 10.571520}


def reference(teacher, student, temperature):
    p, q = (
        softmax(teacher.astype(float) / temperature, -1),
        softmax(student.astype(float) / temperature, -1),
    )
    return temperature**2 * rel_entr(p, q).sum(-1)


def gradient_of(loss, at):
    tf = pytest.importorskip("tensorflow", reason="gradients are taken with TensorFlow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients are taken with TensorFlow")
    at = tf.constant(at)
    with tf.GradientTape() as tape:
        tape.watch(at)
        value = loss(at)
    return tape.gradient(value, at, unconnected_gradients="zero").numpy()


@pytest.mark.parametrize("temperature", GOLDEN)
def test_kl_has_the_golden_values(temperature):
    found = losses.soft_target_kl(TEACHER, STUDENT, temperature)
    assert float(found) == pytest.approx(GOLDEN[temperature], abs=2e-6)
    # Seen from the other side it is another number.
    assert float(losses.soft_target_kl(STUDENT, TEACHER, temperature)) != pytest.approx(
        GOLDEN[temperature], abs=1e-3
    )


def test_kl_of_two_classes_has_its_closed_form():
    teacher, student = np.float32([[2 * math.log(3), 0]]), np.float32([[0, 0]])
    expected = 4 * (0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert float(losses.soft_target_kl(teacher, student, 2.0)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1, 3, 20])
def test_kl_of_each_image_equals_scipy(temperature):
    random = np.random.default_rng(1)
    teacher, student = random.normal(0, 4, (2, 50, 8)).astype(np.float32)
    found = np.asarray(losses.soft_target_kl_each(teacher, student, temperature))
    assert found.shape == (50,) and found.dtype == np.float32
    np.testing.assert_allclose(
        found, reference(teacher, student, temperature), rtol=2e-5, atol=1e-5
    )


@pytest.mark.parametrize("temperature", [1, 4])
def test_kl_equals_torch(temperature):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    log_q, log_p = (
        torch.log_softmax(torch.tensor(z) / temperature, -1) for z in (STUDENT, TEACHER)
    )
    expected = (
        torch.nn.functional.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
        * temperature**2
    )
    found = float(losses.soft_target_kl(TEACHER, STUDENT, temperature))
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_kl_is_zero_where_student_equals_teacher():
    assert float(losses.soft_target_kl(TEACHER, TEACHER, 3.0)) == 0
    shifted = TEACHER + np.float32([[1], [-2], [4], [8]])
    assert float(losses.soft_target_kl(TEACHER, shifted, 3.0)) == pytest.approx(0, abs=1e-6)


def test_losses_do_not_change_when_logits_are_shifted():
    shift = np.float32([[7], [-20], [100], [0.5]])
    before = losses.soft_target_kl_each(TEACHER, STUDENT, 2.0)
    after = losses.soft_target_kl_each(TEACHER + shift, STUDENT - 3 * shift, 2.0)
    np.testing.assert_allclose(after, before, rtol=1e-4)
    labels = np.array([0, 2, 1, 1])
    np.testing.assert_allclose(
        losses.cross_entropy_each(labels, STUDENT + shift),
        losses.cross_entropy_each(labels, STUDENT),
        rtol=1e-4,
    )


def test_a_batch_twice_gives_the_same_loss():
    once = losses.soft_target_kl(TEACHER, STUDENT, 2.0)
    twice = losses.soft_target_kl(np.concatenate([TEACHER] * 2), np.concatenate([STUDENT] * 2), 2.0)
    assert float(twice) == pytest.approx(float(once), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_extreme_logits_give_finite_losses_and_gradients(dtype):
    extreme = np.array([[500, -500, 0], [-500, 500, 500], [0, 0, -500]], dtype)
    for temperature in (1.0, 4.0):
        value = losses.soft_target_kl_each(extreme[::-1], extreme, temperature)
        assert np.isfinite(value).all() and np.asarray(value).dtype == np.float32
        gradient = gradient_of(
            lambda s, t=temperature: losses.soft_target_kl(extreme[::-1], s, t), extreme
        )
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    labels = np.array([1, 0, 2])
    assert np.asarray(losses.cross_entropy_each(labels, extreme)) == pytest.approx(
        [1000, 1000 + math.log(2), 500.69], 1e-4
    )
    gradient = gradient_of(
        lambda s: losses.weighted_mean(losses.cross_entropy_each(labels, s)), extreme
    )
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradient_has_its_closed_form(temperature):
    """d/ds of T^2 KL is T (q - p) / N."""
    p, q = (
        softmax(TEACHER.astype(float) / temperature, -1),
        softmax(STUDENT.astype(float) / temperature, -1),
    )
    found = gradient_of(lambda s: losses.soft_target_kl(TEACHER, s, temperature), STUDENT)
    np.testing.assert_allclose(found, temperature * (q - p) / len(p), atol=1e-6)


def test_gradient_keeps_its_size_at_high_temperature():
    """Hinton et al., section 2.1: with T squared it tends to (s - t) / (N C), both logits
    centred.
    """
    found = gradient_of(lambda s: losses.soft_target_kl(TEACHER, s, 500.0), STUDENT)
    centred = (STUDENT - STUDENT.mean(1, keepdims=True)) - (
        TEACHER - TEACHER.mean(1, keepdims=True)
    )
    np.testing.assert_allclose(found, centred / 12, atol=0.01 * np.abs(centred / 12).max())


def test_cross_entropy_equals_scipy():
    random = np.random.default_rng(2)
    logits, labels = random.normal(0, 4, (60, 7)).astype(np.float32), random.integers(0, 7, 60)
    expected = -log_softmax(logits.astype(float), -1)[np.arange(60), labels]
    for form in (labels, labels[:, None], labels.astype(np.float32)):
        np.testing.assert_allclose(
            losses.cross_entropy_each(form, logits), expected, rtol=1e-5, atol=1e-6
        )


def test_cross_entropy_of_shares_is_their_mean():
    shares = np.float32([[0.5, 0.25, 0.25], [0, 1, 0], [0.1, 0, 0.9], [1, 0, 0]])
    expected = -(shares * log_softmax(STUDENT.astype(float), -1)).sum(-1)
    np.testing.assert_allclose(
        losses.cross_entropy_each(shares, STUDENT), expected, rtol=1e-5, atol=1e-6
    )


def test_class_weights_weigh_each_class():
    # Equal logits: every class costs log 3, times its weight.
    logits, weights = np.zeros((4, 3), np.float32), np.float32([0.5, 2, 0])
    found = np.asarray(losses.cross_entropy_each(np.array([0, 1, 2, 1]), logits, weights))
    assert found == pytest.approx(np.log(3) * np.array([0.5, 2, 0, 2]), rel=1e-6)
    shares = np.float32([[0.5, 0.5, 0]] * 4)
    assert np.asarray(losses.cross_entropy_each(shares, logits, weights)) == pytest.approx(
        [1.25 * math.log(3)] * 4, 1e-6
    )


def test_weighted_mean_divides_by_the_number_of_images():
    values = np.float32([1, 2, 3, 10])
    assert float(losses.weighted_mean(values)) == 4
    assert float(losses.weighted_mean(values, np.float32([1, 0.5, 2, 0]))) == pytest.approx(
        (1 + 1 + 6) / 4
    )
    assert float(losses.weighted_mean(values, np.zeros((4, 1), np.float32))) == 0


@pytest.mark.parametrize("columns", [1, 4])
def test_other_numbers_of_classes_are_refused(columns):
    with pytest.raises(
        ModelError, match=f"teacher's logits are of {columns} classes and the student's logits of 3"
    ):
        losses.soft_target_kl(np.ones((4, columns), np.float32), STUDENT, 1.0)


@pytest.mark.parametrize("name", losses.soft_loss_names())
def test_outputs_of_other_images_are_refused(name):
    """One image's would be spread over all."""
    labels = np.arange(4) % 3
    for teacher in (TEACHER[:1], TEACHER[:3]):
        with pytest.raises(ModelError, match=r"[13]\b.* and the student's .*4\b"):
            losses.soft_loss(name)(labels, teacher, STUDENT, 2.0)


@pytest.mark.parametrize("temperature", ["3", 0, 0.0, -1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["kl", "decoupled", "dist", "multi-level", "standardised"])
def test_a_temperature_that_divides_into_nothing_is_refused(name, temperature):
    with pytest.raises(ConfigError, match="above 0 and finite. Received: temperature="):
        losses.soft_loss(name)(np.arange(4) % 3, TEACHER, STUDENT, temperature)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("shape", [(4,), (4, 1)])
@pytest.mark.parametrize("wrong", [3, -1, math.nan])
def test_labels_of_no_class_are_refused_where_they_are_known(wrong, shape, as_tensor):
    labels = np.float32([0, 2, wrong, 1]).reshape(shape)
    labels = keras.ops.convert_to_tensor(labels) if as_tensor else labels
    for loss in (
        lambda: losses.cross_entropy_each(labels, STUDENT),
        lambda: losses.class_weight_each(labels, np.ones(3)),
        lambda: losses.decoupled_kd_each(labels, TEACHER, STUDENT, 2.0),
    ):
        with pytest.raises(DataError, match="label in row 2 is (3|-1|nan): .* numbers 0 to 2"):
            loss()


def test_labels_weights_values_and_maps_of_other_images_are_refused():
    maps = np.ones((4, 2, 2, 3), np.float32)
    for loss in (
        lambda: losses.cross_entropy_each(np.array([1]), STUDENT),
        lambda: losses.weighted_mean(np.ones(4, np.float32), np.ones(1)),
        lambda: losses.squared_error_each(np.ones(1), np.ones(4)),
        lambda: losses.teacher_bounded_each(np.ones(4), np.ones(1), np.ones(4)),
        lambda: losses.concordance(np.ones((4, 1)), np.ones(1)),
        lambda: losses.pearson(np.ones(4), np.ones(4), np.ones(1)),
        lambda: losses.decoupled_kd_each(np.array([1]), TEACHER, STUDENT, 2.0),
        *(lambda name=name: losses.feature_loss(name)(maps[:1], maps)
          for name in losses.feature_loss_names()),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=r"[14]\b.* and the student's .*[14]\b"):
            loss()


def test_shares_of_other_classes_are_refused():
    with pytest.raises(ModelError, match="labels are of 4 classes and the student's logits of 3"):
        losses.cross_entropy_each(np.full((4, 4), 0.25, np.float32), STUDENT)


@pytest.mark.parametrize("count", [1, 2])
def test_weights_of_other_classes_and_features_of_other_channels_are_refused(count):
    """One would be spread over all."""
    labels, weights = np.arange(4) % 3, np.ones(count)
    with pytest.raises(ModelError, match=f"weights are of {count} classes and .* of 3"):
        losses.cross_entropy_each(labels, STUDENT, weights)
    with pytest.raises(ModelError, match=f"weights are of {count} classes and .* of 3"):
        losses.class_weight_each(np.eye(3, dtype=np.float32)[labels], weights)
    with pytest.raises(ModelError, match=f"are of 3 channels and the projected ones of {count}"):
        losses.hint_each(np.ones((4, 3)), np.ones((4, count)))


# --- values ---
VALUES, OF_TEACHER, OF_STUDENT = (
    np.float32([0.5, -0.5, 0.2]),
    np.float32([0.4, 0.5, 0.2]),
    np.float32([0.6, -0.1, 0.0]),
)


def test_teacher_bounded_error_counts_where_the_student_is_not_better():
    # Squared errors of the student 0.01, 0.16, 0.04, of the teacher 0.01, 1, 0.
    found = np.asarray(losses.teacher_bounded_each(VALUES[1:], OF_TEACHER[1:], OF_STUDENT[1:]))
    assert found == pytest.approx([0, 0.04], abs=1e-6)
    assert np.asarray(
        losses.teacher_bounded_each(VALUES, OF_TEACHER, OF_STUDENT, 0.001)
    ) == pytest.approx([0.01, 0, 0.04], abs=1e-6)
    assert np.asarray(
        losses.teacher_bounded_each(VALUES, OF_TEACHER, OF_STUDENT, 0.9)
    ) == pytest.approx([0.01, 0.16, 0.04], abs=1e-6)


def test_gradient_of_the_teacher_bounded_error_is_that_of_the_error_or_none():
    found = gradient_of(
        lambda s: losses.weighted_mean(losses.teacher_bounded_each(VALUES, OF_TEACHER, s, 0.001)),
        OF_STUDENT,
    )
    assert found == pytest.approx([2 * 0.1 / 3, 0, 2 * -0.2 / 3], abs=1e-6)
    of_teacher = gradient_of(
        lambda t: losses.weighted_mean(losses.teacher_bounded_each(VALUES, t, OF_STUDENT, 0.001)),
        OF_TEACHER,
    )
    assert not of_teacher.any()


@pytest.mark.parametrize("weighted", [False, True])
def test_correlations_equal_numpy(weighted):
    random = np.random.default_rng(4)
    y, s = random.normal(size=(2, 40)).astype(np.float32)
    s = 0.5 * y + s + 1
    weights = random.integers(0, 3, 40).astype(np.float32) if weighted else None
    counts = np.ones(40, int) if weights is None else weights.astype(int)
    covariance = np.cov(y, s, bias=True, fweights=counts)
    means = np.average([y, s], axis=1, weights=counts)
    concordance = (
        2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (means[0] - means[1]) ** 2)
    )
    pearson = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
    assert float(losses.pearson(y, s[:, None], weights)) == pytest.approx(pearson, abs=1e-5)
    assert float(losses.concordance(y, s[:, None], weights)) == pytest.approx(concordance, abs=1e-5)


def test_correlations_of_constants_are_zero_with_a_finite_gradient():
    constant = np.full(5, 0.3, np.float32)
    for loss in (losses.pearson, losses.concordance):
        assert float(loss(VALUES[[0, 1, 2, 0, 1]], constant)) == pytest.approx(0, abs=1e-5)
        assert np.isfinite(
            gradient_of(lambda s, of=loss: of(VALUES[[0, 1, 2, 0, 1]], s), constant)
        ).all()


def test_shake_shake_mixes_by_its_draws():
    found = losses.shake_shake(0.25, 0.5, 0.3, np.float32([0.2, 0.4, 0.9]))
    assert float(found) == pytest.approx((0.2 * 0.25 + 0.4 * 0.5 + 0.9 * 0.7) / 1.5, rel=1e-6)


def test_keras_own_default_is_another_number():
    """Why keras.distillation is not used: its default loss string applies neither softmax nor T
    squared.
    """
    if not keras.__version__.startswith("3.15."):
        pytest.skip(f"seen in Keras 3.15, this is {keras.__version__}")
    own = keras.distillation.LogitsDistillation(temperature=4.0, loss="kl_divergence")
    assert abs(float(own.compute_loss(TEACHER, STUDENT)) - GOLDEN[4.0]) > 1
    right = keras.distillation.LogitsDistillation(temperature=4.0, loss=keras.losses.KLDivergence())
    assert float(right.compute_loss(TEACHER, STUDENT)) == pytest.approx(GOLDEN[4.0], rel=1e-4)


def test_a_devices_share_of_no_images_weighs_nothing():
    assert float(losses.weighted_mean(np.zeros((0,), np.float32))) == 0
    assert (
        float(losses.weighted_mean(np.array([1.0, 3.0], np.float32), np.array([1.0, 0.0]))) == 0.5
    )


NUMBERS = (np.arange(4) / 4).astype(np.float32)
MAPS = np.random.default_rng(2).normal(size=(2, 4, 3, 3, 2)).astype(np.float32)
OF_ARRAYS = {
    "soft_target_kl": (TEACHER, STUDENT, 3.0),
    "soft_target_kl_each": (TEACHER, STUDENT, 3.0),
    "cross_entropy_each": (np.arange(4) % 3, STUDENT, np.float32([1, 2, 3])),
    "class_weight_each": (np.arange(4) % 3, np.float32([1, 2, 3])),
    "two_logits": (NUMBERS,),
    "weighted_mean": (NUMBERS, NUMBERS, True),
    "squared_error_each": (NUMBERS, NUMBERS[::-1]),
    "teacher_bounded_each": (NUMBERS, NUMBERS**2, NUMBERS[::-1]),
    "concordance": (NUMBERS, NUMBERS[::-1] ** 2),
    "relational_each": (TEACHER, STUDENT),
    "similarity_each": (TEACHER, STUDENT),
    "attention_each": tuple(MAPS),
    "hint_each": tuple(MAPS),
}


def as_lists(values):
    return [one.tolist() if isinstance(one, np.ndarray) else one for one in values]


@pytest.mark.parametrize("name", OF_ARRAYS)
def test_lists_are_taken_for_the_arrays_that_they_hold(name):
    """As by Keras' own losses; they ended in an AttributeError."""
    loss, arrays = getattr(losses, name), OF_ARRAYS[name]
    np.testing.assert_allclose(loss(*as_lists(arrays)), loss(*arrays), rtol=1e-6)
    assert pickle.loads(pickle.dumps(loss)) is loss  # as other processes get it


@pytest.mark.parametrize("name", losses.soft_loss_names())
def test_soft_losses_by_name_take_lists_and_tables(name):
    loss, labels = losses.soft_loss(name), np.arange(4) % 3
    expected = loss(labels, TEACHER, STUDENT, 3.0)
    np.testing.assert_allclose(
        loss(*as_lists([labels, TEACHER, STUDENT]), temperature=3.0), expected, rtol=1e-6
    )
    tables = pd.Series(labels), pd.DataFrame(TEACHER), pd.DataFrame(STUDENT)
    np.testing.assert_allclose(loss(*tables, 3.0), expected, rtol=1e-6)
