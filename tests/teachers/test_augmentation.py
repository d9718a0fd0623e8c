"""The words of --augment, and mixtures of images: the same for pixels, labels and teacher."""

from __future__ import annotations

import numpy as np
import pytest

from keras_kd.config import Config
from keras_kd.errors import ConfigError
from keras_kd.pipelines import plan
from keras_kd.teachers import augmentation
from keras_kd.teachers.views import AtSizes, Views
from keras_kd.training.batches import TrainingBatches

FACES, DIGITS = ("Anger", "happy"), ("6", "9")


@pytest.mark.parametrize(
    ("augment", "names", "kind"),
    [
        ("crops,jitter", FACES, "crops,jitter"),
        ("crops,face-mirror,jitter", FACES, "crops,mirror,jitter"),
        ("crops,face-mirror,jitter", DIGITS, "crops,jitter"),
        ("face-mirror", DIGITS, "none"),
        ("mirror", DIGITS, "mirror"),
        ("mixup, jitter", DIGITS, "jitter"),
        ("none", FACES, "none"),
    ],
)
def test_a_mirror_image_is_shown_where_it_is_of_the_same_class(augment, names, kind):
    assert augmentation.kind(augment, names) == kind


def test_the_defaults_mirror_faces_alone():
    for recipe in ("paper", "best", "quick"):
        words = Config(recipe=recipe).effective().augment
        assert "mirror" in augmentation.kind(words, FACES)
        assert "mirror" not in augmentation.kind(words, DIGITS)


def test_views_without_mirror_are_never_mirrored():
    image = np.tile(np.arange(0, 200, 5, dtype=np.uint8), (40, 1))[None, ..., None]
    for kind, mirrored in (("crops,jitter", False), ("crops,mirror,jitter", True)):
        shown = Views(kind, 1, 50).show(image, np.zeros(50, int), np.arange(50)).astype(int)
        falls = shown[:, 20, 0, 0] > shown[:, 20, -1, 0]
        assert falls.any() == mirrored


@pytest.mark.parametrize(
    ("text", "told"),
    [("crop", "of crops, mirror"), ("crops,crops", "each once"), ("none,turn", "none")],
)
def test_unknown_words_are_told(text, told):
    with pytest.raises(ConfigError, match=told):
        Config(augment=text)


def _mixed(kind, seed):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (4, 20, 30, 1), dtype=np.uint8)
    labels = np.eye(4, dtype=np.float32)
    return images, labels, augmentation.drawn((kind,), 4, (20, 30), random)


@pytest.mark.parametrize("seed", range(5))
def test_mixup_is_the_weighted_mean_of_pixels_and_labels(seed):
    images, labels, mixture = _mixed("mixup", seed)
    share, other = mixture.share, images[mixture.order].astype(float)
    expected = share * images + (1 - share) * other
    assert np.abs(mixture.of_images(images) - expected).max() <= 0.5001
    np.testing.assert_allclose(
        mixture.of_labels(labels), share * labels + (1 - share) * labels[mixture.order], rtol=1e-6
    )


@pytest.mark.parametrize("seed", range(5))
def test_cutmix_labels_are_the_shares_of_the_pixels(seed):
    _, labels, mixture = _mixed("cutmix", seed)
    numbered = np.broadcast_to(np.arange(4, dtype=np.uint8)[:, None, None, None], (4, 20, 30, 1))
    mixed = mixture.of_images(numbered)
    counted = np.stack([np.bincount(one.ravel(), minlength=4) / 600 for one in mixed])
    np.testing.assert_allclose(mixture.of_labels(labels), counted, atol=1e-6)


def test_the_teacher_sees_the_mixed_pixels_and_a_step_is_its_seeds():
    images = np.random.default_rng(0).integers(0, 256, (16, 6, 6, 1), dtype=np.uint8)
    labels, seen = np.eye(16, dtype=np.float32), []

    def teacher(pixels):
        seen.append(pixels)
        return pixels.mean(axis=(1, 2))

    batches = TrainingBatches(
        images, labels, Views("none", 16), 8, 0, teacher, mixtures=("mixup", "cutmix")
    )
    source = batches.from_step(0, 0)
    first, second = next(source), next(source)
    np.testing.assert_array_equal(seen[0], first[0])
    np.testing.assert_allclose(first[1]["teacher"], first[0].mean(axis=(1, 2)))
    np.testing.assert_allclose(first[1]["label"].sum(axis=1), 1, rtol=1e-6)
    again = next(batches.from_step(0, 1))
    np.testing.assert_array_equal(again[0], second[0])
    np.testing.assert_array_equal(again[1]["label"], second[1]["label"])


@pytest.mark.parametrize("mixture", ["mixup", "cutmix"])
def test_a_teacher_of_another_size_sees_the_same_views_and_mixtures(mixture):
    images = np.random.default_rng(1).integers(0, 256, (16, 6, 8, 1), dtype=np.uint8)
    enlarged = AtSizes((_twice(images), images))
    seen = []

    def teacher(shown):
        seen.append(shown)
        return np.zeros((8, 16), np.float32)

    batches = TrainingBatches(
        images,
        np.eye(16),
        Views("mirror", 16),
        8,
        0,
        teacher,
        mixtures=(mixture,),
        teacher_images=enlarged,
    )
    for (pixels, _), _ in zip(batches.from_step(0, 0), range(4), strict=False):
        np.testing.assert_array_equal(seen[-1].arrays[0], _twice(pixels))
        np.testing.assert_array_equal(seen[-1].arrays[1], pixels)


def _twice(images):
    return images.repeat(2, axis=1).repeat(2, axis=2)


def test_stored_answers_refuse_mixtures_and_a_live_teacher_refuses_stores():
    with pytest.raises(
        ConfigError, match="mixes the images of each batch.*--live-teacher, or leave out mixup"
    ):
        plan.resolve(Config(augment="crops,mixup"))
    assert plan.resolve(Config(augment="crops,mixup", live_teacher=True)).teaching.live
    assert plan.resolve(Config(augment="crops,mixup", beta=0.0)).teaching.kind == "nobody"
    with pytest.raises(ConfigError, match="stores nothing: leave it out, or unlabeled"):
        plan.resolve(Config(live_teacher=True, unlabeled="more"))


def test_a_teacher_that_is_trained_for_a_student_sees_good_images():
    for augment, of_teacher in (("crops,degrade", "crops"), ("degrade", "none")):
        planned = plan.resolve(Config(augment=augment))
        assert planned.training.augment == augment
        assert planned.teacher.training.augment == of_teacher
        # `teach` is asked for such a teacher by the word itself.
        assert plan.resolve_teacher(Config(augment=augment)).teacher.training.augment == augment
