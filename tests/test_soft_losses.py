"""Losses of a teacher's logits, each against NumPy's or a closed form, and how they are named."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.special import huber, log_softmax, rel_entr, softmax
from scipy.stats import zscore
from test_losses import STUDENT, TEACHER, gradient_of, reference

from keras_kd import losses
from keras_kd.errors import ConfigError


def test_hard_label_learns_the_teachers_answer():
    expected = -log_softmax(STUDENT.astype(float), -1)[np.arange(4), TEACHER.argmax(-1)]
    np.testing.assert_allclose(losses.hard_label_each(TEACHER, STUDENT), expected, rtol=1e-5)


@pytest.mark.parametrize("shares", [False, True])
def test_decoupled_kd_with_the_teachers_own_weight_is_kl(shares):
    """Zhao et al., equation (5): KL = KL of (target, others) + (1 - target's probability) KL among
    the others.
    """
    labels = np.array([0, 2, 1, 1])
    p = softmax(TEACHER.astype(float) / 3, -1)
    given = (0.6 * np.eye(3)[labels] + 0.4 / 3).astype(np.float32) if shares else labels
    found = losses.decoupled_kd_each(
        given, TEACHER, STUDENT, 3.0, 1.0, 1 - p[np.arange(4), labels].astype(np.float32)
    )
    np.testing.assert_allclose(found, reference(TEACHER, STUDENT, 3.0), rtol=1e-4, atol=1e-5)


def test_decoupled_kd_weighs_its_two_parts():
    labels, p, q = (
        np.array([0, 2, 1, 1]),
        softmax(TEACHER.astype(float), -1),
        softmax(STUDENT.astype(float), -1),
    )
    rows = np.arange(4)
    pairs = [np.stack([of[rows, labels], 1 - of[rows, labels]], -1) for of in (p, q)]
    others = [
        np.stack(
            [
                np.delete(row, label) / np.delete(row, label).sum()
                for row, label in zip(of, labels, strict=True)
            ]
        )
        for of in (p, q)
    ]
    expected = 2 * rel_entr(*pairs).sum(-1) + 5 * rel_entr(*others).sum(-1)
    np.testing.assert_allclose(
        losses.decoupled_kd_each(labels, TEACHER, STUDENT, 1.0, 2.0, 5.0), expected, rtol=1e-4
    )


def test_dist_equals_numpys_correlations():
    p, q = softmax(TEACHER.astype(float) / 2, -1), softmax(STUDENT.astype(float) / 2, -1)
    of_images = [1 - np.corrcoef(left, right)[0, 1] for left, right in zip(p, q, strict=True)]
    of_classes = np.mean(
        [1 - np.corrcoef(left, right)[0, 1] for left, right in zip(p.T, q.T, strict=True)]
    )
    found = losses.dist_each(TEACHER, STUDENT, 2.0, 1.0, 3.0)
    np.testing.assert_allclose(found, 4 * (np.array(of_images) + 3 * of_classes), rtol=1e-4)


def test_standardised_logits_have_mean_0_and_deviation_1():
    scaled = [zscore(logits.astype(float), axis=-1) for logits in (TEACHER, STUDENT)]
    found = losses.standardised_kl_each(TEACHER, STUDENT, 2.0)
    np.testing.assert_allclose(found, reference(*scaled, 2.0), rtol=1e-4)
    np.testing.assert_allclose(
        losses.standardised_kl_each(7 * TEACHER + 3, STUDENT, 2.0), found, rtol=1e-3
    )


@pytest.mark.parametrize("name", losses.soft_loss_names())
def test_every_soft_loss_stays_finite(name):
    """And can be sent to another process."""
    loss = pickle.loads(pickle.dumps(losses.soft_loss(name)))
    extreme = np.float32([[500, -500, 0], [-500, 500, 500], [0, 0, 0]])
    labels = np.array([1, 0, 2])
    for teacher in (extreme[::-1], extreme):
        value = loss(labels, teacher, extreme, 3.0)
        assert np.isfinite(value).all() and value.shape == (3,)
        gradient = gradient_of(
            lambda s, t=teacher: losses.weighted_mean(loss(labels, t, s, 3.0)), extreme
        )
        assert np.isfinite(gradient).all()


def test_multi_level_aligns_images_batch_and_classes():
    expected = np.zeros(4)
    for temperature in (2, 3, 4, 5, 6):
        p, q = (
            softmax(TEACHER.astype(float) / temperature, -1),
            softmax(STUDENT.astype(float) / temperature, -1),
        )
        of_images, of_classes = p @ p.T - q @ q.T, p.T @ p - q.T @ q
        expected += (
            temperature**2 * rel_entr(p, q).sum(-1)
            + 2 * (of_images**2).sum(1)
            + 3 * (of_classes**2).sum() / 3
        )
    found = losses.multi_level_each(TEACHER, STUDENT, 4.0, 2.0, 3.0)
    np.testing.assert_allclose(found, expected / 5, rtol=1e-5)


def test_relational_compares_distances_and_angles():
    random = np.random.default_rng(9)
    teacher, student = random.normal(size=(5, 2, 2, 3)), random.normal(size=(5, 4))
    distances, angles = [], []
    for of in (teacher.reshape(5, -1), student):
        distance = squareform(pdist(of))
        distances.append(distance / distance[distance > 0].mean())
        cosine = np.zeros((5, 5, 5))
        for i, j, k in np.ndindex(5, 5, 5):
            left, right = of[i] - of[j], of[k] - of[j]
            if i != j and k != j:
                cosine[j, i, k] = left @ right / np.linalg.norm(left) / np.linalg.norm(right)
        angles.append(cosine)
    far, turned = huber(1, distances[0] - distances[1]), huber(1, angles[0] - angles[1])
    found = losses.relational_each(teacher, student, 3.0, 5.0)
    np.testing.assert_allclose(found, 3 * far.mean(1) + 5 * turned.mean((1, 2)), rtol=1e-4)
    # Moved, turned and enlarged, they lie to each other as before.
    turn = np.linalg.qr(random.normal(size=(4, 4)))[0]
    np.testing.assert_allclose(
        losses.relational_each(student @ turn * 7 + 2, student), 0, atol=1e-5
    )


def test_similarity_compares_the_normalised_products():
    random = np.random.default_rng(10)
    teacher, student = random.normal(size=(5, 2, 2, 3)), random.normal(size=(5, 4))
    grams = [of @ of.T for of in (teacher.reshape(5, -1), student)]
    rows = [gram / np.linalg.norm(gram, axis=1, keepdims=True) for gram in grams]
    found = losses.similarity_each(teacher, student)
    np.testing.assert_allclose(found, ((rows[0] - rows[1]) ** 2).mean(1), rtol=1e-4)
    assert float(np.mean(found)) == pytest.approx(((rows[0] - rows[1]) ** 2).sum() / 25, rel=1e-4)


@pytest.mark.parametrize("name", losses.feature_loss_names())
def test_every_feature_loss_is_zero_for_equals_with_a_finite_gradient(name):
    maps = np.random.default_rng(11).normal(size=(4, 2, 2, 3)).astype("float32")
    maps[1] = maps[0]
    np.testing.assert_allclose(losses.feature_loss(name)(maps, maps), 0, atol=1e-6)
    for start in (maps, np.zeros_like(maps)):
        gradient = gradient_of(
            lambda s: losses.weighted_mean(losses.feature_loss(name)(maps, s)), start
        )
        assert np.isfinite(gradient).all()


def test_settings_of_a_loss_stand_in_its_name():
    labels = np.array([0, 2, 1, 1])
    found = losses.soft_loss("decoupled(other_weight=2, target_weight=0.5)")(
        labels, TEACHER, STUDENT, 3.0
    )
    np.testing.assert_allclose(
        found, losses.decoupled_kd_each(labels, TEACHER, STUDENT, 3.0, 0.5, 2.0), rtol=1e-6
    )
    with pytest.raises(
        ConfigError, match="dist has the settings image_weight, class_weight. Received: weight."
    ):
        losses.soft_loss("dist(weight=2)")
