"""The drawn faces: repeatable, balanced, with the right affect, and a task for a CNN rather than a
linear model.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from keras_kd import datasets
from keras_kd.datasets import SPLITS, Samples
from keras_kd.datasets._faces import traits
from keras_kd.datasets.readers import faces

UNITS = list(traits.UNITS)


@pytest.fixture(scope="module")
def splits() -> dict[str, Samples]:
    return {split: datasets.load("faces", split) for split in SPLITS}


def class_values(samples: Samples, value: str) -> dict[str, np.ndarray]:
    return {
        name: samples.values[value][samples.labels == i]
        for i, name in enumerate(samples.class_names)
    }


def test_every_split_holds_small_rgb_images_of_equally_many_of_each_class(splits):
    for split, samples in splits.items():
        count = faces.IMAGES[split]
        assert samples.images.shape == (count, 64, 64, 3) and samples.images.dtype == np.uint8
        assert samples.labels.dtype == np.int64
        np.testing.assert_array_equal(np.bincount(samples.labels), [count // 7] * 7)
        assert np.abs(np.diff(samples.labels)).mean() > 1, "the classes come shuffled"


def test_classes_are_those_of_fer2013_in_its_order(splits):
    expected = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert splits["train"].class_names == expected


def test_a_second_load_gives_the_same_bytes(splits):
    again = faces.load(None, "validation")
    np.testing.assert_array_equal(again.images, splits["validation"].images)
    np.testing.assert_array_equal(again.labels, splits["validation"].labels)
    for name, values in splits["validation"].values.items():
        np.testing.assert_array_equal(again.values[name], values)


def test_another_process_draws_the_same_bytes():
    code = (
        "import sys; from keras_kd.datasets.readers import faces; "
        "sys.stdout.buffer.write(faces.generate(150, 5).images)"
    )
    drawn = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert drawn == faces.generate(150, 5).images.tobytes()


def test_no_image_and_no_person_is_drawn_twice(splits):
    images = [
        hashlib.sha256(image).digest() for samples in splits.values() for image in samples.images
    ]
    assert len(set(images)) == sum(faces.IMAGES.values())
    assert len(set(faces.SEEDS.values())) == len(SPLITS)


def test_a_first_part_of_the_classes_is_balanced_even_for_odd_counts():
    counts = np.bincount(faces.generate(17, 0).labels, minlength=7)
    assert counts.sum() == 17 and np.ptp(counts) == 1


def test_values_lie_in_range_and_their_means_where_the_circumplex_has_them(splits):
    samples = splits["train"]
    assert set(samples.values) == {"valence", "arousal"}
    for values in samples.values.values():
        assert values.dtype == np.float32 and values.shape == (len(samples),)
        assert -1 <= values.min() < -0.3 and 0.6 < values.max() <= 1
    valence = {name: values.mean() for name, values in class_values(samples, "valence").items()}
    arousal = {name: values.mean() for name, values in class_values(samples, "arousal").items()}
    assert (
        valence["happy"]
        > valence["surprise"]
        > valence["neutral"]
        > max(valence["angry"], valence["fear"])
    )
    assert valence["neutral"] > max(valence["sad"], valence["disgust"])
    assert (
        min(arousal["surprise"], arousal["fear"], arousal["angry"])
        > arousal["happy"]
        > arousal["neutral"]
    )
    assert arousal["neutral"] > arousal["sad"]
    assert all(values.std() > 0.02 for values in class_values(samples, "valence").values())


@pytest.mark.parametrize("name", faces.CIRCUMPLEX)
def test_a_prototype_of_intensity_m_lies_at_m_times_its_place(name):
    intensity = np.array([0.0, 0.3, 1.0])
    values = faces.affect(intensity[:, None] * faces.prototype(name))
    valence, arousal = faces.CIRCUMPLEX[name]
    np.testing.assert_allclose(values["valence"], intensity * valence, atol=1e-6)
    np.testing.assert_allclose(values["arousal"], intensity * arousal, atol=1e-6)


def test_affect_of_any_mix_is_the_clipped_minimum_norm_solution():
    units = np.random.default_rng(0).uniform(0, 1, (50, len(UNITS)))
    prototypes = np.array(
        [[unit in faces.PROTOTYPES[name] for unit in UNITS] for name in faces.CIRCUMPLEX], float
    )
    # With full row rank: W = Pᵀ (P Pᵀ)⁻¹ Q.
    weights = prototypes.T @ np.linalg.solve(
        prototypes @ prototypes.T, np.array(list(faces.CIRCUMPLEX.values()))
    )
    values = faces.affect(units)
    expected = np.clip(units @ weights, -1, 1)
    assert (np.abs(expected) == 1).any(), "some mixes leave the range"
    np.testing.assert_allclose(
        np.stack([values["valence"], values["arousal"]], 1), expected, atol=1e-6
    )


def test_prototypes_are_those_of_facs_table_11_1():
    published = {
        "happy": "6+12+25",
        "sad": "1+4+15",
        "disgust": "10+17+4",
        "angry": "4+5+7+24",
        "surprise": "1+2+5+26",
        "fear": "1+2+4+5+20+25",
    }
    for name, units in published.items():
        expected = {int(unit) for unit in units.split("+")}
        # Lips part in some smiles only, here a variant.
        assert {*faces.PROTOTYPES[name], *({25} if name == "happy" else ())} == expected
    assert faces.prototype("happy").sum() == 2 and not faces.prototype("neutral").any()


def test_expressions_contain_their_prototype_and_nothing_foreign():
    labels = np.repeat(np.arange(7), 200)
    units = faces.expressions(labels, np.random.default_rng(0))
    assert units.min() >= 0 and units.max() <= 1
    for i, name in enumerate(faces.CLASS_NAMES):
        shown = units[labels == i]
        own = np.isin(UNITS, faces.PROTOTYPES[name])
        allowed = own | np.isin(UNITS, list(faces.VARIANTS[name]))
        assert (shown[:, own] > 0.4).all()
        assert (shown[:, ~allowed] <= faces.TWITCH).all()


def test_a_film_shows_one_person_whose_face_moves():
    smile = np.linspace(0, 1, 9)[:, None] * faces.prototype("happy")
    film = faces.film(smile, seed=3).astype(int)
    still = faces.film(np.zeros_like(smile), seed=3).astype(int)
    np.testing.assert_array_equal(film[0], still[0])
    moved = np.abs(film - still).mean(axis=(1, 2, 3))
    assert (np.diff(moved) >= 0).all() and moved[-1] > 1, (
        "the wider the smile the more pixels differ"
    )
    assert np.abs(film[0] - faces.film(smile, seed=4)[0]).mean() > 5 * moved[-1], (
        "another seed is another person"
    )


def pixels(samples: Samples, step: int) -> np.ndarray:
    """Mean colours of squares of step x step pixels, (N, features) in -0.5..0.5."""
    count, size = len(samples), 64 // step
    squares = samples.images.reshape(count, size, step, size, step, 3).mean((2, 4))
    return squares.reshape(count, -1) / 255 - 0.5


def test_a_linear_model_on_pixels_fails(splits):
    linear = LogisticRegression(C=0.1, max_iter=300).fit(
        pixels(splits["train"], 4), splits["train"].labels
    )
    accuracy = linear.score(pixels(splits["test"], 4), splits["test"].labels)
    assert 0.25 < accuracy < 0.6, "better than chance (0.14), far from a CNN (see below)"


@pytest.mark.slow
def test_a_small_cnn_succeeds(splits):
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((64, 64, 3)), keras.layers.Rescaling(1 / 127.5, -1)]
    for filters in (24, 48, 96, 128):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.MaxPool2D(),
        ]
    model = keras.Sequential(
        [*layers, keras.layers.Flatten(), keras.layers.Dropout(0.3), keras.layers.Dense(7)]
    )
    rate = keras.optimizers.schedules.CosineDecay(2e-3, 8 * 44)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(splits["train"].images, splits["train"].labels, batch_size=64, epochs=8, verbose=0)
    test = splits["test"]
    assert model.evaluate(test.images, test.labels, verbose=0)[1] > 0.93
