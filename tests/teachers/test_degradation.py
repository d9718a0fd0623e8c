"""Degraded images: what each way does, and that the teacher answers to the good ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from keras_kd.teachers import degradation
from keras_kd.teachers.views import Views
from keras_kd.training.batches import TrainingBatches

NOISE = np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


def test_blur_is_a_gaussian_of_a_share_of_the_shorter_side():
    picture = Image.fromarray(ndimage.uniform_filter(NOISE, 7))
    for strength, radius in ((0.0, 0.4), (1.0, 1.6)):
        done = np.asarray(degradation.blurred(picture, strength)).astype(float)
        right = ndimage.gaussian_filter(np.asarray(picture).astype(float), radius, mode="nearest")
        assert np.abs(done - right).mean() < 1.0


def test_darkness_scales_every_channel():
    picture = Image.fromarray(np.stack([NOISE, NOISE // 2, 255 - NOISE], axis=-1))
    done = np.asarray(degradation.darkened(picture, 1.0)).astype(int)
    np.testing.assert_allclose(done, 0.3 * np.asarray(picture), atol=0.51)


def test_shrinking_leaves_no_more_than_the_small_image_holds():
    done = np.asarray(degradation.shrunk(Image.fromarray(NOISE), 1.0)).astype(float)
    assert done.shape == NOISE.shape
    spectrum = np.abs(np.fft.fft2(done - done.mean())) ** 2
    # A third of the sides holds a third of the frequencies in each direction.
    down, across = np.abs(np.fft.fftfreq(40)), np.abs(np.fft.fftfreq(50))
    kept = spectrum[np.ix_(down <= 0.175, across <= 0.175)].sum()
    assert kept / spectrum.sum() > 0.8  # of noise, an eighth


def test_jpeg_is_as_strong_as_its_quality():
    picture = Image.fromarray(NOISE)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=10)
    np.testing.assert_array_equal(
        np.asarray(degradation.encoded(picture, 1.0)), np.asarray(Image.open(file))
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_about_a_quarter_of_the_images_are_degraded_the_same_ones_for_a_seed(channels):
    images = np.random.default_rng(1).integers(0, 256, (400, 12, 16, channels), dtype=np.uint8)
    before = images.copy()
    done = degradation.degraded(images, np.random.default_rng(2))
    changed = (done != images).any(axis=(1, 2, 3))
    # Four deviations of a binomial distribution of 400 quarters.
    assert abs(changed.sum() - 100) < 35
    np.testing.assert_array_equal(done, degradation.degraded(images, np.random.default_rng(2)))
    np.testing.assert_array_equal(images, before)
    assert done.dtype == np.uint8 and done.shape == images.shape


def test_a_live_teacher_sees_the_good_images_and_a_resumed_epoch_the_same_ones():
    images = np.random.default_rng(3).integers(0, 256, (12, 16, 16, 1), dtype=np.uint8)
    seen = []

    def teacher(pixels):
        seen.append(pixels.copy())
        return np.zeros((len(pixels), 2), np.float32)

    labels = np.arange(12) % 2
    batches = TrainingBatches(
        images, labels, Views("none", 12), 4, seed=5, teacher_logits=teacher, degrade=True
    )
    whole = batches.from_step(0, 0)
    pixels = [next(whole)[0] for _ in range(3)]
    of_set = {image.tobytes() for image in images}
    assert all(image.tobytes() in of_set for batch in seen for image in batch)
    assert not all(image.tobytes() in of_set for batch in pixels for image in batch)
    np.testing.assert_array_equal(next(batches.from_step(0, 2))[0], pixels[2])
